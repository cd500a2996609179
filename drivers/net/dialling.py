"""Connects to a host by whichever of its addresses answers first ("happy eyeballs", RFC 8305).

A home's router often promises IPv6 that leads nowhere: packets vanish, and nobody says no. So the
addresses of both families take turns, and each has a moment before the next is tried beside it.

asyncio has the same (`happy_eyeballs_delay`), but up to Python 3.13 it leaves a socket open where a
deadline falls together with the connection.
"""

import asyncio
import errno
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import chain, zip_longest
from typing import Any

from drivers.net.addresses import is_localhost

DELAY_S = 0.25
"""How long an attempt is alone ("Connection Attempt Delay", RFC 8305, section 5)."""

MAX_ADDRESSES = 8
"""Of one host that are tried; each is a socket."""

Address = tuple[socket.AddressFamily, Any]


async def dial(
    host: str,
    port: int,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    prepare: Callable[[socket.socket], None] | None = None,
) -> socket.socket:
    """A connected socket, which does not block. `prepare` may set it before it connects.

    The caller has the deadline; where that comes first, nothing stays open. Raises OSError, of
    which socket.gaierror says that the name is not known.
    """
    return await dial_addresses(await find_addresses(host, port, kind), kind, prepare)


async def dial_addresses(
    addresses: Sequence[Address],
    kind: socket.SocketKind = socket.SOCK_STREAM,
    prepare: Callable[[socket.socket], None] | None = None,
) -> socket.socket:
    """As `dial`, where the host's addresses are known."""
    waiting = iter(taking_turns(addresses)[:MAX_ADDRESSES])
    attempts: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    try:
        while True:
            if (address := next(waiting, None)) is not None:
                attempts.add(asyncio.create_task(_connect(address, kind, prepare)))
            if not attempts:
                raise _plainest(errors)

            delay_s = None if address is None else DELAY_S
            done, _ = await asyncio.wait(
                attempts, timeout=delay_s, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                error = attempt.exception()
                if error is None:
                    attempts.discard(attempt)
                    return attempt.result()
                if not isinstance(error, OSError):
                    raise error
                attempts.discard(attempt)
                errors.append(error)
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_put_down)


def taking_turns(addresses: Sequence[Address]) -> list[Address]:
    """The addresses in their order, but the families in turns: the first one's, the other's, and so
    on (RFC 8305, section 4).
    """
    first = [a for a in addresses if a[0] == addresses[0][0]]
    others = [a for a in addresses if a[0] != addresses[0][0]]
    return [a for a in chain.from_iterable(zip_longest(first, others)) if a is not None]


async def find_addresses(host: str, port: int, kind: socket.SocketKind) -> list[Address]:
    """The addresses of a host. A name is looked up in a thread; an address needs none, nor does
    `localhost`: what is sent there in clear must not leave this machine. Raises socket.gaierror,
    which is an OSError, also for what cannot be a name at all.
    """
    if is_localhost(host):
        return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port))]
    literal = _literal(host)
    if literal is None:
        found = await _looked_up(host, port, kind)
        return [(family, address) for family, _, _, _, address in found]
    if literal.version == 6 and "%" in host:
        # The interface of a link-local address has a number, which only the system knows.
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=kind, flags=socket.AI_NUMERICHOST
        )[0]
        return [(family, address)]
    return [(socket.AF_INET if literal.version == 4 else socket.AF_INET6, (host, port))]


def _literal(host: str) -> "ipaddress.IPv4Address | ipaddress.IPv6Address | None":
    """The address that stands there; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


_Question = tuple[str, int, socket.SocketKind]

_under_way: dict[_Question, "Future[list[Any]]"] = {}
"""Look-ups that have not ended. The system's resolver cannot be stopped, and may take half a
minute. So whoever asks the same meanwhile waits for the same answer: one thread for each name.
"""


async def _looked_up(host: str, port: int, kind: socket.SocketKind) -> list[Any]:
    """What `socket.getaddrinfo` says. asyncio's own way would do, but for two things: names that
    hang would use up its few threads, and the end of the process would wait for them.
    """
    question = (host, port, kind)
    found = _under_way.get(question)
    if found is None:
        found = _under_way[question] = Future()
        found.set_running_or_notify_cancel()  # who gives up does not give up for the others
        threading.Thread(target=_look_up, args=(question, found), daemon=True).start()
    return await asyncio.wrap_future(found)


def _look_up(question: _Question, found: "Future[list[Any]]") -> None:
    """Runs in a thread."""
    host, port, kind = question
    # Of a str, Python loads all that names in Unicode need (RFC 3490), which is 0.5 MB.
    name = host.encode("ascii") if host.isascii() else host
    try:
        addresses = socket.getaddrinfo(name, port, type=kind)
    except UnicodeError:  # Python encodes the name first, and is stricter than the system
        _under_way.pop(question, None)
        nobody = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found.set_exception(nobody)
    except Exception as error:  # noqa: BLE001 — it is whoever waits that this concerns
        _under_way.pop(question, None)
        found.set_exception(error)
    else:
        _under_way.pop(question, None)
        found.set_result(addresses)


async def _connect(
    address: Address, kind: socket.SocketKind, prepare: Callable[[socket.socket], None] | None
) -> socket.socket:
    connection = socket.socket(address[0], kind)
    try:
        connection.setblocking(False)
        if prepare is not None:
            prepare(connection)
        await asyncio.get_running_loop().sock_connect(connection, address[1])
    except BaseException:
        connection.close()
        raise
    return connection


def _put_down(attempt: "asyncio.Task[socket.socket]") -> None:
    """An attempt that nobody waits for any more: if it has come to something, close that."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _plainest(errors: Sequence[OSError]) -> OSError:
    """Of what went wrong with the addresses, what tells most: that somebody is there and refuses,
    or else the last.
    """
    refused = (error for error in errors if isinstance(error, ConnectionRefusedError))
    nothing = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return next(refused, errors[-1] if errors else nothing)
