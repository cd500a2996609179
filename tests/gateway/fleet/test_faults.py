"""A database that is away, read-only, without a partition, of another version, or does not take a
value; a broker that deals nothing out: waited for or refused, and nothing is lost.
"""

import asyncio
import itertools
import time
from dataclasses import replace

import pytest

from drivers.net.mqtt import Broker as Address
from gateway.fleet import collector as collector_module
from gateway.fleet.broker import deals_out
from gateway.fleet.collector import Collector
from gateway.fleet.database import Connection
from gateway.fleet.inbox import Delivered
from gateway.fleet.settings import FleetSettings
from gateway.fleet.writing import Kept, Reply, Taken, Writer
from gateway.outbox.fleet.messages import Ack, AssetRow, AssetRows, Digest
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.homes import (
    SLOT_S,
    Home,
    asset_of,
    collecting,
    connected,
    stored,
    until,
)
from tests.gateway.fleet.postgres import Postgres
from tests.gateway.fleet.test_collector import add_sites
from tests.serving import serving

pytestmark = pytest.mark.xdist_group("postgres")

NOW_S = int(time.time()) // SLOT_S * SLOT_S


def taken(writer: Writer, home: Home, *seqs: int, channel_at_s: float = NOW_S) -> Taken:
    payload = home.message(seqs or [*home.changes], NOW_S)
    found = writer.read(Delivered(home.site, payload, channel_at_s))
    assert isinstance(found, Taken)
    return found


async def test_a_database_that_is_read_only_is_waited_for(
    fleet: FleetSettings, broker: Broker, postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    database = add_sites(postgres, fleet, "home-1")
    home = Home("home-1", resend_s=0.5)
    async with collecting(fleet) as collector:
        with postgres.connect() as admin:
            admin.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (database,),
            )
        home.close(NOW_S)
        task = asyncio.create_task(home.deliver(broker.port, NOW_S))
        await until(lambda: collector.health.database == "away", "it notices")
        await asyncio.sleep(1.5)
        assert home.acks == [], "nothing is acknowledged"
        with postgres.connect() as admin:
            admin.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        await until(lambda: not home.changes, "all is acknowledged")
        task.cancel()
    assert stored(postgres, database) == home.truth
    assert "nothing is acknowledged; trying again" in caplog.text


