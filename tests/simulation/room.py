"""The room on a simulated disk, as SQLite, Python and the system speak of it."""

import errno
import os
from pathlib import Path
from typing import Any


class Room:
    """How much the files of a folder may hold together."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.capacity_bytes: int | None = None
        """None is more than anybody needs."""
        self._asked = os.statvfs, os.posix_fallocate

    @property
    def full(self) -> bool:
        """Files cannot grow beyond what the folder holds now; what is deleted in it, by anybody,
        makes room again.
        """
        return self.capacity_bytes is not None

    @full.setter
    def full(self, full: bool) -> None:
        self.capacity_bytes = self._used_bytes() if full else None

    def has(self, grows: int) -> bool:
        """Whether files can grow by so many bytes."""
        return self.capacity_bytes is None or self._used_bytes() + grows <= self.capacity_bytes

    def watch(self) -> None:
        """From now on the system says of this room what SQLite finds there."""
        self._asked = os.statvfs, os.posix_fallocate
        os.statvfs, os.posix_fallocate = self._statvfs, self._fallocate

    def leave(self) -> None:
        """The system answers for itself again."""
        os.statvfs, os.posix_fallocate = self._asked

    def _used_bytes(self) -> int:
        return sum(path.stat().st_size for path in Path(self._folder).rglob("*") if path.is_file())

    def _statvfs(self, path: int | str | bytes | os.PathLike[Any]) -> os.statvfs_result:
        """As `os.statvfs`, and a full disk says so."""
        found = self._asked[0](path)
        if self.capacity_bytes is None or not self._holds(path):
            return found
        blocks = max(self.capacity_bytes - self._used_bytes(), 0) // found.f_frsize
        return os.statvfs_result((*found[:3], blocks, blocks, *found[5:], found.f_fsid))

    def _fallocate(self, fd: int, offset: int, length: int) -> None:
        """As `os.posix_fallocate`, and a full disk has no room."""
        grows = offset + length - os.fstat(fd).st_size
        if grows > 0 and self._holds(fd) and not self.has(grows):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._asked[1](fd, offset, length)

    def _holds(self, path: int | str | bytes | os.PathLike[Any]) -> bool:
        real = os.path.realpath(
            f"/proc/self/fd/{path}" if isinstance(path, int) else os.fsdecode(path)
        )
        return real == self._folder or real.startswith(self._folder + os.sep)
