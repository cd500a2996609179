"""What a person should know of a gateway's state: each cause once, and how bad it is. Pure.

The report says of each part whether it is well. Here a line that cannot be opened explains the
silence of its meters; and red is only what loses energy, or waits for a person. `/healthz` and
`Report.verdict` go by the report alone, and stay as they are.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from gateway.history.answers import Mood, Problem
from gateway.monitoring.report import (
    NOT_HEARD,
    AssetReport,
    DestinationReport,
    LineReport,
    MeterReport,
    Part,
    Report,
)
from gateway.outbox.item import EXCHANGE

PATIENCE_S = 60.0
"""So long after the start a destination or a broker that was not heard yet is starting, whatever it
says.
"""
DAMAGED_S = 86_400.0
"""So long a person is told that a damaged store was mended."""

_ORDER: tuple[Mood, ...] = ("bad", "warn", "starting", "well")


def mood_of(report: Report, problems: Sequence[Problem]) -> Mood:
    """How it is, all in all."""
    moods = {problem.severity for problem in problems}
    if report.starting():
        moods.add("starting")
    return min(moods or {"well"}, key=_ORDER.index)


def problems_of(report: Report, max_gap_s: float, undated: Collection[str]) -> list[Problem]:
    """What is wrong, the worst first. `max_gap_s`: what passes in a longer silence is in no slot by
    itself. `undated`: the destinations at which a number can be too late.
    """
    found = [
        *_clock(report),
        *_buffer(report),
        *_meters(report, max_gap_s),
        *_lines(report.lines),
        *(
            problem
            for each in report.destinations
            for problem in _destination(report, each, undated)
        ),
        *_slots(report),
        *_others(report),
    ]
    return sorted(found, key=lambda problem: _ORDER.index(problem.severity))


def _clock(report: Report) -> Iterator[Problem]:
    clock = report.clock
    if not clock.trusted and clock.overdue:
        yield Problem(
            id="clock_unknown",
            subject="",
            severity="warn",
            since_s=None,
            facts={"reason": clock.why, "now_s": report.now_s},
        )


def _buffer(report: Report) -> Iterator[Problem]:
    buffer = report.buffer
    if not buffer.healthy(report.now_s, report.started_s):
        yield Problem(
            id="disk",
            subject="",
            severity="bad",
            since_s=buffer.last_success_s,
            facts={"reason": buffer.last_error, "in_memory": float(buffer.unflushed)},
        )
    for line in buffer.events:
        at, _, kind = line.partition("Z ")
        if not kind.lstrip().startswith("damaged:"):
            continue
        at_s = datetime.fromisoformat(f"{at}+00:00").timestamp()
        if report.now_s - at_s < DAMAGED_S:
            facts: dict[str, str | float | None] = {"reason": kind.partition(": ")[2]}
            yield Problem(
                id="buffer_damaged", subject="", severity="warn", since_s=at_s, facts=facts
            )
            return


# --- meters and lines -----------------------------------------------------------------------------


def _meters(report: Report, max_gap_s: float) -> Iterator[Problem]:
    silent = [meter for meter in report.meters if _is_silent(report, meter)]
    for line in report.lines:
        mine = [meter for meter in silent if meter.line == line.name]
        all_of_it = [meter for meter in report.meters if meter.line == line.name]
        if mine and line.state == "retrying" and len(mine) == len(all_of_it):
            yield _silent(report, mine, line.name, "line_away", line.last_error, max_gap_s)
            silent = [meter for meter in silent if meter not in mine]
    for meter in silent:
        yield _silent(report, [meter], meter.name, "meter_silent", meter.last_error, max_gap_s)
    for meter in report.meters:
        if meter.unbelieved_why:
            yield Problem(
                id="meter_unbelieved",
                subject=meter.name,
                severity="bad",
                since_s=None,
                facts={"reason": meter.unbelieved_why, "readings": float(meter.unbelieved)},
            )


def _is_silent(report: Report, meter: MeterReport) -> bool:
    """Whether it should have been heard, and was not. One that fails is given the same time after
    the start as one that says nothing.
    """
    since_s = meter.last_success_s or report.started_s
    return not meter.asleep and report.now_s - since_s > meter.max_age_s


def _silent(
    report: Report,
    meters: Sequence[MeterReport],
    subject: str,
    kind: str,
    reason: str,
    max_gap_s: float,
) -> Problem:
    since_s = min(meter.last_success_s or report.started_s for meter in meters)
    until_s = since_s + max_gap_s
    is_long = report.now_s > until_s
    return Problem(
        id=f"{kind}_long" if is_long else kind,
        subject=subject,
        severity="bad" if is_long else "warn",
        since_s=since_s,
        facts={
            "reason": reason,
            "until_s": until_s,
            "meters": ", ".join(meter.name for meter in meters),
            "line": meters[0].line,
            "ever": float(any(meter.last_success_s for meter in meters)),
        },
    )


def _lines(lines: Sequence[LineReport]) -> Iterator[Problem]:
    for line in lines:
        if line.too_slow:
            yield Problem(
                id="line_too_slow",
                subject=line.name,
                severity="warn",
                since_s=None,
                facts={"needed_ms": line.needed_ms, "available_ms": line.available_ms},
            )


# --- destinations and slots -----------------------------------------------------------------------


def _destination(
    report: Report, each: DestinationReport, undated: Collection[str]
) -> Iterator[Problem]:
    facts: dict[str, str | float | None] = {
        "reason": each.last_error,
        "waiting": float(each.backlog + each.sent),
        "until_s": each.next_deadline_s,
        "url": each.url,
    }
    if each.refused:
        yield _of(each, "login_refused", "bad", each.last_success_s, facts)
    elif each.refusing_since_s is not None:
        why = next(reversed(each.refuses.values()), "") or each.last_error
        facts |= {"reason": why}
        yield _of(each, "refuses_all", "bad", each.refusing_since_s, facts)
    elif _is_away(report, each) or (_fails(each) and _waits_long(report, each)):
        loses = each.name in undated
        kind = "exchange_away_losing" if loses else "exchange_away"
        yield _of(each, kind, "bad" if loses else "warn", each.last_success_s, facts)
    if each.disputed:
        yield _of(each, "disputed", "warn", None, {"count": float(each.disputed)})
    if each.sent and each.verdicts.startswith(NOT_HEARD) and _waits_long(report, each):
        yield _of(each, "verdicts_not_heard", "warn", None, {"reason": each.verdicts})
    state = each.certificate_state(report.now_s) if report.clock.trusted else ""
    if state:
        facts = {
            "file": each.certificate,
            "begins_s": each.certificate_begins_s,
            "ends_s": each.certificate_ends_s,
        }
        severity: Mood = "warn" if state == "ends" else "bad"
        yield _of(each, f"certificate_{state}", severity, None, facts)
    for name, why in sorted(each.unheard.items()):
        yield _of(each, "asset_not_heard", "warn", None, {"asset": name, "reason": why})
    for name, why in sorted(each.registry.items()):
        yield _of(each, "registry_differs", "warn", None, {"asset": name, "reason": why})
    if each.name != EXCHANGE and each.refuses and each.refusing_since_s is None:
        names = ", ".join(sorted(each.refuses))
        why = next(reversed(each.refuses.values()))
        yield _of(each, "refused", "warn", None, {"assets": names, "reason": why, "count": None})


def _of(
    part: Part,
    kind: str,
    severity: Mood,
    since_s: float | None,
    facts: dict[str, str | float | None],
) -> Problem:
    return Problem(id=kind, subject=part.name, severity=severity, since_s=since_s, facts=facts)


def _is_away(report: Report, part: Part) -> bool:
    """Whether it was not heard for too long; one that fails is given a minute after the start."""
    if part.healthy(report.now_s, report.started_s):
        return False
    return part.last_success_s is not None or report.now_s - report.started_s > PATIENCE_S


def _fails(each: DestinationReport) -> bool:
    """Whether it was tried last in vain."""
    return each.state == "retrying"


def _waits_long(report: Report, each: DestinationReport) -> bool:
    """Whether a slot is still owed a whole slot after it closed: what mends itself sooner is no
    news. (That it was not heard for too long, `_is_away`, is known a slot later.)
    """
    oldest_s = each.oldest_undelivered_s
    return oldest_s is not None and report.now_s >= oldest_s + 2 * report.slot_length_s


def _slots(report: Report) -> Iterator[Problem]:
    """What became of the newest slots at the exchange, told once for all assets of one fate."""
    told = any(each.refusing_since_s for each in report.destinations if each.name == EXCHANGE)
    refused = [a for a in report.assets if a.refused or a.last_delivery == "rejected"]
    if refused and not told:
        reason = next((a.refused or a.last_reason for a in refused), "")
        yield _fate("refused", "warn", refused, sum(a.rejected for a in refused), reason)

    missed = [a for a in report.assets if a.last_delivery == "missed"]
    late = [a for a in missed if a.last_quality in ("measured", "estimated")]
    if late:
        reason = late[0].last_reason
        yield _fate("too_late", "bad", late, sum(a.missed for a in late), reason)
    part = [a for a in missed if a not in late and not _is_of_the_start(report, a)]
    if part:
        yield _fate("not_metered", "warn", part, sum(a.missed for a in part), part[0].last_reason)


def _is_of_the_start(report: Report, asset: AssetReport) -> bool:
    """Whether the slot began before the daemon did: no wonder that it is not wholly metered."""
    return asset.last_slot_s is not None and asset.last_slot_s < report.started_s


def _fate(
    kind: str, severity: Mood, assets: Sequence[AssetReport], count: int, reason: str
) -> Problem:
    return Problem(
        id=kind,
        subject=EXCHANGE,
        severity=severity,
        since_s=None,
        facts={
            "assets": ", ".join(asset.name for asset in assets),
            "count": float(max(count, 1)),
            "reason": reason,
            "slot_s": max((a.last_slot_s or 0 for a in assets), default=0) or None,
        },
    )


def _others(report: Report) -> Iterator[Problem]:
    if report.mqtt and _is_away(report, report.mqtt):
        kind = "broker_refused" if report.mqtt.refused else "broker_away"
        reason = report.mqtt.last_error
        yield _of(report.mqtt, kind, "warn", report.mqtt.last_success_s, {"reason": reason})
    operator = report.grid_operator
    if operator:
        if _is_away(report, operator):
            facts: dict[str, str | float | None] = {"reason": operator.last_error}
            yield _of(operator, "fees_away", "warn", operator.last_success_s, facts)
        for name, why in sorted(operator.left_out.items()):
            yield _of(operator, "fees_not_set", "warn", None, {"market": name, "reason": why})
        for market in operator.markets:
            if market.state in ("refused", "kept_old", "too_late", "silent"):
                facts = {"market": market.name, "reason": market.reason, "state": market.state}
                yield _of(operator, "fees_not_taken", "warn", None, facts)
    for text in report.warnings:
        yield Problem(
            id="configuration", subject="", severity="warn", since_s=None, facts={"reason": text}
        )
