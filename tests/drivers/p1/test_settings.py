"""The P1 profiles, and what is said of a wrong one."""

import pytest

from drivers.p1.obis import QUANTITIES
from drivers.profile import ProfileError, decode_profile, load_profile, profile_ids
from drivers.strict_yaml import parse

IDS = [name for name in profile_ids() if name.startswith("dsmr/")]

PROFILE = """
maker: Test
model: test
manual: none
protocol: p1
max_power_w: 1000
energy: {energy_import_wh: {resolution_wh: 1, modulus_wh: 1000000}}
p1:
  period_s: 10
  checksum: required
  values: [energy_import_wh]
"""


@pytest.mark.parametrize("profile_id", IDS)
def test_a_profile_reads_both_registers_and_only_what_telegrams_hold(profile_id: str) -> None:
    profile = load_profile(profile_id)
    assert profile.quantities <= QUANTITIES
    assert {"energy_import_wh", "energy_export_wh", "power_w"} <= profile.quantities
    assert profile.min_interval_s == profile.settings.period_s


def test_the_three_generations_are_there() -> None:
    assert {"dsmr/dsmr2.2", "dsmr/dsmr4", "dsmr/dsmr5"} <= set(IDS)
    assert load_profile("dsmr/dsmr5").serial.char_s == pytest.approx(10 / 115200)
    assert load_profile("dsmr/dsmr2.2").serial.char_s == pytest.approx(10 / 9600)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            "values: [energy_import_wh, apparent_power_va]",
            "no P1 telegram holds 'apparent_power_va'",
        ),
        ("values: [energy_import_wh, energy_import_wh]", "listed twice"),
        ("values: [energy_import_wh, powr_w]", "did you mean 'power_w'"),
        ("values: [energy_import_wh]\n  checksums: required", "unknown key"),
    ],
)
def test_wrong_values_are_named(wrong: str, words: str) -> None:
    with pytest.raises(ProfileError, match=words):
        decode_profile(
            "test/test", parse(PROFILE.replace("values: [energy_import_wh]", wrong), "test.yaml")
        )


@pytest.mark.parametrize("policy", ["required", "optional", "ignored"])
def test_a_profile_says_what_a_checksum_means(policy: str) -> None:
    profile = decode_profile("test/test", parse(PROFILE.replace("required", policy), "test.yaml"))
    assert profile.settings.checksum == policy
