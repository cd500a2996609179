"""SunSpec: inverters and meters that describe their own registers, on any line that Modbus travels
on.
"""

from typing import TYPE_CHECKING

from drivers.modbus.load import REPLY_S, exchange_s
from drivers.sunspec.settings import Settings

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Driver, Profile

__all__ = ["BUS", "Settings", "open_driver", "turn_s"]

BUS = "modbus"


def open_driver(profile: "Profile", device: "DeviceAddress", line: "Line") -> "Driver":
    """A driver for one SunSpec inverter or meter on an open line."""
    from drivers.sunspec.driver import SunSpecDriver  # a site without such a meter does not load it

    return SunSpecDriver(profile, device, line)


LONGEST_MODEL = 121
"""Registers of the longest model that is read, 701 with its head: which one a device has is known
once it is asked.
"""


def turn_s(settings: Settings, char_s: float) -> tuple[float, float]:
    """Seconds a turn takes at most: a reading is one request, with everything in it."""
    longest_s = exchange_s(LONGEST_MODEL, char_s, settings.turnaround_ms / 1000, REPLY_S)
    return longest_s, longest_s
