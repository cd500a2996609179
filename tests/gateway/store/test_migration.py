"""A store of version 2 is brought to this version in portions: it answers every question as before,
whatever happens meanwhile.
"""

import contextlib
import os
import re
import sqlite3
import tempfile
from pathlib import Path
from random import Random
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.energy.slot import AssetSlot, Quality
from gateway.outbox.item import Item, Kind
from gateway.outbox.owed import Owed
from gateway.store import migration
from gateway.store.buffer import Buffer
from gateway.store.errors import DiskFull, StoreError
from gateway.store.opening import open_buffer, open_for_deciding, open_for_reading, repair
from tests.draws import draws
from tests.gateway.store.rig import ASSETS, NOW_S, SMALL, keep
from tests.simulation.disk import Disk

BEFORE = ("001_first.sql", "002_truth.sql")
COLUMNS = (
    "slot_s, asset, kind, revision, length_s, energy_uwh, raw_uwh, quality, opens_s, closes_s, "
    "state, reason, attempts, decided_s, confirmed_s, held_uwh, disagreements"
)

STATES = ("pending", "accepted", "rejected", "missed")
TIMES = st.one_of(st.none(), st.integers(0, 20_000).map(float))


@st.composite
def rows_of_version_2(draw: st.DrawFn) -> list[Owed]:
    """What that version could hold of a few slots of three assets, each item once."""
    keys = st.tuples(
        st.integers(0, 12),
        st.sampled_from(ASSETS[:3]),
        st.sampled_from(get_args(Kind)),
        st.integers(0, 2),
    )
    return [draw(owed_item(*key)) for key in sorted(draw(st.sets(keys, max_size=40)))]


@st.composite
def owed_item(draw: st.DrawFn, n: int, asset: UUID, kind: Kind, revision: int) -> Owed:
    quality = draw(st.sampled_from(get_args(Quality)))
    whole = quality in ("measured", "estimated")
    energy_uwh = draw(st.integers(0, 10**9)) if whole else 0
    return Owed(
        Item("exchange", asset, n * 900, kind, revision, energy_uwh),
        900,
        quality,
        float(draw(st.integers(0, 20_000))),
        draw(TIMES),
        draw(st.sampled_from(STATES)) if whole else "missed",
        draw(st.sampled_from(("", "HTTP 503", "unknown asset"))),
        draw(st.one_of(st.none(), st.integers(-(10**9), -1))) if whole and not energy_uwh else None,
        draw(st.integers(0, 5)),
        draw(TIMES),
        draw(TIMES),
        draw(st.one_of(st.none(), st.integers(0, 10**9))),
        draw(st.integers(0, 2)),
    )


def left_by_version_2(path: Path, rows: list[Owed]) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA page_size = 512")
    db.execute("PRAGMA journal_mode = WAL")
    for name in BEFORE:
        db.executescript((migration.MIGRATIONS / name).read_text())
    marks = ", ".join("?" * (COLUMNS.count(",") + 1))
    db.executemany(
        f"INSERT INTO outbox ({COLUMNS}) VALUES ({marks})", [row_of(owed) for owed in rows]
    )
    db.execute("PRAGMA user_version = 2")
    db.commit()
    db.close()


def row_of(owed: Owed) -> tuple[object, ...]:
    item = owed.item
    known = owed.quality in ("measured", "estimated")
    return (
        *(item.slot_s, str(item.subject), item.kind, item.revision, owed.length_s),
        *(item.energy_uwh if known else None, owed.raw_uwh, owed.quality, owed.opens_s),
        *(owed.closes_s, owed.state, owed.reason, owed.attempts, owed.decided_s),
        *(owed.confirmed_s, owed.held_uwh, owed.disagreements),
    )


def asset_slots_of(rows: list[Owed]) -> list[AssetSlot]:
    """Of each measurement the newest revision, as the exchange was owed it."""
    newest: dict[tuple[int, UUID], Owed] = {}
    for owed in rows:
        if owed.item.kind == "measurement":
            assert isinstance(owed.item.subject, UUID)
            newest[owed.item.slot_s, owed.item.subject] = owed
    found = []
    for (start_s, asset), owed in sorted(newest.items()):
        energy_uwh = owed.item.energy_uwh if owed.raw_uwh is None else owed.raw_uwh
        known = owed.quality in ("measured", "estimated")
        found.append(
            AssetSlot(
                *(asset, start_s, 900, energy_uwh if known else None, None),
                *(owed.quality, owed.item.revision),
            )
        )
    return found


def answers(store: Buffer) -> list[object]:
    """To every question about what is owed, at several times."""
    outbox = store.outbox("exchange")
    found: list[object] = [list(store.owed()), outbox.backlog(), store.retry([])]
    for at_s in range(0, 21_000, 700):
        found += [
            outbox.due(at_s, since_s=None, limit=100),
            outbox.due(at_s, since_s=at_s - 4000, limit=3),
            outbox.next_change_s(at_s),
            outbox.unconfirmed(at_s, since_s=at_s - 9000, limit=100),
            outbox.confirmations(at_s),
        ]
    for n in range(13):
        for asset in ASSETS[:3]:
            found.append(store.newest_owed(asset, n * 900))
    items = [owed.item for owed in store.owed()]
    outbox.record(items[::3], "accepted", "", 30_000)
    outbox.record(items[1::3], "pending", "HTTP 500", 30_001)
    found += [store.retry(items[::2]), list(store.owed()), outbox.expire(25_000), outbox.backlog()]
    store.prune(NOW_S)
    return [*found, list(store.owed()), store.damage()]


