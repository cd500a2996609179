"""The manager's page as a part of `fleet run`: its server, its certificate, and its questions."""

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from drivers.strict_yaml import Problem
from gateway.fleet.database import DatabaseError
from gateway.fleet.page.login import CookieDoor, Signing
from gateway.fleet.page.questions import Questions
from gateway.fleet.page.served import FleetPages
from gateway.fleet.page.settings import PageSettings
from gateway.fleet.page.telling import Telling
from gateway.fleet.settings import FleetSettings
from gateway.monitoring.asked import Answer, refusal
from gateway.monitoring.server import Listening, PageServer
from gateway.site.credentials import ConfigError
from gateway.timing.backoff import Backoff

_log = logging.getLogger(__name__)

BACKOFF_S = (5.0, 60.0)
CERTIFICATE_S = 60.0
"""Between two looks at whether the certificate's file is another one."""


class FleetPage:
    """Serves the page until it is cancelled. Whatever happens to it, collecting goes on."""

    def __init__(
        self,
        settings: FleetSettings,
        page: PageSettings,
        telling: Telling,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Raises ConfigError where the certificate cannot be used."""
        self._file = None if page.certificate is None else settings.folder / page.certificate
        self._tls = None if self._file is None else _context(self._file)
        self._questions = Questions(settings, now)
        signing = Signing(now)
        pages = FleetPages(page, self._questions, signing, telling, now)
        listening = Listening(
            host=page.host,
            port=page.port,
            what="manager's page",
            setting="`page: {port: …}` in fleet.yaml",
            tls=self._tls,
        )
        routes = {"/healthz": lambda: _healthz(telling)}
        self.server = PageServer(listening, CookieDoor(signing), routes, [pages])

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.server.run())
                tasks.create_task(_kept_up(self._questions.keep_fleet))
                tasks.create_task(_kept_up(self._questions.keep_days))
                if self._file is not None and self._tls is not None:
                    tasks.create_task(_watch(self._file, self._tls))
        finally:
            await self._questions.close()


async def _kept_up(ask: Callable[[], Awaitable[None]]) -> None:
    """What is asked for again and again; while the database is away, less often."""
    backoff = Backoff(*BACKOFF_S, random.random)
    said = ""
    loop = asyncio.get_running_loop()
    while True:
        begun_s = loop.time()
        try:
            await ask()
        except (DatabaseError, ConfigError) as error:
            if str(error) != said:
                said = str(error)
                _log.warning("manager's page: the database: %s; trying again", error)
            if loop.time() - begun_s > BACKOFF_S[1]:
                backoff.succeed()
            await asyncio.sleep(backoff.fail())


def _healthz(telling: Telling) -> Answer:
    """Whether this process stores what comes: for a load balancer, without a login."""
    process = telling.told()
    if process.broker_connected and process.database_connected:
        return Answer(200, b"ok\n")
    away = [
        name
        for name, is_there in (
            ("broker", process.broker_connected),
            ("database", process.database_connected),
        )
        if not is_there
    ]
    return refusal(503, f"not connected: {', '.join(away)}")


def _context(file: Path) -> ssl.SSLContext:
    """Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(file)
    except (OSError, ssl.SSLError) as error:
        hint = "it has the certificate, those between it and its authority, and the key, as PEM"
        message = f"cannot be used: {error.strerror or error}"
        raise ConfigError([Problem(str(file), 0, "", message, hint)]) from error
    return context


async def _watch(file: Path, context: ssl.SSLContext) -> None:
    """A renewed certificate is used for the next connections."""
    seen = _stamp(file)
    while True:
        await asyncio.sleep(CERTIFICATE_S)
        now_is = _stamp(file)
        if now_is is None or now_is == seen:
            continue
        seen = now_is
        with contextlib.suppress(OSError):  # it may be written just now: the next look finds it
            try:
                _context(file)
                context.load_cert_chain(file)
                _log.info("manager's page: %s is used from now on", file)
            except ConfigError as error:
                _log.warning("manager's page: %s; the one before stays", error)


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns
