"""When a destination that fails is tried again. Times are the loop's.

The next try waits for a random part of 1, 2, 4 … 60 seconds; where the destination said how long
to wait, for that long. A slot that has just closed is tried at once, whatever the waiting, unless
the destination asked for silence: once per slot.
"""

from collections.abc import Callable
from math import inf

from gateway.outbox.schedule import Allowed
from gateway.timing.backoff import Backoff

BACKOFF_S = 1.0
MAX_BACKOFF_S = 60.0
MAX_RETRY_AFTER_S = 3600.0


class Patience:
    """One destination's. `jitter` gives random numbers from 0 to 1."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._backoff = Backoff(BACKOFF_S, MAX_BACKOFF_S, jitter, certain=0.0)
        self.retry_at_s = -inf
        """When the next try is due."""
        self._silent_until_s = -inf
        """The destination asked for silence until then."""
        self._failed_s = -inf
        """When it failed last."""
        self._tried_boundary_s = 0
        """The slot boundary after which a just closed slot was tried in spite of the waiting."""

    @property
    def failures(self) -> int:
        """In a row."""
        return self._backoff.failures

    def allows(self, loop_s: float, boundary_s: int) -> Allowed:
        """What may go now. `boundary_s` is the newest slot boundary, Unix time."""
        if loop_s >= self.retry_at_s:
            return "all"
        if loop_s < self._silent_until_s or self._tried_boundary_s >= boundary_s:
            return "nothing"
        return "just_closed"

    def spend_the_try(self, boundary_s: int) -> None:
        """The slot that closed at that boundary is tried in spite of the waiting."""
        self._tried_boundary_s = boundary_s

    def is_answered_by(self, sent_loop_s: float) -> bool:
        """Whether a word on what was sent then says that it does not fail any more."""
        return sent_loop_s >= self._failed_s

    def fail(self, loop_s: float, after_s: float | None = None) -> None:
        """Note a failure; `after_s` is how long the destination asks to be left alone."""
        self._failed_s = loop_s
        wait_s = self._backoff.fail()
        if after_s is not None:
            wait_s = max(wait_s, min(after_s, MAX_RETRY_AFTER_S))
            self._silent_until_s = loop_s + wait_s
        self.retry_at_s = loop_s + wait_s

    def wait(self, loop_s: float, within_s: float | None) -> None:
        """Whether it still fails is known then."""
        self.retry_at_s = max(self.retry_at_s, loop_s + (within_s or 0.0))

    def succeed(self) -> None:
        """Note a verdict."""
        self._backoff.succeed()
        self.retry_at_s = self._silent_until_s = -inf
