"""Prometheus's own parser reads what we write."""

from math import nan

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from drivers.sample import QUANTITIES
from gateway.monitoring.metrics import exposition
from gateway.monitoring.report import (
    BufferReport,
    ClockReport,
    GridOperatorReport,
    LineReport,
    MeterReport,
    Report,
)
from tests.gateway.monitoring.told_forecasts import with_forecasts


def parsed(report: Report) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = list(text_string_to_metric_families(exposition(report)))
    assert len({family.name for family in families}) == len(families), (
        "a metric's samples stand together"
    )
    for family in families:
        assert family.name.startswith("meter_gateway_")
        assert family.documentation
        assert family.type in ("gauge", "counter")
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in families
        for s in family.samples
    }


def test_values_states_and_counts_are_exposed_in_base_units(healthy_report: Report) -> None:
    found = parsed(healthy_report)
    uuid = ("uuid", "26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1")
    assert found["meter_gateway_info", (("site", "home-12"), ("version", "0.1.0"))] == 1
    assert found["meter_gateway_healthy", ()] == 1
    assert found["meter_gateway_meter_power_watts", (("meter", "grid"),)] == -812
    assert (
        found["meter_gateway_meter_energy_import_watt_hours_total", (("meter", "grid"),)]
        == 12_345_678
    )
    assert found["meter_gateway_meter_voltage_l1_volts", (("meter", "grid"),)] == 230.4
    assert (
        found["meter_gateway_asset_last_slot_energy_watt_hours", (("asset", "House load"), uuid)]
        == 172.75
    )
    assert (
        found["meter_gateway_asset_items", (("asset", "House load"), ("state", "accepted"), uuid)]
        == 95
    )
    assert found["meter_gateway_destination_backlog_items", (("destination", "exchange"),)] == 2
    assert (
        found["meter_gateway_destination_confirmed_items_total", (("destination", "exchange"),)]
        == 188
    )
    assert found["meter_gateway_destination_unconfirmed_items", (("destination", "exchange"),)] == 2
    assert found["meter_gateway_destination_disputed_items", (("destination", "exchange"),)] == 0
    assert found["meter_gateway_part_errors_total", (("kind", "meter"), ("part", "heat_pump"))] == 3
    assert (
        found[
            "meter_gateway_part_last_success_timestamp_seconds",
            (("kind", "meter"), ("part", "grid")),
        ]
        == healthy_report.now_s - 1
    )


def test_what_is_unknown_has_no_sample(healthy_report: Report) -> None:
    fresh = replace(healthy_report.meters[0], last_success_s=None, values={})
    found = parsed(replace(healthy_report, meters=[fresh], mqtt=None))
    assert (
        "meter_gateway_part_last_success_timestamp_seconds",
        (("kind", "meter"), ("part", "grid")),
    ) not in found
    assert found["meter_gateway_part_healthy", (("kind", "meter"), ("part", "grid"))] == 0


def test_a_gateway_that_is_not_well_says_so(healthy_report: Report) -> None:
    found = parsed(replace(healthy_report, clock=replace(healthy_report.clock, trusted=False)))
    assert found["meter_gateway_healthy", ()] == 0
    assert found["meter_gateway_clock_trusted", ()] == 0


def test_a_meters_own_clock_and_the_last_step_of_ours_are_metrics(healthy_report: Report) -> None:
    meters = [replace(healthy_report.meters[0], clock_offset_s=-3600.5), *healthy_report.meters[1:]]
    clock = replace(
        healthy_report.clock,
        trusted_since_s=1_750_000_000.0,
        step_s=86_400.0,
        step_at_s=1_750_000_900.0,
    )
    found = parsed(replace(healthy_report, meters=meters, clock=clock))
    assert {
        key: value
        for key, value in found.items()
        if key[0] == "meter_gateway_meter_clock_offset_seconds"
    } == {("meter_gateway_meter_clock_offset_seconds", (("meter", "grid"),)): -3600.5}, (
        "none for a meter that tells no time"
    )
    assert found["meter_gateway_clock_last_step_seconds", ()] == 86_400
    assert found["meter_gateway_clock_trusted_since_timestamp_seconds", ()] == 1_750_000_000


def test_every_quantity_has_a_metric_of_its_own(healthy_report: Report) -> None:
    everything = replace(healthy_report.meters[0], values=dict.fromkeys(QUANTITIES, 1.5))
    names = {
        name
        for name, _ in parsed(replace(healthy_report, meters=[everything]))
        if name.startswith("meter_gateway_meter_")
    }
    assert len(names) == len(QUANTITIES) + 4  # samples, glitches, unbelieved, asleep


def test_a_value_that_is_not_a_number_is_readable(healthy_report: Report) -> None:
    odd = replace(healthy_report.meters[0], values={"power_w": float("inf"), "frequency_hz": nan})
    found = parsed(replace(healthy_report, meters=[odd]))
    assert found["meter_gateway_meter_power_watts", (("meter", "grid"),)] == float("inf")


