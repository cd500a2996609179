"""Every shipped profile is tested because it exists; and whatever is wrong with a profile is said,
all of it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from drivers.line import SerialSettings
from drivers.modbus.plan import plan
from drivers.modbus.settings import UNITS
from drivers.profile import (
    ENERGY_QUANTITIES,
    Profile,
    ProfileError,
    Register,
    decode_profile,
    load_profile,
    profile_ids,
    profile_schema,
    shipped_folder,
)
from drivers.sample import QUANTITIES
from drivers.strict_yaml import parse


def text_of(profile_id: str) -> str:
    return (shipped_folder() / f"{profile_id}.yaml").read_text(encoding="utf-8")


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
    profile = load_profile(profile_id)
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
    profile = load_profile(profile_id)
    assert profile.energy, "there are meters for one direction, none for neither"
    assert set(profile.energy) == {"energy_import_wh", "energy_export_wh"} & profile.quantities
    for register in profile.energy.values():
        assert register.resolution_wh in {0.1, 1, 10, 100, 1000}
        assert Fraction(str(register.modulus_wh)) % Fraction(str(register.resolution_wh)) == 0
        assert register.modulus_wh >= 1000 * profile.max_power_w, (
            "it would roll over more than once in six weeks at full load"
        )


@pytest.mark.parametrize("profile_id", IDS)
def test_it_measures_known_quantities_and_power_among_them(profile_id: str) -> None:
    quantities = load_profile(profile_id).quantities
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
    registers = load_profile(profile_id).settings.registers
    first = [each for each in (*ENERGY_QUANTITIES, *powers(registers)) if each in registers]
    assert list(registers)[: len(first)] == first
    for what in ("voltage_l{}_v", "current_l{}_a", "power_l{}_w"):
        phases = [what.format(n) in registers for n in (1, 2, 3)]
        assert phases in ([True, True, True], [True, False, False], [False, False, False]), what


@pytest.mark.parametrize("profile_id", [each for each in IDS if protocol_of(each) == "p1"])
def test_a_profile_of_meters_that_may_encrypt_says_which_keys_are_needed(profile_id: str) -> None:
    profile = load_profile(profile_id)
    assert profile.may_encrypt == ("encryption_key" in profile.notes)


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_the_resolution_is_what_one_count_of_the_register_is_worth(profile_id: str) -> None:
    profile = load_profile(profile_id)
    for quantity, register in profile.energy.items():
        row = profile.settings.registers[quantity]
        is_float = profile.settings.type_of(row) == "float32"
        assert register.float32 is is_float
        if not is_float:
            assert register.resolution_wh == pytest.approx(row.scale * UNITS[row.unit][1])


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_what_is_settled_is_known_from_two_sources_or_the_notes_say_that_it_is_not(
    profile_id: str,
) -> None:
    profile = load_profile(profile_id)
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
    whole = load_profile(load_profile(profile_id).device)
    assert whole.device == whole.id


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_a_reading_costs_few_requests(profile_id: str) -> None:
    profile = load_profile(profile_id)
    blocks = plan(profile.settings, profile.serial.char_s)
    if profile.settings.max_registers > 4:  # else every value needs its own
        assert len(blocks) <= (4 if profile.settings.holes else 6)
    assert all(block.count <= profile.settings.max_registers for block in blocks)


@pytest.mark.parametrize("profile_id", MODBUS_IDS)
def test_it_says_where_the_serial_number_is_or_that_nobody_knows(profile_id: str) -> None:
    profile = load_profile(profile_id)
    assert profile.settings.serial_number is not None or "serial number" in profile.notes


# The schema for editors


def refusals(value: object, schema: dict[str, Any], root: dict[str, Any]) -> Iterator[str]:
    """What a JSON Schema finds wrong with a value: as much of the standard as our schemas use, and
    no word it does not know.
    """
    known = {
        "$ref",
        "$schema",
        "$defs",
        "title",
        "description",
        "default",
        "type",
        "properties",
        "required",
        "additionalProperties",
    }
    known |= {
        "propertyNames",
        "minProperties",
        "items",
        "minItems",
        "enum",
        "const",
        "anyOf",
        "pattern",
        "minLength",
    }
    known |= {"minimum", "maximum", "exclusiveMinimum", "format"}
    assert schema.keys() <= known, schema.keys() - known
    if "$ref" in schema:
        yield from refusals(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in schema and all(any(refusals(value, each, root)) for each in schema["anyOf"]):
        yield f"{value!r} fits none"
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        yield f"{value!r} is not allowed"
    types = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    if "type" in schema and (
        not isinstance(value, types[schema["type"]])
        or (isinstance(value, bool) and schema["type"] != "boolean")
    ):
        yield f"{value!r} is not of type {schema['type']}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        fits = schema.get("minimum", value) <= value <= schema.get(
            "maximum", value
        ) and value > schema.get("exclusiveMinimum", value - 1)
        if not fits:
            yield f"{value} is out of bounds"
    if isinstance(value, str) and (
        len(value) < schema.get("minLength", 0) or not re.search(schema.get("pattern", ""), value)
    ):
        yield f"{value!r} does not fit"
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield "too short"
        for item in value:
            yield from refusals(item, schema.get("items", {}), root)
    if isinstance(value, dict):
        if len(value) < schema.get("minProperties", 0):
            yield "too few"
        yield from (
            f"{name} is missing" for name in schema.get("required", []) if name not in value
        )
        for name, item in value.items():
            yield from refusals(name, schema.get("propertyNames", {}), root)
            other = schema.get("additionalProperties", {})
            part = schema.get("properties", {}).get(name, other)
            if part is False:
                yield f"{name} is unknown"
            else:
                yield from refusals(item, part, root)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_committed_schema_is_the_one_the_code_makes(protocol: str) -> None:
    made = json.dumps(profile_schema(protocol), indent=2, ensure_ascii=False) + "\n"
    path = shipped_folder() / "schema" / f"{protocol}.json"
    assert path.read_text(encoding="utf-8") == made, "see hardware_profiles/README.md, “The schema”"


@pytest.mark.parametrize("profile_id", IDS)
def test_the_schema_accepts_what_the_loader_accepts(profile_id: str) -> None:
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


# What the loader says

MINIMAL = """\
maker: Acme
model: One
manual: One's manual, revision 3
protocol: modbus
max_power_w: 1000
energy:
  energy_import_wh: {resolution_wh: 1, modulus_wh: 1000000}
