"""What lines of a P1 telegram tell other than the electricity: the meter's number and time, the
tariff, the month's peak, and the meters on its M-Bus. Pure.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from datetime import date

import msgspec

from drivers.p1.numbers import NUMBER, scaled
from drivers.p1.obis import MBUS, MBUS_READINGS

Id = tuple[bytes, bytes]  # A-B, C.D.E
_READING = re.compile(rb"\((\d{12}[SWsw]?)\)\( *" + NUMBER + rb"\s*$")  # (time)(value*unit)
_OLD_READING = re.compile(
    rb"\((\d{12})\)(?:\([^()]*\)){0,4}\(([A-Za-z0-9\xb3]{1,3})\)\s*\( "
    rb"*(-?\d{1,12})(?:\.(\d{0,6}))? *\)\s*$"
)
_ACE_READING = re.compile(
    rb"\( *" + NUMBER + rb"\((\d\d)-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\)\s*$"
)  # (value*unit)(YY-MM-DD hh:mm:ss)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NEVER = (b"000101", b"700101")  # the date of a meter, or an M-Bus slot, that never was set
_AHEAD_S = 86400  # an M-Bus meter whose time is further ahead of the telegram's has a wrong clock


class Values(msgspec.Struct, frozen=True):
    """What a telegram says: quantities of `drivers.sample.QUANTITIES`, and what the meter tells of
    itself.

    `meter_utc_s` is the meter's own clock as a Unix time, None where it does not tell it, was never
    set, or does not say whether it is summer time.
    """

    quantities: Mapping[str, float]
    serial_number: str | None
    meter_utc_s: int | None = None
    widened: tuple[str, ...] = ()
    """Energy totals that hold tariffs beyond the fourth (see `Reading`)."""


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


def told(ids: Iterable[Id], all_brackets: Iterable[bytes], utc_offset_h: float) -> Values:
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
        if code in MBUS_READINGS:
            readings.append((channel, code, brackets))
        elif code == b"24.1.0":
            kind = MBUS.get(int(text)) if text.isdigit() and len(text) <= 3 else None
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
        kind = MBUS[3] if code == b"23.1.0" else kinds.get(channel)
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
    value = scaled(whole, fraction, unit, dimension)
    return None if utc_s is None or value is None else (utc_s, value)


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
