"""Aggregators between a real PostgreSQL and the stand-in exchange."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.delivery.simulated.http_server import StandInExchange
from gateway.fleet.database import Connection
from gateway.fleet.settings import FleetSettings
from gateway.outbox.fleet.messages import Ack
from tests.gateway.fleet.aggregator.rig import (
    LAST_S,
    NOW_S,
    SLOT_S,
    Homes,
    booked,
    delivering,
    exchange_for,
    states,
    until_all,
    uuid_of,
    with_exchange,
)
from tests.gateway.fleet.postgres import Postgres

pytestmark = pytest.mark.xdist_group("postgres")


@pytest.fixture
async def homes(connection: Connection) -> Homes:
    homes = Homes(connection, 30)
    await homes.join()
    return homes


@pytest.fixture
async def exchange(homes: Homes) -> AsyncIterator[StandInExchange]:
    async with exchange_for(homes.assets) as exchange:
        yield exchange


@pytest.fixture
def fleet_settings(settings: FleetSettings, exchange: StandInExchange) -> FleetSettings:
    return with_exchange(settings, exchange)


async def test_what_is_stored_is_delivered_in_one_request_and_its_verdict_is_told(
    homes: Homes, exchange: StandInExchange, fleet_settings: FleetSettings, postgres: Postgres
) -> None:
    await homes.close(LAST_S)
    told: list[tuple[str, Ack]] = []
    async with delivering(fleet_settings, told=told) as (aggregator,):
        await until_all(postgres, fleet_settings, {"a": 30})
        async with asyncio.timeout(30):
            while len(told) < 30:
                await asyncio.sleep(0.1)
    assert booked(exchange) == homes.truth
    assert aggregator.health.requests == {"taken": 1}
    assert aggregator.health.numbers["accepted"] == 30
    assert exchange.logins == 1
    site, ack = next(each for each in told if each[0] == "home-7")
    assert (ack.store, [v.state for v in ack.verdicts]) == ("store-7", ["accepted"])
    assert ack.verdicts[0].asset == str(uuid_of(7))
    assert ack.verdicts[0].slot_s == LAST_S
    await asyncio.sleep(0)
    assert site == "home-7"
