"""`/api/v1` over real sockets: every address answers, and nobody is held up by who is slow."""

import asyncio
import contextlib
import csv
import io
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from gateway.history.answers import Day
from gateway.history.api import PREFIX, ROUTES, Api
from gateway.history.history import History
from gateway.history.live import MAX_STREAMS, Live
from gateway.monitoring.asked import LatePages
from gateway.monitoring.report import Report
from gateway.monitoring.server import StatusServer
from gateway.site.settings import Settings, StatusSettings
from tests.gateway.history.rig import NOW_S, SLOT_S, report

ASKED = {
    "<day>": "2026-03-28",
    "<day>.csv": "2026-03-28.csv",
    "<month>": "2026-03",
    "<asset>": "House load",
    "<start_s>": str(NOW_S - 2 * SLOT_S),
    "<name>": "pv",
}


class Running:
    """A server with the API, and the report that it tells."""

    def __init__(self, history: History, told: Report) -> None:
        self.told = told
        live = Live(history, lambda: self.told)
        self.server = StatusServer(
            StatusSettings(port=0),
            lambda: self.told,
            pages=lambda _: [LatePages("/api/", lambda: Api(history, live))],
            more=lambda of: {"problems": history.problems(of)},
        )


@pytest.fixture
async def running(history: History, settings: Settings) -> AsyncIterator[Running]:
    running = Running(history, report(settings))
    task = asyncio.create_task(running.server.run())
    await running.server.listening.wait()
    yield running
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def client(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=running.server.url, timeout=30) as client:
        yield client


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_every_address_answers_what_it_says(
    route: tuple[str, str, object], client: httpx.AsyncClient
) -> None:
    path, _, says = route
    asked = "/".join(ASKED.get(part, part) for part in path.split("/"))
    if path == "live":
        async with client.stream("GET", PREFIX + asked) as answer:
            assert answer.headers["content-type"] == says
        return
    answer = await client.get(PREFIX + asked)
    assert answer.status_code == 200
    if isinstance(says, str):
        assert answer.headers["content-type"].startswith(says)
        return
    assert answer.headers["content-type"] == "application/json"
    msgspec.json.decode(answer.content, type=says, strict=True)  # type: ignore[call-overload]


async def test_what_is_known_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get(f"{PREFIX}days/2026-03-28")
    assert first.headers["content-encoding"] == "gzip"
    again = await client.get(
        f"{PREFIX}days/2026-03-28", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


async def test_a_day_of_three_assets_is_small(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{PREFIX}days/2026-03-28")
    assert int(answer.headers["content-length"]) <= 3000


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("", 404),
        ("nothing", 404),
        ("days", 404),
        ("days/", 400),
        ("days/9999-99-99", 404),
        ("days/0000-00-00.csv", 404),
        ("days/..%2f..%2fetc%2fpasswd", 404),
        ("days/%2e%2e%2f", 404),
        ("days/2026-03-28/x", 404),
        ("months/2026-13", 404),
        ("months/" + "1" * 5000, 400),
        ("slots/House load/x", 400),
        ("slots/House load/-900", 400),
        ("slots/House load/99999999999999999999999", 400),
        ("slots/" + "x" * 5000 + "/900", 404),
        ("slots/House load/999999999999900", 404),
        ("meters/%00", 404),
        ("events?before=x", 400),
        ("events?before=-1", 400),
        ("events?meter=nobody", 404),
        ("events?before=999999999999999", 200),
        ("events?before=0", 200),
    ],
)
async def test_absurd_questions_get_a_sentence(
    path: str, status: int, client: httpx.AsyncClient
) -> None:
    answer = await client.get(httpx.URL(client.base_url, raw_path=(PREFIX + path).encode()))
    assert answer.status_code == status
    if status != 200:
        assert len(answer.json()["error"]) < 500


async def test_a_table_has_what_the_day_has(client: httpx.AsyncClient) -> None:
    day = msgspec.json.decode((await client.get(f"{PREFIX}days/2026-03-28")).content, type=Day)
    answer = await client.get(f"{PREFIX}days/2026-03-28.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="2026-03-28.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [float(row["House load Wh"]) for row in rows] == day.assets[0].wh
    assert [float(row["grid.import Wh"]) for row in rows] == day.meters[0].wh
    assert {row["PV quality"] for row in rows} == {"measured"}
    assert rows[0]["start_local"] == "2026-03-28T00:00:00+01:00"


async def test_status_tells_the_problems_too(running: Running, client: httpx.AsyncClient) -> None:
    assert (await client.get("/status")).json()["problems"] == []
    running.told = replace(
        running.told, meters=[replace(m, last_success_s=NOW_S - 600.0) for m in running.told.meters]
    )
    await asyncio.sleep(0.2)
    [first, *_] = (await client.get("/status")).json()["problems"]
    assert (first["id"], first["severity"]) == ("meter_silent", "warn")
    assert Report.from_json((await client.get("/status")).content).meters == running.told.meters


# --- what changes live ----------------------------------------------------------------------------


async def next_events(lines: AsyncIterator[str], count: int) -> list[tuple[str, str]]:
    """The next events: name and data."""
    found: list[tuple[str, str]] = []
    name = ""
    async with asyncio.timeout(20):
        async for line in lines:
            key, _, value = line.partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                found.append((name, value))
                if len(found) == count:
                    break
    return found


async def test_a_stream_tells_what_has_changed_and_nothing_twice(
    running: Running, client: httpx.AsyncClient
) -> None:
    async with client.stream("GET", f"{PREFIX}live") as answer:
        lines = answer.aiter_lines()
        first = await next_events(lines, 4)
        assert [name for name, _ in first] == ["now", "slot", "delivery", "problems"]
        meters = [replace(m, values={"power_w": 7.0}) for m in running.told.meters]
        running.told = replace(running.told, meters=meters)
        [(name, data)] = await next_events(lines, 1)
        assert name == "now"
        assert msgspec.json.decode(data)["power_w"]["grid"] == 7.0
        running.told = replace(
            running.told,
            buffer=replace(running.told.buffer, slots=99),
            meters=[replace(m, last_success_s=NOW_S - 600.0) for m in running.told.meters],
        )
        names = [name for name, _ in await next_events(lines, 3)]
        assert names == ["now", "slot", "problems"]


async def test_the_oldest_stream_makes_room_for_one_more(
    running: Running, client: httpx.AsyncClient
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        streams = []
        for _ in range(MAX_STREAMS):
            answer = await stack.enter_async_context(client.stream("GET", f"{PREFIX}live"))
            lines = answer.aiter_lines()
            await next_events(lines, 4)
            streams.append(lines)
        newest = await stack.enter_async_context(client.stream("GET", f"{PREFIX}live"))
        await next_events(newest.aiter_lines(), 4)
        assert await next_events(streams[0], 1) == [("bye", "{}")]
        meters = [replace(m, values={"power_w": 7.0}) for m in running.told.meters]
        running.told = replace(running.told, meters=meters)
        for lines in streams[1:]:
            assert (await next_events(lines, 1))[0][0] == "now"
        assert (await client.get("/healthz")).status_code == 200


async def test_who_reads_a_byte_a_second_holds_nobody_up(
    running: Running, client: httpx.AsyncClient
) -> None:
    port = int(running.server.url.rpartition(":")[2])
    slow = []
    for _ in range(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(f"GET {PREFIX}days/2026-03-28 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        slow.append((reader, writer))
    for _ in range(5):
        for reader, _ in slow:
            await asyncio.wait_for(reader.read(1), 5)
        assert (await client.get(f"{PREFIX}now")).status_code == 200
    for _, writer in slow:
        writer.close()
