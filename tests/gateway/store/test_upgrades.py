"""A file that an earlier version left: everything in it is there, and goes on.

`upgrades/version_N.sql` is a file as version N of the tables left it, with rows in each. With a new
migration comes the dump of the version before: `sqlite3 buffer.sqlite .dump`, and its `PRAGMA
user_version`, which a dump does not say.
"""

import shutil
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from uuid import UUID

import pytest

from drivers.sample import Sample
from gateway.delivery import kinds
from gateway.ledger.audit import audit
from gateway.ledger.ledger import Ledger
from gateway.store import migration
from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer, open_for_reading
from gateway.timing.clock import Clock, Sources
from tests.gateway.ledger.home import take, terms_of

DUMPS = Path(__file__).parent / "upgrades"
NEWEST = len(list(migration.MIGRATIONS.glob("*.sql")))
EARLIER = range(1, NEWEST)
START_S = 1_774_742_400
END_S = START_S + 3600
LOAD, PV = (
    UUID("26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1"),
    UUID("cf3b262c-1c0e-4d0b-8f0e-6f3f0e4b7a52"),
)


def left_by(version: int, path: Path) -> None:
    """A file as that version left it."""
    db = sqlite3.connect(path)
    db.executescript((DUMPS / f"version_{version}.sql").read_text())
    assert db.execute("PRAGMA user_version").fetchone() == (version,)
    db.execute("PRAGMA journal_mode = WAL")
    db.close()


def everything(buffer: Buffer) -> tuple[object, ...]:
    return (
        list(buffer.slots()),
        list(buffer.owed()),
        list(buffer.samples()),
        buffer.counters(),
        buffer.latest_events(100),
    )


def test_every_earlier_version_has_its_dump() -> None:
    assert sorted(path.name for path in DUMPS.glob("*.sql")) == [
        f"version_{version}.sql" for version in EARLIER
    ]


