"""Questions to a store that is damaged, locked, pruned, replaced or slow: an honest sentence, and
nobody who waits but who asked.
"""

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from gateway.history import archive as archive_module
from gateway.history.archive import Archive
from gateway.history.history import History
from gateway.history.opening import open_history
from gateway.history.refusals import Busy, Refusal, Unreadable
from gateway.site.settings import Settings
from gateway.store.archive import Look
from gateway.store.opening import open_buffer
from tests.gateway.history.rig import NOW_S, SLOT_S, SMALL, fill, report

ENDLESS = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"


def oldest(look: Look) -> int | None:
    starts = look.slots.starts()
    return starts and starts[0]


def endless(look: Look) -> object:
    return look.slots._database.one(ENDLESS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of a few hours."""
    fill(tmp_path / "buffer.sqlite", 0.2)
    return tmp_path / "buffer.sqlite"


@pytest.fixture
async def archive(path: Path) -> Archive:
    return Archive(path, SLOT_S, str)


def open_questions(settings: Settings, path: Path) -> History:
    return open_history(settings, path, lambda: report(settings), frozenset())


async def all_answers(history: History) -> list[str]:
    """What came of each question: the name of the refusal, or `answered`."""
    told = []
    for question in (
        history.now(),
        history.day(history.today()),
        history.month(history.today()),
        history.slot("House load", NOW_S - 2 * SLOT_S),
        history.meters(),
        history.meter("pv"),
        history.exchange(),
        history.events(),
    ):
        try:
            await question
            told.append("answered")
        except Refusal as error:
            assert str(error)
            assert ".sqlite" not in str(error), "names of files are nobody's business"
            told.append(type(error).__name__)
    return told


NOT_READ = [
    "answered",
    "Unreadable",
    "Unreadable",
    "Unreadable",
    "answered",
    "Unreadable",
    "answered",
    "Unreadable",
]
"""What is is told all the same."""


async def test_nobody_asks_and_there_is_no_thread(path: Path) -> None:
    before = threading.active_count()
    archive = Archive(path, SLOT_S, str)
    assert threading.active_count() == before
    inside: list[int] = [0]

    def look(_: Look) -> int:
        inside[0] += 1
        time.sleep(0.01)
        count = inside[0]
        inside[0] -= 1
        return count

    assert await asyncio.gather(*(archive.ask(look) for _ in range(10))) == [1] * 10


async def test_a_question_that_takes_too_long_is_stopped_and_the_next_is_answered(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "QUESTION_S", 0.1)
    began_s = time.monotonic()
    with pytest.raises(Busy, match="too long"):
        await archive.ask(endless)
    assert time.monotonic() - began_s < 5
    monkeypatch.setattr(archive_module, "QUESTION_S", 60)
    assert await archive.ask(oldest) is not None


async def test_the_loop_goes_on_while_a_question_is_answered(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "QUESTION_S", 0.5)
    asking = asyncio.create_task(archive.ask(endless))
    turns = 0
    while not asking.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 20
    with pytest.raises(Busy):
        await asking


async def test_who_leaves_stops_the_question(archive: Archive) -> None:
    asking = asyncio.create_task(archive.ask(endless))
    await asyncio.sleep(0.2)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    async with asyncio.timeout(archive_module.QUESTION_S):
        assert await archive.ask(oldest) is not None


async def test_who_waits_too_long_is_told(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "QUESTION_S", 1.0)
    monkeypatch.setattr(archive_module, "WAIT_S", 0.1)
    first = asyncio.create_task(archive.ask(endless))
    await asyncio.sleep(0.05)
    with pytest.raises(Busy, match="too many"):
        await archive.ask(oldest)
    with pytest.raises(Busy):
        await first


async def test_nothing_is_written_and_no_log_is_kept_from_being_written_back(path: Path) -> None:
    store = open_buffer(path, SMALL, now_s=NOW_S)
    archive = Archive(path, SLOT_S, str)
    assert await archive.ask(oldest) is not None
    # A reader that stayed would leave part of the log.
    busy, _, _ = next(store.database.rows("PRAGMA wal_checkpoint(TRUNCATE)"))
    assert busy == 0
    with pytest.raises(Refusal):
        await archive.ask(lambda look: look.slots._database.connection.execute("DELETE FROM slots"))
    assert store.tables.slots.count > 0
    store.close_file()


async def test_there_is_no_store_yet(settings: Settings, tmp_path: Path) -> None:
    history = open_questions(settings, tmp_path / "none.sqlite")
    assert await all_answers(history) == NOT_READ
    now = await history.now()
    assert now.problems[-1].id == "store_unread"
    assert (now.mood, now.today.used_wh, len(now.nodes)) == ("warn", None, 4)


async def test_a_store_that_another_program_holds_is_named(settings: Settings, path: Path) -> None:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    history = open_questions(settings, path)
    with pytest.raises(Unreadable, match="another program"):
        await history.events()
    holder.close()
    assert await all_answers(history) == ["answered"] * 8


async def test_of_a_damaged_store_what_cannot_be_read_is_said(
    settings: Settings, path: Path
) -> None:
    whole = path.read_bytes()
    history = open_questions(settings, path)
    for begin in range(0, len(whole), max(len(whole) // 25, 1)):
        damaged = bytearray(whole)
        damaged[begin : begin + 4096] = bytes(range(256)) * 16
        path.write_bytes(damaged[: len(whole)])
        told = await all_answers(history)
        assert set(told) <= {"answered", "Unreadable", "NotThere", "Busy"}
    path.write_bytes(b"no database" * 1000)
    assert await all_answers(history) == NOT_READ
    path.write_bytes(whole)
    assert await all_answers(history) == ["answered"] * 8


async def test_rows_of_other_types_are_refused(settings: Settings, path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE slots SET energy_uwh = 'much', quality = x'ff'")
    newest = "(SELECT max(start_s) FROM asset_slots)"
    db.execute(f"UPDATE asset_slots SET asset = x'01' || asset WHERE start_s = {newest}")
    db.execute("UPDATE samples SET data = x'00'")
    db.commit()
    db.close()
    told = await all_answers(open_questions(settings, path))
    assert "Unreadable" in told
    assert set(told) <= {"answered", "Unreadable", "NotThere"}


async def test_a_store_of_another_version_is_being_upgraded(settings: Settings, path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 3")
    db.close()
    with pytest.raises(Unreadable, match="upgraded"):
        await open_questions(settings, path).events()


async def test_a_store_that_is_replaced_is_the_new_one(path: Path, tmp_path: Path) -> None:
    archive = Archive(path, SLOT_S, str)
    first = await archive.ask(oldest)
    fill(tmp_path / "other.sqlite", 0.1)
    (tmp_path / "other.sqlite").rename(path)
    second = await archive.ask(oldest)
    assert first is not None
    assert second is not None
    assert second > first


async def test_a_store_that_is_being_written_and_pruned_meanwhile_is_answered(
    settings: Settings, path: Path
) -> None:
    store = open_buffer(path, SMALL, now_s=NOW_S)
    history = open_questions(settings, path)
    for n in range(10):
        asking = [
            asyncio.create_task(question)
            for question in (history.day(history.today()), history.events(), history.now())
        ]
        await asyncio.sleep(0)
        with store.database.transaction():
            store.tables.slots.remove_before(NOW_S - 10 * SLOT_S + n * SLOT_S)
            store.tables.asset_slots.remove_before(NOW_S - 10 * SLOT_S + n * SLOT_S)
        await asyncio.gather(*asking)
    day = await history.day(history.today())
    assert day.assets[0].quality.count("m") == 1
    store.close_file()


async def test_a_store_that_cannot_be_read_is_logged_once(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    history = open_questions(settings, tmp_path / "none.sqlite")
    for _ in range(5):
        await all_answers(history)
    [record] = caplog.records
    assert "none.sqlite" in record.getMessage()
