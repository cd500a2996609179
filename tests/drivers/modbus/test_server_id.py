"""What a device says it is by function 17, on real sockets: whole, in pieces, refused, and not at
all.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from drivers.line import Line, LineUrl, SerialSettings, open_line
from drivers.modbus.server_id import server_id
from tests.drivers.modbus.frames import sealed
from tests.serving import serving

ASKED = bytes.fromhex("01 11 C0 2C")


def with_checksum(text: str) -> bytes:
    return sealed(bytes.fromhex(text))


@contextlib.asynccontextmanager
async def answering(
    parts: Sequence[bytes], *, framing: str = "rtu+tcp", size: int = 4
) -> AsyncIterator[tuple[Line, list[bytes]]]:
    """A line to a device that sends these, one after the other, when it is asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readexactly(size))
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.read()

    async with serving(serve) as port:
        line = await open_line(LineUrl.parse(f"{framing}:127.0.0.1:{port}"), SerialSettings())
        try:
            yield line, asked
        finally:
            line.close()


WHOLE = with_checksum("01 11 05 41 02 03 04 FF")


@pytest.mark.parametrize(
    "parts",
    [
        [WHOLE],
        [WHOLE[:2], WHOLE[2:5], WHOLE[5:]],
        [b"\x00\xff\x01", WHOLE],
        [ASKED, WHOLE],
    ],
    ids=["whole", "in pieces", "after noise", "after an echo"],
)
async def test_a_device_says_who_it_is(parts: list[bytes]) -> None:
    async with answering(parts) as (line, asked):
        assert await server_id(line, 1, 1.0) == bytes.fromhex("41 02 03 04 FF")
        assert asked == [ASKED]


@pytest.mark.parametrize(
    "parts",
    [
        [with_checksum("01 91 01")],
        [WHOLE[:-1] + b"\x00"],
        [with_checksum("02 11 02 41 FF")],
        [b"\x55" * 600],
        [],
    ],
    ids=["refused", "damaged", "another address", "babble", "silent"],
)
async def test_a_device_that_does_not_say_is_not_waited_for_for_ever(parts: list[bytes]) -> None:
    async with answering(parts) as (line, _):
        assert await server_id(line, 1, 0.1) == b""


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("00 02 00 00 00 05 01 11 02 57 FF", "57 FF"),
        ("00 01 00 00 00 05 01 11 02 41 FF 00 02 00 00 00 05 01 11 02 57 FF", "57 FF"),
        ("00 02 00 00 00 03 01 91 01", ""),
        ("00 02 00 00 00 05 01 11 09 57 FF", ""),
    ],
    ids=["whole", "after a late answer", "refused", "wrong length"],
)
async def test_over_modbus_tcp(reply: str, says: str) -> None:
    async with answering([bytes.fromhex(reply)], framing="tcp", size=8) as (line, asked):
        assert await server_id(line, 1, 0.3) == bytes.fromhex(says)
        assert asked == [bytes.fromhex("00 02 00 00 00 02 01 11")]
