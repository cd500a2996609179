"""The simulated disk: as nasty as a disk may be, not nastier than SQLite expects, and the same at
every run.
"""

import contextlib
import gc
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.benchmarks.power import lives
from tests.simulation.disk import Disk

CUTS = 50

Content = dict[int, bytes]


def connect(
    path: Path, journal: str = "WAL", synchronous: str = "FULL", checkpoint: int = 8000
) -> sqlite3.Connection:
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
    db.executemany(
        "INSERT OR REPLACE INTO t VALUES (?, ?)",
        [(k, v) for k, v in after.items() if before.get(k) != v],
    )
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
    """A small database that is used until the disk stops, again and again. What it must hold is
    known; so is what it may hold.
    """

    def __init__(self, disk: Disk, path: Path, rng: Random, **settings: object) -> None:
        self.disk, self.path, self.rng, self.settings = disk, path, rng, settings
        self.committed: Content = {}
        self.under_way: Content = {}
        self.wrong: list[str] = []

    def run(self, transactions: int, meanwhile: Callable[[], None]) -> None:
        """Until the disk stops, or so many transactions are done and the file is closed."""
        with contextlib.suppress(sqlite3.OperationalError):
            db = connect(self.path, **self.settings)  # type: ignore[arg-type]
            with contextlib.closing(db):
                for _ in range(transactions):
                    meanwhile()
                    after = another(self.committed, self.rng)
                    try:
                        change(db, after)
                    except sqlite3.OperationalError:
                        if self.disk.off:
                            self.under_way = after
                            raise
                        if db.in_transaction:
                            db.execute("ROLLBACK")
                    else:
                        self.committed = self.under_way = after

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

    def stop(self, end: Callable[[], None], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Run until a random operation, end it, and look what is there. `meanwhile` is called
        before each transaction.
        """
        self.disk.stop_at(
            self.disk.writes
            + self.rng.choice((self.rng.randint(1, 40), self.rng.randint(1, 2000))),
            lambda: None,
        )
        self.run(self.rng.randint(1, 30), meanwhile)
        end()
        self.disk.failing = self.disk.read_only = self.disk.full = False
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
@pytest.mark.parametrize("end", ["power cut", "either"])
def test_a_database_that_syncs_keeps_what_was_committed_and_nothing_else(
    tmp_path: Path, settings: dict[str, object], end: str
) -> None:
    rng = Random(str((settings, end)))
    with Disk(tmp_path) as disk:
        work = Workload(disk, tmp_path / "db", rng, **settings)
        for _ in range(CUTS):
            cut = end == "power cut" or (end == "either" and rng.random() < 0.5)
            work.stop((lambda: disk.cut_power(rng)) if cut else disk.kill)
    assert work.wrong == []
    assert work.committed


@pytest.mark.parametrize(
    "settings",
    [
        {"journal": "WAL", "synchronous": "OFF", "checkpoint": 20},
        {"journal": "DELETE", "synchronous": "OFF"},
    ],
)
def test_a_database_that_does_not_sync_is_damaged_by_power_cuts(
    tmp_path: Path, settings: dict[str, object]
) -> None:
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


# --- a disk that refuses --------------------------------------------------------------------------


@pytest.fixture(name="disk")
def disk_below(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path) as made:
        yield made


@pytest.fixture(name="db")
def open_db(disk: Disk, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(connect(tmp_path / "db")) as made:
        change(made, {1: b"one"})
        yield made


BIG = {n: bytes(300) for n in range(1000)}


def test_on_a_full_disk_nothing_grows_and_what_was_there_stays(
    disk: Disk, db: sqlite3.Connection
) -> None:
    disk.full = True
    with pytest.raises(sqlite3.OperationalError, match="database or disk is full") as caught:
        change(db, BIG)
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_FULL
    assert content(db) == {1: b"one"}
    disk.full = False
    change(db, BIG)
    assert content(db) == BIG


def test_on_a_full_disk_what_has_its_room_already_can_be_overwritten(
    disk: Disk, db: sqlite3.Connection
) -> None:
    change(db, BIG)
    db.execute("PRAGMA wal_checkpoint(FULL)")
    disk.full = True
    change(db, {**BIG, 1: b"another"})  # at the beginning of the log, which is written anew
    assert content(db)[1] == b"another"


def test_what_is_deleted_makes_room_on_a_full_disk(
    disk: Disk, db: sqlite3.Connection, tmp_path: Path
) -> None:
    reserve = tmp_path / "reserve"
    reserve.write_bytes(bytes(1_000_000))
    disk.full = True
    reserve.unlink()
    change(db, BIG)
    assert content(db) == BIG


def test_python_too_is_told_that_the_disk_is_full(
    disk: Disk, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (tmp_path / "there").write_bytes(bytes(100_000))
    disk.full = True
    assert shutil.disk_usage(tmp_path).free == 0
    assert shutil.disk_usage(tmp_path_factory.mktemp("elsewhere")).free > 0
    with (tmp_path / "reserve").open("wb") as file:
        with pytest.raises(OSError, match="No space left"):
            os.posix_fallocate(file.fileno(), 0, 100_000)
        (tmp_path / "there").unlink()
        os.posix_fallocate(file.fileno(), 0, 100_000)
    disk.full = False
    assert shutil.disk_usage(tmp_path).free > 0


def test_a_database_in_wal_mode_cannot_even_be_opened_on_a_full_disk(
    disk: Disk, db: sqlite3.Connection, tmp_path: Path
) -> None:
    db.close()
    disk.full = True
    with pytest.raises(sqlite3.OperationalError) as caught:
        connect(tmp_path / "db")
    assert caught.value.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def test_on_a_disk_that_became_read_only_what_is_open_cannot_be_written(
    disk: Disk, db: sqlite3.Connection
) -> None:
    disk.read_only = True
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        change(db, {2: b"two"})
    assert content(db) == {1: b"one"}
    disk.read_only = False
    change(db, {2: b"two"})
    assert content(db) == {2: b"two"}


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_on_a_read_only_disk_a_database_is_opened_for_reading(
    disk: Disk, tmp_path: Path, journal: str
) -> None:
    db = connect(tmp_path / "db", journal)
    change(db, {1: b"one"})
    disk.kill()
    db.close()
    disk.revive()
    disk.read_only = True
    with contextlib.closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as db:
        assert content(db) == {1: b"one"}
        with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
            change(db, {})
    with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
        connect(tmp_path / "new")


def test_on_a_read_only_disk_a_database_in_wal_mode_that_was_closed_cannot_be_read(
    disk: Disk, tmp_path: Path
) -> None:
    """It needs the log's index, which is gone with the last connection."""
    connect(tmp_path / "db").close()
    disk.read_only = True
    with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
        connect(tmp_path / "db")


def test_a_failing_disk_fails_every_commit_until_it_is_well_again(
    disk: Disk, db: sqlite3.Connection
) -> None:
    disk.failing = True
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            change(db, {2: b"two"})
        assert content(db) == {1: b"one"}
    disk.failing = False
    change(db, {2: b"two"})
    assert content(db) == {2: b"two"}


def test_what_is_committed_between_failures_survives_power_cuts(tmp_path: Path) -> None:
    """Also where a sync has failed, and a later one of the same file not."""
    rng = Random(1)

    def trouble() -> None:
        disk.failing, disk.read_only, disk.full = (rng.random() < 0.2 for _ in range(3))

    with Disk(tmp_path) as disk:
        work = Workload(disk, tmp_path / "db", rng, checkpoint=20)
        for _ in range(CUTS):
            work.stop(lambda: disk.cut_power(rng), meanwhile=trouble)
    assert work.wrong == []
    assert work.committed


def test_a_disk_that_lies_about_syncs_loses_what_was_committed(tmp_path: Path) -> None:
    rng = Random(1)
    with Disk(tmp_path) as disk:
        disk.lying = True
        work = Workload(disk, tmp_path / "db", rng)
        for _ in range(20):
            work.stop(lambda: disk.cut_power(rng))
    assert "lost" in work.wrong


# --- the process that was abandoned ---------------------------------------------------------------


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
@pytest.mark.parametrize("end", ["power cut", "kill"])
def test_closing_what_an_abandoned_process_had_open_touches_nothing(
    disk: Disk, tmp_path: Path, journal: str, end: str
) -> None:
    """It was in the middle of a transaction that had spilled to the file, and holds the lock for
    writing.
    """
    path = tmp_path / "db"
    old = connect(path, journal)
    change(old, {1: b"one"})
    old.execute("PRAGMA cache_size = 2")
    old.execute("BEGIN IMMEDIATE")
    old.executemany("INSERT OR REPLACE INTO t VALUES (?, ?)", BIG.items())
    disk.kill() if end == "kill" else disk.cut_power(Random(1))
    with pytest.raises(sqlite3.OperationalError):
        old.execute("COMMIT")
    disk.revive()
    with contextlib.closing(connect(path, journal)) as new:
        assert content(new) == {1: b"one"}
        change(new, {2: b"two"})
        before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
        with pytest.raises(sqlite3.OperationalError):
            old.execute("INSERT INTO t VALUES (7, 'seven')")
        old.close()
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
        change(new, {3: b"three"})
    with contextlib.closing(connect(path, journal)) as new:
        assert content(new) == {3: b"three"}


def test_abandoned_connections_may_be_left_to_the_garbage_collector(
    disk: Disk, tmp_path: Path
) -> None:
    abandoned = []
    for n in range(1, 20):
        db = connect(tmp_path / "db")
        abandoned.append(db)
        assert len(content(db)) == n - 1
        change(db, dict.fromkeys(range(n), b""))
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM t")
        disk.kill()
        disk.revive()
    # Python 3.13 says of each that nobody has closed it.
    with pytest.warns(ResourceWarning) if sys.version_info >= (3, 13) else contextlib.nullcontext():
        del db
        abandoned.clear()
        gc.collect()
    with contextlib.closing(connect(tmp_path / "db")) as db:
        assert len(content(db)) == 19


def test_nothing_opens_while_the_disk_is_off(
    disk: Disk, db: sqlite3.Connection, tmp_path: Path
) -> None:
    disk.kill()
    assert disk.off
    with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
        connect(tmp_path / "db")
    disk.revive()
    connect(tmp_path / "db").close()


# --- the simulation -------------------------------------------------------------------------------


def test_a_seed_replays_a_run_exactly(tmp_path: Path) -> None:

    def run(folder: Path) -> tuple[Content, list[str], int]:
        folder.mkdir()
        rng = Random(7)
        with Disk(folder) as disk:
            work = Workload(disk, folder / "db", rng, synchronous="OFF")
            for _ in range(10):
                work.stop(lambda: disk.cut_power(rng))
        return work.committed, work.wrong, disk.writes

    assert run(tmp_path / "first") == run(tmp_path / "second")


def test_files_elsewhere_are_on_another_disk(
    disk: Disk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "db"
    with contextlib.closing(connect(elsewhere)) as other:
        disk.kill()
        change(other, {1: b"one"})
        assert content(other) == {1: b"one"}
    assert disk.writes == 0


def test_after_the_simulation_databases_are_on_the_real_disk(tmp_path: Path) -> None:
    with Disk(tmp_path) as disk:
        pass
    with contextlib.closing(connect(tmp_path / "db")) as db:
        change(db, {1: b"one"})
    assert disk.writes == 0


def test_what_goes_wrong_inside_is_raised_at_the_next_call(tmp_path: Path) -> None:
    def then() -> None:
        raise ZeroDivisionError

    with Disk(tmp_path) as disk:
        disk.stop_at(1, then)
        with pytest.raises(sqlite3.OperationalError):
            connect(tmp_path / "db")
        with pytest.raises(ZeroDivisionError):
            disk.kill()
        disk.kill()


def test_a_stop_in_the_past_is_refused(disk: Disk, db: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="operations are past"):
        disk.stop_at(disk.writes, lambda: None)


# --- the gateway's books --------------------------------------------------------------------------


def test_the_books_stay_right_through_power_cuts_and_kills_at_any_write() -> None:
    violations = [
        text
        for life in lives(40, lambda rng: rng.choice(("power cut", "kill")))
        for text in life.violations
    ]
    assert violations == []


def test_a_disk_that_lies_is_found_out_by_the_books() -> None:
    """Else the test above would prove nothing."""
    violations = [
        text for life in lives(20, lambda _: "power cut", lying=True) for text in life.violations
    ]
    assert any("samples are lost" in text for text in violations)
    assert any("is forgotten" in text for text in violations)
