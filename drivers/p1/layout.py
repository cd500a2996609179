"""Where the values of a P1 telegram stand, found in one regex pass, and what is computed of them.
Pure.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from operator import itemgetter
from typing import NamedTuple

import msgspec

from drivers.p1.numbers import NUMBER, UNITS, scaled
from drivers.p1.obis import (
    EITHER_WAY,
    ELECTRICITY,
    MBUS,
    MBUS_READINGS,
    NET,
    OF_THE_METER,
    PARTS_OF,
    PHASE_POWERS,
    TOLD,
    TOTAL_POWERS,
)
from drivers.p1.told import Id
from drivers.tariffs import TOTALS

_KIND = re.compile(rb"\n(0-\d{1,2}):24\.1\.0(?:\*255)?\((\d{1,3})\)")
# A value may stand on the line after its id (2.2: gas), which then begins with the bracket.
_LINE = re.compile(
    rb"\n(?:"
    # 1: C.D.E  2–4: the number, where there is nothing else in the line
    rb"1-\d{1,3}+:(\d{1,2}+\.[478]\.\d\d?+)(?:\*255)?+(?:\r*+\n)?+\((?: *+"
    + NUMBER
    + rb"[ \t]*+(?=[\r\n]|\Z))?+"
    # 5: A-B  6: C.D.E
    rb"|(0-\d{1,2}|1-\d{1,3}|7-0):(24\.\d\.\d|96\.1\.[01]|42\.0\.0|96\.14\.0|1\.0\.0|1\.6\.0"
    rb"|23\.1\.0)(?:\*255)?"
    rb"(\([^\r\n]*+(?:\r*+\n\([^\r\n]*+)?+)"  # 7: all brackets
    rb")"
)
_BEFORE_BRACKETS = re.compile(rb"\n[^(\r\n]++")
_DATA_LINE = re.compile(rb"\n([^(\r\n]++)(?:\r*+\n)?+\(")

MAX_ID_CHARS = 24
"""Of a line's id that is none."""

# quantity, where it stands once all points are out, factor, divisor
_Number = tuple[str, slice, int, int]


class DataLine(NamedTuple):
    """A line of a telegram, by its id, and the quantities that are made of it."""

    id: str
    gives: frozenset[str]

    def is_used(self, wanted: Collection[str]) -> bool:
        """Whether one of the wanted quantities is made of it, or it tells of the meter itself."""
        return OF_THE_METER in self.gives or not self.gives.isdisjoint(wanted)


class Layout(msgspec.Struct, frozen=True):
    """Where the values of a telegram stand, and what is computed of them."""

    pick_ids: Callable[[bytes], tuple[bytes, ...]]
    ids: tuple[bytes, ...]
    numbers: tuple[_Number, ...]
    differences: tuple[tuple[str, str, str], ...]  # quantity, of what, less what
    sums: tuple[tuple[str, tuple[str, ...]], ...]  # quantity, of what
    hidden: tuple[str, ...]  # what no reading holds, only their difference
    others: tuple[Id, ...]  # the other lines
    brackets: tuple[slice, ...]  # where the brackets of each of them stand
    lasting: bool  # whether it holds for other digits, too: not where a quantity comes twice
    either_way: bool  # whether there is no power but one without its direction
    lines: tuple[DataLine, ...]


def layout_of(raw: bytes, tariffs: Collection[int]) -> Layout:
    """Where the values of this telegram stand. Of `tariffs` all are needed for a total."""
    found = _found(raw)
    numbers, broken = found.numbers, found.broken

    differences = tuple(each for each in NET if each[1] in numbers and each[2] in numbers)
    sums = tuple(_sums(numbers.keys() | {name for name, *_ in differences}, broken, tariffs))
    made = {*(each[0] for each in differences), *(each[0] for each in sums)}
    either_way = EITHER_WAY in numbers and TOTAL_POWERS.isdisjoint({*made, *numbers, *broken})
    if either_way:
        made.add("power_w")

    pick_ids = itemgetter(
        slice(0), *(slice(*match.span()) for match in _BEFORE_BRACKETS.finditer(raw))
    )
    return Layout(
        pick_ids=pick_ids,
        ids=pick_ids(raw),
        numbers=tuple(numbers.values()),
        differences=differences,
        sums=sums,
        hidden=tuple(name for name in numbers if name.startswith("_")),
        others=tuple(found.others),
        brackets=tuple(found.brackets),
        lasting=found.lasting,
        either_way=either_way,
        lines=tuple(_lines(raw, found.at, made)),
    )


