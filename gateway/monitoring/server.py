"""The status page, `/status` (JSON), `/healthz` and `/metrics` over HTTP, and what others bring
(`Pages` in `asked.py`): it can be neither flooded nor held up.

Limits, and what happens at them:
- 16 connections at a time; one that says nothing makes room for one more (`seats.py`), or that is
  answered 503 and closed.
- 8 KiB of request, head and body; a longer one is answered 431 and closed.
- 10 reports a second are made; who asks in between is told the last one again.
- 3 seconds per connection for the request, 10 for everything; a slower client is cut off. A
  connection carries one request.
- A stream goes on for as long as each part of it is taken within 5 seconds.
- Who is let in, `door.py` says. Beyond this machine that takes a token, but for `/healthz`, which
  tells others only whether all is well.
There is no access log. A busy port is logged once and tried again for ever;
the daemon goes on without its page.
"""

import asyncio
import logging
import random
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from http import HTTPStatus
from math import inf
from typing import Protocol

import h11
import msgspec
from msgspec.structs import replace

from drivers.net.addresses import address_of, is_any, is_localhost, place_of
from drivers.net.serving import Server
from gateway.monitoring import metrics
from gateway.monitoring.asked import (
    Answer,
    Pages,
    Question,
    packed,
    plain_path,
    query_of,
    refusal,
    tagged,
)
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

BUG_S = 600.0
"""Time between two tracebacks of pages in the log."""
TAKE_S = 5.0
"""Seconds a client may take for each part of a stream."""
STREAM_BYTES = 16 * 1024
"""Of a stream that is not taken, the system keeps so much."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Connection": "close",
}


class Guard(Protocol):
    """Who is let in: `Door` is one."""

    def wrong_address(self, visit: Visit) -> TurnedAway | None:
        """Whether the request was addressed to somebody else."""

    def no_token(self, visit: Visit) -> TurnedAway | None:
        """Whether the request lacks what lets it in."""


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server listens, and what it is called in its log."""

    host: str
    port: int
    what: str = "status page"
    setting: str = "`status: {port: …}` in gateway.yaml"
    """Where another port is set."""
    tls: ssl.SSLContext | None = None


