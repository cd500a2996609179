"""Readings that are not believed at once: glitches, rollovers, resets, jumps and pauses."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(
    st.integers(10_000, 90_000_000),
    st.one_of(
        st.just(0),
        st.integers(0, 31).map(lambda bit: 1 << bit),
        st.sampled_from([2**31 - 1, 2**32 - 1, 99_999_999]),
    ),
    st.integers(0, 2),
)
def test_one_bogus_reading_moves_nothing(begin_wh: int, flip: int, later_wh: int) -> None:
    bogus_wh = 0 if flip == 0 else begin_wh ^ flip
    # Without confirmation nobody can tell a flip that the fuse could carry from the truth.
    if -2 <= bogus_wh - begin_wh <= FUSE_W * FUSE_TOLERANCE / 360 + 2:
        return
    known = rules(1, modulus_wh=2**33)
    before = start(0, begin_wh * WH, 0.0)
    during, findings = fold(before, known, bogus_wh)
    assert not findings
    assert (during.counter_uwh, during.register_uwh, during.at_ms) == (
        before.counter_uwh,
        before.register_uwh,
        before.at_ms,
    )
    after, findings = fold(before, known, bogus_wh, begin_wh + later_wh)
    assert [f.kind for f in findings] == ["glitch"]
    assert after.register_uwh == (begin_wh + later_wh) * WH
    assert in_its_step(after, known)
    assert after.offset_uwh == 0


@given(
    st.lists(st.integers(0, 2**32), min_size=1, max_size=30, unique=True).filter(
        lambda raws: all(abs(b - a) > 10**6 for a, b in pairwise(raws))
    )
)
def test_noise_that_does_not_agree_with_itself_is_never_believed(raws_wh: list[int]) -> None:
    before = start(0, 50 * WH, 0.0)
    noise = [raw_wh for raw_wh in raws_wh if raw_wh > 10**6]
    counter, findings = fold(before, rules(1, modulus_wh=None), *noise)
    assert counter.counter_uwh == before.counter_uwh
    assert not findings


def test_the_energy_of_the_time_in_between_arrives_with_the_reading_that_is_believed() -> None:
    known = rules(1)
    counter, findings = fold(start(0, 1000 * WH, 3600.0), known, 0, 0, 1030, power_w=3600.0)
    assert counter.counter_uwh == 1030 * WH + WH // 2
    assert counter.at_ms == 3 * TEN_S
    assert [f.kind for f in findings] == ["glitch"]


@given(st.integers(0, 40), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_a_rollover_books_what_was_counted(before_wh: int, a_wh: int, b_wh: int, c_wh: int) -> None:
    known = rules(1)
    modulus_wh = 100_000_000
    shown_wh = modulus_wh - 1 - before_wh
    raws = [a_wh, a_wh + b_wh, a_wh + b_wh + c_wh]
    counter, findings = fold(start(0, shown_wh * WH, None), known, *raws, power_w=None)
    assert [f.kind for f in findings] == ["rollover"]
    assert counter.register_uwh == (modulus_wh + raws[-1]) * WH
    assert counter.counter_uwh == counter.register_uwh + WH // 2
    counter, findings = fold(counter, known, raws[-1] + 7, power_w=None)
    assert counter.counter_uwh == (modulus_wh + raws[-1] + 7) * WH + WH // 2
    assert not findings


@given(st.integers(1_000_000, 50_000_000), st.integers(1, 900_000), st.integers(0, 6))
def test_a_reset_books_nothing_across_and_counts_on_from_there(
    shown_wh: int, again_wh: int, later_wh: int
) -> None:
    before = start(0, shown_wh * WH, None)
    counter, findings = fold(before, rules(1), again_wh, again_wh, again_wh, power_w=None)
    assert [(f.kind, f.unallocated_uwh) for f in findings] == [("reset", 0)]
    assert counter.counter_uwh == before.counter_uwh
    counter, findings = fold(counter, rules(1), again_wh + later_wh, power_w=None)
    # Where in its step the register began anew, that step says, and no slot has it.
    middle_uwh = WH // 2 if later_wh else 0
    assert counter.counter_uwh - before.counter_uwh == later_wh * WH + middle_uwh
    assert (counter.beginning is None) == (later_wh > 0)
    assert not findings


def test_what_a_jump_skipped_is_stated_as_unallocated() -> None:
    before = start(0, 1000 * WH, 0.0)
    counter, findings = fold(before, rules(1), 500_000, 500_001, 500_002)
    assert [(f.kind, f.unallocated_uwh) for f in findings] == [("jump", 499_000 * WH)]
    # The counter goes along: what it moved by is what slots may have and what they may not.
    moved_uwh = counter.counter_uwh - before.counter_uwh - findings[0].unallocated_uwh
    assert moved_uwh == 2 * WH + WH // 2


@pytest.mark.parametrize("again_wh", [100, 900_000])
def test_what_was_counted_inside_the_step_is_neither_lost_nor_booked_twice_at_a_reset_or_jump(
    again_wh: int,
) -> None:
    known = rules(100)
    before, _ = fold(start(0, 49_900 * WH, 1800.0, known), known, *[50_000] * 7, power_w=1800.0)
    assert 50_030 * WH <= before.counter_uwh <= 50_040 * WH
    counter, findings = fold(before, known, again_wh, again_wh, again_wh, power_w=0.0)
    unallocated_uwh = findings[0].unallocated_uwh
    assert (
        0 <= counter.counter_uwh - unallocated_uwh - before.counter_uwh <= 30 * WH
    )  # power fell to 0 somewhere in between
    assert again_wh * WH - counter.register_uwh + counter.offset_uwh == 0
    assert in_its_step(counter, known)
    # Shown at the end − shown at the beginning = booked + unallocated, but for a step, for a jump.
    counter, _ = fold(counter, known, again_wh + 100)
    if findings[0].kind == "jump":
        assert (
            abs((again_wh + 100 - 50_000) * WH - (counter.counter_uwh - before.counter_uwh))
            <= 100 * WH
        )


def test_a_glitch_that_the_fuse_could_carry_is_not_believed_when_power_knows_better() -> None:
    known = rules(1)
    counter, findings = fold(
        start(0, 1000 * WH, 360.0), known, 1001, 1002, 1050, 1004, 1005, power_w=360.0
    )
    assert [f.kind for f in findings] == ["glitch"]
    assert counter.register_uwh == 1005 * WH
    assert in_its_step(counter, known)


@pytest.mark.parametrize("minutes", [1, 2, 5])
def test_nor_where_the_meter_is_read_rarely(minutes: int) -> None:
    known = rules(1)
    usual_wh = 6 * minutes
    shown_wh = [1000 + n * usual_wh for n in range(1, 5)]
    shown_wh[1] += 256
    counter, findings = fold(
        start(0, 1000 * WH, 360.0), known, *shown_wh, power_w=360.0, every_ms=minutes * 60_000
    )
    assert [f.kind for f in findings] == ["glitch"]
    assert counter.register_uwh == shown_wh[-1] * WH


def test_a_glitch_that_the_fuse_could_carry_is_not_believed_at_once_by_a_register_alone() -> None:
    counter, findings = fold(
        start(0, 1000 * WH, None), rules(1), 1005, 1010, 1065, 1020, power_w=None
    )
    assert [f.kind for f in findings] == ["glitch"]
    assert counter.register_uwh == 1020 * WH


def test_what_power_has_not_seen_is_booked_once_readings_agree() -> None:
    """A car begins to charge between two readings, and power is read from another place."""
    counter, findings = fold(
        start(0, 1000 * WH, 360.0), rules(1), 1001, 1045, 1090, 1135, 1180, power_w=360.0
    )
    assert not findings
    assert counter.register_uwh == 1180 * WH


def test_a_load_that_is_switched_on_is_believed_at_once() -> None:
    counter = start(0, 1000 * WH, 200.0)
    for n, (raw_wh, power_w) in enumerate(
        [(1000, 11_200.0), (1031, 11_200.0), (1062, 200.0), (1063, 200.0)], 1
    ):
        counter, finding = advance(
            counter, rules(1), at_ms=n * TEN_S, raw_uwh=raw_wh * WH, power_w=power_w, held=False
        )
        assert finding is None
        assert counter.at_ms == n * TEN_S


def test_a_register_that_pauses_does_not_confirm_until_it_moves() -> None:
    known = rules(1)
    counter, _ = fold(start(0, 1000 * WH, 3600.0), known, 1010, 1020, power_w=3600.0)
    paused, findings = fold(counter, known, *[1020] * 30, power_w=3600.0)
    assert not findings
    assert paused.at_ms == 2 * TEN_S
    assert paused.since.power_uwh == 300 * WH
    after, finding = advance(
        paused, known, at_ms=33 * TEN_S, raw_uwh=1330 * WH, power_w=3600.0, held=False
    )
    assert finding is None
    assert after.register_uwh == 1330 * WH
    assert after.at_ms == 33 * TEN_S


def test_a_register_that_stands_still_for_hours_is_believed_and_power_is_not() -> None:
    known = rules(1)
    counter = start(0, 1000 * WH, 500.0)
    confirmed = [0]
    for n in range(1, 6 * 360):
        counter, finding = advance(
            counter, known, at_ms=n * TEN_S, raw_uwh=1000 * WH, power_w=500.0, held=False
        )
        assert finding is None
        if counter.at_ms == n * TEN_S:
            confirmed.append(n)
        assert in_its_step(counter, known)
    waits = [b - a for a, b in pairwise(confirmed)]
    assert max(waits) == 721
    assert sum(wait > 3 for wait in waits) == 1


def test_a_coarse_register_at_a_small_load_is_no_pause() -> None:
    known = rules(100)
    counter = start(0, 0, 98.0, known)
    for n in range(1, 3000):
        raw_uwh = n * 100 * 10 // 3600 // 100 * 100 * WH
        counter, _ = advance(
            counter, known, at_ms=n * TEN_S, raw_uwh=raw_uwh, power_w=98.0, held=False
        )
        assert counter.at_ms == n * TEN_S


def test_three_zeros_at_the_end_of_the_modulus_are_a_rollover_and_elsewhere_no_total() -> None:
    for shown_wh, kinds in ((99_999_990, ["rollover"]), (60_000_000, [])):
        _, findings = fold(start(0, shown_wh * WH, 0.0), rules(1), 0, 0, 0)
        assert [f.kind for f in findings] == kinds


def test_a_total_that_falls_to_zero_is_missing_until_it_counts_from_there() -> None:
    before = start(0, 60_000 * WH, 0.0)
    zeros, findings = fold(before, rules(1), *[0] * 200)
    assert (zeros.register_uwh, zeros.at_ms, findings) == (60_000 * WH, 0, [])

    back, findings = fold(zeros, rules(1), 60_010, every_ms=30 * TEN_S)
    assert [f.kind for f in findings] == ["glitch"]
    assert back.register_uwh == 60_010 * WH

    anew, findings = fold(before, rules(1), *[0] * 20, 1, 2)
    assert [f.kind for f in findings] == ["reset"]
    assert anew.counter_uwh - before.counter_uwh <= 2 * WH


def test_a_total_that_was_always_zero_is_zero() -> None:
    counter, findings = fold(start(0, 0, 0.0), rules(1), 0, 0, 0, 0)
    assert (counter.at_ms, counter.register_uwh, findings) == (4 * TEN_S, 0, [])


@pytest.mark.parametrize("resolution_wh", [0.1, 1, 10, 100])
@pytest.mark.parametrize("below", [1, 16, 255])
def test_less_than_zero_without_a_sign_is_never_a_jump(resolution_wh: float, below: int) -> None:
    known = rules(resolution_wh, modulus_wh=None)
    before = start(0, 60_000 * WH, 0.0, known)
    for top in (2**31, 2**32):
        counter, findings = fold(before, known, *[(top - below) * resolution_wh] * 100)
        assert (counter.counter_uwh, findings) == (before.counter_uwh, [])


def test_a_register_that_goes_back_by_a_step_or_two_waits_and_is_told_of_once_an_hour() -> None:
    shown = [1000, 1001, 1000, 1002, 1000, 1001, 1002, 1001, 1002, 1000] * 72
    counter, findings = fold(start(0, 1000 * WH, 0.0), rules(1), *shown)
    assert counter.register_uwh == 1002 * WH
    assert [f.kind for f in findings] == ["glitch", "glitch"]


@pytest.mark.parametrize(
    ("power_w", "kind"),
    [(0.0, "reset"), (600.0, "reset"), (12_000.0, "rollover"), (None, "rollover")],
)
def test_near_the_modulus_power_tells_a_reset_from_a_rollover(
    power_w: float | None, kind: str
) -> None:
    near = start(0, (10**8 - 100) * WH, power_w)
    _, findings = fold(near, rules(1), 1, 1, 1, power_w=power_w)
    assert [f.kind for f in findings] == [kind]


def test_the_longer_the_silence_the_more_is_believed() -> None:
    known = rules(1)
    hour, _ = advance(
        start(0, 1000 * WH, 0.0), known, at_ms=3_600_000, raw_uwh=1900 * WH, power_w=0.0, held=True
    )
    assert hour.register_uwh == 1900 * WH
    moment, _ = advance(
        start(0, 1000 * WH, 0.0), known, at_ms=TEN_S, raw_uwh=1900 * WH, power_w=0.0, held=True
    )
    assert moment.register_uwh == 1000 * WH


def test_what_says_much_after_a_silence_is_believed_when_the_next_reading_agrees() -> None:
    known = rules(1)
    begun, _ = fold(start(0, 1000 * WH, 360.0), known, 1001, 1002, 1003, power_w=360.0)
    wrong, _ = advance(
        begun, known, at_ms=1_800_000, raw_uwh=(1180 + 4096) * WH, power_w=360.0, held=False
    )
    assert wrong.register_uwh == 1003 * WH
    right, finding = advance(
        wrong, known, at_ms=1_810_000, raw_uwh=1181 * WH, power_w=360.0, held=False
    )
    assert finding is not None
    assert (right.register_uwh, finding.kind) == (1181 * WH, "glitch")
    true, finding = advance(
        wrong, known, at_ms=1_810_000, raw_uwh=(1181 + 4096) * WH, power_w=360.0, held=False
    )
    assert (true.register_uwh, finding) == ((1181 + 4096) * WH, None)
