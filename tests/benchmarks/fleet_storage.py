"""A community's database over months: its size, how long a month takes to be packed, and what
people and the exchange ask it.

STORED_HOMES=50 is how many there are, with four assets and four meter directions each;
STORED_DAYS=30 how many days of a month. The demand is for a month of 10,000 homes, which is
extrapolated: packing takes the same time for each slot, as it goes asset by asset. Energies have 29
random bits.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.fleet import migrating
from gateway.fleet.database import connect
from gateway.fleet.packing import Packing
from gateway.fleet.settings import FleetSettings, load
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.fleet import DATABASE_OPTIONS, database_cpu_s, plain_loop_s
from tests.gateway.fleet.postgres import Postgres, running, write_config

TITLE = "a community's database over months"
SLOW = "a minute for 50 homes"

NAME = "community"
MONTH_SLOTS = 10_000 * 4 * 30 * 96
"""Of assets; of meters there are as many."""
BEGIN = "(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '4 months') AT TIME ZONE 'UTC'"

_HOMES = """
INSERT INTO fleet.sites (name) SELECT 'home-' || n FROM generate_series(1, %(homes)s) n;
INSERT INTO fleet.stores (site, name) SELECT id, 's' FROM fleet.sites;
INSERT INTO fleet.assets (site, uuid)
    SELECT s.id, gen_random_uuid() FROM fleet.sites s, generate_series(1, 4);
INSERT INTO fleet.series (site, meter, direction, serial) SELECT s.id, m, d::"char", 'E0031003'
    FROM fleet.sites s, unnest(ARRAY['grid', 'pv']) m, unnest(ARRAY['i', 'e']) d;
"""

# As they come: slot by slot, all homes of a slot within half a minute.
_ASSET_DAY = f"""
INSERT INTO fleet.asset_slots (slot, energy_uwh, uncertainty_uwh, received, asset, store, length_s,
    revision, kind, quality)
SELECT t.slot, (random() * (1 << 29))::bigint, (random() * (1 << 20))::bigint,
    t.slot + interval '15 minutes' + random() * interval '30 seconds', a.id, 1, 900, 0, 'm', 'm'
FROM generate_series(0, 95) k, fleet.assets a,
    LATERAL (SELECT {BEGIN} + make_interval(days => %(day)s, mins => 15 * k) AS slot) t
ORDER BY k, a.id
"""
_METER_DAY = f"""
INSERT INTO fleet.meter_slots (slot, energy_uwh, uncertainty_uwh, begin_register_uwh,
    end_register_uwh, received, series, store, length_s, samples, largest_gap_ms, revision,
    coverage_permille, quality, method, clock)
SELECT t.slot, r.ends - r.begins, (random() * (1 << 20))::bigint, r.begins, r.ends,
    t.slot + interval '15 minutes' + random() * interval '30 seconds', s.id, 1, 900,
    (85 + random() * 8)::int, (10000 + random() * 256)::int, 0, 1000, 'm', 'c', 'k'
FROM generate_series(0, 95) k, fleet.series s,
    LATERAL (SELECT {BEGIN} + make_interval(days => %(day)s, mins => 15 * k) AS slot,
        %(day)s * 96 + k AS n) t,
    LATERAL (SELECT (t.n::bigint << 29) + (hashint4(t.n * 70001 + s.id) & 536870911) AS begins,
        ((t.n + 1)::bigint << 29) + (hashint4((t.n + 1) * 70001 + s.id) & 536870911) AS ends) r
ORDER BY k, s.id
"""

_SIZE = """
SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits
WHERE inhparent = %s::regclass
"""

_COMMUNITYS_DAY = f"""
SELECT slot, sum(energy_uwh) FROM fleet.measurements
WHERE site = ANY(%(sites)s) AND day BETWEEN ({BEGIN})::date + 10 AND ({BEGIN})::date + 10
    AND slot >= {BEGIN} + interval '10 days' AND slot < {BEGIN} + interval '11 days'
GROUP BY slot
"""
_ASSETS_MONTH = f"""
SELECT slot, energy_uwh FROM fleet.measurements WHERE asset = %(asset)s
    AND day >= ({BEGIN})::date AND day < ({BEGIN})::date + 31
    AND slot >= {BEGIN} AND slot < {BEGIN} + interval '1 month'
