"""A simulated meter that is read out on request: IEC 62056-21, mode C.

Source: IEC 62056-21, 6.3.1 to 6.3.4 and 6.4.3 (sign-on, identification, acknowledgement, data
message), 6.3.14 (times).
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import reduce
from operator import xor

from drivers.line import LineUrl, SerialSettings, open_line
from drivers.line_protocol import Line

IDENTIFICATION = b"/SIM5METER\r\n"
"""The 5 offers 9600 baud."""
_BAUDS = {b"0": 300, b"5": 9600}
REACTION_S = 0.2
"""What a meter lets pass before it answers; 1.5 s is what it waits for an answer itself."""
PATIENCE_S = 1.5
MAX_BYTES = 64

_SIGN_ON = re.compile(rb"/\?[0-9A-Za-z]{0,32}!\r\n")
_ACKNOWLEDGED = re.compile(rb"\x060(.)0\r\n")


@contextlib.asynccontextmanager
async def readout_meter(
    path: str, serial: SerialSettings, data: Callable[[], bytes]
) -> AsyncIterator[None]:
    """A meter at its end of a line, which answers with `data` (lines of text, each with its end).
    Raises LineError.
    """
    line = await open_line(LineUrl("serial", path), serial)
    task = asyncio.create_task(_answer(line, serial, data), name="simulated mode C meter")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        line.close()


async def _answer(line: Line, serial: SerialSettings, data: Callable[[], bytes]) -> None:
    while True:
        await line.configure(serial)
        await _heard(line, _SIGN_ON, None)
        await asyncio.sleep(REACTION_S)
        await line.write(IDENTIFICATION)
        # Its own slow writing takes a while before anybody can answer.
        acknowledged = await _heard(
            line, _ACKNOWLEDGED, PATIENCE_S + len(IDENTIFICATION) * serial.char_s
        )
        if acknowledged is None or acknowledged[1] not in _BAUDS:
            continue
        await line.configure(replace(serial, baud=_BAUDS[acknowledged[1]]))
        await asyncio.sleep(REACTION_S)
        block = data() + b"!\r\n\x03"
        await line.write(b"\x02" + block + bytes((reduce(xor, block),)))


async def _heard(
    line: Line, pattern: re.Pattern[bytes], patience_s: float | None
) -> re.Match[bytes] | None:
    """What fits; None where nothing has within that time."""
    came = b""
    now_s = asyncio.get_running_loop().time
    until_s = None if patience_s is None else now_s() + patience_s
    while until_s is None or now_s() < until_s:
        came = (came + bytes(byte & 0x7F for byte in await line.read(now_s() + 1)))[-MAX_BYTES:]
        if (match := pattern.search(came)) is not None:
            return match
    return None
