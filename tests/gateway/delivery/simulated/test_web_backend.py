"""By HTTP the stand-in exchange is as strict as a web server is; what the engine refuses comes
later.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from gateway.delivery.simulated.books import Booking
from gateway.delivery.simulated.exchange import LOGIN, StrictExchange
from gateway.delivery.simulated.http_server import StandInExchange

NETWORK = UUID("8a2c0f5e-93a1-4a5e-b5f5-0c7f2f1d3f10")
ASSET = UUID("26090dea-0000-4000-8000-000000000001")
STRANGER = UUID("26090dea-0000-4000-8000-000000000009")
TRANSACTION = "37e07810-5d0e-4c52-9f0e-0c7f2f1d3f11"
NOW_S = 1_774_746_000 + 100.0
"""2026-03-29T01:01:40Z."""
BASE = f"/external-connection/api/{NETWORK}/{ASSET}"
MEASUREMENT = f"{BASE}/set-energy-measurement/"
FORECAST = f"{BASE}/set-energy-forecast/"
UNDATED = f"{BASE}/set_energy_forecast/"


@pytest.fixture
async def exchange() -> AsyncIterator[StandInExchange]:
    async with StandInExchange(NETWORK, {ASSET: "House load"}, now=lambda: NOW_S) as standing_in:
        yield standing_in


@contextlib.asynccontextmanager
async def logged_in(exchange: StandInExchange) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=exchange.url, trust_env=False) as client:
        login = await client.post(
            "/api-token-auth/", json={"username": exchange.username, "password": exchange.password}
        )
        client.headers["Authorization"] = f"JWT {login.json()['token']}"
        yield client


@pytest.fixture
async def client(exchange: StandInExchange) -> AsyncIterator[httpx.AsyncClient]:
    async with logged_in(exchange) as client:
        yield client


def measured(**energy: object) -> dict[str, Any]:
    return {"energy_measurement": energy, "transaction_id": TRANSACTION}


def at(time: str, value: object = 0.5) -> dict[str, Any]:
    return measured(**{time: value})


async def test_a_measurement_is_kept_by_slot(
    exchange: StandInExchange, client: httpx.AsyncClient
) -> None:
    for value in (0.125, 0.25):
        assert (
            await client.post(MEASUREMENT, json=at("2026-03-29T00:45", value))
        ).status_code == 200
    assert exchange.books.measurements[ASSET] == {1_774_746_000 - 900: 250_000_000}
    assert exchange.books.booked == {("measurement", ASSET, 1_774_746_000 - 900): 2}


async def test_what_is_too_early_or_too_late_is_answered_well_and_dropped(
    exchange: StandInExchange, client: httpx.AsyncClient
) -> None:
    early = measured(**{"2026-03-29T01:15": 0.5, "2026-03-29T01:00": 0.125})
    assert (await client.post(MEASUREMENT, json=early)).status_code == 200
    late = {
        "energy_forecast": {"2026-03-29T01:00": 0.5, "2026-03-29T01:15": 0.25},
        "transaction_id": TRANSACTION,
    }
    assert (await client.post(FORECAST, json=late)).status_code == 200
    running_s = 1_774_746_000
    assert exchange.books.measurements[ASSET] == {running_s: 125_000_000}
    assert exchange.books.forecasts[ASSET] == {running_s + 900: 250_000_000}
    assert exchange.books.dropped == {"measurement": 1, "forecast": 1}


async def test_an_undated_number_goes_to_the_slot_after_its_arrival(
    exchange: StandInExchange, client: httpx.AsyncClient
) -> None:
    assert (await client.post(UNDATED, json={"energy_Wh": 137.25})).status_code == 200
    assert exchange.books.undated[ASSET] == {1_774_746_000 + 900: 137_250_000}


REFUSED_AT_ONCE = [
    at("2026-03-29T00:45", -0.1),
    at("2026-03-29T00:45", "0.5"),
    at("2026-03-29T00:45", None),
    at("2026-03-29T00:45", 1e12),
    at("2026-03-29 00:45"),
    at("2026-03-29T00:45Z"),
    at("2026-3-29T00:45"),
    at("2026-13-29T00:45"),
    {**at("2026-03-29T00:45"), "more": 1},
    {"energy_measurement": {"2026-03-29T00:45": 1}},
    {"energy_forecast": {"2026-03-29T00:45": 1}, "transaction_id": TRANSACTION},
    measured(**{"2026-03-29T00:30": 1, "2026-03-29T00:45": -1}),
]


@pytest.mark.parametrize("body", REFUSED_AT_ONCE, ids=lambda body: json.dumps(body)[:70])
async def test_a_backend_that_looks_at_numbers_refuses_the_whole_request_at_once(
    exchange: StandInExchange, client: httpx.AsyncClient, body: object
) -> None:
    exchange.behaviour.refuses_at_once = True
    answer = await client.post(MEASUREMENT, json=body)
    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert exchange.books.measurements[ASSET] == {}


@pytest.mark.parametrize("body", REFUSED_AT_ONCE, ids=lambda body: json.dumps(body)[:70])
async def test_otherwise_it_answers_200_to_what_the_engine_refuses(
    exchange: StandInExchange, client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    is_only_large = body == at("2026-03-29T00:45", 1e12)
    answer = await client.post(MEASUREMENT, json=body)
    assert answer.status_code == 200
    assert bool(exchange.books.measurements[ASSET]) == is_only_large


@pytest.mark.parametrize("body", [[], "text", 4])
async def test_a_body_that_is_no_object_is_refused(client: httpx.AsyncClient, body: object) -> None:
    assert (await client.post(MEASUREMENT, json=body)).status_code == 400


@pytest.mark.parametrize(
    "content",
    [
        b'{"energy_Wh": NaN}',
        b'{"energy_Wh": Infinity}',
        b'{"energy_Wh": 1, "energy_Wh": 2}',
        b"energy_Wh=1",
        b"\xff",
        b"[" * 9999,
    ],
)
async def test_what_is_not_json_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post(
        UNDATED, content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", MEASUREMENT.rstrip("/"), 404),
        ("POST", f"{BASE}/set_energy_measurement/", 404),
        ("POST", MEASUREMENT.replace(str(ASSET), str(STRANGER)), 404),
        ("POST", MEASUREMENT.replace(str(NETWORK), str(STRANGER)), 404),
        ("GET", MEASUREMENT, 405),
        ("GET", "/", 404),
    ],
)
async def test_addresses_are_exact(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path, json=at("2026-03-29T00:45"))
    assert answer.status_code == status


async def test_a_form_is_not_json(client: httpx.AsyncClient) -> None:
    assert (await client.post(UNDATED, data={"energy_Wh": "1"})).status_code == 415


@pytest.mark.parametrize("header", ["", "JWT", "JWT nonsense", "Bearer {}", "{}"])
async def test_every_request_needs_the_token_in_its_form(
    client: httpx.AsyncClient, header: str
) -> None:
    token = client.headers["Authorization"].removeprefix("JWT ")
    answer = await client.post(
        UNDATED, json={"energy_Wh": 1}, headers={"Authorization": header.format(token)}
    )
    assert answer.status_code == 401


async def test_tokens_expire() -> None:
    now_s = NOW_S
    async with (
        StandInExchange(NETWORK, {ASSET: "Load"}, token_life_s=60, now=lambda: now_s) as exchange,
        logged_in(exchange) as client,
    ):
        assert (await client.post(UNDATED, json={"energy_Wh": 1})).status_code == 200
        now_s += 60
        assert (await client.post(UNDATED, json={"energy_Wh": 1})).status_code == 401


@pytest.mark.parametrize(
    "login",
    [
        {"username": "gateway", "password": "no"},
        {"username": "gateway"},
        {"user": "gateway", "password": "x"},
    ],
)
async def test_a_wrong_login_is_refused(
    exchange: StandInExchange, client: httpx.AsyncClient, login: dict[str, str]
) -> None:
    assert (await client.post("/api-token-auth/", json=login)).status_code == 400


async def test_it_tells_its_registry(client: httpx.AsyncClient) -> None:
    tree = (await client.get(f"/external-connection/configurations/{NETWORK}/registry")).json()
    assert [(leaf["name"], leaf["uuid"]) for leaf in tree["children"]] == [
        ("House load", str(ASSET))
    ]


async def test_it_tells_what_it_holds_once_the_next_slot_has_begun_and_for_ninety_days() -> None:
    now_s = NOW_S
    history = f"/historical-data/assets/{NETWORK}/{ASSET}/2026-03-29T00:00/2026-03-29T01:00"
    async with (
        StandInExchange(NETWORK, {ASSET: "Load"}, token_life_s=1e9, now=lambda: now_s) as exchange,
        logged_in(exchange) as client,
    ):
        await client.post(MEASUREMENT, json=at("2026-03-29T00:45", 0.125))
        assert (await client.get(history)).json() == []
        now_s += 900
        assert (await client.get(history)).json() == [
            {"time": "2026-03-29T00:45", "energy_kWh": 0.125}
        ]
        now_s += 90 * 86_400
        assert (await client.get(history)).json() == []


async def test_it_remembers_everything_that_was_booked(
    exchange: StandInExchange, client: httpx.AsyncClient
) -> None:
    for value in (0.125, 0.25):
        await client.post(MEASUREMENT, json=at("2026-03-29T00:45", value))
    slot_s = 1_774_746_000 - 900
    assert list(exchange.books.history) == [
        Booking(NOW_S, "measurement", ASSET, slot_s, 125_000_000, None),
        Booking(NOW_S, "measurement", ASSET, slot_s, 250_000_000, 125_000_000),
    ]


def test_without_a_socket_it_answers_alike_and_says_how_its_answer_goes_out() -> None:
    exchange = StrictExchange(NETWORK, {ASSET: "Load"}, now=lambda: NOW_S)
    headers = {"content-type": "application/json"}
    login = exchange.handle(
        "POST",
        LOGIN,
        headers,
        json.dumps({"username": "gateway", "password": "let-me-in"}).encode(),
    )
    headers["authorization"] = f"JWT {json.loads(login.body)['token']}"
    body = json.dumps(at("2026-03-29T00:45")).encode()
    exchange.mode("slow", seconds=7, times=1)
    answer = exchange.handle("POST", MEASUREMENT, headers, body)
    assert (answer.status, answer.delay_s, answer.sends) == (200, 7, "all")
    for mode, sends in (("drop_after_accept", "nothing"), ("partial", "half")):
        exchange.mode(mode, times=1)  # type: ignore[arg-type]
        answer = exchange.handle("POST", MEASUREMENT, headers, body)
        assert (answer.status, answer.sends) == (200, sends)
    assert exchange.books.booked.total() == 3
    exchange.mode("down")
    assert exchange.handle("POST", MEASUREMENT, headers, body).sends == "nothing"
    assert exchange.books.booked.total() == 3
    assert exchange.requests == {200: 1, 0: 3}


async def test_it_misbehaves_as_told(exchange: StandInExchange, client: httpx.AsyncClient) -> None:
    exchange.mode("status", status=429, retry_after_s=7, times=1)
    answer = await client.post(UNDATED, json={"energy_Wh": 1})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    exchange.mode("html", times=1)
    assert "<html>" in (await client.post(UNDATED, json={"energy_Wh": 1})).text
    assert exchange.books.booked.total() == 0
    exchange.mode("down")
    with pytest.raises(httpx.TransportError):
        await client.post(UNDATED, json={"energy_Wh": 1})
    exchange.mode("drop_after_accept", times=1)
    with pytest.raises(httpx.TransportError):
        await client.post(UNDATED, json={"energy_Wh": 1})
    assert exchange.books.booked.total() == 1
    exchange.mode("partial", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post(UNDATED, json={"energy_Wh": 1})
    assert exchange.books.booked.total() == 2
    exchange.mode("unauthorized")
    assert (await client.post(UNDATED, json={"energy_Wh": 1})).status_code == 401
    login = await client.post(
        LOGIN, json={"username": exchange.username, "password": exchange.password}
    )
    assert login.status_code == 200
    exchange.mode("ok")
    assert (await client.post(UNDATED, json={"energy_Wh": 1})).status_code == 200


async def test_garbage_ends_its_own_connection_only(
    exchange: StandInExchange, client: httpx.AsyncClient
) -> None:
    for garbage in (
        b"\x00" * 100_000,
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", exchange.port)
        writer.write(garbage)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
    assert (await client.post(UNDATED, json={"energy_Wh": 1})).status_code == 200
