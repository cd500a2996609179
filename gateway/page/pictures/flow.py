"""Where power comes from and goes to, now. Pure.

The house is in the middle, what it draws from and gives to around it. A wire is as thick as its
power, its arrow says in which direction; a node without a current value is dashed and says since
when.
"""

from collections.abc import Sequence
from math import hypot

from msgspec import Struct

from gateway.history.answers import Node, Role
from gateway.page.markup import Markup, number, tag
from gateway.page.pictures.icons import icon
from gateway.page.words import NOTHING, Words

MOST_NODES = 6
_WIDE = 360
_RADIUS = 39.0
_LEAST_W = 0.5
_LONGEST = 14
"""Letters of a title that fit below a node."""


class _Place(Struct, frozen=True):
    x: float
    y: float
    label: str = "below"
    """Where its title stands: below or beside."""


_HOUSE = _Place(180, 178)
_TOP, _LEFT, _RIGHT = _Place(180, 42, "beside"), _Place(42, 178), _Place(318, 178)
_UPPER = (_Place(318, 62), _Place(42, 62))
_LOWER = (_Place(254, 308), _Place(106, 308))
_AROUND: dict[Role, tuple[_Place, ...]] = {
    "sun": (_TOP, *_UPPER),
    "grid": (_LEFT, _UPPER[1]),
    "battery": (_RIGHT, *_LOWER),
    "other": (_RIGHT, *_LOWER, *_UPPER, _LEFT, _TOP),
    "house": (*_LOWER, _RIGHT, *_UPPER),
}
_ORDER: tuple[Role, ...] = ("sun", "grid", "battery", "house", "other")


def shown(nodes: Sequence[Node]) -> list[Node]:
    """Those that are drawn: the house first, then by what they are, then by how much they use."""
    ranked = sorted(
        nodes,
        key=lambda node: (
            _ORDER.index(node.role) if node.role != "house" else -1,
            -abs(node.power_w or 0.0),
        ),
    )
    return ranked[:MOST_NODES]


def flow(nodes: Sequence[Node], words: Words) -> Markup:
    """The picture of those that `shown` names."""
    drawn = shown(nodes)
    placed = _placed(drawn)
    most_w = max((abs(node.power_w or 0.0) for node, _ in placed), default=0.0)
    height = max((place.y for _, place in placed), default=178) + 78
    wires = [_wire(node, place, most_w) for node, place in placed if place != _HOUSE]
    without_house = all(node.role != "house" for node, _ in placed)
    return tag(
        "svg",
        tag("title", spoken_flow(drawn, words), data_k="flow.title"),
        *wires,
        _bare_house() if without_house and placed else None,
        *(_node(node, place, words) for node, place in placed),
        class_="flow",
        viewBox=f"0 0 {_WIDE} {number(height)}",
        role="img",
        aria_label=spoken_flow(drawn, words),
    )


def spoken_flow(nodes: Sequence[Node], words: Words) -> str:
    """The same in words."""
    parts = [
        words("flow.node", title=node.title, power=power_words(node, words))
        if node.power_w is not None
        else words("flow.node", title=node.title, power=words("flow.unknown"))
        for node in nodes
    ]
    return words("flow.name", nodes="; ".join(parts)) if parts else words("flow.nothing")


def power_words(node: Node, words: Words) -> str:
    """Its power, with what that means for such a node."""
    power = words.power(abs(node.power_w)) if node.power_w is not None else NOTHING
    return words(f"flow.{node.role}.{direction(node)}", power=power)


def direction(node: Node) -> str:
    """in: it draws; out: it gives; still: neither, or not known. What comes from the grid is `in`:
    so the meter there has it.
    """
    gives = node.role in ("sun", "battery")
    return {"up": "out" if gives else "in", "down": "in" if gives else "out"}.get(
        sign_of(node), "still"
    )


def sign_of(node: Node) -> str:
    """up: its power is positive; down: negative; still; none: nothing current is known. The script
    of the page knows them, too.
    """
    if node.power_w is None:
        return "none"
    if abs(node.power_w) < _LEAST_W:
        return "still"
    return "up" if node.power_w > 0 else "down"


