"""Bounds and steps hold, whatever a model wants."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.operator.decision import Bounds, Decision, decide
from gateway.operator.fee import Fee, fee_of
from gateway.operator.model import Asked, Proposal, Unable

SLOT_S = 900


@dataclass(frozen=True, slots=True)
class Wants:
    """Proposes what it is told."""

    fee: Fee | None
    kind: str = "wants"
    needs_statistics: bool = True
    needs_load: bool = False

    def propose(self, asked: Asked) -> Proposal | Unable:
        if self.fee is None:
            return Unable("there are no statistics")
        return Proposal(fee=self.fee, why="it is told so", memory={"told": asked.slot_s})


def cents(number: float) -> Fee:
    return fee_of(number, "constant")


BOUNDS = Bounds(
    lowest=cents(1), highest=cents(9), step=cents(2), fallback=cents(5), fallback_after=3
)

FEES = st.integers(0, 20_000_000).map(lambda micros: Fee("constant", micros))


@st.composite
def bounds(draw: st.DrawFn) -> Bounds:
    lowest, fallback, highest = sorted(draw(st.tuples(FEES, FEES, FEES)))
    step = draw(st.none() | st.integers(1, 5_000_000).map(lambda micros: Fee("constant", micros)))
    after = draw(st.integers(1, 6))
    return Bounds(
        lowest=lowest, highest=highest, fallback=fallback, step=step, fallback_after=after
    )


def asked(slot: int, before: Decision | None, in_force: Fee | None) -> Asked:
    return Asked(
        market="Street",
        slot_s=slot * SLOT_S,
        slot_length_s=SLOT_S,
        in_force=in_force,
        memory=before.memory if before else {},
        slots_without=before.slots_without if before else 0,
    )


@given(bounds(), st.none() | FEES, st.lists(st.tuples(st.none() | FEES, st.booleans())))
def test_no_run_of_decisions_leaves_its_bounds_or_its_step(
    allowed: Bounds, first: Fee | None, wants: list[tuple[Fee | None, bool]]
) -> None:
    before, in_force = None, first
    for slot, (want, is_taken) in enumerate(wants):
        before = decide(Wants(want), asked(slot, before, in_force), allowed)
        fee = before.fee
        assert allowed.lowest <= fee <= allowed.highest
        if allowed.step is not None and in_force is not None:
            start = allowed.within(in_force)
            assert abs(fee.micros - start.micros) <= allowed.step.micros
        assert before.is_fallback == (want is None)
        assert before.why
        in_force = fee if is_taken else in_force


def test_a_missing_input_keeps_the_last_fee_and_then_goes_to_the_fallback() -> None:
    before, in_force, fees = None, cents(8.5), []
    for slot in range(6):
        before = decide(Wants(None), asked(slot, before, in_force), BOUNDS)
        assert before.is_fallback
        fees.append(before.fee.number)
        in_force = before.fee
    assert fees == [8.5, 8.5, 6.5, 5, 5, 5]
    assert before is not None
    assert "6 slots in a row: fallback 5 ct/kWh" in before.why


def test_statistics_that_come_again_end_the_fallback() -> None:
    first = decide(Wants(None), asked(0, None, cents(5)), BOUNDS)
    then = decide(Wants(cents(6)), asked(1, first, cents(5)), BOUNDS)
    again = decide(Wants(None), asked(2, then, cents(6)), BOUNDS)
    assert (first.slots_without, then.slots_without, again.slots_without) == (1, 0, 1)
    assert (then.is_fallback, then.fee) == (False, cents(6))


def test_where_no_fee_is_known_the_fallback_is_set() -> None:
    assert decide(Wants(None), asked(0, None, None), BOUNDS).fee == cents(5)


def test_a_fee_in_force_beyond_the_bounds_is_brought_within_them() -> None:
    assert decide(Wants(cents(2)), asked(0, None, cents(2000)), BOUNDS).fee == cents(7)


@pytest.mark.parametrize(
    ("want", "in_force", "fee", "told"),
    [
        (20, None, 9, "highest fee 9 ct/kWh"),
        (0, None, 1, "lowest fee 1 ct/kWh"),
        (8, 3, 5, "wanted 8 ct/kWh, one step leads to 5 ct/kWh"),
        (4, 3, 4, "it is told so"),
    ],
)
def test_a_decision_says_what_limited_it(
    want: float, in_force: float | None, fee: float, told: str
) -> None:
    before = None if in_force is None else cents(in_force)
    decision = decide(Wants(cents(want)), asked(0, None, before), BOUNDS)
    assert decision.fee == cents(fee)
    assert decision.wanted == cents(want)
    assert decision.why.endswith(told)


def test_bounds_that_do_not_fit_together_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="fallback 10 ct/kWh"):
        Bounds(lowest=cents(1), highest=cents(9), fallback=cents(10))
    with pytest.raises(ValueError, match="different types"):
        Bounds(lowest=cents(1), highest=cents(9), fallback=fee_of(5, "percent"))
