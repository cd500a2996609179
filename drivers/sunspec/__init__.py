"""SunSpec: inverters and meters that describe their own registers, on any line that Modbus travels on."""

from typing import TYPE_CHECKING

from drivers.sunspec.settings import Settings

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Driver, Profile

__all__ = ["BUS", "Settings", "open_driver"]

BUS = "modbus"


def open_driver(profile: "Profile", device: "DeviceAddress", line: "Line") -> "Driver":
    """A driver for one SunSpec inverter or meter on an open line."""
    from drivers.sunspec.driver import SunSpecDriver  # pymodbus is imported only where a meter needs it

    return SunSpecDriver(profile, device, line)
