"""Registers that waver by more than a step, reading by reading: it costs little, and is told."""

import random

import pytest

from tests.gateway.energy.samples import meter, sample
from tests.gateway.energy.written import Written, counting_up, written

HOURS = 9


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
