"""A telegram of text, from its `/` to its `!`, and the checksum behind it. Pure.

P1 ports push such telegrams, and optical ports (IEC 62056-21 mode D). What P1 writes behind `!`
is a CRC-16/ARC in up to four hex digits, over all bytes from `/` to `!` (DSMR 5.0.2 P1 companion
standard, 6.2). Optical ports and old P1 meters write nothing.
"""

import re
from dataclasses import dataclass
from typing import Literal

from fastcrc import crc16

ChecksumPolicy = Literal["required", "optional", "ignored"]
"""required: a telegram without a right checksum is damaged. optional: one that has a checksum must
have the right one (over CR LF line ends, also where something on the way rewrote them). ignored: it
is not looked at.
"""

BARE_END_S = 0.05
"""Of a meter that is known to send no checksum, this much silence after `!` is the end."""

LATE_CHECKSUM_S = 10.0
"""Else a checksum may come later than `!`, by at most so much or the meter's period, if no other
telegram begins: some meters compute it only then, and bridges to a network cut the bytes anywhere.
"""

EXCERPT_BYTES = 60

_ANY_LINE_END = re.compile(rb"\r*\n|\r")


@dataclass(frozen=True, slots=True)
class Telegram:
    """One telegram as it came, from `/` to `!`; not yet checked (see `fault`).

    `start` counts the bytes of the stream before its `/`; `checksum` is what the meter wrote after
    `!`, or None.
    """

    start: int
    raw: bytes
    checksum: int | None


@dataclass(frozen=True, slots=True)
class Damaged:
    """Something that began as a telegram and cannot be one: why, and how it begins (printable,
    short).
    """

    start: int
    reason: str
    text: str


def fault(telegram: Telegram, policy: ChecksumPolicy) -> str | None:
    """What is wrong with a telegram's checksum under this policy, or None where nothing is."""
    if policy == "ignored":
        return None
    if telegram.checksum is None:
        return None if policy == "optional" else "no checksum after '!', but this model sends one"
    computed = crc16.arc(telegram.raw)
    if telegram.checksum == computed:
        return None
    reason = (
        f"wrong checksum: the telegram says {telegram.checksum:04X}, its bytes give {computed:04X}"
    )
    if crc16.arc(telegram.raw.replace(b"\xff\xff", b"\xff")) == telegram.checksum:
        return (
            f"{reason}; something on the way doubles bytes of FF, as telnet does: set the "
            "serial server to raw TCP"
        )
    if crc16.arc(_ANY_LINE_END.sub(b"\r\n", telegram.raw)) != telegram.checksum:
        return reason
    return (
        None
        if policy == "optional"
        else f"{reason}; something on the way rewrites CR LF line ends: pass the bytes through raw"
    )


def excerpt(raw: bytes) -> str:
    """The beginning of some bytes as printable text."""
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in raw[:EXCERPT_BYTES])
    return text + ("…" if len(raw) > EXCERPT_BYTES else "")
