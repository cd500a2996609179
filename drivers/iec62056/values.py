"""The values of an IEC 62056-21 data block: pure, one regex pass, exact in Wh.

A data set is `id(value*unit)` (IEC 62056-21, 6.5); a line holds one or more. The id is an OBIS
code, with or without medium and channel, and often without its last group: `1-0:1.8.0*255`,
`1.8.0`, `32.7`. Past values (`1.8.0*12`, `1.8.0&12`) are left out, and so is every field that
cannot be read. Units may be missing: then the profile says which an energy register has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from drivers.tariffs import ENERGY, TOTALS, is_widened

EnergyUnit = Literal["Wh", "kWh"]

# unit in lower case → (its dimension, power of ten)
_UNITS: Mapping[bytes, tuple[str, int]] = {
    b"wh": ("wh", 0),
    b"kwh": ("wh", 3),
    b"mwh": ("wh", 6),
    b"w": ("w", 0),
    b"kw": ("w", 3),
    b"v": ("v", 0),
    b"a": ("a", 0),
    b"hz": ("hz", 0),
}
_SIGNED = {"w", "a"}  # a register or a voltage below zero is a broken field

# C.D.E → (quantity, dimension)
_OBJECTS: Mapping[bytes, tuple[str, str]] = {
    **{f"{c}.8.{e}".encode(): (name, "wh") for (c, e), name in ENERGY.items()},
    b"16.7.0": ("power_w", "w"),
    b"1.7.0": ("power_import_w", "w"),
    b"2.7.0": ("power_export_w", "w"),
    b"14.7.0": ("frequency_hz", "hz"),
    **{
        f"{group + shift}.7.0".encode(): (name.format(phase), dimension)
        for phase, shift in (("l1", 0), ("l2", 20), ("l3", 40))
        for group, name, dimension in (
            (36, "power_{}_w", "w"),
            (21, "power_import_{}_w", "w"),
            (22, "power_export_{}_w", "w"),
            (31, "current_{}_a", "a"),
            (32, "voltage_{}_v", "v"),
        )
    },
}
_CODES = {name: code.decode("ascii") for code, (name, _) in _OBJECTS.items()}
_NET = {
    "power_w": ("power_import_w", "power_export_w"),
    **{f"power_{p}_w": (f"power_import_{p}_w", f"power_export_{p}_w") for p in ("l1", "l2", "l3")},
}
# Where a meter tells its number, the best first. C.1.0 is the short name of 96.1.0.
# 96.1.1 is where P1 text tells it.
_IDS = (b"96.1.0", b"C.1.0", b"0.0.0", b"96.1.255", b"96.1.1")

QUANTITIES = frozenset(
    name for name in (*(name for name, _ in _OBJECTS.values()), *_NET) if not name.startswith("_")
)
"""Every quantity that may come out of a data block."""

_DATA_SET = re.compile(
    rb"(?<![0-9A-Za-z.:*&-])(?:(?P<medium>\d{1,3})-(?P<channel>\d{1,3}):)?"
    rb"(?P<code>[0-9CFL]\d{0,2}\.\d{1,3}(?:\.\d{1,3})?)(?:\*255)?\((?P<value>[^()\r\n]{0,128})\)"
)
# The length is bounded so that a float holds it exactly.
_NUMBER = re.compile(rb" *([+-]?)(\d{1,12})(?:\.(\d{0,8}))? *\*? *([A-Za-z]*) *")


@dataclass(frozen=True, slots=True)
class Values:
    """What a data block says: quantities of `drivers.sample.QUANTITIES`, and the meter's own serial
    number where it tells it.

    `steps_wh` has the step of each energy register, as its decimals tell it. `lacks_unit` is true
    where energy registers came without a unit, and the profile names none. `unused` are the ids of
    the data sets that are no quantity, or whose value cannot be read.
    """

    quantities: Mapping[str, float]
    serial_number: str | None
    steps_wh: Mapping[str, float]
    lacks_unit: bool = False
    unused: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    """Energy totals that hold tariffs beyond the fourth (see `Reading`)."""


class _Number(NamedTuple):
    """raw × 10^power in the quantity's own unit."""

    raw: int
    power: int

    @property
    def value(self) -> float:
        """As near as a float gets."""
        return float(self.raw * 10**self.power) if self.power >= 0 else self.raw / 10**-self.power


