"""The daemon's account of itself, as programs read it."""

import json

import pytest
from msgspec.structs import replace

from gateway.monitoring.report import (
    GridOperatorReport,
    LineReport,
    Part,
    Report,
    masked_report,
)
from tests.gateway.monitoring.told_forecasts import with_forecasts


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


def test_forecasts_are_read_back_and_a_report_of_before_has_none(healthy_report: Report) -> None:
    report = with_forecasts(healthy_report)
    assert Report.from_json(report.to_json()) == report
    document = json.loads(report.to_json())
    for asset in document["assets"]:
        del asset["forecast"]
    before = Report.from_json(json.dumps(document).encode())
    assert [asset.forecast for asset in before.assets] == [None, None]


def test_what_others_say_is_shown_masked_and_our_own_names_as_they_are(
    healthy_report: Report,
) -> None:
    def masked(text: str) -> str:
        return text.replace("home", "(secret)")

    destination = replace(
        healthy_report.destinations[0], last_error="home!", read_back="cannot be asked: home"
    )
    asset = replace(healthy_report.assets[0], last_reason="home?", refused="home")
    buffer = replace(healthy_report.buffer, events=["home: no"], last_error="home.")
    report = replace(healthy_report, destinations=[destination], assets=[asset], buffer=buffer)
    shown = masked_report(report, masked)
    said = [shown.destinations[0].last_error, shown.destinations[0].read_back]
    said += [
        shown.assets[0].refused,
        shown.assets[0].last_reason,
        shown.buffer.last_error,
        *shown.buffer.events,
    ]
    assert all("(secret)" in text and "home" not in text for text in said)
    assert shown.site == "home-12"
    assert masked_report(report, str) == report


# --- how it all is, in the same words everywhere --------------------------------------------------


def started(report: Report, ago_s: float, **meter: object) -> Report:
    """The report of a daemon that started so long ago; its first meter is as told."""
    first = replace(report.meters[0], **meter)  # type: ignore[arg-type]
    return replace(report, started_s=report.now_s - ago_s, meters=[first, *report.meters[1:]])


def test_all_is_well_where_everything_was_heard_lately(healthy_report: Report) -> None:
    assert healthy_report.verdict == "well"
    assert healthy_report.summary() == healthy_report.headline() == "all is well"
    assert healthy_report.reasons() == []


def test_where_nothing_fails_and_nothing_is_done_either_it_says_for_how_long(
    healthy_report: Report,
) -> None:
    long_ago_s = healthy_report.now_s - 5000
    idle = replace(healthy_report.destinations[0], state="ok", last_success_s=long_ago_s)
    report = replace(healthy_report, destinations=[idle], started_s=long_ago_s - 1)
    assert report.reasons() == [
        f"{idle.name}: nothing was delivered for 5000 s, which should not be"
    ]


def test_it_is_starting_until_everything_was_heard_once(healthy_report: Report) -> None:
    report = started(healthy_report, 5, last_success_s=None, state="waiting")
    assert report.verdict == "starting"
    assert report.summary() == "starting: grid not heard yet"
    assert report.reasons() == ["starting: grid not heard yet"]

    destination = replace(report.destinations[0], last_success_s=None)
    clock = replace(report.clock, trusted=False)
    assert healthy_report.mqtt is not None
    mqtt = replace(healthy_report.mqtt, last_success_s=None)
    report = replace(report, destinations=[destination], clock=clock, mqtt=mqtt)
    awaited = ["grid not heard yet", "exchange not heard yet", "broker.local:8883 not heard yet"]
    assert report.starting() == [*awaited, "the clock is not synchronised yet"]
    assert report.headline() == f"starting: {', '.join(awaited)} and 1 more"


def test_a_destination_that_cannot_be_greeted_is_not_awaited(healthy_report: Report) -> None:
    destination = replace(healthy_report.destinations[0], last_success_s=None, greets=False)
    report = started(replace(healthy_report, destinations=[destination]), 5)
    assert report.verdict == "well"


def test_what_was_never_heard_and_fails_is_not_well_at_once(healthy_report: Report) -> None:
    report = started(
        healthy_report, 1, last_success_s=None, state="retrying", errors=1, last_error="refused"
    )
    assert report.verdict == "unwell"
    assert report.summary() == "one thing needs attention: grid: retrying (refused)"


def test_what_is_never_heard_is_not_well_after_its_time(healthy_report: Report) -> None:
    report = started(healthy_report, 61, last_success_s=None, state="waiting")
    assert report.summary() == "one thing needs attention: grid: waiting"


