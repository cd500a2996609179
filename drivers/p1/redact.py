"""Takes the meters' numbers and the network operator's messages out of recorded telegrams, and
makes the checksums fit again. Pure.
"""

import re
from dataclasses import replace

from drivers import crc16
from drivers.p1.settings import Settings
from drivers.private_text import private_spans
from drivers.recording import Passed, Recording

_TELEGRAM = re.compile(rb"(/[A-Za-z]{3}[\s\S]{8,8192}?[\r\n]!)([0-9A-Fa-f]{4})")


def redact(recording: Recording, settings: Settings) -> Recording:  # noqa: ARG001 — every dialect writes them alike
    """The recording with zeros for letters and digits of numbers and messages. Raises ValueError
    where telegrams are encrypted.
    """
    came = b"".join(each.data for each in recording.passed if each.way == "came")
    if b"\xdb\x08" in came:
        raise ValueError(
            "what is encrypted cannot be redacted; without its key nobody can read it, but the "
            "system title names the meter"
        )
    zeroed = bytearray(came)
    for start, end in private_spans(came):
        zeroed[start:end] = _zeroed(came[start:end])
    shown = bytes(zeroed)
    for match in _TELEGRAM.finditer(came):
        # Only where the checksum was right before is it made right again: damage is worth
        # recording, too.
        if crc16.arc(match[1]) == int(match[2], 16):
            shown = (
                shown[: match.end(1)]
                + b"%04X" % crc16.arc(shown[match.start(1) : match.end(1)])
                + shown[match.end() :]
            )
    passed = []
    for each in recording.passed:
        size = len(each.data) if each.way == "came" else 0
        passed.append(Passed(each.at_s, "came", shown[:size]) if each.way == "came" else each)
        shown = shown[size:]
    told = tuple(
        replace(each, serial_number=each.serial_number and "0" * len(each.serial_number))
        for each in recording.told
    )
    return replace(recording, passed=tuple(passed), told=told, redacted=True)


def _zeroed(text: bytes) -> bytes:
    """As many characters of the same kind: text that is written in hexadecimal stays such text."""
    if len(text) % 2 == 0 and re.fullmatch(rb"[0-9A-Fa-f]+", text):
        return b"30" * (len(text) // 2)
    return re.sub(rb"[0-9A-Za-z]", b"0", text)
