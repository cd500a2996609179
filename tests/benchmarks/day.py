"""One simulated day of ten meters, fed straight to the ledger and its buffer: run by `writes` as a
process of its own, to be watched.

python -m tests.benchmarks.day FOLDER HOURS FLUSH_S [better | unkept | none | fleet]

prints what it did as JSON. FLUSH_S 0 commits every sample. better: forecasts are made once more
before each slot. unkept: what is learned for them is not written down. none: there are none. fleet:
everything goes to a fleet as well, which says a second later that it is stored.
"""

import json
import math
import random
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args
from uuid import UUID

from drivers.sample import Sample
from gateway.delivery.kinds import load
from gateway.delivery.kinds.exchange import settings_of
from gateway.ledger.housekeeping import GATHER_S
from gateway.ledger.ledger import Ledger
from gateway.outbox.dialect import Dialect
from gateway.outbox.dialects import load_dialect
from gateway.outbox.fleet.shipping import spans_of
from gateway.outbox.item import EXCHANGE
from gateway.outbox.owed import Held
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer, Limits
from gateway.store.opening import open_buffer
from gateway.timing.clock import Clock, Sources
from tests.gateway.ledger.home import terms_of

METERS = 10
INTERVAL_S = 10
SLOT_S = 900
BEGIN_S = 1_750_000_500 // SLOT_S * SLOT_S
CLOSE_TO_DELIVERY_S = 1.5
"""After the end of a slot: when all meters have been read, and the margin is over."""

READ_BACK_S = 100
"""After the end of a slot: when the exchange is asked what it holds of what it accepted before."""

BETTER_S = 50
"""Before the end of a slot: when the next one is forecast once more."""

HOUSEKEEPING_S = 3600

How = Literal["", "better", "unkept", "none", "fleet"]

_SITE = """\
site: bench
exchange: {{dialect: sdk, url: 'http://127.0.0.1:9', canary_network: {network}, credentials: none,
    forecast: {forecast}}}
assets:
{assets}
buffer: {{path: buffer.sqlite}}
clock: {{trust: assured}}
"""


@dataclass(slots=True)
class Day:
    """What was done. Each of the commits asks the disk for one sync."""

    samples: int = 0
    minutes: float = 0
    closing_commits: int = 0
    verdict_commits: int = 0
    written_bytes: int = 0
    rss_bytes: int = 0
    """At its end."""


@dataclass(slots=True)
class Meter:
    """A meter of 1 Wh steps whose power wanders."""

    name: str
    serial_number: str
    rng: random.Random
    energy_wh: float = 1_234_567.0
    power_w: float = 800.0

    def sample(self, boottime_ms: int, utc_ms: int) -> Sample:
        """Ten quantities, as an interval later."""
        self.power_w = min(max(self.power_w + self.rng.gauss(0, 120), 5.0), 6000.0)
        self.energy_wh += self.power_w * INTERVAL_S / 3600
        volt = self.rng.gauss(230, 1.5)
        values = {
            "energy_import_wh": float(math.floor(self.energy_wh)),
            "energy_export_wh": 7654.0,
            "power_w": round(self.power_w, 1),
            "voltage_l1_v": volt,
            "current_l1_a": self.power_w / volt,
            "apparent_power_va": self.power_w / 0.97,
            "reactive_power_var": self.power_w * 0.25,
            "power_factor": 0.97,
            "frequency_hz": self.rng.gauss(50, 0.01),
            "reactive_energy_import_varh": float(math.floor(self.energy_wh / 4)),
        }
        return Sample(self.name, self.serial_number, "bench-boot", boottime_ms, utc_ms, values)


def settings(folder: Path, forecast: str) -> Settings:
    """An ordinary site: what is not said is as it is by default. An asset for each meter."""
    (folder / "devices").mkdir(parents=True)
    assets = "\n".join(
        (
            f"  - {{name: asset {n}, uuid: {UUID(int=n + 1)}, kind: load, energy: m{n}.import - "
            f"m{n}.export}}"
        )
        for n in range(METERS)
    )
    (folder / "gateway.yaml").write_text(
        _SITE.format(network=UUID(int=99), assets=assets, forecast=forecast)
    )
    for n in range(METERS):
        (folder / "devices" / f"m{n}.yaml").write_text(
            f"profile: eastron/sdm120\nline: tcp:127.0.0.1:{5000 + n}\ninterval: {INTERVAL_S}s\n"
        )
    return load(folder, logins=False)


