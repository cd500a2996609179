"""Whatever is wrong with a profile is said, all of it, with line, key and remedy."""

from pathlib import Path

import pytest

from drivers.line import SerialSettings
from drivers.profile import (
    Profile,
    ProfileError,
    Register,
    decode_profile,
    load_profile,
    profile_ids,
    shipped_folder,
)
from drivers.strict_yaml import parse

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
            [
                "one.yaml:9: other: unknown key",
                "one.yaml:8: modbus: key 'registers' is missing",
                "one.yaml:8: modbus: key 'identify' is missing",
            ],
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
        (
            "{address: 0, type: uint32, unit: Wh}",
            "{address: 0, high_address: 1, type: uint32, unit: Wh}",
            ["one.yaml:10: modbus.registers.energy_import_wh.high_address: is beside the low word"],
        ),
        (
            "{address: 0, type: uint32, unit: Wh}",
            "{address: 0, high_address: 200, type: uint64, unit: Wh}",
            [
                "one.yaml:10: modbus.registers.energy_import_wh.high_address: goes with two words",
                "one.yaml:10: modbus.registers.energy_import_wh.high_address: is too far from the",
            ],
        ),
        (
            "unit: Wh}\n",
            "unit: Wh}\n    frequency_hz: {address: 5, type: int16, unit: Hz, or_scale: 0.1}\n",
            ["one.yaml:11: modbus.registers.frequency_hz.or_scale: needs `between`, by which it"],
        ),
        (
            "{address: 0, type: uint32, unit: Wh}",
            "{address: 0, type: uint32, unit: Wh, between: [1, 7]}",
            ["one.yaml:10: modbus.registers.energy_import_wh.between: a counter has no bounds"],
        ),
        (
            "[{address: 9, values: [7]}]",
            "[{values: [7]}]",
            ["one.yaml:11: modbus.identify[0]: key 'address' is missing — write the register"],
        ),
        (
            "[{address: 9, values: [7]}]",
            "[{function: 17, between: [1, 7]}]",
            ["one.yaml:11: modbus.identify[0].between: function 17 gives a byte that says which"],
        ),
        (
            "values: [7]",
            "none_of: [7]",
            ["one.yaml:11: modbus.identify[0].none_of: goes with function: 17"],
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
            "  identify:",
            "  serial_number: 0xFC00\n  identify:",
            [
                "one.yaml:11: modbus.serial_number: expected key: value pairs, found "
                "64512 — it is where the meter's own number is, which tells it from the one that "
                "takes its place; left out where it has none in its registers; its keys are "
                "address, function, type, words, word_order"
            ],
        ),
        (
            "  identify:",
            "  serial_number: {address: 65535}\n  identify:",
            ["one.yaml:11: modbus.serial_number.address: reaches beyond register 65535"],
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
    assert set(profile_ids(*folders)) == {*profile_ids(), "acme/one"}
    assert load_profile("eastron/sdm120", *folders).maker == "Acme"
    assert load_profile("eastron/sdm630", *folders).maker == "Eastron"


def test_a_profile_that_cannot_be_read_is_a_problem_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "acme" / "one.yaml").mkdir(parents=True)
    with pytest.raises(
        ProfileError, match=r"acme/one.yaml: cannot be read: it is a folder, not a file"
    ):
        load_profile("acme/one", tmp_path)


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        (
            "acme/inverter",
            "there is no profile 'acme/inverter' that this could be a part of — did you mean "
            "'acme/invertor'?",
        ),
        (
            "acme/one",
            "acme/one cannot be a part of itself — name the profile of the other device, or "
            "remove this key",
        ),
    ],
)
def test_a_part_of_what_is_not_there_is_named_with_all_else_that_is_wrong(
    whole: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "invertor.yaml").write_text(MINIMAL)
    path = tmp_path / "acme" / "one.yaml"
    right = MINIMAL.replace("  registers:", f"  part_of: {whole}\n  registers:")
    path.write_text(right.replace("unit: Wh", "unit: W"))

    with pytest.raises(ProfileError) as caught:
        load_profile("acme/one", tmp_path, shipped_folder())
    problems = [*map(str, caught.value.problems)]
    assert problems[0] == f"{path}:9: modbus.part_of: {expected}"
    assert problems[1].startswith(f"{path}:11: modbus.registers.energy_import_wh.unit: ")

    path.write_text(right.replace(whole, "acme/invertor"))
    assert load_profile("acme/one", tmp_path, shipped_folder()).device == "acme/invertor"
    path.write_text(right.replace(whole, "growatt/tl_x"))
    assert load_profile("acme/one", tmp_path, shipped_folder()).device == "growatt/tl_x"


def test_a_sister_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    path = tmp_path / "acme" / "one.yaml"
    path.write_text(MINIMAL + "sister: eastron/sdm12\n")
    with pytest.raises(ProfileError) as caught:
        load_profile("acme/one", tmp_path, shipped_folder())
    assert str(caught.value) == (
        f"{path}:12: sister: there is no profile 'eastron/sdm12' that this could be a sister of — "
        "did you mean 'eastron/sdm120'?"
    )


def test_a_name_that_is_no_quantity_is_told_beside_what_is_wrong_in_its_row() -> None:
    row = "    powr_w: {adress: 1, unit: W}\n"
    told = problems(MINIMAL.replace("  identify", f"{row}  identify"))
    assert [
        each for each in told if "there is no quantity 'powr_w' — did you mean 'power_w'?" in each
    ]
    assert [each for each in told if "did you mean 'address'?" in each]
    assert len(told) == len(set(told))
