"""One request on a line, against a scripted meter that answers with exact bytes: right ones, wrong
ones, late ones and none.
"""

import asyncio
import contextlib
import os
import random
import re
import struct
from collections.abc import AsyncIterator, Callable

import pytest
from pymodbus.framer import FramerRTU

from drivers.line import BadReply, Line, LineError, LineUrl, NoReply, SerialSettings, open_line
from drivers.modbus.bus import Refused, request
from drivers.simulated.wire import Wire, paced_line
from tests.drivers.arrivals import arrived
from tests.drivers.modbus.frames import mbap, rtu
from tests.drivers.modbus.peer import GOOD
from tests.drivers.scripted import ScriptedLine, in_virtual_time
from tests.fuzz.registers import Answering
from tests.serving import serving

Answer = list[tuple[float, bytes]]
"""(seconds to wait, bytes to send), one after the other."""

OTHER = struct.pack(">HHHH", 9, 9, 9, 9)


class ScriptedMeter:
    """Answers the nth request with the nth script, and keeps the requests."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self.send = send
        self.scripts: list[Answer] = []
        self.requests: list[bytes] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def hear(self, data: bytes) -> None:
        self.requests.append(data)
        if self.scripts:
            self.tasks.add(asyncio.create_task(self.answer(self.scripts.pop(0))))

    async def answer(self, script: Answer) -> None:
        for wait_s, data in script:
            await asyncio.sleep(wait_s)
            self.send(data)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with paced_line(0.0) as wire:
        yield wire


@pytest.fixture
async def meter(wire: Wire) -> AsyncIterator[ScriptedMeter]:
    """On the far end of a serial line."""
    fd = os.open(wire.meter_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    meter = ScriptedMeter(lambda data: os.write(fd, data))

    def hear() -> None:
        try:
            data = os.read(fd, 1000)
        except OSError:  # unplugged
            data = b""
        if data:
            meter.hear(data)
        else:
            loop.remove_reader(fd)

    loop = asyncio.get_running_loop()
    loop.add_reader(fd, hear)
    yield meter
    loop.remove_reader(fd)
    for task in meter.tasks:
        task.cancel()
    await asyncio.gather(*meter.tasks, return_exceptions=True)
    os.close(fd)


@pytest.fixture
async def line(wire: Wire) -> AsyncIterator[Line]:
    line = await open_line(LineUrl("serial", wire.gateway_end), SerialSettings(baud=115200))
    yield line
    line.close()


@contextlib.asynccontextmanager
async def network_meter(scheme: str = "tcp") -> AsyncIterator[tuple[ScriptedMeter, Line]]:
    """A scripted meter behind a TCP connection, and the line to it. An empty answer closes the
    connection.
    """
    connected = asyncio.Event()
    meter = ScriptedMeter(lambda _: None)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meter.send = lambda data: writer.write(data) if data else writer.close()
        connected.set()
        while data := await reader.read(1000):
            meter.hear(data)

    async with serving(serve) as port:
        line = await open_line(LineUrl.parse(f"{scheme}:127.0.0.1:{port}"), SerialSettings())
        try:
            await connected.wait()
            yield meter, line
        finally:
            line.close()
            for task in meter.tasks:
                task.cancel()
            await asyncio.gather(*meter.tasks, return_exceptions=True)


async def ask(line: Line, timeout_s: float = 5.0, **other: float) -> bytes:
    """Four registers from 72 on of the meter at address 2. Only tests of silence wait for less than
    5 s.
    """
    return await request(line, 2, 4, 72, 4, timeout_s, **other)


# --- RTU ------------------------------------------------------------------------------------------


async def test_an_rtu_answer_gives_its_register_bytes(line: Line, meter: ScriptedMeter) -> None:
    meter.scripts = [[(0, rtu(2, 4, 8, data=GOOD))]]
    assert await ask(line) == GOOD
    assert meter.requests == [rtu(2, 4, 0, 72, 0, 4)]


async def test_an_answer_may_come_in_pieces(line: Line, meter: ScriptedMeter) -> None:
    answer = rtu(2, 4, 8, data=GOOD)
    meter.scripts = [[(0.005, answer[i : i + 1]) for i in range(len(answer))]]
    assert await ask(line) == GOOD


async def test_an_exception_is_named_with_its_registers(line: Line, meter: ScriptedMeter) -> None:
    meter.scripts = [[(0, rtu(2, 0x84, 2))]]
    expected = (
        "address 2: refused registers 72..75 (function 4) with exception 2: it does not "
        "have all of these registers"
    )
    with pytest.raises(Refused, match=re.escape(expected)) as caught:
        await ask(line)
    assert caught.value.code == 2 and caught.value.concerns_registers
    meter.scripts = [[(0, rtu(2, 0x84, 6))], [(0, rtu(2, 4, 8, data=GOOD))]]
    with pytest.raises(Refused, match="exception 6: it is busy") as caught:
        await ask(line)
    assert not caught.value.concerns_registers
    assert await ask(line) == GOOD


async def test_silence_is_no_reply(line: Line, meter: ScriptedMeter) -> None:
    with pytest.raises(
        NoReply,
        match=re.escape(
            "address 2: no answer within 0.05 s to registers 72..75 (function 4) — check"
        ),
    ):
        await ask(line, 0.05)
    with pytest.raises(NoReply, match=re.escape("to register 7 (function 3)")):
        await request(line, 2, 3, 7, 1, 0.05)


async def test_half_an_answer_is_no_reply(line: Line, meter: ScriptedMeter) -> None:
    meter.scripts = [[(0, rtu(2, 4, 8, data=GOOD)[:9])]]
    with pytest.raises(
        NoReply,
        match=re.escape("address 2: only 9 of 13 bytes came within 0.1 s for registers 72..75"),
    ):
        await ask(line, 0.1)


async def test_an_answer_of_another_address_alone_is_a_bad_reply(
    line: Line, meter: ScriptedMeter
) -> None:
    meter.scripts = [[(0, rtu(5, 4, 8, data=OTHER))]]
    with pytest.raises(
        BadReply,
        match=re.escape("address 2: address 5 answered instead to registers 72..75 (function 4)"),
    ):
        await ask(line, 0.1)


async def test_answers_of_others_are_passed_over_while_ours_may_still_come(
    line: Line, meter: ScriptedMeter
) -> None:
    meter.scripts = [
        [
            (0, rtu(5, 4, 8, data=OTHER)),  # another address
            (0.02, rtu(2, 3, 8, data=OTHER)),  # another function
            (0.02, rtu(2, 4, 4, data=OTHER[:4])),  # another length
            (0.02, rtu(2, 4, 8, data=GOOD)),
        ]
    ]
    assert await ask(line) == GOOD


async def test_a_wrong_checksum_is_a_bad_reply(line: Line, meter: ScriptedMeter) -> None:
    answer = bytearray(rtu(2, 4, 8, data=GOOD))
    answer[5] ^= 1
    meter.scripts = [[(0, bytes(answer))]]
    with pytest.raises(
        BadReply,
        match=re.escape("address 2: wrong checksum in the answer to registers 72..75 (function 4)"),
    ):
        await ask(line, 0.1)


async def test_an_earlier_answer_of_the_same_meter_is_a_bad_reply(
    line: Line, meter: ScriptedMeter
) -> None:
    meter.scripts = [[(0, rtu(2, 4, 4, data=OTHER[:4]))]]
    with pytest.raises(BadReply, match=r"answered something else than registers 72\.\.75"):
        await ask(line, 0.1)


async def test_noise_is_a_bad_reply_and_noise_before_an_answer_does_no_harm(
    line: Line, meter: ScriptedMeter
) -> None:
    meter.scripts = [
        [(0, b"\x02\x99\x13\x37")],
        [(0, b"\x00\xff\x02\x04" + rtu(2, 4, 8, data=GOOD))],
    ]
    with pytest.raises(
        BadReply,
        match=r"address 2: 4 bytes of nonsense \(02 99 13 37 …\) instead of registers 72\.\.75",
    ):
        await ask(line, 0.1)
    assert await ask(line) == GOOD


async def test_any_noise_ends_in_one_of_the_expected_errors(
    line: Line, meter: ScriptedMeter
) -> None:
    dice = random.Random(7)
    for _ in range(60):
        head = dice.choice(
            [
                b"",
                b"\x02",
                b"\x02\x04",
                b"\x02\x04\x08",
                b"\x05\x2b",
                b"\x02\x84",
                b"\x02\x08\x00\x00",
            ]
        )
        meter.scripts = [[(0, head + dice.randbytes(dice.randrange(40)) or b"?")]]
        with pytest.raises((BadReply, NoReply)):
            await ask(line, 0.005)


async def test_a_line_that_babbles_is_given_up(line: Line, meter: ScriptedMeter) -> None:
    meter.scripts = [[(0, bytes(1100))]]
    with pytest.raises(BadReply, match=r"bytes came, but no answer to registers 72\.\.75"):
        await ask(line)


def test_what_may_be_an_answer_is_checked_once_however_the_bytes_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[bytes] = []
    decode = FramerRTU.decode
    monkeypatch.setattr(
        FramerRTU, "decode", lambda self, data: (checked.append(data), decode(self, data))[1]
    )

    async def ask() -> None:
        with pytest.raises(BadReply):
            await request(
                Answering("rtu", bytes((2, 0x83)) * 300, 1), 2, 3, 0x48, 125, timeout_s=0.1
            )

    in_virtual_time(ask)
    assert len(checked) <= 300 + 1  # one more to say what was wrong


def test_a_line_that_is_never_silent_is_not_written_to() -> None:
    async def ask_amid_noise() -> None:
        line = ScriptedLine()  # whoever writes to it fails
        line.sends(asyncio.get_running_loop().time(), b"noise" * 2000)
        with pytest.raises(BadReply, match="the line is never silent"):
            await request(line, 2, 4, 72, 4, timeout_s=5.0)

    in_virtual_time(ask_amid_noise)


async def test_a_late_rtu_answer_is_never_taken_for_the_next_one(
    line: Line, meter: ScriptedMeter
) -> None:
    meter.scripts = [[(0.15, rtu(2, 4, 8, data=OTHER))], [(0, rtu(2, 4, 8, data=GOOD))]]
    with pytest.raises(NoReply):
        await ask(line, 0.1)
    assert await ask(line) == GOOD


async def test_what_arrived_between_requests_is_thrown_away(
    line: Line, wire: Wire, meter: ScriptedMeter
) -> None:
    other = rtu(2, 4, 8, data=OTHER)
    meter.scripts = [
        [(0, rtu(2, 4, 8, data=GOOD)), (0.1, other)],
        [(0, rtu(2, 4, 8, data=GOOD))],
    ]
    assert await ask(line) == GOOD
    await arrived(wire.gateway_end, len(other))
    assert await ask(line) == GOOD


async def test_an_adapter_that_hears_itself_does_no_harm(line: Line, meter: ScriptedMeter) -> None:
    meter.scripts = [[(0, rtu(2, 4, 0, 72, 0, 4)), (0.01, rtu(2, 4, 8, data=GOOD))]]
    assert await ask(line) == GOOD


async def test_the_line_is_left_silent_before_the_next_request(
    line: Line, meter: ScriptedMeter
) -> None:
    meter.scripts = [
        [(0, rtu(2, 4, 8, data=GOOD))],
        [(0, rtu(2, 4, 8, data=GOOD))],
        [(0, rtu(2, 4, 8, data=GOOD))],
    ]
    await ask(line)
    first_s = line.turns.last_frame_s
    await ask(line)
    assert line.turns.asked_s - first_s >= 0.00175
    second_s = line.turns.last_frame_s
    await ask(line, turnaround_s=0.1)
    assert line.turns.asked_s - second_s >= 0.1


async def test_a_cancelled_request_leaves_the_line_in_order(
    line: Line, meter: ScriptedMeter
) -> None:
    meter.scripts = [[(0.1, rtu(2, 4, 8, data=OTHER))], [(0, rtu(2, 4, 8, data=GOOD))]]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ask(line, 0.2)
    assert await ask(line) == GOOD


async def test_a_port_that_vanishes_in_the_middle_is_a_line_error(
    line: Line, meter: ScriptedMeter, wire: Wire
) -> None:
    asyncio.get_running_loop().call_later(0.02, wire.unplug)
    with pytest.raises(LineError, match="the port has vanished"):
        await ask(line)


async def test_rtu_frames_pass_over_tcp() -> None:
    async with network_meter("rtu+tcp") as (meter, line):
        meter.scripts = [[(0, rtu(2, 4, 8, data=GOOD)[:5]), (0.02, rtu(2, 4, 8, data=GOOD)[5:])]]
        assert await ask(line) == GOOD
        assert meter.requests == [rtu(2, 4, 0, 72, 0, 4)]


# --- Modbus TCP -----------------------------------------------------------------------------------


async def test_a_tcp_answer_gives_its_register_bytes() -> None:
    async with network_meter() as (meter, line):
        meter.scripts = [[(0, mbap(1, 2, 4, 8, data=GOOD))], [(0, mbap(2, 2, 4, 8)), (0.02, OTHER)]]
        assert await ask(line) == GOOD
        assert meter.requests == [mbap(1, 2, 4, 0, 72, 0, 4)]
        with pytest.raises(
            BadReply,
            match=r"answered something else than registers 72\.\.75 \(function 4\) \(function 4, "
            r"2 bytes\)",
        ):
            await ask(line)


async def test_a_tcp_exception_is_named() -> None:
    async with network_meter() as (meter, line):
        meter.scripts = [[(0, mbap(1, 2, 0x84, 11))]]
        with pytest.raises(Refused, match="exception 11: the gateway got no answer from it"):
            await ask(line)


async def test_a_late_tcp_answer_is_never_taken_for_the_next_one() -> None:
    async with network_meter() as (meter, line):
        meter.scripts = [
            [(0.1, mbap(1, 2, 4, 8, data=OTHER))],
            [(0.2, mbap(2, 2, 4, 8, data=GOOD))],
        ]
        with pytest.raises(NoReply, match=r"address 2: no answer within 0\.05 s"):
            await ask(line, 0.05)
        assert await ask(line) == GOOD


async def test_a_late_tcp_answer_in_two_halves_does_not_lose_the_place_in_the_stream() -> None:
    async with network_meter() as (meter, line):
        late = mbap(1, 2, 4, 8, data=OTHER)
        meter.scripts = [[(0, late[:11]), (0.1, late[11:])], [(0.15, mbap(2, 2, 4, 8, data=GOOD))]]
        with pytest.raises(NoReply):
            await ask(line, 0.05)
        assert await ask(line) == GOOD


async def test_a_tcp_answer_for_another_unit_is_a_bad_reply() -> None:
    async with network_meter() as (meter, line):
        meter.scripts = [[(0, mbap(1, 5, 4, 8, data=OTHER))]]
        with pytest.raises(BadReply, match="address 2: address 5 answered instead"):
            await ask(line, 0.1)


async def test_a_closed_connection_is_a_line_error() -> None:
    async with network_meter() as (meter, line):
        hangs_up = [(0, mbap(1, 2, 4, 8, data=GOOD)[:7]), (0, b"")]
        meter.scripts = [hangs_up, hangs_up]
        with pytest.raises(LineError, match="the other end has closed the connection"):
            await ask(line)
        assert len(meter.requests) == 2, "it is asked once more on another connection"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", rtu(2, 4, 8, data=GOOD)])
async def test_what_is_not_modbus_tcp_is_a_line_error_that_says_what_to_write(
    answer: bytes,
) -> None:
    async with network_meter() as (meter, line):
        meter.scripts = [[(0, answer)]]
        with pytest.raises(
            LineError,
            match=r"tcp:127\.0\.0\.1:\d+: what came is not Modbus TCP — .* is written rtu\+tcp:",
        ):
            await ask(line)
