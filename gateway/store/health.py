"""How working with the store has been going. Where the disk refuses, the daemon says so once and
goes on: what waits is written when it can be.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway.store.errors import Locked, Misfit, OldView, Reopened, StoreError

T = TypeVar("T")

log = logging.getLogger(__name__)


class StoreHealth:
    """Lets the store work, and keeps account of it. Times are Unix times."""

    def __init__(self, path: Path, now_s: Callable[[], float]) -> None:
        self._path = path
        self._now_s = now_s
        self.last_success_s: float | None = None
        """When something was written last."""
        self.errors = 0
        self.last_error = ""
        self.last_error_s: float | None = None
        self.failing = False
        self.locked = False
        """Another program's lock has kept the last write from its work."""
        self.refused = False
        """The disk has refused what was asked last: neither a lock, nor a file that was opened
        anew and is to be tried again.
        """
        self.old_view: OldView | None = None
        """The last write failed so."""
        self.misfits = 0
        """Writes in a row that failed though neither the disk nor a lock was at fault."""

    @property
    def is_lost(self) -> bool:
        """Whether it is not well already, however recently something was written. Only another
        program's lock is waited for: it mostly goes by itself.
        """
        return self.failing and (self.refused or self.misfits > 0)

    def does(self, work: Callable[[], object], *, writes: bool = True) -> bool:
        """Let the store work; returns whether it could. Where the disk refuses, say so once.

        Only what `writes` proves that it can be written: most samples are only kept, and a full
        disk can still be read. Work that returns False had nothing to write.
        """
        try:
            wrote = work()
        except StoreError as error:
            self.failed(error)
            if writes:
                self.locked = isinstance(error, Locked)
                self.old_view = error if isinstance(error, OldView) else None
                self.misfits = self.misfits + 1 if isinstance(error, Misfit) else 0
            return False

        if writes and not (wrote is False and self.failing):
            self._wrote()
        return True

    def ask(self, question: Callable[[], T], otherwise: T) -> T:
        """What the store answers; `otherwise`, where it cannot be read."""
        try:
            return question()
        except StoreError as error:
            self.failed(error)
            return otherwise

    def failed(self, error: StoreError) -> None:
        """It could not do something; said once."""
        self.errors += 1
        self.last_error, self.last_error_s = str(error), self._now_s()
        if not self.failing:
            log.error("%s", error)
        self.failing = True
        self.refused = not isinstance(error, Locked | Reopened)

    def _wrote(self) -> None:
        if self.failing:
            log.info("%s: can be written again", self._path)
        self.failing = self.refused = self.locked = False
        self.misfits = 0
        self.old_view = None
        self.last_success_s = self._now_s()
