"""Which changes go to a collector next: everything goes in the end, the newest first, and a backlog
one parcel at a time.
"""

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.fleet.shipping import RESEND_S, Change, Shipping, spans_of
from tests.draws import draws

SLOT = 900
NOW_S = 1_750_000_500 // SLOT * SLOT + 100.0


def shipping(jitter: float = 0.5, spread_s: float = 30.0) -> Shipping:
    return Shipping(SLOT, spread_s, lambda: jitter)


def changes(*ages: int) -> list[Change]:
    """Of slots that closed so many slots ago, numbered as they closed."""
    boundary_s = int(NOW_S) // SLOT * SLOT
    found = [Change(1000 - age, boundary_s - (age + 1) * SLOT) for age in ages]
    return sorted(found, key=lambda c: -c.slot_s)


def test_what_has_just_closed_goes_before_the_backlog_which_goes_one_by_one() -> None:
    ship, there = shipping(), changes(*range(300))
    live = ship.next(there, NOW_S, 0.0)
    assert live is not None
    assert (live.channel, [c.seq for c in live.changes]) == ("slots", [1000, 999])
    ship.sent(live, 0.0)
    old = ship.next(there, NOW_S, 0.0)
    assert old is not None
    assert (old.channel, len(old.changes), old.changes[0].seq) == ("backlog", 96, 998)
    ship.sent(old, 0.0)
    assert ship.next(there, NOW_S, 1.0) is None, "the next parcel waits for its word"
    ship.done([(903, 998)])
    left = [c for c in there if c.seq not in range(903, 999)]
    following = ship.next(left, NOW_S, 1.0)
    assert following is not None
    assert following.changes[0].seq == 902


def test_each_home_waits_for_a_moment_of_its_own_after_a_slot() -> None:
    ship, there = shipping(jitter=0.9), changes(0)
    boundary_s = int(NOW_S) // SLOT * SLOT
    assert ship.next(there, boundary_s + 26.0, 0.0) is None
    assert ship.wait_s(boundary_s + 26.0, 0.0) == 1.0
    assert ship.next(there, boundary_s + 27.0, 0.0) is not None


def test_what_is_not_acknowledged_goes_again_later_each_time() -> None:
    ship, there = shipping(), changes(0)
    loop_s, waits = 0.0, []
    for _ in range(9):
        parcel = ship.next(there, NOW_S, loop_s)
        assert parcel is not None
        ship.sent(parcel, loop_s)
        wait_s = ship.wait_s(NOW_S, loop_s)
        assert ship.next(there, NOW_S, loop_s + wait_s - 0.01) is None
        loop_s += wait_s
        waits.append(wait_s)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == RESEND_S


def test_homes_that_were_cut_off_together_do_not_come_back_together() -> None:
    waits = set()
    for n in range(10):
        ship = Shipping(SLOT, 30.0, lambda n=n: n / 10)  # type: ignore[misc]
        parcel = ship.next(changes(0), NOW_S, 0.0)
        assert parcel is not None
        ship.sent(parcel, 0.0)
        waits.add(ship.wait_s(NOW_S, 0.0))
    assert len(waits) == 10
    assert max(waits) - min(waits) > 5


@draws(50)
@given(st.sets(st.integers(0, 400), min_size=1), st.integers(0, 2**32))
def test_whatever_is_lost_everything_is_acknowledged_in_the_end(ages: set[int], seed: int) -> None:
    rng = Random(seed)
    ship = Shipping(SLOT, 30.0, rng.random)
    there = {c.seq: c for c in changes(*ages)}
    loop_s = 0.0
    for _ in range(5_000):
        if not there:
            break
        left = sorted(there.values(), key=lambda c: (-c.slot_s, -c.seq))
        parcel = ship.next(left, NOW_S, loop_s)
        if parcel is None:
            loop_s += max(ship.wait_s(NOW_S, loop_s), 0.01)
            continue
        ship.sent(parcel, loop_s)
        if rng.random() < 0.5:
            stored = spans_of(c.seq for c in parcel.changes)
            ship.done(stored)
            for change in parcel.changes:
                del there[change.seq]
    assert not there


@given(st.lists(st.integers(0, 50)))
def test_spans_have_exactly_these_numbers(numbers: list[int]) -> None:
    spans = spans_of(numbers)
    assert {n for begin, end in spans for n in range(begin, end + 1)} == {*numbers}
    assert all(a[1] + 1 < b[0] for a, b in pairwise(spans)), "no two touch"
