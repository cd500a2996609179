"""The IEC 62056-21 drivers: scripted meters under virtual time for the seconds, and one on a real
port that checks the baud rate.
"""

import asyncio
import contextlib
import os
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from drivers.iec62056.driver import ModeDDriver, ReadoutDriver
from drivers.line import BadReply, Line, LineError, LineUrl, NoReply, SerialSettings, open_line
from drivers.profile import DeviceAddress, Profile, load_profile
from drivers.simulated.wire import Wire, paced_line
from tests.drivers.scripted import ScriptedLine, in_virtual_time

MODE_D, MODE_C = load_profile("iec62056/mode_d"), load_profile("iec62056/mode_c")
CHAR_S = 10 / 9600
SLOW = MODE_C.serial


def push(import_wh: int = 1234567) -> bytes:
    return (
        b"/EBZ5DD32R06ETA_107\r\n\r\n1-0:96.1.0*255(1EBZ0100000001)\r\n"
        b"1-0:1.8.0*255(%06d.%03d00000*kWh)\r\n"
        % divmod(import_wh, 1000)
        + b"1-0:16.7.0*255(-00318.42*W)\r\n!\r\n"
    )


def block(
    text: bytes = b"C.1.0(87654321)\r\n1.8.0(0001234.567*kWh)\r\n1.7.0(0.500*kW)\r\n",
) -> bytes:
    data = text + b"!\r\n\x03"
    check = 0
    for byte in data:
        check ^= byte
    return b"\x02" + data + bytes((check,))


# Mode D


def pushed(line: Any, profile: Profile = MODE_D, timeout_s: float | None = None) -> ModeDDriver:
    driver = profile.open_driver(DeviceAddress(name="grid", timeout_s=timeout_s), line)
    assert isinstance(driver, ModeDDriver)
    return driver


def test_a_reading_is_the_first_telegram_that_begins_when_it_is_due() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        for second in range(0, 40, 2):
            line.sends(1000.3 + second, push(second))
        driver = pushed(line)
        for due_s in (1000.0, 1010.0, 1030.0):
            reading = await driver.read(due_s)
            assert reading.taken_s == pytest.approx(due_s + 0.3, abs=0.002)
            assert reading.values == {"energy_import_wh": due_s - 1000, "power_w": -318.42}
            assert (reading.serial_number, reading.damaged) == ("1EBZ0100000001", 0)

    in_virtual_time(scenario)


def test_damaged_telegrams_are_counted_and_the_next_proper_one_taken() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        line.sends(1000.3, push()[:60] + b"\r\n")
        line.sends(1001.3, push().replace(b"1-0:1.8.0", b"1-0:1.8."))
        line.sends(1002.3, push())
        driver = pushed(line)
        reading = await driver.read(1000.0)
        assert reading.taken_s == pytest.approx(1002.3, abs=0.002)
        assert reading.damaged == driver.damaged == 2
        assert "no energy register" in reading.damage

    in_virtual_time(scenario)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (push()[:60], "began and did not end: 60 bytes"),
        (bytes(100), "all zero"),
        (b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01" * 4, "sml/auto"),
        (b"/EBZ5\r\n\r\n1-0:96.5.5*255(80)\r\n!\r\n", "is the profile the right one"),
        (push().replace(b"234.56700000*kWh", b"234*kWh"), "comes in steps of 1000 Wh.*has a PIN"),
        (
            push().replace(b"234.56700000*kWh", b"234.5*kWh"),
            "comes in steps of 100 Wh.*resolution_wh 100",
        ),
    ],
)
def test_what_is_no_reading_is_a_bad_reply_that_says_why(data: bytes, words: str) -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        line.sends(1000.3, data)
        driver = pushed(line)
        with pytest.raises(BadReply, match=words):
            await driver.read(1000.0)
        line.sends(1020.3, b"\r\n" + push())
        assert await driver.read(1020.0)

    in_virtual_time(scenario)


