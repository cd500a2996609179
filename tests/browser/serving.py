"""The real server with the real pages, in a thread of its own, so that a test may wait for the
browser.
"""

import asyncio
import threading
from collections.abc import Callable
from zoneinfo import ZoneInfo

from gateway.history.api import Api
from gateway.history.live import Live
from gateway.monitoring.report import Report
from gateway.monitoring.server import StatusServer
from gateway.page.served import About, Questions, ServedPages
from gateway.site.page_access import ListenHost
from gateway.site.settings import StatusSettings
from tests.gateway.page import sample_answers as sample


class Served:
    """`history` answers; `url` is where a browser finds it while it is started."""

    def __init__(
        self,
        history: Questions,
        *,
        host: str = "127.0.0.1",
        token: Callable[[], str | None] = lambda: None,
        language: str | None = None,
        report: Callable[[], Report] | None = None,
    ) -> None:
        self.history = history
        self._report = report
        self.live: Live | None = None
        self._host = host
        self._token = token
        self._language = language
        self._port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._started = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def streams(self) -> int:
        """How many are listened to."""
        return 0 if self.live is None else len(self.live._streams)

    def start(self) -> None:
        self._started.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._started.wait(20)

    def stop(self) -> None:
        """As when it is killed: connections break off."""
        if self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
        if self._thread is not None:
            self._thread.join(20)
        self._thread = self._loop = self._ended = None

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        history = self.history
        about = About(
            title="Our house",
            zone=ZoneInfo(sample.ZONE),
            language=self._language,
            contact="Ada, 0660 123456",
        )
        report = self._report or history.report
        self.live = live = Live(history, report)
        server = StatusServer(
            StatusSettings(host=ListenHost(self._host), port=self._port),
            report,
            self._token,
            pages=lambda door: [
                Api(history, live),
                ServedPages(history, report, about, door),
            ],
        )
        serving = asyncio.create_task(server.run())
        await server.listening.wait()
        self._port = int(server.url.rpartition(":")[2])
        self._started.set()
        await self._ended.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
