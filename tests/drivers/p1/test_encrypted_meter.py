"""The driver on encrypted ports, and on ports of which only the telegram tells the country."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from drivers.line import BadReply, LineUrl, SerialSettings, open_line
from drivers.p1.driver import P1Driver
from drivers.profile import DeviceAddress, load_profile
from drivers.simulated.wire import paced_line
from tests.drivers.p1.telegrams.encrypted import (
    AUTHENTICATION,
    CREDENTIALS,
    TITLE,
    envelope,
    headed,
)
from tests.drivers.p1.telegrams.written import Written, sealed, written
from tests.drivers.scripted import ScriptedLine, in_virtual_time
from tests.serving import serving

PLAIN = {each.name: each for each in written()}
LUXEMBOURG, AUSTRIA, DSMR5 = PLAIN["luxembourg"], PLAIN["austria"], PLAIN["dsmr5"]
CHAR_S = 10 / 115200


def open_driver(line: Any, profile: str, keys: Mapping[str, str] | None = CREDENTIALS) -> P1Driver:
    device = DeviceAddress(name="grid", credentials=keys or {})
    driver = load_profile(profile).open_driver(device, line)
    assert isinstance(driver, P1Driver)
    return driver


def every_10_s(data: Callable[[int], bytes]) -> ScriptedLine:
    line = ScriptedLine(CHAR_S)
    for n in range(4):
        line.sends(1000.3 + 10 * n, data(n))
    return line


def test_encrypted_telegrams_become_readings() -> None:
    async def scenario() -> None:
        line = every_10_s(lambda n: envelope(LUXEMBOURG.data, counter=n))
        driver = open_driver(line, "p1/luxembourg")
        for due_s in (1000.0, 1010.0, 1020.0):
            reading = await driver.read(due_s)
            assert reading.taken_s == pytest.approx(due_s + 0.3, abs=0.002)
            assert reading.values == LUXEMBOURG.values
            assert reading.serial_number == LUXEMBOURG.serial_number
        assert driver.damaged == 0

    in_virtual_time(scenario)


def test_a_meter_that_sends_plainly_needs_no_key() -> None:
    async def scenario() -> None:
        driver = open_driver(every_10_s(lambda _: LUXEMBOURG.data), "p1/luxembourg", None)
        assert (await driver.read(1000.0)).values == LUXEMBOURG.values

    in_virtual_time(scenario)


def test_the_system_title_is_the_serial_number_where_the_telegram_has_none() -> None:
    async def scenario() -> None:
        keys = CREDENTIALS | {"authentication_key": b"another 16 bytes".hex()}
        driver = open_driver(
            every_10_s(lambda _: envelope(AUSTRIA.data, ak=b"another 16 bytes")), "p1/austria", keys
        )
        reading = await driver.read(1000.0)
        assert reading.values == AUSTRIA.values
        assert reading.serial_number == "SAG0102030405"

    in_virtual_time(scenario)


def test_a_plain_header_with_a_configured_title_is_read() -> None:
    async def scenario() -> None:
        keys = CREDENTIALS | {"system_title": TITLE.hex()}
        driver = open_driver(every_10_s(lambda _: headed(PLAIN["poland"].data)), "p1/poland", keys)
        assert (await driver.read(1000.0)).values == PLAIN["poland"].values

    in_virtual_time(scenario)


@pytest.mark.parametrize("profile", ["p1/luxembourg", "p1/auto", "dsmr/dsmr5"])
def test_a_missing_key_is_named_at_the_first_telegram_with_what_to_do(profile: str) -> None:
    async def scenario() -> None:
        driver = open_driver(
            every_10_s(lambda n: envelope(LUXEMBOURG.data, counter=n)), profile, None
        )
        with pytest.raises(
            BadReply,
            match=r"encrypted and there is no key.*network operator.*encryption_key.*0600.*`key:`",
        ):
            await driver.read(1000.0)

    in_virtual_time(scenario)


def test_a_wrong_key_is_named_and_not_shown() -> None:
    async def scenario() -> None:
        wrong = {"encryption_key": b"not the meter's!".hex()}
        driver = open_driver(
            every_10_s(lambda n: envelope(LUXEMBOURG.data, counter=n)), "p1/luxembourg", wrong
        )
        with pytest.raises(
            BadReply, match="encryption key does not fit meter SAG0102030405"
        ) as caught:
            await driver.read(1000.0)
        assert b"not the meter's!".hex() not in str(caught.value).lower()
        assert "not the meter" not in str(caught.value)

    in_virtual_time(scenario)


def test_a_wrong_authentication_key_is_named() -> None:
    async def scenario() -> None:
        wrong = CREDENTIALS | {"authentication_key": b"another 16 bytes".hex()}
        driver = open_driver(
            every_10_s(lambda n: envelope(LUXEMBOURG.data, counter=n)), "p1/luxembourg", wrong
        )
        with pytest.raises(BadReply, match="authentication key is wrong"):
            await driver.read(1000.0)

    in_virtual_time(scenario)


def test_a_damaged_frame_is_counted_and_the_next_read() -> None:
    async def scenario() -> None:
        good = envelope(LUXEMBOURG.data)
        broken = good[:400] + bytes([good[400] ^ 1]) + good[401:]
        driver = open_driver(every_10_s(lambda n: broken if n == 0 else good), "p1/luxembourg")
        reading = await driver.read(1000.0)
        assert reading.taken_s == pytest.approx(1010.3, abs=0.002)
        assert (reading.damaged, "frame was damaged" in reading.damage) == (1, True)

    in_virtual_time(scenario)


@pytest.mark.parametrize(
    "text",
    [
        LUXEMBOURG.data[:-6] + b"0BAD\r\n",
        LUXEMBOURG.data[:-6] + b"\r\n",
        LUXEMBOURG.data[:400],
        LUXEMBOURG.data * 2,
    ],
    ids=["wrong checksum", "no checksum", "no end", "two telegrams"],
)
def test_without_authentication_key_the_checksum_inside_must_be_right(text: bytes) -> None:
    async def scenario() -> None:
        driver = open_driver(every_10_s(lambda _: envelope(text)), "p1/auto")
        with pytest.raises(BadReply, match=r"checksum|no whole telegram"):
            await driver.read(1000.0)

    in_virtual_time(scenario)


# The dialect


@pytest.mark.parametrize("each", [pytest.param(each, id=each.name) for each in PLAIN.values()])
def test_auto_reads_what_the_countrys_own_profile_reads(each: Written) -> None:
    async def scenario() -> None:
        driver = open_driver(every_10_s(lambda _: each.data), "p1/auto")
        reading = await driver.read(1000.0)
        assert driver.dialect == each.recognised
        assert reading.values == each.values
        assert reading.serial_number == each.serial_number

    in_virtual_time(scenario)


def test_auto_recognises_inside_an_encrypted_frame() -> None:
    async def scenario() -> None:
        driver = open_driver(
            every_10_s(lambda _: envelope(AUSTRIA.data, ak=AUTHENTICATION)), "p1/auto"
        )
        assert (await driver.read(1000.0)).values == AUSTRIA.values
        assert driver.dialect == "p1/austria"

    in_virtual_time(scenario)


def test_a_telegram_that_breaks_its_dialects_rules_tells_no_dialect() -> None:
    async def scenario() -> None:
        cut = (
            DSMR5.data.split(b"1-0:2.8.1")[0] + b"!\r\n"
        )  # a dsmr/dsmr5 without checksum, as it would suit dsmr/dsmr2.2
        driver = open_driver(every_10_s(lambda n: cut if n == 0 else DSMR5.data), "p1/auto")
        reading = await driver.read(1000.0)
        assert reading.values == DSMR5.values
        assert "no checksum" in reading.damage

    in_virtual_time(scenario)


def test_an_unknown_dialect_is_read_where_its_checksum_is_right() -> None:
    async def scenario() -> None:
        text = b"/XYZ5\r\n\r\n1-2:1.8.0(000001.000*kWh)\r\n1-2:2.8.0(000002.000*kWh)\r\n!"
        driver = open_driver(
            every_10_s(lambda n: text + b"\r\n" if n == 0 else sealed(text)), "p1/auto"
        )
        reading = await driver.read(1000.0)
        assert reading.values == {"energy_import_wh": 1000.0, "energy_export_wh": 2000.0}
        assert (driver.dialect, reading.damaged) == ("p1/auto", 1)

    in_virtual_time(scenario)


# Real ports and sockets


async def test_every_byte_of_an_encrypted_frame_passes_a_port_unchanged() -> None:
    """Ports have characters of their own (XON, XOFF, interrupt), which a frame may hold."""
    frames = [envelope(LUXEMBOURG.data, counter=n) for n in range(20)]
    assert {0x03, 0x04, 0x0D, 0x11, 0x13, 0x1A, 0x7F, 0xFF} <= set(b"".join(frames))
    async with paced_line(0.0) as wire:
        line = await open_line(
            LineUrl.parse(f"serial:{wire.gateway_end}"), SerialSettings(baud=115200)
        )
        port = os.open(wire.meter_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

        def write(data: bytes) -> None:
            with contextlib.suppress(
                BlockingIOError
            ):  # a telegram that the port does not take is lost, as with a real meter
                os.write(port, data)

        sending = asyncio.create_task(_send(write, frames))
        try:
            driver = open_driver(line, "p1/luxembourg")
            for _ in range(5):
                assert (await driver.read(0.0)).values == LUXEMBOURG.values
        finally:
            sending.cancel()
            line.close()
            os.close(port)


@pytest.mark.parametrize("name", ["luxembourg", "hungary"])
async def test_telegrams_over_tcp_come_in_any_pieces(name: str) -> None:
    data = PLAIN[name].data if name == "hungary" else envelope(PLAIN[name].data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _send(writer.write, [data[:1], data[1:100], data[100:] + data[:200], data[200:]])

    async with serving(serve) as port:
        line = await open_line(LineUrl.parse(f"tcp:127.0.0.1:{port}"), SerialSettings())
        try:
            driver = open_driver(line, "p1/auto")
            for _ in range(2):
                assert (await driver.read(0.0)).values == PLAIN[name].values
            assert driver.dialect == f"p1/{name}"
        finally:
            line.close()


async def _send(write: Callable[[bytes], object], pieces: list[bytes]) -> None:
    """Over and over, as meters do."""
    for piece in itertools.cycle(pieces):
        write(piece)
        await asyncio.sleep(0.02)
