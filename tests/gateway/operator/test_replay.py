"""Models over past slots: what each would have set, and what that brings."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.operator.decision import Bounds
from gateway.operator.fee import Fee, fee_of
from gateway.operator.models.aziiz import Aziiz
from gateway.operator.models.fixed import Fixed
from gateway.operator.past_slots import Past, PastSlot
from gateway.operator.replay import Tally, money_cents, replayed, told_cents
from gateway.operator.statistics import Statistics
from gateway.operator.tariffs.thresholds import Threshold


def cents(number: float) -> Fee:
    return fee_of(number, "constant")


BOUNDS = Bounds(lowest=cents(0), highest=cents(9), step=cents(3), fallback=cents(2))

AZIIZ = Aziiz(
    file="aziiz.json",
    thresholds={"Grid": [Threshold(10, cents(1)), Threshold(20, cents(8))]},
    measure="peak",
    above=None,
)


def past(*imports: float | None) -> Past:
    slots = {
        n * 900: PastSlot(
            statistics=Statistics(
                import_kwh=kwh, export_kwh=0, traded_kwh=kwh, revenue_cents=kwh * 2
            )
        )
        for n, kwh in enumerate(imports)
        if kwh is not None
    }
    return Past(markets={"Grid": slots}, slot_s=900, starts=range(0, len(imports) * 900, 900))


def test_a_fee_follows_what_flowed_two_slots_before_in_steps() -> None:
    run = list(replayed(past(5, 15, 15, 15, 15, 5, 5), "Grid", AZIIZ, BOUNDS))
    assert [each.decision.fee.number for each in run] == [2, 2, 1, 4, 7, 8, 8]
    assert [each.decision.is_fallback for each in run] == [True, True, *[False] * 5]


def test_slots_of_which_nothing_is_known_keep_the_fee_and_then_fall_back() -> None:
    run = list(replayed(past(5, 15, *[None] * 8, 5), "Grid", AZIIZ, BOUNDS))
    assert [each.decision.fee.number for each in run][2:] == [1, 4, 4, 4, 4, 2, 2, 2, 2]
    assert run[5].cents is None


def test_the_total_is_of_what_is_known() -> None:
    history = past(5, 15, None, 15)
    tally = Tally("aziiz", "Grid")
    for each in replayed(history, "Grid", AZIIZ, BOUNDS):
        tally.add(each)
    found = tally.total()
    assert (found.slots, found.fallbacks, found.charged_kwh) == (4, 2, 35)
    assert found.cents == 2 * 5 + 2 * 15 + 4 * 15
    assert told_cents(history, "Grid") == 70


def test_a_percentage_is_of_the_price() -> None:
    slot = PastSlot(statistics=Statistics(traded_kwh=10, average_rate=30))
    assert money_cents(fee_of(5, "percent"), slot) == pytest.approx(15)
    assert money_cents(cents(5), slot) == 50
    assert money_cents(fee_of(5, "percent"), PastSlot(statistics=Statistics(traded_kwh=10))) is None


@given(st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=40), st.floats(0, 9))
def test_no_replay_leaves_the_bounds_or_the_step(imports: list[float | None], fee: float) -> None:
    history = past(*imports)
    for model in (AZIIZ, Fixed(cents(fee))):
        fees = [each.decision.fee for each in replayed(history, "Grid", model, BOUNDS)]
        assert len(fees) == len(imports)
        assert all(BOUNDS.lowest <= each <= BOUNDS.highest for each in fees)
        assert all(abs(a.micros - b.micros) <= 3_000_000 for a, b in pairwise(fees))
