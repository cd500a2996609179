"""What a row costs a collector and its database: messages as gateways send them, handed to the part
that stores them; a real PostgreSQL, no broker and nobody who waits.

Processor time does not say how long it takes, and is there to be compared where others are at work.
A machine that others keep busy takes half as much again for the same.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.demo_home import free_port
from gateway.fleet.collector import GC_THRESHOLDS, plan_once
from gateway.fleet.database import Connection, connect
from gateway.fleet.inbox import Delivered
from gateway.fleet.settings import load
from gateway.fleet.writing import Taken, Writer
from gateway.outbox.fleet.change import Deliver
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.fleet import (
    DATABASE_OPTIONS,
    PARCEL_SLOTS,
    SLOT_S,
    database_cpu_s,
    payload_of,
    plain_loop_s,
    prepare,
)
from tests.gateway.fleet.postgres import Postgres, running

TITLE = "what a row costs a community's collector and its database"
SLOW = "a minute"

HOMES = 1_000
DRAINING = 60
PARCELS = 5
"""Of a day, of each home that brings its backlog."""
PARCELS_A_COMMIT = 6
HOMES_A_COMMIT = 67
"""Of ten thousand that close a slot within 30 s, one of two collectors gathers as many."""

Message = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time for a row, in µs."""

    rows: int
    database_us: float
    collector_us: float

    @property
    def us(self) -> float:
        return self.database_us + self.collector_us

    def __str__(self) -> str:
        return f"database {self.database_us:.1f}, collector {self.collector_us:.1f}"


def figures() -> Iterator[Figure]:
    """Raises RuntimeError where something is missing."""
    thresholds = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield from _figures()
    finally:
        gc.set_threshold(*thresholds)


def _figures() -> Iterator[Figure]:
    for deliver, who in (("fleet", "the fleet delivers"), ("direct", "gateways deliver")):
        progress(f"fleet_writing: {who}")
        with tempfile.TemporaryDirectory() as name, running(DATABASE_OPTIONS) as postgres:
            backlog, slot, again = asyncio.run(_costs(Path(name), postgres, deliver))  # type: ignore[arg-type]
        loop = f"a plain loop of 0.07 s takes {plain_loop_s():.2f} s"
        yield Figure(f"a row of backlog, {who}: processor time", backlog.us, "µs", 25.0, "low",
                     f"{backlog}; {backlog.rows:,} rows; {loop}")  # fmt: skip
        yield Figure(f"a row of a slot that closes, {who}: processor time", slot.us, "µs", 60.0,
                     "low", f"{slot}; {HOMES_A_COMMIT} homes a commit")  # fmt: skip
        yield Figure(f"a row that is there already, {who}: processor time", again.us, "µs", 50.0,
                     "low", str(again))  # fmt: skip


async def _costs(folder: Path, postgres: Postgres, deliver: Deliver) -> tuple[Cost, Cost, Cost]:
    sites = [f"home-{n}" for n in range(HOMES)]
    await asyncio.to_thread(prepare, folder, postgres, free_port(), sites)
    connection = await connect(load(folder))
    try:
        await plan_once(connection)
        writer = Writer()
        await writer.directory.refresh(connection)
        now_s = int(time.time()) // SLOT_S * SLOT_S

        async def slot(seq: int) -> Cost:
            slots_s = [now_s - seq * SLOT_S]
            messages = [(site, payload_of(site, seq, slots_s, deliver)) for site in sites]
            return await _cost(connection, postgres, writer, messages, HOMES_A_COMMIT)

        await slot(1)  # every name is new once
        parcels = []
        for n in range(PARCELS):
            begin_s = now_s - 10 * SLOT_S - (n + 1) * PARCEL_SLOTS * SLOT_S
            slots_s = [begin_s + k * SLOT_S for k in range(PARCEL_SLOTS)]
            parcels += [
                (site, payload_of(site, 1_000 + n, slots_s, deliver)) for site in sites[:DRAINING]
            ]
        backlog = await _cost(connection, postgres, writer, parcels, PARCELS_A_COMMIT)
        await slot(2)
        closing = await slot(3)
        again = await _cost(connection, postgres, writer, parcels[:DRAINING], PARCELS_A_COMMIT)
        return backlog, closing, again
    finally:
        await connection.close()


async def _cost(
    connection: Connection,
    postgres: Postgres,
    writer: Writer,
    messages: Sequence[Message],
    at_once: int,
) -> Cost:
    rows = writer.counts.rows
    before_s, own_s = database_cpu_s(postgres), time.process_time()
    for begin in range(0, len(messages), at_once):
        batch = [
            taken
            for site, payload in messages[begin : begin + at_once]
            if isinstance(taken := writer.read(Delivered(site, payload, time.time())), Taken)
        ]
        await writer.write(connection, batch)
    own_s, used_s = time.process_time() - own_s, database_cpu_s(postgres) - before_s
    rows = writer.counts.rows - rows
    if not rows:
        raise RuntimeError("nothing was stored")
    return Cost(rows, used_s / rows * 1e6, own_s / rows * 1e6)
