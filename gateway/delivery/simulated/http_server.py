"""The simulated exchange behind plain HTTP on loopback: HTTP/1.1, as much as its clients speak."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Self
from uuid import UUID

from gateway.delivery.simulated.answers import json_answer
from gateway.delivery.simulated.exchange import Mode, StrictExchange

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024 * 1024

_WORDS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
}


class StandInExchange(StrictExchange):
    """A strict exchange behind plain HTTP on loopback. `port` 0 takes a free one; `url` tells
    it.
    """

    def __init__(
        self,
        network: UUID,
        assets: Mapping[UUID, str],
        *,
        slot_s: int = 900,
        token_life_s: float = 48 * 3600.0,
        now: Callable[[], float] = time.time,
        port: int = 0,
    ) -> None:
        super().__init__(network, assets, slot_s=slot_s, token_life_s=token_life_s, now=now)
        self.port = port
        self._server: asyncio.Server | None = None
        self._handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=MAX_HEAD_BYTES
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        handlers = list(self._handlers)
        for task, writer in self._handlers.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
        length = int(headers.get("content-length", "0"))
        if length > MAX_BODY_BYTES or "transfer-encoding" in headers:
            answer = json_answer(
                413 if length > MAX_BODY_BYTES else 411, {"detail": "too much, or no length"}
            )
        else:
            answer = self.handle(method, target, headers, await reader.readexactly(length))
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.sends == "nothing":
            return False
        keep = (
            version == "HTTP/1.1"
            and headers.get("connection", "").lower() != "close"
            and answer.status not in (411, 413)
        )
        fields = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
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
