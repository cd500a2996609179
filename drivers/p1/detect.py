"""Finds the serial settings of a P1 port by listening: a setting under which a whole burst is
garbage is not the meter's. Pure.
"""

from drivers.line import SerialSettings
from drivers.p1.telegram import garbled

SETTINGS = (
    SerialSettings(baud=115200),  # DSMR 4 and 5, and most others
    SerialSettings(baud=9600, parity="even", data_bits=7),  # DSMR 2.2 and 3.0
    SerialSettings(baud=2400, parity="even"),  # IEC 62056-21 mode D, as some meters push it
    SerialSettings(baud=115200, parity="even", data_bits=7),  # Slovenia
)
"""What P1 ports are set to, most of them first."""


class Search:
    """Which setting to listen with next.

    A line that is listened to in the middle of a telegram gives garbage too where the telegram is
    encrypted. So only a burst that began after a silence is judged.
    """

    def __init__(self, settings: SerialSettings) -> None:
        self.garbage = b""  # of the last burst that was none
        self.noise_bytes = 0
        """How many bytes outside telegrams had come at the last silence."""
        self._settings = settings
        self._silent = False

    def silence(self, noise: bytes) -> SerialSettings | None:
        """The line has fallen silent, after this much noise since the last silence: the setting to
        go on with, None to stay.
        """
        judged, self._silent = self._silent, True
        if not garbled(noise):
            return None
        self.garbage = noise
        if not judged:
            return None
        at = SETTINGS.index(self._settings) + 1 if self._settings in SETTINGS else 0
        self._settings = SETTINGS[at % len(SETTINGS)]
        return self._settings