@pytest.mark.parametrize("version", EARLIER)
def test_all_that_an_earlier_version_left_is_there(tmp_path: Path, version: int) -> None:
    path = tmp_path / "buffer.sqlite"
    left_by(version, path)
    with pytest.raises(
        StoreError,
        match=rf"was written by an older version \(schema {version}\); start the daemon once",
    ):
        open_for_reading(path)
    store = open_buffer(path, now_s=END_S)
    slots, samples = list(store.slots()), dict(store.samples())
    assert [
        slot.energy_uwh for slot in slots if (slot.device, slot.direction) == ("grid", "import")
    ] == [
        251_000_000,
        499_000_000,
        1_000_000,
        100_000_000,
    ]
    assert {slot.serial_number for slot in slots} == {"E0031", "17"}
    assert len(slots) == store.slot_count == 16
    assert len(samples) == store.sample_count == 114
    values = {"energy_import_wh": 0.0, "energy_export_wh": 2_000_275.0000000023, "power_w": -100.0}
    assert samples[114] == Sample("pv", "17", "boot-1", 3_650_000, END_S * 1000, values), (
        "to the last digit"
    )
    owed = {(o.item.subject, (o.item.slot_s - START_S) // 900): o for o in store.owed()}
    assert [owed[LOAD, n].state for n in range(4)] == ["accepted", "pending", "pending", "pending"]
    assert [owed[PV, n].state for n in range(4)] == ["accepted", "rejected", "pending", "pending"]
    assert (owed[PV, 1].reason, owed[PV, 1].attempts) == ("HTTP 400: unknown asset", 1)
    assert store.outbox("exchange").backlog().count == 5
    counters = store.counters()
    assert {
        device: (number, state.serial_number, state.at_ms)
        for device, (number, state) in counters.items()
    } == {
        "grid": (113, "E0031", END_S * 1000),
        "pv": (114, "17", END_S * 1000),
    }
    assert counters["pv"][1].directions["export"].counter.counter_uwh == 2_000_275_000_005
    assert store.latest_events() == ["2026-03-29 00:00:00Z grid gap: import: no reading for 2.5 h"]
    assert store.damage() == []
    store.close_file()
    assert [each.name for each in tmp_path.glob("*damaged*")] == []


@pytest.mark.parametrize("version", EARLIER)
def test_the_fold_goes_on_where_the_earlier_version_stopped(tmp_path: Path, version: int) -> None:
    path = tmp_path / "buffer.sqlite"
    left_by(version, path)
    (tmp_path / "devices").mkdir()
    (tmp_path / "gateway.yaml").write_text(
        f"""
site: home-12
exchange: {{dialect: sdk, canary_network: 8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10, credentials:
    exchange.credentials, forecast: none}}
assets:
  - {{name: House load, uuid: {LOAD}, kind: load, energy: grid.import - grid.export + pv.export}}
  - {{name: PV, uuid: {PV}, kind: pv, energy: pv.export}}
buffer: {{path: buffer.sqlite}}
"""
    )
    (tmp_path / "devices/grid.yaml").write_text(
        "profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\ninterval: 60s\n"
    )
    (tmp_path / "devices/pv.yaml").write_text(
        "profile: eastron/sdm120\nline: serial:/dev/ttyUSB1?baud=9600\naddress: 2\ninterval: 60s\n"
    )
    settings = kinds.load(tmp_path, logins=False)
    assert settings.destinations
    now_s = [END_S + 30.0]
    clock = Clock(
        "assured",
        Sources(
            utc_s=lambda: now_s[0],
            boottime_s=lambda: now_s[0] - START_S + 50,
            boot_id=lambda: "boot-1",
        ),
    )
    store = open_buffer(path, now_s=now_s[0])
    ledger = Ledger(settings, store, clock, terms_of(settings, store))
    for minute in range(1, 31):
        now_s[0] = END_S + 60.0 * minute
        grid = {
            "energy_import_wh": 4_000_850.0 + 10 * minute,
            "energy_export_wh": 1_000_125.0,
            "power_w": 600.0,
        }
        pv = {"energy_import_wh": 0.0, "energy_export_wh": 2_000_275.0 + minute, "power_w": -60.0}
        for name, number, values in (("grid", "E0031", grid), ("pv", "17", pv)):
            take(
                ledger,
                Sample(
                    name,
                    number,
                    "boot-1",
                    3_650_000 + 60_000 * minute,
                    round(now_s[0] * 1000),
                    values,
                ),
            )
    store.flush()
    slots = [slot for slot in store.slots() if (slot.device, slot.direction) == ("grid", "import")]
    assert [slot.start_s for slot in slots] == [START_S + n * 900 for n in range(6)]
    assert [slot.quality for slot in slots[4:]] == ["measured"] * 2
    assert sum(slot.energy_uwh or 0 for slot in slots) == slots[-1].end_uwh - slots[0].begin_uwh
    left = [each.what for each in store.unallocated()]
    assert list(audit(store.slots(), store.owed(), left, settings.assets)) == [], (
        "the laws hold across the upgrade"
    )
    assert store.outbox("exchange").backlog().count == 9
    store.close_file()


@pytest.mark.parametrize("version", EARLIER)
def test_what_cannot_be_upgraded_stays_as_it_was(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "buffer.sqlite"
    left_by(version, path)
    broken = tmp_path / "migrations"
    shutil.copytree(migration.MIGRATIONS, broken)
    (broken / "999_broken.sql").write_text(
        "CREATE TABLE half (a);\nINSERT INTO absent VALUES (1);\n"
    )
    with monkeypatch.context() as patch:
        patch.setattr(migration, "MIGRATIONS", broken)
        for _ in range(2):
            with pytest.raises(StoreError, match="no such table: absent"):
                open_buffer(path, now_s=END_S)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (NEWEST,), "each step counts by itself"
    assert db.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []
    db.close()
    assert list(tmp_path.glob("*damaged*")) == []
    store = open_buffer(path, now_s=END_S)
    assert store.slot_count == 16
    store.close_file()


@pytest.mark.parametrize("version", EARLIER)
def test_an_upgrade_that_is_killed_anywhere_leaves_the_one_or_the_other(
    tmp_path: Path, version: int
) -> None:
    """Killed after so many statements of the upgrade, then opened by the current version."""
    code = """
        import os, signal, sqlite3, sys
        from pathlib import Path
        from gateway.store import opening
        left = [int(sys.argv[2])]
        def count(statement):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
        connect = sqlite3.connect
        def counting(*args, **options):
            db = connect(*args, **options)
            db.set_trace_callback(count)
            return db
        sqlite3.connect = counting
        opening.open_buffer(Path(sys.argv[1]), now_s=0)
        os._exit(0)
    """
    plain = tmp_path / "plain.sqlite"
    left_by(version, plain)
    store = open_buffer(plain, now_s=END_S)
    whole = everything(store)
    store.close_file()
    killed = 0
    for statements in range(9, 50, 5):
        path = tmp_path / f"{statements}.sqlite"
        left_by(version, path)
        command = [sys.executable, "-c", textwrap.dedent(code), str(path), str(statements)]
        killed += (
            subprocess.run(
                command, cwd=Path(__file__).parents[3], check=False, timeout=60
            ).returncode
            < 0
        )
        db = sqlite3.connect(path)
        assert db.execute("PRAGMA user_version").fetchone()[0] in range(version, NEWEST + 1)
        db.close()
        store = open_buffer(path, now_s=END_S)
        assert everything(store) == whole
        store.close_file()
    assert killed > 3


def test_a_salvage_reads_an_earlier_version_too(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    left_by(1, path)
    with path.open("r+b") as file:
        file.write(bytes(100))
    store = open_buffer(path, now_s=END_S)
    assert (
        store.slot_count,
        len(list(store.samples())),
        len(list(store.owed())),
        len(store.counters()),
    ) == (16, 114, 8, 2)
    assert {slot.revision for slot in store.slots()} == {0}
    store.close_file()
