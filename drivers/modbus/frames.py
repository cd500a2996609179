"""Questions and answers in frames of Modbus, and what is wrong with what came, in words. Pure."""

import struct
from collections.abc import Iterator

import msgspec

from drivers.line_protocol import BadReply, NoReply
from drivers.line_url import Framing
from drivers.modbus.adu import MBAP_BYTES, is_sealed, mbap, rtu

FAILED = 4
"""The exception of a meter that failed, or of one that has a block not at all."""

THE_DEVICE_ITSELF = (0, 255)
"""Unit ids by which a device on Modbus TCP is asked itself, not a meter behind it (Modbus Messaging
on TCP/IP V1.0b, 4.4.2.1). What id it answers with is its own affair.
"""

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

_FUNCTIONS = frozenset((1, 2, 3, 4, 5, 6, 15, 16, 22, 23))
"""What masters ask for (the same, section 6)."""

_OTHER_SCHEMES = {"rtu": "tcp", "tcp": "rtu+tcp"}


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


class Silent(NoReply):
    """Nothing came at all, beside an echo of the question."""


class Garbled(BadReply):
    """What came on Modbus TCP contradicts itself: where the next answer begins is not known."""


class Question(msgspec.Struct, frozen=True):
    """One read: `count` registers from `address` on of the meter at `unit`."""

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


def frame_of(question: Question, framing: Framing) -> bytes:
    """The question as it travels."""
    body = struct.pack(">BHH", question.function, question.address, question.count)
    if framing == "tcp":
        return mbap(question.transaction, question.unit, body)
    return rtu(question.unit, body)


# --- RTU ------------------------------------------------------------------------------------------


class RtuAnswer(msgspec.Struct, frozen=True):
    """The register bytes, and where in what came their frame was."""

    data: bytes
    begin: int
    end: int


def rtu_size(count: int) -> int:
    """Bytes of the reply: address, function, byte count, registers, checksum."""
    return 3 + 2 * count + 2


def find_rtu(question: Question, received: bytes, looked_at: int) -> RtuAnswer | None:
    """The answer, wherever it begins: noise and answers of others may come before it. Raises
    Refused.

    What ends within the first `looked_at` bytes has been looked at before, and its checksum was
    wrong: babble that comes byte by byte would keep us busy otherwise.
    """
    for at in range(len(received) - 4):
        if received[at] != question.unit:
            continue
        if received[at + 1] == question.function and received[at + 2] == 2 * question.count:
            end = at + rtu_size(question.count)
        elif received[at + 1] == question.function | 0x80:
            end = at + 5
        else:
            continue
        if looked_at < end <= len(received) and is_sealed(received[at:end]):
            return RtuAnswer(_judge(question, received[at + 1 : end - 2]), at, end)
    return None


def rtu_frames(received: bytes) -> Iterator[bytes]:
    """The whole frames in it, questions and answers, told by their checksums (Modbus over Serial
    Line V1.02, 2.5.1).
    """
    at = 0
    while at + 5 <= len(received):
        size = next((s for s in _sizes(received, at) if is_sealed(received[at : at + s])), 0)
        if size:
            yield received[at : at + size]
        at += size or 1


def are_exchanges(received: bytes, own: bytes) -> bool:
    """Whether in the whole frames of it, beside our `own` question, each answer follows a question
    for registers. No answer to one has 8 bytes, for registers have two bytes each.
    """
    was_asked = False
    for frame in rtu_frames(received):
        if frame == own:
            continue
        is_question = len(frame) == 8 and frame[1] in (3, 4)
        if not is_question and not was_asked:
            return False
        was_asked = is_question
    return True


def _sizes(received: bytes, at: int) -> Iterator[int]:
    """How long a frame that begins there may be: an exception, a question or an echo of what was
    written, an answer with registers.
    """
    function = received[at + 1]
    if received[at] > 247 or function & 0x7F not in _FUNCTIONS:
        return
    for size in (5,) if function & 0x80 else (8, 5 + received[at + 2]):
        if at + size <= len(received):
            yield size


def is_answered_by_another(question: Question, received: bytes) -> bool:
    """Whether what came is one answer to this very question, by another address: a meter with a
    wrong address, and not another master, whose own question would have been heard, too.
    """
    frames = list(rtu_frames(received))
    return len(frames) == 1 and frames[0][1:3] == bytes((question.function, 2 * question.count))


def rtu_failure(question: Question, received: bytes, *, echoed: bool) -> NoReply | BadReply:
    """What was wrong with what came by the deadline, beside an echo of the question itself."""
    if not received:
        return only_echo(question) if echoed else silent(question)
    who, within = f"address {question.unit}", f"within {question.timeout_s:g} s"
    size = rtu_size(question.count)
    if _is_mbap(question, received):
        return BadReply(
            f"{who}: answers {question} in frames of Modbus TCP — it is no adapter that passes "
            "bytes on: write the line as tcp:"
        )
    frame = next(rtu_frames(received), b"")
    if frame and frame[0] != question.unit:
        return BadReply(
            f"{who}: address {frame[0]} answered instead to {question} — do two meters share an "
            "address?"
        )
    if frame:
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


def _is_mbap(question: Question, received: bytes) -> bool:
    """Whether it has a header of Modbus TCP that says how many bytes came. Such a server takes the
    beginning of our question for a header, and repeats it.
    """
    if len(received) < MBAP_BYTES + 3:
        return False
    repeats = received[0] == question.unit and received[1] == question.function
    protocol, length = int.from_bytes(received[2:4], "big"), int.from_bytes(received[4:6], "big")
    return length == len(received) - MBAP_BYTES and (
        protocol == 0 or (repeats and protocol == question.address)
    )


