"""Months that are packed, in a real PostgreSQL: nothing is lost or doubled, whatever comes
meanwhile and afterwards, and wherever packing is cut off.
"""

import asyncio
import itertools
import os
import signal
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.cli.main import main
from gateway.fleet.database import Connection, connect
from gateway.fleet.inbox import Delivered
from gateway.fleet.packing import MANY, Packing, due
from gateway.fleet.settings import FleetSettings
from gateway.fleet.writing import Reply, Taken, Writer
from gateway.outbox.fleet.messages import AssetRow, AssetRows, Digest, MeterRow, MeterRows
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.homes import SLOT_S, Home, asset_of, until
from tests.gateway.fleet.postgres import Postgres
from tests.gateway.fleet.test_chaos import two_collectors
from tests.gateway.fleet.test_collector import add_sites

pytestmark = pytest.mark.xdist_group("postgres")

DAY_S = 86_400
NOW_S = int(time.time()) // SLOT_S * SLOT_S
OLD_S = NOW_S // DAY_S * DAY_S - 130 * DAY_S
"""A day whose month ended more than 60 days ago."""


async def write(connection: Connection, writer: Writer, *messages: tuple[Home, Any]) -> list[Reply]:
    """As a collector stores what comes at once."""
    await writer.directory.refresh(connection)
    batch = [writer.read(Delivered(home.site, payload, NOW_S)) for home, payload in messages]
    assert all(isinstance(each, Taken) for each in batch), batch
    return await writer.write(connection, batch)  # type: ignore[arg-type]


async def deliver(connection: Connection, writer: Writer, home: Home) -> list[Reply]:
    """Everything that it owes."""
    seqs = sorted(home.changes)
    replies: list[Reply] = []
    for n in range(0, len(seqs), 96):
        payload = home.message(seqs[n : n + 96], NOW_S)
        replies += await write(connection, writer, (home, payload))
    for reply in replies:
        home.take(reply.ack)
    assert not home.changes
    return replies


_RECEIVED = "floor(extract(epoch FROM received - slot) / 60)::int"
"""Minutes after the slot's begin."""


def whole(postgres: Postgres, settings: FleetSettings) -> tuple[list[Any], list[Any]]:
    """All that the views tell; times of receipt to the minute, as packed rows have them."""
    name = settings.file.database.name
    return (
        postgres.rows(
            "SELECT site, asset, slot, length_s, energy_uwh, uncertainty_uwh, revision, quality, "
            f"day, {_RECEIVED} FROM fleet.measurements ORDER BY asset, slot",
            dbname=name,
        ),
        postgres.rows(
            "SELECT site, meter, direction, serial, slot, length_s, energy_uwh, uncertainty_uwh, "
            "revision, coverage_permille, samples, largest_gap_ms, begin_register_uwh, "
            f"end_register_uwh, quality, method, clock, day, {_RECEIVED} FROM fleet.meters "
            "ORDER BY site, meter, direction, slot",
            dbname=name,
        ),
    )


def days(postgres: Postgres, settings: FleetSettings) -> list[Any]:
    return postgres.rows(
        "SELECT asset, day, expected, slots, known, estimated, energy_uwh, revised FROM fleet.days "
        "ORDER BY asset, day",
        dbname=settings.file.database.name,
    )


async def counted_anew(
    connection: Connection, postgres: Postgres, settings: FleetSettings
) -> list[Any]:
    """The days, as they come to when all slots are looked at."""
    await connection.execute(
        "SELECT fleet.count_again(array_agg(asset), array_agg(day)) FROM fleet.days"
    )
    return days(postgres, settings)


