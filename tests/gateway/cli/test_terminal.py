"""What commands print fits the terminal and its encoding, and an ordinary user gets one line."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.layout import BETWEEN, EDGES, fitted, records
from tests.gateway.cli.conftest import GATEWAY

TABLES = [
    ["slots"],
    ["slots", "--meters"],
    ["outbox"],
    ["profiles"],
    ["profiles", "show", "eastron/sdm120"],
    ["profiles", "show", "p1/austria"],
    ["allocate", "--all"],
]
COMMANDS = [*TABLES, ["slots", "--json"], ["outbox", "--json"], ["buffer", "check"], ["check"],
            ["check", "--schema", "gateway"], ["check", "--markdown"], ["--help"],
            ["profiles", "--json"], ["backup", "copy.sqlite"]]  # fmt: skip

words = st.text(alphabet="abc→é", min_size=1, max_size=12)
cells = st.lists(words, max_size=4).map(" ".join)
tables = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=4)
)


@given(tables, st.integers(5, 60))
def test_a_table_fits_its_room_and_every_word_its_column(table, room):
    spare = list(range(1, len(table[0])))
    layout = fitted(table, room, spare=spare)
    if layout is None:
        longest = max(len(word) for row in table for word in (row[0].split() or [""]))
        assert longest + 2 * EDGES > room
        return
    assert 0 in layout.shown
    assert sum(layout.widths) + BETWEEN * (len(layout.widths) - 1) + 2 * EDGES <= room
    for i, width in zip(layout.shown, layout.widths, strict=True):
        assert all(len(word) <= width for row in table for word in row[i].split())


@given(tables, st.integers(5, 60))
def test_records_hold_every_word_whole(table, room):
    text = " ".join(records([[f"c{i}" for i in range(len(table[0]))], *table], room))
    for row in table:
        for cell in row:
            assert set(cell.split()) <= set(text.split())


@pytest.fixture
def full(home):
    """A home with slots, whose names and reasons are long and not in ASCII."""
    home.write("gateway.yaml", GATEWAY.replace("House load", "Häuschen → Last"))
    home.fill([500, -200, 300, 400], [100, 900, 0, 0], silent=range(20, 24))
    home.decide("rejected", "there is no such asset here: have a look at its configuration", [0])
    return home


RUN_ALL = """
import contextlib, json, os, sys
from gateway.cli.main import main

for columns, words in json.loads(sys.argv[1]):
    os.environ["COLUMNS"] = str(columns)
    with contextlib.suppress(SystemExit):  # as --help ends
        main(words)
    print(END, flush=True)
