"""Pulse meters: one line of ASCII for each question mark. They do not exist; CONTRIBUTING.md shows
with them how a protocol is added.

Imports of the package's own files are relative here, so that it works in any folder.
"""

from typing import TYPE_CHECKING

from .settings import Settings

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Driver, Profile

__all__ = ["Settings", "open_driver"]


def open_driver(profile: "Profile", device: "DeviceAddress", line: "Line") -> "Driver":
    """A driver for one pulse meter on an open line."""
    from .driver import PulseDriver  # only where a meter needs it

    return PulseDriver(profile, device, line)