@pytest.mark.parametrize("removed", [False, True])
async def test_what_was_read_ahead_is_stored_after_the_database_was_gone(
    removed: bool,
    fleet: FleetSettings,
    broker: Broker,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where its sites were not known for a while: then none of it counts any more, and all
    comes again.
    """
    monkeypatch.setattr(collector_module, "BATCH_ROWS", 40)
    homes = [Home(f"home-{n}") for n in range(10)]
    database = add_sites(postgres, fleet, *(home.site for home in homes))
    for home, n in itertools.product(homes, range(4)):
        home.close(NOW_S - n * SLOT_S)  # 16 rows
    async with collecting(fleet, 0.5) as collector:
        with postgres.connect(database) as locking, locking.transaction():
            locking.execute("LOCK TABLE fleet.asset_slots")
            tasks = [asyncio.create_task(home.deliver(broker.port, NOW_S)) for home in homes]
            await until(lambda: collector.writer.counts.messages == 6, "two hands are full")
            assert not collector.health.batches, "nothing is stored yet"
            with postgres.connect(database) as admin:
                if removed:
                    admin.execute("UPDATE fleet.sites SET removed_at = now()")
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name LIKE 'meter-gateway fleet%'"
                )
            await until(lambda: collector.health.database == "away", "it is noticed")
        if removed:
            await until(lambda: collector.health.database == "connected", "it is there again")
            with postgres.connect(database) as admin:
                admin.execute("UPDATE fleet.sites SET removed_at = NULL")
        await until(lambda: not any(home.changes for home in homes), "all is acknowledged")
        for task in tasks:
            task.cancel()
    assert stored(postgres, database) == {k: uwh for h in homes for k, uwh in h.truth.items()}


async def test_a_flood_from_sites_that_are_not_known_keeps_nobody_waiting(
    fleet: FleetSettings, broker: Broker, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "BATCH_MESSAGES", 10)
    known, stranger = Home("home-1"), Home("stranger")
    database = add_sites(postgres, fleet, known.site)
    known.close(NOW_S)
    stranger.close(NOW_S)
    async with collecting(fleet) as collector:
        connection = await connected(broker.port, known.site, known.take)
        for _ in range(100):
            await stranger.tell(connection, NOW_S, patience=0)
        async with asyncio.timeout(30):
            while known.changes:
                await known.tell(connection, NOW_S, patience=20)
        connection.abort()
        assert collector.writer.counts.unknown_sites == 100
    assert stored(postgres, database) == known.truth


async def test_a_month_without_a_partition_gets_one(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    database = add_sites(postgres, settings, "home-1", "home-2")
    writer = Writer()
    await writer.directory.refresh(connection)
    homes = [Home("home-1"), Home("home-2")]
    for home in homes:
        home.close(NOW_S - 200 * 86_400)
        home.close(NOW_S)
    replies = await writer.write(connection, [taken(writer, home) for home in homes])
    assert [reply.ack.stored for reply in replies] == [[(1, 1), (2, 2)]] * 2
    assert stored(postgres, database) == homes[0].truth | homes[1].truth


async def test_what_the_database_does_not_take_is_refused_alone(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    """A rule of the administrator's own stands for whatever we did not think of."""
    database = add_sites(postgres, settings, "home-1", "home-2", "home-3")
    bad = Home("home-2")
    bad.close(NOW_S)
    with postgres.connect(database) as admin:
        admin.execute(
            f"ALTER TABLE fleet.asset_slots ADD CONSTRAINT rule CHECK (energy_uwh <> "
            f"{bad.truth[asset_of('home-2'), NOW_S, 0]})"
        )
    writer = Writer()
    await writer.directory.refresh(connection)
    good = [Home("home-1"), Home("home-3")]
    for home in good:
        home.close(NOW_S)
    batch = [taken(writer, home) for home in (good[0], bad, good[1])]
    kept = Kept("home-1", "half a message", b"{")
    replies = await writer.write(connection, batch, [kept])
    assert {reply.site: bool(reply.ack.refused) for reply in replies} == {
        "home-1": False,
        "home-2": True,
        "home-3": False,
    }
    assert stored(postgres, database) == good[0].truth | good[1].truth
    rows = postgres.rows("SELECT site, times FROM fleet.refused ORDER BY site", dbname=database)
    assert rows == [("home-1", 1), ("home-2", 1)]


async def test_a_collector_of_an_older_version_leaves_a_newer_schema_alone(
    fleet: FleetSettings, broker: Broker, postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    database = add_sites(postgres, fleet, "home-1")
    with postgres.connect(database) as admin:
        admin.execute("INSERT INTO fleet.migrations VALUES (900, 'later')")
    collector = Collector(fleet)
    task = asyncio.create_task(collector.run())
    await until(lambda: "bring this collector up to date" in caplog.text, "it is said")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert collector.health.batches == 0


async def test_without_shared_subscriptions_each_collector_takes_its_own_sites(
    fleet: FleetSettings, broker: Broker, postgres: Postgres
) -> None:
    never = replace(
        fleet, file=replace(fleet.file, broker=replace(fleet.file.broker, shared="never"))
    )
    homes = [Home(f"home-{n}") for n in range(12)]
    database = add_sites(postgres, fleet, *(home.site for home in homes))
    async with collecting(never, 0.5) as one, collecting(never, 0.5) as other:
        await until(lambda: len(one.others) == len(other.others) == 2, "they know of each other")
        for home in homes:
            home.close(NOW_S)
        tasks = [asyncio.create_task(home.deliver(broker.port, NOW_S)) for home in homes]
        await until(lambda: not any(home.changes for home in homes), "all is acknowledged")
        for task in tasks:
            task.cancel()
        assert not one.health.shared
        assert min(one.writer.counts.rows, other.writer.counts.rows) > 0
        assert one.writer.counts.rows + other.writer.counts.rows == 12 * 4
    truth = {key: uwh for home in homes for key, uwh in home.truth.items()}
    assert stored(postgres, database) == truth


async def test_a_broker_that_grants_and_stays_silent_is_found_out() -> None:
    """It welcomes, grants every subscription, acknowledges every message and delivers none, as
    RabbitMQ 3.10 does with shared ones.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readexactly(2):
            body = await reader.readexactly(head[1])
            match head[0] >> 4:
                case 1:
                    writer.write(b"\x20\x02\x00\x00")
                case 8:
                    writer.write(b"\x90\x03" + body[:2] + b"\x01")
                case 3:
                    length = int.from_bytes(body[:2], "big")
                    writer.write(b"\x40\x02" + body[2 + length : 4 + length])

    async with serving(serve) as port:
        assert not await deals_out(Address("127.0.0.1", port, client_id="probe"), "mg", 1.0)


async def test_a_message_is_answered_or_kept_before_anything_is_written(
    settings: FleetSettings, postgres: Postgres, connection: Connection
) -> None:
    writer = Writer()
    await writer.directory.refresh(connection)
    home = Home("home-1")
    home.close(NOW_S)
    unknown = writer.read(Delivered("home-1", home.message([1], NOW_S), NOW_S))
    assert isinstance(unknown, Reply)
    assert isinstance(unknown.ack, Ack)
    assert unknown.ack.stored == unknown.ack.refused == []
    foreign = writer.read(Delivered("home-2", home.message([1], NOW_S), NOW_S))
    assert isinstance(foreign, Kept)
    assert "on the topic of 'home-2'" in foreign.why


async def test_what_cannot_even_be_kept_keeps_nothing_up(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    database = add_sites(postgres, settings, "home-1")
    with postgres.connect(database) as admin:
        admin.execute("ALTER TABLE fleet.refused ADD CONSTRAINT rule CHECK (site <> 'home-2')")
    writer = Writer()
    await writer.directory.refresh(connection)
    home = Home("home-1")
    home.close(NOW_S)
    kept = [Kept("home-2", "why", b"{"), Kept("home\0-3", "w\0hy", b"\0")]
    (reply,) = await writer.write(connection, [taken(writer, home)], kept)
    assert reply.ack.stored == [(1, 1)]
    assert stored(postgres, database) == home.truth


async def test_no_number_is_spent_on_what_is_known(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    """A sequence's numbers are 31 bits, and what ON CONFLICT turns away spends one."""
    database = add_sites(postgres, settings, "home-1")
    home = Home("home-1")
    for _ in range(3):  # a collector that is started again knows nothing
        writer = Writer()
        await writer.directory.refresh(connection)
        home.close(NOW_S)
        await writer.write(connection, [taken(writer, home)])
    rows = postgres.rows(
        "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'fleet' "
        "AND sequencename = ANY(%s)",
        ["assets_id_seq", "series_id_seq", "stores_id_seq"],
        dbname=database,
    )
    assert dict(rows) == {"assets_id_seq": 2, "series_id_seq": 2, "stores_id_seq": 1}


async def test_two_gateways_of_one_name_are_told(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    """A lost card alone is nothing to warn of: its gateway begins a new buffer, at number 1."""
    database = add_sites(postgres, settings, "home-1")
    writer = Writer()
    old, new = Home("home-1", store="old"), Home("home-1", store="new")
    old.close(NOW_S - SLOT_S)
    new.close(NOW_S)
    said = []
    for home in (old, new, old, new):
        await writer.directory.refresh(connection)
        (reply,) = await writer.write(connection, [taken(writer, home)])
        assert reply.ack.store == home.store
        assert reply.ack.stored == [(1, 1)]
        said.append(reply.ack.warning)
    assert said == ["", "", said[2], ""]
    assert "two gateways of one name" in said[2]
    assert stored(postgres, database) == old.truth | new.truth


async def test_numbers_beyond_all_bounds_end_nobody(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    """msgspec reads whole numbers of up to 4,300 digits."""
    database = add_sites(postgres, settings, "home-1")
    writer = Writer()
    await writer.directory.refresh(connection)
    huge = 10**4000
    home = Home("home-1")
    home.close(NOW_S)
    item = AssetRows(
        asset_of("home-1"),
        "measurement",
        SLOT_S,
        [AssetRow(huge, 0, 1, "measured"), AssetRow(NOW_S, 1, huge, "measured", -huge)],
    )
    long = AssetRows(asset_of("home-1", 1), "measurement", huge, [AssetRow(0, huge, 1, "measured")])
    digests = [Digest(asset_of("home-1"), day_s, huge, -huge) for day_s in (huge, -huge, 86_400)]
    payload = home.message([1], NOW_S, items=[item, long], digests=digests)
    found = writer.read(Delivered("home-1", payload, NOW_S))
    assert isinstance(found, Taken)
    (reply,) = await writer.write(connection, [found])
    assert reply.ack.refused[0].seq == (1, 1)
    assert stored(postgres, database) == {}
    kept = postgres.rows("SELECT count(*) FROM fleet.refused", dbname=database)
    assert kept == [(3,)]
    late = writer.read(Delivered("home-1", home.message([1], huge), NOW_S))
    assert isinstance(late, Kept)
