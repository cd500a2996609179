"""The values of a P1 telegram: pure, exact in Wh. One regex pass tells where they stand, in this
telegram and in those that follow it.

A data line is `A-B:C.D.E(value*unit)`, with further values in brackets of their own (IEC 62056-61
ids; DSMR 5.0.2 P1 companion standard, 6.4–6.12; DSMR 2.2 P1, 4; eMUCS-P1 2.1.1). What is measured
follows from C.D.E of medium A = 1 (electricity); 0-n lines are M-Bus channel n. Units are taken
from the telegram, never assumed: relatives of DSMR send Wh for kWh. An unreadable field is left
out, and so is everything that would be computed from it.
"""

import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from operator import itemgetter
from typing import NamedTuple

from drivers.tariffs import ENERGY, TOTALS

OF_THE_METER = "meter"
"""What lines give that tell the meter's number or its time."""

# unit in lower case → (its dimension, power of ten)
_UNITS: Mapping[bytes, tuple[str, int]] = {
    b"wh": ("wh", 0),
    b"kwh": ("wh", 3),
    b"varh": ("varh", 0),
    b"kvarh": ("varh", 3),
    b"w": ("w", 0),
    b"kw": ("w", 3),
    b"var": ("var", 0),
    b"kvar": ("var", 3),
    b"v": ("v", 0),
    b"kv": ("v", 3),
    b"a": ("a", 0),
    b"ka": ("a", 3),
    b"hz": ("hz", 0),
    b"khz": ("hz", 3),
    b"m3": ("m3", 0),
    b"m\xb3": ("m3", 0),
    b"gj": ("gj", 0),
    b"": ("", 0),
}
_MINUS = ord("-")

_EITHER_WAY = "_power_either_way_w"  # the sum of all that flows, whichever way
ELECTRICITY: Mapping[bytes, tuple[str, str]] = {
    **{f"{c}.8.{e}".encode(): (name, "wh") for (c, e), name in ENERGY.items()},
    b"3.8.0": ("reactive_energy_import_varh", "varh"),
    b"4.8.0": ("reactive_energy_export_varh", "varh"),
    b"1.7.0": ("power_import_w", "w"),
    b"2.7.0": ("power_export_w", "w"),
    b"1.4.0": ("demand_import_w", "w"),
    b"16.7.0": ("power_w", "w"),
    b"15.7.0": (_EITHER_WAY, "w"),
    b"3.7.0": ("_reactive_import_var", "var"),
    b"4.7.0": ("_reactive_export_var", "var"),
    b"13.7.0": ("power_factor", ""),
    b"14.7.0": ("frequency_hz", "hz"),
    b"91.7.0": ("current_n_a", "a"),
    **{
        f"{group + shift}.7.0".encode(): (name.format(phase), dimension)
        for phase, shift in (("l1", 0), ("l2", 20), ("l3", 40))
        for group, name, dimension in (
            (21, "power_import_{}_w", "w"),
            (22, "power_export_{}_w", "w"),
            (23, "_reactive_import_{}_var", "var"),
            (24, "_reactive_export_{}_var", "var"),
            (31, "current_{}_a", "a"),
            (32, "voltage_{}_v", "v"),
            (33, "power_factor_{}", ""),
        )
    },
}
"""C.D.E of medium 1 → (quantity, dimension). A quantity that begins with `_` is only part of one.
"""
_SIGNED = {"w", "a", ""}  # a register or a voltage below zero is a broken field

# M-Bus device type (EN 13757-3, table of device types) → (quantity, dimension)
_MBUS: Mapping[int, tuple[str, str]] = {
    2: ("submeter_energy_wh", "wh"),
    3: ("gas_m3", "m3"),
    4: ("heat_gj", "gj"),
    6: ("warm_water_m3", "m3"),
    7: ("water_m3", "m3"),
    10: ("cooling_gj", "gj"),
    11: ("cooling_gj", "gj"),
    12: ("heat_gj", "gj"),
}
_MBUS_READINGS = frozenset({b"24.2.1", b"24.2.3", b"24.3.0", b"24.3.1", b"23.1.0"})

