"""Our own HTTP connection against real sockets: TLS, bodies of every kind, what is kept, what is
lost, and what never ends.
"""

import asyncio
import gzip
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.net.http import HttpClient, NoConnection, TooLate, authorities
from drivers.net.http_connection import MAX_HEAD_BYTES, MAX_REPLY_BYTES
from drivers.net.http_wire import Wire
from tests.serving import serving

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers every request with `answer`, which may close the connection; counts both."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.ended = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                self.bodies.append(await reader.readexactly(int(length or 0)))
                await self._answer(reader, writer)
                await writer.drain()
        except (OSError, EOFError):
            pass  # whoever asked has gone
        finally:
            self.ended += 1


@asynccontextmanager
async def started(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answer)
    async with serving(server.serve, tls=tls) as server.port:
        yield server


@asynccontextmanager
async def client_of(
    server: Server, *, keepalive_s: float = 30.0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[HttpClient]:
    url = f"https://localhost:{server.port}" if tls else f"http://127.0.0.1:{server.port}"
    client = HttpClient(url, tls=tls, keepalive_s=keepalive_s)
    try:
        yield client
    finally:
        await client.aclose()


def saying(data: bytes, *, then_close: bool = False) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if then_close:
            writer.close()

    return answer


async def test_a_request_travels_as_it_should() -> None:
    async with started(saying(OK)) as server, client_of(server) as client:
        await client.request("POST", "a b/ü?q=1&r=ö", 20.0, content=b'{"x": 1}')
    first, *rest = server.heads[0].decode("ascii").split("\r\n")
    assert first == "POST /a%20b/%C3%BC?q=1&r=%C3%B6 HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}" in rest
    assert "Accept-Encoding: identity" in rest
    assert "Content-Length: 8" in rest
    assert server.bodies == [b'{"x": 1}']


async def test_a_connection_with_tls_takes_little_memory(certificate: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    trusted = ssl.create_default_context(cafile=certificate[0])
    count = 5
    async with started(saying(OK), context) as server:
        tracemalloc.start()
        try:
            wires = [await Wire.connect("localhost", server.port, trusted) for _ in range(count)]
            bytes_each = tracemalloc.get_traced_memory()[0] / count
        finally:
            tracemalloc.stop()
        for wire in wires:
            wire.abort()
    assert bytes_each < 200_000, "both ends are here, and asyncio's own buffers would be 512 KiB"


async def test_tls_is_verified_and_its_connection_kept(certificate: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    trusted = ssl.create_default_context(cafile=certificate[0])

    big = b"x" * 300_000
    async with started(saying(OK), context) as server:
        async with client_of(server, tls=trusted) as client:
            for _ in range(3):
                assert (await client.request("POST", "/", 20.0, content=big)).body == b"{}"
        assert server.bodies == [big] * 3
        assert server.connections == 1

        async with client_of(server, tls=authorities()) as client:
            with pytest.raises(NoConnection, match=r"certificate is not valid.*SSL_CERT_FILE"):
                await client.request("GET", "/", 20.0)
        assert len(server.heads) == 3


@pytest.mark.parametrize(
    ("raw", "body", "kept"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde", True),
        (b"Content-Length: 0\r\n\r\n", b"", True),
        (b"Content-Length: 3\r\nConnection: close\r\n\r\nabc", b"abc", False),
        (b"Content-Length: 3\r\n\r\nabcHTTP/1.1 200 unasked", b"abc", False),
    ],
)
async def test_bodies_end_as_their_heads_say(raw: bytes, body: bytes, kept: bool) -> None:
    async with (
        started(saying(b"HTTP/1.1 200 OK\r\n" + raw)) as server,
        client_of(server) as client,
    ):
        for _ in range(2):
            assert (await client.request("GET", "/", 20.0)).body == body
        assert server.connections == (1 if kept else 2)


async def test_a_body_may_end_with_the_connection_and_an_interim_reply_is_none() -> None:
    raw = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.0 200 OK\r\nA: 1\r\nA: 2\r\n\r\nall of it"
    async with (
        started(saying(raw, then_close=True)) as server,
        client_of(server) as client,
    ):
        reply = await client.request("GET", "/", 20.0)
    assert (reply.status, reply.body, reply.headers["a"]) == (200, b"all of it", "1, 2")


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-L",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"",
    ],
)
async def test_a_reply_that_breaks_off_is_none_and_the_next_one_is_right(raw: bytes) -> None:
    said = [raw, OK]

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said[0])
        if len(said) > 1:
            said.pop(0)
            writer.close()

    async with started(answer) as server, client_of(server) as client:
        with pytest.raises(NoConnection, match=r"cannot be reached: ."):
            await client.request("GET", "/", 20.0)
        assert (await client.request("GET", "/", 20.0)).body == b"{}"


async def test_a_connection_that_is_reset_says_so() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.transport.abort()

    async with started(answer) as server, client_of(server) as client:
        with pytest.raises(NoConnection, match=r"reset by peer|peer closed connection"):
            await client.request("GET", "/", 20.0)


