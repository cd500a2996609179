"""Meters that are asked for registers: Modbus replies on RTU and TCP, the codecs of every profile,
and SunSpec's chain of models.
"""

import asyncio
import functools
import struct
from collections.abc import Iterable

from drivers import crc16
from drivers.line_protocol import LineError, MeterError, Turns
from drivers.line_url import Framing, SerialSettings
from drivers.modbus.bus import request
from drivers.modbus.codec import Decoder, add_sums, decode_serial
from drivers.modbus.identify import matches
from drivers.modbus.plan import Block, plan
from drivers.modbus.settings import Settings
from drivers.profile import load_profile, profile_ids
from drivers.simulated.sunspec import chain as device_image
from drivers.sunspec.chain import BASES, COMMON_WORDS, MAX_MODELS, ChainError, choose, walk
from drivers.sunspec.models import MODELS, decode
from tests.fuzz.meter_drivers import loop
from tests.fuzz.target import Target, check_message, check_quantities, check_serial_number

# Modbus replies


class Answering:
    """A line whose meter answers with these pieces, whatever it is asked."""

    name = "tcp:fuzz:502"
    settings: SerialSettings | None = None
    char_s = 0.0

    def __init__(self, framing: Framing, reply: bytes, size: int) -> None:
        self.framing = framing
        self.turns = Turns()
        self._reply, self._size = reply, size
        self._come: list[bytes] = []

    async def write(self, data: bytes) -> None:  # noqa: ARG002 — as the protocol names it
        self._come = [
            self._reply[at : at + self._size] for at in range(0, len(self._reply), self._size)
        ][::-1]

    async def read(self, deadline_s: float) -> bytes:
        now_s = asyncio.get_running_loop().time()
        if self._come and now_s < deadline_s:
            return self._come.pop()
        await asyncio.sleep(max(0.0, deadline_s - now_s))
        return b""

    def drain(self) -> int:
        count, self._come = sum(map(len, self._come)), []
        return count

    async def configure(self, settings: SerialSettings) -> None: ...

    async def ready(self) -> None: ...

    def rest(self) -> None: ...

    def renew(self) -> None: ...

    def close(self) -> None: ...


ADDRESSED, CHECKED, ALL_TCP = 0x08, 0x10, 0x20
UNIT, ADDRESS = 2, 0x48


def _rtu_reply(options: int, function: int, count: int, body: bytes) -> bytes:
    if options & ADDRESSED:
        body = bytes((UNIT, function, 2 * count)) + body[: 2 * count].ljust(2 * count, b"\0")
    if options & CHECKED:
        body += crc16.modbus(body).to_bytes(2, "little")
    return body


def _tcp_reply(options: int, function: int, count: int, body: bytes) -> bytes:
    if options & ADDRESSED:
        body = bytes((function, 2 * count)) + body[: 2 * count].ljust(2 * count, b"\0")
    if options & CHECKED:  # a whole header
        body = struct.pack(">HHHB", 1, 0, (len(body) + 1) & 0xFFFF, UNIT) + body
    return body


def modbus_reply(data: bytes) -> None:
    """Options, then how many registers are asked for. ADDRESSED gives the reply a right beginning,
    CHECKED what proves it.
    """
    options, count, body = (
        data[0] if data else 0,
        (data[1] if len(data) > 1 else 0) % 125 + 1,
        data[2:],
    )
    size = (1 << 20, 1, 2, 3, 7, 16, 90, 300)[options & 7]
    function = 4 if options & 0x40 else 3
    tcp = bool(options & ALL_TCP)
    reply = (_tcp_reply if tcp else _rtu_reply)(options, function, count, body)
    if options & 0x80:
        reply = body[:40] + reply
    line = Answering("tcp" if tcp else "rtu", reply, size)
    loop().run_until_complete(_ask(line, function, count))


async def _ask(line: Answering, function: int, count: int) -> None:
    for _ in range(2):
        try:
            registers = await request(line, UNIT, function, ADDRESS, count, timeout_s=0.1)
        except (MeterError, LineError) as error:
            check_message(str(error))
        else:
            assert len(registers) == 2 * count
        assert len(line.turns.unread) <= 4096 + 260


def reply_seeds() -> Iterable[bytes]:
    for options in range(0, 256, 8):
        yield bytes((options, 3)) + b"\x00\x01\x00\x02\x43\x66\x00\x00"
    for framing in (0, ALL_TCP):
        yield bytes((framing | CHECKED, 3, UNIT, 0x83, 2))
        yield bytes((framing | CHECKED | 1, 3, 0x83, 2))
        yield bytes((framing | 3, 3)) + bytes.fromhex("02 03 08 00 01 00 02 00 03 00 04 00 00")
    yield bytes((ALL_TCP | 2, 1)) + bytes.fromhex(
        "0001 0000 0007 02 03 04 00010002 0002 0000 0003 02 83 02"
    )


# Codecs


