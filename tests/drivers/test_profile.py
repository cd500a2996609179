"""Every shipped profile is tested because it exists."""

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest

from drivers.modbus.plan import plan
from drivers.modbus.settings import UNITS
from drivers.profile import (
    ENERGY_QUANTITIES,
    Profile,
    ProfileError,
    decode_profile,
    load_profile,
    profile_ids,
    profile_schema,
    shipped_folder,
)
from drivers.sample import QUANTITIES
from drivers.strict_yaml import parse
from tests.drivers.json_schema import refusals
from tests.drivers.shipped import shipped_profile


def text_of(profile_id: str) -> str:
    return (shipped_folder() / f"{profile_id}.yaml").read_text(encoding="utf-8")


def loaded(profile_id: str) -> Profile:
    """For what is said of a profile that loads: that it does has a test of its own."""
    try:
        return shipped_profile(profile_id)
    except ProfileError:
        pytest.skip("it does not load, which fails a test of its own")


def protocol_of(profile_id: str) -> str:
    """As it is written, so that a profile that does not load fails its own test and no other."""
    return text_of(profile_id).partition("\nprotocol: ")[2].partition("\n")[0]


IDS = profile_ids()
MODBUS_IDS = [each for each in IDS if protocol_of(each) == "modbus"]
PROTOCOLS = sorted({protocol_of(each) for each in IDS})


def test_the_first_models_are_there() -> None:
    assert {
        "eastron/sdm120",
        "eastron/sdm230",
        "eastron/sdm630",
        "abb/b23",
        "carlo_gavazzi/em340",
        "schneider/iem3155",
    } <= set(IDS)


# What every profile must be


@pytest.mark.parametrize("profile_id", IDS)
def test_it_loads_and_names_maker_model_and_manual(profile_id: str) -> None:
    try:
        profile = load_profile(profile_id)
    except ProfileError as error:
        pytest.fail(str(error), pytrace=False)
    assert profile.id == profile_id
    assert profile.maker
    assert profile.model
    assert len(profile.manual) > 10
    assert re.fullmatch(r"[a-z0-9_]+/[a-z0-9_.]+", profile_id)


@pytest.mark.parametrize("profile_id", IDS)
def test_its_first_line_names_the_schema_of_its_protocol(profile_id: str) -> None:
    first = text_of(profile_id).splitlines()[0]
    assert first == f"# yaml-language-server: $schema=../schema/{protocol_of(profile_id)}.json"


@pytest.mark.parametrize("profile_id", IDS)
def test_it_has_its_energy_registers_with_step_and_modulus(profile_id: str) -> None:
    profile = loaded(profile_id)
    assert profile.energy, "there are meters for one direction, none for neither"
    assert set(profile.energy) == {"energy_import_wh", "energy_export_wh"} & profile.quantities
    for register in profile.energy.values():
        assert register.resolution_wh in {0.1, 1, 10, 100, 1000}, "write what one count is worth"
        assert Fraction(str(register.modulus_wh)) % Fraction(str(register.resolution_wh)) == 0
        assert register.modulus_wh >= 1000 * profile.max_power_w, (
            "it would roll over more than once in six weeks at full load"
        )


@pytest.mark.parametrize("profile_id", IDS)
def test_it_measures_known_quantities_and_power_among_them(profile_id: str) -> None:
    quantities = loaded(profile_id).quantities
    assert quantities <= set(QUANTITIES)
    assert "power_w" in quantities or {"power_import_w", "power_export_w"} <= quantities


def powers(registers: Mapping[str, object]) -> tuple[str, ...]:
    """Where the power is that goes with the energy: in one register with a sign, in one for each
    direction, or in one for each phase.
    """
    kinds = (
        ("power_w",),
        ("power_import_w", "power_export_w"),
        ("power_l1_w", "power_l2_w", "power_l3_w"),
    )
    return next(kind for kind in kinds if kind[0] in registers)


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_its_table_begins_with_energy_and_power(profile_id: str) -> None:
    registers = loaded(profile_id).settings.registers
    first = [each for each in (*ENERGY_QUANTITIES, *powers(registers)) if each in registers]
    assert list(registers)[: len(first)] == first
    for what in ("voltage_l{}_v", "current_l{}_a", "power_l{}_w"):
        phases = [what.format(n) in registers for n in (1, 2, 3)]
        assert phases in ([True, True, True], [True, False, False], [False, False, False]), what


