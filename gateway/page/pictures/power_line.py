"""Power over time, as a line of steps: a slot's samples, or a meter's last 24 hours. Pure."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from gateway.page.markup import Markup, number, tag
from gateway.page.pictures.chart import chart, hours, round_up, rule, stretched
from gateway.page.words import Words

_UNITS = 600.0
_TALL = 130.0


class Line(Struct, frozen=True, kw_only=True):
    """What is drawn between two times."""

    name: str
    start_s: float
    end_s: float
    points: Sequence[tuple[float, float]]
    """(time in s, W)"""
    gaps: Sequence[tuple[float, float]] = ()
    """From when to when nothing was heard."""
    ticks_s: Sequence[float] = ()
    """When the register was seen to step."""
    marks: Sequence[tuple[float, str]] = ()
    colour: str = "house"
    joined_s: float = 0.0
    """Points that are further apart than this have a gap between them; 0: `gaps` says all."""


def power_line(line: Line, words: Words) -> Markup:
    """The chart. Zero is always in it: a line without it would exaggerate."""
    top = max((w for _, w in line.points), default=0.0)
    bottom = min((w for _, w in line.points), default=0.0)
    above = round_up(top) if top > 0 else 0.0
    below = round_up(-bottom) if bottom < 0 else 0.0
    per_w = (_TALL - 18) / ((above + below) or 1.0)
    zero = 14 + above * per_w
    inside = [
        *_shades(line),
        *_area(line, zero, per_w),
        *_ticks(line),
    ]
    rules = [*rule(zero, words.power(0), class_="rule zero")]
    if above * per_w > 20:
        rules += [*rule(zero - above * per_w, words.power(above))]
    if below * per_w > 20:
        rules += [*rule(zero + below * per_w, words.power(-below))]
    return chart(
        line.name,
        int(_TALL) + 26,
        stretched(_UNITS, _TALL + 4, *inside),
        rules,
        hours(line.marks, _TALL + 22),
    )


def _x(line: Line, at_s: float) -> float:
    share = (at_s - line.start_s) / (line.end_s - line.start_s)
    return min(max(share, 0.0), 1.0) * _UNITS


def _shades(line: Line) -> Iterator[Markup]:
    for since_s, until_s in line.gaps:
        left, right = _x(line, since_s), _x(line, until_s)
        box = f"M{number(left)} 2h{number(right - left)}v{number(_TALL - 4)}H{number(left)}z"
        yield tag("path", class_="unknown", d=box)


def _area(line: Line, zero: float, per_w: float) -> Iterator[Markup]:
    """Each power holds until the next sample: so it is drawn."""
    strokes: list[str] = []
    fills: list[str] = []
    for piece in _pieces(line):
        first_x = number(_x(line, piece[0][0]))
        steps = f"V{number(zero - piece[0][1] * per_w)}"
        for at_s, power_w in piece[1:]:
            steps += f"H{number(_x(line, at_s))}V{number(zero - power_w * per_w)}"
        strokes.append(f"M{first_x} {steps[1:].partition('H')[0]}" + _rest(steps))
        last_x = number(_x(line, piece[-1][0]))
        fills.append(f"M{first_x} {number(zero)}{steps}H{last_x}V{number(zero)}z")
    if strokes:
        yield tag("path", class_=f"area {line.colour}", d="".join(fills))
        yield tag("path", class_=f"stroke {line.colour}", d="".join(strokes))


def _rest(steps: str) -> str:
    _, mark, rest = steps.partition("H")
    return mark + rest


def _pieces(line: Line) -> Iterator[list[tuple[float, float]]]:
    """The points, cut where nothing was heard between two."""
    piece: list[tuple[float, float]] = []
    for at_s, power_w in line.points:
        if piece and _is_cut(line, piece[-1][0], at_s):
            yield piece
            piece = []
        piece.append((at_s, power_w))
    if piece:
        yield piece


def _is_cut(line: Line, before_s: float, at_s: float) -> bool:
    if line.joined_s and at_s - before_s > line.joined_s:
        return True
    return any(before_s <= since_s and until_s <= at_s for since_s, until_s in line.gaps)


def _ticks(line: Line) -> Iterator[Markup]:
    pieces = [f"M{number(_x(line, at_s))} {number(_TALL)}v-7" for at_s in line.ticks_s]
    if pieces:
        yield tag("path", class_="tick", d="".join(pieces))
