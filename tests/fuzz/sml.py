"""SML frames and what stands in them; what the options mean, `framing.py` says."""

from collections.abc import Iterable, Iterator

import drivers.sml.transport as sml
from drivers.simulated.sml import Entry, household, kermit
from drivers.simulated.sml import telegram as sml_telegram
from drivers.simulated.sml import transport as sml_transport
from drivers.sml.values import SmlError
from drivers.sml.values import decode as decode_sml
from drivers.sml.values import read_values as sml_values
from tests.drivers.sml.test_values import by_hand
from tests.fuzz.framing import MENDED, STRETCHED, framed
from tests.fuzz.target import (
    Target,
    check_message,
    check_quantities,
    check_serial_number,
    split,
)

SERVER = bytes.fromhex("0a01454d480000010203")


def sml_frames(data: bytes) -> None:
    """Options: MENDED makes the checksum of the last frame right, bit 5 puts what is there into a
    frame of its own.
    """
    options, stream = split(data)
    if options & 0x20:
        stream = sml_transport(stream[:4000].replace(b"\x1b" * 4, b"\x1b" * 8))
    elif options & MENDED and (end := stream.rfind(b"\x1b" * 4 + b"\x1a")) >= 0:
        begin = max(0, stream.rfind(b"\x1b" * 4 + b"\x01" * 4, 0, end))
        stream = (
            stream[: end + 6]
            + sml.checksums(stream[begin : end + 6])[options >> 6 & 1]
            + stream[end + 8 :]
        )
    for event in framed(sml.Framer, stream, options, sml.MAX_FRAME_BYTES):
        if isinstance(event, sml.Frame):
            assert len(event.payload) <= sml.MAX_FRAME_BYTES
            _sml_values(event.payload)
        else:
            check_message(event.reason)
            check_message(event.text)
    check_message(sml.diagnose(stream))


def _sml_values(payload: bytes) -> None:
    try:
        values = sml_values(payload)
    except SmlError as error:
        check_message(str(error))
        return
    check_quantities(values.quantities)
    check_quantities(values.steps_wh)
    check_serial_number(values.serial_number)


def sml_payloads(data: bytes) -> None:
    """What stands inside a frame. MENDED makes the messages' own checksums right."""
    options, payload = split(data)
    _sml_values(_right_messages(payload) if options & MENDED else payload)


def _right_messages(payload: bytes) -> bytes:
    changed = bytearray(payload)
    at = 0
    try:
        while at < len(changed):
            if changed[at] == 0:
                at += 1
                continue
            _, end = decode_sml(bytes(changed), at)
            if end - 4 > at and changed[end - 4] == 0x63:
                changed[end - 3 : end - 1] = sml.checksums(bytes(changed[at : end - 4]))[0]
            at = end
    except SmlError:
        pass  # from here on it is as it is
    return bytes(changed)


def payload_seeds() -> Iterable[bytes]:
    for frame in sml_streams():
        for event in sml.Framer().feed(frame):
            if isinstance(event, sml.Frame):
                yield bytes([MENDED]) + event.payload
    yield b"\x08" + b"\x7f" * 20


def frame_seeds() -> Iterable[bytes]:
    for frame in sml_streams():
        yield b"\x00" + frame
        yield bytes([MENDED | 2]) + frame
        yield bytes([MENDED | 0x44]) + frame[:40] + b"\x1b" * 4 + frame[40:]
        yield bytes([STRETCHED]) + frame


def sml_streams() -> Iterator[bytes]:
    yield sml_transport(by_hand())
    values = {"energy_import_wh": 1234567.8, "energy_export_wh": 4567.0, "power_w": -812.5}
    yield household(values, SERVER)
    yield household(values, b"SERVER" * 20)
    yield sml_telegram(
        bytes.fromhex("0a01445a47000282225e"),  # a DZG whose powers have too few bits
        [
            Entry(code="1-0:1.8.0*255", raw=123456, unit=30, scaler=-1, status=0x1C0104),
            Entry(code="1-0:1.8.1*255", raw=100000, unit=30, scaler=-1),
            Entry(code="1-0:15.7.0*255", raw=812, unit=27, scaler=0),
            Entry(code="1-0:16.7.0*255", raw=-29912, unit=27, scaler=-2),
            Entry(code="1-0:32.7.0*255", raw=2300, unit=35, scaler=-1),
        ],
        checksum=kermit,
    )


SML_WORDS = (
    b"\x1b\x1b\x1b\x1b", b"\x01\x01\x01\x01", b"\x1b\x1b\x1b\x1b\x1a\x00",
    b"\x07\x01\x00\x01\x08\x00\xff",
    b"\x07\x01\x00\x10\x07\x00\xff", b"\x07\x01\x00\x0f\x07\x00\xff", b"\x62\x1e\x52\xff",
    b"\x62\x1b\x52\xff",
    b"\x0b\x0a\x01DZG\x00\x02\x82\x22\x5e", b"\x77", b"\x72\x63\x07\x01",
)  # fmt: skip


TARGETS = (
    Target("sml-frames", "SML frames in any chunks", sml_frames, frame_seeds, words=SML_WORDS),
    Target(
        "sml-values", "what stands inside SML frames", sml_payloads, payload_seeds, words=SML_WORDS
    ),
)
