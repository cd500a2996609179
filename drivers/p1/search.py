"""How P1 ports are found: they push."""

from drivers.line import SerialSettings
from drivers.search import Heard

HEARD = (
    Heard(profile="p1/auto", serial=SerialSettings(baud=115200), order=10),
    Heard(
        profile="p1/auto",
        serial=SerialSettings(baud=9600, parity="even", data_bits=7),
        order=30,
    ),
    Heard(profile="p1/auto", serial=SerialSettings(baud=2400, parity="even"), order=40),
)
