"""How IEC 62056-21 meters are found: those of mode D push, the others are asked for their data.

Text without a checksum is mode D only where it is no P1: so these come last.
"""

from drivers.line import SerialSettings
from drivers.search import Heard

HEARD = (
    Heard(
        profile="iec62056/mode_d",
        serial=SerialSettings(baud=9600, parity="even", data_bits=7),
        order=50,
    ),
    Heard(
        profile="iec62056/mode_d_2400",
        serial=SerialSettings(baud=2400, parity="even", data_bits=7),
        order=60,
    ),
    Heard(
        profile="iec62056/mode_c",
        serial=SerialSettings(baud=300, parity="even", data_bits=7),
        order=70,
        asked=True,
    ),
)
