"""The energy at a boundary by the register's steps alone."""

from itertools import accumulate, pairwise
from math import isfinite, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.energy.pace import KEPT, WANTED, AtPace, Paced, Step, at_pace

STEP_WH = 10.0
EVERY_S = 10.0
HALF_S = EVERY_S / 2


def stepped(*lasted_s: float) -> tuple[Step, ...]:
    """Steps that lasted so long, after a first one at 0 s and 0 Wh."""
    at_s = accumulate(lasted_s, initial=0.0)
    return tuple(Step(t, n * STEP_WH, HALF_S) for n, t in enumerate(at_s))


def found(
    steps: tuple[Step, ...], end_s: float, seen_s: float | None = None, *, pulses: bool = False
) -> AtPace:
    """What these steps, and none since, say of a boundary."""
    last = steps[-1]
    before = tuple(each for each in steps if each.at_s <= end_s)[1 - KEPT :]
    after = tuple(each for each in steps if each.at_s > end_s)[:WANTED]
    paced = Paced(end_s, (*before, *after) if after else ())
    register = (last.wh, last.wh + STEP_WH)
    seen_s = last.at_s + 1.0 if seen_s is None else seen_s
    return at_pace(paced, before, register, seen_s, pulses=pulses)


def read(power_w: float, begin_wh: float) -> tuple[Step, ...]:
    """The steps that are seen of a constant load by who looks every 10 s."""
    steps: list[Step] = []
    low_wh = begin_wh // STEP_WH * STEP_WH
    for n in range(1, 60):
        seen_wh = (begin_wh + power_w * n * EVERY_S / 3600) // STEP_WH * STEP_WH
        if seen_wh > low_wh:
            half_s = HALF_S / ((seen_wh - low_wh) / STEP_WH)
            steps.append(Step(n * EVERY_S - half_s, seen_wh, half_s))
            low_wh = seen_wh
    return tuple(steps)


@pytest.mark.parametrize("power_w", [1300.0, 2050.0, 2700.0])
def test_steps_on_a_line_know_better_than_the_two_beside_a_boundary(power_w: float) -> None:
    """Each is seen up to 10 s late, when at 2 kW half a step has passed."""
    end_s = 150.0
    errors_wh, plain_wh = [], []
    for n in range(50):
        begin_wh = 100 + n * STEP_WH / 50
        true_wh = begin_wh + power_w * end_s / 3600
        steps = read(power_w, begin_wh)
        errors_wh.append(found(steps, end_s).wh - true_wh)
        begin, end = next(pair for pair in pairwise(steps) if pair[1].at_s > end_s)
        part = (end_s - begin.at_s) / (end.at_s - begin.at_s)
        plain_wh.append(begin.wh + part * (end.wh - begin.wh) - true_wh)
    assert rms(errors_wh) < 0.7 * rms(plain_wh)


def rms(errors: list[float]) -> float:
    return sqrt(sum(each * each for each in errors) / len(errors))


def test_steps_that_are_seen_at_once_lie_on_no_line_where_power_pulses() -> None:
    """Eight readings of some 30 Wh each look as if they did."""
    steps = tuple(Step(n * EVERY_S - 1.7 + n % 2 * 0.4, n * 30.0, 5 / 3) for n in range(8))
    even = found(steps, 33.0)
    pulsing = found(steps, 33.0, pulses=True)
    assert pulsing.variance > 4 * even.variance


def test_where_one_pace_gives_way_to_another_the_boundary_follows_the_first_one() -> None:
    """1 kW until 18 s into the step, then 100 W."""
    steps = stepped(36, 36, 36, 198, 360, 360)
    assert found(steps, 108 + 18).wh == pytest.approx(30 + 5, abs=1.0)
    assert found(steps, 108 + 18 + 90).wh == pytest.approx(30 + 7.5, abs=1.0)


def test_a_load_that_stopped_for_a_while_did_so_anywhere_in_the_step() -> None:
    steps = stepped(36, 36, 36, 900, 36, 36)
    early, late = found(steps, 108 + 200), found(steps, 108 + 700)
    assert late.wh - early.wh < 0.35 * STEP_WH, "a straight line rises by 0.56 of the step"
    assert sqrt(early.variance) > 0.15 * STEP_WH


