"""What has come from the broker and is not stored yet: live before backlog, and never more than so
many bytes. Pure.

The broker was told at once that everything came. What finds no room here is dropped: nobody has
said that it is stored, and its gateway sends it again.

A gateway has one message of its backlog under way. A second one is the first one again, and takes
its place: otherwise what was sent again while the database was away would be worked off first, for
longer than the next resending takes.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.outbox.fleet.messages import Status

MAX_BYTES = 24_000_000
"""Of payloads as they came. Ten thousand live messages have 14 MB."""

_OVERHEAD_BYTES = 300
"""More than a waiting message takes beside its payload."""


class Delivered(NamedTuple):
    """A message as it came from the broker."""

    site: str
    payload: bytes
    at_s: float
    """Unix time."""

    @property
    def bytes(self) -> int:
        """What it takes of memory."""
        return len(self.payload) + _OVERHEAD_BYTES


@dataclass(slots=True)
class Inbox:
    """Two queues."""

    max_bytes: int = MAX_BYTES
    dropped: int = 0
    """Messages for which there was no room."""
    replaced: int = 0
    """Messages that came again while they waited."""
    bytes: int = 0
    statuses: dict[str, Status] = field(default_factory=dict)
    """What gateways said last of themselves, by site."""
    _live: deque[Delivered] = field(default_factory=deque)
    _backlog: dict[str, Delivered] = field(default_factory=dict)
    """By site, in the order in which they came first."""

    def __len__(self) -> int:
        return len(self._live) + len(self._backlog)

    def put(self, delivered: Delivered, *, live: bool) -> None:
        """Keep it, if there is room. What is live takes the place of backlog."""
        if not live and (before := self._backlog.get(delivered.site)) is not None:
            self.bytes -= before.bytes
            self.replaced += 1
        while live and self._backlog and self.bytes + delivered.bytes > self.max_bytes:
            self.bytes -= self._backlog.popitem()[1].bytes
            self.dropped += 1
        if self.bytes + delivered.bytes > self.max_bytes:
            self.dropped += 1
            if not live:
                self._backlog.pop(delivered.site, None)
            return
        if live:
            self._live.append(delivered)
        else:
            self._backlog[delivered.site] = delivered
        self.bytes += delivered.bytes

    def take(self) -> Delivered | None:
        """The next one, or None."""
        if self._live:
            delivered = self._live.popleft()
        elif self._backlog:
            delivered = self._backlog.pop(next(iter(self._backlog)))
        else:
            return None
        self.bytes -= delivered.bytes
        return delivered
