"""What is said of a home, by what is known of it."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.fleet.page.answers import SEVERITIES, Home, Told
from gateway.fleet.page.states import KINDS, judged, meter_roles, newest_version, troubles

NOW_S = 1_780_000_000.0
SLOT_S = 900


def home(**changes: Any) -> Home:
    """One that is well."""
    values: dict[str, Any] = {
        "id": 1, "name": "home-1", "added_s": NOW_S - 90 * 86_400, "last_message_s": NOW_S - 60,
        "last_slot_s": NOW_S - 1000, "lag_s": 0.5, "version": "0.2.0", "deliver": "direct",
        "stores": 1, "told": told(), "known": 96, "expected": 96,
    }  # fmt: skip
    return Home(**(values | changes))


def told(**changes: Any) -> Told:
    values: dict[str, Any] = {"at_s": NOW_S - 100, "online": True, "disk_free_bytes": 10**10}
    return Told(**(values | changes))


def kinds(of: Home, newest: str = "0.2.0") -> list[str]:
    return [each.kind for each in troubles(of, NOW_S, newest)]


def test_a_home_that_is_well_has_nothing_said_of_it() -> None:
    assert kinds(home()) == []
    assert judged([home()], NOW_S)[0].severity == "well"


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("silent", {"last_message_s": NOW_S - 2 * SLOT_S - 1, "told": told(online=False)}),
        ("silent", {"last_message_s": NOW_S - 9999, "told": None}),
        ("silent", {"last_message_s": NOW_S - 9999, "told": told(at_s=NOW_S - 9999)}),
        ("no_data", {"last_message_s": NOW_S - 2 * SLOT_S - 1}),
        ("no_data", {"last_message_s": None, "last_slot_s": None}),
        ("never", {"last_message_s": None, "last_slot_s": None, "told": None}),
        ("late", {"last_slot_s": NOW_S - 4 * SLOT_S}),
        ("owed", {"told": told(oldest_owed_s=int(NOW_S) - 2 * 3600)}),
        ("owed", {"owed_since_s": NOW_S - 2 * 3600}),
        ("incomplete", {"known": 95, "expected": 96}),
        ("twin", {"warning": "two gateways of one name?"}),
        ("clash", {"clashes": 1}),
        ("refused", {"refused": 1}),
        ("clock", {"lag_s": -61.0}),
        ("clock", {"told": told(clock_trusted=False)}),
        ("disk", {"told": told(disk_free_bytes=10**8)}),
        ("wear", {"told": told(disk_written_per_day_bytes=10**9)}),
        ("certificate", {"certificate_ends_s": NOW_S + 29 * 86_400}),
        ("problem", {"told": told(mood="bad", problems=("meter_silent",))}),
        ("old", {"version": "0.1.9"}),
        ("changed", {"configured_s": NOW_S - 86_400}),
    ],
)
def test_each_state_alone(kind: str, changes: dict[str, Any]) -> None:
    assert kinds(home(**changes)) == [kind]


@pytest.mark.parametrize(
    "changes",
    [
        {"last_message_s": NOW_S - 2 * SLOT_S},
        {"known": 955, "expected": 960},
        {"known": 0, "expected": 0},
        {"told": told(disk_free_bytes=0)},  # it has not said how much there is
        {"told": told(mood="starting", problems=("clock_unknown",))},
        {"certificate_ends_s": NOW_S + 31 * 86_400},
        {"configured_s": NOW_S - 8 * 86_400},
        {"version": "0.10.0"},
        {"last_message_s": None, "last_slot_s": None, "added_s": NOW_S - 600},
    ],
)
def test_what_is_no_trouble(changes: dict[str, Any]) -> None:
    assert kinds(home(**changes)) == []


def test_the_worst_is_named_first() -> None:
    some = home(known=1, clashes=1, version="0.1.0")
    assert kinds(some) == ["clash", "incomplete", "old"]
    order = [SEVERITIES.index(severity) for severity in KINDS.values()]
    assert order == sorted(order)


def test_one_box_that_tries_out_a_version_makes_no_other_one_old() -> None:
    assert newest_version(["0.2.0", "0.2.0", "0.10.0", "", "0.1.0"]) == "0.2.0"
    assert newest_version(["0.9.0", "0.10.0"]) == "0.10.0"
    assert newest_version([""]) == ""


@pytest.mark.parametrize(
    ("series", "said", "roles"),
    [
        (["grid i", "grid e", "pv e"], None, {"grid": "grid", "pv": "sun"}),
        (["main i", "roof e"], None, {"main": "grid", "roof": "sun"}),
        (["a i"], None, {"a": "grid"}),
        (["a e"], None, {"a": "sun"}),
        (["a i", "b i"], None, {"a": "other", "b": "other"}),
        (
            ["a i", "a e", "b i", "b e", "netz i"],
            None,
            {"a": "other", "b": "other", "netz": "grid"},
        ),
        (["grid i", "grid e", "pv i", "pv e"], None, {"grid": "grid", "pv": "sun"}),
        (["x i", "x e", "y e"], {"x": "battery", "y": "sun"}, {"x": "battery", "y": "sun"}),
    ],
)
def test_what_meters_stand_for(
    series: list[str], said: dict[str, str] | None, roles: dict[str, str]
) -> None:
    ways = {"i": "import", "e": "export"}
    pairs = [(meter, ways[way]) for meter, way in (each.split() for each in series)]
    assert meter_roles(pairs, said) == roles


@pytest.mark.parametrize("length_s", [60, 300, 900, 1800, 3600])
def test_two_slots_are_two_of_the_homes_own(length_s: int) -> None:
    def at(**changes: Any) -> list[str]:
        last_s = changes.pop("last_message_s", NOW_S)
        at = {"last_message_s": last_s, "last_slot_s": last_s, "slot_length_s": length_s}
        return kinds(home(**(at | changes)))

    gone = told(online=False)
    assert at(last_message_s=NOW_S - 2 * length_s, told=gone) == []
    assert at(last_message_s=NOW_S - 2 * length_s - 1, told=gone) == ["silent"]
    assert at(last_message_s=NOW_S - 2 * length_s - 1) == ["no_data"]
    assert at(last_slot_s=NOW_S - 3 * length_s) == []
    assert at(last_slot_s=NOW_S - 3 * length_s - 1) == ["late"]
    assert at(owed_since_s=NOW_S - 3600 - length_s) == []
    assert at(owed_since_s=NOW_S - 3600 - length_s - 1) == ["owed"]
    new = {"last_message_s": None, "last_slot_s": None}
    assert at(**new, added_s=NOW_S - 3 * length_s) == []
    assert at(**new, added_s=NOW_S - 3 * length_s - 1) == ["no_data"]


def test_a_gateway_with_short_slots_still_says_every_five_minutes_how_it_is() -> None:
    short = home(last_message_s=NOW_S - 121, slot_length_s=60, told=told(at_s=NOW_S - 700))
    assert kinds(short) == ["no_data"]
    assert kinds(replace(short, told=told(at_s=NOW_S - 901))) == ["silent"]
