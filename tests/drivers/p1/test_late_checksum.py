"""A checksum that comes later than the rest of its telegram: it is waited for wherever one may
come, and a telegram is never taken without it where its meter has sent one before.
"""

import asyncio

import pytest

from drivers.line import BadReply
from drivers.p1.driver import P1Driver
from drivers.profile import DeviceAddress, load_profile
from drivers.sample import Reading
from tests.drivers.p1.telegrams.written import sealed, written
from tests.drivers.scripted import ScriptedLine, in_virtual_time

WRITTEN = {each.name: each for each in written()}
DSMR5 = WRITTEN["dsmr5"]
END = DSMR5.data.index(b"!") + 1
SLOVENIA = WRITTEN["slovenia"]
SEALED_SLOVENIA = sealed(SLOVENIA.data[: SLOVENIA.data.index(b"!") + 1])


def driver_on(line: ScriptedLine, profile: str) -> P1Driver:
    driver = load_profile(profile).open_driver(DeviceAddress(name="grid"), line)
    assert isinstance(driver, P1Driver)
    return driver


def sends_late(
    line: ScriptedLine, at_s: float, data: bytes, gap_s: float, cut: int | None = None
) -> None:
    """All up to its `!` (or `cut`), and after a pause the rest."""
    cut = data.index(b"!") + 1 if cut is None else cut
    line.sends(at_s, data[:cut])
    line.sends(at_s + cut * line.char_s + gap_s, data[cut:])


def read(line: ScriptedLine, profile: str) -> Reading | str:
    """The first reading, or the words of the error."""
    results: list[Reading | str] = []

    async def scenario() -> None:
        try:
            driver = load_profile(profile).open_driver(DeviceAddress(name="grid"), line)
            results.append(await driver.read(1000.0))
        except BadReply as error:
            results.append(str(error))

    in_virtual_time(scenario)
    return results[0]


@pytest.mark.parametrize("profile", ["dsmr/dsmr5", "p1/auto", "dsmr/dsmr2.2"])
@pytest.mark.parametrize("gap_s", [0.03, 0.06, 0.12, 0.4, 0.8])
@pytest.mark.parametrize("cut", [END, END + 1, END + 3])
def test_a_checksum_may_come_late_and_in_pieces(profile: str, gap_s: float, cut: int) -> None:
    line = ScriptedLine()
    sends_late(line, 1000.3, DSMR5.data, gap_s, cut)
    reading = read(line, profile)
    assert isinstance(reading, Reading), reading
    assert reading.values["energy_import_wh"] == DSMR5.values["energy_import_wh"]
    assert reading.taken_s == pytest.approx(1000.3, abs=0.002)


@pytest.mark.parametrize("profile", ["dsmr/dsmr5", "p1/auto", "dsmr/dsmr2.2", "p1/slovenia"])
def test_a_damaged_telegram_with_a_late_checksum_is_never_taken(profile: str) -> None:
    line = ScriptedLine()
    data = SEALED_SLOVENIA if profile == "p1/slovenia" else DSMR5.data
    damaged = data.replace(b"1-0:1.8.1(0", b"1-0:1.8.1(9")
    assert damaged != data
    for n in range(5):
        sends_late(line, 1000.3 + 10 * n, damaged, 0.12)
    assert "wrong checksum" in str(read(line, profile))


def test_a_meter_that_has_sent_a_checksum_needs_one_from_then_on() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        line.sends(1000.3, SEALED_SLOVENIA)
        line.sends(1010.3, SLOVENIA.data.replace(b"1-0:1.8.1(0", b"1-0:1.8.1(9"))
        line.sends(1020.3, SEALED_SLOVENIA)
        driver = driver_on(line, "p1/slovenia")
        assert (await driver.read(1000.0)).values == SLOVENIA.values
        second = await driver.read(1005.0)
        assert (second.damaged, second.values) == (1, SLOVENIA.values)
        assert "this meter has sent one before" in second.damage

    in_virtual_time(scenario)


