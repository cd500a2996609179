"""The values of a P1 telegram: pure, one regex pass, exact in Wh.

A data line is `A-B:C.D.E(value*unit)`, with further values in brackets of their own (IEC 62056-61 ids; DSMR 5.0.2 P1 companion standard,
6.4–6.12; DSMR 2.2 P1, 4). What is measured follows from C.D.E of medium A = 1 (electricity); 0-n lines are M-Bus channel n. Units are
taken from the telegram, never assumed: relatives of DSMR send Wh for kWh. An unreadable field is left out, and so is everything that
would be computed from it.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

TARIFFS = range(1, 5)

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

# C.D.E of medium 1 → (quantity, dimension)
_ELECTRICITY: Mapping[bytes, tuple[str, str]] = {
    b"1.8.0": ("energy_import_wh", "wh"),
    b"2.8.0": ("energy_export_wh", "wh"),
    **{f"1.8.{n}".encode(): (f"energy_import_t{n}_wh", "wh") for n in TARIFFS},
    **{f"2.8.{n}".encode(): (f"energy_export_t{n}_wh", "wh") for n in TARIFFS},
    b"3.8.0": ("reactive_energy_import_varh", "varh"),
    b"4.8.0": ("reactive_energy_export_varh", "varh"),
    b"1.7.0": ("power_import_w", "w"),
    b"2.7.0": ("power_export_w", "w"),
    b"1.4.0": ("demand_import_w", "w"),
    b"14.7.0": ("frequency_hz", "hz"),
    **{
        f"{group + shift}.7.0".encode(): (name.format(phase), dimension)
        for phase, shift in (("l1", 0), ("l2", 20), ("l3", 40))
        for group, name, dimension in (
            (21, "power_import_{}_w", "w"),
            (22, "power_export_{}_w", "w"),
            (31, "current_{}_a", "a"),
            (32, "voltage_{}_v", "v"),
        )
    },
}
_SIGNED = {"w", "a"}  # a register or a voltage below zero is a broken field

# M-Bus device type (EN 13757-3) → (quantity, dimension)
_MBUS: Mapping[int, tuple[str, str]] = {3: ("gas_m3", "m3"), 4: ("heat_gj", "gj"), 7: ("water_m3", "m3")}

_NET = {
    "power_w": ("power_import_w", "power_export_w"),
    **{f"power_{p}_w": (f"power_import_{p}_w", f"power_export_{p}_w") for p in ("l1", "l2", "l3")},
}
_TOTALS = {d: (f"energy_{d}_wh", tuple(f"energy_{d}_t{n}_wh" for n in TARIFFS)) for d in ("import", "export")}

QUANTITIES = frozenset(
    {name for name, _ in _ELECTRICITY.values()} | {name for name, _ in _MBUS.values()} | set(_NET) | {"tariff"},
)
"""Every quantity that may come out of a telegram."""

# A number and its unit: `*` may be missing, blanks may stand before the bracket. The length is bounded so that a float holds it exactly.
_NUMBER = rb"(-?)(\d{1,12})(?:\.(\d{0,6}))? *\*? *([A-Za-z][A-Za-z0-9\xb3]*|) *\)"
_LINE = re.compile(
    rb"(?<=[\r\n])(?:"
    rb"1-\d{1,3}:(\d{1,2}\.[478]\.\d)(?:\*255)?\((?: *" + _NUMBER + rb")?([^\r\n]*)"  # 1: C.D.E  2–5: the number  6: what follows it
    rb"|0-(\d{1,2}):(24\.\d\.\d|96\.1\.1|42\.0\.0|96\.14\.0)(?:\*255)?(\([^\r\n]*(?:\r?\n\([^\r\n]*)?)"  # 7: channel  8: C.D.E  9: brackets
    rb")"
)
_READING = re.compile(rb"\((\d{12})[SWsw]?\)\( *" + _NUMBER + rb"\s*$")  # (time)(value*unit)
_OLD_READING = re.compile(rb"\((\d{12})\)(?:\([^()]*\)){0,4}\(([A-Za-z0-9\xb3]{1,3})\)\s*\( *(-?)(\d{1,12})(?:\.(\d{0,6}))? *\)\s*$")
_TIME = re.compile(rb"\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\d")
_NEVER = b"000101"  # the date of a meter, or an M-Bus slot, that never was set


@dataclass(frozen=True, slots=True)
class Values:
    """What a telegram says: quantities of `drivers.sample.QUANTITIES`, and the meter's own serial number where it tells it."""

    quantities: Mapping[str, float]
    serial_number: str | None


