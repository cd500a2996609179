"""What is owed for slots that have not begun: a clock that was ahead has dated it. Shell.

Their windows open when these slots have truly passed, and the numbers would be sent as theirs. So
what waits of them is given up once the clock has come back, and at a start. It is said, and a
person may have it sent all the same.

Which of the two clocks was right, nobody knows for sure where only an operator answers for it. If
the clock goes forward again as far as it went back, it was the former, and what was given up is
owed again.
"""

import logging
from collections.abc import Sequence

from gateway.energy.slot import Event
from gateway.outbox.item import Item
from gateway.store.buffer import Buffer
from gateway.timing.clock import Clock
from gateway.timing.utc import utc_minutes

log = logging.getLogger(__name__)

REASON = (
    "its slot had not begun when this machine's clock was put right: a clock that was ahead dated "
    "it, and it is of another time"
)
_STEP_S = 1.0
"""Less is a correction, which moves no slot into the time to come."""


class SetBack:
    """Looks after what is owed, whenever the clock has gone back."""

    def __init__(self, buffer: Buffer, clock: Clock, slot_s: int) -> None:
        self._buffer = buffer
        self._clock = clock
        self._slot_s = slot_s
        self._stood_s: float | None = None
        """How far our time had been moved when it was looked at last; None: not yet."""
        self._back_s = 0.0
        """How far it went back when something was given up, and what that was."""
        self._given_up: Sequence[Item] = ()

    def look(self) -> None:
        """To be done when all that was closed is written. Raises StoreError; it is looked again
        then.
        """
        moved_s = self._clock.moved_s
        by_s = -_STEP_S if self._stood_s is None else moved_s - self._stood_s
        if by_s <= -_STEP_S:
            self._give_up(by_s)
        elif by_s >= _STEP_S and self._given_up and abs(by_s + self._back_s) <= self._slot_s:
            self._owe_again()
        self._stood_s = moved_s

    def _give_up(self, by_s: float) -> None:
        now_s = self._clock.now_s()
        items = self._buffer.not_begun(now_s, self._slot_s)
        if not items:
            return
        count = self._buffer.give_up(items, REASON, now_s)
        self._back_s, self._given_up = by_s, items

        starts = [item.slot_s for item in items]
        since = utc_minutes(min(starts)).replace(" ", "T")
        until = utc_minutes(max(starts) + self._slot_s)
        self._tell(
            f"{count} numbers were owed for slots from {utc_minutes(min(starts))} to {until}, "
            "which have not begun yet: a clock that was ahead dated them. They are given up, and "
            "are not sent when these slots have passed. If that clock was right, and this one is "
            f"not: set it, and meter-gateway outbox retry --state missed --since {since}"
        )

    def _owe_again(self) -> None:
        count = self._buffer.retry(self._given_up)
        self._given_up = ()
        self._tell(
            f"the clock is where it was before it was set back: {count} numbers that were "
            "given up then are owed again"
        )

    def _tell(self, text: str) -> None:
        log.warning("%s", text)
        self._buffer.note(Event(round(self._clock.now_s() * 1000), "", "clock", text))
