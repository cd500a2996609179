"""In which order what is owed goes, and what the store knows of deliveries: revisions, what the
exchange holds, a person's word.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.energy.slot import MeterState
from gateway.outbox.item import Item
from gateway.outbox.owed import LIVE_SLOTS, Confirmations, Held, Owed, live_since_s, urgency
from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer, open_for_deciding
from gateway.store.rows import Closing

NOW_S = 1_774_746_000
A, B = (UUID(int=n) for n in (1, 2))
SLOT = 900
HOUR = 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Buffer]:
    opened = open_buffer(tmp_path / "buffer.sqlite", now_s=NOW_S)
    yield opened
    opened.close_file()


def item(slot_s: int, revision: int = 0, uwh: int = 7_000_000, asset: UUID = A) -> Item:
    return Item("exchange", asset, slot_s, "measurement", revision, uwh)


def owed(what: Item, **changes: Any) -> Owed:
    return replace(Owed(what, SLOT, "measured", what.slot_s + SLOT + 1, None), **changes)


def keep(store: Buffer, *rows: Owed) -> None:
    store.close(Closing("grid", 1, MeterState("A", 0, 900_000, {}), (), rows, ()))
    store.flush()


def states(store: Buffer) -> list[tuple[int, int, str]]:
    return [(o.item.slot_s, o.item.revision, o.state) for o in store.owed()]


# --- the order ------------------------------------------------------------------------------------

due = st.lists(
    st.builds(
        lambda back, closes_s: owed(item(NOW_S - back * SLOT), closes_s=closes_s),
        st.integers(1, 3000),
        st.one_of(st.none(), st.floats(NOW_S + 1, NOW_S + 900)),
    ),
    min_size=1,
    max_size=60,
)


@given(due, st.floats(0, SLOT - 1), st.sampled_from([0.0, HOUR, 4 * HOUR]))
def test_what_is_due_goes_by_deadline_then_live_then_what_still_counts_then_the_rest(
    found: list[Owed], into_s: float, settlement_s: float
) -> None:
    now_s = NOW_S + into_s
    order = sorted(found, key=lambda o: urgency(o, now_s, SLOT, settlement_s))
    assert sorted(map(repr, order)) == sorted(map(repr, found)), "nothing is left out"

    def band(o: Owed) -> int:
        age_s = now_s - o.item.slot_s
        if o.closes_s is not None:
            return 0
        if age_s < (LIVE_SLOTS + 1) * SLOT:
            return 1
        return 2 if age_s < settlement_s else 3

    bands = [band(o) for o in order]
    assert bands == sorted(bands)
    in_band = [[o for o in order if band(o) == n] for n in range(4)]
    closes = [o.closes_s or 0.0 for o in in_band[0]]
    assert closes == sorted(closes)
    live, counts, rest = ([o.item.slot_s for o in band] for band in in_band[1:])
    assert live == sorted(live, reverse=True), "the newest first"
    assert counts == sorted(counts), "what loses its settlement next first"
    assert rest == sorted(rest)


def test_a_slot_is_live_until_so_many_others_have_ended_after_it() -> None:
    assert (
        live_since_s(NOW_S, SLOT)
        == live_since_s(NOW_S + SLOT - 1, SLOT)
        == NOW_S - LIVE_SLOTS * SLOT
    )


# --- revisions ------------------------------------------------------------------------------------


def test_of_two_revisions_the_newer_one_goes_and_the_older_one_is_not_owed_any_more(
    store: Buffer,
) -> None:
    keep(store, owed(item(900)), owed(item(900, 1, 8)), owed(item(1800)))
    found = store.outbox("exchange").due(NOW_S, since_s=None, limit=10)
    assert [(o.item.slot_s, o.item.revision) for o in found] == [(900, 1), (1800, 0)]
    store.outbox("exchange").record([item(900, 1)], "accepted", "", NOW_S)
    assert states(store) == [(900, 0, "missed"), (900, 1, "accepted"), (1800, 0, "pending")]
    assert next(o.reason for o in store.owed()) == "replaced by revision 1 of this slot"


def test_where_the_newer_revision_is_rejected_the_older_one_goes(store: Buffer) -> None:
    keep(store, owed(item(900)), owed(item(900, 1, 8)))
    store.outbox("exchange").record([item(900, 1)], "rejected", "no", NOW_S)
    assert [
        o.item.revision for o in store.outbox("exchange").due(NOW_S, since_s=None, limit=10)
    ] == [0]


def test_an_older_revision_is_not_sent_after_a_newer_one_was_accepted(store: Buffer) -> None:
    keep(store, owed(item(900, 1, 8)))
    store.outbox("exchange").record([item(900, 1)], "accepted", "", NOW_S)
    keep(store, owed(item(900)))
    assert store.outbox("exchange").due(NOW_S, since_s=None, limit=10) == []


# --- what the exchange holds ----------------------------------------------------------------------


def accepted(store: Buffer, *items: Item, at_s: float = NOW_S) -> None:
    keep(store, *map(owed, items))
    store.outbox("exchange").record(items, "accepted", "", at_s)


def unconfirmed(
    store: Buffer, before_s: float = NOW_S + 1, since_s: int = 0
) -> list[tuple[int, int]]:
    return [
        (i.slot_s, i.revision)
        for i in store.outbox("exchange").unconfirmed(before_s, since_s=since_s, limit=10)
    ]


def test_what_was_accepted_is_unconfirmed_newest_first_until_it_is_found(store: Buffer) -> None:
    accepted(store, item(900), item(1800), item(2700))
    accepted(store, item(3600), at_s=NOW_S + 5)
    keep(store, owed(item(4500)))
    assert unconfirmed(store) == [(2700, 0), (1800, 0), (900, 0)]
    assert unconfirmed(store, since_s=1800) == [(2700, 0), (1800, 0)]
    assert store.outbox("exchange").record_held([Held(item(1800), 7_000_000)], NOW_S + 9) == []
    assert unconfirmed(store) == [(2700, 0), (900, 0)]
    assert store.outbox("exchange").confirmations(0) == Confirmations(3, 0)
    found = {o.item.slot_s: o for o in store.owed()}
    assert (found[1800].state, found[1800].confirmed_s, found[1800].held_uwh) == (
        "accepted",
        NOW_S + 9,
        None,
    )


def test_an_undated_number_a_forecast_and_a_replaced_revision_are_not_asked_for(
    store: Buffer,
) -> None:
    undated, forecast = (
        owed(item(900), closes_s=NOW_S + 5.0),
        owed(Item("exchange", A, 1800, "forecast", 0, 1), closes_s=NOW_S + 5.0),
    )
    keep(store, undated, forecast)
    store.outbox("exchange").record([undated.item, forecast.item], "accepted", "", NOW_S)
    accepted(store, item(2700), item(2700, 1))
    assert unconfirmed(store) == [(2700, 1)]


def test_what_is_held_otherwise_is_owed_once_more_and_never_again(store: Buffer) -> None:
    accepted(store, item(900), item(1800))
    assert store.outbox("exchange").record_held(
        [Held(item(900), 5_500_000), Held(item(1800), None)], NOW_S
    ) == [
        item(900),
        item(1800),
    ]
    assert [(o.state, o.reason, o.held_uwh) for o in store.owed()] == [
        ("pending", "was accepted, but the exchange holds 5.5 Wh; it is sent once more", 5_500_000),
        ("pending", "was accepted, but the exchange holds nothing; it is sent once more", None),
    ]
    assert store.outbox("exchange").record_held([Held(item(900), 5)], NOW_S) == [], (
        "what waits is not judged"
    )
    store.outbox("exchange").record([item(900), item(1800)], "accepted", "", NOW_S)
    assert unconfirmed(store) == [(1800, 0), (900, 0)]
    assert (
        store.outbox("exchange").record_held(
            [Held(item(900), None), Held(item(1800), 7_000_000)], NOW_S
        )
        == []
    )
    assert states(store) == [(900, 0, "accepted"), (1800, 0, "accepted")]
    assert unconfirmed(store) == []
    assert store.outbox("exchange").confirmations(0) == Confirmations(0, 1)
    assert "accepted twice" in next(store.owed()).reason


# --- a person's word ------------------------------------------------------------------------------


def test_what_a_person_decides_is_seen_by_the_daemon_and_survives_a_failed_try(
    store: Buffer,
) -> None:
    keep(store, owed(item(900)), owed(item(1800), state="rejected", reason="no"))
    assert not store.outbox("exchange").changed_elsewhere
    person = open_for_deciding(store.path)
    assert not store.outbox("exchange").changed_elsewhere, "looking is no change"
    assert person.give_up([item(900), item(1800)], "the meter was in a box", NOW_S) == 1
    assert person.retry([item(1800)]) == 1
    person.close_file()
    assert store.outbox("exchange").changed_elsewhere
    assert not store.outbox("exchange").changed_elsewhere, "it is told once"
    store.outbox("exchange").record([item(900)], "pending", "timeout", NOW_S)
    assert [(o.state, o.reason) for o in store.owed()] == [
        ("missed", "the meter was in a box"),
        ("pending", ""),
    ]
    store.outbox("exchange").record([item(900)], "accepted", "", NOW_S)
    assert next(store.owed()).state == "accepted", "it was under way, and the exchange took it"


def test_a_store_that_cannot_be_decided_in_says_why(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no buffer yet"):
        open_for_deciding(tmp_path / "none.sqlite")
    (tmp_path / "noise.sqlite").write_bytes(b"noise" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        open_for_deciding(tmp_path / "noise.sqlite")
