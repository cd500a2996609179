"""One day, slot by slot. Pure."""

from collections.abc import Sequence
from datetime import date

from gateway.history.answers import Column, Day
from gateway.page.energy import (
    MOST_SLOTS,
    colour_of,
    column_chart,
    column_total,
    coverage_note,
    figures,
    home,
    home_chart,
    kinds_of,
    legend,
    slot_start_s,
    windowed,
    with_uncertainty,
    worst_delivery,
)
from gateway.page.frame import Reader, card, document, table
from gateway.page.markup import Child, Markup, tag


def render(reader: Reader, whole: Day, asset: str = "", until_s: int | None = None) -> Markup:
    """The page of a day; of the whole home, or of one asset; up to then, where it has more slots
    than can be shown.
    """
    words = reader.words
    when = date.fromisoformat(whole.day)
    day = windowed(whole, until_s)
    column = next((each for each in day.assets if each.id == asset), None)
    return document(
        reader,
        words.long_day(when),
        _steps(reader, day, column),
        _parts(reader, whole, day, column),
        _switch(reader, day, column),
        _chart(reader, day, column),
        card(words("day.sums"), figures(day.sums, words), _note(reader, day), key="sums"),
        _table(reader, day),
        here="days",
        live=day.is_today,
    )


def _steps(reader: Reader, day: Day, column: Column | None) -> Markup:
    words = reader.words
    query = f"?asset={column.id}" if column else ""
    month = words.month(*(int(part) for part in day.day.split("-")[:2]))
    links: list[Child] = []
    if day.earlier:
        label = f"‹ {words.short_day(date.fromisoformat(day.earlier))}"
        links.append(reader.link(f"days/{day.earlier}{query}", label, class_="go", rel="prev"))
    links.append(reader.link(f"months/{day.day[:7]}", month, class_="go"))
    if day.later:
        label = f"{words.short_day(date.fromisoformat(day.later))} ›"
        links.append(reader.link(f"days/{day.later}{query}", label, class_="go", rel="next"))
    return tag("div", *links, class_="step")


def _parts(reader: Reader, whole: Day, day: Day, column: Column | None) -> Child:
    """The way to the part of the day before, where it is shown in parts."""
    before = (day.start_s - whole.start_s) // day.slot_s
    if not any(column.quality[:before].strip(".") for column in (*whole.assets, *whole.meters)):
        return None
    query = f"?until={day.start_s}" + (f"&asset={column.id}" if column else "")
    label = f"‹ {reader.words.span(whole.start_s, day.start_s)}"
    link = reader.link(f"days/{day.day}{query}", label, class_="go", rel="prev")
    return tag("div", link, class_="step")


def _switch(reader: Reader, day: Day, column: Column | None) -> Child:
    """Whose energy the chart shows."""
    words = reader.words
    if len(day.assets) + (home(day) is not None) < 2:
        return None
    choices: list[tuple[str, str, bool]] = []
    if home(day) is not None:
        choices.append((words("day.home"), f"days/{day.day}", column is None))
    first = day.assets[0] if column is None and home(day) is None else column
    choices += [
        (each.title, f"days/{day.day}?asset={each.id}", each is first) for each in day.assets
    ]
    items = [
        tag(
            "li",
            tag("a", _short(text), href=reader.root + path, aria_current="true" if on else None),
        )
        for text, path, on in choices
    ]
    return tag("ul", *items, class_="pills", aria_label=words("day.switch"))


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


def _chart(reader: Reader, day: Day, column: Column | None) -> Child:
    words = reader.words
    given = home(day)
    if column is None and given is None:
        column = next(iter(day.assets), None)
    if column is not None:
        kinds = kinds_of([colour_of(column.role)], column.quality, column.delivery)
        if any(wh is not None for wh in column.forecast_wh):
            kinds.append("expected")
        return card(
            words("day.chart", title=column.title, total=words.kwh(column_total(column), 3)),
            column_chart(day, column, words, root=reader.root),
            legend(kinds, words, hatch=colour_of(column.role)),
            key="chart",
        )
    if given is None:
        return tag("p", words("day.nothing"), class_="card")
    delivery = worst_delivery(day.assets, day.slots)
    layers = ["sun"] if any(given.sun_here_wh) else []
    layers += ["from"] + (["to"] if any(given.to_grid_wh) else [])
    return card(
        words("day.chart", title=words("day.home"), total=words.kwh(day.sums.used_wh, 3)),
        home_chart(day, given, words, links=True, root=reader.root),
        legend(kinds_of(layers, given.quality, delivery), words),
        key="chart",
    )


def _note(reader: Reader, day: Day) -> Child:
    """What has to be said of that day."""
    words = reader.words
    notes = [note for note in (coverage_note(day.sums, words),) if note]
    usual = 86_400 // day.slot_s
    if usual > MOST_SLOTS:
        return [tag("p", note, class_="soft") for note in notes]
    if day.slots != usual:
        key = "day.shorter" if day.slots < usual else "day.longer"
        notes.append(words(key, n=day.slots))
    return [tag("p", note, class_="soft") for note in notes]


def _table(reader: Reader, day: Day) -> Child:
    """All slots of the day, one by one: the way of the keyboard and of those who are read to."""
    words = reader.words
    columns: Sequence[Column] = day.assets or day.meters
    if not columns:
        return None
    rows = []
    delivery = worst_delivery(columns, day.slots)
    for i in range(day.slots):
        if all(each.quality[i] == "." for each in columns):
            continue
        start_s = slot_start_s(day, i)
        cells = [_cell(reader, day, each, i, start_s) for each in columns]
        worst = next(
            (c for c in "xpem" if c in {each.quality[i] for each in columns}),
            ".",
        )
        known = words(f"quality.{worst}")
        rows.append([words.clock(start_s), *cells, known, words(f"delivery.{delivery[i]}")])
    heads = [
        words("table.start"),
        *(each.title for each in columns),
        words("table.known"),
        words("table.exchange"),
    ]
    totals = [words.kwh(column_total(each), 3) for each in columns]
    name = words("day.table", day=words.long_day(date.fromisoformat(day.day)))
    made = table(
        heads,
        rows,
        name=name,
        numbers=frozenset(range(1, len(columns) + 1)),
        foot=[words("table.sum"), *totals, "", ""],
    )
    download = tag(
        "a",
        words("day.csv"),
        href=f"{reader.root}api/v1/days/{day.day}.csv",
        class_="go",
        download=True,
    )
    inside = tag("details", tag("summary", words("day.as_table")), made, id="table")
    return card(words("day.numbers"), inside, tag("p", download), key="numbers")


def _cell(reader: Reader, day: Day, column: Column, i: int, start_s: int) -> Child:
    text = with_uncertainty(column.wh[i], column.uncertainty_wh[i], reader.words)
    if column.quality[i] == ".":
        text = reader.words("quality..")
    if column not in day.assets:
        return text
    return reader.link(f"slots/{column.id}/{start_s}", text)
