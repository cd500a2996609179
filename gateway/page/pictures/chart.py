"""What all charts are made of. Pure.

A chart is an SVG without a view box, so that its letters keep their size however wide it is. What
is stretched to its width is an SVG inside, with units of its own.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from math import floor, log10

from gateway.page.markup import Child, Markup, number, tag


def chart(name: str, height: int, *inside: Child, about: str = "") -> Markup:
    """A picture with a name and, where it needs one, a longer text for those who are read to."""
    return tag(
        "svg",
        tag("title", name),
        tag("desc", about) if about else None,
        *inside,
        class_="chart",
        height=height,
        role="img",
        aria_label=name,
    )


def stretched(
    units: float, height: float, *inside: Child, top: float = 0, tall: float | None = None
) -> Markup:
    """What is stretched to the width of the chart: `units` wide, `height` high in its own measure,
    `tall` pixels high in the chart's.
    """
    return tag(
        "svg",
        *inside,
        x=0,
        y=top,
        width="100%",
        height=height if tall is None else tall,
        viewBox=f"0 0 {number(units)} {number(height)}",
        preserveAspectRatio="none",
    )


_STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


def round_up(value: float) -> float:
    """The next of 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8 and 10, times a power of ten."""
    if value <= 0:
        return 1.0
    step = 10.0 ** floor(log10(value))
    return next(step * each for each in _STEPS if value <= step * each * 1.0001)


def rule(y: float, label: str = "", class_: str = "rule") -> Iterator[Markup]:
    """A line across the chart, and what it stands for."""
    yield tag("line", class_=class_, x1=0, x2="100%", y1=y, y2=y)
    if label:
        yield tag("text", label, class_="y", x=2, y=y - 4)


def hours(words: Iterable[tuple[float, str]], y: float) -> Iterator[Markup]:
    """What stands below a chart, by its share of the width."""
    for share, text in words:
        anchor = "start" if share < 0.02 else "end" if share > 0.98 else "middle"
        yield tag("text", text, class_="x", x=f"{number(share * 100)}%", y=y, text_anchor=anchor)


def runs(letters: str) -> Iterator[tuple[str, int, int]]:
    """Each letter with where it begins and how often it comes in a row."""
    at = 0
    for letter, group in groupby(letters):
        length = sum(1 for _ in group)
        yield letter, at, length
        at += length
