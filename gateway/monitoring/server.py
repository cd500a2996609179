"""The status page, `/status` (JSON), `/healthz` and `/metrics` over HTTP: read-only, and it can be
neither flooded nor held up.

Limits, and what happens at them:
- 16 connections at a time; one that says nothing makes room for one more (`seats.py`), or that is
  answered 503 and closed.
- 8 KiB of request, head and body; a longer one is answered 431 and closed.
- 10 reports a second are made; who asks in between is told the last one again.
- 3 seconds per connection for the request, 10 for everything; a slower client is cut off. A
  connection carries one request.
- Who is let in, `door.py` says. Beyond this machine that takes a token, but for `/healthz`, which
  tells others only whether all is well.
There is nothing to write and no access log. A busy port is logged once and tried again for ever;
the daemon goes on without its page.
"""

import asyncio
import base64
import errno
import hashlib
import logging
import os
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from math import inf
from pathlib import Path

import h11

from drivers.net.addresses import address_of, is_any, is_localhost, place_of
from gateway.monitoring import metrics
from gateway.monitoring.door import Door, TurnedAway, Visit
from gateway.monitoring.report import Report
from gateway.monitoring.seats import Seat, Seats
from gateway.site.settings import StatusSettings
from gateway.timing.backoff import Backoff

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 16
MAX_REQUEST_BYTES = 8 * 1024
CLIENT_S = 10.0
"""Seconds a client may take from connecting to having read the answer …"""
REQUEST_S = 3.0
"""… and to having sent its request."""
REUSE_S = 0.1
"""An answer that is younger is given again: what is asked for all the time costs the meters little.
"""
_RETRY_S = (1.0, 60.0)
"""First and longest wait before a busy port is tried again."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
}
_NOTHING_ALLOWED = "default-src 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    policy: str = _NOTHING_ALLOWED
    """The Content-Security-Policy."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Headers of this answer alone."""


class StatusServer:
    """Serves what `report` returns at that moment. Errors of `report` are bugs and end the daemon's
    task group, as any bug does.
    """

    def __init__(
        self,
        settings: StatusSettings,
        report: Callable[[], Report],
        token: Callable[[], str | None] = lambda: None,
        *,
        open_to_all: bool = False,
    ) -> None:
        """`token` and `open_to_all` as in `Door`."""
        self._settings = settings
        self._report = report
        page = Path(__file__).with_name("page.html").read_bytes()
        self._page = _Answer(200, page, "text/html; charset=utf-8", _page_policy(page))
        self._routes: Mapping[str, Callable[[], _Answer]] = {
            "/": lambda: self._page,
            "/status": lambda: _Answer(200, self._report().to_json(), "application/json"),
            "/healthz": self._healthz,
            "/metrics": lambda: _Answer(
                200, metrics.exposition(self._report()).encode(), metrics.CONTENT_TYPE
            ),
        }
        self._made: dict[Callable[[], _Answer], tuple[float, _Answer]] = {}
        """When each of these was last made, and how it was."""
        self._port = settings.port
        self._seats = Seats(MAX_CONNECTIONS, lambda: asyncio.get_running_loop().time())
        self._door = Door(
            settings.host, token, lambda: asyncio.get_running_loop().time(), open_to_all=open_to_all
        )
        self.listening = asyncio.Event()
        """Set while the port is open."""

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page. With port 0 it is right once `listening`
        is set.
        """
        return page_url(self._settings.host, self._port)

    async def run(self) -> None:
        """Serves until cancelled. Ends with an exception only where there is a bug."""
        async with asyncio.TaskGroup() as clients:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                seat = self._seats.take(place_of(_peer(writer)), writer.transport.abort)
                if seat is not None:
                    clients.create_task(self._client(reader, writer, seat))
                else:
                    writer.write(
                        _encoded(
                            h11.Connection(h11.SERVER),
                            _refusal(503, "too many connections; try again in a few seconds"),
                        )
                    )
                    writer.close()

            server = await self._listen(accept)
            try:
                await asyncio.Event().wait()
            finally:
                self.listening.clear()
                server.close()

    async def _listen(
        self, accept: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]
    ) -> asyncio.Server:
        backoff = Backoff(*_RETRY_S, random.random)
        failed: str | None = None
        # Without a token it is open to this machine: the name must lead nowhere else.
        # (A host of a class of its own would have the socket load all that names in Unicode need.)
        host = "127.0.0.1" if is_localhost(self._settings.host) else str(self._settings.host)
        while True:
            try:
                server = await asyncio.start_server(
                    accept,
                    host,
                    self._settings.port,
                    limit=MAX_REQUEST_BYTES,
                    backlog=MAX_CONNECTIONS,
                )
                if not server.sockets:
                    # asyncio says so where no socket could be made.
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            except OSError as error:
                reason = error.strerror or str(error)
                if reason != failed:
                    _log.error(
                        "status page: cannot listen on %s port %d: %s. Stop what uses that port, "
                        "or set another `status: {port: …}` in "
                        "gateway.yaml; trying again meanwhile",
                        self._settings.host,
                        self._settings.port,
                        reason,
                    )
                failed = reason
                await asyncio.sleep(backoff.fail())
                continue
            self._port = server.sockets[0].getsockname()[1]
            self.listening.set()
            _log.info("status page: %s", self.url)
            return server

    async def _client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seat: Seat
    ) -> None:
        try:
            async with asyncio.timeout(CLIENT_S):
                await self._converse(reader, writer, seat)
        except (TimeoutError, OSError):
            pass  # the client is slow or gone: its own loss
        finally:
            self._seats.leave(seat)
            writer.transport.abort()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seat: Seat
    ) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
        head_only = False
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await _request(connection, reader)
            if request is None:
                return
            seat.has_asked = True
            head_only = request.method == b"HEAD"
            answer = self._answer(request, _peer(writer))
        except h11.RemoteProtocolError as error:
            answer = _refusal(error.error_status_hint, f"not a request this server reads: {error}")
        writer.write(_encoded(connection, answer, head_only=head_only))
        await writer.drain()
        writer.write_eof()
        # The client closes first: were we to, with bytes of it unread, the kernel would reset the
        # connection and it might lose our answer.
        received = 0
        while received < MAX_REQUEST_BYTES and (more := await reader.read(1024)):
            received += len(more)

    def _answer(self, request: h11.Request, client: str) -> _Answer:
        host, path = _target(request)
        login = _header(request, b"authorization") or ""
        by_script = _header(request, b"x-requested-with") is not None
        visit = Visit(host, login, client, by_script)
        if away := self._door.wrong_address(visit):
            return _turned_away(away)

        away = self._door.no_token(visit)
        if away and path == "/healthz" and not visit.authorization:
            healthz = self._lately(self._routes[path])
            return healthz if healthz.status == 200 else _refusal(503, "not all is well")
        if away:
            return _turned_away(away)

        route = self._routes.get(path)
        if route is None:
            return _refusal(404, f"there is no such page; there are {', '.join(self._routes)}")
        if request.method not in (b"GET", b"HEAD"):
            return _Answer(405, b"this server is read-only\n", more={"Allow": "GET, HEAD"})
        return self._lately(route)

    def _lately(self, make: Callable[[], _Answer]) -> _Answer:
        """What that makes now, or has made just before."""
        now_s = asyncio.get_running_loop().time()
        made_s, answer = self._made.get(make, (-inf, None))
        if answer is None or now_s - made_s >= REUSE_S:
            answer = make()
            self._made[make] = (now_s, answer)
        return answer

    def _healthz(self) -> _Answer:
        report = self._report()
        if report.verdict == "well":
            return _Answer(200, b"ok\n")
        return _refusal(503, "\n".join(report.reasons()))


def _peer(writer: asyncio.StreamWriter) -> str:
    """The other end's address; empty where it is gone already."""
    return str((writer.get_extra_info("peername") or ("",))[0])


