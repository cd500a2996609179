"""What several destinations are owed is kept apart; what was sent awaits its answer; asset slots
are there without any.
"""

from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from gateway.energy.slot import AssetSlot
from gateway.outbox.item import Item, SeriesKey, Subject
from gateway.outbox.owed import Backlog, Owed, State
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from tests.gateway.store.rig import ASSETS, DAY_S, NOW_S, SMALL, closing, keep, owed, slot

GRID = SeriesKey("grid", "import")


def owed_to(destination: str, slot_s: int, subject: Subject = ASSETS[0], **changes: Any) -> Owed:
    plain = owed(slot_s, **changes)
    return replace(plain, item=replace(plain.item, destination=destination, subject=subject))


def states(store: Buffer, destination: str | None = None) -> list[tuple[str, State]]:
    return [(o.item.destination, o.state) for o in store.owed(destination=destination)]


def test_each_destination_sees_and_decides_its_own(store: Buffer) -> None:
    keep(
        store,
        owed_to("exchange", 900, closes_s=2000.0),
        owed_to("fleet", 900, GRID, closes_s=3000.0),
        owed_to("fleet", 1800, GRID),
    )
    exchange, fleet = store.outbox("exchange"), store.outbox("fleet")
    assert [o.item.slot_s for o in exchange.due(100, since_s=None, limit=10)] == [900]
    assert [o.item for o in fleet.due(100, since_s=None, limit=10)] == [
        Item("fleet", GRID, 900, "measurement", 0, 7_000_000),
        Item("fleet", GRID, 1800, "measurement", 0, 7_000_000),
    ]
    assert (exchange.backlog(), fleet.backlog()) == (Backlog(1, 900, 2000), Backlog(2, 900, 3000))
    assert (exchange.next_change_s(100), fleet.next_change_s(100)) == (2000, 3000)
    assert exchange.expire(2500) == [owed_to("exchange", 900).item]
    assert fleet.expire(2500) == []
    fleet.record([owed_to("fleet", 900, GRID).item], "accepted", "", 2600)
    assert states(store) == [
        ("exchange", "missed"),
        ("fleet", "accepted"),
        ("fleet", "pending"),
    ]
    assert states(store, "fleet") == [("fleet", "accepted"), ("fleet", "pending")]
    assert exchange.unconfirmed(10**10, since_s=0, limit=10) == []
    assert store.newest_owed(GRID, 900, "fleet") is not None
    assert store.newest_owed(GRID, 900) is None


def test_all_that_is_owed_comes_in_the_order_of_slots_whoever_it_is_owed_to(store: Buffer) -> None:
    rows = [
        owed_to(name, start_s, asset)
        for start_s in (900, 1800, 2700)
        for asset in ASSETS[:2]
        for name in ("a", "b", "exchange")
    ]
    keep(store, *reversed(rows))
    assert list(store.owed()) == rows
    assert list(store.owed(1800, 2700)) == rows[6:12]


def test_what_was_sent_is_still_owed_and_not_due(store: Buffer) -> None:
    keep(store, owed(900), owed(1800))
    outbox = store.outbox("exchange")
    outbox.record(
        [owed(900).item], "sent", "", 1000, sent_s=999.5, answer="queued", transaction_id="t-1"
    )
    assert [o.item.slot_s for o in outbox.due(2000, since_s=None, limit=10)] == [1800]
    assert outbox.backlog() == Backlog(1, 900, None, sent=1)
    (sent, _) = store.owed()
    assert (sent.state, sent.attempts, sent.decided_s, sent.answer) == ("sent", 1, None, "queued")
    assert (sent.first_sent_s, sent.last_sent_s, sent.transaction_id) == (999.5, 999.5, "t-1")
    store.prune(NOW_S + 500 * DAY_S)
    assert [o.state for o in store.owed()] == ["sent", "pending"], "neither goes by age"
    assert outbox.expire(10**10) == []


@pytest.mark.parametrize("state", sorted({*get_args(State)} - {"sent", "missed"}))
def test_the_destinations_word_on_what_was_sent_is_no_new_attempt(
    store: Buffer, state: State
) -> None:
    keep(store, owed(900))
    outbox = store.outbox("exchange")
    outbox.record([owed(900).item], "sent", "", 1000)
    outbox.record([owed(900).item], state, "its word", 1100, answer="x" * 500)
    (found,) = store.owed()
    assert (found.state, found.reason, found.attempts) == (state, "its word", 1)
    assert (found.first_sent_s, found.last_sent_s, found.answer) == (1000, 1000, "x" * 120)
    assert found.decided_s == (None if state == "pending" else 1100)
    assert outbox.backlog().sent == 0
    assert store.damage() == []


def test_what_nobody_answered_is_owed_again(store: Buffer) -> None:
    keep(store, *(owed(n * 900, closes_s=n * 900 + 10_000.0) for n in range(3)))
    outbox = store.outbox("exchange")
    items = [o.item for o in store.owed()]
    outbox.record(items[:1], "sent", "", 1000)
    outbox.record(items[1:2], "sent", "", 2000)
    assert outbox.expire(2000) == []
    assert outbox.owe_unanswered(1500, "no answer") == 1
    assert outbox.owe_unanswered(1500, "no answer") == 0
    assert [(o.state, o.reason) for o in store.owed()] == [
        ("pending", "no answer"),
        ("sent", ""),
        ("pending", ""),
    ]
    assert outbox.next_change_s(2000) == 10_000, "its window counts again"
    outbox.record(items[:1], "sent", "", 3000)
    (again, *_) = store.owed()
    assert (again.attempts, again.first_sent_s, again.last_sent_s) == (2, 1000, 3000)


