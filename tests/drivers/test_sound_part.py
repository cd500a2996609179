"""All that is wrong with a profile is told in one round, and nothing that only follows from it."""

import pytest

from tests.drivers.test_profile_mistakes import MINIMAL, problems


def test_mistakes_beside_what_cannot_be_read_are_named_in_the_same_round() -> None:
    """And none that only follows from what was left out."""
    text = MINIMAL.replace("max_power_w: 1000", "max_power_w: lots").replace(
        "unit: Wh}\n",
        "unit: W}\n"
        "    voltage_l1_v: {adress: 4, unit: V}\n"
        "    current_l1_a: {address: 8, type: int16, scale: 0, unit: A}\n",
    )
    said = problems(text)
    assert [each.partition(" — ")[0] for each in said] == [
        "one.yaml:5: max_power_w: expected a number, found the text 'lots'",
        "one.yaml:11: modbus.registers.voltage_l1_v.adress: unknown key",
        "one.yaml:11: modbus.registers.voltage_l1_v: key 'address' is missing",
        "one.yaml:10: modbus.registers.energy_import_wh.unit: 'W' is not a unit of "
        "energy_import_wh",
        "one.yaml:12: modbus.registers.current_l1_a.scale: a scale of 0 makes every value 0",
    ]


def test_mistakes_of_rows_are_named_though_what_goes_for_all_of_them_is_wrong() -> None:
    text = (
        MINIMAL.replace("modbus:\n  reg", "modbus:\n  type: float\n  function: 5\n  reg")
        .replace("unit: Wh}", "unit: kwh}\n    current: {address: 7, unit: A}")
        .replace("{address: 9, values: [7]}", "{address: 9, between: [7]}")
        .replace("maker: Acme", "maker: 1")
        .replace("max_power_w: 1000", "max_power_w: .inf")
    )
    assert [each.partition(" — ")[0] for each in problems(text)] == [
        "one.yaml:5: max_power_w: '.inf' is not a finite number",
        "one.yaml:1: maker: expected text, found 1",
        "one.yaml:9: modbus.type: 'float' is not one of the allowed words",
        "one.yaml:10: modbus.function: 5 is not one of the allowed words",
        "one.yaml:13: modbus.registers.current: there is no quantity 'current'",
        "one.yaml:14: modbus.identify[0].between: expected [low, high]",
        "one.yaml:12: modbus.registers.energy_import_wh.unit: 'kwh' is not a unit of "
        "energy_import_wh",
    ]


def test_mistakes_beside_a_key_that_every_row_spells_wrong_are_named() -> None:
    text = MINIMAL.replace(
        "{address: 0, type: uint32, unit: Wh}",
        "{register: 0, unit: W}\n    voltage_l1_v: {register: 4, unit: V, scale: 0}",
    ).replace("resolution_wh: 1,", "resolution_wh: 0x1x,")
    assert [each.partition(" — ")[0] for each in problems(text)] == [
        "one.yaml:7: energy.energy_import_wh.resolution_wh: expected a number, found the text "
        "'0x1x'",
        "one.yaml:10: modbus.registers.energy_import_wh.register: unknown key",
        "one.yaml:10: modbus.registers.energy_import_wh: key 'address' is missing",
        "one.yaml:11: modbus.registers.voltage_l1_v.register: unknown key",
        "one.yaml:11: modbus.registers.voltage_l1_v: key 'address' is missing",
        "one.yaml:10: modbus.registers.energy_import_wh.unit: 'W' is not a unit of "
        "energy_import_wh",
        "one.yaml:11: modbus.registers.voltage_l1_v.scale: a scale of 0 makes every value 0",
    ]


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ('"0x4A"', "write 0x4A, without quotes"),
        ('"0,1"', "write 0.1"),
        ("1e3", "write 1000"),
        ("many", "the most the meter can carry, in W; more is a glitch"),
    ],
)
def test_a_number_that_is_text_is_told_how_it_is_written(written: str, remedy: str) -> None:
    [told] = problems(MINIMAL.replace("max_power_w: 1000", f"max_power_w: {written}"))
    assert told.endswith(f" — {remedy}")
