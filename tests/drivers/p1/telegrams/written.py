"""Telegrams written by hand, one dialect each, with the values they must give: worked out from the
standards, not by our code.

In the files, line ends are LF, `{FF x 1024}` stands for that many bytes of FF, and a checksum is
left to be computed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Written:
    """One telegram. `recognised` is the profile that its marks tell, where it is not its own."""

    name: str
    profile: str
    recognised: str
    data: bytes
    values: dict[str, float]
    serial_number: str | None
    meter_utc_s: int | None


def crc16_arc(data: bytes) -> int:
    """Bit by bit, from the definition: polynomial 0x8005 reflected, initial value 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def sealed(text: bytes) -> bytes:
    """A text that ends in `!`, with its checksum."""
    return text + b"%04X\r\n" % crc16_arc(text)


def written() -> Iterator[Written]:
    """All of them."""
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        file = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        text = (
            file["telegram"]
            .strip("\n")
            .replace("\n", "\r\n")
            .encode("ascii")
            .replace(b"{FF x 1024}", b"\xff" * 1024)
        )
        when = file.get("meter_time")
        yield Written(
            name=path.stem,
            profile=file["profile"],
            recognised=file.get("recognised", file["profile"]),
            data=text + b"\r\n" if file.get("checksum") == "none" else sealed(text),
            values=file["values"],
            serial_number=file.get("serial_number"),
            meter_utc_s=int(datetime.fromisoformat(when).timestamp()) if when else None,
        )
