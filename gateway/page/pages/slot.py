"""Why a slot is what it is: what was read, what was made of it, and what was sent of it. Pure."""

from gateway.history.answers import Delivery, PowerLine, SlotStory, Term
from gateway.page.energy import with_uncertainty
from gateway.page.frame import Reader, card, document, facts
from gateway.page.markup import Child, Markup, join, tag
from gateway.page.pictures.power_line import Line, power_line
from gateway.page.words import Words

_STATE_MOODS = {"accepted": "well", "rejected": "bad", "missed": "bad", "pending": "warn"}


def render(reader: Reader, story: SlotStory) -> Markup:
    """The page of a slot."""
    words = reader.words
    if story.energy_wh is None:
        title = words("slot.why_unknown")
    else:
        title = words("slot.why", energy=words.wh(story.energy_wh))
    return document(
        reader,
        title,
        _sentence(reader, story),
        _steps(reader, story),
        _sum(story, words),
        *(_power(line, story, words) for line in story.power),
        tag("div", *(_term(term, story, words) for term in story.terms), class_="two three"),
        _sent(reader, story),
        _events(reader, story),
        here="days",
        live=False,
    )


def _sentence(reader: Reader, story: SlotStory) -> Markup:
    words = reader.words
    end_s = story.start_s + story.length_s
    day = words.local(story.start_s).date()
    if story.energy_wh is None:
        text = words(
            "slot.unknown",
            title=story.title,
            begin=words.clock(story.start_s),
            end=words.clock(end_s),
        )
    else:
        energy = with_uncertainty(story.energy_wh, story.uncertainty_wh, words)
        key = f"slot.did.{story.role}"
        if story.role in ("grid", "battery", "other") and story.energy_wh < 0:
            key += ".gave"
        text = words(
            key,
            title=story.title,
            energy=energy,
            begin=words.clock(story.start_s),
            end=words.clock(end_s),
        )
    beside = []
    for key, wh in (
        ("sun", story.beside.sun_wh),
        ("from_grid", story.beside.from_grid_wh),
        ("to_grid", story.beside.to_grid_wh),
    ):
        if wh and story.role == "house":
            beside.append(words(f"slot.beside.{key}", energy=words.wh(wh)))
    sentences = [text]
    if beside:
        sentences.append(words("slot.beside", parts=words.listed(beside)))
    sentences.append(words(f"slot.known.{story.quality}"))
    if story.imported:
        sentences.append(words("slot.imported"))
    if story.forecast_wh is not None:
        sentences.append(words("slot.expected", energy=words.wh(story.forecast_wh)))
    dated = tag(
        "p",
        reader.link(f"days/{day.isoformat()}", words.long_day(day), class_="tap"),
        f" · {story.title}",
        class_="soft",
    )
    return tag("div", dated, tag("p", " ".join(sentences), class_="sum"), class_="card")


def _steps(reader: Reader, story: SlotStory) -> Child:
    words = reader.words
    links: list[Child] = []
    for start_s, text, rel in (
        (story.earlier_s, "‹ {}", "prev"),
        (story.later_s, "{} ›", "next"),
    ):
        if start_s is not None:
            label = text.format(words.span(start_s, start_s + story.length_s))
            path = f"slots/{story.asset}/{start_s}"
            links.append(reader.link(path, label, class_="go", rel=rel))
    return tag("div", *links, class_="step") if links else None


def _power(line: PowerLine, story: SlotStory, words: Words) -> Markup:
    """The meter's power in the slot, with the gaps in it and its register's steps."""
    end_s = story.start_s + story.length_s
    marks = [
        (share, words.clock(story.start_s + share * story.length_s, seconds=story.length_s < 60))
        for share in (0.0, 1 / 3, 2 / 3, 1.0)
    ]
    drawn = Line(
        name=words("slot.power_name", meter=line.meter),
        start_s=story.start_s,
        end_s=end_s,
        points=line.points,
        gaps=[(gap.since_s, gap.until_s) for gap in line.gaps],
        ticks_s=line.register_steps_s,
        marks=marks,
        colour="from" if story.role == "grid" else story.role,
    )
    notes = [
        words(
            "slot.gap",
            since=words.clock(gap.since_s, seconds=True),
            until=words.clock(gap.until_s, seconds=True),
        )
        for gap in line.gaps[:4]
    ]
    if line.register_steps_s:
        notes.append(words("slot.ticks", n=len(line.register_steps_s)))
    return card(
        words("slot.power", meter=line.meter),
        power_line(drawn, words),
        tag("p", " ".join(notes), class_="soft") if notes else None,
        key=f"power-{line.meter}",
    )


def _term(term: Term, story: SlotStory, words: Words) -> Markup:
    """One direction of one meter, as a sum that can be checked with the meter's face."""
    end_s = story.start_s + story.length_s
    begin_wh, end_wh = term.begin_register_wh, term.end_register_wh
    difference = None
    if begin_wh is not None and end_wh is not None:
        difference = words.kwh(end_wh - begin_wh, 3)
    energy = _tenths(term.energy_wh, words, term.uncertainty_wh)
    at = [words("slot.register_at", clock=words.clock(at_s)) for at_s in (story.start_s, end_s)]
    pairs: list[tuple[str, Child]] = [
        (at[0], _register(begin_wh, words)),
        (at[1], _register(end_wh, words)),
        (words("slot.difference"), difference),
        (words("slot.beyond"), _beyond(term, words)),
        (words("slot.energy"), tag("strong", energy)),
    ]
    title = words(f"slot.term.{term.direction}", meter=term.meter)
    notes = tag("p", " · ".join(_notes(term, words)), class_="soft")
    return card(title, facts(pairs, "ledger"), notes, key=f"term-{term.meter}-{term.direction}")


