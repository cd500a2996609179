"""HTTP through httpx: where a simulation takes the place of the network. It costs 3.6 MB, so the
daemon goes by `drivers.net.http_connection`.
"""

import logging
import ssl
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Protocol, cast, runtime_checkable

from drivers.net.http_connection import MAX_REPLY_BYTES, HttpReply
from drivers.net.http_wire import Wire


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


# Where they are installed, httpx imports rich and click for its own command line (5.7 MB) and
# httpcore imports trio (3.5 MB).
with _pretending_absent("httpx._main", "trio"):
    import httpcore  # noqa: F401 — httpx would import it later
    import httpx

# They log every request, and with its headers at their finest level.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@runtime_checkable
class Dials(Protocol):
    """A transport that has connections as well, for what is no request."""

    async def dial(self) -> Wire:
        """One more. Raises OSError."""


class HttpxWay:
    """Sends requests to one server, one at a time over one connection."""

    def __init__(
        self,
        tls: ssl.SSLContext | None,
        keepalive_s: float,
        transport: httpx.AsyncBaseTransport,
    ) -> None:
        """`tls` is what https trusts; None: plain http."""
        self._transport = transport
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=None,  # noqa: S113 — each request has a deadline for all of its phases together
            follow_redirects=False,
            limits=httpx.Limits(
                max_connections=1,
                max_keepalive_connections=1 if keepalive_s else 0,
                keepalive_expiry=keepalive_s,
            ),
            # A cookie would make the server take us for a browser (and keep state here).
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            verify=tls or False,
            trust_env=False,
        )

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> HttpReply:
        """One request and its reply. Raises OSError."""
        try:
            async with (
                self._client.stream(method, url, content=content, headers=headers) as response,
                aclosing(cast(AsyncGenerator[bytes, None], response.aiter_raw())) as chunks,
            ):
                body, complete = await _bounded(chunks)
                said = dict(response.headers.items())
                return HttpReply(response.status_code, said, body, complete)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectionError(str(error)) from error

    async def connect(self) -> Wire:
        """One more connection, where what takes the network's place has some. Raises OSError."""
        if not isinstance(self._transport, Dials):
            raise ConnectionRefusedError("only requests get through here")
        return await self._transport.dial()

    @property
    def detour(self) -> str:
        return ""

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
