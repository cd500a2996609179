"""How a line or a meter fails: counted, waited for, and logged once until it works again. Pure."""

import msgspec

from gateway.timing.backoff import Backoff

HOUR_MINUTES = 60


class Failures(msgspec.Struct):
    """Failures since start, and those in a row."""

    backoff: Backoff
    count: int = 0
    last: str = ""
    last_s: float | None = None
    """When that was, Unix time."""
    logged: bool = False
    """Whether the log has said that it fails."""
    _by_minute: dict[int, int] = msgspec.field(default_factory=dict)
    """How often it failed in each of the last minutes in which it did; `HOUR_MINUTES` at most."""

    @property
    def in_a_row(self) -> int:
        """How often it was waited for since it last worked."""
        return self.backoff.failures

    def note(self, text: str, now_s: float, count: int = 1) -> None:
        """Something failed."""
        self.count += count
        self.last, self.last_s = text, now_s
        minute = int(now_s // 60)
        self._by_minute[minute] = self._by_minute.get(minute, 0) + count
        if len(self._by_minute) > HOUR_MINUTES:
            del self._by_minute[min(self._by_minute)]

    def within_hour(self, now_s: float) -> int:
        """How often it failed in the hour before, to the minute."""
        minute = int(now_s // 60)
        recent = range(minute - HOUR_MINUTES + 1, minute + 1)
        return sum(count for at, count in self._by_minute.items() if at in recent)

    def fail(self, text: str, now_s: float) -> float:
        """It failed; how long to wait before it is tried again, in seconds."""
        self.note(text, now_s)
        return self.backoff.fail()

    def works(self) -> None:
        """It works again."""
        self.logged = False
        self.backoff.succeed()
