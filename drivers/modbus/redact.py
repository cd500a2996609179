"""Takes the serial number out of a recorded conversation, and makes the checksums fit again.
Pure.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from drivers.modbus.adu import HEADER_BYTES, is_sealed, sealed
from drivers.modbus.codec import decode_serial
from drivers.modbus.settings import SerialNumber, Settings
from drivers.recording import Passed, Recording

Change = Callable[[int, int, bytes], bytes]
"""Function, address and register bytes of one reply → the bytes as they may be shown, as many."""

_PDU_BYTES = 5
"""A request for registers: function, address, count. What was sent and is none has no answer that
could hold them.
"""

_MOST_REGISTERS = 125

_TELLING_BYTES = 3
"""A number of fewer bytes may be any value: it is not looked for but where it belongs."""


def redact(recording: Recording, settings: Settings) -> Recording:
    """The recording without the meter's serial number: letters and digits of a text become 0, a
    number becomes 1.
    """
    spec = settings.serial_number
    if spec is None:
        return replace(recording, redacted=True)
    shown = _unknown(spec, "0" * 2 * spec.words)
    numbers = {
        raw: shown for raw in (*_told(recording, spec), *_replied(recording, spec)) if any(raw)
    }
    found = conceal(
        recording, lambda function, address, data: _without(spec, function, address, data), numbers
    )
    number = decode_serial(spec, shown)
    told = tuple(
        replace(each, serial_number=each.serial_number and number) for each in recording.told
    )
    return replace(found, told=told, redacted=True)


def _told(recording: Recording, spec: SerialNumber) -> Iterator[bytes]:
    """The number, as it travels, in the readings."""
    for number in {each.serial_number for each in recording.told if each.serial_number}:
        if spec.type == "string":
            yield number.encode("ascii", "replace")
        elif number.isdecimal() and int(number[:20]) < 1 << 16 * spec.count:
            yield _ordered(spec, int(number[:20]).to_bytes(2 * spec.count, "big"))


def _replied(recording: Recording, spec: SerialNumber) -> list[bytes]:
    """The number, as it travels, in proper replies."""
    found: list[bytes] = []

    def note(function: int, address: int, data: bytes) -> bytes:
        start = 2 * (spec.address - address)
        if function == spec.function and 0 <= start <= len(data) - 2 * spec.count:
            raw = data[start : start + 2 * spec.count]
            found.append(raw.rstrip(b"\0 ") if spec.type == "string" else raw)
        return data

    change_replies(recording, note)
    return found


def _without(spec: SerialNumber, function: int, address: int, data: bytes) -> bytes:
    """Where a reply holds any of the serial number's registers, these are replaced."""
    if function != spec.function:
        return data
    unknown = _unknown(spec, "0" * 2 * spec.words)
    changed = bytearray(data)
    for at, byte in enumerate(unknown, 2 * (spec.address - address)):
        if 0 <= at < len(changed):
            changed[at] = byte
    return bytes(changed)


def _unknown(spec: SerialNumber, text: str) -> bytes:
    if spec.type == "string":
        return text.encode("ascii")
    return _ordered(spec, (1).to_bytes(2 * spec.count, "big"))


def _ordered(spec: SerialNumber, data: bytes) -> bytes:
    """The bytes of a number, most significant first, as they travel."""
    if spec.word_order == "big":
        return data
    return b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))


def conceal(recording: Recording, change: Change, numbers: Mapping[bytes, bytes]) -> Recording:
    """As `change_replies`. Besides, what came for a question that `change` concerns, and is no
    proper reply, becomes zeros; and `numbers` (bytes → as they may be shown) are replaced wherever
    they stand: an answer may come late, or to another master.
    """
    telling = {
        raw: shown for raw, shown in numbers.items() if len(raw.strip(b"\0")) >= _TELLING_BYTES
    }

    def concealed(asked: bytes, came: bytes) -> bytes:
        changed = _change(recording, asked, came, change)
        if changed == came and _concerns(recording, asked, change):
            changed = _damaged(recording, came, changed, asked)
        for raw, shown in telling.items():
            changed = _replaced(changed, raw, shown[: len(raw)].ljust(len(raw), shown[-1:]))
        return changed

    return _change_spans(recording, concealed)


