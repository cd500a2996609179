"""What runs, what goes to the exchange, and what a person has to look at. Pure."""

from collections.abc import Sequence

from gateway.fleet.page.answers import ClashRow, CollectorRow, ExchangeNow, Fleet, RefusedRow
from gateway.fleet.page.parts import COLLECTOR_GONE_S, ago
from gateway.page.frame import Reader, card, document, facts, table
from gateway.page.markup import Child, Markup, tag


def render(
    reader: Reader, fleet: Fleet, refused: Sequence[RefusedRow], clashes: Sequence[ClashRow]
) -> Markup:
    """The page of the server."""
    words = reader.words
    return document(
        reader,
        words("fleet.nav.server"),
        _collectors(reader, fleet),
        _exchange(reader, fleet.exchange, fleet.at_s),
        _clashes(reader, fleet, clashes),
        _refused(reader, fleet, refused),
        here="server",
        live=False,
    )


def _collectors(reader: Reader, fleet: Fleet) -> Markup:
    words = reader.words
    rows: list[list[Child]] = [
        [
            each.name,
            _running(reader, each, fleet.at_s),
            ago(words, each.seen_s, fleet.at_s),
            words.moment(each.started_s),
            each.version,
        ]
        for each in sorted(fleet.collectors, key=lambda each: -each.seen_s)
    ]
    heads = [
        words(f"fleet.head.{head}") for head in ("collector", "state", "seen", "started", "version")
    ]
    inside = (
        table(heads, rows, name=words("fleet.collectors"))
        if rows
        else tag("p", words("fleet.mood.no_collector"))
    )
    shared = any(each.shared for each in fleet.collectors)
    how = words("fleet.collectors.shared" if shared else "fleet.collectors.own")
    return card(
        words("fleet.collectors"), inside, tag("p", how, class_="soft after"), key="collectors"
    )


def _running(reader: Reader, each: CollectorRow, now_s: float) -> Markup:
    if now_s - each.seen_s <= COLLECTOR_GONE_S:
        return tag("span", reader.words("fleet.collector.runs"), class_="tag well")
    return tag("span", reader.words("fleet.collector.gone"), class_="tag")


def _exchange(reader: Reader, now: ExchangeNow | None, at_s: float) -> Markup:
    words = reader.words
    title = words("fleet.exchange")
    if now is None:
        return card(title, tag("p", words("fleet.exchange.none")), key="exchange")
    states: list[Child] = []
    for each in now.aggregators:
        if at_s - each.seen_s <= COLLECTOR_GONE_S * 2:
            said = f"{each.state}: {each.reason}" if each.reason else each.state
            states.append(tag("p", f"{each.name} – {said}"))
    pairs: list[tuple[str, Child]] = [
        (words("fleet.exchange.owed"), words.number(now.owed)),
        (
            words("fleet.exchange.oldest"),
            words.moment(now.oldest_owed_s) if now.oldest_owed_s is not None else None,
        ),
        (words("fleet.exchange.taken"), ago(words, now.taken_s, at_s)),
        (words("fleet.exchange.rejected"), words.number(now.rejected)),
        (words("fleet.exchange.missed"), words.number(now.missed)),
        (words("fleet.exchange.reason"), now.last_reason),
    ]
    return card(title, *states, facts(pairs), key="exchange")


def _clashes(reader: Reader, fleet: Fleet, clashes: Sequence[ClashRow]) -> Child:
    words = reader.words
    if not clashes:
        return None
    rows: list[list[Child]] = [
        [
            reader.link(f"sites/{each.site}", each.site),
            words.number(each.count),
            ago(words, each.last_s, fleet.at_s),
        ]
        for each in clashes
    ]
    heads = [words(f"fleet.head.{head}") for head in ("home", "numbers", "last")]
    return card(
        words("fleet.clashes"),
        tag("p", words("fleet.clashes.what"), class_="soft before"),
        table(heads, rows, name=words("fleet.clashes"), numbers=frozenset((1,))),
        key="clashes",
    )


def _refused(reader: Reader, fleet: Fleet, refused: Sequence[RefusedRow]) -> Markup:
    words = reader.words
    title = words("fleet.refused")
    if not refused:
        return card(title, tag("p", words("fleet.refused.none")), key="refused")
    rows: list[list[Child]] = [
        [each.site, each.why, words.number(each.times), ago(words, each.last_s, fleet.at_s)]
        for each in refused
    ]
    heads = [words(f"fleet.head.{head}") for head in ("home", "why", "times", "last")]
    return card(
        title,
        tag("p", words("fleet.refused.what"), class_="soft before"),
        table(heads, rows, name=title, numbers=frozenset((2,))),
        key="refused",
    )
