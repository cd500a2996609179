"""A community's database over two months, one of them packed: its size, how long packing takes, and
what people, the manager's page and the exchange ask it.

STORED_HOMES=50 is how many there are, with four assets and four meter directions each; the demands
on questions are for 1,000. STORED_DAYS=31 how many days of each month. In each slot homes come in
another order, energies have 29 random bits, and of 200 slots one has a second revision. The demand
on packing is for a month of 10,000 homes, which is extrapolated: it goes day by day, and takes the
same time for each slot.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from gateway.fleet import migrating, users
from gateway.fleet.database import connect
from gateway.fleet.packing import Packing
from gateway.fleet.page.questions import Questions
from gateway.fleet.settings import FleetSettings, load
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.fleet import DATABASE_OPTIONS, database_cpu_s, plain_loop_s
from tests.gateway.fleet.page.conftest import PASSWORD, USER, Visitor, served
from tests.gateway.fleet.postgres import Postgres, running, write_config

TITLE = "a community's database over two months"
SLOW = "two minutes for 50 homes, fifteen for 1,000"

NAME = "community"
MONTH_SLOTS = 10_000 * 4 * 30 * 96
"""Of assets; of meters there are as many."""
PACKED, NARROW = 4, 1
"""How many months ago: the one that is packed, and the one that is not."""
OWED_SLOTS = 480
"""Of each asset: what was accepted is kept for five days."""

_HOMES = """
INSERT INTO fleet.sites (name) SELECT 'home-' || n FROM generate_series(1, %(homes)s) n;
INSERT INTO fleet.stores (site, name) SELECT id, 's' FROM fleet.sites;
INSERT INTO fleet.assets (site, uuid)
    SELECT s.id, gen_random_uuid() FROM fleet.sites s, generate_series(1, 4);
INSERT INTO fleet.series (site, meter, direction, serial) SELECT s.id, m, d::"char", 'E0031003'
    FROM fleet.sites s, unnest(ARRAY['grid', 'pv']) m, unnest(ARRAY['i', 'e']) d;
"""

# As they come: slot by slot, all homes of a slot within half a minute, in any order.
_ASSET_DAY = """
INSERT INTO fleet.asset_slots (slot, energy_uwh, uncertainty_uwh, received, asset, store, length_s,
    revision, kind, quality)
SELECT t.slot, (random() * (1 << 29))::bigint, (random() * (1 << 20))::bigint,
    t.slot + interval '15 minutes' + random() * interval '30 seconds', a.id, a.site, 900, 0, 'm',
    'm'
FROM generate_series(0, 95) k, fleet.assets a,
    LATERAL (SELECT %(day)s + make_interval(mins => 15 * k) AS slot) t
ORDER BY k, hashint4(a.site * 97 + k), a.id
"""
_METER_DAY = """
INSERT INTO fleet.meter_slots (slot, energy_uwh, uncertainty_uwh, begin_register_uwh,
    end_register_uwh, received_s, series, store, length_s, samples, largest_gap_ms, revision,
    coverage_permille, quality, method, clock)
SELECT t.slot, r.ends - r.begins, (random() * (1 << 20))::bigint, r.begins, r.ends,
    t.begin_s + (900 + random() * 30)::int, s.id, s.site, 900,
    (85 + random() * 8)::int, (10000 + random() * 256)::int, 0, 1000, 'm', 'c', 'k'
FROM generate_series(0, 95) k, fleet.series s,
    LATERAL (SELECT %(day)s + make_interval(mins => 15 * k) AS slot,
        fleet.received_s(%(day)s) + 900 * k AS begin_s,
        extract(day FROM %(day)s AT TIME ZONE 'UTC')::int * 96 + k AS n) t,
    LATERAL (SELECT (t.n::bigint << 29) + (hashint4(t.n * 70001 + s.id) & 536870911) AS begins,
        ((t.n + 1)::bigint << 29) + (hashint4((t.n + 1) * 70001 + s.id) & 536870911) AS ends) r
ORDER BY k, hashint4(s.site * 97 + k), s.id
"""
# An hour later, of one slot in 200.
_ASSET_AGAIN = """
INSERT INTO fleet.asset_slots (slot, energy_uwh, uncertainty_uwh, received, asset, store, length_s,
    revision, kind, quality)
