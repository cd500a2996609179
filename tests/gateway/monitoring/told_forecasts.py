"""A report in which one asset is forecast by what was learned, and one by yesterday's."""

from msgspec.structs import replace

from gateway.monitoring.report import (
    ForecastErrors,
    ForecastReport,
    ForecastSlot,
    Report,
    SentErrors,
)


def with_forecasts(report: Report) -> Report:
    """Of a report of two assets."""
    length_s = report.slot_length_s
    runs_s = int(report.now_s) // length_s * length_s
    runs = ForecastSlot(start_s=runs_s, energy_wh=180, low_wh=120, high_wh=260, by="auto")
    next_s = runs_s + length_s
    comes = replace(runs, start_s=next_s, energy_wh=191.5, low_wh=130, high_wh=280)
    learned = ForecastReport(
        method="auto",
        by="auto",
        since_s=runs_s - 10 * 86_400,
        words="learning since 5 June",
        sends="sums within 5 %",
        upcoming=[runs, comes],
        last=ForecastSlot(
            start_s=runs_s - length_s, energy_wh=165, low_wh=110, high_wh=240, by="auto"
        ),
        last_energy_wh=172.75,
        errors=[errors(1, 96), errors(7, 672), errors(28, 863)],
    )
    words = "learning since 5 June; was worse for 14 days than yesterday's, which is sent instead"
    replaced = ForecastReport(
        method="auto", by="yesterday", since_s=learned.since_s, words=words, errors=[errors(1, 0)]
    )
    load, pv = report.assets
    return replace(report, assets=[replace(load, forecast=learned), replace(pv, forecast=replaced)])


def errors(days: int, slots: int) -> ForecastErrors:
    """None were judged where there are no slots."""
    if not slots:
        nothing: dict[str, float | None] = dict.fromkeys(("last_slot", "yesterday", "last_week"))
        return ForecastErrors(days=days, naive_mean_error_wh=nothing)
    return ForecastErrors(
        days=days,
        slots=slots,
        mean_error_wh=28.4,
        naive_mean_error_wh={"last_slot": 43.5, "yesterday": 42.4, "last_week": 44.2},
        best_naive="yesterday",
        inside_band=0.81,
        sums_off_by=-0.14,
        sent=SentErrors(
            slots=slots,
            mean_error_wh=29.8,
            median_mean_error_wh=28.6,
            sums_off_by=-0.01,
            median_sums_off_by=-0.13,
        ),
    )
