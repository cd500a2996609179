"""`meter-gateway fees`: a tariff file at a desk, and models side by side over past slots."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pytest

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "grid-operator"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with tariff files and a day's history, and no configuration."""
    for name in ("tou.csv", "aziiz.json"):
        shutil.copy(EXAMPLE / name, tmp_path)
    rows = ["slot_utc,market,import_kwh,export_kwh,traded_kwh,revenue_cents,load_kwh,fee"]
    for n in range(96):
        kwh = 40 if 68 <= n < 84 else 5
        for market in ("Grid", "Community"):
            at = f"2026-11-28T{n // 4:02}:{n % 4 * 15:02}Z"
            rows.append(f"{at},{market},{kwh},0,{kwh},{kwh * 2},{kwh},2")
    (tmp_path / "history.csv").write_text("\n".join(rows))
    (tmp_path / "other.csv").write_text(f"{rows[0]}\n{rows[1].replace('Grid', 'Else')}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_tariff_file_is_shown_with_its_fees_over_the_day(desk, run):
    code, out, err = run("--config", str(desk), "fees", "test", "time_of_use", "tou.csv")
    assert (code, err) == (0, "")
    assert "tou.csv: no mistakes. 2 markets, 96 quarters of an hour." in out
    assert "4.2 ct/kWh" in out


@pytest.mark.parametrize(
    ("day", "count", "first"),
    [("2026-03-29", 92, "03-28 23:00"), ("2026-10-25", 100, "10-24 22:00")],
)
def test_a_day_on_which_summer_time_begins_or_ends_is_shown_as_it_is(desk, run, day, count, first):
    words = ["--times", "local", "--timezone", "Europe/Berlin", "--day", day]
    code, out, _ = run("fees", "test", "time_of_use", "tou.csv", *words)
    assert code == 0
    assert f"{day} in Europe/Berlin has {count} quarters of an hour" in out
    assert f"{first}   {day[5:]} 00:00" in out


SPRING = [*range(8), *range(12, 96)]
AUTUMN = [*range(12), *range(8, 96)]
LORD_HOWE = [*range(8), *range(6, 96)]
UTC_SPRING = [*range(92, 96), *range(88)]
UTC_AUTUMN = [*range(88, 96), *range(92)]


@pytest.mark.parametrize(
    ("times", "day", "zone", "quarters", "told"),
    [
        ("local", "2026-03-29", "Europe/Berlin", SPRING, "02:00 to 03:00 is not there on that day"),
        ("local", "2026-10-25", "Europe/Berlin", AUTUMN, "02:00 to 03:00 comes twice on that day"),
        ("local", "2026-04-05", "Australia/Lord_Howe", LORD_HOWE, "01:30 to 02:00 comes twice"),
        ("local", "2018-11-04", "America/Sao_Paulo", [*range(4, 96)], "00:00 to 01:00 is not"),
        ("local", "2026-03-30", "Europe/Berlin", [*range(96)], ""),
        ("utc", "2026-03-29", "Europe/Berlin", UTC_SPRING, ""),
        ("utc", "2026-10-25", "Europe/Berlin", UTC_AUTUMN, ""),
    ],
)
def test_each_quarter_of_a_day_of_23_or_25_hours_has_the_fee_of_its_time(
    desk, run, times, day, zone, quarters, told
):
    rows = (f"{q // 4:02}:{q % 4 * 15:02};{q}" for q in range(96))
    (desk / "each.csv").write_text("\n".join(("Time;Grid", *rows)))
    words = ["--times", times, "--timezone", zone, "--day", day]
    code, out, err = run("fees", "test", "time_of_use", "each.csv", *words)
    assert code == 0
    shown = [line.split()[-2] for line in out.splitlines() if line.endswith("ct/kWh ")]
    assert shown == [str(quarter) for quarter in quarters]
    assert err == "" if not told else told in err


def test_thresholds_are_shown(desk, run):
    code, out, _ = run("fees", "test", "aziiz", "aziiz.json", "--fee-type", "percent")
    assert code == 0
    assert "up to 25 kWh" in out
    assert "2.4 %" in out


def test_every_mistake_of_a_file_is_told(desk, run):
    text = (desk / "tou.csv").read_text().replace("07:15:00;1,20", "07:15:00;dear")
    (desk / "tou.csv").write_text(text.replace("08:00:00;", "08:01;"))
    code, out, _ = run("fees", "test", "time_of_use", "tou.csv")
    assert code == 1
    assert "tou.csv:31: column 2: 'dear' is no number" in out
    assert "tou.csv:34: column 1: 08:01 begins no quarter of an hour" in out
    assert "2 mistakes in tou.csv" in out


def test_a_spreadsheet_s_mistake_is_told_with_its_cell(desk, run):
    book = openpyxl.Workbook()
    book.active.title = "Grid"
    for row in (["Threshold", "Grid fee"], [10, "0.9"], [5, 2]):
        book.active.append(row)
    book.save(desk / "Aziiz.xlsx")
    code, out, _ = run("fees", "test", "aziiz", "Aziiz.xlsx")
    assert code == 1
    assert "Aziiz.xlsx: Grid!A3: 5 kWh is not more than the one before it, 10 kWh" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("test", "feeder", "x.csv"), "feeder has no file"),
        (("test", "time_of_day", "x.csv"), "did you mean 'time_of_use'?"),
        (("--simulate", "history.csv", "--model", "fixed"), "write KIND=WHAT"),
        (("--simulate", "history.csv", "--model", "fixed=3,x"), "'3,x' is no number"),
        (("--simulate", "history.csv", "--model", "feeder=3"), "as gateway.yaml has it"),
        (("--simulate", "history.csv", "--model", "fixed=3", "--lowest", "nan"), "not a finite"),
        (
            (
                "--simulate",
                "history.csv",
                "--model",
                "fixed=3",
                "--highest",
                "4",
                "--fallback",
                "5",
            ),
            "fallback 5 ct/kWh is not within the bounds",
        ),
        (("--simulate", "history.csv", "--model", "aziiz=no.json"), "no.json: cannot be read"),
        (("--simulate", "history.csv"), "name some with --model"),
        (
            ("--simulate", "other.csv", "--model", "aziiz=aziiz.json"),
            "has anything for the markets",
        ),
    ],
)
def test_what_cannot_be_done_is_told(desk, run, words, told):
    code, _, err = run("--config", str(desk), "fees", *words)
    assert code == 1
    assert told in err