@pytest.mark.parametrize("profile_id", [each for each in IDS if protocol_of(each) == "p1"])
def test_a_profile_of_meters_that_may_encrypt_says_which_keys_are_needed(profile_id: str) -> None:
    profile = loaded(profile_id)
    assert profile.may_encrypt == ("encryption_key" in profile.notes)


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_the_resolution_is_what_one_count_of_the_register_is_worth(profile_id: str) -> None:
    profile = loaded(profile_id)
    for quantity, register in profile.energy.items():
        row = profile.settings.registers[quantity]
        is_float = profile.settings.type_of(row) == "float32"
        assert register.float32 is is_float
        if not is_float:
            count_wh = row.scale * UNITS[row.unit][1]
            assert register.resolution_wh == pytest.approx(count_wh), (
                f"one count of {quantity} is worth {count_wh:g} Wh: write that, or mend its row"
            )


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_what_is_settled_is_known_from_two_sources_or_the_notes_say_that_it_is_not(
    profile_id: str,
) -> None:
    profile = loaded(profile_id)
    registers = profile.settings.registers
    settled = [registers[quantity] for quantity in (*profile.energy, *powers(registers))]
    assert all(row.agreed for row in settled) or "single source" in profile.notes.lower(), (
        "mark it agreed: false, and say so in the notes"
    )


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_it_says_how_it_is_told_from_others_and_what_it_can_bear(profile_id: str) -> None:
    file: Any = parse(text_of(profile_id), profile_id).data
    assert {"max_power_w", "min_interval_s"} <= file.keys()
    assert {"max_registers", "holes", "turnaround_ms", "identify"} <= file["modbus"].keys()


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_the_device_it_is_a_part_of_is_one_by_itself(profile_id: str) -> None:
    whole = load_profile(loaded(profile_id).device)
    assert whole.device == whole.id


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_a_reading_costs_few_requests(profile_id: str) -> None:
    profile = loaded(profile_id)
    blocks = plan(profile.settings, profile.serial.char_s)
    if profile.settings.max_registers > 4:  # else every value needs its own
        assert len(blocks) <= (4 if profile.settings.holes else 6)
    assert all(block.count <= profile.settings.max_registers for block in blocks)


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_it_says_where_the_serial_number_is_or_that_nobody_knows(profile_id: str) -> None:
    profile = loaded(profile_id)
    assert profile.settings.serial_number is not None or "serial number" in profile.notes, (
        "write serial_number: {address: …} under modbus, from the manual, so that an exchanged "
        "meter is noticed; or say in notes that its serial number is not in its registers"
    )


# The schema for editors


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_committed_schema_is_the_one_the_code_makes(protocol: str) -> None:
    made = json.dumps(profile_schema(protocol), indent=2, ensure_ascii=False) + "\n"
    path = shipped_folder() / "schema" / f"{protocol}.json"
    assert path.read_text(encoding="utf-8") == made, "see hardware_profiles/README.md, “The schema”"


@pytest.mark.parametrize("profile_id", IDS)
def test_the_schema_accepts_what_the_loader_accepts(profile_id: str) -> None:
    loaded(profile_id)
    schema = profile_schema(protocol_of(profile_id))
    assert list(refusals(parse(text_of(profile_id), profile_id).data, schema, schema)) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("maker: Eastron", "makker: Eastron"),
        ("protocol: modbus", "protocol: p1"),
        ("max_power_w: 12420", "max_power_w: 0"),
        ("resolution_wh: 1,", ""),
        ("energy_import_wh: {res", "energy_wh: {res"),
        ("baud: 2400", "baud: fast"),
        ("parity: none", "parity: maybe"),
        ("max_registers: 60", "max_registers: 126"),
        ("power_w:  ", "powr_w:  "),
        ("address: 0x0048,", ""),
        ("type: float32", "type: float16"),
    ],
)
def test_the_schema_and_the_loader_refuse_the_same(right: str, wrong: str) -> None:
    text = text_of("eastron/sdm120")
    assert right in text
    document = parse(text.replace(right, wrong, 1), "p.yaml")
    schema = profile_schema("modbus")
    assert list(refusals(document.data, schema, schema))
    with pytest.raises(ProfileError):
        decode_profile("x/p", document)


# --- which register was counted -------------------------------------------------------------------


def test_files_keep_the_words_that_they_know_of_a_register() -> None:
    """They are stored with every series: other words would begin all of them anew."""
    assert {
        load_profile(profile_id).source_of("energy_import_wh")
        for profile_id in ("eastron/sdm120", "abb/b23", "chint/ddsu666", "p1/belgium", "sml/auto")
    } == {
        "modbus input register 72, float32 big, 1 kWh, step 1 Wh",
        "modbus holding register 20480, uint64 big, 0.01 kWh, step 10 Wh",
        "modbus holding register 16384, float32 big, 1 kWh, step 10 Wh",
        "p1 energy_import_wh, step 1 Wh",
        "sml energy_import_wh, step 1 Wh",
    }


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_what_a_register_was_formerly_is_told_in_the_words_of_files(profile_id: str) -> None:
    profile = loaded(profile_id)
    for quantity, register in profile.energy.items():
        if register.formerly:
            now, before = profile.source_of(quantity), register.formerly
            assert now != before
            assert re.sub(r"[\d.]+", "#", now) == re.sub(r"[\d.]+", "#", before)