def test_a_silent_line_is_no_reply_after_three_periods() -> None:
    async def scenario() -> None:
        with pytest.raises(NoReply, match=r"no byte for 12 s.*iec62056/mode_c"):
            await pushed(ScriptedLine()).read(1000.0)
        line = ScriptedLine(CHAR_S)
        line.sends(asyncio.get_running_loop().time() + 0.1, push())
        with pytest.raises(NoReply, match="sent before"):
            await pushed(line, timeout_s=20).read(asyncio.get_running_loop().time() + 5)

    in_virtual_time(scenario)


# Mode C, virtual time


class MeterLine(ScriptedLine):
    """A line with a meter that answers what it is sent; `log` has what was sent, when and at which
    rate.
    """

    def __init__(
        self, answer: Callable[[bytes], tuple[float, bytes]], settings: SerialSettings | None = SLOW
    ) -> None:
        super().__init__(settings.char_s if settings else 0.0)
        self.settings = settings
        self.log: list[tuple[float, bytes, int | None]] = []
        self._answer = answer

    async def write(self, data: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        self.log.append((now_s, data, self.settings and self.settings.baud))
        delay_s, answer = self._answer(data)
        if self.settings and data != b"/?!\r\n":
            self.char_s = SerialSettings(baud=9600).char_s
        self.sends(
            now_s + len(data) * (self.settings.char_s if self.settings else 0.0) + delay_s, answer
        )

    async def configure(self, settings: SerialSettings) -> None:
        if self.settings is not None:
            self.settings = settings
            self.char_s = settings.char_s


def readout(line: Any, timeout_s: float | None = None) -> ReadoutDriver:
    driver = MODE_C.open_driver(DeviceAddress(name="grid", timeout_s=timeout_s), line)
    assert isinstance(driver, ReadoutDriver)
    return driver


def meter(
    ident: bytes = b"/ISk5MT174-0001\r\n", data: bytes | None = None
) -> Callable[[bytes], tuple[float, bytes]]:
    return lambda request: (
        0.2,
        ident if request == b"/?!\r\n" else block() if data is None else data,
    )


def test_a_meter_is_signed_on_to_answered_and_read_at_its_own_rate() -> None:
    async def scenario() -> None:
        line = MeterLine(meter())
        driver = readout(line)
        for due_s in (1001.0, 1061.0):
            reading = await driver.read(due_s)
            assert reading.values == {"energy_import_wh": 1234567.0, "power_w": 500.0}
            assert reading.serial_number == "87654321"
            assert due_s + 0.9 < reading.taken_s < due_s + 3
            (asked_s, sign_on, slow), (answered_s, answer, still_slow) = line.log[-2:]
            assert (asked_s, sign_on, slow) == (due_s, b"/?!\r\n", 300)
            assert (answer, still_slow) == (b"\x06050\r\n", 300)
            assert 0.2 + 0.167 + 0.567 + 0.2 <= answered_s - asked_s <= 0.2 + 0.167 + 0.567 + 1.5
            assert line.settings == SLOW, "ready for the next sign-on"

    in_virtual_time(scenario)


def test_a_meter_of_mode_b_goes_on_by_itself_and_one_of_mode_a_stays() -> None:
    async def scenario() -> None:
        for ident, baud in ((b"/ISkEMT\r\n", 9600), (b"/ISkzMT\r\n", 300)):
            bauds: list[int] = []

            class Noting(MeterLine):
                async def configure(self, settings: SerialSettings) -> None:
                    bauds.append(settings.baud)  # noqa: B023 — read in the same turn of the loop
                    await super().configure(settings)

            line = Noting(lambda _, ident=ident: (0.2, ident + b"\0" + block()))
            assert (await readout(line).read(1000.0)).values["energy_import_wh"] == 1234567.0
            assert [data for _, data, _ in line.log] == [b"/?!\r\n"]
            assert bauds == [300, baud, 300]

    in_virtual_time(scenario)


def test_behind_a_network_adapter_the_meter_is_asked_to_stay_slow() -> None:
    async def scenario() -> None:
        line = MeterLine(meter(), settings=None)
        assert await readout(line).read(1000.0)
        assert line.log[-1][1] == b"\x06000\r\n"
        with pytest.raises(BadReply, match=r"9600 baud by itself.*use a serial line"):
            await readout(MeterLine(meter(b"/ISkEMT\r\n"), settings=None)).read(1000.0)

    in_virtual_time(scenario)


def test_echoes_of_what_was_sent_are_skipped() -> None:
    async def scenario() -> None:
        line = MeterLine(lambda request: (0.0, request + meter()(request)[1]))
        assert await readout(line).read(1000.0)
        with pytest.raises(NoReply, match="only the echo of our own"):
            await readout(MeterLine(lambda request: (0.0, request))).read(1000.0)

    in_virtual_time(scenario)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (
            lambda _: (0.2, b""),
            NoReply,
            r"no answer to the sign-on in 2 s: does the optical head.*mode_d",
        ),
        (
            lambda _: (0.2, b"/ISk5MT17"),
            BadReply,
            r"no identification came, but 9 bytes: they read '/ISk5MT17'",
        ),
        (lambda _: (0.2, b"\xfe\x81\x92" * 200), BadReply, "wrong baud rate"),
        (meter(data=b""), NoReply, r"/ISk5MT174-0001\) fell silent: no data came"),
        (meter(data=block()[:30]), NoReply, "30 bytes of its data came and no end"),
        (
            meter(data=block().replace(b"4.567", b"4.568")),
            BadReply,
            r"wrong block check.*meter /ISk5MT174-0001",
        ),
        (
            meter(data=b"\x02" + b"1.99.0(0)\r\n" * 3000),
            BadReply,
            "no end of the data within 16384 bytes",
        ),
        (
            meter(data=block(b"F.F(0)\r\n")),
            BadReply,
            r"none of the profile's quantities; they begin 'F.F\(0\)",
        ),
        (meter(data=block(b"1.8.0(000123*kWh)\r\n")), BadReply, "steps of 1000 Wh"),
        (
            meter(data=block(b"1.8.0(000123.4567)\r\n")),
            BadReply,
            "come without a unit.*copy the profile with energy_unit: kWh",
        ),
    ],
)
def test_what_is_no_proper_answer_is_said(
    answer: Callable[[bytes], tuple[float, bytes]], error: type[Exception], words: str
) -> None:
    async def scenario() -> None:
        line = MeterLine(answer)
        with pytest.raises(error, match=words):
            await readout(line).read(1000.0)
        assert line.settings == SLOW

    in_virtual_time(scenario)


