"""Over its websockets the stand-in exchange tells what the engine says, to who may hear it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.community import AREA, Community, Node
from gateway.delivery.simulated.http_server import StandInExchange

NETWORK = UUID("8a2c0f5e-93a1-4a5e-b5f5-0c7f2f1d3f10")
LOAD = UUID("26090dea-0000-4000-8000-000000000001")
STRANGER = UUID("26090dea-0000-4000-8000-000000000009")
TRANSACTION = "37e07810-5d0e-4c52-9f0e-0c7f2f1d3f11"
NOW_S = 1_774_746_100.0
TICK_S = 0.05
OBSERVED = Path(__file__).with_name("observed.json")


class Client:
    """A websocket's client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._protocol = WSConnection(ConnectionType.CLIENT)

    async def ask(self, target: str, token: str) -> Event:
        """Shake hands; returns what the server says to that."""
        headers = [(b"Authorization", f"JWT {token}".encode())] if token else []
        self.send(Request(host="127.0.0.1", target=target, extra_headers=headers))
        return await self.heard()

    def send(self, event: Event) -> None:
        self._writer.write(self._protocol.send(event))

    async def heard(self) -> Event:
        """The next event."""
        while True:
            for event in self._protocol.events():
                return event
            self._protocol.receive_data(await self._reader.read(4096) or None)

    async def ended(self) -> bool:
        return not await self._reader.read()


@pytest.fixture
async def exchange() -> AsyncIterator[StandInExchange]:
    root = Node(NETWORK, "Grid", AREA, children=[Node(LOAD, "House load")])
    root.children.append(Node(STRANGER, "Neighbour", is_ours=False))
    loop = asyncio.get_running_loop()
    async with StandInExchange(
        NETWORK,
        Community(root),
        now=lambda: NOW_S + loop.time(),
        behaviour=Behaviour(tick_s=TICK_S),
    ) as standing_in:
        yield standing_in


@pytest.fixture
async def client(exchange: StandInExchange) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=exchange.url, trust_env=False) as client:
        login = {"username": exchange.username, "password": exchange.password}
        token = (await client.post("/api-token-auth/", json=login)).json()["access"]
        client.headers["Authorization"] = f"JWT {token}"
        yield client


Opens = Callable[[str, str], Any]


@pytest.fixture
async def opens(exchange: StandInExchange) -> AsyncIterator[Opens]:
    writers = []

    async def opened(path: str, token: str) -> tuple[Client, Event]:
        reader, writer = await asyncio.open_connection("127.0.0.1", exchange.port)
        writers.append(writer)
        websocket = Client(reader, writer)
        return websocket, await websocket.ask(path, token)

    yield opened
    for writer in writers:
        writer.close()


def token_of(client: httpx.AsyncClient) -> str:
    return client.headers["Authorization"].removeprefix("JWT ")


async def test_the_verdict_comes_in_a_binary_frame_a_tick_later(
    exchange: StandInExchange, client: httpx.AsyncClient, opens: Opens
) -> None:
    websocket, answer = await opens(f"/external-ws/{NETWORK}/{LOAD}/", token_of(client))
    assert isinstance(answer, AcceptConnection)
    body = {"energy_measurement": {"2026-03-29T00:45": 0.125}, "transaction_id": TRANSACTION}
    path = f"/external-connection/api/{NETWORK}/{LOAD}/set-energy-measurement/"
    assert (await client.post(path, json=body)).status_code == 200
    async with asyncio.timeout(5):
        said = await websocket.heard()
    assert isinstance(said, BytesMessage)
    assert json.loads(bytes(said.data)) == {
        "command": "set_energy_measurement",
        "status": "ready",
        "transaction_id": TRANSACTION,
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/external-ws/{NETWORK}/{STRANGER}/", 403),
        (f"/external-ws/{STRANGER}/{LOAD}/", 404),
        (f"/external-ws/{NETWORK}/{LOAD}", 404),
        (f"/external-ws/{NETWORK}/{NETWORK.int}/", 404),
        (f"/external-ws/{NETWORK}/aggregator/{LOAD}/", 404),
        ("/external-ws/", 404),
    ],
)
async def test_who_may_not_hear_it_is_not_let_in(
    client: httpx.AsyncClient, opens: Opens, path: str, status: int
) -> None:
    _, answer = await opens(path, token_of(client))
    assert isinstance(answer, RejectConnection)
    assert answer.status_code == status


