"""Who is let in to the status page, over real sockets."""

import asyncio
import base64
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec.structs import replace

from gateway.monitoring.door import MAX_CLIENTS, MAX_TRIES, TRIES_S, Door, Visit
from gateway.monitoring.report import Report
from gateway.monitoring.server import StatusServer
from gateway.site.page_access import ListenHost
from gateway.site.settings import StatusSettings

TOKEN = "Qm9vLi4uIGEgdG9rZW4"
BEARER = f"Bearer {TOKEN}"


@contextlib.asynccontextmanager
async def serving(
    report: Report, token: Callable[[], str | None], *, open_to_all: bool = False
) -> AsyncIterator[StatusServer]:
    """A page that listens on all addresses."""
    settings = StatusSettings(host=ListenHost("0.0.0.0"), port=0)
    server = StatusServer(settings, lambda: report, token, open_to_all=open_to_all)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    try:
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def get(
    server: StatusServer, path: str, authorization: str = "", host: str = "192.168.1.5:8080"
) -> tuple[int, dict[str, str], str]:
    """Status, headers in lower case, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    login = f"Authorization: {authorization}\r\n" if authorization else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{login}\r\n".encode())
    reply = (await asyncio.wait_for(reader.read(), 10)).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = reply.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


async def test_beyond_this_machine_everything_but_the_state_of_health_takes_the_token(
    healthy_report: Report,
) -> None:
    async with serving(healthy_report, lambda: TOKEN) as server:
        for path in ("/", "/status", "/metrics", "/nothing"):
            status, headers, body = await get(server, path)
            assert status == 401
            assert headers["www-authenticate"].startswith("Basic realm=")
            assert "meter-gateway token" in body
            assert "home-12" not in body
        for login in (BEARER, f"bearer  {TOKEN}", basic("me", TOKEN), basic(TOKEN, "")):
            assert (await get(server, "/status", login))[0] == 200
        assert (await get(server, "/nothing", BEARER))[0] == 404


async def test_strangers_hear_whether_all_is_well_and_not_what_is_not(
    healthy_report: Report,
) -> None:
    async with serving(healthy_report, lambda: TOKEN) as server:
        assert (await get(server, "/healthz"))[::2] == (200, "ok\n")
        assert (await get(server, "/healthz", "Bearer wrong"))[0] == 401

    silent = replace(healthy_report.meters[0], state="silent", last_success_s=1.0)
    async with serving(replace(healthy_report, meters=[silent]), lambda: TOKEN) as server:
        assert (await get(server, "/healthz"))[::2] == (503, "not all is well\n")
        assert "grid: silent" in (await get(server, "/healthz", BEARER))[2]


async def test_without_a_token_nobody_is_let_in_unless_it_was_open_before(
    healthy_report: Report,
) -> None:
    async with serving(healthy_report, lambda: None) as server:
        for login in ("", "Bearer ", basic("", ""), "Bearer None"):
            assert (await get(server, "/status", login))[0] == 401

    tokens: list[str] = []
    open_once = serving(healthy_report, lambda: tokens[0] if tokens else None, open_to_all=True)
    async with open_once as server:
        assert (await get(server, "/status"))[0] == 200
        tokens.append(TOKEN)
        assert (await get(server, "/status"))[0] == 401
        assert (await get(server, "/status", BEARER))[0] == 200


async def test_a_foreign_name_for_this_machine_reads_nothing_token_or_not(
    healthy_report: Report,
) -> None:
    own = socket.gethostname()
    async with serving(healthy_report, lambda: TOKEN) as server:
        for host in ("evil.example", f"{own}.evil.example", "192.168.1.5.nip.io", ""):
            status, _, body = await get(server, "/status", BEARER, host)
            assert status == 421
            assert "home-12" not in body
        for host in (own, f"{own}.local:8080", "10.0.0.9", "[fd00::1]:8080", "localhost"):
            assert (await get(server, "/status", BEARER, host))[0] == 200


async def test_a_new_token_opens_at_once_and_the_old_one_does_not_any_more(
    healthy_report: Report,
) -> None:
    token = TOKEN
    async with serving(healthy_report, lambda: token) as server:
        assert (await get(server, "/status", BEARER))[0] == 200
        token = "another" * 3
        assert (await get(server, "/status", BEARER))[0] == 401
        assert (await get(server, "/status", f"Bearer {token}"))[0] == 200


def door(now: Callable[[], float]) -> Door:
    return Door("0.0.0.0", lambda: TOKEN, now)


def answer(door: Door, token: str, client: str = "192.168.1.7") -> int:
    """The status with which that token is met."""
    away = door.no_token(Visit("192.168.1.5", f"Bearer {token}", client))
    return away.status if away else 200


def test_five_wrong_tokens_a_minute_then_nobody_there_is_listened_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = 1000.0
    tried = door(lambda: now_s)
    with caplog.at_level(logging.WARNING):
        for i in range(MAX_TRIES):
            now_s += 1
            assert answer(tried, f"wrong-{i}") == 401
        assert answer(tried, "wrong-6") == 429
        assert answer(tried, TOKEN) == 429, "or trying would go on"
    assert len(caplog.records) == 1
    assert "192.168.1.7" in caplog.text
    assert "wrong" not in caplog.text.replace("wrong tokens", "")

    assert answer(tried, TOKEN, "192.168.1.8") == 200, "others go in and out"
    now_s += TRIES_S - 4
    assert answer(tried, TOKEN) == 200, "the first of them is a minute old"
    assert answer(tried, "wrong-7") == 401
    assert answer(tried, "wrong-8") == 429


def test_the_same_wrong_token_again_is_no_other_try() -> None:
    now_s = 0.0
    tried = door(lambda: now_s)
    for _ in range(20):
        now_s += 1
        assert answer(tried, "the one before") == 401
    assert answer(tried, TOKEN) == 200


def test_a_network_of_ipv6_is_one_client_and_few_are_remembered() -> None:
    tried = door(lambda: 0.0)
    for i in range(MAX_TRIES):
        assert answer(tried, f"wrong-{i}", f"2001:db8::{i}") == 401
    assert answer(tried, TOKEN, "2001:db8::ffff") == 429
    assert answer(tried, TOKEN, "2001:db8:0:1::1") == 200
    for i in range(MAX_CLIENTS):
        assert answer(tried, "wrong", f"10.0.{i // 256}.{i % 256}") == 401
    assert answer(tried, TOKEN, "2001:db8::ffff") == 200, "forgotten: the memory is bounded"


@pytest.mark.parametrize(
    "login", ["", "Basic", "Basic ???", "Basic YWI", "Digest x", "Bearer", "x" * 99]
)
def test_what_is_no_login_is_asked_for_one(login: str) -> None:
    away = door(lambda: 0.0).no_token(Visit("192.168.1.5", login, "192.168.1.7"))
    assert away is not None
    assert away.status == 401
