"""Beginning a profile: the loader names each gap, and accepts it once they are filled."""

import re

import pytest

from drivers.profile import ProfileError, decode_profile, load_profile, profile_ids, shipped_folder
from drivers.strict_yaml import parse
from gateway.site.new_profile import began_as, skeleton

FILLED = {
    "manual:  ": "manual: Acme EM1 manual, revision 3",
    "max_power_w:  ": "max_power_w: 17664",
    "resolution_wh: , modulus_wh: ": "resolution_wh: 1, modulus_wh: 100000000, float32: true",
    "values: []": "values: [0x0E01]",
}


def test_a_skeleton_names_its_gaps_and_loads_once_they_are_filled():
    text = skeleton("acme/em1", "schema.json")
    with pytest.raises(ProfileError) as gaps:
        decode_profile("acme/em1", parse(text, "em1.yaml"))
    said = str(gaps.value)
    for gap in (
        "manual",
        "max_power_w",
        "resolution_wh",
        "modulus_wh",
        "serial_number.address",
        "registers.power_w.address",
    ):
        assert gap in said
    for gap, word in FILLED.items():
        assert gap in text
        text = text.replace(gap, word)
    addresses = iter(range(0, 100, 2))
    text = re.sub(r"address: ,", lambda _: f"address: {next(addresses)},", text)
    profile = decode_profile("acme/em1", parse(text, "em1.yaml"))
    assert (profile.maker, profile.model) == ("Acme", "EM1")


@pytest.mark.parametrize("other_id", profile_ids())
def test_a_copy_lacks_its_manual_and_nothing_else(other_id):
    text = began_as(
        "acme/em1",
        "schema.json",
        other_id,
        (shipped_folder() / f"{other_id}.yaml").read_text(encoding="utf-8"),
    )
    with pytest.raises(ProfileError) as gaps:
        decode_profile("acme/em1", parse(text, "em1.yaml"))
    assert [problem.key for problem in gaps.value.problems] == ["manual"]
    copy = decode_profile(
        "acme/em1", parse(text.replace("manual:  ", "manual: Acme's", 1), "em1.yaml")
    )
    assert copy.settings == load_profile(other_id).settings
    assert (copy.maker, copy.model) == ("Acme", "EM1")
