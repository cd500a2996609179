"""Homes whose market has slots of 5 minutes, of half an hour and of an hour."""

import asyncio
import time
from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.cli.main import main
from gateway.fleet import migrating, reporting
from gateway.fleet.database import Connection
from gateway.fleet.page.questions import Questions
from gateway.fleet.settings import FleetSettings
from gateway.fleet.writing import Writer
from tests.gateway.fleet.homes import Home, asset_of
from tests.gateway.fleet.postgres import Postgres
from tests.gateway.fleet.test_collector import add_sites
from tests.gateway.fleet.test_packing import deliver, write

pytestmark = pytest.mark.xdist_group("postgres")

LENGTHS_S = {"quick": 300, "usual": 900, "half": 1800, "hourly": 3600}
NOW_S = int(time.time()) // 3600 * 3600


async def lengths(connection: Connection) -> dict[str, int]:
    cursor = await connection.execute(
        "SELECT name, length_s FROM fleet.slot_lengths JOIN fleet.sites ON id = site"
    )
    return {str(name): int(str(length_s)) for name, length_s in await cursor.fetchall()}


async def test_a_homes_slots_are_as_long_as_its_newest_one(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    add_sites(postgres, settings, *LENGTHS_S, "new")
    await migrating.set_slot_length(connection, 60)
    writer = Writer()
    for site, length_s in LENGTHS_S.items():
        home = Home(site, length_s=length_s)
        home.close(NOW_S - 7200)
        await deliver(connection, writer, home)
    assert await lengths(connection) == LENGTHS_S | {"new": 60}

    # What is of long ago comes later, from before the market changed.
    old = Home("quick", seed=3, seq=9)
    old.close(NOW_S - 86_400)
    await deliver(connection, writer, old)
    assert await lengths(connection) == LENGTHS_S | {"new": 60}
    # Its market goes on with other slots.
    changed = Home("quick", seed=4, seq=19, length_s=3600)
    changed.close(NOW_S - 3600)
    await deliver(connection, writer, changed)
    assert await lengths(connection) == LENGTHS_S | {"new": 60, "quick": 3600}
    # A message without slots says nothing of them.
    usual = Home("usual")
    await write(connection, writer, (usual, usual.message((), NOW_S, seq=[(31, 31)])))
    assert (await lengths(connection))["usual"] == 900

    questions = Questions(settings)
    fleet = await questions.fleet()
    assert {each.home.name: each.home.slot_length_s for each in fleet.homes} == (
        LENGTHS_S | {"new": 60, "quick": 3600}
    )
    today = datetime.now(UTC).date()
    day = await questions.home_day("half", today - timedelta(days=30))
    assert day is not None
    assert (day.slot_s, day.slots) == (1800, 48), "also a day of which nothing is there"
    community = await questions.community(today - timedelta(days=20))
    assert community.slot_s == 3600
    await questions.close()


async def test_slots_are_due_when_they_have_ended_and_not_before(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    add_sites(postgres, settings, *LENGTHS_S)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    begin_s = int(datetime.combine(yesterday, datetime.min.time(), UTC).timestamp())
    writer = Writer()
    for site, length_s in LENGTHS_S.items():
        home = Home(site, length_s=length_s)
        for n in range(86_400 // length_s):
            home.close(begin_s + n * length_s)
        await deliver(connection, writer, home)

    async def coverage(day: date) -> dict[str, set[tuple[int, ...]]]:
        found: dict[str, set[tuple[int, ...]]] = {}
        cursor = await connection.execute(
            "SELECT s.name, c.expected, c.due, c.known FROM fleet.coverage(%s) c "
            "JOIN fleet.sites s ON s.id = c.site",
            (day,),
        )
        for name, *rest in await cursor.fetchall():
            found.setdefault(str(name), set()).add(tuple(int(str(each)) for each in rest))
        return found

    per_day = {site: 86_400 // length_s for site, length_s in LENGTHS_S.items()}
    assert await coverage(yesterday) == {site: {(n, n, n)} for site, n in per_day.items()}
    before_s = time.time()
    found = await coverage(yesterday + timedelta(days=1))
    after_s = time.time()
    for site, length_s in LENGTHS_S.items():
        [(expected, due, known)] = found[site]
        least, most = (
            max(0, int((at_s - 900 - begin_s - 86_400) // length_s)) for at_s in (before_s, after_s)
        )
        assert (expected, known) == (per_day[site], 0)
        assert least <= due <= most

    month = yesterday.replace(day=1)
    rows = [row async for row in reporting.month_rows(connection, month, "asset")]
    for row in rows:
        length_s = LENGTHS_S[row["site"]]
        assert row["known_slots"] == per_day[row["site"]]
        assert row["asset"] in (asset_of(row["site"], 0), asset_of(row["site"], 1))
        due_today = max(0, int((time.time() - 900 - begin_s - 86_400) // length_s))
        today = (yesterday + timedelta(days=1)).month == yesterday.month
        assert 0 <= per_day[row["site"]] + due_today * today - row["expected_slots"] <= 1


async def test_the_list_of_homes_goes_by_their_own_slots(
    connection: Connection,
    settings: FleetSettings,
    postgres: Postgres,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add_sites(postgres, settings, *LENGTHS_S)
    writer = Writer()
    for site, length_s in LENGTHS_S.items():
        home = Home(site, length_s=length_s)
        home.close(NOW_S - 7200)
        await deliver(connection, writer, home)
    await connection.execute(
        "UPDATE fleet.stores SET last_at = now() - interval '40 minutes', lag_s = 0"
    )
    words = ["--config", str(settings.folder), "fleet", "sites", "list"]
    assert await asyncio.to_thread(main, words) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    states = {row[0]: row[1] for row in rows if row and row[0] in LENGTHS_S}
    assert states == {"quick": "silent", "usual": "silent", "half": "ok", "hourly": "ok"}
