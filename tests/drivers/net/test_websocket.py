"""The client's side of a websocket, against a server over a real socket that says what a test has
it say.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Ping, Pong, Request, TextMessage

from drivers.net import websocket
from drivers.net.http import HttpClient, NoConnection, TooLate, Unspoken
from drivers.net.websocket import HandshakeRefused, WebSocket, WebsocketClosed
from tests.serving import serving

Talk = Callable[[WSConnection, asyncio.StreamWriter], None]


@asynccontextmanager
async def server(talk: Talk, raw: bytes = b"") -> AsyncIterator[tuple[HttpClient, list[object]]]:
    """Shakes hands and talks; or answers `raw`. What the client says is noted."""
    heard: list[object] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if raw:
            writer.write(raw)
            return
        protocol = WSConnection(ConnectionType.SERVER)
        protocol.receive_data(head)
        for event in protocol.events():
            assert isinstance(event, Request)
            heard.append(event)
        writer.write(protocol.send(AcceptConnection()))
        talk(protocol, writer)
        while data := await reader.read(65536):
            protocol.receive_data(data)
            heard.extend(protocol.events())

    async with serving(serve) as port:
        client = HttpClient(f"http://127.0.0.1:{port}")
        try:
            yield client, heard
        finally:
            await client.aclose()


async def opened(client: HttpClient, max_bytes: int = 1000) -> WebSocket:
    headers = {"Authorization": "JWT abc"}
    return await client.open_websocket("a/b/", 5.0, headers=headers, max_bytes=max_bytes)


async def test_messages_come_whole_binary_or_text_and_in_their_order() -> None:
    def talk(protocol: WSConnection, writer: asyncio.StreamWriter) -> None:
        writer.write(protocol.send(BytesMessage(b"one")))
        writer.write(protocol.send(BytesMessage(b"tw", message_finished=False)))
        writer.write(protocol.send(Ping(b"there?")))
        writer.write(protocol.send(BytesMessage(b"o")))
        writer.write(protocol.send(TextMessage("drei €")))

    async with server(talk) as (client, heard):
        ws = await opened(client)
        assert [await ws.receive() for _ in range(3)] == [b"one", b"two", "drei €".encode()]
        async with asyncio.timeout(20):
            while len(heard) < 2:
                await asyncio.sleep(0.001)
        request, pong = heard
        assert isinstance(request, Request) and request.target == "/a/b/"
        assert (b"authorization", b"JWT abc") in [(n.lower(), v) for n, v in request.extra_headers]
        assert isinstance(pong, Pong) and pong.payload == b"there?"
        await ws.aclose()


async def test_a_message_that_is_too_long_is_dropped_and_the_next_one_comes() -> None:
    def talk(protocol: WSConnection, writer: asyncio.StreamWriter) -> None:
        writer.write(protocol.send(BytesMessage(bytes(5_000_000))))
        writer.write(protocol.send(TextMessage("x" * 1001)))
        writer.write(protocol.send(BytesMessage(b"after")))

    async with server(talk) as (client, _):
        ws = await opened(client)
        assert await ws.receive() == b"after"
        assert ws.too_long == 2
        await ws.aclose()


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x81\x02\xff\xff", b"\x02\xff"])
async def test_what_is_no_frame_ends_the_connection(data: bytes) -> None:
    def talk(_: WSConnection, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    async with server(talk) as (client, _):
        ws = await opened(client)
        with pytest.raises(WebsocketClosed):
            await ws.receive()


async def test_a_server_that_is_silent_is_asked_and_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "PING_AFTER_S", 0.1)
    monkeypatch.setattr(websocket, "ANSWER_WITHIN_S", 0.1)
    async with server(lambda _protocol, _writer: None) as (client, heard):
        ws = await opened(client)
        with pytest.raises(WebsocketClosed, match="silent"):
            await ws.receive()
        assert any(isinstance(event, Ping) for event in heard)


async def test_a_refusal_tells_its_status() -> None:
    raw = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    async with server(lambda _protocol, _writer: None, raw) as (client, _):
        with pytest.raises(HandshakeRefused) as error:
            await opened(client)
        assert error.value.status == 403


@pytest.mark.parametrize("raw", [b"hello\r\n\r\n", b"HTTP/1.1 101 X\r\n\r\n", b"\x15\x03\x01"])
async def test_what_speaks_otherwise_is_told(raw: bytes) -> None:
    async with server(lambda _protocol, _writer: None, raw) as (client, _):
        with pytest.raises(Unspoken):
            await opened(client)


async def test_nobody_there_and_nobody_who_answers() -> None:
    with pytest.raises(NoConnection):
        await opened(HttpClient("http://127.0.0.1:9"))
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        client = HttpClient(f"http://127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(TooLate):
            await client.open_websocket("a/", 0.1, headers={}, max_bytes=10)
