"""A scenario that breaks a law is shrunk to what breaks it."""

from dataclasses import replace

import pytest

from drivers.strict_yaml import Seconds
from tests.simulation import faults, world, years
from tests.simulation.examples import HOUR, fault_event
from tests.simulation.scenario import (
    FaultEvent,
    Must,
    Scenario,
    at_random,
)
from tests.simulation.shrink import shrunk
from tests.simulation.world import World


def test_the_smallest_scenario_is_that_which_it_takes() -> None:
    scenario = at_random(5)
    guilty = fault_event("meter_swapped", 40_000, 4000)
    scenario = replace(scenario, happens=(*scenario.happens, guilty, fault_event("kill", 50_000)))

    def fails(tried: Scenario) -> bool:
        return any(each.fault == "meter_swapped" and each.lasts >= 600 for each in tried.happens)

    smallest = shrunk(scenario, fails)
    assert len(smallest.happens) == 1
    assert smallest.happens[0].fault == "meter_swapped"
    assert 600 <= smallest.happens[0].lasts < 1200
    assert smallest.lasts < scenario.lasts


def test_no_more_is_tried_than_allowed() -> None:
    tried: list[Scenario] = []

    def fails(scenario: Scenario) -> bool:
        tried.append(scenario)
        return False

    shrunk(at_random(5), fails, max_tries=3)
    assert len(tried) == 3


def test_what_only_does_not_come_out_as_asked_for_is_the_smallest() -> None:
    scenario = replace(
        HOUR, lasts=Seconds(900), happens=(fault_event("kill", 300),), must=Must(measured=1000)
    )
    assert years.smallest(scenario) == scenario


def test_a_broken_law_is_shrunk_to_what_breaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "APPLY", {**faults.APPLY, "restart": _break_the_exchange})
    scenario = replace(
        HOUR,
        happens=(
            fault_event("restart", 2400),
            fault_event("kill", 2000),
            fault_event("exchange_slow", 600, 1200, 3),
        ),
    )
    assert [each.fault for each in years.smallest(scenario).happens] == ["restart"]


def _break_the_exchange(world: World, _: FaultEvent) -> None:
    """A seeded bug: what the exchange holds is not what it was sent."""
    for held in world.exchange.books.measurements.values():
        held.update({slot_s: uwh + 5_000_000_000 for slot_s, uwh in held.items()})
