"""The markets of the simulated home's network, whose fees its gateway sets where the scenario says
so; and every fee that arrives at the engine.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from gateway.delivery.simulated.community import AREA, Node
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.delivery.simulated.market_statistics import Flow

LOWEST, HIGHEST, FALLBACK = 0.5, 8.0, 4.0
DAY_S, ROW_S = 86_400, 900

MODELS: Mapping[str, str] = {
    "Street": "{kind: time_of_use, file: tou.csv, times: utc}",
    "House 1": "{kind: aziiz, file: aziiz.json, measure: peak}",
    "Transformer": "{kind: feeder, load: grid.import - grid.export, rating_kw: 6, steps: "
    "[{above: 0, fee: 1}, {above: 20, fee: 2.5}, {above: 50, fee: 7}], hysteresis: 5, hold: 30min}",
}
"""Of each market: one that needs nothing, one that waits for statistics, and one that waits for
this gateway's own meters.
"""

THRESHOLDS = [{"Import / Export threshold": n, "Grid fee": round(0.9 * n, 2)} for n in range(1, 12)]
"""Up to 9.9: beyond the highest fee."""

Sink = Callable[[bytes | str], None]


def street_fee(slot_s: int) -> float:
    """What the tariff file says of that slot: a number by which its time of day is known."""
    return round(1 + slot_s % DAY_S // ROW_S / 100, 2)


def write_operator(folder: Path, network: UUID) -> list[str]:
    """Write the tariff files. Gives out the lines of gateway.yaml."""
    rows = (
        f"{second // 3600:02}:{second // 60 % 60:02};{street_fee(second):.2f}"
        for second in range(0, DAY_S, ROW_S)
    )
    (folder / "tou.csv").write_text("\n".join(("Time;Street", *rows)) + "\n")
    (folder / "aziiz.json").write_text(json.dumps({"House 1": THRESHOLDS}))
    return [
        "grid_operator:",
        "  url: 'http://127.0.0.1:9'",
        f"  canary_network: {network}",
        "  credentials: exchange.credentials",
        "  aggregator: simulated-operator",
        "  fee_type: constant",
        f"  markets: [{', '.join(MODELS)}]",
        f"  model: {MODELS['Street']}",
        "  models:",
        *(f"    {name}: {model}" for name, model in MODELS.items() if name != "Street"),
        f"  lowest: {LOWEST}",
        f"  highest: {HIGHEST}",
        f"  fallback: {FALLBACK}",
        "  fallback_after: 2",
    ]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A fee that the engine has obeyed."""

    slot_s: int
    """The slot that ran then."""
    at_s: float
    market: str
    fee: float


@dataclass(slots=True)
class Markets:
    """Those of one run."""

    exchange: StandInExchange
    rng: Random
    """Of its own: what is drawn here moves nothing else."""
    names: dict[str, str] = field(default_factory=dict)
    """By the UUIDs as text."""
    arrived: list[Arrived] = field(default_factory=list)
    copies: int = 1
    """How often each event is told …"""
    apart_s: float = 0.0
    """… so much after each other."""
    late_s: float = 0.0
    """How late anything comes at most."""
    loses_events: bool = False

    def open(self) -> None:
        """They are there, and are watched."""
        engine = self.exchange.engine
        for name in MODELS:
            uuid = UUID(int=self.rng.getrandbits(128), version=4)
            self.names[str(uuid)] = name
            self.exchange.community.add(Node(uuid, name, AREA, fee=2))
        engine.statistics.flows = flow
        obey, listen = engine.fees.command, engine.listen

        def command(node: Node, said: Any) -> Any:
            data = said.get("data") or {}
            now_s = self.exchange.now()
            engine_s = now_s + self.exchange.behaviour.lead_s
            slot_s = int(engine_s // ROW_S * ROW_S)
            self.arrived.append(Arrived(slot_s, now_s, node.name, data["fee_const"]))
            return obey(node, said)

        vars(engine.fees).update(command=command)
        vars(engine).update(
            listen=lambda address, sink: listen(address, partial(self._deliver, sink))
        )

    def _deliver(self, sink: Sink, message: bytes | str) -> None:
        """What becomes of what the engine says."""
        raw = message if isinstance(message, bytes) else message.encode()
        is_event = b'"event": "market"' in raw
        if is_event and self.loses_events:
            return
        later = asyncio.get_running_loop().call_later
        for n in range(self.copies if is_event else 1):
            late_s = self.rng.uniform(0, self.late_s) + n * self.apart_s
            if late_s:
                later(late_s, sink, message)
            else:
                sink(message)


def flow(node: Node, slot_s: int) -> Flow:
    """What went through a market: another thing in each slot of some hours."""
    return Flow(import_kwh=slot_s // ROW_S * 7 % 13 + 0.5)


def no_flow(node: Node, slot_s: int) -> Flow:
    """Nothing was traded, so all is null."""
    return Flow()
