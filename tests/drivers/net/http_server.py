"""A small HTTP server for tests: it answers each path with what it was given."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.serving import serving

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
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        answer = self.answers.get(head.split()[1], reply(b"no such page", "404 Not Found"))
        if answer is None:
            await reader.read()
        else:
            writer.write(answer(head) if callable(answer) else answer)


@asynccontextmanager
async def http_server(
    answers: dict[str, Answer | None], tls: ssl.SSLContext | None = None
) -> AsyncIterator[HttpServer]:
    served = HttpServer(answers)
    async with serving(served.serve, tls=tls) as served.port:
        yield served
