"""Streams that get no word: one item of each in each slot, and nothing of others waits for that."""

from collections.abc import Sequence
from uuid import UUID

from gateway.outbox.dialects import load_dialect
from gateway.outbox.format import Accepted, Sent
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.outbox.schedule import Portion, Schedule

A, B = UUID(int=1), UUID(int=2)
SLOT = 900
T0 = 1_774_746_000


class Outbox:
    """Pending measurements; it counts how many were looked at."""

    def __init__(self, assets: Sequence[UUID], slots: int) -> None:
        self.pending = {
            Item("exchange", asset, T0 - n * SLOT, "measurement", 0, 1)
            for n in range(2, slots + 2)
            for asset in assets
        }
        self.looked_at = 0

    def __call__(self, *, since_s: int | None, limit: int) -> list[Owed]:
        found = sorted(item for item in self.pending if item.slot_s >= (since_s or 0))[:limit]
        self.looked_at += len(found)
        return [Owed(item, SLOT, "measured", 0.0, None) for item in found]


def schedule() -> Schedule:
    return Schedule(load_dialect("sdk", "n", SLOT), SLOT, 3600.0)


def sends(plan: Schedule, outbox: Outbox, now_s: float) -> list[Portion]:
    """All that goes at that time; the wire takes it."""
    found = []
    while portion := plan.next(outbox, now_s, "all"):
        found.append(portion)
        outbox.pending -= set(portion.items)
        plan.settle(portion, Sent(), now_s)
    return found


def test_of_a_silent_stream_one_item_goes_in_each_slot_and_all_when_it_is_heard() -> None:
    outbox, plan = Outbox([A], 50), schedule()
    [first, *others] = sends(plan, outbox, T0)
    outbox.pending |= {item for portion in (first, *others) for item in portion.items}
    assert plan.miss_words({(A, "measurement")}, T0 + 30) == {(A, "measurement")}
    assert plan.miss_words({(A, "measurement")}, T0 + 30) == set(), "that is no news"

    for n in range(1, 4):
        [tried] = sends(plan, outbox, T0 + n * SLOT)
        assert len(tried.items) == 1
        outbox.pending |= set(tried.items)
    assert plan.hear({(A, "measurement")}) == {(A, "measurement")}
    assert sum(len(p.items) for p in sends(plan, outbox, T0 + 3 * SLOT + 1)) == 50


def test_what_is_silent_holds_up_nothing_else() -> None:
    outbox, plan = Outbox([A, B], 300), schedule()
    plan.miss_words({(A, "measurement")}, T0)
    portions = sends(plan, outbox, T0)
    assert {item.subject for portion in portions for item in portion.items} == {B}
    assert sum(len(portion.items) for portion in portions) == 300


def test_a_year_of_silent_slots_is_not_looked_through_over_and_over() -> None:
    outbox, plan = Outbox([A], 10_000), schedule()
    plan.miss_words({(A, "measurement")}, T0)
    assert plan.next(outbox, T0, "all") is None
    outbox.looked_at = 0
    for n in range(1, 100):
        assert plan.next(outbox, T0 + n, "all") is None
    assert outbox.looked_at < 1_000
    assert plan.next(outbox, T0 + SLOT, "all") is not None


def test_a_clock_that_is_set_back_does_not_keep_a_silent_stream_from_its_try() -> None:
    outbox, plan = Outbox([A], 3), schedule()
    plan.miss_words({(A, "measurement")}, T0 + 40 * SLOT)
    portion = plan.next(outbox, T0, "all")
    assert portion is not None
    plan.settle(portion, Accepted(), T0)
