"""The status page, `/status` (JSON), `/healthz` and `/metrics` over HTTP: read-only, and it can be
neither flooded nor held up.

Limits, and what happens at them:
- 16 connections at a time; one more is answered 503 and closed.
- 8 KiB of request, head and body; a longer one is answered 431 and closed.
- 10 seconds per connection for everything; a slower client is cut off. A connection carries one
  request.
- On localhost only requests that were addressed to localhost are answered (421 otherwise): a
  foreign web page that points its own name at 127.0.0.1 (DNS rebinding) reads nothing.
There is nothing to write and no access log. A busy port is logged once and tried again for ever;
the daemon goes on without its page.
"""

import asyncio
import base64
import errno
import hashlib
import ipaddress
import logging
import os
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import h11

from gateway.monitoring import metrics
from gateway.monitoring.report import Report
from gateway.site.settings import StatusSettings
from gateway.timing.backoff import Backoff

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 16
MAX_REQUEST_BYTES = 8 * 1024
CLIENT_S = 10.0
"""Seconds a client may take from connecting to having read the answer."""
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
    allow: str | None = None


class StatusServer:
    """Serves what `report` returns at that moment. Errors of `report` are bugs and end the daemon's
    task group, as any bug does.
    """

    def __init__(self, settings: StatusSettings, report: Callable[[], Report]) -> None:
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
        self._port = settings.port
        self._connections = 0
        self._local_only = _is_loopback(settings.host)
        self.listening = asyncio.Event()
        """Set while the port is open."""

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page. With port 0 it is right once `listening`
        is set.
        """
        host = self._settings.host
        if host in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound to
            host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    async def run(self) -> None:
        """Serves until cancelled. Ends with an exception only where there is a bug."""
        async with asyncio.TaskGroup() as clients:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if self._connections < MAX_CONNECTIONS:
                    self._connections += 1
                    clients.create_task(self._client(reader, writer))
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
        while True:
            try:
                server = await asyncio.start_server(
                    accept,
                    self._settings.host,
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

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CLIENT_S):
                await self._converse(reader, writer)
        except (TimeoutError, OSError):
            pass  # the client is slow or gone: its own loss
        finally:
            self._connections -= 1
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
        head_only = False
        try:
            request = await _request(connection, reader)
            if request is None:
                return
            head_only = request.method == b"HEAD"
            answer = self._answer(request)
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

    def _answer(self, request: h11.Request) -> _Answer:
        host = next(
            (value.decode("latin-1") for name, value in request.headers if name == b"host"), ""
        )
        if self._local_only and not _names_this_machine(host, self._settings.host):
            hint = "to open it to the network, set `status: {host: …}` in gateway.yaml"
            return _refusal(421, f"this page answers to localhost only, not to {host!r}; {hint}")
        path = request.target.partition(b"?")[0].decode("latin-1")
        route = self._routes.get(path)
        if route is None:
            return _refusal(404, f"there is no such page; there are {', '.join(self._routes)}")
        if request.method not in (b"GET", b"HEAD"):
            return _Answer(405, b"this server is read-only\n", allow="GET, HEAD")
        return route()

    def _healthz(self) -> _Answer:
        reasons = self._report().unhealthy()
        return _refusal(503, "\n".join(reasons)) if reasons else _Answer(200, b"ok\n")


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
        **({"Allow": answer.allow} if answer.allow else {}),
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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names_this_machine(host_header: str, listening_on: str) -> bool:
    """Whether a Host header (RFC 9110, section 7.2) means this machine by a name that nobody else
    can point at it.
    """
    name = re.sub(r":\d+$", "", host_header).lower().rstrip(".")
    return name == listening_on or _is_loopback(name.removeprefix("[").removesuffix("]"))
