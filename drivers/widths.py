"""How many digits the numbers of a meter's telegrams have. Where there is no checksum, nothing else
tells of a digit that was lost on the way. Pure.

Meters write a number always with the same digits, filled up with zeros (DSMR 2.2 P1, 4: F8(3,3)).
A register that has one less than the others, or than before, was damaged.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

REPEATS = 3
"""A meter that writes otherwise is believed when it does so this often in a row. Where one number
lacks a digit and others of its kind have theirs, it is never: a bridge may lose the same one again
and again.
"""

_NUMBER = re.compile(
    rb"(?:\A|[\r\n)])(?:\d{1,3}-\d{1,3}:)?(\d{1,3})\.([78])\.(\d{1,3})(?:\*255)?[\r\n]*"
    rb"\( *(\d+)(?:\.(\d+))? *(?:\*? *[A-Za-z]\w*)? *\)"
)
# DSMR 2.2 has the gas on a line of its own, later ones behind its time.
_GAS = re.compile(rb"[\r\n]\((\d+)\.(\d+)\)")
_VOLUME = re.compile(rb"\)\((\d+)\.(\d+)\*m3\)")
_GAS_DIGITS = 8  # F8(3,3), or F8(2,2) of big meters

_FAMILIES: Mapping[int, str] = {
    1: "power",
    2: "power",
    **dict.fromkeys((21, 22, 41, 42, 61, 62), "power of phases"),
    **dict.fromkeys((32, 52, 72), "voltages"),
    **dict.fromkeys((31, 51, 71), "currents"),
}
"""What is written alike: group C of an OBIS id, where D is 7."""


class _Number(NamedTuple):
    name: str
    family: str
    digits: tuple[int, int]  # before and after the point
    padded: bool  # filled up with zeros


class Widths:
    """Of one meter's numbers."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}
        self._padded: set[str] = set()  # families whose numbers have been filled up
        self._odd: dict[str, tuple[int, int]] = {}
        self._times = 0  # how often in a row they came so

    def fault(self, raw: bytes) -> str | None:
        """What is wrong with the numbers of a telegram; None where nothing is."""
        numbers = list(_numbers(raw))
        told = {each.name: each.digits for each in numbers}
        padded = self._padded | {each.family for each in numbers if each.padded}
        first: dict[str, _Number] = {}
        reason = None
        for each in numbers:
            alike = first.setdefault(each.family, each)
            known = self._known.get(each.name)
            is_padded = each.family in padded
            if known is not None:
                if known != each.digits and (is_padded or each.family == "registers"):
                    reason = reason or _reason(each, "it", known)
            elif each.family == "gas" and sum(each.digits) != _GAS_DIGITS:
                reason = reason or _reason(each, "gas", (_GAS_DIGITS - 3, 3))
            elif is_padded and alike.digits != each.digits:
                reason = reason or _reason(each, alike.name, alike.digits)

        if reason is None:
            self._known |= told
            self._padded, self._odd = padded, {}
            return None

        if self._lacks_one(numbers, padded):
            return reason
        self._times = self._times + 1 if told == self._odd else 1
        self._odd = told
        if self._times < REPEATS:
            return reason
        self._known, self._padded, self._odd = told, set(), {}
        return None

    def _lacks_one(self, numbers: Collection[_Number], padded: Collection[str]) -> bool:
        """Whether a number has one digit less than it had, and others of its kind as many."""
        kept = {n.family for n in numbers if self._known.get(n.name) == n.digits}
        return any(
            number.family in kept
            and (number.family in padded or number.family == "registers")
            and sum(self._known.get(number.name, ())) == sum(number.digits) + 1
            for number in numbers
        )


def _reason(each: _Number, other: str, digits: tuple[int, int]) -> str:
    return (
        f"{each.name} has {each.digits[0]} and {each.digits[1]} digits where {other} has "
        f"{digits[0]} and {digits[1]}: one was lost on the way, and there is no checksum"
    )


def _numbers(raw: bytes) -> Iterator[_Number]:
    for c, d, e, whole, fraction in _NUMBER.findall(raw):
        family = _FAMILIES.get(int(c), "") if d == b"7" else "registers" if int(c) in (1, 2) else ""
        if family:
            name = b".".join((c, d, e)).decode("ascii")
            yield _number(name, family, whole, fraction)
    for family, pattern in (("gas", _GAS), ("volume", _VOLUME)):
        for at, (whole, fraction) in enumerate(pattern.findall(raw)):
            yield _number(f"{family} {at + 1}", f"{family} {at}" if at else family, whole, fraction)


def _number(name: str, family: str, whole: bytes, fraction: bytes) -> _Number:
    padded = len(whole) > 1 and whole.startswith(b"0")
    return _Number(name, family, (len(whole), len(fraction)), padded)
