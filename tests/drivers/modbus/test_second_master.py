"""A second master on the bus: its questions and the answers to them are counted, and a value that
came in such a moment is read again. An adapter that hears itself is none.
"""

import asyncio
import contextlib
import os
import re
import struct
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from drivers.line import BadReply, Line, LineUrl, NoReply, SerialSettings, open_line
from drivers.modbus.asking import TRIES, ask, undisturbed
from drivers.modbus.bus import listen, request
from drivers.simulated.wire import paced_line
from tests.drivers.modbus.frames import rtu
from tests.drivers.modbus.peer import GOOD
from tests.serving import serving

OTHER = struct.pack(">HHHH", 9, 9, 9, 9)
OURS = rtu(2, 4, 0, 72, 0, 4)
ANSWER = rtu(2, 4, 8, data=GOOD)
SECOND = rtu(2, 4, 8, data=GOOD[::-1])
THEIR_QUESTION = rtu(2, 4, 0, 0, 0, 4)
THEIR_ANSWER = rtu(2, 4, 8, data=OTHER)

Script = list[tuple[float, bytes]]
"""(seconds to wait, bytes), one after the other."""


class Bus:
    """Says after the nth question of ours what the nth script has, and after others `ANSWER`."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self.send = send
        self.scripts: list[Script] = []
        self.asked = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def hear(self, _: bytes) -> None:
        self.asked += 1
        script = self.scripts.pop(0) if self.scripts else [(0.0, ANSWER)]
        self.tasks.add(asyncio.create_task(self.say(script)))

    async def say(self, script: Script) -> None:
        for wait_s, data in script:
            await asyncio.sleep(wait_s)
            self.send(data)


@contextlib.asynccontextmanager
async def over_serial() -> AsyncIterator[tuple[Bus, Line]]:
    async with paced_line(0.0) as wire:
        fd = os.open(wire.meter_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        bus = Bus(lambda data: os.write(fd, data))
        loop = asyncio.get_running_loop()
        loop.add_reader(fd, lambda: bus.hear(os.read(fd, 1000)))
        line = await open_line(LineUrl("serial", wire.gateway_end), SerialSettings(baud=115200))
        try:
            yield bus, line
        finally:
            line.close()
            loop.remove_reader(fd)
            await asyncio.gather(*bus.tasks, return_exceptions=True)
            os.close(fd)


@contextlib.asynccontextmanager
async def over_tcp() -> AsyncIterator[tuple[Bus, Line]]:
    bus = Bus(lambda _: None)
    connected = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bus.send = writer.write
        connected.set()
        while data := await reader.read(1000):
            bus.hear(data)

    async with serving(serve) as port:
        line = await open_line(LineUrl.parse(f"rtu+tcp:127.0.0.1:{port}"), SerialSettings())
        try:
            await connected.wait()
            yield bus, line
        finally:
            line.close()
            await asyncio.gather(*bus.tasks, return_exceptions=True)


class Datagrams(asyncio.DatagramProtocol):
    """What a serial server sends, one datagram for each piece."""

    def __init__(self) -> None:
        self.bus = Bus(self.send)
        self.client: tuple[str, int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def send(self, data: bytes) -> None:
        self.transport.sendto(data, self.client)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.client = addr
        self.bus.hear(data)


@contextlib.asynccontextmanager
async def over_udp() -> AsyncIterator[tuple[Bus, Line]]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    line = await open_line(LineUrl.parse(f"rtu+udp:127.0.0.1:{port}"), SerialSettings())
    try:
        yield server.bus, line
    finally:
        line.close()
        await asyncio.gather(*server.bus.tasks, return_exceptions=True)
        transport.close()
        await asyncio.sleep(0)


Way = Callable[[], contextlib.AbstractAsyncContextManager[tuple[Bus, Line]]]

EVERY_WAY = pytest.mark.parametrize("way", [over_serial, over_tcp, over_udp])


async def once(line: Line, timeout_s: float = 2.0) -> bytes:
    return await ask(line, 2, 4, 72, 4, timeout_s)


@EVERY_WAY
@pytest.mark.parametrize(
    "script",
    [
        [(0.0, THEIR_QUESTION), (0.01, THEIR_ANSWER), (0.01, ANSWER)],
        [(0.0, THEIR_QUESTION + THEIR_ANSWER)],
        [(0.0, rtu(5, 3, 2, data=b"\1\2")), (0.0, ANSWER)],
        [(0.0, rtu(2, 0x84, 2) + ANSWER)],
        [(0.0, ANSWER + THEIR_ANSWER)],
        [(0.0, THEIR_ANSWER), (0.01, ANSWER)],
    ],
)
async def test_what_came_while_another_master_spoke_is_read_again(way: Way, script: Script) -> None:
    async with way() as (bus, line):
        bus.scripts = [script]
        assert await once(line) == GOOD
        assert bus.asked >= 2
        assert line.turns.overheard.strangers >= 1


@EVERY_WAY
async def test_frames_between_two_questions_make_the_next_value_be_read_again(way: Way) -> None:
    async with way() as (bus, line):
        assert await once(line) == GOOD
        bus.send(THEIR_QUESTION)
        bus.send(THEIR_ANSWER)
        for _ in range(20):  # turns of the loop, which it takes however long each is
            await asyncio.sleep(0.005)
        bus.scripts = [[(0.0, THEIR_ANSWER)]]  # to a question of which we heard the end only
        assert await once(line) == GOOD
        assert line.turns.overheard.strangers >= 2
        assert bus.asked == 3


async def test_where_another_master_was_heard_an_answer_is_believed_when_none_comes_after_it() -> (
    None
):
    async with over_serial() as (bus, line):
        bus.scripts = [[(0.0, THEIR_QUESTION + ANSWER)], [(0.0, THEIR_ANSWER), (0.01, ANSWER)]]
        assert await once(line) == GOOD
        assert bus.asked == 3


async def test_a_master_that_never_pauses_is_named() -> None:
    async with over_serial() as (bus, line):
        bus.scripts = [[(0.0, THEIR_QUESTION + THEIR_ANSWER)]] * (TRIES + 1)
        with pytest.raises(BadReply, match=r"address 2: \d+ frames came that nobody .* a second"):
            await once(line)


@EVERY_WAY
async def test_an_adapter_that_hears_itself_is_no_second_master(way: Way) -> None:
    async with way() as (bus, line):
        for echo in (OURS, b"\0" + OURS):
            bus.scripts = [[(0.0, echo), (0.02, ANSWER)]]
            assert await once(line) == GOOD
        assert (bus.asked, line.turns.overheard.strangers) == (2, 0)
        bus.scripts = [[(0.0, OURS)]]
        silent = "address 2: no answer within 0.1 s to registers 72..75 (function 4); only the echo"
        with pytest.raises(NoReply, match=re.escape(silent)):
            await once(line, 0.1)
        assert line.turns.overheard.strangers == 0


async def test_a_late_answer_of_our_own_is_no_second_master() -> None:
    async with over_serial() as (bus, line):
        bus.scripts = [[(0.12, ANSWER)]]
        with pytest.raises(NoReply):
            await request(line, 2, 4, 72, 4, 0.1)
        assert await once(line) == GOOD
        assert (bus.asked, line.turns.overheard.strangers) == (2, 0)


async def test_a_meter_of_another_address_that_answers_us_is_no_second_master() -> None:
    async with over_serial() as (bus, line):
        bus.scripts = [[(0.0, rtu(3, 4, 8, data=GOOD))]]
        with pytest.raises(BadReply, match="address 3 answered instead"):
            await once(line)
        assert (bus.asked, line.turns.overheard.strangers) == (1, 0)


async def test_noise_is_no_second_master() -> None:
    async with over_serial() as (bus, line):
        bus.scripts = [[(0.0, b"\x02\x04\x00\xff" + ANSWER)]]
        assert await once(line) == GOOD
        bus.send(b"\x55\xaa\x00" * 9)
        await asyncio.sleep(0.02)
        await listen(line)
        assert (bus.asked, line.turns.overheard.strangers) == (1, 0)


# --- while all was calm ---------------------------------------------------------------------------


async def two_values(line: Line) -> list[bytes]:
    """A reading of two questions of the same shape."""
    return [await ask(line, 2, 4, address, 4, 2.0) for address in (72, 80)]


@EVERY_WAY
@pytest.mark.parametrize("of", [1, 2])
async def test_an_answer_of_our_shape_that_comes_first_is_found_out_when_ours_comes(
    way: Way, of: int
) -> None:
    async with way() as (bus, line):
        assert await undisturbed(line, lambda: two_values(line)) == [GOOD, GOOD]
        early: Script = [(0.0, THEIR_ANSWER), (0.05, ANSWER)]
        bus.scripts = [early, [(0.0, SECOND)]] if of == 1 else [[(0.0, ANSWER)], early]
        assert await undisturbed(line, lambda: two_values(line)) == [GOOD, GOOD]
        assert line.turns.overheard.strangers == 1


async def test_a_meter_that_is_slow_to_answer_is_waited_for_where_one_came_early() -> None:
    async with over_serial() as (bus, line):
        line.turns.overheard.listen_s = 0.0
        bus.scripts = [[(0.2, ANSWER)], [(0.0, THEIR_ANSWER), (0.2, ANSWER)]]
        for _ in range(2):
            assert await undisturbed(line, lambda: once(line)) == GOOD
        assert line.turns.overheard.strangers == 1


async def test_another_master_s_own_question_and_its_answer_cast_no_doubt_on_ours() -> None:
    async with over_serial() as (bus, line):
        assert await undisturbed(line, lambda: once(line)) == GOOD
        bus.scripts = [[(0.0, ANSWER), (0.02, THEIR_QUESTION), (0.02, THEIR_ANSWER)]]
        assert await undisturbed(line, lambda: once(line)) == GOOD
        assert (bus.asked, line.turns.overheard.strangers) == (2, 2)


@EVERY_WAY
async def test_an_answer_that_comes_twice_is_no_second_master(way: Way) -> None:
    async with way() as (bus, line):
        bus.scripts = [[(0.0, ANSWER), (wait_s, ANSWER)] for wait_s in (0.0, 0.02)]
        for _ in range(3):
            assert await undisturbed(line, lambda: once(line)) == GOOD
        assert (bus.asked, line.turns.overheard.strangers) == (3, 0)
