"""Local days of a community, and their slots. Pure."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo

MAX_SLOTS = 1_500
"""Of a day: a slot of a minute has 1,440, and 1,500 where the clocks are put back."""


def bounds_s(day: date, zone: tzinfo) -> tuple[int, int]:
    """When a local day begins and ends, Unix time: 23, 24 or 25 hours later."""
    return _begin_s(day, zone), _begin_s(day + timedelta(days=1), zone)


def _begin_s(day: date, zone: tzinfo) -> int:
    return int(datetime.combine(day, time(), zone).timestamp())


def day_of(at_s: float, zone: tzinfo) -> date:
    """The local day of that time."""
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone).date()


def day_from(text: str) -> date | None:
    """A day as an address has it: 2026-11-28; None where it is none, or far away."""
    try:
        found = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None
    return found if found is not None and 2000 <= found.year < 2200 else None


def slots_between(start_s: int, end_s: int, slot_s: int) -> int:
    """How many slots there are from one time to another."""
    return min(max((end_s - start_s) // slot_s, 1), MAX_SLOTS)


def spread(
    pairs: Sequence[tuple[int, int | None]], start_s: int, slot_s: int, slots: int
) -> list[int | None]:
    """(slot, value) → a list with a value for each slot of the day."""
    found: list[int | None] = [None] * slots
    for at_s, value in pairs:
        n = (at_s - start_s) // slot_s
        if 0 <= n < slots:
            found[n] = value
    return found
