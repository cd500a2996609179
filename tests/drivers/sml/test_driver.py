"""The SML driver: against scripted arrivals under virtual time, and a pusher on a real port."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from drivers.line import BadReply, LineError, LineUrl, NoReply, SerialSettings, open_line
from drivers.profile import DeviceAddress, Profile, load_profile
from drivers.simulated.sml import Entry, kermit, telegram, transport
from drivers.simulated.wire import Wire, paced_line
from drivers.sml.driver import SmlDriver
from tests.drivers.scripted import ScriptedLine, in_virtual_time
from tests.serving import serving

AUTO, NO_PIN, DVS74 = (load_profile(name) for name in ("sml/auto", "sml/no_pin", "dzg/dvs74"))
CHAR_S = 10 / 9600
METER = bytes.fromhex("0a01454d480000bc614e")


def push(import_dwh: int = 123_456, **options: Any) -> bytes:
    entries = [
        Entry(code="1-0:1.8.0*255", raw=import_dwh, unit=30, scaler=-1, status=0x1C0104, width=8),
        Entry(code="1-0:2.8.0*255", raw=5, unit=30, scaler=-1),
        Entry(code="1-0:16.7.0*255", raw=-318, unit=27, scaler=0),
    ]
    return telegram(METER, entries, **options)


def without_pin() -> bytes:
    return telegram(METER, [Entry(code="1-0:1.8.0*255", raw=1234, unit=30, scaler=3)])


def open_driver(line: Any, profile: Profile = AUTO, timeout_s: float | None = None) -> SmlDriver:
    driver = profile.open_driver(DeviceAddress(name="grid", timeout_s=timeout_s), line)
    assert isinstance(driver, SmlDriver)
    return driver


def test_a_reading_is_the_first_telegram_that_begins_when_it_is_due() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        for second in range(0, 40, 2):
            line.sends(1000.3 + second, push(second))
        driver = open_driver(line)
        for due_s in (1000.0, 1009.0, 1030.0):
            reading = await driver.read(due_s)
            begun_s = 1000.3 + 2 * -(-(due_s - 1000) // 2)
            assert reading.taken_s == pytest.approx(begun_s, abs=0.002)
            assert reading.values == {
                "energy_import_wh": pytest.approx((begun_s - 1000.3) / 10),
                "energy_export_wh": 0.5,
                "power_w": -318.0,
            }
            assert reading.serial_number == "1EMH0012345678"
            assert (reading.damaged, driver.damaged, driver.noise_bytes) == (0, 0, 0)

    in_virtual_time(scenario)


def test_listening_costs_few_wake_ups() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        for second in range(60):
            line.sends(1000.3 + second, push())
        await open_driver(line).read(1059.0)
        assert line.reads <= 60 * 8

    in_virtual_time(scenario)


def test_damaged_telegrams_are_counted_and_the_next_proper_one_taken() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        line.sends(1000.3, push()[:90])
        line.sends(1001.3, push()[:40] + push()[43:])
        line.sends(1002.3, b"\x80\xff" + push())
        driver = open_driver(line)
        reading = await driver.read(1000.0)
        assert reading.taken_s == pytest.approx(1002.3, abs=0.004)
        assert reading.damaged == driver.damaged == 2
        assert "wrong checksum" in reading.damage
        assert driver.noise_bytes > 0

    in_virtual_time(scenario)


def test_a_telegram_of_a_meter_with_another_checksum_is_a_reading() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        line.sends(1000.3, push(checksum=kermit, bare_time=True))
        assert (await open_driver(line).read(1000.0)).values["power_w"] == -318.0

    in_virtual_time(scenario)


def test_a_meter_without_pin_is_told_so_unless_its_profile_knows() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        line.sends(1000.3, without_pin())
        with pytest.raises(BadReply, match=r"PIN missing.*InF on.*sml/no_pin"):
            await open_driver(line).read(1000.0)
        line.sends(1005.3, without_pin())
        assert (await open_driver(line, NO_PIN).read(1005.0)).values == {
            "energy_import_wh": 1_234_000.0
        }

    in_virtual_time(scenario)


def test_a_meter_that_rounds_to_whole_kwh_is_told_so_but_not_one_that_passes_them_by_chance() -> (
    None
):
    def push_wh(import_wh: int) -> bytes:
        return telegram(
            METER, [Entry(code="1-0:1.8.0*255", raw=10 * import_wh, unit=30, scaler=-1)]
        )

    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        line.sends(1000.3, push_wh(7000))
        driver = open_driver(line)
        with pytest.raises(BadReply, match="PIN missing"):
            await driver.read(1000.0)
        for due_s, import_wh in ((1002.0, 7999), (1004.0, 8000)):
            line.sends(due_s + 0.3, push_wh(import_wh))
            assert (await driver.read(due_s)).values == {"energy_import_wh": import_wh}

    in_virtual_time(scenario)


def test_a_register_that_is_coarser_than_its_profile_says_is_refused() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        line.sends(
            1000.3, telegram(METER, [Entry(code="1-0:1.8.0*255", raw=1234, unit=30, scaler=1)])
        )
        with pytest.raises(
            BadReply, match=r"energy_import_wh comes in steps of 10 Wh.*resolution_wh 10"
        ):
            await open_driver(line).read(1000.0)

    in_virtual_time(scenario)


def test_a_telegram_of_another_kind_of_meter_is_named_so() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        line.sends(
            1000.3, telegram(METER, [Entry(code="1-0:14.7.0*255", raw=50, unit=44, scaler=0)])
        )
        with pytest.raises(
            BadReply,
            match=r"none of the profile's quantities but frequency_hz: is the profile the right "
            r"one",
        ):
            await open_driver(line, DVS74).read(1000.0)

    in_virtual_time(scenario)


def test_a_telegram_whose_inside_is_broken_is_damaged() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        line.sends(1000.3, transport(b"\x71" * 4000))
        with pytest.raises(BadReply, match="nested more than 12 deep"):
            await open_driver(line).read(1000.0)

    in_virtual_time(scenario)


def test_a_silent_line_is_no_reply_after_three_periods() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(NoReply, match=r"no byte for 17 s: does the optical head sit"):
            await open_driver(ScriptedLine()).read(1005.0)
        assert loop.time() == pytest.approx(1017.0)
        with pytest.raises(NoReply, match="no byte for 30 s"):
            await open_driver(ScriptedLine(), timeout_s=30).read(0.0)

    in_virtual_time(scenario)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (push()[:100], "began and did not end: 100 bytes"),
        (bytes(300), "all zero"),
        (b"/EMH5----eHZ\r\n\r\n1-0:1.8.1*255(032942.0234)\r\n!\r\n", "iec62056/mode_d"),
        (bytes(byte ^ 0xFF for byte in push()), "the signal is inverted"),
        (random.Random(5).randbytes(300), "9600 baud 8N1"),
    ],
)
def test_what_is_no_telegram_is_a_bad_reply_that_says_what_it_looks_like(
    noise: bytes, words: str
) -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        line.sends(1000.3, noise)
        driver = open_driver(line)
        with pytest.raises(BadReply, match=words):
            await driver.read(1000.0)
        line.sends(1020.3, push())
        assert await driver.read(1020.0)

    in_virtual_time(scenario)


def test_bytes_that_waited_unread_are_dropped_because_nobody_knows_when_they_came() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        driver = open_driver(line)
        line.sends(1001.3, push(1))
        await asyncio.sleep(3)
        line.sends(1005.3, push(2))
        assert (await driver.read(1000.0)).values["energy_import_wh"] == 0.2
        assert driver.damaged == 0

    in_virtual_time(scenario)


def test_a_meter_that_falls_silent_is_no_reply() -> None:
    async def scenario() -> None:
        line = ScriptedLine(CHAR_S)
        line.sends(1000.3, push())
        with pytest.raises(NoReply, match="sent before"):
            await open_driver(line).read(1005.0)

    in_virtual_time(scenario)


# Real ports


@asynccontextmanager
async def pusher(
    char_s: float,
) -> AsyncIterator[tuple[Wire, SmlDriver, Callable[[bytes], Coroutine[Any, Any, None]]]]:
    """A driver on a real port, and what sends bytes from the other end."""
    async with paced_line(char_s) as wire:
        line = await open_line(LineUrl.parse(f"serial:{wire.gateway_end}?baud=115200"), AUTO.serial)
        port = os.open(wire.meter_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

        async def send(data: bytes) -> None:
            rest = memoryview(data)
            while rest:
                try:
                    rest = rest[os.write(port, rest[:512]) :]
                    await asyncio.sleep(0)
                except BlockingIOError:
                    await asyncio.sleep(0.001)

        try:
            yield wire, open_driver(line, timeout_s=20), send
        finally:
            os.close(port)
            line.close()


async def test_telegrams_on_a_port_become_readings_every_byte_value_included() -> None:
    async with pusher(10 / 115200) as (_, driver, send):
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        every_byte = Entry(code="1-0:96.1.1*255", raw=bytes(range(256))[:200] + b"\x1b" * 9)
        last = telegram(METER, [Entry(code="1-0:1.8.0*255", raw=2, unit=30, scaler=0), every_byte])
        sending = asyncio.create_task(
            send(push()[50:] + random.Random(5).randbytes(100) + push(10) + last)
        )
        reading = await driver.read(before_s)
        assert before_s < reading.taken_s < loop.time()
        assert reading.values["energy_import_wh"] == 1.0
        assert (await driver.read(reading.taken_s + 0.001)).values["energy_import_wh"] == 2.0
        await sending
        assert driver.damaged == 0


async def test_an_unplugged_port_is_an_error_of_the_line() -> None:
    async with pusher(CHAR_S) as (wire, driver, _):
        asyncio.get_running_loop().call_later(0.05, wire.unplug)
        with pytest.raises(LineError):
            await driver.read(0.0)


async def test_telegrams_through_a_serial_server_become_readings() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for size in (3, 40, 500):
            writer.write(push()[:size])
            await asyncio.sleep(0.01)
        writer.write(push(77))
        await reader.read()  # until the driver's side hangs up

    async with serving(serve) as port:
        line = await open_line(LineUrl.parse(f"rtu+tcp:127.0.0.1:{port}"), SerialSettings())
        try:
            reading = await open_driver(line, timeout_s=20).read(0.0)
            assert reading.values["energy_import_wh"] in (7.7, 12345.6)
        finally:
            line.close()
