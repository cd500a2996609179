"""The collector between a real broker and a real PostgreSQL."""

import asyncio
import gzip
import time

import pytest

from drivers.net.mqtt import Message, MqttConnection
from gateway.fleet.settings import FleetSettings
from gateway.outbox.fleet.messages import Ack, AssetRow, AssetRows, Digest, topic_of
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.homes import (
    SLOT_S,
    TOPIC,
    Home,
    asset_of,
    collecting,
    connected,
    stored,
    until,
)
from tests.gateway.fleet.postgres import Postgres

pytestmark = pytest.mark.xdist_group("postgres")

NOW_S = int(time.time()) // SLOT_S * SLOT_S


def add_sites(postgres: Postgres, settings: FleetSettings, *sites: str) -> str:
    name = settings.file.database.name
    with postgres.connect(name) as connection:
        for site in sites:
            connection.execute("INSERT INTO fleet.sites (name) VALUES (%s)", (site,))
    return name


async def send(
    connection: MqttConnection, home: Home, payload: bytes, channel: str = "slots"
) -> list[Ack]:
    """What the home is told about it."""
    before = len(home.acks)
    topic = topic_of(TOPIC, home.site, channel)  # type: ignore[arg-type]
    connection.publish(Message(topic, payload))
    async with asyncio.timeout(30):
        while len(home.acks) == before:
            await connection.turn(0.1)
    return home.acks[before:]


async def silence(connection: MqttConnection, home: Home, payload: bytes) -> None:
    """Nothing is said about it."""
    before = len(home.acks)
    connection.publish(Message(topic_of(TOPIC, home.site, "slots"), payload))
    for _ in range(8):
        await connection.turn(0.1)
    assert home.acks[before:] == []


async def test_what_is_acknowledged_is_stored_to_the_uwh(
    fleet: FleetSettings, broker: Broker, postgres: Postgres
) -> None:
    database = add_sites(postgres, fleet, "home-1")
    home = Home("home-1")
    for n in range(200):
        home.close(NOW_S - n * SLOT_S)
    home.close(NOW_S - 3 * SLOT_S, revision=1)
    async with collecting(fleet) as collector:
        assert collector.health.shared, "mosquitto deals messages out"
        task = asyncio.create_task(home.deliver(broker.port, NOW_S))
        await until(lambda: not home.changes, "all is acknowledged")
        task.cancel()
    assert stored(postgres, database) == home.truth
    ((meters, sums),) = postgres.rows(
        "SELECT count(*), sum(end_register_uwh - begin_register_uwh)::bigint FROM fleet.meters",
        dbname=database,
    )
    assert meters == 400
    newest = {
        key: uwh for key, uwh in home.truth.items() if (*key[:2], key[2] + 1) not in home.truth
    }
    assert sums == sum(newest.values())


async def test_the_same_again_is_nothing_and_another_value_is_kept_beside_it(
    fleet: FleetSettings, broker: Broker, postgres: Postgres
) -> None:
    database = add_sites(postgres, fleet, "home-1")
    home, copy = Home("home-1"), Home("home-1", seed=1)
    home.close(NOW_S)
    copy.close(NOW_S)
    async with collecting(fleet) as collector:
        connection = await connected(broker.port, "home-1", home.acks.append)
        (first,) = await send(connection, home, home.message([1], NOW_S))
        (again,) = await send(connection, home, home.message([1], NOW_S))
        assert first == again == Ack(store="store-1", stored=[(1, 1)])
        (other,) = await send(connection, home, copy.message([1], NOW_S))
        assert "both are kept" in other.warning
        assert other.stored == [(1, 1)]
        (other,) = await send(connection, home, copy.message([1], NOW_S))
        connection.abort()
        assert collector.writer.counts.clashes == 4, "said once of each row"
    assert stored(postgres, database) == home.truth
    kept = postgres.rows(
        "SELECT a.uuid::text, (c.row->>'energy_uwh')::bigint FROM fleet.clashes c "
        "JOIN fleet.assets a ON a.id = c.asset",
        dbname=database,
    )
    assert {(asset, uwh) for asset, uwh in kept} == {
        (asset, uwh) for (asset, _, _), uwh in copy.truth.items()
    }