async def test_a_packed_month_tells_the_same_to_the_uwh(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    database = add_sites(postgres, settings, "home-1", "home-2")
    writer = Writer()
    one, other = Home("home-1"), Home("home-2", seed=5)
    for n in range(96):
        one.close(OLD_S + n * SLOT_S)
    for n in (3, 4, 5, 90):
        other.close(OLD_S + n * SLOT_S)
    one.close(OLD_S + 7 * SLOT_S, revision=1)
    one.close(OLD_S + 7 * SLOT_S, revision=2)
    one.close(NOW_S)
    for home in (one, other):
        await deliver(connection, writer, home)
    # One hour's slot, one that is not known, and a forecast.
    odd = [
        AssetRows(asset_of("home-1", 9), "measurement", 3600,
                  [AssetRow(OLD_S + 3600, 0, 77, "estimated", 5)]),
        AssetRows(asset_of("home-1", 9), "measurement", SLOT_S,
                  [AssetRow(OLD_S, 0, None, "missing"), AssetRow(OLD_S + SLOT_S, 1, 8, "partial")]),
        AssetRows(asset_of("home-1", 9), "forecast", SLOT_S,
                  [AssetRow(OLD_S, 3, 55, "estimated")]),
    ]  # fmt: skip
    # Registers that go on from slot to slot; one energy not known, one unlike its register.
    ends = [1_000, 1_005, 1_105, 1_109, 1_200]
    steady, broken = (
        [MeterRow(OLD_S + n * SLOT_S, 0, end - begin, "measured", "counter", 1000, 90, 9, begin,
                  end, "kernel", 1) for n, (begin, end) in enumerate(itertools.pairwise(ends))]
        for _ in range(2)
    )  # fmt: skip
    broken[1] = MeterRow(OLD_S + SLOT_S, 2, None, "missing", "power", 0, 0, 900_000, 1_005, 1_105,
                         "placed")  # fmt: skip
    broken[2] = MeterRow(OLD_S + 2 * SLOT_S, 0, 7, "estimated", "register", 500, 3, 9, 1_050, 1_109,
                         "assured", 3)  # fmt: skip
    meters = [
        MeterRows("steady", "export", "", SLOT_S, steady),
        MeterRows("broken", "export", "", SLOT_S, broken),
    ]
    await write(connection, writer, (one, one.message([], NOW_S, items=odd, meters=meters)))
    before, days_before = whole(postgres, settings), days(postgres, settings)
    assert len(before[0]) == 97 * 2 + 4 * 2 + 3
    assert {row[0] for row in await due(connection, 60)} == {"asset_slots", "meter_slots"}
    done = await Packing(settings, pause=0).once()
    assert [each.slots for each in done] == [96 * 2 + 4 * 2 + 4, 96 * 2 + 4 * 2 + 2 * 4]
    assert whole(postgres, settings) == before
    assert days(postgres, settings) == days_before
    assert await counted_anew(connection, postgres, settings) == days_before
    ((left,), (forecasts,)) = (
        *postgres.rows("SELECT count(*) FROM fleet.asset_slots", dbname=database),
        *postgres.rows(
            "SELECT energy_uwh FROM fleet.assets a, fleet.slots(a.id, 'f', now() - "
            "interval '400 days', now()) WHERE uuid = %s",
            asset_of("home-1", 9),
            dbname=database,
        ),
    )
    assert left == 2, "of the present day"
    assert forecasts == 55
    assert await due(connection, 60) == await Packing(settings).once() == []


async def test_what_comes_for_a_packed_month_is_the_same_a_clash_or_late(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    database = add_sites(postgres, settings, "home-1")
    await connection.execute("SET ROLE fleet_collector")
    writer = Writer()
    home, copy = Home("home-1"), Home("home-1", seed=1)
    for n in range(4):
        home.close(OLD_S + n * SLOT_S)
    home.close(OLD_S, revision=1)
    await deliver(connection, writer, home)
    await Packing(settings, pause=0).once()
    before = whole(postgres, settings), days(postgres, settings)

    # A collector that does not know yet that the month is packed, and one that does.
    for each in (writer, Writer()):
        again = Home("home-1", truth=dict(home.truth))
        for n in range(4):
            again.seq += 1
            again.changes[again.seq] = OLD_S + n * SLOT_S
        (reply,) = await deliver(connection, each, again)
        assert not reply.ack.warning
    assert (whole(postgres, settings), days(postgres, settings)) == before

    copy.close(OLD_S + SLOT_S)
    (reply,) = await deliver(connection, writer, copy)
    assert "both are kept" in reply.ack.warning
    assert (whole(postgres, settings), days(postgres, settings)) == before
    assert postgres.rows("SELECT count(*) FROM fleet.clashes", dbname=database) == [(4,)]

    home.close(OLD_S + 2 * SLOT_S, revision=1)  # a revision
    home.close(OLD_S + 40 * SLOT_S)  # a slot that was not there
    await deliver(connection, writer, home)
    late = postgres.rows("SELECT count(*) FROM fleet.asset_late", dbname=database)
    assert late == [(4,)]
    newest = {}
    for (asset, slot_s, revision), uwh in sorted(home.truth.items(), key=lambda e: e[0][2]):
        newest[asset, slot_s] = revision, uwh
    assert {(str(r[1]), int(r[2].timestamp())): (r[6], r[4])
            for r in whole(postgres, settings)[0]} == newest  # fmt: skip
    assert len(whole(postgres, settings)[1]) == 5 * 2
    day = days(postgres, settings)
    assert [(d[3], d[4]) for d in day] == [(5, 5)] * 2
    assert sum(d[6] for d in day) == sum(uwh for _, uwh in newest.values())
    assert await counted_anew(connection, postgres, settings) == day

    # The gateway's sum of that day is the database's, over both.
    asset = asset_of("home-1")
    sums = [uwh for (each, _), (_, uwh) in newest.items() if each == asset]
    right = home.message([], NOW_S, digests=[Digest(asset, OLD_S, len(sums), sum(sums))])
    assert await write(connection, writer, (home, right)) == []
    wrong = home.message([], NOW_S, digests=[Digest(asset, OLD_S, len(sums), sum(sums) + 1)])
    # Of a day with a clash nothing is asked for; of another one it is.
    assert await write(connection, writer, (home, wrong)) == []
    other = home.message([], NOW_S, digests=[Digest(asset, OLD_S + DAY_S, 1, 5)])
    (reply,) = await write(connection, writer, (home, other))
    assert reply.ack.ask == [(OLD_S + DAY_S, OLD_S + 2 * DAY_S - 1)]


async def test_what_came_late_is_packed_once_it_has_settled(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    """Of a home that has a packed month already, and of one that joins with its history."""
    database = add_sites(postgres, settings, "home-1", "home-2")
    await connection.execute("SET ROLE fleet_collector")
    writer, home, new = Writer(), Home("home-1"), Home("home-2", seed=3)
    for n in range(50):
        home.close(OLD_S + n * SLOT_S)
    await deliver(connection, writer, home)
    await Packing(settings, pause=0).once()
    home.close(OLD_S + 3 * SLOT_S, revision=1)
    home.close(OLD_S + 3 * SLOT_S, revision=2)
    home.close(OLD_S + 70 * SLOT_S)
    for n in range(192):
        new.close(OLD_S + n * SLOT_S)
    for each in (home, new):
        await deliver(connection, writer, each)
    before = whole(postgres, settings), days(postgres, settings)
    late = "SELECT (SELECT count(*) FROM fleet.asset_late), (SELECT count(*) FROM fleet.meter_late)"
    assert postgres.rows(late, dbname=database) == [((3 + 192) * 2,) * 2]
    await Packing(settings, pause=0).once()
    assert postgres.rows(late, dbname=database) == [((3 + 192) * 2,) * 2], "it may go on"
    await Packing(settings, pause=0, settled=timedelta(0)).once()
    assert postgres.rows(late, dbname=database) == [(0, 0)]
    assert (whole(postgres, settings), days(postgres, settings)) == before
    packed = "SELECT count(*), sum(cardinality(energy_uwh))::int FROM fleet.asset_days"
    assert postgres.rows(packed, dbname=database) == [(2 + 2 * 2, (51 + 192) * 2)]
    again = Home("home-2", truth=dict(new.truth), seed=3)
    again.seq, again.changes = 192, {n + 1: OLD_S + n * SLOT_S for n in range(192)}
    await deliver(connection, writer, again)
    assert (whole(postgres, settings), days(postgres, settings)) == before
    assert postgres.rows(late, dbname=database) == [(0, 0)]


async def test_what_comes_while_a_month_is_packed_is_packed_with_it(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    add_sites(postgres, settings, "home-1", "home-2")
    writer = Writer()
    home, new = Home("home-1"), Home("home-2")
    for n in range(96):
        home.close(OLD_S + n * SLOT_S)
    await deliver(connection, writer, home)
    month = datetime.fromtimestamp(OLD_S, UTC).replace(day=1)
    for table in ("asset_slots", "meter_slots"):
        await connection.execute("SELECT fleet.pack_begin(%s, %s)", (table, month))
        await connection.execute("SELECT fleet.pack_next(%s, %s, %s)", (table, month, MANY))
    home.close(OLD_S + 5 * SLOT_S, revision=1)
    home.close(OLD_S + 200 * SLOT_S)
    new.close(OLD_S)
    await deliver(connection, writer, home)
    await deliver(connection, writer, new)
    before = whole(postgres, settings)
    done = await Packing(settings, pause=0).once()
    assert [each.slots for each in done] == [98 * 2] * 2
    assert whole(postgres, settings) == before
    assert postgres.rows(
        "SELECT count(*) FROM fleet.asset_late", dbname=settings.file.database.name
    ) == [(0,)]


async def test_a_local_day_has_92_96_or_100_slots(
    settings: FleetSettings, postgres: Postgres
) -> None:
    berlin = replace(settings, file=replace(settings.file, timezone="Europe/Berlin"))  # type: ignore[arg-type]
    (settings.folder / "fleet.yaml").write_text(
        (settings.folder / "fleet.yaml").read_text() + "timezone: Europe/Berlin\n"
    )
    database = add_sites(postgres, settings, "home-1")
    connection = await connect(berlin)
    writer, home = Writer(), Home("home-1")
    # 23:00Z is the next day there, and what was counted before the zone was set is counted anew.
    home.close(OLD_S + 95 * SLOT_S)
    await deliver(connection, writer, home)
    command = ["--config", str(settings.folder), "fleet", "init", "--output"]
    assert await asyncio.to_thread(main, [*command, str(settings.folder / "out")]) == 0
    home.close(OLD_S + 94 * SLOT_S)
    home.close(OLD_S)
    await deliver(connection, writer, home)
    found = days(postgres, settings)
    asset_days = [(row[1].day, row[3]) for row in found]
    first = datetime.fromtimestamp(OLD_S, UTC).day
    second = datetime.fromtimestamp(OLD_S + DAY_S, UTC).day
    assert asset_days == [(first, 1), (second, 2)] * 2
    assert await counted_anew(connection, postgres, settings) == found
    await connection.close()
    assert postgres.rows(
        "SELECT fleet.expected(d, 900) FROM unnest(ARRAY['2026-03-29', '2026-10-25', "
        "'2026-06-01']::date[]) d",
        dbname=database,
    ) == [(92,), (100,), (96,)]
    everything = postgres.rows(
        "SELECT asset, due, known, permille FROM fleet.coverage((now() - interval '2 days')::date)",
        dbname=database,
    )
    assert [row[1:] for row in everything] == [(96, 0, 0)] * 2, "also of which nothing came"


async def test_a_kill_in_the_middle_of_packing_loses_and_doubles_nothing(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    names = [f"home-{n}" for n in range(160)]
    database = add_sites(postgres, settings, *names)
    month = datetime.fromtimestamp(OLD_S, UTC).replace(day=1)
    a_time = MANY // (640 * 96)
    assert a_time == 8, "so many days are packed in a transaction"
    with postgres.connect(database) as own:
        own.execute("INSERT INTO fleet.stores (site, name) SELECT id, 's' FROM fleet.sites")
        own.execute(
            "INSERT INTO fleet.assets (site, uuid) SELECT s.id, gen_random_uuid() "
            "FROM fleet.sites s, generate_series(1, 4)"
        )
        own.execute("SELECT fleet.add_month(%s)", (month,))
        own.execute(
            "INSERT INTO fleet.asset_slots SELECT %s + make_interval(days => %s * d, "
            "mins => 15 * k), a.id * 1000 + k, 3, now(), a.id, 1, 900, 0, 'm', 'm' "
            "FROM fleet.assets a, generate_series(0, 31) k, generate_series(0, 2) d",
            (month, a_time),
        )
        # So slow that it is in the middle of the next transaction when it is killed.
        own.execute("SELECT fleet.pack_begin('asset_slots', %s)", (month,))
        own.execute(
            "CREATE FUNCTION fleet.slow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(1.5); RETURN NEW; END'"
        )
        own.execute(
            f"CREATE TRIGGER slow BEFORE INSERT ON fleet.asset_days_{month:%Y_%m} FOR EACH ROW "
            f"WHEN (NEW.asset = 50 AND NEW.day > '{month:%Y-%m-%d}') EXECUTE FUNCTION fleet.slow()"
        )
    before = whole(postgres, settings)[0]
    # It is killed once one transaction is done, then after another; the third time it ends.
    for next_day in (month + timedelta(days=a_time), month + timedelta(days=2 * a_time), None):
        with (settings.folder / "pack.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway", "--config", str(settings.folder), "fleet", "pack",
                stdout=log, stderr=log,
            )  # fmt: skip
        while process.returncode is None and next_day is not None:
            (row,) = postgres.rows("SELECT max(next_day) FROM fleet.packed", dbname=database)
            if row[0] is not None and row[0] >= next_day.date():
                os.kill(process.pid, signal.SIGKILL)
                break
            await asyncio.sleep(0.01)
        assert await process.wait() == (0 if next_day is None else -signal.SIGKILL)
        # PostgreSQL sees at the end of a statement that who asked is gone; until then it has the
        # lock of who packs.
        postgres.rows("SELECT pg_advisory_lock(hashtext('fleet.packing'))", dbname=database)
        assert whole(postgres, settings)[0] == before
    assert await due(connection, 60) == []
    assert postgres.rows("SELECT sum(slots)::int FROM fleet.packed", dbname=database) == [
        (640 * 96,)
    ]


async def test_what_is_due_is_packed_by_a_collector_while_it_stores(
    fleet: FleetSettings, broker: Broker, postgres: Postgres
) -> None:
    database = add_sites(postgres, fleet, "home-1")
    home = Home("home-1")
    for n in range(8):
        home.close(OLD_S + n * SLOT_S)
    connection = await connect(fleet)
    await deliver(connection, Writer(), home)
    await connection.close()
    home.close(OLD_S, revision=1)
    home.close(NOW_S)
    async with two_collectors(fleet.folder) as collectors:
        task = asyncio.create_task(home.deliver(broker.port, NOW_S))
        await until(lambda: not home.changes, f"all is stored\n{collectors.log()}")
        task.cancel()
        done = "SELECT count(*) FROM fleet.packed WHERE done_at IS NOT NULL"
        await until(
            lambda: postgres.rows(done, dbname=database) == [(2,)],
            f"both tables are packed\n{collectors.log()}",
        )
        assert "packed " in collectors.log()
    newest = {key[:2]: uwh for key, uwh in sorted(home.truth.items(), key=lambda each: each[0][2])}
    assert {
        (str(row[1]), int(row[2].timestamp())): row[4] for row in whole(postgres, fleet)[0]
    } == newest


def test_nothing_that_differs_is_packed(
    settings: FleetSettings, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    """A month in whose unfinished rows something is wrong stays as it is."""
    database = add_sites(postgres, settings, "home-1")
    month = datetime.fromtimestamp(OLD_S, UTC).replace(day=1)
    with postgres.connect(database) as own:
        own.execute("SELECT fleet.add_month(%s)", (month,))
        own.execute("INSERT INTO fleet.assets (site, uuid) VALUES (1, gen_random_uuid())")
        own.execute(
            "INSERT INTO fleet.asset_slots (slot, energy_uwh, asset, store, length_s, revision, "
            "kind, quality) SELECT to_timestamp(%s + k * 900), k, 1, 1, 900, 0, 'm', 'm' "
            "FROM generate_series(0, 9) k",
            (OLD_S,),
        )
        own.execute("SELECT fleet.pack_begin('asset_slots', %s)", (month,))
        # Whatever is packed of it is a little off, as by a fault of the arithmetic.
        days_of_month = f"fleet.asset_days_{month:%Y_%m}"
        own.execute(
            "CREATE FUNCTION fleet.spoil() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN NEW.energy_uwh[1] := NEW.energy_uwh[1] + 1; RETURN NEW; END'"
        )
        own.execute(
            f"CREATE TRIGGER spoil BEFORE INSERT ON {days_of_month} "
            "FOR EACH ROW EXECUTE FUNCTION fleet.spoil()"
        )
    command = ["--config", str(settings.folder), "fleet", "pack"]
    assert main(command) == 1
    assert "what was packed is not what there was" in capsys.readouterr().err
    rows = postgres.rows("SELECT sum(energy_uwh)::int FROM fleet.measurements", dbname=database)
    assert rows == [(45,)]
    assert postgres.rows("SELECT done_at FROM fleet.packed", dbname=database) == [(None,)]
