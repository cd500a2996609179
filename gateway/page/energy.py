"""What charts and tables make of a day's or a month's energies. Pure.

The whole home's chart stands on the meter at the grid and on the panels: what came from the grid,
and what of the sun was used here, stand on each other above the line; what went to the grid is
below it.
"""

from collections.abc import Sequence
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from gateway.history.answers import Column, Day, Role, Sums
from gateway.page.markup import Child, Markup, tag
from gateway.page.pictures.bars import STRIP_HEIGHTS, Bars, Layer, bars
from gateway.page.words import NOTHING, Words

_WORST_FIRST = "xpem"
MOST_SLOTS = 300
"""A day with more slots is shown in parts: bars would be thinner than a hair …"""
WINDOW = 96
"""… of so many slots at most …"""
LEAST_WINDOW = 24
"""… and of so many at least."""
_PART_OF_A_DAY_S = 82_000
"""The shortest day has 23 hours."""
_STRIP_KINDS = {f"d{letter}": round(height) for letter, height in STRIP_HEIGHTS.items()}


class Home(Struct, frozen=True):
    """A home's energies, slot by slot."""

    from_grid_wh: list[float | None]
    to_grid_wh: list[float | None]
    sun_here_wh: list[float | None]
    quality: str
    from_grid_off_wh: list[float | None]
    """By how much each may be off, either way."""
    to_grid_off_wh: list[float | None]


def home(day: Day) -> Home | None:
    """Of the meters at the grid and of the panels; None where no meter is at the grid."""
    came = [each for each in day.meters if each.role == "grid" and each.id.endswith(".import")]
    went = [each for each in day.meters if each.role == "grid" and each.id.endswith(".export")]
    if not came and not went:
        return None
    sun = [each for each in day.assets if each.role == "sun"]
    sun = sun or [each for each in day.meters if each.role == "sun" and _is_export(each)]
    from_grid = _total([each.wh for each in came], day.slots)
    to_grid = _total([each.wh for each in went], day.slots)
    made = _total([each.wh for each in sun], day.slots)
    here = [
        None if total is None else max(abs(total) - abs(back or 0.0), 0.0)
        for total, back in zip(made, to_grid, strict=True)
    ]
    quality = _worst([each.quality for each in (*came, *went, *sun)], day.slots)
    return Home(
        from_grid_wh=from_grid,
        to_grid_wh=to_grid,
        sun_here_wh=here if sun else [None] * day.slots,
        quality=quality,
        from_grid_off_wh=_total([each.uncertainty_wh for each in came], day.slots),
        to_grid_off_wh=_total([each.uncertainty_wh for each in went], day.slots),
    )


def _is_export(column: Column) -> bool:
    return column.id.endswith(".export")


def _total(columns: Sequence[Sequence[float | None]], slots: int) -> list[float | None]:
    """Slot by slot; None where one of them does not know it."""
    found: list[float | None] = []
    for i in range(slots):
        each = [column[i] for column in columns]
        known = [wh for wh in each if wh is not None]
        found.append(sum(known) if each and len(known) == len(each) else None)
    return found


def _worst(qualities: Sequence[str], slots: int) -> str:
    """Slot by slot. One that has not closed for all is not there yet."""
    found = []
    for i in range(slots):
        letters = {each[i] for each in qualities}
        worst = next((letter for letter in _WORST_FIRST if letter in letters), ".")
        found.append("." if "." in letters else worst)
    return "".join(found)


def worst_delivery(columns: Sequence[Column], slots: int) -> str:
    """What became of the slots of all of them: the worst letter of each slot."""
    order = "lrwosak"
    found = []
    for i in range(slots):
        letters = {column.delivery[i] for column in columns if column.delivery}
        found.append(next((letter for letter in order if letter in letters), "."))
    return "".join(found)


def slot_start_s(day: Day, i: int) -> int:
    """When that slot begins."""
    return day.start_s + i * day.slot_s


