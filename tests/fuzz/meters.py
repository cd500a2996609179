"""Meters that speak text or SML: P1, encrypted P1, SML, IEC 62056-21; their telegrams, and their
drivers.

The first byte of an input has options: bits 0–2 the size of chunks, MENDED, STRETCHED, and two bits
more that each target reads. Mended means that checksums are made right before the input is fed:
otherwise nearly every mutation would end at the first gate.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from fastcrc import crc16

import drivers.iec62056.telegram as iec
import drivers.p1.telegram as p1
import drivers.sml.transport as sml
from drivers.iec62056.values import read_values as iec_values
from drivers.line_protocol import LineError, MeterError, Turns
from drivers.line_url import Framing, SerialSettings
from drivers.p1.cipher import CipherError, decrypt
from drivers.p1.dialects import recognise, shipped
from drivers.p1.obis import Reader as P1Reader
from drivers.p1.obis import read_values as p1_values
from drivers.profile import DeviceAddress, load_profile
from drivers.simulated.sml import Entry, household, kermit
from drivers.simulated.sml import telegram as sml_telegram
from drivers.simulated.sml import transport as sml_transport
from drivers.sml.values import SmlError
from drivers.sml.values import decode as decode_sml
from drivers.sml.values import read_values as sml_values
from tests.drivers.iec62056.test_values import EASYMETER, EBZ, EMH, READOUT
from tests.drivers.p1.telegrams.encrypted import (
    AUTHENTICATION,
    CREDENTIALS,
    KEYS,
    TITLE,
    envelope,
    headed,
    length_of,
)
from tests.drivers.p1.telegrams.written import written
from tests.drivers.sml.test_values import by_hand
from tests.fuzz.target import (
    Target,
    check_message,
    check_quantities,
    check_serial_number,
    pieces,
    split,
)
from tests.simulation.virtual_time import VirtualLoop

MENDED, STRETCHED = 0x08, 0x10
SERVER = bytes.fromhex("0a01454d480000010203")

Event = TypeVar("Event")


class _Framer(Protocol[Event]):
    """What all framers have."""

    offset: int
    noise_bytes: int
    noise_sample: bytes

    @property
    def open_start(self) -> int | None: ...

    @property
    def open_bytes(self) -> int: ...

    def feed(self, data: bytes) -> list[Event]: ...

    def silence(self) -> list[Event]: ...


def stretched(stream: bytes) -> bytes:
    """Longer than any telegram may be, by what stands in the middle of it."""
    middle = len(stream) // 2
    filler = stream[middle : middle + 16] or b"x"
    return stream[:middle] + filler * (9000 // len(filler)) + stream[middle:]


def framed(
    framer: Callable[[], _Framer[Event]], stream: bytes, options: int, most_bytes: int
) -> Iterator[Event]:
    """The events of a stream; whole or in chunks, they are the same."""
    if options & STRETCHED:
        stream = stretched(stream)
        options |= 4  # not byte by byte
    whole, cut = framer(), framer()
    expected = whole.feed(stream)
    events: list[Event] = []
    for piece in pieces(stream, options):
        events += cut.feed(piece)
        assert cut.open_bytes <= most_bytes
        assert len(cut.noise_sample) <= 512
    assert events == expected, "chunks change what comes out"
    assert (cut.offset, cut.noise_bytes, cut.noise_sample, cut.open_start) == (
        whole.offset,
        whole.noise_bytes,
        whole.noise_sample,
        whole.open_start,
    )
    events += cut.silence()
    last = -1
    for event in events:
        start: int = event.start  # type: ignore[attr-defined]  # every event has one
        assert last < start < len(stream)
        last = start
        yield event


# P1


def _right_p1(stream: bytes) -> bytes:
    """The same with right checksums, where there are any."""
    changed = bytearray(stream)
    framer = p1.Framer()
    for event in framer.feed(stream):
        if isinstance(event, p1.Telegram) and event.checksum is not None:
            end = event.start + len(event.raw)
            changed[end : end + 4] = b"%04X" % crc16.arc(event.raw)
    return bytes(changed)


def p1_telegrams(data: bytes) -> None:
    options, stream = split(data)
    if options & MENDED:
        stream = _right_p1(stream)
    for event in framed(p1.Framer, stream, options, p1.MAX_TELEGRAM_BYTES):
        if isinstance(event, p1.Telegram):
            _p1_values(event, options)
        elif isinstance(event, p1.Damaged):
            check_message(event.reason)
            check_message(event.text)
        else:
            assert len(event.raw) <= p1.MAX_TELEGRAM_BYTES
    check_message(p1.diagnose(stream))


def _p1_values(telegram: p1.Telegram, options: int) -> None:
    for policy in ("required", "optional", "ignored"):
        check_message(p1.fault(telegram, policy) or "")  # type: ignore[arg-type]
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
            if isinstance(event, p1.Telegram):
                yield bytes((3,)) + bytes((n * 9 % 256, n, n * 31 % 256, 7, 200, 0)) + event.raw


# Encrypted P1


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
            assert not (opened.proven and options & 0xC0)
            check_serial_number(opened.serial_number)
            inner = p1.Framer()
            for telegram in [*inner.feed(opened.text), *inner.silence()]:
                if isinstance(telegram, p1.Telegram):
                    _p1_values(telegram, options)


def cipher_seeds() -> Iterable[bytes]:
    texts = [each.data for each in written()][:4]
    for options in (0x08, 0x28, 0x48, 0x88, 0x0D):
        for text in texts:
            yield bytes([options]) + text
    short = b"/KFM5\r\n\r\n1-0:1.8.0(000123.456*kWh)\r\n!1234\r\n"
    yield b"\x00" + envelope(short, form=0x81)
    yield b"\x01" + headed(short)
    yield b"\x03\xdb\x00" + length_of(30, 0) + bytes(30)


# SML


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
    for frame in _sml_streams():
        for event in sml.Framer().feed(frame):
            if isinstance(event, sml.Frame):
                yield bytes([MENDED]) + event.payload
    yield b"\x08" + b"\x7f" * 20


def frame_seeds() -> Iterable[bytes]:
    for frame in _sml_streams():
        yield b"\x00" + frame
        yield bytes([MENDED | 2]) + frame
        yield bytes([MENDED | 0x44]) + frame[:40] + b"\x1b" * 4 + frame[40:]
        yield bytes([STRETCHED]) + frame


def _sml_streams() -> Iterator[bytes]:
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


# IEC 62056-21


def _even(text: bytes) -> bytes:
    return bytes(byte | (byte.bit_count() & 1) << 7 for byte in (each & 0x7F for each in text))


def iec_telegrams(data: bytes) -> None:
    """Options: MENDED makes parity right, bit 5 the unit of registers."""
    options, stream = split(data)
    if options & MENDED:
        stream = _even(stream)
    for event in framed(iec.Framer, stream, options, iec.MAX_TELEGRAM_BYTES):
        if isinstance(event, iec.Telegram):
            _iec_values(event.text, options)
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


# The drivers, on a line that sends the input


class _Speaker:
    """A line on which the input comes, piece after piece, a moment apart; whatever is written is
    listened to, and means nothing.
    """

    framing: Framing = "rtu"
    name = "fuzz"
    char_s = 0.0001
    settings: SerialSettings | None = SerialSettings(baud=9600)

    def __init__(self, come: list[bytes]) -> None:
        self.turns = Turns()
        self.come = come[::-1]

    async def read(self, deadline_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        if self.come and deadline_s > loop.time():
            await asyncio.sleep(min(0.05, deadline_s - loop.time()))
            return self.come.pop()
        await asyncio.sleep(max(0.0, deadline_s - loop.time()))
        return b""

    async def write(self, data: bytes) -> None: ...

    def drain(self) -> int:
        return 0

    async def configure(self, settings: SerialSettings) -> None: ...

    async def ready(self) -> None: ...

    def rest(self) -> None: ...

    def renew(self) -> None: ...

    def close(self) -> None: ...


LOOP: list[VirtualLoop] = []
PROFILES = ("p1/auto", "sml/auto", "iec62056/mode_d", "iec62056/mode_c")


def loop() -> VirtualLoop:
    """One for all inputs of a process: making one takes longer than most inputs do."""
    if not LOOP:
        LOOP.append(VirtualLoop())
    return LOOP[0]


async def _read(options: int, come: list[bytes]) -> None:
    driver = load_profile_once(PROFILES[options >> 5 & 3]).open_driver(
        DeviceAddress(name="grid", credentials=CREDENTIALS), _Speaker(come)
    )
    for _ in range(2):
        try:
            reading = await driver.read(asyncio.get_running_loop().time())
        except (MeterError, LineError) as error:
            check_message(str(error))
            continue
        check_quantities(reading.values)
        check_serial_number(reading.serial_number)
        check_message(reading.damage)


_loaded: dict[str, object] = {}


def load_profile_once(name: str):  # type: ignore[no-untyped-def]
    """A profile as it ships, read once."""
    if name not in _loaded:
        _loaded[name] = load_profile(name)
    return _loaded[name]


def driver_readings(data: bytes) -> None:
    """Options: bits 5 and 6 choose the profile, MENDED makes P1's checksums right."""
    options, stream = split(data)
    if options & MENDED:
        stream = _right_p1(stream)
    size = (400, 11, 60, 1 << 20)[options & 3]
    loop().run_until_complete(
        _read(options, [stream[at : at + size] for at in range(0, len(stream), size)])
    )


def driver_seeds() -> Iterable[bytes]:
    for n, each in enumerate(written()):
        yield bytes([MENDED | n & 3]) + each.data
    yield b"\x03" + envelope(next(iter(written())).data)
    yield from (b"\x20" + frame for frame in _sml_streams())
    for text in IEC_TEXTS:
        yield b"\x43" + text + b"\r\n"
    block = READOUT + b"\x03"
    yield (
        b"\x60"
        + b"/ACE5\\3kV205\r\n".ljust(400, b"\0")
        + b"\x02"
        + block
        + bytes([iec.block_check(block)])
    )


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
    Target("sml-frames", "SML frames in any chunks", sml_frames, frame_seeds, words=SML_WORDS),
    Target(
        "sml-values", "what stands inside SML frames", sml_payloads, payload_seeds, words=SML_WORDS
    ),
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
    Target(
        "meter-drivers",
        "the drivers of P1, SML and IEC 62056-21 on a line",
        driver_readings,
        driver_seeds,
        words=P1_WORDS + IEC_WORDS,
    ),
)
