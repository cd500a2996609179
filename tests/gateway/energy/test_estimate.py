"""The estimator keeps what it promises, whatever is read."""

from collections.abc import Iterator
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.energy.boundary import Known, at_boundary
from gateway.energy.estimate import LAZY, Estimate, Seen, advanced, begun, forgotten

MOST_JSON = 2000
"""Bytes of one direction in a stored state: there are two in a meter, and 4 kB for both."""

SLOT_S = 900.0

Sample = tuple[float, float | None, float | None]
"""Seconds since the sample before, power, and the energy that has passed since then."""

samples = st.tuples(
    st.sampled_from([1.0, 10.0, 10.0, 10.0, 61.5]),
    st.none() | st.sampled_from([0.0, 5.0, 150.0, 2200.0]) | st.floats(0, 12_000),
    st.none() | st.sampled_from([0.0, 0.014, 0.4, 6.1]) | st.floats(0, 40),
)


def followed(
    passing: list[Sample], step_wh: float, begin: Estimate | None = None
) -> Iterator[tuple[Estimate, float, tuple[float, ...]]]:
    """The estimate after each sample, the true register's energy, and the boundaries kept."""
    at_s, energy_wh = (begin.at_s if begin else 0.0), step_wh / 3
    estimate = begin or begun(at_s, register(energy_wh, step_wh), 100.0)
    kept: tuple[float, ...] = ()
    for elapsed_s, power_w, passed_wh in passing:
        end_s = (at_s // SLOT_S + 1) * SLOT_S
        at_s += elapsed_s
        energy_wh += passed_wh or 0.0
        seen = None if passed_wh is None else register(energy_wh, step_wh)
        new = (end_s,) if end_s <= at_s else ()
        estimate = advanced(estimate, at_s, power_w, seen, new)
        kept += new
        yield estimate, energy_wh, kept
        if len(kept) > 2:
            kept = kept[1:]
            estimate = forgotten(estimate, kept[0])


def register(energy_wh: float, step_wh: float) -> Seen:
    low_wh = energy_wh // step_wh * step_wh
    return Seen(low_wh, low_wh + step_wh)


many = st.lists(samples, min_size=30, max_size=150)
steps = st.sampled_from([1.0, 10.0, 100.0])


@given(many, steps)
def test_the_estimate_is_inside_of_the_register_s_step_whenever_that_is_looked_at(
    passing: list[Sample], step_wh: float
) -> None:
    for (estimate, _, _), (_, _, shown) in zip(followed(passing, step_wh), passing, strict=True):
        is_looked_at = shown is not None and estimate.faults.delay.now_s == 0
        if is_looked_at and estimate.laziness <= LAZY:
            low_wh, high_wh = estimate.register
            assert low_wh <= estimate.track.wh <= high_wh
        assert estimate.track.variance > 0


@given(many, steps)
def test_a_boundary_lies_between_the_registers_beside_it(
    passing: list[Sample], step_wh: float
) -> None:
    for estimate, _, kept in followed(passing, step_wh):
        found = [at_boundary(estimate, end_s) for end_s in kept]
        for end_s, refined in zip(kept, found, strict=True):
            past = next((each for each in estimate.past if each.end_s == end_s), None)
            if past is None or refined is None:
                continue
            high_wh = estimate.register[1] if past.high_wh is None else past.high_wh
            assert past.low_wh <= refined.wh <= high_wh
            assert refined.variance >= 0


@given(many, steps, st.integers(0, 149))
def test_a_restart_changes_nothing(passing: list[Sample], step_wh: float, at: int) -> None:
    def said(stop: int) -> list[tuple[Estimate, list[Known | None]]]:
        all_of_it = []
        estimate: Estimate | None = None
        at_s, energy_wh = 0.0, step_wh / 3
        for n, (elapsed_s, power_w, passed_wh) in enumerate(passing):
            if estimate is None:
                estimate = begun(at_s, register(energy_wh, step_wh), 100.0)
            if n == stop:
                stored = msgspec.json.encode(estimate)
                estimate = msgspec.json.decode(stored, type=Estimate)
                assert len(stored) <= MOST_JSON
            before_s, at_s = at_s, at_s + elapsed_s
            energy_wh += passed_wh or 0.0
            seen = None if passed_wh is None else register(energy_wh, step_wh)
            end_s = (before_s // SLOT_S + 1) * SLOT_S
            ends_s = (end_s,) if end_s <= at_s else ()
            estimate = advanced(estimate, at_s, power_w, seen, ends_s)
            for past in estimate.past[-1:]:
                estimate = forgotten(estimate, past.end_s)
            all_of_it.append((estimate, [at_boundary(estimate, e.end_s) for e in estimate.past]))
        return all_of_it

    assert said(at % len(passing)) == said(len(passing))


def a_day(power_w: list[float], step_wh: float) -> list[float]:
    """The refined energies of slots, when power is right and read every 10 s. Power changes at the
    samples themselves.
    """
    energy_wh, at_s = 0.0, 0.0
    estimate = begun(0.0, register(0.0, step_wh), power_w[0])
    found = []
    for watts in power_w:
        at_s += 10
        energy_wh += watts / 360
        ends_s = (at_s,) if at_s % SLOT_S == 0 else ()
        estimate = advanced(estimate, at_s, watts, register(energy_wh, step_wh), ends_s)
        for past in estimate.past:
            if at_s >= past.end_s + 300 and (refined := at_boundary(estimate, past.end_s)):
                found.append(refined.wh)
                estimate = forgotten(estimate, past.end_s + 1)
    return [after - before for before, after in pairwise(found)]


def test_steady_power_is_divided_evenly_whatever_the_register_counts_in() -> None:
    for step_wh in (1.0, 10.0, 100.0):
        slots = a_day([360.0] * 8640, step_wh)
        assert all(abs(wh - 90) < 0.02 * step_wh for wh in slots[24:])


def test_a_standby_that_power_does_not_show_is_learnt() -> None:
    at_s, energy_wh = 0.0, 0.0
    estimate = begun(0.0, register(0.0, 10), 0.0)
    for n in range(5 * 8640):
        at_s += 10
        watts = 600.0 if n % 2160 < 30 else 5.0
        energy_wh += watts / 360
        shown_w = 0.0 if watts == 5 else watts
        estimate = advanced(estimate, at_s, shown_w, register(energy_wh, 10))
    assert abs(estimate.faults.correction.values[2] - 5) < 0.3


def test_power_that_is_late_is_found_to_be() -> None:
    at_s, energy_wh = 0.0, 0.0
    estimate = begun(0.0, register(0.0, 1), 200.0)
    loads = [200.0 if n // 45 % 2 else 2300.0 for n in range(3 * 3600)]
    for n, watts in enumerate(loads):
        at_s += 1
        energy_wh += watts / 3600
        late_w = loads[max(n - 3, 0)]
        estimate = advanced(estimate, at_s, late_w, register(energy_wh, 1))
    assert abs(estimate.faults.delay.now_s - 3) < 0.7


def test_power_that_changes_at_the_samples_own_time_is_not_late() -> None:
    """A line between two samples is wrong by half of each change then, always the same way."""
    at_s, energy_wh, before_w = 0.0, 0.0, 200.0
    estimate = begun(0.0, register(0.0, 1), before_w)
    for n in range(2 * 8640):
        at_s += 10
        energy_wh += before_w / 360
        before_w = (200.0, 3000.0, 1100.0, 2200.0)[n // 30 % 4]
        estimate = advanced(estimate, at_s, before_w, register(energy_wh, 1))
        assert estimate.faults.delay.now_s == 0


def test_a_boundary_just_before_a_reading_is_where_that_reading_is() -> None:
    """However much passed since the one before: 25 Wh in a minute."""
    estimate = begun(0.0, register(0.0, 1), 0.0)
    for n in range(1, 61):
        power_w = 2800.0 if n % 2 else 200.0
        estimate = advanced(estimate, n * 60.0, power_w, register(n * 25.0, 1))
    estimate = advanced(estimate, 61 * 60.0 + 0.1, 200.0, register(61 * 25.0, 1), (61 * 60.0,))
    refined = at_boundary(estimate, 61 * 60.0)
    assert refined is not None
    assert 61 * 25 - 0.5 <= refined.wh <= 61 * 25 + 1
    assert refined.uncertainty_wh < 1


def test_the_first_step_says_where_the_energy_is() -> None:
    """Nobody knows where in its step a register begins, until it steps."""
    estimate = begun(0.0, register(470.0, 1000), 600.0)
    for n in range(1, 319):
        estimate = advanced(estimate, n * 10.0, 600.0, register(470 + n / 0.6, 1000))
    assert estimate.register == (1000, 2000)
    assert abs(estimate.track.wh - 1000) <= 10
    assert estimate.track.variance < 40


@pytest.mark.parametrize(
    ("flowing_w", "after_s", "by_power_wh", "lies_wh"),
    [(120.0, 900, 560.0, 530.0), (480.0, 560, 537.3, 574.7)],
)
def test_what_power_is_off_by_since_the_step_before_is_not_all_of_what_passed_last(
    flowing_w: float, after_s: int, by_power_wh: float, lies_wh: float
) -> None:
    """From one step of 100 Wh to the next twice as much is shown as flows, or half of it. A
    boundary between them moves by its part of that, and not only the energy now does.
    """
    at_s, energy_wh = 0.0, 0.0
    estimate = begun(0.0, register(0.0, 100), 240.0)
    while energy_wh < 500:
        at_s, energy_wh = at_s + 10, energy_wh + 240 / 360
        estimate = advanced(estimate, at_s, 240.0, register(energy_wh, 100))
    end_s = at_s + after_s
    while energy_wh < 600:
        at_s, energy_wh = at_s + 10, energy_wh + flowing_w / 360
        ends_s = (at_s,) if at_s == end_s else ()
        estimate = advanced(estimate, at_s, 240.0, register(energy_wh, 100), ends_s)
        if ends_s:
            assert estimate.past[0].wh == pytest.approx(by_power_wh, abs=2)
    assert estimate.past[0].wh == pytest.approx(lies_wh, abs=15)
