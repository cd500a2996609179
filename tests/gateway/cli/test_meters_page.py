"""The page of supported meters."""

from drivers.profile import load_profile, profile_ids
from gateway.cli.meters_page import measured, page


def test_quantities_of_several_phases_stand_together_in_words() -> None:
    quantities = [
        "power_w",
        "power_l1_w",
        "power_l2_w",
        "power_l3_w",
        "voltage_l1_v",
        "voltage_l1_l2_v",
        "voltage_ll_v",
        "power_factor",
    ]
    assert set(measured(quantities)) == {
        "power",
        "power L1–L3",
        "voltage L1",
        "voltage between phases",
        "power factor",
    }


def test_tariffs_are_told_from_phases() -> None:
    assert measured(["energy_import_t1_wh", "energy_import_t2_wh", "energy_import_l1_wh"]) == [
        "energy import T1–T2",
        "energy import L1",
    ]


def test_every_profile_is_on_the_page_once() -> None:
    profiles = [load_profile(each) for each in profile_ids()]
    text = page(profiles)
    for profile in profiles:
        assert text.count(f"| `{profile.id}`") == 1


def test_makers_are_headings_and_protocols_are_where_many_makers_share_one() -> None:
    headings = [
        line
        for line in page([load_profile(each) for each in profile_ids()]).splitlines()
        if line.startswith("## ")
    ]
    assert {"## ABB", "## Eastron", "## P1"} <= set(headings)
    assert len(headings) == len(set(headings))


def test_a_meter_known_from_a_single_source_is_marked() -> None:
    text = page([load_profile("saia/ale3"), load_profile("eastron/sdm630")])
    assert "`saia/ale3` †" in text
    assert "`eastron/sdm630` |" in text
