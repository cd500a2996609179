"""One Modbus read on a line: frames and PDUs by pymodbus, which nothing else imports; bytes and
their timing by us.

Nothing here takes a late reply for the current one. On Modbus TCP the transaction id tells. RTU has
none, so after any failure the line stays quiet for as long again as the meter had to answer, and
before every request what has arrived meanwhile is thrown away.

Errors: `drivers.line`'s NoReply, BadReply and LineError, and

    BadReply
      └─ Refused          the meter answered with an exception code
"""

import asyncio
from dataclasses import dataclass

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from drivers.line import BadReply, Line, LineError, LineFlooded, NoReply

MAX_STRANGE_FRAMES = 64
"""Answers on Modbus TCP to nothing that was asked now. A few may be late ones."""

MAX_RECEIVED_BYTES = 1024
"""An answer has 255 bytes at most; more than this on an RTU line is babble."""

_SILENCE_CHARS = 3.5
_SILENCE_S = 0.00175
"""Between RTU frames: 3.5 characters, or 1.75 ms above 19200 baud (Modbus over Serial Line V1.02,
2.5.1.1).
"""

_DRAIN_PAUSE_S = 0.02
"""USB adapters hold received bytes back for up to 16 ms."""

_DRAIN_TRIES = 25

_BUNDLE_S = 0.016
"""What an adapter collects before it hands it over, at most."""

_NAP_S = 0.002
"""Between two looks at the end of a reply."""

_EXCEPTIONS = {
    1: "it does not know this function — is the profile the right one?",
    2: "it does not have all of these registers — is the profile the right one?",
    3: "it does not give that many registers at once — is the profile the right one?",
    4: "it failed — if that goes on, switch the meter off and on",
    5: "it needs more time — read it less often",
    6: "it is busy — does something else read it too?",
    8: "its memory is damaged — have the meter looked at",
    10: "the gateway has no path to it — check the gateway's settings",
    11: "the gateway got no answer from it — check its address, its power and the wiring behind "
    "the gateway",
}
"""Modbus Application Protocol V1.1b3, section 7."""

FAILED = 4
"""The exception of a meter that failed, or of one that has a block not at all."""

_decoder = DecodePDU(False)
_rtu = FramerRTU(_decoder)
_mbap = FramerSocket(_decoder)
_REQUESTS = {3: ReadHoldingRegistersRequest, 4: ReadInputRegistersRequest}