def run(folder: Path, hours: float, flush_s: float, *, how: How = "") -> Day:
    """Feed the samples of so many hours, flush as the daemon does, deliver what is owed as the
    uploader does, and confirm it. `how` is told above.
    """
    site = settings(folder, "none" if how == "none" else "auto")
    day = Day(minutes=hours * 60)
    written_before = _written_bytes()
    now_s = float(BEGIN_S)
    clock = Clock(
        "assured",
        Sources(lambda: now_s, lambda: now_s - BEGIN_S + 100, lambda: True, lambda: "bench-boot"),
    )
    buffer = open_buffer(site.buffer_path, Limits(), now_s=now_s)
    _arrange(buffer, how)
    dialect = _spoken(site)
    ledger = Ledger(site, buffer, clock, terms_of(site, buffer))
    ledger.replay()
    gathered: list[float] = []
    meters = [Meter(f"m{n}", str(190_000 + n), random.Random(n)) for n in range(METERS)]
    flushed_s = delivered_s = now_s
    for tick in range(int(hours * 3600 / INTERVAL_S)):
        due_s = BEGIN_S + tick * INTERVAL_S
        for n, meter in enumerate(meters):
            now_s = due_s + 0.05 + 0.03 * n
            at_ms = round(now_s * 1000)
            if ledger.take(meter.sample(at_ms - BEGIN_S * 1000 + 100_000, at_ms)):
                gathered.append(now_s)
            day.samples += 1
            if not flush_s:
                buffer.flush()
        if gathered:  # all meters have been read within the time that the daemon gathers for
            assert now_s - gathered[0] < GATHER_S
            gathered.clear()
            day.closing_commits += bool(ledger.commit().slots)
            flushed_s = due_s
        now_s = due_s + CLOSE_TO_DELIVERY_S
        if due_s % SLOT_S == 0 and due_s != delivered_s:
            delivered_s = due_s
            day.verdict_commits += _deliver(buffer, dialect, now_s)
        day.verdict_commits += _store(buffer, now_s)
        if due_s % SLOT_S == READ_BACK_S:
            day.verdict_commits += _confirm(buffer, due_s - READ_BACK_S, now_s)
        if how == "better" and due_s % SLOT_S == SLOT_S - BETTER_S:
            better = [ledger.foresee_better(asset.uuid) for asset in site.assets]
            if any(better):
                ledger.commit()
                flushed_s = due_s
                day.verdict_commits += _deliver(buffer, dialect, now_s)
        if flush_s and now_s - flushed_s >= flush_s:
            flushed_s = due_s
            buffer.flush()
        if due_s % HOUSEKEEPING_S == 0:
            ledger.checkpoint()
            buffer.prune(now_s)
    day.rss_bytes = _rss_bytes()
    buffer.close_file()
    day.written_bytes = _written_bytes() - written_before
    return day


def _arrange(buffer: Buffer, how: How) -> None:
    """What is different from other days."""
    if how == "unkept":
        buffer.keep = lambda _: None  # type: ignore[method-assign]  # to see what it costs
    if how == "fleet":
        buffer.tables.changes.join()


def _spoken(site: Settings) -> Dialect:
    exchange = settings_of(site)
    assert exchange is not None
    return load_dialect(exchange.dialect, str(exchange.canary_network), SLOT_S)


def _deliver(buffer: Buffer, dialect: Dialect, now_s: float) -> int:
    """Have the exchange accept all that is due. Returns the number of commits."""
    outbox = buffer.outbox(EXCHANGE)
    owed = [item.item for item in outbox.due(now_s, since_s=None, limit=1000)]
    batches = dialect.encode(owed, "")
    for batch in batches:
        outbox.record(batch.items, "accepted", "", now_s)
    return len(batches)


def _store(buffer: Buffer, now_s: float) -> int:
    """Have the fleet, where there is one, say that all is stored. Returns the number of commits."""
    changes = buffer.tables.changes.newest(1000)
    spans = spans_of(change.seq for change in changes)
    return bool(spans and buffer.tables.changes.stored(spans, now_s))


def _confirm(buffer: Buffer, accepted_before_s: float, now_s: float) -> int:
    """Have the exchange say that it holds what it accepted. Returns the number of commits."""
    outbox = buffer.outbox(EXCHANGE)
    accepted = outbox.unconfirmed(accepted_before_s, since_s=0, limit=1000)
    if accepted:
        outbox.record_held([Held(item, item.energy_uwh) for item in accepted], now_s)
    return bool(accepted)


def _written_bytes() -> int:
    """What this process has caused to be written to block devices (proc(5), /proc/pid/io)."""
    return int(Path("/proc/self/io").read_text().partition("\nwrite_bytes: ")[2].partition("\n")[0])


def _rss_bytes() -> int:
    """What this process has in memory (proc(5), /proc/pid/statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    told = get_args(How)
    assert {*sys.argv[4:]} <= {*told}
    made = run(
        Path(sys.argv[1]),
        float(sys.argv[2]),
        float(sys.argv[3]),
        how=next((each for each in told if each in sys.argv[4:]), ""),
    )
    print(json.dumps(asdict(made)))
