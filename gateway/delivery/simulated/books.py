"""What the simulated exchange has booked, and what it tells of it later."""

import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from gateway.delivery.simulated.answers import Refused

KEPT_S = 90 * 86_400
"""The exchange forgets its results after 90 days."""
MAX_HISTORY = 100_000


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


class Books:
    """What was booked, in µWh by asset and start of the slot (Unix time).

    What is booked during a slot is applied when the next one begins, and only then told to who
    reads back; after 90 days it is forgotten. The newest `max_history` bookings are kept one by
    one; None keeps all.
    """

    def __init__(
        self,
        assets: Iterable[UUID],
        slot_s: int,
        now: Callable[[], float],
        max_history: int | None = MAX_HISTORY,
    ) -> None:
        assets = list(assets)
        self._slot_s = slot_s
        self._now = now
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
        self.dropped: Counter[str] = Counter()
        """Numbers that were answered with 200 and not booked, by kind."""
        self.fresh: deque[tuple[int, UUID, int, int]] = deque()
        """What was booked and is not applied yet: start of the slot that applies it, asset, slot,
        µWh.
        """

    def book_undated(self, asset: UUID, energy_uwh: int) -> None:
        """A number without a time is booked to the slot that comes next."""
        self._book("undated", asset, self._next_slot_s(), energy_uwh)

    def book_dated(self, kind: str, asset: UUID, slot_s: int, energy_uwh: int) -> None:
        """A measurement of a slot that is not over, or a forecast of one that is, is dropped
        without a word.
        """
        is_over = slot_s + self._slot_s <= self._now()
        if is_over == (kind == "measurement"):
            self._book(kind, asset, slot_s, energy_uwh)
        else:
            self.dropped[kind] += 1

    def told(self, asset: UUID, start_s: int, end_s: int) -> list[tuple[int, int]]:
        """What it holds of the slots from `start_s` on that begin before `end_s`."""
        while self.fresh and self.fresh[0][0] <= self._now():
            _, of, slot_s, uwh = self.fresh.popleft()
            self.held[of][slot_s] = uwh
        start_s = max(start_s, int(self._now()) - KEPT_S)
        held = self.held[asset].items()
        return sorted((slot_s, uwh) for slot_s, uwh in held if start_s <= slot_s < end_s)

    def _book(self, what: str, asset: UUID, slot_s: int, energy_uwh: int) -> None:
        kept = {
            "measurement": self.measurements,
            "forecast": self.forecasts,
            "undated": self.undated,
        }[what][asset]
        booking = Booking(self._now(), what, asset, slot_s, energy_uwh, kept.get(slot_s))
        self.history.append(booking)
        kept[slot_s] = energy_uwh
        self.booked[what, asset, slot_s] += 1
        if what != "forecast":
            self.fresh.append((self._next_slot_s(), asset, slot_s, energy_uwh))

    def _next_slot_s(self) -> int:
        return math.floor(self._now() / self._slot_s + 1) * self._slot_s


def slot_at(text: str, length_s: int) -> int:
    """The slot that starts then, Unix time. Raises Refused where `text` is not such a start, in
    exactly the format of the exchange.
    """
    whole_minutes = length_s % 60 == 0
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d" + ("" if whole_minutes else r":\d\d")
    if not re.fullmatch(pattern, text, re.ASCII):
        form = f"YYYY-MM-DDTHH:mm{'' if whole_minutes else ':ss'}"
        raise Refused(400, f"{text!r} is not a time of the form {form}")
    try:
        slot_s = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise Refused(400, f"{text!r} is not a time") from None
    if slot_s % length_s:
        raise Refused(400, f"{text!r} is not the start of a slot")
    return slot_s


def slot_text(slot_s: int, length_s: int) -> str:
    """Its start as the exchange writes it."""
    form = "%Y-%m-%dT%H:%M" if length_s % 60 == 0 else "%Y-%m-%dT%H:%M:%S"
    return datetime.fromtimestamp(slot_s, UTC).strftime(form)
