"""Takes the meter's numbers out of recorded IEC 62056-21 text, and makes the checks fit again.
Pure.
"""

import re
from dataclasses import replace

from drivers import crc16
from drivers.iec62056.settings import Settings
from drivers.iec62056.telegram import block_check, seven_bits
from drivers.private_text import private_spans
from drivers.recording import Passed, Recording

_SIGN_ON = re.compile(rb"(?<=/\?)[0-9A-Za-z ]{1,32}(?=!)")  # sent, and its echo
_BLOCK = re.compile(rb"\x02([^\x03]*\x03)([\s\S])")
_SEALED = re.compile(rb"(/[A-Za-z]{3}[\s\S]{8,8192}?[\r\n]!)([0-9A-Fa-f]{4})")


def redact(recording: Recording, settings: Settings) -> Recording:  # noqa: ARG001 — every meter writes its numbers alike
    """The recording with zeros for letters and digits of numbers and messages."""
    came = b"".join(each.data for each in recording.passed if each.way == "came")
    before, _ = seven_bits(came)
    shown = bytearray(came)
    for start, end in private_spans(before):
        shown[start:end] = _zeroed(came[start:end], before[start:end])
    after, _ = seven_bits(bytes(shown))
    for match in _BLOCK.finditer(before):
        # Only where the check was right before is it made right again: damage is worth recording,
        # too.
        if block_check(match[1]) == match[2][0]:
            check = block_check(after[match.start(1) : match.end(1)])
            shown[match.start(2) : match.end(2)] = _carried(bytes([check]), came, match)
    for match in _SEALED.finditer(before):
        if crc16.arc(match[1]) == int(match[2], 16):
            digits = b"%04X" % crc16.arc(after[match.start(1) : match.end(1)])
            shown[match.start(2) : match.end(2)] = _carried(digits, came, match)
    passed = []
    for each in recording.passed:
        size = len(each.data) if each.way == "came" else 0
        data = bytes(shown[:size]) if size else each.data
        passed.append(Passed(each.at_s, each.way, _SIGN_ON.sub(_anonymous, data)))
        del shown[:size]
    told = tuple(
        replace(
            each,
            serial_number=each.serial_number and re.sub(r"[0-9A-Za-z]", "0", each.serial_number),
        )
        for each in recording.told
    )
    return replace(recording, passed=tuple(passed), told=told, redacted=True)


def _carried(text: bytes, came: bytes, match: re.Match[bytes]) -> bytes:
    """With the parity that what stands around it came with."""
    if came[match.start() : match.end()].isascii():
        return text
    return bytes(byte | byte.bit_count() % 2 << 7 for byte in text)


def _anonymous(match: re.Match[bytes]) -> bytes:
    return re.sub(rb"[0-9A-Za-z]", b"0", match[0])


def _zeroed(raw: bytes, text: bytes) -> bytes:
    """A zero has an even number of ones: it is the same with its parity and without."""
    return bytes(
        0x30 if chr(seven).isalnum() else byte for byte, seven in zip(raw, text, strict=True)
    )
