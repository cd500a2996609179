"""Pages that others bring: how they are asked, packed, kept and streamed, over real sockets."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest

from gateway.monitoring import server as server_module
from gateway.monitoring.asked import Answer, Question, plain_path, query_of
from gateway.monitoring.door import Door, TurnedAway
from gateway.monitoring.report import Report
from gateway.monitoring.server import StatusServer
from gateway.site.page_access import ListenHost
from gateway.site.settings import StatusSettings

LONG = b"long " * 1000


class Brought:
    """Pages of a test."""

    posts = ("/login",)

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.ended = 0

    async def answer(self, question: Question) -> Answer | None:
        self.asked.append(question)
        match question.path:
            case "/":
                return Answer(200, b"brought", "text/html", "default-src 'self'")
            case "/long":
                return Answer(200, LONG, keep="ask")
            case "/static":
                return Answer(200, LONG, keep="always")
            case "/late":
                await asyncio.sleep(0.05)
                return Answer(200, b"late")
            case "/live":
                return Answer(200, b"", "text/event-stream", stream=self._news())
            case "/flood":
                return Answer(200, b"", "text/event-stream", stream=self._flood())
            case "/bug":
                raise ZeroDivisionError("of a page")
            case "/login":
                return Answer(200, question.body)
        return None

    async def outside(self, question: Question, away: TurnedAway) -> Answer | None:
        self.asked.append(question)
        return Answer(away.status, b"log in") if question.path in ("/", "/login") else None

    async def _news(self) -> AsyncGenerator[bytes]:
        try:
            for number in range(3):
                yield f"data: {number}\n\n".encode()
            await asyncio.sleep(3600)
        finally:
            self.ended += 1

    async def _flood(self) -> AsyncGenerator[bytes]:
        try:
            while True:
                yield LONG
        finally:
            self.ended += 1


@contextlib.asynccontextmanager
async def serving(
    report: Report, brought: Brought, settings: StatusSettings
) -> AsyncIterator[StatusServer]:
    def pages(_: Door) -> Sequence[Brought]:
        return [brought]

    server = StatusServer(settings, lambda: report, lambda: "t" * 40, pages=pages)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    try:
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def brought() -> Brought:
    return Brought()


@pytest.fixture
async def server(healthy_report: Report, brought: Brought) -> AsyncIterator[StatusServer]:
    async with serving(healthy_report, brought, StatusSettings(port=0)) as server:
        yield server


async def connected(
    server: StatusServer, head: str, body: bytes = b""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head}\r\nHost: localhost\r\n\r\n".encode() + body)
    return reader, writer


async def ask(
    server: StatusServer, head: str, body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, body."""
    reader, writer = await connected(server, head, body)
    reply = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    first, *lines = reply.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, reply.partition(b"\r\n\r\n")[2]


async def test_pages_are_asked_with_what_the_request_says(
    server: StatusServer, brought: Brought
) -> None:
    head = "GET /long/a%20b?x=1&x=2&y=%C3%A4 HTTP/1.1\r\nAccept: text/html\r\nCookie: a=b"
    assert (await ask(server, f"{head}\r\nAccept-Language: de"))[0] == 404
    [asked] = brought.asked
    assert asked.path == "/long/a b"
    assert asked.query == {"x": "2", "y": "ä"}
    assert (asked.languages, asked.cookie, asked.wants_html) == ("de", "a=b", True)
    assert asked.to_root == "../"


async def test_brought_pages_stand_beside_our_own(server: StatusServer) -> None:
    status, headers, body = await ask(server, "GET / HTTP/1.1")
    assert (status, body, headers["cache-control"]) == (200, b"brought", "no-store")
    assert headers["content-security-policy"] == "default-src 'self'"
    assert (await ask(server, "GET /healthz HTTP/1.1"))[2] == b"ok\n"
    assert (await ask(server, "GET /late HTTP/1.1"))[2] == b"late"