SELECT slot, energy_uwh + 1000, uncertainty_uwh / 2, received + interval '1 hour', asset, store,
    length_s, 1, kind, 'e'
FROM fleet.asset_slots WHERE slot >= %(day)s AND slot < %(day)s + interval '1 day'
    AND (asset * 7919 + date_part('epoch', slot)::bigint / 900) %% 200 = 0
"""
_METER_AGAIN = """
INSERT INTO fleet.meter_slots (slot, energy_uwh, uncertainty_uwh, begin_register_uwh,
    end_register_uwh, received_s, series, store, length_s, samples, largest_gap_ms, revision,
    coverage_permille, quality, method, clock)
SELECT slot, energy_uwh + 1000, uncertainty_uwh / 2, begin_register_uwh, end_register_uwh,
    received_s + 3600, series, store, length_s, samples, largest_gap_ms, 1, 990, 'e',
    method, clock
FROM fleet.meter_slots WHERE slot >= %(day)s AND slot < %(day)s + interval '1 day'
    AND (series * 7919 + date_part('epoch', slot)::bigint / 900) %% 200 = 0
"""
# As the collectors would have counted.
_DAYS = """
INSERT INTO fleet.days (day, asset, length_s, expected, slots, known, estimated, energy_uwh,
    revised)
SELECT slot::date, asset, 900, 96, count(*) FILTER (WHERE revision = 0),
    count(*) FILTER (WHERE revision = 0), count(*) FILTER (WHERE revision = 1),
    sum(CASE WHEN revision = 1 THEN 1000 ELSE energy_uwh END), bool_or(revision = 1)
FROM fleet.asset_slots GROUP BY slot::date, asset
"""

_TOLD = """
INSERT INTO fleet.status (site, online, told)
SELECT id, true, jsonb_build_object('site', name, 'version', '0.2.0') FROM fleet.sites
"""

_SIZE = """
SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits
WHERE inhparent = %s::regclass
"""

_SOME_DAY = """
SELECT count(*), sum(energy_uwh) FROM fleet.{view}
WHERE day = %s AND slot >= %s AND slot < %s::timestamptz + interval '1 day'
"""

_COMMUNITYS_DAY = """
SELECT slot, sum(energy_uwh) FROM fleet.measurements
WHERE site = ANY(%(sites)s) AND day = %(day)s::date
    AND slot >= %(begin)s AND slot < %(begin)s::timestamptz + interval '1 day'
GROUP BY slot
"""
_ASSETS_MONTH = """
SELECT slot, energy_uwh FROM fleet.measurements WHERE asset = %(asset)s
    AND day >= %(day)s::date AND day < %(day)s::date + 31
    AND slot >= %(begin)s AND slot < %(begin)s::timestamptz + interval '31 days'
