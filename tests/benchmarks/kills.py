"""SIGKILL at random moments: real processes on a real file, killed while they open it, take
samples, close slots and deliver them.

The writer is the real ledger and buffer; it tells through a pipe what it was told is committed.
After each kill everything it told must be in the file, the file sound and the books in order; then
the next one goes on from it. The disk's own losses are `power.py`'s.

python -m tests.benchmarks.kills [KILLS [SEED]]     prints how many there were, and each law that
was broken; exit code 1 then
"""

import itertools
import json
import mmap
import os
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NoReturn

from drivers.sample import Sample
from gateway.delivery.kinds import load
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.slot import Slot
from gateway.ledger.audit import audit
from gateway.ledger.ledger import Ledger
from gateway.outbox.item import Item
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer, open_for_reading
from gateway.timing.clock import Clock, Sources
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.site import TWO_ASSETS
from tests.gateway.ledger.home import terms_of

TITLE = "processes killed at random moments, on a real file"

KILLS = 1000
KILLS_A_LIFE = 50
"""Then a new site begins: what is checked after each kill is all that the site holds."""
LONGEST_RUN_S = 0.08
"""Real time from the start of a process to its end. It opens the file, and lives through some
hours.
"""
LONGEST_OFF_MINUTES = 40
UNMADE = "there is nothing in it yet", "older version"
"""What reading says of a file that nobody has had the time to make."""
BEGIN_S = 1_800_000_000
SLOT_MINUTES = 15


@dataclass(slots=True)
class Outcome:
    """What was done, and what was wrong."""

    kills: int = 0
    commits: int = 0
    slots: int = 0
    broken: list[str] = field(default_factory=list)


def figures() -> Iterator[Figure]:
    """Takes some minutes."""
    outcome = kill_often(KILLS, seed=1)
    if not outcome.slots:
        raise RuntimeError("no process lived long enough to close a slot")
    beside = (
        f"{outcome.commits} commits were told of, {outcome.slots} slots; "
        f"{'; '.join(outcome.broken[:3])}"
    ).rstrip("; ")
    yield Figure(
        f"laws broken in {outcome.kills} kills of a process",
        len(outcome.broken),
        "",
        0,
        "low",
        beside,
    )


def kill_often(kills: int, seed: int) -> Outcome:
    """Kill that many processes."""
    rng = Random(seed)
    outcome = Outcome()
    while outcome.kills < kills:
        with tempfile.TemporaryDirectory(prefix="kills-") as folder:
            _one_life(Path(folder), rng, min(KILLS_A_LIFE, kills - outcome.kills), outcome)
        progress(f"kills: {outcome.kills} of {kills}, {len(outcome.broken)} laws broken")
    return outcome


def _one_life(folder: Path, rng: Random, kills: int, outcome: Outcome) -> None:
    settings = _site(folder)
    told: dict[str, dict[str, object]] = {"slots": {}, "accepted": {}, "sample": {}}
    minute = mmap.mmap(-1, 8)
    at = 0
    for _ in range(kills):
        run_s = rng.uniform(0, LONGEST_RUN_S)
        _told(_killed(settings, minute, at, rng.getrandbits(32), run_s), told, outcome)
        outcome.kills += 1
        at = struct.unpack("q", minute[:])[0] + rng.choice(
            [0, 1, rng.randrange(LONGEST_OFF_MINUTES)]
        )
        outcome.broken += [f"kill {outcome.kills}: {what}" for what in _broken(settings, told)]
    # The last one may finish: then the whole of the life must be right to the register's step.
    _told(_killed(settings, minute, at, 0, None), told, outcome)
    outcome.broken += [
        f"at the end: {what}" for what in (*_broken(settings, told), *_wrong_total(settings))
    ]
    with _reading(settings) as buffer:
        outcome.slots += buffer.slot_count


def _site(folder: Path) -> Settings:
    (folder / "devices").mkdir()
    (folder / "gateway.yaml").write_text(TWO_ASSETS)
    (folder / "devices/grid.yaml").write_text(
        "profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\ninterval: 60s\n"
    )
    (folder / "devices/pv.yaml").write_text(
        "profile: eastron/sdm120\nline: serial:/dev/ttyUSB1?baud=9600\naddress: 2\ninterval: 60s\n"
    )
    return load(folder, logins=False)


