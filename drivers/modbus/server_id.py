"""What a device on a Modbus line itself says it is: function 17, Report Server ID (Modbus
Application Protocol V1.1b3, 6.13).

Few know this function, and a search asks only where a profile can tell something by it. So no
answer, a refusal and nonsense are all alike: it does not say.
"""

import asyncio

from drivers.line import Line
from drivers.modbus.adu import HEADER_BYTES, is_sealed, mbap, rtu

FUNCTION = 17
_ASKS = bytes((FUNCTION,))

_SILENCE_CHARS = 3.5
_SILENCE_S = 0.00175
"""Between RTU frames (Modbus over Serial Line V1.02, 2.5.1.1)."""

_MOST_BYTES = 512
"""An answer has 256 bytes at most; more than this is babble."""


async def server_id(line: Line, unit: int, timeout_s: float) -> bytes:
    """What the device at that address says it is, without the byte count; empty where it does not
    say. The first byte is the maker's number of the model. Raises LineError.
    """
    turns, loop = line.turns, asyncio.get_running_loop()
    turns.requests += 1
    transaction = turns.requests % 0xFFFF + 1
    is_tcp = line.framing == "tcp"
    frame = mbap(transaction, unit, _ASKS) if is_tcp else rtu(unit, _ASKS)

    await _wait_for_turn(line)
    await line.ready()
    turns.asked_s = loop.time()
    answer = b""
    try:
        await line.write(frame)
        deadline_s = loop.time() + (len(frame) + _MOST_BYTES // 8) * line.char_s + timeout_s
        received = turns.unread if is_tcp else b""
        turns.unread = b""
        while part := await line.read(deadline_s):
            received = (received + part).removeprefix(frame)  # some adapters hear themselves
            found = _in_tcp(received, transaction, unit) if is_tcp else _in_rtu(received, unit)
            if found is not None:
                answer = found
                break
            if len(received) > _MOST_BYTES:
                break
    finally:
        turns.last_frame_s = loop.time()
        if not answer and not is_tcp:
            turns.quiet_until_s = turns.last_frame_s + timeout_s
    return answer


async def _wait_for_turn(line: Line) -> None:
    """Silence since the last frame, and nothing left of earlier answers."""
    if line.framing == "tcp":
        return
    turns = line.turns
    silent_s = turns.last_frame_s + max(_SILENCE_CHARS * line.char_s, _SILENCE_S)
    await asyncio.sleep(max(turns.quiet_until_s, silent_s) - asyncio.get_running_loop().time())
    line.drain()


def _in_rtu(received: bytes, unit: int) -> bytes | None:
    """The answer, wherever it begins; empty for a refusal; None where it is not whole yet."""
    for at in range(len(received) - 4):
        if received[at] != unit or received[at + 1] & 0x7F != FUNCTION:
            continue
        is_refusal = received[at + 1] != FUNCTION
        end = at + (5 if is_refusal else 5 + received[at + 2])
        if end <= len(received) and is_sealed(received[at:end]):
            return b"" if is_refusal else received[at + 3 : end - 2]
    return None


def _in_tcp(received: bytes, transaction: int, unit: int) -> bytes | None:
    """The same on Modbus TCP, past what answers other requests."""
    while len(received) > HEADER_BYTES:
        end = 6 + int.from_bytes(received[4:6], "big")
        if len(received) < end:
            return None
        head, body = received[:HEADER_BYTES], received[HEADER_BYTES:end]
        if int.from_bytes(head[:2], "big") == transaction and head[6] == unit:
            is_whole = len(body) >= 2 and body[0] == FUNCTION and len(body) == 2 + body[1]
            return body[2:] if is_whole else b""
        received = received[end:]
    return None
