"""Somebody looks at the page all the while: every page and every answer of the API, from the
daemon's own store, whatever happens to it.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar
from unittest.mock import patch

from gateway.history import archive
from gateway.history.api import Api
from gateway.history.live import Live
from gateway.history.opening import open_history
from gateway.monitoring.asked import Question
from gateway.monitoring.door import Door
from gateway.page.served import About, ServedPages
from tests.simulation.applying import Undo
from tests.simulation.scenario import FaultEvent

if TYPE_CHECKING:
    from gateway.app import Gateway
    from tests.simulation.world import World

T = TypeVar("T")

EVERY_S = 277.0
"""Not at the same point of each slot."""


def page_asked(world: "World", event: FaultEvent) -> Undo:
    """Ask until it is taken away. What breaks in an answer is a crash of the daemon: it runs there.
    The fault is felt as often as somebody got an answer.
    """
    asking = asyncio.get_running_loop().create_task(_ask_on(world, event))

    def undo() -> None:
        asking.cancel()

    return undo


async def _ask_on(world: "World", event: FaultEvent) -> None:
    while True:
        gateway = world.process.others.page
        if gateway is not None and world.process.is_running:
            try:
                with _at_once():
                    world.fault_log.felt[event.fault] += await _ask_everything(world, gateway)
            except Exception:  # noqa: BLE001 — whatever it is, the run has failed
                world.process.crashes.append(traceback.format_exc())
                return
            gateway = None
        await asyncio.sleep(EVERY_S)


async def _ask_everything(world: "World", gateway: "Gateway") -> int:
    """How many answers there were; the others were refusals, in words."""
    settings = world.settings
    report = gateway.reporter.report
    history = open_history(settings, settings.buffer_path, report, frozenset())
    about = About(title="Home", zone=settings.timezone.zone)
    door = Door("127.0.0.1", lambda: None, asyncio.get_running_loop().time)
    pages = ServedPages(history, report, about, door)
    api = Api(history, Live(history, report))
    good = 0
    for path in _paths(world):
        asked_in = api if path.startswith("/api/") else pages
        answer = await asked_in.answer(Question(path=path, query={}, wants_html=True))
        assert answer is not None, path
        assert answer.status in (200, 404, 503), (path, answer.body)
        good += answer.status == 200
    return good


def _paths(world: "World") -> Iterator[str]:
    now_s = int(world.time.s())
    slot_s = int(world.scenario.slot)
    start_s = now_s // slot_s * slot_s - slot_s
    asset = next(iter(world.assets.values()))
    for path in ("days", "months", f"slots/{asset}/{start_s}", "meters", "meters/grid", "exchange"):
        yield f"/{path}"
    yield from ("/", "/events", "/technical", "/api/v1/now", "/api/v1/meters", "/api/v1/events")


@contextlib.contextmanager
def _at_once() -> Iterator[None]:
    """There are no threads in virtual time: whoever asks waits. (Real ones are in
    tests/gateway/history/test_archive.py, and how late meters are meanwhile in `make bench`.)
    """

    async def look_now(look: Callable[[], T]) -> T:
        return look()

    with patch.object(archive, "_in_a_thread", look_now):
        yield
