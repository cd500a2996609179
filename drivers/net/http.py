"""HTTP for whoever asks or sends: verified TLS, a deadline for all of a request, bounded replies,
and no secret in any message.

    client = HttpClient("https://exchange.example", keepalive_s=30)
    reply = await client.request("GET", "status", 10.0)

    HttpError
      ├─ NoConnection    the other end cannot be reached, or was lost on the way
      │    └─ Unspoken   it is there, and does not speak what was asked for
      └─ TooLate         nothing, or only a part, came in time

A reply of any status is a reply, and no error here.
"""

import asyncio
import contextlib
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import h11

from drivers.net.content_coding import unpacked
from drivers.net.environment import UnusableSetting, authorities
from drivers.net.http_connection import MAX_REPLY_BYTES, HttpConnection, HttpReply, check_url
from drivers.net.masking import basic, masked, masked_bytes
from drivers.net.proxies import proxy_for
from drivers.net.tls_words import no_tls_there
from drivers.net.tunnel import ProxyFailed

if TYPE_CHECKING:
    import httpx

    from drivers.net.http_wire import Wire
    from drivers.net.websocket import WebSocket

_SPEAKS_TLS = repr("\x15\x03")[1:-1]
"""How h11 quotes a TLS alert, where it expects the first line of a reply."""

MAX_WORDS = 300
"""Characters of a library's own words in a message."""


class HttpError(Exception):
    """A request got no reply. The text is for a person, and holds no secret."""


class NoConnection(HttpError):
    """No connection, or one that was lost: the request may or may not have been received."""


class Unspoken(NoConnection):
    """Somebody is there, and does not speak what was asked for."""


class TooLate(HttpError):
    """No whole reply in time: the request may or may not have been received."""


