"""How much comes on a line: no meter says megabytes. Pure."""

import msgspec

WINDOW_S = 10.0

MAX_BYTES = 1 << 20
"""In `WINDOW_S`. The fastest serial line behind an adapter brings a tenth of it."""

MAX_PIECES = 5000
"""Datagrams in `WINDOW_S`. A house full of meters that speak to a group sends some hundreds."""


class Intake(msgspec.Struct):
    """What has come in the window that began at `since_s` (the loop's time)."""

    came_bytes: int = 0
    pieces: int = 0
    since_s: float = 0.0

    def take(self, size: int, now_s: float) -> None:
        """So many bytes came in one piece."""
        if now_s - self.since_s > WINDOW_S:
            self.came_bytes, self.pieces, self.since_s = 0, 0, now_s
        self.came_bytes += size
        self.pieces += 1

    @property
    def is_flood(self) -> bool:
        """Whether that is more than any meter says."""
        return self.came_bytes > MAX_BYTES or self.pieces > MAX_PIECES

    def __str__(self) -> str:
        return f"{self.came_bytes / 1024:.0f} KiB within {WINDOW_S:g} s"
