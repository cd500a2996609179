"""Which meter is on the line, and what of its telegrams is used."""

import pytest

from drivers.line import BadReply
from drivers.p1.dialects import recognise, shipped
from drivers.p1.driver import P1Driver
from drivers.p1.layout import DataLine
from drivers.p1.obis import QUANTITIES
from drivers.p1.reader import Reader, read_values
from drivers.profile import DeviceAddress, load_profile
from tests.drivers.p1.telegrams.written import sealed, written
from tests.drivers.scripted import ScriptedLine, in_virtual_time

WRITTEN = {each.name: each for each in written()}


def driver_on(line: ScriptedLine, profile: str) -> P1Driver:
    driver = load_profile(profile).open_driver(DeviceAddress(name="grid"), line)
    assert isinstance(driver, P1Driver)
    return driver


def values_of(*lines: bytes) -> dict[str, float]:
    raw = b"/GWY5\r\n\r\n" + b"".join(line + b"\r\n" for line in lines) + b"!"
    return dict(read_values(raw).quantities)


def lines_of(raw: bytes) -> tuple[DataLine, ...]:
    reader = Reader()
    reader.read(raw)
    return reader.lines


@pytest.mark.parametrize("each", WRITTEN.values(), ids=lambda each: each.name)
def test_whatever_a_meter_sends_is_taken_where_its_dialect_was_recognised(each: object) -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        for n in range(3):
            line.sends(1000.3 + 10 * n, each.data)  # type: ignore[attr-defined]
        reading = await driver_on(line, "p1/auto").read(1000.0)
        assert reading.dialect == each.recognised  # type: ignore[attr-defined]
        assert each.values.items() <= reading.values.items()  # type: ignore[attr-defined]
        bare = each.data.endswith(b"!\r\n")  # type: ignore[attr-defined]
        assert reading.checksum == ("none" if bare else "right")

    in_virtual_time(scenario)


def test_a_value_that_the_dialect_does_not_list_is_taken_all_the_same() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        data = WRITTEN["nordic"].data.partition(b"!")[0] + b"1-0:14.7.0(50.01*Hz)\r\n!"
        line.sends(1000.3, sealed(data))
        line.sends(1010.3, sealed(data))
        reading = await driver_on(line, "p1/auto").read(1000.0)
        assert (reading.dialect, reading.values["frequency_hz"]) == ("p1/nordic", 50.01)
        named = await driver_on(line, "p1/nordic").read(1005.0)
        assert "frequency_hz" not in named.values
        assert named.unused == ("1-0:14.7.0",)

    in_virtual_time(scenario)


def test_lines_of_which_nothing_is_made_are_named() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        line.sends(1000.3, WRITTEN["poland-elgama"].data)
        reading = await driver_on(line, "p1/nordic").read(1000.0)
        assert reading.dialect == "p1/nordic"
        assert reading.unused == tuple(f"1-0:{d}.8.{n}" for d in (1, 2) for n in (1, 2, 3, 4))

    in_virtual_time(scenario)


def test_an_id_that_is_none_is_named_printably_and_briefly() -> None:
    raw = b"/GWY5\r\n\r\n" + b"\x1b\xff" * 40 + b"(1)\r\n1-0:1.8.0(000001.000*kWh)\r\n!"
    odd, register = lines_of(raw)
    assert odd.id == "·ÿ" * 12
    assert not odd.is_used(QUANTITIES)
    assert register.is_used({"energy_import_wh"})


def test_a_field_that_cannot_be_read_is_a_line_not_used() -> None:
    lines = lines_of(b"/GWY5\r\n\r\n1-0:32.7.0(ER11)\r\n1-0:52.7.0(230.0*V)\r\n!")
    assert [line.is_used(QUANTITIES) for line in lines] == [False, True]


def test_another_meter_on_the_line_is_recognised_anew() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        for n, name in enumerate(["dsmr5", "belgium", "slovenia", "slovenia", "nordic"]):
            line.sends(1000.3 + 10 * n, WRITTEN[name].data)
        driver = driver_on(line, "p1/auto")
        readings = [await driver.read(1000.0 + 10 * n) for n in (0, 1)]
        assert [each.dialect for each in readings] == ["dsmr/dsmr5", "p1/belgium"]
        third = await driver.read(1020.0)
        assert third.dialect == "p1/slovenia"
        assert third.damaged == 1, "without a checksum, another name counts when it comes twice"
        assert third.values == WRITTEN["slovenia"].values
        assert (await driver.read(1040.0)).dialect == "p1/nordic"

    in_virtual_time(scenario)