_KIND = re.compile(rb"\n(0-\d{1,2}):24\.1\.0(?:\*255)?\((\d{1,3})\)")
# What lines of the meter itself give, other than numbers.
_TOLD: Mapping[bytes, str] = {
    b"96.14.0": "tariff",
    **dict.fromkeys((b"1.0.0", b"96.1.1", b"42.0.0", b"96.1.0"), OF_THE_METER),
}

_PHASES = ("l1", "l2", "l3")
_TOTAL_POWERS = frozenset({"power_w", "power_import_w", "power_export_w"})
_PHASE_POWERS = tuple(
    (f"power_{p}_w", f"power_import_{p}_w", f"power_export_{p}_w") for p in _PHASES
)
# (what is left, of what, less what)
_NET: tuple[tuple[str, str, str], ...] = (
    ("power_w", "power_import_w", "power_export_w"),
    *_PHASE_POWERS,
    ("reactive_power_var", "_reactive_import_var", "_reactive_export_var"),
    *(
        (f"reactive_power_{p}_var", f"_reactive_import_{p}_var", f"_reactive_export_{p}_var")
        for p in _PHASES
    ),
)
# What a quantity is part of.
_PARTS_OF: Mapping[str, tuple[str, ...]] = {
    **{part: (net,) for net, *parts in _NET for part in parts},
    **{part: (total,) for total, parts in TOTALS.items() for part in parts},
    _EITHER_WAY: ("power_w",),
}

QUANTITIES = frozenset(
    name
    for name in (
        *(name for name, _ in (*ELECTRICITY.values(), *_MBUS.values())),
        *(name for name, *_ in _NET),
        "tariff",
        "demand_import_max_w",
    )
    if not name.startswith("_")
)
"""Every quantity that may come out of a telegram."""

# A number and its unit: `*` may be missing, blanks may stand before the bracket. The length is
# bounded so that a float holds it exactly. Possessive (`+` after a repetition): what has matched is
# not tried again in other ways, which would find nothing and cost half the time. Within brackets no
# pattern here asks for a certain digit: `Reader` relies on that.
_NUMBER = rb"(-?\d{1,12}+)(?:\.(\d{0,6}+))?+ *+\*?+ *+([A-Za-z][A-Za-z0-9\xb3]*+|) *+\)"
# A value may stand on the line after its id (2.2: gas), which then begins with the bracket.
_LINE = re.compile(
    rb"\n(?:"
    # 1: C.D.E  2–4: the number, where there is nothing else in the line
    rb"1-\d{1,3}+:(\d{1,2}+\.[478]\.\d\d?+)(?:\*255)?+(?:\r*+\n)?+\((?: *+"
    + _NUMBER
    + rb"[ \t]*+(?=[\r\n]|\Z))?+"
    # 5: A-B  6: C.D.E
    rb"|(0-\d{1,2}|1-\d{1,3}|7-0):(24\.\d\.\d|96\.1\.[01]|42\.0\.0|96\.14\.0|1\.0\.0|1\.6\.0"
    rb"|23\.1\.0)(?:\*255)?"
    rb"(\([^\r\n]*+(?:\r*+\n\([^\r\n]*+)?+)"  # 7: all brackets
    rb")"
)
_READING = re.compile(rb"\((\d{12}[SWsw]?)\)\( *" + _NUMBER + rb"\s*$")  # (time)(value*unit)
_OLD_READING = re.compile(
    rb"\((\d{12})\)(?:\([^()]*\)){0,4}\(([A-Za-z0-9\xb3]{1,3})\)\s*\( "
    rb"*(-?\d{1,12})(?:\.(\d{0,6}))? *\)\s*$"
)
_ACE_READING = re.compile(
    rb"\( *" + _NUMBER + rb"\((\d\d)-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\)\s*$"
)  # (value*unit)(YY-MM-DD hh:mm:ss)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NEVER = (b"000101", b"700101")  # the date of a meter, or an M-Bus slot, that never was set
_BEFORE_BRACKETS = re.compile(rb"\n[^(\r\n]++")
_DATA_LINE = re.compile(rb"\n([^(\r\n]++)(?:\r*+\n)?+\(")
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_AHEAD_S = 86400  # an M-Bus meter whose time is further ahead of the telegram's has a wrong clock


