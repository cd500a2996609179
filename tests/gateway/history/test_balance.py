"""What a home owner counts: properties of the sums, and who is what on which site."""

import tempfile
from functools import cache
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.history.balance import account_of, flows
from gateway.history.roles import BATTERY, FROM_GRID, LOADS, SUN, TO_GRID, Roles, roles_of
from gateway.store.slot_table import SlotSum
from tests.gateway.history.rig import ASSETS, HEAT, HOUSE, METERS, PV, SLOT_S, write_home

Assets = dict[str, tuple[UUID, str, str]]


def roles(folder: Path, assets: Assets, meters: dict[str, str]) -> Roles:
    return roles_of(write_home(folder / "home", assets, meters))


def test_the_usual_home(tmp_path: Path) -> None:
    found = roles(tmp_path, dict(ASSETS), dict(METERS))
    assert found.meters == {"grid": "grid", "heat-pump": "other", "pv": "sun"}
    assert found.assets == {HOUSE: "house", PV: "sun", HEAT: "other"}
    assert {part[:3] for part in found.parts} == {
        ("grid", "import", FROM_GRID),
        ("grid", "export", TO_GRID),
        ("pv", "export", SUN),
    }


@pytest.mark.parametrize(
    ("assets", "meters", "expected"),
    [
        ({}, {"m": "eastron/sdm630"}, {"m": "grid"}),
        (
            {},
            {"a": "eastron/sdm630", "b": "eastron/sdm630"},
            {"a": "other", "b": "other"},
        ),
        (
            {"Load": (HOUSE, "load", "m.import")},
            {"m": "eastron/sdm630"},
            {"m": "grid"},
        ),
        ({"PV": (PV, "pv", "pv.export")}, {"pv": "eastron/sdm120"}, {"pv": "sun"}),
        (
            {"PV": (PV, "pv", "pv.export"), "Load": (HOUSE, "load", "house.import")},
            {"pv": "eastron/sdm120", "house": "eastron/sdm630"},
            {"pv": "sun", "house": "house"},
        ),
        (
            {"PV": (PV, "pv", "m.export"), "Load": (HOUSE, "load", "m.import")},
            {"m": "eastron/sdm630"},
            {"m": "grid"},
        ),
        (
            {
                "Battery": (PV, "storage", "b.import - b.export"),
                "Load": (HOUSE, "load", "g.import - g.export + b.export - b.import"),
            },
            {"b": "eastron/sdm630", "g": "eastron/sdm630"},
            {"b": "battery", "g": "grid"},
        ),
        (
            {"Meter": (HOUSE, "smart_meter", "g.import - g.export")},
            {"g": "eastron/sdm630"},
            {"g": "grid"},
        ),
    ],
)
def test_each_meter_stands_for_what_formulas_make_of_it(
    assets: Assets, meters: dict[str, str], expected: dict[str, str], tmp_path: Path
) -> None:
    assert roles(tmp_path, assets, meters).meters == expected


def test_thirty_flats_use_what_their_meters_say(tmp_path: Path) -> None:
    meters = {f"flat{n}": "eastron/sdm120" for n in range(30)}
    assets: Assets = {f"Flat {n}": (UUID(int=n + 1), "load", f"flat{n}.import") for n in range(30)}
    found = roles(tmp_path, assets, meters)
    assert set(found.meters.values()) == {"house"}
    row = SlotSum(30_000_000, 30, 1_000_000, 0)
    sums = account_of(flows([(0, {LOADS: row})], found), found, SLOT_S).sums(1)
    assert (sums.used_wh, sums.sun_wh, sums.from_grid_wh, sums.coverage) == (30.0, None, None, 1.0)
    row = SlotSum(29_000_000, 29, 1_000_000, 0)
    sums = account_of(flows([(0, {LOADS: row})], found), found, SLOT_S).sums(1)
    assert (sums.used_wh, sums.coverage) == (None, 0.0), "one flat is not known: missing is not 0"


def test_a_pump_that_is_taken_out_of_a_load_is_not_counted_twice(tmp_path: Path) -> None:
    assets: Assets = {
        "Rest": (HOUSE, "load", "house.import - pump.import"),
        "Pump": (HEAT, "heat_pump", "pump.import"),
        "PV": (PV, "pv", "pv.export"),
    }
    meters = dict.fromkeys(("house", "pump", "pv"), "eastron/sdm630")
    found = roles(tmp_path, assets, meters)
    assert [part for part in found.parts if part[2] == LOADS] == [("house", "import", LOADS, 1)]


