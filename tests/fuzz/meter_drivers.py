"""The drivers of P1, SML and IEC 62056-21, on a line that sends the input."""

import asyncio
from collections.abc import Iterable

import drivers.iec62056.telegram as iec
from drivers.line_protocol import LineError, MeterError, Turns
from drivers.line_url import Framing, SerialSettings
from drivers.profile import DeviceAddress, load_profile
from tests.drivers.iec62056.test_values import READOUT
from tests.drivers.p1.telegrams.encrypted import (
    CREDENTIALS,
    envelope,
)
from tests.drivers.p1.telegrams.written import written
from tests.fuzz.framing import MENDED
from tests.fuzz.iec62056 import IEC_TEXTS, IEC_WORDS
from tests.fuzz.p1 import P1_WORDS, right_checksums
from tests.fuzz.sml import sml_streams
from tests.fuzz.target import (
    Target,
    check_message,
    check_quantities,
    check_serial_number,
    split,
)
from tests.simulation.virtual_time import VirtualLoop


class Speaker:
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
        DeviceAddress(name="grid", credentials=CREDENTIALS), Speaker(come)
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
        stream = right_checksums(stream)
    size = (400, 11, 60, 1 << 20)[options & 3]
    loop().run_until_complete(
        _read(options, [stream[at : at + size] for at in range(0, len(stream), size)])
    )


def driver_seeds() -> Iterable[bytes]:
    for n, each in enumerate(written()):
        yield bytes([MENDED | n & 3]) + each.data
    yield b"\x03" + envelope(next(iter(written())).data)
    yield from (b"\x20" + frame for frame in sml_streams())
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
        "meter-drivers",
        "the drivers of P1, SML and IEC 62056-21 on a line",
        driver_readings,
        driver_seeds,
        words=P1_WORDS + IEC_WORDS,
    ),
)
