"""`meter-gateway forecast`, and what other commands tell of forecasts."""

import csv
import io
import json
import time
from uuid import UUID

import pytest

from gateway.energy.slot import AssetSlot
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from tests.gateway.cli.conftest import LOAD, PV

SLOT_S = 900


def newest_s():
    """The newest slot that has closed."""
    return int(time.time()) // SLOT_S * SLOT_S - SLOT_S


@pytest.fixture
def learned(home):
    """Nine days of a load, whose forecasts are off by 10 % and its naive ones by more; and a PV of
    which nothing was expected yet.
    """
    path = home.folder / "gateway.yaml"
    path.write_text(path.read_text().replace("forecast: none", "forecast: auto"))
    write(home, [*load(9 * 96), AssetSlot(UUID(PV), newest_s(), SLOT_S, 5, 0, "measured")])
    return home


def write(home, slots):
    with home.buffer() as buffer, buffer.database.transaction():
        buffer.tables.asset_slots.write(slots)


def load(count, by="auto"):
    """Its energy alternates by 30 %, and grows a little each day."""
    newest = newest_s()
    for n in range(count):
        energy_uwh = (100_000_000, 130_000_000, 100_000_000, 160_000_000)[n % 4] + n // 96 * 1_000
        expected_uwh = energy_uwh * 9 // 10
        yield AssetSlot(
            UUID(LOAD),
            newest - (count - 1 - n) * SLOT_S,
            SLOT_S,
            energy_uwh,
            0,
            "measured",
            forecast_uwh=expected_uwh,
            forecast_low_uwh=expected_uwh * 8 // 10,
            forecast_high_uwh=expected_uwh * 11 // 10 if n % 4 else energy_uwh,
            forecast_by=by,
        )


def test_errors_stand_beside_those_of_the_naive_ones(run, learned):
    code, out, _ = run("forecast", "--json")
    assert code == 0
    of_load, of_pv = json.loads(out)
    assert of_load["method"] == of_load["by"] == "auto"
    day, week, month = of_load["errors"]
    assert (day["days"], week["days"], month["days"]) == (1, 7, 28)
    assert day["slots"] in (95, 96)
    assert month["slots"] == 9 * 96 - 2
    assert week["mean_error_wh"] == pytest.approx(12.25, abs=0.1)
    assert week["naive_mean_error_wh"]["last_slot"] == pytest.approx(15, abs=0.1)
    assert week["naive_mean_error_wh"]["yesterday"] == pytest.approx(0.001, abs=0.0001)
    assert week["best_naive"] == "yesterday"
    assert week["inside_band"] == pytest.approx(0.25, abs=0.01)
    assert week["sums_off_by"] == pytest.approx(-0.1, abs=0.001)
    assert [each["slots"] for each in of_pv["errors"]] == [0, 0, 0]


def test_the_table_says_since_when_it_is_learned_and_what_is_not_known_yet(run, learned):
    code, out, _ = run("forecast")
    assert code == 0
    assert "House load: learning since " in out
    assert "PV: learning since " in out
    assert "nothing was expected of its newest slot yet" in out
    assert "10 % low" in out
    assert out.count("House load") == 2  # the time that it is learned, and once in the table


def test_a_naive_one_that_is_sent_instead_is_said(run, home):
    path = home.folder / "gateway.yaml"
    path.write_text(path.read_text().replace("forecast: none", "forecast: auto"))
    write(home, load(96, by="yesterday"))
    assert "was worse for 14 days than yesterday's, which is sent instead" in run("forecast")[1]


def test_what_sums_cost_is_told_for_the_same_slots(run, learned):
    path = learned.folder / "gateway.yaml"
    path.write_text(
        path.read_text().replace(
            "forecast: auto", "forecast: auto\n  forecast_bias: sums within 5 %"
        )
    )
    assert "what that costs is told once slots have come of it" in run("forecast")[1]

    sent = [slot for slot in load(9 * 96) if slot.start_s > newest_s() - 50 * SLOT_S]
    with learned.buffer() as buffer, buffer.database.transaction():
        buffer.tables.outbox.write([owed(slot, "accepted") for slot in sent[:40]])
        buffer.tables.outbox.write([owed(slot, "missed") for slot in sent[40:]])
    of_load, of_pv = json.loads(run("forecast", "--json")[1])
    assert of_load["sends"] == of_pv["sends"] == "sums within 5 %"
    assert of_pv["errors"][0]["sent"] is None
    week = of_load["errors"][1]["sent"]
    assert week["slots"] == 40, "what was never taken costs nothing"
    assert week["median_mean_error_wh"] == pytest.approx(12.25, abs=0.1)
    assert week["mean_error_wh"] == pytest.approx(2 * 12.25, abs=0.2)
    assert week["median_sums_off_by"] == pytest.approx(-0.1, abs=0.001)
    assert week["sums_off_by"] == pytest.approx(0.2, abs=0.001)
    out = run("forecast")[1]
    assert "House load: sent is sums within 5 %: over 7 days (40 slots)" in out
    assert "sum 20 % high" in out
    assert "it costs 100 % more" in out


