"""`meter-gateway export`."""

import csv
from datetime import datetime

import openpyxl
import pytest

from drivers.sample import Sample
from gateway.cli.spreadsheets import write_table
from gateway.cli.terminal import Refused

GRID_W, PV_W, SILENT = [400, -600, 100, 200, 300], [0, 500, 200, 0, 0], range(47, 56)


@pytest.fixture
def filled(home):
    home.fill(GRID_W, PV_W, silent=SILENT)
    home.decide("accepted", "", [0])
    home.decide("rejected", "400: unknown asset", [1])
    home.decide("missed", "not delivered before its window closed", [2])
    return home


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_slots_become_a_csv(run, filled, tmp_path):
    code, out, err = run("export", "slots", "--output", tmp_path / "slots.csv")
    assert (code, out) == (0, "")
    assert "10 slots" in err
    rows = rows_of(tmp_path / "slots.csv")
    assert [row["delivery"] for row in rows if row["asset"] == "PV"] == [
        "accepted",
        "rejected",
        "missed",
        "pending",
        "pending",
    ]
    assert rows[2]["start_utc"] == "2026-03-29T00:15:00Z"


def test_slots_become_a_sheet_that_computes_with_times_and_numbers(run, filled, tmp_path):
    assert run("export", "slots", "--meters", "--output", tmp_path / "slots.xlsx")[0] == 0
    rows = list(openpyxl.load_workbook(tmp_path / "slots.xlsx").active.iter_rows(values_only=True))
    assert rows[0][:4] == ("start_utc", "start_local", "length_s", "meter")
    assert rows[1][0] == datetime.fromisoformat("2026-03-29T00:00:00")
    assert isinstance(rows[1][rows[0].index("energy_wh")], (int, float))
    assert len(rows) == 1 + 5 * 4
    import pandas  # a second that every other test would wait for, too

    assert pandas.read_excel(tmp_path / "slots.xlsx")["samples"].sum() > 0


def test_every_sample_of_every_meter_is_written_with_all_its_digits(run, filled, tmp_path):
    assert run("export", "samples", "--output", tmp_path / "samples.csv")[0] == 0
    rows = rows_of(tmp_path / "samples.csv")
    minutes = 15 * 5 + 1 - len(SILENT)
    assert len(rows) == 2 * minutes
    assert list(rows[0]) == [
        "time_utc",
        "meter",
        "serial_number",
        "boot_id",
        "boottime_ms",
        "placed",
        "energy_import_wh",
        "energy_export_wh",
        "power_w",
    ]
    assert [row["time_utc"] for row in rows[:3]] == [
        "2026-03-29T00:00:00Z",
        "2026-03-29T00:00:00Z",
        "2026-03-29T00:01:00Z",
    ]
    grid = [row for row in rows if row["meter"] == "grid"]
    assert float(grid[1]["energy_import_wh"]) == 4_000_000.0 + 400 / 60


def test_a_period_and_an_asset_choose_what_is_written(run, filled, tmp_path):
    words = ("--since", "2026-03-29T00:15Z", "--until", "2026-03-29T00:30Z", "--asset", "PV")
    assert run("export", "samples", "--output", tmp_path / "samples.csv", *words)[0] == 0
    rows = rows_of(tmp_path / "samples.csv")
    assert {row["meter"] for row in rows} == {"pv"}
    assert [row["time_utc"] for row in rows] == [
        f"2026-03-29T00:{minute}:00Z" for minute in range(15, 30)
    ]
    assert run("export", "slots", "--output", tmp_path / "slots.csv", *words)[0] == 0
    assert [row["asset"] for row in rows_of(tmp_path / "slots.csv")] == ["PV"]


def test_a_sample_of_a_boot_whose_clock_was_never_trusted_keeps_its_boot_time(run, home, tmp_path):
    with home.buffer() as buffer:
        buffer.add(Sample("grid", None, "boot-0", 1234, None, {"power_w": 5.0}))
    assert run("export", "samples", "--output", tmp_path / "samples.csv")[0] == 0
    assert rows_of(tmp_path / "samples.csv") == [
        {
            "time_utc": "",
            "meter": "grid",
            "serial_number": "",
            "boot_id": "boot-0",
            "boottime_ms": "1234",
            "placed": "",
            "power_w": "5.0",
        }
    ]


def test_a_file_that_is_there_is_replaced_only_with_force(run, filled, tmp_path):
    path = tmp_path / "slots.csv"
    path.write_text("precious")
    code, _, err = run("export", "slots", "--output", path)
    assert code == 1
    assert "is there already — choose another name, or replace it with --force" in err
    assert path.read_text() == "precious"
    assert run("export", "slots", "--output", path, "--force")[0] == 0
    assert len(rows_of(path)) == 10
    assert names_in(tmp_path) == ["etc", "slots.csv"]


def test_a_folder_that_is_not_there_is_an_error_that_says_what_to_do(run, filled, tmp_path):
    for name in ("slots.csv", "slots.xlsx"):
        code, _, err = run("export", "slots", "--output", tmp_path / "nowhere" / name)
        assert code == 1
        assert "cannot be written: No such file or directory — check the folder" in err


@pytest.mark.parametrize(
    "words",
    [
        ("slots", "--output", "x.txt"),
        ("samples", "--output", "x.csv", "--meters"),
        ("slots",),
        ("everything",),
    ],
)
def test_what_cannot_be_written_is_a_usage_error(run, filled, words):
    assert run("export", *words)[0] == 2


def test_an_unknown_asset_is_refused_with_the_nearest(run, filled, tmp_path):
    code, _, err = run("export", "slots", "--output", tmp_path / "x.csv", "--asset", "House loud")
    assert code == 1
    assert "there is no asset 'House loud' — did you mean 'House load'?" in err


def test_more_rows_than_a_sheet_holds_are_refused_and_leave_no_file(tmp_path):
    rows = ({"n": n} for n in range(6001))
    with pytest.raises(Refused, match=r"holds 6000 rows, and there are more — write a \.csv"):
        write_table(tmp_path / "big.xlsx", ["n"], rows, force=False, sheet_rows=6001)
    assert names_in(tmp_path) == []
    assert (
        write_table(
            tmp_path / "big.xlsx",
            ["n"],
            ({"n": n} for n in range(6000)),
            force=False,
            sheet_rows=6001,
        )
        == 6000
    )
    assert (
        write_table(
            tmp_path / "big.csv",
            ["n"],
            ({"n": n} for n in range(12_345)),
            force=False,
            sheet_rows=10,
        )
        == 12_345
    )
    assert [int(row["n"]) for row in rows_of(tmp_path / "big.csv")] == list(range(12_345))


def test_text_from_a_meter_is_never_a_formula_or_a_broken_sheet(tmp_path):
    write_table(
        tmp_path / "x.xlsx",
        ["a", "b"],
        iter([{"a": "=1+1", "b": "bad\x00number"}, {"a": None, "b": 3}]),
        force=False,
    )
    sheet = openpyxl.load_workbook(tmp_path / "x.xlsx").active
    assert (sheet["A2"].value, sheet["A2"].data_type) == ("=1+1", "s")
    assert sheet["B2"].value == "bad\N{REPLACEMENT CHARACTER}number"
    assert (sheet["A3"].value, sheet["B3"].value) == (None, 3)
