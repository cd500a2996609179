"""Meters that show their values on a web page, as JSON. They do not exist; CONTRIBUTING.md shows
with them how a protocol over HTTP is added.
"""

from typing import TYPE_CHECKING

from .settings import CREDENTIALS, Settings, check_credentials

if TYPE_CHECKING:
    from drivers.line_protocol import HttpLine
    from drivers.profile import DeviceAddress, Driver, Profile

__all__ = ["CREDENTIALS", "LINE", "Settings", "check_credentials", "open_driver"]

LINE = "http"


def open_driver(profile: "Profile", device: "DeviceAddress", line: "HttpLine") -> "Driver":
    """A driver for one meter on its line."""
    from .driver import PagesDriver  # only where a meter needs it

    return PagesDriver(profile, device, line)
