"""SML meters (German electronic household meters): binary telegrams pushed through an optical
head.
"""

from typing import TYPE_CHECKING

from drivers.sml.settings import Settings

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Driver, Profile

__all__ = ["Settings", "open_driver"]


def open_driver(profile: "Profile", device: "DeviceAddress", line: "Line") -> "Driver":
    """A driver for one SML meter on an open line."""
    from drivers.sml.driver import SmlDriver  # only where a meter needs it

    return SmlDriver(profile, device, line)
