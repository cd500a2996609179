"""Claims on assets, in a real PostgreSQL: nobody sends what another one may have under way."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from gateway.fleet.aggregator import table
from gateway.fleet.aggregator.numbers import MOST_ASSETS, Claim, Windows
from gateway.fleet.aggregator.table import Rules
from gateway.fleet.database import Connection, connect
from gateway.fleet.settings import FleetSettings
from tests.gateway.fleet.aggregator.rig import (
    LAST_S,
    SLOT_S,
    Homes,
    booked,
    delivering,
    exchange_for,
    until_all,
    with_exchange,
)
from tests.gateway.fleet.postgres import Postgres

pytestmark = pytest.mark.xdist_group("aggregator")

RULES = Rules(claim_s=30.0, beside_others_s=60.0)
ALL = Windows(time.time(), time.time(), None)


@pytest.fixture
async def homes(connection: Connection) -> Homes:
    homes = Homes(connection, 6)
    await homes.join()
    await homes.close(LAST_S)
    await connection.execute("UPDATE fleet.exchange_assets SET bound = now()")
    return homes


@pytest.fixture
async def other(settings: FleetSettings) -> AsyncIterator[Connection]:
    connection = await connect(settings)
    yield connection
    await connection.close()


def numbers(claim: Claim) -> set[tuple[int, int]]:
    return {(each.asset, each.revision) for each in claim.numbers}


async def test_what_one_has_claimed_another_does_not_get_until_it_lets_go(
    homes: Homes, connection: Connection, other: Connection
) -> None:
    mine = await table.claim(connection, ALL, RULES, 4)
    theirs = await table.claim(other, ALL, RULES, MOST_ASSETS)
    assert (len(mine.numbers), len(theirs.numbers)) == (4, 2)
    assert not {a for a, _ in numbers(mine)} & {a for a, _ in numbers(theirs)}
    assert numbers(await table.claim(other, ALL, RULES, MOST_ASSETS)) == set()

    # A newer revision comes while the older one is under way: it waits, and goes afterwards.
    await homes.close(LAST_S, revision=1)
    assert numbers(await table.claim(other, ALL, RULES, MOST_ASSETS)) == set()
    await table.note_sent(connection, mine.numbers, uuid4(), is_accepted=False)
    await table.let_go(connection, mine)
    again = await table.claim(other, ALL, RULES, MOST_ASSETS)
    assert numbers(again) == {(asset, 1) for asset, _ in numbers(mine)}


async def test_a_claim_of_who_was_killed_is_free_after_its_time(
    homes: Homes, connection: Connection, other: Connection
) -> None:
    short = Rules(claim_s=0.5, beside_others_s=60.0)
    mine = await table.claim(other, ALL, short, MOST_ASSETS)
    assert len(mine.numbers) == 6
    await other.close()
    assert numbers(await table.claim(connection, ALL, RULES, MOST_ASSETS)) == set()
    await asyncio.sleep(0.6)
    again = await table.claim(connection, ALL, RULES, MOST_ASSETS)
    assert numbers(again) == numbers(mine)
    assert not await table.hold(connection, mine, RULES), "it is another one's now"


async def test_two_that_claim_at_once_share(
    homes: Homes, connection: Connection, other: Connection
) -> None:
    found = []
    for _ in range(3):
        found += await asyncio.gather(
            *(table.claim(each, ALL, RULES, 2) for each in (connection, other))
        )
    got = [asset for claim in found for asset, _ in numbers(claim)]
    assert sorted(got) == list(range(1, 7))


async def test_an_asset_of_which_one_number_is_refused_sends_fewer_and_live_slots_go_first(
    homes: Homes, connection: Connection
) -> None:
    for n in range(1, 9):
        await homes.close(LAST_S - n * SLOT_S)
    await connection.execute("UPDATE fleet.exchange_assets SET most = 3 WHERE asset = 1")
    claim = await table.claim(connection, ALL, RULES, MOST_ASSETS)
    count = {a: sum(each.asset == a for each in claim.numbers) for a in range(1, 7)}
    assert count == {1: 3} | dict.fromkeys(range(2, 7), 9)
    await table.let_go(connection, claim)
    live = Windows(ALL.measured_until_s, ALL.forecast_after_s, LAST_S)
    claim = await table.claim(connection, live, RULES, MOST_ASSETS)
    assert {each.slot_s for each in claim.numbers} == {LAST_S}


async def test_two_aggregators_send_nothing_twice_while_nobody_is_killed(
    homes: Homes, settings: FleetSettings, postgres: Postgres
) -> None:
    async with exchange_for(homes.assets) as exchange:
        running = with_exchange(settings, exchange)
        async with delivering(running, "one", "other") as both:
            for n in range(1, 13):
                await homes.close(LAST_S - n * SLOT_S)
                await asyncio.sleep(0.2)
            await until_all(postgres, running, {"a": 13 * 6})
        assert sum(each.health.requests["taken"] for each in both) >= 2
        assert booked(exchange) == homes.truth
        assert max(exchange.books.booked.values()) == 1


async def test_what_comes_again_is_owed_once_and_its_verdict_is_told_again(
    homes: Homes, connection: Connection
) -> None:
    """As from a gateway that has not heard of it."""
    message = homes.message(0, {LAST_S - SLOT_S: (0, 5)})
    await homes.write(message)
    settled = "UPDATE fleet.deliveries SET state = 'a', told = true"
    await connection.execute(settled)
    await homes.write(message)
    cursor = await connection.execute(
        "SELECT asset, state::text FROM fleet.deliveries WHERE NOT told"
    )
    assert await cursor.fetchall() == [(1, "a")]
    # What is stored and was never owed, as by a version that knew no exchange, is owed now.
    await connection.execute("DELETE FROM fleet.deliveries")
    await homes.write(message)
    # But not where it was settled and forgotten: that is what is told.
    old = homes.message(0, {LAST_S - 1500 * SLOT_S: (0, 5)})
    await homes.write(old)
    await connection.execute("DELETE FROM fleet.deliveries WHERE slot < now() - interval '5 days'")
    await homes.write(old)
    cursor = await connection.execute(
        "SELECT state::text, told, reason FROM fleet.deliveries ORDER BY slot DESC"
    )
    assert await cursor.fetchall() == [("o", False, ""), ("a", False, "settled long ago")]
