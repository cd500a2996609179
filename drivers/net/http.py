"""HTTP for whoever asks or sends: verified TLS, a deadline for all of a request, bounded replies,
and no secret in any message.

httpx is imported when the first client is made: a gateway that speaks no HTTP does not pay for it.

    HttpError
      ├─ NoConnection    the other end cannot be reached, or was lost on the way
      └─ TooLate         nothing, or only a part, came in time

A reply of any status is a reply, and no error here.
"""

import asyncio
import logging
import os
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from drivers.net.masking import basic, masked, masked_bytes

if TYPE_CHECKING:
    import httpx

MAX_REPLY_BYTES = 64 * 1024
"""More of a reply is not read."""

MAX_WORDS = 300
"""Characters of a library's own words in a message."""


class HttpError(Exception):
    """A request got no reply. The text is for a person, and holds no secret."""


class NoConnection(HttpError):
    """No connection, or one that was lost: the request may or may not have been received."""


class TooLate(HttpError):
    """No whole reply in time: the request may or may not have been received."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back. `body` is cut at `MAX_REPLY_BYTES`; where it was, it is not `complete`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True


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


class HttpClient:
    """Sends requests to one server, one at a time over one connection."""

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        trust_env: bool = False,
        keepalive_s: float = 0.0,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        """`tls` is what https trusts; None: the authorities that come with httpx. `trust_env` lets
        the environment name a proxy. `keepalive_s` is how long an idle connection stays open; 0
        closes it after each reply. `transport` is the seam where a simulation takes the place of
        the network.
        """
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        self.url = url.rstrip("/")
        self._httpx = _httpx()
        is_https = self.url.startswith("https:")
        self._client = self._httpx.AsyncClient(
            transport=transport,
            timeout=None,  # each request has a deadline for all of its phases together
            follow_redirects=False,
            limits=self._httpx.Limits(
                max_connections=1,
                max_keepalive_connections=1 if keepalive_s else 0,
                keepalive_expiry=keepalive_s,
            ),
            # A cookie would make the server take us for a browser (and keep state here).
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # Plain http needs no authorities, which take 1 MB; https is always verified.
            verify=(tls or True) if is_https else False,
            trust_env=trust_env,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "meter-gateway",
            },
        )

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
            async with (
                asyncio.timeout(within_s),
                self._client.stream(
                    method, url, content=content, headers=dict(headers or {})
                ) as response,
                aclosing(cast(AsyncGenerator[bytes, None], response.aiter_raw())) as chunks,
            ):
                body, complete = await _bounded(chunks)
                # Some servers show what they were sent, and their words end up in the log.
                return HttpReply(
                    response.status_code,
                    dict(response.headers.items()),
                    masked_bytes(body, secrets),
                    complete,
                )
        except TimeoutError:
            raise TooLate(f"{self.url} did not answer within {within_s:.3g} s") from None
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            words = masked(_words(error), secrets)
            raise NoConnection(f"{self.url} cannot be reached: {words}") from error

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()


async def _bounded(chunks: AsyncGenerator[bytes, None]) -> tuple[bytes, bool]:
    """The body, and whether that is all of it."""
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > MAX_REPLY_BYTES:
            return bytes(data[:MAX_REPLY_BYTES]), False
    return bytes(data), True


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
    if isinstance(deepest, OSError) and deepest.strerror:
        text = deepest.strerror
    return text[:MAX_WORDS].rstrip(".") or "the connection was lost"


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


def _httpx() -> Any:
    """httpx, without what only its own command line needs: where they are installed, it imports
    rich and click (5.7 MB), and httpcore imports trio (3.5 MB).
    """
    with _pretending_absent("httpx._main", "trio"):
        import httpcore  # noqa: F401 — httpx would import it later
        import httpx

    # They log every request, and with its headers at their finest level.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx


@contextmanager
def _pretending_absent(*names: str) -> Iterator[None]:
    names = tuple(name for name in names if name not in sys.modules)
    absent = cast(dict[str, Any], dict.fromkeys(names))  # None is how sys.modules says so
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