@functools.cache
def _modbus() -> tuple[tuple[Settings, tuple[Block, ...], tuple[Decoder, ...]], ...]:
    """Settings, blocks and decoders of every Modbus profile that ships."""
    profiles = (load_profile(each) for each in profile_ids())
    settings = [each.settings for each in profiles if isinstance(each.settings, Settings)]
    return tuple(
        (each, blocks, tuple(map(Decoder, blocks)))
        for each in settings
        for blocks in [plan(each, 0.001)]
    )


def modbus_codec(data: bytes) -> None:
    """Which profile, then the bytes of all its blocks, one after the other and from the beginning
    again where they run out.
    """
    settings, blocks, decoders = _modbus()[(data[0] if data else 0) % len(_modbus())]
    rest = data[1:] or b"\0"
    values: dict[str, float] = {}
    for block, decoder in zip(blocks, decoders, strict=True):
        values |= decoder.decode((rest * (2 * block.count // len(rest) + 1))[: 2 * block.count])
        rest = rest[2 * block.count :] or rest
    add_sums(values, settings.sums)
    check_quantities(values, signed_energy=True)
    if settings.serial_number is not None:
        size = 2 * settings.serial_number.count
        check_serial_number(decode_serial(settings.serial_number, rest[:size].ljust(size, b"\0")))
    for identity in settings.identify:
        matches(identity, rest[: 2 * identity.count])


def codec_seeds() -> Iterable[bytes]:
    for number in range(0, len(_modbus()), 3):
        yield bytes([number]) + struct.pack(">4f", 230.1, 1.5, 345.25, 50.0) + b"SN12"
    yield b"\0" + b"\x7f\x7f\xff\xff" * 20
    yield b"\x07" + b"\xff" * 30


# SunSpec


def sunspec(data: bytes) -> None:
    """Where the image begins, and what is outside it; then the image itself."""
    options, image = data[0] if data else 0, data[1:]
    base = (*BASES, 65500)[options & 3]
    beyond = None if options & 4 else b"\0" if options & 8 else b"\xff"
    if options & 0x10:
        image = b"SunS" + image
    asked = 0

    def memory(address: int, count: int) -> bytes | None:
        assert address >= 0
        assert address + count <= 0x10000, f"asks for {count} registers from {address} on"
        at = 2 * (address - base)
        found = image[at : at + 2 * count] if at >= 0 else b""
        return (
            found
            if len(found) == 2 * count
            else None
            if beyond is None
            else found + beyond * (2 * count - len(found))
        )

    steps = walk()
    try:
        ask = next(steps)
        while True:
            asked += 1
            ask = steps.send(memory(ask.address, ask.count))
    except StopIteration as done:
        chain = done.value
    finally:
        assert asked <= 3 + 2 * MAX_MODELS
    for text in (
        chain.owner.maker,
        chain.owner.model,
        chain.owner.version,
        chain.owner.serial_number,
    ):
        check_message(text)
        assert len(text) <= COMMON_WORDS
    for part in chain.parts:
        registers = memory(part.address, part.model.count)
        if registers is not None:
            check_quantities(
                decode(part.model, registers, power_is_export=bool(options & 0x20)),
                signed_energy=True,
            )
    for wanted in ("auto", "inverter", "meter"):
        assert choose(chain.parts, wanted) in chain.parts  # type: ignore[arg-type]


def sunspec_models(data: bytes) -> None:
    """One model's registers."""
    numbers = sorted(MODELS)
    model = MODELS[numbers[(data[0] if data else 0) % len(numbers)]]
    for exports in (False, True):
        check_quantities(
            decode(
                model,
                data[1:].ljust(2 * model.count, data[-1:] or b"\0")[: 2 * model.count],
                power_is_export=exports,
            ),
            signed_energy=True,
        )


def sunspec_seeds() -> Iterable[bytes]:
    values = {
        "energy_export_wh": 1234567.0,
        "energy_import_wh": 4567.0,
        "power_w": 1503.2,
        "frequency_hz": 50.0,
        "voltage_l1_v": 230.4,
    }
    for number in (103, 203):
        words = device_image(number, values, "12345678")
        image = struct.pack(f">{len(words)}H", *words)
        for options in (0, 1, 2, 4, 8):
            yield bytes([options]) + image
        yield b"\x33" + image[4:72]
    yield b"\x13\x00\x01\x00\x42"
    yield b"\x10" + b"\x00\x0b\x00\x01\0\0" * 40


TARGETS = (
    Target(
        "modbus",
        "replies to Modbus requests, RTU and TCP, in any chunks",
        modbus_reply,
        reply_seeds,
        longest=1300,
    ),
    Target(
        "modbus-codec",
        "register bytes of every Modbus profile",
        modbus_codec,
        codec_seeds,
        longest=600,
    ),
    Target(
        "sunspec",
        "the registers of a SunSpec device, walked and read",
        sunspec,
        sunspec_seeds,
        (ChainError,),
        longest=900,
    ),
    Target(
        "sunspec-models",
        "the registers of each SunSpec model",
        sunspec_models,
        sunspec_seeds,
        longest=260,
    ),
)
