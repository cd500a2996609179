import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.page.words import LANGUAGES, Words, spoken, words_for

VIENNA = ZoneInfo("Europe/Vienna")
NOW_S = datetime(2026, 11, 28, 14, 32, tzinfo=VIENNA).timestamp()


def words(language: str = "en", slot_s: int = 900) -> Words:
    return words_for(language, VIENNA, NOW_S, slot_s)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "12,345.678\xa0kWh −1,979\xa0Wh 2.98\xa0kW 71\xa0%"),
        ("de", "12.345,678\xa0kWh −1.979\xa0Wh 2,98\xa0kW 71\xa0%"),
        ("nl", "12.345,678\xa0kWh −1.979\xa0Wh 2,98\xa0kW 71\xa0%"),
    ],
)
def test_numbers_have_the_marks_of_the_language(language: str, expected: str) -> None:
    said = words(language)
    told = (said.kwh(12_345_678.0, 3), said.wh(-1979.0), said.power(2984.0), said.percent(0.71))
    assert " ".join(told) == expected


def test_what_nobody_knows_is_no_zero() -> None:
    said = words()
    told = [said.wh(None), said.kwh(None), said.power(None), said.percent(None), said.clock(None)]
    assert told == ["–"] * 5


@given(st.floats(-1e7, 1e7), st.integers(0, 3))
def test_a_number_can_be_read_back(value: float, digits: int) -> None:
    for language in LANGUAGES:
        said = words(language)
        text = said.number(value, digits)
        thousands, decimal = iter(said.catalogue["number.marks"])
        plain = text.replace(thousands, "").replace(decimal, ".").replace("−", "-")
        assert float(plain) == pytest.approx(value, abs=0.51 * 10**-digits)
        assert not text.startswith(("-0", "−0.0", "−0,0")) or float(plain) != 0


def test_what_is_not_all_is_never_called_all() -> None:
    assert words().percent(0.9999) == "99\xa0%"
    assert words().percent(1.0) == "100\xa0%"


def test_power_is_in_watts_below_one_kilowatt() -> None:
    said = words()
    told = [said.power(w) for w in (0.0, 846.2, 999.4, 999.6, 2984.0, 12_345.0)]
    assert told == ["0\xa0W", "846\xa0W", "999\xa0W", "1.00\xa0kW", "2.98\xa0kW", "12.3\xa0kW"]


def test_one_and_more_have_their_words() -> None:
    assert words("en")("slots", n=1) == "1 quarter-hour"
    assert words("de")("slots", n=2580) == "2.580 Viertelstunden"
    assert words("nl")("slots", n=0) == "0 kwartieren"


def test_slots_of_another_length_are_no_quarter_hours() -> None:
    assert words("en", 15)("slots", n=2) == "2 slots"
    assert words("de", 3600)("slots", n=2) == "2 Zeitscheiben"
    assert words("nl", 60)("slots", n=1) == "1 tijdvak"
    for language in LANGUAGES:
        text = " ".join(words(language, 15).catalogue.values()).lower()
        assert not re.search(r"quarter-hour|viertelstunde|kwartier", text.partition("=")[0])


def test_times_are_local_with_24_hours_and_without_the_date_of_today() -> None:
    said = words("en")
    assert said.moment(NOW_S - 60) == "14:31"
    assert said.moment(NOW_S - 86_400) == "27\xa0Nov, 14:32"
    assert said.moment(NOW_S - 400 * 86_400) == "24\xa0Oct\xa02025, 15:32"
    assert words("de").moment(NOW_S - 86_400) == "27.\xa0Nov., 14:32"
    assert words("en", 15).clock(NOW_S + 15) == "14:32:15"


def test_an_hour_that_comes_twice_is_told_apart() -> None:
    said = words("en")
    first = datetime(2026, 10, 25, 0, 15, tzinfo=UTC).timestamp()
    assert said.clock(first) == "02:15\xa0(CEST)"
    assert said.clock(first + 3600) == "02:15\xa0(CET)"
    assert said.clock(first + 7200) == "03:15"


def test_dates_are_written_as_the_language_does() -> None:
    day = date(2026, 11, 28)
    told = [words(language).long_day(day) for language in LANGUAGES]
    assert told == [
        "Saturday, 28 November 2026",
        "Samstag, 28. November 2026",
        "zaterdag 28 november 2026",
    ]


@pytest.mark.parametrize(
    ("header", "setting", "expected"),
    [
        ("", None, "en"),
        ("de-AT,de;q=0.9,en;q=0.5", None, "de"),
        ("fr-FR, nl;q=0.4, en;q=0.3", None, "nl"),
        ("pt, ja", None, "en"),
        ("de;q=0, en", None, "en"),
        ("en;q=0.2, DE ;q=0.8", None, "de"),
        ("de", "nl", "nl"),
        ("*", None, "en"),
        ("de;q=wrong, nl;q=0.1", None, "nl"),
        (",,;;=,\0", None, "en"),
    ],
)
def test_a_page_speaks_what_the_browser_asks_for(
    header: str, setting: str | None, expected: str
) -> None:
    assert spoken(header, setting) == expected


def test_durations_are_told_in_their_largest_unit() -> None:
    said = words("en")
    told = [said.duration(seconds) for seconds in (1, 10, 100, 3 * 3600, 5 * 86_400)]
    assert told == ["1 second", "10 seconds", "2 minutes", "3 hours", "5 days"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("silent since 12:57:50Z (no reply in 1 s)", "silent since 13:57:50 (no reply in 1 s)"),
        (
            "refuses everything since 2026-11-27 23:05:00Z: no",
            "refuses everything since 00:05:00: no",
        ),
        ("slot 2026-11-27T08:15Z", "slot 27\xa0Nov, 09:15"),
        ("since 23:50:00Z", "since 00:50:00"),
        ("until 14:00:00Z", "until 15:00:00"),
        ("99:99:99Z, 2026-13-01 00:00:00Z, 12:00:00", "99:99:99Z, 2026-13-01 00:00:00Z, 12:00:00"),
    ],
)
def test_what_was_noted_has_the_time_of_the_site(text: str, expected: str) -> None:
    assert words().told(text, NOW_S) == expected
