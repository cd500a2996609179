"""A digit that was lost on the way is noticed where no checksum tells of it."""

import re

import pytest

from drivers.profile import DeviceAddress, load_profile
from drivers.widths import REPEATS, Widths
from tests.drivers.p1.telegrams.written import written
from tests.drivers.scripted import ScriptedLine, in_virtual_time

WRITTEN = {each.name: each for each in written()}
DSMR2 = WRITTEN["dsmr2.2"]


def lost(data: bytes, before: bytes) -> bytes:
    """Without the character that follows."""
    at = data.index(before) + len(before)
    return data[:at] + data[at + 1 :]


@pytest.mark.parametrize("each", WRITTEN.values(), ids=lambda each: each.name)
def test_a_proper_telegram_has_no_fault(each: object) -> None:
    widths = Widths()
    assert [widths.fault(each.data) for _ in range(3)] == [None] * 3  # type: ignore[attr-defined]


DIGITS = [b"1.8.1(0", b"1.8.2(", b"2.8.2(0", b"1.7.0(", b"m3)\r\n("]


@pytest.mark.parametrize("before", DIGITS)
@pytest.mark.parametrize("at_first", [True, False])
def test_a_lost_digit_costs_its_telegram(before: bytes, at_first: bool) -> None:
    async def scenario() -> None:
        line = ScriptedLine(10 / 9600)
        damaged = lost(DSMR2.data, before)
        for n, data in enumerate([damaged, DSMR2.data] if at_first else [DSMR2.data, damaged] * 2):
            line.sends(1000.3 + 10 * n, data)
        driver = load_profile("dsmr/dsmr2.2").open_driver(DeviceAddress(name="grid"), line)
        if not at_first:
            assert (await driver.read(1000.0)).values == DSMR2.values
        reading = await driver.read(1000.0 if at_first else 1010.0)
        assert (reading.values, reading.damaged) == (DSMR2.values, 1)
        assert "one was lost on the way" in reading.damage

    in_virtual_time(scenario)


def test_a_meter_that_writes_otherwise_is_believed_when_it_goes_on() -> None:
    widths, other = Widths(), DSMR2.data.replace(b"1.8.1(", b"1.8.1(0")
    assert widths.fault(DSMR2.data) is None
    faults = [widths.fault(other) for _ in range(REPEATS + 1)]
    assert [fault is None for fault in faults] == [False] * (REPEATS - 1) + [True, True]


@pytest.mark.parametrize("before", [b"1.8.1(0", b"1.8.2(", b"2.8.2(0"])
def test_the_same_digit_that_is_lost_again_and_again_is_never_believed(before: bytes) -> None:
    widths = Widths()
    assert widths.fault(DSMR2.data) is None
    assert all(widths.fault(lost(DSMR2.data, before)) for _ in range(10 * REPEATS))
    assert widths.fault(DSMR2.data) is None


def test_another_way_to_write_all_registers_is_believed() -> None:
    widths = Widths()
    shorter = re.sub(rb"([12]\.8\.\d\()0", rb"\1", DSMR2.data)
    assert widths.fault(DSMR2.data) is None
    assert [widths.fault(shorter) is None for _ in range(REPEATS)] == [False] * (REPEATS - 1) + [
        True
    ]


def test_numbers_that_are_not_filled_up_may_grow() -> None:
    widths = Widths()
    for watts in (b"318", b"1318", b"9"):
        assert widths.fault(b"/X\r\n1-0:1.7.0(" + watts + b"*W)\r\n1-0:2.7.0(0*W)\r\n!") is None


def test_a_lost_digit_of_an_optical_port_costs_its_telegram() -> None:
    async def scenario() -> None:
        line = ScriptedLine(10 / 9600)
        data = (
            b"/EBZ5DD32R06ETA_107\r\n\r\n1-0:0.0.0*255(1EBZ0100000001)\r\n"
            b"1-0:1.8.0*255(001234.56700000*kWh)\r\n1-0:16.7.0*255(-318.42*W)\r\n!\r\n"
        )
        line.sends(1000.3, data)
        line.sends(1002.3, lost(data, b"1.8.0*255("))
        line.sends(1004.3, data)
        device = DeviceAddress(name="grid")
        driver = load_profile("iec62056/mode_d").open_driver(device, line)
        await driver.read(1000.0)
        reading = await driver.read(1002.0)
        assert (reading.values["energy_import_wh"], reading.damaged) == (1_234_567.0, 1)

    in_virtual_time(scenario)
