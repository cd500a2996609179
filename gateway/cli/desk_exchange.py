"""A stand-in exchange at a desk: made for the sites of configuration folders, or for assets that
the command line names; played until Ctrl-C, and shown.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, UUID, uuid5

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.cli.terminal import Refused
from gateway.delivery.kinds.exchange import settings_of
from gateway.delivery.simulated.answers import Answer, json_answer
from gateway.delivery.simulated.behaviour import Behaviour, FeeType
from gateway.delivery.simulated.board import COLUMNS, held, page, rows, summary
from gateway.delivery.simulated.community import AREA, Community, Node
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.delivery.simulated.market_statistics import Flow
from gateway.delivery.simulated.rehearsal import Mishap
from gateway.delivery.simulated.results import asset_statistics
from gateway.delivery.simulated.street import Street
from gateway.operator.loading import load
from gateway.site.credentials import ConfigError
from gateway.site.settings import Settings

if TYPE_CHECKING:
    from gateway.operator.settings import Settings as OperatorKeys

TYPE_OF: Mapping[str, str] = {
    "load": "Load",
    "pv": "PV",
    "storage": "Storage",
    "smart_meter": "Smart Meter",
    "heat_pump": "Heat Pump",
}
"""What a kind of asset is called in the exchange."""

NamedAsset = tuple[str, str, UUID | None]
"""Its name, kind and UUID."""

ROOT = "Grid"
STREET = ("House 1", "House 2", "House 3")
"""The markets of a grid operator who names none."""
SHOWN_SLOTS = 6
PAGE_SLOTS = 192
RESULTS = "/results/asset_statistics.json"
HELD = "/held.json"
USERNAME, PASSWORD = "gateway", "let-me-in"


@dataclass(slots=True)
class Desk:
    """What is played."""

    network: UUID
    community: Community
    slot_s: int
    accounts: dict[str, str]
    """Password by user."""
    sites: list[Path] = field(default_factory=list)
    """The configuration folders it was made for."""
    fee_type: FeeType = "constant"
    """How its markets charge grid fees."""

    def add_neighbours(self, assets: Sequence[NamedAsset]) -> None:
        """Assets of another account, in a market of their own."""
        leaves = [
            Node(uuid or uuid5(self.network, f"neighbour {name}"), name, TYPE_OF[kind], False)
            for name, kind, uuid in assets
        ]
        if leaves:
            uuid = uuid5(self.network, "Neighbours")
            self.community.add(Node(uuid, "Neighbours", AREA, False, children=leaves))


def desk_of_assets(assets: Sequence[NamedAsset], slot_s: int) -> Desk:
    """For assets given by name, kind and UUID. The network's, and those that are not given, are
    always the same for the same names: it may be started again.
    """
    network = uuid5(NAMESPACE_URL, "\n".join(name for name, _, _ in assets))
    leaves = [
        Node(uuid or uuid5(network, name), name, TYPE_OF[kind]) for name, kind, uuid in assets
    ]
    house = Node(uuid5(network, "House"), "House", AREA, children=leaves)
    root = Node(uuid5(network, "Grid"), "Grid", AREA, children=[house])
    return Desk(network, Community(root), slot_s, {USERNAME: PASSWORD})


def desk_of_sites(folders: Sequence[Path]) -> Desk:
    """For the assets of these configuration folders, a market for each, and for the markets of a
    grid operator. Raises ConfigError, and Refused where they do not go together.
    """
    sites = [(folder, load(folder, logins=False)) for folder in folders]
    networks: dict[UUID, Path] = {}
    accounts: dict[str, str] = {}
    markets: list[Node] = []
    fee_type: FeeType = "constant"
    for folder, site in sites:
        exchange, operator = settings_of(site), _operator_of(site)
        if exchange is None and operator is None:
            raise Refused(f"{folder}/gateway.yaml has no exchange: there is nothing to play")
        if exchange is not None:
            networks.setdefault(exchange.canary_network, folder)
            markets.append(_house(exchange.canary_network, site))
        if operator is not None:
            networks.setdefault(operator.canary_network, folder)
            markets += _street(operator.canary_network, operator.markets)
            fee_type = operator.fee_type
        for each in (exchange, operator):
            with contextlib.suppress(ConfigError):
                if each is not None:
                    login = site.credentials(each.credentials)
                    accounts[login.username] = login.password

    lengths = {site.market.slot for _, site in sites}
    if len(networks) > 1:
        first, second = list(networks.values())[:2]
        raise Refused(
            f"{first} and {second} name different networks — give sites of one canary_network"
        )
    if len(lengths) > 1:
        raise Refused("the sites' market.slot differ — give sites of one market")
    network = next(iter(networks))
    root = Node(uuid5(network, "Grid"), ROOT, AREA, children=markets)
    slot_s = int(lengths.pop())
    accounts = accounts or {USERNAME: PASSWORD}
    return Desk(network, Community(root), slot_s, accounts, list(folders), fee_type)


def _operator_of(site: Settings) -> "OperatorKeys | None":
    if site.grid_operator is None:
        return None
    from gateway.operator.settings import GridOperator

    assert isinstance(site.grid_operator, GridOperator)
    return site.grid_operator.settings


def _street(network: UUID, names: Sequence[str]) -> list[Node]:
    """The markets that a grid operator names beside the uppermost one; without names a street."""
    wanted = names or STREET
    return [Node(uuid5(network, f"market {name}"), name, AREA) for name in wanted if name != ROOT]


def _house(network: UUID, site: Settings) -> Node:
    # Of an asset that is written down by name alone the exchange knows another UUID than we do.
    leaves = [
        Node(
            uuid5(network, asset.name) if asset.is_by_name else asset.uuid,
            asset.name,
            TYPE_OF[asset.market_kind],
        )
        for asset in site.assets
    ]
    return Node(uuid5(network, f"market {site.site}"), site.site, AREA, children=leaves)


async def play(
    desk: Desk,
    behaviour: Behaviour,
    mishaps: Sequence[Mishap],
    host: str,
    port: int,
    tls: tuple[ssl.SSLContext, Path] | None,
    console: Console,
) -> None:
    """Until Ctrl-C. Raises Refused where it cannot listen there, ValueError where a mishap is about
    an asset that is not there.
    """
    exchange = StandInExchange(
        desk.network,
        desk.community,
        slot_s=desk.slot_s,
        behaviour=behaviour,
        host=host,
        port=port,
        tls=tls and tls[0],
    )
    exchange.tokens.accounts = dict(desk.accounts)
    exchange.pages |= _pages(exchange)
    exchange.behaviour.fee_type = desk.fee_type
    _let_flow(exchange)
    for each in mishaps:
        each.check(exchange)
    async with _listening(exchange):
        _print(console, "\n".join(_instructions(desk, exchange, tls and tls[1])))
        happening = (_happen(each, exchange, console) for each in mishaps)
        await asyncio.gather(_show(exchange, console), *happening)


def _let_flow(exchange: StandInExchange) -> None:
    """Through markets without any asset flows what flows in a street."""
    statistics, street = exchange.engine.statistics, Street(exchange.slot_s)
    forecast = statistics.flows

    def flow(node: Node, slot_s: int) -> Flow:
        has_assets = any(not each.is_market for each in Community(node).nodes())
        return forecast(node, slot_s) if has_assets else street.flow(node, slot_s)

    statistics.flows = flow


@contextlib.asynccontextmanager
async def _listening(exchange: StandInExchange) -> AsyncIterator[None]:
    try:
        await exchange.__aenter__()
    except OSError as error:
        raise Refused(
            f"{exchange.host}:{exchange.port}: cannot listen there — is the port free, and is that "
            "an address of this machine?"
        ) from error
    try:
        yield
    finally:
        await exchange.__aexit__()


def _print(console: Console, text: str) -> None:
    """As it is, and unbroken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _pages(exchange: StandInExchange) -> Mapping[str, Callable[[], Answer]]:
    """What people may look at beside the interfaces."""

    def shown() -> Answer:
        text = page(exchange, len(exchange.websockets), PAGE_SLOTS, [HELD, RESULTS])
        return Answer(200, text.encode(), "text/html; charset=utf-8")

    def results() -> Answer:
        now_s = exchange.now()
        data = asset_statistics(exchange.community, exchange.books, exchange.slot_s, now_s)
        return json_answer(200, data)

    return {"/": shown, HELD: lambda: json_answer(200, held(exchange)), RESULTS: results}


