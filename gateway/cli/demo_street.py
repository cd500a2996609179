"""The grid operator's demo: a simulated street with a congested evening, a stand-in exchange, and
the gateway itself as a process at the transformer station. Its fees rise and fall with what flows.

A day of the street takes two minutes: a slot is an hour of it. At the end each slot's fee must have
been taken, or say why not; and what each market charged must be what its model says of what flowed.
"""

import asyncio
import contextlib
import json
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.demo_feeder import FeederMeter, model
from gateway.cli.demo_home import Daemon, free_port
from gateway.cli.tables import utc_text
from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.community import AREA, Community, Node
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.delivery.simulated.street import Street
from gateway.store.errors import StoreError
from gateway.store.grid_fee_rows import GridFee
from gateway.store.opening import open_for_reading

SLOT_S = 5
HOURS = 24
DAY_S = SLOT_S * HOURS
TICK_S = 0.25
LEAD_S = 0.1
OUTAGE_SLOTS = 3
NETWORK = UUID("7d1f3d3e-5f5b-4f0e-9a37-3d1c1e0f9a10")
HOUSES = 4
MILLION = 1_000_000

STREET_KWH = ((1.0, 1.0), (4.0, 2.0), (7.0, 4.0), (10.0, 7.0), (1000.0, 11.0))
"""Up to so many kWh through the street in an hour of it, that fee."""
HOUSE_FEE, EVENING_FEE = 1.5, 3.0
"""Of the houses: by the clock."""


@dataclass(frozen=True, slots=True)
class Station:
    """The demo's configuration folder, and where its page is."""

    folder: Path
    page: str

    @property
    def buffer_path(self) -> Path:
        """The gateway's store."""
        return self.folder / "buffer.sqlite"


def _community() -> Community:
    houses = [
        Node(uuid5(NETWORK, f"House {n}"), f"House {n}", AREA, fee=HOUSE_FEE)
        for n in range(1, HOUSES + 1)
    ]
    street = Node(uuid5(NETWORK, "Street"), "Street", AREA, children=houses, fee=1)
    feeder = Node(uuid5(NETWORK, "Feeder"), "Feeder", AREA, children=[street], fee=1)
    return Community(Node(uuid5(NETWORK, "Grid"), "Grid", AREA, children=[feeder]))


def write_station(
    folder: Path, exchange: StandInExchange, meter: FeederMeter, meter_port: int
) -> Station:
    """An ordinary configuration folder of a grid operator with a meter at the transformer."""
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    (folder / "devices" / "feeder.yaml").write_text(meter.device_file(meter_port))
    credentials = folder / "grid-operator.credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(f"username: {exchange.username}\npassword: {exchange.password}\n")
    steps = [
        {"Import / Export threshold": _per_slot(kwh), "Grid fee": fee} for kwh, fee in STREET_KWH
    ]
    (folder / "aziiz.json").write_text(json.dumps({"Street": steps}, indent=1) + "\n")
    (folder / "tou.csv").write_text("\n".join(_time_of_use()) + "\n")
    port = free_port(8080)
    houses = ", ".join(f"House {n}" for n in range(1, HOUSES + 1))
    lines = [
        "site: demo-station",
        f"market: {{slot: {SLOT_S}s, max_gap: 10min}}",
        "grid_operator:",
        f"  url: {exchange.url}",
        f"  canary_network: {exchange.network}",
        "  credentials: grid-operator.credentials",
        "  aggregator: dso",
        "  fee_type: constant",
        f"  markets: [Feeder, Street, {houses}]",
        "  model: {kind: time_of_use, file: tou.csv}",
        "  models:",
        "    Street: {kind: aziiz, file: aziiz.json, measure: peak}",
        f"    Feeder: {model()}",
        "  lowest: 0.5",
        "  highest: 12",
        "  fallback: 2",
        "buffer: {path: buffer.sqlite, flush: 5s}",
        f"status: {{port: {port}}}",
        "clock: {trust: assured}   # a demo machine may lack NTP",
    ]
    (folder / "gateway.yaml").write_text("\n".join(lines) + "\n")
    return Station(folder, f"http://127.0.0.1:{port}/")


def _per_slot(kwh_an_hour: float) -> float:
    """The street's kWh of an hour, as they are in a slot: its power flows for a slot only."""
    return round(kwh_an_hour * SLOT_S / 3600, 9)


