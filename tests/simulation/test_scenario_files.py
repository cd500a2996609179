"""Scenario files: read as they are written, and refused with the place of each mistake."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.strict_yaml import Seconds
from tests.simulation.examples import HOUR
from tests.simulation.faults import APPLY
from tests.simulation.scenario import (
    FAULTS,
    Must,
    ScenarioError,
    at_random,
    read,
    written,
)


@given(st.integers(0, 10**6), st.sampled_from((7200.0, 86_400.0, 3 * 86_400.0)))
def test_a_scenario_is_read_as_it_was_written(seed: int, lasts_s: float) -> None:
    scenario = at_random(seed, lasts_s)
    again = read(written(scenario), "again.yaml")
    assert replace(again, happens=()) == replace(scenario, happens=())
    for one, other in zip(again.happens, scenario.happens, strict=True):
        assert (one.fault, one.on) == (other.fault, other.on)
        assert (one.at, one.lasts, one.amount) == pytest.approx(
            (other.at, other.lasts, other.amount)
        )


def test_what_must_come_out_is_written_too() -> None:
    must = Must(
        measured=3,
        estimated=0,
        rejected=None,
        events={"meter clock": 1, "swap": 2},
        within=Seconds(120),
        late=4,
    )
    scenario = replace(HOUR, about="it's: quoted", trust="assured", must=must)
    assert read(written(scenario), "again.yaml") == scenario


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "about: x\nlasts: 1h\nhappens:\n  - {at: 1min, fault: lne_noise}\n",
            "there is no fault 'lne_noise'",
        ),
        (
            "about: x\nlasts: 1h\nhappens:\n  - {at: 50min, fault: silent_meter, lasts: 20min}\n",
            "bad.yaml:4: happens[0]: ends after",
        ),
        ("about: x\nlasts: 1h\nstarts: yesterday\n", "'yesterday' is not a time"),
        ("about: x\nlasts: 1h\nmust: {mesured: 3}\n", "must.mesured: unknown key"),
        ("about: x\n", "lasts"),
        ("about: [", "not valid YAML"),
    ],
)
def test_what_is_wrong_in_a_scenario_is_named_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(text, "bad.yaml")
    assert words in str(caught.value)
    assert "bad.yaml:" in str(caught.value)


def test_every_fault_can_be_applied() -> None:
    assert list(APPLY) == list(FAULTS)
