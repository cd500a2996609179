"""The counter: monotone, inside the register's step, and moved by nothing that cannot be true."""

import struct
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.energy.counter import UWH_PER_WH, Counter, Finding, Since, integrate, read
from gateway.energy.counter import start as begin
from gateway.energy.register import FUSE_TOLERANCE, Rules

FUSE_W = 17_250.0
TEN_S = 10_000
WH = UWH_PER_WH


def rules(
    resolution_wh: float = 1, *, modulus_wh: float | None = 100_000_000, float32: bool = False
) -> Rules:
    return Rules(
        round(resolution_wh * WH),
        None if modulus_wh is None else round(modulus_wh * WH),
        float32,
        FUSE_W,
    )


def start(at_ms: int, raw_uwh: int, power_w: float | None, known: Rules | None = None) -> Counter:
    return begin(at_ms, raw_uwh, power_w, known or rules())


def advance(
    counter: Counter,
    known: Rules,
    *,
    at_ms: int,
    raw_uwh: int | None,
    power_w: float | None,
    held: bool,
) -> tuple[Counter, Finding | None]:
    return read(
        integrate(counter, known, at_ms=at_ms, power_w=power_w, stale_ms=0 if held else 30_000),
        known,
        raw_uwh,
        stale_ms=30_000,
    )


def fold(
    counter: Counter,
    known: Rules,
    *raws_wh: float | None,
    power_w: float | None = 0.0,
    every_ms: int = TEN_S,
) -> tuple[Counter, list[Finding]]:
    """The counter after readings at equal distances, with what was found."""
    findings = []
    first_ms = counter.at_ms
    for n, raw_wh in enumerate(raws_wh, 1):
        raw_uwh = None if raw_wh is None else round(raw_wh * WH)
        seen = integrate(
            counter, known, at_ms=first_ms + n * every_ms, power_w=power_w, stale_ms=3 * every_ms
        )
        counter, finding = read(seen, known, raw_uwh, stale_ms=3 * every_ms)
        if finding:
            findings.append(finding)
    return counter, findings


def in_its_step(counter: Counter, known: Rules) -> bool:
    step_uwh = known.step_uwh(counter.register_uwh - counter.offset_uwh)
    return counter.register_uwh <= counter.counter_uwh <= counter.register_uwh + step_uwh


# --- the step -------------------------------------------------------------------------------------


@given(st.floats(0.015625, 100_000, width=32), st.sampled_from([1, 10, 100]))
def test_the_step_of_a_float32_register_is_its_resolution_or_the_distance_to_the_next_float(
    kwh: float, resolution_wh: int
) -> None:
    following = struct.unpack(
        "<f", struct.pack("<I", struct.unpack("<I", struct.pack("<f", kwh))[0] + 1)
    )[0]
    step_uwh = rules(resolution_wh, float32=True).step_uwh(round(kwh * 1000 * WH))
    assert step_uwh == max(resolution_wh * WH, round((following - kwh) * 1000 * WH))


def test_a_float32_register_above_65_mwh_moves_in_steps_of_8_wh() -> None:
    assert rules(1, float32=True).step_uwh(70_000_000 * WH) == round(7.8125 * WH)
    assert rules(1).step_uwh(70_000_000 * WH) == WH


def as_float32_wh(wh: int) -> float:
    """A register in kWh, as it arrives in a 32-bit float."""
    return float(struct.unpack("<f", struct.pack("<f", wh / 1000))[0]) * 1000


@given(st.integers(0, 16_384_000), st.sampled_from([1, 10, 100]))
def test_a_register_that_a_float32_rounded_is_exact_while_floats_are_closer_than_its_steps(
    wh: int, step_wh: int
) -> None:
    wh = wh // step_wh * step_wh
    assert rules(step_wh, float32=True).exact_uwh(round(as_float32_wh(wh) * WH)) == wh * WH


@given(st.integers(0, 99_999_000), st.integers(0, 30), st.sampled_from([1, 10, 100]))
@example(85_765_145, 0, 10)
def test_a_register_never_goes_back_for_being_read_exactly(
    wh: int, more_wh: int, step_wh: int
) -> None:
    known = rules(step_wh, float32=True)
    before_uwh, after_uwh = (
        known.exact_uwh(round(as_float32_wh(each) * WH)) for each in (wh, wh + more_wh)
    )
    assert before_uwh <= after_uwh
    assert abs(before_uwh - wh * WH) <= 8 * WH, "two neighbouring floats"


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


