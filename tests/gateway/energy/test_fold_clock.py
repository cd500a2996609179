"""A clock that is set loses nothing and books nothing twice."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.slot import MeterState, Slot
from tests.gateway.energy.samples import BEGIN_S, fold, meter, steady


def with_clock(samples: Sequence[Sample], *steps: tuple[int, int]) -> list[Sample]:
    """The same samples where the clock is off by so many seconds from the n-th on."""
    off_s, wrong = 0, dict(steps)
    found = []
    for n, each in enumerate(samples):
        off_s = wrong.get(n, off_s)
        found.append(replace(each, utc_ms=(each.utc_ms or 0) + off_s * 1000))
    return found


def known_uwh(step_slots: Sequence[Slot], state: MeterState | None) -> int:
    """What is in slots, the open one among them."""
    assert state is not None
    each = state.directions["import"]
    return (
        sum(slot.energy_uwh or 0 for slot in step_slots)
        + each.counter.counter_uwh
        - each.slot.begin_uwh
    )


@pytest.mark.parametrize("back_s", [1, 5, 40, 300, 899])
def test_a_clock_that_is_set_back_by_less_than_a_slot_books_nothing_twice_and_loses_nothing(
    back_s: int,
) -> None:
    state, slots, events = fold(
        with_clock(steady(3600, range(0, 2710, 10)), (100, -back_s), (240, 0)), meter()
    )
    assert [slot.start_s - BEGIN_S for slot in slots] == [0, 900, 1800]
    assert sum(slot.energy_uwh or 0 for slot in slots) == 2700 * WH
    # A slot that has energy of a time that came twice is not measured.
    assert [slot.quality for slot in slots] == [
        "measured",
        "measured" if back_s <= 30 else "estimated",
        "measured",
    ][: len(slots)] or (slots[2].quality == "estimated")
    assert not events
    assert known_uwh(slots, state) == 2700 * WH


@pytest.mark.parametrize("off_s", [-500, -3, 3, 500])
def test_a_register_is_judged_by_how_long_it_took_and_not_by_a_clock_that_is_set(
    off_s: int,
) -> None:
    """17,250 W carry 60 Wh in 10 s: 30 Wh are right, and 200 are a jump, whatever the clock does
    just then.
    """
    rules = meter()
    samples = steady(10_800, range(0, 610, 10))
    state, _, events = fold(with_clock(samples, (30, off_s), (31, 0)), rules)
    assert not events
    assert state is not None
    assert state.directions["import"].counter.register_uwh == 2800 * WH
    values = {
        **samples[30].values,
        "energy_import_wh": samples[30].values["energy_import_wh"] + 200,
    }
    samples[30] = replace(samples[30], values=values)
    _, _, events = fold(with_clock(samples, (30, off_s), (31, 0)), rules)
    assert [event.kind for event in events] == ["glitch"]


def test_a_clock_that_is_set_forward_by_minutes_leaves_an_estimated_slot_and_loses_nothing() -> (
    None
):
    state, slots, events = fold(with_clock(steady(3600, range(0, 1810, 10)), (100, 300)), meter())
    assert [(slot.start_s - BEGIN_S, slot.quality) for slot in slots] == [
        (0, "measured"),
        (900, "estimated"),
    ]
    assert slots[1].energy_uwh == 600 * WH
    assert not events
    assert known_uwh(slots, state) == 1800 * WH


def test_a_clock_that_was_a_day_ahead_goes_on_at_once_and_states_what_has_no_place() -> None:
    samples = with_clock(steady(3600, range(0, 7210, 10)), (100, 86_400), (460, 0))
    state, slots, events = fold(samples, meter())
    assert [event.kind for event in events] == ["clock", "clock"]
    assert "set forward by 24.00 h" in events[0].text
    assert "set back by 24.00 h" in events[1].text
    assert [event.energy_uwh for event in events] == [10 * WH] * 2
    ahead = [slot for slot in slots if slot.start_s > BEGIN_S + 86_400]
    assert [(slot.start_s - BEGIN_S - 86_400, slot.quality) for slot in ahead] == [
        (900, "partial"),
        (1800, "measured"),
        (2700, "measured"),
        (3600, "measured"),
        (4500, "partial"),
    ]
    after = slots[slots.index(ahead[-1]) + 1 :]
    assert [(slot.start_s - BEGIN_S, slot.quality) for slot in after] == [
        (4500, "partial"),
        (5400, "measured"),
        (6300, "measured"),
    ]
    assert known_uwh(slots, state) + sum(event.energy_uwh for event in events) == 7200 * WH


def test_a_machine_that_wakes_up_in_the_past_goes_on_there() -> None:
    first = steady(3600, range(0, 3000, 10))
    rest = [
        replace(s, boot_id="next", boottime_ms=(n + 1) * 10_000, utc_ms=(s.utc_ms or 0) - 7200_000)
        for n, s in enumerate(first)
    ]
    rest = [
        replace(s, values={**s.values, "energy_import_wh": s.values["energy_import_wh"] + 3010})
        for s in rest
    ]
    state, slots, events = fold([*first, *rest], meter())
    ((kind, left_uwh),) = [(event.kind, event.energy_uwh) for event in events]
    assert kind == "clock"
    assert abs(left_uwh - 20 * WH) <= WH
    assert known_uwh(slots, state) + left_uwh == pytest.approx(6000 * WH, abs=WH)
