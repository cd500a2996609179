"""What each problem means and what to do, and what leaves the house. Pure."""

from gateway.page.banners import PROBLEMS, told
from gateway.page.frame import Reader, card, document
from gateway.page.markup import Child, Markup, join, tag
from gateway.page.words import Words

TOPICS = ("energy", "privacy")
"""Pages of help beside those of problems."""


def render(reader: Reader, topic: str = "") -> Markup | None:
    """The list of all pages of help, or one of them; None where there is no such page."""
    words = reader.words
    if not topic:
        return document(
            reader,
            words("nav.help"),
            _ask(reader),
            card(words("help.about"), _links(reader, TOPICS), key="about"),
            card(words("help.problems"), _links(reader, PROBLEMS), key="problems"),
            live=False,
        )
    if topic not in (*TOPICS, *PROBLEMS):
        return None
    key = f"problem.{topic}" if topic in PROBLEMS else f"topic.{topic}"
    return document(
        reader,
        words(f"{key}.title"),
        tag("div", *_now(reader, topic), *_prose(words, f"{key}.help"), class_="card prose"),
        _ask(reader),
        tag("p", reader.link("help", words("help.all"), class_="go")),
        live=False,
        told=False,
    )


def _links(reader: Reader, topics: tuple[str, ...]) -> Markup:
    items = [
        tag("li", reader.link(f"help/{topic}", title_of(topic, reader.words), class_="tap"))
        for topic in topics
    ]
    return tag("ul", *items)


def title_of(topic: str, words: Words) -> str:
    """What that page of help is called."""
    return words(f"problem.{topic}.title" if topic in PROBLEMS else f"topic.{topic}.title")


def _now(reader: Reader, topic: str) -> list[Child]:
    """What of that is wrong at this moment."""
    found = [problem for problem in reader.problems if problem.id == topic]
    return [tag("p", tag("strong", told(problem, reader.words).text)) for problem in found]


def _prose(words: Words, key: str) -> list[Child]:
    """Paragraphs, lists and commands: a line that begins with - is an item, one that begins with $
    a command.
    """
    parts: list[Child] = []
    for block in words.catalogue[key].strip().split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith("- "):
            parts.append(tag("ul", *(tag("li", line.removeprefix("- ")) for line in lines)))
        elif lines[0].startswith("$ "):
            commands = join([line.removeprefix("$ ") for line in lines], "\n")
            parts.append(tag("pre", tag("code", commands)))
        else:
            parts.append(tag("p", " ".join(lines)))
    return parts


def _ask(reader: Reader) -> Child:
    if not reader.contact:
        return None
    return card(reader.words("help.contact"), tag("p", reader.contact), key="contact")
