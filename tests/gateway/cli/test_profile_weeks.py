"""`meter-gateway export profile`: days that were measured, or a typical week."""

from datetime import UTC, datetime
from itertools import count
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from gateway.cli.typical_week import LEAST, Measured
from gateway.energy.slot import MeterState
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.store.rows import Closing
from tests.gateway.cli.conftest import LOAD, PV, SLOT_S, START_S

A_DAY = 96
DAY_S = 86_400
END_S = START_S + 28 * DAY_S
UNTIL = f"{datetime.fromtimestamp(END_S, UTC):%Y-%m-%d}"
BERLIN = ZoneInfo("Europe/Berlin")
_NUMBERS = count(1)


def measure(home, slots_s, energy_uwh, *, asset=LOAD, quality="measured", revision=0):
    """Have slots measured: their energy by their start."""
    owed = tuple(
        Owed(
            Item("exchange", UUID(asset), at_s, "measurement", revision, energy_uwh(at_s)),
            SLOT_S,
            quality,
            0.0,
            None,
        )
        for at_s in slots_s
    )
    with home.buffer() as buffer:
        buffer.close(Closing("grid", next(_NUMBERS), MeterState(None, 0, 0, {}), (), owed, ()))
        buffer.flush()


def profile(run, tmp_path, *words):
    return run(
        "export", "profile", "--output", tmp_path, "--asset", "House load", "--until", UNTIL, *words
    )


def lines(path):
    header, *rest = path.read_text().splitlines()
    assert header == "INTERVAL,ENERGY(kWh)"
    return dict(line.split(",") for line in rest)


# --- days -----------------------------------------------------------------------------------------


def test_the_last_whole_days_are_written_with_every_slot(run, home, tmp_path):
    measure(home, range(START_S, END_S + 3600, SLOT_S), lambda at_s: at_s % 7919 + 1)
    code, _, err = profile(run, tmp_path, "--days", "7")
    found = lines(tmp_path / "House-load.csv")
    assert (code, len(found)) == (0, 7 * A_DAY)
    assert (min(found), max(found)) == ("2026-04-19T00:00", "2026-04-25T23:45")
    at_s = END_S - SLOT_S
    assert found["2026-04-25T23:45"] == f"{(at_s % 7919 + 1) / 10**9:.9f}".rstrip("0")
    assert "2026-04-19 to 2026-04-25, 7 days, every slot" in err
    assert "no whole weeks" not in err


def test_a_day_that_would_lie_is_left_out_and_said(run, home, tmp_path):
    hole_s = END_S - 3 * DAY_S + 3600
    slots_s = [at_s for at_s in range(START_S, END_S, SLOT_S) if at_s != hole_s]
    measure(home, slots_s, lambda _: 5)
    measure(home, [hole_s], lambda _: 0, quality="missing")
    code, _, err = profile(run, tmp_path, "--days", "7")
    assert code == 0
    names = sorted(path.name for path in tmp_path.glob("*.csv"))
    assert names == ["House-load-2026-04-19.csv", "House-load-2026-04-24.csv"]
    assert "2026-04-23 is left out: the energy of 1 of its slots is not known (01:00Z)" in err
    assert "see --days typical" in err


def test_without_a_whole_day_nothing_is_written(run, home, tmp_path):
    measure(home, range(START_S, START_S + 3600, SLOT_S), lambda _: 5)
    code, _, err = profile(run, tmp_path, "--days", "7")
    assert (code, list(tmp_path.glob("*.csv"))) == (1, [])
    assert "is left out: the energy of 96 of its slots is not known" in err


# --- a typical week -------------------------------------------------------------------------------


def local(at_s):
    return datetime.fromtimestamp(at_s, BERLIN)


def test_a_typical_week_has_weekdays_and_weekends_on_the_sites_clocks(run, home, tmp_path):
    home.write(
        "gateway.yaml",
        (home.folder / "gateway.yaml")
        .read_text()
        .replace("site: home-12", "site: {name: home-12, timezone: Europe/Berlin}"),
    )

    def energy(at_s):
        """Breakfast at seven of the clock, later at weekends; one evening with guests."""
        at = local(at_s)
        if (at.month, at.day, at.hour) == (4, 8, 20):
            return 9_000_000_000
        return 900_000_000 if at.hour == (7 if at.weekday() < 5 else 10) else 100_000_000

    measure(home, range(START_S, END_S, SLOT_S), energy)
    code, _, err = profile(run, tmp_path, "--days", "typical")
    found = lines(tmp_path / "House-load-typical.csv")
    assert (code, len(found)) == (0, 7 * A_DAY)
    assert min(found) == f"{UNTIL}T00:00"
    assert {value for at, value in found.items() if at[11:13] == "18"} == {"0.1"}, "no guests"
    monday, sunday = "2026-04-27", "2026-04-26"
    assert (found[f"{monday}T05:00"], found[f"{monday}T08:00"]) == ("0.9", "0.1")
    assert (found[f"{sunday}T05:00"], found[f"{sunday}T08:00"]) == ("0.1", "0.9")
    assert "where the 28.0 days that it is made of had" in err


def test_revisions_count_once_and_unknown_energy_not_at_all(run, home, tmp_path):
    measure(home, range(START_S, END_S, SLOT_S), lambda _: 1_000_000)
    measure(home, range(START_S, END_S, SLOT_S), lambda _: 3_000_000, revision=1)
    measure(home, range(START_S, END_S, SLOT_S), lambda _: 9, quality="partial", asset=PV)
    code, _, _ = profile(run, tmp_path, "--days", "typical")
    assert code == 0
    assert set(lines(tmp_path / "House-load-typical.csv").values()) == {"0.003"}

    code, _, err = run(
        *("export", "profile", "--output", tmp_path, "--days", "typical", "--until", UNTIL),
        "--force",
    )
    assert code == 1
    assert f"PV: no file: {7 * A_DAY} slots of a typical week are open" in err
    assert not (tmp_path / "PV-typical.csv").exists()


def test_too_little_is_not_typical(run, home, tmp_path):
    measure(home, range(END_S - 7 * DAY_S, END_S, SLOT_S), lambda _: 1_000_000)
    code, _, err = profile(run, tmp_path, "--days", "typical")
    assert (code, list(tmp_path.glob("*.csv"))) == (1, [])
    assert f"less than {LEAST} such were measured in 4 weeks (on 2026-04-26, 2026-05-02;" in err


def test_an_hour_that_comes_twice_is_one_time_of_day():
    measured = Measured(BERLIN)
    autumn = int(datetime(2026, 10, 25, tzinfo=UTC).timestamp())
    for week in range(-3, 0):
        for at_s in range(autumn - 7200, autumn + DAY_S, SLOT_S):
            measured.add(at_s + week * 7 * DAY_S, 1000)
    week = measured.week(range(autumn, autumn + DAY_S - 7200, SLOT_S))
    assert week.open_s == []
    assert set(week.slots.values()) == {1000}


@pytest.mark.parametrize(
    "words",
    [
        ("export", "profile", "--output", "x"),
        ("export", "profile", "--output", "x", "--days", "0"),
        ("export", "profile", "--output", "x", "--days", "weekly"),
        ("export", "profile", "--output", "x", "--days", "7", "--since", "2d"),
        ("export", "undelivered", "--output", "x", "--days", "7"),
    ],
)
def test_a_wrong_command_line_is_told(run, words):
    assert run(*words)[0] == 2
