"""One Modbus read on a line: how bytes and their timing become an answer. Frames are in `frames`.

Nothing here takes a late reply for the current one. On Modbus TCP the transaction id tells. RTU has
none, so after any failure the line stays quiet for as long again as the meter had to answer, and
before every request what has arrived meanwhile is thrown away.

A connection that the other end has closed is made anew, and asked once more: a read does no harm.

Errors: `drivers.line`'s NoReply, BadReply and LineError, and

    BadReply
      └─ Refused          the meter answered with an exception code
"""

import asyncio

from msgspec.structs import replace

from drivers.line import (
    BadReply,
    Framing,
    Line,
    LineClosed,
    LineError,
    LineFlooded,
    MeterError,
)
from drivers.line_protocol import SETTLE_S
from drivers.modbus.frames import (
    FAILED,
    THE_DEVICE_ITSELF,
    Garbled,
    Question,
    Refused,
    Silent,
    after_whole_frames,
    are_exchanges,
    check_length,
    find_rtu,
    frame_of,
    is_answer,
    is_answered_by_another,
    judge_mbap,
    misstated,
    only_echo,
    other_framing,
    other_number,
    other_unit,
    rtu_failure,
    rtu_frames,
    rtu_size,
    silent,
    take_mbap,
    too_little,
    transaction_of,
    unit_of,
)

__all__ = [
    "FAILED",
    "SETTLE_S",
    "Refused",
    "answers_otherwise",
    "ask_again_later",
    "listen",
    "request",
]

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

_QUIET_S = 0.3
"""After a connection was closed at a question: the same is asked again, so an answer to the first
does no harm.
"""

_OTHER_FRAMING_S = 1.0
"""How long an answer in the other frames is waited for, at most."""

_FORGETS = 0.9
"""So much of the longest time to answer is left after each shorter one."""

_MARGIN = 1.2
"""So much longer than usual an answer may take."""

_LISTEN_LONGER_S = 0.5
"""How long is waited at most for a meter that usually takes longer than it seems to have taken."""

_NOISE_BYTES = 4
"""So many may come before an echo: a transceiver that is switched makes them."""


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
    question = Question(unit, function, address, count, _number(line), timeout_s)
    try:
        return await _exchange(line, question, turnaround_s)
    except LineClosed:
        line.renew()
        if turns.answered_s > turns.connected_s or not _asked_early(line):
            question = replace(question, transaction=_number(line))
            return await _exchange(line, question, turnaround_s)

    # It was closed at its first question, which may have come too early.
    data = await ask_again_later(line, question, turnaround_s)
    if data is None:
        raise silent(question)
    return data


def _asked_early(line: Line) -> bool:
    """Whether the last question came soon after its connection."""
    return 0 <= line.turns.asked_s - line.turns.connected_s < SETTLE_S


def _number(line: Line) -> int:
    """The number of the next transaction."""
    line.turns.requests += 1
    return (line.turns.requests - 1) % 0xFFFF + 1


async def _exchange(line: Line, question: Question, turnaround_s: float) -> bytes:
    turns = line.turns
    frame = frame_of(question, line.framing)
    await _wait_for_turn(line, question, turnaround_s)
    await line.ready()
    loop = asyncio.get_running_loop()
    turns.asked_s = loop.time()
    settled = closed = False
    try:
        turns.overheard.asked = frame
        await line.write(frame)
        wire_s = (len(frame) + rtu_size(question.count)) * line.char_s
        deadline_s = loop.time() + wire_s + question.timeout_s
        expected_s = turns.asked_s + wire_s
        if line.framing == "tcp":
            data = await _receive_tcp(line, question, frame, deadline_s)
        else:
            # So that the reply is there when we look, and costs one wake-up and not one per byte.
            await asyncio.sleep(wire_s)
            data = await _receive_rtu(line, question, frame, deadline_s)
        settled = True
        return data
    except Refused:
        settled = True
        raise
    except LineClosed:
        closed = True
        raise
    except Garbled:
        turns.unread = b""
        line.renew()
        raise
    finally:
        turns.last_frame_s = loop.time()
        if settled:
            turns.answered_s, turns.overheard.given_up = turns.last_frame_s, -1
            _note_pace(line, turns.last_frame_s - expected_s)
        elif line.framing == "rtu":
            turns.overheard.given_up = question.unit
            quiet_s = min(question.timeout_s, _QUIET_S) if closed else question.timeout_s
            turns.quiet_until_s = turns.last_frame_s + quiet_s
            # how late a reply may come through a network, nobody knows: it will find nobody there
            line.renew()


def _note_pace(line: Line, took_s: float) -> None:
    """How long the meters of a line take to answer. The longest is forgotten little by little."""
    heard = line.turns.overheard
    early_s = heard.reply_s - took_s
    heard.early_s = _MARGIN * early_s if early_s > heard.reply_s / 2 else 0.0
    heard.reply_s = max(took_s, _FORGETS * heard.reply_s)


async def _wait_for_turn(line: Line, question: Question, turnaround_s: float) -> None:
    """Silence since the last frame, and nothing left of earlier answers."""
    loop, turns = asyncio.get_running_loop(), line.turns
    silence_s = max(_SILENCE_CHARS * line.char_s, _SILENCE_S) if line.framing == "rtu" else 0.0
    wait_s = (
        max(turns.quiet_until_s, turns.last_frame_s + max(silence_s, turnaround_s)) - loop.time()
    )
    if wait_s > 0:
        await asyncio.sleep(wait_s)
    if line.framing == "tcp":
        # What is there before the question is no answer to it, whatever number it bears. A stream
        # is not drained but read on: half an old frame thrown away would leave us in the middle of
        # the other half.
        turns.unread = after_whole_frames(turns.unread + await line.read(loop.time()))
        return
    came = b""
    for _ in range(_DRAIN_TRIES):
        if not line.drain():
            if came:
                _count_strangers(line, came)
            return
        came += turns.drained
        await asyncio.sleep(max(silence_s, _DRAIN_PAUSE_S))
    _count_strangers(line, came)
    raise BadReply(
        f"address {question.unit}: the line is never silent — is there a second master on the "
        "bus, or is the baud rate wrong?"
    )


