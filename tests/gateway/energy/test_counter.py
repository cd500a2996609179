"""The counter: monotone, inside the register's step, and moved by nothing that cannot be true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.energy.counter import Since
from gateway.energy.register import FUSE_TOLERANCE
from tests.gateway.energy.registers import (
    FUSE_W,
    TEN_S,
    WH,
    advance,
    fold,
    in_its_step,
    rules,
    start,
)

# --- the laws -------------------------------------------------------------------------------------
SAMPLES = st.lists(
    st.tuples(
        st.integers(1, 120_000),  # ms since the last sample
        st.one_of(
            st.none(), st.integers(0, 500), st.sampled_from([-(10**9), 10**9, -1, 5_000_000])
        ),  # Wh that the register moves
        st.one_of(st.none(), st.floats(-10, 40_000)),
        st.booleans(),
    ),
    max_size=40,
)


@given(SAMPLES, st.sampled_from([1, 10, 100]), st.booleans(), st.integers(0, 99_999_999))
def test_whatever_is_shown_the_counter_never_goes_back_nor_leaves_the_registers_step(
    samples: list[tuple[int, int | None, float | None, bool]],
    resolution_wh: int,
    float32: bool,
    begin_wh: int,
) -> None:
    known = rules(resolution_wh, float32=float32)
    counter = start(0, begin_wh * WH, 0.0)
    at_ms, shown_wh = 0, begin_wh
    widest_uwh = 0
    for elapsed_ms, moved_wh, power_w, held in samples:
        at_ms += elapsed_ms
        raw_wh = None if moved_wh is None else max(shown_wh + moved_wh, 0)
        if moved_wh is not None and 0 <= moved_wh <= 500:
            shown_wh += moved_wh
        before = counter
        counter, finding = advance(
            counter,
            known,
            at_ms=at_ms,
            raw_uwh=None if raw_wh is None else raw_wh * WH,
            power_w=power_w,
            held=held,
        )
        # A register that rolled over has smaller floats: the counter waits where the wider step had
        # let it come.
        widest_uwh = max(widest_uwh, known.step_uwh(counter.register_uwh - counter.offset_uwh))
        assert counter.counter_uwh >= before.counter_uwh
        assert counter.register_uwh >= before.register_uwh
        assert counter.register_uwh <= counter.counter_uwh <= counter.register_uwh + widest_uwh
        assert counter.at_ms in (before.at_ms, at_ms)
        if counter.at_ms == before.at_ms:
            assert (counter.counter_uwh, counter.register_uwh, counter.offset_uwh) == (
                before.counter_uwh,
                before.register_uwh,
                before.offset_uwh,
            )
            assert finding is None


@given(
    st.lists(st.integers(0, 15_000), min_size=1, max_size=200),
    st.sampled_from([1, 10, 100]),
    st.floats(0.9, 1.1),
)
def test_the_counter_stays_within_a_step_of_the_truth_however_wrong_the_power(
    powers_w: list[int], resolution_wh: int, wrong: float
) -> None:
    known = rules(resolution_wh)
    true_mj = 12_345_678 * 3_600_000
    counter = start(
        0, true_mj // 3_600_000 // resolution_wh * resolution_wh * WH, powers_w[0] * wrong
    )
    for n, power_w in enumerate(powers_w, 1):
        true_mj += power_w * TEN_S
        raw_uwh = true_mj // (3_600_000 * resolution_wh) * resolution_wh * WH
        counter, finding = advance(
            counter, known, at_ms=n * TEN_S, raw_uwh=raw_uwh, power_w=power_w * wrong, held=False
        )
        assert finding is None
        assert counter.register_uwh == raw_uwh
        assert abs(counter.counter_uwh * 3.6 - true_mj) <= resolution_wh * 3_600_000


# --- power and the register -----------------------------------------------------------------------


def test_the_counter_begins_at_the_lower_end_of_the_step_and_advances_by_power() -> None:
    known = rules(100)
    counter, findings = fold(
        start(0, 1000 * WH, 360.0, known), known, 1000, 1000, 1000, power_w=360.0
    )
    # Where it began is not known, and what has passed since is.
    assert counter.counter_uwh == pytest.approx(1003 * WH, abs=WH / 100)
    assert counter.beginning is not None
    assert not findings


def test_the_counter_waits_at_the_end_of_the_step_when_power_says_more_than_the_register() -> None:
    known = rules(10)
    counter, _ = fold(start(0, 1000 * WH, 3600.0, known), known, 1000, 1000, power_w=3600.0)
    assert counter.counter_uwh == 1010 * WH
    assert in_its_step(counter, known)


def test_the_counter_is_lifted_to_the_register_when_power_says_less() -> None:
    known = rules(100)
    counter, _ = fold(start(0, 1000 * WH, 0.0, known), known, 1100, power_w=0.0)
    assert counter.counter_uwh == 1100 * WH


def test_a_change_of_power_makes_the_bounds_wider_and_a_step_of_the_register_narrower() -> None:
    known = rules(10)
    counter, _ = fold(start(0, 1000 * WH, 360.0, known), known, *[1000] * 4, 1010, power_w=360.0)
    assert counter.low_uwh == 1010 * WH
    assert counter.high_uwh == pytest.approx(
        1011 * WH, abs=WH / 50
    )  # it cannot have come further since the step than power carries
    counter, _ = advance(
        counter, known, at_ms=60_000, raw_uwh=1010 * WH, power_w=1440.0, held=False
    )
    assert (counter.low_uwh, counter.high_uwh) == (
        pytest.approx(1011.75 * WH, rel=1e-4),
        pytest.approx(1014.25 * WH, rel=1e-4),
    )
    assert counter.counter_uwh == pytest.approx(1013 * WH, rel=1e-4)


def test_power_is_not_integrated_over_a_gap() -> None:
    before = start(0, 1000 * WH, 3600.0, rules(100))
    counter, _ = advance(
        before, rules(100), at_ms=40_000, raw_uwh=1000 * WH, power_w=3600.0, held=True
    )
    assert counter.counter_uwh == before.counter_uwh


@pytest.mark.parametrize(
    "power_w", [None, -1.0, FUSE_W * FUSE_TOLERANCE + 1, float("inf"), float("nan")]
)
def test_where_power_is_not_shown_or_cannot_be_true_the_last_one_holds_for_a_while(
    power_w: float | None,
) -> None:
    before = start(0, 1000 * WH, 3600.0, rules(1000))
    counter, _ = fold(before, rules(1000), None, power_w=power_w)
    assert counter.since == Since(power_uwh=10 * WH)
    counter, _ = fold(before, rules(1000), *[None] * 9, power_w=power_w)
    assert counter.since == Since(power_uwh=30 * WH, power_unknown_ms=60_000)
    assert counter.power_w is None


def test_a_sample_without_the_register_moves_nothing_but_the_integral_of_power() -> None:
    before = start(0, 1000 * WH, 3600.0)
    counter, findings = fold(before, rules(100), None, None, power_w=3600.0)
    assert counter.since == Since(power_uwh=20 * WH)
    assert (
        counter.at_ms,
        counter.counter_uwh,
        counter.register_uwh,
        counter.low_uwh,
        counter.high_uwh,
    ) == (
        before.at_ms,
        before.counter_uwh,
        before.register_uwh,
        before.low_uwh,
        before.high_uwh,
    )
    assert not findings


def test_time_of_unknown_power_is_told_from_time_that_power_covers() -> None:
    counter, _ = fold(start(0, 1000 * WH, None), rules(100), None, None, power_w=None)
    assert counter.since == Since(power_unknown_ms=20_000)
    for n in (3, 4, 5):
        counter, _ = advance(
            counter, rules(100), at_ms=n * TEN_S, raw_uwh=None, power_w=3600.0, held=False
        )
    # What passed before power was first shown stays unknown.
    assert counter.since == Since(power_unknown_ms=30_000, power_uwh=20 * WH)
