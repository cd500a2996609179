"""All homes as small squares, each in its place: which of them are not well is seen at a glance.
Pure.

Homes stand in the order of their names. A state is a size as well as a colour. Squares of one state
that stand beside each other are one dashed line: ten thousand homes are some kilobytes.
"""

from collections.abc import Sequence
from math import ceil, sqrt

from gateway.fleet.page.answers import SEVERITIES, Judged, Severity
from gateway.page.frame import Reader
from gateway.page.markup import Markup, number, tag

_STEP = 12
"""From one square to the next."""
_SIZES: dict[Severity, int] = {"bad": 11, "warn": 9, "note": 7, "well": 5}
_WIDEST_PX = 28
"""A square is never larger: ten homes do not fill a screen."""
MOST_LINKS = 120
"""Squares that lead to their homes: those that are not well first. The list has all."""


def homes_map(reader: Reader, homes: Sequence[Judged], name: str) -> Markup:
    """The picture. `name` says the same in words."""
    columns = min(max(ceil(sqrt(len(homes) * 3.2)), 12), 140)
    rows = max(ceil(len(homes) / columns), 1)
    return tag(
        "svg",
        tag("title", name),
        *(_squares(homes, columns, severity) for severity in reversed(SEVERITIES)),
        tag("g", *_links(reader, homes, columns), aria_hidden="true"),
        class_="homes",
        viewBox=f"0 0 {columns * _STEP} {rows * _STEP}",
        width=columns * _WIDEST_PX,
        role="img",
        aria_label=name,
    )


def _squares(homes: Sequence[Judged], columns: int, severity: Severity) -> Markup | None:
    size = _SIZES[severity]
    pieces = []
    run = 0
    for n, each in enumerate([*homes, None]):
        is_one = each is not None and each.severity == severity
        if run and (not is_one or n % columns == 0):
            begin = n - run
            x = begin % columns * _STEP + (_STEP - size) / 2
            y = begin // columns * _STEP + _STEP / 2
            pieces.append(f"M{number(x)} {number(y)}h{run * _STEP - (_STEP - size)}")
            run = 0
        run += is_one
    if not pieces:
        return None
    return tag(
        "path",
        class_=f"s{severity}",
        d="".join(pieces),
        stroke_width=size,
        stroke_dasharray=f"{size} {_STEP - size}",
    )


def _links(reader: Reader, homes: Sequence[Judged], columns: int) -> list[Markup]:
    """What one points at; those who are read to, and who have a finger, have the list."""
    order = sorted(range(len(homes)), key=lambda n: SEVERITIES.index(homes[n].severity))
    found = []
    for n in sorted(order[:MOST_LINKS]):
        home = homes[n]
        said = ", ".join(reader.words(f"fleet.state.{each.kind}") for each in home.troubles[:3])
        title = f"{home.home.name}: {said or reader.words('fleet.state.well')}"
        x, y = n % columns * _STEP, n // columns * _STEP
        box = tag(
            "path", tag("title", title), class_="hit", d=f"M{x} {y}h{_STEP}v{_STEP}h-{_STEP}z"
        )
        href = f"{reader.root}sites/{home.home.name}"
        found.append(tag("a", box, href=href, tabindex=-1))
    return found


def legend(reader: Reader, severities: Sequence[Severity]) -> Markup:
    """What sizes and colours mean: those that there are."""
    items = []
    for severity in severities:
        size = _SIZES[severity]
        at = (12 - size) / 2
        square = tag("rect", x=at, y=at, width=size, height=size, class_=f"s{severity}")
        box = tag("svg", square, viewBox="0 0 12 12", aria_hidden="true")
        items.append(tag("li", box, reader.words(f"fleet.map.{severity}")))
    return tag("ul", *items, class_="key")