def test_while_no_step_comes_a_load_is_taken_to_have_stopped_soon_enough() -> None:
    steps = stepped(36, 36, 36, 36)
    early, late = (found(steps, 144 + into_s, seen_s=144 + 600.0) for into_s in (60.0, 550.0))
    assert late.wh - early.wh < 0.5 * STEP_WH
    assert late.wh < 40 + STEP_WH


def test_while_the_next_step_is_not_due_yet_the_pace_goes_on() -> None:
    steps = stepped(360, 360, 360, 360)
    assert found(steps, 1440 + 90, seen_s=1440 + 100).wh == pytest.approx(40 + 2.5, abs=0.6)


def test_before_a_second_step_nothing_is_known_of_the_pace() -> None:
    first = Step(0.0, 5.0)
    only = at_pace(Paced(400.0), (first,), (0.0, 10.0), 500.0, pulses=False)
    assert only == AtPace(5.0, 25 / 12)
    next_one = (first, Step(300.0, 10.0, HALF_S))
    then = at_pace(Paced(150.0, next_one), next_one, (10.0, 20.0), 400.0, pulses=False)
    assert then.wh == pytest.approx(7.5)


def test_steps_that_do_not_rise_are_no_reason_to_fail() -> None:
    """As where the steps of a register became wider."""
    steps = (*stepped(36, 36, 36), Step(200.0, 30.0, HALF_S), Step(300.0, 29.0, HALF_S))
    for end_s in (150.0, 250.0, 350.0):
        each = found(steps, end_s, 400.0)
        assert 20 <= each.wh <= 40
        assert isfinite(each.variance)


lasting = st.lists(
    st.one_of(st.sampled_from([10.0, 20.0, 30.0]), st.floats(1, 20_000)), min_size=2, max_size=12
)


@given(
    lasting,
    st.lists(st.sampled_from([0.0, 5.0, 2.5]), min_size=13, max_size=13),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 5000),
)
def test_it_never_falls_and_stays_near_its_step(
    lasted_s: list[float], halves_s: list[float], part: float, later: float, waited_s: float
) -> None:
    """A boundary has at least the energy of one before it; where the first reading was kept by a
    version that did not say how well a step is dated, as well.
    """
    at_s = list(accumulate(lasted_s, initial=0.0))
    steps = tuple(Step(t, n * STEP_WH, halves_s[n]) for n, t in enumerate(at_s))
    n = min(int(part * len(lasted_s)), len(lasted_s) - 1)
    ends_s = sorted(at_s[n] + lasted_s[n] * share * 0.999 for share in (part, later))
    first, second = (found(steps, end_s, at_s[-1] + waited_s) for end_s in ends_s)
    assert first.wh <= second.wh + 1e-6
    for each in (first, second):
        assert isfinite(each.variance)
        assert each.variance >= 0
        assert steps[n].wh - STEP_WH <= each.wh <= steps[n + 1].wh + STEP_WH


@given(lasting, st.floats(0, 1), st.floats(1, 50_000))
def test_while_no_step_comes_it_stays_inside_of_the_register(
    lasted_s: list[float], part: float, waited_s: float
) -> None:
    steps = stepped(*lasted_s)
    last = steps[-1]
    each = found(steps, last.at_s + part * waited_s, last.at_s + waited_s)
    assert last.wh <= each.wh <= last.wh + STEP_WH + 1e-9
    assert 0 <= each.variance <= STEP_WH**2


@given(st.lists(st.floats(10, 400), min_size=12, max_size=12), st.integers(2, 7))
def test_once_enough_steps_have_come_what_they_say_is_kept_and_they_are_not(
    apart_s: list[float], nth: int
) -> None:
    steps = stepped(*apart_s)
    end_s = (steps[nth].at_s + steps[nth + 1].at_s) / 2
    paced = Paced(end_s)
    for n, step in enumerate(steps):
        before = steps[max(0, n + 1 - KEPT) : n + 1]
        register = (step.wh, step.wh + STEP_WH)
        paced = paced.and_then(step, before, register, pulses=False)
        assert paced.has(WANTED) == (n >= nth + WANTED)
    whole = Paced(end_s, steps[max(0, nth + 2 - KEPT) : nth + 1 + WANTED])
    at_last = at_pace(whole, (), register, steps[-1].at_s, pulses=False)
    assert (paced.steps, paced.found) == ((), at_last)
    assert at_pace(paced, steps, register, 1e6, pulses=True) == at_last
