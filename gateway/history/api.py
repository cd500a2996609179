"""`/api/v1`: every answer as JSON, a day as CSV, and what changes as a stream.

What is in an answer does not change its meaning or go away within a version; more may come.
`docs/reference/api.md` is made from what is said here and in `answers.py`.
"""

import io
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec import json

from gateway.history.answers import (
    Column,
    Day,
    Events,
    ExchangeNow,
    MeterNow,
    MeterStory,
    Month,
    Now,
    SlotStory,
)
from gateway.history.history import History
from gateway.history.home import day_from, month_from, shown
from gateway.history.live import Live
from gateway.history.refusals import NotThere, Refusal, Unclear
from gateway.monitoring.asked import Answer, Question
from gateway.monitoring.door import TurnedAway
from gateway.site.timezone import zone_of

PREFIX = "/api/v1/"
JSON = "application/json"
EVENTS = "text/event-stream"


class Route(NamedTuple):
    """One address of the API, below `PREFIX`."""

    path: str
    """What is in angle brackets is chosen by who asks."""
    meaning: str
    says: object
    """The type of its answer, or its content type."""


ROUTES = (
    Route("now", "What is now, and how the day has gone so far.", Now),
    Route("days/<day>", "One local day, such as `2026-11-28`, slot by slot.", Day),
    Route(
        "days/<day>.csv",
        "The same as a table: a row for each slot; of every asset and each direction of a meter "
        "its energy in Wh, by how much that may be off, and how it is known.",
        "text/csv",
    ),
    Route("months/<month>", "One local month, such as `2026-11`, day by day.", Month),
    Route(
        "slots/<asset>/<start_s>",
        "Why a slot is what it is; the asset by its UUID or name, the start in Unix seconds.",
        SlotStory,
    ),
    Route("meters", "Every meter.", list[MeterNow]),
    Route("meters/<name>", "One meter's last 24 hours.", MeterStory),
    Route("exchange", "All destinations, the exchange first.", ExchangeNow),
    Route(
        "events",
        "The newest events. `?before=<id>`: those before one; `?meter=<name>`: those of one meter.",
        Events,
    ),
    Route("live", "What changes, as it happens.", EVENTS),
)
"""All of it."""


class Api:
    """Brings `/api/v1` to the server."""

    posts: Collection[str] = ()

    def __init__(self, history: History, live: Live) -> None:
        self._history = history
        self._live = live

    async def answer(self, question: Question) -> Answer | None:
        """As `Pages.answer`."""
        if not question.path.startswith(PREFIX):
            return None
        parts = question.path.removeprefix(PREFIX).split("/")
        try:
            if parts == ["live"]:
                stream = None if question.method == "HEAD" else self._live.stream()
                return Answer(200, b"", EVENTS, stream=stream)
            if parts[0] == "days" and parts[-1].endswith(".csv"):
                parts = [*parts[:-1], parts[-1].removesuffix(".csv")]
                return _as_csv(await self._said(parts, question))
            return Answer(200, json.encode(await self._said(parts, question)), JSON, keep="ask")
        except Refusal as error:
            return Answer(error.status, json.encode({"error": str(error)}), JSON)

    async def outside(self, question: Question, away: TurnedAway) -> Answer | None:
        """Nothing is told to who is turned away."""

    async def _said(self, parts: Sequence[str], question: Question) -> object:
        """What is asked for. Raises Refusal."""
        history = self._history
        match parts:
            case ["now"]:
                return await history.now()
            case ["days", day]:
                return await history.day(day_from(day))
            case ["months", month]:
                return await history.month(month_from(month))
            case ["slots", asset, start]:
                start_s = number_from(start, "the start of a slot, in Unix seconds")
                return await history.slot(asset, start_s)
            case ["meters"]:
                return await history.meters()
            case ["meters", name]:
                return await history.meter(name)
            case ["exchange"]:
                return await history.exchange()
            case ["events"]:
                before = question.query.get("before")
                number = None if before is None else number_from(before, "the id of an event")
                return await history.events(number, question.query.get("meter"))
        known = ", ".join(PREFIX + route.path for route in ROUTES)
        raise NotThere(f"there is no {shown(question.path)}; there are {known}")


def number_from(text: str, what: str) -> int:
    """A whole number as it is in an address. Raises Unclear."""
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Unclear(f"{shown(text)} is not {what}: a whole number")
    return int(text)


def _as_csv(day: object) -> Answer:
    assert isinstance(day, Day)
    name = {"Content-Disposition": f'attachment; filename="{day.day}.csv"'}
    return Answer(200, csv_of(day).encode(), "text/csv; charset=utf-8", more=name, keep="ask")


# --- CSV ------------------------------------------------------------------------------------------


def csv_of(day: Day) -> str:
    """A day as a table (RFC 4180)."""
    import csv  # memory that is rarely needed

    columns = [*day.assets, *day.meters]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        ["start_utc", "start_local", *(head for each in columns for head in _heads(each))]
    )
    zone = zone_of(day.zone)
    for n in range(day.slots):
        at = datetime.fromtimestamp(day.start_s + n * day.slot_s, UTC)
        cells: list[Any] = [f"{at:%Y-%m-%dT%H:%M:%SZ}", at.astimezone(zone).isoformat()]
        for each in columns:
            cells += [each.wh[n], each.uncertainty_wh[n], _QUALITY[each.quality[n]]]
        writer.writerow(cells)
    return text.getvalue()


_QUALITY = {"m": "measured", "e": "estimated", "p": "partial", "x": "missing", ".": ""}


def _heads(column: Column) -> tuple[str, str, str]:
    """A name that begins like a formula is none to a spreadsheet with an apostrophe before it."""
    name = column.id if "." in column.id else column.title
    name = f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name
    return f"{name} Wh", f"{name} ± Wh", f"{name} quality"
