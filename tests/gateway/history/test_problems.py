"""Each cause once, and red only where energy is being lost or a person must act."""

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.history.problems import PATIENCE_S, mood_of, problems_of
from gateway.monitoring.report import NOT_HEARD, MeterReport, Report
from gateway.site.settings import Settings
from tests.gateway.history.rig import NOW_S, report

MAX_GAP_S = 7200.0


def told(of: Report, *undated: str) -> list[tuple[str, str, str]]:
    """Of each problem its id, subject and severity."""
    found = problems_of(of, MAX_GAP_S, undated)
    return [(each.id, each.subject, each.severity) for each in found]


def silent(meter: MeterReport, for_s: float, **changes: Any) -> MeterReport:
    plain = replace(meter, state="retrying", last_success_s=NOW_S - for_s, errors=9)
    return replace(plain, last_error="no reply in 1 s", **changes)


@pytest.fixture
def well(settings: Settings) -> Report:
    return report(settings)


def test_all_is_well(well: Report) -> None:
    assert told(well) == []
    assert mood_of(well, []) == "well"


@pytest.mark.parametrize(
    ("for_s", "expected"),
    [
        (30, []),
        (47 * 60, [("meter_silent", "pv", "warn")]),
        (3 * 3600, [("meter_silent_long", "pv", "bad")]),
    ],
)
def test_a_silent_meter_loses_nothing_until_its_gap_is_too_long(
    for_s: float, expected: list[tuple[str, str, str]], well: Report
) -> None:
    meters = [silent(m, for_s) if m.name == "pv" else m for m in well.meters]
    assert told(replace(well, meters=meters)) == expected
    if expected:
        [problem] = problems_of(replace(well, meters=meters), MAX_GAP_S, ())
        assert problem.since_s == NOW_S - for_s
        assert problem.facts["until_s"] == NOW_S - for_s + MAX_GAP_S
        assert problem.facts["reason"] == "no reply in 1 s"


def test_a_line_that_cannot_be_opened_explains_its_meters_once(well: Report) -> None:
    line = well.lines[0].name
    meters = [silent(replace(m, line=line), 600) for m in well.meters]
    lines = [replace(well.lines[0], state="retrying", last_error="no such port"), *well.lines[1:]]
    broken = replace(well, meters=meters, lines=lines)
    [problem] = problems_of(broken, MAX_GAP_S, ())
    assert (problem.id, problem.subject, problem.severity) == ("line_away", line, "warn")
    assert problem.facts["meters"] == "grid, heat-pump, pv"
    assert problem.facts["reason"] == "no such port"
    # One of them is heard: it is not the line.
    partly = replace(broken, meters=[replace(meters[0], last_success_s=NOW_S - 1), *meters[1:]])
    assert [each[0] for each in told(partly)] == ["meter_silent", "meter_silent"]


def test_a_meter_that_sleeps_is_no_problem(well: Report) -> None:
    meters = [silent(m, 9 * 3600, asleep="asleep") for m in well.meters]
    assert told(replace(well, meters=meters)) == []


def test_the_first_minute_is_neither_red_nor_well(well: Report) -> None:
    never: dict[str, Any] = {"last_success_s": None, "errors": 1, "last_error": "refused"}
    young = replace(
        well,
        started_s=NOW_S - 20,
        meters=[replace(m, **never) for m in well.meters],
        destinations=[replace(d, **never) for d in well.destinations],
    )
    assert young.verdict == "unwell", "that is healthz's, and stays"
    assert told(young) == []
    older = replace(young, started_s=NOW_S - PATIENCE_S - 1)
    assert {each[0] for each in told(older)} == {"meter_silent", "exchange_away"}
    awaited = replace(young, meters=[replace(m, last_success_s=None) for m in well.meters])
    assert mood_of(awaited, []) == "starting"


def test_an_exchange_that_is_away_is_red_only_where_numbers_come_too_late(well: Report) -> None:
    [exchange] = well.destinations
    away = replace(
        well,
        destinations=[
            replace(exchange, state="retrying", last_success_s=NOW_S - 5 * 3600, backlog=60)
        ],
    )
    assert told(away) == [("exchange_away", "exchange", "warn")]
    assert told(away, "exchange") == [("exchange_away_losing", "exchange", "bad")]
    [problem] = problems_of(away, MAX_GAP_S, ())
    assert problem.facts["waiting"] == 60.0


def test_an_exchange_that_fails_is_told_once_a_slot_has_waited_for_a_whole_one(
    well: Report,
) -> None:
    """Sooner it is no news: most outages are over. Later, "all is well" would not be true."""
    [exchange] = well.destinations
    length_s = well.slot_length_s
    for closed_s_ago, state, expected in (
        (length_s - 1, "retrying", []),
        (length_s, "retrying", [("exchange_away", "exchange", "warn")]),
        (length_s, "ok", []),
    ):
        oldest_s = int(well.now_s) - closed_s_ago - length_s
        waits = replace(exchange, state=state, oldest_undelivered_s=oldest_s, backlog=3)
        assert waits.healthy(well.now_s, well.started_s), "healthz is more patient"
        assert told(replace(well, destinations=[waits])) == expected


