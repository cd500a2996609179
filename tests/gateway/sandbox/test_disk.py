"""The simulated disk: as nasty as a disk may be, not nastier than SQLite expects, and the same at every run."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from gateway.sandbox.disk import Disk

CUTS = 150

Content = dict[int, bytes]


def connect(path: Path, journal: str = "WAL", synchronous: str = "FULL", checkpoint: int = 8000) -> sqlite3.Connection:
    """As the buffer opens its file. The connection is closed where that fails."""
    db = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        db.execute("PRAGMA page_size = 512")
        db.execute(f"PRAGMA journal_mode = {journal}")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute(f"PRAGMA wal_autocheckpoint = {checkpoint}")
        db.execute("CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, v BLOB)")
    except BaseException:
        db.close()
        raise
    return db


def content(db: sqlite3.Connection) -> Content:
    return dict(db.execute("SELECT k, v FROM t"))


def change(db: sqlite3.Connection, after: Content) -> None:
    """One transaction that makes the table this."""
    db.execute("BEGIN IMMEDIATE")
    before = content(db)
    db.executemany("DELETE FROM t WHERE k = ?", [(k,) for k in before.keys() - after.keys()])
    db.executemany("INSERT OR REPLACE INTO t VALUES (?, ?)", [(k, v) for k, v in after.items() if before.get(k) != v])
    db.execute("COMMIT")


def another(before: Content, rng: Random) -> Content:
    after = dict(before)
    for _ in range(rng.choice((1, 3, 40))):
        k = rng.randrange(200)
        if rng.random() < 0.3:
            after.pop(k, None)
        else:
            after[k] = rng.randbytes(rng.choice((5, 100, 1500)))
    return after


class Workload:
    """A small database that is used until the disk stops, again and again. What it must hold is known; so is what it may hold."""

    def __init__(self, disk: Disk, path: Path, rng: Random, **settings: object) -> None:
        self.disk, self.path, self.rng, self.settings = disk, path, rng, settings
        self.committed: Content = {}
        self.under_way: Content = {}
        self.wrong: list[str] = []

    def run(self, transactions: int) -> None:
        """Until the disk stops, or so many transactions are done and the file is closed."""
        with contextlib.suppress(sqlite3.OperationalError):
            db = connect(self.path, **self.settings)  # type: ignore[arg-type]
            with contextlib.closing(db):
                for _ in range(transactions):
                    self.under_way = another(self.committed, self.rng)
                    change(db, self.under_way)
                    self.committed = self.under_way

    def check(self) -> None:
        """Note what is wrong after a restart, and go on from what is there."""
        try:
            with contextlib.closing(connect(self.path, **self.settings)) as db:  # type: ignore[arg-type]
                if (found := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                    raise sqlite3.DatabaseError(found)
                there = content(db)
        except sqlite3.DatabaseError as error:
            self.wrong.append(f"damaged: {error}")
            for name in ("", "-wal", "-journal"):
                Path(f"{self.path}{name}").unlink(missing_ok=True)
            there = {}
        else:
            if there not in (self.committed, self.under_way):
                self.wrong.append("lost" if self.committed.items() - there.items() else "invented")
        self.committed = self.under_way = there

    def stop(self, end: Callable[[], None]) -> None:
        """Run until a random operation, end it, and look what is there."""
        self.disk.stop_at(self.disk.writes + self.rng.choice((self.rng.randint(1, 40), self.rng.randint(1, 2000))), lambda: None)
        self.run(self.rng.randint(1, 30))
        end()
        self.disk.revive()
        self.check()


@pytest.mark.parametrize(
    "settings",
    [
        {"journal": "WAL", "synchronous": "FULL"},
        {"journal": "WAL", "synchronous": "FULL", "checkpoint": 20},
        {"journal": "DELETE", "synchronous": "EXTRA"},
        {"journal": "TRUNCATE", "synchronous": "FULL"},
    ],
)
@pytest.mark.parametrize("end", ["power cut", "kill", "either"])
def test_a_database_that_syncs_keeps_what_was_committed_and_nothing_else(tmp_path: Path, settings: dict[str, object], end: str) -> None:
    rng = Random(str((settings, end)))
    with Disk(tmp_path) as disk:
        work = Workload(disk, tmp_path / "db", rng, **settings)
        for _ in range(CUTS):
            cut = end == "power cut" or (end == "either" and rng.random() < 0.5)
            work.stop((lambda: disk.cut_power(rng)) if cut else disk.kill)
    assert work.wrong == []
    assert work.committed


@pytest.mark.parametrize(
    "settings", [{"journal": "WAL", "synchronous": "OFF", "checkpoint": 20}, {"journal": "DELETE", "synchronous": "OFF"}]
)
def test_a_database_that_does_not_sync_is_damaged_by_power_cuts(tmp_path: Path, settings: dict[str, object]) -> None:
    rng = Random(1)
    with Disk(tmp_path) as disk:
        work = Workload(disk, tmp_path / "db", rng, **settings)
        for _ in range(CUTS):
            work.stop(lambda: disk.cut_power(rng))
    assert any(what == "lost" for what in work.wrong)
    assert any(what.startswith("damaged") for what in work.wrong)


def test_a_database_that_does_not_sync_survives_kills(tmp_path: Path) -> None:
    rng = Random(1)
    with Disk(tmp_path) as disk:
        work = Workload(disk, tmp_path / "db", rng, journal="WAL", synchronous="OFF", checkpoint=20)
        for _ in range(CUTS):
            work.stop(disk.kill)
    assert work.wrong == []
