"""HTTP for whoever asks or sends: verified TLS, a deadline for all of a request, bounded replies,
and no secret in any message.

    client = HttpClient("https://exchange.example", keepalive_s=30)
    reply = await client.request("GET", "status", 10.0)

    HttpError
      ├─ NoConnection    the other end cannot be reached, or was lost on the way
      └─ TooLate         nothing, or only a part, came in time

A reply of any status is a reply, and no error here.
"""

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import h11

from drivers.net.http_connection import HttpConnection, HttpReply
from drivers.net.masking import basic, masked, masked_bytes

if TYPE_CHECKING:
    import httpx

MAX_WORDS = 300
"""Characters of a library's own words in a message."""


class HttpError(Exception):
    """A request got no reply. The text is for a person, and holds no secret."""


class NoConnection(HttpError):
    """No connection, or one that was lost: the request may or may not have been received."""


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
    ) -> None:
        """`tls` is what https trusts; None: the authorities this machine trusts. `trust_env` lets
        the environment name a proxy. `keepalive_s` is how long an idle connection stays open; 0
        closes it after each reply. `masked` takes out of a message what must not be shown,
        whichever request it is about. `transport` is the seam where a simulation takes the place
        of the network. Raises ValueError where `url` is none.
        """
        self.url = url.rstrip("/")
        self._masked = masked
        # Plain http needs no authorities, which take memory; https is always verified.
        trusted = (tls or authorities()) if self.url.startswith("https:") else None

        self._way: Way
        if transport is not None or (trust_env and _names_a_proxy(os.environ)):
            from drivers.net.http_by_httpx import HttpxWay

            self._way = HttpxWay(trusted, keepalive_s, trust_env=trust_env, transport=transport)
        else:
            self._way = HttpConnection(self.url, trusted, keepalive_s)

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
        try:
            async with asyncio.timeout(within_s) as deadline:
                reply = await self._way.ask(method, url, _HEADERS | dict(headers or {}), content)
        except (OSError, h11.ProtocolError, ValueError) as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                raise TooLate(f"{self.url} did not answer within {within_s:.3g} s") from None
            # Before it is cut: what was left of a secret would be harder to find.
            words = self._masked(masked(_words(error), secrets))[:MAX_WORDS]
            raise NoConnection(f"{self.url} cannot be reached: {words}") from error

        # Some servers show what they were sent, and their words end up in the log.
        body = masked_bytes(reply.body, secrets)
        said = {name: masked(value, secrets) for name, value in reply.headers.items()}
        return HttpReply(reply.status, said, body, reply.complete)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._way.aclose()


_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "meter-gateway",
}


def authorities() -> ssl.SSLContext:
    """What this machine trusts; where it has no authorities at all, those of the package certifi.
    The environment may name others (SSL_CERT_FILE, SSL_CERT_DIR).
    """
    paths = ssl.get_default_verify_paths()
    has_some = paths.cafile or (paths.capath and any(Path(paths.capath).iterdir()))
    if has_some:
        return ssl.create_default_context()

    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def _names_a_proxy(environment: Mapping[str, str]) -> bool:
    names = ("http_proxy", "https_proxy", "all_proxy")
    return any(environment.get(name) or environment.get(name.upper()) for name in names)


def _words(error: BaseException) -> str:
    """What the network said, dug out of the layers that wrapped it."""
    deepest = _deepest(error)
    if isinstance(deepest, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not valid ({deepest.verify_message}) — check this machine's "
            "clock and the URL"
        )
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
