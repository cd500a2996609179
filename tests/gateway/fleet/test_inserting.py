"""The two ways in which rows get into a real PostgreSQL: both come to the same, whatever came
before and in whatever order.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.energy.slot import Quality
from gateway.fleet import inserting, migrating, writing
from gateway.fleet.database import Connection, connect
from gateway.fleet.inbox import Delivered
from gateway.fleet.inserting import NotThisWay
from gateway.fleet.settings import FleetSettings
from gateway.fleet.writing import Taken, Writer
from gateway.outbox.fleet.messages import AssetRow, AssetRows, Slots, encode
from tests.gateway.fleet.conftest import ready
from tests.gateway.fleet.homes import SLOT_S, Home, asset_of
from tests.gateway.fleet.postgres import Postgres
from tests.gateway.fleet.test_collector import add_sites

pytestmark = pytest.mark.xdist_group("postgres")

NOW_S = int(time.time()) // SLOT_S * SLOT_S
SITES = ("home-1", "home-2", "home-3")

TOLD = (
    "SELECT asset, slot, kind, revision, length_s, energy_uwh, uncertainty_uwh, quality "
    "FROM fleet.asset_slots ORDER BY 1, 2, 3, 4",
    "SELECT series, slot, revision, length_s, energy_uwh, uncertainty_uwh, begin_register_uwh, "
    "end_register_uwh, samples, largest_gap_ms, coverage_permille, quality, method, clock "
    "FROM fleet.meter_slots ORDER BY 1, 2, 3",
    "SELECT day, asset, length_s, expected, slots, known, estimated, energy_uwh, revised "
    "FROM fleet.days ORDER BY 1, 2",
    "SELECT asset, slot, kind, length_s, revision, energy_uwh, state, told, reason "
    "FROM fleet.deliveries ORDER BY 1, 2, 3",
    "SELECT asset FROM fleet.exchange_assets ORDER BY 1",
    "SELECT asset, series, slot, kind, revision, row FROM fleet.clashes ORDER BY row::text, id",
)


async def write(connection: Connection, writer: Writer, *payloads: tuple[str, bytes]) -> None:
    """As a collector stores what comes at once."""
    await writer.directory.refresh(connection)
    batch = [writer.read(Delivered(site, payload, NOW_S)) for site, payload in payloads]
    assert all(isinstance(each, Taken) for each in batch), batch
    await writer.write(connection, batch)  # type: ignore[arg-type]


def told(postgres: Postgres, settings: FleetSettings) -> list[Any]:
    return [postgres.rows(query, dbname=settings.file.database.name) for query in TOLD]


@dataclass
class Ways:
    """How often each way was gone to its end."""

    new: int = 0
    not_this_way: int = 0
    any: int = 0

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        own_new, own_any = inserting.insert_new, inserting.insert_any

        async def insert_new(*args: Any) -> Any:
            try:
                found = await own_new(*args)
            except NotThisWay:
                self.not_this_way += 1
                raise
            self.new += 1
            return found

        async def insert_any(*args: Any) -> Any:
            self.any += 1
            return await own_any(*args)

        monkeypatch.setattr(writing, "insert_new", insert_new)
        monkeypatch.setattr(writing, "insert_any", insert_any)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Ways:
    found = Ways()
    found.watch(monkeypatch)
    return found


def forecasts(site: str, slots_s: list[int], revision: int, by: str, uwh: int) -> bytes:
    item = AssetRows(
        asset_of(site, 0), "forecast", SLOT_S,
        [AssetRow(s, revision, uwh + s % 7, "estimated") for s in slots_s],
    )  # fmt: skip
    return encode(Slots(1, site, "store-1", [(1, 1)], "0.1.0", NOW_S, by, [item]))  # type: ignore[arg-type]


def drawn_batches(draw: random.Random) -> list[list[tuple[str, bytes]]]:
    """What three homes send in a while: slots, corrected and forecast ones, some not known, some
    again, some with another value; who delivers them changes.
    """
    homes = {site: Home(site) for site in SITES}
    copies = {site: Home(site, seed=1) for site in SITES}
    sent: list[tuple[str, bytes]] = []
    batches = []
    for _ in range(8):
        batch = []
        for _ in range(draw.randint(1, 6)):
            site = draw.choice(SITES)
            home = copies[site] if draw.random() < 0.1 else homes[site]
            home.by = draw.choice(("fleet", "fleet", "direct"))
            first_s = NOW_S - draw.randint(2, 150) * SLOT_S
            many = draw.choice((1, 1, 3, 40))
            revision = draw.choice((0, 0, 0, 1, 2))
            if draw.random() < 0.25:
                slots_s = [first_s + n * SLOT_S for n in range(many)]
                batch.append((site, forecasts(site, slots_s, revision, home.by, many)))
                continue
            seqs = [home.close(first_s + n * SLOT_S, revision) for n in range(many)]
            message = home.slots(seqs, NOW_S)
            if draw.random() < 0.4:
                quality: Quality = draw.choice(("missing", "estimated", "partial"))
                for item in message.items:
                    row = item.rows[0]
                    known = None if quality == "missing" else row.energy_uwh
                    item.rows[0] = AssetRow(row.slot_s, row.revision, known, quality)
            batch.append((site, encode(message)))
        batch += draw.sample(sent, min(len(sent), draw.choice((0, 0, 1, 3))))
        sent += batch
        batches.append(batch)
    return batches


@pytest.mark.parametrize("seed", range(6))
async def test_both_ways_come_to_the_same(
    postgres: Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ways: Ways,
    seed: int,
) -> None:
    batches = drawn_batches(random.Random(seed))
    found = []
    for name in ("as it is", "by INSERT alone"):
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        settings = await ready(postgres, folder, 1)
        add_sites(postgres, settings, *SITES)
        connection = await connect(settings)
        await connection.execute("UPDATE fleet.settings SET value = 'Europe/Berlin' "
                                 "WHERE name = 'timezone'")  # fmt: skip
        await connection.execute("SELECT fleet.add_month(now() - interval '2 days')")
        if name == "by INSERT alone":
            assert ways.new > 2, "the other was no test of COPY"
            monkeypatch.setattr(writing, "insert_new", inserting.insert_any)
        writer = Writer()
        for batch in batches:
            await write(connection, writer, *batch)
        await connection.close()
        found.append(told(postgres, settings))
    for one, other in zip(*found, strict=True):
        assert one == other
    assert found[0][3], "nothing is owed"


async def test_a_first_revision_after_its_correction_is_not_owed(
    connection: Connection, settings: FleetSettings, postgres: Postgres, ways: Ways
) -> None:
    """The correction was delivered by the home itself, so that nothing else tells of it."""
    add_sites(postgres, settings, "home-1")
    writer, late_s = Writer(), NOW_S - 2 * SLOT_S
    home = Home("home-1", by="direct")
    corrected = home.message([home.close(late_s, revision=1)], NOW_S)
    await write(connection, writer, ("home-1", corrected))
    await write(connection, writer, ("home-1", forecasts("home-1", [late_s], 1, "direct", 5)))
    home = Home("home-1")
    first = home.message([home.close(late_s), home.close(late_s - SLOT_S)], NOW_S)
    await write(connection, writer, ("home-1", first))
    foreseen = forecasts("home-1", [late_s, late_s + SLOT_S], 0, "fleet", 5)
    await write(connection, writer, ("home-1", foreseen))
    assert (ways.new, ways.not_this_way) == (4, 0)
    owed = postgres.rows(
        "SELECT kind::text, extract(epoch FROM slot)::bigint, count(*) FROM fleet.deliveries "
        "GROUP BY kind, slot ORDER BY kind, slot",
        dbname=settings.file.database.name,
    )
    assert owed == [("f", late_s + SLOT_S, 1), ("m", late_s - SLOT_S, 2)]


async def test_what_is_known_but_for_its_first_row_is_stored_once(
    connection: Connection, settings: FleetSettings, postgres: Postgres, ways: Ways
) -> None:
    database = add_sites(postgres, settings, "home-1")
    writer, home = Writer(), Home("home-1")
    seqs = [home.close(NOW_S - n * SLOT_S) for n in (3, 2, 1)]
    await write(connection, writer, ("home-1", home.message(seqs[1:], NOW_S)))
    await write(connection, writer, ("home-1", home.message(seqs, NOW_S)))
    await write(connection, writer, ("home-1", home.message(seqs[:1], NOW_S)))
    assert (ways.new, ways.not_this_way, ways.any) == (1, 1, 2)
    assert postgres.rows(
        "SELECT (SELECT count(*) FROM fleet.asset_slots), (SELECT sum(slots)::int FROM fleet.days),"
        " (SELECT count(*) FROM fleet.meter_slots), (SELECT count(*) FROM fleet.deliveries)",
        dbname=database,
    ) == [(6, 6, 6, 6)]


async def test_a_message_that_comes_twice_at_once_does_not_hold_up_the_others(
    connection: Connection, settings: FleetSettings, postgres: Postgres, ways: Ways
) -> None:
    add_sites(postgres, settings, *SITES)
    payloads = []
    for site in SITES:
        home = Home(site)
        payloads.append((site, home.message([home.close(NOW_S)], NOW_S)))
    await write(connection, Writer(), *payloads, payloads[0])
    assert (ways.new, ways.not_this_way, ways.any) == (1, 0, 1)


async def test_two_that_write_the_same_at_once_write_it_once(
    settings: FleetSettings, postgres: Postgres
) -> None:
    database = add_sites(postgres, settings, *SITES)
    payloads = []
    for site in SITES:
        home = Home(site)
        seqs = [home.close(NOW_S - n * SLOT_S) for n in range(96)]
        payloads.append((site, home.message(seqs, NOW_S)))
    connections = [await connect(settings) for _ in range(4)]
    writers = [Writer() for _ in connections]
    await asyncio.gather(
        *(
            write(connection, writer, *payloads)
            for connection, writer in zip(connections, writers, strict=True)
        )
    )
    for connection in connections:
        await connection.close()
    assert sum(each.counts.rows - each.counts.known for each in writers) == 3 * 96 * 4
    assert postgres.rows(
        "SELECT sum(slots)::int, (SELECT count(*) FROM fleet.deliveries) FROM fleet.days",
        dbname=database,
    ) == [(3 * 96 * 2, 3 * 96 * 2)]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
async def test_days_that_begin_otherwise_by_now_are_counted_so(
    connection: Connection,
    settings: FleetSettings,
    postgres: Postgres,
    ways: Ways,
    zone: str,
) -> None:
    """The community's zone is changed while a collector runs."""
    add_sites(postgres, settings, "home-1", "home-2")
    writer = Writer()
    for site in ("home-1", "home-2"):
        if site == "home-2":  # of whose slots the collector knows the days from before
            other = await connect(settings)
            assert await migrating.set_timezone(other, zone)
            await other.close()
        home = Home(site)
        seqs = [home.close(NOW_S - n * SLOT_S) for n in range(96)]
        await write(connection, writer, (site, home.message(seqs, NOW_S)))
    assert ways.not_this_way == 1
    find: Callable[[], list[Any]] = lambda: postgres.rows(  # noqa: E731
        "SELECT asset, day, slots, known, energy_uwh FROM fleet.days ORDER BY asset, day",
        dbname=settings.file.database.name,
    )
    kept = find()
    assert sum(each[2] for each in kept) == 4 * 96
    await connection.execute(
        "SELECT fleet.count_again(array_agg(asset), array_agg(day)) FROM fleet.days"
    )
    assert find() == kept


async def test_collectors_may_do_all_of_it(
    connection: Connection, settings: FleetSettings, postgres: Postgres, ways: Ways
) -> None:
    add_sites(postgres, settings, "home-1")
    await connection.execute("SET ROLE fleet_collector")
    writer, home = Writer(), Home("home-1")
    for n, revision in ((2, 0), (1, 0), (1, 0), (1, 1)):
        payload = home.message([home.close(NOW_S - n * SLOT_S, revision)], NOW_S)
        await write(connection, writer, ("home-1", payload))
    assert ways.new >= 2
    assert ways.any >= 1