def test_models_are_replayed_side_by_side_with_their_money(desk, run):
    words = ["--model", "fixed=3", "--model", "aziiz:peak=aziiz.json", "--json"]
    code, out, err = run("fees", "--simulate", "history.csv", *words)
    found = {(row["model"], row["market"]): row for row in json.loads(out)}
    assert code == 0
    assert found["fixed=3", "Grid"]["cents"] == 3 * (80 * 5 + 16 * 40)
    assert found["fixed=3", "Grid"]["cents_told"] == 2 * (80 * 5 + 16 * 40)
    aziiz = found["aziiz:peak=aziiz.json", "Grid"]
    assert (aziiz["lowest_fee"], aziiz["highest_fee"], aziiz["changes"]) == (0, 6, 3)
    assert ("aziiz:peak=aziiz.json", "Community") not in found
    assert "note: aziiz:peak=aziiz.json has nothing for the market Community" in err


def test_the_configured_models_are_replayed_and_each_kind_beside_them(desk, run):
    folder = desk / "station"
    shutil.copytree(EXAMPLE, folder)
    code, out, _ = run("--config", str(folder), "fees", "--simulate", "history.csv", "--json")
    found = {(row["model"], row["market"]): row for row in json.loads(out)}
    assert code == 0
    assert {label for label, _ in found} == {"as configured", "aziiz", "feeder", "time_of_use"}
    assert found["as configured", "Grid"] | {"model": "aziiz"} == found["aziiz", "Grid"]
    feeder = found["as configured", "Community"]
    assert (feeder["lowest_fee"], feeder["highest_fee"]) == (1, 3)


def test_of_two_models_of_a_kind_each_is_replayed_in_its_own_market(desk, run):
    folder = desk / "station"
    shutil.copytree(EXAMPLE, folder)
    other = (folder / "aziiz.json").read_text().replace('"Grid":', '"Community":')
    (folder / "other.json").write_text(other.replace("0.9", "0.1"))
    text = (folder / "gateway.yaml").read_text()
    begin, end = text.index("    Community:"), text.index("  lowest:")
    own = "    Community: {kind: aziiz, file: other.json}\n\n"
    (folder / "gateway.yaml").write_text(text[:begin] + own + text[end:])
    code, out, _ = run("--config", str(folder), "fees", "--simulate", "history.csv", "--json")
    found = {(row["model"], row["market"]): row for row in json.loads(out)}
    assert code == 0
    for market in ("Grid", "Community"):
        assert found["aziiz", market] == found["as configured", market] | {"model": "aziiz"}
    assert found["aziiz", "Community"]["lowest_fee"] == 0.1


class Pictures(HTMLParser):
    """What of a page is outside of it, and what runs in it."""

    def __init__(self):
        super().__init__()
        self.tags, self.links = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_plot_is_one_file_that_needs_nothing_else(desk, run):
    text = (desk / "history.csv").read_text().replace(",Grid,", ",<Grid & Co>,")
    (desk / "history.csv").write_text(text)
    words = ["--model", "fixed=3", "--model", "time_of_use=tou.csv", "--plot", "fees.html"]
    code, _, _ = run("fees", "--simulate", "history.csv", *words, "--slots", "slots.csv")
    page = (desk / "fees.html").read_text()
    pictures = Pictures()
    pictures.feed(page)
    assert code == 0
    assert "svg" in pictures.tags
    assert "script" not in pictures.tags
    assert pictures.links == []
    assert "<h2>&lt;Grid &amp; Co&gt;</h2>" in page
    for svg in page.split("<svg")[1:]:
        ElementTree.fromstring(f"<svg{svg.partition('</svg>')[0]}</svg>")
    assert len((desk / "slots.csv").read_text().splitlines()) == 1 + 3 * 96


def test_a_file_that_is_there_is_not_replaced_unless_told(desk, run):
    (desk / "fees.html").write_text("mine")
    words = ["fees", "--simulate", "history.csv", "--model", "fixed=3", "--plot", "fees.html"]
    code, _, err = run(*words)
    assert (code, (desk / "fees.html").read_text()) == (1, "mine")
    assert "--force" in err
    assert run(*words, "--force")[0] == 0


def test_a_history_s_mistakes_are_told(desk, run):
    text = (desk / "history.csv").read_text().replace("T01:00Z,Grid,5", "T01:00Z,Grid,lots")
    (desk / "history.csv").write_text(text)
    code, out, _ = run("fees", "--simulate", "history.csv", "--model", "fixed=3")
    assert code == 1
    assert "history.csv:10: import_kwh: 'lots' is no number" in out
