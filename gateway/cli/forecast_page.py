"""Forecasts beside what came of them, as a page with pictures, without scripts. Pure."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from gateway.cli.forecast_account import Account
from gateway.cli.forecast_table import COLUMNS, score_cells
from gateway.cli.pictures import (
    HEIGHT,
    WIDTH,
    Scale,
    Times,
    grid,
    head,
    round_up,
)
from gateway.energy.forecast_errors import Beside

MOST_POINTS = 2016
"""Three weeks of slots of 15 minutes. Where there are more, a point is the mean of several."""

_STYLE = """.measured { --of: #0072b2 } .forecast { --of: #d55e00 } .soft { opacity: .7 }
@media (prefers-color-scheme: dark) { .measured { --of: #56b4e9 } .forecast { --of: #e69f00 } }
path { fill: none; stroke: var(--of); stroke-width: 1.5 } .key { background: var(--of) }
path.band { fill: var(--of); stroke: none; opacity: .25 } .key.band { height: .8em; opacity: .35 }
.wide { overflow-x: auto } svg { min-width: 640px } td, th { white-space: nowrap }
"""


@dataclass(frozen=True, slots=True)
class Point:
    """Some slots in a row, in Wh of a slot; None where nothing is known."""

    start_s: int
    end_s: int
    measured: float | None
    forecast: float | None
    low: float | None
    high: float | None


def page(site: str, accounts: Sequence[tuple[Account, Sequence[Beside]]], zone: tzinfo) -> str:
    """The page: of each asset a picture of its slots, and how far forecasts were off."""
    title = f"Forecasts of {html.escape(site)}"
    parts = [head(title, _STYLE), f"<h1>{title}</h1>", f"<p>{_legend()}</p>"]
    for account, slots in accounts:
        parts.append(f"<h2>{html.escape(account.asset.name)}</h2>")
        parts.append(f"<p>{html.escape(_about(account))}</p>")
        points = points_of(slots)
        parts.append(_picture(account, points, zone) if points else _nothing())
        parts.append(_table(account))
    parts.append(
        '<p class="soft">Wh of a slot. Mean error: of the forecast that stood when a slot began, '
        "beside those that take an earlier slot as it was, as they could have been sent for the "
        "same slots. In the band: of 100 slots 80 should be.</p>"
    )
    return "\n".join((*parts, "</html>\n"))


def points_of(slots: Sequence[Beside]) -> list[Point]:
    """At most `MOST_POINTS`."""
    width = -(-len(slots) // MOST_POINTS) or 1
    return [_point(slots[n : n + width]) for n in range(0, len(slots), width)]


def _point(several: Sequence[Beside]) -> Point:
    slots = [each.slot for each in several]
    return Point(
        slots[0].start_s,
        slots[-1].start_s + slots[-1].length_s,
        _mean([each.energy_uwh for each in several]),
        _mean([slot.forecast_uwh for slot in slots]),
        _mean([slot.forecast_low_uwh for slot in slots]),
        _mean([slot.forecast_high_uwh for slot in slots]),
    )


def _mean(energies_uwh: Sequence[int | None]) -> float | None:
    known = [uwh for uwh in energies_uwh if uwh is not None]
    return sum(known) / len(known) / 1e6 if known else None


def _legend() -> str:
    keys = (
        ("measured", "measured"),
        ("forecast", "forecast"),
        ("forecast band", "the band in which 80 % of slots should be"),
    )
    return " ".join(f'<span class="key {kind}"></span>{text}' for kind, text in keys)


def _about(account: Account) -> str:
    text = account.words[0].upper() + account.words[1:]
    cost = account.cost
    cost = f" {cost[0].upper()}{cost[1:]}." if cost else ""
    return f"{text}. Energy: {account.asset.energy}.{cost}"


def _nothing() -> str:
    return "<p>No slot of these days is kept.</p>"


# --- the picture ----------------------------------------------------------------------------------


def _picture(account: Account, points: Sequence[Point], zone: tzinfo) -> str:
    highest = max(
        (value for p in points for value in (p.measured, p.forecast, p.high) if value is not None),
        default=0.0,
    )
    scale = Scale(0, round_up(highest), 10, HEIGHT)
    times = Times(points[0].start_s, points[-1].end_s)
    bottom = 10 + HEIGHT
    parts = [f'<div class="wide"><svg viewBox="0 0 {WIDTH} {bottom + 24}" role="img">']
    parts.append(f"<title>Forecast and measurement of {html.escape(account.asset.name)}</title>")
    parts += grid(scale, "Wh")
    parts += _dates(points, times, bottom, zone)
    parts += _band(points, times, scale)
    measured = [point.measured for point in points]
    forecast = [point.forecast for point in points]
    parts.append(_steps(points, measured, times, scale, "measured"))
    parts.append(_steps(points, forecast, times, scale, "forecast"))
    return "".join((*parts, "</svg></div>"))


def _dates(points: Sequence[Point], times: Times, bottom: int, zone: tzinfo) -> Iterator[str]:
    """By the site's clocks."""
    span_s = times.end_s - times.begin_s
    form = "%H:%M:%S" if span_s <= 900 else "%H:%M" if span_s <= 86_400 else "%a %H:%M"
    form = "%d %b" if span_s > 5 * 86_400 else form
    count = min(7, len(points))
    for n in range(count):
        at_s = points[n * len(points) // count].start_s
        text = datetime.fromtimestamp(at_s, UTC).astimezone(zone).strftime(form)
        x = times.x(at_s)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="10" y2="{bottom}"/>'
        yield f'<text x="{x}" y="{bottom + 16}">{text}</text>'


def _band(points: Sequence[Point], times: Times, scale: Scale) -> Iterator[str]:
    """A shape for each run of points that follow each other."""
    run: list[Point] = []
    for point in (*points, None):
        follows = not run or (point is not None and point.start_s == run[-1].end_s)
        if point is None or point.low is None or point.high is None or not follows:
            if run:
                yield _shape(run, times, scale)
            run = []
        if point is not None and point.low is not None and point.high is not None:
            run.append(point)


def _shape(run: Sequence[Point], times: Times, scale: Scale) -> str:
    above = "".join(f"V{scale.y(p.high or 0)}H{times.x(p.end_s)}" for p in run)
    below = "".join(f"V{scale.y(p.low or 0)}H{times.x(p.start_s)}" for p in reversed(run))
    start = f"M{times.x(run[0].start_s)} {scale.y(run[0].low or 0)}"
    return f'<path class="forecast band" d="{start}{above}{below}Z"/>'


def _steps(
    points: Sequence[Point],
    values: Sequence[float | None],
    times: Times,
    scale: Scale,
    kind: str,
) -> str:
    """A line in steps, which is interrupted where nothing is known."""
    path: list[str] = []
    end_s: int | None = None
    for point, value in zip(points, values, strict=True):
        if value is None:
            end_s = None
            continue
        y = scale.y(value)
        path.append(f"V{y}" if end_s == point.start_s else f"M{times.x(point.start_s)} {y}")
        path.append(f"H{times.x(point.end_s)}")
        end_s = point.end_s
    return f'<path class="{kind}" d="{"".join(path)}"/>'


def _table(account: Account) -> str:
    names = COLUMNS[1:]
    rows = [score_cells(days, score) for days, score in account.scores.items()]
    header = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{header}</tr>{body}</table></div>'