def page_url(host: str, port: int) -> str:
    """Where a browser on this machine finds a page that listens there."""
    if is_any(host):
        host = "127.0.0.1" if getattr(address_of(host), "version", 4) == 4 else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _target(request: h11.Request) -> tuple[str | None, str]:
    """Whom a request is addressed to, and the path. A target in absolute form names both, and goes
    before the Host header (RFC 9112, section 3.2.2); HTTP/1.0 may name nobody.
    """
    target = request.target.decode("latin-1")
    absolute = re.fullmatch(r"(?i:https?)://([^/?#]*)([^?#]*).*", target, re.DOTALL)
    if absolute:
        return absolute[1].rpartition("@")[2], absolute[2] or "/"
    return _header(request, b"host"), target.partition("?")[0]


def _header(request: h11.Request, name: bytes) -> str | None:
    found = (value.decode("latin-1") for each, value in request.headers if each == name)
    return next(found, None)


def _turned_away(away: TurnedAway) -> _Answer:
    return _Answer(away.status, away.text.encode(errors="replace") + b"\n", more=away.headers)


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The client's request without its body, or None where it went away. Raises
    h11.RemoteProtocolError.
    """
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(await reader.read(MAX_REQUEST_BYTES))


def _encoded(connection: h11.Connection, answer: _Answer, *, head_only: bool = False) -> bytes:
    headers = {
        "Content-Type": answer.content_type,
        "Content-Length": str(len(answer.body)),
        "Content-Security-Policy": answer.policy,
        **_HEADERS,
        **answer.more,
    }
    head = h11.Response(
        status_code=answer.status,
        headers=list(headers.items()),
        reason=HTTPStatus(answer.status).phrase,
    )
    return (connection.send(head) or b"") + (
        b"" if head_only else connection.send(h11.Data(data=answer.body)) or b""
    )


def _refusal(status: int, text: str) -> _Answer:
    return _Answer(status, text.encode(errors="replace") + b"\n")


def _page_policy(page: bytes) -> str:
    """A Content-Security-Policy that runs exactly the script and style that the shipped page holds,
    and nothing that got into it later.
    """
    script, style = (_hash_source(page, tag) for tag in (b"script", b"style"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash_source(page: bytes, tag: bytes) -> str:
    inside = re.search(rb"<%s>(.*?)</%s>" % (tag, tag), page, re.DOTALL)
    assert inside, f"page.html has no {tag.decode()}"
    return f"'sha256-{base64.b64encode(hashlib.sha256(inside[1]).digest()).decode()}'"
