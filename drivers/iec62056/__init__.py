"""Meters that speak IEC 62056-21 (formerly IEC 1107) in text: pushed by themselves (mode D), or
read out on request (modes A, B, C).
"""

from typing import TYPE_CHECKING

from drivers.iec62056.settings import Settings

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Driver, Profile

__all__ = ["Settings", "open_driver"]


def open_driver(profile: "Profile", device: "DeviceAddress", line: "Line") -> "Driver":
    """A driver for one meter on an open line."""
    from drivers.iec62056.driver import ModeDDriver, ReadoutDriver  # only where a meter needs them

    return (
        ModeDDriver(profile, device, line)
        if profile.settings.mode == "d"
        else ReadoutDriver(profile, device, line)
    )
