"""Modbus meters: RTU on a serial line, RTU over TCP, Modbus TCP."""

from typing import TYPE_CHECKING

from drivers.modbus.load import turn_s
from drivers.modbus.settings import Settings

if TYPE_CHECKING:
    from drivers.line import Line
    from drivers.profile import DeviceAddress, Driver, Profile

__all__ = ["BUS", "Settings", "open_driver", "turn_s"]

BUS = "modbus"


def open_driver(profile: "Profile", device: "DeviceAddress", line: "Line") -> "Driver":
    """A driver for one Modbus meter on an open line."""
    from drivers.modbus.driver import ModbusDriver  # a site without such a meter does not load it

    return ModbusDriver(profile, device, line)
