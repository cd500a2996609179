"""The simulated wire: right bytes, at the right pace, through closing and opening again."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from drivers.line import LineError, LineUrl, SerialSettings, open_line
from drivers.simulated.wire import Wire, paced_line

CHAR_S = 10 / 9600
SETTINGS = SerialSettings(baud=9600)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with paced_line(CHAR_S) as wire:
        yield wire


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def test_bytes_arrive_whole_in_order_and_no_sooner_than_a_wire_carries_them(
    wire: Wire,
) -> None:
    gateway = await open_line(LineUrl("serial", wire.gateway_end), SETTINGS)
    meter = await open_line(LineUrl("serial", wire.meter_end), SETTINGS)
    for sender, receiver in ((gateway, meter), (meter, gateway)):
        message = bytes(range(256))
        begun_s = now_s()
        await sender.write(message)
        received = b""
        while len(received) < len(message):
            received += await receiver.read(now_s() + 5)
            # the last bundle may be a timer's resolution early
            assert now_s() - begun_s >= len(received) * CHAR_S - 0.002
        assert received == message
    gateway.close()
    meter.close()


async def test_either_end_may_be_closed_and_opened_again(wire: Wire) -> None:
    meter = await open_line(LineUrl("serial", wire.meter_end), SETTINGS)
    for _ in range(2):
        gateway = await open_line(LineUrl("serial", wire.gateway_end), SETTINGS)
        await gateway.write(b"x")
        assert await meter.read(now_s() + 5) == b"x"
        gateway.close()
        await meter.write(b"lost: nobody is there")
        await asyncio.sleep(0.05)
    meter.close()


async def test_what_nobody_picks_up_does_not_stop_the_wire(wire: Wire) -> None:
    fast = Wire(0.0)
    gateway = await open_line(LineUrl("serial", fast.gateway_end), SETTINGS)
    for _ in range(10):
        await gateway.write(bytes(4096))
        await asyncio.sleep(0.001)
    meter = await open_line(LineUrl("serial", fast.meter_end), SETTINGS)
    await asyncio.sleep(0.02)
    meter.drain()
    await gateway.write(b"hello")
    assert await meter.read(now_s() + 5) == b"hello"
    gateway.close()
    meter.close()
    fast.unplug()


async def test_an_unplugged_wire_is_gone(wire: Wire) -> None:
    gateway = await open_line(LineUrl("serial", wire.gateway_end), SETTINGS)
    wire.unplug()
    wire.unplug()
    with pytest.raises(LineError, match="vanished"):
        await gateway.read(now_s() + 5)
    assert not os.path.exists(wire.gateway_end)  # noqa: PTH110 — a device path, as text
    gateway.close()
