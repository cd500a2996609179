"""Takes the meter's ids, keys and signatures out of recorded SML, and makes all checksums fit
again. Pure.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import accumulate

from drivers.recording import Passed, Recording
from drivers.sml.settings import Settings
from drivers.sml.transport import Frame, Framer, checksums
from drivers.sml.values import SmlError, Tree, decode, serial_number

_OPEN_RESPONSE, _GET_LIST_RESPONSE = b"\x01\x01", b"\x07\x01"
_ESCAPE, _START = b"\x1b" * 4, b"\x1b" * 4 + b"\x01" * 4

_ID_BYTES = 5
"""An octet string of fewer bytes is a maker's name or a flag."""
_PART_BYTES = 3
"""So much of an id is looked for in what is no whole telegram."""
_KEPT = 1_000_000
"""Of a number on the meter the millions stay: meters with a fault in their telegrams are known by
them (drivers/sml/values.py).
"""


def redact(recording: Recording, settings: Settings) -> Recording:  # noqa: ARG001 — every meter tells its ids alike
    """The recording with zeros for ids, keys and signatures; of a number as it is printed on the
    meter, its last six digits.

    Raises ValueError where no telegram is whole, for then nobody knows where they are.
    """
    came = b"".join(each.data for each in recording.passed if each.way == "came")
    frames = [(frame, _size(frame)) for frame in Framer().feed(came) if isinstance(frame, Frame)]
    found = {each for frame, _ in frames for each in _private(frame.payload)}
    if not found:
        raise ValueError(
            "no telegram in it is whole, so nobody knows where the meter's number is — record "
            "for longer"
        )
    shown = {
        each: _shown(each) for each in sorted(found, key=len, reverse=True)
    }  # one may stand in another
    changed = [
        _frame(frame.payload, came[frame.start : frame.start + size], shown)
        for frame, size in frames
    ]
    stream, at = b"", 0
    for (frame, size), data in zip(frames, changed, strict=True):
        stream += _without_any(came[at : frame.start], shown) + data
        at = frame.start + size
    stream += _without_any(came[at:], shown)
    numbers = {serial_number(each): serial_number(instead) for each, instead in shown.items()}
    told = tuple(
        replace(each, serial_number=numbers.get(each.serial_number)) for each in recording.told
    )
    sizes = [
        (frame.start, size, len(data) - size)
        for (frame, size), data in zip(frames, changed, strict=True)
    ]
    return replace(
        recording, passed=tuple(_cut(recording.passed, stream, sizes)), told=told, redacted=True
    )


def _private(payload: bytes) -> Iterator[bytes]:
    """What tells the meter from others in one file."""
    for _, _, message in _messages(payload):
        if len(message) < 4 or not isinstance(message[3], list) or len(message[3]) != 2:
            continue
        tag, body = message[3]
        if not isinstance(tag, bytes) or not isinstance(body, list):
            continue
        candidates: list[Tree] = []
        if tag[1:] == _OPEN_RESPONSE:
            candidates = [*body[1:2], *body[3:4]]  # client, server
        elif tag[1:] == _GET_LIST_RESPONSE:
            entries = body[4] if len(body) > 4 and isinstance(body[4], list) else []
            candidates = [
                *body[:2],
                *body[5:6],
                *(part for entry in entries if isinstance(entry, list) for part in entry[5:7]),
            ]
        for each in candidates:
            if (
                isinstance(each, bytes)
                and each[:1]
                and not each[0] & 0x70
                and len(each) > _ID_BYTES
                and any(each[1:])
            ):
                yield each[1:]


def _messages(payload: bytes) -> Iterator[tuple[int, int, list[Tree]]]:
    """Where each begins and ends, and what it is. What is no proper SML ends it."""
    at = 0
    while at < len(payload):
        if payload[at] == 0:  # fill bytes
            at += 1
            continue
        try:
            message, end = decode(payload, at)
        except SmlError:
            return
        yield at, end, message
        at = end


def _shown(private: bytes) -> bytes:
    """As many bytes of the same kind."""
    plain = serial_number(private) or ""
    if (
        len(private) == 10
        and plain[1:4].isalpha()
        and plain[4:] == f"{private[5]:02X}{int.from_bytes(private[6:], 'big'):08d}"
    ):
        return private[:6] + (int.from_bytes(private[6:], "big") // _KEPT * _KEPT).to_bytes(
            4, "big"
        )
    if private.isascii() and private.decode("ascii").isprintable():
        return bytes(0x30 if chr(byte).isalnum() else byte for byte in private)
    return bytes(len(private))


def _without(data: bytes, shown: Mapping[bytes, bytes]) -> bytes:
    for private, instead in shown.items():
        data = data.replace(private, instead)
    return data


def _without_any(data: bytes, shown: Mapping[bytes, bytes]) -> bytes:
    """What is no whole telegram: zeros also for parts of ids, which may be cut off or damaged."""
    zeroed = bytearray(_without(data, shown))
    for private in shown:
        for n in range(len(private) - _PART_BYTES + 1):
            part = private[n : n + _PART_BYTES]
            if len(part.strip(b"\0")) < _PART_BYTES - 1:
                continue
            at = data.find(part)
            while at >= 0:
                zeroed[at : at + _PART_BYTES] = bytes(_PART_BYTES)
                at = data.find(part, at + 1)
    return bytes(zeroed)


def _size(frame: Frame) -> int:
    """Bytes it took on the wire."""
    return len(_START) + len(frame.payload.replace(_ESCAPE, _ESCAPE * 2)) + 8


def _frame(payload: bytes, raw: bytes, shown: Mapping[bytes, bytes]) -> bytes:
    """The frame with other ids, each checksum of the kind that it was."""
    parts, at = [], 0
    for begin, end, message in _messages(payload):
        stated = message[4] if len(message) > 4 and isinstance(message[4], bytes) else b""
        checked = payload[begin : end - len(stated) - 1]
        kinds = [int.from_bytes(each, "big") for each in checksums(checked)]
        number = int.from_bytes(stated[1:], "big")
        changed = _without(checked, shown)
        # A checksum may have come without its first byte, which was zero then and need not be now.
        tail = b"\x63" + checksums(changed)[kinds.index(number)] if number in kinds else stated
        parts += [payload[at:begin], changed, tail, payload[end - 1 : end]]
        at = end
    rest = payload[at:]
    body = b"".join(parts)
    if len(body) + len(rest) != len(payload) and not rest.strip(b"\0"):
        rest = bytes(-len(body) % 4)
    fill = raw[-3] if len(body) + len(rest) == len(payload) else len(rest)
    framed = _START + (body + rest).replace(_ESCAPE, _ESCAPE * 2) + _ESCAPE + bytes((0x1A, fill))
    return framed + checksums(framed)[checksums(raw[:-2]).index(raw[-2:])]


def _cut(
    passed: tuple[Passed, ...], stream: bytes, sizes: list[tuple[int, int, int]]
) -> Iterator[Passed]:
    """The stream in the pieces in which it came. `sizes`: start and size of each frame as it came,
    and how much it has grown.
    """
    starts = [start for start, _, _ in sizes]
    grown = [0, *accumulate(more for _, _, more in sizes)]

    def moved(at: int) -> int:
        n = bisect_right(starts, at) - 1
        if n < 0:
            return at
        start, size, _ = sizes[n]
        return at + grown[n + 1 if at >= start + size else n]

    at = 0
    for each in passed:
        if each.way == "sent":
            yield each
            continue
        yield Passed(each.at_s, "came", stream[moved(at) : moved(at + len(each.data))])
        at += len(each.data)
