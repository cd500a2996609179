"""An exchange over a real socket whose engine answers over websockets, as a test scripts it: also
with what no engine would say. It takes whatever it is sent, and judges nothing.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any, Self

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

from drivers.net.serving import Server

Frames = list[bytes | str]
"""What is said: bytes in a binary frame, text in a text frame."""

Judge = Callable[[str, str, dict[str, Any]], Frames]
"""What the engine says of a request, by the asset, the command and the body."""


def ready(_asset: str, command: str, body: dict[str, Any]) -> Frames:
    """As the engine takes what is right."""
    word = {"command": command, "status": "ready", "transaction_id": body["transaction_id"]}
    return [json.dumps(word).encode()]


def silent(_asset: str, _command: str, _body: dict[str, Any]) -> Frames:
    """As the engine is of an asset that takes nothing."""
    return []


class TalkingExchange:
    """Behind plain HTTP on loopback; `url` tells where."""

    def __init__(self) -> None:
        self.judge: Judge = ready
        self.verdict_after_s = 0.0
        """Of the reply. Negative: the verdict comes before the reply."""
        self.refuses_websockets = 0
        """The status of the refusal; 0: it takes them."""
        self.answers_post = 200
        self.tokens = 0
        self.takes_tokens_from = 1
        """The first token that is still valid."""
        self.posts: list[tuple[str, str, dict[str, Any]]] = []
        """(asset, command, body) of what was sent."""
        self.websockets: dict[str, list[tuple[WSConnection, asyncio.StreamWriter]]] = {}
        """The open ones, by the end of their path."""
        self.handshakes = 0
        self._server = Server(self._serve)
        self.port = 0

    async def __aenter__(self) -> Self:
        await self._server.listen("127.0.0.1", self.port)
        self.port = self._server.port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def say(self, frames: Frames, where: str = "") -> int:
        """Say it at every websocket whose path has `where` in it. Returns at how many."""
        count = 0
        for path, open_ones in self.websockets.items():
            for protocol, writer in open_ones if where in path else ():
                for frame in frames:
                    is_text = isinstance(frame, str)
                    event = TextMessage(frame) if is_text else BytesMessage(frame)
                    writer.write(protocol.send(event))
                count += 1
        return count

    def say_raw(self, data: bytes) -> None:
        """Bytes that need not be frames at all."""
        for open_ones in self.websockets.values():
            for _, writer in open_ones:
                writer.write(data)

    def hang_up(self) -> None:
        """Lose every websocket without a word."""
        for open_ones in self.websockets.values():
            for _, writer in open_ones:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"upgrade: websocket" in head.lower():
                    await self._talk(head, reader, writer)
                    return
                await self._answer(head.decode("latin-1"), reader, writer)

    async def _answer(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        _, path, _ = head.split("\r\n", 1)[0].split(" ")
        lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = json.loads(await reader.readexactly(int(lines.get("content-length", "0"))) or b"{}")
        status, said = 200, {}
        if path.endswith("/api-token-auth/"):
            self.tokens += 1
            said = {"access": f"token-{self.tokens}"}
        elif not self._is_let_in(lines.get("authorization", "")):
            status, said = 401, {"detail": "not let in"}
        elif "set-energy" in path:
            status = self.answers_post
            *_, asset, command = path.strip("/").split("/")
            self.posts.append((asset, command, body))
            frames = self.judge(asset, command.replace("-", "_"), body)
            if self.verdict_after_s < 0:
                self.say(frames, asset)
                await asyncio.sleep(-self.verdict_after_s)
            else:
                loop = asyncio.get_running_loop()
                loop.call_later(self.verdict_after_s, self.say, frames, asset)
        else:
            status = 404
        data = json.dumps(said).encode()
        reply = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\n"
        writer.write(f"{reply}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()

    def _is_let_in(self, authorization: str) -> bool:
        number = authorization.rpartition("token-")[2]
        return number.isdigit() and int(number) >= self.takes_tokens_from

    async def _talk(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        protocol = WSConnection(ConnectionType.SERVER)
        protocol.receive_data(head)
        path = ""
        while True:
            for event in protocol.events():
                if isinstance(event, Request):
                    self.handshakes += 1
                    headers = {name.lower(): value for name, value in event.extra_headers}
                    let_in = self._is_let_in(headers.get(b"authorization", b"").decode())
                    status = self.refuses_websockets or (0 if let_in else 401)
                    if status:
                        writer.write(protocol.send(RejectConnection(status_code=status)))
                        return
                    writer.write(protocol.send(AcceptConnection()))
                    path = event.target
                    self.websockets.setdefault(path, []).append((protocol, writer))
                elif isinstance(event, Ping):
                    writer.write(protocol.send(event.response()))
                elif isinstance(event, CloseConnection):
                    writer.write(protocol.send(event.response()))
                    return
            data = await reader.read(65536)
            if not data:
                self.websockets[path] = [
                    each for each in self.websockets[path] if each[1] is not writer
                ]
                return
            protocol.receive_data(data)
