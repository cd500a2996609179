"""When a meter is read: every interval, and on every slot boundary."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.collect.turns import next_due_s

UNIX_S = st.floats(1.6e9, 2.2e9, allow_nan=False)
INTERVAL_S = st.sampled_from([0.1, 0.3, 0.7, 1.0, 1.1, 2.5, 7.0, 10.0, 30.0, 60.0, 450.0])
SLOT_S = st.sampled_from([5, 15, 60, 300, 900, 3600, 86400])


@given(UNIX_S, INTERVAL_S, SLOT_S)
def test_the_next_read_is_later_and_within_one_interval(
    after_s: float, interval_s: float, slot_s: int
) -> None:
    due_s = next_due_s(after_s, interval_s, slot_s)
    assert after_s < due_s <= after_s + interval_s + 1e-6


@given(UNIX_S, INTERVAL_S, SLOT_S)
def test_a_read_falls_on_every_slot_boundary(
    after_s: float, interval_s: float, slot_s: int
) -> None:
    boundary_s = (after_s // slot_s + 1) * slot_s
    before_s = max(after_s, boundary_s - 20 * interval_s)
    for _ in range(25):
        due_s = next_due_s(before_s, interval_s, slot_s)
        assert before_s < due_s <= boundary_s
        if due_s == boundary_s:
            return
        before_s = due_s
    raise AssertionError(f"no read at {boundary_s}")


@given(st.integers(16 * 10**9, 22 * 10**9), st.sampled_from([0.1, 0.3, 0.7, 1.1, 2.5]))
def test_a_read_at_a_due_time_is_followed_by_another_time(n: int, interval_s: float) -> None:
    at_s = n * interval_s / 10
    assert next_due_s(at_s, interval_s, 900) > at_s


def test_reads_go_on_one_interval_apart_with_the_boundary_where_it_does_not_divide() -> None:
    due = [1_800_000_000.0]
    for _ in range(6):
        due.append(next_due_s(due[-1], 7, 15))
    offsets = [t - 1_800_000_000 for t in due]
    assert offsets == sorted(set(offsets))
    assert 15.0 in offsets
    assert 30.0 in offsets


def test_reads_of_an_aligned_interval_fall_on_the_clock() -> None:
    assert next_due_s(1_800_000_003.2, 10, 900) == 1_800_000_010
    assert next_due_s(1_800_000_010.0, 10, 900) == 1_800_000_020