modbus:
  registers:
    energy_import_wh: {address: 0, type: uint32, unit: Wh}
  identify: [{address: 9, values: [7]}]
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        decode_profile("acme/one", parse(text, "one.yaml"))
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [str(problem) for problem in caught.value.problems]


def test_a_minimal_profile_has_the_defaults() -> None:
    profile = decode_profile("acme/one", parse(MINIMAL, "one.yaml"))
    assert isinstance(profile, Profile)
    assert profile.serial == SerialSettings(baud=9600, parity="none", data_bits=8, stop_bits=1)
    assert profile.energy == {"energy_import_wh": Register(resolution_wh=1, modulus_wh=1_000_000)}
    assert profile.quantities == {"energy_import_wh"}
    assert (profile.min_interval_s, profile.notes) == (1.0, "")


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        (
            "protocol: modbus",
            "protocol: modbuss",
            ["one.yaml:4: protocol: there is no protocol 'modbuss' — did you mean 'modbus'?"],
        ),
        (
            "protocol: modbus",
            "protocol: [modbus]",
            ["one.yaml:4: protocol: expected text, found a list"],
        ),
        (
            "protocol: modbus\n",
            "",
            [
                "one.yaml:1: key 'protocol' is missing — it is the folder of drivers/ that "
                "speaks to it"
            ],
        ),
        (
            "modbus:\n",
            "modbus: {}\nother:\n",
            ["one.yaml:9: other: unknown key", "one.yaml:8: modbus: key 'registers' is missing"],
        ),
        (
            "address: 0,",
            "address: 70000,",
            [
                "one.yaml:10: modbus.registers.energy_import_wh.address: expected a whole number "
                "<= 65535"
            ],
        ),
        (
            "address: 0,",
            "adress: 0,",
            [
                "one.yaml:10: modbus.registers.energy_import_wh.adress: unknown key — did you "
                "mean 'address'?",
                "one.yaml:10: modbus.registers.energy_import_wh: key 'address' is missing",
            ],
        ),
        (
            "unit: Wh",
            "unit: kW",
            [
                "one.yaml:10: modbus.registers.energy_import_wh.unit: 'kW' is not a unit of "
                "energy_import_wh — one of Wh, kWh, MWh"
            ],
        ),
        (
            "unit: Wh",
            "scale: 0, unit: Wh",
            [
                "one.yaml:10: modbus.registers.energy_import_wh.scale: a scale of 0 makes every "
                "value 0"
            ],
        ),
        (
            "  registers:\n",
            "  registers:\n    frequency_hz: {address: 1, unit: Hz}\n",
            [
                "one.yaml:11: modbus.registers.energy_import_wh.address: overlaps frequency_hz "
                "at register 1"
            ],
        ),
        (
            "  registers:\n",
            "  registers:\n    power_w: {address: 7, unit: W}\n",
            [
                "one.yaml:8: modbus: key 'power_sign' is missing — write import_positive or "
                "export_positive"
            ],
        ),
        (
            "  identify: [{address: 9, values: [7]}]\n",
            "",
            ["one.yaml:8: modbus: key 'identify' is missing — write a register that only"],
        ),
        (
            "[{address: 9, values: [7]}]",
            "[{address: 9}]",
            [
                "one.yaml:11: modbus.identify[0]: exactly one of values, text and between is "
                "needed, found none of them"
            ],
        ),
        (
            "values: [7]",
            "values: [7], between: [1, 2]",
            [
                "one.yaml:11: modbus.identify[0]: exactly one of values, text and between is "
                "needed, found values and between"
            ],
        ),
        (
            "  registers:\n",
            "  sums:\n    power_w: {plus: [power_imprt_w, energy_import_wh]}\n  registers:\n",
            [
                "one.yaml:10: modbus.sums.power_w: 'power_imprt_w' is not in the register table",
                "one.yaml:10: modbus.sums.power_w: energy_import_wh has another unit than "
                "power_w — add up what is in W",
            ],
        ),
        (
            "  registers:\n",
            "  sums:\n    energy_import_wh: {}\n  registers:\n",
            [
                "one.yaml:10: modbus.sums.energy_import_wh: is in the register table already",
                "one.yaml:10: modbus.sums.energy_import_wh: a counter is not made of others",
                "one.yaml:10: modbus.sums.energy_import_wh: has no parts",
            ],
        ),
        (
            "values: [7]",
            "text: EM1",
            ["one.yaml:11: modbus.identify[0].type: text and type: string go together"],
        ),
        (
            "values: [7]",
            "type: string, text: EM100",
            ["one.yaml:11: modbus.identify[0].text: has no room in 2 registers"],
        ),
        ("values: [7]", "values: []", ["one.yaml:11: modbus.identify[0].values: is empty"]),
        (
            "values: [7]",
            "between: [300, 100]",
            ["one.yaml:11: modbus.identify[0].between: expected [low, high]"],
        ),
        (
            "address: 9,",
            "address: 65535, type: uint32,",
            ["one.yaml:11: modbus.identify[0].address: reaches beyond register 65535"],
        ),
        (
            "  registers:\n",
            "  registers:\n    powr_w: {address: 7}\n",
            ["one.yaml:8: modbus: there is no quantity 'powr_w' — did you mean 'power_w'?"],
        ),
        (
            "  registers:\n",
            "  registers:\n    energy_export_wh: {address: 7, unit: Wh}\n",
            ["one.yaml:6: energy: energy_export_wh lacks its resolution and modulus"],
        ),
        (
            "energy:\n",
            "energy:\n  energy_export_wh: {resolution_wh: 1, modulus_wh: 1000000}\n",
            ["one.yaml:7: energy.energy_export_wh: the profile does not read this register"],
        ),
        (
            "  energy_import_wh: {resolution_wh: 1, modulus_wh: 1000000}\n",
            "  {}\n",
            [
                "one.yaml:6: energy: needs at least 1 entry, found 0 — it is step and modulus of "
                "each energy register"
            ],
        ),
        (
            "    energy_import_wh: {address: 0, type: uint32, unit: Wh}\n",
            "    {}\n",
            ["one.yaml:9: modbus.registers: needs at least 1 entry, found 0"],
        ),
        (
            "modulus_wh: 1000000",
            "modulus_wh: 1",
            [
                "one.yaml:7: energy.energy_import_wh.modulus_wh: is not more than one step of 1 "
                "Wh — write, in Wh, where the display starts"
            ],
        ),
        (
            "unit: Wh",
            "scale: 0.1, unit: kWh",
            [
                "one.yaml:7: energy.energy_import_wh: resolution_wh 1 is finer than one count of "
                "the register, 100 Wh — write"
            ],
        ),
        (
            "type: uint32",
            "type: float32",
            [
                "one.yaml:7: energy.energy_import_wh: travels as a 32-bit float, which is not "
                "said here — add float32: true"
            ],
        ),
        (
            "modulus_wh: 1000000",
            "modulus_wh: 1000000, float32: true",
            [
                "one.yaml:7: energy.energy_import_wh: float32: true, but the register travels as "
                "uint32 — remove it"
            ],
        ),
        (
            "maker: Acme\n",
            "maker:\n",
            ["one.yaml:1: maker: expected text, found nothing — fill it in"],
        ),
        (
            "max_power_w: 1000",
            "max_power_w: 1e3",
            ["one.yaml:5: max_power_w: expected a number, found the text '1e3' — write 1000"],
        ),
        (
            "maker: Acme\n",
            "maker: Acme\nmaker: Zenith\n",
            ["one.yaml:2: maker: key appears twice, first in line 1 — keep one of them"],
        ),
    ],
)
def test_each_mistake_is_named_with_line_key_and_remedy(
    right: str, wrong: str, expected: list[str]
) -> None:
    assert right in MINIMAL
    found = problems(MINIMAL.replace(right, wrong, 1))
    assert len(found) == len(expected), found
    for problem, start in zip(found, expected, strict=True):
        assert problem.startswith(start)


