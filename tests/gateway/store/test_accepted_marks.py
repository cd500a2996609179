"""How far destinations have accepted is known outside the buffer, and an old buffer goes by it."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.outbox.owed import Held, State
from gateway.store.accepted_marks import AcceptedMarks
from gateway.store.buffer import Buffer
from gateway.store.errors import Reopened
from gateway.store.newest import newest
from gateway.store.opening import open_buffer, open_for_deciding
from tests.gateway.store.rig import NOW_S, SMALL, closing, owed, sample, slot


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "buffer.sqlite"


_OPENED: list[Buffer] = []


@pytest.fixture(autouse=True)
def closed_at_last() -> Iterator[None]:
    yield
    while _OPENED:
        _OPENED.pop().abandon()


def opened(path: Path) -> Buffer:
    store = open_buffer(path, SMALL, now_s=NOW_S)
    _OPENED.append(store)
    return store


def settle(store: Buffer, *starts: int) -> None:
    for start_s in starts:
        store.close(closing(slot(start_s), owed(start_s)))
    store.flush()


def accept(store: Buffer, *starts: int) -> None:
    items = [owed(start_s).item for start_s in starts]
    store.outbox("exchange").record(items, "accepted", "", NOW_S)


def states(store: Buffer) -> dict[int, str]:
    return {each.item.slot_s: each.state for each in store.owed()}


def assumed(store: Buffer) -> set[int]:
    return {each.item.slot_s for each in store.owed() if each.assumed}


def behind(store: Buffer) -> list[str]:
    store.flush()
    return [line for line in store.latest_events() if " behind: " in line]


def copied(path: Path) -> Path:
    store = opened(path)
    store.close_file()
    return Path(shutil.copy(path, path.with_name("copy")))


def test_an_old_copy_neither_sends_nor_settles_anew_what_was_accepted_since(path: Path) -> None:
    store = opened(path)
    settle(store, 900, 1800)
    accept(store, 900)
    store.close_file()
    copy = copied(path)
    store = opened(path)
    settle(store, 2700, 3600)
    accept(store, 1800, 2700)
    store.close_file()

    shutil.copy(copy, path)
    store = opened(path)
    assert states(store) == {900: "accepted", 1800: "accepted"}
    assert assumed(store) == {1800}
    [line] = behind(store)
    assert "exchange accepted up to 1970-01-01 00:45Z" in line
    assert "1 items that waited" in line

    settle(store, 2700, 3600)
    assert assumed(store) == {1800, 2700}, "also what is settled only now"
    assert states(store)[3600] == "pending", "what was never accepted goes on"
    assert store.outbox("exchange").unconfirmed(NOW_S + 1, since_s=0, limit=9) == [owed(900).item]
    store.close_file()

    store = opened(path)
    assert len(behind(store)) == 1, "said once"
    store.close_file()


def test_a_person_s_word_has_it_sent_again(path: Path) -> None:
    store = opened(path)
    settle(store, 900)
    accept(store, 900)
    store.close_file()
    path.unlink()

    store = opened(path)
    settle(store, 900)
    assert assumed(store) == {900}
    beside = open_for_deciding(path)
    assert beside.retry([owed(900).item]) == 1
    beside.close_file()
    assert states(store) == {900: "pending"}
    store.close_file()
    store = opened(path)
    assert states(store) == {900: "pending"}, "also after a restart"
    accept(store, 900)
    assert assumed(store) == set()
    store.close_file()


def test_the_marks_are_written_before_the_verdict_once_for_each_slot(path: Path) -> None:
    store = opened(path)
    settle(store, 900)
    store.close(closing(slot(1800), owed(1800), owed(1800, asset=1)))
    store.flush()
    store.database.connection.execute("PRAGMA query_only = 1")
    with pytest.raises(Reopened):
        accept(store, 1800)
    marks = AcceptedMarks.beside(path)
    assert set(marks.accepted.values()) == {1800}
    assert len(marks.accepted) == 2, "also for what is about to be sent"

    inode = marks.path.stat().st_ino
    accept(store, 1800)
    accept(store, 900)
    store.outbox("exchange").record([owed(1800, asset=1).item], "accepted", "", NOW_S)
    assert marks.path.stat().st_ino == inode
    store.close_file()


def test_what_waits_while_nothing_is_accepted_still_waits_in_a_buffer_that_is_sound(
    path: Path,
) -> None:
    store = opened(path)
    settle(store, 900, 1800, 2700)
    accept(store, 2700)
    store.close_file()
    store = opened(path)
    assert states(store) == {900: "pending", 1800: "pending", 2700: "accepted"}
    assert behind(store) == []
    store.close_file()


def test_a_clock_that_was_ahead_does_not_keep_live_slots_from_being_sent(path: Path) -> None:
    store = opened(path)
    settle(store, 900, NOW_S + 86_400)
    accept(store, 900, NOW_S + 86_400)
    store.close_file()
    path.unlink()

    store = opened(path)
    store.add(sample(180))
    settle(store, NOW_S, NOW_S + 1800)
    assert states(store) == {NOW_S: "accepted", NOW_S + 1800: "pending"}
    store.close_file()


def test_a_first_start_of_this_version_learns_the_marks_from_the_buffer(path: Path) -> None:
    store = opened(path)
    settle(store, 900, 1800)
    accept(store, 900)
    store.close_file()
    marks = AcceptedMarks.beside(path).path
    marks.unlink()
    store = opened(path)
    assert behind(store) == []
    store.close_file()
    assert set(AcceptedMarks.beside(path).accepted.values()) == {900}


@pytest.mark.parametrize("after", ["", "pending"])
def test_what_was_sent_and_never_answered_is_not_sent_again_by_an_old_copy(
    path: Path, after: State
) -> None:
    store = opened(path)
    settle(store, 900)
    accept(store, 900)
    store.close_file()
    old = copied(path)
    store = opened(path)
    settle(store, 1800)
    outbox = store.outbox("exchange")
    outbox.record([owed(1800).item], "sent", "", NOW_S)
    if after:
        outbox.record([owed(1800).item], after, "no answer came", NOW_S)
    store.close_file()

    shutil.copy(old, path)
    store = opened(path)
    settle(store, 1800, 2700)
    assert states(store) == {900: "accepted", 1800: "accepted", 2700: "pending"}
    assert assumed(store) == {1800}
    assert len(behind(store)) == 1
    store.close_file()


def test_a_first_start_of_this_version_learns_what_was_sent_too(path: Path) -> None:
    store = opened(path)
    settle(store, 900)
    store.outbox("exchange").record([owed(900).item], "sent", "", NOW_S)
    store.close_file()
    AcceptedMarks.beside(path).path.unlink()
    opened(path).close_file()
    assert set(AcceptedMarks.beside(path).accepted.values()) == {900}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"accepted": {"exchange": {"x": "soon"}}}', b"x" * (2 << 20)]
)
def test_a_file_of_marks_that_cannot_be_read_is_begun_anew(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    marks = path.with_name("buffer.sqlite.accepted")
    marks.write_bytes(content)
    store = opened(path)
    settle(store, 900)
    accept(store, 900)
    store.close_file()
    assert "cannot be read" in caplog.text
    assert "1970-01-01 00:15:00Z" in json.loads(marks.read_text())["accepted"]["exchange"].values()


def test_a_pipe_in_its_place_makes_nobody_wait(path: Path) -> None:
    os.mkfifo(path.with_name("buffer.sqlite.accepted"))
    store = opened(path)
    settle(store, 900)
    accept(store, 900)
    assert states(store) == {900: "accepted"}
    store.close_file()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As systemd makes it."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("CACHE_DIRECTORY", str(folder))
    return folder


def test_a_copy_of_the_whole_folder_is_found_to_be_old_by_the_second_place(
    tmp_path: Path, cache: Path
) -> None:
    path = tmp_path / "state" / "buffer.sqlite"
    store = opened(path)
    settle(store, 900)
    accept(store, 900)
    store.close_file()
    shutil.copytree(path.parent, tmp_path / "copy")
    store = opened(path)
    settle(store, 1800, 2700)
    accept(store, 1800, 2700)
    store.close_file()

    shutil.rmtree(path.parent)
    shutil.copytree(tmp_path / "copy", path.parent)
    store = opened(path)
    settle(store, 1800, 2700, 3600)
    assert assumed(store) == {1800, 2700}
    assert states(store)[3600] == "pending"
    assert len(behind(store)) == 1
    store.close_file()
    assert set(AcceptedMarks.beside(path, {}).accepted.values()) == {2700}, "beside it, too"

    (cache / "accepted").unlink()
    store = opened(path)
    accept(store, 3600)
    assert len(behind(store)) == 1, "it may be lost at any time, and is made anew"
    store.close_file()
    assert "01:00:00Z" in (cache / "accepted").read_text()


@pytest.mark.parametrize("how", ["noise", "a pipe", "gone"])
def test_a_second_place_that_is_of_no_use_is_in_nobodys_way(
    path: Path, cache: Path, how: str
) -> None:
    if how == "noise":
        (cache / "accepted").write_bytes(bytes(range(256)))
    elif how == "a pipe":
        os.mkfifo(cache / "accepted")
    else:
        cache.rmdir()
    store = opened(path)
    settle(store, 900)
    accept(store, 900)
    assert states(store) == {900: "accepted"}
    store.close_file()
    store = opened(path)
    assert behind(store) == []
    store.close_file()
    assert set(AcceptedMarks.beside(path, {}).accepted.values()) == {900}


def test_what_is_held_of_a_slot_that_an_old_copy_knows_may_be_a_later_number(path: Path) -> None:
    store = opened(path)
    settle(store, 900)
    accept(store, 900)
    store.close_file()
    copy = copied(path)
    store = opened(path)
    settle(store, 1800)
    accept(store, 1800)
    store.close_file()

    shutil.copy(copy, path)
    store = opened(path)
    one = owed(900).item
    assert store.outbox("exchange").record_held([Held(one, 77)], NOW_S) == []
    [kept] = [each for each in store.owed() if each.item == one]
    assert (kept.state, kept.disagreements, kept.held_uwh) == ("accepted", 2, 77)
    assert "may be a later number" in kept.reason


@pytest.mark.parametrize("lost", ["buffer", "folder"])
def test_the_marks_say_which_boot_they_are_of_where_the_buffer_is_lost(
    tmp_path: Path, cache: Path, lost: str
) -> None:
    path = tmp_path / "state" / "buffer.sqlite"
    store = opened(path)
    store.tables.outbox.marks.this_boot = "this boot"
    settle(store, NOW_S)
    accept(store, NOW_S)
    store.close_file()

    assert cache.exists()
    if lost == "folder":
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    store = opened(path)
    assert newest(store.tables, "this boot", 900) == (NOW_S + 900, 0.0)
    assert newest(store.tables, "the next one", 900) == (NOW_S + 900, NOW_S + 900)
    # The copy of another machine was restored: this one may have begun before that one ended.
    store.tables.outbox.marks.restored_in = "a new card's boot"
    assert newest(store.tables, "a new card's boot", 900) == (NOW_S + 900, 0.0)
    assert newest(store.tables, "the one after", 900) == (NOW_S + 900, NOW_S + 900)


def test_a_boot_whose_name_was_lost_is_not_taken_for_an_earlier_one(path: Path) -> None:
    store = opened(path)
    store.add(sample(0, boot="lost-1"))
    store.flush()
    assert newest(store.tables, "boot", 900) == (NOW_S, 0.0)
    store.add(sample(1, boot="before"))
    store.add(sample(2, boot="boot", utc=False))
    store.flush()
    assert newest(store.tables, "boot", 900).earlier_boot_s == NOW_S + 10
    store.add(sample(3, boot="boot"))
    store.flush()
    assert newest(store.tables, "boot", 900) == (NOW_S + 30, 0.0)
