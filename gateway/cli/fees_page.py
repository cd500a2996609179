"""The fees of several models over past slots, as a page with pictures, without scripts. Pure."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from gateway.cli.pictures import (
    COLOURS,
    HEIGHT,
    LEFT,
    WIDTH,
    Scale,
    Times,
    grid,
    head,
    round_up,
    utc_minute,
)
from gateway.operator.fee import MILLION, UNITS
from gateway.operator.past_slots import Past
from gateway.operator.replay import Tally, Total, charged_fees, told_cents

ENERGY_HEIGHT, GAP = 90, 26

THEN = "#888888"
"""Of the fees that were charged."""

MOST_BARS = 960
"""A bar for each pixel; where there are more slots, the largest of those under it."""


def page(past: Past, tallies: Sequence[Tally]) -> str:
    """The page. `tallies` are the fees by model and market."""
    parts = [head("Grid fees"), "<h1>Grid fees, replayed</h1>", f"<p>{_about(past)}</p>"]
    colours = _colours(tallies)
    for market in dict.fromkeys(tally.market for tally in tallies):
        of_market = [tally for tally in tallies if tally.market == market]
        parts.append(f"<h2>{html.escape(market)}</h2>")
        parts.append(_legend(of_market, colours, has_then=any(_then(past, market))))
        parts.append(_picture(past, market, of_market, colours))
        totals = [tally.total() for tally in of_market]
        parts.append(_table(totals, told_cents(past, market)))
    return "\n".join((*parts, "</html>\n"))


def _about(past: Past) -> str:
    first, last = past.starts[0], past.starts[-1] + past.slot_s
    return (
        f"{len(past.starts)} slots from {utc_minute(first)} to {utc_minute(last)} UTC. Lines: the "
        "fee of each model. Bars: what flowed into the market (up) and out of it (down), kWh in a "
        "slot. Energies stay as they were. ct told: what the exchange says that the fees of then "
        "have brought."
    )


def _then(past: Past, market: str) -> list[float]:
    return [fee for fee in charged_fees(past, market) if fee is not None]


def _legend(tallies: Sequence[Tally], colours: Mapping[str, str], *, has_then: bool) -> str:
    keys = [(tally.model, colours[tally.model]) for tally in tallies]
    keys += [("charged then", THEN)] * has_then
    entries = (
        f'<span class="key" style="background:{colour}"></span>{html.escape(label)}'
        for label, colour in keys
    )
    return f"<p>{' '.join(entries)}</p>"


def _colours(tallies: Sequence[Tally]) -> Mapping[str, str]:
    """A model has the same colour in every market."""
    labels = dict.fromkeys(tally.model for tally in tallies)
    return {label: COLOURS[n % len(COLOURS)] for n, label in enumerate(labels)}


# --- the picture ----------------------------------------------------------------------------------


def _picture(past: Past, market: str, tallies: Sequence[Tally], colours: Mapping[str, str]) -> str:
    then = charged_fees(past, market)
    lines = [[micros / MILLION for micros in tally.fees] for tally in tallies]
    highest = max(*map(max, lines), *_then(past, market), 0)
    fees = Scale(0, round_up(highest), 10, HEIGHT)
    unit = UNITS[tallies[0].total().lowest.type]
    bottom = 10 + HEIGHT + GAP + ENERGY_HEIGHT

    parts = [f'<svg viewBox="0 0 {WIDTH} {bottom + 24}" role="img">']
    parts.append(f"<title>Fees of {html.escape(market)} in {unit}</title>")
    parts += grid(fees, unit)
    parts += _dates(past, bottom)
    parts += _bars(past, market, 10 + HEIGHT + GAP)
    if any(fee is not None for fee in then):
        parts.append(_line(past, then, fees, THEN, 'stroke-dasharray="4 3"'))
    for tally, line in zip(tallies, lines, strict=True):
        parts.append(_line(past, line, fees, colours[tally.model], ""))
    return "".join((*parts, "</svg>"))


def _x(past: Past, at_s: float) -> float:
    return Times(past.starts[0], past.starts[-1] + past.slot_s).x(at_s)


def _dates(past: Past, bottom: float) -> Iterator[str]:
    count = min(8, len(past.starts))
    days = (past.starts[-1] - past.starts[0]) / 86400
    form = "%H:%M" if days <= 1 else "%m-%d %H:%M" if days <= 14 else "%Y-%m-%d"
    for n in range(count):
        at_s = past.starts[n * len(past.starts) // count]
        text = datetime.fromtimestamp(at_s, UTC).strftime(form)
        x = _x(past, at_s)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="10" y2="{bottom}"/>'
        yield f'<text x="{x}" y="{bottom + 16}">{text}</text>'


def _line(past: Past, values: Sequence[float | None], scale: Scale, colour: str, extra: str) -> str:
    """A line in steps, which is interrupted where nothing is known."""
    path: list[str] = []
    before: float | None = None
    for start, value in zip(past.starts, values, strict=True):
        if value == before:
            continue
        x = _x(past, start)
        if before is not None:
            path.append(f"H{x}")
        if value is not None:
            path.append(f"{'V' if before is not None else f'M{x} '}{scale.y(value)}")
        before = value
    if before is not None:
        path.append(f"H{_x(past, past.starts[-1] + past.slot_s)}")
    return f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="1.8" {extra}/>'


def _bars(past: Past, market: str, top: float) -> Iterator[str]:
    """What flowed, import upwards and export downwards; or the load, where that is all there is."""
    flows = [(start, *_flow(past, market, start)) for start in past.starts]
    most = max((max(up, down) for _, up, down in flows), default=0.0)
    scale = Scale(-round_up(most), round_up(most), top, ENERGY_HEIGHT)
    yield f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{scale.high:g}</text>'
    yield f'<text x="{LEFT + 4}" y="{top + 10}">kWh</text>'

    width = max(1, math.ceil(len(flows) / MOST_BARS))
    path: list[str] = []
    for n in range(0, len(flows), width):
        several = flows[n : n + width]
        begin, end = _x(past, several[0][0]), _x(past, several[-1][0] + past.slot_s)
        up, down = max(each[1] for each in several), max(each[2] for each in several)
        if up or down:
            path.append(f"M{begin} {scale.y(up)}H{end}V{scale.y(-down)}H{begin}Z")
    yield f'<path class="bar" d="{"".join(path)}"/>'


def _flow(past: Past, market: str, start: int) -> tuple[float, float]:
    slot = past.markets[market].get(start)
    if slot is None:
        return 0.0, 0.0
    told = slot.statistics
    if told.import_kwh is None and told.export_kwh is None:
        load = slot.load_kwh or 0.0
        return max(load, 0.0), max(-load, 0.0)
    return told.import_kwh or 0.0, told.export_kwh or 0.0


# --- the table ------------------------------------------------------------------------------------


def _table(totals: Sequence[Total], told: float | None) -> str:
    """`told` is what the exchange says that the fees of then have brought."""
    unit = UNITS[totals[0].lowest.type]
    names = (
        "model",
        f"mean {unit}",
        "lowest",
        "highest",
        "changes",
        "fallback",
        "kWh",
        "ct",
        "ct told",
    )
    rows = [
        (
            html.escape(each.model),
            f"{each.mean:.3f}",
            each.lowest.text,
            each.highest.text,
            each.changes,
            each.fallbacks,
            f"{each.charged_kwh:.3f}",
            f"{each.cents:.2f}",
            "–" if told is None else f"{told:.2f}",
        )
        for each in totals
    ]
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
