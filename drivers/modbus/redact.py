"""Takes the serial number out of a recorded conversation, and makes the checksums fit again.
Pure.
"""

import struct
from collections.abc import Callable
from dataclasses import replace

from drivers.modbus.adu import is_sealed, sealed
from drivers.modbus.codec import decode_serial, serial_words
from drivers.modbus.settings import SerialNumber, Settings
from drivers.recording import Passed, Recording

Change = Callable[[int, int, bytes], bytes]
"""Function, address and register bytes of one reply → the bytes as they may be shown, as many."""

_PDU_BYTES = 5
"""A request for registers: function, address, count. What was sent and is none has no answer that
could hold them.
"""

_MOST_REGISTERS = 125

_MBAP_BYTES = 7
"""What stands before function and data on Modbus TCP, the unit included (Modbus Messaging on TCP/IP
V1.0b, 3.1.3).
"""


def redact(recording: Recording, settings: Settings) -> Recording:
    """The recording without the meter's serial number: letters and digits of a text become 0, a
    number becomes 1.
    """
    spec = settings.serial_number
    if spec is None:
        return replace(recording, redacted=True)
    found = change_replies(
        recording, lambda function, address, data: _without(spec, function, address, data)
    )
    shown = decode_serial(spec, _unknown(spec, "0" * 2 * spec.words))
    told = tuple(
        replace(each, serial_number=each.serial_number and shown) for each in recording.told
    )
    return replace(found, told=told, redacted=True)


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
    words = serial_words(spec)
    if spec.type == "string":
        return text.encode("ascii")
    data = (1).to_bytes(2 * words, "big")
    return (
        data
        if spec.word_order == "big"
        else b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))
    )


def change_replies(recording: Recording, change: Change) -> Recording:
    """The recording with other register bytes in its replies. What is no proper reply stays as it
    came.
    """
    passed = list(recording.passed)
    for at, each in enumerate(passed):
        if each.way == "sent":
            end = next(
                (n for n in range(at + 1, len(passed)) if passed[n].way == "sent"), len(passed)
            )
            whole = b"".join(part.data for part in passed[at + 1 : end])
            whole = (_change_tcp if recording.framing == "tcp" else _change_rtu)(
                each.data, whole, change
            )
            for n in range(at + 1, end):
                size = len(passed[n].data)
                passed[n], whole = Passed(passed[n].at_s, "came", whole[:size]), whole[size:]
    return replace(recording, passed=tuple(passed))


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
    if len(asked) != _MBAP_BYTES + _PDU_BYTES:
        return came
    function, address, count = struct.unpack(">BHH", asked[_MBAP_BYTES:])
    if count > _MOST_REGISTERS:
        return came
    at = came.find(asked[:2])
    start = at + _MBAP_BYTES + 2
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
