"""`meter-gateway restore`: a copy of the buffer goes into its place, and nothing that was accepted
is sent again.
"""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from gateway.store.opening import open_buffer, open_for_reading
from tests.gateway.cli.conftest import SLOT_S, START_S

DUMPS = Path(__file__).parents[1] / "store" / "upgrades"


NOBODY = "http://127.0.0.1:9/"
"""No exchange is there: nothing may be asked of a real one."""


@pytest.fixture
def buffer_path(home):
    text = (home.folder / "gateway.yaml").read_text()
    home.write("gateway.yaml", text.replace("  dialect: sdk", f"  url: {NOBODY}\n  dialect: sdk"))
    return home.folder / "buffer.sqlite"


@pytest.fixture
def copy(home, run, buffer_path, tmp_path):
    """Four slots, of which the exchange has accepted the first; then it accepts the rest."""
    home.fill([600, 700, 800, 900], [0, 0, 0, 0])
    home.decide("accepted", "", slots=[0])
    path = tmp_path / "usb" / "copy.sqlite"
    path.parent.mkdir()
    assert run("backup", path)[0] == 0
    home.decide("accepted", "", slots=[1, 2])
    return path


def states(path):
    buffer = open_for_reading(path)
    found = {(o.item.slot_s - START_S) // SLOT_S: o for o in buffer.owed()}
    buffer.close_file()
    return {n: "assumed" if o.assumed else o.state for n, o in found.items()}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_copy_takes_the_buffer_s_place_and_what_was_accepted_since_is_not_owed(
    run, copy, buffer_path
):
    before = copy.read_bytes()
    code, out, err = run("restore", copy)
    assert (code, err) == (0, "")
    assert "undamaged: 122 samples, 16 slots, 8 items of the outbox" in out, out
    assert "Slots up to 2026-03-29 00:30Z count as accepted" in out
    assert "4 items that waited in the copy are not sent" in out
    assert "meter-gateway outbox retry --state assumed" in out
    assert states(buffer_path) == {0: "accepted", 1: "assumed", 2: "assumed", 3: "pending"}
    assert copy.read_bytes() == before

    [aside] = buffer_path.parent.glob("buffer.sqlite.replaced-*[0-9]")
    assert aside.name in out
    assert states(aside)[2] == "accepted"
    assert buffer_path.stat().st_mode & 0o777 == 0o640
    assert not list(buffer_path.parent.glob("*restoring*"))


def test_the_daemon_goes_on_from_it_and_says_what_counts_as_accepted(run, copy, buffer_path):
    run("restore", copy)
    daemon = open_buffer(buffer_path, now_s=START_S + 10_000)
    daemon.flush()
    assert "is sent again only by your word" in daemon.latest_events()[0]
    daemon.close_file()
    code, out, _ = run("outbox", "retry", "--state", "assumed")
    assert code == 0
    assert "4 items are owed again" in out
    assert states(buffer_path) == {0: "accepted", 1: "pending", 2: "pending", 3: "pending"}


def test_on_a_new_card_all_that_has_ended_by_now_counts_as_accepted(run, copy, buffer_path):
    for path in buffer_path.parent.glob("buffer.sqlite*"):
        path.unlink()
    code, out, _ = run("restore", copy)
    assert code == 0
    assert "because nothing here tells what was accepted since the copy" in out
    assert states(buffer_path) == {0: "accepted", 1: "assumed", 2: "assumed", 3: "assumed"}
    assert "What was there" not in out


def test_and_still_does_where_it_is_restored_once_more(run, copy, buffer_path):
    """The buffer that is there then is the copy: it knows nothing of what came after it."""
    for path in buffer_path.parent.glob("buffer.sqlite*"):
        path.unlink()
    assert run("restore", copy)[0] == 0
    assert run("restore", copy)[0] == 0
    assert states(buffer_path) == {0: "accepted", 1: "assumed", 2: "assumed", 3: "assumed"}


def test_a_person_may_say_until_when_the_exchange_accepted(run, copy, buffer_path):
    code, out, _ = run("restore", copy, "--accepted-until", "2026-03-29T00:30Z")
    assert code == 0
    assert "Slots before 2026-03-29 00:30Z count as accepted." in out
    assert states(buffer_path) == {0: "accepted", 1: "assumed", 2: "pending", 3: "pending"}


def test_a_log_that_is_left_of_the_former_buffer_is_not_played_into_it(run, copy, buffer_path):
    buffer = open_buffer(buffer_path, now_s=START_S)
    log = buffer_path.with_name("buffer.sqlite-wal")
    shutil.copy(log, log.with_suffix(".kept"))
    buffer.close_file()
    shutil.move(log.with_suffix(".kept"), log)
    buffer_path.with_name("buffer.sqlite.salvaged").write_bytes(b"left by a power cut")
    assert run("restore", copy)[0] == 0
    daemon = open_buffer(buffer_path, now_s=START_S + 10_000)
    daemon.close_file()
    assert states(buffer_path) == {0: "accepted", 1: "assumed", 2: "assumed", 3: "pending"}


def test_a_link_in_the_buffer_s_place_stays_one(run, copy, buffer_path, tmp_path):
    real = tmp_path / "disk" / "data.sqlite"
    real.parent.mkdir()
    shutil.move(buffer_path, real)
    buffer_path.symlink_to(real)
    assert run("restore", copy)[0] == 0
    assert buffer_path.is_symlink()
    assert states(real) == {0: "accepted", 1: "assumed", 2: "assumed", 3: "pending"}


def test_a_folder_that_is_not_there_yet_is_made(run, copy, home, tmp_path):
    folder = tmp_path / "new" / "card"
    text = (home.folder / "gateway.yaml").read_text()
    home.write("gateway.yaml", text.replace("path: buffer", f"path: {folder}/buffer"))
    assert run("restore", copy)[0] == 0
    assert states(folder / "buffer.sqlite")[1] == "assumed"


def test_it_is_refused_while_the_daemon_runs(run, copy, buffer_path):
    daemon = open_buffer(buffer_path, now_s=START_S)
    code, _, err = run("restore", copy)
    daemon.close_file()
    assert code == 1
    assert "stop it first" in err
    assert states(buffer_path)[2] == "accepted"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.unlink(), "is no file"),
        (lambda path: (path.unlink(), path.mkdir()), "is no file"),
        (lambda path: path.write_bytes(b"site: home\n" * 500), "is no buffer of ours"),
        (lambda path: path.write_bytes(b""), "is no buffer of ours"),
        (lambda path: os.truncate(path, path.stat().st_size // 2), "is damaged"),
    ],
)
def test_what_cannot_be_restored_changes_nothing(run, copy, buffer_path, make, why):
    make(copy)
    before = files(buffer_path.parent)
    code, _, err = run("restore", copy)
    assert code == 1
    assert why in err
    assert str(copy) in err
    assert files(buffer_path.parent) == before


