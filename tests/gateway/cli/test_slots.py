"""`meter-gateway slots`."""

import csv
import io
import itertools
import json

import pytest

# The home exports more than the sun makes in the second slot, and nobody reads the meters for ten
# minutes of the fourth.
GRID_W, PV_W, SILENT = [400, -600, 100, 200, 300], [0, 500, 200, 0, 0], range(47, 56)


@pytest.fixture
def filled(home):
    home.fill(GRID_W, PV_W, silent=SILENT)
    home.decide("accepted", "", [0])
    home.decide("rejected", "400: unknown asset", [1])
    home.decide("missed", "not delivered before its window closed", [2])
    return home


def test_each_asset_s_slots_are_shown_with_energy_quality_and_delivery(run, filled):
    code, out, _ = run("slots", "--json")
    assert code == 0
    load = [row for row in json.loads(out) if row["asset"] == "House load"]
    assert [row["start_utc"] for row in load] == [
        f"2026-03-29T0{m // 60}:{m % 60:02d}:00Z" for m in range(0, 75, 15)
    ]
    assert [row["delivery"] for row in load] == [
        "accepted",
        "rejected",
        "missed",
        "pending",
        "pending",
    ]
    assert [row["quality"] for row in load] == [
        "measured",
        "measured",
        "measured",
        "estimated",
        "measured",
    ]
    assert load[0]["energy_wh"] == pytest.approx(100, abs=1)
    assert load[1]["reason"] == "400: unknown asset"
    assert load[3]["coverage_percent"] == pytest.approx(33.3)


def test_a_negative_result_is_shown_beside_the_0_that_is_delivered(run, filled):
    row = next(
        r
        for r in json.loads(run("slots", "--json")[1])
        if r["delivery"] == "rejected" and r["asset"] == "House load"
    )
    assert row["energy_wh"] == 0
    assert row["formula_wh"] == pytest.approx(-25, abs=1)
    assert row["negative_sent_as_0"] is True
    assert f"0.000 [{row['formula_wh']:.3f}]" in run("slots")[1]


def test_the_table_has_local_time_beside_utc(shell, filled):
    done = shell("slots", "--config", filled.folder, TZ="Europe/Amsterdam")
    assert done.returncode == 0
    assert "2026-03-29T00:45:00Z   2026-03-29 01:45:00 +0100" in done.stdout
    assert (
        "2026-03-29T01:00:00Z   2026-03-29 03:00:00 +0200" in done.stdout
    )  # summer time has begun


def test_meters_are_shown_per_direction_with_registers_and_serial_number(run, filled):
    rows = [
        r
        for r in json.loads(run("slots", "--meters", "--json")[1])
        if (r["meter"], r["direction"]) == ("grid", "import")
    ]
    assert [row["serial_number"] for row in rows] == ["E0031"] * 5
    assert rows[3]["largest_gap_s"] == 600
    for before, after in itertools.pairwise(rows):
        assert after["counter_begin_wh"] == before["counter_end_wh"]
    assert "largest gap" in run("slots", "--meters")[1]


def test_the_newest_slots_are_shown_however_old_they_are(run, filled):
    starts = [
        row["start_utc"]
        for row in json.loads(run("slots", "--last", 2, "--json")[1])
        if row["asset"] == "PV"
    ]
    assert starts == ["2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z"]


def test_a_period_is_shown_from_its_first_slot_until_before_its_end(run, filled):
    words = ("--since", "2026-03-29T00:15Z", "--until", "2026-03-29T02:45:00+02:00", "--json")
    starts = [
        row["start_utc"] for row in json.loads(run("slots", *words)[1]) if row["asset"] == "PV"
    ]
    assert starts == ["2026-03-29T00:15:00Z", "2026-03-29T00:30:00Z"]


def test_a_long_time_ago_is_written_in_days(run, filled):
    assert len(json.loads(run("slots", "--since", "9000d", "--json")[1])) == 10
    assert json.loads(run("slots", "--until", "9000d", "--json")[1]) == []


def test_csv_is_there_for_programs(run, filled):
    rows = list(csv.DictReader(io.StringIO(run("slots", "--csv")[1])))
    assert len(rows) == 10
    assert rows[0]["asset"] == "House load"


@pytest.mark.parametrize(
    "words",
    [("--since", "yesterday"), ("--last", "0"), ("--until", "2026-13-01"), ("--json", "--csv")],
)
def test_what_cannot_be_understood_is_a_usage_error(run, filled, words):
    code, _, err = run("slots", *words)
    assert code == 2
    assert "Traceback" not in err


def test_it_works_while_the_daemon_writes(run, filled):
    with filled.buffer() as buffer:
        buffer.flush()
        code, out, _ = run("slots", "--json")
        assert code == 0
        assert len(json.loads(out)) == 10


def test_it_needs_no_login(run, filled):
    (filled.folder / "exchange.credentials").unlink()
    assert run("slots")[0] == 0


def test_without_an_exchange_the_assets_energy_is_shown_all_the_same(run, home):
    text = (home.folder / "gateway.yaml").read_text()
    home.write("gateway.yaml", text[: text.index("exchange:")] + text[text.index("assets:") :])
    home.fill([400, -600], [0, 500])
    rows = json.loads(run("slots", "--json")[1])
    assert {row["delivery"] for row in rows} == {"kept"}
    assert rows[0]["energy_wh"] == pytest.approx(100, abs=1)
    assert rows[2]["formula_wh"] == pytest.approx(-25, abs=1)


def test_a_slot_that_was_not_wholly_metered_has_no_energy(run, home):
    home.fill([400, 400], [0, 0], silent=range(7))
    first, *_ = json.loads(run("slots", "--json")[1])
    assert (first["energy_wh"], first["quality"], first["delivery"]) == (None, "partial", "missed")


def test_an_empty_buffer_is_said_to_be_empty(run, home):
    with home.buffer():
        pass
    code, _, err = run("slots")
    assert code == 0
    assert "no slots there" in err
    assert run("slots", "--json")[1] == "[]\n"


def test_no_buffer_is_an_error_that_says_what_to_do(run, home):
    code, _, err = run("slots")
    assert code == 1
    assert "there is no buffer yet; start the daemon" in err


def test_a_buffer_that_is_not_a_database_is_an_error_without_a_traceback(run, home):
    home.write("buffer.sqlite", "this is not a database, but it is long enough to look at" * 20)
    code, _, err = run("slots")
    assert code == 1
    assert "buffer.sqlite: cannot be read: file is not a database" in err