"""


def figures() -> Iterator[Figure]:
    """Raises RuntimeError where something is missing."""
    homes = int(os.environ.get("STORED_HOMES", "50"))
    days = int(os.environ.get("STORED_DAYS", "31"))
    if days < 16:
        raise RuntimeError("STORED_DAYS is 16 at least: its days are asked for")
    with tempfile.TemporaryDirectory() as folder, running(DATABASE_OPTIONS) as postgres:
        settings = _made(Path(folder), postgres)
        slots = _filled(postgres, homes, days)
        for what, table in (("an asset", "asset_slots"), ("a meter", "meter_slots")):
            size = _size(postgres, table) / (2 * slots)
            yield Figure(f"a slot of {what}, with its index", size, "B", 150.0, "low")
        yield from _asked(postgres, settings, homes, NARROW, "")
        yield from _packed(postgres, settings, slots)
        yield from _asked(postgres, settings, homes, PACKED, ", packed")
        yield from _unsent(postgres)
        yield from _looked_at(postgres, settings, homes)


def _month(ago: int) -> datetime:
    """The begin of a month (UTC)."""
    now = datetime.now(UTC)
    year, month = divmod(now.year * 12 + now.month - 1 - ago, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def _filled(postgres: Postgres, homes: int, days: int) -> int:
    """Two months of slots; gives how many assets have in each, without revisions. Meters have as
    many.
    """
    progress(f"{homes} homes, two months of slots")
    whole = [
        begin + timedelta(days=n)
        for begin in (_month(PACKED), _month(NARROW))
        for n in range(days)
        if (begin + timedelta(days=n)).month == begin.month
    ]
    with postgres.connect(NAME) as own:
        own.execute(_HOMES.replace("%(homes)s", str(homes)))
        for begin in (_month(PACKED), _month(NARROW)):
            own.execute("SELECT fleet.add_month(%s)", (begin,))

    def fill(*queries: str) -> None:
        with postgres.connect(NAME) as own:
            own.execute("SET work_mem = '128MB'")
            for day in whole:
                for query in queries:
                    own.execute(query, {"day": day})

    with ThreadPoolExecutor(2) as both:
        for each in (both.submit(fill, _ASSET_DAY, _ASSET_AGAIN),
                     both.submit(fill, _METER_DAY, _METER_AGAIN)):  # fmt: skip
            each.result()
    with postgres.connect(NAME) as own:
        own.execute("SET work_mem = '128MB'")
        own.execute(_DAYS)
        own.execute("VACUUM ANALYZE")
    return homes * 4 * 96 * sum(day < _month(NARROW) for day in whole)


def _packed(postgres: Postgres, settings: FleetSettings, slots: int) -> Iterator[Figure]:
    """Packs the month of long ago: `slots` of assets, and as many of meters."""
    progress("packs a month")
    before = _some_days(postgres)
    loop_s, began_s, used_s = plain_loop_s(), time.monotonic(), database_cpu_s(postgres)
    done = asyncio.run(Packing(settings, pause=0.0).once())
    took_s = time.monotonic() - began_s
    used_s = database_cpu_s(postgres) - used_s
    loop_s = (loop_s + plain_loop_s()) / 2
    if [each.slots for each in done] != [slots, slots] or _some_days(postgres) != before:
        raise RuntimeError("what is packed is not what there was")
    each_us = used_s / (2 * slots) * 1e6
    yield Figure(
        "packing a month of 10,000 homes",
        took_s / slots * MONTH_SLOTS / 60,
        "min",
        15.0,
        "low",
        f"extrapolated: {2 * slots:,} slots of assets and meters in {took_s:.1f} s",
    )
    loop = f"{each_us:.1f} µs a slot; a plain loop of 0.07 s takes {loop_s:.2f} s"
    used_min = used_s / slots * MONTH_SLOTS / 60
    yield Figure("the same, of one processor alone", used_min, "min", 15.0, "low", loop)
    with postgres.connect(NAME) as own:
        own.execute("VACUUM ANALYZE fleet.asset_days")
        own.execute("VACUUM ANALYZE fleet.meter_days")
    for what, table in (("an asset", "asset_days"), ("a meter", "meter_days")):
        yield Figure(f"a packed slot of {what}", _size(postgres, table) / slots, "B", 30.0, "low")


def _made(folder: Path, postgres: Postgres) -> FleetSettings:
    postgres.new_database(NAME)
    write_config(folder, 1, postgres, NAME)
    settings = load(folder)

    async def make() -> None:
        connection = await connect(settings)
        await migrating.migrate(connection)
        await migrating.make_roles(connection)
        await connection.close()

    asyncio.run(make())
    return settings


def _size(postgres: Postgres, parent: str) -> int:
    size: int = postgres.rows(_SIZE, f"fleet.{parent}", dbname=NAME)[0][0]
    return size


def _some_days(postgres: Postgres) -> list[Any]:
    """What the views tell of some days of the month that is packed."""
    days = [_month(PACKED) + timedelta(days=n) for n in (0, 7, 15)]
    return [
        postgres.rows(_SOME_DAY.replace("{view}", view), day.date(), day, day, dbname=NAME)
        for view in ("measurements", "meters")
        for day in days
    ]


def _asked(
    postgres: Postgres, settings: FleetSettings, homes: int, ago: int, how: str
) -> Iterator[Figure]:
    progress(f"asks{how}")
    number = min(homes, 100)
    sites = [f"home-{n * (homes // number) + 1}" for n in range(number)]
    asset = postgres.rows("SELECT uuid FROM fleet.assets WHERE id = 7", dbname=NAME)[0][0]
    month = _month(ago)
    day = {"sites": sites, "day": month.date() + timedelta(days=10),
           "begin": month + timedelta(days=10)}  # fmt: skip
    yield _query(
        postgres, f"a day of {number} homes of {homes:,}{how}", _COMMUNITYS_DAY, day, 300.0
    )
    of_asset = {"asset": asset, "day": month.date(), "begin": month}
    yield _query(postgres, f"an asset's month{how}", _ASSETS_MONTH, of_asset, 100.0)
    days = [month.date() + timedelta(days=n) for n in range(4, 15, 2)]
    times_s = asyncio.run(_pages_days(settings, days))
    yield Figure(
        f"another day of all {homes:,} homes, for the manager's page{how}",
        min(times_s) * 1000,
        "ms",
        300.0,
        "low",
        f"the quickest of {len(times_s)} days, each asked for once; the slowest "
        f"{max(times_s) * 1000:.0f} ms; a plain loop of 0.07 s takes {plain_loop_s():.2f} s",
    )


async def _pages_days(settings: FleetSettings, days: list[date]) -> list[float]:
    """How long the page waits for each of these days; it has been there for a while."""
    questions = Questions(settings)
    times_s = []
    try:
        await questions.community(days[0] - timedelta(days=2))
        for day in days:
            began_s = time.perf_counter()
            found = await questions.community(day)
            times_s.append(time.perf_counter() - began_s)
            if found.known != found.expected or None in found.from_grid_uwh:
                raise RuntimeError(f"of {day} not all is there")
    finally:
        await questions.close()
    return times_s


def _unsent(postgres: Postgres) -> Iterator[Figure]:
    """Of what is kept for the exchange one in a thousand is owed."""
    with postgres.connect(NAME) as own:
        own.execute(
            "INSERT INTO fleet.deliveries (asset, slot, length_s, kind, revision, state) "
            "SELECT a.id, %s + n * interval '15 minutes', 900, 'm', 0, "
            """(CASE WHEN (n * 7919 + a.id) %% 1000 = 0 THEN 'o' ELSE 'a' END)::"char" """
            "FROM fleet.assets a, generate_series(1, %s) n",
            (_month(0), OWED_SLOTS),
        )
        own.execute("VACUUM ANALYZE fleet.deliveries")
    query = "SELECT asset, slot, kind, revision FROM fleet.deliveries WHERE state = 'o'"
    yield _query(postgres, "all unsent", query, {}, 50.0)


def _looked_at(postgres: Postgres, settings: FleetSettings, homes: int) -> Iterator[Figure]:
    """The manager's page, by its real server, which has just started; all homes have sent
    everything of yesterday and of today.
    """
    progress("is looked at")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with postgres.connect(NAME) as own:
        own.execute("SET work_mem = '128MB'")
        for month in {(today - timedelta(days=1)).replace(day=1), today.replace(day=1)}:
            own.execute("SELECT fleet.add_month(%s)", (month,))
        for day in (today - timedelta(days=1), today):
            for query in (_ASSET_DAY, _METER_DAY):
                own.execute(query, {"day": day})
        own.execute(f"{_DAYS} ON CONFLICT DO NOTHING")
        own.execute("UPDATE fleet.stores SET last_slot = now() - interval '20 minutes'")
        own.execute(_TOLD)
        own.execute("VACUUM ANALYZE")
    for path, took_s, size in asyncio.run(_looks(settings)):
        what = f"the manager's page of {homes:,} homes: {path}"
        yield Figure(what, took_s * 1000, "ms", 300.0, "low", f"{size:,} bytes")


async def _looks(settings: FleetSettings) -> list[tuple[str, float, int]]:
    """What was asked for, how many seconds the answer took, and its bytes."""
    connection = await connect(settings)
    await users.put(connection, USER, PASSWORD)
    await connection.close()
    found = []
    async with served(settings) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        visitor = Visitor(client)
        await visitor.log_in()
        for path in ("/", "/sites/home-7", "/days", "/coverage", "/?state=silent"):
            began_s = time.perf_counter()
            answer = await visitor.get(path)
            found.append((path, time.perf_counter() - began_s, len(answer.content)))
            answer.raise_for_status()
    return found


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
