"""Registers that show less, or otherwise, for a while: what they counted stays counted."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.draws import draws
from tests.gateway.energy.samples import BEGIN_S, WH, meter
from tests.gateway.energy.written import counting_up, while_, written


@draws(60)
@example(40, 12, 3000, 10, 7270, False, 300)  # before the slot before is closed for good
@example(40, 12, 3000, 10, 7270, True, 300)
@example(40, 60, 3000, 10, 7600, False, 300)
@example(7, 4, 5000, 100, 9000, False, 0)
@given(
    st.integers(5, 60),
    st.integers(1, 90),
    st.sampled_from([1000, 3000, 5000]),
    st.sampled_from([1, 10, 100]),
    st.integers(360, 1000).map(lambda n: n * 10),
    st.booleans(),
    st.sampled_from([0, 300]),
)
def test_one_that_shows_less_for_a_while_has_counted_what_power_said_before_and_since(
    counts: int,
    readings: int,
    power_w: int,
    step_wh: int,
    begin_s: int,
    says_at_once: bool,
    look_back_s: int,
) -> None:
    """It stood that low when the slot began: what rose since may be wrong, or what is shown now.

    Less than what passes in three readings shows in none of them: it may as well have paused.
    """
    assume(counts * step_wh > 3 * power_w / 360 + 2 * step_wh)
    shows = while_(begin_s, begin_s + 10 * readings, lambda wh: wh - counts * step_wh)
    samples, flowed_wh = counting_up(shows, hours=3.9, power_w=power_w, step_wh=step_wh)
    rules = replace(meter(step_wh), look_back_ms=look_back_s * 1000, says_at_once=says_at_once)
    books = written(samples, rules)
    assert abs(books.booked_wh() - flowed_wh) <= step_wh
    assert books.unallocated == []
    books.check_chain("import")
    closed = [slot for slot in books.slots.values() if slot.direction == "import"]
    assert {slot.start_s for slot in closed} >= {BEGIN_S + n * 900 for n in range(15)}
    for slot in closed[1:]:
        assert slot.energy_uwh is not None and slot.uncertainty_uwh is not None
        off_wh = abs(slot.energy_uwh / WH - power_w / 4)
        assert off_wh <= slot.uncertainty_uwh / WH + step_wh, slot


@pytest.mark.parametrize("every_s", [10, 60])
@pytest.mark.parametrize("tells_power", [True, False])
@pytest.mark.parametrize("jitters_s", [10, 20, 50])
@pytest.mark.parametrize("counts", [-50, -20, -7, 7, 20, 50])
def test_one_that_jitters_comes_back_from_a_glitch_as_well(
    counts: int, jitters_s: int, tells_power: bool, every_s: int
) -> None:
    def shows(t: int, wh: int) -> float | None:
        by = (-1, 1, 0, -1, 1)[t // jitters_s % 5] if t > 1800 else 0
        return wh + 10 * (by + (counts if 7200 <= t < 7200 + 12 * every_s else 0))

    samples, _ = counting_up(
        shows, hours=4, power_w=0, step_wh=10, every_s=every_s, tells_power=tells_power
    )
    books = written(samples, meter(10))
    assert books.booked_wh() <= 20
    books.check_chain("import")