async def test_a_server_that_closed_a_kept_connection_is_called_again() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        writer.close()

    async with started(answer) as server, client_of(server) as client:
        for n in range(3):
            assert (await client.request("GET", "/", 20.0)).body == b"{}"
            async with asyncio.timeout(20):
                while server.ended <= n:
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
        assert server.connections == 3


async def test_an_idle_connection_is_closed_by_itself() -> None:
    async with started(saying(OK)) as server, client_of(server, keepalive_s=0.05) as client:
        await client.request("GET", "/", 20.0)
        async with asyncio.timeout(20):
            while not server.ended:
                await asyncio.sleep(0.001)
        assert (await client.request("GET", "/", 20.0)).status == 200
        assert server.connections == 2


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
async def test_what_drips_ends_at_the_deadline_and_with_it_the_connection(begin: bytes) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begin or b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"x" if begin else b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with started(answer) as server, client_of(server) as client:
        with pytest.raises(TooLate, match=r"did not answer within 0\.2 s"):
            await client.request("GET", "/", 0.2)
        async with asyncio.timeout(20):
            while not server.ended:
                await asyncio.sleep(0.001)


async def test_a_server_that_takes_nothing_ends_at_the_deadline() -> None:
    async def deaf(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serving(deaf) as port:
        client = HttpClient(f"http://127.0.0.1:{port}")
        with pytest.raises(TooLate):
            await client.request("POST", "/", 0.2, content=b"x" * 8_000_000)
        await client.aclose()


async def test_a_head_without_end_is_refused() -> None:
    endless = b"HTTP/1.1 200 OK\r\nX: " + b"y" * (3 * MAX_HEAD_BYTES)
    async with started(saying(endless)) as server, client_of(server) as client:
        with pytest.raises(NoConnection, match="too"):
            await client.request("GET", "/", 20.0)


async def test_a_body_without_end_is_cut_and_its_connection_dropped() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    async with started(answer) as server, client_of(server) as client:
        reply = await client.request("GET", "/", 20.0)
        assert (len(reply.body), reply.complete) == (MAX_REPLY_BYTES, False)
        async with asyncio.timeout(20):
            while not server.ended:
                await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "flood", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 A\r\nB: c\r\n\r\n"]
)
async def test_replies_that_say_wait_for_ever_are_not_waited_for(flood: bytes) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(flood * 1000)
            await writer.drain()

    async with started(answer) as server, client_of(server) as client:
        with pytest.raises(NoConnection, match="for ever"):
            await client.request("GET", "/", 20.0)


async def test_a_body_in_tiny_parts_leaves_the_others_their_turn() -> None:
    parts = b"1\r\nx\r\n" * (MAX_REPLY_BYTES + 99)
    flood = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with started(saying(flood)) as server, client_of(server) as client:
        counting = asyncio.create_task(count())
        reply = await client.request("GET", "/", 20.0)
        counting.cancel()
    assert len(reply.body) == MAX_REPLY_BYTES
    assert turns > MAX_REPLY_BYTES / 100


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_what_is_packed_though_nobody_asked_is_read_within_bounds(coding: str) -> None:
    pack = gzip.compress if coding == "gzip" else zlib.compress
    for body, expected in (
        (b'{"a": 1}', (b'{"a": 1}', True)),
        (bytes(9_000_000), (bytes(MAX_REPLY_BYTES), False)),
    ):
        packed = pack(body)
        head = "HTTP/1.1 200 OK\r\n"
        head += f"Content-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n\r\n"
        async with (
            started(saying(head.encode() + packed)) as server,
            client_of(server) as client,
        ):
            reply = await client.request("GET", "/", 20.0)
            assert (reply.body, reply.complete) == expected


async def test_a_coding_that_is_not_known_is_named() -> None:
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nxx"
    async with started(saying(packed)) as server, client_of(server) as client:
        with pytest.raises(NoConnection, match=r"answered 200 .*'br' is not known.*proxy"):
            await client.request("GET", "/", 20.0)


async def test_a_server_that_speaks_tls_to_plain_words_is_named(
    certificate: tuple[Path, Path],
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with started(saying(OK), context) as server:
        client = HttpClient(f"http://127.0.0.1:{server.port}")
        with pytest.raises(NoConnection, match=r"speaks? TLS (on this port|there)"):
            await client.request("GET", "/", 20.0)
        await client.aclose()


async def test_requests_take_turns() -> None:
    async with started(saying(OK)) as server, client_of(server) as client:
        replies = await asyncio.gather(*(client.request("GET", "/", 20.0) for _ in range(5)))
        assert [reply.body for reply in replies] == [b"{}"] * 5
        assert server.connections == 1


async def test_a_header_that_would_be_two_is_not_sent() -> None:
    async with started(saying(OK)) as server, client_of(server) as client:
        with pytest.raises(NoConnection) as refused:
            await client.request(
                "GET", "/", 20.0, headers={"A": "b\r\nC: geheim"}, secrets=("geheim",)
            )
        assert "geheim" not in str(refused.value)
    assert server.heads == []


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a:99999", "a"])
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        HttpClient(url)
