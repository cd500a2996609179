"""The P1 driver: on real ports for the bytes, and against scripted arrivals under virtual time for
the seconds.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from drivers.line import BadReply, LineError, LineUrl, NoReply, SerialSettings, open_line
from drivers.listen import ABSENCE_S
from drivers.p1.driver import P1Driver
from drivers.profile import DeviceAddress, Profile, load_profile
from drivers.simulated.wire import Wire, paced_line
from tests.drivers.scripted import ScriptedLine, in_virtual_time

DSMR5, DSMR4, DSMR2 = (load_profile(f"dsmr/{name}") for name in ("dsmr5", "dsmr4", "dsmr2.2"))
CHAR_S = 10 / 115200


def crc16_arc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def body(import_wh: int = 123_456_789) -> bytes:
    return (
        b"/GWY5\\TEST-METER\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(240301120000W)\r\n"
        b"0-0:96.1.1(4530303031323334)\r\n"
        b"1-0:1.8.1(%06d.%03d*kWh)\r\n1-0:1.8.2(000000.000*kWh)\r\n"
        b"1-0:2.8.1(000007.000*kWh)\r\n1-0:2.8.2(000000.500*kWh)\r\n"
        b"1-0:1.7.0(00.318*kW)\r\n1-0:2.7.0(00.000*kW)\r\n0-0:96.13.0("
        % divmod(import_wh, 1000)
        + b"00" * 200
        + b")\r\n"
    )


def telegram(import_wh: int = 123_456_789) -> bytes:
    text = body(import_wh) + b"!"
    return text + b"%04X\r\n" % crc16_arc(text)


# Scripted arrivals, virtual time


def open_driver(line: Any, profile: Profile = DSMR5, timeout_s: float | None = None) -> P1Driver:
    driver = profile.open_driver(DeviceAddress(name="grid", timeout_s=timeout_s), line)
    assert isinstance(driver, P1Driver)
    return driver


def test_a_reading_tells_the_time_by_the_meters_own_clock_beside_the_values() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        line.sends(1000.3, telegram())
        reading = await open_driver(line).read(1000.0)
        assert reading.meter_utc_s == 1_709_290_800, "2024-03-01 12:00:00 in the Dutch winter"
        assert "meter_utc_s" not in reading.values

    in_virtual_time(scenario)


def test_a_reading_is_the_first_telegram_that_begins_when_it_is_due() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        for second in range(20):
            line.sends(1000.3 + second, telegram(second))
        driver = open_driver(line)
        for due_s in (1000.0, 1005.0, 1015.0):
            reading = await driver.read(due_s)
            assert reading.taken_s == pytest.approx(due_s + 0.3, abs=0.002)
            assert reading.values["energy_import_wh"] == due_s - 1000
            assert reading.serial_number == "E0001234"
        assert driver.damaged == 0

    in_virtual_time(scenario)


def test_telegrams_that_come_too_early_are_not_checked() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        for second in range(9):
            line.sends(1000.3 + second, body() + b"!0BAD\r\n")
        line.sends(1009.3, telegram())
        driver = open_driver(line)
        assert (await driver.read(1009.0)).values["power_w"] == 318.0
        assert driver.damaged == 0

    in_virtual_time(scenario)


def test_a_telegram_that_began_before_it_was_due_is_too_early_though_it_ends_later() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        line.sends(1000.98, telegram(1))
        line.sends(1001.98, telegram(2))
        reading = await open_driver(line).read(1001.0)
        assert reading.values["energy_import_wh"] == 2.0

    in_virtual_time(scenario)


@pytest.mark.parametrize("char_s", [CHAR_S, 10 / 9600, 0.0])
def test_a_telegram_is_dated_by_its_first_byte_also_where_telegrams_follow_each_other_closely(
    char_s: float,
) -> None:
    async def scenario() -> None:
        line = ScriptedLine(char_s)
        gap_s = max(len(telegram()) * char_s, 0.2)
        starts = [1000.1 + gap_s * n for n in range(8)]
        for start_s in starts:
            line.sends(start_s, telegram())
        driver = open_driver(line, DSMR4)
        for start_s in starts:
            assert (await driver.read(start_s - 0.05)).taken_s == pytest.approx(start_s, abs=0.045)

    in_virtual_time(scenario)


def test_listening_costs_few_wake_ups() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        for second in range(60):
            line.sends(1000.3 + second, telegram())
        await open_driver(line).read(1059.0)
        assert line.reads <= 60 * 4

    in_virtual_time(scenario)


def test_a_damaged_telegram_is_counted_and_the_next_taken() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        line.sends(1000.3, body() + b"!0BAD\r\n")
        line.sends(1001.3, telegram()[:300] + b"\r\n")
        line.sends(1002.3, telegram())
        driver = open_driver(line)
        assert (await driver.read(1000.0)).taken_s == pytest.approx(1002.3, abs=0.002)
        assert driver.damaged == 2
        assert "cut off" in str(driver.last_damage)

    in_virtual_time(scenario)


def test_only_wrong_checksums_are_a_bad_reply_that_names_both_values() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        for second in range(10):
            line.sends(1000.3 + second, body() + b"!0BAD\r\n")
        with pytest.raises(
            BadReply, match=rf"damaged.*says 0BAD, its bytes give {crc16_arc(body() + b'!'):04X}"
        ):
            await open_driver(line).read(1000.0)

    in_virtual_time(scenario)


def test_a_silent_line_is_no_reply_after_three_periods() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(NoReply, match=r"no byte for 35 s.*request line"):
            await open_driver(ScriptedLine(), DSMR4).read(1005.0)
        assert loop.time() == pytest.approx(1035.0)

    in_virtual_time(scenario)


def test_the_devices_own_timeout_counts_where_it_is_longer() -> None:
    async def scenario() -> None:
        with pytest.raises(NoReply, match="no byte for 20 s"):
            await open_driver(ScriptedLine(), DSMR5, timeout_s=20).read(0.0)

    in_virtual_time(scenario)


def test_a_meter_that_stops_sending_before_it_is_due_is_no_reply() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        line.sends(1000.3, telegram())
        with pytest.raises(NoReply, match="sent before"):
            await open_driver(line).read(1005.0)

    in_virtual_time(scenario)


def test_a_telegram_that_never_ends_is_a_bad_reply() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        line.sends(1000.3, telegram()[:200])
        with pytest.raises(BadReply, match="did not end: 200 bytes"):
            await open_driver(line).read(1000.0)

    in_virtual_time(scenario)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (bytes(byte | (byte.bit_count() % 2) << 7 for byte in telegram()), "7E1"),
        (random.Random(3).randbytes(500), "wrong baud rate"),
    ],
)
def test_noise_is_a_bad_reply_that_says_what_it_looks_like(noise: bytes, words: str) -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        line.sends(1000.3, noise)
        driver = open_driver(line)
        with pytest.raises(BadReply, match=words):
            await driver.read(1000.0)
        assert driver.noise_bytes > 400
        line.sends(1005.0, b"\r\n" + telegram())
        assert await driver.read(1004.0)

    in_virtual_time(scenario)


def test_a_telegram_without_checksum_and_line_end_is_taken_when_the_line_falls_silent() -> None:
    async def scenario() -> None:
        line = ScriptedLine(10 / 9600)
        text = body() + b"!"
        line.sends(1000.3, text)
        line.sends(1020.3, text)
        driver = open_driver(line, DSMR2)
        reading = await driver.read(1000.0)
        assert reading.taken_s == pytest.approx(1000.3, abs=0.005)
        assert asyncio.get_running_loop().time() < 1000.3 + len(text) * line.char_s + 10.1, (
            "of the first nobody knows whether a checksum follows"
        )
        reading = await driver.read(1020.0)
        assert reading.taken_s == pytest.approx(1020.3, abs=0.005)
        assert asyncio.get_running_loop().time() < 1020.3 + len(text) * line.char_s + 0.2

    in_virtual_time(scenario)


def test_a_telegram_without_checksum_must_be_complete() -> None:
    async def scenario() -> None:
        line = ScriptedLine(10 / 9600)
        line.sends(1000.3, body().replace(b"1-0:1.8.2(000000.000*kWh)\r\n", b"") + b"!\r\n")
        line.sends(1010.3, body() + b"!\r\n")
        driver = open_driver(line, DSMR2)
        assert (await driver.read(1000.0)).taken_s == pytest.approx(1010.3, abs=0.005)
        assert "lacks the energy register" in str(driver.last_damage)

    in_virtual_time(scenario)


def test_a_telegram_of_another_kind_is_named_so() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        text = b"/GWY5\r\n\r\n1-0:1.99.0(000001.000*kWh)\r\n!"
        line.sends(1000.3, text + b"%04X\r\n" % crc16_arc(text))
        with pytest.raises(BadReply, match="is the profile the right one"):
            await open_driver(line).read(1000.0)

    in_virtual_time(scenario)


def test_bytes_that_waited_unread_are_dropped_because_nobody_knows_when_they_came() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        driver = open_driver(line)
        line.sends(1000.3, telegram(1))
        assert (await driver.read(1000.0)).values["energy_import_wh"] == 1.0
        line.sends(1001.3, telegram(2))
        await asyncio.sleep(10 * ABSENCE_S)
        line.sends(1005.3, telegram(3))
        reading = await driver.read(1000.0)
        assert reading.values["energy_import_wh"] == 3.0
        assert driver.damaged == 0

    in_virtual_time(scenario)


def test_a_reading_that_is_given_up_loses_nothing_of_the_next() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        line.sends(1000.3, telegram(1))
        driver = open_driver(line)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(1000.33):
                await driver.read(1000.0)
        assert (await driver.read(1000.0)).values["energy_import_wh"] == 1.0

    in_virtual_time(scenario)


# Real ports


@asynccontextmanager
async def meter(
    char_s: float,
) -> AsyncIterator[tuple[Wire, P1Driver, Callable[[bytes], Coroutine[Any, Any, None]]]]:
    """A driver on a real port, and what sends bytes from the other end."""
    async with paced_line(char_s) as wire:
        line = await open_line(
            LineUrl.parse(f"serial:{wire.gateway_end}"), SerialSettings(baud=115200)
        )
        port = os.open(wire.meter_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

        async def send(data: bytes) -> None:
            rest = memoryview(data)
            while rest:
                try:
                    rest = rest[os.write(port, rest[:1024]) :]
                    await asyncio.sleep(0)
                except BlockingIOError:
                    await asyncio.sleep(0.001)

        try:
            yield wire, open_driver(line, timeout_s=20), send
        finally:
            os.close(port)
            line.close()


async def test_telegrams_at_115200_baud_on_a_port_become_readings() -> None:
    async with meter(CHAR_S) as (_, driver, send):
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        sending = asyncio.create_task(send(telegram()[200:] + telegram(1) + telegram(2)))
        reading = await driver.read(before_s)
        assert before_s < reading.taken_s < loop.time()
        assert reading.values["energy_import_wh"] == 1.0
        assert (await driver.read(reading.taken_s + 0.001)).values["energy_import_wh"] == 2.0
        await sending
        assert driver.damaged == 0


async def test_a_megabyte_of_noise_on_a_port_does_not_hide_the_telegram_after_it() -> None:
    async with meter(0.0) as (_, driver, send):

        async def noise_then_telegrams() -> None:
            await send(random.Random(4).randbytes(1 << 20))
            while True:
                await send(b"\r\n" + telegram())
                await asyncio.sleep(0.2)

        sending = asyncio.create_task(noise_then_telegrams())
        reading = await driver.read(0.0)
        sending.cancel()
        assert reading.values["power_w"] == 318.0
        assert (
            driver.noise_bytes > 500
        )  # the kernel drops what we are too slow for, as on a real port


async def test_an_unplugged_port_is_an_error_of_the_line() -> None:
    async with meter(CHAR_S) as (wire, driver, _):
        asyncio.get_running_loop().call_later(0.05, wire.unplug)
        with pytest.raises(LineError):
            await driver.read(0.0)