def test_a_refused_login_is_not_well_however_recent_the_last_success(
    healthy_report: Report,
) -> None:
    exchange = replace(
        healthy_report.destinations[0], refused=True, state="retrying", last_error="wrong password"
    )
    report = replace(healthy_report, destinations=[exchange])
    assert report.unhealthy() == ["exchange: retrying (wrong password)"]


def test_a_clock_is_awaited_first_and_then_not_well(healthy_report: Report) -> None:
    waiting = replace(healthy_report.clock, trusted=False, why="see timedatectl")
    report = replace(healthy_report, clock=waiting)
    assert report.verdict == "starting"
    report = replace(healthy_report, clock=replace(waiting, overdue=True))
    assert report.summary() == ("one thing needs attention: clock: not trusted (see timedatectl)")


def test_a_line_is_not_named_beside_the_meters_that_say_what_is_wrong(
    healthy_report: Report,
) -> None:
    line = LineReport(
        name="/dev/ttyUSB0", state="retrying", max_age_s=30, errors=1, last_error="no such port"
    )
    report = started(
        replace(healthy_report, lines=[line]),
        5,
        last_success_s=None,
        state="retrying",
        errors=1,
        last_error="no such port",
    )
    assert report.unhealthy() == ["grid: retrying (no such port)"]


@pytest.mark.parametrize("last_success_s", [None, 1.0])
def test_a_meter_that_sleeps_is_neither_awaited_nor_not_well(
    healthy_report: Report, last_success_s: float | None
) -> None:
    report = started(healthy_report, 5000, last_success_s=last_success_s, asleep="asleep", errors=9)
    assert report.verdict == "well"


def test_a_meter_that_is_heard_and_not_believed_is_not_well(healthy_report: Report) -> None:
    report = started(healthy_report, 5000, unbelieved=12, unbelieved_why="correct max_power")
    assert report.unhealthy() == ["grid: correct max_power"]


def test_a_slot_that_will_not_be_delivered_is_told_and_is_no_illness(
    healthy_report: Report,
) -> None:
    asset = replace(healthy_report.assets[0], last_delivery="rejected", last_reason="no such asset")
    report = replace(healthy_report, assets=[asset])
    assert report.verdict == "well"
    assert report.summary() == (
        "one thing needs attention: House load: the last slot was rejected (no such asset)"
    )


def test_an_asset_that_is_refused_is_told_unless_everything_is(healthy_report: Report) -> None:
    asset = replace(healthy_report.assets[0], refused="answered 403: no")
    report = replace(healthy_report, assets=[asset])
    assert report.verdict == "well"
    assert report.reasons() == ["House load: the last slot is refused (answered 403: no)"]
    destination = replace(healthy_report.destinations[0], refusing_since_s=1.0)
    assert len(replace(report, destinations=[destination]).reasons()) == 1


def test_the_slot_of_the_start_is_expected_not_to_be_delivered(healthy_report: Report) -> None:
    asset = replace(healthy_report.assets[0], last_delivery="missed", last_quality="partial")
    report = replace(healthy_report, assets=[asset], started_s=healthy_report.now_s - 60)
    assert report.headline() == "all is well"


def test_programs_are_told_the_same(healthy_report: Report) -> None:
    report = started(healthy_report, 5, last_success_s=None, state="waiting")
    document = json.loads(report.to_json())
    assert document["verdict"] == report.verdict == "starting"
    assert document["headline"] == report.headline()
    assert document["reasons"] == report.reasons()
    assert [meter["healthy"] for meter in document["meters"]] == [True, True, True]


def test_a_grid_operators_agent_is_a_part_like_others(
    healthy_report: Report, operator_report: GridOperatorReport
) -> None:
    report = replace(healthy_report, grid_operator=operator_report)
    assert report.verdict == "well"
    assert Report.from_json(report.to_json()) == report

    silent = replace(operator_report, state="not heard", last_success_s=report.now_s - 3000)
    assert replace(report, grid_operator=silent).verdict == "unwell"
    awaited = replace(operator_report, last_success_s=None)
    starting = replace(report, grid_operator=awaited, started_s=report.now_s - 10)
    assert starting.starting() == ["grid operator not heard yet"]


def test_a_fee_that_was_not_taken_and_a_market_left_out_are_worth_a_look(
    healthy_report: Report, operator_report: GridOperatorReport
) -> None:
    refused = replace(operator_report.markets[0], state="refused", reason="says: no")
    operator = replace(
        operator_report, markets=[refused], left_out={"Grid": "another one sets its fees"}
    )
    assert replace(healthy_report, grid_operator=operator).undelivered() == [
        "market Grid: another one sets its fees",
        "market House 1: the next fee is refused (says: no)",
    ]