@dataclass(frozen=True, slots=True)
class Values:
    """What a telegram says: quantities of `drivers.sample.QUANTITIES`, and what the meter tells of
    itself.

    `meter_utc_s` is the meter's own clock as a Unix time, None where it does not tell it, was never
    set, or does not say whether it is summer time.
    """

    quantities: Mapping[str, float]
    serial_number: str | None
    meter_utc_s: int | None = None


class DataLine(NamedTuple):
    """A line of a telegram, by its id, and the quantities that are made of it."""

    id: str
    gives: frozenset[str]

    def is_used(self, wanted: Collection[str]) -> bool:
        """Whether one of the wanted quantities is made of it, or it tells of the meter itself."""
        return OF_THE_METER in self.gives or not self.gives.isdisjoint(wanted)


MAX_ID_CHARS = 24
"""Of a line's id that is none."""


class Leftovers:
    """The lines of a meter's telegrams of which nothing is made: worked out anew only where a
    telegram looks different.
    """

    def __init__(self) -> None:
        self._lines: tuple[DataLine, ...] = ()
        self._ids: tuple[str, ...] = ()

    def of(self, lines: tuple[DataLine, ...], wanted: Collection[str]) -> tuple[str, ...]:
        """Their ids, in the telegram's order."""
        if lines is not self._lines:
            self._lines = lines
            self._ids = tuple(line.id for line in lines if not line.is_used(wanted))
        return self._ids


LAYOUTS = 8
"""How many looks of a meter's telegrams are remembered: in summer and in winter, with and without a
message or a minus.
"""

_Id = tuple[bytes, bytes]  # A-B, C.D.E
_Number = tuple[
    str, slice, int, int
]  # quantity, where it stands once all points are out, factor, divisor


class Reader:
    """Reads the telegrams of one meter. They look alike, so where the values stand is worked out
    anew only where one looks different.

    Two telegrams have their values in the same places if they are the same but for digits, and
    before the brackets of each line, where the ids stand, the same to the digit.

    An energy total is the meter's own (x.8.0) or, without one, the sum of the tariff registers in
    the same telegram; of all of `tariffs` at least: where one of them is missing or unreadable,
    there is no total. `utc_offset_h` is what the meter's clock is ahead of UTC in winter.
    """

    def __init__(self, tariffs: Collection[int] = (), utc_offset_h: float = 1) -> None:
        self._tariffs = tariffs
        self._utc_offset_h = utc_offset_h
        self._layouts: dict[
            bytes, _Layout
        ] = {}  # by a telegram's shape: itself, with every digit a 0
        # The other lines of the last telegram, and what they tell: without a clock among them, they
        # stay the same for long.
        self._last: _Layout | None = None
        self._brackets: list[bytes] = []
        self._told = Values({}, None)

    def read(self, raw: bytes) -> Values:
        """The values of one telegram (from its `/` to its `!`)."""
        if b"\n" not in raw:
            raw = raw.replace(b"\r", b"\n")  # something on the way rewrote the line ends
        layout = self._layout_of(raw)
        joined = raw.translate(None, b".")  # digits before and after the point
        found = {
            name: int(joined[place]) * factor / divisor
            for name, place, factor, divisor in layout.numbers
        }
        for name, plus, minus in layout.differences:
            value = found[plus] - found[minus]
            found[name] = value if value.is_integer() else round(value, 3)
        for name, parts in layout.sums:
            value = sum([found[part] for part in parts], 0.0)
            found[name] = value if value.is_integer() else round(value, 3)
        if layout.hidden:
            if layout.either_way and not _exports(found):
                found["power_w"] = found[_EITHER_WAY]
            for name in layout.hidden:
                del found[name]
        brackets = [raw[place] for place in layout.brackets]
        if brackets != self._brackets or layout is not self._last:
            self._last, self._brackets = layout, brackets
            self._told = _told(layout.others, brackets, self._utc_offset_h)
        found.update(self._told.quantities)
        return Values(found, self._told.serial_number, self._told.meter_utc_s)

    @property
    def lines(self) -> tuple[DataLine, ...]:
        """The lines of the telegram that was read last."""
        return self._last.lines if self._last is not None else ()

    def _layout_of(self, raw: bytes) -> "_Layout":
        shape = raw.translate(_ZEROS)
        layout = self._layouts.get(shape)
        if layout is None or layout.pick_ids(raw) != layout.ids:
            layout = _layout(raw, self._tariffs)
            if layout.lasting:
                self._layouts[shape] = layout
            if len(self._layouts) > LAYOUTS:
                del self._layouts[next(iter(self._layouts))]
        return layout


