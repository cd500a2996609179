"""Peers that never stop: the line is left, and whoever shares the process has had its turns."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from drivers.intake import MAX_BYTES, MAX_PIECES
from drivers.line import (
    Line,
    LineError,
    LineFlooded,
    LineUrl,
    MeterError,
    NoReply,
    SerialSettings,
    open_any_line,
    open_line,
)
from drivers.modbus.bus import MAX_STRANGE_FRAMES, request
from drivers.mqtt_line import ABSENCE_S
from drivers.net.mqtt_packets import MAX_MESSAGES
from tests.serving import serving

GROUP = "239.12.255.253"
STRANGE = b"\x00\x00\x00\x00\x00\x05\x01\x03\x02\x00\x00"


def now_s() -> float:
    return asyncio.get_running_loop().time()


def server(begin: bytes, flood: bytes, pause_s: float = 0.0) -> AbstractAsyncContextManager[int]:
    """Sends `begin` once it has heard something, or at once if that is empty, and `flood` for
    ever.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if begin:
            await reader.read(1000)
            writer.write(begin)
        while not writer.is_closing():
            writer.write(flood)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return serving(serve)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Any]:
    line = await open_any_line(LineUrl.parse(url), SerialSettings())
    try:
        yield line
    finally:
        line.close()


async def read_for_ever(line: Line) -> None:
    while True:
        await line.read(now_s() + 20)


@pytest.mark.parametrize("scheme", ["tcp", "rtu+tcp"])
async def test_a_line_that_brings_megabytes_is_left(scheme: str) -> None:
    async with server(b"", bytes(4096)) as port, opened(f"{scheme}:127.0.0.1:{port}") as line:
        turns = 0

        async def another() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.create_task(another())
        with pytest.raises(LineFlooded, match=r"floods us, with 10\d\d KiB within 10 s"):
            await read_for_ever(line)
        counting.cancel()
    assert turns >= MAX_BYTES / 4096, "the others had their turn at each read"


async def test_a_steady_meter_is_no_flood() -> None:
    async with server(b"", bytes(1000), 0.01) as port, opened(f"tcp:127.0.0.1:{port}") as line:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await read_for_ever(line)


async def test_answers_to_nothing_that_was_asked_end_a_line_of_modbus_tcp() -> None:
    async with server(b"", STRANGE * 300) as port:
        line = await open_line(LineUrl.parse(f"tcp:127.0.0.1:{port}"), SerialSettings())
        with pytest.raises(LineFlooded, match="one answer after the other to nothing"):
            await request(line, 1, 3, 0, 2, 5.0)
        line.close()


async def test_a_few_late_answers_are_none_and_the_deadline_stands() -> None:
    """What drips in must not keep the line beyond the meter's time."""
    few = MAX_STRANGE_FRAMES // 4
    async with server(STRANGE * few, STRANGE, 0.05) as port:
        line = await open_line(LineUrl.parse(f"tcp:127.0.0.1:{port}"), SerialSettings())
        began_s = now_s()
        with pytest.raises(NoReply):
            await request(line, 1, 3, 0, 2, 0.3)
        assert now_s() - began_s < 1.0
        line.close()


async def test_an_adapter_that_echoes_for_ever_ends_at_the_deadline() -> None:
    question = bytes.fromhex("010300000002c40b")
    async with server(question, question, 0.02) as port:
        line = await open_line(LineUrl.parse(f"rtu+tcp:127.0.0.1:{port}"), SerialSettings())
        began_s = now_s()
        with pytest.raises(MeterError):
            await request(line, 1, 3, 0, 2, 0.3)
        assert now_s() - began_s < 1.0
        line.close()


async def test_a_topic_that_is_flooded_is_left() -> None:
    connack, suback = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x00"
    message = b"\x30\x05\x00\x01ahi"
    async with (
        server(connack, suback + message * 2000) as port,
        opened(f"mqtt://127.0.0.1:{port}/a") as line,
    ):
        with pytest.raises(LineError, match=r"never asked for|floods us"):
            while True:
                await line.receive(now_s() + 20)


async def test_a_topic_that_is_no_text_ends_the_connection_and_nothing_else() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x02\x00\x00")
        await reader.read(1000)
        writer.write(b"\x90\x03\x00\x01\x00" + b"\x30\x05\x00\x02\xff\x80x")
        await reader.read()

    async with serving(serve) as port, opened(f"mqtt://127.0.0.1:{port}/a") as line:
        with pytest.raises(LineError, match="a topic that is no text"):
            await line.receive(now_s() + 20)


async def test_messages_nobody_fetched_are_not_taken_for_new_ones() -> None:
    """However many came while nobody listened."""
    connack, suback = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x00"
    bursts = b"\x30\x05\x00\x01aHI" * (MAX_MESSAGES * 3 // 4)
    nobody_listens, came, somebody_listens = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(connack)
        await reader.read(1000)
        writer.write(suback)
        await nobody_listens.wait()
        writer.write(bursts)
        await writer.drain()
        came.set()
        await somebody_listens.wait()
        writer.write(b"\x30\x06\x00\x01anew")
        await reader.read()

    async with serving(serve) as port, opened(f"mqtt://127.0.0.1:{port}/a") as line:
        assert await line.receive(now_s() + 0.05) is None
        nobody_listens.set()
        await came.wait()
        await asyncio.sleep(ABSENCE_S + 0.1)
        receiving = asyncio.create_task(line.receive(now_s() + 20))
        await asyncio.sleep(0)  # it has thrown away what is there before it waits
        somebody_listens.set()
        assert (await receiving).payload == b"new"


async def test_a_group_that_is_flooded_is_left() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        async with opened(f"multicast:{GROUP}:19522?interface=lo") as line:

            async def flood() -> None:
                while True:
                    for _ in range(20):
                        sender.sendto(b"x", (GROUP, 19522))
                    await asyncio.sleep(0)

            flooding = asyncio.create_task(flood())
            try:
                with pytest.raises(LineFlooded, match=f"with {MAX_PIECES + 1} datagrams"):
                    while True:
                        await line.receive(now_s() + 20)
            finally:
                flooding.cancel()
