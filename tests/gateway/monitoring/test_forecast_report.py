"""What the status says of forecasts, from what was learned."""

from dataclasses import dataclass, field, replace
from datetime import UTC
from uuid import UUID

import msgspec.structs
import pytest

from gateway.energy.forecast import Learned, Method, Rules, begin, score, update
from gateway.energy.forecast_errors import Chosen
from gateway.energy.forecast_words import TOLD_DAYS
from gateway.energy.slot import AssetSlot
from gateway.monitoring.forecast_report import forecast_report, forecast_reports
from gateway.outbox.foreseen import Said
from gateway.outbox.quantiles import Share

ASSET, OTHER = UUID(int=1), UUID(int=2)
SLOT_S, DAY_S = 900, 86_400
START_S = 20_000 * DAY_S
RULES = Rules(SLOT_S, "load", "a", lambda _: 0)


@dataclass
class Forecaster:
    """As the ledger's."""

    learned: Learned
    newest: AssetSlot | None = None
    standing: dict[int, Said] = field(default_factory=dict)
    method: Method = "auto"
    is_behind: bool = False


@dataclass
class Forecasts:
    """As the ledger's."""

    forecasters: dict[UUID, Forecaster]
    chosen: dict[UUID, tuple[str, Share]] = field(default_factory=dict)


def slot(number: int, energy_uwh: int) -> AssetSlot:
    return AssetSlot(ASSET, START_S + number * SLOT_S, SLOT_S, energy_uwh, None, "measured")


def after(days: float) -> Forecaster:
    """All but the newest slot is learned."""
    learned = begin(RULES)
    count = int(days * 96)
    for number in range(count - 1):
        learned = update(learned, slot(number, 1_000_000 * (20 + number * 7919 % 41)), RULES)
    newest = msgspec.structs.replace(
        slot(count - 1, 30_000_000), forecast_uwh=25_000_000, forecast_low_uwh=10_000_000,
        forecast_high_uwh=50_000_000, forecast_by="auto",
    )  # fmt: skip
    standing = {
        START_S + (count - 1) * SLOT_S: Said(1, 1, 1, "auto"),
        START_S + count * SLOT_S: Said(26_000_000, 11_000_000, 51_000_000, "auto"),
        START_S + (count + 1) * SLOT_S: Said(27_000_000, None, None, "auto"),
    }
    return Forecaster(learned, newest, standing)


def now_s(days: float) -> float:
    return START_S + days * DAY_S + 60


def test_the_next_slots_the_last_one_and_the_errors_are_told() -> None:
    forecaster = after(3)
    told = forecast_report(forecaster, SLOT_S, now_s(3), UTC)
    assert (told.method, told.by, told.since_s) == ("auto", "auto", START_S)
    assert told.words.startswith("learning since ")
    runs, comes = told.upcoming
    assert (runs.start_s, runs.energy_wh, runs.low_wh, runs.high_wh) == (
        START_S + 3 * DAY_S, 26.0, 11.0, 51.0,
    )  # fmt: skip
    assert told.next_slot(now_s(3)) == comes
    assert comes.low_wh is None
    assert told.last is not None
    assert (told.last.energy_wh, told.last_energy_wh) == (25.0, 30.0)
    for days, errors in zip(TOLD_DAYS, told.errors, strict=True):
        found = score(forecaster.learned, days)
        assert (errors.days, errors.slots) == (days, found.slots)
        assert errors.mean_error_wh == (found.mae_uwh or 0) / 1e6
        assert errors.best_naive == found.best_naive
        assert errors.inside_band == found.inside
    assert told.errors[0].slots


def test_on_the_first_day_it_says_since_when_and_claims_no_error() -> None:
    told = forecast_report(after(0.1), SLOT_S, now_s(0.1), UTC)
    assert told.words == "learning since 00:00 today"
    assert [errors.mean_error_wh for errors in told.errors] == [None, None, None]


def test_the_very_first_slot_counts_before_it_is_learned() -> None:
    first = Forecaster(begin(RULES), slot(0, 5))
    told = forecast_report(first, SLOT_S, now_s(0), UTC)
    assert told.since_s == START_S
    assert told.by == ""
    assert "nothing was expected of its newest slot yet" in told.words


def test_while_it_catches_up_nothing_of_long_ago_is_shown_as_news() -> None:
    told = forecast_report(replace(after(3), is_behind=True), SLOT_S, now_s(90), UTC)
    assert told.words == "being learned from the slots that are kept"
    assert (told.last, told.upcoming, told.errors) == (None, [], [])


def test_that_a_naive_one_is_sent_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.monitoring.forecast_report.used_method", lambda _: "last_week")
    told = forecast_report(after(3), SLOT_S, now_s(3), UTC)
    assert told.by == "last_week"
    assert told.is_replaced
    assert told.words.endswith("was worse for 14 days than last week's, which is sent instead")


def test_an_asset_that_nobody_wants_forecast_says_why() -> None:
    found = forecast_reports(Forecasts({ASSET: after(1)}), [ASSET, OTHER], SLOT_S, now_s(1), UTC)
    assert found[ASSET].method == "auto"
    assert found[OTHER].words == "not forecast: gateway.yaml says forecast: none"
    assert forecast_reports(None, [ASSET], SLOT_S, now_s(1), UTC) == {}


def test_what_is_sent_in_place_of_the_median_is_told_beside_it() -> None:
    def sent(asset: UUID, days: int) -> Chosen | None:
        assert asset == ASSET
        return Chosen(10, 40_000_000, 30_000_000, 99_000_000, 80_000_000, 100_000_000 * days)

    forecasts = Forecasts({ASSET: after(1)}, {ASSET: ("exchange", "sums")})
    told = forecast_reports(forecasts, [ASSET], SLOT_S, now_s(1), UTC, sent)[ASSET]
    assert told.sends == "sums within 5 %"
    of_day = told.errors[0].sent
    assert of_day is not None
    assert (of_day.slots, of_day.mean_error_wh, of_day.median_mean_error_wh) == (10, 4.0, 3.0)
    assert of_day.sums_off_by == pytest.approx(-0.01)
    assert of_day.median_sums_off_by == pytest.approx(-0.2)
