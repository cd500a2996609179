"""How it is now, and how the day has gone so far. Pure."""

from gateway.history.answers import Day, Now
from gateway.page.banners import headline
from gateway.page.energy import (
    coverage_note,
    figures,
    home,
    home_chart,
    kinds_of,
    legend,
    slot_start_s,
    windowed,
    worst_delivery,
)
from gateway.page.frame import Reader, card, document, table
from gateway.page.markup import Child, Markup, tag
from gateway.page.pictures.flow import MOST_NODES, flow, power_words, shown

_LATEST = 5
"""So many slots are told one by one."""
_ONE_BY_ONE = 3
"""So many assets have a column of their own there."""


def render(reader: Reader, now: Now, today: Day | None) -> Markup:
    """The first page. `today` is None where no day is kept yet."""
    words = reader.words
    parts: list[Child] = [
        headline(now, words, reader.root),
        tag("div", _flow(reader, now), _today(reader, now), class_="two"),
    ]
    if today is not None:
        today = windowed(today)
        parts += [_quarters(reader, today), _latest(reader, today)]
    return document(reader, words("now.title"), *parts, here="now", heading=False, told=False)


def _flow(reader: Reader, now: Now) -> Markup:
    words = reader.words
    if not now.nodes:
        text = tag("p", words("flow.nothing"), class_="soft")
        return card(words("now.title"), text, key="now")
    others = [node for node in now.nodes if node not in shown(now.nodes)]
    more = [
        tag(
            "li",
            f"{node.title}: ",
            tag("span", power_words(node, words)),
        )
        for node in others[: 2 * MOST_NODES]
    ]
    left = len(others) - len(more)
    return card(
        words("now.title"),
        flow(now.nodes, words),
        tag("ul", *more, class_="key") if more else None,
        tag("p", reader.link("meters", words("flow.more", n=left), class_="tap"))
        if left > 0
        else None,
        key="now",
    )


def _today(reader: Reader, now: Now) -> Markup:
    words = reader.words
    peak = None
    if now.peak is not None:
        peak = words(
            "sums.peak",
            power=words.power(now.peak.power_w),
            when=words.moment(now.peak.start_s),
        )
    sums = now.today
    if (sums.used_wh, sums.sun_wh, sums.from_grid_wh, sums.to_grid_wh) == (None,) * 4:
        return card(
            words("today.title"), tag("p", words("today.nothing"), class_="soft"), key="today"
        )
    return card(
        words("today.title"),
        figures(now.today, words, now.yesterday_by_now),
        tag("p", peak, class_="soft", data_k="sum.peak") if peak else None,
        tag("p", note, class_="soft", data_k="sum.coverage")
        if (note := coverage_note(now.today, words))
        else None,
        key="today",
    )


def _quarters(reader: Reader, day: Day) -> Child:
    given = home(day)
    if given is None:
        return None
    words = reader.words
    delivery = worst_delivery(day.assets, day.slots)
    layers = ["sun"] if any(given.sun_here_wh) else []
    layers += ["from"] + (["to"] if any(given.to_grid_wh) else [])
    all_of_it = reader.link(f"days/{day.day}", words("now.whole_day"), class_="tap")
    return card(
        words("now.quarters"),
        home_chart(day, given, words, links=False, root=reader.root),
        legend(kinds_of(layers, given.quality, delivery), words),
        tag("p", all_of_it),
        key="quarters",
    )


def _latest(reader: Reader, day: Day) -> Child:
    """The newest slots, each with the way to why it is what it is."""
    if not day.assets:
        return None
    words = reader.words
    columns = day.assets[:_ONE_BY_ONE]
    delivered = worst_delivery(columns, day.slots)
    closed = max((len(each.quality.rstrip(".")) for each in columns), default=0)
    rows = []
    for i in reversed(range(max(closed - _LATEST, 0), closed)):
        start_s = slot_start_s(day, i)
        cells = [
            reader.link(
                f"slots/{each.id}/{start_s}",
                words.wh(each.wh[i]) if each.wh[i] is not None else words("unknown"),
            )
            for each in columns
        ]
        rows.append([words.clock(start_s), *cells, words(f"delivery.{delivered[i]}")])
    if not rows:
        return None
    heads = [words("table.start"), *(each.title for each in columns), words("table.exchange")]
    numbers = frozenset(range(1, len(columns) + 1))
    title = words("now.latest")
    return card(
        title,
        table(heads, rows, name=title, numbers=numbers, fold=len(columns) > 2),
        key="latest",
    )
