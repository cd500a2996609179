"""The first page: which homes are not well, all homes, and the community's day. Pure."""

from collections.abc import Sequence
from urllib.parse import urlencode

from gateway.fleet.page.answers import SEVERITIES, CommunityDay, Fleet, Judged, WorstRow
from gateway.fleet.page.community import day_card
from gateway.fleet.page.map import homes_map, legend
from gateway.fleet.page.parts import ago, mood, pager, percent, tags, worst_table
from gateway.fleet.page.states import KINDS
from gateway.page.frame import Reader, card, document, table
from gateway.page.markup import Child, Markup, tag

PER_PAGE = 50
WORST_HERE = 5
MOST_TAGS = 3


def render(
    reader: Reader,
    fleet: Fleet,
    day: CommunityDay | None = None,
    worst: Sequence[WorstRow] = (),
    *,
    state: str = "",
    search: str = "",
    page: int = 1,
) -> Markup:
    """`state` and `search` say which homes are listed."""
    words = reader.words
    listed = chosen(fleet.homes, state, search)
    return document(
        reader,
        words("fleet.nav.homes"),
        mood(reader, fleet),
        _map(reader, fleet),
        None if state or search or page > 1 else _beside(reader, day, worst),
        _list(reader, fleet, listed, state, search, page),
        here="homes",
        heading=False,
        told=False,
        live=False,
    )


def chosen(homes: Sequence[Judged], state: str, search: str) -> list[Judged]:
    """Those in that state (a severity, or a kind of trouble), with that in their names; those that
    are not well first, then by name.
    """
    sought = search.casefold()
    found = [
        each
        for each in homes
        if sought in each.home.name.casefold()
        and (
            not state
            or each.severity == state
            or any(trouble.kind == state for trouble in each.troubles)
        )
    ]
    return sorted(found, key=lambda each: SEVERITIES.index(each.severity))


def _map(reader: Reader, fleet: Fleet) -> Child:
    words = reader.words
    if not fleet.homes:
        return card(words("fleet.nav.homes"), tag("p", words("fleet.none")), key="map")
    counts = fleet.severities
    there = [each for each in SEVERITIES if counts[each]]
    said = ", ".join(f"{words(f'fleet.map.{each}')}: {counts[each]}" for each in there)
    figures = [
        tag("div", tag("dt", words(f"fleet.map.{each}")), tag("dd", words.number(counts[each])))
        for each in SEVERITIES
        if counts[each] or each in ("bad", "well")
    ]
    return card(
        words("fleet.map", n=len(fleet.homes)),
        tag("dl", *figures, class_="figs four"),
        homes_map(reader, fleet.homes, said),
        legend(reader, there),
        key="map",
    )


def _list(
    reader: Reader, fleet: Fleet, listed: Sequence[Judged], state: str, search: str, page: int
) -> Markup:
    words = reader.words
    pages = max((len(listed) + PER_PAGE - 1) // PER_PAGE, 1)
    page = min(max(page, 1), pages)
    some = listed[(page - 1) * PER_PAGE : page * PER_PAGE]
    rows = [_row(reader, fleet, each) for each in some]
    heads = [
        words("fleet.head.home"),
        words("fleet.head.state"),
        words("fleet.head.slot"),
        words("fleet.head.coverage"),
        words("fleet.head.version"),
    ]
    inside: Child = tag("p", words("fleet.list.none"))
    if rows:
        made = table(heads, rows, name=words("fleet.list"), numbers=frozenset((2, 3)))
        inside = tag("div", made, class_="list")
    return card(
        words("fleet.list.some", n=len(listed)) if state or search else words("fleet.list"),
        _filters(reader, fleet, state, search),
        _search(reader, state, search),
        inside,
        pager(reader, {"state": state, "q": search}, page, pages),
        key="list",
    )


def _row(reader: Reader, fleet: Fleet, each: Judged) -> list[Child]:
    home = each.home
    return [
        reader.link(f"sites/{home.name}", home.name),
        tags(reader, each.troubles, most=MOST_TAGS),
        ago(reader.words, home.last_slot_s, fleet.at_s),
        percent(reader.words, home.known, home.expected),
        home.version or reader.words("fleet.nothing"),
    ]


def _filters(reader: Reader, fleet: Fleet, state: str, search: str) -> Markup:
    words = reader.words
    kinds = fleet.kinds
    choices = [("", words("fleet.all"), len(fleet.homes))]
    choices += [
        (kind, words(f"fleet.state.{kind}"), kinds[kind]) for kind in KINDS if kind in kinds
    ]
    well = fleet.severities["well"]
    if well and len(choices) > 1:
        choices.append(("well", words("fleet.state.well"), well))
    items = []
    for key, text, count in choices:
        query = urlencode([(k, v) for k, v in (("state", key), ("q", search)) if v])
        items.append(
            tag(
                "li",
                tag(
                    "a",
                    f"{text} ",
                    tag("span", words.number(count), class_="num"),
                    href=(reader.root or "./") + (f"?{query}" if query else "") + "#h-list",
                    aria_current="true" if key == state else None,
                ),
            )
        )
    return tag("ul", *items, class_="pills", aria_label=words("fleet.filter"))


def _search(reader: Reader, state: str, search: str) -> Markup:
    words = reader.words
    return tag(
        "form",
        tag("label", words("fleet.search"), for_="q", class_="off"),
        tag(
            "input",
            type="search",
            name="q",
            id="q",
            value=search,
            placeholder=words("fleet.search"),
            maxlength=64,
        ),
        tag("input", type="hidden", name="state", value=state) if state else None,
        " ",
        tag("button", words("fleet.search.do"), type="submit"),
        method="get",
        action=f"{reader.root or './'}#h-list",
        class_="search",
        role="search",
    )


def _beside(reader: Reader, day: CommunityDay | None, worst: Sequence[WorstRow]) -> Markup:
    picture = day_card(reader, day, small=True) if day is not None else _day_link(reader)
    return tag("div", picture, _worst(reader, worst), class_="two")


def _day_link(reader: Reader) -> Markup:
    words = reader.words
    link = reader.link("days", words("fleet.day.open"), class_="go")
    return card(words("fleet.nav.days"), tag("p", link), key="day")


def _worst(reader: Reader, worst: Sequence[WorstRow]) -> Child:
    words = reader.words
    if not worst:
        return None
    link = reader.link("coverage", words("fleet.worst.all"), class_="go")
    return card(
        words("fleet.worst"),
        worst_table(reader, worst[:WORST_HERE]),
        tag("p", link, class_="after"),
        key="worst",
    )
