"""A server behind a proxy: real sockets, real TLS, and proxies that fail in every way, each named
as what it is and not as a fault of the server.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest

from drivers.net.http import HttpClient, HttpError, NoConnection, TooLate
from tests.drivers.net.http_server import http_server, reply
from tests.serving import serving

Certificate = tuple[Path, Path]


class ConnectProxy:
    """It passes bytes, or answers `instead`; None: it says nothing at all."""

    def __init__(self, instead: bytes | None = b"", login: bytes = b"") -> None:
        self._instead = instead
        self._login = login
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self._instead is None:
            await reader.read()
        elif self._instead:
            writer.write(self._instead)
        elif self._login not in head:
            writer.write(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n")
        else:
            await self._pass(head, reader, writer)

    async def _pass(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, _, port = head.split()[1].decode().rpartition(":")
        theirs, ours = await asyncio.open_connection(host, int(port))
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pump(reader, ours), _pump(theirs, writer))
        finally:
            ours.transport.abort()
            with suppress(OSError):
                await ours.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()


def proxy(
    proxy: ConnectProxy, tls: ssl.SSLContext | None = None
) -> AbstractAsyncContextManager[int]:
    return serving(proxy.serve, tls=tls)


def serving_tls(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@asynccontextmanager
async def client(
    monkeypatch: pytest.MonkeyPatch, certificate: Certificate, proxy_url: str, port: int = 9
) -> AsyncIterator[HttpClient]:
    for name in ("https_proxy", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy_url)
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    client = HttpClient(f"https://localhost:{port}", tls=trusted, trust_env=True, keepalive_s=30)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_requests_go_through_it_and_it_sees_nothing_of_them(
    monkeypatch: pytest.MonkeyPatch, certificate: Certificate, scheme: str
) -> None:
    tls = serving_tls(certificate)
    through = ConnectProxy(login=b"Proxy-Authorization: Basic bWU6Z2U6aGVpbQ==\r\n")
    async with (
        http_server({"/data": reply(b"{}")}, tls) as server,
        proxy(through, tls if scheme == "https" else None) as port,
        client(
            monkeypatch, certificate, f"{scheme}://me:ge%3Aheim@localhost:{port}", server.port
        ) as asked,
    ):
        for _ in range(2):
            found = await asked.request("GET", "data", 20.0, headers={"Authorization": "abc"})
            assert found.body == b"{}"
    target = f"localhost:{server.port}".encode()
    assert through.heads[0].startswith(b"CONNECT " + target + b" HTTP/1.1\r\n")
    assert b"Host: " + target in through.heads[0]
    assert b"abc" not in b"".join(through.heads)
    assert "Authorization: abc" in server.heads[0] and "Proxy-" not in server.heads[0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Who\r\nContent-Length: 3\r\n\r\nyou", "wants a login (407) — write http"),
        (b"HTTP/1.0 403 Not for you\r\n\r\n", "answered 403 Not for you — have it let us through"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "answered 502 Bad Gateway — it does not reach local"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer as one ("),
        (b"HTTP/1.1 100 Wait\r\n\r\n" * 40, "it says 'wait' for ever"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "does not answer as one ("),
        (b"HTTP/1.1 200 OK\r\n\r\n", "(by way of the proxy localhost:"),
    ],
)
async def test_what_it_refuses_is_told_as_its_own(
    monkeypatch: pytest.MonkeyPatch, certificate: Certificate, answer: bytes, words: str
) -> None:
    async with (
        proxy(ConnectProxy(answer)) as port,
        client(monkeypatch, certificate, f"http://localhost:{port}") as asked,
    ):
        with pytest.raises(NoConnection) as failed:
            await asked.request("GET", "data", 20.0)
    said = str(failed.value)
    assert said.startswith("https://localhost:9 cannot be reached: ")
    assert f"the proxy localhost:{port} (the environment's HTTPS_PROXY)" in said
    assert words in said


async def test_a_login_that_it_does_not_take_is_told_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, certificate: Certificate
) -> None:
    async with (
        proxy(ConnectProxy(b"HTTP/1.1 407 bWU6Z2VoZWlt\r\n\r\n")) as port,
        client(monkeypatch, certificate, f"http://me:geheim@localhost:{port}") as asked,
    ):
        with pytest.raises(NoConnection, match="does not take the login in that var") as failed:
            await asked.request("GET", "data", 20.0)
    assert "geheim" not in str(failed.value) and "bWU6Z2VoZWlt" not in str(failed.value)


async def test_one_that_says_nothing_is_named_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch, certificate: Certificate
) -> None:
    async with (
        proxy(ConnectProxy(None)) as port,
        client(monkeypatch, certificate, f"http://localhost:{port}") as asked,
    ):
        words = (
            r"within 0\.2 s: the proxy localhost:\d+ \(the env.* has not made the connection — corr"
        )
        with pytest.raises(TooLate, match=words):
            await asked.request("GET", "data", 0.2)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9", "cannot be reached (Connection refused) — correct the variable"),
        ("http://nobody.invalid:9", "the proxy nobody.invalid:9 (the environment's HTTPS_PROXY)"),
        (f"http://{'x' * 70}:9", "the environment's HTTPS_PROXY cannot be used"),
    ],
)
async def test_one_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, certificate: Certificate, url: str, words: str
) -> None:
    async with client(monkeypatch, certificate, url) as asked:
        with pytest.raises(HttpError) as failed:
            await asked.request("GET", "data", 20.0)
    assert words in str(failed.value)
