"""Slots that stay open for a while after they have ended."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.carried import REPAID
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.overdue import looked_back_at
from gateway.energy.slot import MeterRules, MeterState, Slot
from tests.draws import draws
from tests.gateway.energy.samples import BEGIN_S, fold, meter, sample

LOOK_BACK_MS = 300_000
STEP_WH = 10


def rules(*, at_once: bool = False, slot_ms: int = 900_000) -> MeterRules:
    known = meter(STEP_WH, slot_ms=slot_ms)
    return replace(known, look_back_ms=LOOK_BACK_MS, says_at_once=at_once)


def steady(until_s: int, power_w: float = 400.0, *, power: bool = False) -> list[Sample]:
    """A load that never changes, on a register of 10 Wh that begins at the start of a step."""
    return [
        sample(
            t,
            1000 + t * power_w / 3600 // STEP_WH * STEP_WH,
            power_w if power else None,
        )
        for t in range(0, until_s + 1, 10)
    ]


def steps(
    samples: Sequence[Sample], known: MeterRules
) -> tuple[MeterState, list[tuple[int, Slot]]]:
    """The state in the end, and each slot with the time (s) of the sample that closed it."""
    state: MeterState | None = None
    closed: list[tuple[int, Slot]] = []
    for each in samples:
        step = advance(state, each, known)
        state = step.state
        at_s = (each.utc_ms or 0) // 1000 - BEGIN_S
        closed += [(at_s, slot) for slot in step.slots if slot.direction == "import"]
    assert state is not None
    return state, closed


def open_uwh(state: MeterState) -> int:
    """What is in the counter and in no slot yet."""
    one = state.directions["import"]
    first = one.slot if one.passed is None or one.passed.said_uwh is not None else one.passed.slot
    return one.counter.counter_uwh - first.begin_uwh


def test_a_slot_closes_when_the_steps_after_its_end_have_said_where_that_was() -> None:
    """400 W are a step of 10 Wh each 90 s: two of them tell all that can be known."""
    _, closed = steps(steady(2100), rules())
    assert [slot.start_s - BEGIN_S for _, slot in closed] == [0, 900]
    assert all(900 < at_s - (slot.start_s - BEGIN_S) <= 1080 for at_s, slot in closed[1:])
    assert closed[1][1].energy_uwh == pytest.approx(100 * WH, abs=WH)


def test_without_a_step_it_closes_when_the_time_is_over() -> None:
    """50 W are a step in 12 minutes."""
    _, closed = steps(steady(2200, 50), rules())
    assert [at_s for at_s, _ in closed] == [1200, 2100]


def test_the_end_of_one_slot_is_the_beginning_of_the_next() -> None:
    state, closed = steps(steady(9000, 333), rules())
    slots = [slot for _, slot in closed]
    assert all(one.end_uwh == other.begin_uwh for one, other in pairwise(slots))
    whole_uwh = state.directions["import"].counter.counter_uwh - slots[0].begin_uwh
    assert sum(slot.energy_uwh or 0 for slot in slots) + open_uwh(state) == whole_uwh


def test_looking_back_makes_a_slot_of_a_coarse_register_more_right() -> None:
    late, at_end = (
        [slot for _, slot in steps(steady(9000, 333), known)[1]][1:]
        for known in (rules(), meter(STEP_WH))
    )
    true_uwh = 333 * WH // 4
    worst = [max(abs((s.energy_uwh or 0) - true_uwh) for s in slots) for slots in (late, at_end)]
    assert worst[0] < worst[1] / 5


def test_one_that_is_said_at_once_comes_again_only_where_it_was_off_by_more_than_it_said() -> None:
    """The load rises twenty-fold at the boundary: what was foretold from the last pace is wrong."""
    shown = [(t, 40.0 * t / 3600) for t in range(0, 901, 10)]
    shown += [(t, 10 + 40.0 * (t - 900) / 3600) for t in range(910, 1801, 10)]
    samples = [sample(t, 1000 + wh // STEP_WH * STEP_WH) for t, wh in shown]
    _, closed = steps(samples, rules(at_once=True))
    by_start: dict[int, list[tuple[int, Slot]]] = {}
    for at_s, slot in closed:
        by_start.setdefault(slot.start_s - BEGIN_S, []).append((at_s, slot))
    for start_s, told in by_start.items():
        assert told[0][0] == start_s + 900
        assert [slot.revision for _, slot in told] == list(range(len(told)))
        for (_, one), (at_s, other) in pairwise(told):
            assert at_s <= start_s + 1200
            assert abs((one.energy_uwh or 0) - (other.energy_uwh or 0)) > 0


def test_a_meter_that_falls_silent_after_the_end_has_its_slot_closed_by_the_clock() -> None:
    known = rules()
    state, closed = steps(steady(910, 50), known)
    assert not closed
    [due] = [due for due in looked_back_at(state, 0, known) if due.slot.direction == "import"]
    assert due.in_ms == LOOK_BACK_MS + known.stale_ms - 10_000
    assert due.slot.quality == "measured"
    _, later = steps_from(state, [sample(1500, 1010)], known)
    assert later[0] == due.slot


def test_one_that_was_closed_at_its_end_waits_for_the_next_sample() -> None:
    known = rules(at_once=True)
    state, closed = steps(steady(910, 50), known)
    assert [slot.start_s - BEGIN_S for _, slot in closed] == [0]
    assert state.directions["import"].passed is not None
    assert not list(looked_back_at(state, 10 * LOOK_BACK_MS, known))


def steps_from(
    state: MeterState, samples: Sequence[Sample], known: MeterRules
) -> tuple[MeterState, list[Slot]]:
    after, slots, _ = fold(samples, known, state)
    assert after is not None
    return after, [slot for slot in slots if slot.direction == "import"]


def test_a_meter_that_is_replaced_while_a_slot_is_open_loses_nothing_of_it() -> None:
    known = rules()
    state, closed = steps(steady(910, 333), known)
    assert not closed
    new = [sample(t, 5, serial="B") for t in (920, 930, 940)]
    after, slots = steps_from(state, new, known)
    assert [slot.start_s - BEGIN_S for slot in slots] == [0, 900]
    assert slots[0].end_uwh == slots[1].begin_uwh
    gone = after.previous
    assert gone is not None
    assert gone.directions["import"].passed is None
    assert slots[1].end_uwh == gone.directions["import"].counter.counter_uwh


def test_slots_of_another_length_begin_where_the_open_one_was_closed() -> None:
    state, closed = steps(steady(910, 333), rules())
    assert not closed
    _, slots = steps_from(state, [sample(t, 1090) for t in (920, 930)], rules(slot_ms=3_600_000))
    assert [slot.length_s for slot in slots] == [900, 900]
    assert slots[0].end_uwh == slots[1].begin_uwh


def test_a_clock_that_is_set_closes_it_with_what_is_known() -> None:
    known = rules()
    state, closed = steps(steady(910, 333), known)
    assert not closed
    there = [
        replace(each, utc_ms=(each.utc_ms or 0) + 7_200_000) for each in steady(1000, 333)[92:]
    ]
    after, slots = steps_from(state, there, known)
    assert slots[0].quality == "measured"
    assert slots[0].end_uwh == slots[1].begin_uwh
    assert after.directions["import"].passed is None


@given(
    moves=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([None, 0.0, 300.0, 3000.0])), max_size=300
    ),
    at_once=st.booleans(),
    every_s=st.sampled_from([10, 47, 200]),
)
@draws(60)
def test_no_energy_comes_twice_or_is_lost_and_a_restart_changes_nothing(
    moves: list[tuple[int, float | None]], *, at_once: bool, every_s: int
) -> None:
    known = rules(at_once=at_once)
    shown_wh, t_s = 1000, 0
    state: MeterState | None = None
    slots: dict[int, Slot] = {}
    unallocated_uwh = first_uwh = 0
    for steps_on, power_w in [(0, None), *moves]:
        shown_wh += steps_on * STEP_WH
        step = advance(state, sample(t_s, shown_wh, power_w), known)
        t_s += every_s
        slots |= {slot.start_s: slot for slot in step.slots if slot.direction == "import"}
        unallocated_uwh += sum(each.energy_uwh for each in step.unallocated)
        state = msgspec.json.decode(msgspec.json.encode(step.state), type=MeterState)
        assert state == step.state
        one = state.directions["import"]
        if not slots and one.passed is None:
            first_uwh = one.slot.begin_uwh
        booked_uwh = sum(slot.energy_uwh or 0 for slot in slots.values())
        whole_uwh = one.counter.counter_uwh - first_uwh
        assert booked_uwh + unallocated_uwh + open_uwh(state) == whole_uwh
        assert all((slot.energy_uwh or 0) >= 0 for slot in slots.values())
        assert open_uwh(state) >= 0


def test_a_boundary_is_not_on_the_way_from_the_middle_of_a_large_move() -> None:
    """2400 W until two minutes before the end, 12 W since, seen every two minutes: the last reading
    in the slot says that nothing has passed since, whatever power says.
    """
    known = replace(rules(), registers=meter(1).registers, stale_ms=360_000)
    samples = [sample(t, 1000 + t // 120 * 80, 2400) for t in range(59, 800, 120)]
    samples += [sample(t, 1480 + (t - 779) // 240, 12) for t in range(899, 2400, 120)]
    _, closed = steps(samples, known)
    energy_wh = {slot.start_s - BEGIN_S: (slot.energy_uwh or 0) / WH for _, slot in closed}
    assert energy_wh[900] == pytest.approx(3, abs=2)


def test_what_is_not_revised_ended_about_where_it_was_said_to() -> None:
    """A load of 300 W with a kettle now and then. Closed once, each slot is what later readings
    say; said at once, it is written anew where that is worth it, and then it is that as well. Where
    it ends may differ by what was not worth it in the slots before (`carried`).
    """
    samples, energy_wh = [], 0.0
    for n in range(12 * 360):
        energy_wh += (2300.0 if n * 7 % 431 < 18 else 300.0) / 360
        samples.append(sample(10 * n, 1000 + energy_wh // STEP_WH * STEP_WH))
    _, of_once = steps(samples, rules())
    _, of_many = steps(samples, rules(at_once=True))
    once = {slot.start_s: slot for _, slot in of_once}
    newest = {slot.start_s: slot for _, slot in of_many}
    first = {slot.start_s: slot for _, slot in of_many if not slot.revision}
    whole = sorted(once.keys() & newest.keys())[1:]
    revised = [start_s for start_s in whole if newest[start_s].revision]
    assert 0 < len(revised) < len(whole) / 2
    for start_s in whole:
        sure_uwh = once[start_s].uncertainty_uwh or 0
        assert abs(newest[start_s].end_uwh - once[start_s].end_uwh) <= sure_uwh
        if start_s in revised:
            known_wh = (once[start_s].energy_uwh or 0) / WH
            said_wh, anew_wh = ((each[start_s].energy_uwh or 0) / WH for each in (first, newest))
            assert anew_wh == pytest.approx(known_wh, abs=REPAID * STEP_WH / 2)
            assert abs(anew_wh - known_wh) < abs(said_wh - known_wh)
