"""A start that fails under systemd: said in a few lines, shown by `systemctl status`, and tried
again without anybody's help.

The first time the process ends with an error, as in a terminal: `systemctl start` says so at once.
systemd then starts it again, every few seconds and for ever, which would fill the journal. So a
start that fails as the one before did stays, and waits: until a file of the configuration changes,
or a while has passed. What is wrong is shown as its status meanwhile, and logged once an hour.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from gateway.monitoring.watchdog import Watchdog
from gateway.store.mounts import own_mounts

log = logging.getLogger(__name__)

LOOK_S = 2.0
"""How often it is looked whether a file has changed."""
FIRST_WAIT_S = 10.0
MOST_WAIT_S = 60.0
"""The start is tried again after so long, even where no file has changed: a disk may be back. The
waits double, from the first to the longest one.
"""
SAY_AGAIN_S = 3600.0
"""How often the log is told that the start still fails."""
KINDS = frozenset((".yaml", ".yml", ".credentials", ".key", ".crt", ".pem"))
"""How the files are called that are looked at: there may be others beside them, such as the buffer,
that change all the time.
"""
MOST_FILES = 1000
"""So many of them are looked at."""


class FailingStart:
    """What becomes of starts that fail, one after the other."""

    def __init__(
        self, folder: Path, watchdog: Watchdog, environ: Mapping[str, str] = os.environ
    ) -> None:
        """`folder`: the configuration."""
        self._folder = folder
        self._watchdog = watchdog
        self._note = note_path("failed-start", environ)
        self._is_passed_credentials = bool(environ.get("CREDENTIALS_DIRECTORY"))
        self._stays = False
        """Whether this process waits, whatever goes wrong from here on."""
        self._said = ""
        self._said_s = 0.0
        self._wait_s = FIRST_WAIT_S
        self._seen = _state_of(folder)
        self._read_only = {mount.point for mount in own_mounts() if not mount.can_be_written}

    def look(self) -> None:
        """The configuration is read now: what changes from here on is news."""
        self._seen = _state_of(self._folder)

    def ends_with(self, error: Exception) -> bool:
        """Whether the process had better end, with this error: it is the first of its kind."""
        text = str(error)
        lines = text.splitlines() or [type(error).__name__]
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        self._watchdog.status(f"not started: {lines[0]}{more}")

        if not self._stays:
            mark = hashlib.sha256(repr((text, self._seen)).encode()).hexdigest()
            self._stays = self._failed_alike(mark)
        return not self._stays

    def _failed_alike(self, mark: str) -> bool:
        """Whether the last start failed as this one did; so it is, where nobody can tell."""
        if self._note is None:
            return True
        try:
            alike = self._note.exists() and self._note.read_text() == mark
            self._note.write_text(mark)
        except OSError as problem:
            log.warning("%s: %s", self._note, problem.strerror or problem)
            return True
        return alike

    async def wait(self, error: Exception) -> bool:
        """Stay until another try is worth it. Whether this process can make it: what systemd
        passes on as credentials stays as it was when the process was started, and so does a
        read-only disk in its view of the mounts.
        """
        loop = asyncio.get_running_loop()
        if str(error) != self._said or loop.time() - self._said_s >= SAY_AGAIN_S:
            log.error(
                "not started; it is tried again as soon as a file in %s changes, and every "
                "minute. What is wrong: %s",
                self._folder,
                error,
            )
            self._said, self._said_s = str(error), loop.time()

        self._watchdog.ready()
        tried_s = loop.time()
        while _state_of(self._folder) == self._seen and loop.time() - tried_s < self._wait_s:
            self._watchdog.alive()
            if self._has_old_view:
                log.info("a disk can be written again: the daemon ends, and the next one sees that")
                return False
            await asyncio.sleep(LOOK_S)
        self._wait_s = min(2 * self._wait_s, MOST_WAIT_S)

        if not self._is_passed_credentials or _state_of(self._folder) == self._seen:
            return True
        log.info("a file has changed: the daemon ends, and systemd passes on the credentials anew")
        return False

    @property
    def _has_old_view(self) -> bool:
        """Whether a disk that was read-only when this process began can be written by others."""
        return any(each.is_shut_for_us and each.point in self._read_only for each in own_mounts())

    def is_over(self) -> None:
        """The start went well."""
        if self._note is not None:
            self._note.unlink(missing_ok=True)


def note_path(name: str, environ: Mapping[str, str]) -> Path | None:
    """Where one process notes something for the next: in a folder that systemd keeps from one start
    to the next (RuntimeDirectoryPreserve=restart). None where there is none.
    """
    folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder, name) if folder else None


def _state_of(folder: Path) -> tuple[tuple[str, int, int, int, int], ...]:
    """What tells whether a file of the configuration was changed, or its rights were."""
    found = []
    paths = (path for path in sorted(folder.rglob("*")) if path.suffix in KINDS)
    for path in islice(paths, MOST_FILES):
        try:
            stat = path.stat()
        except OSError:
            continue  # it has just been removed, which is seen as well
        found.append((str(path), stat.st_mtime_ns, stat.st_size, stat.st_mode, stat.st_uid))
    return tuple(found)
