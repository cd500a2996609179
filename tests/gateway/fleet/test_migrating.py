"""The schema, made in a real PostgreSQL: from nothing, by two at once, and never down."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.fleet import migrating
from gateway.fleet.database import Connection, NotReady, connect
from gateway.fleet.settings import FleetSettings, load
from tests.gateway.fleet.postgres import Postgres, write_config

pytestmark = pytest.mark.xdist_group("postgres")


async def test_two_that_migrate_at_once_do_it_once(postgres: Postgres, tmp_path: Path) -> None:
    postgres.new_database("twice")
    write_config(tmp_path, 1, postgres, "twice")
    one, other = await connect(load(tmp_path)), await connect(load(tmp_path))
    with pytest.raises(NotReady, match="fleet init"):
        await migrating.require(one)
    done = await asyncio.gather(migrating.migrate(one), migrating.migrate(other))
    made = await asyncio.gather(migrating.add_months(one), migrating.add_months(other))
    await migrating.require(one)
    await one.close()
    await other.close()
    assert sorted(done, key=len) == [[], [path.stem for path in migrating.migrations()]]
    assert sum(made) == migrating.MONTHS_AHEAD + 1


async def test_rows_of_the_first_version_are_counted_by_day_and_stay(
    postgres: Postgres, tmp_path: Path
) -> None:
    postgres.new_database("from_first")
    write_config(tmp_path, 1, postgres, "from_first")
    connection = await connect(load(tmp_path))
    await migrating.migrate(connection, up_to=1)
    await migrating.add_months(connection)
    await connection.execute("INSERT INTO fleet.sites (name) VALUES ('home-1')")
    await connection.execute("INSERT INTO fleet.assets (site, uuid) VALUES (1, gen_random_uuid())")
    await connection.execute("INSERT INTO fleet.stores (site, name) VALUES (1, 's')")
    await connection.execute(
        "INSERT INTO fleet.asset_slots (slot, energy_uwh, asset, store, length_s, revision, kind, "
        "quality) SELECT date_trunc('day', now()) + n * interval '15 minutes', 10 + r, 1, 1, 900, "
        "r, 'm', 'e' FROM generate_series(0, 3) n, generate_series(0, 1) r"
    )
    await migrating.migrate(connection)
    cursor = await connection.execute(
        "SELECT slots, known, estimated, energy_uwh, revised, expected FROM fleet.days"
    )
    assert await cursor.fetchall() == [(4, 4, 4, 44, True, 96)]
    cursor = await connection.execute("SELECT sum(energy_uwh)::int FROM fleet.measurements")
    assert await cursor.fetchall() == [(44,)]
    await connection.close()


async def test_a_month_that_a_version_before_has_begun_to_pack_begins_anew(
    postgres: Postgres, tmp_path: Path
) -> None:
    """It packed asset by asset, and is in the middle of that."""
    postgres.new_database("from_sixth")
    write_config(tmp_path, 1, postgres, "from_sixth")
    connection = await connect(load(tmp_path))
    sixth = [path.stem for path in migrating.migrations()].index("006_kept_revocations") + 1
    await migrating.migrate(connection, up_to=sixth)
    month = "date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '3 months'"
    await connection.execute(f"SELECT fleet.add_month({month})")
    await connection.execute("INSERT INTO fleet.sites (name) VALUES ('home-1')")
    await connection.execute(
        "INSERT INTO fleet.assets (site, uuid) SELECT 1, gen_random_uuid() "
        "FROM generate_series(1, 3)"
    )
    await connection.execute("INSERT INTO fleet.stores (site, name) VALUES (1, 's')")
    await connection.execute(
        "INSERT INTO fleet.asset_slots (slot, energy_uwh, asset, store, length_s, revision, kind, "
        f"quality) SELECT {month} + n * interval '15 minutes', n, a, 1, 900, 0, 'm', 'm' "
        "FROM generate_series(0, 959) n, generate_series(1, 3) a"
    )
    await connection.execute(f"SELECT fleet.pack_begin('asset_slots', {month})")
    await connection.execute(f"SELECT fleet.pack_next('asset_slots', {month}, 2)")
    await migrating.migrate(connection)
    cursor = await connection.execute(
        "SELECT slots, last_id, next_day, (SELECT sum(energy_uwh)::int FROM fleet.measurements) "
        "FROM fleet.packed"
    )
    total = 3 * 959 * 960 // 2
    assert await cursor.fetchall() == [(0, 0, None, total)]
    done = [True]
    while done[0]:
        cursor = await connection.execute(f"SELECT fleet.pack_next('asset_slots', {month}, 200)")
        done = list(await cursor.fetchone() or [])
    cursor = await connection.execute(f"SELECT fleet.pack_end('asset_slots', {month})")
    assert await cursor.fetchall() == [(True,)]
    cursor = await connection.execute(
        "SELECT slots::int, (SELECT sum(energy_uwh)::int FROM fleet.measurements) FROM fleet.packed"
    )
    assert await cursor.fetchall() == [(3 * 960, total)]
    await connection.close()


async def test_what_a_version_without_an_exchange_has_stored_is_owed_once_it_comes_again(
    postgres: Postgres, tmp_path: Path
) -> None:
    postgres.new_database("from_second")
    write_config(tmp_path, 1, postgres, "from_second")
    connection = await connect(load(tmp_path))
    await migrating.migrate(connection, up_to=2)
    await migrating.add_months(connection)
    await connection.execute("INSERT INTO fleet.sites (name) VALUES ('home-1')")
    await connection.execute("INSERT INTO fleet.assets (site, uuid) VALUES (1, gen_random_uuid())")
    await connection.execute("INSERT INTO fleet.stores (site, name) VALUES (1, 's')")
    await connection.execute(
        "INSERT INTO fleet.asset_slots (slot, energy_uwh, asset, store, length_s, revision, kind, "
        "quality) SELECT date_trunc('hour', now()), 10 + r, 1, 1, 900, r, 'm', 'm' "
        "FROM generate_series(0, 1) r"
    )
    await migrating.migrate(connection)
    await connection.execute(
        "SELECT fleet.owe(ARRAY[1, 1], ARRAY[s, s], ARRAY['m', 'm'], ARRAY[0, 1]::smallint[], "
        "ARRAY[true, true]) "
        "FROM (SELECT extract(epoch FROM date_trunc('hour', now()))::bigint) t(s)"
    )
    cursor = await connection.execute("SELECT revision, energy_uwh, state FROM fleet.delivered")
    assert await cursor.fetchall() == [(1, 11, "owed")]
    await connection.close()


async def test_when_meters_rows_were_received_stays_to_the_second(
    postgres: Postgres, tmp_path: Path
) -> None:
    """Rows of the seventh version had microseconds. What a manager built upon the view stays."""
    postgres.new_database("from_seventh")
    write_config(tmp_path, 1, postgres, "from_seventh")
    connection = await connect(load(tmp_path))
    await migrating.migrate(connection, up_to=7)
    await migrating.add_months(connection)
    await connection.execute("INSERT INTO fleet.sites (name) VALUES ('home-1')")
    await connection.execute("INSERT INTO fleet.stores (site, name) VALUES (1, 's')")
    await connection.execute(
        "INSERT INTO fleet.series (site, meter, direction, serial) VALUES (1, 'grid', 'i', '')"
    )
    for table, begin in (("meter_slots", "date_trunc('day', now())"),
                         ("meter_late", "timestamptz '2025-03-30 00:00+00'")):  # fmt: skip
        await connection.execute(
            f"INSERT INTO fleet.{table} (slot, energy_uwh, begin_register_uwh, end_register_uwh, "
            "received, series, store, length_s, samples, largest_gap_ms, revision, "
            "coverage_permille, quality, method, clock) "
            f"SELECT {begin} + n * interval '15 minutes', n + r, 0, n, {begin} + n * interval "
            "'15 minutes' + interval '900.999999 seconds', 1, 1, 900, 90, 0, r, 1000, 'm', 'c', "
            "'k' FROM generate_series(0, 3) n, generate_series(0, n) r"
        )

    async def told() -> list[Any]:
        cursor = await connection.execute(
            "SELECT slot, revision, energy_uwh, date_trunc('second', received) FROM fleet.meters "
            "ORDER BY slot"
        )
        return await cursor.fetchall()

    before = await told()
    await connection.execute("CREATE VIEW own AS SELECT max(received) AS newest FROM fleet.meters")
    await connection.execute("GRANT SELECT ON fleet.meters TO PUBLIC")
    await migrating.migrate(connection)
    assert await told() == before
    cursor = await connection.execute("SELECT newest FROM own")
    assert await cursor.fetchone() == (max(row[3] for row in before),)
    cursor = await connection.execute(
        "SELECT FROM information_schema.role_table_grants "
        "WHERE table_name = 'meters' AND grantee = 'PUBLIC'"
    )
    assert cursor.rowcount == 1
    assert [row[1] for row in before] == [0, 1, 2, 3] * 2
    cursor = await connection.execute(
        "SELECT bool_and(received = date_trunc('second', received)) FROM fleet.meters"
    )
    assert await cursor.fetchone() == (True,)
    await connection.close()


@pytest.mark.parametrize("version", range(1, migrating.newest()))
async def test_it_goes_on_from_each_version(
    postgres: Postgres, tmp_path: Path, version: int
) -> None:
    """With a home that has said something of itself before."""
    postgres.new_database(f"from_{version}")
    write_config(tmp_path, 1, postgres, f"from_{version}")
    connection = await connect(load(tmp_path))
    await migrating.migrate(connection, up_to=version)
    await connection.execute("INSERT INTO fleet.sites (name) VALUES ('home-1')")
    await connection.execute("INSERT INTO fleet.stores (site, name) VALUES (1, 's')")
    await connection.execute("INSERT INTO fleet.status (site, online, told) VALUES (1, true, '{}')")
    done = await migrating.migrate(connection)
    assert done == [path.stem for path in migrating.migrations()[version:]]
    await migrating.require(connection)
    await migrating.make_roles(connection)
    await connection.execute("SET ROLE fleet_collector")
    await connection.execute('UPDATE fleet.status SET online = false, told = \'{"config": "a"}\'')
    await connection.execute("INSERT INTO fleet.stores (site, name) VALUES (1, 't')")
    cursor = await connection.execute("SELECT what, now_is FROM fleet.events ORDER BY id")
    assert await cursor.fetchall() == [("online", "false"), ("store", "t")]
    await connection.close()


async def test_a_schema_of_a_later_version_is_left_alone(connection: Connection) -> None:
    await connection.execute("INSERT INTO fleet.migrations VALUES (900, 'later')")
    for act in (migrating.require, migrating.migrate):
        with pytest.raises(NotReady, match="bring this collector up to date"):
            await act(connection)


async def test_partitions_begin_in_utc_whatever_the_session_says(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    await connection.execute("SET timezone = 'Europe/Berlin'")
    await connection.execute("SELECT fleet.add_month(now() - interval '200 days')")
    database = settings.file.database.name
    bounds = postgres.rows(
        "SELECT pg_get_expr(relpartbound, oid) FROM pg_class "
        "WHERE relispartition AND relkind = 'r' AND relnamespace = 'fleet'::regnamespace",
        dbname=database,
    )
    assert len(bounds) == 2 * (migrating.MONTHS_AHEAD + 2)
    assert all(text.count("-01 00:00:00+00'") == 2 for (text,) in bounds), bounds


async def test_no_partition_is_made_for_a_slot_of_1970(connection: Connection) -> None:
    for when in ("1970-01-01", "2199-01-01"):
        with pytest.raises(psycopg.errors.CheckViolation):
            await connection.execute("SELECT fleet.add_month(%s)", (when,))


async def test_a_commit_waits_for_the_disk_whatever_the_server_says(
    connection: Connection,
) -> None:
    cursor = await connection.execute(
        "SELECT current_setting('synchronous_commit'), current_setting('timezone')"
    )
    assert await cursor.fetchone() == ("on", "UTC")
    assert connection.autocommit


async def test_the_role_of_collectors_can_write_slots_and_change_none(
    connection: Connection, settings: FleetSettings
) -> None:
    await connection.execute("SET ROLE fleet_collector")
    await connection.execute("SELECT fleet.add_month(now() - interval '100 days')")
    month = "'asset_slots', date_trunc('month', now() - interval '100 days')"
    for function in (f"begin({month})", f"next({month}, 100)", f"end({month})"):
        await connection.execute(f"SELECT fleet.pack_{function}")
    for forbidden in (
        "UPDATE fleet.asset_slots SET energy_uwh = 0",
        "SELECT fleet.pack_some('asset_slots', 'fleet.packed', 'fleet.asset_days', 0, 1, NULL)",
        "DELETE FROM fleet.asset_slots",
        "DROP TABLE fleet.sites",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(forbidden)
