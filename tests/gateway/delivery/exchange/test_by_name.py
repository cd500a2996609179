"""Assets that are known by their names, and an aggregator for all of them, with the engine's twin
over real sockets.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import gateway.delivery.kinds.exchange as kind
from gateway.delivery.exchange import registrar
from gateway.delivery.simulated.community import AREA, Community, Node
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.delivery.uploader import Uploader
from gateway.outbox.item import Kind
from gateway.site.settings import uuid_of_name
from gateway.store.buffer import Buffer
from tests.gateway.delivery.exchange.site import SLOT, now_s, owe, site_at
from tests.gateway.delivery.rig import NETWORK, until

TICK_S = 0.1
NEWEST_S = int(now_s()) // SLOT * SLOT - SLOT
HOUSE, PV = uuid_of_name("House"), uuid_of_name("PV")
"""Under which they are kept here."""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "LEAST_TO_ANSWER_S", 0.6)
    monkeypatch.setattr(registrar, "LEAST_BETWEEN_S", 0.1)
    monkeypatch.setattr(registrar, "BACKOFF_S", 0.05)


def community(*leaves: Node) -> Community:
    return Community(Node(NETWORK, "Grid", AREA, children=list(leaves)))


def house_and_pv() -> tuple[Node, Node]:
    return Node(uuid4(), "House"), Node(uuid4(), "PV", "PV")


def twin(network: Community) -> StandInExchange:
    exchange = StandInExchange(NETWORK, network, slot_s=SLOT, now=now_s)
    exchange.behaviour.tick_s = TICK_S
    return exchange


def yaml(exchange: StandInExchange, *more: str, house: str = "") -> str:
    keys = "".join(f"  {line}\n" for line in ("tick: 0.3s", *more))
    return (
        f"site: home-12\nexchange:\n  dialect: sdk\n  url: {exchange.url}\n"
        f"  canary_network: {NETWORK}\n  credentials: exchange.credentials\n  spread: 0s\n{keys}"
        f"assets:\n  - {{name: House, {house}kind: load, energy: grid.import}}\n"
        "  - {name: PV, kind: pv, energy: grid.export}\n"
    )


@asynccontextmanager
async def home(
    folder: Path, network: Community
) -> AsyncIterator[tuple[StandInExchange, Buffer, Uploader]]:
    """A site whose assets are known by their names."""
    async with (
        twin(network) as exchange,
        site_at(folder, exchange, yaml(exchange)) as (buffer, delivery),
    ):
        yield exchange, buffer, delivery


def states(buffer: Buffer, asset: UUID) -> list[str]:
    return [owed.state for owed in buffer.owed() if owed.item.subject == asset]


def owe_all(buffer: Buffer, count: int = 1, kinds: tuple[Kind, ...] = ("measurement",)) -> None:
    for asset in (HOUSE, PV):
        for each in kinds:
            first_s = NEWEST_S if each == "measurement" else NEWEST_S + 2 * SLOT
            owe(buffer, asset, [first_s - n * SLOT for n in range(count)], each)


def measured(exchange: StandInExchange, asset: UUID) -> dict[int, int]:
    return dict(exchange.books.measurements[asset])


async def test_assets_are_found_by_their_names(tmp_path: Path) -> None:
    house, pv = house_and_pv()
    async with home(tmp_path, community(Node(uuid4(), "Street", AREA, children=[house]), pv)) as (
        exchange,
        buffer,
        delivery,
    ):
        owe_all(buffer)
        delivery.wake()
        await until(lambda: states(buffer, HOUSE) + states(buffer, PV) == ["accepted"] * 2, 10)
        assert measured(exchange, house.uuid) == {NEWEST_S: NEWEST_S % 7919 + 1}
        assert delivery.snapshot(now_s()).registry == {}


async def test_numbers_without_a_time_find_their_asset_by_its_name_too(tmp_path: Path) -> None:
    house, pv = house_and_pv()
    async with twin(community(house, pv)) as exchange:
        text = yaml(exchange).replace("dialect: sdk", "dialect: rest")
        async with site_at(tmp_path, exchange, text) as (buffer, delivery):
            owe(buffer, HOUSE, [NEWEST_S])
            delivery.wake()
            await until(lambda: states(buffer, HOUSE) == ["accepted"], 10)
            assert list(exchange.books.undated[house.uuid].values()) == [NEWEST_S % 7919 + 1]
            state = delivery.snapshot(now_s()).verdicts
            assert state == "off: accepted means taken by HTTP"


async def test_an_asset_that_is_not_found_waits_and_holds_up_no_other(tmp_path: Path) -> None:
    house, pv = house_and_pv()
    house.name = "Haus"
    async with home(tmp_path, community(house, pv)) as (_, buffer, delivery):
        owe_all(buffer, 3)
        await until(lambda: states(buffer, PV) == ["accepted"] * 3, 10)
        assert states(buffer, HOUSE) == ["pending"] * 3
        told = delivery.snapshot(now_s()).registry
        assert told == {
            "House": "no asset of the network is named 'House' — its assets are Haus, PV"
        }


async def test_two_assets_of_one_name_are_told_with_both_uuids(tmp_path: Path) -> None:
    house, pv = house_and_pv()
    other = Node(uuid4(), "House")
    async with home(tmp_path, community(house, pv, other)) as (_, buffer, delivery):
        owe_all(buffer)
        await until(lambda: states(buffer, PV) == ["accepted"], 10)
        told = delivery.snapshot(now_s()).registry["House"]
        assert str(house.uuid) in told and str(other.uuid) in told
        assert states(buffer, HOUSE) == ["pending"]


async def test_a_network_that_was_made_anew_is_found_by_its_names(tmp_path: Path) -> None:
    house, pv = house_and_pv()
    network = community(house, pv)
    async with home(tmp_path, network) as (exchange, buffer, delivery):
        owe_all(buffer)
        await until(lambda: states(buffer, HOUSE) == ["accepted"], 10)

        anew = Node(uuid4(), "House")
        exchange.community.remove(house.uuid)
        exchange.community.add(anew)
        owe(buffer, HOUSE, [NEWEST_S - SLOT])
        delivery.wake()
        await until(lambda: states(buffer, HOUSE) == ["accepted"] * 2, 15)
        told = delivery.snapshot(now_s()).registry["House"]
        assert str(anew.uuid) in told and str(house.uuid) in told
        assert list(measured(exchange, anew.uuid)) == [NEWEST_S - SLOT]


async def test_that_a_uuid_changed_while_the_daemon_was_away_is_told(tmp_path: Path) -> None:
    house, pv = house_and_pv()
    async with twin(community(house, pv)) as exchange:
        async with site_at(tmp_path, exchange, yaml(exchange)) as (buffer, _):
            owe_all(buffer)
            await until(lambda: states(buffer, HOUSE) == ["accepted"], 10)

        anew = Node(uuid4(), "House")
        exchange.community.remove(house.uuid)
        exchange.community.add(anew)
        async with site_at(tmp_path, exchange, yaml(exchange)) as (buffer, delivery):
            owe(buffer, HOUSE, [NEWEST_S - SLOT])
            delivery.wake()
            await until(lambda: states(buffer, HOUSE) == ["accepted"] * 2, 15)
            assert str(anew.uuid) in delivery.snapshot(now_s()).registry["House"]


async def test_a_uuid_that_is_written_down_and_gone_is_told_with_the_new_one(
    tmp_path: Path,
) -> None:
    house, pv = house_and_pv()
    gone = uuid4()
    async with twin(community(house, pv)) as exchange:
        text = yaml(exchange, house=f"uuid: {gone}, ").replace(
            "{name: PV,", f"{{name: PV, uuid: {pv.uuid},"
        )
        async with site_at(tmp_path, exchange, text) as (buffer, delivery):
            owe(buffer, gone, [NEWEST_S])
            await until(lambda: "House" in delivery.snapshot(now_s()).registry, 10)
            assert str(house.uuid) in delivery.snapshot(now_s()).registry["House"]
            assert states(buffer, gone) == ["pending"]
            assert measured(exchange, house.uuid) == {}, "what is written down is not passed over"


async def test_an_aggregator_is_made_and_sends_all_in_one_request(tmp_path: Path) -> None:
    house, pv = house_and_pv()
    async with twin(community(house, pv)) as exchange:
        text = yaml(exchange, "aggregator: home-12")
        async with site_at(tmp_path, exchange, text) as (buffer, delivery):
            owe_all(buffer, 2, ("measurement", "forecast"))
            everything = ["accepted"] * 4
            await until(lambda: states(buffer, HOUSE) == states(buffer, PV) == everything, 10)
            assert list(exchange.community.aggregators.values()) == ["home-12"]
            assert exchange.community.controlled.keys() == {house.uuid, pv.uuid}
            paths = [path for _, path, _ in exchange.journal]
            assert not any("set-energy" in path for path in paths)
            assert sum("batch-commands" in path for path in paths) <= 3
            assert measured(exchange, pv.uuid) == {
                at_s: at_s % 7919 + 1 for at_s in (NEWEST_S, NEWEST_S - SLOT)
            }
            assert delivery.snapshot(now_s()).verdicts == "on"


async def test_an_aggregator_that_is_there_is_used(tmp_path: Path) -> None:
    house, pv = house_and_pv()
    network = community(house, pv)
    aggregator = uuid4()
    network.aggregators[aggregator] = "home-12"
    network.controlled[house.uuid] = aggregator
    async with twin(network) as exchange:
        text = yaml(exchange, "aggregator: home-12")
        async with site_at(tmp_path, exchange, text) as (buffer, _):
            owe_all(buffer)
            await until(lambda: states(buffer, HOUSE) + states(buffer, PV) == ["accepted"] * 2, 10)
            assert list(network.aggregators) == [aggregator]
            selects = sum("select-aggregator" in path for _, path, _ in exchange.journal)
            assert selects == 1, "one was selected already"


async def test_an_asset_with_another_aggregator_is_told_and_holds_up_no_other(
    tmp_path: Path,
) -> None:
    house, pv = house_and_pv()
    network = community(house, pv)
    network.aggregators[uuid4()] = "theirs"
    network.controlled[house.uuid] = next(iter(network.aggregators))
    async with twin(network) as exchange:
        text = yaml(exchange, "aggregator: home-12")
        async with site_at(tmp_path, exchange, text) as (buffer, delivery):
            owe_all(buffer, 3)
            await until(lambda: states(buffer, PV) == ["accepted"] * 3, 10)
            assert "'theirs' does" in delivery.snapshot(now_s()).registry["House"]


async def test_a_storage_is_refused_in_a_batch_and_is_never_given_up(tmp_path: Path) -> None:
    house, pv = house_and_pv()
    pv.kind = "Storage"
    async with twin(community(house, pv)) as exchange:
        text = yaml(exchange, "aggregator: home-12")
        async with site_at(tmp_path, exchange, text) as (buffer, delivery):
            owe_all(buffer, 2)
            await until(lambda: states(buffer, HOUSE) == ["accepted"] * 2, 10)
            await until(lambda: "PV" in delivery.snapshot(now_s()).refuses, 10)
            assert states(buffer, PV) == ["pending"] * 2
            assert "is a Storage in the exchange" in delivery.snapshot(now_s()).registry["PV"]

            pv.kind = "PV"
            await until(lambda: states(buffer, PV) == ["accepted"] * 2, 15)


async def test_the_aggregator_is_made_anew_where_it_was_deleted(tmp_path: Path) -> None:
    house, pv = house_and_pv()
    async with twin(community(house, pv)) as exchange:
        text = yaml(exchange, "aggregator: home-12")
        async with site_at(tmp_path, exchange, text) as (buffer, delivery):
            owe_all(buffer)
            await until(lambda: states(buffer, HOUSE) + states(buffer, PV) == ["accepted"] * 2, 10)
            exchange.community.aggregators.clear()
            exchange.community.controlled.clear()
            owe(buffer, HOUSE, [NEWEST_S - SLOT])
            delivery.wake()
            await until(lambda: states(buffer, HOUSE) == ["accepted"] * 2, 15)
            assert exchange.community.controlled.keys() == {house.uuid, pv.uuid}


@pytest.mark.parametrize("has_new_uuids", [True, False])
async def test_an_aggregator_that_acts_for_nothing_any_more_is_told_to_act_again(
    tmp_path: Path, has_new_uuids: bool
) -> None:
    house, pv = house_and_pv()
    async with twin(community(house, pv)) as exchange:
        text = yaml(exchange, "aggregator: home-12")
        async with site_at(tmp_path, exchange, text) as (buffer, delivery):
            owe_all(buffer, 1, ("measurement", "forecast"))
            everything = ["accepted"] * 2
            await until(lambda: states(buffer, HOUSE) == states(buffer, PV) == everything, 10)

            if has_new_uuids:  # then a batch is answered well, and nothing ever speaks of it
                house.uuid, pv.uuid = uuid4(), uuid4()
            exchange.community.controlled.clear()
            owe(buffer, HOUSE, [NEWEST_S - n * SLOT for n in (1, 2, 3)])
            owe(buffer, PV, [NEWEST_S - SLOT])
            delivery.wake()
            await until(lambda: states(buffer, HOUSE) == ["accepted"] * 5, 5)
            await until(lambda: states(buffer, PV) == ["accepted"] * 3, 5)
            assert exchange.community.controlled.keys() == {house.uuid, pv.uuid}
            assert len(measured(exchange, house.uuid)) == (3 if has_new_uuids else 4)


async def test_a_registry_that_tells_of_no_aggregators_makes_no_false_alarm_of_a_silent_asset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Community, "aggregator_of", lambda *_: None)
    house, pv = house_and_pv()
    async with twin(community(house, pv)) as exchange:
        text = yaml(exchange, "aggregator: home-12")
        async with site_at(tmp_path, exchange, text) as (buffer, delivery):
            owe_all(buffer)
            await until(lambda: states(buffer, HOUSE) + states(buffer, PV) == ["accepted"] * 2, 10)

            def selections() -> int:
                return sum("select-aggregator" in path for _, path, _ in exchange.journal)

            pv.is_live = False
            exchange.mode("status", status=400, where="select-aggregator")  # it is taken already
            owe(buffer, PV, [NEWEST_S - SLOT])
            delivery.wake()
            await until(lambda: selections() >= 4, 5)
            assert delivery.snapshot(now_s()).registry == {}

            exchange.mode("ok")
            attends = delivery._destination.attends
            assert attends is not None
            for count in (6, 8, 10):
                attends.doubt()
                await until(lambda count=count: selections() >= count, 5)
            batches = sum("batch-commands" in path for _, path, _ in exchange.journal)
            assert batches <= 4, "the silent asset is tried in each slot, and once for the doubt"


async def test_what_was_sent_to_where_an_asset_was_goes_at_once_to_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "LEAST_TO_ANSWER_S", 30.0)  # nobody waits for a word here
    house, pv = house_and_pv()
    async with twin(community(house, pv)) as exchange:
        text = yaml(exchange, "aggregator: home-12")
        async with site_at(tmp_path, exchange, text) as (buffer, delivery):
            # What is sent before anybody listens to the verdicts is not answered in that time.
            await until(lambda: bool(exchange.websockets), 10)
            owe_all(buffer)
            delivery.wake()
            await until(lambda: states(buffer, HOUSE) + states(buffer, PV) == ["accepted"] * 2, 10)
            house.uuid, pv.uuid = uuid4(), uuid4()
            exchange.community.controlled.clear()
            owe(buffer, PV, [NEWEST_S - SLOT])
            delivery.wake()
            await until(lambda: states(buffer, PV) == ["sent", "accepted"], 5)

            attends = delivery._destination.attends
            assert attends is not None
            attends.doubt()
            await until(lambda: states(buffer, PV) == ["accepted"] * 2, 5)
            assert list(measured(exchange, pv.uuid)) == [NEWEST_S - SLOT]


async def test_switching_to_the_aggregator_and_back_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    house, pv = house_and_pv()
    async with twin(community(house, pv)) as exchange:
        exchange.mode("status", status=503, where="external-ws")  # no verdict before the switch
        async with site_at(tmp_path, exchange, yaml(exchange)) as (buffer, _):
            owe_all(buffer, 2)
            await until(lambda: set(states(buffer, HOUSE) + states(buffer, PV)) == {"sent"}, 10)

        exchange.mode("ok")
        text = yaml(exchange, "aggregator: home-12")
        async with site_at(tmp_path, exchange, text) as (buffer, delivery):
            owe(buffer, HOUSE, [NEWEST_S - 2 * SLOT])
            delivery.wake()
            await until(lambda: states(buffer, HOUSE) == ["accepted"] * 3, 10)
            await until(lambda: states(buffer, PV) == ["accepted"] * 2, 10)

        async with site_at(tmp_path, exchange, yaml(exchange)) as (buffer, delivery):
            owe(buffer, HOUSE, [NEWEST_S - 3 * SLOT])
            delivery.wake()
            await until(lambda: states(buffer, HOUSE) == ["accepted"] * 4, 10)
        for n in range(4):
            at_s = NEWEST_S - n * SLOT
            assert measured(exchange, house.uuid)[at_s] == at_s % 7919 + 1
        assert len(measured(exchange, pv.uuid)) == 2


async def test_an_account_without_the_role_is_told_so(tmp_path: Path) -> None:
    house, pv = house_and_pv()
    async with twin(community(house, pv)) as exchange:
        exchange.behaviour.is_permitted = False
        async with site_at(tmp_path, exchange, yaml(exchange)) as (buffer, delivery):
            owe_all(buffer)
            await until(lambda: bool(delivery.snapshot(now_s()).registry), 10)
            assert "You do not have permission" in delivery.snapshot(now_s()).registry["House"]
            exchange.behaviour.is_permitted = True
            await until(lambda: states(buffer, HOUSE) == ["accepted"], 20)


@pytest.mark.parametrize("where", ["external-ws", "registry", "graphql"])
async def test_a_delivery_does_not_wait_for_what_hangs_beside_it(
    tmp_path: Path, where: str
) -> None:
    house, pv = house_and_pv()
    async with twin(community(house, pv)) as exchange:
        exchange.mode("slow", seconds=30.0, where=where)
        text = yaml(exchange, house=f"uuid: {house.uuid}, ")
        async with site_at(tmp_path, exchange, text) as (buffer, delivery):
            await until(lambda: exchange.logins > 0, 10)
            owe(buffer, house.uuid, [NEWEST_S])
            delivery.wake()
            await until(lambda: bool(measured(exchange, house.uuid)), 3)