# --- the process ----------------------------------------------------------------------------------


def _killed(
    settings: Settings, minute: mmap.mmap, at: int, seed: int, run_s: float | None
) -> list[str]:
    """A process that lives for so long; what it told. Without a time it lives for a day, and
    leaves.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _live(
            settings, minute, at, Random(seed), writing, None if run_s is not None else at + 24 * 60
        )
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        if run_s is not None:
            os.set_blocking(reading, False)
            text = _read_for(pipe.buffer.raw.fileno(), run_s)  # type: ignore[attr-defined]
            os.kill(process, signal.SIGKILL)
            os.set_blocking(reading, True)
        else:
            text = b""
        os.waitpid(process, 0)
        text += pipe.buffer.read()
    # A line that is cut off was not told.
    return text.decode().split("\n")[:-1]


def _read_for(number: int, seconds: float) -> bytes:
    """The pipe must not be what stops the process."""
    parts: list[bytes] = []
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        try:
            parts.append(os.read(number, 1 << 16))
        except BlockingIOError:
            time.sleep(min(left_s, 0.001))
    return b"".join(parts)


def _live(
    settings: Settings, minute: mmap.mmap, at: int, rng: Random, pipe: int, until: int | None
) -> NoReturn:
    """One sample a minute of both meters, as fast as it goes."""
    code = 1
    try:
        now = [at]
        sources = Sources(
            utc_s=lambda: BEGIN_S + 60.0 * now[0],
            boottime_s=lambda: 50 + 60.0 * now[0],
            boot_id=lambda: "boot",
        )
        buffer = open_buffer(settings.buffer_path, now_s=BEGIN_S + 60.0 * at)
        assert settings.destinations
        terms = terms_of(settings, buffer)
        ledger = Ledger(settings, buffer, Clock("assured", sources), terms)

        def tell(what: str, keys: list[str]) -> None:
            os.write(pipe, (json.dumps({what: keys}) + "\n").encode())

        ledger.replay()
        for now[0] in itertools.count(at) if until is None else range(at, until):
            minute[:] = struct.pack("q", now[0] + 1)
            for sample in _samples(now[0]):
                if ledger.take(sample):
                    slots = ledger.commit().slots
                    tell("slots", [_name_of(slot) for slot in slots])
            chance = rng.random()
            if chance < 0.2:
                buffer.flush()
                tell("sample", [str(buffer.last_number)])
            elif chance < 0.3:
                now_s = BEGIN_S + 60.0 * now[0]
                items = [
                    owed.item
                    for owed in buffer.outbox("exchange").due(
                        now_s, since_s=None, limit=rng.randrange(1, 20)
                    )
                ]
                buffer.outbox("exchange").record(items, "accepted", "", now_s)
                tell("accepted", [_key(item) for item in items])
            elif chance < 0.31:
                ledger.checkpoint()
                buffer.prune(BEGIN_S + 60.0 * now[0])
        buffer.close_file()
        code = 0
    finally:
        os._exit(code)


def _name_of(slot: Slot) -> str:
    return f"{slot.device} {slot.direction} {slot.start_s} {slot.energy_uwh}"


def _key(item: Item) -> str:
    return f"{item.subject} {item.slot_s} {item.kind} {item.revision}"


def _wh(minute: int) -> int:
    """The register of the grid meter: 3 to 7 Wh a minute."""
    return 3 * minute + 10 * (minute // 5) + sum(range(minute % 5))


def _samples(minute: int) -> Iterator[Sample]:
    grid = {
        "energy_import_wh": float(_wh(minute)),
        "energy_export_wh": 0.0,
        "power_w": 60.0 * (3 + minute % 5),
    }
    pv = {"energy_import_wh": 0.0, "energy_export_wh": float(2 * minute), "power_w": -120.0}
    for name, number, values in (("grid", "A", grid), ("pv", "B", pv)):
        yield Sample(
            name, number, "boot", 50_000 + 60_000 * minute, (BEGIN_S + 60 * minute) * 1000, values
        )


# --- the laws -------------------------------------------------------------------------------------


def _told(lines: list[str], told: dict[str, dict[str, object]], outcome: Outcome) -> None:
    for line in lines:
        for what, keys in json.loads(line).items():
            told[what].update(dict.fromkeys(keys))
            outcome.commits += 1


def _reading(settings: Settings) -> "_Open":
    return _Open(settings)


class _Open:
    """The buffer, as a command reads it."""

    def __init__(self, settings: Settings) -> None:
        self._buffer = open_for_reading(settings.buffer_path)

    def __enter__(self) -> Buffer:
        return self._buffer

    def __exit__(self, *_: object) -> None:
        self._buffer.close_file()


def _broken(settings: Settings, told: dict[str, dict[str, object]]) -> Iterator[str]:
    """What is not in the file although it was told, and what is in it and not right."""
    if not settings.buffer_path.exists() and not any(told.values()):
        return
    try:
        reader = _reading(settings)
    except StoreError as error:
        # Killed before the first commit: there is nothing yet to read.
        if any(told.values()) or not any(words in str(error) for words in UNMADE):
            yield str(error)
        return
    with reader as buffer:
        yield from buffer.damage()
        slots = list(buffer.slots())
        there = {f"{s.device} {s.direction} {s.start_s} {s.energy_uwh}" for s in slots}
        # A later revision of a slot is as good.
        revised = {f"{s.device} {s.direction} {s.start_s}" for s in slots if s.revision}
        lost = [
            key
            for key in told["slots"]
            if key not in there and key.rpartition(" ")[0] not in revised
        ]
        yield from (f"slot {key} was told and is not there" for key in lost)
        owed = list(buffer.owed())
        accepted = {_key(each.item) for each in owed if each.state == "accepted"}
        yield from (
            f"{key} was accepted and is owed again" for key in told["accepted"].keys() - accepted
        )
        last = max((int(key) for key in told["sample"]), default=0)
        if last > buffer.last_number:
            yield f"sample {last} was told and is not there"
        complete = {s.start_s for s in slots if s.device == "grid"} & {
            s.start_s for s in slots if s.device == "pv"
        }
        for asset in settings.assets:
            missing = complete - {
                o.item.slot_s
                for o in owed
                if (o.item.subject, o.item.kind) == (asset.uuid, "measurement")
            }
            yield from (f"nothing is owed for {asset.name}, slot {slot_s}" for slot_s in missing)
        left = [each.what for each in buffer.unallocated()]
        yield from (
            f"{finding.kind}: {finding.text}"
            for finding in audit(slots, owed, left, settings.assets)
        )


def _wrong_total(settings: Settings) -> Iterator[str]:
    """Over the whole life: Σ slots is what the register says, within its step; no slot is
    absent.
    """
    with _reading(settings) as buffer:
        mine = ("grid", "import")
        slots = [slot for slot in buffer.slots() if (slot.device, slot.direction) == mine]
        loose_uwh = sum(
            each.what.energy_uwh
            for each in buffer.unallocated()
            if (each.what.device, each.what.direction) == mine
        )
    first, last = slots[0], slots[-1]
    if len(slots) != (last.start_s - first.start_s) // (60 * SLOT_MINUTES) + 1:
        yield "slots are absent"
    end = (last.start_s - BEGIN_S) // 60 + SLOT_MINUTES
    sum_uwh = sum(slot.energy_uwh or 0 for slot in slots) + loose_uwh
    if sum_uwh != last.end_uwh - first.begin_uwh:
        yield (
            f"the slots add up to {sum_uwh} µWh, and the counter moved by "
            f"{last.end_uwh - first.begin_uwh}"
        )
    if not 0 <= last.end_uwh - _wh(end) * UWH_PER_WH <= UWH_PER_WH:
        yield f"the counter is at {last.end_uwh} µWh, and the register at {_wh(end)} Wh"


if __name__ == "__main__":
    done = kill_often(
        int(sys.argv[1]) if len(sys.argv) > 1 else KILLS,
        seed=int(sys.argv[2]) if len(sys.argv) > 2 else 1,
    )
    print(
        f"{done.kills} kills, {done.commits} commits were told of, {done.slots} slots, "
        f"{len(done.broken)} laws broken"
    )
    print(*done.broken[:20], sep="\n")
    sys.exit(bool(done.broken))