def test_an_older_revision_is_not_sent_after_a_newer_one_that_awaits_its_answer(
    store: Buffer,
) -> None:
    keep(store, owed(900), owed(900).revised(1), owed(900).revised(2))
    outbox = store.outbox("exchange")
    old, middle, new = (o.item for o in store.owed())
    outbox.record([middle], "sent", "", 1000)
    outbox.record([new], "sent", "", 1001)
    assert outbox.due(2000, since_s=None, limit=10) == []
    outbox.record([new], "accepted", "", 1100)
    assert [(o.state, o.reason) for o in store.owed()] == [
        ("missed", "replaced by revision 2 of this slot"),
        ("missed", "replaced by revision 2 of this slot"),
        ("accepted", ""),
    ]
    assert old.revision == 0


def test_a_person_may_give_up_what_was_sent(store: Buffer) -> None:
    keep(store, owed(900))
    outbox = store.outbox("exchange")
    outbox.record([owed(900).item], "sent", "", 1000)
    assert store.give_up([owed(900).item], "given up", 1100) == 1
    outbox.record([owed(900).item], "pending", "no answer", 1200)
    assert [o.state for o in store.owed()] == ["missed"]
    outbox.record([owed(900).item], "accepted", "", 1300)
    assert [o.state for o in store.owed()] == ["accepted"], "it took it all the same"


def test_nothing_is_written_that_nobody_gave(store: Buffer) -> None:
    keep(store, owed(900))
    store.outbox("exchange").record([owed(900).item], "accepted", "", 1000)
    (found,) = store.owed()
    assert (found.first_sent_s, found.last_sent_s) == (None, None)
    assert (found.answer, found.transaction_id) == (None, None)


# --- what is removed ------------------------------------------------------------------------------


def asset_slot(start_s: int, asset: int = 0, **changes: Any) -> AssetSlot:
    return replace(AssetSlot(ASSETS[asset], start_s, 900, 5, None, "measured"), **changes)


@pytest.mark.parametrize("state", get_args(State))
def test_slots_stay_as_long_as_any_destination_is_owed_them(store: Buffer, state: State) -> None:
    old_s = NOW_S - 401 * DAY_S
    keep(store, slot(old_s - 900), slot(old_s), owed_to("exchange", old_s, state="accepted"))
    store.close(
        replace(
            closing(owed_to("fleet", old_s, GRID, state=state)),
            asset_slots=(asset_slot(old_s - 900), asset_slot(old_s)),
        )
    )
    store.prune(NOW_S)
    kept = [old_s] if state in ("pending", "sent") else []
    assert [each.start_s for each in store.slots()] == kept
    assert [each.start_s for each in store.asset_slots()] == kept
    assert states(store) == [("fleet", state)] * len(kept)


# --- asset slots ----------------------------------------------------------------------------------


def test_an_asset_slot_comes_back_as_it_was_also_before_it_is_written(store: Buffer) -> None:
    rows = (
        asset_slot(900, energy_uwh=-7, uncertainty_uwh=3, imported=True),
        asset_slot(900, 1, energy_uwh=None, quality="missing"),
        asset_slot(1800),
    )
    store.close(replace(closing(slot(900)), asset_slots=rows))
    assert [store.asset_slot(each.asset, each.start_s) for each in rows] == list(rows)
    assert list(store.asset_slots()) == []
    store.flush()
    assert [store.asset_slot(each.asset, each.start_s) for each in rows] == list(rows)
    assert list(store.asset_slots()) == list(rows)
    assert list(store.asset_slots(901, 1801)) == [rows[2]]
    assert store.asset_slot(ASSETS[2], 900) is None
    assert store.damage() == []


def test_an_asset_slot_is_replaced_by_a_later_revision_only(store: Buffer) -> None:
    def write(*rows: AssetSlot) -> None:
        store.close(replace(closing(), asset_slots=rows))
        store.flush()

    write(asset_slot(900))
    write(asset_slot(900, energy_uwh=6))
    assert list(store.asset_slots()) == [asset_slot(900)]
    write(asset_slot(900, energy_uwh=6, quality="estimated", revision=1))
    write(asset_slot(900, energy_uwh=9, revision=1))
    assert list(store.asset_slots()) == [
        asset_slot(900, energy_uwh=6, quality="estimated", revision=1)
    ]
    store.close(replace(closing(), asset_slots=(asset_slot(900, energy_uwh=8, revision=2),)))
    found = store.asset_slot(ASSETS[0], 900)
    assert found is not None and found.energy_uwh == 8


def test_a_slot_keeps_how_uncertain_it_is_and_that_it_was_brought_in(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    store = open_buffer(path, SMALL, now_s=NOW_S)
    rows = [slot(900, uncertainty_uwh=7), slot(1800, imported=True)]
    keep(store, *rows)
    store.close_file()
    store = open_buffer(path, SMALL, now_s=NOW_S)
    assert list(store.slots()) == rows
    assert store.damage() == []
    store.close_file()