def _time_of_use() -> Iterator[str]:
    names = ";".join(f"House {n}" for n in range(1, HOUSES + 1))
    yield f"Time;{names}"
    for quarter in range(96):
        fee = EVENING_FEE if quarter % 2 else HOUSE_FEE
        fees = ";".join([f"{fee:.2f}".replace(".", ",")] * HOUSES)
        yield f"{quarter // 4:02}:{quarter % 4 * 15:02};{fees}"


async def run_street(
    folder: Path | None, for_s: float | None, outage: bool, console: Console
) -> int:
    """The whole demo; a day of the street, unless `for_s` says otherwise. Returns 0 where all that
    was charged is what the models said, and each slot's fee was taken or says why not.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix="meter-gateway-demo-"))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    behaviour = Behaviour(lead_s=LEAD_S, tick_s=TICK_S)
    community = _community()
    street = Street(SLOT_S, DAY_S, noon_s=time.time() - DAY_S / 24)
    feeder = next(node for node in community.nodes() if node.name == "Feeder")
    meter = FeederMeter(street, feeder, int(time.time()) // SLOT_S * SLOT_S)
    async with (
        meter.serving() as meter_port,
        StandInExchange(NETWORK, community, slot_s=SLOT_S, behaviour=behaviour) as exchange,
    ):
        exchange.engine.statistics.flows = street.flow
        station = write_station(folder, exchange, meter, meter_port)
        console.print(
            f"Configuration folder: {folder}\nStatus page:          {station.page}\nThe gateway's "
            f"log:    {folder / 'gateway.log'}\nOne slot of {SLOT_S} s is an hour of the street; "
            "the evening is congested.",
            highlight=False,
        )
        daemon = Daemon(folder)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(daemon.run()),
                group.create_task(_show(station, exchange, street, console)),
            ]
            if outage:
                tasks.append(group.create_task(_take_away(exchange, console)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DAY_S if for_s is None else for_s):
                    await stop.wait()
            exchange.mode("ok")
            for task in tasks:
                task.cancel()
        return _tell(Verdict.of(_rows(station), exchange, meter), daemon, console)


async def _take_away(exchange: StandInExchange, console: Console) -> None:
    await asyncio.sleep(7 * SLOT_S)
    console.print(f"[red]The exchange is away for {OUTAGE_SLOTS} slots")
    exchange.mode("down")
    for websocket in list(exchange.websockets):
        websocket.close()
    await asyncio.sleep(OUTAGE_SLOTS * SLOT_S)
    exchange.mode("ok")
    console.print("[green]The exchange is back")


# --- what is shown meanwhile ----------------------------------------------------------------------


async def _show(
    station: Station, exchange: StandInExchange, street: Street, console: Console
) -> None:
    """A line for each slot that has begun."""
    node = next(each for each in exchange.community.nodes() if each.name == "Street")
    printed = 0
    while True:
        await asyncio.sleep(0.5)
        for slot_s, fees in list(exchange.engine.fees.charged):
            if slot_s <= printed:
                continue
            printed = slot_s
            fee = fees.get(node.uuid, node.fee)
            rows = {row.name: row for row in _rows(station) if row.slot_s == slot_s}
            row = rows.get(node.name)
            flow = street.flow(node, slot_s)
            kwh = max(flow.import_kwh, flow.export_kwh) * 3600 / SLOT_S
            state = "" if row is None else f"{row.state}: {row.reason or row.why}"
            console.print(
                f"{utc_text(slot_s)}  street {street.hour(slot_s):4.1f} h  {kwh:5.1f} kWh/h  "
                f"fee {fee:4.1f} {'█' * round(fee * 2):<24}{state}{_of_feeder(rows)}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _of_feeder(rows: Mapping[str, GridFee]) -> str:
    """The other market that has a model of what flows: by the gateway's own meter."""
    row = rows.get("Feeder")
    return "" if row is None else f"; feeder, {row.state}: {row.reason or row.why}"


def _rows(station: Station) -> list[GridFee]:
    """What the gateway has kept, but for slots of which it only knows what flowed."""
    try:
        buffer = open_for_reading(station.buffer_path)
    except StoreError:
        return []
    try:
        found = buffer.tables.grid_fees.between(0, 1 << 40)
        return [row for row in found if row.state != "observed"]
    except StoreError:
        return []
    finally:
        buffer.close_file()