def read_values(raw: bytes, tariffs: Collection[int] = ()) -> Values:
    """The values of one telegram (from its `/` to its `!`).

    An energy total is the meter's own (x.8.0) or, without one, the sum of the tariff registers in the same telegram; of all of
    `tariffs` at least: where one of them is missing or unreadable, there is no total.
    """
    found: dict[str, float] = {}
    broken: set[str] = set()
    network: list[tuple[bytes, bytes, bytes]] = []
    for code, sign, whole, fraction, unit, rest, channel, code0, brackets in _LINE.findall(raw):
        if channel:
            network.append((channel, code0, brackets))
            continue
        known = _ELECTRICITY.get(code)
        if known is None:
            continue
        name, dimension = known
        value = _scaled(sign, whole, fraction, unit, dimension) if whole and not rest.strip() else None
        if value is None or found.setdefault(name, value) != value:
            broken.add(name)  # unreadable, or there twice with different values
    for name in broken:
        found.pop(name, None)
    _add_totals(found, broken, tariffs)
    for name, (plus, minus) in _NET.items():
        if plus in found and minus in found:
            found[name] = round(found[plus] - found[minus], 3)
    serial_number = _add_network(network, found)
    return Values(found, serial_number)


def _add_totals(found: dict[str, float], broken: set[str], tariffs: Collection[int]) -> None:
    for total, names in _TOTALS.values():
        if total in found or total in broken or not broken.isdisjoint(names):
            continue
        present = [found[name] for name in names if name in found]
        if present and all(names[n - 1] in found for n in tariffs):
            found[total] = sum(present)


def _add_network(lines: list[tuple[bytes, bytes, bytes]], found: dict[str, float]) -> str | None:
    """Adds what the 0-n lines say (tariff, gas, water, heat); returns the meter's serial number."""
    ids: dict[bytes, str] = {}
    kinds: dict[bytes, tuple[str, str]] = {}
    latest: dict[str, bytes] = {}
    for channel, code, brackets in lines:
        if code == b"24.1.0":
            kind = _MBUS.get(int(digits)) if (digits := brackets.strip().strip(b"()")).isdigit() and len(digits) <= 3 else None
            if kind is not None:
                kinds[channel] = kind
        elif channel == b"0":
            text = brackets.strip()[1:-1]
            if code == b"96.14.0":
                if text.isdigit() and len(text) <= 4:
                    found["tariff"] = float(text)
            elif serial_number := _as_text(text):
                ids.setdefault(code, serial_number)
    for channel, code, brackets in lines:
        # The channel of a meter tells nothing: gas may be on any, and a replaced meter may still be listed. The latest reading counts.
        if channel in kinds and code in (b"24.2.1", b"24.2.3", b"24.3.0"):
            name, dimension = kinds[channel]
            reading = _mbus_reading(brackets, dimension)
            if reading is not None and reading[0] >= latest.get(name, b""):
                latest[name], found[name] = reading
    return ids.get(b"96.1.1") or ids.get(b"42.0.0")


def _mbus_reading(brackets: bytes, dimension: str) -> tuple[bytes, float] | None:
    """(time as written, value) of an M-Bus line; None for an empty slot, which has an impossible time or no unit."""
    if match := _READING.match(brackets):
        time, sign, whole, fraction, unit = match.groups(b"")
    elif match := _OLD_READING.match(brackets):  # 2.2 and 3.0: (time)(status)(60)(1)(0-1:24.2.1)(m3), the value on the next line
        time, unit, sign, whole, fraction = match.groups(b"")
    else:
        return None
    if not _TIME.fullmatch(time) or time.startswith(_NEVER):
        return None
    value = _scaled(sign, whole, fraction, unit, dimension)
    return None if value is None else (time, value)


def _scaled(sign: bytes, whole: bytes, fraction: bytes, unit: bytes, dimension: str) -> float | None:
    """The number in the quantity's own unit, as near as a float gets (a whole number of Wh exactly); None where the unit is another's."""
    found, power = _UNITS.get(unit.lower(), (None, 0))
    if found != dimension or (sign and dimension not in _SIGNED):
        return None
    number = int(whole + fraction)
    power -= len(fraction)
    value = float(number * 10**power) if power >= 0 else number / 10**-power
    return -value if sign and value else value


def _as_text(text: bytes) -> str | None:
    """An equipment id: the standards write its ASCII characters in hex; some meters write them plainly."""
    try:
        plain = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        plain = text
    for candidate in (plain, text):
        decoded = candidate.strip().decode("latin-1")
        if 0 < len(decoded) <= 96 and decoded.isascii() and decoded.isprintable():
            return decoded
    return None