def _instructions(desk: Desk, exchange: StandInExchange, ca_file: Path | None) -> Iterator[str]:
    yield f"A stand-in exchange listens at {exchange.url}; its page is there. Ctrl-C ends it."
    if ca_file is not None:
        yield f"Its authority: {ca_file} — the gateway trusts it with SSL_CERT_FILE={ca_file}"
    if desk.sites:
        yield "In gateway.yaml, under exchange: or grid_operator:\n"
        yield f"      url: {exchange.url}\n"
        for folder in desk.sites:
            yield f"It plays the assets of {folder}, with its network, UUIDs and login."
    else:
        yield "In gateway.yaml:\n"
        yield from (f"    {line}" for line in _sections(desk, exchange))
        username, password = next(iter(desk.accounts.items()))
        yield "\nIn exchange.credentials, mode 0600:\n"
        yield f"    username: {username}\n    password: {password}\n"
    for node in desk.community.assets():
        if node.is_ours and not node.takes_energy:
            yield f"{node.name} is a {node.kind}: the exchange takes no energy of it, silently."


def _sections(desk: Desk, exchange: StandInExchange) -> Iterator[str]:
    names = {name: kind for kind, name in TYPE_OF.items()}
    if desk.slot_s != 900:
        yield f"market: {{slot: {desk.slot_s}s}}"
    yield "exchange:"
    yield "  dialect: sdk"
    yield f"  url: {exchange.url}"
    yield f"  canary_network: {desk.network}"
    yield "  credentials: exchange.credentials"
    yield "assets:"
    for node in filter(lambda node: node.is_ours, desk.community.assets()):
        yield f"  - name: {json.dumps(node.name, ensure_ascii=False)}"
        yield f"    uuid: {node.uuid}"
        yield f"    kind: {names[node.kind]}"
        yield "    energy: …   # which meters, such as grid.import"


