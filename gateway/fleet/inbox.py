"""What has come from the broker and is not stored yet: live before backlog, and never more than so
many bytes. Pure.

The broker was told at once that everything came. What finds no room here is dropped: nobody has
said that it is stored, and its gateway sends it again.
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
    bytes: int = 0
    statuses: dict[str, Status] = field(default_factory=dict)
    """What gateways said last of themselves, by site."""
    _live: deque[Delivered] = field(default_factory=deque)
    _backlog: deque[Delivered] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._live) + len(self._backlog)

    def put(self, delivered: Delivered, *, live: bool) -> None:
        """Keep it, if there is room. What is live takes the place of backlog."""
        while live and self._backlog and self.bytes + delivered.bytes > self.max_bytes:
            self.bytes -= self._backlog.pop().bytes
            self.dropped += 1
        if self.bytes + delivered.bytes > self.max_bytes:
            self.dropped += 1
            return
        (self._live if live else self._backlog).append(delivered)
        self.bytes += delivered.bytes

    def take(self) -> Delivered | None:
        """The next one, or None."""
        queue = self._live or self._backlog
        if not queue:
            return None
        delivered = queue.popleft()
        self.bytes -= delivered.bytes
        return delivered
