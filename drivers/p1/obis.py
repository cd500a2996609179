"""The values of a P1 telegram: pure, one regex pass, exact in Wh.

A data line is `A-B:C.D.E(value*unit)`, with further values in brackets of their own (IEC 62056-61 ids; DSMR 5.0.2 P1 companion standard,
6.4–6.12; DSMR 2.2 P1, 4; eMUCS-P1 2.1.1). What is measured follows from C.D.E of medium A = 1 (electricity); 0-n lines are M-Bus
channel n. Units are taken from the telegram, never assumed: relatives of DSMR send Wh for kWh. An unreadable field is left out, and so is
everything that would be computed from it.
"""

import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

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
_MINUS = ord("-")
_TENS = tuple(10**n for n in range(7))

ELECTRICITY: Mapping[bytes, tuple[str, str]] = {
    b"1.8.0": ("energy_import_wh", "wh"),
    b"2.8.0": ("energy_export_wh", "wh"),
    **{f"1.8.{n}".encode(): (f"energy_import_t{n}_wh", "wh") for n in TARIFFS},
    **{f"2.8.{n}".encode(): (f"energy_export_t{n}_wh", "wh") for n in TARIFFS},
    b"3.8.0": ("reactive_energy_import_varh", "varh"),
    b"4.8.0": ("reactive_energy_export_varh", "varh"),
    b"1.7.0": ("power_import_w", "w"),
    b"2.7.0": ("power_export_w", "w"),
    b"1.4.0": ("demand_import_w", "w"),
    b"16.7.0": ("power_w", "w"),
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
"""C.D.E of medium 1 → (quantity, dimension). A quantity that begins with `_` is only part of one."""
_SIGNED = {"w", "a", ""}  # a register or a voltage below zero is a broken field
# C.D.E and the unit as meters spell it → (quantity, factor, may be negative): the quick way for nearly every line
_SPELLED = (b"kWh", b"kW", b"Wh", b"W", b"V", b"A", b"kVArh", b"kVAr", b"kvarh", b"kvar", b"varh", b"var", b"Hz", b"")
_READY: Mapping[bytes, tuple[str, int, bool]] = {
    code + unit: (name, 10 ** _UNITS[unit.lower()][1], dimension in _SIGNED)
    for code, (name, dimension) in ELECTRICITY.items()
    for unit in _SPELLED
    if _UNITS[unit.lower()][0] == dimension
}

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
_MBUS_READINGS = frozenset({b"24.2.1", b"24.2.3", b"24.3.0", b"24.3.1"})

_PHASES = ("l1", "l2", "l3")
_TOTAL_POWERS = frozenset({"power_w", "power_import_w", "power_export_w"})
_PHASE_POWERS = tuple((f"power_{p}_w", f"power_import_{p}_w", f"power_export_{p}_w") for p in _PHASES)
# (what is left, of what, less what)
_NET = (
    ("power_w", "power_import_w", "power_export_w"),
    *_PHASE_POWERS,
    ("reactive_power_var", "_reactive_import_var", "_reactive_export_var"),
    *((f"reactive_power_{p}_var", f"_reactive_import_{p}_var", f"_reactive_export_{p}_var") for p in _PHASES),
)
_PARTS = tuple(name for _, *names in _NET for name in names if name.startswith("_"))  # that no reading holds, only their difference
_TOTALS = tuple((f"energy_{d}_wh", tuple(f"energy_{d}_t{n}_wh" for n in TARIFFS)) for d in ("import", "export"))

QUANTITIES = frozenset(
    {name for name, _ in [*ELECTRICITY.values(), *_MBUS.values()]} | {name for name, *_ in _NET} | {"tariff", "demand_import_max_w"},
) - frozenset(_PARTS)
"""Every quantity that may come out of a telegram."""

# A number and its unit: `*` may be missing, blanks may stand before the bracket. The length is bounded so that a float holds it exactly.
# Possessive (`+` after a repetition): what has matched is not tried again in other ways, which would find nothing and cost half the time.
_NUMBER = rb"(-?\d{1,12}+)(?:\.(\d{0,6}+))?+ *+\*?+ *+([A-Za-z][A-Za-z0-9\xb3]*+|) *+\)"
# A value may stand on the line after its id (2.2: gas), which then begins with the bracket.
_LINE = re.compile(
    rb"\n(?:"
    # 1: C.D.E  2–4: the number, where there is nothing else in the line
    rb"1-\d{1,3}+:(\d{1,2}+\.[478]\.\d)(?:\*255)?+(?:\r?\n)?+\((?: *+" + _NUMBER + rb"[ \t]*+(?=[\r\n]|\Z))?+"
    rb"|(0-\d{1,2}|1-\d{1,3}|7-0):(24\.\d\.\d|96\.1\.[01]|42\.0\.0|96\.14\.0|1\.0\.0|1\.6\.0|23\.1\.0)(?:\*255)?"  # 5: A-B  6: C.D.E
    rb"(\([^\r\n]*+(?:\r?\n\([^\r\n]*+)?+)"  # 7: all brackets
    rb")"
)
_READING = re.compile(rb"\((\d{12}[SWsw]?)\)\( *" + _NUMBER + rb"\s*$")  # (time)(value*unit)
_OLD_READING = re.compile(rb"\((\d{12})\)(?:\([^()]*\)){0,4}\(([A-Za-z0-9\xb3]{1,3})\)\s*\( *(-?\d{1,12})(?:\.(\d{0,6}))? *\)\s*$")
_ACE_READING = re.compile(rb"\( *" + _NUMBER + rb"\((\d\d)-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\)\s*$")  # (value*unit)(YY-MM-DD hh:mm:ss)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NEVER = (b"000101", b"700101")  # the date of a meter, or an M-Bus slot, that never was set
_AHEAD_S = 86400  # an M-Bus meter whose time is further ahead of the telegram's has a wrong clock


@dataclass(frozen=True, slots=True)
class Values:
    """What a telegram says: quantities of `drivers.sample.QUANTITIES`, and what the meter tells of itself.

    `meter_utc_s` is the meter's own clock as a Unix time, None where it does not tell it, was never set, or does not say whether it is
    summer time.
    """

    quantities: Mapping[str, float]
    serial_number: str | None
    meter_utc_s: int | None = None


def read_values(raw: bytes, tariffs: Collection[int] = (), utc_offset_h: float = 1) -> Values:
    """The values of one telegram (from its `/` to its `!`).

    An energy total is the meter's own (x.8.0) or, without one, the sum of the tariff registers in the same telegram; of all of
    `tariffs` at least: where one of them is missing or unreadable, there is no total. `utc_offset_h` is what the meter's clock is ahead
    of UTC in winter.
    """
    found: dict[str, float] = {}
    broken: set[str] = set()
    others: list[tuple[bytes, bytes, bytes]] = []
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")  # something on the way rewrote the line ends
    end = len(raw) - raw.endswith(b"!")  # which may stand on the last value's line
    for code, whole, fraction, unit, channel, other, brackets in _LINE.findall(raw, 0, end):
        if channel:
            others.append((channel, other, brackets))
            continue
        ready = _READY.get(code + unit)
        if ready is not None and whole:
            name, factor, signed = ready
            value: float | None = int(whole + fraction) * factor / _TENS[len(fraction)]
            if not signed and whole[0] == _MINUS:
                value = None
        elif (known := ELECTRICITY.get(code)) is not None:
            name, dimension = known
            value = _scaled(whole, fraction, unit, dimension) if whole else None
        else:
            continue
        if value is None or found.setdefault(name, value) != value:
            broken.add(name)  # unreadable, or there twice with different values
    for name in broken:
        found.pop(name, None)
    _add_totals(found, broken, tariffs)
    _add_net_powers(found, broken)
    serial_number, meter_utc_s = _add_others(others, found, utc_offset_h)
    return Values(found, serial_number, meter_utc_s)


def utc_of(stamp: bytes, utc_offset_h: float) -> int | None:
    """The Unix time of `YYMMDDhhmmssX`; None where it is impossible or that of a clock never set.

    X alone tells the offset: W is the country's offset in winter, S an hour more (DSMR 5.0.2 P1, 6.4). Calendars do not: Nordic meters send
    W all year. Without X (DSMR 2.2) it counts as W.
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


def _add_totals(found: dict[str, float], broken: set[str], tariffs: Collection[int]) -> None:
    for total, names in _TOTALS:
        if total in found or total in broken or not broken.isdisjoint(names):
            continue
        present = [found[name] for name in names if name in found]
        if present and (not tariffs or all(names[n - 1] in found for n in tariffs)):
            found[total] = sum(present)


def _add_net_powers(found: dict[str, float], broken: set[str]) -> None:
    """Import less export; in all, where the meter does not tell it, as the sum of its phases."""
    for name, plus, minus in _NET:
        if plus in found and minus in found:
            net = found[plus] - found[minus]
            found[name] = net if net.is_integer() else round(net, 3)
    if "power_w" not in found and _TOTAL_POWERS.isdisjoint(found) and _TOTAL_POWERS.isdisjoint(broken):
        told = [(net, *parts) for net, *parts in _PHASE_POWERS if any(part in found or part in broken for part in parts)]
        if told and all(net in found for net, *_ in told):
            found["power_w"] = round(sum(found[net] for net, *_ in told), 3)
    if not found.keys().isdisjoint(_PARTS):
        for name in _PARTS:
            found.pop(name, None)


def _add_others(lines: list[tuple[bytes, bytes, bytes]], found: dict[str, float], utc_offset_h: float) -> tuple[str | None, int | None]:
    """Adds the tariff, the month's peak and what M-Bus meters tell; returns the meter's serial number and its time."""
    ids: dict[bytes, str] = {}
    kinds: dict[bytes, tuple[str, str]] = {}
    meter_utc_s = None
    for channel, code, brackets in lines:
        text = brackets.strip()[1:-1]
        if code == b"24.1.0":
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
            ids.setdefault(code, serial_number)
    _add_mbus(lines, kinds, found, utc_offset_h, meter_utc_s)
    return ids.get(b"96.1.1") or ids.get(b"42.0.0") or ids.get(b"96.1.0"), meter_utc_s


def _add_mbus(
    lines: list[tuple[bytes, bytes, bytes]],
    kinds: Mapping[bytes, tuple[str, str]],
    found: dict[str, float],
    utc_offset_h: float,
    meter_utc_s: int | None,
) -> None:
    """Of several meters of a kind the one with the latest reading counts: the channel tells only the order in which they came.

    A replaced meter may still be listed, and a time far ahead is that of a wrong clock: it counts where there is no other.
    """
    latest: dict[str, tuple[int, bytes]] = {}
    for channel, code, brackets in lines:
        kind = kinds.get(channel) if code in _MBUS_READINGS else _MBUS[3] if code == b"23.1.0" else None
        if kind is None:
            continue
        name, dimension = kind
        if (reading := _timed(code, brackets, dimension, utc_offset_h)) is not None:
            utc_s, value = reading
            ahead = meter_utc_s is not None and utc_s > meter_utc_s + _AHEAD_S
            rank = (0 if ahead else utc_s, channel)
            if rank >= latest.get(name, (0, b"")):
                latest[name], found[name] = rank, value


def _timed(code: bytes, brackets: bytes, dimension: str, utc_offset_h: float) -> tuple[int, float] | None:
    """(Unix time, value) of a reading with a time; None for an empty slot, which has an impossible time or no unit."""
    if code == b"23.1.0":  # ACE4000: the value first
        if not (match := _ACE_READING.match(brackets)):
            return None
        whole, fraction, unit, *digits = match.groups(b"")
        stamp = b"".join(digits)
    elif match := _READING.match(brackets):
        stamp, whole, fraction, unit = match.groups(b"")
    elif match := _OLD_READING.match(brackets):  # 2.2 and 3.0: (time)(status)(60)(1)(0-1:24.2.1)(m3), the value on the next line
        stamp, unit, whole, fraction = match.groups(b"")
    else:
        return None
    utc_s = utc_of(stamp, utc_offset_h)
    value = _scaled(whole, fraction, unit, dimension)
    return None if utc_s is None or value is None else (utc_s, value)


def _scaled(whole: bytes, fraction: bytes, unit: bytes, dimension: str) -> float | None:
    """The number in the quantity's own unit, as near as a float gets (a whole number of Wh exactly); None where the unit is another's."""
    found, power = _UNITS.get(unit.lower(), (None, 0))
    if found != dimension or (whole[0] == _MINUS and dimension not in _SIGNED):
        return None
    value: float = int(whole + fraction) * _TENS[power] / _TENS[len(fraction)]
    return value


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
