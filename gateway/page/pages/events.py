"""What happened. Pure."""

from datetime import date
from urllib.parse import urlencode

from gateway.history.answers import EventLine, Events
from gateway.page.frame import Reader, card, document
from gateway.page.markup import Child, Markup, tag


def render(reader: Reader, events: Events, meter: str = "") -> Markup:
    """The newest events, or those before one; of all meters, or of one."""
    words = reader.words
    by_day: dict[str, list[EventLine]] = {}
    for event in events.events:
        day = event.day or words.local(event.at_s).date().isoformat()
        by_day.setdefault(day, []).append(event)
    parts: list[Child] = [_filter(reader, events, meter)]
    if not events.events:
        parts.append(tag("p", words("events.none"), class_="card"))
    parts += [
        card(
            words.long_day(date.fromisoformat(day)),
            tag("ul", *(_line(reader, event) for event in lines), class_="time"),
            key=f"day-{day}",
        )
        for day, lines in by_day.items()
    ]
    if events.older is not None:
        query = {"before": str(events.older)} | ({"meter": meter} if meter else {})
        path = f"events?{urlencode(query)}"
        parts.append(tag("p", reader.link(path, words("events.older"), class_="go")))
    return document(reader, words("nav.events"), *parts, live=False)


def _filter(reader: Reader, events: Events, meter: str) -> Child:
    if len(events.meters) < 2:
        return None
    words = reader.words
    choices = [("", words("events.all")), *((name, name) for name in events.meters)]
    items = [
        tag(
            "li",
            reader.link(
                f"events?{urlencode({'meter': name})}" if name else "events",
                text,
                aria_current="true" if name == meter else None,
            ),
        )
        for name, text in choices
    ]
    return tag("ul", *items, class_="pills", aria_label=words("events.filter"))


def _line(reader: Reader, event: EventLine) -> Markup:
    words = reader.words
    kind = words(f"event.{event.kind}") if words.has(f"event.{event.kind}") else event.kind
    energy = f" · {words.kwh(event.energy_wh)}" if event.energy_wh is not None else ""
    head = tag("strong", f"{words.clock(event.at_s, seconds=True)} {event.meter}".strip())
    day = event.day or words.local(event.at_s).date().isoformat()
    link = reader.link(f"days/{day}", words("events.day"), class_="tap")
    return tag(
        "li",
        head,
        f" {kind}{energy}",
        tag("p", words.told(event.text, event.at_s), " ", link, class_="soft"),
    )
