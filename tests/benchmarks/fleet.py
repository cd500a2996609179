"""A community's server: real mosquitto, PostgreSQL and collectors, and homes in one process that
deliver as gateways do, all on this machine.

HOMES=1000 is how many there are (the demand is for 10,000), BACKLOG=100 how many of them bring a
week, both from the environment. Rows are full: four assets and four meter directions of each home.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.demo_home import free_port
from gateway.cli.main import main
from gateway.outbox.fleet.change import Deliver
from gateway.outbox.fleet.messages import (
    AssetRow,
    AssetRows,
    MeterRow,
    MeterRows,
    Slots,
    decode_ack,
    encode,
)
from tests.benchmarks.figure import Figure, progress
from tests.gateway.fleet.homes import asset_of
from tests.gateway.fleet.postgres import Postgres, running, write_config

TITLE = "a community's server"
SLOW = "minutes; HOMES=10000 for the whole"

SLOT_S = 900
SPREAD_S = 30.0
WEEK_SLOTS = 672
PARCEL_SLOTS = 96
RESEND_S = 10.0
WARM_SLOTS = 3
"""Come before the one that is measured: a collector looks up each name once, and a broker deals a
home's messages now to one, now to the other.
"""
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

DATABASE_OPTIONS = (
    "listen_addresses=", "max_connections=20", "shared_buffers=256MB", "max_wal_size=2GB",
    "logging_collector=off",
)  # fmt: skip
"""fsync is on: a commit is on the disk."""


def rows_of(site: str, slots_s: list[int]) -> tuple[list[AssetRows], list[MeterRows]]:
    """Four assets and four directions, with energies that do not repeat."""
    draw = random.Random(f"{site}{slots_s[0]}")
    assets = [
        AssetRows(
            asset_of(site, n), "measurement", SLOT_S,
            [AssetRow(s, 0, draw.getrandbits(29), "measured", draw.getrandbits(20))
             for s in slots_s],
        )
        for n in range(4)
    ]  # fmt: skip
    meters = []
    for meter in ("grid", "pv"):
        for direction in ("import", "export"):
            rows, register_uwh = [], draw.getrandbits(43)
            for slot_s in slots_s:
                energy_uwh = draw.getrandbits(29)
                register_uwh += energy_uwh
                rows.append(
                    MeterRow(slot_s, 0, energy_uwh, "measured", "counter", 1000,
                             85 + draw.getrandbits(3), 10_000 + draw.getrandbits(8),
                             register_uwh - energy_uwh, register_uwh, "kernel",
                             draw.getrandbits(20))
                )  # fmt: skip
            meters.append(MeterRows(meter, direction, "E0031003", SLOT_S, rows))  # type: ignore[arg-type]
    return assets, meters


def payload_of(site: str, seq: int, slots_s: list[int], deliver: Deliver = "fleet") -> bytes:
    items, meters = rows_of(site, slots_s)
    return encode(
        Slots(1, site, "store", [(seq, seq)], "0.1.0", int(time.time()), deliver, items, meters)
    )


@dataclass(slots=True)
class Home(asyncio.Protocol):
    """A gateway at the broker, as small as it can be: MQTT 3.1.1 by hand."""

    site: str
    said: dict[int, float] = field(default_factory=dict)
    """When each number was first sent; gone once it is stored."""
    took_s: list[float] = field(default_factory=list)
    sends: int = 0
    transport: asyncio.Transport | None = None
    rest: bytes = b""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        name = self.site.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
        topic = f"mg/v1/{self.site}/ack".encode()
        ask = b"\x00\x01" + len(topic).to_bytes(2, "big") + topic + b"\x01"
        transport.write(b"\x10" + _length(body) + body + b"\x82" + _length(ask) + ask)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while (packet := _packet(self.rest)) is not None:
            head, body, size = packet
            self.rest = self.rest[size:]
            if head >> 4 == 3:
                self._heard(head, body)

    def _heard(self, head: int, body: bytes) -> None:
        at = 2 + int.from_bytes(body[:2], "big")
        if head & 0b110:
            assert self.transport is not None
            self.transport.write(b"\x40\x02" + body[at : at + 2])
            at += 2
        now_s = time.monotonic()
        for begin, end in decode_ack(body[at:]).stored:
            for seq in range(begin, end + 1):
                if (sent_s := self.said.pop(seq, None)) is not None:
                    self.took_s.append(now_s - sent_s)
        self.changed.set()

    def send(self, channel: str, payload: bytes) -> None:
        self.sends += 1
        topic = f"mg/v1/{self.site}/{channel}".encode()
        number = (self.sends % 65_000 + 2).to_bytes(2, "big")
        body = len(topic).to_bytes(2, "big") + topic + number + payload
        assert self.transport is not None
        self.transport.write(b"\x32" + _length(body) + body)

    async def deliver(self, seq: int, payload: bytes, channel: str) -> None:
        """Until it is stored; spread and jittered, as gateways do."""
        self.said[seq] = time.monotonic()
        wait_s = RESEND_S
        while seq in self.said:
            self.send(channel, payload)
            until_s = time.monotonic() + wait_s * (0.5 + random.random())
            while seq in self.said and (rest_s := until_s - time.monotonic()) > 0:
                self.changed.clear()
                try:
                    async with asyncio.timeout(rest_s):
                        await self.changed.wait()
                except TimeoutError:
                    break
            wait_s = min(wait_s * 2, 300.0)


def _length(body: bytes) -> bytes:
    size, found = len(body), bytearray()
    while True:
        size, digit = size >> 7, size & 0x7F
        found.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(found)


def _packet(data: bytes) -> tuple[int, bytes, int] | None:
    size = shift = 0
    for n in range(1, 5):
        if n >= len(data):
            return None
        size |= (data[n] & 0x7F) << shift
        shift += 7
        if not data[n] & 0x80:
            end = n + 1 + size
            return (data[0], data[n + 1 : end], end) if len(data) >= end else None
    raise ValueError("no MQTT")


def prepare(folder: Path, postgres: Postgres, port: int, homes: list[str]) -> None:
    """A community's database and its configuration, with these homes. Raises RuntimeError."""
    postgres.new_database("community")
    write_config(folder, port, postgres, "community")
    (folder / "homes.csv").write_text("site\n" + "\n".join(homes) + "\n")
    for words in (["init"], ["sites", "add", "--csv", str(folder / "homes.csv")]):
        command = ["--config", str(folder), "fleet", *words, "--output", str(folder / "out")]
        if main(command):
            raise RuntimeError(f"fleet {words[0]} fails")