def test_mistakes_in_both_halves_of_a_profile_are_named_in_one_run() -> None:
    text = (
        MINIMAL.replace("maker: Acme", "maker: 12")
        .replace("address: 0,", "address: nine,")
        .replace("max_power_w", "max_power")
    )
    assert len(problems(text)) == 4


@pytest.mark.parametrize("text", ["", "a: b: c", "[1, 2]", "just words", "\x00"])
def test_what_is_no_profile_is_refused_in_one_line(text: str) -> None:
    assert len(problems(text)) == 1


def test_an_unknown_profile_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(
        ProfileError,
        match=r"^eastron/sdm12O: there is no profile 'eastron/sdm12O' — did you mean "
        r"'eastron/sdm120'\?$",
    ):
        load_profile("eastron/sdm12O")


@pytest.mark.parametrize(
    "profile_id",
    [
        "",
        "/",
        "eastron",
        "eastron/",
        "../README",
        "eastron/../abb/b23",
        "/etc/passwd",
        "schema/modbus",
        "a/b/c",
    ],
)
def test_only_names_of_profiles_are_opened(profile_id: str) -> None:
    with pytest.raises(ProfileError, match="there is no profile"):
        load_profile(profile_id)


def test_a_site_s_own_folder_goes_before_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "one.yaml").write_text(MINIMAL)
    (tmp_path / "eastron").mkdir()
    (tmp_path / "eastron" / "sdm120.yaml").write_text(MINIMAL)
    folders = (tmp_path, shipped_folder())
    assert set(profile_ids(*folders)) == {*IDS, "acme/one"}
    assert load_profile("eastron/sdm120", *folders).maker == "Acme"
    assert load_profile("eastron/sdm630", *folders).maker == "Eastron"


def test_a_profile_that_cannot_be_read_is_a_problem_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "acme" / "one.yaml").mkdir(parents=True)
    with pytest.raises(ProfileError, match=r"acme/one.yaml: cannot be read: Is a directory"):
        load_profile("acme/one", tmp_path)