def test_the_counter_begins_in_the_middle_of_the_step_and_advances_by_power() -> None:
    known = rules(100)
    counter, findings = fold(
        start(0, 1000 * WH, 360.0, known), known, 1000, 1000, 1000, power_w=360.0
    )
    # The truth is between 1003 and the end of the step.
    assert counter.counter_uwh == pytest.approx(1051.5 * WH, abs=WH / 100)
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


@pytest.mark.parametrize("resolution_wh", [1, 10, 100])
@pytest.mark.parametrize("off", [0.97, 0.99, 1.01, 1.02, 1.2])
def test_power_that_is_off_is_calibrated_against_the_register_within_bounds(
    resolution_wh: int, off: float
) -> None:
    known = rules(resolution_wh)
    counter = start(0, 0, 3600.0 * off, known)
    for n in range(1, 30 * resolution_wh):
        raw_uwh = n * 10 // resolution_wh * resolution_wh * WH
        counter, _ = advance(
            counter, known, at_ms=n * TEN_S, raw_uwh=raw_uwh, power_w=3600.0 * off, held=False
        )
        assert 950_000 <= counter.gain.ppm <= 1_050_000
    assert counter.gain.ppm == pytest.approx(min(max(1e6 / off, 950_000), 1_050_000), abs=5_000)


# --- readings that are not believed ---------------------------------------------------------------


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
    if 0 <= bogus_wh - begin_wh <= FUSE_W * FUSE_TOLERANCE / 360 + 2:
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


def test_dark_time_is_told_from_time_that_power_covers() -> None:
    counter, _ = fold(start(0, 1000 * WH, None), rules(100), None, None, power_w=None)
    assert counter.since == Since(power_unknown_ms=20_000)
    for n in (3, 4, 5):
        counter, _ = advance(
            counter, rules(100), at_ms=n * TEN_S, raw_uwh=None, power_w=3600.0, held=False
        )
    # What passed before power was first shown stays dark.
    assert counter.since == Since(power_unknown_ms=30_000, power_uwh=20 * WH)


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


@given(st.integers(1_000_000, 50_000_000), st.integers(0, 900_000), st.integers(0, 6))
def test_a_reset_books_nothing_across_and_counts_on_from_there(
    shown_wh: int, again_wh: int, later_wh: int
) -> None:
    before = start(0, shown_wh * WH, None)
    counter, findings = fold(before, rules(1), again_wh, again_wh, again_wh, power_w=None)
    assert [(f.kind, f.unallocated_uwh) for f in findings] == [("reset", 0)]
    assert counter.counter_uwh == before.counter_uwh
    counter, findings = fold(counter, rules(1), again_wh + later_wh, power_w=None)
    assert counter.counter_uwh - before.counter_uwh == later_wh * WH
    assert not findings


def test_what_a_jump_skipped_is_stated_as_unallocated() -> None:
    before = start(0, 1000 * WH, 0.0)
    counter, findings = fold(before, rules(1), 500_000, 500_001, 500_002)
    assert [(f.kind, f.unallocated_uwh) for f in findings] == [("jump", 499_000 * WH)]
    # The counter goes along: what it moved by is what slots may have and what they may not.
    assert counter.counter_uwh == before.counter_uwh + 2 * WH + findings[0].unallocated_uwh


@pytest.mark.parametrize("again_wh", [0, 900_000])
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


def test_a_register_that_pauses_does_not_vouch_until_it_moves() -> None:
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
    vouched = [0]
    for n in range(1, 6 * 360):
        counter, finding = advance(
            counter, known, at_ms=n * TEN_S, raw_uwh=1000 * WH, power_w=500.0, held=False
        )
        assert finding is None
        if counter.at_ms == n * TEN_S:
            vouched.append(n)
        assert in_its_step(counter, known)
    waits = [b - a for a, b in pairwise(vouched)]
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


def test_three_zeros_at_the_end_of_the_modulus_are_a_rollover_and_elsewhere_a_reset() -> None:
    for shown_wh, kind in ((99_999_990, "rollover"), (60_000_000, "reset")):
        _, findings = fold(start(0, shown_wh * WH, 0.0), rules(1), 0, 0, 0)
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
