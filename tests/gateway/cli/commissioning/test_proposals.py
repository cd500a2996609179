"""What an installer is proposed. Formulas are judged by the energy that they give."""

from uuid import UUID

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.commissioning.proposals import (
    ROLES,
    Meter,
    Wanted,
    free_name,
    is_wired_the_other_way,
    likely_role,
    propose,
    role_of,
)
from gateway.cli.commissioning.site_file import (
    AssetLine,
    ExchangeLines,
    SiteLines,
    scalar,
    site_text,
)
from gateway.energy.assets import Formula

GRID, PV, PV_2, BATTERY = (
    Meter(name, imports=True, exports=True) for name in ("grid", "pv", "pv-2", "battery")
)
HEAT_PUMP, CAR = (Meter(name, imports=True, exports=False) for name in ("heat-pump", "car"))
HOUSE, ROOF = Wanted("House load", "load"), Wanted("PV", "pv")

flow = st.integers(0, 10_000)


def energy_of(formula: str, flows: dict[str, int]) -> int:
    """The sum that a formula stands for."""
    terms = Formula.parse(formula).terms
    return sum(term.sign * flows.get(f"{term.device}.{term.direction}", 0) for term in terms)


@given(
    roofs=st.lists(flow, max_size=3),
    charged=flow,
    discharged=flow,
    heat=flow,
    car=flow,
    rest=flow,
    own=st.sets(st.sampled_from(["heat-pump", "car"])),
)
def test_whatever_is_metered_the_house_is_what_people_use_in_it(
    roofs: list[int], charged: int, discharged: int, heat: int, car: int, rest: int, own: set[str]
) -> None:
    used = heat + car + rest
    surplus = sum(roofs) + discharged - charged - used
    flows = {"grid.import": max(-surplus, 0), "grid.export": max(surplus, 0)}
    flows |= {f"pv-{n}.export": each for n, each in enumerate(roofs)}
    flows |= {"battery.import": charged, "battery.export": discharged}
    flows |= {"heat-pump.import": heat, "car.import": car}
    meters = [GRID, BATTERY, HEAT_PUMP, CAR]
    meters += [Meter(f"pv-{n}", imports=True, exports=True) for n in range(len(roofs))]
    assets = [HOUSE, ROOF]
    assets += [
        Wanted({"heat-pump": "Heat pump", "car": "EV charger"}[name], "load") for name in own
    ]

    found = propose(assets, meters)
    others = (heat if "heat-pump" in own else 0) + (car if "car" in own else 0)
    assert energy_of(found["House load"].energy, flows) == used - others
    if roofs:
        assert energy_of(found["PV"].energy, flows) == sum(roofs)
    for name in own:
        asset = {"heat-pump": "Heat pump", "car": "EV charger"}[name]
        assert found[asset].energy == f"{name}.import"


def test_without_a_meter_at_the_panels_what_is_left_over_is_all_that_is_known() -> None:
    found = propose([HOUSE, ROOF], [GRID])
    assert found["House load"].energy == "grid.import"
    assert found["PV"].energy == "grid.export"
    assert "no meter is at the panels" in found["PV"].why


def test_a_house_without_a_grid_meter_is_its_own_meters() -> None:
    found = propose([HOUSE], [Meter("load", imports=True, exports=False), PV])
    assert found["House load"].energy == "load.import"


def test_two_roofs_are_told_apart_by_name_or_not_at_all() -> None:
    east, west = (Meter(f"pv-{side}", imports=False, exports=True) for side in ("east", "west"))
    found = propose([Wanted("PV east", "pv"), Wanted("PV west", "pv")], [east, west])
    assert [found[name].energy for name in ("PV east", "PV west")] == [
        "pv-east.export",
        "pv-west.export",
    ]
    found = propose([Wanted("Garage", "pv"), Wanted("Barn", "pv")], [PV, PV_2])
    assert not found["Garage"].energy and "cannot be told" in found["Garage"].why
    found = propose([ROOF], [PV, PV_2])
    assert found["PV"].energy == "pv.export + pv-2.export"


@pytest.mark.parametrize("kind", ["storage", "smart_meter", "heat_pump"])
def test_what_the_engine_does_not_hear_gets_no_formula_and_a_reason(kind: str) -> None:
    found = propose([Wanted("Cellar", kind), HOUSE], [GRID, PV])
    assert not found["Cellar"].energy and "takes no energy of a" in found["Cellar"].why
    assert found["House load"].energy


def test_two_houses_cannot_be_told_apart() -> None:
    found = propose([HOUSE, Wanted("Flat", "load")], [GRID])
    assert not found["House load"].energy and not found["Flat"].energy


@pytest.mark.parametrize(
    ("name", "role"),
    [("grid", "grid"), ("pv-2", "pv"), ("heat-pump_cellar", "heat-pump"), ("wallbox", "car"),
     ("roof-east", "pv"), ("storage", "battery"), ("eastron-sdm630", "load"), ("ev1", "car")],
)  # fmt: skip
def test_a_name_says_what_a_meter_measures(name: str, role: str) -> None:
    assert role_of(name) == role


def test_names_of_roles_are_roles_and_free() -> None:
    assert [role_of(role) for role in ROLES] == list(ROLES)
    assert free_name("pv", ["grid"]) == "pv"
    assert free_name("pv", ["pv", "pv-2"]) == "pv-3"
    assert role_of("pv-3") == "pv"


def test_the_first_meter_is_the_grids_and_one_that_gives_is_the_roofs() -> None:
    assert likely_role([], exports=True, pushes=False, produces=False) == "grid"
    assert likely_role([], exports=False, pushes=True, produces=False) == "grid"
    assert likely_role([], exports=True, pushes=False, produces=True) == "pv"
    assert likely_role(["grid"], exports=True, pushes=False, produces=False) == "pv"
    assert likely_role(["grid", "pv"], exports=True, pushes=False, produces=False) == "load"


REGISTERS = {"energy_import_wh": 5_000_000.0, "energy_export_wh": 3_000.0}


@pytest.mark.parametrize(
    ("role", "power_w", "registers", "turned"),
    [
        ("pv", 900.0, {}, True),
        ("pv", -900.0, REGISTERS, False),  # what flows now says more than what once flowed
        ("pv", 3.0, REGISTERS, True),  # at night
        ("pv", None, {"energy_import_wh": 500.0}, False),
        ("pv", None, {"energy_import_wh": 3e6, "energy_export_wh": 3e6}, False),
        ("heat-pump", -1200.0, {}, True),
        ("car", None, {"energy_export_wh": 5e6}, True),
        ("load", 100.0, {}, False),
        ("grid", -900.0, REGISTERS, False),
        ("battery", 900.0, REGISTERS, False),
    ],
)
def test_which_way_round_a_meter_is_wired(
    role: str, power_w: float | None, registers: dict[str, float], turned: bool
) -> None:
    assert is_wired_the_other_way(role, power_w, registers) is turned  # type: ignore[arg-type]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_name_is_read_as_it_was_written(name: str) -> None:
    exchange = ExchangeLines("http://127.0.0.1:1", UUID(int=1), "sdk", "x.y")
    asset = AssetLine(name, "load", "grid.import")
    site = SiteLines(
        name=name, timezone="Etc/UTC", slot="15min", exchange=exchange, assets=[asset], page_port=1
    )
    found = yaml.safe_load(site_text(site, "2026-11-29"))
    assert found["site"]["name"] == name and found["assets"][0]["name"] == name
    assert yaml.safe_load(f"x: {scalar(name)}") == {"x": name}
