"""A typical week of an asset, made of what was measured in the weeks before. Pure.

Each slot of it is the median of what was measured at that time of day, on the site's clocks, on
weekdays (Monday to Friday) or at weekends. A median is not moved by one evening with guests, and
its day has less energy than the average, as a rule: what is rare has no place in it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from statistics import median

WEEKS = 4
"""So many weeks are looked at."""
LEAST = 3
"""So many measured slots of a time of day are needed at least to say what is typical of it."""
_SATURDAY = 5

_Time = tuple[bool, int]
"""Whether it is a weekend, and the second of the day."""


@dataclass(frozen=True, slots=True)
class TypicalWeek:
    """Of one asset. Energies are µWh."""

    slots: Mapping[int, int]
    """By start, Unix time."""
    open_s: list[int] = field(default_factory=list)
    """The starts of slots of which too little was measured."""


class Measured:
    """What was measured of one asset, by the time of day."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._found: dict[_Time, list[int]] = {}
        self.count = 0
        self.total_uwh = 0

    def add(self, start_s: int, energy_uwh: int) -> None:
        """One slot."""
        self._found.setdefault(self._time(start_s), []).append(energy_uwh)
        self.count += 1
        self.total_uwh += energy_uwh

    def week(self, starts_s: Iterable[int]) -> TypicalWeek:
        """What is typical of these slots."""
        slots: dict[int, int] = {}
        open_s: list[int] = []
        for start_s in starts_s:
            found = self._found.get(self._time(start_s), [])
            if len(found) >= LEAST:
                slots[start_s] = round(median(found))
            else:
                open_s.append(start_s)
        return TypicalWeek(slots, open_s)

    def _time(self, start_s: int) -> _Time:
        at = datetime.fromtimestamp(start_s, UTC).astimezone(self._zone)
        second = at.hour * 3600 + at.minute * 60 + at.second
        return at.weekday() >= _SATURDAY, second


def days_of(week: TypicalWeek, day_s: int) -> Iterator[tuple[int, bool]]:
    """Its days of UTC, and whether each is whole."""
    lying = {start_s // day_s for start_s in week.open_s}
    for day in sorted({start_s // day_s for start_s in (*week.slots, *week.open_s)}):
        yield day * day_s, day not in lying