# --- what came of it ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the demo comes to."""

    markets: Mapping[str, tuple[int, int, float, float]]
    """By name: fees taken, and not; the lowest and the highest that was charged."""
    wrong: Sequence[str]

    @classmethod
    def of(
        cls, rows: Sequence[GridFee], exchange: StandInExchange, meter: FeederMeter
    ) -> "Verdict":
        """Of all slots that have begun."""
        charged = {
            (slot_s, market): fee
            for slot_s, fees in exchange.engine.fees.charged
            for market, fee in fees.items()
        }
        begun = [row for row in rows if (row.slot_s, row.market) in charged]
        wrong = [text for row in begun if (text := _wrong(row, charged, meter, exchange))]
        wrong += _unexplained(begun)
        markets = {}
        for name in sorted({row.name for row in begun}):
            mine = [row for row in begun if row.name == name]
            fees = [charged[row.slot_s, row.market] for row in mine]
            taken = sum(row.state == "taken" for row in mine)
            markets[name] = (taken, len(mine) - taken, min(fees), max(fees))
        if not markets.keys() >= {
            "Feeder",
            "Street",
            *(f"House {n}" for n in range(1, HOUSES + 1)),
        }:
            wrong.append("fees were not set in every market")
        elif len(begun) > HOURS * len(markets) / 2:
            still = [name for name in ("Feeder", "Street") if len(set(markets[name][2:])) == 1]
            wrong += [f"{name}: its fee has neither risen nor fallen" for name in still]
        return cls(markets, wrong)


def _wrong(
    row: GridFee,
    charged: Mapping[tuple[int, UUID], float],
    meter: FeederMeter,
    exchange: StandInExchange,
) -> str:
    """What is wrong with one slot's fee; empty where nothing is."""
    fee = charged[row.slot_s, row.market]
    if row.state != "taken":
        return (
            "" if row.reason else f"{row.name} {utc_text(row.slot_s)}: {row.state}, and no reason"
        )
    if row.fee != round(fee * MILLION):
        return f"{row.name} {utc_text(row.slot_s)}: {row.fee} was taken, and {fee} charged"
    if row.wanted is None:
        return ""  # a marked fallback
    node = exchange.community.find(row.market)
    assert node is not None
    if node.name == "Feeder":
        text = meter.wrong(row)
        return text and f"Feeder {utc_text(row.slot_s)}: {text}"
    said = _said(node, row.slot_s, meter.street)
    if round(said * MILLION) != row.wanted:
        return f"{row.name} {utc_text(row.slot_s)}: the model says {said}, and wanted {row.wanted}"
    return ""


def _said(node: Node, slot_s: int, street: Street) -> float:
    """What a market's model says, worked out once more from what truly flowed."""
    if node.name != "Street":
        quarter = slot_s % 86_400 // 900
        return EVENING_FEE if quarter % 2 else HOUSE_FEE
    flow = street.flow(node, slot_s - 2 * SLOT_S)
    peak = max(flow.import_kwh, flow.export_kwh)
    return next(fee for kwh, fee in STREET_KWH if peak <= _per_slot(kwh))


def _unexplained(rows: Sequence[GridFee]) -> list[str]:
    """Slots between the first and the last of which nothing is kept."""
    found = []
    for name in sorted({row.name for row in rows}):
        slots = {row.slot_s for row in rows if row.name == name}
        missing = set(range(min(slots), max(slots), SLOT_S)) - slots
        found += [f"{name} {utc_text(slot_s)}: nothing is kept" for slot_s in sorted(missing)]
    return found


def _tell(verdict: Verdict, daemon: Daemon, console: Console) -> int:
    table = Table(title="What the markets charged", title_justify="left")
    for column in ("market", "fees taken", "explained", "lowest ct/kWh", "highest ct/kWh"):
        table.add_column(column, justify="left" if column == "market" else "right")
    for name, (taken, others, lowest, highest) in verdict.markets.items():
        table.add_row(name, str(taken), str(others), f"{lowest:g}", f"{highest:g}")
    console.print(table)
    console.print(f"Starts of the gateway: {daemon.starts}.", highlight=False)
    for text in verdict.wrong:
        console.print(Text(text, "red"))
    if verdict.wrong:
        console.print(f"[red]Not all is as the models say.[/red] See {daemon.log_path}")
        return 1
    console.print(
        "Each slot's fee was taken or says why not, and what was charged is what the models say."
    )
    return 0