def _exports(found: Mapping[str, float]) -> bool:
    """Whether a meter has ever exported. 15.7.0 has no sign: it tells the power only of one that
    has not.
    """
    return any(value for name, value in found.items() if "energy_export_" in name)


def read_values(raw: bytes, tariffs: Collection[int] = (), utc_offset_h: float = 1) -> Values:
    """The values of one telegram on its own, as a `Reader` gives them."""
    return Reader(tariffs, utc_offset_h).read(raw)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the values of a telegram stand, and what is computed of them."""

    pick_ids: Callable[[bytes], tuple[bytes, ...]]
    ids: tuple[bytes, ...]
    numbers: tuple[_Number, ...]
    differences: tuple[tuple[str, str, str], ...]  # quantity, of what, less what
    sums: tuple[tuple[str, tuple[str, ...]], ...]  # quantity, of what
    hidden: tuple[str, ...]  # what no reading holds, only their difference
    others: tuple[_Id, ...]  # the other lines
    brackets: tuple[slice, ...]  # where the brackets of each of them stand
    lasting: bool  # whether it holds for other digits, too: not where a quantity comes twice
    either_way: bool  # whether there is no power but one without its direction
    lines: tuple[DataLine, ...]


def _layout(raw: bytes, tariffs: Collection[int]) -> _Layout:
    numbers: dict[str, _Number] = {}
    values: dict[str, float] = {}
    broken: set[str] = set()
    others: list[_Id] = []
    brackets: list[slice] = []
    at: dict[int, str] = {}  # where a line stands that holds the quantity
    lasting = True
    end = len(raw) - raw.endswith(b"!")  # which may stand on the last value's line
    for match in _LINE.finditer(raw, 0, end):
        code, whole, fraction, unit, channel, other = match.group(1, 2, 3, 4, 5, 6)
        if channel:
            others.append((channel, other))
            brackets.append(slice(*match.span(7)))
        elif (known := ELECTRICITY.get(code)) is not None:
            name, dimension = known
            value = _scaled(whole, fraction or b"", unit, dimension) if whole else None
            lasting = lasting and name not in values
            if value is None or values.setdefault(name, value) != value:
                broken.add(name)  # unreadable, or there twice with different values
                continue
            begin = match.start(2) - raw.count(b".", 0, match.start(2))
            place = slice(begin, begin + len(whole) + len(fraction or b""))
            power = _UNITS[unit.lower()][1] - len(fraction or b"")
            numbers[name] = (name, place, 10 ** max(0, power), 10 ** max(0, -power))
            at[match.start()] = name
    numbers = {name: number for name, number in numbers.items() if name not in broken}
    differences = tuple(each for each in _NET if each[1] in numbers and each[2] in numbers)
    sums = tuple(_sums(numbers.keys() | {name for name, *_ in differences}, broken, tariffs))
    made = {*(each[0] for each in differences), *(each[0] for each in sums)}
    either_way = _EITHER_WAY in numbers and _TOTAL_POWERS.isdisjoint({*made, *numbers, *broken})
    if either_way:
        made.add("power_w")
    pick_ids = itemgetter(
        slice(0), *(slice(*match.span()) for match in _BEFORE_BRACKETS.finditer(raw))
    )
    return _Layout(
        pick_ids,
        pick_ids(raw),
        tuple(numbers.values()),
        differences,
        sums,
        tuple(name for name in numbers if name.startswith("_")),
        tuple(others),
        tuple(brackets),
        lasting,
        either_way,
        tuple(_lines(raw, {start: at[start] for start in at if at[start] in numbers}, made)),
    )


def _lines(raw: bytes, at: Mapping[int, str], made: Collection[str]) -> Iterator[DataLine]:
    """The lines of a telegram; `at` says where those stand that hold a number, `made` what is
    computed of numbers.
    """
    kinds = {
        match[1]: kind[0]
        for match in _KIND.finditer(raw)
        if (kind := _MBUS.get(int(match[2]))) is not None
    }
    for match in _DATA_LINE.finditer(raw):
        text = match[1].decode("latin-1")
        shown = "".join(each if each.isprintable() else "·" for each in text[:MAX_ID_CHARS])
        if (name := at.get(match.start())) is not None:
            yield DataLine(shown, frozenset({name, *_PARTS_OF.get(name, ())} & {*made, name}))
            continue

        channel, _, code = match[1].removesuffix(b"*255").partition(b":")
        gives = {_TOLD[code]} if channel == b"0-0" and code in _TOLD else set()
        if code == b"1.6.0":
            gives = {"demand_import_max_w"}
        elif code == b"23.1.0":
            gives = {_MBUS[3][0]}
        elif channel in kinds and code in (b"24.1.0", *_MBUS_READINGS):
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
    if _TOTAL_POWERS.isdisjoint(there) and _TOTAL_POWERS.isdisjoint(broken):
        told = tuple(
            net
            for net, *parts in _PHASE_POWERS
            if any(part in there or part in broken for part in parts)
        )
        if told and all(net in there for net in told):
            yield "power_w", told


def utc_of(stamp: bytes, utc_offset_h: float) -> int | None:
    """The Unix time of `YYMMDDhhmmssX`; None where it is impossible or that of a clock never set.

    X alone tells the offset: W is the country's offset in winter, S an hour more (DSMR 5.0.2 P1,
    6.4). Calendars do not: Nordic meters send W all year. Without X (DSMR 2.2) it counts as W.
    """
    if not stamp[:12].isdigit() or len(stamp) < 12 or stamp.startswith(_NEVER):
        return None
    days = _days(stamp[:6])
    hour, minute_second = divmod(int(stamp[6:12]), 10000)
    minute, second = divmod(minute_second, 100)
    if days is None or hour > 23 or minute > 59 or second > 59:
        return None
    offset_s = int(utc_offset_h * 3600) + (3600 if stamp[12:] in (b"S", b"s") else 0)
    return days * 86400 + hour * 3600 + minute * 60 + second - offset_s


@functools.lru_cache(maxsize=16)
def _days(stamp: bytes) -> int | None:
    """Days since 1970 of `YYMMDD`: the same all day."""
    try:
        return date(2000 + int(stamp[:2]), int(stamp[2:4]), int(stamp[4:])).toordinal() - _EPOCH_DAY
    except ValueError:
        return None


def _told(ids: Iterable[_Id], all_brackets: Iterable[bytes], utc_offset_h: float) -> Values:
    """What other lines than those of ELECTRICITY tell: the tariff, the month's peak, M-Bus meters,
    the meter's serial number and time.
    """
    found: dict[str, float] = {}
    serial_numbers: dict[bytes, str] = {}
    kinds: dict[bytes, tuple[str, str]] = {}
    readings: list[tuple[bytes, bytes, bytes]] = []
    meter_utc_s = None
    for (channel, code), brackets in zip(ids, all_brackets, strict=True):
        text = brackets.strip()[1:-1]
        if code in _MBUS_READINGS:
            readings.append((channel, code, brackets))
        elif code == b"24.1.0":
            kind = _MBUS.get(int(text)) if text.isdigit() and len(text) <= 3 else None
            if kind is not None:
                kinds[channel] = kind
        elif code == b"1.6.0":
            if (peak := _timed(code, brackets, "w", utc_offset_h)) is not None:
                found["demand_import_max_w"] = peak[1]
        elif channel != b"0-0":
            pass
        elif code == b"96.14.0":
            if text.isdigit() and len(text) <= 4:
                found["tariff"] = float(text)
        elif code == b"1.0.0":
            if len(text) == 13 and text[:12].isdigit() and text[12:] in b"SWsw":
                meter_utc_s = utc_of(text, utc_offset_h)
        elif serial_number := _as_text(text):
            serial_numbers.setdefault(code, serial_number)
    _add_mbus(readings, kinds, found, utc_offset_h, meter_utc_s)
    own = serial_numbers.get
    return Values(found, own(b"96.1.1") or own(b"42.0.0") or own(b"96.1.0"), meter_utc_s)


def _add_mbus(
    readings: list[tuple[bytes, bytes, bytes]],
    kinds: Mapping[bytes, tuple[str, str]],
    found: dict[str, float],
    utc_offset_h: float,
    meter_utc_s: int | None,
) -> None:
    """Of several meters of a kind the one with the latest reading counts: the channel tells only
    the order in which they came.

    A replaced meter may still be listed, and a time far ahead is that of a wrong clock: it counts
    where there is no other.
    """
    latest: dict[str, tuple[int, bytes]] = {}
    for channel, code, brackets in readings:
        kind = _MBUS[3] if code == b"23.1.0" else kinds.get(channel)
        if kind is None:
            continue
        name, dimension = kind
        if (reading := _timed(code, brackets, dimension, utc_offset_h)) is not None:
            utc_s, value = reading
            ahead = meter_utc_s is not None and utc_s > meter_utc_s + _AHEAD_S
            rank = (0 if ahead else utc_s, channel)
            if rank >= latest.get(name, (0, b"")):
                latest[name], found[name] = rank, value


def _timed(
    code: bytes, brackets: bytes, dimension: str, utc_offset_h: float
) -> tuple[int, float] | None:
    """(Unix time, value) of a reading with a time; None for an empty slot, which has an impossible
    time or no unit.
    """
    if code == b"23.1.0":  # ACE4000: the value first
        if not (match := _ACE_READING.match(brackets)):
            return None
        whole, fraction, unit, *digits = match.groups(b"")
        stamp = b"".join(digits)
    elif match := _READING.match(brackets):
        stamp, whole, fraction, unit = match.groups(b"")
    elif match := _OLD_READING.match(
        brackets
    ):  # 2.2 and 3.0: (time)(status)(60)(1)(0-1:24.2.1)(m3), the value on the next line
        stamp, unit, whole, fraction = match.groups(b"")
    else:
        return None
    utc_s = utc_of(stamp, utc_offset_h)
    value = _scaled(whole, fraction, unit, dimension)
    return None if utc_s is None or value is None else (utc_s, value)


def _scaled(whole: bytes, fraction: bytes, unit: bytes, dimension: str) -> float | None:
    """The number in the quantity's own unit, as near as a float gets (a whole number of Wh
    exactly); None where the unit is another's.
    """
    found, power = _UNITS.get(unit.lower(), (None, 0))
    if found != dimension or (whole[0] == _MINUS and dimension not in _SIGNED):
        return None
    value: float = int(whole + fraction) * 10**power / 10 ** len(fraction)
    return value


@functools.lru_cache(maxsize=8)
def _as_text(text: bytes) -> str | None:
    """An equipment id: the standards write its ASCII characters in hex; some meters write them
    plainly.
    """
    try:
        plain = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        plain = text
    for candidate in (plain, text):
        decoded = candidate.strip().decode("latin-1")
        if 0 < len(decoded) <= 96 and decoded.isascii() and decoded.isprintable():
            return decoded
    return None