class PageServer:
    """Serves pages over HTTP, within the limits above. `routes` are answered at once; errors of
    theirs are bugs and end the daemon's task group, as any bug does. `pages` come after them.
    """

    def __init__(
        self,
        listening: Listening,
        door: Guard,
        routes: Mapping[str, Callable[[], Answer]],
        pages: Sequence[Pages],
    ) -> None:
        self._where = listening
        self._door = door
        self._others = pages
        self._posts = frozenset(path for each in self._others for path in each.posts)
        self._routes = routes
        self._made: dict[Callable[[], Answer], tuple[float, Answer]] = {}
        """When each of these was last made, and how it was."""
        self._bug_logged_s = -inf
        self._port = listening.port
        self._seats = Seats(MAX_CONNECTIONS, lambda: asyncio.get_running_loop().time())
        self.listening = asyncio.Event()
        """Set while the port is open."""

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page. With port 0 it is right once `listening`
        is set.
        """
        scheme = "https" if self._where.tls else "http"
        return page_url(self._where.host, self._port, scheme)

    async def run(self) -> None:
        """Serves until cancelled. Ends with an exception only where there is a bug."""
        bug: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def failed(error: BaseException) -> None:
            if not bug.done():
                bug.set_exception(error)

        server = Server(self._client, tls=self._where.tls, limit=MAX_REQUEST_BYTES, failed=failed)
        await self._listen(server)
        try:
            await bug
        finally:
            self.listening.clear()
            await server.close()

    async def _listen(self, server: Server) -> None:
        backoff = Backoff(*_RETRY_S, random.random)
        failed: str | None = None
        # Without a token it is open to this machine: the name must lead nowhere else.
        # (A host of a class of its own would have the socket load all that names in Unicode need.)
        where = self._where
        host = "127.0.0.1" if is_localhost(where.host) else str(where.host)
        while True:
            try:
                await server.listen(host, where.port, backlog=MAX_CONNECTIONS)
            except OSError as error:
                reason = error.strerror or str(error)
                if reason != failed:
                    _log.error(
                        "%s: cannot listen on %s port %d: %s. Stop what uses that port, or set "
                        "another %s; trying again meanwhile",
                        where.what,
                        where.host,
                        where.port,
                        reason,
                        where.setting,
                    )
                failed = reason
                await asyncio.sleep(backoff.fail())
                continue
            self._port = server.port
            self.listening.set()
            _log.info("%s: %s", where.what, self.url)
            return

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seat = self._seats.take(place_of(_peer(writer)), writer.transport.abort)
        if seat is None:
            refused = refusal(503, "too many connections; try again in a few seconds")
            writer.write(_encoded(h11.Connection(h11.SERVER), refused))
            return
        try:
            async with asyncio.timeout(CLIENT_S):
                stream = await self._converse(reader, writer, seat)
            if stream is not None:
                await _go_on(stream, reader, writer)
        except (TimeoutError, OSError):
            pass  # the client is slow or gone: its own loss
        finally:
            self._seats.leave(seat)
            writer.transport.abort()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seat: Seat
    ) -> "_Stream | None":
        """Answers a request. Returns what is to follow, if something is."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
        request = None
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await _request(connection, reader)
                if request is None:
                    return None
                asked = _question(request, _peer(writer))
                if asked.method == "POST" and asked.path in self._posts:
                    asked = replace(asked, body=await _body(connection, reader))
            seat.has_asked = True
            answer = await self._answer(request, asked)
        except h11.RemoteProtocolError as error:
            answer = refusal(error.error_status_hint, f"not a request this server reads: {error}")
        writer.write(_encoded(connection, answer, request))
        await writer.drain()
        if answer.stream is not None and request is not None and request.method != b"HEAD":
            return _Stream(connection, answer.stream)
        if writer.can_write_eof():  # TLS says so itself when it is closed
            writer.write_eof()
        # The client closes first: were we to, with bytes of it unread, the kernel would reset the
        # connection and it might lose our answer.
        received = 0
        while received < MAX_REQUEST_BYTES and (more := await reader.read(1024)):
            received += len(more)
        return None

    async def _answer(self, request: h11.Request, asked: Question) -> Answer:
        visit = Visit(
            _target(request)[0],
            _asked_for(request, b"authorization"),
            asked.client,
            by_script=_header(request, b"x-requested-with") is not None,
            cookie=asked.cookie,
        )
        if away := self._door.wrong_address(visit):
            return _turned_away(away)

        away = self._door.no_token(visit)
        if away and asked.path == "/healthz" and not visit.authorization:
            healthz = self._lately(self._routes[asked.path])
            return healthz if healthz.status == 200 else refusal(503, "not all is well")

        may = asked.method in ("GET", "HEAD") or (
            asked.method == "POST" and asked.path in self._posts
        )
        if away:
            shown = await self._outside(asked, away) if may else None
            return shown or _turned_away(away)
        if answer := await self._found(asked) if may else None:
            return answer
        if not may:
            return Answer(405, b"this server is read-only\n", more={"Allow": "GET, HEAD"})
        return refusal(404, f"there is no such page; there are {', '.join(self._routes)}")

    async def _outside(self, asked: Question, away: TurnedAway) -> Answer | None:
        for pages in self._others:
            if shown := await self._brought(pages.outside(asked, away)):
                return shown
        return None

    async def _found(self, asked: Question) -> Answer | None:
        route = self._routes.get(asked.path)
        if route is not None:
            return self._lately(route)
        for pages in self._others:
            if answer := await self._brought(pages.answer(asked)):
                return answer
        return None

    async def _brought(self, answering: Awaitable[Answer | None]) -> Answer | None:
        """What pages answer. A bug of theirs is theirs alone: meters are read on, and the log has
        it.
        """
        try:
            return await answering
        except Exception:  # noqa: BLE001 — whatever it is, it is logged with its traceback
            now_s = asyncio.get_running_loop().time()
            if now_s - self._bug_logged_s >= BUG_S:
                self._bug_logged_s = now_s
                _log.exception("%s: a bug; please report it with these lines", self._where.what)
            return refusal(500, "this page has a bug, and the log says which")

    def _lately(self, make: Callable[[], Answer]) -> Answer:
        """What that makes now, or has made just before."""
        now_s = asyncio.get_running_loop().time()
        made_s, answer = self._made.get(make, (-inf, None))
        if answer is None or now_s - made_s >= REUSE_S:
            answer = make()
            self._made[make] = (now_s, answer)
        return answer


class StatusServer(PageServer):
    """Serves what `report` returns at that moment, and what others bring. Errors of `report` are
    bugs.
    """

    def __init__(
        self,
        settings: StatusSettings,
        report: Callable[[], Report],
        token: Callable[[], str | None] = lambda: None,
        *,
        open_to_all: bool = False,
        pages: Callable[[Door], Sequence[Pages]] = lambda _: (),
        more: Callable[[Report], Mapping[str, object]] = lambda _: {},
    ) -> None:
        """`token` and `open_to_all` as in `Door`; `pages` makes what others bring, and `more` what
        else `/status` says of a report.
        """
        door = Door(
            settings.host, token, lambda: asyncio.get_running_loop().time(), open_to_all=open_to_all
        )
        routes: Mapping[str, Callable[[], Answer]] = {
            "/status": lambda: _status(report(), more),
            "/healthz": lambda: _healthz(report()),
            "/metrics": lambda: Answer(
                200, metrics.exposition(report()).encode(), metrics.CONTENT_TYPE
            ),
        }
        super().__init__(
            Listening(host=settings.host, port=settings.port), door, routes, pages(door)
        )


