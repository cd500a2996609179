"""Several destinations beside each other: one that fails or is slow delays no other by anything;
a kind that is not HTTP, whose word comes later; a kind that keeps its own record; and what is
pruned.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.json import encode as json_of

import gateway.delivery.kinds
from gateway.delivery.destination import Delivery
from gateway.delivery.kinds import kind_names, load
from gateway.delivery.opening import Opening, open_delivery
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.energy.slot import MeterState
from gateway.monitoring.report import DestinationReport
from gateway.outbox.item import Item, SeriesKey, Subject
from gateway.outbox.owed import Owed, State
from gateway.site.config import schema
from gateway.site.credentials import ConfigError
from gateway.store.buffer import Buffer, Limits
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing
from tests.gateway.delivery.rig import NETWORK, SLOT, T0, A, AtTheSeam, B, until, virtual
from tests.serving import serving

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
GRID = SeriesKey("grid", "import")

SITE = f"""\
site: home-12
exchange:
  dialect: sdk
  url: https://first.example
  canary_network: {NETWORK}
  credentials: exchange.credentials
  spread: 0s
  verdicts: off
assets:
  - {{name: House load, uuid: {A}, kind: load, energy: grid.import}}
destinations:
"""
SECOND = f"""\
  second:
    kind: exchange
    dialect: rest
    url: https://second.example
    canary_network: {NETWORK}
    credentials: exchange.credentials
    spread: 0s
"""


def site(folder: Path, destinations: str = SECOND) -> Path:
    """A configuration with an exchange, and more destinations."""
    (folder / "devices").mkdir()
    (folder / "devices" / "grid.yaml").write_text(
        "profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\n"
    )
    (folder / "gateway.yaml").write_text(SITE + destinations)
    login = folder / "exchange.credentials"
    login.write_text("username: 'gateway'\npassword: 'let-me-in'\n")
    login.chmod(0o600)
    return folder


class Hosts(httpx.AsyncBaseTransport):
    """Each host is a stand-in exchange."""

    def __init__(self, **exchanges: StandInExchange) -> None:
        self._hosts = {f"{name}.example": AtTheSeam(each) for name, each in exchanges.items()}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._hosts[request.url.host].handle_async_request(request)


@contextmanager
def kinds_in(folder: Path) -> Iterator[None]:
    """Kinds of destinations are found in a further folder too."""
    package = gateway.delivery.kinds
    package.__path__.append(str(folder))
    try:
        yield
    finally:
        package.__path__.remove(str(folder))
        for name, module in list(sys.modules.items()):
            if name.startswith(f"{package.__name__}.") and str(module.__file__).startswith(
                str(folder)
            ):
                del sys.modules[name]


@contextmanager
def store(folder: Path, limits: Limits | None = None) -> Iterator[Buffer]:
    buffer = open_buffer(folder / "buffer.sqlite", limits or Limits(), now_s=T0)
    try:
        yield buffer
    finally:
        buffer.close_file()


def owe(
    buffer: Buffer, destination: str, subject: Subject, *slots_s: int, rest: bool = False
) -> None:
    """Commit one measurement per slot."""
    owed = [
        Owed(
            Item(destination, subject, slot_s, "measurement", 0, 1_000_000),
            SLOT,
            "measured",
            opens_s=slot_s + SLOT + 1.0,
            closes_s=slot_s + 2 * SLOT - 1.0 if rest else None,
        )
        for slot_s in slots_s
    ]
    number = buffer.last_number
    buffer.close(Closing("grid", number, MeterState(None, 0, 0, {}), (), tuple(owed), ()))
    buffer.flush()


def states(buffer: Buffer, destination: str) -> list[State]:
    return [owed.state for owed in buffer.owed(destination=destination)]


def opened(
    folder: Path, buffer: Buffer, now: Any, http: httpx.AsyncBaseTransport | None = None
) -> dict[str, Delivery]:
    """The deliveries of a site, as the daemon opens them."""
    settings = load(folder)
    return {
        name: open_delivery(
            its_settings,
            Opening(
                name=name,
                site=settings,
                buffer=buffer,
                now=now,
                trusted=lambda: True,
                jitter=lambda: 0.5,
                http=http,
            ),
        )
        for name, its_settings in settings.destinations.items()
    }


@asynccontextmanager
async def running(*deliveries: Delivery) -> AsyncIterator[None]:
    """One task for each; the death of one is the test's."""
    tasks = [asyncio.create_task(delivery.run()) for delivery in deliveries]
    try:
        yield
    finally:
        died = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in died:
            task.result()


