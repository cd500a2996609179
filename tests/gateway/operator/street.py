"""A street of markets behind the stand-in exchange, and an agent that sets their fees: over real
sockets, with short slots.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from drivers.net.masking import SecretsInUse
from gateway.delivery.http_session import Session
from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.community import AREA, Community, Node
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.operator.agent import Agent
from gateway.operator.connection import Connection, Wanted
from gateway.operator.decision import Bounds
from gateway.operator.desk import Desk, Plan
from gateway.operator.fee import FeeType, fee_of
from gateway.operator.model import Model
from gateway.operator.models.fixed import Fixed
from gateway.operator.stop_order import StopOrder
from gateway.site.credentials import Credentials
from gateway.store.buffer import Buffer
from gateway.store.grid_fee_rows import GridFee
from gateway.store.opening import open_buffer

NETWORK = UUID("8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10")
GRID, STREET, HOUSE = (UUID(f"bbbbbbbb-0000-4000-8000-{n:012d}") for n in (1, 2, 3))
SLOT_S = 1
TICK_S = 0.05


def community(fee: float = 2) -> Community:
    """Three markets, one inside the other."""
    house = Node(HOUSE, "House 1", AREA, children=[Node(UUID(int=9), "Load")], fee=fee)
    street = Node(STREET, "Street", AREA, children=[house], fee=fee)
    return Community(Node(GRID, "Grid", AREA, children=[street], fee=fee))


@dataclass
class Operator:
    """What the tests' grid operator wants."""

    model_of: Callable[[str], Model]
    fee_type: FeeType = "constant"
    markets: tuple[str, ...] = ()
    step: float | None = None
    highest: float = 10
    fallback: float = 4
    take_over: bool = False
    dry_run: bool = False
    aggregator: str = "dso"
    load_of: Callable[..., float | None] = field(default=lambda *_: None)

    def plan(self, slot_s: int) -> Plan:
        """As the agent is told."""

        def fee(number: float) -> Any:
            return fee_of(number, self.fee_type)

        bounds = Bounds(
            lowest=fee(0),
            highest=fee(self.highest),
            step=None if self.step is None else fee(self.step),
            fallback=fee(self.fallback),
        )
        return Plan(
            slot_s=slot_s,
            fee_type=self.fee_type,
            bounds=bounds,
            model_of=self.model_of,
            dry_run=self.dry_run,
        )


def fixed(number: float, fee_type: FeeType = "constant") -> Callable[[str], Model]:
    """The same fee everywhere."""
    return lambda _: Fixed(fee_of(number, fee_type))


def agent_of(
    operator: Operator,
    exchange: Any,
    buffer: Buffer,
    slot_s: int = SLOT_S,
    slept: Callable[[], float] = lambda: 0.0,
    **seams: Any,
) -> Agent:
    """An agent that logs in to that exchange, on a machine that was suspended for so long."""
    session = Session(
        exchange.url,
        lambda: Credentials(exchange.username, exchange.password),
        5.0,
        secrets=SecretsInUse(),
        **seams,
    )
    wanted = Wanted(
        network=str(exchange.network),
        aggregator=operator.aggregator,
        markets=operator.markets,
        fee_type=operator.fee_type,
        take_over=operator.take_over,
        dry_run=operator.dry_run,
    )
    connection = Connection(session, wanted, jitter=lambda: 0.0)
    desk = Desk(operator.plan(slot_s), buffer.tables.grid_fees, operator.load_of)
    return Agent(
        connection,
        desk,
        StopOrder.beside(buffer.path),
        now=exchange.now,
        steady=lambda: asyncio.get_running_loop().time() + slept(),
        jitter=lambda: 0.0,
    )


@dataclass
class Running:
    """An agent at work, and the exchange it works with."""

    exchange: StandInExchange
    buffer: Buffer
    agent: Agent
    task: "asyncio.Task[None]"

    def rows(self, state: str = "") -> list[GridFee]:
        """What is kept."""
        found = self.buffer.tables.grid_fees.between(0, 1 << 40)
        return [row for row in found if state in ("", row.state)]

    async def until(self, is_so: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait for something that comes."""
        async with asyncio.timeout(within_s):
            while not is_so():
                assert not self.task.done() or self.task.result() is None
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(
    operator: Operator, folder: Path, exchange: StandInExchange | None = None, **behaviour: Any
) -> AsyncIterator[Running]:
    """The exchange with its markets, and an agent."""
    made = exchange or StandInExchange(
        NETWORK, community(), slot_s=SLOT_S, behaviour=Behaviour(tick_s=TICK_S, **behaviour)
    )
    buffer = open_buffer(folder / "buffer.sqlite", now_s=1.0)
    async with made:
        agent = agent_of(operator, made, buffer)
        task = asyncio.create_task(agent.run())
        try:
            yield Running(made, buffer, agent, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await agent.aclose()
            buffer.close_file()
