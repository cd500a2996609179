"""Questions to the store that keep nobody waiting but who asks: one thread that reads, one question
at a time, each with a limit.

The thread lives for one question; a daemon that nobody asks has none. It opens the file by itself,
never writes, and shares nothing with the event loop but the answer.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from gateway.history.refusals import Busy, Unreadable
from gateway.store.archive import Look, OtherVersion, TooLong, look_into
from gateway.store.errors import Locked, StoreError

T = TypeVar("T")

_log = logging.getLogger(__name__)

QUESTION_S = 2.0
"""So long a question may take …"""
WAIT_S = 5.0
"""… and so long it may wait for those before it."""
LINE_S = 600.0
"""Time between two lines of the log about a store that cannot be read."""


class Archive:
    """What is asked of the store."""

    def __init__(self, path: Path, slot_s: int, masked: Callable[[str], str]) -> None:
        """`masked` takes secrets out of what others said."""
        self._path = path
        self._slot_s = slot_s
        self._masked = masked
        self._one_at_a_time = asyncio.Lock()
        self._logged_s = -LINE_S

    async def ask(self, question: Callable[[Look], T]) -> T:
        """The answer. Raises Busy, or Unreadable, with what to say to a person."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._one_at_a_time.acquire()
        except TimeoutError:
            raise Busy("too many ask at once; try again in a few seconds") from None
        try:
            return await self._asked(question)
        finally:
            self._one_at_a_time.release()

    async def _asked(self, question: Callable[[Look], T]) -> T:
        given_up = threading.Event()

        def look() -> T:
            until_s = time.monotonic() + QUESTION_S  # in a thread, where no loop has a clock

            def is_over() -> bool:
                return given_up.is_set() or time.monotonic() > until_s

            with look_into(self._path, self._slot_s, self._masked, is_over) as found:
                return question(found)

        try:
            return await _in_a_thread(look)
        except TooLong as error:
            raise Busy("the answer took too long; try again, or ask for less") from error
        except StoreError as error:
            self._log(error)
            raise Unreadable(_for_people(error)) from error
        finally:
            given_up.set()

    def _log(self, error: StoreError) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._logged_s >= LINE_S:
            self._logged_s = now_s
            _log.warning("a question was not answered: %s", error)


def _for_people(error: StoreError) -> str:
    """Without the names of files, which are nobody's business on the network."""
    if isinstance(error, Locked):
        return "another program has the store; what was recorded can be shown once it is closed"
    if isinstance(error, OtherVersion):
        return "the store is being upgraded; what was recorded can be shown in a few minutes"
    return (
        "what was recorded cannot be read now; meters are read on; `meter-gateway status` on the "
        "gateway says more"
    )


async def _in_a_thread(look: Callable[[], T]) -> T:
    """What that returns or raises. A thread of its own needs no pool of threads, which is 75 kB of
    code; and the end of the process waits for none.
    """
    found: Future[T] = Future()
    found.set_running_or_notify_cancel()
    threading.Thread(target=_answer, args=(look, found), name="archive", daemon=True).start()
    return await asyncio.wrap_future(found)


def _answer(look: Callable[[], T], found: "Future[T]") -> None:
    """Runs in a thread."""
    try:
        answer = look()
    except BaseException as error:  # noqa: BLE001 — it is whoever waits that this concerns
        found.set_exception(error)
    else:
        found.set_result(answer)
