"""A server that was closed leaves nothing open, whenever that was."""

import asyncio
import contextlib
import resource
import socket
import ssl
from pathlib import Path

import pytest

from drivers.net import serving as serving_module
from drivers.net.serving import Server
from tests.serving import connected, nothing_is_left, serving

Certificate = tuple[Path, Path]

pytestmark = pytest.mark.filterwarnings("error::ResourceWarning")
TURNS = 25
"""Of the loop, within which a connection has certainly been handed over."""


@pytest.fixture
def tls(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)


async def test_it_serves_and_a_connection_ends_with_its_handler() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())

    async with serving(once) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()
        await writer.wait_closed()
    nothing_is_left()


@pytest.mark.parametrize("says", [b"", b"x", b"\x16\x03\x01"], ids=["silent", "byte", "hello"])
@pytest.mark.parametrize("with_tls", [False, True])
async def test_it_may_end_at_any_moment(tls: ssl.SSLContext, with_tls: bool, says: bytes) -> None:
    for turns in range(TURNS):
        async with serving(echo, tls=tls if with_tls else None) as port:
            client = await connected(port)
            if says:
                client.send(says)
            for _ in range(turns):
                await asyncio.sleep(0)
        nothing_is_left()
        client.setblocking(True)
        client.settimeout(5)
        with contextlib.suppress(ConnectionError):  # it is told either way
            while client.recv(100):
                pass
        client.close()


async def test_it_may_end_in_any_moment_of_a_handshake(
    tls: ssl.SSLContext, certificate: Certificate
) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    for turns in range(4 * TURNS):
        async with serving(echo, tls=tls) as port:
            dialling = asyncio.create_task(
                asyncio.open_connection("127.0.0.1", port, ssl=trusted, server_hostname="localhost")
            )
            for _ in range(turns):
                await asyncio.sleep(0)
        async with asyncio.timeout(20):
            (found,) = await asyncio.gather(dialling, return_exceptions=True)
        if not isinstance(found, BaseException):
            found[1].transport.abort()
            with contextlib.suppress(OSError):
                await found[1].wait_closed()
        del found, dialling
        await asyncio.sleep(0)
        nothing_is_left()


async def test_a_handler_that_waits_is_cancelled_and_awaited() -> None:
    ends: list[str] = []

    async def wait(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"x" * 10_000_000)  # more than anybody takes
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ends.append("ended")

    async with serving(wait) as port:
        clients = [await connected(port) for _ in range(3)]
        for client in clients:
            await asyncio.get_running_loop().sock_recv(client, 1)
    assert ends == ["ended"] * 3
    nothing_is_left()
    for client in clients:
        client.close()


async def test_what_a_handler_raises_is_seen_also_where_the_test_fails_for_it() -> None:
    async def judge(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"right\n"

    with pytest.raises(AssertionError, match="right") as caught:
        async with serving(judge) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"wrong\n")
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            raise LookupError("nothing came")
    assert isinstance(caught.value.__context__, LookupError)
    nothing_is_left()


@pytest.mark.parametrize("says", [b"", b"half"])
async def test_that_the_other_side_goes_away_is_no_failure(says: bytes) -> None:
    ended = asyncio.Event()

    async def ask(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(100)
        finally:
            ended.set()

    async with serving(ask) as port:
        with await connected(port) as client:
            client.send(says)
        await ended.wait()
    nothing_is_left()


async def test_it_hangs_up_and_goes_on_and_listens_again() -> None:
    server = Server(echo)
    loop = asyncio.get_running_loop()
    await server.listen("127.0.0.1", 0)
    port = server.port
    for _ in range(2):
        with await connected(port) as client:
            client.send(b"x")
            assert await loop.sock_recv(client, 9) == b"x"
            await server.hang_up()
            with contextlib.suppress(ConnectionResetError):
                assert await loop.sock_recv(client, 9) == b""
    await server.close()
    with pytest.raises(ConnectionRefusedError):
        await connected(port)
    await server.listen("127.0.0.1", port)
    (await connected(port)).close()
    with pytest.raises(OSError, match="in use"):
        await Server(echo).listen("127.0.0.1", port)
    await server.close()
    await server.close()
    nothing_is_left()


async def test_where_nobody_listens_to_failures_the_loop_is_told() -> None:
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(repr(context["exception"])))

    async def broken(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        raise RuntimeError("a bug")

    server = Server(broken)
    await server.listen("127.0.0.1", 0)
    with await connected(server.port) as client, contextlib.suppress(ConnectionResetError):
        assert await loop.sock_recv(client, 9) == b""
    await server.close()
    assert told == ["RuntimeError('a bug')"]
    nothing_is_left()


async def test_without_descriptors_it_waits_and_takes_the_connection_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving_module, "EXHAUSTED_S", 0.05)
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    async with serving(echo) as port:
        client = socket.socket()
        client.setblocking(False)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
        try:
            await loop.sock_connect(client, ("127.0.0.1", port))
            async with asyncio.timeout(20):
                while len(told) < 2:
                    await asyncio.sleep(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        client.send(b"x")
        async with asyncio.timeout(20):
            assert await loop.sock_recv(client, 9) == b"x"
        client.close()
    assert set(told) == {"socket.accept() out of system resource"}
    nothing_is_left()