async def _happen(mishap: Mishap, exchange: StandInExchange, console: Console) -> None:
    await asyncio.sleep(mishap.after_s)
    undo = mishap.apply(exchange)
    _print(console, f"now: {mishap.text}")
    if mishap.lasts_s is not None:
        await asyncio.sleep(mishap.lasts_s)
        undo()
        _print(console, f"over: {mishap.text}")


async def _show(exchange: StandInExchange, console: Console) -> None:
    """A table in a terminal; elsewhere a line whenever something about a slot changes."""
    printed: set[tuple[str, ...]] = set()
    said: set[str] = set()
    live = Live(console=console, refresh_per_second=2) if console.is_terminal else None
    with live or contextlib.nullcontext():
        while True:
            await asyncio.sleep(1)
            if live is not None:
                live.update(_table(exchange))
                continue
            for row in reversed(rows(exchange, SHOWN_SLOTS)):
                if row.cells not in printed:
                    printed.add(row.cells)
                    _print(console, _line(row.cells))
            for line in summary(exchange, len(exchange.websockets)):
                # A count that has grown is not worth another line.
                about = line.rstrip("0123456789")
                if about not in said and not line.startswith("requests:"):
                    said.add(about)
                    _print(console, line)


def _line(cells: tuple[str, ...]) -> str:
    slot, asset, forecast, measured, note = cells
    told = {"measured": measured, "forecast": forecast}
    text = ", ".join(f"{what} {wh} Wh" for what, wh in told.items() if wh)
    return f"{slot}Z  {asset}  {text}{f'  ({note})' if note else ''}"


def _table(exchange: StandInExchange) -> Group:
    table = Table(title=f"What it holds, at {exchange.url}", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="right" if name.endswith("Wh") else "left")
    for row in rows(exchange, SHOWN_SLOTS):
        table.add_row(*row.cells)
    said = [Text(line) for line in summary(exchange, len(exchange.websockets))]
    return Group(table, *said)