async def test_an_answer_is_packed_for_who_takes_that(server: StatusServer) -> None:
    _, headers, body = await ask(server, "GET /long HTTP/1.1\r\nAccept-Encoding: br, gzip;q=0.5")
    assert headers["content-encoding"] == "gzip"
    assert len(body) == int(headers["content-length"]) < 200
    assert gzip.decompress(body) == LONG
    for accepts in ("br", "gzip;q=0", "gzip; q=0.00"):
        _, headers, body = await ask(server, f"GET /long HTTP/1.1\r\nAccept-Encoding: {accepts}")
        assert ("content-encoding" in headers, body) == (False, LONG)


async def test_what_is_known_is_not_sent_again(server: StatusServer) -> None:
    _, headers, _ = await ask(server, "GET /long HTTP/1.1")
    tag = headers["etag"]
    for known in (tag, f'"other", {tag}', "*"):
        status, headers, body = await ask(server, f"GET /long HTTP/1.1\r\nIf-None-Match: {known}")
        assert (status, body, headers["etag"]) == (304, b"", tag)
    assert (await ask(server, 'GET /long HTTP/1.1\r\nIf-None-Match: "other"'))[0] == 200
    assert "immutable" in (await ask(server, "GET /static HTTP/1.1"))[1]["cache-control"]


async def test_a_bug_of_a_page_is_logged_and_ends_nothing(
    server: StatusServer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert (await ask(server, "GET /bug HTTP/1.1"))[0] == 500
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert (await ask(server, "GET /healthz HTTP/1.1"))[0] == 200


async def test_a_post_goes_only_where_pages_take_one(server: StatusServer) -> None:
    head = "POST /login HTTP/1.1\r\nContent-Length: 9"
    assert (await ask(server, head, b"token=abc"))[::2] == (200, b"token=abc")
    assert (await ask(server, "POST /long HTTP/1.1\r\nContent-Length: 0"))[0] == 405
    head = "POST /login HTTP/1.1\r\nContent-Length: 20000"
    assert (await ask(server, head, b"a" * 20_000))[0] == 413


async def test_who_has_no_token_is_shown_what_pages_have_for_that(
    healthy_report: Report, brought: Brought
) -> None:
    settings = StatusSettings(host=ListenHost("0.0.0.0"), port=0)
    async with serving(healthy_report, brought, settings) as server:
        assert (await ask(server, "GET / HTTP/1.1"))[::2] == (401, b"log in")
        assert (await ask(server, "GET /long HTTP/1.1"))[0] == 401
        assert (await ask(server, "DELETE / HTTP/1.1"))[0] == 401


async def test_a_stream_is_sent_as_it_comes_and_ends_when_its_client_leaves(
    server: StatusServer, brought: Brought
) -> None:
    reader, writer = await connected(server, "GET /live HTTP/1.1")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert b"chunked" in head.lower()
    assert b"content-length" not in head.lower()
    await asyncio.wait_for(reader.readuntil(b"data: 2\n\n"), 10)
    writer.close()
    for _ in range(200):
        if brought.ended:
            break
        await asyncio.sleep(0.01)
    assert brought.ended == 1


async def test_who_does_not_take_a_stream_is_cut_off(
    server: StatusServer, brought: Brought, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "TAKE_S", 0.2)
    _, writer = await connected(server, "GET /flood HTTP/1.1")
    for _ in range(500):
        if brought.ended:
            break
        await asyncio.sleep(0.01)
    assert brought.ended == 1
    writer.close()


def test_absurd_paths_and_queries_are_read_as_far_as_they_go() -> None:
    assert plain_path("/%ff%2F..%00") == "/�/..\0"
    assert plain_path("") == "/"
    assert query_of("&&=&a&b=%zz&a=1") == {"": "", "a": "1", "b": "%zz"}
    assert len(query_of("&".join(f"a{n}=1" for n in range(1000)))) == 32
