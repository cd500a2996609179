"""A home that is handed its data, and one that is forgotten; a month's report."""

import asyncio
import csv
import hashlib
import io
import json
import subprocess
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from pyarrow import parquet

from gateway.cli.main import main
from gateway.fleet import leaving
from gateway.fleet.database import Connection
from gateway.fleet.packing import Packing
from gateway.fleet.settings import FleetSettings
from gateway.fleet.writing import Writer
from tests.gateway.fleet.homes import SLOT_S, Home, asset_of
from tests.gateway.fleet.postgres import Postgres
from tests.gateway.fleet.test_collector import add_sites
from tests.gateway.fleet.test_packing import NOW_S, OLD_S, days, deliver, whole

pytestmark = pytest.mark.xdist_group("postgres")


async def lived(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> tuple[str, Home, Home]:
    """A database with two homes that have packed, late, present, clashing and refused rows."""
    database = add_sites(postgres, settings, "home-1", "neighbour")
    writer = Writer()
    home, neighbour = Home("home-1"), Home("neighbour")
    for each in (home, neighbour):
        for n in range(20):
            each.close(OLD_S + n * SLOT_S)
        await deliver(connection, writer, each)
    await Packing(settings, pause=0).once()
    for each in (home, neighbour):
        each.close(OLD_S + 3 * SLOT_S, revision=1)
        each.close(NOW_S)
        each.close(NOW_S, revision=1)
        await deliver(connection, writer, each)
        copy = Home(each.site, seed=9)
        copy.close(NOW_S)
        await deliver(connection, writer, copy)
    with postgres.connect(database) as own:
        own.execute(
            "INSERT INTO fleet.refused (site, why, payload) SELECT name, 'it is damaged', "
            "convert_to(name, 'UTF8') FROM fleet.sites"
        )
        own.execute(
            "INSERT INTO fleet.status (site, online, told) "
            "SELECT id, true, jsonb_build_object('site', name) FROM fleet.sites"
        )
    return database, home, neighbour


def fleet(settings: FleetSettings, *words: str) -> int:
    return main(["--config", str(settings.folder), "fleet", *words])


async def test_a_home_is_handed_all_that_there_is_of_it(
    connection: Connection, settings: FleetSettings, postgres: Postgres, tmp_path: Path
) -> None:
    await lived(connection, settings, postgres)
    path = tmp_path / "home-1.zip"
    assert await asyncio.to_thread(fleet, settings, "export", "home-1", "--output", str(path)) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        tables: dict[str, list[dict[str, Any]]] = {}
        for name, said in manifest["files"].items():
            data = archive.read(name)
            assert hashlib.sha256(data).hexdigest() == said["sha256"]
            tables[name] = list(csv.DictReader(io.StringIO(data.decode())))
            assert len(tables[name]) == said["rows"]
        text = "".join(archive.read(name).decode() for name in archive.namelist())
    assert manifest["site"] == "home-1"
    measured = {(row["asset"], row["slot"]): int(row["energy_uwh"])
                for row in tables["measurements.csv"]}  # fmt: skip
    there = {(str(row[1]), row[2].isoformat(" ").replace("+00:00", "+00")): row[4]
             for row in whole(postgres, settings)[0] if row[0] == "home-1"}  # fmt: skip
    assert measured == there
    assert len(measured) == 21 * 2
    assert {name: len(rows) for name, rows in tables.items()} == {
        "measurements.csv": 42, "meters.csv": 42, "tables/asset_slots.csv": 4,
        "tables/asset_days.csv": 2, "tables/asset_late.csv": 2, "tables/meter_slots.csv": 4,
        "tables/meter_days.csv": 2, "tables/meter_late.csv": 2, "tables/assets.csv": 2,
        "tables/series.csv": 2, "tables/stores.csv": 1, "tables/sites.csv": 1,
        "tables/clashes.csv": 4, "tables/refused.csv": 1, "tables/status.csv": 1,
        "tables/days.csv": 4,
    } | {name: len(rows) for name, rows in tables.items() if name not in KNOWN}  # fmt: skip
    assert "neighbour" not in text
    assert asset_of("neighbour") not in text
    assert await asyncio.to_thread(fleet, settings, "export", "home-7") == 1


KNOWN = {"measurements.csv", "meters.csv"} | {
    f"tables/{name}.csv"
    for name in ("asset_slots", "asset_days", "asset_late", "meter_slots", "meter_days",
                 "meter_late", "assets", "series", "stores", "sites", "clashes", "refused",
                 "status", "days")
}  # fmt: skip
"""Later versions add to these."""


async def test_of_a_home_that_is_forgotten_nothing_is_left(
    connection: Connection,
    settings: FleetSettings,
    postgres: Postgres,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database, _, _ = await lived(connection, settings, postgres)
    before = [
        [row for row in rows if row[0] != "home-1"] for rows in whole(postgres, settings)
    ], [row for row in days(postgres, settings) if row[0] > 2]  # fmt: skip
    assert dump(postgres, database).count("home-1") >= 3
    assert await asyncio.to_thread(fleet, settings, "forget", "home-1") == 1
    assert "say --yes" in capsys.readouterr().err
    assert whole(postgres, settings)[0] != before[0][0]

    monkeypatch.setattr(leaving, "SETTLE_S", 0.0)
    assert await asyncio.to_thread(fleet, settings, "forget", "home-1", "--yes") == 0
    told = capsys.readouterr().out
    assert "none is left" in told
    assert [whole(postgres, settings)[n] for n in (0, 1)] == before[0]
    assert days(postgres, settings) == before[1]
    left = dump(postgres, database)
    for trace in ("home-1", asset_of("home-1", 0), asset_of("home-1", 1)):
        assert trace not in left
    ((reference, rows),) = postgres.rows(
        "SELECT reference, rows FROM fleet.forgotten", dbname=database
    )
    assert str(reference) in told
    assert rows["asset_days"] == rows["assets"] == rows["asset_late"] == 2
    assert rows["asset_slots"] == rows["meter_slots"] == 4
    still = postgres.rows("SELECT series, revision FROM fleet.meter_slots", dbname=database)
    assert sorted(still) == [(3, 0), (3, 1), (4, 0), (4, 1)]
    assert rows["clashes"] == 4
    assert await asyncio.to_thread(fleet, settings, "forget", "home-1", "--yes") == 1


def dump(postgres: Postgres, database: str) -> str:
    """All that is in a database, as text."""
    return subprocess.run(
        [str(postgres.programs / "pg_dump"), "-h", str(postgres.folder), "-U", "admin", database],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


async def test_a_collectors_user_may_not_delete_a_home(
    connection: Connection, settings: FleetSettings, postgres: Postgres
) -> None:
    database = add_sites(postgres, settings, "home-1")
    await connection.execute("SET ROLE fleet_collector")
    with pytest.raises(leaving.DatabaseError, match="permission denied"):
        await leaving.forget(connection, "home-1", 0, print)
    assert postgres.rows("SELECT count(*) FROM fleet.sites", dbname=database) == [(1,)]


async def test_a_month_is_reported_by_asset_and_by_home(
    connection: Connection, settings: FleetSettings, postgres: Postgres, tmp_path: Path
) -> None:
    _, home, _ = await lived(connection, settings, postgres)
    month = datetime.fromtimestamp(OLD_S, UTC)
    whole_days = (month.replace(day=28).toordinal() + 4) - month.toordinal()
    last = datetime.fromordinal(month.replace(day=28).toordinal() + 4)
    whole_days -= last.day - 1
    found: list[list[dict[str, Any]]] = []
    for suffix in ("csv", "xlsx", "parquet"):
        path = tmp_path / f"month.{suffix}"
        words = ("report", "--month", f"{month:%Y-%m}", "--output", str(path))
        assert await asyncio.to_thread(fleet, settings, *words) == 0
        found.append(read(path))
        assert await asyncio.to_thread(fleet, settings, *words) == 1, "it is there already"
    for rows in found:
        assert len(rows) == 4
        mine = [row for row in rows if row["site"] == "home-1"]
        for row in mine:
            newest = {s: uwh for (asset, s, _), uwh in sorted(home.truth.items())
                      if asset == row["asset"] and s < NOW_S}  # fmt: skip
            assert int(row["known_slots"]) == len(newest) == 20
            assert int(row["energy_uwh"]) == sum(newest.values())
            assert float(row["energy_kwh"]) == pytest.approx(sum(newest.values()) / 1e9)
            assert int(row["expected_slots"]) == whole_days * 96
            assert float(row["coverage_percent"]) == round(2000 / (whole_days * 96), 2)
            assert row["first_day"] == f"{month:%Y-%m-%d}"
    path = tmp_path / "homes.csv"
    words = ("report", "--month", f"{month:%Y-%m}", "--by", "home", "--output", str(path))
    assert await asyncio.to_thread(fleet, settings, *words) == 0
    home_rows = read(path)
    assert [(row["site"], row["assets"], row["known_slots"]) for row in home_rows] == [
        ("home-1", "2", "40"),
        ("neighbour", "2", "40"),
    ]
    assert await asyncio.to_thread(fleet, settings, "report", "--month", "2001-01") == 1


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_text())))
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    head, *rest = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
    return [dict(zip(head, row, strict=True)) for row in rest]
