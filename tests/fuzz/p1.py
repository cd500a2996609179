"""P1 telegrams, plain and encrypted; what the options mean, `framing.py` says."""

import itertools
from collections.abc import Iterable

import drivers.p1.telegram as p1
from drivers import crc16
from drivers.p1.cipher import CipherError, decrypt
from drivers.p1.dialects import recognise, shipped
from drivers.p1.reader import Reader as P1Reader
from drivers.p1.reader import read_values as p1_values
from drivers.text_telegram import Damaged, Telegram, fault
from tests.drivers.p1.telegrams.encrypted import (
    AUTHENTICATION,
    KEYS,
    TITLE,
    envelope,
    headed,
    length_of,
)
from tests.drivers.p1.telegrams.written import written
from tests.fuzz.framing import MENDED, STRETCHED, framed
from tests.fuzz.target import (
    Target,
    check_message,
    check_quantities,
    check_serial_number,
    split,
)


def right_checksums(stream: bytes) -> bytes:
    """The same with right checksums, where there are any."""
    changed = bytearray(stream)
    framer = p1.Framer()
    for event in framer.feed(stream):
        if isinstance(event, Telegram) and event.checksum is not None:
            end = event.start + len(event.raw)
            changed[end : end + 4] = b"%04X" % crc16.arc(event.raw)
    return bytes(changed)


def p1_telegrams(data: bytes) -> None:
    options, stream = split(data)
    if options & MENDED:
        stream = right_checksums(stream)
    for event in framed(p1.Framer, stream, options, p1.MAX_TELEGRAM_BYTES):
        if isinstance(event, Telegram):
            check_p1(event, options)
        elif isinstance(event, Damaged):
            check_message(event.reason)
            check_message(event.text)
        else:
            assert len(event.raw) <= p1.MAX_TELEGRAM_BYTES
    check_message(p1.diagnose(stream))


def check_p1(telegram: Telegram, options: int) -> None:
    for policy in ("required", "optional", "ignored"):
        check_message(fault(telegram, policy) or "")  # type: ignore[arg-type]
    recognise(telegram.raw, shipped())
    values = p1_values(telegram.raw, (1, 2) if options & 0x20 else ())
    check_quantities(values.quantities)
    check_serial_number(values.serial_number)
    assert (
        values.meter_utc_s is None or 946684800 - 50400 <= values.meter_utc_s < 4102444800 + 43200
    )


def p1_seeds() -> Iterable[bytes]:
    for n, each in enumerate(written()):
        for options in (n % 8, MENDED | n % 8):
            yield bytes([options]) + each.data
    yield bytes([MENDED | 5]) + b"\r\n".join(each.data for each in itertools.islice(written(), 2))
    yield (
        b"\x02"
        + envelope(b"/KFM5\r\n\r\n1-0:1.8.0(000123.456*kWh)\r\n!1234\r\n")
        + headed(b"/KFM5\r\n\r\n!")
    )
    yield bytes([STRETCHED]) + b"/KFM5\r\n\r\n1-0:1.8.0(000123.456*kWh)\r\n!1234\r\n"


P1_WORDS = (
    b"/KFM5", b"\r\n!", b"\r\n\r\n\x00", b"\xdb\x08SAG12345\x82", b"1-0:1.8.0(", b"1-0:2.7.0(",
    b"0-0:1.0.0(", b"0-1:24.1.0(003)",
    b"0-1:24.2.1(", b"0-1:24.3.0(", b"0-0:96.1.1(", b"1-0:1.6.0(", b"7-0:23.1.0(", b"0-0:42.0.0(",
    b"0-0:96.14.0(0002)", b"*kWh)",
    b"*kVArh)", b"*m3)", b"(210203144000W)", b"W)(", b"\r\n(",
)  # fmt: skip


def p1_reader(data: bytes) -> None:
    """How many changes, then these (where, which digit), then a telegram: with other digits it is
    read as one that never came before.
    """
    count = data[0] % 40 if data else 0
    changes, raw = data[1 : 1 + 2 * count], bytearray(data[1 + 2 * count :])
    reader = P1Reader((1, 2) if count % 2 else ())
    reader.read(bytes(raw))
    digits = [at for at, byte in enumerate(raw) if 0x30 <= byte <= 0x39]
    for where, digit in zip(changes[::2], changes[1::2], strict=False):
        if digits:
            raw[digits[where * len(digits) // 256]] = 0x30 + digit % 10
            values = reader.read(bytes(raw))
            assert values == p1_values(bytes(raw), (1, 2) if count % 2 else ())
            check_quantities(values.quantities)


def reader_seeds() -> Iterable[bytes]:
    for n, each in enumerate(written()):
        for event in p1.Framer().feed(each.data):
            if isinstance(event, Telegram):
                yield bytes((3,)) + bytes((n * 9 % 256, n, n * 31 % 256, 7, 200, 0)) + event.raw


def p1_cipher(data: bytes) -> None:
    """Options: MENDED seals the text with the right keys; bit 5 without a tag, bit 6 damages a byte
    afterwards, bit 7 tries wrong keys.
    """
    options, text = split(data)
    frame = (
        envelope(text[:7000], security=0x20 if options & 0x20 else 0x30)
        if options & MENDED and text
        else text
    )
    at = -1
    if options & 0x40 and len(frame) > 20:
        at = len(frame) - 1 - options % 16
        frame = frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]
    keys = (
        KEYS
        if not options & 0x80
        else type(KEYS)(
            encryption=KEYS.encryption, authentication=b"16 other bytes..", system_title=TITLE
        )
    )
    for event in framed(p1.Framer, frame, options & ~STRETCHED, p1.MAX_TELEGRAM_BYTES):
        if isinstance(event, p1.Sealed):
            try:
                opened = decrypt(event.raw, keys, AUTHENTICATION)
            except CipherError as error:
                check_message(str(error))
                assert KEYS.encryption.hex() not in str(error).lower()
                continue
            assert opened.text[:1] == b"/"
            is_damaged = event.start <= at < event.start + len(event.raw)
            assert not (opened.proven and (is_damaged or options & 0x80))
            check_serial_number(opened.serial_number)
            inner = p1.Framer()
            for telegram in [*inner.feed(opened.text), *inner.silence()]:
                if isinstance(telegram, Telegram):
                    check_p1(telegram, options)


def cipher_seeds() -> Iterable[bytes]:
    texts = [each.data for each in written()][:4]
    for options in (0x08, 0x28, 0x48, 0x88, 0x0D):
        for text in texts:
            yield bytes([options]) + text
    short = b"/KFM5\r\n\r\n1-0:1.8.0(000123.456*kWh)\r\n!1234\r\n"
    yield b"\x00" + envelope(short, form=0x81)
    yield b"\x01" + headed(short)
    yield b"\x03\xdb\x00" + length_of(30, 0) + bytes(30)


TARGETS = (
    Target(
        "p1",
        "P1 telegrams in any chunks: framed, judged, recognised, read",
        p1_telegrams,
        p1_seeds,
        words=P1_WORDS,
        longest=2500,
    ),
    Target(
        "p1-reader",
        "P1 telegrams one after the other that differ in digits",
        p1_reader,
        reader_seeds,
        words=P1_WORDS,
        longest=2000,
    ),
    Target(
        "p1-cipher",
        "encrypted P1 frames, sealed with the keys and damaged",
        p1_cipher,
        cipher_seeds,
        words=P1_WORDS,
    ),
)
