"""What the status says of forecasts: what is expected, and how far what was expected was off."""

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from typing import Protocol
from uuid import UUID

from gateway.energy.counter import UWH_PER_WH
from gateway.energy.forecast import Learned, Method, Score, score, used_method
from gateway.energy.forecast_errors import Chosen
from gateway.energy.forecast_words import TOLD_DAYS, share_words, words
from gateway.energy.slot import KNOWN, AssetSlot, ForecastBy
from gateway.monitoring.report import ForecastErrors, ForecastReport, ForecastSlot, SentErrors
from gateway.outbox.foreseen import Said
from gateway.outbox.quantiles import Share


class Forecaster(Protocol):
    """One asset, and how far it has been learned."""

    @property
    def method(self) -> Method:
        """How it is forecast by gateway.yaml."""

    @property
    def learned(self) -> Learned:
        """What is known of it, but for its newest slot."""

    @property
    def newest(self) -> AssetSlot | None:
        """Its newest slot."""

    @property
    def standing(self) -> Mapping[int, Said]:
        """What is expected of slots that have not closed, by their starts."""

    @property
    def is_behind(self) -> bool:
        """Whether it has not seen all slots yet."""


class Forecasts(Protocol):
    """All that are forecast."""

    @property
    def chosen(self) -> Mapping[UUID, tuple[str, Share]]:
        """Of assets of which another quantile than the median is sent: to whom, and which."""

    @property
    def forecasters(self) -> Mapping[UUID, Forecaster]:
        """By asset; one that nobody wants to have forecast is not there."""


def forecast_report(
    forecaster: Forecaster | None,
    slot_s: int,
    now_s: float,
    zone: tzinfo,
    sends: str = "",
    sent: Callable[[int], Chosen | None] = lambda _: None,
) -> ForecastReport:
    """How it is with one asset's forecasts. `zone` is the site's. `sends`: what is sent in place
    of the median; `sent`: how far that was off over so many days.
    """
    if forecaster is None:
        return ForecastReport(method="none", words=words("none", "", None, now_s, zone))

    if forecaster.is_behind:  # what it has come to so far is of days long ago
        told = "being learned from the slots that are kept"
        return ForecastReport(method=forecaster.method, words=told)

    learned, newest = forecaster.learned, forecaster.newest
    by = _by(forecaster)
    since_s = learned.since_s
    if since_s is None and newest is not None and newest.quality in KNOWN:
        since_s = newest.start_s
    told = words(forecaster.method, by, since_s, now_s, zone)
    return ForecastReport(
        method=forecaster.method,
        by=by,
        since_s=since_s,
        words=told,
        sends=sends,
        upcoming=[
            _slot(start_s, said)
            for start_s, said in sorted(forecaster.standing.items())
            if start_s + slot_s > now_s
        ],
        last=_last(newest),
        last_energy_wh=_wh(newest.energy_uwh) if newest and newest.quality in KNOWN else None,
        errors=[_errors(score(learned, days), days, sent(days)) for days in TOLD_DAYS],
    )


def _by(forecaster: Forecaster) -> ForecastBy:
    """How what is expected now came about; empty where nothing is."""
    if not forecaster.standing:
        return ""
    method = forecaster.method
    by = used_method(forecaster.learned) if method == "auto" else method
    return "" if by == "none" else by


def _slot(start_s: int, said: Said) -> ForecastSlot:
    return ForecastSlot(
        start_s=start_s,
        energy_wh=said.energy_uwh / UWH_PER_WH,
        low_wh=_wh(said.low_uwh),
        high_wh=_wh(said.high_uwh),
        by=said.by,
    )


def _last(slot: AssetSlot | None) -> ForecastSlot | None:
    if slot is None or slot.forecast_uwh is None:
        return None
    said = Said(slot.forecast_uwh, slot.forecast_low_uwh, slot.forecast_high_uwh, slot.forecast_by)
    return _slot(slot.start_s, said)


def _errors(found: Score, days: int, sent: Chosen | None) -> ForecastErrors:
    return ForecastErrors(
        days=days,
        slots=found.slots,
        mean_error_wh=_wh(found.mae_uwh),
        naive_mean_error_wh={name: _wh(uwh) for name, uwh in found.naive_mae_uwh.items()},
        best_naive=found.best_naive or "",
        inside_band=found.inside,
        sums_off_by=found.bias,
        sent=_sent(sent),
    )


def _sent(found: Chosen | None) -> SentErrors | None:
    if found is None or found.mae_uwh is None or found.median_mae_uwh is None:
        return None
    return SentErrors(
        slots=found.slots,
        mean_error_wh=found.mae_uwh / UWH_PER_WH,
        median_mean_error_wh=found.median_mae_uwh / UWH_PER_WH,
        sums_off_by=found.bias,
        median_sums_off_by=found.median_bias,
    )


def _wh(energy_uwh: float | None) -> float | None:
    return None if energy_uwh is None else energy_uwh / UWH_PER_WH


def forecast_reports(
    forecasts: Forecasts | None,
    assets: Sequence[UUID],
    slot_s: int,
    now_s: float,
    zone: tzinfo,
    sent: Callable[[UUID, int], Chosen | None] = lambda *_: None,
) -> Mapping[UUID, ForecastReport]:
    """Of each asset; nothing where nothing forecasts. `sent`: as for one, of each."""
    if forecasts is None:
        return {}
    known, chosen = forecasts.forecasters, forecasts.chosen
    return {
        asset: forecast_report(
            known.get(asset),
            slot_s,
            now_s,
            zone,
            share_words(chosen[asset][1]) if asset in chosen else "",
            partial(sent, asset),
        )
        for asset in assets
    }