"""
"""Commands in one process: each start of a program takes longer than the command."""

END = "-- that was it --"


def outputs(
    folder: Path, runs: Sequence[tuple[int, Sequence[str]]], encoding: str = "utf-8"
) -> list[str]:
    """What each of the commands prints at a terminal with so many columns."""
    asked = json.dumps([(columns, [*words, "--config", str(folder)]) for columns, words in runs])
    done = subprocess.run(
        [sys.executable, "-c", f"END = {END!r}\n{RUN_ALL}", asked],
        env=os.environ | {"PYTHONIOENCODING": encoding}, cwd=folder,
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr, done.stderr
    assert b"\\u" not in done.stderr
    *shown, rest = done.stdout.decode(encoding).split(f"{END}\n")
    assert (len(shown), rest) == (len(runs), "")
    return shown


@pytest.mark.parametrize("command", TABLES, ids=" ".join)
def test_no_table_is_wider_than_the_terminal_nor_breaks_a_word(full, command):
    widths = (100, 80, 60)
    wide, *narrow = outputs(full.folder, [(columns, command) for columns in (1000, *widths)])
    for columns, shown in zip(widths, narrow, strict=True):
        assert max(len(line.rstrip()) for line in shown.splitlines()) <= columns
        table, _, _ = shown.partition("(no room for: ")
        assert {w for w in table.split() if "─" not in w} <= set(wide.split())


def test_eighty_columns_show_what_matters_most(shell, full):
    lines = shell("slots", "--config", full.folder, COLUMNS="80").stdout.splitlines()
    assert re.split(r"\s{2,}", lines[1].strip()) == [
        "slot (UTC)", "asset", "kind", "Wh", "quality", "delivery",
    ]  # fmt: skip
    assert lines[-1] == "(no room for: local time, ± Wh, forecast, doubts, coverage, reason)"


def test_a_terminal_too_narrow_for_any_table_gets_records(shell, full):
    shown = shell("slots", "--config", full.folder, COLUMNS="36").stdout
    assert "slot (UTC)  2026-03-29T00:00:00Z\n" in shown
    assert "asset       Häuschen → Last\n" in shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_that_knows_less_gets_replacements(full, encoding):
    assert all(outputs(full.folder, [(80, command) for command in COMMANDS], encoding))


def test_replacements_are_readable_and_json_loses_nothing(shell, full):
    ascii_only = {"PYTHONIOENCODING": "ascii", "COLUMNS": "200"}
    shown = shell("slots", "--config", full.folder, **ascii_only).stdout
    assert "Hauschen -> Last" in shown
    assert "----" in shown
    columns = {line.index("measurement") for line in shown.splitlines() if "measurement" in line}
    assert len(columns) == 1, "replacements that are longer do not move the columns"
    rows = json.loads(shell("slots", "--json", "--config", full.folder, **ascii_only).stdout)
    assert rows[0]["asset"] == "Häuschen → Last"


@pytest.fixture
def stranger(required_tool):
    """Runs the program as somebody whom only the mode for others lets in."""

    def command(*words, folder):
        # Without its capabilities, root is an ordinary user where a folder belongs to another one.
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 65534, 65534)
        return subprocess.run(
            [required_tool("setpriv"), "--bounding-set=-all", "--inh-caps=-all", "--clear-groups",
             sys.executable, "-m", "gateway", *map(str, words)],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    return command


LOOKS = [
    ["slots"], ["slots", "--meters"], ["outbox"], ["outbox", "--json"], ["allocate"],
    ["buffer", "check"], ["buffer", "repair"], ["backup", "copy.sqlite"],
    ["export", "slots", "--output", "x.csv"], ["outbox", "retry", "2026-03-29T00:00:00Z/PV"],
]  # fmt: skip


@pytest.mark.parametrize("command", LOOKS, ids=" ".join)
def test_a_state_folder_that_is_closed_to_others_is_one_line(full, stranger, tmp_path, command):
    state = tmp_path / "state"
    state.mkdir(mode=0o750)
    for path in full.folder.glob("buffer*"):
        shutil.move(path, state / path.name)
    text = GATEWAY.replace("path: buffer.sqlite", f"path: {state}/buffer.sqlite")
    full.write("gateway.yaml", text, 0o644)
    done = stranger(*command, "--config", full.folder, folder=state)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.count("\n") == 1, done.stderr
    assert str(state) in done.stderr
    assert "run this as root" in done.stderr


@pytest.mark.parametrize(
    "command", [["slots"], ["outbox"], ["read", "grid"], ["check"], ["run"]], ids=" ".join
)
def test_a_configuration_folder_that_is_closed_to_others_is_told(full, stranger, command):
    full.folder.chmod(0o750)
    done = stranger(*command, "--config", full.folder, folder=full.folder)
    assert done.returncode == 1
    told = done.stderr + done.stdout
    assert "Traceback" not in told
    assert str(full.folder) in told
    assert "run this as root" in told


def test_what_needs_no_configuration_works_without_its_folder(full, stranger):
    full.folder.chmod(0o750)
    for command, code in ((["profiles"], 0), (["profiles", "show", "eastron/sdm120"], 0),
                          (["status", "--url", "http://127.0.0.1:9"], 2)):  # fmt: skip
        done = stranger(*command, "--config", full.folder, folder=full.folder)
        assert done.returncode == code, done
        assert "Traceback" not in done.stderr


def test_a_full_disk_behind_standard_output_is_one_line(full):
    with open("/dev/full", "w") as nowhere:  # noqa: PTH123 — a device, for writing
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "slots", "--config", str(full.folder)],
            stdout=nowhere, stderr=subprocess.PIPE, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "no room left" in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr
