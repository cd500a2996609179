"""How much a line is used: open or not, busy, turns that fell out. Pure; times are the event
loop's.
"""

from collections import deque

import msgspec

STRANGERS_LINE_S = 3600.0
"""Frames of another master are counted, and spoken of at most once in this time."""

BUSY_S = 60.0
"""Time over which it is counted how busy a line is."""


class LineUse(msgspec.Struct):
    """The use of one line."""

    opened_s: float | None = None
    """Since when it is open; None while it is not."""
    skipped: int = 0
    """Turns that fell out because the line was not free in time."""
    strangers: int = 0
    """Frames since start that nobody here has asked for."""
    _strangers_now: int = 0
    """Of these, on the line as it is open now."""
    _told_s: float | None = None
    """When they were spoken of last."""
    _turns: deque[tuple[float, float]] = msgspec.field(default_factory=deque)
    """When each turn of the last `BUSY_S` ended, and how long it took."""

    def heard(self, strangers: int, now_s: float) -> bool:
        """How many such frames came since the line was opened; returns whether to speak of it."""
        since = self._strangers_now if strangers >= self._strangers_now else 0
        self.strangers += strangers - since
        self._strangers_now = strangers
        if strangers == since:
            return False
        if self._told_s is not None and now_s - self._told_s < STRANGERS_LINE_S:
            return False
        self._told_s = now_s
        return True

    def used(self, began_s: float, ended_s: float) -> None:
        """A turn is over."""
        if ended_s <= began_s:
            return
        self._turns.append((ended_s, ended_s - began_s))
        while self._turns[0][0] < ended_s - BUSY_S:
            self._turns.popleft()

    def busy(self, now_s: float) -> float | None:
        """The share of the last minute in which the line was in use, 0 to 1; None before that is
        known.
        """
        if self.opened_s is None:
            return None
        since_s = max(now_s - BUSY_S, self.opened_s)
        if now_s <= since_s:
            return None

        used_s = sum(
            min(took_s, ended_s - since_s) for ended_s, took_s in self._turns if ended_s > since_s
        )
        return min(1.0, used_s / (now_s - since_s))
