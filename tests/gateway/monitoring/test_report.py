"""The daemon's account of itself, as programs read it."""

import json
from dataclasses import replace

from gateway.monitoring.report import Part, Report


def test_the_status_tells_the_age_of_every_last_success_and_what_is_not_well(
    healthy_report: Report,
) -> None:
    silent = Part(name="serial:/dev/x", state="retrying", max_age_s=30, last_error="no telegram")
    report = replace(healthy_report, lines=[silent], started_s=healthy_report.now_s - 100)
    document = json.loads(report.to_json())
    assert document["lines"][0]["age_s"] is None
    for part in (*document["meters"], *document["destinations"], document["buffer"]):
        assert part["age_s"] == max(0, report.now_s - part["last_success_s"])
    assert document["unhealthy"] == report.unhealthy() != []


def test_a_report_is_read_back_as_it_was_written(healthy_report: Report) -> None:
    assert Report.from_json(healthy_report.to_json()) == healthy_report
