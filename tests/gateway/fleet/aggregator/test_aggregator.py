"""Aggregators between a real PostgreSQL and the stand-in exchange: what goes well, and what the
exchange does not take.
"""

from collections.abc import AsyncIterator, Callable
from uuid import UUID

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
from tests.gateway.fleet.homes import until
from tests.gateway.fleet.postgres import Postgres

pytestmark = pytest.mark.xdist_group("aggregator")

HOMES = 30


@pytest.fixture
async def homes(connection: Connection) -> Homes:
    homes = Homes(connection, HOMES)
    await homes.join()
    return homes


@pytest.fixture
async def exchange(homes: Homes) -> AsyncIterator[StandInExchange]:
    async with exchange_for(homes.assets) as exchange:
        yield exchange


@pytest.fixture
def fleet(settings: FleetSettings, exchange: StandInExchange) -> FleetSettings:
    return with_exchange(settings, exchange)


@pytest.fixture
def rows(postgres: Postgres, fleet: FleetSettings) -> Callable[..., list[tuple[object, ...]]]:
    def rows(query: str, *values: object) -> list[tuple[object, ...]]:
        return postgres.rows(query, *values, dbname=fleet.file.database.name)

    return rows


async def test_what_is_stored_is_delivered_in_one_request_and_its_verdict_is_told(
    homes: Homes, exchange: StandInExchange, fleet: FleetSettings, postgres: Postgres
) -> None:
    await homes.close(LAST_S)
    unknown = homes.message(7, {LAST_S - SLOT_S: (0, None)})
    below = homes.message(8, {LAST_S - SLOT_S: (0, -5)})
    await homes.write(unknown, below)
    other = homes.message(9, {LAST_S - SLOT_S: (0, 1)}, deliver="direct")
    await homes.write(other)
    told: list[tuple[str, Ack]] = []
    async with delivering(fleet, told=told) as (aggregator,):
        await until_all(postgres, fleet, {"a": HOMES + 1, "m": 1})
        await until(lambda: sum(len(a.verdicts) for _, a in told) == HOMES + 2, "all are told")
    del homes.truth[uuid_of(9), LAST_S - SLOT_S]
    homes.truth[uuid_of(8), LAST_S - SLOT_S] = 0
    assert booked(exchange) == homes.truth
    assert aggregator.health.requests["taken"] <= 2, "live slots, and what is settled still"
    assert aggregator.health.numbers["accepted"] == HOMES + 1
    assert exchange.logins == 1
    of_home = [(ack.store, v) for site, ack in told if site == "home-7" for v in ack.verdicts]
    assert {(store, v.slot_s, v.state, v.reason) for store, v in of_home} == {
        ("store-7", LAST_S, "accepted", ""),
        ("store-7", LAST_S - SLOT_S, "missed", "it was not wholly metered"),
    }
    assert {v.asset for _, v in of_home} == {str(uuid_of(7))}


async def test_the_newest_revision_is_the_last_that_the_exchange_gets(
    homes: Homes, exchange: StandInExchange, fleet: FleetSettings, postgres: Postgres
) -> None:
    first = homes.message(0, {LAST_S: (0, 10)})
    second = homes.message(0, {LAST_S: (1, 20)})
    await homes.write(second, first)  # in one commit, whichever came first
    await homes.write(homes.message(1, {LAST_S: (0, 11)}), homes.message(2, {LAST_S: (1, 12)}))
    async with delivering(fleet):
        await until_all(postgres, fleet, {"a": 3})
        # A later revision is owed again; an earlier one that comes late is not.
        await homes.write(homes.message(1, {LAST_S: (3, 33)}))
        await homes.write(homes.message(2, {LAST_S: (0, 99)}))
        # One that its gateway delivers itself is none of ours any more.
        await homes.write(homes.message(0, {LAST_S: (2, 77)}, deliver="direct"))
        await until_all(postgres, fleet, {"a": 2})
    sent = [(each.asset, each.energy_uwh) for each in exchange.books.history]
    assert sorted(sent) == sorted(
        [(uuid_of(0), 20), (uuid_of(1), 11), (uuid_of(2), 12), (uuid_of(1), 33)]
    )


def refuse(exchange: StandInExchange, asset: UUID, slot_s: int) -> None:
    node = exchange.community.find(asset)
    assert node is not None
    node.refuses.add(slot_s)


