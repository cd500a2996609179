"""A telegram of text, from its `/` to its `!`, and the checksum behind it. Pure.

P1 ports push such telegrams, and optical ports (IEC 62056-21 mode D). What P1 writes behind `!`
is a CRC-16/ARC in up to four hex digits, over all bytes from `/` to `!` (DSMR 5.0.2 P1 companion
standard, 6.2). Optical ports and old P1 meters write nothing.
"""

import re
from typing import Literal

import msgspec

from drivers import crc16

ChecksumPolicy = Literal["required", "optional", "ignored"]
"""required: a telegram without a right checksum is damaged. optional: one that has a checksum must
have the right one. ignored: it is not looked at. It is right also where it is that of the telegram
with CR LF line ends, as the meter sent them before something on the way rewrote them.
"""

BARE_END_S = 0.05
"""Of a meter that is known to send no checksum, this much silence after `!` is the end."""

LATE_CHECKSUM_S = 10.0
"""Else a checksum may come later than `!`, by at most so much or the meter's period, if no other
telegram begins: some meters compute it only then, and bridges to a network cut the bytes anywhere.
"""

EXCERPT_BYTES = 60

_LINE_ENDS = tuple(map(re.compile, (rb"\r*\n|\r", rb"\n\n|\r\r")))
"""As terminals and bridges write CR LF: others for it, one for the other."""


class Telegram(msgspec.Struct, frozen=True):
    """One telegram as it came, from `/` to `!`; not yet checked (see `fault`).

    `start` counts the bytes of the stream before its `/`; `checksum` is what the meter wrote after
    `!`, or None.
    """

    start: int
    raw: bytes
    checksum: int | None


class Damaged(msgspec.Struct, frozen=True):
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
    return None if has_rewritten_ends(telegram) else reason


def has_rewritten_ends(telegram: Telegram) -> bool:
    """Whether a telegram's checksum is right only over its text with CR LF line ends: something on
    the way wrote others.
    """
    if telegram.checksum in (None, crc16.arc(telegram.raw)):
        return False
    return any(crc16.arc(end.sub(b"\r\n", telegram.raw)) == telegram.checksum for end in _LINE_ENDS)


def excerpt(raw: bytes) -> str:
    """The beginning of some bytes as printable text."""
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in raw[:EXCERPT_BYTES])
    return text + ("…" if len(raw) > EXCERPT_BYTES else "")