def test_what_goes_out_where_nothing_is_measured_behind_is_made_by_somebody(
    tmp_path: Path,
) -> None:
    found = roles(tmp_path, {}, {"m": "eastron/sdm630"})

    def used(out_uwh: int) -> float | None:
        row = {FROM_GRID: SlotSum(5, 1, 1, 0), TO_GRID: SlotSum(out_uwh, 1, 1, 0)}
        return account_of(flows([(0, row)], found), found, SLOT_S).sums(1).used_wh

    assert used(0) == 5e-6
    assert used(1) is None


@cache
def usual_home() -> Roles:
    """Of all examples the same."""
    with tempfile.TemporaryDirectory() as folder:
        return roles(Path(folder), dict(ASSETS), dict(METERS))


energies = st.integers(min_value=0, max_value=10**10)


@st.composite
def days(draw: st.DrawFn) -> list[tuple[int, dict[str, SlotSum]]]:
    """Slots of which some parts are not known, with holes between them."""
    rows = []
    for n in draw(st.lists(st.integers(0, 200), unique=True, max_size=30)):
        sums = {
            name: SlotSum(draw(energies), 1, draw(st.none() | energies), draw(st.integers(0, 1)))
            for name in (FROM_GRID, TO_GRID, SUN)
            if draw(st.integers(0, 5))
        }
        rows.append((n * SLOT_S, sums))
    return sorted(rows, key=lambda row: row[0])


@given(days())
def test_sums_are_those_of_the_slots_that_are_known(
    rows: list[tuple[int, dict[str, SlotSum]]],
) -> None:
    found = usual_home()
    account = account_of(flows(rows, found), found, SLOT_S)
    sums = account.sums(201)
    whole = [known for _, known in rows if len(known) == 3]
    used = [
        known[FROM_GRID].energy_uwh - known[TO_GRID].energy_uwh + known[SUN].energy_uwh
        for known in whole
    ]
    assert sums.used_wh == (sum(used) / 1e6 if whole else None)
    for name, told in (
        (SUN, sums.sun_wh),
        (FROM_GRID, sums.from_grid_wh),
        (TO_GRID, sums.to_grid_wh),
    ):
        known = [row[name].energy_uwh for _, row in rows if name in row]
        assert told == (sum(known) / 1e6 if known else None)
    assert sums.coverage == len(whole) / 201
    assert sums.sun_used_here is None or 0 <= sums.sun_used_here <= 1
    if sums.uncertainty_wh is not None:
        added = sum(row.uncertainty_uwh or 0 for known in whole for row in known.values())
        assert 0 <= sums.uncertainty_wh <= added / 1e6
    peak = account.peak
    known_in = [row[FROM_GRID].energy_uwh for _, row in rows if FROM_GRID in row]
    assert (peak.power_w if peak else None) == (
        pytest.approx(max(known_in) / 1e6 * 4) if known_in else None
    )


@given(days(), st.integers(0, 200))
def test_accounts_of_two_spans_are_that_of_both(
    rows: list[tuple[int, dict[str, SlotSum]]], at: int
) -> None:
    found = usual_home()
    whole = account_of(flows(rows, found), found, SLOT_S)
    both = account_of((), found, SLOT_S)
    for part in (
        [row for row in rows if row[0] < at * SLOT_S],
        [row for row in rows if row[0] >= at * SLOT_S],
    ):
        both.add_all(account_of(flows(part, found), found, SLOT_S))
    assert (both.sums(201), both.peak) == (whole.sums(201), whole.peak)


def test_what_follows_each_other_is_off_at_its_ends_only(tmp_path: Path) -> None:
    found = roles(tmp_path, dict(ASSETS), dict(METERS))
    steps_wh = sum(found.steps_uwh[name] for name in (FROM_GRID, TO_GRID, SUN)) / 1e6

    def uncertainty_wh(starts: list[int], by_power: int = 0) -> float | None:
        row = SlotSum(10**8, 1, 10**9, by_power)
        rows = [(n * SLOT_S, dict.fromkeys((FROM_GRID, TO_GRID, SUN), row)) for n in starts]
        return account_of(flows(rows, found), found, SLOT_S).sums(9).uncertainty_wh

    assert uncertainty_wh([0, 1, 2, 3]) == 2 * steps_wh
    assert uncertainty_wh([0, 1, 5, 6]) == 4 * steps_wh, "a hole has two more ends"
    assert uncertainty_wh([0, 1], by_power=1) == 6 * 1000.0, "no register holds it"


def test_a_battery_gives_what_it_took(tmp_path: Path) -> None:
    assets: Assets = {
        "Battery": (PV, "storage", "b.import - b.export"),
        "Load": (HOUSE, "load", "g.import - g.export + b.export - b.import"),
    }
    found = roles(tmp_path, assets, {"b": "eastron/sdm630", "g": "eastron/sdm630"})
    assert {part for part in found.parts if part[2] == BATTERY} == {
        ("b", "import", BATTERY, -1),
        ("b", "export", BATTERY, 1),
    }
