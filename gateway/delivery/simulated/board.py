"""What the simulated exchange holds, for people: rows of a table, and a web page of them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from html import escape
from uuid import UUID

from gateway.delivery.simulated.books import slot_text
from gateway.delivery.simulated.community import Node
from gateway.delivery.simulated.exchange import StrictExchange

UWH_PER_WH = 10**6
COLUMNS = ("slot (UTC)", "asset", "forecast Wh", "measured Wh", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One slot of one asset."""

    slot_s: int
    slot: str
    asset: str
    forecast: str
    measured: str
    note: str

    @property
    def cells(self) -> tuple[str, ...]:
        """Under COLUMNS."""
        return (self.slot, self.asset, self.forecast, self.measured, self.note)


def rows(exchange: StrictExchange, slots: int) -> list[Row]:
    """Of the newest slots of which anything is held, the newest first."""
    books = exchange.books
    kept = (books.measurements, books.forecasts, books.undated)
    known: set[int] = set().union(*(slots_of for each in kept for slots_of in each.values()))
    return [
        _row(exchange, node, slot_s)
        for slot_s in nlargest(slots, known)
        for node in exchange.community.assets()
        if any(slot_s in each.get(node.uuid, {}) for each in kept)
    ]


def _row(exchange: StrictExchange, node: Node, slot_s: int) -> Row:
    books = exchange.books
    times = books.booked["measurement", node.uuid, slot_s]
    notes = []
    if times > 1:
        notes.append(f"sent {times} times")
    if (node.uuid, slot_s) in books.late:
        notes.append("after its settlement")
    if slot_s % exchange.slot_s:
        notes.append("no slot begins then")
    forecasts = {**books.undated.get(node.uuid, {}), **books.forecasts.get(node.uuid, {})}
    return Row(
        slot_s,
        slot_text(slot_s, exchange.slot_s),
        node.name,
        _wh(forecasts.get(slot_s)),
        _wh(books.measurements.get(node.uuid, {}).get(slot_s)),
        ", ".join(notes),
    )


def _wh(energy_uwh: int | None) -> str:
    return "" if energy_uwh is None else f"{energy_uwh / UWH_PER_WH:.6f}"


def summary(exchange: StrictExchange, websockets: int) -> Iterator[str]:
    """In a few lines what else there is to know."""
    engine, books = exchange.engine, exchange.books
    answers = ", ".join(
        f"{count} × {status or 'no answer'}" for status, count in sorted(exchange.requests.items())
    )
    yield f"requests: {answers or 'none yet'}; logins: {exchange.logins}; websockets: {websockets}"
    if engine.unanswered:
        yield f"requests to which no verdict will come: {engine.unanswered}"
    if charged := [_charged(exchange, node) for node in exchange.community.markets_acted_for()]:
        yield f"grid fees now, and in the next slot: {', '.join(charged)}"
    for kind, reason in (
        ("measurement", "their slot had not begun"),
        ("forecast", "their slot had begun, by the exchange's clock"),
    ):
        if books.dropped[kind]:
            yield f"{kind}s that it dropped without a word, since {reason}: {books.dropped[kind]}"
    for node in exchange.community.assets():
        if node.is_ours and not node.takes_energy:
            is_off = "its live-data switch is off"
            why = is_off if not node.is_live else f"a {node.kind} is not heard"
            yield f"{node.name}: whatever is sent to it vanishes — {why}"
    if engine.ended:
        yield f"THE SIMULATION HAS ENDED for everybody, at {engine.ended}: start it again"


def _charged(exchange: StrictExchange, node: Node) -> str:
    fees = exchange.engine.fees
    return f"{node.name} {fees.running(node):g} → {fees.asked(node):g}"


def page(exchange: StrictExchange, websockets: int, slots: int, links: Sequence[str]) -> str:
    """As a web page that loads itself again."""
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row.cells) + "</tr>"
        for row in rows(exchange, slots)
    )
    said = "".join(f"<p>{escape(line)}</p>" for line in summary(exchange, websockets))
    more = " · ".join(f'<a href="{escape(link)}">{escape(link)}</a>' for link in links)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="refresh" content="5"><title>stand-in exchange</title>'
        "<style>body{font-family:sans-serif}td,th{padding:.1em .8em;text-align:right}"
        "td:nth-child(2),th:nth-child(2){text-align:left}</style></head><body>"
        f"<h1>Stand-in exchange, network {exchange.network}</h1>{said}"
        f"<table><tr>{head}</tr>{body}</table><p>{more}</p></body></html>"
    )


def held(exchange: StrictExchange) -> dict[str, object]:
    """All that it holds, for programs: µWh by asset, kind and slot."""

    def of(uuid: UUID) -> dict[str, dict[str, int]]:
        books = exchange.books
        return {
            name: {slot_text(at, exchange.slot_s): uwh for at, uwh in sorted(kept.items())}
            for name, kept in (
                ("measurements_uwh", books.measurements.get(uuid, {})),
                ("forecasts_uwh", books.forecasts.get(uuid, {})),
                ("undated_uwh", books.undated.get(uuid, {})),
            )
        }

    return {
        "network": str(exchange.network),
        "ended": exchange.engine.ended,
        "unanswered": exchange.engine.unanswered,
        "dropped": dict(exchange.books.dropped),
        "markets": {
            str(node.uuid): {
                "name": node.name,
                "aggregator": exchange.community.aggregator_of(node),
                "fee": exchange.engine.fees.running(node),
                "next_fee": exchange.engine.fees.asked(node),
            }
            for node in exchange.community.nodes()
            if node.is_market
        },
        "assets": {
            str(node.uuid): {"name": node.name, "type": node.kind, **of(node.uuid)}
            for node in exchange.community.assets()
        },
    }
