"""Room on the disk that is kept for slots and what is owed: a file beside the buffer, given up when
the disk is full.

While it is gone, samples are thinned before they are written; it is made again, and all is as
before, when the disk has room for it twice.
"""

import contextlib
import os
from pathlib import Path

RESERVE_BYTES = 8 << 20
"""The write-ahead log (4 MB, twice while it is rewritten), and a week of slots of ten meters."""

REFUSED_BYTES = 256 << 10
"""So much more room than when it last refused makes it worth while to try a full disk again."""


class Reserve:
    """The reserve of one buffer."""

    def __init__(self, path: Path, size_bytes: int = RESERVE_BYTES) -> None:
        """`path` is the buffer's."""
        self._path = path.with_name(path.name + ".reserve")
        self._size_bytes = size_bytes
        self._refused_bytes = 0
        """What was free on the disk when it last refused."""

    @property
    def held(self) -> bool:
        """Whether it is there."""
        try:
            return self._path.stat().st_size >= self._size_bytes
        except OSError:
            return False

    @property
    def free_bytes(self) -> int:
        """What the disk has room for; 0 where there is no folder."""
        try:
            found = os.statvfs(self._path.parent)
        except OSError:
            return 0
        return found.f_bavail * found.f_frsize

    @property
    def lacks_room(self) -> bool:
        """Whether the disk has no room for it."""
        return self._path.parent.is_dir() and self.free_bytes < 2 * self._size_bytes

    def take(self) -> bool:
        """Make it, where the disk has room; returns whether it is there."""
        if self.held:
            return True
        try:
            if self.free_bytes < 2 * self._size_bytes:
                return False
            number = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o640)
        except OSError:
            return False
        try:
            os.posix_fallocate(number, 0, self._size_bytes)
        except OSError:
            self.give_up()
            return False
        finally:
            os.close(number)
        return True

    def give_up(self) -> bool:
        """Give its room to the disk; returns whether there was some."""
        was_there = self._path.exists()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        return was_there

    def note_refusal(self) -> None:
        """The disk has refused, even without the reserve."""
        self._refused_bytes = self.free_bytes

    @property
    def is_worth_a_try(self) -> bool:
        """Whether the disk has noticeably more room than when it last refused."""
        return self.free_bytes > self._refused_bytes + REFUSED_BYTES