# --- beside each other ---


def arrivals(folder: Path, mode: str) -> tuple[list[float], list[State], dict[str, Any]]:
    """When the second exchange gets each slot, while the first one fares like that."""
    found: list[float] = []
    outcome: list[State] = []
    reports: dict[str, Any] = {}

    async def story() -> None:
        loop = asyncio.get_running_loop()

        def now() -> float:
            return T0 + loop.time()

        first = StandInExchange(NETWORK, {A: "Load"}, slot_s=SLOT, now=now)
        second = StandInExchange(NETWORK, {A: "Load"}, slot_s=SLOT, now=now)
        if mode != "ok":
            first.mode(mode, seconds=9.0)  # type: ignore[arg-type]
        with store(folder) as buffer:
            deliveries = opened(site(folder), buffer, now, Hosts(first=first, second=second))
            async with running(*deliveries.values()):
                for n in range(8):
                    await asyncio.sleep(T0 + n * SLOT - now())
                    slot_s = T0 + (n - 1) * SLOT
                    owe(buffer, "exchange", A, slot_s)
                    owe(buffer, "second", A, slot_s, rest=True)
                    for delivery in deliveries.values():
                        delivery.wake()
                await asyncio.sleep(100)
                reports.update({n: d.snapshot(now()) for n, d in deliveries.items()})
            found.extend(at_s - T0 for at_s, path, _ in second.journal if "forecast" in path)
            outcome.extend(states(buffer, "second"))
            assert len(states(buffer, "exchange")) == 8

    folder.mkdir()
    virtual(story())
    return found, outcome, reports


@pytest.mark.parametrize("mode", ["down", "slow", "status", "html", "unauthorized"])
def test_a_destination_that_fails_or_is_slow_delays_the_other_by_nothing(
    tmp_path: Path, mode: str
) -> None:
    well = arrivals(tmp_path / "well", "ok")
    ill = arrivals(tmp_path / "ill", mode)
    assert ill[:2] == well[:2]
    assert well[0] == pytest.approx([n * SLOT + 1.0 for n in range(8)], abs=0.1)
    assert set(ill[1]) == {"accepted"}

    assert {name: report.state for name, report in well[2].items()} == {
        "exchange": "ok",
        "second": "ok",
    }
    assert ill[2]["second"].state == "ok"
    assert (ill[2]["exchange"].state == "ok") == (mode == "slow")
    assert all(json_of(report) for report in well[2].values())
    assert [ill[2][name].name for name in ("exchange", "second")] == ["exchange", "second"]


def test_log_lines_name_a_destination_that_is_not_the_exchange(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "gateway.delivery.journal")
    arrivals(tmp_path / "site", "ok")
    lines = {record.getMessage() for record in caplog.records}
    at = "2026-03-29 00:45:00Z"
    assert f"delivered measurement of one slot of asset House load, {at}" in lines
    assert f"second: delivered measurement of one slot of asset House load, {at}" in lines


def test_a_slot_stays_as_long_as_any_destination_is_owed_it(tmp_path: Path) -> None:
    with store(tmp_path, Limits(keep_slots_s=30 * 86_400)) as buffer:
        old_s = T0 - 40 * 86_400
        for destination in ("exchange", "second"):
            owe(buffer, destination, A, old_s)
        owe(buffer, "second", B, old_s)
        buffer.outbox("exchange").record(
            [owed.item for owed in buffer.owed(destination="exchange")], "accepted", "", T0
        )
        buffer.prune(T0)
        assert states(buffer, "exchange") == []
        assert states(buffer, "second") == ["pending", "pending"]


# --- not HTTP, and the word comes later ---


