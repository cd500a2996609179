"""One HTTP/1.1 connection to one server: h11 over asyncio's network.

It is what `drivers.net.http` uses, which has the deadline and the words for what goes wrong. httpx
would do the same with 3.6 MB more.
"""

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import h11

from drivers.net.dialling import dial

MAX_REPLY_BYTES = 64 * 1024
"""More of a reply's body is not read."""

MAX_HEAD_BYTES = 64 * 1024
"""Of a reply's status line and headers together."""

MAX_INTERIM = 16
"""Replies of 1xx before the one that counts (RFC 9110, section 15.2)."""

EVENTS_PER_TURN = 64
"""Parts of a reply that are looked at before the others in this process have their turn."""

READ_AHEAD_BYTES = 64 * 1024
"""Of what has come and was not looked at yet: beyond, the server has to wait."""

GOODBYE_S = 1.0

_IN_A_TARGET = "%/:?[]@!$&'()*+,;=~"
"""Characters that stand for themselves in a request's path and query (RFC 3986)."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back, with header names in lower case. `body` is cut at `MAX_REPLY_BYTES`; where it
    was, it is not `complete`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True


def check_url(url: str) -> None:
    """Raises ValueError where the URL is not a server's."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not the URL of a server")


class HttpConnection:
    """Sends requests, one at a time. It connects when it has to, and keeps the connection for the
    next request as long as the server and `keepalive_s` allow.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None, keepalive_s: float) -> None:
        """`tls` is what https trusts. Raises ValueError where the URL's host or port is none."""
        check_url(url)
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._host_header = parts.netloc.rpartition("@")[2]
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._wire: _Wire | None = None
        self._http = h11.Connection(h11.CLIENT)
        self._turn = asyncio.Lock()

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> HttpReply:
        """One request and its reply. The caller has the deadline.

        Raises OSError (of which ssl.SSLError is one) or h11.ProtocolError; the request may or may
        not have been received then.
        """
        async with self._turn:
            try:
                wire = await self._open_wire()
                self._send(wire, method, url, headers, content)
                reply = await self._receive(wire)
            except BaseException:
                self._drop()
                raise

            if reply.complete:
                self._rest()
            else:
                self._drop()
            return reply

    async def aclose(self) -> None:
        """Close the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.end()

    async def _open_wire(self) -> "_Wire":
        """The connection that is there, or a new one."""
        if self._wire is not None and self._wire.is_at_rest():
            self._wire.closes_at(None)
            return self._wire

        self._drop()
        is_tls = self._tls is not None
        _, wire = await asyncio.get_running_loop().create_connection(
            _Wire,
            sock=await dial(self._host, self._port),
            ssl=self._tls,
            server_hostname=self._host if is_tls else None,
            ssl_shutdown_timeout=GOODBYE_S if is_tls else None,
        )
        self._wire = wire
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        return wire

    def _send(
        self,
        wire: "_Wire",
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
    ) -> None:
        parts = urlsplit(url)
        target = quote(parts.path or "/", _IN_A_TARGET)
        if parts.query:
            target += "?" + quote(parts.query, _IN_A_TARGET)

        lines = [("Host", self._host_header), ("Connection", "keep-alive"), *headers.items()]
        if content is not None:
            lines.append(("Content-Length", str(len(content))))

        head = h11.Request(method=method, target=target, headers=lines)
        data = self._http.send(head) or b""
        if content:
            data += self._http.send(h11.Data(data=content)) or b""
        wire.write(data + (self._http.send(h11.EndOfMessage()) or b""))

    async def _receive(self, wire: "_Wire") -> HttpReply:
        response: h11.Response | None = None
        body = bytearray()
        interim = 0
        for n in itertools.count(1):
            if n % EVENTS_PER_TURN == 0:
                await asyncio.sleep(0)
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await wire.read()
                if not data and response is None:
                    raise h11.RemoteProtocolError("Server disconnected without sending a response.")
                self._http.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                interim += 1
                if interim > MAX_INTERIM:
                    raise h11.RemoteProtocolError("the server says 'wait' for ever, and no more")
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_REPLY_BYTES:
                    break
            elif isinstance(event, h11.EndOfMessage):
                break
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("the server broke off its reply")

        assert response is not None, "h11 gives no body before a response"
        return HttpReply(
            response.status_code,
            _joined(response.headers),
            bytes(body[:MAX_REPLY_BYTES]),
            len(body) <= MAX_REPLY_BYTES,
        )

    def _rest(self) -> None:
        """After a whole reply: keep the connection, or close it where either side wants that."""
        both = (self._http.our_state, self._http.their_state)
        if both != (h11.DONE, h11.DONE) or not self._keepalive_s or self._http.trailing_data[0]:
            self._drop()
            return
        self._http.start_next_cycle()
        assert self._wire is not None
        self._wire.closes_at(asyncio.get_running_loop().time() + self._keepalive_s)

    def _drop(self) -> None:
        """Be gone at once."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; one that came several times has all its values (RFC 9110, section 5.3)."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("utf-8", "replace")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


class _Wire(asyncio.Protocol):
    """The network's side: what has come, within bounds."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._came = bytearray()
        self._is_over = False
        self._why: Exception | None = None
        self._has_news = asyncio.Event()
        self._closing: asyncio.TimerHandle | None = None
        self._lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        if len(self._came) >= READ_AHEAD_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._has_news.set()

    def eof_received(self) -> None:
        self._is_over = True
        self._has_news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._why = exc
        self.closes_at(None)
        self._has_news.set()
        self._lost.set()

    def is_at_rest(self) -> bool:
        """Whether it is open, and nothing has come that nobody asked for."""
        return not self._is_over and not self._came

    def closes_at(self, loop_s: float | None) -> None:
        """Close at that time of the loop's clock, unless told otherwise before."""
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if loop_s is not None:
            self._closing = asyncio.get_running_loop().call_at(loop_s, self._close)

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    async def read(self) -> bytes:
        """What has come; nothing once the server has closed. Raises OSError where the connection
        was lost.
        """
        assert self._transport is not None
        if not self._came and not self._is_over:
            self._has_news.clear()
            await self._has_news.wait()
        if not self._came and self._why is not None:
            raise self._why

        data = bytes(self._came)
        self._came.clear()
        if not self._is_over:
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """Be gone at once."""
        self.closes_at(None)
        if self._transport is not None:
            self._transport.abort()

    async def end(self) -> None:
        """Close, with TLS's goodbye where there is TLS."""
        self.closes_at(None)
        self._close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._lost.wait()
        self.abort()

    def _close(self) -> None:
        self._is_over = True
        if self._transport is not None:
            self._transport.close()