def silent(question: Question) -> Silent:
    """Nothing came."""
    return Silent(
        f"address {question.unit}: no answer within {question.timeout_s:g} s to {question} — "
        "check its power, its address, its baud rate and the wiring"
    )


def only_echo(question: Question) -> Silent:
    """Nothing came but our own question."""
    return Silent(
        f"address {question.unit}: no answer within {question.timeout_s:g} s to {question}; only "
        "the echo of the question came back, which the adapter makes — check the meter's power, "
        "its address, its baud rate and the wiring"
    )


# --- Modbus TCP -----------------------------------------------------------------------------------


def take_mbap(unread: bytes) -> bytes:
    """The first whole frame (Modbus Messaging on TCP/IP V1.0b, 3.1.3), or b"". Raises ValueError
    where it is no such frame.
    """
    if len(unread) < MBAP_BYTES:
        return b""
    protocol, length = int.from_bytes(unread[2:4], "big"), int.from_bytes(unread[4:6], "big")
    if protocol != 0 or not 3 <= length <= 254:
        raise ValueError
    return unread[: 6 + length] if len(unread) >= 6 + length else b""


def after_whole_frames(unread: bytes) -> bytes:
    """What of it is no whole frame yet, or none at all."""
    try:
        while frame := take_mbap(unread):
            unread = unread[len(frame) :]
    except ValueError:
        pass
    return unread


def transaction_of(frame: bytes) -> int:
    """The number that a frame of Modbus TCP bears."""
    return int.from_bytes(frame[:2], "big")


def unit_of(frame: bytes) -> int:
    """Who answers."""
    return frame[MBAP_BYTES]


def judge_mbap(question: Question, frame: bytes) -> bytes:
    """The register bytes of a whole frame. Raises Refused or BadReply."""
    return _judge(question, frame[MBAP_BYTES + 1 :])


def misstated(question: Question, unread: bytes) -> bool:
    """Whether what begins there is the answer, and its header says another length than it has."""
    return (
        len(unread) >= MBAP_BYTES + 3
        and unread[:4] == question.transaction.to_bytes(2, "big") + b"\0\0"
        and unread[7] == question.function
        and unread[8] == 2 * question.count
        and int.from_bytes(unread[4:6], "big") != 3 + 2 * question.count
    )


def check_length(question: Question, unread: bytes) -> None:
    """What to say of such an answer. Raises Garbled once all of it has come."""
    said, came = int.from_bytes(unread[4:6], "big"), len(unread) - MBAP_BYTES
    if came >= 3 + 2 * question.count:
        raise Garbled(
            f"address {question.unit}: answered something else than {question} (function "
            f"{question.function}, {max(0, said - 1)} bytes): the header says {said} bytes, {came} "
            "came — the device, or an adapter on the way, counts wrongly: look for newer software "
            "for it, or read the meter over its serial port"
        )


def other_number(question: Question, theirs: int) -> NoReply:
    """An answer came, but to another transaction than was asked."""
    return NoReply(
        f"address {question.unit}: no answer to {question}: transaction {theirs} answers "
        f"{question.transaction} — if answers come too late, raise the timeout; if not, the device "
        "mixes its clients up: let nothing else ask it, or write ?connect=cycle at the end of the "
        "line"
    )


def other_unit(question: Question, theirs: int) -> BadReply:
    """Somebody else answered."""
    return BadReply(
        f"address {question.unit}: address {theirs} answered instead to {question} — check the "
        "address; a device that is asked itself has address 255 or 0 on tcp:"
    )


def too_little(question: Question, unread: bytes) -> NoReply:
    """The beginning of an answer came, and no more."""
    if len(unread) < MBAP_BYTES:
        came = f"only {len(unread)} bytes came"
    else:
        said = int.from_bytes(unread[4:6], "big")
        came = f"the header says {said} bytes, {len(unread) - MBAP_BYTES} came"
    return NoReply(
        f"address {question.unit}: no whole answer within {question.timeout_s:g} s to {question}: "
        f"{came} — check the network, and the device's settings"
    )


def is_answer(question: Question, came: bytes, framing: Framing) -> bool:
    """Whether in what came there is an answer in those frames, be it a refusal."""
    try:
        if framing == "rtu":
            return find_rtu(question, came, 0) is not None
        frame = take_mbap(came)
        return frame not in (b"", frame_of(question, "tcp")) and (
            transaction_of(frame) == question.transaction
        )
    except Refused:
        return True
    except ValueError:
        return False


def other_framing(name: str, framing: Framing) -> str:
    """A line that answers in the other frames than those its URL says."""
    scheme = _OTHER_SCHEMES[framing]
    what = (
        "it answers in frames of Modbus TCP"
        if framing == "rtu"
        else "it answers in frames of a serial line, as an adapter does that only passes bytes on"
    )
    if name.startswith("tls:"):
        return f"{name}: {what} — set it to Modbus TCP, which is all that is read inside TLS"
    return f"{name}: {what} — write the line as {scheme}:"


def _judge(question: Question, pdu: bytes) -> bytes:
    """The register bytes of an answer that is this meter's, or why it is none."""
    who = f"address {question.unit}"
    if pdu[0] == question.function | 0x80:
        code = pdu[1] if len(pdu) > 1 else 0
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
