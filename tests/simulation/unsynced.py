"""What a simulated disk holds that is not synced yet, and what a power cut makes of it."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

SECTOR_BYTES = 512


class Record:
    """What is not synced yet of one file."""

    __slots__ = ("inode", "lost", "path", "sectors", "size", "sizes")

    def __init__(self, path: str, inode: int, size: int) -> None:
        self.path = path
        self.inode = inode
        self.size = size
        self.sizes: list[int] = []
        """The sizes it had since its last sync, before this one."""
        self.sectors: dict[int, list[bytes]] = {}
        """The contents its sectors had since then, before this one. What lies beyond the end of the
        file is missing in them.
        """
        self.lost: dict[int, list[bytes]] = {}
        """The same of sectors that a failed sync did not save: the kernel takes them for clean, so
        no later sync will.
        """

    @property
    def is_unsynced(self) -> bool:
        return bool(self.sectors or self.lost or self.sizes)

    def in_place(self) -> bool:
        """Whether its name still means this file: Python may have renamed it."""
        path = Path(self.path)
        return path.exists() and path.stat().st_ino == self.inode

    def synced(self) -> None:
        self.sectors.clear()
        self.sizes.clear()

    def not_synced(self) -> None:
        for sector, contents in self.sectors.items():
            self.lost[sector] = self.lost.get(sector, []) + contents
        self.sectors.clear()

    def changed(self, first: int, before: bytes, count: int) -> None:
        """Keep what was in `count` sectors from the first one on, as much of it as there was."""
        sectors, lost = self.sectors, self.lost
        for n in range(count):
            content = before[n * SECTOR_BYTES : (n + 1) * SECTOR_BYTES]
            if first + n in sectors:
                sectors[first + n].append(content)
            else:
                sectors[first + n] = [*lost.pop(first + n, ()), content]

    def resized(self, size: int) -> None:
        if size != self.size:
            self.sizes.append(self.size)
            self.size = size

    def rewind(self, fd: int, rng: Random, survive: float) -> None:
        """Put back what a power cut leaves of it. `fd` is a copy of the file as it was last
        written.
        """
        unsynced = {**self.lost, **self.sectors}
        now = os.fstat(fd).st_size
        size = rng.choice(self.sizes) if self.sizes and rng.random() >= survive else now
        noise = rng.random() < 0.25
        for sector in sorted(unsynced):
            contents = [*unsynced[sector], os.pread(fd, SECTOR_BYTES, sector * SECTOR_BYTES)]
            n = len(contents) - 1 if rng.random() < survive else rng.randrange(len(contents) - 1)
            content = contents[n]
            if n < len(contents) - 1 and rng.random() < 0.125:
                content = _torn(content, contents[n + 1], rng)
            # What was cut off is there again where the cutting off was lost.
            for earlier in reversed(contents[:n]):
                content += earlier[len(content) :]
            room = min(SECTOR_BYTES, size - sector * SECTOR_BYTES)
            if room > 0:
                missing = max(room - len(content), 0)
                content += rng.randbytes(missing) if noise else bytes(missing)
                os.pwrite(fd, content[:room], sector * SECTOR_BYTES)
        os.ftruncate(fd, size)
        self.synced()
        self.lost.clear()


class Deleted:
    """A file as it was when it was deleted."""

    def __init__(self, path: Path, record: Record | None) -> None:
        self.content = path.read_bytes()
        self.mode = path.stat().st_mode
        self.record = record


class Unsynced:
    """Everything of a folder that is not synced."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.records: dict[str, Record] = {}
        """By the path of the file."""
        self.entries: dict[str, list[Deleted | None]] = {}
        """What the folder held under a name since it was synced, before what it holds now."""
        self.abandoned: dict[str, Record] = {}
        """Files that abandoned connections have open."""

    def sync_folder(self, path: str) -> None:
        """The folder in which this file lies is synced."""
        folder = Path(path).parent
        self.entries = {
            path: before for path, before in self.entries.items() if Path(path).parent != folder
        }

    def cut_power(self, rng: Random, survive: float) -> None:
        """Lose of it what a power cut loses; `survive` is the share of changes that stays."""
        for path, record in self.records.items():
            if record.is_unsynced and record.in_place():
                self.abandoned[path] = record
        self.move_on(lambda record: partial(record.rewind, rng=rng, survive=survive))
        for path in sorted(self.entries):
            if rng.random() >= survive:
                self._put_back(path, rng.choice(self.entries[path]), rng, survive)
        self.entries.clear()
        self.records.clear()
        for memory in Path(self._folder).rglob("*-shm"):
            memory.unlink()

    def move_on(self, change: Callable[[Record], Callable[[int], None] | None]) -> None:
        """Put copies in the place of the files that abandoned connections have open."""
        for path in sorted(self.abandoned):
            record = self.abandoned.pop(path)
            if record.in_place():
                record.inode = _replace(Path(path), change(record))
            # The first to open a database makes its log's index anew, and the old one is still
            # mapped into memory.
            if (memory := Path(f"{path}-shm")).exists():
                _replace(memory)

    def _put_back(self, path: str, former: Deleted | None, rng: Random, survive: float) -> None:
        """Let a name mean what it meant before its folder was last changed."""
        Path(path).unlink(missing_ok=True)
        if former is not None:
            with Path(path).open("w+b") as file:
                file.write(former.content)
                file.flush()
                os.fchmod(file.fileno(), former.mode)
                if former.record is not None:
                    former.record.rewind(file.fileno(), rng, survive)


def _replace(path: Path, change: Callable[[int], None] | None = None) -> int:
    """Put a copy, changed by who is given its descriptor, in a file's place: who has the file open
    does not see it. Returns its inode.
    """
    copy = Path(f"{path}.copy")
    shutil.copyfile(path, copy)
    copy.chmod(path.stat().st_mode)
    if change is not None:
        with copy.open("r+b") as file:
            change(file.fileno())
    # On its own name rather than over the old one, which file systems take for a wish to have it
    # synced.
    path.unlink()
    copy.rename(path)
    return path.stat().st_ino


def _torn(before: bytes, after: bytes, rng: Random) -> bytes:
    """A sector on its way from one content to the next, begun at either end."""
    before, after = before.ljust(len(after), b"\0"), after + before[len(after) :]
    cut = rng.randrange(len(after) + 1)
    return after[:cut] + before[cut:] if rng.random() < 0.5 else before[:cut] + after[cut:]
