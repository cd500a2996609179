"""A small HTTP server for tests: it answers each path with what it was given."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = bytes | Callable[[str], bytes]
"""Bytes as they travel, or what makes them of the request's head."""


def reply(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@dataclass
class HttpServer:
    """`answers` are by path; `heads` is what it was asked. None answers nothing at all."""

    answers: dict[str, Answer | None]
    heads: list[str] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            answer = self.answers.get(head.split()[1], reply(b"no such page", "404 Not Found"))
            if answer is None:
                await reader.read()
                return
            writer.write(answer(head) if callable(answer) else answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@asynccontextmanager
async def http_server(
    answers: dict[str, Answer | None], tls: ssl.SSLContext | None = None
) -> AsyncIterator[HttpServer]:
    served = HttpServer(answers)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        served.port = server.sockets[0].getsockname()[1]
        yield served
