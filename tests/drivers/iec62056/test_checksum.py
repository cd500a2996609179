"""P1 text under the profile of an optical port (mode D): the norm has no checksum, but this text
brings one. It is looked at, waited for, and required once it has been right.
"""

import asyncio
from collections.abc import Iterable

import pytest

from drivers.line import BadReply
from drivers.profile import DeviceAddress, load_profile
from drivers.sample import Reading
from tests.drivers.p1.telegrams.written import sealed
from tests.drivers.scripted import ScriptedLine, in_virtual_time

MODE_D = load_profile("iec62056/mode_d")
TEXT = (
    b"/ISk5\\2MT382-1000\r\n\r\n0-0:96.1.0*255(4B384547303034)\r\n"
    b"1-0:1.8.0*255(%06d.%03d*kWh)\r\n1-0:1.7.0*255(00.318*kW)\r\n!"
)
DAMAGED = "wrong checksum"
MISSING = "no checksum after '!', but this meter has sent one before"


def text(import_wh: int) -> bytes:
    return TEXT % divmod(import_wh, 1000)


def readings(line: ScriptedLine, due_s: Iterable[float], again: bool = False) -> list[Reading]:
    """One for each time; after the first the line is opened anew, if `again`."""
    results = []

    async def scenario() -> None:
        driver = MODE_D.open_driver(DeviceAddress(name="grid"), line)
        for each in due_s:
            results.append(await driver.read(each))
            if again:
                before, driver = driver, MODE_D.open_driver(DeviceAddress(name="grid"), line)
                driver.follow(before)

    in_virtual_time(scenario)
    return results


def test_a_damaged_digit_is_noticed_and_a_right_checksum_told() -> None:
    line = ScriptedLine()
    line.sends(1000.3, sealed(text(16854)).replace(b"000016.854", b"900016.854"))
    line.sends(1002.3, sealed(text(16855)))
    [reading] = readings(line, [1000.0])
    assert reading.values["energy_import_wh"] == 16855
    assert (reading.damaged, reading.checksum) == (1, "right")
    assert DAMAGED in reading.damage


@pytest.mark.parametrize("gap_s", [0.03, 0.06, 0.3, 1.2])
@pytest.mark.parametrize("cut", [0, 1, 3])
def test_a_late_checksum_is_waited_for(gap_s: float, cut: int) -> None:
    line = ScriptedLine()
    damaged = sealed(text(16854)).replace(b"000016.854", b"900016.854")
    at = damaged.index(b"!") + 1 + cut
    line.sends(1000.3, damaged[:at])
    line.sends(1000.4 + gap_s, damaged[at:])
    line.sends(1002.3, sealed(text(16855)))
    [reading] = readings(line, [1000.0])
    assert reading.values["energy_import_wh"] == 16855
    assert DAMAGED in reading.damage


@pytest.mark.parametrize("again", [False, True])
def test_a_checksum_that_was_right_once_is_required(again: bool) -> None:
    line = ScriptedLine()
    line.sends(1000.3, sealed(text(16854)))
    line.sends(1010.3, text(900016854) + b"\r\n")
    line.sends(1012.3, sealed(text(16856)))
    first, second = readings(line, [1000.0, 1010.0], again)
    assert (first.values["energy_import_wh"], second.values["energy_import_wh"]) == (16854, 16856)
    assert second.damage.startswith(MISSING)


def test_another_meter_without_checksums_is_believed_when_it_comes_twice() -> None:
    line = ScriptedLine()
    line.sends(1000.3, sealed(text(16854)))
    other = text(5000).replace(b"/ISk5", b"/EMH5") + b"\r\n"
    line.sends(1010.3, other)
    line.sends(1012.3, other)
    first, second = readings(line, [1000.0, 1010.0])
    assert (first.checksum, second.checksum) == ("right", "none")
    assert second.values["energy_import_wh"] == 5000
    assert second.damage.startswith(MISSING)


def test_what_ends_in_a_bare_mark_is_taken_by_silence() -> None:
    line = ScriptedLine()
    line.sends(1000.3, text(5000))
    [reading] = readings(line, [1000.0])
    assert (reading.values["energy_import_wh"], reading.checksum) == (5000, "none")


def test_that_none_is_right_says_so() -> None:
    line = ScriptedLine()
    for second in range(6):
        line.sends(1000.3 + second, text(5000) + b"0000\r\n")

    async def scenario() -> None:
        driver = MODE_D.open_driver(DeviceAddress(name="grid"), line)
        with pytest.raises(BadReply, match=DAMAGED):
            await asyncio.wait_for(driver.read(1000.0), 60)

    in_virtual_time(scenario)