def _notes(term: Term, words: Words) -> list[str]:
    """How it is known."""
    samples = words.number(term.samples)
    if term.expected_samples:
        samples = words("slot.of", n=samples, all=words.number(term.expected_samples))
    method = f"method.{term.method}"
    notes = [
        words(method) if words.has(method) else term.method,
        words("slot.samples", samples=samples),
        words("slot.longest_gap", time=words.duration(term.largest_gap_s)),
        words("slot.covered", share=words.percent(term.coverage)),
    ]
    if term.serial_number:
        notes.append(words("slot.serial_short", number=term.serial_number))
    if term.clock and term.clock != "trusted":
        notes.append(words("slot.clock", clock=term.clock))
    if term.doubts:
        notes.append(words("slot.doubts", doubts=term.doubts))
    if term.revision:
        notes.append(words("slot.revised", n=term.revision))
    return notes


def _register(wh: float | None, words: Words) -> Child:
    return tag("span", words.kwh(wh, 3), class_="num") if wh is not None else words("unknown")


def _beyond(term: Term, words: Words) -> str | None:
    if term.beyond_register_wh is None:
        return None
    sign = "+" if term.beyond_register_wh > 0 else ""
    return f"{sign}{words.number(term.beyond_register_wh, 1)}\xa0Wh"


def _tenths(wh: float | None, words: Words, off_wh: float | None = None) -> str:
    """To a tenth of a Wh, so that what is added up here can be checked: 312.4 ± 2.1 Wh."""
    if wh is None:
        return words("unknown")
    off = f" ± {words.number(off_wh, 1)}" if off_wh else ""
    return f"{words.number(wh, 1)}{off}\xa0Wh"


def _sum(story: SlotStory, words: Words) -> Child:
    """The formula, with numbers in it."""
    if not story.formula:
        return None
    pieces: list[Child] = []
    for n, term in enumerate(story.terms):
        sign = "−" if term.sign < 0 else "+" if n else ""
        text = f"{sign} {_tenths(term.energy_wh, words)}".strip()
        pieces.append(tag("span", text, " ", tag("small", f"{term.meter}.{term.direction}")))
    total = tag("strong", _tenths(story.energy_wh, words))
    pairs: list[tuple[str, Child]] = [
        (words("slot.formula"), tag("code", story.formula)),
        (words("slot.with_numbers"), tag("span", join(pieces, " "), " = ", total)),
        (words("slot.revision"), words.number(story.revision) if story.revision else None),
    ]
    return card(words("slot.sum"), facts(pairs), key="sum")


def _sent(reader: Reader, story: SlotStory) -> Markup:
    words = reader.words
    if not story.deliveries:
        return card(words("slot.sent"), tag("p", words("slot.not_sent"), class_="soft"), key="sent")
    items = [_delivery(each, words) for each in story.deliveries]
    return card(words("slot.sent"), tag("ol", *items, class_="time"), key="sent")


def _delivery(each: Delivery, words: Words) -> Markup:
    """One number, from when it was sent to what the other side holds."""
    head = words("slot.delivery", destination=each.destination, energy=words.wh(each.energy_wh))
    if each.kind == "forecast":
        head = f"{head} ({words('slot.forecast')})"
    if each.revision:
        head = f"{head} ({words('slot.revised', n=each.revision)})"
    steps = []
    if each.first_sent_s is not None:
        steps.append(words("slot.sent_at", clock=words.moment(each.first_sent_s, seconds=True)))
    if each.attempts > 1:
        steps.append(words("slot.attempts", n=each.attempts))
    decided = words(f"delivery.{_LETTERS[each.state]}")
    if each.decided_s is not None:
        took = ""
        if each.first_sent_s is not None and 0 <= each.decided_s - each.first_sent_s < 120:
            digits = 1 if each.decided_s - each.first_sent_s < 10 else 0
            seconds = words.number(each.decided_s - each.first_sent_s, digits)
            took = f" ({seconds}\xa0s)"
        decided = f"{decided} {words.moment(each.decided_s, seconds=True)}{took}"
    steps.append(decided)
    if each.confirmed_s is not None:
        steps.append(words("slot.confirmed", clock=words.moment(each.confirmed_s)))
    if each.held_wh is not None and abs(each.held_wh - each.energy_wh) > 0.05:
        steps.append(words("slot.held", energy=words.wh(each.held_wh)))
    said = [
        tag("p", words(f"slot.{name}"), ": ", tag("q", text))
        for name, text in (("answer", each.answer), ("reason", each.reason))
        if text
    ]
    mood = _STATE_MOODS.get(each.state)
    return tag("li", tag("strong", head), tag("p", " · ".join(steps)), *said, class_=mood)


_LETTERS = {
    "accepted": "a",
    "sent": "s",
    "pending": "w",
    "rejected": "r",
    "missed": "l",
    "open": "o",
    "kept": "k",
}


def _events(reader: Reader, story: SlotStory) -> Child:
    if not story.events:
        return None
    words = reader.words
    items = [
        tag(
            "li",
            tag("strong", words.clock(event.at_s, seconds=True)),
            f" {event.meter} " if event.meter else " ",
            words.told(event.text, event.at_s),
        )
        for event in story.events
    ]
    return card(words("slot.events"), tag("ul", *items, class_="time"), key="events")
