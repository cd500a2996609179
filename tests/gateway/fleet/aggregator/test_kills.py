"""kill -9 of aggregators and of PostgreSQL, and an exchange whose answers get lost, while homes'
slots are stored and written anew. Then every number is compared, and the order in which the
exchange got the revisions of each.
"""

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from uuid import UUID

import pytest

from gateway.delivery.simulated.http_server import StandInExchange
from gateway.fleet.database import DatabaseError, connect
from gateway.fleet.settings import FleetSettings
from tests.gateway.fleet.aggregator.rig import (
    LAST_S,
    SLOT_S,
    Homes,
    booked,
    exchange_for,
    states,
    with_exchange,
)
from tests.gateway.fleet.postgres import Postgres
from tests.gateway.fleet.test_chaos import Collectors, two_collectors

pytestmark = pytest.mark.xdist_group("aggregator")


async def chaos(
    settings: FleetSettings, postgres: Postgres, *, homes: int, slots: int, kills: int, seed: int
) -> Counter[str]:
    """Gives what was done how often, of how many numbers the verdict was lost, and how many the
    exchange got more than once.
    """
    draw = random.Random(seed)
    connection = await connect(settings)
    fleet = Homes(connection, homes)
    await fleet.join()
    done: Counter[str] = Counter()
    revisions: dict[tuple[UUID, int], dict[int, int]] = defaultdict(dict)
    async with exchange_for(fleet.assets) as exchange:
        running = with_exchange(settings, exchange)
        async with two_collectors(running.folder) as processes:

            async def write() -> None:
                for n in range(slots):
                    slot_s = LAST_S - (n % (slots // 2)) * SLOT_S
                    revision = n // (slots // 2)
                    await _write(fleet, settings, slot_s, revision)
                    for key, uwh in fleet.truth.items():
                        revisions[key][uwh] = fleet.newest[key]
                    await asyncio.sleep(kills / slots)

            writing = asyncio.create_task(write())
            for _ in range(kills):
                await asyncio.sleep(0.5 + draw.random())
                what = draw.choice(["kill", "kill", "kill", "postgres", "lost", "down"])
                done[what] += 1
                await _do(what, draw, exchange, processes, postgres)
            await writing
            exchange.mode("ok")
            found = await _until_none_is_owed(postgres, running, homes * (slots // 2))
        await fleet.connection.close()
        assert booked(exchange) == fleet.truth, processes.log()
        assert not exchange.books.dropped
        _in_order(exchange, revisions)
    done["unheard"] = found.get("s", 0)
    done["twice"] = len(exchange.books.history) - sum(len(each) for each in revisions.values())
    return done


async def _until_none_is_owed(
    postgres: Postgres, settings: FleetSettings, wanted: int
) -> dict[str, int]:
    """A verdict that comes while nobody listens is lost: what it was about is `sent` until it is
    read back, once its slot is settled.
    """
    async with asyncio.timeout(120):
        while (found := states(postgres, settings)).keys() - {"a", "s"} or (
            sum(found.values()) != wanted
        ):
            await asyncio.sleep(0.1)
    return found


async def _write(fleet: Homes, settings: FleetSettings, slot_s: int, revision: int) -> None:
    """As a collector does: again, until it is stored."""
    messages = [
        fleet.message(n, {slot_s: (revision, random.getrandbits(40))}) for n in range(fleet.number)
    ]
    while True:
        try:
            await fleet.write(*messages)
            return
        except DatabaseError:
            with contextlib.suppress(DatabaseError):
                await fleet.connection.close()
                fleet.connection = await connect(settings)
            await asyncio.sleep(0.2)


async def _do(
    what: str,
    draw: random.Random,
    exchange: StandInExchange,
    processes: Collectors,
    postgres: Postgres,
) -> None:
    match what:
        case "kill":
            number = draw.randrange(2)
            await processes.kill(number)
            await processes.start(number)
        case "postgres":
            postgres.kill()
            await asyncio.sleep(draw.random() / 2)
            await asyncio.to_thread(postgres.start)
        case "lost":
            exchange.mode("drop_after_accept", where="batch-commands", times=1)
        case _:
            exchange.mode("down")
            await asyncio.sleep(draw.random())
            exchange.mode("ok")


def _in_order(exchange: StandInExchange, revisions: dict[tuple[UUID, int], dict[int, int]]) -> None:
    newest: dict[tuple[UUID, int], int] = {}
    for booking in exchange.books.history:
        key = booking.asset, booking.slot_s
        revision = revisions[key][booking.energy_uwh]
        assert revision >= newest.get(key, 0), f"revision {revision} of {key} came after {newest}"
        newest[key] = revision


async def test_the_exchange_gets_every_number_and_its_newest_revision_last(
    settings: FleetSettings, postgres: Postgres
) -> None:
    done = await chaos(settings, postgres, homes=20, slots=12, kills=6, seed=3)
    assert done["kill"] >= 2, done
    assert done["postgres"] + done["lost"] >= 2, done


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_the_exchange_gets_every_number_in_a_hundred_kills(
    settings: FleetSettings, postgres: Postgres, seed: int
) -> None:
    await chaos(settings, postgres, homes=60, slots=200, kills=100, seed=seed)
