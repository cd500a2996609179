"""What the simulated exchange has booked, and what it tells of it later. Pure."""

import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from gateway.delivery.simulated.engine_clock import EngineClock

KEPT_S = 90 * 86_400
"""The exchange forgets its results after 90 days."""
SETTLED_S = 3600
"""It settles what was measured until so long after a slot's start."""
MAX_HISTORY = 100_000
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Booking:
    """One number that was booked."""

    at_s: float
    """When it arrived, Unix time of the exchange."""
    what: str
    """`measurement`, `forecast` or `undated`."""
    asset: UUID
    slot_s: int
    energy_uwh: int
    before_uwh: int | None
    """What it replaced."""
    settles: bool = True
    """Whether it came while its slot was still being settled. A later measurement is taken as
    well, and changes nothing that anybody can see.
    """


class Books:
    """What was booked, in µWh by asset and start of the slot (Unix time).

    What is booked during a slot is applied when the next one begins, and only then told to who
    reads back; after 90 days it is forgotten. The newest `max_history` bookings are kept one by
    one; None keeps all.
    """

    def __init__(
        self, assets: Iterable[UUID], clock: EngineClock, max_history: int | None = MAX_HISTORY
    ) -> None:
        self._clock = clock
        self.began_s = clock.slot_at(clock.now_s())
        """The first slot of the simulation."""
        assets = list(assets)
        self.measurements: dict[UUID, dict[int, int]] = {asset: {} for asset in assets}
        self.forecasts: dict[UUID, dict[int, int]] = {asset: {} for asset in assets}
        self.undated: dict[UUID, dict[int, int]] = {asset: {} for asset in assets}
        self.held: dict[UUID, dict[int, int]] = {asset: {} for asset in assets}
        """What it has applied and tells who reads back. A test may change it, as a fault of the
        exchange would.
        """
        self.booked: Counter[tuple[str, UUID, int]] = Counter()
        """How often each (what, asset, slot) was booked; what is `measurement`, `forecast` or
        `undated`.
        """
        self.history: deque[Booking] = deque(maxlen=max_history)
        """Everything that was booked, in the order in which it arrived."""
        self.late: set[tuple[UUID, int]] = set()
        """Measurements, by asset and slot, of which a number came after the slot was settled."""
        self.dropped: Counter[str] = Counter()
        """Numbers that were answered well and not booked, by kind."""
        self.fresh: deque[tuple[int, UUID, int, int]] = deque()
        """What was booked and is not applied yet: start of the slot that applies it, asset, slot,
        µWh.
        """

    def book_undated(self, asset: UUID, energy_uwh: int) -> None:
        """A number without a time is booked to the slot that comes next."""
        next_s = self._clock.next_slot_s()
        self._book("undated", asset, next_s, energy_uwh, applied_s=next_s)

    def book_dated(self, kind: str, asset: UUID, energy_uwh: Mapping[int, int | None]) -> None:
        """Numbers by slot, None where one was not a number. A measurement of a slot that has not
        begun, and a forecast of one that has, is dropped without a word.
        """
        before_s = self._clock.taken_before_s()
        for slot_s, uwh in energy_uwh.items():
            if uwh is not None and (slot_s < before_s) == (kind == "measurement"):
                self._book(kind, asset, slot_s, uwh, applied_s=before_s)
            else:
                self.dropped[kind] += 1

    def told(self, asset: UUID, start_s: int, end_s: int) -> list[tuple[int, int]]:
        """What it holds of the slots from `start_s` on that begin before `end_s`."""
        now_s = self._clock.now_s()
        while self.fresh and self.fresh[0][0] <= now_s:
            _, of, slot_s, uwh = self.fresh.popleft()
            self.held.setdefault(of, {})[slot_s] = uwh
        return _between(self.held.get(asset, {}), max(start_s, int(now_s) - KEPT_S), end_s)

    def forecast(self, asset: UUID, start_s: int, end_s: int) -> list[tuple[int, int]]:
        """What was forecast of the slots that have begun, from `start_s` on, that begin before
        `end_s`.
        """
        now_s = int(self._clock.now_s())
        told = self.forecasts.get(asset, {})
        return _between(told, max(start_s, now_s - KEPT_S), min(end_s, now_s))

    def _book(self, what: str, asset: UUID, slot_s: int, energy_uwh: int, applied_s: int) -> None:
        kept = {
            "measurement": self.measurements,
            "forecast": self.forecasts,
            "undated": self.undated,
        }[what].setdefault(asset, {})
        settles = applied_s - self._clock.slot_s < slot_s + SETTLED_S or what != "measurement"
        if not settles:
            self.late.add((asset, slot_s))
        now_s = self._clock.right_s(self._clock.now_s())
        before_uwh = kept.get(slot_s)
        self.history.append(
            Booking(now_s, what, asset, slot_s, energy_uwh, before_uwh, settles=settles)
        )
        kept[slot_s] = energy_uwh
        self.booked[what, asset, slot_s] += 1
        if what != "forecast":
            self.fresh.append((applied_s, asset, slot_s, energy_uwh))


def _between(held: Mapping[int, int], start_s: int, end_s: int) -> list[tuple[int, int]]:
    return sorted((slot_s, uwh) for slot_s, uwh in held.items() if start_s <= slot_s < end_s)


def moment(text: object) -> int:
    """A time as the engine reads it, Unix seconds: UTC, to the minute or the second, and no zone.
    Raises ValueError.
    """
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise ValueError(f"{text!r} is not a time of the form YYYY-MM-DDTHH:mm")
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def slot_text(slot_s: int, length_s: int) -> str:
    """Its start as the exchange writes it."""
    form = "%Y-%m-%dT%H:%M" if length_s % 60 == 0 else "%Y-%m-%dT%H:%M:%S"
    return datetime.fromtimestamp(slot_s, UTC).strftime(form)