"""


def figures() -> Iterator[Figure]:
    """Raises RuntimeError where something is missing."""
    homes = int(os.environ.get("STORED_HOMES", "50"))
    days = int(os.environ.get("STORED_DAYS", "30"))
    with tempfile.TemporaryDirectory() as folder, running(DATABASE_OPTIONS) as postgres:
        settings = _made(Path(folder), postgres)
        progress(f"{homes} homes, {days} days of slots")
        with postgres.connect(NAME) as own:
            own.execute(_HOMES.replace("%(homes)s", str(homes)))
            own.execute(f"SELECT fleet.add_month({BEGIN})")
            for day in range(days):
                own.execute(_ASSET_DAY, {"day": day})
                own.execute(_METER_DAY, {"day": day})
            own.execute("VACUUM ANALYZE")
        slots = homes * 8 * days * 96
        for what, table in (("an asset", "asset_slots"), ("a meter", "meter_slots")):
            size = _size(postgres, table) / (slots / 2)
            yield Figure(f"a slot of {what}, with its index", size, "B", 150.0, "low")
        yield from _asked(postgres, homes, "")

        progress("packs them")
        before = _whole(postgres)
        loop_s, began_s, used_s = plain_loop_s(), time.monotonic(), database_cpu_s(postgres)
        done = asyncio.run(Packing(settings, pause=0.0).once())
        took_s = time.monotonic() - began_s
        used_s = database_cpu_s(postgres) - used_s
        packed = sum(each.slots for each in done)
        if packed != slots or _whole(postgres) != before:
            raise RuntimeError("what is packed is not what there was")
        yield Figure(
            "packing a month of 10,000 homes",
            took_s / slots * 2 * MONTH_SLOTS / 60,
            "min",
            15.0,
            "low",
            f"extrapolated: {slots:,} slots of assets and meters in {took_s:.1f} s",
        )
        used_min = used_s / slots * 2 * MONTH_SLOTS / 60
        loop = f"a plain loop of 0.07 s takes {loop_s:.2f} s"
        yield Figure("the same, of one processor alone", used_min, "min", 15.0, "low", loop)
        for what, table in (("an asset", "asset_days"), ("a meter", "meter_days")):
            size = _size(postgres, table) / (slots / 2)
            yield Figure(f"a packed slot of {what}", size, "B", 30.0, "low")
        yield from _asked(postgres, homes, ", packed")
        yield from _unsent(postgres)


def _made(folder: Path, postgres: Postgres) -> FleetSettings:
    postgres.new_database(NAME)
    write_config(folder, 1, postgres, NAME)
    settings = load(folder)

    async def make() -> None:
        connection = await connect(settings)
        await migrating.migrate(connection)
        await connection.close()

    asyncio.run(make())
    return settings


def _size(postgres: Postgres, parent: str) -> int:
    size: int = postgres.rows(_SIZE, f"fleet.{parent}", dbname=NAME)[0][0]
    return size


def _whole(postgres: Postgres) -> list[Any]:
    return [
        postgres.rows(f"SELECT count(*), sum(energy_uwh) FROM fleet.{view}", dbname=NAME)
        for view in ("measurements", "meters")
    ]


def _asked(postgres: Postgres, homes: int, how: str) -> Iterator[Figure]:
    number = min(homes, 100)
    sites = [f"home-{n * (homes // number) + 1}" for n in range(number)]
    asset = postgres.rows("SELECT uuid FROM fleet.assets WHERE id = 7", dbname=NAME)[0][0]
    yield _query(postgres, f"community's day, {number} homes{how}", _COMMUNITYS_DAY,
                 {"sites": sites}, 300.0)  # fmt: skip
    yield _query(postgres, f"an asset's month{how}", _ASSETS_MONTH, {"asset": asset}, 100.0)


def _unsent(postgres: Postgres) -> Iterator[Figure]:
    """Where a fleet's deliveries are kept: one in a thousand is owed."""
    if postgres.rows("SELECT to_regclass('fleet.deliveries') IS NULL", dbname=NAME)[0][0]:
        return
    with postgres.connect(NAME) as own:
        own.execute(
            "INSERT INTO fleet.deliveries (asset, slot, kind, revision, state) "
            f"SELECT a.id, {BEGIN} + n * interval '15 minutes', 'm', 0, "
            """(CASE WHEN (n * 7919 + a.id) % 1000 = 0 THEN 'o' ELSE 'a' END)::"char" """
            "FROM fleet.assets a, generate_series(0, 2879) n"
        )
        own.execute("ANALYZE fleet.deliveries")
    query = "SELECT asset, slot, kind, revision FROM fleet.deliveries WHERE state = 'o'"
    yield _query(postgres, "all unsent", query, {}, 50.0)


def _query(
    postgres: Postgres, name: str, query: str, values: dict[str, Any], bound_ms: float
) -> Figure:
    """The quickest of five, warm; beside it what the plan reads."""
    times_s = []
    with postgres.connect(NAME) as own:
        for _ in range(5):
            began_s = time.perf_counter()
            rows = len(own.execute(query, values).fetchall())
            times_s.append(time.perf_counter() - began_s)
        plan = own.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", values).fetchone()
    assert plan is not None
    found = plan[0] if isinstance(plan[0], list) else json.loads(plan[0])
    top = found[0]["Plan"]
    pages = top["Shared Hit Blocks"] + top["Shared Read Blocks"]
    return Figure(
        name, min(times_s) * 1000, "ms", bound_ms, "low", f"{rows:,} rows, {pages:,} pages"
    )
