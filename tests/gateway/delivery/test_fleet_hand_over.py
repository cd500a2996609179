"""The fleet delivers to the exchange in the gateway's place: whole slots from a boundary on, and
what the exchange says of them is shown as if it had been said here.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from gateway.delivery.by_fleet import ByFleet
from gateway.delivery.fleet_delivery import FleetDelivery
from gateway.delivery.handover import SILENT_S, Handover
from gateway.energy.slot import AssetSlot
from gateway.outbox.fleet.messages import Ack, Verdict
from gateway.outbox.item import EXCHANGE, Item
from gateway.outbox.owed import BY_FLEET, Owed, why_not_again
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.delivery.test_fleet_delivery import (
    ASSET,
    NOW_S,
    SITE,
    SLOT,
    Collector,
    a_delivery,
    running,
    until,
)
from tests.gateway.store.rig import SMALL, closing, slot

BOUNDARY_S = int(NOW_S) // SLOT * SLOT
FLEET = {"exchange": SimpleNamespace(deliver="fleet")}


def number(start_s: int, energy_uwh: int = 1000, **changes: Any) -> Owed:
    item = Item(EXCHANGE, ASSET, start_s, changes.pop("kind", "measurement"), 0, energy_uwh)
    closes_s = changes.pop("closes_s", None)
    return replace(Owed(item, SLOT, "measured", 0.0, closes_s), **changes)


def close(buffer: Buffer, start_s: int, *more: Owed, revision: int = 0) -> None:
    """A slot closes, and is owed to the exchange."""
    own = number(start_s, 1000 + revision).revised(revision)
    one = closing(replace(slot(start_s), revision=revision), own, *more)
    booked = AssetSlot(ASSET, start_s, SLOT, 1000 + revision, 5, "measured", revision)
    buffer.close(replace(one, asset_slots=(booked,)))
    buffer.flush()


def states(buffer: Buffer) -> dict[tuple[int, str, int], tuple[str, str]]:
    return {
        (o.item.slot_s, o.item.kind, o.item.revision): (o.state, o.reason) for o in buffer.owed()
    }


def verdict(start_s: int, state: Any = "accepted", reason: str = "", **changes: Any) -> Verdict:
    plain = Verdict(str(ASSET), start_s, "measurement", 0, state, reason, int(NOW_S))
    return replace(plain, **changes)


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[Buffer]:
    buffer = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
    yield buffer
    buffer.abandon()


@pytest.fixture
def handover(buffer: Buffer) -> Handover:
    return Handover(buffer, lambda: NOW_S, SLOT, str)


def due(buffer: Buffer) -> list[int]:
    found = buffer.outbox(EXCHANGE).due(NOW_S, since_s=None, limit=100)
    return [owed.item.slot_s for owed in found]


def test_each_slot_has_one_deliverer_over_changes_and_restarts(
    buffer: Buffer, handover: Handover
) -> None:
    deliver_of = buffer.tables.outbox.deliverers.of
    close(buffer, BOUNDARY_S - SLOT)
    handover.decide("direct", "fleet")
    assert deliver_of(BOUNDARY_S + 5 * SLOT) == "direct"
    foreseen = number(BOUNDARY_S + SLOT, kind="forecast", closes_s=BOUNDARY_S + SLOT - 15.0)
    buffer.close(closing(slot(BOUNDARY_S - 2 * SLOT), foreseen))
    handover.decide("fleet", "fleet")
    begins_s = BOUNDARY_S + 2 * SLOT
    assert deliver_of(begins_s - SLOT) == "direct", "its forecast is owed by the gateway already"
    assert deliver_of(begins_s) == "fleet"

    path = buffer.path
    buffer.close_file()
    again = open_buffer(path, SMALL, now_s=NOW_S)
    assert again.tables.outbox.deliverers.of(begins_s) == "fleet"
    close(again, begins_s)
    assert due(again) == [BOUNDARY_S - SLOT, BOUNDARY_S + SLOT], "what was owed before, only"

    later = Handover(again, lambda: NOW_S + 4 * SLOT, SLOT, str)
    later.decide("fleet", "fleet")
    later.decide("direct", "fleet")
    again.flush()
    assert again.tables.outbox.deliverers.of(begins_s + 2 * SLOT) == "fleet"
    assert again.tables.outbox.deliverers.of(begins_s + 3 * SLOT) == "direct"
    assert again.tables.outbox.deliverers.of(begins_s) == "fleet", "for ever"
    assert len([e for e in again.latest_events(100) if "deliverer" in e]) == 2
    again.abandon()


async def test_the_fleet_gets_measurements_and_forecasts_and_its_word_is_shown(
    broker: Broker, buffer: Buffer, tmp_path: Path
) -> None:
    await broker.start()
    handover = Handover(buffer, lambda: NOW_S - 3 * SLOT, SLOT, str)
    handover.decide("fleet", "fleet")
    close(buffer, BOUNDARY_S - 3 * SLOT)
    collector = Collector(broker.port)
    try:
        delivery = a_delivery(buffer, broker.port, tmp_path, FLEET)
        async with running(delivery):
            await until(lambda: delivery.snapshot(NOW_S).state == "ok")
            foreseen = number(BOUNDARY_S + SLOT, 555, kind="forecast", closes_s=NOW_S + 700)
            close(buffer, BOUNDARY_S - SLOT, foreseen)
            delivery.wake()
            await until(lambda: buffer.tables.changes.count()[0] == 0)
            for message in collector.heard:
                slots_s = {row.slot_s for each in message.items for row in each.rows}
                if message.seq:
                    expected = "direct" if slots_s == {BOUNDARY_S - 3 * SLOT} else "fleet"
                    assert message.deliver == expected
            rows = {
                (each.kind, row.slot_s): row.energy_uwh
                for message in collector.heard
                for each in message.items
                for row in each.rows
            }
            assert rows["forecast", BOUNDARY_S + SLOT] == 555
            assert rows["measurement", BOUNDARY_S - SLOT] == 1000
            assert states(buffer)[BOUNDARY_S - SLOT, "measurement", 0] == ("sent", "")
            assert states(buffer)[BOUNDARY_S + SLOT, "forecast", 0] == ("sent", "")
            assert states(buffer)[BOUNDARY_S - 3 * SLOT, "measurement", 0] == ("pending", "")
            store = buffer.tables.changes.store
            assert store is not None
            words = [
                verdict(BOUNDARY_S - SLOT),
                verdict(BOUNDARY_S + SLOT, "rejected", "too late", kind="forecast"),
                verdict(BOUNDARY_S - 3 * SLOT),
            ]
            collector.say(Ack(store, verdicts=words))
            await until(
                lambda: states(buffer)[BOUNDARY_S - SLOT, "measurement", 0][0] == "accepted"
            )
    finally:
        collector.close()
    assert states(buffer) == {
        (BOUNDARY_S - 3 * SLOT, "measurement", 0): ("pending", ""),
        (BOUNDARY_S - SLOT, "measurement", 0): ("accepted", BY_FLEET),
        (BOUNDARY_S + SLOT, "forecast", 0): ("rejected", f"too late; {BY_FLEET}"),
    }
    [rejected] = [owed for owed in buffer.owed() if owed.state == "rejected"]
    assert "its manager" in why_not_again(rejected, NOW_S)
    assert not any(owed.assumed for owed in buffer.owed())


def test_a_word_on_an_older_number_waits_for_that_on_the_newest(
    buffer: Buffer, handover: Handover
) -> None:
    buffer.tables.changes.join()
    handover.decide("fleet", "fleet")
    start_s = BOUNDARY_S + SLOT
    close(buffer, start_s)
    close(buffer, start_s, revision=1)
    newest = buffer.tables.changes.newest(10)
    buffer.tables.changes.stored([(newest[1].seq, newest[1].seq)], NOW_S)
    assert states(buffer)[start_s, "measurement", 1][0] == "pending", "it has a number of its own"
    buffer.tables.changes.stored([(newest[0].seq, newest[0].seq)], NOW_S)
    handover.told([verdict(start_s)])
    assert states(buffer)[start_s, "measurement", 1] == ("sent", "")
    handover.told([verdict(start_s, revision=1)])
    assert states(buffer)[start_s, "measurement", 1] == ("accepted", BY_FLEET)
    assert states(buffer)[start_s, "measurement", 0][0] == "missed"
    assert handover.journal.counts.accepted == 1
    handover.told([verdict(start_s, asset="no uuid"), verdict(7), verdict(start_s, revision=1)])
    assert handover.journal.counts.accepted == 1, "nothing new"


def test_what_the_fleet_says_nothing_of_is_sent_again_and_taken_back_when_it_goes(
    buffer: Buffer,
) -> None:
    now_s = NOW_S
    handover = Handover(buffer, lambda: now_s, SLOT, str)
    changes = buffer.tables.changes
    changes.join()
    handover.decide("fleet", "fleet")
    start_s = BOUNDARY_S + SLOT
    close(buffer, start_s)
    assert handover.unspoken() == []
    changes.stored([(1, 1 << 50)], NOW_S, "asset of another site")
    assert states(buffer)[start_s, "measurement", 0] == ("sent", "asset of another site")
    now_s = start_s + SLOT + SILENT_S + 1
    assert handover.unspoken() == [start_s]
    changes.note_slots(handover.unspoken())
    assert [change.slot_s for change in changes.newest(10)] == [start_s]
    changes.leave()
    assert states(buffer)[start_s, "measurement", 0] == ("pending", "")
    assert due(buffer) == [start_s]
    assert changes.store is None
    changes.leave()  # and again, at the next start


@pytest.fixture
def own() -> Iterator[SimpleNamespace]:
    """What delivers from here, as ByFleet uses it."""

    async def run() -> None:
        made.runs += 1
        await asyncio.sleep(3600)

    made = SimpleNamespace(runs=0, turned_s=1.0, longest_turn_s=5.0, wake=lambda: None)
    made.run = run
    yield made


def by_fleet(buffer: Buffer, handover: Handover, own: Any, now_s: float = NOW_S) -> ByFleet:
    return ByFleet(
        cast(Any, SimpleNamespace(destination=EXCHANGE)),
        buffer.outbox(EXCHANGE),
        buffer.tables.changes.handed,
        handover,
        own,
        dialect="sdk",
        url="https://exchange.example",
        now=lambda: now_s,
        trusted=lambda: True,
    )


async def test_what_was_owed_before_goes_from_here_and_then_no_session_is_open(
    buffer: Buffer, handover: Handover, own: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.delivery.by_fleet.OWN_LOOK_S", 0.05)
    monkeypatch.setattr("gateway.delivery.by_fleet.LOOK_S", 0.05)
    close(buffer, BOUNDARY_S - SLOT)
    handover.decide("fleet", "fleet")
    close(buffer, BOUNDARY_S + SLOT)
    exchange = by_fleet(buffer, handover, lambda: own)
    async with running(cast(FleetDelivery, exchange)):
        await until(lambda: own.runs == 1)
        items = [o.item for o in buffer.owed() if o.item.slot_s < BOUNDARY_S]
        buffer.outbox(EXCHANGE).record(items, "accepted", "", NOW_S)
        await until(lambda: exchange._own is None)
        report = exchange.snapshot(NOW_S)
        assert (report.state, report.backlog, report.verdicts) == (
            "by the fleet",
            1,
            "by the fleet",
        )
        assert report.healthy(NOW_S, NOW_S - 10_000)
        await asyncio.sleep(0.2)
        assert own.runs == 1, "what the fleet delivers opens none"


async def test_without_a_login_it_is_said_what_cannot_be_delivered(
    buffer: Buffer, handover: Handover
) -> None:
    close(buffer, BOUNDARY_S - SLOT)
    handover.decide("fleet", "fleet")
    exchange = by_fleet(buffer, handover, None)
    async with running(cast(FleetDelivery, exchange)):
        await until(lambda: exchange.snapshot(NOW_S).last_error)
    assert "names no credentials" in exchange.snapshot(NOW_S).last_error


def test_a_fleet_that_says_nothing_is_told_of(buffer: Buffer, handover: Handover) -> None:
    buffer.tables.changes.join()
    handover.decide("fleet", "fleet")
    close(buffer, BOUNDARY_S + SLOT)
    buffer.tables.changes.stored([(1, 1 << 50)], NOW_S)
    later_s = NOW_S + 8 * SLOT
    report = by_fleet(buffer, handover, None, later_s).snapshot(later_s)
    assert report.state == "no verdicts"
    assert not report.healthy(later_s, NOW_S)
    assert "has said nothing yet" in report.last_error


async def test_a_copied_card_is_found_out_and_neither_forgets_what_only_the_other_sent(
    broker: Broker, buffer: Buffer, tmp_path: Path
) -> None:
    await broker.start()
    collector = Collector(broker.port)
    collector.says = False
    try:
        delivery = a_delivery(buffer, broker.port, tmp_path)
        async with running(delivery):
            await until(lambda: delivery.snapshot(NOW_S).state == "connected")
            close(buffer, BOUNDARY_S - SLOT)
            delivery.wake()
            await until(lambda: any(m.seq for m in collector.heard))
            store = buffer.tables.changes.store
            assert store is not None
            newest = buffer.tables.changes.newest_seq
            assert newest > NOW_S * 1000, "numbers are near the time"
            collector.say(Ack(store, stored=[(newest, newest + 7)]))
            await until(lambda: buffer.tables.changes.store != store)
            assert buffer.tables.changes.count()[0] == 1, "it is not forgotten"
            collector.says = True
            await until(lambda: buffer.tables.changes.count()[0] == 0)
        buffer.flush()
        assert "another gateway that is called home-12" in " ".join(buffer.latest_events())
    finally:
        collector.close()


async def test_who_has_never_heard_a_word_is_told_what_to_look_at(
    broker: Broker, buffer: Buffer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.delivery.fleet_words.UNHEARD_S", 0.2)
    await broker.start()
    close(buffer, BOUNDARY_S - SLOT)
    delivery = a_delivery(buffer, broker.port, tmp_path)
    async with running(delivery):
        await until(lambda: delivery.snapshot(NOW_S).state == "unheard")
        report = delivery.snapshot(NOW_S)
        assert f"mg/v1/{SITE}/slots" in report.last_error
        assert "no collector has ever said a word" in report.last_error
        assert report.errors == 1, "once"
        assert not report.healthy(NOW_S, NOW_S - 10)
