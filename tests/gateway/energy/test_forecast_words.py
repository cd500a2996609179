"""How forecasts are told to a person."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.energy.forecast import Method
from gateway.energy.forecast_words import (
    cost_words,
    off_words,
    sent_words,
    share_words,
    since_words,
    words,
)
from gateway.energy.slot import ForecastBy

BERLIN = ZoneInfo("Europe/Berlin")
TODAY = "learning since 14:00 today"
NOW_S = datetime(2026, 3, 29, 12, 0, tzinfo=UTC).timestamp()  # a Sunday; summer time began


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("2026-03-29T07:30", "learning since 09:30 today"),
        ("2026-03-24T23:30", "learning since Wednesday"),  # by the site's clocks
        ("2026-03-24T12:00", "learning since Tuesday"),
        ("2026-03-20T12:00", "learning since 20 March"),
        ("2026-02-01T12:00", "learned since 1 February"),
        ("2025-12-24T12:00", "learned since 24 December 2025"),
    ],
)
def test_since_when_it_is_learned(since: str, expected: str) -> None:
    at_s = datetime.fromisoformat(since).replace(tzinfo=UTC).timestamp()
    assert since_words(at_s, NOW_S, BERLIN) == expected


@pytest.mark.parametrize(
    ("method", "by", "since_s", "expected"),
    [
        ("none", "", NOW_S, "not forecast: gateway.yaml says forecast: none"),
        ("auto", "", None, "no slot of it has been metered yet"),
        ("auto", "", NOW_S, f"{TODAY}; nothing was expected of its newest slot yet"),
        ("auto", "auto", NOW_S, TODAY),
        ("yesterday", "yesterday", NOW_S, "yesterday's, as gateway.yaml says"),
    ],
)  # fmt: skip
def test_how_far_it_is(method: Method, by: ForecastBy, since_s: float, expected: str) -> None:
    assert words(method, by, since_s, NOW_S, BERLIN) == expected


def test_that_a_naive_one_is_sent_instead_is_said() -> None:
    told = words("auto", "last_week", NOW_S - 30 * 86_400, NOW_S, BERLIN)
    assert told.endswith("was worse for 14 days than last week's, which is sent instead")


@pytest.mark.parametrize(
    ("off", "expected"),
    [(0.004, "right"), (-0.004, "right"), (-0.14, "14 % low"), (0.05, "5 % high")],
)
def test_by_how_much_sums_are_off(off: float, expected: str) -> None:
    assert off_words(off) == expected


@pytest.mark.parametrize(
    ("sent", "median", "expected"),
    [
        (None, 1.0, ""),
        (1.03, 1.0, "3 % more"),
        (0.9, 1.0, "10 % less"),
        (1.001, 1.0, "no more"),
        (0.0, 0.0, "no more"),
        (2.0, 0.0, "more"),
    ],
)
def test_what_another_quantile_costs(
    sent: float | None, median: float | None, expected: str
) -> None:
    assert cost_words(sent, median) == expected


def test_what_is_sent_in_place_of_the_median_is_told_with_its_cost() -> None:
    assert share_words("sums") == "sums within 5 %"
    assert share_words(0.6) == "the 60 % quantile"
    assert share_words(18 / 22) == "the 81.8 % quantile"
    told = sent_words("sums within 5 %", "7 days", 672, (31.2, 30.0), (-0.01, -0.14))
    assert told == (
        "sent is sums within 5 %: over 7 days (672 slots) mean error 31.20 Wh, sum 1 % low; the "
        "median's would have been 30.00 Wh, sum 14 % low: it costs 4 % more"
    )
    assert "is told once" in sent_words("sums within 5 %")
