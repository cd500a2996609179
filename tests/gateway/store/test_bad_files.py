"""Files that are not what they should be."""

import os
import re
import sqlite3
from pathlib import Path

import pytest

from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer, open_for_reading
from tests.gateway.store.rig import NOW_S, SMALL, child, filled, sample

NOT_DATABASES = {
    "text": b"this is a text and not a database\n" * 100,
    "a few bytes": b"abc",
    "noise": bytes(range(256)) * 100,
    "noise behind a right header": b"SQLite format 3\0" + bytes(range(256)) * 100,
}


@pytest.mark.parametrize("content", NOT_DATABASES.values(), ids=NOT_DATABASES.keys())
def test_where_the_daemon_was_at_work_what_is_no_database_is_set_aside_and_a_new_one_begun(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "buffer.sqlite"
    open_buffer(path, SMALL, now_s=NOW_S).close_file()
    path.write_bytes(content)
    store = open_buffer(path, SMALL, now_s=NOW_S)
    assert (tmp_path / f"buffer.sqlite.damaged-{NOW_S}").read_bytes() == content
    store.add(sample(1))
    store.flush()
    (line,) = store.latest_events()
    assert re.search(
        r"damaged: buffer.sqlite was damaged \(.+\); it was set aside as "
        rf"buffer.sqlite.damaged-{NOW_S}",
        line,
    )
    store.close_file()


@pytest.mark.parametrize("keep_bytes", [4096, 9000, 60_000])
def test_a_truncated_file_is_set_aside(tmp_path: Path, keep_bytes: int) -> None:
    path = tmp_path / "buffer.sqlite"
    filled(path)
    content = path.read_bytes()
    assert len(content) > 2 * keep_bytes
    path.write_bytes(content[:keep_bytes])
    store = open_buffer(path, SMALL, now_s=NOW_S)
    assert (tmp_path / f"buffer.sqlite.damaged-{NOW_S}").stat().st_size == keep_bytes
    assert {number for number, _ in store.samples()} < set(range(1, 3001))
    store.close_file()


def test_a_file_with_a_page_of_noise_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    filled(path)
    content = bytearray(path.read_bytes())
    at = len(content) // 2 // 4096 * 4096
    content[at : at + 4096] = bytes(range(256)) * 16
    path.write_bytes(content)
    store = open_buffer(path, SMALL, now_s=NOW_S)
    assert (tmp_path / f"buffer.sqlite.damaged-{NOW_S}").exists()
    store.close_file()


def test_an_empty_file_becomes_a_buffer(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    path.touch()
    store = open_buffer(path, SMALL, now_s=NOW_S)
    store.add(sample(1))
    store.close_file()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "buffer.sqlite",
        "buffer.sqlite.reserve",
    ]


def test_a_torn_log_gives_back_what_was_committed_before(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    code = """
        import os
        store = open_buffer(Path(sys.argv[1]), SMALL, now_s=0)
        for n in range(2):
            store.add(Sample("grid", "A", "boot", n, n, {"energy_import_wh": float(n)}))
            store.flush()
        os._exit(0)
    """
    assert child(code, path).returncode == 0
    log = path.with_name("buffer.sqlite-wal")
    log.write_bytes(log.read_bytes()[:-100])
    store = open_buffer(path, SMALL, now_s=NOW_S)
    assert [each.boottime_ms for _, each in store.samples()] == [0]
    store.close_file()


def test_a_folder_in_its_place_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"cannot be opened: .*check that it is a file and not a folder"
    ):
        open_buffer(tmp_path, SMALL, now_s=NOW_S)
    with pytest.raises(
        StoreError, match=r"cannot be read: .*check that it is a file and not a folder"
    ):
        open_for_reading(tmp_path)


def test_a_parent_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        StoreError, match=r"cannot be made: .*check owner and mode of the folder above"
    ):
        open_buffer(tmp_path / "file/buffer.sqlite", SMALL, now_s=NOW_S)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_somebody_without_rights_is_told_what_to_do_and_may_read_what_is_readable(
    public_folder: Path,
) -> None:
    filled(public_folder / "buffer.sqlite")
    code = """
        import os
        import urllib.parse  # while the interpreter's own folder can still be read
        path = Path(sys.argv[1])
        new = path.with_name("new.sqlite")
        # Whatever is imported on the way is imported now: the checkout may lie in somebody's home.
        rehearsal = path.with_name("rehearsal.sqlite")
        open_buffer(rehearsal, SMALL, now_s=0).close_file()
        open_for_reading(rehearsal).close_file()
        try:
            open_for_reading(path.parent)
        except StoreError:
            pass
        os.setgid(65534); os.setuid(65534)
        for attempt in (lambda: open_buffer(new, SMALL, now_s=0), lambda: open_for_reading(path)):
            try:
                found = attempt()
                print(found.database.access.refusal or found.sample_count)
            except StoreError as error:
                print(error)
    """
    lines = child(code, public_folder / "buffer.sqlite").stdout.splitlines()
    assert "check that it is a file and not a folder" in lines[0]
    assert "the owner and mode of it and of its folder. Meters are read on" in lines[0]
    assert lines[1].endswith("run this as root or as a member of its group")
    (public_folder / "buffer.sqlite").chmod(0o644)
    lines = child(code, public_folder / "buffer.sqlite").stdout.splitlines()
    assert lines[1] == "3000", "at rest, by somebody who may not write beside it"


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    filled(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    for attempt in (lambda: open_buffer(path, SMALL, now_s=NOW_S), lambda: open_for_reading(path)):
        with pytest.raises(
            StoreError,
            match=r"buffer.sqlite: was written by a newer version \(schema 99\); install that one",
        ):
            attempt()
    assert [each.name for each in tmp_path.glob("*damaged*")] == []


def test_a_file_without_our_tables_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(StoreError, match="there is nothing in it yet; start the daemon"):
        open_for_reading(tmp_path / "empty")
    with pytest.raises(StoreError, match="there is no buffer yet"):
        open_for_reading(tmp_path / "absent")
    (tmp_path / "text").write_bytes(NOT_DATABASES["text"])
    with pytest.raises(StoreError, match="check that the configuration names the right file"):
        open_for_reading(tmp_path / "text")