def _placed(nodes: Sequence[Node]) -> list[tuple[Node, _Place]]:
    free: dict[Role, list[_Place]] = {role: list(places) for role, places in _AROUND.items()}
    taken: set[_Place] = set()
    found = []
    for n, node in enumerate(nodes):
        if node.role == "house" and n == 0:
            place = _HOUSE
        else:
            spots = [p for p in (*free[node.role], *_AROUND["other"]) if p not in taken]
            place = spots[0]
        taken.add(place)
        found.append((node, place))
    return found


def _wire(node: Node, place: _Place, most_w: float) -> Markup:
    """From that node to the house, or from the house to it."""
    dx, dy = _HOUSE.x - place.x, _HOUSE.y - place.y
    length = hypot(dx, dy)
    ux, uy = dx / length, dy / length
    begin = (place.x + ux * (_RADIUS + 3), place.y + uy * (_RADIUS + 3))
    end = (_HOUSE.x - ux * (_RADIUS + 9), _HOUSE.y - uy * (_RADIUS + 9))
    # What the meter at the grid draws comes to the house; what another node draws comes from it.
    way = direction(node)
    to_house = (way == "in") == (node.role == "grid")
    if way != "still" and not to_house:
        begin, end = end, begin
        ux, uy = -ux, -uy
    path = f"M{number(begin[0])} {number(begin[1])}L{number(end[0])} {number(end[1])}"
    if way == "still":
        return tag("path", class_="wire", d=path)
    share = abs(node.power_w or 0.0) / most_w if most_w else 0.0
    thick = f"w{1 + round(share * 3)}"
    mx, my = (begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2
    tip = (mx + ux * 6, my + uy * 6)
    sides = [(mx - ux * 4 + s * uy * 6, my - uy * 4 - s * ux * 6) for s in (1, -1)]
    arrow = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in (sides[0], tip, sides[1]))
    colour = _colour(node)
    return tag(
        "g",
        tag("path", class_=f"wire {colour} {thick}", d=path),
        tag("path", class_=f"pulse {thick}", d=path),
        tag("path", class_=f"arrow {colour}", d=arrow),
    )


def _colour(node: Node) -> str:
    if node.role == "grid":
        return "to" if direction(node) == "out" else "from"
    return node.role


def _node(node: Node, place: _Place, words: Words) -> Markup:
    radius = _RADIUS + 6 if place == _HOUSE else _RADIUS
    stale = node.power_w is None
    x, y, anchor = place.x, place.y + radius + 17, "middle"
    if place.label == "beside":
        x, y, anchor = place.x + radius + 8, place.y - 2, "start"
    value = words.power(abs(node.power_w)) if node.power_w is not None else NOTHING
    parts = [
        tag("circle", cx=place.x, cy=place.y, r=radius),
        icon(node.role, x=place.x - 11, y=place.y - 28, width=22, height=22),
        tag(
            "text",
            value,
            class_="v",
            x=place.x,
            y=place.y + 15,
            data_k=f"w.{node.id}",
        ),
        tag(
            "text",
            _title(node, words),
            class_="t",
            x=x,
            y=y,
            text_anchor=anchor,
            data_k=f"t.{node.id}",
        ),
        tag(
            "text",
            _since(node, words),
            class_="s",
            x=x,
            y=y + 15,
            text_anchor=anchor,
            data_k=f"s.{node.id}",
        ),
    ]
    kind = "none" if stale else "now"
    return tag("g", *parts, class_=f"node {_colour(node)} {kind}", data_way=sign_of(node))


def _bare_house() -> Markup:
    return tag(
        "g",
        tag("circle", cx=_HOUSE.x, cy=_HOUSE.y, r=_RADIUS - 6),
        icon("house", x=_HOUSE.x - 12, y=_HOUSE.y - 12, width=24, height=24),
        class_="node house bare",
    )


def _title(node: Node, words: Words) -> str:
    if node.role == "grid" and direction(node) != "still":
        return words(f"flow.grid.title.{direction(node)}")
    title = " ".join(node.title.split())
    return title if len(title) <= _LONGEST else f"{title[: _LONGEST - 1].rstrip()}…"


def _since(node: Node, words: Words) -> str:
    """What is said of a node without a current value; empty where it has one."""
    if node.power_w is not None or node.stale_since_s is None:
        return ""
    if node.stale_power_w is None:
        return words("flow.since", clock=words.moment(node.stale_since_s))
    power = words.power(abs(node.stale_power_w))
    return words("flow.was", power=power, clock=words.moment(node.stale_since_s))