def windowed(day: Day, until_s: int | None = None) -> Day:
    """The day, or where that has more slots than can be seen: those that have closed last, or those
    up to then.
    """
    if day.slots <= MOST_SLOTS:
        return day
    columns = (*day.assets, *day.meters)
    end = max((len(column.quality.rstrip(".")) for column in columns), default=0)
    if until_s is not None:
        end = min(end, (until_s - day.start_s) // day.slot_s)
    known = [_first_known(column.quality) for column in columns if column.quality.strip(".")]
    begin = max(end - WINDOW, min(known, default=0), 0)
    end = min(max(end, begin + LEAST_WINDOW), day.slots)
    begin = min(begin, end - LEAST_WINDOW)
    return replace(
        day,
        start_s=day.start_s + begin * day.slot_s,
        slots=end - begin,
        assets=[_cut(column, begin, end) for column in day.assets],
        meters=[_cut(column, begin, end) for column in day.meters],
    )


def _first_known(quality: str) -> int:
    return len(quality) - len(quality.lstrip("."))


def _cut(column: Column, begin: int, end: int) -> Column:
    return replace(
        column,
        wh=column.wh[begin:end],
        uncertainty_wh=column.uncertainty_wh[begin:end],
        quality=column.quality[begin:end],
        delivery=column.delivery[begin:end],
        forecast_wh=column.forecast_wh[begin:end],
    )


def hour_marks(day: Day, words: Words) -> list[tuple[float, str]]:
    """What stands below a day's chart: every sixth hour of the local clock; below a part of a day
    every third of it.
    """
    length_s = day.slots * day.slot_s
    if length_s < _PART_OF_A_DAY_S:
        return [
            (part / 3, words.clock(day.start_s + part * length_s // 3 // day.slot_s * day.slot_s))
            for part in range(4)
        ]
    marks = [
        (i / day.slots, f"{local:%H:%M}")
        for i in range(day.slots)
        if (local := words.local(slot_start_s(day, i))).minute == 0 and local.hour % 6 == 0
    ]
    # An hour that comes twice is marked once.
    return [mark for n, mark in enumerate(marks) if n == 0 or marks[n - 1][1] != mark[1]] + [
        (1.0, "24:00")
    ]


def now_share(day: Day, words: Words) -> float | None:
    """Where now is in that day's chart."""
    share = (words.at_s - day.start_s) / (day.slots * day.slot_s)
    return share if day.is_today and 0 < share < 1 else None


def home_chart(day: Day, given: Home, words: Words, *, links: bool, root: str) -> Markup:
    """The whole home's chart of a day."""
    sums = day.sums
    layers = []
    if any(given.sun_here_wh):
        layers.append(Layer(colour="sun", wh=given.sun_here_wh))
    layers += [
        Layer(colour="from", wh=given.from_grid_wh, off_wh=given.from_grid_off_wh),
        Layer(colour="to", wh=given.to_grid_wh, off_wh=given.to_grid_off_wh, below=True),
    ]
    name = words("chart.home", day=words.long_day(date.fromisoformat(day.day)))
    about = words(
        "chart.about",
        used=words.kwh(sums.used_wh, 3),
        sent=words.kwh(sums.to_grid_wh, 3),
    )
    asset = next((each.id for each in day.assets if each.role == "house"), None)
    asset = asset or next((each.id for each in day.assets), None)
    closed = len(given.quality.rstrip("."))
    with_hits = links and asset is not None
    return bars(
        Bars(
            name=name,
            about=about,
            layers=layers,
            quality=given.quality,
            delivery=worst_delivery(day.assets, day.slots) if day.assets else "",
            marks=hour_marks(day, words),
            now=now_share(day, words),
            titles=[_home_title(day, given, i, words) for i in range(closed)] if with_hits else (),
            links=[f"{root}slots/{asset}/{slot_start_s(day, i)}" for i in range(closed)]
            if with_hits
            else (),
            scale=words.wh,
            height=220 if links else 190,
        )
    )


def _home_title(day: Day, given: Home, i: int, words: Words) -> str:
    start_s = slot_start_s(day, i)
    parts = [
        words(f"energy.{key}", energy=words.wh(wh))
        for key, wh in (
            ("sun_here", given.sun_here_wh[i]),
            ("from_grid", given.from_grid_wh[i]),
            ("to_grid", given.to_grid_wh[i]),
        )
        if wh
    ]
    quality = words(f"quality.{given.quality[i]}")
    return f"{words.span(start_s, start_s + day.slot_s)}: {', '.join([*parts, quality])}"


def column_chart(day: Day, column: Column, words: Words, *, root: str) -> Markup:
    """One asset's chart of a day, with what was expected of it and by how much it may be off."""
    closed = len(column.quality.rstrip("."))
    day_text = words.long_day(date.fromisoformat(day.day))
    total = column_total(column)
    return bars(
        Bars(
            name=words("chart.asset", title=column.title, day=day_text),
            about=words("chart.asset_about", total=words.kwh(total, 3)),
            layers=[
                Layer(colour=colour_of(column.role), wh=column.wh, off_wh=column.uncertainty_wh)
            ],
            quality=column.quality,
            delivery=column.delivery,
            expected_wh=column.forecast_wh,
            marks=hour_marks(day, words),
            now=now_share(day, words),
            titles=[_column_title(day, column, i, words) for i in range(closed)],
            links=[f"{root}slots/{column.id}/{slot_start_s(day, i)}" for i in range(closed)],
            scale=words.wh,
            height=220,
        )
    )


def colour_of(role: Role) -> str:
    """The class of its colour."""
    return "from" if role == "grid" else role


def _column_title(day: Day, column: Column, i: int, words: Words) -> str:
    start_s = slot_start_s(day, i)
    energy = with_uncertainty(column.wh[i], column.uncertainty_wh[i], words)
    quality = words(f"quality.{column.quality[i]}")
    return f"{words.span(start_s, start_s + day.slot_s)}: {energy}, {quality}"


def column_total(column: Column) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [wh for wh in column.wh if wh is not None]
    return sum(known) if known else None


def with_uncertainty(wh: float | None, off_wh: float | None, words: Words) -> str:
    """312 ± 2 Wh."""
    if wh is None:
        return words("unknown")
    if not off_wh or off_wh < 0.05:
        return words.wh(wh)
    digits = 1 if off_wh < 9.95 and abs(wh) < 100 else 0
    if off_wh < 0.5 and digits == 0:
        return words.wh(wh)
    number, unit = words.number(wh, digits), "Wh"
    return f"{number} ± {words.number(off_wh, digits)}\xa0{unit}"


def legend(kinds: Sequence[str], words: Words, *, hatch: str = "from") -> Markup:
    """What colours and patterns mean: those that there are. `hatch`: in which colour."""
    items = []
    for kind in kinds:
        if kind in ("e", "p"):
            pattern = f"url(#{kind}-{hatch})"
            shape = tag("rect", width=14, height=14, fill=pattern)
        elif kind == "x":
            shape = tag("rect", x=1, y=1, width=12, height=12, class_="unknown")
        elif kind in _STRIP_KINDS:
            tall = _STRIP_KINDS[kind]
            shape = tag("path", d=f"M0 {(14 - tall) / 2}h14v{tall}H0z", class_=kind)
        elif kind == "expected":
            shape = tag("path", d="M0 7h14", class_=kind)
        else:
            shape = tag("path", d="M0 0h14v14H0z", class_=kind)
        box = tag("svg", shape, viewBox="0 0 14 14", aria_hidden="true")
        items.append(tag("li", box, words(f"legend.{kind}")))
    return tag("ul", *items, class_="key")


def kinds_of(layers: Sequence[str], quality: str, delivery: str) -> list[str]:
    """What a legend has to explain."""
    found = [*layers, *(letter for letter in "epx" if letter in quality)]
    return found + [f"d{letter}" for letter in "aswrlo" if letter in delivery]


def figures(sums: Sums, words: Words, before: Sums | None = None) -> Markup:
    """The sums of a span, as figures: what was used and where it came from."""
    rows: list[Child] = []
    for key, wh in (
        ("sun", sums.sun_wh),
        ("from_grid", sums.from_grid_wh),
        ("to_grid", sums.to_grid_wh),
    ):
        if wh is None:
            continue
        small = None
        if key == "sun" and sums.sun_used_here is not None:
            small = tag(
                "small",
                words("sums.used_here", share=words.percent(sums.sun_used_here)),
                data_k="sum.share",
            )
        value = tag("span", words.kwh(wh), data_k=f"sum.{key}")
        name = tag("dt", words(f"sums.{key}"))
        rows.append(tag("div", name, tag("dd", value, small), class_=f"of {_COLOURS[key]}"))
    used = None
    if sums.used_wh is not None or not rows:
        then = ""
        if before is not None and before.used_wh is not None:
            then = words("sums.yesterday", energy=words.kwh(before.used_wh))
        used = tag(
            "div",
            tag("p", words("sums.used"), class_="soft"),
            tag(
                "p",
                tag("span", words.kwh(sums.used_wh), data_k="sum.used"),
                tag("small", _off(sums, words), data_k="sum.off"),
                class_="big",
            ),
            tag("p", then, class_="soft", data_k="sum.before") if before is not None else None,
        )
    return Markup((used or "") + _split(sums, words) + (tag("dl", *rows, class_="figs")))


_COLOURS = {"sun": "sun", "from_grid": "from", "to_grid": "to"}
"""As in charts."""


def _off(sums: Sums, words: Words) -> str:
    """By how much what was used may be off; empty where that is less than a Wh, or not known."""
    if sums.used_wh is None or sums.uncertainty_wh is None or sums.uncertainty_wh < 1:
        return ""
    return f" ± {words.kwh(sums.uncertainty_wh)}"


def _split(sums: Sums, words: Words) -> str:
    """How much of what was used came from where, as one bar."""
    if not sums.used_wh or sums.from_grid_wh is None or sums.used_wh <= 0:
        return ""
    share = min(max(1 - sums.from_grid_wh / sums.used_wh, 0.0), 1.0)
    wide = 400.0
    name = words("sums.split", share=words.percent(share))
    first = max(share * wide - 0.7, 0.0)
    return tag(
        "svg",
        tag("title", name),
        tag("rect", class_="sun", width=first, height=14) if share > 0.01 else None,
        tag("rect", class_="from", x=share * wide + 0.7, width=wide, height=14)
        if share < 0.99
        else None,
        class_="split",
        viewBox="0 0 400 14",
        preserveAspectRatio="none",
        role="img",
        aria_label=name,
    )


def coverage_note(sums: Sums, words: Words) -> str:
    """Said where not all is known; empty where it is."""
    if sums.coverage >= 1:
        return ""
    return words("sums.coverage", share=words.percent(sums.coverage))


def share_or_nothing(share: float | None, words: Words) -> str:
    """A share as people write it."""
    return NOTHING if share is None else words.percent(share)
