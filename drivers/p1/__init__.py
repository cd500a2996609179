"""P1 meters (DSMR and its relatives): ASCII telegrams pushed by the meter."""

from typing import TYPE_CHECKING

from drivers.p1.keys import ENTRIES as CREDENTIALS
from drivers.p1.keys import check as check_credentials
from drivers.p1.settings import Settings

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Driver, Profile

__all__ = ["CREDENTIALS", "Settings", "check_credentials", "open_driver"]


def open_driver(profile: "Profile", device: "DeviceAddress", line: "Line") -> "Driver":
    """A driver for one P1 meter on an open line."""
    from drivers.p1.driver import P1Driver  # only where a meter needs it

    return P1Driver(profile, device, line)
