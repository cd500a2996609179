"""How a line or a meter fails: counted, waited for, and logged once until it works again. Pure."""

from dataclasses import dataclass

from gateway.timing.backoff import Backoff


@dataclass(slots=True)
class Failures:
    """Failures since start, and those in a row."""

    backoff: Backoff
    count: int = 0
    last: str = ""
    last_s: float | None = None
    """When that was, Unix time."""
    logged: bool = False
    """Whether the log has said that it fails."""

    @property
    def in_a_row(self) -> int:
        """How often it was waited for since it last worked."""
        return self.backoff.failures

    def note(self, text: str, now_s: float, count: int = 1) -> None:
        """Something failed."""
        self.count += count
        self.last, self.last_s = text, now_s

    def fail(self, text: str, now_s: float) -> float:
        """It failed; how long to wait before it is tried again, in seconds."""
        self.note(text, now_s)
        return self.backoff.fail()

    def works(self) -> None:
        """It works again."""
        self.logged = False
        self.backoff.succeed()