async def test_one_bad_number_holds_up_no_others(
    homes: Homes,
    exchange: StandInExchange,
    fleet: FleetSettings,
    postgres: Postgres,
    rows: Callable[..., list[tuple[object, ...]]],
) -> None:
    """By the web backend at once, for the whole request; then by the engine, for an asset's."""
    for n in range(4):
        await homes.close(LAST_S - n * SLOT_S)
    bad = (uuid_of(3), LAST_S - 2 * SLOT_S)
    refuse(exchange, *bad)
    exchange.behaviour.refuses_at_once = True
    async with delivering(fleet) as (aggregator,):
        await until_all(postgres, fleet, {"a": 4 * HOMES - 1, "o": 1})
        assert aggregator.health.state == "connected"
        ((reason, is_known),) = rows(
            "SELECT reason, refused IS NOT NULL FROM fleet.deliveries WHERE state = 'o'"
        )
        assert "400: one of the numbers is refused" in str(reason)
        assert is_known

        exchange.behaviour.refuses_at_once = False
        second = (uuid_of(5), LAST_S - SLOT_S)
        refuse(exchange, *second)
        await homes.write(homes.message(5, {LAST_S - n * SLOT_S: (1, 100 + n) for n in range(4)}))
        await until_all(postgres, fleet, {"a": 4 * HOMES - 2, "o": 2})
        # Refused again, later, while others are taken: that is its last word.
        rows("UPDATE fleet.deliveries SET refused = now() - interval '2 min', after = NULL "
             "WHERE state = 'o' RETURNING 1")  # fmt: skip
        await until_all(postgres, fleet, {"a": 4 * HOMES - 2, "r": 2})
    assert booked(exchange) == {k: v for k, v in homes.truth.items() if k not in (bad, second)} | {
        second: booked(exchange)[second]
    }


async def test_an_exchange_that_is_away_or_refuses_everything_gets_all_of_it_later(
    homes: Homes, exchange: StandInExchange, fleet: FleetSettings, postgres: Postgres
) -> None:
    await homes.close(LAST_S)
    async with delivering(fleet) as (aggregator,):
        await until_all(postgres, fleet, {"a": HOMES})
        exchange.mode("down")
        await homes.close(LAST_S, revision=1)
        await until(lambda: aggregator.health.state == "away", "it is said to be away")
        assert "cannot be reached" in aggregator.health.reason or aggregator.health.reason
        exchange.mode("ok")
        await until_all(postgres, fleet, {"a": HOMES})
        exchange.mode("status", status=400, where="batch-commands")
        await homes.close(LAST_S, revision=2)
        await until(lambda: aggregator.health.state == "refuses", "it is said to refuse")
        assert states(postgres, fleet) == {"o": HOMES}, "no refusal of everything is believed"
        exchange.mode("ok")
        await until_all(postgres, fleet, {"a": HOMES})
        assert aggregator.health.state == "connected"
    assert booked(exchange) == homes.truth


async def test_an_asset_that_another_aggregator_holds_waits_and_the_others_go(
    homes: Homes,
    exchange: StandInExchange,
    fleet: FleetSettings,
    postgres: Postgres,
    rows: Callable[..., list[tuple[object, ...]]],
) -> None:
    theirs = uuid_of(99)
    exchange.community.aggregators[theirs] = "somebody else"
    exchange.community.controlled[uuid_of(4)] = theirs
    exchange.community.remove(uuid_of(5))
    await homes.close(LAST_S)
    async with delivering(fleet):
        await until_all(postgres, fleet, {"a": HOMES - 2, "o": 2})
        problems = dict(
            rows("SELECT a.uuid, e.problem FROM fleet.exchange_assets e "
                 "JOIN fleet.assets a ON a.id = e.asset WHERE bound IS NULL")
        )  # fmt: skip
        assert "'somebody else' does" in str(problems[uuid_of(4)])
        assert "no asset of the network has this UUID" in str(problems[uuid_of(5)])
        del exchange.community.controlled[uuid_of(4)]
        rows("UPDATE fleet.exchange_assets SET bind_after = now() RETURNING 1")
        await until_all(postgres, fleet, {"a": HOMES - 1, "o": 1})


async def test_forecasts_go_until_their_slot_begins_and_are_missed_then(
    homes: Homes, exchange: StandInExchange, fleet: FleetSettings, postgres: Postgres
) -> None:
    ahead_s = NOW_S + 3 * SLOT_S
    await homes.write(homes.message(0, {ahead_s: (0, 5), NOW_S: (0, 6)}, kind="forecast"))
    await homes.write(homes.message(0, {ahead_s: (1, 7)}, kind="forecast"))
    async with delivering(fleet):
        await until_all(postgres, fleet, {"a": 1, "m": 1})
    assert exchange.books.forecasts[uuid_of(0)] == {ahead_s: 7}
    assert not exchange.books.dropped
