"""Which days of which assets are not complete, the worst first. Pure."""

from collections.abc import Sequence

from gateway.fleet.page.answers import Fleet, WorstRow
from gateway.fleet.page.parts import percent, worst_table
from gateway.page.frame import Reader, card, document, facts
from gateway.page.markup import Child, Markup, tag

MOST = 100


def render(reader: Reader, fleet: Fleet, worst: Sequence[WorstRow]) -> Markup:
    """The last seven days."""
    words = reader.words
    known = sum(each.home.known for each in fleet.homes)
    expected = sum(each.home.expected for each in fleet.homes)
    inside: list[Child] = [tag("p", words("fleet.worst.none"))]
    if worst:
        inside = [worst_table(reader, worst[:MOST])]
        if len(worst) > MOST:
            inside.append(tag("p", words("fleet.worst.more", n=MOST), class_="soft after"))
    return document(
        reader,
        words("fleet.nav.coverage"),
        card(
            words("fleet.coverage.yesterday"),
            tag("p", percent(words, known, expected), class_="big"),
            facts([(words("fleet.coverage.slots"), _share(reader, known, expected))]),
            tag("p", words("fleet.coverage.how"), class_="soft after"),
            key="yesterday",
        ),
        card(words("fleet.worst"), *inside, key="worst"),
        here="coverage",
        live=False,
    )


def _share(reader: Reader, known: int, expected: int) -> str:
    words = reader.words
    return words("fleet.coverage.of", known=words.number(known), expected=words.number(expected))
