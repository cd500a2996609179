"""CONTRIBUTING.md, followed step by step: its commands in a copy of the checkout, its dialect
against a server. Its meters are read in test_example_protocols.py.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.outbox.dialects
from drivers.profile import protocols
from gateway.delivery.destination import Policy
from gateway.delivery.http_session import Session
from gateway.delivery.kinds import kind_names, load
from gateway.delivery.kinds.exchange import settings_of
from gateway.delivery.uploader import Uploader
from gateway.energy.slot import MeterState
from gateway.outbox.dialect import Reply
from gateway.outbox.dialects import dialect_names, load_dialect
from gateway.outbox.format import Margins, Retry
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.site.credentials import ConfigError, Credentials
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing
from tests.examples import DIALECT, EXAMPLES, ROOT, found_in
from tests.gateway.delivery.rig import exchange_of
from tests.serving import serving


@pytest.fixture
def batch() -> Iterator[None]:
    """The example of a dialect is there."""
    with found_in(gateway.outbox.dialects, DIALECT):
        yield


# --- The commands ---


def recipe(title: str) -> str:
    """The commands of one chapter: its blocks marked `sh`, in their order."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    chapter = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    blocks = re.finditer(r"^( *)```sh\n(.*?)^\1```$", chapter, re.MULTILINE | re.DOTALL)
    return "\n".join(textwrap.dedent(block[2]) for block in blocks)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Add a meter model", ["Acme EM1", "steps of 10 Wh", "6 values, 3 frames", " passed"]),
        ("Add a protocol", ["Acme EP7", "active power", "Acme WEB1"]),
        ("Add a dialect", [" passed"]),
        ("Add a destination", ["exchange ours", " passed"]),
        ("Add a tariff model", [" passed"]),
        ("Add a command", ["heat-pump: Eastron SDM630", "list the meters of this site"]),
    ],
)
def test_the_commands_of_a_recipe_work_as_they_stand(
    title: str, expected: list[str], tmp_path: Path
) -> None:
    commands = recipe(title)
    assert commands
    for name in ("docs", "drivers", "gateway", "hardware_profiles", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name)  # with the bytecode that is there
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("METER_GATEWAY_", "PYTEST_", "PYTHON"))
    }
    environment["PYTHONPATH"] = str(tmp_path)
    done = subprocess.run(
        ["sh", "-e", "-c", commands],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in expected:
        assert words in done.stdout
    assert not re.search(r"\bno tests ran\b|\bskipped\b", done.stdout)


def test_what_it_points_to_is_there() -> None:
    targets = re.findall(r"\]\(([^):]+)\)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


# --- A dialect ---

NETWORK = "8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10"
ASSETS = [UUID(f"26090dea-0000-4000-8000-{n:012d}") for n in range(1, 4)]
SLOT_S = 900
T0 = 1_774_746_000
"""2026-03-29T01:00Z."""


class BatchExchange:
    """The exchange that `batch` speaks to. `says` are its next answers to readings, before it goes
    on to store them.
    """

    def __init__(self, *says: tuple[int, object]) -> None:
        self.says = list(says)
        self.books: dict[tuple[str, str], float] = {}
        self.sizes: list[int] = []
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["BatchExchange"]:
        async with serving(self._serve) as port:
            self.url = f"http://127.0.0.1:{port}"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
        status, answer = self._answer(head, body)
        data = json.dumps(answer).encode()
        writer.write(
            b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
            % (status, len(data), data)
        )

    def _answer(self, head: str, body: dict[str, Any]) -> tuple[int, object]:
        path = head.split()[1]
        if path == "/api-token-auth/":
            return 200, {"token": "abc.def.ghi"}
        assert (path, "Authorization: JWT abc.def.ghi" in head) == (
            f"/markets/{NETWORK}/readings/",
            True,
        )
        assert body.keys() == {"batch", "readings"}
        self.sizes.append(len(body["readings"]))
        if self.says:
            return self.says.pop(0)
        unknown = {reading["asset"] for reading in body["readings"]} - set(map(str, ASSETS[:2]))
        if unknown:
            return 400, {"error": f"no asset {unknown.pop()}"}
        for reading in body["readings"]:
            assert reading.keys() == {"asset", "start", "energy_wh"}
            self.books[reading["asset"], reading["start"]] = reading["energy_wh"]
        return 200, {"stored": len(body["readings"])}


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[Buffer]:
    found = open_buffer(tmp_path / "buffer.sqlite", now_s=T0)
    yield found
    found.close_file()


def owe(buffer: Buffer, assets: list[UUID], slots: int) -> None:
    """So many slots of each asset are owed, of 137.25 Wh each."""
    dialect = load_dialect("batch", NETWORK, SLOT_S)
    owed = []
    for start_s in range(T0, T0 + slots * SLOT_S, SLOT_S):
        window = dialect.window("measurement", start_s, Margins(1.0, 15.0))
        for asset in assets:
            item = Item("exchange", asset, start_s, "measurement", 0, 137_250_000)
            owed.append(
                Owed(item, SLOT_S, "measured", opens_s=window.opens_s, closes_s=window.closes_s)
            )
    buffer.close(Closing("meter", 1, MeterState(None, 0, 0, {}), (), tuple(owed), ()))
    buffer.flush()


async def deliver(buffer: Buffer, exchange: BatchExchange) -> Uploader:
    """The real uploader and session, until nothing is owed any more but what is refused."""
    session = Session(exchange.url, lambda: Credentials("somebody", "secret"), 10)
    destination = exchange_of(
        load_dialect("batch", NETWORK, SLOT_S), session, Policy(slot_s=SLOT_S)
    )
    begin_s = time.monotonic()
    uploader = Uploader(
        destination,
        buffer.outbox("exchange"),
        # A minute a second: what is refused waits for its next try.
        now=lambda: T0 + 86_400.0 + 60.0 * (time.monotonic() - begin_s),
        trusted=lambda: True,
        jitter=lambda: 0.0,
    )
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(uploader.run())
        while any(owed.state == "pending" and not owed.refused_s for owed in buffer.owed()):
            await asyncio.sleep(0.01)
        task.cancel()
    return uploader


async def test_a_new_dialect_delivers_many_assets_in_one_request(
    batch: None, buffer: Buffer
) -> None:
    owe(buffer, ASSETS[:2], 4)
    async with BatchExchange().open() as exchange:
        uploader = await deliver(buffer, exchange)
    assert exchange.sizes == [8]
    starts = [
        "2026-03-29T01:00:00Z",
        "2026-03-29T01:15:00Z",
        "2026-03-29T01:30:00Z",
        "2026-03-29T01:45:00Z",
    ]
    assert exchange.books == {
        (str(asset), start): 137.25 for asset in ASSETS[:2] for start in starts
    }
    assert uploader.snapshot(T0).dialect == "batch"


async def test_what_the_exchange_never_takes_is_sifted_out_and_the_rest_delivered(
    batch: None, buffer: Buffer
) -> None:
    owe(buffer, ASSETS, 4)
    async with BatchExchange((200, {"busy_s": 1}), (502, "no")).open() as exchange:
        await deliver(buffer, exchange)
    assert len(exchange.books) == 8
    refused = [owed for owed in buffer.owed() if owed.state in ("pending", "rejected")]
    assert {(owed.item.subject, owed.reason) for owed in refused} == {
        (ASSETS[2], f"answered 400: no asset {ASSETS[2]}")
    }
    assert len(refused) == 4, "they are rejected for good a minute after the first refusal"


def test_a_busy_exchange_is_given_the_time_it_asks_for(batch: None) -> None:
    outcome = load_dialect("batch", NETWORK, SLOT_S).judge(Reply(200, {}, b'{"busy_s": 30}'))
    assert isinstance(outcome, Retry)
    assert outcome.after_s == 30.0


@given(data=st.data())
def test_any_part_of_a_request_is_one_request_by_itself(data: st.DataObject) -> None:
    with found_in(gateway.outbox.dialects, DIALECT):
        dialect = load_dialect("batch", NETWORK, SLOT_S)
    one = st.builds(
        Item,
        st.just("exchange"),
        st.sampled_from(ASSETS),
        st.integers(0, 9).map(lambda n: T0 + 900 * n),
        st.just("measurement"),
        st.integers(0, 2),
        st.integers(0, 10**14),
    )
    items = data.draw(
        st.lists(one, unique_by=lambda item: (item.subject, item.slot_s, item.revision))
    )
    requests = dialect.encode(items, "")
    assert [item for request in requests for item in request.items] == items
    for request in requests:
        start = data.draw(st.integers(0, len(request.items) - 1))
        part = request.items[start : data.draw(st.integers(start + 1, len(request.items)))]
        assert [each.items for each in dialect.encode(part, "")] == [part]


def test_the_configuration_takes_the_new_dialect_by_its_name(batch: None, tmp_path: Path) -> None:
    assert dialect_names() == ["batch", "rest", "sdk"]
    folder = shutil.copytree(EXAMPLES / "home", tmp_path / "etc")
    path = folder / "gateway.yaml"
    path.write_text(path.read_text().replace("dialect: sdk", "dialect: batch"))
    settings = load(folder, logins=False)
    exchange = settings_of(settings)
    assert exchange is not None
    assert exchange.dialect == "batch"
    path.write_text(path.read_text().replace("dialect: batch", "dialect: batsh"))
    with pytest.raises(ConfigError, match="did you mean 'batch'"):
        load(folder, logins=False)


# --- Nothing stays behind ---


def test_the_software_itself_knows_none_of_the_examples() -> None:
    assert not {"beacon", "pages", "pulse"} & set(protocols())
    assert "batch" not in dialect_names()
    assert "lines" not in kind_names()
