"""The drill of docs/fleet.md, as it is typed there: a database that is lost and restored from a
backup is complete again once its gateways have said what their days come to.
"""

import asyncio
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.fleet.settings import FleetSettings, load
from gateway.outbox.fleet.messages import Digest
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
from tests.gateway.fleet.postgres import Postgres, write_config
from tests.gateway.fleet.test_collector import add_sites, send

pytestmark = pytest.mark.xdist_group("postgres")

DAY_S = 86_400
TODAY_S = int(time.time()) // DAY_S * DAY_S
DOCS = Path(__file__).parents[3] / "docs" / "fleet.md"


def commands() -> list[str]:
    """What is to be typed when the database is lost: first the backup, then the rest."""
    text = DOCS.read_text(encoding="utf-8").split("## When the database is lost")[1]
    return re.findall(r"^    (.+)$", text.split("\n## ")[0], re.MULTILINE)


def type_in(command: str, postgres: Postgres, folder: Path) -> str:
    """Run it as its user would: the server is the default one, the folder the present one."""
    words = shlex.split(command)
    if words[0] == "meter-gateway":
        words[:1] = [sys.executable, "-m", "gateway"]
    else:
        words[0] = str(postgres.programs / words[0])
    environment = os.environ | {
        "PGHOST": str(postgres.folder),
        "PGUSER": "admin",
        "METER_GATEWAY_CONFIG": str(folder),
        "PYTHONPATH": str(DOCS.parents[1]),
    }
    done = subprocess.run(
        words,
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


async def tell_days(broker: Broker, home: Home) -> None:
    """As a gateway does once an hour; what is asked for it sends again."""
    newest = {}
    for (asset, slot_s, _), uwh in sorted(home.truth.items(), key=lambda each: each[0][2]):
        newest[asset, slot_s] = uwh
    sums: dict[tuple[str, int], list[int]] = {}
    for (asset, slot_s), uwh in newest.items():
        sums.setdefault((asset, slot_s // DAY_S * DAY_S), []).append(uwh)
    digests = [Digest(asset, day_s, len(some), sum(some)) for (asset, day_s), some in sums.items()]
    connection = await connected(broker.port, home.site, home.take)
    (ack,) = await send(connection, home, home.message([], TODAY_S, digests=digests))
    for begin_s, end_s in ack.ask:
        for slot_s in sorted({s for _, s, _ in home.truth if begin_s <= s <= end_s}):
            home.seq += 1
            home.changes[home.seq] = slot_s
    connection.abort()


async def deliver_all(broker: Broker, *homes: Home) -> None:
    tasks = [asyncio.create_task(home.deliver(broker.port, TODAY_S)) for home in homes]
    await until(lambda: not any(home.changes for home in homes), "all is acknowledged")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_database_restored_from_a_backup_is_complete_again(
    fleet: FleetSettings, broker: Broker, postgres: Postgres, tmp_path: Path
) -> None:
    database = "community"
    postgres.new_database(database, template=fleet.file.database.name)
    write_config(tmp_path, broker.port, postgres, database)
    fleet = load(tmp_path)
    backup, *restoring = commands()
    assert (backup.split()[0], len(restoring)) == ("pg_dump", 4)
    add_sites(postgres, fleet, "home-1", "home-2", "home-3")
    one, two, three = (Home(f"home-{n}", by="direct") for n in (1, 2, 3))
    for n in range(96):
        one.close(TODAY_S - 3 * DAY_S + n * SLOT_S)
    async with collecting(fleet) as collector:
        await deliver_all(broker, one)
        await asyncio.to_thread(type_in, backup, postgres, tmp_path)
        # After the backup: more of one home, all of another, whose names get numbers.
        for n in range(10):
            one.close(TODAY_S - 2 * DAY_S + n * SLOT_S)
            two.close(TODAY_S - 2 * DAY_S + n * SLOT_S)
        one.close(TODAY_S - 3 * DAY_S, revision=1)
        await deliver_all(broker, one, two)
        await asyncio.to_thread(type_in, f"dropdb --force {database}", postgres, tmp_path)
        three.close(TODAY_S - 2 * DAY_S)
        waiting = asyncio.create_task(three.deliver(broker.port, TODAY_S))
        for command in restoring:
            if "fleet check" in command:
                await until(lambda: collector.health.database == "connected", "it goes on")
                await asyncio.sleep(1)
            await asyncio.to_thread(type_in, command, postgres, tmp_path)
        await until(lambda: not three.changes, "what came meanwhile is stored")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert stored(postgres, database) != one.truth | two.truth | three.truth
        for home in (one, two):
            await tell_days(broker, home)
            assert home.changes
        await deliver_all(broker, one, two)
    assert stored(postgres, database) == one.truth | two.truth | three.truth
    owners = postgres.rows(
        "SELECT s.name, a.uuid::text FROM fleet.assets a JOIN fleet.sites s ON s.id = a.site",
        dbname=database,
    )
    assert {tuple(row) for row in owners} == {
        (home.site, asset_of(home.site, n)) for home in (one, two, three) for n in range(2)
    }