@given(rows=rows_of_version_2())
@draws(40)
def test_a_migrated_store_answers_every_question_as_one_that_was_always_of_this_version(
    rows: list[Owed],
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "PORTION_ROWS", 4)
        path = Path(folder) / "migrated" / "buffer.sqlite"
        path.parent.mkdir()
        left_by_version_2(path, rows)
        migrated = open_buffer(path, SMALL, now_s=NOW_S)
        fresh = open_buffer(Path(folder) / "fresh" / "buffer.sqlite", SMALL, now_s=NOW_S)
        keep(fresh, *rows)
        assert list(migrated.asset_slots()) == asset_slots_of(rows)
        assert answers(migrated) == answers(fresh)
        migrated.close_file()
        fresh.close_file()


# --- cut short ------------------------------------------------------------------------------------


def some_rows(slots: int = 30) -> list[Owed]:
    rng = Random(7)
    return [
        Owed(
            Item("exchange", asset, n * 900, kind, revision, rng.randrange(10**9)),
            *(900, "measured", n * 900.0, None, rng.choice(STATES)),
        )
        for n in range(slots)
        for asset in ASSETS[:3]
        for kind in get_args(Kind)
        for revision in range(1 + (n % 5 == 0))
    ]


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "PORTION_ROWS", 20)


def order_of(owed: Owed) -> tuple[object, ...]:
    item = owed.item
    return item.slot_s, str(item.subject), item.kind, item.revision


def is_whole(path: Path, rows: list[Owed]) -> None:
    store = open_buffer(path, SMALL, now_s=NOW_S)
    assert list(store.owed()) == sorted(rows, key=order_of)
    assert list(store.asset_slots()) == asset_slots_of(rows)
    assert store.damage() == []
    store.close_file()
    assert not list(path.parent.glob("*damaged*"))


def writes_of_a_migration(folder: Path, rows: list[Owed]) -> int:
    with Disk(folder) as disk:
        left_by_version_2(folder / "buffer.sqlite", rows)
        before = disk.writes
        open_buffer(folder / "buffer.sqlite", SMALL, now_s=NOW_S).close_file()
        return disk.writes - before


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("power", [False, True], ids=["kill", "power cut"])
def test_it_goes_on_after_a_kill_or_a_power_cut_at_a_write(tmp_path: Path, power: bool) -> None:
    rows = some_rows(16)
    (tmp_path / "plain").mkdir()
    count = writes_of_a_migration(tmp_path / "plain", rows)
    assert count > 100
    halves = 0
    for at in range(1, count, 7 if power else 3):
        folder = tmp_path / str(at)
        folder.mkdir()
        path = folder / "buffer.sqlite"
        with Disk(folder) as disk:
            left_by_version_2(path, rows)
            disk.stop_at(disk.writes + at, lambda: None)
            with contextlib.suppress(StoreError):
                open_buffer(path, SMALL, now_s=NOW_S).abandon()
            disk.cut_power(Random(at)) if power else disk.kill()
            disk.revive()
            halves += cannot_be_read_yet(path)
            is_whole(path, rows)
        for each in folder.iterdir():
            each.unlink()
    assert halves > 5, "also in the middle of it"


def cannot_be_read_yet(path: Path) -> bool:
    """Whether it is in the middle of its migration. Then nobody sees it half."""
    for opening in (open_for_reading, open_for_deciding):
        try:
            opening(path).abandon()
        except StoreError as error:
            if "its upgrade is not finished" in str(error):
                continue
            found = re.search(r"was written by an older version \(schema (\d+)\)", str(error))
            assert found and 2 <= int(found[1]) < migration.newest_version()
        return False
    return True


def half_migrated(path: Path, rows: list[Owed]) -> None:
    """Some portions are moved, and some are not."""
    left_by_version_2(path, rows)
    db = sqlite3.connect(path, isolation_level=None)
    db.create_function("uuid_bytes", 1, migration.uuid_bytes)
    script = (migration.MIGRATIONS / "003_destinations.sql").read_text()
    db.executescript(f"BEGIN; {script} PRAGMA user_version = 3; COMMIT;")
    for _ in range(3):
        assert migration._move_portion(db)
    assert db.execute(f"SELECT count(*) FROM {migration.BEFORE_003}").fetchone()[0] > 20
    db.close()


@pytest.mark.usefixtures("small_portions")
def test_a_half_migrated_store_is_finished_by_the_next_opening(tmp_path: Path) -> None:
    rows = some_rows()
    half_migrated(tmp_path / "buffer.sqlite", rows)
    assert cannot_be_read_yet(tmp_path / "buffer.sqlite")
    is_whole(tmp_path / "buffer.sqlite", rows)


