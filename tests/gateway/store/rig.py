"""What the tests of the store share: a small store, rows for it, and processes that use it."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.slot import (
    Event,
    MeterState,
    Slot,
)
from gateway.outbox.item import Item, Kind
from gateway.outbox.owed import Owed
from gateway.store.buffer import Buffer, Limits
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing

NOW_S = 1_800_000_000
DAY_S = 86_400
ASSETS = [UUID(int=n) for n in range(1, 11)]
EMPTY = MeterState("A", 0, 900_000, {})
SMALL = Limits(reserve_bytes=4096)
"""A reserve of 8 MB for each of hundreds of stores would fill the disk that tests run on."""
IMPORTS = """
import sys
from pathlib import Path
from drivers.sample import Sample
from gateway.store.buffer import *
from gateway.store.opening import *
from gateway.store.rows import Closing
from tests.gateway.store.rig import SMALL
"""


def sample(
    n: int, *, device: str = "grid", utc: bool = True, boot: str = "boot", **values: float
) -> Sample:
    return Sample(
        device,
        "A",
        boot,
        n * 10_000,
        (NOW_S + n * 10) * 1000 if utc else None,
        values or {"energy_import_wh": float(n)},
    )


def slot(start_s: int, device: str = "grid", **changes: Any) -> Slot:
    plain = Slot(
        device,
        "A",
        "import",
        start_s,
        900,
        5,
        "measured",
        "counter",
        1000,
        90,
        10_000,
        0,
        5,
        0,
        0,
        "kernel",
    )
    return replace(plain, **changes)


def owed(
    slot_s: int,
    asset: int = 0,
    *,
    kind: Kind = "measurement",
    opens_s: float = 0,
    closes_s: float | None = None,
    **changes: Any,
) -> Owed:
    plain = Owed(
        Item("exchange", ASSETS[asset], slot_s, kind, 0, 7_000_000),
        900,
        "measured",
        opens_s,
        closes_s,
    )
    return replace(plain, **changes)


def closing(*rows: Slot | Owed | Event, device: str = "grid", number: int = 1) -> Closing:
    return Closing(
        device,
        number,
        EMPTY,
        tuple(row for row in rows if isinstance(row, Slot)),
        tuple(row for row in rows if isinstance(row, Owed)),
        tuple(row for row in rows if isinstance(row, Event)),
    )


def keep(store: Buffer, *rows: Slot | Owed | Event) -> None:
    store.close(closing(*rows))
    store.flush()


def child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A Python of its own that uses the buffer; its output as text."""
    text = IMPORTS + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def filled(path: Path) -> None:
    store = open_buffer(path, SMALL, now_s=NOW_S)
    for n in range(3000):
        store.add(sample(n))
    keep(store, *(slot(n * 900) for n in range(200)), *(owed(n * 900) for n in range(200)))
    store.close_file()
