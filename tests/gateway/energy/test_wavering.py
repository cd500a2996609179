"""Registers that waver by more than a step, reading by reading: it costs little, and is told."""

import random

import pytest
from msgspec.structs import replace

from gateway.energy.counter import UWH_PER_WH as WH
from tests.gateway.energy.samples import BEGIN_S, fold, meter, sample
from tests.gateway.energy.written import Written, counting_up, written

HOURS = 6


def wavering(counts: int, ways: tuple[int, ...], *, tells_power: bool, step_wh: int) -> Written:
    """The books of a meter at which nothing flows, and whose register shows so many counts more or
    less by chance.
    """
    chance = random.Random(counts)
    power_w = 0.0 if tells_power else None
    samples = [
        sample(10 * n, 60_000 + step_wh * counts * chance.choice(ways), power_w)
        for n in range(HOURS * 360)
    ]
    return written(samples, meter(step_wh))


@pytest.mark.parametrize("step_wh", [1, 100])
@pytest.mark.parametrize("tells_power", [True, False])
@pytest.mark.parametrize("counts", [2, 3, 4])
def test_three_values_a_few_counts_apart_are_one_register(
    counts: int, tells_power: bool, step_wh: int
) -> None:
    books = wavering(counts, (-1, 0, 1), tells_power=tells_power, step_wh=step_wh)
    assert books.booked_wh() <= 2 * counts * step_wh
    assert books.unallocated == []
    if step_wh == 1:
        assert set(books.kinds()) == {"glitch"}
        assert books.kinds()["glitch"] <= 3 * HOURS
    books.check_chain("import")


@pytest.mark.parametrize("tells_power", [True, False])
@pytest.mark.parametrize("counts", [3, 5, 8, 20, 50])
def test_two_values_far_apart_are_told_hourly(counts: int, tells_power: bool) -> None:
    books = wavering(counts, (0, 1), tells_power=tells_power, step_wh=1)
    assert books.booked_wh() <= counts
    assert books.unallocated == []
    assert sum(books.kinds().values()) <= 3 * HOURS
    books.check_chain("import")


@pytest.mark.parametrize("power_w", [0, 500])
@pytest.mark.parametrize("tells_power", [True, False])
@pytest.mark.parametrize("counts", [5, 20, 60])
def test_one_that_has_come_back_once_is_waited_for(
    counts: int, tells_power: bool, power_w: int
) -> None:
    """It shows less for a minute, every ten minutes: that is one reset that was none, not many."""
    samples, flowed_wh = counting_up(
        lambda t, wh: wh - counts if t % 600 >= 540 else wh,
        hours=HOURS + 0.1,
        power_w=power_w,
        tells_power=tells_power,
    )
    books = written(samples, meter(1))
    assert abs(books.booked_wh() - flowed_wh) <= 1
    assert books.unallocated == []
    assert books.kinds().get("reset", 0) <= 1
    assert books.kinds()["glitch"] <= 2 * HOURS
    books.check_chain("import")


@pytest.mark.parametrize("look_back_s", [0, 300])
@pytest.mark.parametrize("tells_power", [True, False])
@pytest.mark.parametrize("step_wh", [1, 10, 100])
def test_a_slot_of_a_register_that_jitters_says_by_how_much_it_may_be_off(
    step_wh: int, tells_power: bool, look_back_s: int
) -> None:
    """Half of its readings are off by one, either way."""
    chance = random.Random(step_wh)
    load_w, flowed_wh, stood_wh = 300.0, 0.0, []
    samples = []
    for n in range(24 * 360):
        if chance.random() < 0.02:
            load_w = chance.choice([80.0, 150.0, 300.0, 600.0])
        if n % 90 == 0:
            stood_wh.append(flowed_wh)
        off = chance.choice([-1, 1]) if chance.random() < 0.5 else 0
        shown_wh = int((60_007 + flowed_wh) // step_wh + off) * step_wh
        samples.append(sample(10 * n, shown_wh, load_w if tells_power else None))
        flowed_wh += load_w / 360

    _, slots, _ = fold(samples, replace(meter(step_wh), look_back_ms=1000 * look_back_s))
    held, known = 0, 0
    for slot in slots:
        n = (slot.start_s - BEGIN_S) // 900
        if not 4 <= n < len(stood_wh) - 1:
            continue
        assert slot.energy_uwh is not None and slot.uncertainty_uwh is not None
        off_wh = slot.energy_uwh / WH - (stood_wh[n + 1] - stood_wh[n])
        known += 1
        held += abs(off_wh) <= slot.uncertainty_uwh / WH
    assert known > 85
    assert held >= 0.85 * known