def test_slots_of_version_3_say_no_doubts(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        for script in sorted(migration.MIGRATIONS.glob("*.sql"))[:3]:
            db.executescript(script.read_text())
        db.execute(f"DROP TABLE {migration.BEFORE_003}")
        db.execute(
            "INSERT INTO slots (start_s, device, serial_number, direction, length_s, energy_uwh,"
            " quality, method, coverage_permille, samples, largest_gap_ms, begin_uwh, end_uwh,"
            " begin_register_uwh, end_register_uwh, clock, revision) VALUES (900, 'grid', 'A',"
            " 'import', 900, 5, 'estimated', 'counter', 1000, 90, 10000, 0, 5, 0, 0, 'kernel', 0)"
        )
        db.execute("PRAGMA user_version = 3")
        db.commit()
    buffer = open_buffer(path, now_s=NOW_S)
    [slot] = buffer.slots(0, 1800)
    assert (slot.energy_uwh, slot.quality, slot.doubts) == (5, "estimated", "")
    buffer.close_file()


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("version", ["2", "half"])
def test_a_repair_of_an_earlier_or_a_half_migrated_store_saves_all(
    tmp_path: Path, version: str
) -> None:
    rows = some_rows()
    path = tmp_path / "buffer.sqlite"
    (left_by_version_2 if version == "2" else half_migrated)(path, rows)
    said = repair(path, now_s=NOW_S)
    assert f"salvaged: {len(rows)} outbox, {len(asset_slots_of(rows))} asset_slots; " in said
    for each in tmp_path.glob("*damaged*"):
        each.unlink()
    is_whole(path, rows)


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("version", ["2", "half", "3"])
def test_page_by_page_all_rows_are_read_whatever_their_version(
    tmp_path: Path, version: str
) -> None:
    """Without the file's header nothing but its pages is left."""
    rows = some_rows()
    path = tmp_path / "buffer.sqlite"
    (half_migrated if version == "half" else left_by_version_2)(path, rows)
    if version == "3":
        open_buffer(path, SMALL, now_s=NOW_S).close_file()
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    with path.open("r+b") as file:
        file.write(bytes(512))
    open_buffer(path, SMALL, now_s=NOW_S).close_file()
    for each in tmp_path.glob("*damaged*"):
        each.unlink()
    store = open_buffer(path, SMALL, now_s=NOW_S)
    found = {owed.item: owed for owed in store.owed()}
    assert {owed.item for owed in rows} == found.keys()
    assert list(store.asset_slots()) == asset_slots_of(rows)
    store.close_file()


# --- what stands in its way -----------------------------------------------------------------------


def test_without_room_it_does_not_begin_and_says_how_much_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "buffer.sqlite"
    left_by_version_2(path, some_rows())
    before = path.read_bytes()
    found = os.statvfs(tmp_path)

    def little(_: object) -> Any:
        return os.statvfs_result((*found[:4], 5_000_000 // found.f_frsize, *found[5:10]))

    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", little)
        with pytest.raises(
            DiskFull,
            match=r"to be upgraded it needs 13 MB of room on its disk, and there are 5 MB; nothing "
            r"has been changed\. Free space on this disk and start the daemon again, or install "
            r"the version before",
        ):
            open_buffer(path, SMALL, now_s=NOW_S)
    assert path.read_bytes() == before, "the version before goes on with it"
    is_whole(path, some_rows())


@pytest.mark.usefixtures("small_portions")
def test_a_disk_that_fills_up_meanwhile_only_interrupts_it(tmp_path: Path) -> None:
    rows = some_rows()
    path = tmp_path / "buffer.sqlite"
    with Disk(tmp_path) as disk:
        half_migrated(path, rows)
        disk.full = True
        assert disk.room.capacity_bytes is not None
        disk.room.capacity_bytes += 60_000
        with pytest.raises(StoreError, match="free space on this disk"):
            open_buffer(path, SMALL, now_s=NOW_S)
        disk.full = False
        is_whole(path, rows)


@pytest.mark.parametrize("change", ["asset = 'no uuid'", "asset = x'00'"])
def test_rows_that_cannot_be_moved_are_damage_and_the_rest_is_saved(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "buffer.sqlite"
    rows = some_rows()
    left_by_version_2(path, rows)
    db = sqlite3.connect(path)
    db.execute(f"UPDATE outbox SET {change} WHERE slot_s = 900 AND asset = ?", (str(ASSETS[0]),))
    db.commit()
    db.close()
    store = open_buffer(path, SMALL, now_s=NOW_S)
    lost = [owed for owed in rows if (owed.item.slot_s, owed.item.subject) == (900, ASSETS[0])]
    assert len(list(store.owed())) == len(rows) - len(lost)
    store.flush()
    assert "rows of outbox fail validation" in store.latest_events()[0]
    store.close_file()
    assert (tmp_path / f"buffer.sqlite.damaged-{NOW_S}").exists()
