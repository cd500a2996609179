"""The simulated exchange behind HTTP/1.1 and websockets: as much of both as its clients speak."""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Self
from uuid import UUID

from wsproto.utilities import RemoteProtocolError

from drivers.net.serving import Server
from gateway.delivery.simulated.answers import Answer, json_answer
from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.books import MAX_HISTORY
from gateway.delivery.simulated.community import Community
from gateway.delivery.simulated.exchange import Mode, StrictExchange
from gateway.delivery.simulated.websocket import ServerWebSocket

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024
SHORTEST_SLEEP_S = 0.01

_WORDS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
}


class StandInExchange(StrictExchange):
    """A strict exchange behind HTTP: plain on loopback, or with TLS. `port` 0 takes a free one;
    `url` tells it.
    """

    def __init__(
        self,
        network: UUID,
        assets: Mapping[UUID, str] | Community,
        *,
        slot_s: int = 900,
        token_life_s: float = 48 * 3600.0,
        now: Callable[[], float] = time.time,
        max_history: int | None = MAX_HISTORY,
        behaviour: Behaviour | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(
            network,
            assets,
            slot_s=slot_s,
            token_life_s=token_life_s,
            now=now,
            max_history=max_history,
            behaviour=behaviour,
        )
        self.host = host
        self.port = port
        self._tls = tls
        self._server = Server(self.serve, tls=tls, limit=MAX_HEAD_BYTES)
        self._ticking: asyncio.Task[None] | None = None
        self._handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.websockets: set[ServerWebSocket] = set()
        """Those that are open."""
        self.pages: dict[str, Callable[[], Answer]] = {}
        """What anybody may look at, by path."""

    async def __aenter__(self) -> Self:
        await self._server.listen(self.host, self.port)
        self.port = self._server.port
        self._ticking = asyncio.create_task(self.tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._ticking is not None
        self._ticking.cancel()
        await self._server.close()
        await asyncio.gather(self._ticking, return_exceptions=True)

    async def hang_up(self) -> None:
        """End every connection."""
        handlers = list(self._handlers)
        for task, writer in self._handlers.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'http' if self._tls is None else 'https'}://{self.host}:{self.port}"

    def mode(
        self,
        mode: Mode,
        *,
        status: int = 500,
        retry_after_s: float | None = None,
        dated_ahead_s: float | None = None,
        seconds: float = 30.0,
        where: str = "",
        times: int | None = None,
    ) -> None:
        super().mode(
            mode,
            status=status,
            retry_after_s=retry_after_s,
            dated_ahead_s=dated_ahead_s,
            seconds=seconds,
            where=where,
            times=times,
        )
        if mode == "down":
            for writer in self._handlers.values():
                writer.transport.abort()

    async def tick(self) -> None:
        """The engine's time, for ever."""
        while True:
            # What arrives meanwhile is due at the next tick.
            due_s = min(self.engine.next_due_s(), self.engine.next_tick_s())
            wait_s = due_s - self.now()
            await asyncio.sleep(max(wait_s, SHORTEST_SLEEP_S))
            self.engine.advance()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends. It is what the server does, and whoever takes its
        place.
        """
        task = asyncio.current_task()
        assert task is not None
        self._handlers[task] = writer
        try:
            while await self._turn(reader, writer):
                pass
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            pass  # the client went away, or does not speak HTTP: its connection ends
        except asyncio.CancelledError:
            pass  # the exchange ends
        finally:
            del self._handlers[task]
            writer.transport.abort()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer. False: the connection ends."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        method, target, version = first.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        if headers.get("upgrade", "").lower() == "websocket":
            return await self._upgraded(target, headers, reader, writer)
        length = int(headers.get("content-length", "0"))
        if length > MAX_BODY_BYTES or "transfer-encoding" in headers:
            answer = json_answer(
                413 if length > MAX_BODY_BYTES else 411, {"detail": "too much, or no length"}
            )
        elif method == "GET" and target in self.pages:
            answer = self.pages[target]()
        else:
            answer = self.handle(method, target, headers, await reader.readexactly(length))
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        return await self._send(answer, writer, keep and answer.status not in (411, 413))

    async def _send(self, answer: Answer, writer: asyncio.StreamWriter, keep: bool) -> bool:
        """Whether the connection goes on."""
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.sends == "nothing":
            return False
        fields = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Date", formatdate(self.now(), usegmt=True)),
            *answer.headers,
        ]
        fields.append(("Connection", "keep-alive" if keep else "close"))
        text = "".join(f"{name}: {value}\r\n" for name, value in fields)
        sent = answer.body if answer.sends == "all" else answer.body[: len(answer.body) // 2]
        keep = keep and answer.sends == "all"
        writer.write(
            f"HTTP/1.1 {answer.status} {_WORDS.get(answer.status, 'Status')}\r\n{text}\r\n".encode()
            + sent
        )
        await writer.drain()
        if not keep:
            writer.close()
            await writer.wait_closed()
        return keep

    async def _upgraded(
        self,
        target: str,
        headers: Mapping[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """A websocket, until it ends; or the answer that refuses it."""
        opened = self.open_stream(target, headers)
        if isinstance(opened, Answer):
            return await self._send(opened, writer, keep=False)
        try:
            websocket = ServerWebSocket(reader, writer, target, headers)
        except RemoteProtocolError as error:
            refusal = json_answer(400, {"detail": str(error)})
            return await self._send(refusal, writer, keep=False)

        end = self.engine.listen(opened, websocket.tell)
        self.websockets.add(websocket)
        try:
            await websocket.serve()
        finally:
            self.websockets.discard(websocket)
            end()
        return False
