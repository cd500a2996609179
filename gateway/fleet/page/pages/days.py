"""The community's day. Pure."""

from datetime import date, timedelta

from gateway.fleet.page.answers import CommunityDay
from gateway.fleet.page.community import day_card, mwh
from gateway.fleet.page.parts import percent
from gateway.page.frame import Reader, card, document, facts, table
from gateway.page.markup import Child, Markup, tag


def render(reader: Reader, day: CommunityDay, today: date) -> Markup:
    """The page of a day."""
    words = reader.words
    return document(
        reader,
        words.long_day(day.day),
        steps(reader, "days/", day.day, today),
        day_card(reader, day, small=False),
        _notes(reader, day),
        _numbers(reader, day),
        here="days",
        live=False,
    )


def steps(reader: Reader, path: str, day: date, today: date) -> Markup:
    """To the day before, and to the next one."""
    words = reader.words
    earlier, later = day - timedelta(days=1), day + timedelta(days=1)
    links: list[Child] = [
        reader.link(
            f"{path}{earlier.isoformat()}", f"‹ {words.short_day(earlier)}", class_="go", rel="prev"
        )
    ]
    if later <= today:
        text = f"{words.short_day(later)} ›"
        links.append(reader.link(f"{path}{later.isoformat()}", text, class_="go", rel="next"))
    return tag("div", *links, class_="step")


def _notes(reader: Reader, day: CommunityDay) -> Markup:
    words = reader.words
    slots = len(day.from_grid_uwh)
    note = None
    if slots * day.slot_s != 86_400:
        key = "day.shorter" if slots * day.slot_s < 86_400 else "day.longer"
        note = tag("p", words(key, n=slots), class_="soft")
    return card(
        words("fleet.day.of_what"),
        facts(
            [
                (words("fleet.day.meters"), words.number(day.most_meters)),
                (words("fleet.day.complete"), percent(words, day.known, day.expected)),
            ]
        ),
        tag("p", words("fleet.day.how"), class_="soft after"),
        note,
        key="what",
    )


def _numbers(reader: Reader, day: CommunityDay) -> Child:
    """All slots, one by one."""
    words = reader.words
    rows: list[list[Child]] = []
    for n, came in enumerate(day.from_grid_uwh):
        if came is None and day.to_grid_uwh[n] is None and day.sun_uwh[n] is None:
            continue
        rows.append(
            [
                words.clock(day.start_s + n * day.slot_s),
                mwh(words, came),
                mwh(words, day.sun_uwh[n]),
                mwh(words, day.to_grid_uwh[n]),
                words.number(day.meters[n]),
            ]
        )
    if not rows:
        return None
    heads = [
        words("table.start"),
        words("fleet.day.from_grid"),
        words("fleet.day.sun"),
        words("fleet.day.to_grid"),
        words("fleet.day.meters"),
    ]
    name = words("fleet.day.chart", day=words.long_day(day.day))
    made = table(heads, rows, name=name, numbers=frozenset((1, 2, 3, 4)), fold=False)
    inside = tag("details", tag("summary", words("day.as_table")), made)
    return card(words("day.numbers"), inside, key="numbers")
