"""What the manager sees of months that are packed, and of what comes for them afterwards: the same
as before, to the µWh.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.fleet import migrating
from gateway.fleet.database import Connection, connect
from gateway.fleet.page.questions import Questions
from gateway.fleet.settings import FleetSettings

pytestmark = pytest.mark.xdist_group("postgres")

BERLIN = ZoneInfo("Europe/Berlin")
SLOT_S = 900
ROLES = {("grid", "i"): "from_grid", ("grid", "e"): "to_grid", ("pv", "e"): "sun"}


def months() -> tuple[datetime, datetime]:
    """A month of long ago, and the one after it: their first moments."""
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(4):
        first = (first - timedelta(days=1)).replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


Row = tuple[int, int, int, int | None]
"""(series, slot, revision, energy)"""


@dataclass
class Truth:
    """The newest of each slot of each series."""

    roles: dict[int, str]
    newest: dict[tuple[int, int], tuple[int, int | None]]

    def take(self, rows: Iterable[Row]) -> None:
        for series, slot_s, revision, uwh in rows:
            if revision >= self.newest.get((series, slot_s), (0, 0))[0]:
                self.newest[series, slot_s] = revision, uwh

    def sums(self, day: date) -> tuple[dict[str, list[int | None]], list[int]]:
        """Of a day in Berlin: the sums, and at how many meters at the grid they are known."""
        begin = datetime.combine(day, datetime.min.time(), BERLIN)
        end = datetime.combine(day + timedelta(days=1), datetime.min.time(), BERLIN)
        slots = range(int(begin.timestamp()), int(end.timestamp()), SLOT_S)
        sums: dict[str, list[int | None]] = {name: [None] * len(slots) for name in ROLES.values()}
        meters = [0] * len(slots)
        for (series, slot_s), (_, uwh) in self.newest.items():
            if uwh is not None and slot_s in slots:
                n, name = slots.index(slot_s), self.roles[series]
                sums[name][n] = (sums[name][n] or 0) + uwh
                meters[n] += name == "from_grid"
        return sums, meters


def rows_of(roles: dict[int, str], begin_s: int, days: int) -> list[Row]:
    """Of one series all slots, of others some, some revised twice, some not known."""
    draw = random.Random(17)
    rows: list[Row] = []
    for series in roles:
        for slot_s in range(begin_s, begin_s + days * 86_400, SLOT_S):
            if series % 4 == 2 and draw.random() < 0.3:
                continue
            known = series % 4 != 3 or draw.random() < 0.9
            rows.append((series, slot_s, 0, draw.getrandbits(29) if known else None))
            if series % 4 == 0 and draw.random() < 0.1:
                rows += [(series, slot_s, n, draw.getrandbits(29)) for n in (1, 2)]
    return rows


async def insert(connection: Connection, table: str, rows: list[Row]) -> None:
    """Registers go on from slot to slot, but of every fifth series."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            f"INSERT INTO fleet.{table} (series, slot, revision, energy_uwh, begin_register_uwh, "
            "end_register_uwh, store, length_s, samples, largest_gap_ms, coverage_permille, "
            "quality, method, clock) SELECT series, to_timestamp(slot), revision, energy, "
            "CASE WHEN series %% 5 = 0 THEN slot ELSE slot / 900 * 7 END, "
            "CASE WHEN series %% 5 = 0 THEN slot + 5 ELSE slot / 900 * 7 + 7 END, "
            "1, 900, 90, 9, 1000, 'm', 'c', 'k' "
            "FROM (VALUES (%s::int, %s::bigint, %s::smallint, %s::bigint)) "
            "v (series, slot, revision, energy)",
            rows,
        )


async def pack(connection: Connection, month: datetime) -> None:
    for table in ("asset_slots", "meter_slots"):
        await connection.execute("SELECT fleet.pack_begin(%s, %s)", (table, month))
        while await value(connection, "SELECT fleet.pack_next(%s, %s, 500)", table, month):
            pass
        assert await value(connection, "SELECT fleet.pack_end(%s, %s)", table, month)


async def value(connection: Connection, query: Any, *values: object) -> object:
    row = await (await connection.execute(query, values)).fetchone()
    return row[0] if row else None


async def of_berlin(settings: FleetSettings) -> tuple[FleetSettings, Connection]:
    berlin = replace(settings, file=replace(settings.file, timezone="Europe/Berlin"))  # type: ignore[arg-type]
    connection = await connect(berlin)
    await migrating.set_timezone(connection, "Europe/Berlin")
    return berlin, connection