def owed(slot, state):
    """20 % too much was sent, in place of the median, which is 10 % too low."""
    item = Item("exchange", slot.asset, slot.start_s, "forecast", 0, slot.energy_uwh * 12 // 10)
    return Owed(item, SLOT_S, "estimated", slot.start_s - 900.0, slot.start_s, state=state)


def test_where_nothing_is_there_it_says_what_it_waits_for(run, home):
    with home.buffer():
        pass
    code, out, err = run("forecast")
    assert code == 0
    assert "not forecast: gateway.yaml says forecast: none" in out
    assert "no forecast can be judged yet" in err


def test_the_plot_is_one_page_without_anything_from_elsewhere(run, learned, tmp_path):
    page = tmp_path / "forecast.html"
    assert run("forecast", "--plot", page, "--days", 2)[0] == 0
    text = page.read_text()
    assert text.count("<svg") == 2
    assert text.count('class="measured"') == text.count('class="forecast"') == 2
    assert 'class="forecast band"' in text
    assert "House load" in text
    assert "<script" not in text
    assert "http" not in text
    code, _, err = run("forecast", "--plot", page)
    assert code == 1
    assert "is there already" in err
    assert run("forecast", "--plot", page, "--force")[0] == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--days", "3"), "--days goes with --plot"),
        (("--plot", "x.html", "--days", "40"), "write 1 to 28"),
        (("--plot", "x.png"), "must end in .html"),
    ],
)
def test_a_wrong_command_line_is_told(run, learned, words, why):
    code, _, err = run("forecast", *words)
    assert code == 2
    assert why in err


def test_an_asset_of_another_name_is_refused_with_the_nearest(run, learned):
    code, _, err = run("forecast", "--asset", "House lode")
    assert code == 1
    assert "House load" in err


def test_forecasts_are_exported_with_what_naive_ones_would_have_said(run, learned, tmp_path):
    path = tmp_path / "forecasts.csv"
    since = "2d"
    assert run("export", "forecasts", "--output", path, "--since", since, "--asset", LOAD)[0] == 0
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert len(rows) in (191, 192)
    last = rows[-1]
    assert last["asset"] == "House load"
    assert float(last["forecast_wh"]) == pytest.approx(0.9 * float(last["energy_wh"]))
    assert float(last["error_wh"]) == pytest.approx(-0.1 * float(last["energy_wh"]))
    assert last["forecast_by"] == "auto"
    assert last["inside_band"] == "False"
    assert float(last["yesterday_wh"]) == pytest.approx(float(last["energy_wh"]), abs=0.01)
    assert float(last["last_slot_wh"]) == pytest.approx(130, abs=0.1)


def test_slots_show_what_was_expected_beside_what_came(run, home):
    home.fill([400, 300], [0, 0])
    with home.buffer() as buffer:
        [first, *_] = [s for s in buffer.asset_slots() if str(s.asset) == LOAD]
    expected = AssetSlot(
        UUID(LOAD), first.start_s, SLOT_S, first.energy_uwh, 0, "measured", revision=1,
        forecast_uwh=90_000_000, forecast_low_uwh=1, forecast_high_uwh=2, forecast_by="auto",
    )  # fmt: skip
    with home.buffer() as buffer, buffer.database.transaction() as connection:
        connection.execute("DELETE FROM asset_slots WHERE start_s = ?", (first.start_s,))
        buffer.tables.asset_slots.write([expected])
    rows = [r for r in json.loads(run("slots", "--json")[1]) if r["asset"] == "House load"]
    assert [row["forecast_wh"] for row in rows] == [90, None]
    assert rows[0]["forecast_by"] == "auto"
    assert "90.000" in run("slots")[1]


@pytest.mark.parametrize(
    ("days", "by", "told"),
    [(9, "auto", "learning since "), (30, "auto", ""), (30, "yesterday", "sent instead")],
)
def test_slots_tell_how_far_it_is_until_that_is_no_news(run, home, days, by, told):
    path = home.folder / "gateway.yaml"
    path.write_text(path.read_text().replace("forecast: none", "forecast: auto"))
    write(home, load(days * 96, by))
    _, _, err = run("slots")
    said = [line for line in err.splitlines() if line.startswith("House load: ")]
    assert (told in said[0]) if told else (said == [])


def test_slots_say_since_when_an_asset_is_learned_that_is_not_forecast_yet(run, home):
    path = home.folder / "gateway.yaml"
    path.write_text(path.read_text().replace("forecast: none", "forecast: auto"))
    write(home, [AssetSlot(UUID(PV), newest_s(), SLOT_S, 5, 0, "measured")])
    _, _, err = run("slots")
    assert "PV: learning since " in err
    assert "House load: no slot of it has been metered yet" in err