def _count_strangers(line: Line, came: bytes) -> None:
    """Whole frames that nobody here has asked for are another master's; a late answer to what we
    have given up, an echo, and an answer that comes twice are not.
    """
    heard = line.turns.overheard
    count = sum(
        frame not in (heard.asked, heard.answer) and frame[0] != heard.given_up
        for frame in rtu_frames(came)
    )
    if count:
        heard.strangers += count
        heard.stranger_s = asyncio.get_running_loop().time()


async def listen(line: Line) -> bool:
    """Wait for what others say on an RTU line after an answer, and count it. Returns whether it
    casts doubt on the answer: another master's questions with an answer each do not. Raises
    LineError.
    """
    heard = line.turns.overheard
    await asyncio.sleep(heard.listen_s + min(heard.early_s, _LISTEN_LONGER_S))
    try:
        came = line.drain()
    except LineClosed:  # some do so after each answer
        line.renew()
        return False

    before = heard.strangers
    if came:
        _count_strangers(line, line.turns.drained)
    return heard.strangers > before and not are_exchanges(line.turns.drained, heard.asked)


async def ask_again_later(line: Line, question: Question, turnaround_s: float) -> bytes | None:
    """Where a network line has not answered yet: connect anew, and ask when a device that needs
    time after that has had it. None where that brings nothing, either. Raises as `request`.
    """
    turns = line.turns
    line.renew()
    settle_s, turns.settle_s = turns.settle_s, max(turns.settle_s, SETTLE_S)
    try:
        return await _exchange(line, replace(question, transaction=_number(line)), turnaround_s)
    except Silent:
        turns.settle_s = settle_s
        return None
    except LineClosed:
        turns.settle_s = settle_s
        raise


async def answers_otherwise(line: Line, question: Question) -> bool:
    """Whether the meter answers in the frames of the other framing. Raises LineError."""
    other: Framing = "rtu" if line.framing == "tcp" else "tcp"
    came = b""
    line.renew()
    try:
        await line.ready()
        await line.write(frame_of(question, other))
        deadline_s = asyncio.get_running_loop().time() + min(question.timeout_s, _OTHER_FRAMING_S)
        while len(came) < MAX_RECEIVED_BYTES and (part := await line.read(deadline_s)):
            came += part
            if is_answer(question, came, other):
                return True
    except LineClosed:
        pass  # it is at a loss
    finally:
        line.renew()
    return False


async def _receive_rtu(line: Line, question: Question, frame: bytes, deadline_s: float) -> bytes:
    received = b""
    echoed = False
    while part := await line.read(deadline_s):
        came = received + part
        echo_at = -1 if echoed else came.find(frame, 0, len(frame) + _NOISE_BYTES)
        if echo_at >= 0:  # some two-wire adapters hear themselves
            echoed = True
            came = came[echo_at + len(frame) :]
        looked_at = len(received) if echo_at < 0 else 0
        received = came
        try:
            answer = find_rtu(question, received, looked_at)
        except Refused:
            line.turns.overheard.answer = received[-5:]
            _count_strangers(line, received[:-5])
            raise
        if answer is not None:
            line.turns.overheard.answer = received[answer.begin : answer.end]
            if answer.begin or answer.end < len(received):
                _count_strangers(line, received[: answer.begin])
                _count_strangers(line, received[answer.end :])
            return answer.data
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
        missing_s = (rtu_size(question.count) - len(received)) * line.char_s
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
    if not is_answered_by_another(question, received):
        _count_strangers(line, received)
    raise rtu_failure(question, received, echoed=echoed)


async def _receive_tcp(line: Line, question: Question, asked: bytes, deadline_s: float) -> bytes:
    turns = line.turns
    others: MeterError | None = None
    strange = 0
    echoed = False
    is_old = turns.unread != b""  # it began before the question
    try:
        while True:
            if turns.unread.startswith(asked):
                turns.unread, echoed = turns.unread[len(asked) :], True
            while (is_old or not misstated(question, turns.unread)) and (
                frame := take_mbap(turns.unread)
            ):
                turns.unread = turns.unread[len(frame) :]
                if is_old:
                    is_old = False
                    continue
                strange += 1
                if strange > MAX_STRANGE_FRAMES:
                    raise LineFlooded(
                        f"{line.name}: sends one answer after the other to nothing that was asked "
                        "— switch the meter or its adapter off and on, and check what listens "
                        "at that address"
                    )
                if transaction_of(frame) != question.transaction:
                    # mostly the late answer to a request we have given up
                    others = other_number(question, transaction_of(frame))
                elif unit_of(frame) == question.unit or question.unit in THE_DEVICE_ITSELF:
                    return judge_mbap(question, frame)
                else:
                    others = other_unit(question, unit_of(frame))
            if not is_old and misstated(question, turns.unread):
                check_length(question, turns.unread)
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
    if any(rtu_frames(turns.unread)):
        raise LineError(other_framing(line.name, "tcp"))
    if turns.unread and not others:
        others = too_little(question, turns.unread)
    raise others or (only_echo(question) if echoed else silent(question))
