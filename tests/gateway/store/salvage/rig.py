"""What the tests of salvage share: three days of a store, and damage to files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import UUID

from drivers.sample import Sample
from gateway.energy.counter import Counter
from gateway.energy.slot import DirectionState, Event, MeterState, OpenSlot, Slot
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed, State
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing
from tests.gateway.store.rig import SMALL

NOW_S = 1_800_000_000
SLOTS = 160
PAGE = 512
ASSETS = [UUID(int=n) for n in range(1, 4)]


def sample(n: int) -> Sample:
    """One every ten seconds."""
    values = {"energy_import_wh": 1000.0 + n, "power_w": float(n % 700), "voltage_l1_v": 230.0}
    return Sample("grid", "A", "boot", n * 10_000, (NOW_S + n * 10) * 1000, values)


def slot(n: int) -> Slot:
    begin_uwh = 1_000_000_000 + n * 90_000_000
    chain = (begin_uwh, begin_uwh + 90_000_000)
    return Slot(
        "grid",
        "A",
        "import",
        NOW_S + n * 900,
        900,
        90_000_000,
        "measured",
        "counter",
        1000,
        90,
        10_000,
        *chain,
        *chain,
        "kernel",
    )


def owed(n: int, asset: UUID, state: State) -> Owed:
    start_s = NOW_S + n * 900
    item = Item("exchange", asset, start_s, "measurement", 0, 90_000_000)
    decided_s = None if state == "pending" else start_s + 950.0
    return Owed(
        item,
        900,
        "measured",
        start_s + 900.0,
        None,
        state,
        attempts=int(state != "pending"),
        decided_s=decided_s,
    )


def state_after(n: int) -> MeterState:
    """The fold when slot n has closed."""
    last = slot(n)
    at_ms = (last.start_s + 900) * 1000
    counter = Counter(at_ms, last.end_uwh, last.end_uwh, 0, 100.0)
    return MeterState(
        "A",
        at_ms,
        900_000,
        {"import": DirectionState(counter, OpenSlot(at_ms, at_ms, last.end_uwh, last.end_uwh))},
    )


@dataclass(frozen=True, slots=True)
class Content:
    """All that a buffer holds."""

    slots: frozenset[Slot]
    owed: frozenset[Owed]
    samples: dict[int, Sample]
    counters: dict[str, tuple[int, MeterState]]


def content(buffer: Buffer) -> Content:
    return Content(
        frozenset(buffer.slots()),
        frozenset(buffer.owed()),
        dict(buffer.samples()),
        buffer.counters(),
    )


def fill(path: Path) -> Content:
    """Three days of one meter and three assets: samples, slots, what is owed, and events, as they
    come to lie in time.
    """
    store = open_buffer(path, SMALL, now_s=NOW_S)
    for n in range(SLOTS):
        for k in range(90 if n > SLOTS - 30 else 3):
            store.add(sample(n * 90 + k))
        due = tuple(owed(n, asset, "pending" if n > SLOTS - 20 else "accepted") for asset in ASSETS)
        events = (Event((NOW_S + n * 900) * 1000, "grid", "glitch", "seen"),) if n % 10 == 0 else ()
        store.close(Closing("grid", store.last_number, state_after(n), (slot(n),), due, events))
        if n % 20 == 0:
            store.flush()
    store.flush()
    found = content(store)
    store.close_file()
    return found


def noise(data: bytearray, at: int, size: int) -> None:
    data[at : at + size] = Random(at).randbytes(size)


def pages_of(kind: Callable[[bytes], bool], data: bytes) -> list[int]:
    return [at for at in range(PAGE, len(data), PAGE) if kind(data[at : at + PAGE])]
