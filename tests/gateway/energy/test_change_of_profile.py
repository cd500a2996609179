"""A profile that reads another register than before: the series begins anew."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.slot import MeterRules, MeterState, Slot, Step
from tests.gateway.energy.samples import BEGIN_S, meter, sample, steady

OLD = "modbus holding register 1002, float32 little, 1 kWh, step 100 Wh"
NEW = "modbus holding register 1006, float32 little, 1 kWh, step 1 Wh"


def reading(source: str, *, former: str = "", resolution_wh: float = 1) -> MeterRules:
    """A meter with one register, that is read like this."""
    rules = meter(resolution_wh)
    register = replace(rules.registers["import"], source=source, former_source=former)
    return replace(rules, registers={"import": register})


def run(samples: Sequence[Sample], rules: MeterRules, state: MeterState | None = None) -> Step:
    """All that the samples bring."""
    steps = []
    for each in samples:
        steps.append(advance(state, each, rules))
        state = steps[-1].state
    assert state is not None
    return Step(
        state,
        tuple(slot for step in steps for slot in step.slots),
        tuple(event for step in steps for event in step.events),
        tuple(left for step in steps for left in step.unallocated),
    )


def seen(slots: Sequence[Slot]) -> list[tuple[int, str, float | None]]:
    return [
        (s.start_s - BEGIN_S, s.quality, None if s.energy_uwh is None else s.energy_uwh / WH)
        for s in slots
    ]


def begins(step: Step) -> bool:
    """Whether nothing is unallocated but how far into its step the register was."""
    return {left.kind for left in step.unallocated} <= {"start"}


def counter_goes_on(slots: Sequence[Slot], step: Step) -> bool:
    """From slot to slot, but for where in its step the register began."""
    said_uwh = {left.end_uwh: left.energy_uwh for left in step.unallocated}
    return all(a.end_uwh + said_uwh.get(b.begin_uwh, 0) == b.begin_uwh for a, b in pairwise(slots))


@pytest.mark.parametrize("new_wh", [500_000.0, 1300.0, 0.5], ids=["above", "near", "below"])
def test_another_register_begins_the_series_anew_and_nothing_is_unallocated(new_wh: float) -> None:
    before = run(steady(3600, range(0, 1210, 10)), reading(OLD))
    samples = steady(3600, range(1260, 2710, 10), new_wh)
    after = run(samples, reading(NEW), before.state)

    assert [event.kind for event in after.events] == ["profile"]
    assert OLD in after.events[0].text
    assert NEW in after.events[0].text
    assert begins(after)
    # 300 s before; 520 s from the third reading of the new register on.
    assert seen(after.slots) == [(900, "partial", 820.0), (1800, "measured", 900.0)]
    assert counter_goes_on([*before.slots, *after.slots], after)


def test_slots_between_the_old_register_and_the_new_one_are_missing() -> None:
    before = run(steady(3600, range(0, 1210, 10)), reading(OLD))
    after = run(steady(3600, range(2800, 4510, 10), 9e6), reading(NEW), before.state)
    assert seen(after.slots) == [
        (900, "partial", 300.0),
        (1800, "missing", None),
        (2700, "partial", 780.0),
        (3600, "measured", 900.0),
    ]
    assert begins(after)
    assert counter_goes_on(after.slots, after)


def test_a_change_of_the_step_alone_begins_anew_too() -> None:
    before = run(steady(3600, range(0, 1210, 10)), reading("a, step 100 Wh", resolution_wh=100))
    samples = steady(3600, range(1210, 2710, 10), 2210)
    after = run(samples, reading("a, step 1 Wh"), before.state)
    assert [event.kind for event in after.events] == ["profile"]
    assert seen(after.slots)[1:] == [(1800, "measured", 900.0)]


@pytest.mark.parametrize("into_wh", [0, 30, 50, 99])
@pytest.mark.parametrize(("was_wh", "now_wh"), [(1, 100), (100, 1), (10, 1000), (100, 100)])
def test_no_more_than_half_a_step_of_the_old_register_is_booked_that_has_not_passed(
    was_wh: int, now_wh: int, into_wh: int
) -> None:
    """Wherever in its step the new register begins: nobody knows that."""

    def stepping(step_wh: int, seconds: range, begin_wh: int) -> list[Sample]:
        return [sample(t, (begin_wh + t) // step_wh * step_wh, 3600) for t in seconds]

    before = run(stepping(was_wh, range(1003), 0), reading(f"was {was_wh}", resolution_wh=was_wh))
    after = run(
        stepping(now_wh, range(1003, 2800), 5_000_000 + into_wh * now_wh // 100),
        reading(f"now {now_wh} again", resolution_wh=now_wh),
        before.state,
    )
    slot = next(each for each in after.slots if each.start_s == BEGIN_S + 900)
    assert slot.quality == "partial"
    assert slot.energy_uwh is not None
    # 102 s before, and 795 s from the third reading on; power is only known to some percent.
    assert abs(slot.energy_uwh / WH - 897) <= was_wh / 2 + 20
    assert counter_goes_on([*before.slots, *after.slots], after)
    assert begins(after)


def test_a_wrong_first_reading_of_the_new_register_is_not_where_it_begins() -> None:
    before = run(steady(3600, range(0, 1210, 10)), reading(OLD))
    samples = [sample(1210, 0.0, 3600), *steady(3600, range(1220, 2710, 10), 500_000)]
    after = run(samples, reading(NEW), before.state)
    assert [event.kind for event in after.events] == ["profile"]
    assert begins(after)
    assert seen(after.slots)[1:] == [(1800, "measured", 900.0)]


def test_another_register_that_rises_too_fast_is_unallocated_and_not_waited_for_for_ever() -> None:
    """As where its scale is wrong."""
    before = run(steady(3600, range(0, 1210, 10)), reading(OLD))
    after = run(steady(360_000, range(1210, 4510, 10), 9e6), reading(NEW), before.state)
    assert [event.kind for event in after.events] == ["profile", "jump", "jump", "jump"]


def test_a_sample_without_the_register_waits_for_one_that_has_it() -> None:
    before = run(steady(3600, range(0, 1210, 10)), reading(OLD))
    empty = [sample(t, None, 3600) for t in range(1210, 1300, 10)]
    after = run([*empty, *steady(3600, range(1300, 1800, 10), 7)], reading(NEW), before.state)
    assert [event.kind for event in after.events] == ["profile"]


def test_a_profile_that_is_put_back_before_it_was_believed_has_changed_nothing() -> None:
    samples = steady(3600, range(0, 1810, 10))
    before = run(samples[:121], reading(OLD))
    strange = run([sample(1210, 9e6, 3600), sample(1220, 9e6, 3600)], reading(NEW), before.state)
    after = run(samples[123:], reading(OLD), strange.state)
    assert [event.kind for event in after.events] == ["glitch"]
    assert seen(after.slots) == [(900, "measured", 900.0)]


def test_the_same_register_goes_on_and_so_does_a_state_that_does_not_say() -> None:
    """As an earlier version left it: its counter goes on, and says from now on what it counts."""
    samples = steady(3600, range(0, 1810, 10))
    for source in (NEW, ""):
        before = run(samples[:121], reading(source))
        after = run(samples[121:], reading(NEW), before.state)
        assert not after.events
        assert seen(after.slots) == [(900, "measured", 900.0)]
        assert after.state.directions["import"].source == NEW


def test_a_state_that_does_not_say_counts_the_register_that_the_profile_moved() -> None:
    before = run(steady(3600, range(0, 1210, 10)), reading(""))
    samples = steady(3600, range(1210, 2710, 10), 500_000)
    after = run(samples, reading(NEW, former=OLD), before.state)
    assert [event.kind for event in after.events] == ["profile"]
    assert begins(after)
    assert after.state.directions["import"].source == NEW


def test_the_other_direction_goes_on() -> None:
    both = meter()
    rules = replace(
        both,
        registers={way: replace(each, source=way) for way, each in both.registers.items()},
    )
    moved = replace(both.registers["import"], source=NEW)
    before = run([sample(t, t, export_wh=t) for t in range(0, 500, 10)], rules)
    samples = [sample(t, 9e6 + t, export_wh=t) for t in range(500, 910, 10)]
    now = replace(rules, registers={**rules.registers, "import": moved})
    after = run(samples, now, before.state)
    assert {slot.direction: slot.quality for slot in after.slots} == {
        "import": "partial",
        "export": "measured",
    }