def authorization(credentials: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The header that these entries make (`token`: RFC 6750, or `username` and `password`: RFC
    7617), and what of it must not be shown. Without entries there is neither.
    """
    if token := credentials.get("token"):
        return {"Authorization": f"Bearer {token}"}, (token,)
    if username := credentials.get("username"):
        password = credentials.get("password", "")
        login = basic(username, password)
        return {"Authorization": f"Basic {login}"}, (login, password)
    return {}, ()


class Way(Protocol):
    """How requests get to their server."""

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> HttpReply:
        """One request and its reply. Raises OSError, h11.ProtocolError or ValueError."""

    async def connect(self) -> "Wire":
        """One more connection, for whoever speaks something else over it. Raises OSError."""

    @property
    def detour(self) -> str:
        """By way of whom they go, in words; empty where the way is direct."""

    async def aclose(self) -> None:
        """Close the connection."""


class HttpClient:
    """Sends requests to one server, one at a time over one connection."""

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        trust_env: bool = False,
        keepalive_s: float = 0.0,
        masked: Callable[[str], str] = str,
        transport: "httpx.AsyncBaseTransport | None" = None,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        """`tls` is what https trusts; None: the authorities this machine trusts. `trust_env` lets
        the environment name a proxy for https. `keepalive_s` is how long an idle connection stays
        open; 0 closes it after each reply. `masked` takes out of a message what must not be shown,
        whichever request it is about. `transport` is the seam where a simulation takes the place
        of the network. Raises ValueError where `url` is none.

        What is wrong with the environment is the failure of each request, and nobody else's;
        `prepare` tells it before.
        """
        self.url = url.rstrip("/")
        check_url(self.url)
        self._masked = masked
        self._tls = tls
        self._trust_env = trust_env
        self._keepalive_s = keepalive_s
        self._transport = transport
        self._max_reply_bytes = max_reply_bytes
        self._way: Way | None = None
        self._has_answered = False
        with contextlib.suppress(NoConnection):
            self.prepare()

    def prepare(self) -> None:
        """Have ready what a request takes. Raises NoConnection where the environment names
        authorities or a proxy that cannot be used.
        """
        self._open_way()

    def _open_way(self) -> Way:
        """How requests get there. Raises NoConnection."""
        if self._way is None:
            try:
                self._way = self._chosen_way()
            except UnusableSetting as error:
                words = self._masked(str(error))
                raise NoConnection(f"{self.url} cannot be reached: {words}") from error
        return self._way

    def _chosen_way(self) -> Way:
        """Raises UnusableSetting."""
        # Plain http needs no authorities, which take memory; https is always verified.
        trusted = (self._tls or authorities()) if self.url.startswith("https:") else None
        if self._transport is not None:
            from drivers.net.http_by_httpx import HttpxWay

            return HttpxWay(trusted, self._keepalive_s, self._transport)

        proxy = None
        if self._trust_env and trusted is not None:
            parts = urlsplit(self.url)
            proxy = proxy_for(parts.hostname or "", parts.port or 443, os.environ)
        return HttpConnection(self.url, trusted, self._keepalive_s, proxy, self._max_reply_bytes)

    async def request(
        self,
        method: str,
        path: str,
        within_s: float,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
    ) -> HttpReply:
        """One request to a path below the URL, and its reply. `secrets` are taken out of what the
        server and the libraries say. Raises HttpError.
        """
        secrets = tuple(secrets)
        url = f"{self.url}/{path.removeprefix('/')}"
        way = self._open_way()
        try:
            async with asyncio.timeout(within_s) as deadline:
                reply = await way.ask(method, url, _HEADERS | dict(headers or {}), content)
        except (OSError, h11.ProtocolError, ValueError) as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                detour = f": {self._masked(way.detour)}" if way.detour else ""
                raise TooLate(
                    f"{self.url} did not answer within {within_s:.3g} s{detour}"
                ) from None
            # Before it is cut: what was left of a secret would be harder to find.
            words = self._masked(masked(self._what_failed(error, way), secrets))[:MAX_WORDS]
            raise NoConnection(f"{self.url} cannot be reached: {words}") from error

        self._has_answered = True
        body, complete = self._unpacked(reply)
        # Some servers show what they were sent, and their words end up in the log.
        said = {name: masked(value, secrets) for name, value in reply.headers.items()}
        return HttpReply(reply.status, said, masked_bytes(body, secrets), complete)

    def _what_failed(self, error: BaseException, way: Way) -> str:
        """What the network said, and what that may mean where nobody ever answered."""
        if isinstance(error, ProxyFailed):
            return str(error)
        words = _words(error, self.url)
        if way.detour:
            return f"{words} ({way.detour})"
        if self.url.startswith("https:") or self._has_answered:
            return words
        if isinstance(_deepest(error), ConnectionResetError) or _NO_ANSWER in words:
            # So does many a server of TLS, without an alert that would say it.
            words += " — is the port right, or does it speak TLS there (https://)?"
        return words

    def _unpacked(self, reply: HttpReply) -> tuple[bytes, bool]:
        """The body, and whether that is all of it. Raises NoConnection where it is packed in a way
        nobody asked for, and we do not know.
        """
        coding = reply.headers.get("content-encoding", "")
        try:
            return unpacked(reply.body, coding, self._max_reply_bytes, complete=reply.complete)
        except ValueError as error:
            words = self._masked(str(error))
            raise NoConnection(
                f"{self.url} answered {reply.status} with what cannot be read, though "
                f"'identity' was asked for: {words} — is there a proxy in between?"
            ) from error

    async def open_websocket(
        self,
        path: str,
        within_s: float,
        *,
        headers: Mapping[str, str],
        max_bytes: int,
        secrets: Iterable[str] = (),
    ) -> "WebSocket":
        """A websocket at a path below the URL, over a connection of its own, by the same way and
        with the same trust as requests. Raises HandshakeRefused or HttpError.
        """
        from drivers.net.websocket import WebSocket, WebsocketClosed

        secrets = tuple(secrets)
        way = self._open_way()
        parts = urlsplit(f"{self.url}/{path.removeprefix('/')}")
        host = parts.netloc.rpartition("@")[2]
        try:
            async with asyncio.timeout(within_s) as deadline:
                wire = await way.connect()
                extra = {"User-Agent": _HEADERS["User-Agent"], **headers}
                return await WebSocket.open(wire, host, parts.path, extra, max_bytes)
        except WebsocketClosed as error:
            words = self._masked(masked(str(error), secrets))[:MAX_WORDS]
            raise Unspoken(f"{self.url} opened no websocket at {parts.path}: {words}") from error
        except (OSError, ValueError) as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                raise TooLate(f"{self.url} did not answer within {within_s:.3g} s") from None
            words = self._masked(masked(self._what_failed(error, way), secrets))[:MAX_WORDS]
            raise NoConnection(f"{self.url} cannot be reached: {words}") from error

    def another(self, max_reply_bytes: int = MAX_REPLY_BYTES) -> "HttpClient":
        """One more client of the same server, with the same trust, and a connection of its own."""
        way = self._way
        tls = way.tls if isinstance(way, HttpConnection) else self._tls
        return HttpClient(
            self.url,
            tls=tls,
            trust_env=self._trust_env,
            keepalive_s=self._keepalive_s,
            masked=self._masked,
            transport=self._transport,
            max_reply_bytes=max_reply_bytes,
        )

    async def aclose(self) -> None:
        """Close the connection."""
        if self._way is not None:
            await self._way.aclose()


_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "meter-gateway",
}


_NO_ANSWER = "disconnected without sending a response"
"""In the text of the error, as h11 and httpx have it."""


_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})
"""X509_V_ERR_…: self-signed, alone or in the chain, or of an authority that is not known here."""


def _words(error: BaseException, url: str) -> str:
    """What the network said, dug out of the layers that wrapped it."""
    deepest = _deepest(error)
    if url.startswith("https:") and (words := no_tls_there(deepest)):
        return f"{words} — is the port right, or is it http://?"
    if isinstance(deepest, h11.RemoteProtocolError) and _SPEAKS_TLS in str(deepest):
        return "it speaks TLS on this port — write https://"
    if isinstance(deepest, ssl.SSLCertVerificationError):
        what = f"its certificate is not valid ({deepest.verify_message})"
        if getattr(deepest, "verify_code", None) in _UNKNOWN_AUTHORITY:
            return (
                f"{what} — check the URL, or name its authority's file: SSL_CERT_FILE=… in the "
                "environment"
            )
        return f"{what} — check this machine's clock and the URL"
    if isinstance(deepest, h11.RemoteProtocolError) and r"b'\x15\x03" in str(deepest):
        return "it speaks TLS on this port — write https://"

    of_tls_or_names = isinstance(deepest, (ssl.SSLError, socket.gaierror))
    if isinstance(deepest, OSError) and deepest.errno and not of_tls_or_names:
        return os.strerror(deepest.errno)

    text = str(deepest) or str(error)
    # So asyncio says that no address of a host could be reached.
    if several := re.match(r"Multiple exceptions: \[Errno (\d+)\]", text):
        return os.strerror(int(several[1]))
    if isinstance(deepest, OSError) and deepest.strerror:
        text = deepest.strerror
    return text[: 10 * MAX_WORDS].rstrip(".") or "the connection was lost"


def _deepest(error: BaseException) -> BaseException:
    deepest = error
    for _ in range(20):
        inner = deepest.__cause__ or deepest.__context__
        if isinstance(deepest, BaseExceptionGroup):
            inner = deepest.exceptions[0]
        if inner is None:
            break
        deepest = inner
    return deepest
