"""A box that loses its time with every boot, and its meter, over a real buffer file."""

import functools
from pathlib import Path

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.slot import Slot
from gateway.ledger.ledger import Ledger
from gateway.site.config import load
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from gateway.timing.clock import Clock, Sources

NOON_S = 1_800_000_000
"""A slot boundary."""
SLOT_S = 900
INTERVAL_S = 10
HOUR_S = 3600


def site(folder: Path, look_back: str) -> Settings:
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    (folder / "gateway.yaml").write_text(f"site: home-12\nmarket: {{look_back: {look_back}}}\n")
    (folder / "devices/grid.yaml").write_text("profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\n")
    return load(folder)


class Box:
    """A machine whose clock starts wrong with each boot, and its meter: 1 Wh registers, a load that
    changes with the hour. Slots close for good when they end, unless `look_back` says otherwise.
    """

    def __init__(self, folder: Path, look_back: str = "0s") -> None:
        self.settings = site(folder, look_back)
        self.true_s = float(NOON_S)
        self.booted_s = 0.0
        self.wall_off_s = 0.0
        self.synchronised = False
        self.meter_off_s = 0.5
        self.boots = 0
        self.catches_up = True
        """Whether somebody comes to date and fold what was before."""
        self.buffer: Buffer
        self.ledger: Ledger
        self.truth: dict[tuple[str, int], int] = {}
        """When each sample was truly taken (ms), by boot and boot time."""

    def boot(self) -> None:
        self.boots += 1
        self.booted_s = self.true_s
        self.wall_off_s = -5e8 + 1e6 * self.boots
        self.synchronised = False
        self.start()

    def start(self, *, replay: bool = True) -> None:
        boot_id = f"boot-{self.boots}"
        wall = Sources(
            lambda: self.true_s + self.wall_off_s,
            lambda: self.true_s - self.booted_s,
            lambda: self.synchronised,
            lambda: boot_id,
        )
        self.clock = Clock("kernel", wall)
        self.buffer = open_buffer(self.settings.folder / "buffer.sqlite", now_s=self.clock.now_s())
        self.ledger = Ledger(self.settings, self.buffer, self.clock, [])
        if replay:
            self.ledger.replay()

    def synchronise(self) -> None:
        self.wall_off_s, self.synchronised = 0.0, True

    def kill(self) -> None:
        self.buffer.abandon()

    def stop(self) -> None:
        self.ledger.checkpoint()
        self.buffer.close_file()

    def run(self, seconds: float) -> None:
        end_s = self.true_s + seconds
        while self.true_s < end_s:
            self.true_s += INTERVAL_S
            self.read()

    def read(self) -> None:
        """A P1 telegram: the meter tells its own time, too."""
        boottime_ms, utc_ms = self.clock.date(0)
        self.truth[self.clock.boot_id, boottime_ms] = round(self.true_s * 1000)
        values = {
            "energy_import_wh": float(true_uwh(self.true_s) // WH),
            "energy_export_wh": 0.0,
            "power_w": float(power_w(self.true_s)),
        }
        values["meter_utc_s"] = self.true_s + self.meter_off_s
        self._take(Sample("grid", "S", self.clock.boot_id, boottime_ms, utc_ms, values))

    def _take(self, sample: Sample) -> None:
        closed = self.ledger.take(sample)
        if closed:
            self.ledger.commit()
        elif self.catches_up and sample.utc_ms is not None and not self.ledger.caught_up:
            self.ledger.replay()

    def samples(self) -> list[Sample]:
        self.buffer.flush()
        return [sample for _, sample in self.buffer.samples()]

    def slots(self) -> list[Slot]:
        self.buffer.flush()
        return [slot for slot in self.buffer.slots() if slot.direction == "import"]


def power_w(at_s: float) -> int:
    """A different load in each half hour."""
    return 200 + int(at_s // 1800) * 977 % 3000


def true_uwh(at_s: float) -> int:
    """What passed since noon, by the second."""
    halves, rest_s = divmod(int(at_s) - NOON_S, 1800)
    return round((_whole_wh(halves) + power_w(at_s) * rest_s / 3600) * WH)


@functools.cache
def _whole_wh(halves: int) -> float:
    return 5000 + sum(power_w(NOON_S + n * 1800) for n in range(halves)) / 2