class Refused(BadReply):
    """The meter answered, with exception `code` (Modbus Application Protocol V1.1b3, section 7)."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code

    @property
    def concerns_registers(self) -> bool:
        """Whether fewer or other registers may be answered: illegal function, address or count.

        Some devices fail (exception 4) for what they do not have.
        """
        return self.code in (1, 2, 3, FAILED)


@dataclass(frozen=True, slots=True)
class _Question:
    unit: int
    function: int
    address: int
    count: int
    transaction: int
    timeout_s: float

    def __str__(self) -> str:
        last = self.address + self.count - 1
        registers = (
            f"registers {self.address}..{last}" if self.count > 1 else f"register {self.address}"
        )
        return f"{registers} (function {self.function})"


async def request(
    line: Line,
    unit: int,
    function: int,
    address: int,
    count: int,
    timeout_s: float,
    turnaround_s: float = 0.0,
) -> bytes:
    """Read `count` registers from `address` on with function 3 or 4, and return their bytes, 2 ×
    count.

    The meter at address `unit` has `timeout_s` to answer, beside the time the bytes take on the
    wire; before, the line is left silent for at least `turnaround_s`. `line.turns` then tells when
    the question went out (`asked_s`) and when the answer was in (`last_frame_s`).

    Raises NoReply, BadReply, Refused or LineError; every text names the unit and the registers.
    """
    turns = line.turns
    question = _Question(unit, function, address, count, turns.requests % 0xFFFF + 1, timeout_s)
    turns.requests += 1
    framer = _mbap if line.framing == "tcp" else _rtu
    pdu = _REQUESTS[function](
        address=address, count=count, dev_id=unit, transaction_id=question.transaction
    )
    frame = framer.buildFrame(pdu)
    await _wait_for_turn(line, question, turnaround_s)
    await line.ready()
    loop = asyncio.get_running_loop()
    turns.asked_s = loop.time()
    settled = False
    try:
        await line.write(frame)
        wire_s = (len(frame) + _rtu_size(count)) * line.char_s
        deadline_s = loop.time() + wire_s + timeout_s
        if line.framing == "tcp":
            data = await _receive_tcp(line, question, deadline_s)
        else:
            # So that the reply is there when we look, and costs one wake-up and not one per byte.
            await asyncio.sleep(wire_s)
            data = await _receive_rtu(line, question, frame, deadline_s)
        settled = True
        return data
    except Refused:
        settled = True
        raise
    finally:
        turns.last_frame_s = loop.time()
        if not settled and line.framing == "rtu":
            turns.quiet_until_s = turns.last_frame_s + timeout_s
            # how late a reply may come through a network, nobody knows: it will find nobody there
            line.renew()


def _rtu_size(count: int) -> int:
    """Bytes of the reply: address, function, byte count, registers, checksum."""
    return 3 + 2 * count + 2


async def _wait_for_turn(line: Line, question: _Question, turnaround_s: float) -> None:
    """Silence since the last frame, and nothing left of earlier answers."""
    loop, turns = asyncio.get_running_loop(), line.turns
    silence_s = max(_SILENCE_CHARS * line.char_s, _SILENCE_S) if line.framing == "rtu" else 0.0
    wait_s = (
        max(turns.quiet_until_s, turns.last_frame_s + max(silence_s, turnaround_s)) - loop.time()
    )
    if wait_s > 0:
        await asyncio.sleep(wait_s)
    if line.framing == "tcp":
        # a stream is not drained but read on: half an old frame thrown away would leave us in the
        # middle of the other half
        return
    for _ in range(_DRAIN_TRIES):
        if not line.drain():
            return
        await asyncio.sleep(max(silence_s, _DRAIN_PAUSE_S))
    raise BadReply(
        f"address {question.unit}: the line is never silent — is there a second master on the "
        "bus, or is the baud rate wrong?"
    )


async def _receive_rtu(line: Line, question: _Question, frame: bytes, deadline_s: float) -> bytes:
    received = b""
    while part := await line.read(deadline_s):
        came = received + part
        looked_at = len(received) if not came.startswith(frame) else 0
        received = came.removeprefix(frame)  # some two-wire adapters hear themselves
        data = _find_rtu(question, received, looked_at)
        if data is not None:
            return data
        if len(received) > MAX_RECEIVED_BYTES:
            raise BadReply(
                f"address {question.unit}: {len(received)} bytes came, but no answer to "
                f"{question} — is the baud rate right?"
            )
        # What an adapter holds back is on its way already: to sleep for all that is missing would
        # be to come late by as much. Towards the end of a reply we take what comes as it comes, but
        # not byte by byte.
        if asyncio.get_running_loop().time() >= deadline_s:
            break
        missing_s = (_rtu_size(question.count) - len(received)) * line.char_s
        await asyncio.sleep(
            max(
                0.0,
                min(
                    max(missing_s - _BUNDLE_S, _NAP_S),
                    missing_s,
                    deadline_s - asyncio.get_running_loop().time(),
                ),
            )
        )
    raise _rtu_failure(question, received)


def _find_rtu(question: _Question, received: bytes, looked_at: int) -> bytes | None:
    """The register bytes of the answer, wherever it begins: noise and answers of others may come
    before it.

    What ends within the first `looked_at` bytes has been looked at before, and its checksum was
    wrong: babble that comes byte by byte would keep us busy otherwise.
    """
    for at in range(len(received) - 4):
        if received[at] != question.unit:
            continue
        if received[at + 1] == question.function and received[at + 2] == 2 * question.count:
            end = at + _rtu_size(question.count)
        elif received[at + 1] == question.function | 0x80:
            end = at + 5
        else:
            continue
        if looked_at < end <= len(received) and (
            pdu := _rtu.decode(received[at:end])[3]
        ):  # a wrong checksum gives none
            return _judge(question, pdu)
    return None


def _rtu_failure(question: _Question, received: bytes) -> NoReply | BadReply:
    """What was wrong with what came by the deadline."""
    if not received:
        return _silent(question)
    who, within = f"address {question.unit}", f"within {question.timeout_s:g} s"
    size = _rtu_size(question.count)
    _, other, _, pdu = (
        _rtu.decode(received)
        if len(received) > 4 and received[1] & 0x7F in _REQUESTS
        else (0, 0, 0, b"")
    )
    if pdu and other != question.unit:
        return BadReply(
            f"{who}: address {other} answered instead to {question} — do two meters share an "
            "address?"
        )
    if pdu:
        return BadReply(
            f"{who}: answered something else than {question} — an earlier answer that came too "
            "late? raise the timeout"
        )
    if (
        received[:3]
        != bytes((question.unit, question.function, 2 * question.count))[: len(received)]
    ):
        head = received[:8].hex(" ")
        return BadReply(
            f"{who}: {len(received)} bytes of nonsense ({head} …) instead of {question} — check "
            "baud rate, parity and wiring"
        )
    if len(received) < size:
        return NoReply(
            f"{who}: only {len(received)} of {size} bytes came {within} for {question} — check "
            "wiring and termination"
        )
    return BadReply(
        f"{who}: wrong checksum in the answer to {question} — check wiring, termination and "
        "earthing"
    )


def _silent(question: _Question) -> NoReply:
    return NoReply(
        f"address {question.unit}: no answer within {question.timeout_s:g} s to {question} — "
        "check its power, its address, its baud rate and the wiring"
    )


async def _receive_tcp(line: Line, question: _Question, deadline_s: float) -> bytes:
    turns = line.turns
    other_unit: int | None = None
    strange = 0
    try:
        while True:
            while frame := _take_mbap(turns.unread):
                turns.unread = turns.unread[len(frame) :]
                strange += 1
                if strange > MAX_STRANGE_FRAMES:
                    raise LineFlooded(
                        f"{line.name}: sends one answer after the other to nothing that was asked "
                        "— switch the meter or its adapter off and on, and check what listens "
                        "at that address"
                    )
                _, unit, transaction, pdu = _mbap.decode(frame)
                if transaction != question.transaction:
                    continue  # the late answer to a request we have given up
                if unit == question.unit:
                    return _judge(question, pdu)
                other_unit = unit
            # A line that always has something must not keep us beyond the deadline.
            if asyncio.get_running_loop().time() >= deadline_s:
                break
            part = await line.read(deadline_s)
            if not part:
                break
            turns.unread += part
    except ValueError:
        raise LineError(
            f"{line.name}: what came is not Modbus TCP — is the port right? an adapter that only "
            "passes bytes on is written rtu+tcp:"
        ) from None
    if other_unit is not None:
        raise BadReply(
            f"address {question.unit}: address {other_unit} answered instead to {question} — check "
            "the address"
        )
    raise _silent(question)


def _take_mbap(unread: bytes) -> bytes:
    """The first whole frame (Modbus Messaging on TCP/IP V1.0b, 3.1.3), or b"". Raises ValueError
    where it is no such frame.
    """
    if len(unread) < 6:
        return b""
    protocol, length = int.from_bytes(unread[2:4], "big"), int.from_bytes(unread[4:6], "big")
    if protocol != 0 or not 3 <= length <= 254:
        raise ValueError
    return unread[: 6 + length] if len(unread) >= 6 + length else b""


def _judge(question: _Question, pdu: bytes) -> bytes:
    """The register bytes of an answer that is this meter's, or why it is none."""
    who = f"address {question.unit}"
    if pdu[0] == question.function | 0x80:
        answer = _decoder.decode(pdu)
        code = answer.exception_code if answer else 0
        raise Refused(
            f"{who}: refused {question} with exception {code}: "
            f"{_EXCEPTIONS.get(code, 'of unknown meaning')}",
            code,
        )
    if (
        pdu[0] != question.function
        or len(pdu) != 2 + 2 * question.count
        or pdu[1] != 2 * question.count
    ):
        raise BadReply(
            f"{who}: answered something else than {question} (function {pdu[0]}, {len(pdu)} "
            "bytes) — check the profile"
        )
    return pdu[2:]