def test_verdicts_that_are_not_heard_for_a_moment_are_no_news(well: Report) -> None:
    [exchange] = well.destinations
    deaf = replace(exchange, sent=3, verdicts=f"{NOT_HEARD}: connection refused")
    young = replace(deaf, oldest_undelivered_s=int(well.now_s) - well.slot_length_s - 5)
    assert told(replace(well, destinations=[young])) == []
    old = replace(deaf, oldest_undelivered_s=int(well.now_s) - 2 * well.slot_length_s)
    assert told(replace(well, destinations=[old])) == [("verdicts_not_heard", "exchange", "warn")]


def test_a_login_that_is_refused_waits_for_a_person(well: Report) -> None:
    [exchange] = well.destinations
    refused = replace(exchange, refused=True, last_success_s=None)
    assert told(replace(well, destinations=[refused], started_s=NOW_S - 5)) == [
        ("login_refused", "exchange", "bad")
    ]


def test_refusals_are_told_once_for_all_assets(well: Report) -> None:
    assets = [
        replace(a, last_delivery="rejected", rejected=2, last_reason="no") for a in well.assets
    ]
    [problem] = problems_of(replace(well, assets=assets), MAX_GAP_S, ())
    assert (problem.id, problem.severity, problem.facts["count"]) == ("refused", "warn", 6.0)
    [exchange] = well.destinations
    all_refused = replace(exchange, refusing_since_s=NOW_S - 60.0, refuses={"PV": "closed"})
    assert told(replace(well, assets=assets, destinations=[all_refused])) == [
        ("refuses_all", "exchange", "bad")
    ]


def test_what_came_too_late_is_lost_and_what_was_not_metered_is_not_a_surprise_at_the_start(
    well: Report,
) -> None:
    first = well.assets[0]
    late = replace(first, last_delivery="missed", missed=1)
    assert told(replace(well, assets=[late])) == [("too_late", "exchange", "bad")]
    partial = replace(late, last_quality="partial")
    assert told(replace(well, assets=[partial])) == [("not_metered", "exchange", "warn")]
    of_start = replace(well, assets=[partial], started_s=float(NOW_S))
    assert told(of_start) == []


def test_the_box_itself(well: Report) -> None:
    clock = replace(well.clock, trusted=False, overdue=True, why="no NTP")
    assert told(replace(well, clock=clock)) == [("clock_unknown", "", "warn")]
    young_clock = replace(well, clock=replace(clock, overdue=False))
    assert told(young_clock) == []
    assert mood_of(young_clock, []) == "starting"
    full = replace(well.buffer, state="failing", last_success_s=NOW_S - 999.0, last_error="full")
    assert told(replace(well, buffer=full)) == [("disk", "", "bad")]
    mended = replace(well.buffer, events=["2026-03-29 09:00:00Z  damaged: was damaged; goes on"])
    assert told(replace(well, buffer=mended)) == [("buffer_damaged", "", "warn")]
    long_ago = replace(well.buffer, events=["2026-03-20 09:00:00Z  damaged: was damaged"])
    assert told(replace(well, buffer=long_ago)) == []


def test_the_worst_is_told_first(well: Report) -> None:
    meters = [silent(well.meters[0], 600), silent(well.meters[1], 9999), well.meters[2]]
    clock = replace(well.clock, trusted=False, overdue=True)
    found = told(replace(well, meters=meters, clock=clock))
    assert [each[2] for each in found] == ["bad", "warn", "warn"]
    assert mood_of(well, problems_of(replace(well, meters=meters), MAX_GAP_S, ())) == "bad"


DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("begins_s", "ends_s", "expected"),
    [
        (NOW_S - 300 * DAY_S, NOW_S + 30 * DAY_S, []),
        (NOW_S - 300 * DAY_S, NOW_S + 30 * DAY_S - 1, [("certificate_ends", "exchange", "warn")]),
        (NOW_S - 300 * DAY_S, NOW_S + 0.0, [("certificate_ends", "exchange", "warn")]),
        (NOW_S - 300 * DAY_S, NOW_S - 1.0, [("certificate_ended", "exchange", "bad")]),
        (NOW_S + 1.0, NOW_S + 300 * DAY_S, [("certificate_not_yet", "exchange", "bad")]),
        (NOW_S + 0.0, NOW_S + 300 * DAY_S, []),
        (None, None, []),
    ],
)
def test_a_certificate_of_ours_that_does_not_hold_for_long(
    begins_s: float | None,
    ends_s: float | None,
    expected: list[tuple[str, str, str]],
    well: Report,
) -> None:
    [exchange] = well.destinations
    with_one = replace(
        exchange,
        certificate="/etc/home-12.pem",
        certificate_begins_s=begins_s,
        certificate_ends_s=ends_s,
    )
    found = replace(well, destinations=[with_one])
    assert told(found) == expected
    assert found.verdict == "well", "it is one for a person, and nothing is down"
    assert bool(found.reasons()) == bool(expected)
    assert all("/etc/home-12.pem" in reason for reason in found.reasons())
    # While nobody knows what time it is, nobody knows whether it holds.
    undated = replace(found, clock=replace(found.clock, trusted=False))
    assert told(undated) == []
    assert undated.certificates() == []
