"""One HTTP/1.1 connection to one server: h11 over asyncio's network.

It is what `drivers.net.http` uses, which has the deadline and the words for what goes wrong. httpx
would do the same with 3.6 MB more.
"""

import asyncio
import itertools
import ssl
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlsplit

import h11
import msgspec

from drivers.net.http_wire import Wire
from drivers.net.proxies import Proxy
from drivers.net.tunnel import open_tunnel

MAX_REPLY_BYTES = 64 * 1024
"""More of a reply's body is not read where nobody says otherwise."""

MAX_HEAD_BYTES = 64 * 1024
"""Of a reply's status line and headers together."""

MAX_INTERIM = 16
"""Replies of 1xx before the one that counts (RFC 9110, section 15.2)."""

EVENTS_PER_TURN = 64
"""Parts of a reply that are looked at before the others in this process have their turn."""

_IN_A_TARGET = "%/:?[]@!$&'()*+,;=~"
"""Characters that stand for themselves in a request's path and query (RFC 3986)."""


class HttpReply(msgspec.Struct, frozen=True):
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

    def __init__(
        self,
        url: str,
        tls: ssl.SSLContext | None,
        keepalive_s: float,
        proxy: Proxy | None = None,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        """`tls` is what https trusts; `proxy` is for https only. Raises ValueError where the URL's
        host or port is none.
        """
        check_url(url)
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._host_header = parts.netloc.rpartition("@")[2]
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._proxy = proxy
        self._max_reply_bytes = max_reply_bytes
        self._is_before_proxy = False
        self._wire: Wire | None = None
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

    @property
    def detour(self) -> str:
        """By way of whom, in words; empty where the way is direct."""
        if self._proxy is None:
            return ""
        if self._is_before_proxy:
            remedy = "write http:// if it speaks no TLS itself, " if self._proxy.is_tls else ""
            remedy += "correct the variable, or unset it"
            return f"{self._proxy} has not made the connection — {remedy}"
        return f"by way of {self._proxy}"

    async def aclose(self) -> None:
        """Close the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.end()

    async def _open_wire(self) -> "Wire":
        """The connection that is there, or a new one."""
        if self._wire is not None and self._wire.is_at_rest():
            self._wire.closes_at(None)
            return self._wire

        self._drop()
        self._wire = wire = await self.connect()
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        return wire

    async def connect(self) -> Wire:
        """One more connection to the server, for whoever speaks something else over it than
        requests. The caller has the deadline, and closes it. Raises OSError.
        """
        if self._proxy is None or self._tls is None:
            return await Wire.connect(self._host, self._port, self._tls)
        return await self._connect_through(self._proxy, self._tls)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What https trusts: it takes memory, so others share it."""
        return self._tls

    async def _connect_through(self, proxy: Proxy, tls: ssl.SSLContext) -> Wire:
        """Raises OSError, of which ProxyFailed says that it is the proxy's fault."""
        self._is_before_proxy = True
        wire = await open_tunnel(proxy, self._host, self._port, tls)
        self._is_before_proxy = False
        try:
            await wire.start_tls(tls, self._host)
        except BaseException:
            wire.abort()
            raise
        return wire

    def _send(
        self,
        wire: "Wire",
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

    async def _receive(self, wire: "Wire") -> HttpReply:
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
                if len(body) > self._max_reply_bytes:
                    break
            elif isinstance(event, h11.EndOfMessage):
                break
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("the server broke off its reply")

        assert response is not None, "h11 gives no body before a response"
        return HttpReply(
            response.status_code,
            _joined(response.headers),
            bytes(body[: self._max_reply_bytes]),
            len(body) <= self._max_reply_bytes,
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
