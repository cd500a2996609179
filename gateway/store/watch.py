"""Whether the files that we have open are still those under their names, whole.

SQLite goes on with a file that was deleted, replaced or emptied, and commits into nowhere. So
before each transaction the files are looked at: which they are, and how large. Only what has
changed in a way that our own writing does not explain costs more than three calls of `stat`.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from gateway.store.errors import is_damage
from gateway.store.file import FILES, connect_as_it_is

_READ_WHOLE_BYTES = 16 << 20
"""Of a larger file only the size is compared: reading all of it would keep meters waiting."""


class _Seen(NamedTuple):
    """One file as it was last seen."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    def is_same_file(self, found: "_Seen | None") -> bool:
        return found is not None and (self.device, self.inode) == (found.device, found.inode)


class Watch:
    """Keeps an eye on the files of one buffer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Named once, and plainly: they are looked at with each transaction.
        self._files = {suffix: f"{path}{suffix}" for suffix in FILES}
        self._seen: dict[str, _Seen | None] = dict.fromkeys(FILES)

    def note(self) -> None:
        """What lies there now is ours."""
        self._seen = {suffix: self._found(suffix) for suffix in FILES}

    @property
    def is_as_noted(self) -> bool:
        """Whether file and log are still what they were when they were noted."""
        return all(self._seen[suffix] == self._found(suffix) for suffix in FILES[:2])

    def note_commit(self) -> None:
        """We have written, and may have moved the log into the file by that."""
        for suffix in FILES[:2]:
            seen, found = self._seen[suffix], self._found(suffix)
            if seen is None or seen.is_same_file(found):
                self._seen[suffix] = found

    def gone(self) -> str:
        """What has become of the files that we have open; empty where they are there."""
        changed = [
            self._path.name + suffix
            for suffix, seen in self._seen.items()
            if seen is not None and not seen.is_same_file(self._found(suffix))
        ]
        if not changed:
            return ""

        text = f"{', '.join(changed)} was deleted or replaced while it was open"
        seen = self._seen[""]
        if seen is not None and self._device_of_folder() not in (None, seen.device):
            text += "; its folder is on another file system now — was one mounted or unmounted?"
        return text

    def written_by_others(self) -> bool:
        """Whether another hand has written to the files: a person's command, or somebody who
        emptied them, or wrote something else into them.
        """
        file, log = self._seen[""], self._seen["-wal"]
        found_file, found_log = self._found(""), self._found("-wal")
        moved = (
            file is not None
            and found_file is not None
            and (file.size, file.mtime_ns) != (found_file.size, found_file.mtime_ns)
        )
        shorter = log is not None and found_log is not None and found_log.size < log.size
        return moved or shorter

    def damage(self) -> str:
        """What is wrong with the files under their names; empty where they can be read. Raises
        sqlite3.Error where nobody can say.
        """
        found, log = self._found(""), self._found("-wal")
        if found is None or not found.size:
            # Not even for a look may SQLite open this one: it would delete the log beside it.
            return f"{self._path.name} was emptied while it was open"

        text = f"{self._path.name} was cut off or written over while it was open"
        try:
            # Without its log: the log may hold the first page, too, and hide what is below it.
            self._ask("immutable=1", "PRAGMA schema_version")

            pages = self._ask("mode=ro", "PRAGMA page_count")
            page_bytes = self._ask("mode=ro", "PRAGMA page_size")
            if found.size + (log.size if log else 0) < pages * page_bytes:
                return text
            if found.size > _READ_WHOLE_BYTES:
                return ""
            answer = self._ask("mode=ro", "PRAGMA quick_check(1)")
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            return f"{text} ({error})"
        return "" if answer == "ok" else f"{text} ({answer})"

    def _ask(self, how: str, question: str) -> Any:
        """What SQLite says of the files that lie there now. Raises sqlite3.Error."""
        db = connect_as_it_is(self._path, how)
        try:
            return db.execute(question).fetchone()[0]
        finally:
            db.close()

    def _found(self, suffix: str) -> _Seen | None:
        try:
            status = os.stat(self._files[suffix])  # noqa: PTH116 — a Path takes twice as long
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return self._seen[suffix]  # nobody can say; we still have it open
        return _Seen(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def _device_of_folder(self) -> int | None:
        try:
            return self._path.parent.stat().st_dev
        except OSError:
            return None