def test_another_program_s_database_and_a_newer_version_are_refused(run, copy, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "other.sqlite")) as db:
        db.execute("CREATE TABLE events (id INTEGER)")
    assert "is no buffer of ours" in run("restore", tmp_path / "other.sqlite")[2]
    with contextlib.closing(sqlite3.connect(copy)) as db:
        db.execute("PRAGMA user_version = 99")
    assert "was written by a newer version (schema 99)" in run("restore", copy)[2]


@pytest.mark.parametrize("version", [1, 2])
def test_a_copy_of_an_older_version_is_upgraded_by_the_daemon(run, home, tmp_path, version):
    copy, buffer_path = tmp_path / "copy.sqlite", home.folder / "buffer.sqlite"
    db = sqlite3.connect(copy)
    db.executescript((DUMPS / f"version_{version}.sql").read_text())
    db.close()
    code, out, err = run("restore", copy)
    assert (code, err) == (0, "")
    assert "It is of an older version; the daemon upgrades it when it starts." in out

    daemon = open_buffer(buffer_path, now_s=START_S)
    measured = [o for o in daemon.owed() if o.item.kind == "measurement"]
    assert {o.state for o in measured} >= {"accepted"}
    assert not [o for o in measured if o.state in ("pending", "sent")]
    assert any(o.assumed for o in measured)
    daemon.close_file()


def test_the_buffer_itself_is_no_copy(run, copy, buffer_path):
    code, _, err = run("restore", buffer_path)
    assert code == 1
    assert "is the buffer itself" in err
    assert states(buffer_path)[2] == "accepted"
