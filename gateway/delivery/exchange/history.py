"""Reads what an exchange holds, over weeks, for a person. Shell.

What is asked for at once is as much as an answer has room for. An exchange that does not answer to
that is asked day by day.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID

from msgspec.structs import replace

from gateway.delivery.exchange.beside import Beside, NotTaken
from gateway.delivery.exchange.web_api import WebApi
from gateway.delivery.http_session import ExchangeError, NotAllowed, Session
from gateway.outbox.comparison import Told
from gateway.outbox.dialect import TellsHistory
from gateway.outbox.exchange.registry import Node, Wanted, resolve

LOGIN_WITHIN_S = 15.0
SLOTS_AT_ONCE = 1344
"""A fortnight of quarter hours: 780 bytes for each in an answer of 1 MiB."""
DAY_S = 86_400

Progress = Callable[[UUID, int, int], None]
"""Told after each asset: which, and how many of how many are done."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is asked for: assets (their UUIDs here), and slots that start from `since_s` on and
    before `until_s`, which are multiples of a slot's length.
    """

    assets: tuple[UUID, ...]
    since_s: int
    until_s: int
    slot_s: int


@dataclass(frozen=True, slots=True)
class Read:
    """What came of it."""

    nodes: list[Node] = field(default_factory=list)
    """The registry; empty where it cannot be read."""
    told: dict[UUID, Told] = field(default_factory=dict)
    """By the asset's UUID here."""
    untold: dict[UUID, str] = field(default_factory=dict)
    """Why it cannot tell of these."""
    registry_problem: str = ""


async def read_once(
    session: Session,
    dialect: TellsHistory | None,
    network: str,
    wanted: Sequence[Wanted],
    span: Span,
    known: Mapping[UUID, UUID],
    on: Progress,
) -> Read:
    """Log in, read the registry and what is held. Closes the session. Raises ExchangeError."""
    beside = Beside(session)
    read = Read()
    try:
        await session.log_in(LOGIN_WITHIN_S)
        problem = await _read_registry(WebApi(beside, network), read)
        there = resolve(read.nodes, wanted).by_asset if read.nodes else {}
        for number, asset in enumerate(span.assets, start=1):
            uuid = there.get(asset, known.get(asset, asset))
            if dialect is None:
                read.untold[asset] = "this dialect cannot ask what the exchange holds"
            elif uuid is None:
                read.untold[asset] = "the exchange has no asset of this name"
            else:
                await _read_asset(beside, dialect, asset, uuid, span, read)
            on(asset, number, len(span.assets))
    finally:
        await beside.aclose()
        await session.aclose()
    return Read(read.nodes, read.told, read.untold, problem)


async def _read_registry(api: WebApi, read: Read) -> str:
    """Returns what is wrong with it. Whether live data is switched on, not every exchange tells."""
    try:
        nodes = await api.registry()
    except ExchangeError as error:
        return str(error)
    try:
        live = await api.live()
    except ExchangeError:
        live = {}
    read.nodes.extend(
        replace(node, live=live.get(node.uuid, node.live)) if node.uuid else node for node in nodes
    )
    return ""


async def _read_asset(
    beside: Beside, dialect: TellsHistory, asset: UUID, there: UUID, span: Span, read: Read
) -> None:
    slots: dict[int, int] = {}
    try:
        for start_s, end_s in _parts(span, SLOTS_AT_ONCE * span.slot_s):
            try:
                slots |= await _ask(beside, dialect, there, start_s, end_s)
            except NotTaken:
                if end_s - start_s <= DAY_S:
                    raise
                for day_s, next_s in _parts(Span((), start_s, end_s, span.slot_s), DAY_S):
                    slots |= await _ask(beside, dialect, there, day_s, next_s)
    except (NotTaken, NotAllowed) as error:
        read.untold[asset] = str(error)
        return
    read.told[asset] = Told(slots, span.since_s, span.until_s)


def _parts(span: Span, length_s: int) -> Iterator[tuple[int, int]]:
    edges = [*range(span.since_s, span.until_s, length_s), span.until_s]
    return pairwise(edges)


async def _ask(
    beside: Beside, dialect: TellsHistory, there: UUID, start_s: int, end_s: int
) -> Mapping[int, int]:
    """One question. Raises ExchangeError."""
    reply = await beside.ask("GET", dialect.history_path(str(there), start_s, end_s))
    held = dialect.held(reply)
    if held is None:
        raise NotTaken("the exchange answers with something that does not say what it holds")
    return held
