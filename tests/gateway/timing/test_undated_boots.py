"""Boots whose clock was never right get a place between their neighbours."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.timing.undated_boots import Dating, Stretch, date_boots

HOUR_MS = 3_600_000
NOON_MS = 1_800_000_000_000


def date(stretches: list[Stretch], this_boot_id: str, this_boot_ms: int) -> list[Dating]:
    return date_boots(stretches, this_boot_id, this_boot_ms, 6 * HOUR_MS)


def test_samples_of_this_boot_get_the_time_they_were_taken_at() -> None:
    assert date([Stretch("now", HOUR_MS, None, None, None)], "now", NOON_MS) == [
        Dating("now", NOON_MS)
    ]


def test_a_boot_that_was_dated_in_part_is_dated_by_that_part() -> None:
    assert date([Stretch("b", HOUR_MS, NOON_MS, None, None)], "now", NOON_MS + 9 * HOUR_MS) == [
        Dating("b", NOON_MS)
    ]


def test_a_boot_between_two_that_were_dated_is_put_in_the_middle_of_the_room_it_has() -> None:
    found = date(
        [Stretch("b", HOUR_MS, None, NOON_MS, NOON_MS + 5 * HOUR_MS)], "now", NOON_MS + 99 * HOUR_MS
    )
    assert found == [
        Dating("b", NOON_MS + 2 * HOUR_MS, True, NOON_MS, NOON_MS + 5 * HOUR_MS, 4 * HOUR_MS)
    ]
    [other] = date(
        [Stretch("b", HOUR_MS, None, NOON_MS, NOON_MS + 8 * HOUR_MS)], "now", NOON_MS + 99 * HOUR_MS
    )
    assert other.undatable, "seven hours are too many"


def test_pauses_between_boots_in_a_row_are_taken_to_be_equally_long() -> None:
    row = [Stretch("b", HOUR_MS, None, NOON_MS, None), Stretch("c", 2 * HOUR_MS, None, None, None)]
    found = date(row, "now", NOON_MS + 9 * HOUR_MS)
    assert [(p.offset_ms - NOON_MS) / HOUR_MS for p in found] == [2, 5]


def test_with_nothing_known_before_a_boot_is_put_as_late_as_can_be() -> None:
    row = [Stretch("b", HOUR_MS, None, None, None), Stretch("c", 2 * HOUR_MS, None, None, None)]
    found = date(row, "now", NOON_MS)
    assert [(p.offset_ms - NOON_MS) / HOUR_MS for p in found] == [-3, -2]
    assert [p.slack_ms for p in found] == [None, None]


def test_where_the_clocks_contradict_each_other_nothing_comes_before_what_was_dated() -> None:
    [found] = date(
        [Stretch("b", HOUR_MS, None, NOON_MS, NOON_MS + HOUR_MS // 2)], "now", NOON_MS + HOUR_MS
    )
    assert (found.offset_ms, found.floor_ms) == (NOON_MS - HOUR_MS // 2, NOON_MS)


BOOTS = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.booleans()), min_size=1, max_size=8
)
"""Pause before, length, whether its clock was right in the end."""


@given(BOOTS, st.booleans())
def test_every_boot_has_its_length_in_its_order_and_where_it_may_have_been(
    boots: list[tuple[int, int, bool]], first_known: bool
) -> None:
    at_ms = NOON_MS
    truth: list[tuple[int, int, bool]] = []
    for pause_ms, length_ms, right in boots:
        truth.append((at_ms + pause_ms, length_ms, right))
        at_ms += pause_ms + length_ms
    end_of_last: int | None = NOON_MS if first_known else None
    stretches: list[Stretch] = []
    for n, (begin_ms, length_ms, right) in enumerate(truth):
        after_ms = next((b for b, _, is_right in truth[n + 1 : n + 2] if is_right), None)
        if not right:
            stretches.append(Stretch(f"boot-{n}", length_ms, None, end_of_last, after_ms))
        end_of_last = begin_ms + length_ms if right else None
    found = {p.boot_id: p for p in date(stretches, "now", at_ms + 1000)}
    assert len(found) == len(stretches)
    before_ms = 0
    for n, (begin_ms, length_ms, right) in enumerate(truth):
        place_ms = begin_ms if right else found[f"boot-{n}"].offset_ms
        assert place_ms >= before_ms, "in order, and none while another ran"
        before_ms = place_ms + length_ms
        if not right:
            p = found[f"boot-{n}"]
            assert p.inferred
            assert p.floor_ms <= begin_ms
            assert begin_ms + length_ms <= p.until_ms, "the truth is among the places it may have"
            if p.slack_ms is not None:
                assert abs(place_ms - begin_ms) <= p.slack_ms
    assert before_ms <= at_ms + 1000
