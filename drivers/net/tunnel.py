"""A connection through a proxy: it is asked to connect us to the server, and then passes bytes (RFC
9110, section 9.3.6). TLS is spoken with the server, so the proxy sees nothing of it. Shell.
"""

import os
import socket
import ssl

import h11

from drivers.net.http_wire import Wire
from drivers.net.proxies import Proxy

MAX_HEAD_BYTES = 16 * 1024
"""Of the proxy's answer."""

MAX_INTERIM = 16
"""Replies of 1xx before the one that counts."""

_MAX_REASON_CHARS = 100


class ProxyFailed(OSError):
    """The proxy is the reason why there is no connection. The text names it, and says what to
    do.
    """


async def open_tunnel(proxy: Proxy, host: str, port: int, tls: ssl.SSLContext) -> Wire:
    """A connection to the server through the proxy, which is not encrypted yet. The caller has the
    deadline. Raises ProxyFailed.
    """
    try:
        wire = await Wire.connect(proxy.host, proxy.port, tls if proxy.is_tls else None)
    except (OSError, ValueError) as error:  # a name that is none is a ValueError
        remedy = "correct the variable, or unset it"
        if isinstance(error, ssl.SSLError):
            remedy = "write http:// if it speaks no TLS itself, as most do"
        raise ProxyFailed(f"{proxy} cannot be reached ({_words(error)}) — {remedy}") from error

    try:
        await _ask(wire, proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except BaseException:
        wire.abort()
        raise
    return wire


async def _ask(wire: Wire, proxy: Proxy, target: str) -> None:
    """Have the proxy connect us. Raises ProxyFailed."""
    headers = [("Host", target), ("User-Agent", "meter-gateway")]
    if proxy.login:
        headers.append(("Proxy-Authorization", f"Basic {proxy.login}"))

    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    question = http.send(h11.Request(method="CONNECT", target=target, headers=headers)) or b""
    wire.write(question + (http.send(h11.EndOfMessage()) or b""))
    try:
        reply = await _answer(wire, http)
    except (OSError, h11.RemoteProtocolError) as error:
        raise ProxyFailed(
            f"{proxy} does not answer as one ({_words(error)}) — does it speak HTTP there? Correct "
            "the variable, or unset it"
        ) from error
    if not 200 <= reply.status_code < 300:
        raise ProxyFailed(_refusal(proxy, target, reply))


async def _answer(wire: Wire, http: h11.Connection) -> h11.Response:
    """Raises OSError or h11.RemoteProtocolError."""
    for _ in range(MAX_INTERIM):
        while (event := http.next_event()) is h11.NEED_DATA:
            data = await wire.read()
            if not data:
                raise ConnectionResetError("it closed the connection")
            http.receive_data(data)
        if isinstance(event, h11.Response):
            return event
    raise h11.RemoteProtocolError("it says 'wait' for ever, and no more")


def _refusal(proxy: Proxy, target: str, reply: h11.Response) -> str:
    """What it said, and what to do."""
    status = reply.status_code
    if status == 407 and proxy.login:
        return f"{proxy} does not take the login in that variable (407) — correct it there"
    if status == 407:
        return f"{proxy} wants a login (407) — write http://USER:PASSWORD@HOST:PORT there"

    reason = reply.reason.decode("latin-1")[:_MAX_REASON_CHARS]
    said = f"{proxy} answered {status} {reason}".rstrip()
    if status >= 500:
        return f"{said} — it does not reach {target}: is the URL right, and the proxy online?"
    return f"{said} — have it let us through to {target}, or name that host in NO_PROXY"


def _words(error: BaseException) -> str:
    """What the system or a library said."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS failed").replace("_", " ").lower()
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)  # plainer than asyncio's
    return (getattr(error, "strerror", "") or str(error) or type(error).__name__).rstrip(".")
