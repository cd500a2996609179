"""All meters. Pure."""

from collections.abc import Sequence

from gateway.history.answers import MeterNow
from gateway.page.energy import share_or_nothing
from gateway.page.frame import Reader, document, facts
from gateway.page.markup import Child, Markup, tag
from gateway.page.pictures.availability import availability
from gateway.page.pictures.flow import direction, sign_of
from gateway.page.pictures.icons import icon
from gateway.page.words import Words


def render(reader: Reader, meters: Sequence[MeterNow]) -> Markup:
    """The page of all meters."""
    words = reader.words
    if not meters:
        body: Child = tag("p", words("meters.none"), class_="card")
    else:
        body = tag("ul", *(_card(reader, meter) for meter in meters), class_="meters")
    return document(reader, words("nav.meters"), body, here="meters")


def _card(reader: Reader, meter: MeterNow) -> Markup:
    words = reader.words
    path = f"meters/{meter.name}"
    state, mood = state_of(meter, words)
    return tag(
        "li",
        tag(
            "h2",
            icon(meter.node.role),
            reader.link(path, meter.title, class_="tap"),
            " ",
            tag("span", state, class_=f"tag {mood}", data_k=f"m.{meter.name}.state"),
        ),
        power_of(meter, words),
        registers(meter, words),
        tag("p", words("meters.heard", share=_heard(meter.available, words)), class_="soft"),
        availability(words("meters.availability", meter=meter.title), meter.available),
        class_="card",
    )


def _heard(shares: Sequence[float | None], words: Words) -> str:
    known = [share for share in shares if share is not None]
    return share_or_nothing(sum(known) / len(known) if known else None, words)


def state_of(meter: MeterNow, words: Words) -> tuple[str, str]:
    """How it is in a word, and the mood of that."""
    if meter.asleep:
        return words("meter.asleep"), ""
    if meter.node.power_w is not None or meter.node.stale_since_s is None:
        if meter.last_success_s is None:
            return words("meter.never"), ""
        return words("meter.answers"), "well"
    return words("meter.silent"), "warn"


def power_of(meter: MeterNow, words: Words) -> Markup:
    """Its power now; or that there is none, and what it was."""
    node = meter.node
    if node.power_w is None:
        since = ""
        if node.stale_since_s is not None and node.stale_power_w is not None:
            since = words(
                "meter.was",
                power=words.power(abs(node.stale_power_w)),
                clock=words.moment(node.stale_since_s),
            )
        elif meter.last_success_s is not None:
            since = words("flow.since", clock=words.moment(meter.last_success_s))
        value = tag("span", words("meter.no_value"), class_="v", data_k=f"w.{node.id}")
        return tag(
            "p",
            value,
            " ",
            tag("small", since, data_k=f"s.{node.id}"),
            class_="none",
            data_way="none",
        )
    key = {"in": "meter.draws", "out": "meter.gives"}.get(direction(node))
    value = tag("span", words.power(abs(node.power_w)), class_="v num", data_k=f"w.{node.id}")
    way = tag("small", words(key) if key else "", data_k=f"s.{node.id}")
    return tag("p", value, " ", way, class_="now", data_way=sign_of(node))


def registers(meter: MeterNow, words: Words) -> Child:
    """As on its face."""
    rows: list[tuple[str, Child]] = [
        (
            words(f"meter.{name}"),
            tag("span", words.kwh(wh, 3), data_k=f"r.{meter.name}.{name}"),
        )
        for name, wh in (("imported", meter.import_wh), ("exported", meter.export_wh))
        if wh is not None
    ]
    return facts(rows, "ledger") if rows else None