class Server:
    """Broker, database and two collectors as processes."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self.folder, self.postgres, self.port = folder, postgres, free_port()
        self.broker: subprocess.Popen[bytes] | None = None
        self.collectors: list[subprocess.Popen[bytes]] = []

    def start(self, homes: list[str]) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n")
        self.broker = subprocess.Popen(["mosquitto", "-c", config], stderr=subprocess.DEVNULL)
        prepare(self.folder, self.postgres, self.port, homes)

    def start_collector(self) -> None:
        log = (self.folder / "collector.log").open("ab")
        command = [sys.executable, "-m", "gateway", "--config", str(self.folder), "fleet", "run"]
        self.collectors.append(subprocess.Popen(command, stdout=log, stderr=log))
        while (self.folder / "collector.log").read_text().count("the broker is there") < len(
            self.collectors
        ):
            time.sleep(0.1)

    def stop_collectors(self) -> None:
        for each in self.collectors:
            each.kill()
            each.wait()
        self.collectors.clear()
        (self.folder / "collector.log").unlink(missing_ok=True)

    def end(self) -> None:
        self.stop_collectors()
        if self.broker is not None:
            self.broker.send_signal(signal.SIGTERM)
            self.broker.wait()

    def cpu_s(self) -> dict[str, float]:
        """Of the processor, used so far, by each part."""
        assert self.broker is not None
        return {
            "broker": _cpu_s(self.broker.pid),
            "collectors": sum(_cpu_s(each.pid) for each in self.collectors),
            "database": database_cpu_s(self.postgres),
        }

    def rss_bytes(self) -> int:
        """The most that one collector has had in memory."""
        most = 0
        for each in self.collectors:
            status = Path(f"/proc/{each.pid}/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            most = max(most, int(line.split()[1]) * 1024)
        return most


def database_cpu_s(postgres: Postgres) -> float:
    """Processor time of a database and all its processes, also of those that have ended."""
    assert postgres.process is not None
    pid = postgres.process.pid
    return sum(map(_cpu_s, [pid, *_children(pid)]))


def _cpu_s(pid: int) -> float:
    """Of a process and its children that have ended (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / CLOCK_TICKS


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def connect(port: int, sites: list[str]) -> list[Home]:
    """All homes, some hundred at a time."""
    loop = asyncio.get_running_loop()
    homes = [Home(site) for site in sites]
    for begin in range(0, len(homes), 200):
        some = homes[begin : begin + 200]
        await asyncio.gather(
            *(loop.create_connection(lambda h=home: h, "127.0.0.1", port) for home in some)  # type: ignore[misc]
        )
    await asyncio.sleep(2.0)
    return homes


Closing = dict[str, bytes]


def closing(homes: list[Home], seq: int, slot_s: int) -> Closing:
    """The messages of a slot, by site: made before, for making them is ten thousand boxes' work."""
    return {home.site: payload_of(home.site, seq, [slot_s]) for home in homes}


async def live(homes: list[Home], seq: int, payloads: Closing, spread_s: float) -> list[float]:
    """A slot closes everywhere; how long each took to be acknowledged."""

    async def one(home: Home) -> None:
        await asyncio.sleep(spread_s * random.random())
        await home.deliver(seq, payloads[home.site], "slots")

    before = [len(home.took_s) for home in homes]
    await asyncio.gather(*map(one, homes))
    return sorted(s for home, n in zip(homes, before, strict=True) for s in home.took_s[n:])


async def _live(homes: list[Home], seq: int, slot_s: int, spread_s: float) -> list[float]:
    return await live(homes, seq, closing(homes, seq, slot_s), spread_s)


def parcels_of(homes: list[Home], now_s: int) -> dict[str, list[tuple[int, bytes]]]:
    """A week of each, as its gateway has it ready: making it is not the collector's work."""
    found = {}
    for home in homes:
        found[home.site] = []
        for n in range(WEEK_SLOTS // PARCEL_SLOTS):
            begin_s = now_s - (n + 1) * PARCEL_SLOTS * SLOT_S
            slots_s = [begin_s + k * SLOT_S for k in range(PARCEL_SLOTS)]
            found[home.site].append((1_000 + n, payload_of(home.site, 1_000 + n, slots_s)))
    return found


async def week(homes: list[Home], parcels: dict[str, list[tuple[int, bytes]]]) -> float:
    """Each brings a week; how long that took."""

    async def one(home: Home) -> None:
        for seq, payload in parcels[home.site]:
            await home.deliver(seq, payload, "backlog")

    began_s = time.monotonic()
    await asyncio.gather(*map(one, homes))
    return time.monotonic() - began_s


def plain_loop_s() -> float:
    """Processor time of a loop that takes some 0.07 s where nobody else is at work: by how much
    more, the figures of processor time are too high, and those of a second too low.
    """
    began_s = time.process_time()
    for _ in range(3_000_000):
        pass
    return time.process_time() - began_s


def _p99(values: list[float]) -> float:
    return values[int(len(values) * 0.99)] if values else 0.0


def figures() -> Iterator[Figure]:
    """Raises RuntimeError where something is missing."""
    number = int(os.environ.get("HOMES", "1000"))
    many = int(os.environ.get("BACKLOG", str(number // 10)))
    sites = [f"home-{n}" for n in range(number)]
    with tempfile.TemporaryDirectory() as name, running(DATABASE_OPTIONS) as postgres:
        server = Server(Path(name), postgres)
        try:
            server.start(sites)
            yield from asyncio.run(_measured(server, sites, many))
        finally:
            server.end()


async def _measured(server: Server, sites: list[str], many: int) -> list[Figure]:
    now_s = int(time.time()) // SLOT_S * SLOT_S
    homes = await connect(server.port, sites)
    return [
        *await _a_slot(server, homes, now_s),  # before the database cleans up after so many rows
        *await _backlog(server, homes, many, now_s),
        *await _away(server, homes, now_s),
        *_stored(server, len(sites), many),
    ]


@dataclass(frozen=True, slots=True)
class Drained:
    """What came of a week of some homes, and of a slot of all others meanwhile."""

    rows: int
    took_s: float
    live_p99_s: float
    used_us: str
    """Processor time for a row, by part."""

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.took_s


async def _drain(
    server: Server, some: list[Home], others: list[Home], seq: int, now_s: int
) -> Drained:
    """`others` have their slot `seq` close at that time."""
    parcels = parcels_of(some, now_s - 10 * SLOT_S)
    meanwhile = closing(others, seq, now_s)
    before = server.cpu_s()
    beside = asyncio.create_task(live(others, seq, meanwhile, 5.0))
    took_s = await week(some, parcels)
    live_s = await beside
    used = {part: s - before[part] for part, s in server.cpu_s().items()}
    rows = len(some) * WEEK_SLOTS * 8
    each = ", ".join(f"{part} {s / rows * 1e6:.1f}" for part, s in used.items())
    return Drained(rows, took_s, _p99(live_s), f"processor, µs a row: {each}")


async def _backlog(server: Server, homes: list[Home], many: int, now_s: int) -> list[Figure]:
    """A week of some with one collector, then of as many others with two."""
    server.stop_collectors()
    await asyncio.to_thread(server.start_collector)
    spread_s = SPREAD_S * min(1.0, len(homes) / 10_000)
    await _live(homes, 1, now_s - SLOT_S, spread_s)  # every name is new once
    progress(f"{many} homes, a week each, one collector")
    one = await _drain(server, homes[:many], homes[many:], 3, now_s - 2 * SLOT_S)
    rss_bytes = server.rss_bytes()
    await asyncio.to_thread(server.start_collector)
    progress(f"{many} others, two collectors")
    rest = homes[:many] + homes[2 * many :]
    two = await _drain(server, homes[many : 2 * many], rest, 5, now_s - 4 * SLOT_S)
    loop = f"a plain loop of 0.07 s takes {plain_loop_s():.2f} s"
    return [
        Figure("a week of 1,000 homes, two collectors", two.took_s * 1000 / many, "s", 60.0, "low",
               f"{many} homes, {two.rows:,} rows in {two.took_s:.1f} s; {two.used_us}; {loop}"),
        Figure("live meanwhile, p99", two.live_p99_s, "s", 1.0, "low"),
        Figure("rows a second, one collector", one.rows_per_s, "/s", 40_000, "high", one.used_us),
        Figure("live meanwhile, p99", one.live_p99_s, "s", 1.0, "low"),
        Figure("a collector's memory, at most", rss_bytes / 1e6, "MB", 150.0, "low"),
    ]  # fmt: skip


async def _a_slot(server: Server, homes: list[Home], now_s: int) -> list[Figure]:
    """Two collectors, a slot of all. Both have heard of most homes before."""
    for _ in range(2):
        await asyncio.to_thread(server.start_collector)
    number = len(homes)
    spread_s = SPREAD_S * min(1.0, number / 10_000)
    progress(f"{number} homes, a slot")
    for n in range(WARM_SLOTS):
        await _live(homes, 10 + n, now_s - (5 + n) * SLOT_S, spread_s)
    payloads = closing(homes, 2, now_s)
    before = server.cpu_s()
    took = await live(homes, 2, payloads, spread_s)
    used = {part: s - before[part] for part, s in server.cpu_s().items()}
    beside = ", ".join(f"{part} {s:.2f} s" for part, s in used.items())
    per_10k = sum(used.values()) * 10_000 / number
    loop = f"a plain loop of 0.07 s takes {plain_loop_s():.2f} s"
    middle = f"{number} homes in {spread_s:.0f} s, p50 {took[len(took) // 2]:.3f} s"
    return [
        Figure("a slot published → acknowledged, p99", _p99(took), "s", 1.0, "low", middle),
        Figure("processor for a slot of 10,000 homes", per_10k, "s", 6.0, "low",
               f"{beside}; {loop}"),
    ]  # fmt: skip


async def _away(server: Server, homes: list[Home], now_s: int) -> list[Figure]:
    """No collector while a slot closes, and the broker's own limits."""
    progress("collectors away for a slot")
    spread_s = SPREAD_S * min(1.0, len(homes) / 10_000)
    server.stop_collectors()
    sending = asyncio.create_task(_live(homes, 4, now_s - 3 * SLOT_S, spread_s))
    await asyncio.sleep(spread_s + 1)
    began_s = time.monotonic()
    for _ in range(2):
        await asyncio.to_thread(server.start_collector)
    await sending
    took_s = time.monotonic() - began_s
    return [Figure("complete after collectors were away", took_s, "s", 300.0, "low")]


def _stored(server: Server, number: int, many: int) -> list[Figure]:
    """What is in the database."""
    ((count, days, differing),) = server.postgres.rows(
        "SELECT (SELECT count(*) FROM fleet.asset_slots), (SELECT sum(slots)::int FROM fleet.days),"
        " (SELECT count(*) FROM (SELECT asset, sum(energy_uwh) FROM fleet.asset_slots "
        "GROUP BY asset EXCEPT SELECT asset, sum(energy_uwh) FROM fleet.days GROUP BY asset) d)",
        dbname="community",
    )
    slots = number * (5 + WARM_SLOTS) - 2 * many + 2 * many * WEEK_SLOTS
    lost = slots * 4 - count
    return [
        Figure("rows of assets that are missing", lost, "", 0, "low"),
        Figure("rows that are not counted by day", count - days, "", 0, "low"),
        Figure("assets whose days' sum is another", differing, "", 0, "low"),
    ]