def test_a_required_checksum_that_never_comes_is_named() -> None:
    line = ScriptedLine()
    for n in range(3):
        line.sends(1000.3 + 10 * n, WRITTEN["nordic"].data[:-6])
    assert "no checksum after '!'" in str(read(line, "p1/nordic"))


def test_a_meter_that_sends_none_is_waited_for_only_once() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        driver = driver_on(line, "p1/slovenia")
        line.sends(1000.3, SLOVENIA.data[:-2])
        line.sends(1010.3, SLOVENIA.data[:-2])
        await driver.read(1000.0)
        await driver.read(1010.0)
        took_s = asyncio.get_running_loop().time() - 1010.3
        assert took_s < len(SLOVENIA.data) * line.char_s + 0.2

    in_virtual_time(scenario)


def test_what_was_known_of_a_meter_holds_when_its_line_is_opened_anew() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        line.sends(1000.3, SEALED_SLOVENIA)
        before = driver_on(line, "p1/auto")
        assert (await before.read(1000.0)).checksum == "right"

        line.sends(1010.3, SLOVENIA.data.replace(b"1-0:1.8.1(0", b"1-0:1.8.1(9"))
        line.sends(1020.3, SEALED_SLOVENIA)
        driver = driver_on(line, "p1/auto")
        driver.follow(before)
        assert driver.dialect == "p1/slovenia"
        reading = await driver.read(1010.0)
        assert (reading.damaged, reading.values) == (1, SLOVENIA.values)

    in_virtual_time(scenario)


@pytest.mark.parametrize("profile", ["dsmr/dsmr5", "p1/auto", "iec62056/mode_d", "p1/nordic"])
@pytest.mark.parametrize("pauses_s", [(2.5,), (1.5, 1.5), (2.5, 2.5), (4.0,)])
@pytest.mark.parametrize("began_s", [0.5, -1.0])
def test_a_telegram_may_pause_for_longer_than_meters_of_its_kind_send_none(
    profile: str, pauses_s: tuple[float, ...], began_s: float
) -> None:
    line = ScriptedLine()
    at_s = 1000.0 + began_s
    pieces = len(pauses_s) + 1
    cuts = [len(DSMR5.data) * n // pieces for n in range(pieces + 1)]
    for _ in range(12):
        for begin, end, pause_s in zip(cuts, cuts[1:], (*pauses_s, 1.0), strict=False):
            line.sends(at_s, DSMR5.data[begin:end])
            at_s += (end - begin) * line.char_s + pause_s
    reading = read(line, profile)
    assert isinstance(reading, Reading), reading
    assert reading.values["energy_import_wh"] == DSMR5.values["energy_import_wh"]


def test_a_checksum_may_come_later_than_the_next_telegram_of_others_would() -> None:
    line = ScriptedLine()
    for n in range(4):
        sends_late(line, 1000.3 + 6 * n, DSMR5.data, 3.0)
    reading = read(line, "dsmr/dsmr5")
    assert isinstance(reading, Reading), reading
    assert reading.checksum == "right"


@pytest.mark.parametrize("profile", ["dsmr/dsmr2.2", "p1/auto"])
def test_a_late_checksum_of_another_meter_is_waited_for_after_one_that_sends_none(
    profile: str,
) -> None:
    line = ScriptedLine()
    old = WRITTEN["dsmr2.2"].data
    for n in range(3):
        line.sends(1000.3 + 10 * n, old[: old.rindex(b"!") + 1])
    damaged = DSMR5.data.replace(b"1-0:1.8.1(00", b"1-0:1.8.1(90")
    assert damaged != DSMR5.data
    sends_late(line, 1030.3, damaged, 0.2)
    sends_late(line, 1040.3, DSMR5.data, 0.2)

    async def scenario() -> None:
        driver = driver_on(line, profile)
        for due_s in (1000.0, 1010.0):
            assert (await driver.read(due_s)).checksum == "none"
        reading = await driver.read(1030.0)
        assert (reading.damaged, reading.checksum) == (1, "right")
        assert reading.values["energy_import_wh"] == DSMR5.values["energy_import_wh"]

    in_virtual_time(scenario)
