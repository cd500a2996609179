"""`meter-gateway backup` takes the configuration along, and `restore` puts it onto a new card."""

import contextlib
import shutil
import sqlite3
import stat

import pytest

from gateway.cli.commissioning.asking_back import AskingBack, judged
from gateway.delivery import kinds
from tests.gateway.cli.conftest import LOAD, SLOT_S, START_S

PASSWORD = "hunter2-hunter2"


@pytest.fixture
def old_box(home, run):
    """Its files, by name; the exchange is nowhere, so that nothing asks a real one."""
    text = (home.folder / "gateway.yaml").read_text()
    home.write(
        "gateway.yaml", text.replace("dialect: sdk", "dialect: sdk\n  url: http://127.0.0.1:9/")
    )
    home.write("exchange.credentials", f"username: 'a'\npassword: '{PASSWORD}'\n")
    home.write("hardware_profiles/mine/one.yaml", "maker: Mine\n", mode=0o644)
    home.write("devices/grid.yaml", (home.folder / "devices/grid.yaml").read_text(), mode=0o640)
    home.fill([600, 700], [0, 0])
    home.decide("accepted", "", slots=[0])
    return files(home.folder)


@pytest.fixture
def copy(old_box, run, tmp_path):
    path = tmp_path / "usb.sqlite"
    code, out, _ = run("backup", path)
    assert code == 0
    assert "5 files, 3 of them secret" in out, "three have mode 0600 in this home"
    return path


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("buffer.sqlite")
    }


def emptied(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def test_a_new_card_gets_configuration_profiles_logins_and_buffer(home, run, old_box, copy):
    emptied(home.folder)
    code, out, err = run("restore", copy, "--no-start")
    assert (code, err) == (0, ""), out
    assert files(home.folder) == old_box
    modes = {name: stat.S_IMODE((home.folder / name).stat().st_mode) for name in old_box}
    assert modes["exchange.credentials"] == 0o600
    assert modes["devices/grid.yaml"] == 0o640
    assert modes["hardware_profiles/mine/one.yaml"] == 0o640
    assert "Start it with: meter-gateway" in out


def test_logins_are_in_the_copy_and_not_in_the_buffer(home, run, copy):
    assert PASSWORD.encode() in copy.read_bytes()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    emptied(home.folder)
    assert run("restore", copy, "--no-start")[0] == 0
    for path in home.folder.glob("buffer.sqlite*"):
        assert PASSWORD.encode() not in path.read_bytes()
    with contextlib.closing(sqlite3.connect(home.folder / "buffer.sqlite")) as db:
        assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'carried_files'").fetchall()


def test_a_copy_of_the_buffer_alone_is_no_secret_and_sets_nothing_up(home, run, old_box, tmp_path):
    copy = tmp_path / "copy.sqlite"
    code, out, _ = run("backup", "--buffer-only", copy)
    assert code == 0
    assert "The configuration is not in it." in out
    assert PASSWORD.encode() not in copy.read_bytes()
    emptied(home.folder)
    code, _, err = run("restore", copy)
    assert code == 1
    assert "there is no configuration, and none in" in err
    assert "meter-gateway init" in err
    assert not list(home.folder.iterdir())


def test_a_configuration_that_is_there_is_kept(home, run, copy):
    home.write("devices/grid.yaml", "# mine\n" + (home.folder / "devices/grid.yaml").read_text())
    before = files(home.folder)
    code, out, _ = run("restore", copy)
    assert code == 0
    assert files(home.folder) == before
    assert "Start the daemon: systemctl start meter-gateway" in out


def test_a_file_that_is_there_without_a_configuration_is_kept_beside(home, run, old_box, copy):
    (home.folder / "gateway.yaml").unlink()
    home.write("devices/grid.yaml", "# found by scan\n")
    code, out, _ = run("restore", copy, "--no-start")
    assert code == 0
    (kept,) = (home.folder / "devices").glob("grid.yaml.before-*")
    assert str(kept) in out
    assert kept.read_text() == "# found by scan\n"
    assert (home.folder / "devices/grid.yaml").read_bytes() == old_box["devices/grid.yaml"]


def test_a_copy_cannot_write_elsewhere(home, run, copy, tmp_path):
    with contextlib.closing(sqlite3.connect(copy)) as db, db:
        db.execute("INSERT INTO carried_files VALUES ('../../outside', x'00', 0)")
    emptied(home.folder)
    code, _, err = run("restore", copy)
    assert code == 1
    assert "no file of a configuration folder" in err
    assert not (home.folder / "gateway.yaml").exists()


def test_what_is_too_large_for_a_configuration_is_named(home, run, old_box, tmp_path):
    (home.folder / "film.bin").write_bytes(bytes((1 << 20) + 1))
    code, out, _ = run("backup", tmp_path / "copy.sqlite")
    assert code == 0
    assert f"Not in it, copy it yourself: {home.folder / 'film.bin'} (more than 1 MiB)" in out


def test_an_exchange_that_cannot_be_asked_is_named(home, old_box):
    asking = AskingBack(kinds.load(home.folder), START_S + 40 * SLOT_S)
    assert asking({("exchange", LOAD): {START_S}}) is None
    (line,) = asking.lines
    assert line.startswith("exchange cannot be asked what it has since: ")


NOW_S = START_S + 40 * SLOT_S


def starts(*numbers):
    return {START_S + SLOT_S * number for number in numbers}


def test_what_comes_after_the_newest_slot_that_is_shown_is_missing_there():
    newest_s, lines = judged(starts(0, 1, 2), starts(0, 1, 2, 3, 4), NOW_S, SLOT_S)
    assert newest_s == START_S + 4 * SLOT_S
    assert "up to 2026-03-29 01:00Z" in lines[0]
    assert "missing there" in lines[0]
    assert len(lines) == 1


def test_an_exchange_that_shows_slots_up_to_now_may_have_more():
    """What it accepted a moment ago it does not show yet."""
    newest_s, lines = judged(starts(0, 1), starts(*range(38)), NOW_S, SLOT_S)
    assert newest_s == NOW_S - SLOT_S
    assert "up to now" in lines[0]


def test_an_exchange_that_shows_nothing_of_what_it_accepted_is_not_believed():
    assert judged(starts(0, 1), starts(5, 6), NOW_S, SLOT_S)[0] is None
    assert judged(starts(0, 1), (), NOW_S, SLOT_S)[0] is None
    assert judged(set(), starts(5, 6), NOW_S, SLOT_S)[0] is None


def test_holes_before_that_are_told():
    newest_s, lines = judged(starts(0), starts(0, 1, 4, 5), NOW_S, SLOT_S)
    assert newest_s == START_S + 5 * SLOT_S
    assert "lacks 2, the first of 2026-03-29 00:30Z" in lines[1]
