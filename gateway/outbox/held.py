"""What an exchange says that it holds, slot by slot. Pure.

The exchange's documentation names the address to ask and not the form of the answer, so these are
understood, each with an energy in kWh (or in Wh, where the key ends with `_Wh`) and a time that is
the slot's start, in UTC where it names no zone:

    [{"time": "2026-03-29T01:00", "energy_kWh": 0.125}, …]           a list of slots
    {"2026-03-29T01:00": {"energy_kWh": 0.125, …}, …}                slots by time
    {"2026-03-29T01:00": 0.125, …}                                   kWh by time
    {"results": …}                                                   one of these, wrapped

`_TIMES`, `_ENERGIES_UWH` and `_WRAPPERS` are the keys that are known; capitals do not matter. What
is left over is not looked at.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from gateway.outbox.dialect import Reply
from gateway.outbox.http_replies import parsed

_TIMES = (
    "time",
    "time_slot",
    "market_slot",
    "slot",
    "start",
    "start_time",
    "timestamp",
    "datetime",
)
_UWH_PER_KWH, _UWH_PER_WH = 10**9, 10**6
_ENERGIES_UWH: Mapping[str, int] = {
    "energy_measurement_kwh": _UWH_PER_KWH,
    "energy_measurement": _UWH_PER_KWH,
    "measurement_kwh": _UWH_PER_KWH,
    "measurement": _UWH_PER_KWH,
    "energy_kwh": _UWH_PER_KWH,
    "energy_wh": _UWH_PER_WH,
    "energy": _UWH_PER_KWH,
}
"""Keys of an energy and their unit; the first that is there counts."""
_WRAPPERS = ("results", "result", "data", "measurements", "energy_measurement", "slots", "profile")
_MAX_WRAPPERS = 3
_MAX_ENERGY_UWH = 10**18
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)


def held_uwh(reply: Reply) -> dict[int, int] | None:
    """Energy (µWh) by start of the slot (Unix time); a slot that is not in it is not held. None
    where the reply does not say.
    """
    return _slots(parsed(reply.body), _MAX_WRAPPERS) if 200 <= reply.status < 300 else None


def _slots(data: object, wrappers: int) -> dict[int, int] | None:
    if isinstance(data, list):
        rows: Iterator[tuple[object, object]] = ((_value(row, _TIMES), row) for row in data)
    elif isinstance(data, dict):
        inner = next(
            (
                data[key]
                for key in data
                if key.lower() in _WRAPPERS and isinstance(data[key], (list, dict))
            ),
            None,
        )
        if inner is not None:
            return _slots(inner, wrappers - 1) if wrappers else None
        rows = iter(data.items())
    else:
        return None
    found: dict[int, int] = {}
    understood = not data
    for time, row in rows:
        slot_s = slot_start_s(time)
        energy = _energy(row) if isinstance(row, dict) else (row, _UWH_PER_KWH)
        if slot_s is None or energy is None:
            continue
        understood = True
        uwh = uwh_of(*energy)
        if uwh is not None:
            found[slot_s] = uwh
    return found if understood else None


def _energy(row: Mapping[str, object]) -> tuple[object, int] | None:
    """The energy of a slot and its unit in µWh; None where the exchange does not speak of one."""
    lower = {key.lower(): value for key, value in row.items()}
    return next(((lower[key], uwh) for key, uwh in _ENERGIES_UWH.items() if key in lower), None)


def _value(row: object, keys: tuple[str, ...]) -> object:
    if not isinstance(row, dict):
        return None
    lower = {key.lower(): value for key, value in row.items()}
    return next((lower[key] for key in keys if key in lower), None)


def uwh_of(value: object, uwh_per_unit: int) -> int | None:
    """A number, or a number as text, in whole µWh."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float, str))
        or len(str(value)[:41]) > 40
    ):
        return None
    try:
        # By way of the shortest text of a float: the decimal number that was sent.
        number = Decimal(str(value)) * uwh_per_unit
    except ArithmeticError:  # decimal.InvalidOperation, decimal.Overflow
        return None
    return round(number) if number.is_finite() and abs(number) <= _MAX_ENERGY_UWH else None


def slot_start_s(time: object) -> int | None:
    """Start of the slot, Unix time; UTC where it names no zone. None where it is no time."""
    if not isinstance(time, str) or len(time) > 40 or not _TIME.fullmatch(time):
        return None
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
