"""A daemon that ends with an error again and again: said in full once, and started again more and
more seldom.

systemd starts it again after a few seconds, for ever. An error that comes back each time would fill
the journal with the same traceback. So a process that ended soon after its start, as the one before
it did, stays for a while before it goes: its status says why, and the waits get longer.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping

from gateway.cli.failing_start import note_path
from gateway.monitoring.watchdog import Watchdog

log = logging.getLogger(__name__)

CALM_S = 900.0
"""Who has run so long was well. What ends it then is the first of its kind."""
FIRST_WAIT_S = 15.0
MOST_WAIT_S = 300.0
"""The waits double, from the first to the longest one: every market slot is to have samples."""
FEED_S = 5.0
"""How often the watchdog is fed meanwhile."""


class QuickEnds:
    """What becomes of processes that end with an error, one after the other."""

    def __init__(
        self,
        watchdog: Watchdog,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watchdog = watchdog
        self._note = note_path("ended", environ)
        self._now = now
        self._began_s = now()

    def is_known(self, what: str) -> bool:
        """Count this end. Whether the process before ended in the same way, and said so in full:
        `what` tells one from another.
        """
        count, before = self._noted()
        if self._now() - self._began_s >= CALM_S:
            count = 0
        if self._note is not None:
            try:
                self._note.write_text(f"{count + 1} {what}")
            except OSError as problem:
                log.warning("%s: %s", self._note, problem.strerror or problem)
        return count > 0 and what == before

    async def hold_back(self, what: str) -> None:
        """Stay a while, where this is not the first end of the kind."""
        count, _ = self._noted()
        if count < 2:
            return
        wait_s = min(FIRST_WAIT_S * 2 ** min(count - 2, 20), MOST_WAIT_S)
        log.error(
            "ended %d times in a row, soon after the start: %s; the next start is in %.0f s",
            count,
            what,
            wait_s,
        )
        self._watchdog.status(f"ended {count} times in a row, and waits before the next: {what}")

        self._watchdog.ready()
        end_s = self._now() + wait_s
        while (left_s := end_s - self._now()) > 0:
            self._watchdog.alive()
            await asyncio.sleep(min(FEED_S, left_s))

    def _noted(self) -> tuple[int, str]:
        """How many processes have ended so, and in which way the last one did."""
        if self._note is None:
            return 0, ""
        try:
            count, _, what = self._note.read_text().partition(" ")
            return int(count), what
        except (OSError, ValueError):
            return 0, ""
