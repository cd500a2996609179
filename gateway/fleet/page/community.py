"""The community's day as a picture: what came from the grid and from the sun, and what went back.
Pure.
"""

from collections.abc import Sequence
from datetime import date

from gateway.fleet.page.answers import CommunityDay
from gateway.fleet.page.parts import percent
from gateway.history.answers import Day, Sums
from gateway.page.energy import hour_marks, now_share
from gateway.page.frame import Reader, card
from gateway.page.markup import Child, Markup, tag
from gateway.page.pictures.bars import Bars, Layer, bars
from gateway.page.words import NOTHING, Words


def day_card(reader: Reader, day: CommunityDay, *, small: bool) -> Markup:
    """The picture with its sums."""
    words = reader.words
    when = words.long_day(day.day)
    title = words("fleet.day.today") if day.day == words.local(words.at_s).date() else when
    if not any(each is not None for each in (*day.from_grid_uwh, *day.to_grid_uwh, *day.sun_uwh)):
        inside: list[Child] = [tag("p", words("fleet.day.nothing"))]
    else:
        inside = [
            _figures(words, day, small=small),
            _chart(reader, day, small=small),
            _legend(words, day),
        ]
    if small:
        link = reader.link(f"days/{day.day.isoformat()}", words("fleet.day.open"), class_="go")
        inside.append(tag("p", link, class_="after"))
    return card(title, *inside, key="day")


def total_uwh(values: Sequence[int | None]) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [each for each in values if each is not None]
    return sum(known) if known else None


def mwh(words: Words, energy_uwh: int | None) -> str:
    """Energy of a community: MWh from one on."""
    if energy_uwh is None:
        return NOTHING
    if abs(energy_uwh) >= 10**12:
        return f"{words.number(energy_uwh / 1e12, 2)}\xa0MWh"
    return words.kwh(energy_uwh / 1e6)


def _figures(words: Words, day: CommunityDay, *, small: bool) -> Markup:
    pairs = [
        ("fleet.day.from_grid", mwh(words, total_uwh(day.from_grid_uwh))),
        ("fleet.day.sun", mwh(words, total_uwh(day.sun_uwh))),
        ("fleet.day.to_grid", mwh(words, total_uwh(day.to_grid_uwh))),
        ("fleet.day.complete", percent(words, day.known, day.expected)),
    ]
    rows = [
        tag("div", tag("dt", words(key)), tag("dd", tag("span", value)))
        for key, value in pairs
        if value != NOTHING
    ]
    return tag("dl", *rows, class_="figs pairs" if small else "figs four")


def _chart(reader: Reader, day: CommunityDay, *, small: bool) -> Markup:
    words = reader.words
    whole = _as_day(day, words.local(words.at_s).date())
    quality = _quality(day)
    here = [
        None if sun is None else max(sun - (back or 0), 0) / 1e6
        for sun, back in zip(day.sun_uwh, day.to_grid_uwh, strict=True)
    ]
    layers = []
    if any(here):
        layers.append(Layer(colour="sun", wh=here))
    layers.append(Layer(colour="from", wh=in_wh(day.from_grid_uwh)))
    if any(day.to_grid_uwh):
        layers.append(Layer(colour="to", wh=in_wh(day.to_grid_uwh), below=True))
    return bars(
        Bars(
            name=words("fleet.day.chart", day=words.long_day(day.day)),
            about=words(
                "fleet.day.about",
                came=mwh(words, total_uwh(day.from_grid_uwh)),
                sun=mwh(words, total_uwh(day.sun_uwh)),
                went=mwh(words, total_uwh(day.to_grid_uwh)),
            ),
            layers=layers,
            quality=quality,
            marks=hour_marks(whole, words),
            now=now_share(whole, words),
            scale=lambda wh: mwh(words, round(wh * 1e6)),
            height=190 if small else 240,
        )
    )


def _quality(day: CommunityDay) -> str:
    """p where some homes are missing, x where all are, . where it has not closed."""
    values = list(zip(day.from_grid_uwh, day.to_grid_uwh, day.sun_uwh, strict=True))
    last = max((n for n, each in enumerate(values) if any(v is not None for v in each)), default=-1)
    letters = ""
    for n, each in enumerate(values):
        if n > last:
            letters += "."
        elif all(value is None for value in each):
            letters += "x"
        else:
            letters += "p" if day.meters[n] < day.most_meters else "m"
    return letters


def _legend(words: Words, day: CommunityDay) -> Markup:
    kinds = ["sun"] if any(day.sun_uwh) else []
    kinds += ["from"] + (["to"] if any(day.to_grid_uwh) else [])
    quality = _quality(day)
    items = []
    for kind in kinds:
        shape = tag("path", d="M0 0h14v14H0z", class_=kind)
        box = tag("svg", shape, viewBox="0 0 14 14", aria_hidden="true")
        items.append(tag("li", box, words(f"legend.{kind}")))
    if "p" in quality:
        shape = tag("rect", width=14, height=14, fill="url(#p-from)")
        box = tag("svg", shape, viewBox="0 0 14 14", aria_hidden="true")
        items.append(tag("li", box, words("fleet.legend.some")))
    if "x" in quality:
        shape = tag("rect", x=1, y=1, width=12, height=12, class_="unknown")
        box = tag("svg", shape, viewBox="0 0 14 14", aria_hidden="true")
        items.append(tag("li", box, words("fleet.legend.none")))
    return tag("ul", *items, class_="key")


def in_wh(values: Sequence[int | None]) -> list[float | None]:
    """As the pictures have it."""
    return [None if each is None else each / 1e6 for each in values]


def _as_day(day: CommunityDay, today: date) -> Day:
    """As the box's charts know a day."""
    return Day(
        day=day.day.isoformat(),
        zone="",
        start_s=day.start_s,
        slot_s=day.slot_s,
        slots=len(day.from_grid_uwh),
        assets=[],
        meters=[],
        sums=Sums(),
        is_today=day.day == today,
        earlier=None,
        later=None,
    )
