"""IEC 62056-21 telegrams and data blocks; what the options mean, `framing.py` says."""

from collections.abc import Iterable

import drivers.iec62056.telegram as iec
from drivers.iec62056.values import read_values as iec_values
from drivers.text_telegram import Telegram
from tests.drivers.iec62056.test_values import EASYMETER, EBZ, EMH, READOUT
from tests.fuzz.framing import MENDED, STRETCHED, framed, stretched
from tests.fuzz.target import (
    Target,
    check_message,
    check_quantities,
    check_serial_number,
    split,
)


def _even(text: bytes) -> bytes:
    return bytes(byte | (byte.bit_count() & 1) << 7 for byte in (each & 0x7F for each in text))


def iec_telegrams(data: bytes) -> None:
    """Options: MENDED makes parity right, bit 5 the unit of registers."""
    options, stream = split(data)
    if options & MENDED:
        stream = _even(stream)
    for event in framed(iec.Framer, stream, options, iec.MAX_TELEGRAM_BYTES):
        if isinstance(event, Telegram):
            _iec_values(event.raw, options)
        else:
            check_message(event.reason)
            check_message(event.text)
    check_message(iec.diagnose(stream))


def _iec_values(text: bytes, options: int) -> None:
    values = iec_values(text, "kWh" if options & 0x20 else None)
    check_quantities(values.quantities)
    check_quantities(values.steps_wh)
    check_serial_number(values.serial_number)


def iec_readout(data: bytes) -> None:
    """What comes on request: the identification, then the block. MENDED makes its check right."""
    options, stream = split(data)
    if options & MENDED and (end := stream.find(b"\x03", stream.find(b"\x02"))) >= 0:
        begin = stream.find(b"\x02")
        stream = (
            stream[: end + 1]
            + bytes([iec.block_check(stream[begin + 1 : end + 1]) & 0x7F])
            + stream[end + 2 :]
        )
    if options & 0x40:
        stream = _even(stream)
    found = iec.find_identification(stream)
    if found is not None:
        check_message(found.text)
        assert 300 <= found.baud <= 19200
    try:
        block = iec.find_block(stretched(stretched(stream)) if options & STRETCHED else stream)
    except ValueError as error:
        check_message(str(error))
        return
    if block is not None:
        assert len(block) <= iec.MAX_BLOCK_BYTES
        _iec_values(block, options)


IEC_TEXTS = (EASYMETER, EBZ, EMH)


def iec_seeds() -> Iterable[bytes]:
    for n, text in enumerate(IEC_TEXTS):
        yield bytes([n]) + text + b"\r\n"
        yield bytes([MENDED | 0x20 | n + 3]) + text + b"\r\n" + text[:90]
    yield bytes([STRETCHED]) + EMH


def readout_seeds() -> Iterable[bytes]:
    for options in (0, MENDED, MENDED | 0x40, MENDED | 0x20):
        yield bytes([options]) + b"/?!\r\n/ACE5\\3kV205\r\n\x02" + READOUT + b"\x03\x00"
    yield bytes([MENDED | STRETCHED]) + b"/LGZBZMD\r\n\x02" + READOUT + b"\x03\x00"


IEC_WORDS = (
    b"/ESY5",
    b"\r\n!\r\n",
    b"\x02",
    b"\x03",
    b"1-0:1.8.0*255(",
    b"1.8.0(",
    b"2.8.1(",
    b"16.7.0(",
    b"C.1.0(",
    b"0.0.0(",
    b"*kWh)",
    b"*kW)",
    b"32.7(",
)


TARGETS = (
    Target(
        "iec62056",
        "IEC 62056-21 telegrams in any chunks",
        iec_telegrams,
        iec_seeds,
        words=IEC_WORDS,
    ),
    Target(
        "iec62056-readout",
        "IEC 62056-21 identifications and data blocks",
        iec_readout,
        readout_seeds,
        words=IEC_WORDS,
    ),
)
