"""All pages, of all answers: well-formed, whole, and in every language."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from gateway.history.answers import Sums
from gateway.page.banners import PROBLEMS
from gateway.page.energy import column_total
from gateway.page.frame import Reader
from gateway.page.markup import Markup
from gateway.page.pages import (
    days,
    events,
    exchange,
    help,
    meter,
    meters,
    months,
    notice,
    now,
    slot,
)
from gateway.page.words import LANGUAGES, words_for
from tests.gateway.page import sample_answers as sample
from tests.gateway.page.html import Shown

ZONE = ZoneInfo(sample.ZONE)


def reader(language: str = "en", **changes: object) -> Reader:
    about: dict[str, object] = {
        "words": words_for(language, ZONE, sample.NOW_S),
        "root": "../",
        "site": "Our house",
        "version": "0.1.0",
        "style": "static/a.css",
        "script": "static/a.js",
    }
    return Reader(**{**about, **changes})  # type: ignore[arg-type]  of a test


PAGES: Mapping[str, Callable[[Reader], Markup]] = {
    "now": lambda r: now.render(r, sample.now(), sample.day()),
    "silent": lambda r: now.render(r, sample.silent(), sample.day()),
    "starting": lambda r: now.render(r, sample.starting(), None),
    "empty": lambda r: now.render(r, sample.empty(), None),
    "thirty": lambda r: now.render(r, sample.thirty(), None),
    "day": lambda r: days.render(r, sample.whole_day()),
    "asset": lambda r: days.render(r, sample.whole_day(), sample.HOUSE),
    "no assets": lambda r: days.render(r, sample.day(assets=[])),
    "nothing": lambda r: days.render(r, sample.day(assets=[], meters=[], sums=Sums())),
    "month": lambda r: months.render(r, sample.month()),
    "empty month": lambda r: months.render(r, replace(sample.month(), days=[], sums=Sums())),
    "slot": lambda r: slot.render(r, sample.slot()),
    "unknown slot": lambda r: slot.render(
        r,
        replace(
            sample.slot(),
            energy_wh=None,
            uncertainty_wh=None,
            quality="missing",
            terms=[],
            power=[],
            deliveries=[],
            events=[],
            formula="",
        ),
    ),
    "meters": lambda r: meters.render(r, sample.meters()),
    "no meters": lambda r: meters.render(r, []),
    "meter": lambda r: meter.render(r, sample.meter_story()),
    "exchange": lambda r: exchange.render(r, sample.exchange()),
    "no exchange": lambda r: exchange.render(r, replace(sample.exchange(), destinations=[])),
    "events": lambda r: events.render(r, sample.events(), "pv"),
    "no events": lambda r: events.render(r, replace(sample.events(), events=[], older=None)),
    "help": lambda r: help.render(r) or Markup(),
    "login": lambda r: notice.login(r, problem="no"),
    "notice": lambda r: notice.render(r, "There is no such page", "Nothing is kept of that."),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_formed_and_whole(name: str, language: str) -> None:
    html = PAGES[name](reader(language, problems=[sample.PV_SILENT]))
    seen = Shown(html)
    tags = [tag for tag, _ in seen.elements]
    assert tags.count("h1") == 1
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert ("html", {"lang": language}) in seen.elements
    ids = [has["id"] for _, has in seen.elements if "id" in has]
    assert len(ids) == len(set(ids))
    for tag, has in seen.elements:
        assert "style" not in has, "the policy forbids it"
        assert not any(key.startswith("on") for key in has)
        if tag == "svg" and has.get("role") == "img":
            assert has["aria-label"]
        for key in ("href", "src", "action"):
            away = re.match(r"[a-z]+:|/", has.get(key) or "")
            assert not away or tag == "link", "all is relative"
    assert not re.search(r"\b(None|nan|inf)\b|\{\w*\}", seen.text)
    labels = {label for _, has in seen.elements if (label := has.get("aria-labelledby"))}
    assert labels <= set(ids)


LONG = "<b>" + "Ä€" * 97 + "</b>"


def test_names_with_markup_and_of_200_characters_stay_text() -> None:
    sun = replace(sample.NODES[0], title=LONG)
    made = sample.now(nodes=[sun, *sample.NODES[1:]])
    column = replace(sample.day().assets[0], title=LONG)
    one = sample.day(assets=[column])
    named = replace(sample.meters()[0], title=LONG, serial_number=LONG, last_error=LONG)
    refused = replace(sample.destination().refused[0], reason=LONG, title=LONG)
    to = sample.destination(refused=[refused])
    pages = [
        now.render(reader(site=LONG), made, one),
        days.render(reader(), one, column.id),
        meters.render(reader(), [named]),
        meter.render(reader(), replace(sample.meter_story(), meter=named)),
        slot.render(reader(), replace(sample.slot(), title=LONG, formula=LONG)),
        exchange.render(reader(), replace(sample.exchange(), destinations=[to])),
    ]
    for page in pages:
        seen = Shown(page)
        assert "<b>ÄĀ" not in page
        assert not any(tag == "b" for tag, _ in seen.elements)
        assert "Ä€Ä€" in seen.text


@pytest.mark.parametrize("slots", [92, 96, 100])
def test_the_table_has_a_row_for_each_slot_and_sums_as_the_chart_says(slots: int) -> None:
    day = sample.day(slots=slots, closed=slots)
    page = days.render(reader(), day)
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert body.count("<tr>") == slots
    said = reader().words
    foot = Shown(page.partition("<tfoot>")[2].partition("</tfoot>")[0]).text
    for column in day.assets:
        assert said.kwh(column_total(column), 3) in foot
        chart = days.render(reader(), day, column.id)
        assert f"{column.title}: {said.kwh(column_total(column), 3)}" in Shown(chart).text
    note = {92: "it has 92 quarter-hours", 96: "", 100: "it has 100 quarter-hours"}[slots]
    assert note in Shown(page).text
    assert ("Clocks went" in page) == bool(note)


def test_a_stale_value_is_in_nothing_that_is_called_now() -> None:
    for page in (
        now.render(reader(), sample.silent(), None),
        meters.render(reader(), sample.meters()),
    ):
        for piece in re.findall(r'<(?:g|p) class="[^"]*\bnow\b.*?</(?:g|p)>', page):
            assert "1.98" not in piece
        assert "was 1.98\xa0kW at 13:50" in Shown(page).text


def test_a_day_of_short_slots_is_shown_in_parts() -> None:
    day = sample.day(slots=5760, closed=400)
    day = replace(day, slot_s=15)
    page = days.render(reader(), day)
    assert page.partition("<tbody>")[2].partition("</tbody>")[0].count("<tr>") == 96
    assert f"?until={day.start_s + 304 * 15}" in page


def test_a_day_of_short_slots_begins_where_something_is_known() -> None:
    day = replace(sample.day(slots=5760, closed=400), slot_s=15)
    columns = [
        replace(each, quality="." * 390 + each.quality[390:]) for each in (*day.assets, *day.meters)
    ]
    page = days.render(reader(), replace(day, assets=columns[:2], meters=columns[2:]))
    assert page.partition("<tbody>")[2].partition("</tbody>")[0].count("<tr>") == 10
    assert "?until=" not in page


def test_a_slot_tells_registers_samples_deliveries_and_answers_word_for_word() -> None:
    text = Shown(slot.render(reader(), sample.slot())).text.replace("\xa0", " ")
    for expected in (
        "Why is it 312 Wh?",
        "House load used 312 ± 2 Wh between 14:15 and 14:30.",
        "400 Wh came from the sun",
        "12,345.670 kWh",
        "90 of 90 samples",
        "longest gap 10 seconds",
        "No answer 14:19:50–14:23:40.",
        "grid.import - grid.export + pv.export",
        "sent 14:30:01 · accepted 14:30:01 (0.4 s)",
        "asked again at 14:46: it has the same number",
        "200 OK: 1 measurement stored",
        "correction 1",
        "503 Service Unavailable",
    ):
        assert expected in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("topic", [*PROBLEMS, *help.TOPICS])
def test_every_page_of_help_is_there(topic: str, language: str) -> None:
    page = help.render(reader(language, contact="Ada <0660>"), topic)
    assert page is not None
    assert "Ada <0660>" in Shown(page).text


def test_there_is_no_page_of_help_about_nothing() -> None:
    assert help.render(reader(), "nothing") is None
    assert help.render(reader(), "../../etc/passwd") is None
