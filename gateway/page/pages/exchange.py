"""How deliveries go, to the exchange and to others. Pure."""

from collections.abc import Sequence
from datetime import date

from gateway.history.answers import DestinationNow, ExchangeAsset, ExchangeNow, RefusedSlot
from gateway.page.energy import legend
from gateway.page.frame import Reader, card, document, facts, table
from gateway.page.markup import Child, Markup, tag
from gateway.page.pictures.bars import delivery_row
from gateway.page.words import Words


def render(reader: Reader, now: ExchangeNow) -> Markup:
    """The page of all destinations."""
    words = reader.words
    parts: list[Child] = []
    if not now.destinations:
        parts.append(tag("p", words("exchange.none"), class_="card"))
    for each in now.destinations:
        parts += [_card(reader, each), _week(reader, each), _refused(reader, each)]
    return document(reader, words("nav.exchange"), *parts, here="exchange")


def _card(reader: Reader, each: DestinationNow) -> Markup:
    words = reader.words
    pairs: list[tuple[str, Child]] = [
        (words("exchange.state"), tag("span", each.state, data_k=f"d.{each.name}.state")),
        (
            words("exchange.success"),
            words.moment(each.last_success_s, seconds=True)
            if each.last_success_s is not None
            else words("never"),
        ),
        (
            words("exchange.next_try"),
            words.moment(each.next_try_s, seconds=True) if each.next_try_s is not None else None,
        ),
        (words("exchange.error"), each.last_error),
        (words("exchange.read_back"), _read_back(each, words)),
        (words("exchange.verdicts"), each.verdicts),
        (words("exchange.url"), tag("code", each.url)),
        (words("exchange.dialect"), each.dialect),
    ]
    sentence = tag("p", _accepted(each, words), class_="sum", data_k=f"d.{each.name}.sum")
    late = tag("p", text) if (text := _late(each, words)) else None
    title = words("exchange.it") if each.name == "exchange" else each.name
    return card(title, sentence, late, facts(pairs), key=f"d-{each.name}")


def _accepted(each: DestinationNow, words: Words) -> str:
    """Up to when it has accepted everything, and for whom."""
    by_time: dict[int, list[str]] = {}
    for asset in each.assets:
        if asset.accepted_until_s is not None:
            by_time.setdefault(asset.accepted_until_s, []).append(asset.title)
    if not by_time:
        return words("exchange.nothing_yet")
    if len(by_time) == 1 and len(by_time[next(iter(by_time))]) == len(each.assets):
        return words("exchange.all_until", clock=words.moment(next(iter(by_time))))
    parts = [
        words("exchange.until", clock=words.moment(until_s), titles=words.listed(titles))
        for until_s, titles in sorted(by_time.items(), reverse=True)
    ]
    return words("exchange.some_until", parts=words.listed(parts))


def _late(each: DestinationNow, words: Words) -> str:
    if not each.waiting:
        return ""
    waiting = words("exchange.waits", waiting=words("slots", n=each.waiting))
    if each.accept_by_s is None:
        return f"{waiting} {words('exchange.never_late')}"
    return f"{waiting} {words('exchange.by', clock=words.moment(each.accept_by_s))}"


def _read_back(each: DestinationNow, words: Words) -> str:
    if not each.read_back:
        return ""
    if each.read_back != "ok":
        return each.read_back
    text = words("exchange.same", n=each.confirmed)
    if each.disagreements or each.disputed:
        text += " " + words("exchange.differs", n=each.disagreements)
    if each.disputed:
        text += " " + words("exchange.disputed", n=each.disputed)
    return text


def _week(reader: Reader, each: DestinationNow) -> Child:
    """Seven days of each asset, slot by slot."""
    words = reader.words
    assets = [asset for asset in each.assets if asset.states]
    if not assets:
        return None
    letters = {letter for asset in assets for row in asset.states.values() for letter in row}
    kinds = [f"d{letter}" for letter in "aswrlo" if letter in letters]
    return card(
        words("exchange.week"),
        *(_grid(reader, asset) for asset in assets),
        legend(kinds, words),
        key=f"week-{each.name}",
    )


def _grid(reader: Reader, asset: ExchangeAsset) -> Markup:
    words = reader.words
    rows: list[Child] = []
    for day, letters in sorted(asset.states.items(), reverse=True):
        when = date.fromisoformat(day)
        label = f"{words.weekday(when)} {words.short_day(when)}"
        rows += [
            reader.link(f"days/{day}?asset={asset.asset}", label, class_="tap num"),
            delivery_row(spoken_row(label, letters, words), letters),
        ]
    return tag("div", tag("h3", asset.title), tag("div", *rows, class_="week"))


def spoken_row(label: str, letters: str, words: Words) -> str:
    """A day of the grid in words."""
    counts = [
        f"{words(f'delivery.{letter}')} {letters.count(letter)}"
        for letter in "aswrlok"
        if letter in letters
    ]
    return f"{label}: {', '.join(counts)}" if counts else label


def _refused(reader: Reader, each: DestinationNow) -> Child:
    if not each.refused:
        return None
    words = reader.words
    heads = [words(f"table.{key}") for key in ("slot", "asset", "became", "reason")]
    rows = [_refused_row(reader, slot) for slot in each.refused]
    title = words("exchange.refused")
    command = tag("code", f"meter-gateway outbox --destination {each.name}")
    more = tag("p", words("exchange.refused_do"), " ", command, class_="soft")
    return card(title, table(heads, rows, name=title), more, key=f"refused-{each.name}")


def _refused_row(reader: Reader, slot: RefusedSlot) -> Sequence[Child]:
    words = reader.words
    state = words("delivery.r" if slot.state == "rejected" else "delivery.l")
    when = reader.link(f"slots/{slot.asset}/{slot.start_s}", words.moment(slot.start_s))
    return [when, slot.title, state, slot.reason]
