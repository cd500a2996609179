"""An agent, an exchange and the way between them in virtual time: slots of a quarter of an hour, a
day of them in a second, and all that may go wrong with what the exchange says. Afterwards the world
judges: what was charged, when each fee arrived, and what the agent has kept of it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.community import Community, Node
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.delivery.simulated.market_statistics import Flow
from gateway.operator.agent import Agent
from gateway.operator.fee import fee_of
from gateway.operator.model import Asked, Proposal, Unable
from gateway.store.buffer import Buffer
from gateway.store.grid_fee_rows import GridFee
from gateway.store.opening import open_buffer
from tests.gateway.operator.street import NETWORK, Operator, agent_of, community
from tests.simulation.network import Network
from tests.simulation.virtual_time import VirtualLoop

SLOT_S = 900
TICK_S = 15.0
START_S = 1_795_824_000
"""2026-11-28T00:00Z."""
BEGIN_S = 1000.0
"""The loop's time then."""
MILLION = 1_000_000
WAYS = 89
"""Fees in a row that differ."""

T = TypeVar("T")
Sink = Callable[[bytes | str], None]


def number_of(slot_s: int) -> float:
    """A fee by which its slot is known for a day."""
    return round(1 + slot_s // SLOT_S % WAYS / 100, 2)


@dataclass(frozen=True)
class Counting:
    """A fee by which its slot is known. Whether it waits for statistics, is said."""

    needs_statistics: bool = False
    kind: str = "counting"
    needs_load: bool = False

    def propose(self, asked: Asked) -> Proposal | Unable:
        told = asked.statistics.get(asked.newest_s)
        if self.needs_statistics and (told is None or told.traded_kwh is None):
            return Unable("no statistics of the last slot")
        return Proposal(fee=fee_of(number_of(asked.slot_s), "constant"), why="counted")


@dataclass(frozen=True)
class Arrived:
    """A fee that the engine has obeyed."""

    slot_s: int
    """The slot that ran then."""
    market: UUID
    data: Any


@dataclass
class Faults:
    """What is wrong at the moment."""

    copies: int = 1
    """How often each event is told."""
    late_s: Callable[[bool], float] = field(default=lambda _: 0.0)
    """How late a message arrives; whether it is an event, is said."""
    swallows_events: bool = False
    clock_off_s: float = 0.0
    """How wrong this gateway's clock is."""
    slept_s: float = 0.0
    """How long this gateway's machine was suspended; it had no time of its own then."""


class Post:
    """What becomes of events on their way to the agent."""

    def __init__(self, world: "World", sink: Sink) -> None:
        self._world = world
        self._sink = sink

    def __call__(self, message: bytes | str) -> None:
        is_event = b'"event": "market"' in (message if isinstance(message, bytes) else b"")
        faults = self._world.faults
        if is_event and faults.swallows_events:
            return
        late_s = faults.late_s(is_event)
        for n in range(faults.copies if is_event else 1):
            if late_s or n:
                asyncio.get_running_loop().call_later(late_s + n * 0.5, self._sink, message)
            else:
                self._sink(message)


class World:
    """One exchange, one agent at a time. `run` it once."""

    def __init__(self, operator: Operator, folder: Path, markets: Community | None = None) -> None:
        self.operator = operator
        self.folder = folder
        self.community = markets or community()
        self.faults = Faults()
        self.arrived: list[Arrived] = []

    def run(self, play: "Callable[[World], Awaitable[T]]") -> T:
        """Let it happen."""
        loop = VirtualLoop(BEGIN_S)
        try:
            return loop.run_until_complete(self._run(play))
        finally:
            loop.close()

    async def _run(self, play: "Callable[[World], Awaitable[T]]") -> T:
        loop = asyncio.get_running_loop()
        self.exchange = exchange = StandInExchange(
            NETWORK,
            self.community,
            slot_s=SLOT_S,
            now=lambda: START_S + loop.time() - BEGIN_S + self.faults.slept_s,
            behaviour=Behaviour(lead_s=5.0, tick_s=TICK_S, fee_type=self.operator.fee_type),
        )
        exchange.host, exchange.port = "127.0.0.1", 1
        exchange.engine.statistics.flows = lambda *_: Flow(0.5)
        self._watch()
        self.network = Network(exchange)
        ticking = asyncio.create_task(exchange.tick())
        self.start()
        try:
            return await play(self)
        finally:
            await self.stop()
            ticking.cancel()
            await exchange.hang_up()
            await asyncio.gather(ticking, return_exceptions=True)

    def _watch(self) -> None:
        engine = self.exchange.engine
        fees = engine.fees
        obey, listen = fees.command, engine.listen

        def command(node: Node, said: Any) -> Any:
            self.arrived.append(Arrived(self.slot_s, node.uuid, dict(said.get("data") or {})))
            return obey(node, said)

        vars(fees).update(command=command)
        vars(engine).update(listen=lambda address, sink: listen(address, Post(self, sink)))

    @property
    def slot_s(self) -> int:
        """The slot that runs, by the engine."""
        engine_s = self.exchange.now() + self.exchange.behaviour.lead_s
        return int(engine_s // SLOT_S * SLOT_S)

    # --- the agent --------------------------------------------------------------------------------

    def start(self) -> None:
        """The gateway is started."""
        self.buffer: Buffer = open_buffer(self.folder / "buffer.sqlite", now_s=START_S)
        self.agent: Agent = agent_of(
            *(self.operator, self.exchange, self.buffer, SLOT_S),
            slept=lambda: self.faults.slept_s,
            transport=self.network,
        )
        vars(self.agent)["_now"] = lambda: self.exchange.now() + self.faults.clock_off_s
        self.task = asyncio.create_task(self.agent.run())

    async def stop(self) -> None:
        """And stopped."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.agent.aclose()
        self.buffer.close_file()

    async def restart(self, after_s: float = 5.0) -> None:
        """As systemd does."""
        await self.stop()
        await asyncio.sleep(after_s)
        self.start()

    async def slots(self, count: float) -> None:
        """Let so many slots go by."""
        await asyncio.sleep(count * SLOT_S)

    def rows(self, *states: str) -> list[GridFee]:
        """What the agent has kept."""
        found = self.buffer.tables.grid_fees.between(0, 1 << 40)
        return [row for row in found if not states or row.state in states]

    def by_slot(self, market: UUID) -> dict[int, GridFee]:
        """Of one market, by the number of the slot since the begin."""
        rows = (row for row in self.rows() if row.market == market)
        return {(row.slot_s - START_S) // SLOT_S: row for row in rows}

    # --- the laws ---------------------------------------------------------------------------------

    def judge(self) -> list[str]:
        """What was against the laws: a fee that arrived for a slot that had begun, or is outside
        the bounds; one that counts as taken and was not charged; a slot without an explanation.
        """
        rows = {(row.slot_s, row.market): row for row in self.rows()}
        return [*self._late(rows), *self._untrue(rows), *self._unexplained(rows)]

    @property
    def charged(self) -> dict[tuple[int, UUID], float]:
        """What each market charged in each slot."""
        told = self.exchange.engine.fees.charged
        return {(slot_s, market): fee for slot_s, of in told for market, fee in of.items()}

    def _late(self, rows: dict[tuple[int, UUID], GridFee]) -> list[str]:
        found = []
        highest = self.operator.highest
        for each in self.arrived:
            fee = each.data.get("fee_const", each.data.get("fee_percent"))
            row = rows.get((each.slot_s + SLOT_S, each.market))
            if row is None or row.fee is None or row.fee != round(fee * MILLION):
                found.append(f"{fee} arrived in {each.slot_s}, and is not of the next slot: {row}")
            if not 0 <= fee <= highest or json.loads(json.dumps(fee)) != fee:
                found.append(f"{fee} is out of bounds")
        return found

    def _untrue(self, rows: dict[tuple[int, UUID], GridFee]) -> list[str]:
        told = self.charged
        return [
            f"{row.name} {row.slot_s}: taken, {row.fee}, and charged {charged}"
            for key, row in rows.items()
            if row.state == "taken"
            and not row.reason
            and (charged := told.get(key)) is not None
            and round(charged * MILLION) != row.fee
        ]

    def _unexplained(self, rows: dict[tuple[int, UUID], GridFee]) -> list[str]:
        decided = [slot_s for (slot_s, _), row in rows.items() if row.state != "observed"]
        found = []
        for slot_s in range(min(decided, default=0), self.slot_s, SLOT_S):
            for node in self.community.nodes():
                row = rows.get((slot_s, node.uuid))
                is_ours = node.is_market and (
                    not self.operator.markets or node.name in self.operator.markets
                )
                if is_ours and (
                    row is None or not (row.state in ("taken", "dry_run") or row.reason)
                ):
                    found.append(f"{node.name} {slot_s}: {row}")
        return found
