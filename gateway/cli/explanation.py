"""Why a slot is what it is, in words for a terminal; and which slot somebody means. Pure."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

from gateway.history.answers import Delivery, Role, SlotStory, Sums, Term

FORM = "2026-03-29T14:15 (local time), 2026-03-29T12:15Z, 14:15 (the last one) or Unix seconds"

_DID: dict[Role, str] = {
    "house": "used",
    "sun": "gave",
    "grid": "took from the grid",
    "battery": "counted",
    "other": "used",
}


def moment_of(text: str, zone: tzinfo, now_s: float) -> float:
    """Unix time of what somebody wrote; without a zone it is on the site's own clock. Raises
    ValueError with what to write: where it cannot be read, and of an hour that a change of clocks
    left out or brings twice.
    """
    if re.fullmatch(r"[0-9]{9,11}", text):
        return float(text)
    try:
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}", text):
            today = datetime.fromtimestamp(now_s, UTC).astimezone(zone).date()
            return _last(text, today, zone, now_s)
        at = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a time — write {FORM}") from None
    return at.timestamp() if at.tzinfo else _local_s(at, zone)


def _last(text: str, today: date, zone: tzinfo, now_s: float) -> float:
    hour, minute = map(int, text.split(":"))
    at = datetime(today.year, today.month, today.day, hour, minute)  # noqa: DTZ001 — on the wall
    at_s = at.replace(tzinfo=zone).timestamp()
    return _local_s(at if at_s <= now_s else at - timedelta(days=1), zone)


def _local_s(at: datetime, zone: tzinfo) -> float:
    """Raises ValueError where the clock on the wall showed this never, or twice."""
    first, second = (at.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first.timestamp()
    if datetime.fromtimestamp(first.timestamp(), zone).replace(tzinfo=None) != at:
        raise ValueError(
            f"clocks went forward over {at:%H:%M} on {at:%Y-%m-%d}: there was no such time — write "
            "it in UTC, such as 2026-03-29T01:15Z"
        )
    raise ValueError(
        f"{at:%H:%M} came twice on {at:%Y-%m-%d}, for clocks went back — write "
        f"{first.isoformat(timespec='minutes')} or {second.isoformat(timespec='minutes')}"
    )


# --- the story ------------------------------------------------------------------------------------


def lines_of(story: SlotStory, zone: tzinfo) -> Iterator[str]:
    """The same story as the page tells, sentence first."""
    clock = _Clock(zone)
    end_s = story.start_s + story.length_s
    span = f"{clock.minutes(story.start_s)}–{clock.minutes(end_s)}"
    day = f"{datetime.fromtimestamp(story.start_s, zone):%Y-%m-%d, UTC%z}"
    if story.energy_wh is None:
        yield f"What {story.title} came to in {span} ({day}) is not known: it is {story.quality}."
    else:
        off = "" if story.uncertainty_wh is None else f" ± {story.uncertainty_wh:.3f}"
        did = _DID[story.role]
        what = f"{story.title} {did} {story.energy_wh:.3f}{off} Wh"
        yield f"{what} in {span} ({day}): {story.quality}."
    if meanwhile := _meanwhile(story.beside):
        yield f"Meanwhile {meanwhile}."
    if story.imported:
        yield "It was brought in from elsewhere, and not metered here."
    if story.revision:
        times = "once" if story.revision == 1 else f"{story.revision} times"
        yield f"It was written anew {times} since it was first closed."
    if story.forecast_wh is not None:
        yield f"When it began, {story.forecast_wh:.3f} Wh were expected."
    yield ""
    yield f"Formula: {story.formula}"
    yield f"       = {_with_numbers(story)}"
    for term in story.terms:
        yield ""
        yield from _term(term, story, clock)
    for line in story.power:
        for gap in line.gaps:
            yield (
                f"{line.meter}: no samples from {clock.seconds(gap.since_s)} to "
                f"{clock.seconds(gap.until_s)}"
            )
    yield ""
    yield from (_delivery(each, clock) for each in story.deliveries)
    if not story.deliveries:
        yield "Nothing is owed to anybody for it."
    for event in story.events:
        yield f"{clock.seconds(event.at_s)} {event.meter} {event.kind}: {event.text}"


class _Clock:
    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone

    def minutes(self, at_s: float) -> str:
        """As on the wall; with seconds where there are some."""
        if at_s % 60:
            return self.seconds(at_s)
        return f"{datetime.fromtimestamp(at_s, self._zone):%H:%M}"

    def seconds(self, at_s: float) -> str:
        """To the second."""
        return f"{datetime.fromtimestamp(at_s, self._zone):%H:%M:%S}"


def _meanwhile(beside: Sums) -> str:
    told = [
        (beside.sun_wh, "came from the sun"),
        (beside.from_grid_wh, "from the grid"),
        (beside.to_grid_wh, "went to the grid"),
    ]
    return ", ".join(f"{wh:.3f} Wh {what}" for wh, what in told if wh is not None)


def _with_numbers(story: SlotStory) -> str:
    parts = [
        f"{'-' if term.sign < 0 else '+'} "
        f"{'?' if term.energy_wh is None else format(term.energy_wh, '.3f')}"
        for term in story.terms
    ]
    total = "?" if story.energy_wh is None else f"{story.energy_wh:.3f}"
    return f"{' '.join(parts).removeprefix('+ ') or '?'} = {total} Wh"


def _term(term: Term, story: SlotStory, clock: _Clock) -> Iterator[str]:
    energy = "not known" if term.energy_wh is None else f"{term.energy_wh:.3f} Wh"
    off = "" if term.uncertainty_wh is None else f" ± {term.uncertainty_wh:.3f}"
    why = f" ({term.doubts})" if term.doubts else ""
    yield f"{term.meter}.{term.direction}: {energy}{off}, {term.quality} by {term.method}{why}"
    if term.begin_register_wh is not None and term.end_register_wh is not None:
        moved_wh = term.end_register_wh - term.begin_register_wh
        yield (
            f"  register {_kwh(term.begin_register_wh)} at {clock.seconds(story.start_s)}, "
            f"{_kwh(term.end_register_wh)} at "
            f"{clock.seconds(story.start_s + story.length_s)}: {moved_wh:.3f} Wh"
        )
    if term.beyond_register_wh:
        yield f"  between the register's steps: {term.beyond_register_wh:+.3f} Wh"
    expected = f" of {term.expected_samples}" if term.expected_samples else ""
    yield (
        f"  samples {term.samples}{expected}, longest gap {term.largest_gap_s:g} s, "
        f"{term.coverage:.1%} covered; clock: {term.clock}; serial number: "
        f"{term.serial_number or 'none'}; revision {term.revision}"
    )


def _kwh(energy_wh: float) -> str:
    return f"{energy_wh / 1000:,.3f} kWh"


def _delivery(each: Delivery, clock: _Clock) -> str:
    text = f"{each.destination}, {each.kind}, revision {each.revision}: {each.energy_wh:.3f} Wh"
    if each.first_sent_s is not None:
        tries = "" if each.attempts <= 1 else f" ({each.attempts} tries)"
        text += f"; sent {clock.seconds(each.first_sent_s)}{tries}"
    text += f"; {each.state}"
    if each.decided_s is not None:
        text += f" {clock.seconds(each.decided_s)}"
        if each.first_sent_s is not None and each.decided_s >= each.first_sent_s:
            text += f", after {each.decided_s - each.first_sent_s:.1f} s"
    if each.answer:
        text += f'; answered "{each.answer}"'
    if each.reason:
        text += f"; {each.reason}"
    if each.confirmed_s is not None:
        text += f"; asked again {clock.seconds(each.confirmed_s)}: the same number is held"
    elif each.held_wh is not None:
        text += f"; asked again: {each.held_wh:.3f} Wh are held"
    return text