def test_a_readout_that_takes_too_long_asks_for_a_longer_timeout_and_gets_it() -> None:
    async def scenario() -> None:
        long = block(b"1.8.0(0001234.567*kWh)\r\n" + b"1.8.0*01(0001111.111*kWh)\r\n" * 200)
        slow_meter = meter(b"/ISk0OLD\r\n", long)

        class SlowLine(MeterLine):
            async def write(self, data: bytes) -> None:
                self.settings = None  # keeps the rate
                self.char_s = SLOW.char_s
                await super().write(data)
                self.settings = SLOW

        with pytest.raises(NoReply, match=r"not through in 115 s.*longer timeout"):
            await readout(SlowLine(slow_meter)).read(1000.0)
        assert (await readout(SlowLine(slow_meter), timeout_s=300).read(1100.0)).values == {
            "energy_import_wh": 1234567.0
        }

    in_virtual_time(scenario)


def test_a_meter_that_stays_at_300_baud_is_asked_to_at_once_and_from_then_on() -> None:
    async def scenario() -> None:
        class StayingLine(MeterLine):
            """What comes at another rate than it is listened to is garbage."""

            async def write(self, data: bytes) -> None:
                await super().write(data)
                self.char_s = SLOW.char_s

            async def read(self, deadline_s: float) -> bytes:
                data = await super().read(deadline_s)
                heard_rightly = self.settings is not None and self.settings.baud == 300
                return data if heard_rightly else b"\xfe" * len(data)

        answers = {
            b"/?!\r\n": b"/ISk5OLD\r\n",
            b"\x06050\r\n": block(),
            b"\x06000\r\n": block(b"1.8.0(0001234.567*kWh)\r\n" + b"1.8.0*01(1)\r\n" * 150),
        }
        line = StayingLine(lambda sent: (0.2, answers[sent]))
        driver = readout(line)
        for due_s in (1000.0, 1100.0, 1300.0):
            assert (await driver.read(due_s)).values == {"energy_import_wh": 1234567.0}
        assert {baud for _, _, baud in line.log} == {300}
        assert [sent for _, sent, _ in line.log].count(b"\x06050\r\n") == 1

        answers[b"\x06000\r\n"] = b""  # and then at neither rate
        with pytest.raises(NoReply, match="the next readout is asked for at 9600 baud"):
            await driver.read(1500.0)

    in_virtual_time(scenario)