def _concerns(recording: Recording, asked: bytes, change: Change) -> bool:
    """Whether the answer to that question would be changed."""
    start = HEADER_BYTES if recording.framing == "tcp" else 1
    pdu = asked[start : start + _PDU_BYTES]
    if len(pdu) != _PDU_BYTES:
        return False
    function, address, count = struct.unpack(">BHH", pdu)
    if count > _MOST_REGISTERS:
        return False
    probe = b"\xff" * (2 * count)
    return bool(change(function, address, probe) != probe)


def _damaged(recording: Recording, came: bytes, changed: bytes, asked: bytes) -> bytes:
    """What came for a private question: zeros, unless it is a proper reply without anything to
    change, or a refusal.
    """
    at = HEADER_BYTES if recording.framing == "tcp" else 1
    is_refusal = len(came) == at + 2 + (0 if at > 1 else 2) and came[at] & 0x80
    if is_refusal:
        return came
    proper: list[bytes] = []

    def note(_: int, __: int, data: bytes) -> bytes:
        proper.append(data)
        return data

    _change(recording, asked, came, note)
    return changed if proper else bytes(len(came))


def _replaced(came: bytes, raw: bytes, shown: bytes) -> bytes:
    """The bytes with another number, and a right checksum in every frame that had one."""
    at = came.find(raw)
    while at >= 0:
        end = at + len(raw)
        frame = _frame_around(came, at, end)
        came = came[:at] + shown + came[end:]
        if frame is not None:
            whole = sealed(came[frame.start : frame.stop - 2])
            came = came[: frame.start] + whole + came[frame.stop :]
        at = came.find(raw, end) if raw != shown else -1
    return came


def _frame_around(came: bytes, at: int, end: int) -> slice | None:
    """The RTU reply that holds these bytes, where there is one with a right checksum."""
    for start in range(max(0, at - 3 - 2 * _MOST_REGISTERS), at - 2):
        stop = start + 3 + came[start + 2] + 2
        holds = came[start + 1] in (3, 4) and end <= stop - 2 <= len(came) - 2
        if holds and is_sealed(came[start:stop]):
            return slice(start, stop)
    return None


def change_replies(recording: Recording, change: Change) -> Recording:
    """The recording with other register bytes in its replies. What is no proper reply stays as it
    came.
    """
    return _change_spans(recording, lambda asked, came: _change(recording, asked, came, change))


def _change_spans(recording: Recording, changed: Callable[[bytes, bytes], bytes]) -> Recording:
    """The recording with other bytes, as many, after each question. Before the first one nothing
    was asked (b"").
    """
    passed = list(recording.passed)
    asked_at = [n for n, each in enumerate(passed) if each.way == "sent"]
    for at, end in zip((-1, *asked_at), (*asked_at, len(passed)), strict=True):
        asked = passed[at].data if at >= 0 else b""
        whole = changed(asked, b"".join(part.data for part in passed[at + 1 : end]))
        for n in range(at + 1, end):
            size = len(passed[n].data)
            passed[n], whole = Passed(passed[n].at_s, "came", whole[:size]), whole[size:]
    return replace(recording, passed=tuple(passed))


def _change(recording: Recording, asked: bytes, came: bytes, change: Change) -> bytes:
    change_one = _change_tcp if recording.framing == "tcp" else _change_rtu
    return change_one(asked, came, change)


def _change_rtu(asked: bytes, came: bytes, change: Change) -> bytes:
    if len(asked) != 1 + _PDU_BYTES + 2:
        return came
    unit, function, address, count = struct.unpack(">BBHH", asked[:-2])
    if count > _MOST_REGISTERS:
        return came
    head = bytes((unit, function, 2 * count))
    at = came.find(head)
    while at >= 0:
        end = at + 3 + 2 * count
        if end + 2 <= len(came) and is_sealed(came[at : end + 2]):
            frame = sealed(head + change(function, address, came[at + 3 : end]))
            return came[:at] + frame + came[end + 2 :]
        at = came.find(head, at + 1)
    return came


def _change_tcp(asked: bytes, came: bytes, change: Change) -> bytes:
    if len(asked) != HEADER_BYTES + _PDU_BYTES:
        return came
    function, address, count = struct.unpack(">BHH", asked[HEADER_BYTES:])
    if count > _MOST_REGISTERS:
        return came
    at = came.find(asked[:2])
    start = at + HEADER_BYTES + 2
    if (
        at < 0
        or came[start - 2 : start] != bytes((function, 2 * count))
        or len(came) < start + 2 * count
    ):
        return came
    return (
        came[:start]
        + change(function, address, came[start : start + 2 * count])
        + came[start + 2 * count :]
    )
