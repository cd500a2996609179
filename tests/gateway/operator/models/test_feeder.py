"""A fee by the load of the transformer, which flutters neither in height nor in time."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.energy.assets import Formula
from gateway.operator.fee import fee_of
from gateway.operator.model import Asked, Memory, Proposal, Unable
from gateway.operator.models.feeder import Feeder, Step

SLOT_S = 900
STEPS = [Step(0, fee_of(1, "constant")), Step(60, fee_of(4, "constant"))]
STEPS.append(Step(85, fee_of(9, "constant")))


def model(hold_s: float = 1800, hysteresis_percent: float = 5) -> Feeder:
    return Feeder(
        rating_kw=100,
        load=Formula.parse("feeder.import - feeder.export"),
        steps=STEPS,
        hysteresis_percent=hysteresis_percent,
        hold_s=hold_s,
    )


def asked(slot: int, percent: float | None, memory: Memory) -> Asked:
    loads: Mapping[int, float] = {} if percent is None else {(slot - 2) * SLOT_S: percent / 4}
    return Asked(
        market="Street",
        slot_s=slot * SLOT_S,
        slot_length_s=SLOT_S,
        loads_kwh=loads,
        memory=memory,
    )


def run(feeder: Feeder, percents: list[float | None]) -> list[float | None]:
    """The fee of each slot, None where it says nothing."""
    memory: Memory = {}
    fees: list[float | None] = []
    for slot, percent in enumerate(percents, start=100):
        found = feeder.propose(asked(slot, percent, memory))
        if isinstance(found, Unable):
            fees.append(None)
            continue
        memory = found.memory
        fees.append(found.fee.number)
    return fees


def test_the_fee_rises_and_falls_with_the_load() -> None:
    assert run(model(hold_s=0), [20, 60, 90, -90, 79, 54, 10]) == [1, 4, 9, 9, 4, 1, 1]


def test_a_step_is_left_downwards_only_once_the_load_is_well_below_it() -> None:
    assert run(model(hold_s=0), [60, 59, 55, 54.9]) == [4, 4, 4, 1]
    assert run(model(hold_s=0), [85, 56, 54]) == [9, 4, 1]


def test_no_step_is_left_before_its_time() -> None:
    assert run(model(hold_s=2700), [20, 90, 90, 90, 10, 10, 10]) == [1, 1, 1, 9, 9, 9, 1]


def test_a_load_that_was_not_measured_says_nothing_and_the_step_is_kept() -> None:
    assert run(model(), [70, None, None, 57]) == [4, None, None, 4]


def test_a_load_of_long_ago_says_nothing() -> None:
    old = Asked(market="Street", slot_s=9000, slot_length_s=900, loads_kwh={6300: 5.0})
    assert isinstance(model().propose(old), Unable)
    newer = Asked(
        market="Street", slot_s=9000, slot_length_s=900, loads_kwh={7200: 5.0, 8100: 22.5}
    )
    found = model().propose(newer)
    assert isinstance(found, Proposal)
    assert found.inputs == {"load_kwh": 22.5, "load_percent": 90}


def test_it_says_why() -> None:
    found = model().propose(asked(100, 90, {"step": 0, "since_s": 99 * SLOT_S}))
    assert isinstance(found, Proposal)
    assert found.why == "load 90.0 % of 100 kW, held for 30 min: step from 0 %, 1 ct/kWh"
    found = model().propose(asked(100, 58, {"step": 1, "since_s": 0}))
    assert isinstance(found, Proposal)
    assert ", not 5 % below the step yet: step from 60 %, 4 ct/kWh" in found.why


@pytest.mark.parametrize("memory", [{"step": 7, "since_s": 0}, {"step": -1, "since_s": 10**12}])
def test_a_memory_of_other_steps_does_no_harm(memory: Memory) -> None:
    assert isinstance(model().propose(asked(100, 70, memory)), Proposal)


ROUNDING = 1e-5

LOADS = st.lists(st.none() | st.floats(-200, 200), max_size=40)


@given(LOADS, st.sampled_from([0, 900, 1800, 3600]), st.floats(0, 20))
def test_it_never_flutters(loads: list[float | None], hold_s: float, hysteresis: float) -> None:
    fees = run(model(hold_s, hysteresis), loads)
    known = [(slot, fee) for slot, fee in enumerate(fees) if fee is not None]
    changes = [slot for (_, before), (slot, fee) in pairwise(known) if fee != before]
    gaps = [later - earlier for earlier, later in pairwise(changes)]
    assert all(gap * SLOT_S >= hold_s for gap in gaps)

    above = {step.fee.number: step.above_percent for step in STEPS}
    for slot in changes:
        before = next(fee for at, fee in reversed(known) if at < slot)
        load, fee = loads[slot], fees[slot]
        assert load is not None
        assert fee is not None
        if fee > before:
            assert abs(load) >= above[fee] - ROUNDING
        else:
            assert abs(load) < above[before] - hysteresis + ROUNDING