def test_a_sign_on_carries_the_meters_number_where_it_has_to() -> None:
    async def scenario() -> None:
        answers = {b"/?00123456!\r\n": b"/ISk5MT174-0001\r\n", b"\x06050\r\n": block()}
        line = MeterLine(lambda sent: (0.2, answers.get(sent, b"")))
        with pytest.raises(NoReply, match="answer only to their number: write number: '…'"):
            await readout(line).read(1000.0)
        for number, is_its_own in (("00123456", True), ("7", False)):
            driver = MODE_C.open_driver(DeviceAddress(name="grid", number=number), line)
            if is_its_own:
                assert (await driver.read(1100.0)).values["energy_import_wh"] == 1234567.0
            else:
                with pytest.raises(NoReply, match="is the number in its device file the one"):
                    await driver.read(1200.0)

    in_virtual_time(scenario)


# Real ports


@asynccontextmanager
async def line_to(wire: Wire) -> AsyncIterator[Line]:
    line = await open_line(LineUrl.parse(f"serial:{wire.gateway_end}"), SLOW)
    try:
        yield line
    finally:
        line.close()


async def scripted_meter(wire: Wire, answers: dict[bytes, bytes], bauds: list[int]) -> None:
    """Answers whole requests; notes the rate at which the other end listens when the answer begins
    to come.
    """
    fd = os.open(wire.meter_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        came = b""
        while True:
            with contextlib.suppress(BlockingIOError):
                came += os.read(fd, 100)
            if came in answers:
                await asyncio.sleep(
                    0.4
                )  # till the last character of the request has left at 300 baud, and 200 ms more
                end = os.open(wire.gateway_end, os.O_RDWR | os.O_NOCTTY)
                bauds.append(termios.tcgetattr(end)[4])
                os.close(end)
                os.write(fd, answers[came])
                came = b""
            await asyncio.sleep(0.01)
    finally:
        os.close(fd)


async def test_a_meter_on_a_port_is_read_with_a_change_of_baud() -> None:
    async with paced_line(CHAR_S) as wire, line_to(wire) as line:
        bauds: list[int] = []
        serving = asyncio.create_task(
            scripted_meter(
                wire, {b"/?!\r\n": b"/ISk5MT174-0001\r\n", b"\x06050\r\n": block()}, bauds
            )
        )
        try:
            reading = await readout(line).read(0.0)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        assert reading.values == {"energy_import_wh": 1234567.0, "power_w": 500.0}
        assert bauds == [termios.B300, termios.B9600]
        assert line.settings == SLOW


async def test_a_port_that_vanishes_is_an_error_of_the_line() -> None:
    async with paced_line(CHAR_S) as wire, line_to(wire) as line:
        asyncio.get_running_loop().call_later(0.1, wire.unplug)
        with pytest.raises(LineError):
            await readout(line).read(0.0)
    async with paced_line(CHAR_S) as wire, line_to(wire) as line:
        asyncio.get_running_loop().call_later(0.1, wire.unplug)
        with pytest.raises(LineError):
            await pushed(line).read(0.0)