def read_values(block: bytes, energy_unit: EnergyUnit | None = None) -> Values:
    """The values of one data block (seven-bit text).

    An energy total is the meter's own (x.8.0) or, without one, the sum of the tariff registers in
    the same block. Power is 16.7.0 or, of meters that lack it, 1.7.0 less 2.7.0; alone, 1.7.0 has a
    sign. So it is with each phase.
    """
    found: dict[str, _Number] = {}
    broken: set[str] = set()
    lacks_unit = False
    ids: dict[bytes, str] = {}
    unused: list[bytes] = []
    for match in _DATA_SET.finditer(block):
        medium, code, text = match["medium"], match["code"], match["value"]
        if code.count(b".") == 1:
            code += b".0"
        behind = medium == b"0" and match["channel"] != b"0"  # a meter on this meter's M-Bus
        if code in _IDS and not behind:
            plain = text.strip().decode("latin-1")
            if plain.isascii() and plain.isprintable() and plain:
                ids.setdefault(code, plain)
        elif (known := _OBJECTS.get(code)) is not None and medium in (None, b"1"):
            name, dimension = known
            number = _number(text, dimension, energy_unit)
            lacks_unit |= (
                number is None and dimension == "wh" and _number(text, dimension, "Wh") is not None
            )
            if number is None or found.setdefault(name, number) != number:
                broken.add(name)  # unreadable, or there twice with different values
                unused.append(code)
        else:
            unused.append(code)
    for name in broken:
        found.pop(name, None)
    widened = _add_totals(found, broken)
    found = {name: number for name, number in found.items() if not name.startswith("_")}
    quantities = {name: number.value for name, number in found.items()}
    for net, (plus, minus) in _NET.items():
        if net not in found and net not in broken and minus not in broken and plus in found:
            quantities[net] = round(quantities[plus] - quantities.get(minus, 0.0), 6)
            if minus not in found:
                del quantities[plus]  # alone it has a sign: it is not the import's
    steps_wh = {name: 10.0**number.power for name, number in found.items() if name.endswith("_wh")}
    return Values(
        quantities,
        next((ids[code] for code in _IDS if code in ids), None),
        steps_wh,
        lacks_unit,
        tuple(code.decode("ascii") for code in unused),
        widened,
    )


def id_of(quantity: str) -> str:
    """The short OBIS id of a quantity."""
    return _CODES.get(quantity, quantity)


def _number(text: bytes, dimension: str, energy_unit: EnergyUnit | None) -> _Number | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, unit = match.groups(b"")
    if not unit and dimension == "wh" and energy_unit is not None:
        unit = energy_unit.encode("ascii")
    found, power = _UNITS.get(unit.lower(), (None, 0))
    if found != dimension or (sign == b"-" and dimension not in _SIGNED):
        return None
    raw = int(whole + fraction)
    return _Number(-raw if sign == b"-" else raw, power - len(fraction))


def _add_totals(found: dict[str, _Number], broken: set[str]) -> tuple[str, ...]:
    """Totals that the meter does not tell itself, exact. Returns which of them are widened."""
    raws = {name: number.raw for name, number in found.items()}
    widened = []
    for total, names in TOTALS.items():
        present = [found[name] for name in names if name in found]
        if present and total not in found and broken.isdisjoint((total, *names)):
            power = min(number.power for number in present)
            found[total] = _Number(
                sum(number.raw * 10 ** (number.power - power) for number in present), power
            )
            if is_widened((name for name in names if name in raws), raws):
                widened.append(total)
    return tuple(widened)
