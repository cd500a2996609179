"""Days in which one thing after the other goes wrong between an agent and its exchange, drawn from
a seed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from gateway.delivery.simulated.market_statistics import Flow
from tests.gateway.operator.world import SLOT_S, World

QUIET_SLOTS = 6
"""At the end nothing goes wrong any more."""

KNOWN_SLOTS = 3
"""At first neither: how late the very first event is, nobody can know."""

Fault = Callable[[World, Random], Awaitable[None]]


async def live(world: World, days: float, rng: Random) -> None:
    """So many days, with a fault every few hours."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + days * 86_400 - QUIET_SLOTS * SLOT_S
    await world.slots(KNOWN_SLOTS)
    while True:
        calm_s = rng.expovariate(1 / (6 * SLOT_S))
        if loop.time() + calm_s >= end_s:
            break
        await asyncio.sleep(calm_s)
        await rng.choice(FAULTS)(world, rng)
    await world.slots(QUIET_SLOTS)


async def _away(world: World, rng: Random) -> None:
    world.network.suffer(rng.choice(("refused", "no_answer", "name")))
    await asyncio.sleep(rng.choice((20.0, 400.0, 2000.0, 20_000.0)) * rng.random())
    world.network.suffer("")


async def _badly(world: World, rng: Random) -> None:
    modes = ("down", "slow", "status", "unauthorized", "html", "error_body", "drop_after_accept")
    where = rng.choice(("", "batch-commands", "registry", "external-ws"))
    world.exchange.mode(rng.choice(modes), where=where, seconds=rng.choice((2.0, 9.0, 45.0)))
    await asyncio.sleep(rng.uniform(10, 4000))
    world.exchange.mode("ok")


async def _mute(world: World, rng: Random) -> None:
    world.exchange.engine.is_mute = True
    await asyncio.sleep(rng.uniform(10, 5000))
    world.exchange.engine.is_mute = False


async def _late(world: World, rng: Random) -> None:
    waits_s = rng.sample((0.0, 3.0, 60.0, 300.0, 850.0, 1000.0, 5000.0), 3)
    world.faults.late_s = lambda _: rng.choice(waits_s)
    world.faults.copies = rng.choice((1, 1, 2, 3))
    await asyncio.sleep(rng.uniform(100, 20_000))
    world.faults.late_s, world.faults.copies = (lambda _: 0.0), 1


async def _doubled(world: World, rng: Random) -> None:
    world.faults.copies = rng.choice((2, 5))
    await asyncio.sleep(rng.uniform(100, 10_000))
    world.faults.copies = 1


async def _no_events(world: World, rng: Random) -> None:
    world.faults.swallows_events = True
    await asyncio.sleep(rng.uniform(100, 8000))
    world.faults.swallows_events = False


async def _no_trades(world: World, rng: Random) -> None:
    statistics = world.exchange.engine.statistics
    statistics.flows = lambda *_: Flow()
    await asyncio.sleep(rng.uniform(1000, 9000))
    statistics.flows = lambda *_: Flow(0.5)


async def _restart(world: World, rng: Random) -> None:
    await world.restart(rng.choice((1.0, 30.0, 1200.0, 9000.0)) * rng.random())


async def _clock(world: World, rng: Random) -> None:
    world.faults.clock_off_s = rng.choice((0.0, -3600.0, 86_400.0, -(10.0**8)))


async def _logged_out(world: World, rng: Random) -> None:
    world.exchange.revoke_tokens()


async def _aggregator_gone(world: World, rng: Random) -> None:
    world.community.controlled.clear()
    world.community.aggregators.clear()


async def _suspended(world: World, rng: Random) -> None:
    await asyncio.sleep(rng.uniform(0, SLOT_S))
    world.faults.slept_s += rng.choice((5.0, 120.0, 900.0, 20_000.0)) * rng.random()


FAULTS: tuple[Fault, ...] = (
    *(_away, _badly, _mute, _late, _doubled, _no_events),
    *(_no_trades, _restart, _clock, _logged_out, _aggregator_gone, _suspended),
)
