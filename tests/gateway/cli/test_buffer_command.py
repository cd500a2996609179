"""`meter-gateway backup` and `meter-gateway buffer`: a person looks after the store."""

import fcntl
import os
import sqlite3
import stat

import pytest

from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer, open_for_reading


@pytest.fixture
def filled(home):
    home.fill(
        [1000, 2000, -500, 0, 100, 100, 100, 100],
        [0, 300, 700, 100, 0, 0, 0, 0],
        silent=range(20, 27),
    )
    home.decide("accepted", "", slots={0, 1})
    return home


def change(home, sql):
    db = sqlite3.connect(home.folder / "buffer.sqlite")
    db.execute(sql)
    db.commit()
    db.close()


# --- backup ---------------------------------------------------------------------------------------


def test_a_backup_holds_all_that_is_committed_while_the_daemon_has_it_open(filled, run, tmp_path):
    copy = tmp_path / "copy.sqlite"
    with filled.buffer() as daemon:
        rows = list(daemon.slots()), list(daemon.owed()), list(daemon.samples()), daemon.counters()
        daemon.database.connection.execute("BEGIN IMMEDIATE")
        daemon.database.connection.execute("UPDATE slots SET energy_uwh = 0")
        code, out, err = run("backup", copy)
        daemon.database.connection.execute("ROLLBACK")
    assert (code, err) == (0, "")
    assert (
        out.startswith(f"{copy}: ")
        and f"undamaged: {len(rows[2])} samples, {len(rows[0])} slots, {len(rows[1])} items" in out
    )
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.glob("copy*")) == ["copy.sqlite"], "it is one file"
    back = open_for_reading(copy)
    assert (list(back.slots()), list(back.owed()), list(back.samples()), back.counters()) == rows
    back.close_file()


def test_a_daemon_goes_on_from_a_backup(filled, run, tmp_path):
    run("backup", tmp_path / "copy.sqlite")
    store = open_buffer(tmp_path / "copy.sqlite", now_s=0)
    assert store.counters()
    assert store.latest_events() == []
    store.close_file()


def test_nothing_is_overwritten(filled, run, tmp_path):
    there = tmp_path / "there"
    there.write_text("mine")
    code, _, err = run("backup", there)
    assert (code, there.read_text()) == (1, "mine")
    assert err == f"{there} is there already — give the copy a name of its own\n"


@pytest.mark.parametrize(
    ("name", "text"), [("absent/copy", "cannot be made: No such file"), (".", "is there already")]
)
def test_a_place_that_cannot_be_written_is_a_clear_error(filled, run, tmp_path, name, text):
    code, _, err = run("backup", tmp_path / name)
    assert code == 1
    assert text in err


def test_a_damaged_buffer_leaves_no_copy_that_looks_right(filled, run, tmp_path):
    path = filled.folder / "buffer.sqlite"
    data = bytearray(path.read_bytes())
    for at in range(20 * 512, len(data) - 512, 5 * 512):
        data[at : at + 512] = bytes(512)
    path.write_bytes(data)
    code, _, err = run("backup", tmp_path / "copy.sqlite")
    assert code == 1
    assert "damaged" in err
    assert not (tmp_path / "copy.sqlite").exists()


def test_there_is_nothing_to_copy_yet(home, run, tmp_path):
    code, _, err = run("backup", tmp_path / "copy.sqlite")
    assert code == 1
    assert "there is no buffer yet" in err
    assert not (tmp_path / "copy.sqlite").exists()


# --- check ----------------------------------------------------------------------------------------


def test_a_buffer_that_keeps_the_laws_passes(filled, run):
    code, out, err = run("buffer", "check")
    assert (code, err) == (0, "")
    assert "buffer.sqlite: undamaged; 3" in out
    assert "what is owed is what the meters' slots add up to" in out


def test_a_gap_whose_energy_is_stated_passes(home, run):
    home.fill([1000] * 16, [0] * 16, silent=range(20, 20 + 150))
    with home.buffer() as buffer:
        assert any(left.what.kind == "gap" for left in buffer.unallocated())
    assert run("buffer", "check")[0] == 0
    change(home, "DELETE FROM unallocated")
    code, out, err = run("buffer", "check")
    assert code == 1
    assert "grid.import (E0031), slot of 2026-03-29 02:45Z: the counter moved by " in out
    assert "stated nowhere" in out
    assert "1 × " in err


