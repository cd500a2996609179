"""Verdicts that do not come: of an asset that takes nothing, and of those that nobody heard; and
what `fleet check` says of it.
"""

import asyncio

import pytest

from gateway.cli.main import main
from gateway.fleet.database import Connection
from gateway.fleet.settings import FleetSettings
from tests.gateway.fleet.aggregator.rig import (
    LAST_S,
    SLOT_S,
    Homes,
    booked,
    delivering,
    exchange_for,
    until_all,
    uuid_of,
    with_exchange,
)
from tests.gateway.fleet.postgres import Postgres

pytestmark = pytest.mark.xdist_group("aggregator")


@pytest.fixture
async def homes(connection: Connection) -> Homes:
    homes = Homes(connection, 5)
    await homes.join()
    return homes


def check(settings: FleetSettings, capsys: pytest.CaptureFixture[str]) -> str:
    main(["--config", str(settings.folder), "fleet", "check"])
    return capsys.readouterr().out


async def test_an_asset_whose_live_data_is_off_is_named_and_tried_again(
    homes: Homes, settings: FleetSettings, postgres: Postgres
) -> None:
    async with exchange_for(homes.assets) as exchange:
        fleet = with_exchange(settings, exchange, tick="3s")
        silent = exchange.community.find(uuid_of(2))
        assert silent is not None
        silent.is_live = False
        for n in range(3):
            await homes.close(LAST_S - n * SLOT_S)
        async with delivering(fleet) as (aggregator,):
            await until_all(postgres, fleet, {"a": 12, "o": 3})
            ((problem, most),) = postgres.rows(
                "SELECT problem, most FROM fleet.exchange_assets WHERE silent IS NOT NULL",
                dbname=fleet.file.database.name,
            )
            assert "is its live data switched on" in problem
            assert most == 1, "one of its numbers is tried in each slot"
            silent.is_live = True
            postgres.rows(
                "UPDATE fleet.exchange_assets SET wait_until = now() RETURNING 1",
                dbname=fleet.file.database.name,
            )
            await until_all(postgres, fleet, {"a": 15})
        assert aggregator.health.numbers["resent"] >= 3
        assert booked(exchange) == homes.truth


async def test_what_nobody_heard_a_verdict_of_is_read_back_once_it_is_settled(
    homes: Homes, settings: FleetSettings, postgres: Postgres
) -> None:
    async with exchange_for(homes.assets) as exchange:
        fleet = with_exchange(settings, exchange, tick="1s")
        exchange.mode("status", status=503, where="external-ws")
        await homes.close(LAST_S - 8 * SLOT_S)
        await homes.close(LAST_S)
        async with delivering(fleet):
            await until_all(postgres, fleet, {"s": 10})
            # What it took is not what it holds, of one of them: that goes once more.
            lost = uuid_of(3), LAST_S - 8 * SLOT_S
            del exchange.books.measurements[lost[0]][lost[1]]
            exchange.books.fresh.clear()
            for (asset, slot_s), uwh in booked(exchange).items():
                exchange.books.held[asset][slot_s] = uwh
            postgres.rows(
                "UPDATE fleet.deliveries SET sent = sent - interval '20 min' RETURNING 1",
                dbname=fleet.file.database.name,
            )
            await until_all(postgres, fleet, {"a": 4, "s": 6})
            reasons = postgres.rows(
                "SELECT DISTINCT reason FROM fleet.deliveries WHERE state = 'a'",
                dbname=fleet.file.database.name,
            )
            assert "read back" in reasons[0][0]
        assert booked(exchange) == homes.truth


async def test_fleet_check_says_what_is_owed_and_who_delivers(
    homes: Homes,
    settings: FleetSettings,
    postgres: Postgres,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await homes.close(LAST_S)

    async def said(of: FleetSettings) -> str:
        return await asyncio.to_thread(check, of, capsys)

    assert "5 numbers are owed to the exchange, and fleet.yaml has no exchange:" in await said(
        settings
    )
    async with exchange_for(homes.assets) as exchange:
        fleet = with_exchange(settings, exchange)
        exchange.community.remove(uuid_of(4))
        assert "nobody delivers to the exchange: start fleet run" in await said(fleet)
        async with delivering(fleet, "server-1"):
            await until_all(postgres, fleet, {"a": 4, "o": 1})
            await asyncio.sleep(1)
            text = await said(fleet)
    assert "ok   server-1 delivers to the exchange\n" in text
    assert "the exchange is owed 1 numbers, the oldest of the slot" in text
    assert f"BAD  asset {uuid_of(4)} of home-4: no asset of the network has this UUID" in text
