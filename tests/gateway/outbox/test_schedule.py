"""What goes next: a model of an outbox and a destination, and what must hold whatever it says."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.outbox.dialects import load_dialect
from gateway.outbox.format import Accepted, Format, Margins, Outcome, Rejected, Retry, Sent
from gateway.outbox.item import Item, Kind
from gateway.outbox.owed import LIVE_SLOTS, Owed
from gateway.outbox.schedule import (
    GROWTH,
    MAX_REJECTIONS_IN_A_ROW,
    Allowed,
    Portion,
    Schedule,
    halves,
)
from tests.draws import draws

NETWORK = "8a2c0f5e-93a1-4a5e-b5f5-0c7f2f1d3f10"
A, B, C = (UUID(int=n) for n in (1, 2, 3))
SLOT = 900
NOW = 1_774_746_000 + 10.0
"""Ten seconds into a slot."""
SDK: Format = load_dialect("sdk", NETWORK, SLOT)


def before(slots: int) -> int:
    """The start of the slot that many slots before the running one."""
    return int(NOW) // SLOT * SLOT - slots * SLOT


def owed(asset: UUID, slots_ago: int, kind: Kind = "measurement", revision: int = 0) -> Owed:
    slot_s = before(slots_ago)
    window = SDK.window(kind, slot_s, Margins(1.0, 15.0))
    item = Item("exchange", asset, slot_s, kind, revision, 1_000 + slots_ago)
    return Owed(item, SLOT, "measured", opens_s=window.opens_s, closes_s=window.closes_s)


@dataclass
class Books:
    """An outbox, as much of it as a schedule sees."""

    owed: list[Owed]
    states: dict[Item, str] = field(default_factory=dict)
    tries: Counter[Item] = field(default_factory=Counter)

    def due(self, *, since_s: int | None, limit: int) -> Sequence[Owed]:
        pending = [
            each
            for each in self.owed
            if each.item not in self.states
            and each.opens_s <= NOW
            and (since_s is None or each.item.slot_s >= since_s)
            and not any(self.replaces(other.item, each.item) for other in self.owed)
        ]
        return sorted(pending, key=lambda each: each.item.slot_s)[:limit]

    def replaces(self, newer: Item, item: Item) -> bool:
        """Whether a newer revision stands, be it sent or not."""
        same = (newer.subject, newer.kind, newer.slot_s) == (item.subject, item.kind, item.slot_s)
        return same and newer.revision > item.revision and self.states.get(newer) != "rejected"

    def settle(self, portion: Portion, outcome: Outcome) -> None:
        """As the uploader writes it down."""
        self.tries.update(portion.items)
        if isinstance(outcome, Accepted | Sent):
            self.states.update(dict.fromkeys(portion.items, "accepted"))
        elif isinstance(outcome, Rejected) and not halves(portion, outcome):
            self.states.update(dict.fromkeys(portion.items, "rejected"))


def schedule() -> Schedule:
    return Schedule(SDK, SLOT, settlement_s=3600.0)


def sent_until_empty(books: Books, outcomes: dict[Item, Outcome] | None = None) -> list[Portion]:
    """Deliver all; a batch with an item that has an outcome of its own gets that."""
    plan, sent = schedule(), []
    while portion := plan.next(books.due, NOW, "all"):
        bad = (outcomes or {}).keys() & set(portion.items)
        outcome = (outcomes or {})[min(bad)] if bad else Accepted()
        books.settle(portion, outcome)
        plan.settle(portion, outcome, NOW)
        sent.append(portion)
        assert len(sent) < 1_000
    return sent


slots_ago = st.integers(1, 40)
some_owed = st.lists(
    st.builds(owed, st.sampled_from([A, B, C]), slots_ago),
    max_size=40,
    unique_by=lambda each: (each.item.subject, each.item.slot_s),
)


@given(some_owed)
def test_everything_is_sent_once(items: list[Owed]) -> None:
    books = Books(items)
    sent_until_empty(books)
    assert books.states == dict.fromkeys((each.item for each in items), "accepted")
    assert set(books.tries.values()) <= {1}


@given(some_owed)
def test_live_slots_go_first_then_what_is_settled_then_the_rest(items: list[Owed]) -> None:
    ranks = []
    for portion in sent_until_empty(Books(items)):
        starts = [item.slot_s for item in portion.items]
        ages = [(before(0) - start_s) // SLOT for start_s in starts]
        # A slot's settlement ends an hour after its start: of those since, four can still be.
        ranks.append([0 if age <= LIVE_SLOTS else 1 if age <= 3 else 2 for age in ages])
    flat = [rank for portion in ranks for rank in portion]
    assert flat == sorted(flat)


@given(some_owed, st.data())
def test_one_bad_number_costs_no_other(items: list[Owed], data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.sampled_from(items))) if items else set()
    books = Books(items)
    sent_until_empty(books, {each.item: Rejected("answered 400") for each in bad})
    rejected = {item for item, state in books.states.items() if state == "rejected"}
    assert rejected == {each.item for each in bad}
    assert books.states.keys() == {each.item for each in items}


def test_what_is_rejected_as_a_whole_is_not_halved() -> None:
    books = Books([owed(A, n) for n in range(1, 9)])
    refusal = Rejected("answered 404", whole=True)
    sent = sent_until_empty(books, {each.item: refusal for each in books.owed})
    assert [len(portion.items) for portion in sent] == [2, 1, 5]
    assert set(books.states.values()) == {"rejected"}


def test_after_a_failure_batches_grow_from_one() -> None:
    books, plan = Books([owed(A, n) for n in range(10, 1_010)]), schedule()
    sizes = []
    outcomes: list[Outcome] = [Retry("lost", answered=False), *[Accepted()] * 5]
    for outcome in outcomes:
        portion = plan.next(books.due, NOW, "all")
        assert portion is not None
        sizes.append(len(portion.items))
        books.settle(portion, outcome)
        plan.settle(portion, outcome, NOW)
    assert sizes == [1_000, 1, GROWTH, GROWTH**2, GROWTH**3, 1_000 - 1 - 8 - 64 - 512]


def test_a_stream_that_fails_alone_goes_last_and_one_by_one() -> None:
    books, plan = Books([owed(asset, n) for asset in (A, B) for n in (1, 2)]), schedule()
    order = []
    for _ in range(4):
        portion = plan.next(books.due, NOW, "all")
        assert portion is not None
        (asset,) = {item.subject for item in portion.items}
        outcome: Outcome = Retry("answered 503") if asset == A else Accepted()
        order.append((asset, len(portion.items)))
        books.settle(portion, outcome)
        plan.settle(portion, outcome, NOW)
    assert order == [(A, 2), (B, 1), (B, 1), (A, 1)]


def test_while_everything_fails_the_streams_take_turns() -> None:
    books, plan = Books([owed(asset, n) for asset in (A, B, C) for n in (1, 2)]), schedule()
    order = []
    for _ in range(7):
        portion = plan.next(books.due, NOW, "all")
        assert portion is not None
        order.append(portion.items[0].subject)
        plan.settle(portion, Retry("answered 503"), NOW)
    assert order[0] == A
    assert A not in order[1:], "it failed while nothing else did, so it goes last"
    assert [set(order[n : n + 2]) for n in (1, 3, 5)] == [{B, C}] * 3


@pytest.mark.parametrize(
    ("allowed", "slots", "goes"),
    [
        ("nothing", 1, False),
        ("just_closed", 1, True),
        ("just_closed", 2, False),
        ("all", 2, True),
    ],
)
def test_while_it_is_given_time_only_a_slot_that_has_just_closed_goes(
    allowed: Allowed, slots: int, goes: bool
) -> None:
    portion = schedule().next(Books([owed(A, slots)]).due, NOW, allowed)
    assert (portion is not None) == goes


def test_what_has_closed_meanwhile_is_not_sent() -> None:
    forecast = replace(owed(A, -1, "forecast"), closes_s=NOW + 5)
    plan, books = schedule(), Books([forecast])
    portion = plan.next(books.due, NOW, "all")
    assert portion is not None
    assert portion.closes_s == NOW + 5
    assert not portion.closed(NOW)
    assert portion.closed(NOW + 5)


def test_a_destination_that_rejects_all_is_given_time() -> None:
    books, plan = Books([owed(A, n) for n in range(10, 300)]), schedule()
    while not plan.rejects_everything:
        portion = plan.next(books.due, NOW, "all")
        assert portion is not None
        outcome = Rejected("answered 400")
        books.settle(portion, outcome)
        plan.settle(portion, outcome, NOW)
    assert plan.rejections == MAX_REJECTIONS_IN_A_ROW
    portion = plan.next(books.due, NOW, "all")
    assert portion is not None
    assert len(portion.items) == 1
    books.settle(portion, Accepted())
    plan.settle(portion, Accepted(), NOW)
    assert not plan.rejects_everything


@draws(200)
@given(
    some_owed,
    st.lists(
        st.sampled_from(
            [
                Accepted(),
                Sent(),
                Rejected("no"),
                Rejected("no", whole=True),
                Retry("503"),
                Retry("lost", answered=False),
            ]
        ),
        max_size=60,
    ),
)
def test_whatever_it_says_only_what_is_owed_is_sent_and_nothing_is_forgotten(
    items: list[Owed], outcomes: list[Outcome]
) -> None:
    books, plan = Books(items), schedule()
    for outcome in outcomes:
        portion = plan.next(books.due, NOW, "all")
        if portion is None:
            break
        assert portion.items
        assert len({(item.subject, item.kind) for item in portion.items}) == 1
        assert not set(portion.items) & books.states.keys(), "it was decided already"
        assert [batch.items for batch in SDK.encode(portion.items, "")] == [portion.items]
        books.settle(portion, outcome)
        plan.settle(portion, outcome, NOW)
    while portion := plan.next(books.due, NOW, "all"):
        books.settle(portion, Accepted())
        plan.settle(portion, Accepted(), NOW)
    assert books.states.keys() == {each.item for each in items}


OUTCOMES = [Accepted(), Sent(), Rejected("no"), Retry("503"), Retry("lost", answered=False)]


@draws(200)
@given(
    st.lists(
        st.tuples(st.none() | st.integers(1, 8), st.sampled_from(OUTCOMES)),
        min_size=4,
        max_size=60,
    )
)
def test_no_number_goes_after_a_newer_one_of_the_same_slot_was_taken(
    steps: list[tuple[int | None, Outcome]],
) -> None:
    """Slots are written anew while what was planned for the outage's slots is still going."""
    books, plan = Books([owed(A, n) for n in range(1, 9)]), schedule()
    revisions: Counter[int] = Counter()
    for slots_ago, outcome in steps:
        if slots_ago is not None:
            revisions[slots_ago] += 1
            books.owed.append(owed(A, slots_ago, revision=revisions[slots_ago]))
        if (portion := plan.next(books.due, NOW, "all")) is None:
            continue
        taken = [item for item, state in books.states.items() if state == "accepted"]
        for item in portion.items:
            assert not any(books.replaces(newer, item) for newer in taken), item
        books.settle(portion, outcome)
        plan.settle(portion, outcome, NOW)