@pytest.mark.parametrize("token", ["", "nonsense"])
async def test_without_a_login_the_handshake_is_refused_with_403(opens: Opens, token: str) -> None:
    _, answer = await opens(f"/external-ws/{NETWORK}/{LOAD}/", token)
    assert isinstance(answer, RejectConnection)
    assert answer.status_code == 403


async def test_an_account_without_the_role_is_refused_everywhere(
    exchange: StandInExchange, client: httpx.AsyncClient, opens: Opens
) -> None:
    exchange.behaviour.is_permitted = False
    registry = await client.get(f"/external-connection/configurations/{NETWORK}/registry")
    assert registry.status_code == 403
    _, answer = await opens(f"/external-ws/{NETWORK}/{LOAD}/", token_of(client))
    assert isinstance(answer, RejectConnection)
    assert answer.status_code == 403


async def test_it_answers_pings_and_says_whatever_it_is_told_to_say(
    exchange: StandInExchange, client: httpx.AsyncClient, opens: Opens
) -> None:
    websocket, _ = await opens(f"/external-ws/{NETWORK}/{LOAD}/", token_of(client))
    websocket.send(Ping(b"there?"))
    async with asyncio.timeout(5):
        assert await websocket.heard() == Pong(b"there?")
        exchange.engine.tell(LOAD, "not JSON, and text")
        assert isinstance(await websocket.heard(), TextMessage)


async def test_its_end_ends_them_all(
    exchange: StandInExchange, client: httpx.AsyncClient, opens: Opens
) -> None:
    websocket, _ = await opens(f"/external-ws/{NETWORK}/{LOAD}/", token_of(client))
    exchange.mode("down")
    async with asyncio.timeout(5):
        assert await websocket.ended()
    assert not exchange.websockets


async def test_the_handshake_of_the_exchanges_own_client_is_taken_without_its_compression(
    exchange: StandInExchange, client: httpx.AsyncClient
) -> None:
    observed = json.loads(OBSERVED.read_text(encoding="utf-8"))["asset_websocket"]
    headers = {
        **observed["headers"],
        "Authorization": client.headers["Authorization"],
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", exchange.port)
    writer.write(f"GET /external-ws/{NETWORK}/{LOAD}/ HTTP/1.1\r\n{lines}\r\n".encode())
    async with asyncio.timeout(5):
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    writer.close()
    assert answer.startswith("http/1.1 101 ")
    # RFC 6455, section 1.3, has this key and what must be made of it.
    assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in answer
    assert "permessage-deflate" not in answer


async def test_a_verdict_is_told_at_the_tick_and_not_later() -> None:
    async with StandInExchange(
        NETWORK, {LOAD: "Load"}, slot_s=60, behaviour=Behaviour(tick_s=1)
    ) as exchange:
        told: list[float] = []
        exchange.engine.listen(LOAD, lambda _: told.append(exchange.now()))
        load = exchange.community.find(LOAD)
        assert load is not None
        await asyncio.sleep(1.3 - exchange.now() % 1)  # not long after a tick
        due_s = exchange.engine.next_tick_s()
        body = {"energy_measurement": {}, "transaction_id": TRANSACTION}
        exchange.engine.energy(load, "set_energy_measurement", body)
        async with asyncio.timeout(5):
            while not told:
                await asyncio.sleep(0.02)
    assert due_s <= told[0] < due_s + 0.7


async def test_a_handshake_of_another_protocol_is_refused(
    exchange: StandInExchange, client: httpx.AsyncClient
) -> None:
    odd = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "7"}
    answer = await client.get(f"/external-ws/{NETWORK}/{LOAD}/", headers=odd)
    assert answer.status_code == 400
    assert not exchange.websockets