@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    value=st.floats(allow_nan=False),
)
def test_any_name_and_value_survive(name: str, value: float) -> None:
    meter = MeterReport(
        name=name, state="ok", max_age_s=1, line="", profile="", values={"power_w": value}
    )
    report = Report(
        version="0", site="s", now_s=0, started_s=0, slot_length_s=900,
        lines=[LineReport(name=name, state="ok", max_age_s=1)], meters=[meter],
        assets=[], destinations=[], clock=ClockReport(trusted=True, why="", boot_id=""),
        buffer=BufferReport(name="buffer", state="ok", max_age_s=1, path=""),
    )  # fmt: skip
    text = exposition(report)
    assert "meter_gateway_meter_power_watts{" in text
    values = [
        s.value
        for f in text_string_to_metric_families(text)
        for s in f.samples
        if s.name == "meter_gateway_meter_power_watts"
    ]
    labels = [
        s.labels
        for f in text_string_to_metric_families(text)
        for s in f.samples
        if s.name == "meter_gateway_meter_power_watts"
    ]
    assert values == [value]
    assert labels == [{"meter": name}]


def test_a_line_tells_what_it_has_to_carry(healthy_report: Report) -> None:
    line = replace(
        healthy_report.lines[0],
        name="/dev/ttyUSB0",
        needed_ms=840.0,
        available_ms=10_000.0,
        busy=0.125,
        skipped=3,
        strangers=12,
    )
    found = parsed(replace(healthy_report, lines=[line]))
    at = (("line", "/dev/ttyUSB0"),)
    assert found["meter_gateway_line_needed_seconds", at] == 0.84
    assert found["meter_gateway_line_cycle_seconds", at] == 10
    assert found["meter_gateway_line_busy_ratio", at] == 0.125
    assert found["meter_gateway_line_skipped_turns_total", at] == 3
    assert found["meter_gateway_line_strange_frames_total", at] == 12
    assert line.carries == (
        "needs 840 of 10,000 ms per cycle, busy 12%, 3 turns skipped, 12 frames of another master"
    )
    assert replace(line, needed_ms=11_000.0).carries.startswith(
        "cannot keep up: needs 11,000 of 10,000 ms"
    )
    assert healthy_report.lines[0].carries == "", "a meter that pushes takes no turns"


def test_grid_fees_are_exposed_market_by_market(
    healthy_report: Report, operator_report: GridOperatorReport
) -> None:
    found = parsed(replace(healthy_report, grid_operator=operator_report))
    house = (("market", "House 1"), ("unit", "ct/kWh"))
    assert found["meter_gateway_grid_fee", house] == 2
    assert found["meter_gateway_grid_fee_next", house] == 3.25
    assert found["meter_gateway_grid_fee_taken", (("market", "House 1"),)] == 1
    assert found["meter_gateway_grid_fee_taken", (("market", "Grid"),)] == 0
    assert found["meter_gateway_grid_feeder_load_percent", (("market", "House 1"),)] == 71.5
    assert ("meter_gateway_grid_fee", (("market", "Grid"), ("unit", "ct/kWh"))) not in found
    assert found["meter_gateway_grid_operator_markets", ()] == 2


def test_forecasts_and_their_errors_are_exposed(healthy_report: Report) -> None:
    found = parsed(with_forecasts(healthy_report))
    load = (("asset", "House load"), ("uuid", "26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1"))
    stem, pv = "meter_gateway_asset_forecast", ("asset", "PV")
    assert found[f"{stem}_watt_hours", load] == 191.5, "of the next slot, not of the one that runs"
    assert found[f"{stem}_low_watt_hours", load] == 130
    assert found[f"{stem}_high_watt_hours", load] == 280
    of_week = {
        method: found[
            f"{stem}_mean_error_watt_hours",
            tuple(sorted((*load, ("days", "7"), ("method", method)))),
        ]
        for method in ("auto", "last_slot", "yesterday", "last_week")
    }
    assert of_week == {"auto": 28.4, "last_slot": 43.5, "yesterday": 42.4, "last_week": 44.2}
    assert found[f"{stem}_inside_band_ratio", tuple(sorted((*load, ("days", "28"))))] == 0.81
    assert found[f"{stem}_sums_off_ratio", tuple(sorted((*load, ("days", "1"))))] == -0.14
    sent = {
        of: found[
            f"{stem}_sent_mean_error_watt_hours",
            tuple(sorted((*load, ("days", "7"), ("of", of)))),
        ]
        for of in ("sent", "median")
    }
    assert sent == {"sent": 29.8, "median": 28.6}
    off = tuple(sorted((*load, ("days", "1"), ("of", "sent"))))
    assert found[f"{stem}_sent_sums_off_ratio", off] == -0.01
    replaced = {labels[0][1]: n for (name, labels), n in found.items() if name.endswith("replaced")}
    assert replaced == {"House load": 0, "PV": 1}
    of_pv = [dict(labels) for name, labels in found if name.startswith(stem) and pv in labels]
    assert of_pv
    assert all("days" not in labels for labels in of_pv), "missing is not zero"
