"""Serial ports of USB adapters, by vendor, product and serial number, as the kernel tells them in
/sys.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

SYSFS = Path("/sys/class/tty")
_LEVELS = 6
"""How far above a port its USB device is looked for; usbserial has it three levels up, cdc_acm two.
"""


class UsbError(Exception):
    """There is no such adapter, or more than one. The text says which there are and what to do."""


class UsbPort(msgspec.Struct, frozen=True, order=True):
    """One serial port of one USB adapter."""

    name: str
    vendor: str
    product: str
    serial_number: str

    def __str__(self) -> str:
        number = f":{self.serial_number}" if self.serial_number else ""
        return f"usb:{self.vendor}:{self.product}{number} ({self.name})"


def usb_ports(sysfs: Path = SYSFS) -> list[UsbPort]:
    """The ports that are there now, by name."""
    return sorted(_found(sysfs))


def usb_port(adapter: str, sysfs: Path = SYSFS) -> str:
    """The path of the one port of that adapter: `VID:PID`, or `VID:PID:SERIAL` where there are
    several alike. Raises UsbError.
    """
    vendor, product, number = (*adapter.split(":", 2), "")[:3]
    there = usb_ports(sysfs)
    fits = [
        port
        for port in there
        if (port.vendor, port.product) == (vendor, product) and number in ("", port.serial_number)
    ]
    if len(fits) == 1:
        return f"/dev/{fits[0].name}"
    if fits:
        hint = (
            "use its path in /dev/serial/by-path"
            if number
            else "add the serial number, or use its path in /dev/serial/by-path"
        )
        raise UsbError(f"there are {len(fits)} such ports: {', '.join(map(str, fits))} — {hint}")
    seen = ", ".join(map(str, there)) or "none"
    raise UsbError(f"there is no such USB adapter — is it plugged in? adapters seen: {seen}")


def _found(sysfs: Path) -> Iterator[UsbPort]:
    for entry in sysfs.glob("*/device"):
        folder = entry.resolve()
        for _ in range(_LEVELS):
            vendor, product = _text(folder / "idVendor"), _text(folder / "idProduct")
            if vendor and product:
                yield UsbPort(
                    entry.parent.name, vendor.lower(), product.lower(), _text(folder / "serial")
                )
                break
            folder = folder.parent


def _text(path: Path) -> str:
    """What a file of /sys says; nothing where it is not there, or has just gone."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