class LinesServer:
    """What the kind `lines` speaks to."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any] | None] = []
        """What it says to the next lines; None: nothing. After these all is well."""
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["LinesServer"]:
        async with serving(self._serve, port=self.port) as self.port:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            said = json.loads(line)
            self.got.append(said)
            answer = self.answers.pop(0) if self.answers else {"ok": True}
            await asyncio.sleep(0.05)
            if answer is not None:
                writer.write(json.dumps({"id": said["id"], **answer}).encode() + b"\n")


@asynccontextmanager
async def lines_site(
    folder: Path, within: str = "60s"
) -> AsyncIterator[tuple[LinesServer, Buffer, Delivery]]:
    """A site that delivers to `lines` as well, with two slots owed to it."""
    with kinds_in(EXAMPLES / "destination"), store(folder) as buffer:
        async with LinesServer().open() as server:
            section = "  ours: {kind: lines, host: 127.0.0.1, port: %d, answer_within: %s}\n"
            site(folder, section % (server.port, within))
            newest_s = int(time.time()) // SLOT * SLOT - 6 * SLOT
            owe(buffer, "ours", GRID, newest_s - SLOT, newest_s)
            ours = opened(folder, buffer, time.time)["ours"]
            async with running(ours):
                yield server, buffer, ours


async def test_what_was_sent_is_accepted_when_the_receiver_says_so(tmp_path: Path) -> None:
    async with lines_site(tmp_path) as (server, buffer, ours):
        await until(lambda: states(buffer, "ours") == ["sent", "sent"], 10)
        report = ours.snapshot(time.time())
        assert (report.sent, report.accepted, report.last_success_s) == (2, 0, None)

        await until(lambda: states(buffer, "ours") == ["accepted", "accepted"], 10)
        [line] = server.got
        assert [value[0] for value in line["values"]] == ["grid.import"] * 2
        assert {owed.transaction_id for owed in buffer.owed(destination="ours")} == {line["id"]}
        assert all(owed.attempts == 1 for owed in buffer.owed(destination="ours"))
        report = ours.snapshot(time.time())
        assert (report.state, report.sent, report.accepted) == ("ok", 0, 2)


async def test_what_is_not_answered_in_time_is_sent_again(tmp_path: Path) -> None:
    async with lines_site(tmp_path, within="9s") as (server, buffer, ours):
        server.answers = [None]
        ours.wake()
        async with asyncio.timeout(60):
            while states(buffer, "ours") != ["accepted", "accepted"]:
                await asyncio.sleep(0.1)
                ours.wake()
        ids = [line["id"] for line in server.got]
        assert len(ids) == len(set(ids)) > 1
        assert ours.snapshot(time.time()).last_error == "gave no answer within 9 s"


async def test_a_bad_number_is_found_by_halves_also_when_the_word_comes_later(
    tmp_path: Path,
) -> None:
    refusal = {"ok": False, "error": "no such slot"}
    async with lines_site(tmp_path) as (server, buffer, _):
        server.answers = [refusal, refusal]
        await until(lambda: states(buffer, "ours") == ["pending", "accepted"], 20)
        assert [len(line["values"]) for line in server.got] == [2, 1, 1]
        [refused] = [o for o in buffer.owed(destination="ours") if o.state == "pending"]
        assert (refused.reason, refused.refused_s is not None) == ("says: no such slot", True)
        await until(lambda: states(buffer, "ours") == ["accepted", "accepted"], 20)
        assert [len(line["values"]) for line in server.got] == [2, 1, 1, 1], "asked once more"


async def test_no_kind_of_destination_gets_a_secret_into_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://me:open%20sesame@127.0.0.1:1")
    refusal = {"ok": False, "error": "the password open sesame is wrong"}
    async with lines_site(tmp_path) as (server, buffer, ours):
        server.answers = [refusal] * 100

        def reasons() -> set[str]:
            return {owed.reason for owed in buffer.owed(destination="ours")}

        await until(lambda: "" not in reasons(), 20)
        assert reasons() == {"says: the password (secret) is wrong"}
        # It is counted just after it is written down.
        wrong = "says: the password (secret) is wrong"
        await until(lambda: ours.snapshot(time.time()).last_error == wrong, 20)


async def test_a_restart_while_an_answer_is_awaited_loses_nothing(tmp_path: Path) -> None:
    async with lines_site(tmp_path) as (server, buffer, _):
        server.answers = [None] * 100
        await until(lambda: states(buffer, "ours") == ["sent", "sent"], 10)
    with store(tmp_path) as buffer:
        outbox = buffer.outbox("ours")
        assert states(buffer, "ours") == ["sent", "sent"]
        assert outbox.owe_unanswered(time.time() + 1, "gave no answer") == 2
        assert len(outbox.due(time.time(), since_s=None, limit=10)) == 2


# --- a record of its own ---

OWN_RECORD = '''
"""Kind `own`: keeps its own record of what it owes; no rows in the outbox."""

import asyncio
from dataclasses import dataclass

from gateway.monitoring.report import DestinationReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    first: int

    def check(self, site):
        return ()


class Own:
    terms = None
    turned_s = None
    longest_turn_s = 60.0

    def __init__(self, name, next_number):
        self.name, self.delivered, self._next = name, [], next_number
        self._news = asyncio.Event()

    def wake(self):
        self._news.set()

    async def run(self):
        while True:
            await self._news.wait()
            self._news.clear()
            self.delivered.append(self._next)
            self._next += 1

    async def aclose(self):
        pass

    def snapshot(self, now_s):
        return DestinationReport(
            name=self.name, state="ok", max_age_s=60.0, url="own:", dialect="own",
            accepted=len(self.delivered),
        )


def open(settings, opening):
    return Own(opening.name, settings.first)
'''


async def test_a_kind_may_keep_its_own_record_of_what_it_owes(tmp_path: Path) -> None:
    (tmp_path / "kinds").mkdir()
    (tmp_path / "kinds" / "own.py").write_text(OWN_RECORD)
    with kinds_in(tmp_path / "kinds"), store(tmp_path) as buffer:
        site(tmp_path, "  fleet: {kind: own, first: 7}\n")
        fleet = opened(tmp_path, buffer, time.time)["fleet"]
        assert fleet.terms is None, "the ledger owes it no rows"
        async with running(fleet):
            for count in (1, 2):
                fleet.wake()
                await until(lambda n=count: fleet.snapshot(0.0).accepted == n, 5)  # type: ignore[misc]
        report = fleet.snapshot(0.0)
        assert isinstance(report, DestinationReport)
        assert list(buffer.owed()) == []


# --- the configuration ---


def test_kinds_are_found_by_name() -> None:
    assert kind_names() == ["exchange", "fleet_mqtt"]
    with kinds_in(EXAMPLES / "destination"):
        assert kind_names() == ["exchange", "fleet_mqtt", "lines"]


def mistakes(folder: Path, destinations: str) -> Sequence[str]:
    with kinds_in(EXAMPLES / "destination"), pytest.raises(ConfigError) as caught:
        load(site(folder, destinations), logins=False)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_every_mistake_of_every_destination_is_told_at_once(tmp_path: Path) -> None:
    told = mistakes(
        tmp_path,
        "  ours: {kind: lines, host: there, port: 99999, answer_within: 10s}\n"
        "  theirs: {kind: lines, host: there, port: 7000, answer_within: 1s}\n"
        f"  third: {{kind: exchange, dialect: sdk, canary_network: {NETWORK}, "
        "credentials: c, margin: 1h}\n"
        "  fourth: {kind: linse}\n",
    )
    assert [text.partition(": ")[0] for text in told] == [
        "gateway.yaml:12",
        "gateway.yaml:13",
        "gateway.yaml:14",
        "gateway.yaml:15",
    ]
    assert "destinations.ours.port" in told[0]
    assert "destinations.theirs.answer_within: leaves no time to answer" in told[1]
    assert "destinations.third.margin: leaves no time to deliver" in told[2]
    assert "there is no kind of destination 'linse'" in told[3]
    assert "'lines'" in told[3]


def test_the_schema_for_editors_covers_destinations() -> None:
    with kinds_in(EXAMPLES / "destination"):
        found = schema("gateway", gateway.delivery.kinds.settings_by_kind())
    text = json.dumps(found["$defs"]["GatewayFile"]["properties"]["destinations"])
    assert "#/$defs/lines" in text
    assert '"answer_within"' in json.dumps(found)