def _status(report: Report, more: Callable[[Report], Mapping[str, object]]) -> Answer:
    return Answer(200, report.to_json(**more(report)), "application/json")


def _healthz(report: Report) -> Answer:
    if report.verdict == "well":
        return Answer(200, b"ok\n")
    return refusal(503, "\n".join(report.reasons()))


def _peer(writer: asyncio.StreamWriter) -> str:
    """The other end's address; empty where it is gone already."""
    return str((writer.get_extra_info("peername") or ("",))[0])


def page_url(host: str, port: int, scheme: str = "http") -> str:
    """Where a browser on this machine finds a page that listens there."""
    if is_any(host):
        host = "127.0.0.1" if getattr(address_of(host), "version", 4) == 4 else "::1"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


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


def _turned_away(away: TurnedAway) -> Answer:
    return Answer(away.status, away.text.encode(errors="replace") + b"\n", more=away.headers)


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


async def _body(connection: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    """What comes after the head. Raises h11.RemoteProtocolError where that is too much, or ends too
    soon.
    """
    body = b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_REQUEST_BYTES:
                raise h11.RemoteProtocolError("it is too long", error_status_hint=413)
        elif event is h11.NEED_DATA:
            connection.receive_data(await reader.read(MAX_REQUEST_BYTES))
        else:
            return body


def _question(request: h11.Request, client: str) -> Question:
    return Question(
        path=plain_path(_target(request)[1]),
        query=query_of(request.target.decode("latin-1").partition("#")[0].partition("?")[2]),
        method=request.method.decode("ascii"),
        languages=_asked_for(request, b"accept-language"),
        cookie=_asked_for(request, b"cookie"),
        client=client,
        wants_html="text/html" in _asked_for(request, b"accept").lower(),
        authorization=_asked_for(request, b"authorization"),
        forwarded_for=_asked_for(request, b"x-forwarded-for"),
    )


def _asked_for(request: h11.Request | None, name: bytes) -> str:
    return (_header(request, name) or "") if request is not None else ""


def _encoded(
    connection: h11.Connection, answer: Answer, request: h11.Request | None = None
) -> bytes:
    answer, caching = tagged(answer, _asked_for(request, b"if-none-match"))
    body, packing = packed(answer, _asked_for(request, b"accept-encoding"))
    length = {"Content-Length": str(len(body))} if answer.has_length else {}
    headers = {
        "Content-Type": answer.content_type,
        **length,
        "Content-Security-Policy": answer.policy,
        **_HEADERS,
        **caching,
        **packing,
        **answer.more,
    }
    head = h11.Response(
        status_code=answer.status,
        headers=list(headers.items()),
        reason=HTTPStatus(answer.status).phrase,
    )
    sent = connection.send(head) or b""
    if not body or (request is not None and request.method == b"HEAD"):
        return sent
    return sent + (connection.send(h11.Data(data=body)) or b"")


class _Stream(msgspec.Struct, frozen=True):
    """What follows an answer's head, and how it is framed."""

    connection: h11.Connection
    parts: AsyncGenerator[bytes]


async def _go_on(
    stream: _Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Sends what follows, until it ends or the client leaves. Raises TimeoutError where the client
    does not take a part in time, and OSError.
    """
    # What is not taken must wait with us, where it is replaced by what is newer.
    writer.transport.set_write_buffer_limits(high=0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BYTES)
    sending = asyncio.ensure_future(_send(stream, writer))
    leaving = asyncio.ensure_future(_left(reader))
    try:
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        for each in (sending, leaving):
            each.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def _send(stream: _Stream, writer: asyncio.StreamWriter) -> None:
    async with aclosing(stream.parts) as parts:
        async for part in parts:
            writer.write(stream.connection.send(h11.Data(data=part)) or b"")
            async with asyncio.timeout(TAKE_S):
                await writer.drain()
    writer.write(stream.connection.send(h11.EndOfMessage()) or b"")
    async with asyncio.timeout(TAKE_S):
        await writer.drain()


async def _left(reader: asyncio.StreamReader) -> None:
    """Returns once the client has closed its side; what it says meanwhile is not read."""
    while await reader.read(1024):
        pass
