"""Waiting longer after each failure, with jitter and a cap, so that what fails is not hammered and
comes back by itself. Pure.
"""

from collections.abc import Callable

import msgspec


class Backoff(msgspec.Struct):
    """The waits after failures in a row: between `certain` and the whole of `first_s`, doubled each
    time, up to `cap_s`.
    """

    first_s: float
    cap_s: float
    jitter: Callable[[], float]
    """A random number in [0, 1)."""
    certain: float = 0.5
    """The part of each wait that is not left to chance."""
    failures: int = 0

    def fail(self) -> float:
        """Note a failure; how long to wait now, in seconds."""
        whole_s = min(self.cap_s, self.first_s * (1 << min(self.failures, 30)))
        self.failures += 1
        return whole_s * (self.certain + (1 - self.certain) * self.jitter())

    def succeed(self) -> None:
        """Begin anew."""
        self.failures = 0
