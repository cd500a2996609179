"""Energy, slot by slot or day by day: what came above the line, what went below it. Pure.

Each class of quality is one path: read by the meter is plain, estimated is hatched, partly metered
is pale, unknown is a dotted column. A whisker says by how much a bar may be off.
"""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from gateway.page.markup import Markup, number, tag
from gateway.page.pictures.chart import chart, hours, round_up, rule, runs, stretched

_UNIT = 7.0
"""Width of a bar with what is between it and the next one …"""
_BAR = 6.0
"""… and without that."""
_LEAST_WHISKER = 3.0
"""Pixels from end to end: a shorter one would be a dot."""

HATCH = {"e": "estimated", "p": "partial"}


class Layer(Struct, frozen=True, kw_only=True):
    """One thing that bars are made of. Layers above the line stand on each other."""

    colour: str
    """The class of its colour: sun, from, to, house, battery, other."""
    wh: Sequence[float | None]
    below: bool = False
    off_wh: Sequence[float | None] = ()
    """By how much each may be off, either way; empty: nobody says."""


class Bars(Struct, frozen=True, kw_only=True):
    """A chart of bars. All lists are equally long."""

    name: str
    about: str
    layers: Sequence[Layer]
    quality: str
    """A letter for each bar: m, e, p, x, or . for one that is not there yet."""
    delivery: str = ""
    """A letter for each bar; empty: there is no strip."""
    expected_wh: Sequence[float | None] = ()
    marks: Sequence[tuple[float, str]] = ()
    """What stands below, by its share of the width."""
    now: float | None = None
    """Where now is, as a share of the width."""
    titles: Sequence[str] = ()
    """What is said of each bar where one points at it."""
    links: Sequence[str] = ()
    height: int = 190
    scale: Callable[[float], str] = str
    """How an energy in Wh is written beside a rule."""


def bars(given: Bars) -> Markup:
    """The chart."""
    count = len(given.quality)
    above, below = _extent(given)
    strip = 14 if given.delivery else 0
    tall = given.height - 22 - strip
    per_wh = (tall - 16) / ((above + below) or 1.0)
    zero = 14 + above * per_wh if above else 14.0
    units = count * _UNIT

    inside = [
        _patterns(given),
        *_unknown(given.quality, tall),
        *_bars(given, zero, per_wh),
        *_expected(given, zero, per_wh),
        *_whiskers(given, zero, per_wh),
        *_hits(given, tall + strip),
    ]
    rules = [*rule(zero, class_="rule zero")]
    if above:
        rules += [*rule(zero - above * per_wh, given.scale(above))]
    if below * per_wh > 24:
        rules += [*rule(zero + below * per_wh, given.scale(-below))]
    if given.now is not None:
        share = f"{number(given.now * 100)}%"
        rules.append(tag("line", class_="nowline", x1=share, x2=share, y1=4, y2=tall + strip))
    return chart(
        given.name,
        given.height,
        rules[:2] if above else None,
        stretched(units, tall + strip, *inside),
        rules,
        stretched(units, 10, *_strip(given.delivery), top=tall + 4) if strip else None,
        hours(given.marks, given.height - 4),
        about=given.about,
    )


def _extent(given: Bars) -> tuple[float, float]:
    """The energy up to the top and down to the bottom, rounded up."""
    above = [0.0] * len(given.quality)
    below = [0.0] * len(given.quality)
    ends = {False: 0.0, True: 0.0}
    for layer in given.layers:
        for i, wh in enumerate(layer.wh):
            is_down = layer.below or (wh or 0.0) < 0
            side = below if is_down else above
            side[i] += abs(wh or 0.0)
            # A whisker that goes further has room, too; what stands on it only adds to that.
            ends[is_down] = max(ends[is_down], side[i] + _off(layer, i))
    top = max((ends[False], *(wh or 0.0 for wh in given.expected_wh)))
    bottom = ends[True]
    return (round_up(top) if top > 0 else 0.0, round_up(bottom) if bottom > 0 else 0.0)


def _off(layer: Layer, i: int) -> float:
    """By how much that bar may be off, where it is one."""
    return (layer.off_wh[i] or 0.0) if layer.off_wh and layer.wh[i] else 0.0


def _bars(given: Bars, zero: float, per_wh: float) -> Iterator[Markup]:
    stacked = [0.0] * len(given.quality)
    for layer in given.layers:
        paths: dict[str, list[str]] = {}
        for i, wh in enumerate(layer.wh):
            kind = given.quality[i]
            if not wh or kind in ".x":
                continue
            height = abs(wh) * per_wh
            from_y = zero - stacked[i]
            is_down = layer.below or wh < 0
            if not is_down:
                stacked[i] += height
            step = f"M{number(i * _UNIT + 0.5)} {number(zero if is_down else from_y)}"
            down = "" if is_down else "-"
            path = f"{step}v{down}{number(max(height, 0.6))}h{number(_BAR)}V"
            paths.setdefault(kind, []).append(f"{path}{number(zero if is_down else from_y)}z")
        for kind, pieces in paths.items():
            d = "".join(pieces)
            if kind in HATCH:
                # Without its colour's class, which would go before the pattern.
                fill = f"url(#{kind}-{layer.colour})"
                yield tag("path", class_=f"bar q{kind}", d=d, fill=fill)
            else:
                yield tag("path", class_=f"bar {layer.colour}", d=d)


