"""One month, day by day. Pure."""

from datetime import date

from gateway.history.answers import DaySums, Month
from gateway.page.energy import coverage_note, figures, kinds_of, legend
from gateway.page.frame import Reader, card, document, table
from gateway.page.markup import Child, Markup, tag
from gateway.page.pictures.bars import Bars, Layer, bars
from gateway.page.words import Words


def render(reader: Reader, month: Month) -> Markup:
    """The page of a month."""
    words = reader.words
    title = words.month(*_parts(month.month))
    return document(
        reader,
        title,
        _steps(reader, month),
        _chart(reader, month, title),
        card(words("day.sums"), figures(month.sums, words), _notes(reader, month), key="sums"),
        _table(reader, month, title),
        here="days",
        live=False,
    )


def _parts(month: str) -> tuple[int, int]:
    year, _, number = month.partition("-")
    return int(year), int(number)


def _steps(reader: Reader, month: Month) -> Markup:
    words = reader.words
    links: list[Child] = []
    if month.earlier:
        name = words.month(*_parts(month.earlier))
        links.append(reader.link(f"months/{month.earlier}", f"‹ {name}", class_="go", rel="prev"))
    if month.later:
        name = words.month(*_parts(month.later))
        links.append(reader.link(f"months/{month.later}", f"{name} ›", class_="go", rel="next"))
    return tag("div", *links, class_="step")


def _sun_here(day: DaySums) -> float | None:
    sums = day.sums
    if sums.sun_wh is None:
        return None
    return max(sums.sun_wh - (sums.to_grid_wh or 0.0), 0.0)


def _chart(reader: Reader, month: Month, title: str) -> Child:
    words = reader.words
    days = month.days
    if not days:
        return tag("p", words("month.nothing"), class_="card")
    quality = "".join(_quality(day) for day in days)
    sun = [_sun_here(day) for day in days]
    layers = [Layer(colour="sun", wh=sun)] if any(sun) else []
    if any(day.sums.from_grid_wh for day in days):
        layers.append(Layer(colour="from", wh=[day.sums.from_grid_wh for day in days]))
        layers.append(Layer(colour="to", wh=[day.sums.to_grid_wh for day in days], below=True))
    elif not layers:
        layers.append(Layer(colour="house", wh=[day.sums.used_wh for day in days]))
    when = [date.fromisoformat(day.day) for day in days]
    marks = [
        ((i + 0.5) / len(days), str(day.day))
        for i, day in enumerate(when)
        if day.day == 1 or day.day % 5 == 0
    ]
    return card(
        words("month.chart"),
        bars(
            Bars(
                name=words("chart.month", month=title),
                about=words(
                    "chart.about",
                    used=words.kwh(month.sums.used_wh, 3),
                    sent=words.kwh(month.sums.to_grid_wh, 3),
                ),
                layers=layers,
                quality=quality,
                marks=marks,
                titles=[_title(day, words) for day in days],
                links=[f"{reader.root}days/{day.day}" for day in days],
                scale=lambda wh: words.kwh(wh, 0 if abs(wh) >= 10_000 else 1),
                height=220,
            )
        ),
        legend(kinds_of([layer.colour for layer in layers], quality, ""), words),
        key="chart",
    )


def _quality(day: DaySums) -> str:
    """A day of which little is known is pale, one of which nothing is known is a gap."""
    if day.sums.used_wh is None and day.sums.from_grid_wh is None and day.sums.sun_wh is None:
        return "x"
    return "m" if day.sums.coverage > 0.99 else "p"


def _title(day: DaySums, words: Words) -> str:
    when = words.long_day(date.fromisoformat(day.day))
    return f"{when}: {words('energy.used', energy=words.kwh(day.sums.used_wh))}"


def _notes(reader: Reader, month: Month) -> Child:
    words = reader.words
    notes = []
    if month.peak is not None:
        notes.append(
            words(
                "sums.peak",
                power=words.power(month.peak.power_w),
                when=words.moment(month.peak.start_s),
            )
        )
    if note := coverage_note(month.sums, words):
        notes.append(note)
    return [tag("p", note, class_="soft") for note in notes]


def _table(reader: Reader, month: Month, title: str) -> Child:
    if not month.days:
        return None
    words = reader.words
    rows = []
    for day in reversed(month.days):
        when = date.fromisoformat(day.day)
        rows.append(
            [
                reader.link(f"days/{day.day}", f"{words.weekday(when)}, {words.short_day(when)}"),
                words.kwh(day.sums.used_wh, 3),
                words.kwh(day.sums.sun_wh, 3),
                words.kwh(day.sums.from_grid_wh, 3),
                words.kwh(day.sums.to_grid_wh, 3),
                words.percent(day.sums.coverage),
            ]
        )
    sums = month.sums
    foot = [
        words("table.sum"),
        words.kwh(sums.used_wh, 3),
        words.kwh(sums.sun_wh, 3),
        words.kwh(sums.from_grid_wh, 3),
        words.kwh(sums.to_grid_wh, 3),
        words.percent(sums.coverage),
    ]
    keys = ("table.day", "sums.used", "sums.sun", "sums.from_grid", "sums.to_grid", "table.covered")
    made = table(
        [words(key) for key in keys],
        rows,
        name=words("chart.month", month=title),
        numbers=frozenset(range(1, 6)),
        foot=foot,
    )
    return card(words("day.numbers"), made, key="numbers")
