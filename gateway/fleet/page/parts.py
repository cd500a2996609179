"""What several of the manager's pages show. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlencode

from gateway.fleet.page.answers import Fleet, Severity, Trouble, WorstRow
from gateway.page.frame import Reader, table
from gateway.page.markup import Child, Markup, tag
from gateway.page.pictures.icons import icon
from gateway.page.words import NOTHING, Words

COLLECTOR_GONE_S = 60.0
"""Collectors say that they run each 10 seconds."""


def mood(reader: Reader, fleet: Fleet) -> Markup:
    """How it all is: one sentence, and what is wrong beside the homes."""
    words = reader.words
    counts = fleet.severities
    alive = sum(fleet.at_s - each.seen_s <= COLLECTOR_GONE_S for each in fleet.collectors)
    boxes = []
    if not alive:
        boxes.append(
            _box("bad", words("fleet.mood.no_collector"), words("fleet.mood.nothing_lost"))
        )
    exchange = fleet.exchange
    if exchange is not None and exchange.oldest_owed_s is not None:
        waits_s = fleet.at_s - exchange.oldest_owed_s
        if waits_s > 2 * 3600:
            what = words("fleet.mood.exchange", since=words.duration(waits_s))
            boxes.append(_box("warn", what, words("fleet.mood.exchange_do")))
    total = len(fleet.homes)
    if counts["bad"]:
        what = words("fleet.mood.bad", n=counts["bad"], total=total)
        boxes.append(_box("bad", what, _main_troubles(words, fleet, "bad")))
    elif counts["warn"]:
        what = words("fleet.mood.warn", n=counts["warn"], total=total)
        boxes.append(_box("warn", what, _main_troubles(words, fleet, "warn")))
    elif total and alive:
        what = words("fleet.mood.well", n=total)
        inside = tag("p", what, class_="say")
        rest = tag("p", words("fleet.mood.collectors", n=alive), class_="soft")
        boxes.append(tag("div", icon("well"), tag("div", inside, rest), class_="mood well"))
    return tag("div", *boxes, id="mood", role="status")


def _main_troubles(words: Words, fleet: Fleet, severity: Severity) -> str:
    counts: dict[str, int] = {}
    for home in fleet.homes:
        for trouble in home.troubles:
            if trouble.severity == severity:
                counts[trouble.kind] = counts.get(trouble.kind, 0) + 1
    most = sorted(counts.items(), key=lambda item: -item[1])[:4]
    return ", ".join(f"{words(f'fleet.state.{kind}')}: {n}" for kind, n in most) + "."


def _box(severity: Severity, what: str, rest: str) -> Markup:
    inside = tag("div", tag("h2", what), tag("p", rest))
    return tag("div", icon(severity), inside, class_=f"mood {severity}")


def tags(reader: Reader, troubles: Sequence[Trouble], most: int | None = None) -> Child:
    """What is to be said of a home, as small labels: so many of the worst, and how many more."""
    if not troubles:
        return tag("span", reader.words("fleet.state.well"), class_="tag well")
    labels: list[Child] = []
    for each in troubles[:most]:
        class_ = "tag" if each.severity == "note" else f"tag {each.severity}"
        labels += [tag("span", reader.words(f"fleet.state.{each.kind}"), class_=class_), " "]
    if most is not None and len(troubles) > most:
        labels += [tag("span", f"+{len(troubles) - most}", class_="tag"), " "]
    return labels[:-1]


def ago(words: Words, at_s: float | None, now_s: float) -> str:
    """How long ago that was."""
    if at_s is None:
        return NOTHING
    return words("fleet.ago", time=words.duration(max(now_s - at_s, 0)))


def percent(words: Words, known: int, expected: int) -> str:
    """A share of slots: what is not all is never called 100 %."""
    if not expected:
        return NOTHING
    share = min(known / expected, 1.0)
    if 0.95 < share < 1:
        return f"{words.number(min(share * 100, 99.9), 1)}\xa0%"
    return words.percent(share)


def worst_table(reader: Reader, rows: Iterable[WorstRow]) -> Markup:
    """Days of assets of which not all is known."""
    words = reader.words
    cells: list[list[Child]] = [
        [
            reader.link(f"sites/{row.site}/{row.day.isoformat()}", row.site),
            short(row.asset),
            f"{words.weekday(row.day)} {words.short_day(row.day)}",
            f"{words.number(row.known)}/{words.number(row.expected)}",
            percent(words, row.known, row.expected),
        ]
        for row in rows
    ]
    heads = [words(f"fleet.head.{head}") for head in ("home", "asset", "day", "known")]
    return table(
        [*heads, words("fleet.day.complete")],
        cells,
        name=words("fleet.worst"),
        numbers=frozenset((3, 4)),
    )


def short(uuid: str) -> Markup:
    """The beginning of a UUID, and all of it where one points at it."""
    return tag("span", uuid[:8], title=uuid)


def pager(reader: Reader, query: Mapping[str, str], page: int, pages: int) -> Child:
    """The way to the page before, and to the next one."""
    if pages < 2:
        return None
    words = reader.words

    def link(to: int, text: str, rel: str) -> Child:
        if not 1 <= to <= pages:
            return tag("span")
        fields = [(key, value) for key, value in query.items() if value] + [("page", str(to))]
        href = f"{reader.root or './'}?{urlencode(fields)}#h-list"
        return tag("a", text, href=href, rel=rel, class_="go")

    return tag(
        "div",
        link(page - 1, f"‹ {words('fleet.earlier')}", "prev"),
        tag("span", words("fleet.page", page=page, pages=pages), class_="soft"),
        link(page + 1, f"{words('fleet.later')} ›", "next"),
        class_="step after",
    )