async def test_the_communitys_day_is_the_same_to_the_uwh(own_settings: FleetSettings) -> None:
    """Also of the day on whose border the packed month ends: two hours of it are the month's."""
    settings, connection = await of_berlin(own_settings)
    first, after = months()
    cursor = await connection.execute("SELECT id, meter, direction::text FROM fleet.series")
    roles = {int(r[0]): ROLES[str(r[1]), str(r[2])] for r in await cursor.fetchall()}  # type: ignore[call-overload]
    truth = Truth(roles, {})
    begin_s = int(after.timestamp()) - 2 * 86_400
    rows = rows_of(roles, begin_s, 4)
    for month in (first, after):
        await connection.execute("SELECT fleet.add_month(%s)", (month,))
    await insert(connection, "meter_slots", rows)
    truth.take(rows)
    border = after.date()
    days = [border - timedelta(days=1), border, border + timedelta(days=1)]

    async def is_right(when: str) -> None:
        questions = Questions(settings)
        for day in days:
            found = await questions.community(day)
            sums, meters = truth.sums(day)
            told = {"from_grid": found.from_grid_uwh, "to_grid": found.to_grid_uwh,
                    "sun": found.sun_uwh}  # fmt: skip
            assert told == sums, (when, day)
            assert found.meters == meters, (when, day)
        await questions.close()

    await is_right("as it came")
    await pack(connection, first)
    left = "SELECT count(*) FROM fleet.meter_slots WHERE slot < %s"
    assert await value(connection, left, after) == 0
    await is_right("packed")

    late = [row for row in rows if row[2] == 0 and row[1] < after.timestamp()]
    a_day = range(begin_s, begin_s + 86_400, SLOT_S)
    gone = {(series, slot_s) for series in roles for slot_s in a_day}
    gone -= {(series, slot_s) for series, slot_s, _, _ in late}
    more: list[Row] = [(*where, 0, 5_000 + n) for n, where in enumerate(sorted(gone))]
    more += [(series, slot_s, n, 7 * n) for series, slot_s, _, _ in late[-300::9] for n in (3, 4)]
    more.append((late[-1][0], late[-1][1], 5, None))
    assert gone
    await insert(connection, "meter_late", more)
    truth.take(more)
    await is_right("with what came late")
    while await value(connection, "SELECT fleet.pack_late('meter_slots', 3, interval '0')"):
        pass
    assert await value(connection, "SELECT count(*) FROM fleet.meter_late") == 0
    await is_right("with what came late, packed")
    await connection.close()


async def test_a_homes_page_is_the_same(own_settings: FleetSettings) -> None:
    settings, connection = await of_berlin(own_settings)
    first = months()[0]
    await connection.execute("SELECT fleet.add_month(%s)", (first,))
    day = first.date() + timedelta(days=4)
    await connection.execute(
        "INSERT INTO fleet.asset_slots (slot, energy_uwh, uncertainty_uwh, asset, store, length_s, "
        "revision, kind, quality) SELECT %s + n * interval '15 minutes', n * n, n, a.id, 1, 900, "
        "r, k, CASE WHEN r > 0 THEN 'e'::\"char\" ELSE 'm' END "
        "FROM fleet.assets a, generate_series(0, 300) n, (VALUES ('m'::\"char\"), ('f')) v (k), "
        "generate_series(0, 1) r WHERE r = 0 OR n %% 7 = 0",
        (first + timedelta(days=3),),
    )
    await connection.execute(
        "SELECT fleet.count_again(array_agg(a.id), array_agg(%s::date + n)) "
        "FROM fleet.assets a, generate_series(-1, 4) n",
        (day,),
    )
    cursor = await connection.execute("SELECT id FROM fleet.series")
    roles = {int(row[0]): "" for row in await cursor.fetchall()}  # type: ignore[call-overload]
    rows = rows_of(roles, int(first.timestamp()) + 3 * 86_400, 3)
    await insert(connection, "meter_slots", rows)

    async def seen() -> tuple[Any, ...]:
        questions = Questions(settings)
        home = await questions.home_day("home-3", day)
        fleet = await questions.fleet()
        await questions.close()
        assert home is not None
        return home.assets, home.meters, home.first_day, home.slots, fleet.homes

    before = await seen()
    assert before[2] == day - timedelta(days=1)
    assert len(before[1]) == 3
    assert sum(uwh is not None for uwh in before[0][0].energy_uwh) == 96
    await pack(connection, first)
    assert await seen() == before
    await connection.close()
