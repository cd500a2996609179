"""The daemon's account of itself, as programs read it."""

import json
from dataclasses import replace

from gateway.monitoring.report import Part, Report, masked_report


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


def test_what_others_say_is_shown_masked_and_our_own_names_as_they_are(
    healthy_report: Report,
) -> None:
    def masked(text: str) -> str:
        return text.replace("home", "(secret)")

    destination = replace(
        healthy_report.destinations[0], last_error="home!", read_back="cannot be asked: home"
    )
    asset = replace(healthy_report.assets[0], last_reason="home?")
    buffer = replace(healthy_report.buffer, events=["home: no"], last_error="home.")
    report = replace(healthy_report, destinations=[destination], assets=[asset], buffer=buffer)
    shown = masked_report(report, masked)
    said = [shown.destinations[0].last_error, shown.destinations[0].read_back]
    said += [shown.assets[0].last_reason, shown.buffer.last_error, *shown.buffer.events]
    assert all("(secret)" in text and "home" not in text for text in said)
    assert shown.site == "home-12"
    assert masked_report(report, str) == report
