"""Numbers that registers hold digit by digit. Pure.

- *BCD*: four bits are one decimal digit, so that 0x1234 is 1234.
- *Modulo 10000* ("mod10"): each register holds four decimal digits as a plain number, from 0 to
  9999, so that 12, 3456 are 123456.
"""

from collections.abc import Callable, Mapping

_WORD_BITS = 16
_PER_WORD = 10_000


def from_bcd(raw: int) -> int | None:
    """The number; None where four bits are no digit."""
    text = f"{raw:x}"
    return int(text) if text.isdecimal() else None


def to_bcd(number: int) -> int:
    """As the register holds it."""
    return int(str(number), 16)


def from_mod10(raw: int) -> int | None:
    """The number; None where a register holds more than four digits."""
    number, place = 0, 1
    while raw:
        word = raw & 0xFFFF
        if word >= _PER_WORD:
            return None
        number += word * place
        raw >>= _WORD_BITS
        place *= _PER_WORD
    return number


def to_mod10(number: int) -> int:
    """As the registers hold it."""
    raw, at = 0, 0
    while number:
        number, word = divmod(number, _PER_WORD)
        raw |= word << at
        at += _WORD_BITS
    return raw


FROM_DIGITS: Mapping[str, Callable[[int], int | None]] = {
    "bcd16": from_bcd,
    "bcd32": from_bcd,
    "bcd64": from_bcd,
    "mod10_32": from_mod10,
    "mod10_64": from_mod10,
}
"""Type → what its bits are as a number; the other types are numbers already."""

TO_DIGITS: Mapping[str, Callable[[int], int]] = {
    kind: to_bcd if kind.startswith("bcd") else to_mod10 for kind in FROM_DIGITS
}
"""Type → the bits of a number."""
