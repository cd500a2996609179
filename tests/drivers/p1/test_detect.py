"""Baud rate and parity are found by listening, from whatever the port was set to."""

import random

import pytest

from drivers.line import BadReply, SerialSettings
from drivers.p1.detect import SETTINGS, Search
from drivers.p1.driver import P1Driver
from drivers.p1.telegram import garbled
from drivers.profile import DeviceAddress, load_profile
from tests.drivers.p1.telegrams.encrypted import CREDENTIALS, envelope
from tests.drivers.p1.telegrams.written import written
from tests.drivers.scripted import ScriptedLine, in_virtual_time

WRITTEN = {each.name: each for each in written()}
FAST, OLD, SLOW, SEVEN_BITS = SETTINGS


class Port(ScriptedLine):
    """A serial port at the other end of which a meter sends with settings of its own: with others,
    what comes is garbage.
    """

    def __init__(self, meters: SerialSettings, settings: SerialSettings = FAST) -> None:
        super().__init__(meters.char_s)
        self.meters = meters
        self.settings: SerialSettings | None = settings
        self._random = random.Random(7)

    async def configure(self, settings: SerialSettings) -> None:
        self.settings = settings

    async def read(self, deadline_s: float) -> bytes:
        data = await super().read(deadline_s)
        return data if self.settings == self.meters else self._random.randbytes(len(data))


def driver_on(port: Port) -> P1Driver:
    device = DeviceAddress(name="grid", credentials=CREDENTIALS)
    driver = load_profile("p1/auto").open_driver(device, port)
    assert isinstance(driver, P1Driver)
    return driver


@pytest.mark.parametrize("meters", SETTINGS)
@pytest.mark.parametrize("first_s", [1000.0, 1003.0])
def test_the_setting_is_found_within_one_reading(meters: SerialSettings, first_s: float) -> None:
    async def scenario() -> None:
        port = Port(meters)
        each = WRITTEN["dsmr2.2"] if meters is OLD else WRITTEN["nordic"]
        for n in range(8):
            port.sends(first_s + 10 * n, each.data)
        reading = await driver_on(port).read(1000.0)
        assert port.settings == meters
        assert reading.values == each.values

    in_virtual_time(scenario)


def test_a_setting_that_is_right_is_kept() -> None:
    async def scenario() -> None:
        port = Port(FAST)
        port.sends(1000.0, WRITTEN["dsmr5"].data[500:])  # listened to in the middle of a telegram
        for n in range(1, 30):
            port.sends(1000.0 + n, WRITTEN["dsmr5"].data)
        driver = driver_on(port)
        for due_s in range(1001, 1020):
            assert (await driver.read(float(due_s))).taken_s == pytest.approx(due_s, abs=0.01)
        assert port.settings == FAST

    in_virtual_time(scenario)


def test_half_an_encrypted_telegram_is_no_reason_to_leave_the_setting() -> None:
    async def scenario() -> None:
        port, frame = Port(FAST), envelope(WRITTEN["luxembourg"].data)
        port.sends(1000.0, frame[400:])
        port.sends(1010.0, frame)
        assert (await driver_on(port).read(1000.0)).values == WRITTEN["luxembourg"].values

    in_virtual_time(scenario)


def test_a_line_that_gives_garbage_with_every_setting_is_named_with_what_was_tried() -> None:
    async def scenario() -> None:
        port = Port(SerialSettings(baud=1200))
        for n in range(8):
            port.sends(1000.5 + 10 * n, WRITTEN["nordic"].data)
        with pytest.raises(
            BadReply, match=r"tried: 115200 8N1, 9600 7E1, 2400 8E1, 115200 7E1.*wrong baud rate"
        ):
            await driver_on(port).read(1000.0)

    in_virtual_time(scenario)


def test_the_countrys_own_profile_keeps_the_setting_it_was_given() -> None:
    async def scenario() -> None:
        port = Port(OLD)
        for n in range(8):
            port.sends(1000.5 + 10 * n, WRITTEN["dsmr2.2"].data)
        with pytest.raises(BadReply, match="wrong baud rate"):
            await (
                load_profile("dsmr/dsmr4")
                .open_driver(DeviceAddress(name="grid"), port)
                .read(1000.0)
            )
        assert port.settings == FAST

    in_virtual_time(scenario)


def test_the_search_goes_round() -> None:
    search, noise = Search(FAST), random.Random(1).randbytes(100)
    search.silence(b"")
    assert [search.silence(noise) for _ in range(4)] == [OLD, SLOW, SEVEN_BITS, FAST]
    assert Search(SerialSettings(baud=300)).silence(noise) is None, (
        "the first burst may have been cut"
    )


def test_text_and_little_noise_are_not_garbage() -> None:
    assert not garbled(WRITTEN["dsmr5"].data)
    assert not garbled(WRITTEN["dsmr5"].data[:10] + b"\xff")
    assert not garbled(b"\xff\0" * 5)
    assert garbled(random.Random(2).randbytes(40))


def in_parts(port: Port, at_s: float, data: bytes, parts: int, pause_s: float) -> None:
    """A telegram with pauses inside it."""
    size = -(-len(data) // parts)
    for n in range(parts):
        piece = data[n * size : (n + 1) * size]
        port.sends(at_s + n * (size * port.char_s + pause_s), piece)


@pytest.mark.parametrize("pause_s", [0.31, 0.4, 1.0])
@pytest.mark.parametrize("name", ["dsmr5", "nordic", "hungary"])
def test_a_telegram_with_pauses_is_read_while_the_setting_is_searched(
    name: str, pause_s: float
) -> None:
    async def scenario() -> None:
        port = Port(FAST)
        each = WRITTEN[name]
        for n in range(4):
            in_parts(port, 1000.8 + 10 * n, each.data, 3, pause_s)
        reading = await driver_on(port).read(1000.0)
        assert reading.taken_s == pytest.approx(1000.8, abs=0.01)
        assert port.settings == FAST
        assert each.values.items() <= reading.values.items()

    in_virtual_time(scenario)


def test_what_was_heard_while_searching_is_said() -> None:
    async def scenario() -> None:
        port = Port(FAST)
        for n in range(40):
            port.sends(1000.5 + n, b"\r\nheartbeat of the bridge\r\n")
        with pytest.raises(BadReply, match=r"bytes but no telegram.*heartbeat.*text"):
            await driver_on(port).read(1000.0)

    in_virtual_time(scenario)


def test_a_telegram_that_never_ends_is_said_while_searching() -> None:
    async def scenario() -> None:
        port = Port(FAST)
        port.sends(1000.5, WRITTEN["dsmr5"].data[:300])
        with pytest.raises(BadReply, match=r"began and did not end: 300 bytes"):
            await driver_on(port).read(1000.0)

    in_virtual_time(scenario)
