"""A series whose beginning turns out to have been none: the register that was read first was not
the meter's.
"""

from itertools import pairwise

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.energy.assets import Direction
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.slot import MeterState
from tests.draws import draws
from tests.gateway.energy.samples import BEGIN_S, SLOT_MS, fold, meter, sample
from tests.gateway.energy.streams import METERS, Truth, stream
from tests.gateway.energy.written import Written, written

BEGINNINGS = st.lists(
    st.tuples(
        st.sampled_from([10_000, 300_000, 900_000, 4_000_000]),
        st.integers(0, 15_000),
        st.integers(0, 15_000),
        st.sampled_from(["", "zero", "flip", "huge", "no import", "nothing", "reset", "swap"]),
    ),
    max_size=20,
)


@draws(60)
@example(
    Truth(1, False, mj={"import": 1_000_000_000_000, "export": 0}),
    [(300_000, 900, 0, fault) for fault in ["swap", "", "zero", "zero", "zero", "zero", "zero"]],
)
@given(METERS, BEGINNINGS)
def test_every_slot_since_the_first_reading_is_in_the_books_wherever_the_series_begins_at_last(
    truth: Truth, steps: list[tuple[int, int, int, str]]
) -> None:
    good = [(300_000, 900, 0, "")] * 12
    books = Written()
    first_s: dict[Direction, int] = {}
    for each in stream(truth, [*steps, *good]):
        assert each.utc_ms is not None
        books.write(advance(books.state, each, meter(truth.resolution_wh)))
        assert books.state is not None
        for direction in books.state.directions:
            first_s.setdefault(direction, (each.utc_ms - each.utc_ms % SLOT_MS) // 1000)

    for direction, begun_s in first_s.items():
        starts_s = {start_s for _, one, start_s in books.slots if one == direction}
        wanted_s = range(begun_s, max(starts_s), SLOT_MS // 1000)
        assert not [start_s for start_s in wanted_s if start_s not in starts_s]


def test_what_is_missing_before_the_beginning_is_written_once_and_where_the_counter_begins() -> (
    None
):
    first = [sample(0, 0.0, 120.0), sample(1000, 9e6, 120.0)]
    samples = [*first, *(sample(300 * n, 5000.0 + 10 * n, 120.0) for n in range(7, 25))]
    books = written(samples, meter())
    slots = [
        slot for (_, direction, _), slot in sorted(books.slots.items()) if direction == "import"
    ]
    assert [(slot.start_s - BEGIN_S) // 900 for slot in slots] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert [slot.quality for slot in slots[:3]] == ["missing", "missing", "partial"]
    assert all(slot.energy_uwh == 30 * WH for slot in slots[3:])
    assert all(a.end_uwh == b.begin_uwh for a, b in pairwise(slots))
    assert {slot.revision for slot in slots} == {0}


def test_a_state_of_the_version_before_which_did_not_say_what_is_missing_goes_on() -> None:
    samples = [sample(0, 0.0, 120.0), *(sample(300 * n, 5000.0 + 10 * n) for n in range(1, 9))]
    rules = meter()
    state, _, _ = fold(samples[:2], rules)
    stored = msgspec.json.decode(msgspec.json.encode(state))
    del stored["missed_from_ms"]
    for each in stored["directions"].values():
        del each["slot"]["missed_from_ms"]
    old = msgspec.json.decode(msgspec.json.encode(stored), type=MeterState)
    assert fold(samples[2:], rules, old) == fold(samples[2:], rules, state)