BROKEN = {
    "UPDATE slots SET energy_uwh = energy_uwh + 1 WHERE start_s = (SELECT min(start_s) + 900 "
    "FROM slots) AND device = 'pv'": "energy",
    "UPDATE slots SET begin_uwh = begin_uwh + 5, end_uwh = end_uwh + 5 WHERE start_s = (SELECT "
    "min(start_s) + 1800 FROM slots)": "chain",
    "DELETE FROM slots WHERE start_s = (SELECT min(start_s) + 900 FROM slots)": "hole",
    "UPDATE slots SET length_s = 1800 WHERE start_s = (SELECT min(start_s) FROM slots)": "overlap",
    "UPDATE outbox SET energy_uwh = energy_uwh + 1 WHERE slot_s = (SELECT min(slot_s) + 900 FROM "
    "outbox)": "owed",
}


@pytest.mark.parametrize("sql", BROKEN, ids=BROKEN.values())
def test_numbers_that_do_not_agree_are_named_with_what_to_do(filled, run, sql):
    change(filled, sql)
    code, out, err = run("buffer", "check")
    assert code == 1
    assert f"× {BROKEN[sql]}: " in err
    assert "slot of 2026-03-29 00:" in out


def test_a_damaged_buffer_does_not_pass(filled, run):
    change(
        filled, "UPDATE outbox SET state = 'noise' WHERE slot_s = (SELECT min(slot_s) FROM outbox)"
    )
    code, out, err = run("buffer", "check")
    assert code == 1
    assert "2 rows of outbox fail validation" in out
    assert "meter-gateway buffer repair" in err
    path = filled.folder / "buffer.sqlite"
    path.write_bytes(path.read_bytes()[:5000])
    code, _, err = run("buffer", "check")
    assert code == 1
    assert "meter-gateway buffer repair" in err


# --- repair ---------------------------------------------------------------------------------------


def test_a_repair_keeps_all_that_can_be_read(filled, run):
    with filled.buffer() as buffer:
        rows = list(buffer.slots()), list(buffer.owed()), list(buffer.samples()), buffer.counters()
    change(
        filled, "UPDATE outbox SET state = 'noise' WHERE slot_s = (SELECT min(slot_s) FROM outbox)"
    )
    path = filled.folder / "buffer.sqlite"
    owner = path.stat()
    code, out, err = run("buffer", "repair")
    assert (code, err) == (0, "")
    assert f"{len(rows[0])} slots" in out and "it was set aside as buffer.sqlite.damaged-" in out
    assert (path.stat().st_uid, path.stat().st_mode) == (owner.st_uid, owner.st_mode)
    with filled.buffer() as buffer:
        assert (list(buffer.slots()), list(buffer.samples()), buffer.counters()) == (
            rows[0],
            rows[2],
            rows[3],
        )
        assert list(buffer.owed()) == rows[1][2:]
    assert run("buffer", "check")[0] == 0


def test_a_repair_is_refused_while_the_daemon_has_it_open(filled, run):
    with filled.buffer():
        before = sorted(filled.folder.iterdir())
        code, _, err = run("buffer", "repair")
        assert code == 1
        assert err.endswith("the daemon has it open; stop it first: systemctl stop meter-gateway\n")
        assert sorted(filled.folder.iterdir()) == before
    assert run("buffer", "repair")[0] == 0


def test_the_daemon_does_not_start_while_it_is_being_repaired(filled):
    folder = os.open(filled.folder, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        with (
            pytest.raises(
                StoreError, match="is being repaired; the daemon can start when that is done"
            ),
            filled.buffer(),
        ):
            pass
    finally:
        os.close(folder)
    with filled.buffer() as buffer:
        assert buffer.slot_count


def test_there_is_nothing_to_repair_yet(home, run):
    code, _, err = run("buffer", "repair")
    assert code == 1
    assert "there is no buffer to repair" in err