def test_damage_in_its_name_does_not_make_a_meter_another_one() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        data = WRITTEN["dsmr5"].data
        bare = data[: data.index(b"!") + 1] + b"\r\n"
        line.sends(1000.3, data)
        for n, name in enumerate([b"/ISk5", b"/IS*5", b"/ISK4"]):
            line.sends(1010.3 + 10 * n, name + bare[5:].replace(b"1.8.1(0", b"1.8.1(9"))
        driver = driver_on(line, "p1/auto")
        await driver.read(1000.0)
        with pytest.raises(BadReply, match="this meter has sent one before"):
            await driver.read(1010.0)

    in_virtual_time(scenario)


def test_a_meter_with_another_number_under_the_same_name_is_recognised_anew() -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        name = b"/ISk5\\2MT382-1000\r\n"
        for n, each in enumerate(["dsmr4", "belgium", "belgium"]):
            data = WRITTEN[each].data
            body = data[data.index(b"\r\n") + 2 : data.index(b"!") + 1]
            line.sends(1000.3 + 10 * n, sealed(name + body))
        driver = driver_on(line, "p1/auto")
        assert (await driver.read(1000.0)).dialect == "dsmr/dsmr4"
        await driver.read(1010.0)
        assert (await driver.read(1020.0)).dialect == "p1/belgium"

    in_virtual_time(scenario)


def test_marks_are_recognised_where_ids_are_written_out() -> None:
    data = WRITTEN["dsmr5"].data.replace(b"1-0:1.8.1(", b"1-0:1.8.1*255(")
    dialect = recognise(data, shipped())
    assert dialect is not None
    assert dialect.id == "dsmr/dsmr5"


@pytest.mark.parametrize(("code", "name"), [("1", "import"), ("2", "export")])
def test_a_total_is_the_sum_of_every_tariff_there_is(code: str, name: str) -> None:
    lines = [f"1-0:{code}.8.{n}(00000{n}.000*kWh)".encode() for n in (1, 2, 3, 4, 5, 6)]
    values = values_of(*lines, f"1-0:{code}.8.13(000100.000*kWh)".encode())
    assert values[f"energy_{name}_wh"] == 121_000
    raw = b"/GWY5\r\n\r\n" + b"".join(line + b"\r\n" for line in lines) + b"!"
    assert read_values(raw).widened == (f"energy_{name}_wh",)
    assert (
        read_values(raw.replace(b"5.000*", b"0.000*").replace(b"6.000*", b"0.000*")).widened == ()
    )
    assert {key for key in values if key.startswith("_")} == set()
    assert f"energy_{name}_t5_wh" not in values
    broken = values_of(*lines, f"1-0:{code}.8.7(ER23)".encode())
    assert f"energy_{name}_wh" not in broken, "part of it cannot be read"
    own = values_of(*lines, f"1-0:{code}.8.0(000009.000*kWh)".encode())
    assert own[f"energy_{name}_wh"] == 9_000


@pytest.mark.parametrize(
    ("others", "power_w"),
    [
        ([], 123.0),
        ([b"1-0:2.8.0(000000.000*kWh)"], 123.0),
        ([b"1-0:2.8.0(000000.001*kWh)"], None),
        ([b"1-0:2.8.2(000000.001*kWh)"], None),
        ([b"1-0:16.7.0(-00.123*kW)"], -123.0),
        ([b"1-0:1.7.0(00.100*kW)", b"1-0:2.7.0(00.000*kW)"], 100.0),
        ([b"1-0:1.7.0(ER11)"], None),
    ],
)
def test_power_without_direction_counts_for_a_meter_that_has_never_exported(
    others: list[bytes], power_w: float | None
) -> None:
    values = values_of(b"1-0:15.7.0*255(000123*W)", *others)
    assert values.get("power_w") == power_w
    assert {key for key in values if key.startswith("_")} == set()


@pytest.mark.parametrize("profile", ["p1/auto", "dsmr/dsmr5", "iec62056/mode_d"])
@pytest.mark.parametrize("line_end", [b"\r\r\n", b"\n"])
def test_that_something_on_the_way_rewrites_line_ends_is_told(
    profile: str, line_end: bytes
) -> None:
    async def scenario() -> None:
        line = ScriptedLine()
        for n in range(3):
            line.sends(1000.3 + 10 * n, WRITTEN["dsmr5"].data.replace(b"\r\n", line_end))
        driver = load_profile(profile).open_driver(DeviceAddress(name="grid"), line)
        reading = await driver.read(1000.0)
        assert (reading.damaged, reading.checksum) == (0, "right over CR LF")

    in_virtual_time(scenario)


def test_line_ends_of_two_cr_and_one_lf_lose_nothing() -> None:
    each = WRITTEN["dsmr2.2"]
    data = each.data.replace(b"\r\n", b"\r\r\n")

    async def scenario() -> None:
        line = ScriptedLine()
        line.sends(1000.3, data)
        assert (await driver_on(line, "p1/auto").read(1000.0)).values == each.values

    in_virtual_time(scenario)
