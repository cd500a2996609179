"""A run depends on nothing but its scenario, and a random scenario on nothing but its seed."""

from dataclasses import replace

import pytest

from drivers.strict_yaml import Seconds
from tests.simulation import years
from tests.simulation.examples import HOUR, fault_event
from tests.simulation.scenario import (
    FaultEvent,
    at_random,
)


@pytest.mark.parametrize(
    "happens",
    [
        (),
        (
            fault_event("power_cut", 1500, 30, 5),
            fault_event("power_cut", 2400, 60, 17),
            fault_event("line_noise", 600, 3000, 0.3, "pv"),
        ),
        (
            fault_event("store_noise", 2000, 0, 0.3),
            fault_event("exchange_slow", 900, 1800, 20),
            fault_event("meter_swapped", 2400),
        ),
    ],
    ids=["quiet", "power cuts", "noise on the disk"],
)
def test_the_same_scenario_gives_the_same_run(happens: tuple[FaultEvent, ...]) -> None:
    scenario = replace(HOUR, happens=happens)
    first, second = years.try_out(scenario), years.try_out(scenario)
    assert first.violations == []
    assert (first.digest, first.events, first.deliveries, first.starts) == (
        second.digest,
        second.events,
        second.deliveries,
        second.starts,
    )


def test_another_seed_gives_another_run() -> None:
    assert years.try_out(HOUR).digest != years.try_out(replace(HOUR, seed=2)).digest


def test_a_random_quarter_of_a_day_breaks_no_law() -> None:
    """Many and longer ones: `make simulate DAYS=…`."""
    assert years.try_out(at_random(11, 21_600)).violations == []


def test_a_random_scenario_depends_on_its_seed_alone() -> None:
    assert at_random(7) == at_random(7) != at_random(8)


def test_runs_on_several_processors_come_in_their_order() -> None:
    scenarios = [replace(HOUR, about=f"number {n}", lasts=Seconds(900), seed=n) for n in range(3)]
    total = years.tally(years.try_all(scenarios, jobs=2), lambda _, __: None)
    assert (total.runs, total.seconds, total.starts, total.broken) == (3, 2700.0, 3, [])
