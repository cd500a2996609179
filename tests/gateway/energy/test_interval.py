"""Energy between two readings is cut at the boundaries of slots, and goes where power was."""

from itertools import pairwise

import pytest
from msgspec.structs import replace

from gateway.energy.booking import open_slot
from gateway.energy.counter import POWER_DISPROVED, Finding, Since, start
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.interval import Part, between, split_at_boundaries
from tests.gateway.energy.samples import BEGIN_S, fold, hourly, meter, sample, steady

# --- boundaries -----------------------------------------------------------------------------------


@pytest.mark.parametrize("off_s", [-0.001, 0, 0.001, 4.2, -3])
def test_a_steady_load_is_cut_at_the_boundary_wherever_the_samples_fall(off_s: float) -> None:
    times = [0.0, *(t + off_s for t in range(10, 2000, 10))]
    _, slots, _ = fold(steady(3600, times), meter(0.001))
    whole = [slot for slot in slots if slot.direction == "import"]
    assert [slot.start_s - BEGIN_S for slot in whole] == [0, 900]
    for slot in whole:
        assert slot.energy_uwh == pytest.approx(900 * WH, abs=0.002 * WH)
        assert (slot.quality, slot.method, slot.coverage_permille) == ("measured", "counter", 1000)


def test_a_sample_on_the_boundary_belongs_to_the_slot_it_begins() -> None:
    _, slots, _ = fold(steady(360, range(0, 1810, 10)), meter())
    assert [slot.samples for slot in slots] == [90, 90]
    assert [slot.begin_register_uwh for slot in slots] == [1000 * WH, 1090 * WH]
    assert [slot.end_register_uwh for slot in slots] == [1090 * WH, 1180 * WH]


def test_a_slot_closes_with_the_sample_on_its_end_and_not_a_millisecond_before() -> None:
    rules = meter()
    state, slots, _ = fold(steady(360, [0, 899.999]), rules)
    assert not slots
    _, slots, _ = fold(steady(360, [0, 900]), rules)
    assert len(slots) == 1
    _, slots, _ = fold(steady(360, [0, 899.999, 900.001]), rules)
    assert len(slots) == 1
    assert state is not None


# --- parts of an interval, and the reasons to doubt them ------------------------------------------


def parts(
    begin_s: int,
    until_s: int,
    *,
    clock_off_s: int = 0,
    finding: Finding | None = None,
    power_disproved: bool = False,
) -> list[Part]:
    """Of an interval in which 1 kW was used, and the clock was set by `clock_off_s`."""
    rules = meter()
    register = rules.registers["import"]
    begin_ms, until_ms = (BEGIN_S + begin_s) * 1000, (BEGIN_S + until_s) * 1000
    first = replace(start(begin_ms, 0, 1000.0, register), beginning=None)
    before = open_slot(first, begin_ms, rules, placed=False)
    since = Since(power_uwh=(until_s - begin_s) * 1000 * WH // 3600)
    counter = replace(
        before.counter,
        at_ms=until_ms,
        counter_uwh=before.counter.counter_uwh + since.power_uwh,
        still_uwh=POWER_DISPROVED if power_disproved else 0,
    )
    one = between(
        before,
        counter,
        until_ms + clock_off_s * 1000,
        since=since,
        marks=(),
        finding=finding,
        placed=False,
    )
    return split_at_boundaries(one, rules)


def test_an_interval_has_a_part_for_each_slot_that_ends_in_it_and_a_last_one() -> None:
    found = parts(800, 2000)
    assert [(part.until_ms // 1000 - BEGIN_S, part.ends_slot) for part in found] == [
        (900, True),
        (1800, True),
        (2000, False),
    ]
    stood_uwh = [0, *(part.end_uwh for part in found)]
    in_a_second_uwh = 1000 * WH / 3600
    assert [b - a for a, b in pairwise(stood_uwh)] == pytest.approx(
        [100 * in_a_second_uwh, 900 * in_a_second_uwh, 200 * in_a_second_uwh], abs=2
    )


def test_an_interval_that_ends_on_a_boundary_leaves_nothing_that_counts_for_the_next_slot() -> None:
    assert [(part.ends_slot, part.counts) for part in parts(890, 900)] == [
        (True, True),
        (False, False),
    ]
    assert [(part.ends_slot, part.counts) for part in parts(880, 890)] == [(False, True)]


def test_a_register_that_is_late_is_a_reason_to_doubt_the_slots_on_both_sides_of_a_boundary() -> (
    None
):
    assert [set(part.doubts) for part in parts(890, 890 + 300)] == [set(), set()]
    assert [set(part.doubts) for part in parts(890, 890 + 301)] == [{"register late"}] * 2
    assert [set(part.doubts) for part in parts(599, 900)] == [set(), set()], "it tells at the end"


def test_each_reason_to_doubt_a_slot_has_its_name() -> None:
    assert [set(part.doubts) for part in parts(100, 110)] == [set()]
    assert [set(part.doubts) for part in parts(100, 110, clock_off_s=-41)] == [{"clock set back"}]
    assert [set(part.doubts) for part in parts(100, 110, power_disproved=True)] == [
        {"power disproved"}
    ]
    reset = Finding("reset", 0, "")
    assert [set(part.doubts) for part in parts(890, 910, finding=reset)] == [
        {"register reset"},
        {"register reset"},
    ]


# --- what power says, and what it does not --------------------------------------------------------


def test_energy_between_two_registers_goes_to_slots_as_power_was() -> None:
    powers_w = [400, 4000, 0, 1200]
    _, slots, events = fold(hourly(powers_w), meter())
    assert [slot.energy_uwh for slot in slots] == pytest.approx(
        [power_w * WH / 4 for power_w in powers_w], abs=8 * WH
    )
    assert {(slot.quality, slot.method) for slot in slots} == {("estimated", "counter")}
    assert [slot.revision for slot in slots] == [1, 1, 1, 0]
    assert {slot.coverage_permille for slot in slots} == {1000}
    assert not events


def test_power_tells_the_proportions_only_where_the_register_says_another_sum() -> None:
    powers_w = [400, 4000, 0, 1200]
    _, slots, _ = fold(hourly(powers_w, register_w=[1400] * 4), meter(), None)
    assert sum(slot.energy_uwh or 0 for slot in slots) == pytest.approx(1400 * WH, abs=6 * WH)
    assert [slot.energy_uwh for slot in slots] == pytest.approx(
        [power_w * WH / 4 for power_w in powers_w], abs=12 * WH
    )


def test_what_power_does_not_account_for_goes_evenly_to_the_time_of_which_it_is_not_known() -> None:
    """Half an hour at 1 kW with power, then half an hour without anything, in which 2 kWh pass."""
    lit = [sample(10 * n, 1000 if n == 0 else None, 1000) for n in range(181)]
    _, slots, events = fold([*lit, sample(3600, 3500, 1000)], meter())
    assert [slot.energy_uwh for slot in slots] == pytest.approx(
        [250 * WH, 250 * WH, 1000 * WH, 1000 * WH], rel=0.03
    )
    assert [slot.coverage_permille for slot in slots] == pytest.approx([1000, 1000, 0, 0], abs=40)
    assert not events
