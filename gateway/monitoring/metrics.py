"""A report as Prometheus reads it: text exposition format 0.0.4, written by hand (prometheus_client
would cost 2.8 MB). Pure.

Names follow Prometheus's practice: base units, spelled out and plural, at the end; `_total` on what
only counts up; points in time as Unix timestamps, so that ages are right whenever the scrape is.
One departure: energy is in watt-hours, as the meter, the market and the bill have it, not in
joules.
"""

from collections.abc import Iterator, Mapping
from math import inf, isnan
from typing import Literal

import msgspec

from gateway.monitoring.report import (
    AssetReport,
    BufferReport,
    DestinationReport,
    ForecastReport,
    GridOperatorReport,
    LineReport,
    MeterReport,
    Part,
    Report,
    SentErrors,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_UNITS = {
    "wh": "watt_hours",
    "varh": "volt_ampere_reactive_hours",
    "vah": "volt_ampere_hours",
    "w": "watts",
    "va": "volt_amperes",
    "var": "volt_amperes_reactive",
    "v": "volts",
    "a": "amperes",
    "hz": "hertz",
    "m3": "cubic_meters",
    "gj": "gigajoules",
}
"""Units as they end the names of quantities (see drivers/sample.py), and as Prometheus spells them.
"""

_REGISTERS = ("_wh", "_varh", "_vah", "_m3", "_gj")
"""Quantities that only count up."""


class _Family(msgspec.Struct):
    """One metric with its samples, which the format wants together."""

    kind: Literal["gauge", "counter"]
    meaning: str
    samples: list[tuple[Mapping[str, str], float]] = msgspec.field(default_factory=list)


class Families(dict[str, _Family]):
    """Metrics by name, in the order in which they were first mentioned."""

    def exposition(self) -> str:
        """All of them, as they are read."""
        return "".join(line + "\n" for line in _lines(self))

    def gauge(self, name: str, meaning: str, value: float | None, **labels: str) -> None:
        """What is unknown (None) has no sample: missing is not zero."""
        self._add(name, "gauge", meaning, value, labels)

    def counter(self, name: str, meaning: str, value: float, **labels: str) -> None:
        self._add(name + "_total", "counter", meaning, value, labels)

    def _add(
        self,
        name: str,
        kind: Literal["gauge", "counter"],
        meaning: str,
        value: float | None,
        labels: Mapping[str, str],
    ) -> None:
        if value is not None:
            self.setdefault(f"meter_gateway_{name}", _Family(kind, meaning)).samples.append(
                (labels, value)
            )


def exposition(report: Report) -> str:
    """The body of `/metrics`."""
    families = Families()
    families.gauge(
        "info", "Version and site of this gateway", 1, version=report.version, site=report.site
    )
    families.gauge("start_time_seconds", "When the daemon started, Unix time", report.started_s)
    verdict = report.verdict
    families.gauge("healthy", "1 while every part has had recent success", verdict == "well")
    families.gauge(
        "starting",
        "1 while nothing is wrong, and not everything was heard from since the start",
        verdict == "starting",
    )
    families.gauge(
        "clock_trusted",
        "1 while the machine's clock is believed; no slot closes before",
        report.clock.trusted,
    )
    families.gauge(
        "clock_trusted_since_timestamp_seconds",
        "Since when the clock is believed, Unix time",
        report.clock.trusted_since_s,
    )
    families.gauge(
        "clock_last_step_seconds",
        "How far the clock was set when it was last set",
        report.clock.step_s,
    )
    families.gauge(
        "clock_last_step_timestamp_seconds",
        "When the clock was last set, Unix time",
        report.clock.step_at_s,
    )
    families.gauge("slot_length_seconds", "Length of a market slot", report.slot_length_s)
    for kind, parts in _parts(report).items():
        for part in parts:
            _part(families, report, part, kind)
    for line in report.lines:
        _line(families, line)
    for meter in report.meters:
        _meter(families, meter)
    for asset in report.assets:
        _asset(families, asset)
        if asset.forecast:
            _forecast(families, asset, asset.forecast, report.now_s)
    for destination in report.destinations:
        _destination(families, destination)
    if report.grid_operator:
        _grid_operator(families, report.grid_operator)
    _buffer(families, report.buffer)
    return families.exposition()


def _parts(report: Report) -> dict[str, list[Part]]:
    return {
        "line": [*report.lines],
        "meter": [*report.meters],
        "destination": [*report.destinations],
        "buffer": [report.buffer],
        "mqtt": [report.mqtt] if report.mqtt else [],
        "grid_operator": [report.grid_operator] if report.grid_operator else [],
    }


def _part(families: Families, report: Report, part: Part, kind: str) -> None:
    labels = {"kind": kind, "part": part.name}
    families.gauge(
        "part_healthy",
        "1 while the part's last success is recent",
        part.healthy(report.now_s, report.started_s),
        **labels,
    )
    families.gauge(
        "part_last_success_timestamp_seconds",
        "When the part last succeeded, Unix time",
        part.last_success_s,
        **labels,
    )
    families.gauge(
        "part_max_age_seconds", "How old the part's last success may be", part.max_age_s, **labels
    )
    families.counter(
        "part_errors", "Failures of the part since the daemon started", part.errors, **labels
    )


def _line(families: Families, line: LineReport) -> None:
    needed_s, cycle_s = (
        None if ms is None else ms / 1000 for ms in (line.needed_ms, line.available_ms)
    )
    families.gauge(
        "line_needed_seconds",
        "What the meters' turns of one cycle need by the standard",
        needed_s,
        line=line.name,
    )
    families.gauge(
        "line_cycle_seconds",
        "Length of the line's cycle, the shortest interval of its meters",
        cycle_s,
        line=line.name,
    )
    families.gauge(
        "line_busy_ratio",
        "Share of the last minute in which the line was in use",
        line.busy,
        line=line.name,
    )
    families.counter(
        "line_skipped_turns",
        "Turns that fell out because the line was not free in time",
        line.skipped,
        line=line.name,
    )
    families.counter(
        "line_strange_frames",
        "Frames that nobody here has asked for: another master's",
        line.strangers,
        line=line.name,
    )


def _meter(families: Families, meter: MeterReport) -> None:
    families.counter(
        "meter_samples", "Samples taken since the daemon started", meter.samples, meter=meter.name
    )
    families.counter(
        "meter_glitches", "Readings that were not believed", meter.glitches, meter=meter.name
    )
    if meter.dialect:
        families.gauge(
            "meter_unused_lines",
            "Lines of the meter's last telegram of which no value was made",
            len(meter.unused),
            meter=meter.name,
        )
        families.gauge(
            "meter_unchecked",
            "1 while the meter's telegrams come without a checksum that is looked at",
            not meter.checksum.startswith("right"),
            meter=meter.name,
        )
    families.gauge(
        "meter_unbelieved_readings",
        "Readings in a row of which a register was not believed",
        meter.unbelieved,
        meter=meter.name,
    )
    families.gauge(
        "meter_asleep",
        "1 while the meter's silence is no fault",
        bool(meter.asleep),
        meter=meter.name,
    )
    families.gauge(
        "meter_clock_offset_seconds",
        "How far the meter's own clock is ahead of ours",
        meter.clock_offset_s,
        meter=meter.name,
    )
    for against, wh in meter.cross_check_wh.items():
        meaning = "By how much the meter's newest slot is above another account of it"
        families.gauge("cross_check_watt_hours", meaning, wh, meter=meter.name, against=against)
    for quantity, value in meter.values.items():
        stem, _, suffix = quantity.rpartition("_")
        name = (
            f"meter_{stem}_{_UNITS[suffix]}" if stem and suffix in _UNITS else f"meter_{quantity}"
        )
        meaning = f"Last value of the meter's {quantity}"
        if quantity.endswith(_REGISTERS):
            families.counter(name, meaning, value, meter=meter.name)
        else:
            families.gauge(name, meaning, value, meter=meter.name)


def _asset(families: Families, asset: AssetReport) -> None:
    labels = {"asset": asset.name, "uuid": asset.uuid}
    families.gauge(
        "asset_last_slot_timestamp_seconds",
        "Start of the asset's last closed slot, Unix time",
        asset.last_slot_s,
        **labels,
    )
    families.gauge(
        "asset_last_slot_energy_watt_hours",
        "Energy of the asset's last closed slot",
        asset.last_energy_wh,
        **labels,
    )
    families.gauge(
        "asset_last_slot_uncertainty_watt_hours",
        "By how much the energy of the asset's last closed slot may be off, either way",
        asset.last_uncertainty_wh,
        **labels,
    )
    families.gauge(
        "asset_last_accepted_slot_timestamp_seconds",
        "Start of the newest slot that was accepted, Unix time",
        asset.last_accepted_slot_s,
        **labels,
    )
    for state in ("pending", "accepted", "rejected", "missed"):
        families.gauge(
            "asset_items",
            "Items owed for the asset, by what became of them",
            getattr(asset, state),
            **labels,
            state=state,
        )


def _forecast(
    families: Families, asset: AssetReport, forecast: ForecastReport, now_s: float
) -> None:
    labels = {"asset": asset.name, "uuid": asset.uuid}
    coming = forecast.next_slot(now_s)
    if coming:
        families.gauge(
            "asset_forecast_slot_timestamp_seconds",
            "Start of the asset's next slot that is forecast, Unix time",
            coming.start_s,
            **labels,
        )
        families.gauge(
            "asset_forecast_watt_hours",
            "What is expected of the asset's next slot",
            coming.energy_wh,
            **labels,
        )
        families.gauge(
            "asset_forecast_low_watt_hours", "In 10 % of slots it is less", coming.low_wh, **labels
        )
        families.gauge(
            "asset_forecast_high_watt_hours",
            "In 10 % of slots it is more",
            coming.high_wh,
            **labels,
        )
    families.gauge(
        "asset_forecast_learning_since_timestamp_seconds",
        "Start of the first slot that was learned, Unix time",
        forecast.since_s,
        **labels,
    )
    families.gauge(
        "asset_forecast_replaced",
        "1 while a naive forecast is sent, since what is learned was worse",
        forecast.is_replaced,
        **labels,
    )
    _forecast_errors(families, forecast, labels)


def _forecast_errors(
    families: Families, forecast: ForecastReport, labels: Mapping[str, str]
) -> None:
    for errors in forecast.errors:
        over = {**labels, "days": str(errors.days)}
        for method, wh in {"auto": errors.mean_error_wh, **errors.naive_mean_error_wh}.items():
            families.gauge(
                "asset_forecast_mean_error_watt_hours",
                "How far forecasts of the second slot ahead were off, over whole days",
                wh,
                **over,
                method=method,
            )
        families.gauge(
            "asset_forecast_inside_band_ratio",
            "Share of slots within the band of 10 to 90 %",
            errors.inside_band,
            **over,
        )
        families.gauge(
            "asset_forecast_sums_off_ratio",
            "By how much the sum of forecasts is more than what came, as a share of that",
            errors.sums_off_by,
            **over,
        )
        if errors.sent is not None:
            _sent_errors(families, errors.sent, over)


def _sent_errors(families: Families, sent: SentErrors, labels: Mapping[str, str]) -> None:
    """Both of the same slots."""
    for of, error_wh, off in (
        ("sent", sent.mean_error_wh, sent.sums_off_by),
        ("median", sent.median_mean_error_wh, sent.median_sums_off_by),
    ):
        families.gauge(
            "asset_forecast_sent_mean_error_watt_hours",
            "How far another quantile than the median was off, as sent, and the median beside it",
            error_wh,
            **labels,
            of=of,
        )
        families.gauge(
            "asset_forecast_sent_sums_off_ratio",
            "By how much the sum of what was sent, and of the median, is more than what came",
            off,
            **labels,
            of=of,
        )


def _destination(families: Families, destination: DestinationReport) -> None:
    to = {"destination": destination.name}
    families.gauge(
        "destination_backlog_items", "Items that are still owed", destination.backlog, **to
    )
    families.gauge(
        "destination_unanswered_items",
        "Items that were sent and not answered yet",
        destination.sent,
        **to,
    )
    families.gauge(
        "destination_oldest_undelivered_timestamp_seconds",
        "Start of the oldest slot that is still owed, Unix time",
        destination.oldest_undelivered_s,
        **to,
    )
    families.gauge(
        "destination_next_deadline_timestamp_seconds",
        "When the next pending item can no longer be delivered, Unix time",
        destination.next_deadline_s,
        **to,
    )
    families.counter(
        "destination_requests", "Requests since the daemon started", destination.requests, **to
    )
    for verdict in ("accepted", "rejected", "missed"):
        count = getattr(destination, verdict)
        families.counter(
            "destination_items",
            "Items decided since the daemon started",
            count,
            **to,
            verdict=verdict,
        )
    _refusals(families, destination)
    _held(families, destination)


def _held(families: Families, destination: DestinationReport) -> None:
    """What it was found to hold."""
    to = {"destination": destination.name}
    families.counter(
        "destination_confirmed_items",
        "Items that the destination was found to hold as they were sent",
        destination.confirmed,
        **to,
    )
    families.counter(
        "destination_disagreements",
        "Answers that named another number than was sent, or none",
        destination.disagreements,
        **to,
    )
    families.gauge(
        "destination_unconfirmed_items",
        "Accepted items that are still to be asked for",
        destination.unconfirmed,
        **to,
    )
    families.gauge(
        "destination_disputed_items",
        "Items held otherwise in spite of a second delivery",
        destination.disputed,
        **to,
    )
    families.gauge(
        "destination_certificate_ends_timestamp_seconds",
        "When the certificate with which the destination knows us ends, Unix time",
        destination.certificate_ends_s,
        **to,
    )


def _refusals(families: Families, destination: DestinationReport) -> None:
    families.counter(
        "destination_refusals",
        "Refusals since the daemon started that were not believed",
        destination.refusals,
        destination=destination.name,
    )
    families.gauge(
        "destination_refusing_since_timestamp_seconds",
        "Since when the destination refuses everything, Unix time; absent while it does not",
        destination.refusing_since_s,
        destination=destination.name,
    )

    families.gauge(
        "destination_unheard_subjects",
        "Assets or series whose numbers are taken and never get a verdict",
        len(destination.unheard),
        destination=destination.name,
    )
    families.gauge(
        "destination_registry_differences",
        "Assets of which the exchange's registry says otherwise than gateway.yaml",
        len(destination.registry),
        destination=destination.name,
    )
    families.counter(
        "destination_verdicts_missed",
        "How often no verdict came on what was taken, though it would have been heard",
        destination.unheard_items,
        destination=destination.name,
    )


def _grid_operator(families: Families, operator: GridOperatorReport) -> None:
    families.gauge(
        "grid_operator_slot_timestamp_seconds",
        "Start of the slot that runs, by the exchange, Unix time",
        operator.slot_s,
    )
    families.gauge("grid_operator_markets", "Markets that fees are set in", len(operator.markets))
    families.gauge(
        "grid_operator_left_out_markets",
        "Markets whose fees are not set though they should be",
        len(operator.left_out),
    )
    families.counter(
        "grid_operator_stray_events",
        "Events of the exchange that were doubled, or older than what had been told",
        operator.stray_events,
    )
    for market in operator.markets:
        labels = {"market": market.name, "unit": operator.unit}
        families.gauge(
            "grid_fee", "What a market charges in the slot that runs", market.fee, **labels
        )
        families.gauge(
            "grid_fee_next",
            "What a market is to charge in the next slot",
            market.next_fee,
            **labels,
        )
        families.gauge(
            "grid_fee_taken",
            "1 where the exchange has taken the fee of the next slot",
            None if market.next_fee is None else market.state == "taken",
            market=market.name,
        )
        families.gauge(
            "grid_feeder_load_percent",
            "The feeder's load by this gateway's own meters, in percent of its rating",
            market.load_percent,
            market=market.name,
        )


def _buffer(families: Families, buffer: BufferReport) -> None:
    families.gauge("buffer_size_bytes", "Size of the local store", buffer.bytes)
    families.gauge("buffer_limit_bytes", "Size at which samples are thinned", buffer.max_bytes)
    families.gauge("buffer_samples", "Samples in the local store", buffer.samples)
    families.gauge("buffer_slots", "Slots in the local store", buffer.slots)
    families.gauge("buffer_unflushed_samples", "Samples that are not on disk yet", buffer.unflushed)
    families.gauge(
        "unallocated_watt_hours",
        "Energy that is in no slot, and that nobody has allocated",
        buffer.unallocated_wh,
    )
    families.gauge(
        "buffer_written_bytes_per_day",
        "What the store writes to the card in a day",
        buffer.bytes_written_per_day,
    )


def _lines(families: Families) -> Iterator[str]:
    for name, family in families.items():
        yield f"# HELP {name} {_escaped(family.meaning)}"
        yield f"# TYPE {name} {family.kind}"
        for labels, value in family.samples:
            inside = ",".join(f'{label}="{_escaped_label(text)}"' for label, text in labels.items())
            yield f"{name}{{{inside}}} {_number(value)}" if inside else f"{name} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _escaped_label(text: str) -> str:
    return _escaped(text).replace('"', r"\"")


def _number(value: float) -> str:
    """Go's notation of a float, which the format asks for."""
    number = float(value)
    if isnan(number):
        return "NaN"
    if number in (inf, -inf):
        return "+Inf" if number > 0 else "-Inf"
    return repr(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
