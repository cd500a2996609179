"""The grid operator's agent in the real daemon: how soon fifty markets have their fees once their
statistics have arrived, and what it costs in memory.
"""

import asyncio
import compileall
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import drivers
import gateway
from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.community import AREA, Community, Node
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.delivery.simulated.market_statistics import Flow
from tests.benchmarks.daemon import cost
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.site import daemon, write_bare_site

TITLE = "the grid operator's agent: from statistics to fees for fifty markets, and its memory"

SLOT_S = 20
"""Its meter is read every 10 s."""
TICK_S = 0.25
MARKETS = 50
SLOTS = 5
PATIENCE_S = 60.0
WARM_UP_S = 65.0
ASSETS = 3


def figures() -> Iterator[Figure]:
    """Takes three minutes."""
    # As pip installs it: a daemon that has to compile itself keeps some of the memory of that.
    for package in (gateway, drivers):
        compileall.compile_dir(package.__path__[0], quiet=1)
    waited_s = asyncio.run(_from_statistics_to_fees())
    beside = (
        f"the worst of {len(waited_s)} slots; median {sorted(waited_s)[len(waited_s) // 2]:.3f} s"
    )
    yield Figure(
        "fees of 50 markets sent after their statistics arrived",
        max(waited_s),
        "s",
        1,
        "low",
        beside,
    )
    with_agent, without = asyncio.run(_memory())
    yield Figure(
        "memory (RSS) of the grid operator's agent, beside verdicts",
        max(with_agent - without, 0.0),
        "MB",
        1.5,
        "low",
        f"{with_agent:.1f} MB with it, {without:.1f} MB without; three assets and three markets",
    )


def _exchange(markets: int, assets: int) -> StandInExchange:
    leaves = [Node(uuid4(), f"asset {n}") for n in range(assets)]
    inner = [Node(uuid4(), f"Market {n}", AREA) for n in range(markets)]
    root = Node(uuid4(), "Grid", AREA, children=[*inner, *leaves])
    behaviour = Behaviour(tick_s=TICK_S)
    exchange = StandInExchange(uuid4(), Community(root), slot_s=SLOT_S, behaviour=behaviour)
    exchange.engine.statistics.flows = lambda node, slot_s: Flow(node.uuid.int % 7 + slot_s % 4)
    return exchange


def _write_operator(folder: Path, exchange: StandInExchange, markets: int) -> None:
    """An agent with a model that waits for statistics, in the folder of a site."""
    names = [f"Market {n}" for n in range(markets)]
    steps = [{"Import / Export threshold": n, "Grid fee": n / 2} for n in range(1, 11)]
    (folder / "aziiz.json").write_text(json.dumps(dict.fromkeys(names, steps)))
    with (folder / "gateway.yaml").open("a") as file:
        file.write(
            f"market: {{slot: {SLOT_S}s, max_gap: 10min}}\nstatus: {{port: 0}}\n"
            "clock: {trust: assured}\n"
        )
        if not markets:
            return
        file.write(
            f"grid_operator:\n  url: {exchange.url}\n  canary_network: {exchange.network}\n"
            "  credentials: exchange.credentials\n  aggregator: dso\n  fee_type: constant\n"
            f"  markets: [{', '.join(names)}]\n"
            "  model: {kind: aziiz, file: aziiz.json, measure: peak}\n"
            "  lowest: 0\n  highest: 12\n  fallback: 2\n"
        )


async def _from_statistics_to_fees() -> list[float]:
    """Of each slot."""
    exchange = _exchange(MARKETS, 1)
    told_s: list[float] = []
    waited_s: list[float] = []
    tell, batch = exchange.engine.tell, exchange.engine.batch

    def telling(address: UUID, message: Any) -> None:
        tell(address, message)
        if isinstance(message, dict) and "responses" in message:
            told_s.append(time.monotonic())

    def batching(aggregator: UUID, transaction_id: str, commands: Any) -> None:
        wanted = [command["type"] for each in commands.values() for command in each]
        if wanted.count("grid_fees") == MARKETS:
            waited_s.append(time.monotonic() - told_s[-1])
        batch(aggregator, transaction_id, commands)

    vars(exchange.engine).update(tell=telling, batch=batching)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "site"
        async with exchange:
            write_bare_site(folder, exchange)
            _write_operator(folder, exchange, MARKETS)
            with daemon(folder):
                async with asyncio.timeout(PATIENCE_S + SLOTS * SLOT_S):
                    while len(waited_s) < SLOTS:
                        progress(f"fees: {len(waited_s)} of {SLOTS} slots")
                        await asyncio.sleep(1)
    return waited_s


async def _memory() -> tuple[float, float]:
    """Resident memory of a daemon with the agent, and of one without, MB."""
    exchange = _exchange(ASSETS, ASSETS)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / name for name in ("with", "without")]
        async with exchange:
            for folder, markets in zip(folders, (ASSETS, 0), strict=True):
                write_bare_site(folder, exchange, more=", verdicts: on")
                _write_operator(folder, exchange, markets)
            with daemon(folders[0]) as first, daemon(folders[1]) as second:
                progress(f"fees: two daemons run for {WARM_UP_S:.0f} s")
                await asyncio.sleep(WARM_UP_S)
                if not exchange.community.controlled:
                    raise RuntimeError("the agent has not selected its markets")
                return cost(first).rss_mb, cost(second).rss_mb
