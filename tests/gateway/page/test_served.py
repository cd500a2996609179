"""The pages over HTTP, from the real server."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from zoneinfo import ZoneInfo

import pytest

from gateway.history.refusals import Busy
from gateway.monitoring.server import StatusServer
from gateway.page.served import About, ServedPages
from gateway.site.page_access import ListenHost
from gateway.site.settings import StatusSettings
from tests.browser.told import Told
from tests.gateway.page import sample_answers as sample

TOKEN = "Qm9vLi4uIGEgdG9rZW4"
HTML = "Accept: text/html\r\n"


@asynccontextmanager
async def serving(
    told: Told, host: str = "127.0.0.1", token: Callable[[], str | None] = lambda: None
) -> AsyncIterator[StatusServer]:
    about = About(title="Our house", zone=ZoneInfo(sample.ZONE))
    server = StatusServer(
        StatusSettings(host=ListenHost(host), port=0),
        told.report,
        token,
        pages=lambda door: [ServedPages(told, told.report, about, door)],
    )
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    try:
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(
    server: StatusServer, path: str, headers: str = HTML, body: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, body. With a body it is a POST."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    method = "POST" if body else "GET"
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}{headers}\r\n"
    writer.write(head.encode() + body.encode())
    reply = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    first, _, rest = reply.partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    named = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), named, rest


PATHS = (
    "/",
    "/days",
    "/days/2026-11-28",
    "/days/2026-11-28?asset=nobody",
    "/months",
    "/months/2026-11",
    f"/slots/{sample.HOUSE}/{sample.SLOT_S}",
    "/meters",
    "/meters/grid",
    "/exchange",
    "/events",
    "/events?before=9&meter=pv",
    "/help",
    "/help/disk",
    "/technical",
)


@pytest.mark.parametrize("path", PATHS)
async def test_every_address_has_a_page_with_a_policy_and_without_a_foreign_link(path: str) -> None:
    async with serving(Told()) as server:
        status, headers, body = await ask(server, path)
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        text = body.decode()
        assert text.startswith("<!DOCTYPE html>")
        links = re.findall(r'(?:href|src|action)="([^"]*)"', text)
        assert not [link for link in links if re.match(r"/|https?:", link)]
        for link in links:
            if "static/" in link:
                found = await ask(server, "/" + link.lstrip("./"))
                assert found[0] == 200
                assert "immutable" in found[1]["cache-control"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/days/2026-13-45", 404),
        ("/days/yesterday", 400),
        ("/days/2026-11-28/more", 404),
        ("/days/1999-01-01", 404),
        ("/months/9999-99", 404),
        ("/slots/nobody/1", 404),
        (f"/slots/{sample.HOUSE}/abc", 404),
        (f"/slots/{sample.HOUSE}", 404),
        ("/meters/nobody", 404),
        ("/help/nothing", 404),
        ("/static/0123456789abcdef.css", 404),
        ("/%00%ff/../..", 404),
        ("/" + "x" * 4000, 404),
    ],
)
async def test_what_is_not_there_is_said_in_a_page(path: str, status: int) -> None:
    async with serving(Told()) as server:
        found, headers, body = await ask(server, path)
        assert found == status
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert b"To the first page" in body
        assert (await ask(server, path, ""))[0] == status, "a program is told as well"


async def test_what_cannot_be_read_is_said_and_the_first_page_is_there() -> None:
    told = Told()
    told.refusal = Busy("too many ask at once")
    async with serving(told) as server:
        status, _, body = await ask(server, "/days")
        assert status == 503
        assert b"too many ask at once" in body
        assert b"Please try again in a minute" in body
        status, _, body = await ask(server, "/")
        assert status == 200
        assert b"2.98" in body


@pytest.mark.parametrize(("asked", "spoken"), [("de-AT", "de"), ("nl", "nl"), ("fr", "en")])
async def test_the_language_is_the_reader_s(asked: str, spoken: str) -> None:
    async with serving(Told()) as server:
        body = (await ask(server, "/", f"{HTML}Accept-Language: {asked}\r\n"))[2]
        assert f'<html lang="{spoken}">'.encode() in body


async def test_the_first_load_is_small_and_the_next_one_smaller() -> None:
    async with serving(Told()) as server:
        packed = f"{HTML}Accept-Encoding: gzip\r\n"
        _, headers, body = await ask(server, "/", packed)
        assert headers["content-encoding"] == "gzip"
        text = gzip.decompress(body).decode()
        first = len(body)
        for path in set(re.findall(r'"\./(static/[^"]+)"', text)):
            first += len((await ask(server, f"/{path}", packed))[2])
        assert first <= 25_000
        assert len(body) <= 8_000
        again = f"{packed}If-None-Match: {headers['etag']}\r\n"
        status, _, body = await ask(server, "/", again)
        assert (status, body) == (304, b"")


async def test_beyond_this_machine_a_browser_is_asked_for_the_token_and_given_a_cookie() -> None:
    tokens: list[str] = [TOKEN]
    async with serving(Told(), "0.0.0.0", lambda: tokens[0]) as server:
        status, headers, body = await ask(server, "/meters")
        assert status == 401
        assert "www-authenticate" not in headers, "a browser would put up a window of its own"
        assert b'type="password"' in body
        assert b"Our house" not in body
        assert b"grid" not in body
        status, headers, _ = await ask(server, "/status", "")
        assert (status, headers["www-authenticate"][:5]) == (401, "Basic"), "a program is asked so"
        style = re.search(rb'href="([^"]*static/[^"]+)"', body)
        assert style is not None
        assert (await ask(server, "/" + style[1].decode().lstrip("./")))[0] == 200

        status, _, body = await ask(server, "/login", HTML, "token=wrong")
        assert (status, b"That is not the token." in body) == (401, True)
        status, headers, _ = await ask(server, "/login", HTML, f"token={TOKEN}")
        assert (status, headers["location"]) == (303, "./")
        cookie, *flags = headers["set-cookie"].split("; ")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(flags)
        assert TOKEN not in cookie

        kept = f"{HTML}Cookie: other=1; {cookie}; more=2\r\n"
        assert (await ask(server, "/", kept))[0] == 200
        assert (await ask(server, "/status", kept))[0] == 200
        assert (await ask(server, "/", f"{HTML}Cookie: {cookie[:-1]}0\r\n"))[0] in (200, 401)
        assert (await ask(server, "/", f"{HTML}Cookie: meter-gateway={TOKEN}\r\n"))[0] == 401
        assert (await ask(server, "/", f"{HTML}Cookie: meter-gateway=\r\n"))[0] == 401

        status, headers, _ = await ask(server, "/logout", kept)
        assert status == 303
        assert "Max-Age=0" in headers["set-cookie"]
        tokens[0] = "another" * 3
        assert (await ask(server, "/", kept))[0] == 401


async def test_five_wrong_tokens_a_minute_and_who_is_in_stays_in() -> None:
    async with serving(Told(), "0.0.0.0", lambda: TOKEN) as server:
        _, headers, _ = await ask(server, "/login", HTML, f"token={TOKEN}")
        kept = f"{HTML}Cookie: {headers['set-cookie'].partition(';')[0]}\r\n"
        for n in range(5):
            assert (await ask(server, "/login", HTML, f"token=wrong{n}"))[0] == 401
        status, headers, body = await ask(server, "/login", HTML, f"token={TOKEN}")
        assert status == 429
        assert int(headers["retry-after"]) <= 61
        assert b"Too many wrong tokens" in body
        assert (await ask(server, "/", kept))[0] == 200


@pytest.mark.parametrize("body", ["token", "token=&token=x", "=&=&=", "x=" + "y" * 7000, "%ff%00"])
async def test_what_else_is_posted_is_no_login(body: str) -> None:
    async with serving(Told(), "0.0.0.0", lambda: TOKEN) as server:
        assert (await ask(server, "/login", HTML, body))[0] == 401
        assert (await ask(server, "/", HTML, body))[0] in (401, 405)


async def test_a_phone_that_puts_it_on_its_home_screen_gets_a_name_and_an_icon() -> None:
    async with serving(Told()) as server:
        page = (await ask(server, "/meters/grid"))[2].decode()
        assert 'rel="manifest" href="../manifest.webmanifest"' in page
        icon = re.search(r'rel="apple-touch-icon" href="\.\./(static/[^"]+)"', page)
        assert icon is not None
        status, headers, body = await ask(server, f"/{icon[1]}")
        assert (status, headers["content-type"]) == (200, "image/png")
        assert body.startswith(b"\x89PNG")
        assert len(body) < 4_000
        status, headers, body = await ask(server, "/manifest.webmanifest", "")
        assert (status, headers["content-type"]) == (200, "application/manifest+json")
        told = json.loads(body)
        assert told["name"] == "Our house"
        assert told["icons"][0]["src"] == icon[1]
    async with serving(Told(), "0.0.0.0", lambda: TOKEN) as server:
        status, _, body = await ask(server, "/manifest.webmanifest", "")
        assert (status, b"Our house" in body) == (401, False)
        assert b"manifest" not in (await ask(server, "/"))[2]
