"""Days and months: what the books say, whoever asks, also where clocks change."""

import json
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.history.api import csv_of
from gateway.history.history import History
from gateway.history.home import OLDEST, day_from, home_of, month_from, next_month
from gateway.history.refusals import NotThere, Unclear
from gateway.site.settings import Settings
from tests.gateway.history.rig import ASSETS, HOUSE, NOW_S, PV, SLOT_S, asset_slots_at

SPRING = date(2026, 3, 29)
"""Clocks go forward in Berlin."""


async def test_a_day_is_what_its_slots_are(history: History) -> None:
    day = await history.day(SPRING - timedelta(days=1))
    assert (day.slots, day.slot_s, day.zone, day.is_today) == (96, SLOT_S, "Europe/Berlin", False)
    assert [column.title for column in day.assets] == list(ASSETS)
    for column in day.assets:
        expected = [
            slot.energy_uwh / 1e6
            for start_s in range(day.start_s, day.start_s + 96 * SLOT_S, SLOT_S)
            for slot in asset_slots_at(start_s)
            if str(slot.asset) == column.id and slot.energy_uwh is not None
        ]
        assert column.wh == expected
        # The exchange that took them is not configured any more, and has them all the same.
        assert (column.quality, column.delivery) == ("m" * 96, "a" * 96)
    assert {column.id for column in day.meters} == {
        f"{meter}.{way}" for meter in ("grid", "pv", "heat-pump") for way in ("import", "export")
    }
    assert (day.earlier, day.later) == ("2026-03-27", "2026-03-29")


async def test_sums_are_the_columns_added_up(history: History) -> None:
    for back in range(4):
        day = await history.day(SPRING - timedelta(days=back))
        wh = {column.id: sum(filter(None, column.wh)) for column in (*day.assets, *day.meters)}
        assert day.sums.used_wh == pytest.approx(wh[str(HOUSE)])
        assert day.sums.sun_wh == pytest.approx(wh[str(PV)])
        assert day.sums.from_grid_wh == pytest.approx(wh["grid.import"])
        assert day.sums.to_grid_wh == pytest.approx(wh["grid.export"])
        assert day.sums.coverage == 1.0


async def test_a_day_is_what_the_command_slots_tells(history: History, home_folder: Path) -> None:
    day = await history.day(SPRING - timedelta(days=1))
    until_s = day.start_s + day.slots * day.slot_s
    command = [sys.executable, "-m", "gateway", "slots", "--config", str(home_folder), "--json"]
    span = ["--since", _utc(day.start_s), "--until", _utc(until_s)]
    told = subprocess.run([*command, *span], capture_output=True, text=True, check=True, timeout=60)
    rows = json.loads(told.stdout)
    for column in day.assets:
        mine = [row for row in rows if row["uuid"] == column.id]
        assert column.wh == [row["formula_wh"] for row in mine]
        assert column.uncertainty_wh == [row["uncertainty_wh"] for row in mine]


def _utc(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%MZ")


@pytest.mark.parametrize(
    ("day", "slots"),
    [("2026-03-29", 92), ("2026-10-25", 100), ("2026-03-28", 96), ("2027-02-28", 96)],
)
async def test_a_day_on_which_clocks_change_has_other_slots(
    day: str, slots: int, history: History
) -> None:
    found = await history.day(day_from(day))
    assert found.slots == slots
    assert all(len(column.wh) == slots for column in (*found.assets, *found.meters))
    rows = csv_of(found).splitlines()
    assert len(rows) == slots + 1
    assert len(set(rows)) == slots + 1, "the hour that comes twice is told apart by its offset"


async def test_today_has_not_ended(history: History) -> None:
    day = await history.day(SPRING)
    closed = (NOW_S - day.start_s) // SLOT_S
    assert day.is_today
    assert day.assets[0].quality == "m" * closed + "." * (92 - closed)
    assert day.assets[0].wh[closed:] == [None] * (92 - closed)
    assert (day.later, day.sums.coverage) == (None, 1.0)


async def test_days_of_which_nothing_is_kept_are_empty(history: History) -> None:
    for text in ("2000-01-01", "2199-12-31", "2025-01-01"):
        day = await history.day(day_from(text))
        assert set(day.assets[0].quality) == {"."}
        assert (day.meters, day.sums.used_wh) == ([], None)
    assert (await history.day(OLDEST)).later == "2026-03-25"


async def test_a_month_is_its_days(history: History) -> None:
    month = await history.month(SPRING)
    assert [day.day for day in month.days] == [f"2026-03-{n:02}" for n in range(1, 30)]
    for told in month.days[-4:]:
        day = await history.day(day_from(told.day))
        assert told.sums == day.sums
        imports = next(column for column in day.meters if column.id == "grid.import")
        assert told.peak is not None
        assert told.peak.power_w == pytest.approx(max(filter(None, imports.wh)) * 4)
    assert month.sums.used_wh == pytest.approx(
        sum(day.sums.used_wh for day in month.days if day.sums.used_wh is not None)
    )
    assert month.peak == max(
        (day.peak for day in month.days if day.peak), key=lambda peak: peak.power_w
    )
    assert (month.earlier, month.later) == (None, None)


@pytest.mark.parametrize(
    "text", ["", "x", "2026-3-1", "20260301", "2026-W01-1", "9" * 10_000, "2026-03-29\n"]
)
def test_what_is_no_day_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(Unclear, match="is not a day") as refused:
        day_from(text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "text", ["9999-99-99", "0000-01-01", "9999-12-31", "1969-12-31", "2026-02-29"]
)
def test_days_that_never_were_are_not_there(text: str) -> None:
    with pytest.raises(NotThere):
        day_from(text)
    with pytest.raises(Unclear):
        month_from(text)


def test_a_year_of_days_is_a_year_of_slots(settings: Settings) -> None:
    home = home_of(settings)
    day, before_s = date(2025, 12, 31), home.span(date(2025, 12, 31))[0]
    slots = 0
    for _ in range(366):
        begin_s, end_s = home.span(day)
        assert begin_s == before_s
        assert list(home.days(begin_s, end_s)) == [day]
        slots += (end_s - begin_s) // SLOT_S
        before_s, day = end_s, day + timedelta(days=1)
    assert slots == 366 * 96
    assert next_month(date(2026, 1, 31)) == date(2026, 2, 1)
    assert next_month(date(2026, 12, 1)) == date(2027, 1, 1)
