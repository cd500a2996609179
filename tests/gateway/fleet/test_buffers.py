"""What becomes of a gateway's buffer, and of the database, between real ones: a lost card, a copied
one, a restored backup, a database that was put back. Each ends with the right numbers.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.delivery.fleet_delivery import FleetDelivery
from gateway.fleet.settings import FleetSettings
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.a_gateway import RESEND_S, a_delivery, close, truth_of
from tests.gateway.fleet.homes import SLOT_S, Truth, collecting, stored, until
from tests.gateway.fleet.postgres import Postgres
from tests.gateway.fleet.test_collector import add_sites
from tests.gateway.store.rig import SMALL

pytestmark = pytest.mark.xdist_group("postgres")

SITE = "home-1"
NOW_S = int(time.time()) // SLOT_S * SLOT_S
FIRST_S = NOW_S - 20 * SLOT_S


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.outbox.fleet.shipping.RESEND_S", RESEND_S)


@contextlib.asynccontextmanager
async def a_gateway(folder: Path, port: int) -> AsyncIterator[tuple[Buffer, FleetDelivery]]:
    """Its buffer, and what delivers it."""
    folder.mkdir(exist_ok=True)
    buffer = open_buffer(folder / "buffer.sqlite", SMALL, now_s=NOW_S)
    delivery = a_delivery(buffer, SITE, port, folder)
    task = asyncio.create_task(delivery.run())
    try:
        yield buffer, delivery
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        buffer.close_file()


def settle(buffer: Buffer, first: int, slots: int, seed: int = 0) -> Truth:
    """So many slots close, beginning with that one of twenty."""
    first_s = FIRST_S + first * SLOT_S
    for slot_s in range(first_s, first_s + slots * SLOT_S, SLOT_S):
        close(buffer, SITE, slot_s, seed)
    return truth_of(SITE, first_s, slots, seed)


async def delivered(buffer: Buffer, delivery: FleetDelivery) -> None:
    """Nothing is owed any more."""
    delivery.wake()
    await until(lambda: delivery.snapshot(NOW_S).last_success_s is not None, "it is heard")
    await until(lambda: buffer.tables.changes.count()[0] == 0, "all is stored")


def beside(postgres: Postgres, database: str) -> Truth:
    """What clashed with what was there."""
    rows = postgres.rows(
        "SELECT a.uuid::text, extract(epoch FROM c.slot)::bigint, c.revision, "
        "(c.row->>'energy_uwh')::bigint FROM fleet.clashes c JOIN fleet.assets a ON a.id = c.asset",
        dbname=database,
    )
    return {row[:3]: row[3] for row in rows}


def stores(postgres: Postgres, database: str) -> int:
    [(count,)] = postgres.rows("SELECT count(*) FROM fleet.stores", dbname=database)
    return int(count)


async def test_after_a_lost_card_what_was_stored_stays_and_the_rest_comes(
    fleet: FleetSettings, broker: Broker, postgres: Postgres, tmp_path: Path
) -> None:
    database = add_sites(postgres, fleet, SITE)
    async with collecting(fleet):
        async with a_gateway(tmp_path / "box", broker.port) as (buffer, delivery):
            before = settle(buffer, 0, 10)
            await delivered(buffer, delivery)
        shutil.rmtree(tmp_path / "box")
        async with a_gateway(tmp_path / "box", broker.port) as (buffer, delivery):
            known_less = settle(buffer, 9, 1, seed=1)
            after = settle(buffer, 10, 10)
            await delivered(buffer, delivery)
    assert stored(postgres, database) == before | after
    assert beside(postgres, database) == known_less
    assert stores(postgres, database) == 2


async def test_a_restored_backup_changes_nothing_that_is_stored_and_loses_nothing(
    fleet: FleetSettings, broker: Broker, postgres: Postgres, tmp_path: Path
) -> None:
    database = add_sites(postgres, fleet, SITE)
    async with collecting(fleet):
        async with a_gateway(tmp_path / "box", broker.port) as (buffer, delivery):
            before = settle(buffer, 0, 5)
            await delivered(buffer, delivery)
        shutil.copytree(tmp_path / "box", tmp_path / "backup")
        async with a_gateway(tmp_path / "box", broker.port) as (buffer, delivery):
            lost = settle(buffer, 5, 5)
            await delivered(buffer, delivery)
            numbers = buffer.tables.changes.newest_seq
        shutil.rmtree(tmp_path / "box")
        shutil.copytree(tmp_path / "backup", tmp_path / "box")
        async with a_gateway(tmp_path / "box", broker.port) as (buffer, delivery):
            await delivered_once(delivery)
            assert buffer.tables.changes.newest_seq > numbers, "none is given twice"
            known_less = settle(buffer, 9, 1, seed=1)
            after = settle(buffer, 10, 10)
            await delivered(buffer, delivery)
            buffer.flush()
            assert "both are kept" in " ".join(buffer.latest_events())
    assert stored(postgres, database) == before | lost | after
    assert beside(postgres, database) == known_less
    assert stores(postgres, database) == 1


async def delivered_once(delivery: FleetDelivery) -> None:
    """It is connected."""
    await until(lambda: delivery.snapshot(NOW_S).state in ("connected", "ok"), "it is connected")


async def test_two_gateways_with_copies_of_one_buffer_both_say_so_and_lose_nothing(
    fleet: FleetSettings, broker: Broker, postgres: Postgres, tmp_path: Path
) -> None:
    database = add_sites(postgres, fleet, SITE)
    async with collecting(fleet, housekeeping_s=0.3) as collector:
        async with a_gateway(tmp_path / "box", broker.port) as (buffer, delivery):
            before = settle(buffer, 0, 5)
            await delivered(buffer, delivery)
        shutil.copytree(tmp_path / "box", tmp_path / "copy")
        async with (
            a_gateway(tmp_path / "box", broker.port) as (one, of_one),
            a_gateway(tmp_path / "copy", broker.port) as (other, of_other),
        ):
            await delivered_once(of_one)
            await delivered_once(of_other)
            mine = settle(one, 5, 5)
            await delivered(one, of_one)
            theirs = settle(other, 10, 5)
            other_says = settle(other, 9, 1, seed=1)
            await delivered(other, of_other)
            mine |= settle(one, 15, 5)
            await delivered(one, of_one)
            directory = collector.writer.directory
            await until(
                lambda: max(directory.newest_stores.values(), default=0) > 1,
                "each has a name of its own",
            )
            close(one, SITE, NOW_S)
            close(other, SITE, NOW_S)
            mine |= truth_of(SITE, NOW_S, 1)
            await delivered(one, of_one)
            await delivered(other, of_other)
            for each in (one, other):
                each.flush()
            said = [" ".join(each.latest_events(50)) for each in (one, other)]
    assert all("gateways of one name" in each or "was the card copied" in each for each in said)
    assert stored(postgres, database) == before | mine | theirs
    assert beside(postgres, database) == other_says


async def test_what_a_restored_database_lacks_comes_again_also_of_today_and_beside_a_clash(
    fleet: FleetSettings,
    broker: Broker,
    postgres: Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.delivery.fleet_delivery.DIGEST_S", 1.0)
    monkeypatch.setattr("gateway.delivery.fleet_delivery._LOOK_S", 0.5)
    database = add_sites(postgres, fleet, SITE)
    async with collecting(fleet):
        async with a_gateway(tmp_path / "box", broker.port) as (buffer, delivery):
            before = settle(buffer, 0, 10)
            await delivered(buffer, delivery)
        shutil.rmtree(tmp_path / "box")
        async with a_gateway(tmp_path / "box", broker.port) as (buffer, delivery):
            settle(buffer, 9, 1, seed=1)
            after = settle(buffer, 10, 10)
            await delivered(buffer, delivery)
            for table in ("asset_slots", "meter_slots"):
                with postgres.connect(database) as admin:
                    admin.execute(
                        f"DELETE FROM fleet.{table} WHERE slot >= to_timestamp(%s)",
                        (FIRST_S + 13 * SLOT_S,),
                    )
            everything = before | after
            assert stored(postgres, database) != everything
            await until(lambda: stored(postgres, database) == everything, "all is there again")
    rows = postgres.rows("SELECT count(*) FROM fleet.meters", dbname=database)
    assert rows == [(40,)], "meters' slots as well"