def _patterns(given: Bars) -> Markup | None:
    """Hatches, in the colours that there are."""
    kinds = [kind for kind in HATCH if kind in given.quality]
    if not kinds:
        return None
    return tag(
        "defs",
        *(
            tag(
                "pattern",
                tag("rect", width=6, height=6, class_=f"{layer.colour} pale"),
                tag("path", d="M-1.5 1.5 1.5-1.5M0 6 6 0M4.5 7.5 7.5 4.5", class_=layer.colour)
                if kind == "e"
                else None,
                id=f"{kind}-{layer.colour}",
                width=6,
                height=6,
                patternUnits="userSpaceOnUse",
            )
            for kind in kinds
            for layer in given.layers
        ),
    )


def _unknown(quality: str, tall: float) -> Iterator[Markup]:
    """Columns of which nothing is known."""
    pieces = [
        f"M{number(at * _UNIT)} 2h{number(length * _UNIT)}v{number(tall - 4)}"
        f"h-{number(length * _UNIT)}z"
        for letter, at, length in runs(quality)
        if letter == "x"
    ]
    if pieces:
        yield tag("path", class_="unknown", d="".join(pieces))


def _whiskers(given: Bars, zero: float, per_wh: float) -> Iterator[Markup]:
    """By how much the end of a bar may be off."""
    stacked = [0.0] * len(given.quality)
    pieces = []
    for layer in given.layers:
        for i, wh in enumerate(layer.wh):
            off = _off(layer, i)
            is_down = layer.below or (wh or 0.0) < 0
            end = abs(wh or 0.0) if is_down else stacked[i] + (wh or 0.0)
            if not is_down:
                stacked[i] = end
            if not wh or not off or given.quality[i] in ".x" or 2 * off * per_wh < _LEAST_WHISKER:
                continue
            sign = -1 if is_down else 1
            top, bottom = (zero - sign * max(end + side * off, 0) * per_wh for side in (1, -1))
            middle = i * _UNIT + 0.5 + _BAR / 2
            pieces.append(f"M{number(middle)} {number(top)}V{number(bottom)}")
    if pieces:
        yield tag("path", class_="whisker", d="".join(pieces))


def _expected(given: Bars, zero: float, per_wh: float) -> Iterator[Markup]:
    """What was expected, as steps."""
    pieces = [
        f"M{number(i * _UNIT)} {number(zero - wh * per_wh)}h{number(_UNIT)}"
        for i, wh in enumerate(given.expected_wh)
        if wh is not None
    ]
    if pieces:
        yield tag("path", class_="expected", d="".join(pieces))


def _hits(given: Bars, tall: float) -> Iterator[Markup]:
    """What one points at; those who are read to have the table."""
    for i, (title, link) in enumerate(zip(given.titles, given.links, strict=True)):
        # As wide as the bar: the whole column answers.
        box = f"M{number(i * _UNIT)} 0h{number(_UNIT)}v{number(tall)}h-{number(_UNIT)}z"
        column = tag("path", tag("title", title), class_="hit", d=box)
        yield tag("a", column, href=link, tabindex=-1, aria_hidden="true")


STRIP_HEIGHTS = {"a": 3.0, "s": 3.0, "w": 6.0, "r": 10.0, "l": 10.0, "o": 1.5, "k": 1.5}
"""What is well is thin, what is not is thick: seen without colours, too."""


def _strip(letters: str, *, middle: bool = False) -> Iterator[Markup]:
    """How the slots' numbers were delivered: from the top down, or around the middle."""
    pieces: dict[str, list[str]] = {}
    for letter, at, length in runs(letters):
        if height := STRIP_HEIGHTS.get(letter):
            pieces.setdefault(letter, []).append(
                f"M{number(at * _UNIT)} {number((10 - height) / 2 if middle else 0)}"
                f"h{number(length * _UNIT - 1)}v{number(height)}"
                f"h-{number(length * _UNIT - 1)}z"
            )
    for letter, found in pieces.items():
        yield tag("path", class_=f"d{letter}", d="".join(found))


def delivery_row(name: str, letters: str) -> Markup:
    """One day of a week's grid."""
    units = max(len(letters), 1) * _UNIT
    return chart(name, 12, stretched(units, 10, *_strip(letters, middle=True), top=1))