class _Found(msgspec.Struct):
    """What one pass over a telegram finds."""

    numbers: dict[str, _Number] = msgspec.field(default_factory=dict)
    broken: set[str] = msgspec.field(default_factory=set)
    others: list[Id] = msgspec.field(default_factory=list)
    brackets: list[slice] = msgspec.field(default_factory=list)
    at: dict[int, str] = msgspec.field(
        default_factory=dict
    )  # where a line stands that holds the quantity
    lasting: bool = True


def _found(raw: bytes) -> _Found:
    found = _Found()
    values: dict[str, float] = {}
    end = len(raw) - raw.endswith(b"!")  # which may stand on the last value's line
    for match in _LINE.finditer(raw, 0, end):
        code, whole, fraction, unit, channel, other = match.group(1, 2, 3, 4, 5, 6)
        if channel:
            found.others.append((channel, other))
            found.brackets.append(slice(*match.span(7)))
            continue
        if (known := ELECTRICITY.get(code)) is None:
            continue

        name, dimension = known
        value = scaled(whole, fraction or b"", unit, dimension) if whole else None
        found.lasting = found.lasting and name not in values
        if value is None or values.setdefault(name, value) != value:
            found.broken.add(name)  # unreadable, or there twice with different values
            continue

        begin = match.start(2) - raw.count(b".", 0, match.start(2))
        place = slice(begin, begin + len(whole) + len(fraction or b""))
        power = UNITS[unit.lower()][1] - len(fraction or b"")
        found.numbers[name] = (name, place, 10 ** max(0, power), 10 ** max(0, -power))
        found.at[match.start()] = name

    found.numbers = {n: number for n, number in found.numbers.items() if n not in found.broken}
    found.at = {start: name for start, name in found.at.items() if name in found.numbers}
    return found


def _lines(raw: bytes, at: Mapping[int, str], made: Collection[str]) -> Iterator[DataLine]:
    """The lines of a telegram; `at` says where those stand that hold a number, `made` what is
    computed of numbers.
    """
    kinds = {
        match[1]: kind[0]
        for match in _KIND.finditer(raw)
        if (kind := MBUS.get(int(match[2]))) is not None
    }
    for match in _DATA_LINE.finditer(raw):
        text = match[1].decode("latin-1")
        shown = "".join(each if each.isprintable() else "·" for each in text[:MAX_ID_CHARS])
        if (name := at.get(match.start())) is not None:
            yield DataLine(shown, frozenset({name, *PARTS_OF.get(name, ())} & {*made, name}))
            continue

        channel, _, code = match[1].removesuffix(b"*255").partition(b":")
        gives = {TOLD[code]} if channel == b"0-0" and code in TOLD else set()
        if code == b"1.6.0":
            gives = {"demand_import_max_w"}
        elif code == b"23.1.0":
            gives = {MBUS[3][0]}
        elif channel in kinds and code in (b"24.1.0", *MBUS_READINGS):
            gives = {kinds[channel]}
        yield DataLine(shown, frozenset(gives))


def _sums(
    there: Collection[str], broken: set[str], tariffs: Collection[int]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The energy in all tariffs, and the power of all phases, where the meter does not tell them
    itself.
    """
    for total, names in TOTALS.items():
        present = tuple(name for name in names if name in there)
        if (
            present
            and total not in there
            and broken.isdisjoint((total, *names))
            and all(names[n - 1] in there for n in tariffs)
        ):
            yield total, present
    if TOTAL_POWERS.isdisjoint(there) and TOTAL_POWERS.isdisjoint(broken):
        told = tuple(
            net
            for net, *parts in PHASE_POWERS
            if any(part in there or part in broken for part in parts)
        )
        if told and all(net in there for net in told):
            yield "power_w", told
