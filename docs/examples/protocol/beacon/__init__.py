"""Meters that send a datagram to a multicast group once a second. They do not exist;
CONTRIBUTING.md shows with them how a protocol over datagrams is added.
"""

from typing import TYPE_CHECKING

from .settings import Settings

if TYPE_CHECKING:
    from drivers.line_protocol import DatagramLine
    from drivers.profile import DeviceAddress, Driver, Profile

__all__ = ["LINE", "Settings", "open_driver"]

LINE = "datagrams"


def open_driver(profile: "Profile", device: "DeviceAddress", line: "DatagramLine") -> "Driver":
    """A driver for one meter on its line."""
    from .driver import BeaconDriver  # only where a meter needs it

    return BeaconDriver(profile, device, line)
