"""Registers that begin at 0 again, and show something else before they count."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from drivers.sample import Sample
from tests.draws import draws
from tests.gateway.energy.samples import meter, sample
from tests.gateway.energy.written import written

RESET_S, LIES_S, COUNTS_S, END_S = 3600, 6000, 10_200, 14_400


def begun_anew(
    counts: int, readings: int, *, step_wh: int, every_s: int, tells_power: bool, power_w: int
) -> tuple[list[Sample], float]:
    """Samples of a register that is set to 0, where nothing flows, shows so many counts for so many
    readings, and counts from 0 on when something does; and what flowed, in Wh.
    """
    samples = []
    for t in range(0, END_S + 1, every_s):
        flows = t > COUNTS_S
        flowed_wh = power_w * (t - COUNTS_S) / 3600 if flows else 0
        shown = 60_000 if t < RESET_S else int(flowed_wh) // step_wh * step_wh
        if LIES_S <= t < LIES_S + readings * every_s:
            shown = counts * step_wh
        shown_w = float(power_w) if flows else 0.0
        samples.append(sample(t, shown, shown_w if tells_power else None))
    return samples, power_w * (END_S - COUNTS_S) / 3600


@draws(40)
@example(50, 1, 1, 10, True, 0)  # the first that is not 0
@example(50, 30, 1, 10, True, 300)
@example(5, 1, 100, 60, False, 0)
@example(7, 60, 10, 60, False, 300)
@example(32_768, 2, 1, 10, True, 0)  # more than the fuse carries between two readings
@example(65_536, 1, 1, 10, True, 0)
@given(
    st.integers(1, 70_000),
    st.integers(1, 100),
    st.sampled_from([1, 10, 100]),
    st.sampled_from([10, 60]),
    st.booleans(),
    st.sampled_from([0, 300]),
)
def test_what_such_a_register_shows_before_it_counts_has_not_flowed(
    counts: int, readings: int, step_wh: int, every_s: int, tells_power: bool, look_back_s: int
) -> None:
    # Several readings above where it stood are a jump from there, and so is one that could be.
    assume(counts * step_wh < 60_000 or (readings == 1 and tells_power))
    samples, flowed_wh = begun_anew(
        counts,
        min(readings, (COUNTS_S - LIES_S) // every_s - 10),
        step_wh=step_wh,
        every_s=every_s,
        tells_power=tells_power,
        power_w=900,
    )
    books = written(samples, replace(meter(step_wh), look_back_ms=look_back_s * 1000))
    assert flowed_wh - 2 * step_wh <= books.booked_wh() <= flowed_wh + 2 * step_wh
    assert books.unallocated_wh() == 0
    assert "reset" in books.kinds()
    books.check_chain("import")


@pytest.mark.parametrize("step_wh", [1, 10, 100])
@pytest.mark.parametrize("tells_power", [True, False])
def test_what_flows_as_soon_as_such_a_register_begins_is_booked(
    step_wh: int, tells_power: bool
) -> None:
    samples = []
    for t in range(0, 7201, 10):
        flowed_wh = 6000 * max(t - 3600, 0) / 3600
        shown = 60_000 if t < RESET_S else int(flowed_wh) // step_wh * step_wh
        power_w = 6000.0 if t >= 3600 else 0.0
        samples.append(sample(t, shown, power_w if tells_power else None))
    books = written(samples, meter(step_wh))
    assert abs(books.booked_wh() - 6000) <= step_wh
    books.check_chain("import")
