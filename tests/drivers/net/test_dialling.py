"""A host with several addresses, of which some lead nowhere."""

import asyncio
import gc
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.line import LineError, LineUrl, SerialSettings, open_any_line
from drivers.net.dialling import DELAY_S, dial, taking_turns
from drivers.net.http import HttpClient, NoConnection
from drivers.net.mqtt import Broker, MqttConnection
from tests.serving import hang_up, serving

HOST = "two-ways.example"
HOLE, ALIVE = "127.0.0.2", "127.0.0.1"


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.2 where nobody says no, and nobody answers: its queue is full."""
    with ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind((HOLE, 0))
        hole.listen(0)
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(hole.getsockname())
        time.sleep(0.05)
        yield hole.getsockname()[1]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Decides which addresses the host has."""
    real = socket.getaddrinfo

    def known_as(*addresses: str) -> None:
        def look_up(host: bytes | str, port: int, *rest: Any, **more: Any) -> list[Any]:
            if host != HOST.encode():
                return real(host, port, *rest, **more)
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                for address in addresses
            ]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    return known_as


@asynccontextmanager
async def answering(port: int, answer: bytes = b"") -> AsyncIterator[None]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        await reader.read()

    async with serving(serve, ALIVE, port):
        yield


async def test_an_address_that_leads_nowhere_costs_a_moment(
    black_hole: int, names: Callable[..., None]
) -> None:
    names(HOLE, ALIVE)
    async with answering(black_hole):
        began_s = time.monotonic()
        with await dial(HOST, black_hole) as connection:
            assert connection.getpeername()[0] == ALIVE
        assert DELAY_S * 0.9 <= time.monotonic() - began_s < 3


async def test_an_address_that_refuses_costs_nothing(
    black_hole: int, names: Callable[..., None]
) -> None:
    names("127.0.0.3", ALIVE)
    async with answering(black_hole):
        began_s = time.monotonic()
        (await dial(HOST, black_hole)).close()
        assert time.monotonic() - began_s < DELAY_S


async def test_that_somebody_refuses_is_what_is_told(
    black_hole: int, names: Callable[..., None]
) -> None:
    names("127.0.0.3", "127.0.0.4")
    with pytest.raises(ConnectionRefusedError):
        await dial(HOST, black_hole)


@pytest.mark.parametrize("addresses", [(HOLE,), (HOLE, "127.0.0.3"), (HOLE, HOLE)])
async def test_the_callers_deadline_ends_all_attempts(
    black_hole: int, names: Callable[..., None], addresses: tuple[str, ...]
) -> None:
    names(*addresses)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.6):
            await dial(HOST, black_hole)


@pytest.mark.filterwarnings("error::ResourceWarning")
async def test_nothing_stays_open_whenever_the_deadline_comes() -> None:
    """The moment in which the connection comes about is hit by one of many deadlines."""
    async with serving(hang_up, ALIVE) as port:
        for turns in range(40):
            task = asyncio.create_task(dial(ALIVE, port))
            for _ in range(turns % 8):
                await asyncio.sleep(0)
            task.cancel()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(result, socket.socket):
                result.close()
            await asyncio.sleep(0)
    del task, result
    gc.collect()


async def test_lines_brokers_and_servers_find_the_address_that_answers(
    black_hole: int, names: Callable[..., None]
) -> None:
    names(HOLE, ALIVE)
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    async with asyncio.timeout(4):
        async with answering(black_hole):
            url = LineUrl.parse(f"tcp:{HOST}:{black_hole}")
            (await open_any_line(url, SerialSettings())).close()
        async with answering(black_hole, b"\x20\x02\x00\x00"):
            (await MqttConnection.connect(Broker(HOST, black_hole))).abort()
        async with answering(black_hole, reply):
            client = HttpClient(f"http://{HOST}:{black_hole}")
            assert (await client.request("GET", "", 3.0)).body == b"{}"
            await client.aclose()


async def test_a_look_up_that_hangs_stops_nobody_and_ends_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(6.5))
    began_s = time.monotonic()
    task = asyncio.create_task(
        open_any_line(LineUrl.parse("tcp:nowhere.example:502"), SerialSettings())
    )
    turns = 0
    while not task.done():
        await asyncio.sleep(0.01)
        turns += 1
    with pytest.raises(LineError, match="no answer within 5 s"):
        await task
    assert time.monotonic() - began_s < 6
    assert turns > 100


def test_the_process_does_not_wait_for_a_look_up_that_hangs() -> None:
    script = """
import asyncio, socket, time
from drivers.net.dialling import dial
socket.getaddrinfo = lambda *_, **__: time.sleep(60)

async def give_up():
    for _ in range(20):
        try:
            async with asyncio.timeout(0.02):
                await dial("nowhere.example", 502)
        except TimeoutError:
            pass
    assert len(__import__("threading").enumerate()) == 2, "one thread for a name"

asyncio.run(give_up())
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=20)


async def test_a_name_that_is_not_known_is_told_to_all_who_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look_up(*_: Any, **__: Any) -> None:
        time.sleep(0.05)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    asked = [asyncio.create_task(dial("unknown.example", 502)) for _ in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    errors = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(e) for e in errors] == [
        asyncio.CancelledError,
        socket.gaierror,
        socket.gaierror,
    ]


@pytest.mark.parametrize("name", ["a..b", "x" * 70, "a." + "x" * 70])
async def test_what_cannot_be_a_name_is_one_that_nobody_knows(name: str) -> None:
    with pytest.raises(socket.gaierror, match="Name or service not known"):
        await dial(name, 9)
    with pytest.raises(ConnectionError, match=r"is not known .* — check it"):
        await MqttConnection.connect(Broker(name, 9))
    with pytest.raises(NoConnection, match="Name or service not known"):
        await HttpClient(f"http://{name}").request("GET", "", 5.0)


@given(st.lists(st.tuples(st.sampled_from([socket.AF_INET, socket.AF_INET6]), st.integers())))
def test_families_take_turns_and_nothing_is_lost(
    addresses: list[tuple[socket.AddressFamily, int]],
) -> None:
    found = taking_turns(addresses)
    assert sorted(found) == sorted(addresses)
    assert found[:1] == addresses[:1]
    for family in (socket.AF_INET, socket.AF_INET6):
        assert [a for a in found if a[0] == family] == [a for a in addresses if a[0] == family]
    fewer = min(sum(a[0] == f for a in addresses) for f in (socket.AF_INET, socket.AF_INET6))
    assert all(a[0] != b[0] for a, b in pairwise(found[: 2 * fewer]))


@pytest.mark.parametrize("name", ["localhost", "LocalHost."])
async def test_localhost_is_this_machine_whatever_a_file_or_a_name_server_says(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object, **__: object) -> list[object]:
        raise AssertionError("nobody is asked")

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = await dial(name, server.getsockname()[1])
        assert connection.getpeername()[0] == "127.0.0.1"
        connection.close()