async def test_an_asset_of_another_site_is_refused_and_the_rest_is_stored(
    fleet: FleetSettings, broker: Broker, postgres: Postgres
) -> None:
    database = add_sites(postgres, fleet, "home-1", "home-2")
    home, thief = Home("home-1"), Home("home-2")
    home.close(NOW_S)
    thief.close(NOW_S)
    async with collecting(fleet):
        connection = await connected(broker.port, "home-1", home.take)
        await send(connection, home, home.message([1], NOW_S))
        connection.abort()
        stolen = AssetRows(
            asset_of("home-1"), "measurement", SLOT_S, [AssetRow(NOW_S, 9, 5, "measured")]
        )
        own = thief.slots([1], NOW_S).items
        connection = await connected(broker.port, "home-2", thief.take)
        (ack,) = await send(connection, thief, thief.message([1], NOW_S, items=[*own, stolen]))
        connection.abort()
    assert [each.why for each in ack.refused] == [
        f"asset {asset_of('home-1')} belongs to another site"
    ]
    assert stored(postgres, database) == home.truth | thief.truth
    (row,) = postgres.rows("SELECT site, why, payload FROM fleet.refused", dbname=database)
    assert row[:2] == ("home-2", ack.refused[0].why)
    assert b'"energy_uwh"' in row[2] or b",5," in row[2]


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"{", "cannot be read"),
        (b'{"v":2}', "version 2"),
        (gzip.compress(bytes(100_000_000), 1), "more than 1,048,576 bytes"),
        (gzip.compress(b"{}")[:-3], "cut short"),
    ],
    ids=["half", "later", "zeros", "torn"],
)
async def test_what_cannot_be_read_is_kept_for_a_person_and_not_acknowledged(
    fleet: FleetSettings, broker: Broker, postgres: Postgres, payload: bytes, why: str
) -> None:
    database = add_sites(postgres, fleet, "home-1")
    home = Home("home-1")
    home.close(NOW_S)
    async with collecting(fleet):
        connection = await connected(broker.port, "home-1", home.take)
        await silence(connection, home, payload)
        # It goes on, and of its neighbour nothing is lost.
        assert (await send(connection, home, home.message([1], NOW_S)))[0].stored == [(1, 1)]
        await silence(connection, home, payload)
        connection.abort()
    ((site, said, times, kept),) = postgres.rows(
        "SELECT site, why, times, payload FROM fleet.refused", dbname=database
    )
    assert (site, times) == ("home-1", 2)
    assert why in said
    assert payload.startswith(bytes(kept))


async def test_slots_of_1970_and_of_a_clock_ahead_get_no_partition(
    fleet: FleetSettings, broker: Broker, postgres: Postgres
) -> None:
    database = add_sites(postgres, fleet, "home-1")
    home = Home("home-1")
    for slot_s in (0, NOW_S + 3 * 86_400, NOW_S, NOW_S - 399 * 86_400):
        home.close(slot_s)
    async with collecting(fleet):
        connection = await connected(broker.port, "home-1", home.take)
        (ack,) = await send(connection, home, home.message([1, 2, 3, 4], NOW_S))
        connection.abort()
    assert "more than 400 days ago" in ack.refused[0].why
    assert "more than a day ahead" in ack.refused[0].why
    fit = {key: uwh for key, uwh in home.truth.items() if key[1] in (NOW_S, NOW_S - 399 * 86_400)}
    assert stored(postgres, database) == fit


async def test_a_site_that_is_not_known_waits_until_it_is_added(
    fleet: FleetSettings, broker: Broker, postgres: Postgres
) -> None:
    home = Home("home-9", resend_s=0.5)
    home.close(NOW_S)
    async with collecting(fleet):
        task = asyncio.create_task(home.deliver(broker.port, NOW_S))
        await until(lambda: home.acks, "it is told")
        assert "fleet sites add home-9" in home.acks[0].warning
        assert home.changes, "nothing is forgotten"
        database = add_sites(postgres, fleet, "home-9")
        await until(lambda: not home.changes, "all is acknowledged")
        task.cancel()
    assert stored(postgres, database) == home.truth


async def test_a_day_that_differs_is_asked_for(
    fleet: FleetSettings, broker: Broker, postgres: Postgres
) -> None:
    database = add_sites(postgres, fleet, "home-1")
    home = Home("home-1")
    day_s = NOW_S // 86_400 * 86_400 - 2 * 86_400
    for n in range(96):
        home.close(day_s + n * SLOT_S)
    asset = asset_of("home-1")
    total = sum(uwh for (each, _, _), uwh in home.truth.items() if each == asset)
    async with collecting(fleet):
        connection = await connected(broker.port, "home-1", home.acks.append)
        await send(connection, home, home.message(range(1, 97), NOW_S), "backlog")
        right = home.message([], NOW_S, digests=[Digest(asset, day_s, 96, total)])
        await silence(connection, home, right)
        with postgres.connect(database) as database_connection:
            database_connection.execute(
                "DELETE FROM fleet.asset_slots WHERE slot = to_timestamp(%s)", (day_s,)
            )
        (ack,) = await send(connection, home, right)
        assert ack.ask == [(day_s, day_s + 86_399)]
        await send(connection, home, home.message(range(1, 97), NOW_S), "backlog")
        await silence(connection, home, right)
        connection.abort()
    assert stored(postgres, database) == home.truth
