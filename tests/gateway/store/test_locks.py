"""Whoever else wants the file: another daemon, another program, and one that has written to it."""

import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from gateway.store.buffer import Buffer
from gateway.store.errors import InUse, Locked, Misfit, StoreError
from gateway.store.opening import open_buffer
from tests.gateway.store.rig import IMPORTS, NOW_S, SMALL, child, keep, sample, slot

REFUSED = """
    from gateway.store.errors import InUse
    from gateway.store.file_lock import FileLock
    import os
    if len(sys.argv) > 2:
        os.setuid(int(sys.argv[2]))
    try:
        FileLock(Path(sys.argv[1])).take()
    except InUse as error:
        print(error)
"""
NOBODY = 65534


def test_a_second_daemon_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    first = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S, says="the daemon of site a")
    result = child(REFUSED, first.path)
    assert result.stdout.startswith(
        f"{first.path}: the daemon of site a works on this buffer (pid {os.getpid()}"
    ), result.stderr
    assert "stop that one" in result.stdout
    keep(first, slot(900))
    first.close_file()
    assert child(REFUSED, first.path).stdout == ""


@pytest.mark.parametrize("link", ["symbolic", "hard", "folder"])
def test_a_buffer_is_one_by_whatever_path_it_is_named(store: Buffer, link: str) -> None:
    other = store.path.parent / "other"
    if link == "symbolic":
        other.symlink_to(store.path)
    elif link == "hard":
        other.hardlink_to(store.path)
    else:
        other.symlink_to(store.path.parent)
        other /= store.path.name
    with pytest.raises(InUse):
        open_buffer(other, SMALL, now_s=NOW_S)
    keep(store, slot(900))
    assert [each.start_s for each in store.slots()] == [900]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_is_refused_to_other_users_and_where_nothing_can_be_written(tmp_path: Path) -> None:
    # Nobody may enter the folders of pytest.
    folder = Path("/var/tmp") / f"meter-gateway-{os.getpid()}"
    folder.mkdir()
    try:
        store = open_buffer(folder / "buffer.sqlite", SMALL, now_s=NOW_S)
        store.path.chmod(0o444)
        folder.chmod(0o555)
        result = child(REFUSED, store.path, NOBODY)
        assert "works on this buffer" in result.stdout, result.stderr
        store.close_file()
    finally:
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()


def test_a_killed_daemon_leaves_no_lock(tmp_path: Path) -> None:
    code = """
        store = open_buffer(Path(sys.argv[1]), SMALL, now_s=0)
        print("ready", flush=True)
        import time; time.sleep(60)
    """
    path = tmp_path / "buffer.sqlite"
    command = [sys.executable, "-c", IMPORTS + textwrap.dedent(code), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(InUse, match=f"pid {other.pid}"):
            open_buffer(path, SMALL, now_s=NOW_S)
        other.kill()
        other.wait()
    open_buffer(path, SMALL, now_s=NOW_S).close_file()


def test_the_file_that_takes_the_place_of_a_lost_one_is_locked_too(store: Buffer) -> None:
    keep(store, slot(900))
    store.path.unlink()
    store.add(sample(1))
    for _ in range(2):
        try:
            store.flush()
        except StoreError:
            continue
    with pytest.raises(InUse):
        open_buffer(store.path, SMALL, now_s=NOW_S)
    assert [each.start_s for each in store.slots()] == [900]


def test_another_programs_lock_is_hardly_waited_for_and_nothing_is_lost(store: Buffer) -> None:
    keep(store, slot(900))
    browser = sqlite3.connect(store.path, isolation_level=None)
    browser.execute("BEGIN IMMEDIATE")
    store.add(sample(1))
    began_s = time.monotonic()
    for _ in range(5):
        with pytest.raises(Locked, match=r"locked by another program.*close the program"):
            store.flush()
        assert [each.start_s for each in store.slots()] == [900], "it can be read meanwhile"
    assert time.monotonic() - began_s < 2.0
    assert store.waiting == 1

    browser.execute("ROLLBACK")
    browser.close()
    store.flush()
    store.flush()
    assert [number for number, _ in store.samples()] == [1]
    told = [text.partition(": ")[0].rpartition(" ")[2] for text in store.latest_events()]
    assert told == ["unlocked", "locked"], "once per lock"


def test_a_command_that_decides_something_is_waited_for(store: Buffer) -> None:
    """It holds the lock for some milliseconds."""
    code = """
        import sqlite3, time
        db = sqlite3.connect(sys.argv[1], isolation_level=None)
        for _ in range(100):
            db.execute("BEGIN IMMEDIATE")
            time.sleep(0.005)
            db.execute("COMMIT")
            time.sleep(0.005)
    """
    command = [sys.executable, "-c", IMPORTS + textwrap.dedent(code), str(store.path)]
    tries = refused = 0
    with subprocess.Popen(command) as other:
        while other.poll() is None:
            tries += 1
            store.add(sample(tries))
            try:
                store.flush()
            except Locked:
                refused += 1  # on a busy machine the command may be put off while it has the lock
            time.sleep(0.01)
    assert refused < tries / 10, "every second one would be, if nobody waited"
    store.flush()
    assert store.waiting == 0


def test_what_does_not_fit_is_not_the_disks_fault_and_its_samples_are_rescued(
    store: Buffer,
) -> None:
    store.add(sample(1))
    store.flush()
    another = sqlite3.connect(store.path)
    another.execute(
        "INSERT INTO samples SELECT id + 1, layout, boot, boottime_ms, utc_ms, data FROM samples"
    )
    another.commit()
    another.close()

    store.add(sample(2))
    store.add(sample(3))
    for _ in range(2):
        with pytest.raises(Misfit, match=r"UNIQUE|a row is there already") as failed:
            store.flush()
        assert "dmesg" not in str(failed.value)
        assert "the disk is not at fault" in str(failed.value)
    store.rescue()
    assert store.waiting == 0
    assert [number for number, _ in store.samples()] == [1, 2, 4, 5], "above all there were"
