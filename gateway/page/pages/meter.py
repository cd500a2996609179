"""One meter: its last 24 hours, and what an installer asks. Pure."""

from gateway.history.answers import MeterStory
from gateway.page.frame import Reader, card, document, facts, table
from gateway.page.markup import Child, Markup, tag
from gateway.page.pages.meters import power_of, registers, state_of
from gateway.page.pictures.availability import availability
from gateway.page.pictures.power_line import Line, power_line

_DAY_S = 86_400.0
_MOST_VALUES = 64


def render(reader: Reader, story: MeterStory) -> Markup:
    """The page of a meter."""
    words = reader.words
    meter = story.meter
    state, mood = state_of(meter, words)
    now = card(
        words("now.title"),
        tag("p", tag("span", state, class_=f"tag {mood}", data_k=f"m.{meter.name}.state")),
        power_of(meter, words),
        registers(meter, words),
        key="now",
    )
    return document(
        reader,
        meter.title,
        tag("div", now, _about(reader, story), class_="two"),
        _last_day(reader, story),
        _technical(reader, story),
        here="meters",
    )


def _about(reader: Reader, story: MeterStory) -> Markup:
    words = reader.words
    meter = story.meter
    pairs: list[tuple[str, Child]] = [
        (words("meter.name"), meter.name if meter.name != meter.title else None),
        (words("slot.serial"), meter.serial_number),
        (words("meter.interval"), words("meter.every", time=words.duration(meter.interval_s))),
        (
            words("meter.last"),
            words.moment(meter.last_success_s, seconds=True)
            if meter.last_success_s is not None
            else words("never"),
        ),
        (
            words("meter.errors"),
            words.number(meter.errors_last_hour) if meter.errors_last_hour else None,
        ),
        (words("meter.last_error"), meter.last_error if meter.errors_last_hour else None),
        (words("meter.asleep"), meter.asleep),
    ]
    return card(words("meter.about"), facts(pairs), key="about")


def _last_day(reader: Reader, story: MeterStory) -> Markup:
    words = reader.words
    end_s = reader.words.at_s
    start_s = end_s - _DAY_S
    first_s = start_s - start_s % 3600 + 3600
    marks = [
        ((at_s - start_s) / _DAY_S, words.clock(at_s))
        for hour in range(24)
        if words.local(at_s := first_s + hour * 3600).hour % 6 == 0
    ]
    role = story.meter.node.role
    picture: Child
    if story.power:
        picture = power_line(
            Line(
                name=words("meter.power_name", meter=story.meter.title),
                start_s=start_s,
                end_s=end_s,
                points=story.power,
                marks=marks,
                colour="from" if role == "grid" else role,
                joined_s=max(1200.0, 3 * story.meter.interval_s),
            ),
            words,
        )
    else:
        picture = tag("p", words("meter.no_power"), class_="soft")
    name = words("meters.availability", meter=story.meter.title)
    heard = tag("p", words("meters.strip"), class_="soft")
    strip = availability(name, story.meter.available)
    return card(words("meter.day"), picture, heard, strip, key="day")


def _technical(reader: Reader, story: MeterStory) -> Markup:
    words = reader.words
    meter = story.meter
    pairs: list[tuple[str, Child]] = [
        (words("meter.profile"), tag("code", meter.profile)),
        (words("meter.line"), tag("code", meter.line)),
        (words("meter.carries"), meter.line_carries),
    ]
    values = sorted(meter.values.items())
    rows: list[list[Child]] = [
        [tag("code", name), words.number(value, 0 if value == round(value) else 3)]
        for name, value in values[:_MOST_VALUES]
    ]
    shown = None
    if rows:
        heads = [words("table.value"), words("table.now")]
        shown = table(heads, rows, name=words("meter.values"), numbers=frozenset((1,)), fold=False)
    inside = tag(
        "details",
        tag("summary", words("meter.technical_more")),
        facts(pairs),
        shown,
        id="technical",
    )
    return card(words("nav.technical"), inside, key="technical")
