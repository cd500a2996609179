"""Power cuts and kills at random writes: the real ledger and buffer on a simulated disk, their laws
checked after each.

A site of two meters lives on, one sample a minute and slots of 15 minutes, with deliveries,
restarts and housekeeping. At a random operation of the disk (while it opens its file, too) the
power goes or the process is killed. What the daemon had been told was written must then be there;
the books must be those that a run without any disturbance makes of the samples that are there.
"""

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Literal

from msgspec.structs import replace

from drivers.sample import Sample
from gateway.delivery.kinds import load
from gateway.delivery.kinds.exchange import settings_of
from gateway.energy.fold import advance
from gateway.energy.slot import MeterRules, MeterState, Slot, Unallocated
from gateway.ledger.ledger import Committed, Ledger
from gateway.ledger.rules import rules_of
from gateway.outbox.dialects import load_dialect
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed, State
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer, Limits
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer
from gateway.timing.clock import Clock, Sources
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.site import TWO_ASSETS
from tests.gateway.ledger.home import terms_of
from tests.simulation.disk import Disk

TITLE = "power cuts and kills at random writes"

ENDS = 1000
"""Of each kind."""
ENDS_A_LIFE = 10
"""Then a new site begins: what is checked after each end is all that the site holds."""

End = Literal["power cut", "kill"]

BEGIN_S = 1_800_000_000
INTERVAL_S = 60
SLOT_S = 900
LONGEST_OFF_S = 3000
"""Of the machine, after a power cut."""


def site(folder: Path) -> Settings:
    """Two meters, two assets."""
    (folder / "devices").mkdir()
    (folder / "gateway.yaml").write_text(TWO_ASSETS)
    for n, name in enumerate(("grid", "pv")):
        (folder / f"devices/{name}.yaml").write_text(
            f"profile: eastron/sdm120\nline: tcp:127.0.0.1:{5000 + n}\ninterval: {INTERVAL_S}s\n"
        )
    return load(folder, logins=False)


@dataclass(slots=True)
class Meter:
    """A meter as it truly counts. Energies in W·s."""

    power_w: float
    import_ws: float = 5_000 * 3600.0
    export_ws: float = 700 * 3600.0

    def go_on(self, elapsed_s: float, rng: Random) -> None:
        """Some time later."""
        self.power_w = min(max(self.power_w + rng.gauss(0, 300), -4000.0), 6000.0)
        if self.power_w > 0:
            self.import_ws += self.power_w * elapsed_s
        else:
            self.export_ws -= self.power_w * elapsed_s

    def shows(self) -> dict[str, float]:
        """What it says."""
        return {
            "energy_import_wh": self.import_ws // 3600,
            "energy_export_wh": self.export_ws // 3600,
            "power_w": self.power_w,
        }


@dataclass(slots=True)
class Told:
    """What the daemon has been told was written."""

    samples: dict[int, Sample] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)
    owed: list[Owed] = field(default_factory=list)
    verdicts: dict[Item, State] = field(default_factory=dict)


Key = tuple[str, str | None, str, int]


def key(slot: Slot) -> Key:
    """What a slot is found by, whatever its revision."""
    return slot.device, slot.serial_number, slot.direction, slot.start_s


@dataclass(slots=True)
class Undisturbed:
    """The books of a run that nothing ever happened to."""

    number: int = 0
    """Of the last sample it has seen."""
    states: dict[str, MeterState] = field(default_factory=dict)
    begins_uwh: dict[tuple[str, str], int] = field(default_factory=dict)
    """Where the counter of each meter's direction began."""
    slots: dict[Key, Slot] = field(default_factory=dict)
    """Each in its newest revision."""
    unallocated: list[Unallocated] = field(default_factory=list)

    def go_on(self, samples: Mapping[int, Sample], rules: Mapping[str, MeterRules]) -> None:
        """With the samples that are new to it."""
        for number in sorted(number for number in samples if number > self.number):
            self.number, sample = number, samples[number]
            step = advance(self.states.get(sample.device), sample, rules[sample.device])
            self.states[sample.device] = step.state
            for slot in (
                *step.slots,
                *(slot for slot in step.provisional if key(slot) not in self.slots),
            ):
                if key(slot) not in self.slots or slot.revision > self.slots[key(slot)].revision:
                    self.slots[key(slot)] = slot
            for left in step.unallocated:
                self._leave(left)
            for name, each in step.state.directions.items():
                self._begin(sample.device, name, each.slot.begin_uwh)

    def _begin(self, device: str, direction: str, begin_uwh: int) -> None:
        """Where a series begins is known once a slot is closed, or something is unallocated."""
        found = (*self.slots.values(), *self.unallocated)
        if not any((each.device, each.direction) == (device, direction) for each in found):
            self.begins_uwh[device, direction] = begin_uwh

    def _leave(self, left: Unallocated) -> None:
        """What goes on where a gap ended is a part of that record."""
        for n, gap in enumerate(self.unallocated):
            rest = replace(gap, kind=left.kind, begin_uwh=gap.end_uwh, end_uwh=left.end_uwh)
            if left.is_rest and replace(rest, is_rest=True) == left:
                self.unallocated[n] = replace(gap, end_uwh=left.end_uwh)
                return
        self.unallocated.append(replace(left, is_rest=False))


class Life:
    """One site, and what it goes through."""

    def __init__(self, settings: Settings, disk: Disk, seed: int) -> None:
        exchange = settings_of(settings)
        assert exchange is not None
        self.rng = Random(seed)
        self.told = Told()
        self.violations: list[str] = []
        self.ends = 0
        self._settings = settings
        self._path = Path(disk.folder) / "buffer.sqlite"
        self._disk = disk
        self._dialect = load_dialect("sdk", str(exchange.canary_network), SLOT_S)
        self._rules: Mapping[str, MeterRules] = {}
        self._meters = {"grid": Meter(800.0), "pv": Meter(-500.0)}
        self._now_s = self._boot_s = float(BEGIN_S)
        self._boots = 0
        self._opened: list[Buffer] = []
        self._undisturbed = Undisturbed()
        self._added: dict[int, Sample] = {}
        """Samples that no flush has written yet."""
        self._adrift: list[tuple[int, Sample]] = []
        """Samples that were waiting, or being written, at an end."""
        self._in_flight: list[tuple[Item, State]] = []
        """Verdicts that were being written then."""

    def endure(self, end: End) -> None:
        """Live on until a random operation of the disk, end there, and look whether everything is
        right (now and then only after the next end).
        """
        rng = self.rng
        self._disk.stop_at(
            self._disk.writes + rng.randint(1, rng.choice((30, 300, 1500))), lambda: None
        )
        try:
            self._start()
            while not self._disk.off:
                self._step()
        except StoreError as error:
            if not self._disk.off:
                self.violations.append(
                    f"the disk refused although nothing was wrong with it: {error}"
                )
                self._disk.stop_at(None, lambda: None)
        if end == "kill":
            self._kill()
            off_s = 5
        else:
            self._disk.cut_power(rng)
            self._kill()
            off_s = rng.randint(10, LONGEST_OFF_S)
        self.ends += 1
        self._adrift += self._added.items()
        self._added = {}
        for meter in self._meters.values():
            meter.go_on(off_s, rng)
        self._now_s += off_s
        if end == "power cut":
            self._boots += 1
            self._boot_s = self._now_s - 5
        if rng.random() < 0.7:
            self.check()

    # --- the daemon -------------------------------------------------------------------------------

    def _start(self) -> None:
        boot_id, boot_s = f"boot-{self._boots}", self._boot_s
        self._clock = Clock(
            "assured",
            Sources(
                lambda: self._now_s, lambda: self._now_s - boot_s, lambda: True, lambda: boot_id
            ),
        )
        self._buffer = open_buffer(self._path, Limits(), now_s=self._now_s)
        self._opened.append(self._buffer)
        terms = terms_of(self._settings, self._buffer)
        self._ledger = Ledger(self._settings, self._buffer, self._clock, terms)
        self._rules = rules_of(self._settings, terms)
        self._ledger.replay()
        self._flushed()

    def _committed(self, what: Committed) -> None:
        """Slots and what is owed for them have been written."""
        self.told.slots += what.slots
        self.told.owed += what.owed
        self._flushed()

    def _flushed(self) -> None:
        self.told.samples.update(self._added)
        self._added.clear()

    def _step(self) -> None:
        """A minute of the daemon's life. Raises StoreError."""
        rng = self.rng
        self._now_s = (
            self._now_s // INTERVAL_S * INTERVAL_S + INTERVAL_S + rng.choice((0.0, 0.05, 2.3))
        )
        for name, meter in self._meters.items():
            meter.go_on(INTERVAL_S, rng)
            values = meter.shows()
            boottime_ms, utc_ms = self._clock.date(0.0)
            sample = Sample(name, "S", self._clock.boot_id, boottime_ms, utc_ms, values)
            self._added[self._buffer.last_number + 1] = sample
            if self._ledger.take(sample):
                self._committed(self._ledger.commit())
        match rng.choices(
            ("flush", "deliver", "housekeeping", "restart", "nothing"), (30, 15, 3, 2, 50)
        )[0]:
            case "flush":
                self._buffer.flush()
                self._flushed()
            case "deliver":
                self._deliver()
            case "housekeeping":
                self._ledger.checkpoint()
                self._buffer.prune(self._now_s)
                self._flushed()
            case "restart":
                self._ledger.checkpoint()
                self._buffer.close_file()
                self._flushed()
                self._start()

    def _deliver(self) -> None:
        due = [
            owed.item
            for owed in self._buffer.outbox("exchange").due(self._now_s, since_s=None, limit=10)
        ]
        if due:
            state: State = self.rng.choice(("accepted", "accepted", "rejected"))
            self._in_flight += [(item, state) for item in due]
            self._buffer.outbox("exchange").record(due, state, "", self._now_s)
            self.told.verdicts.update(dict.fromkeys(due, state))

    # --- the laws ---------------------------------------------------------------------------------

    def check(self) -> None:
        """Start the daemon, note what is wrong, and kill it again."""
        try:
            with contextlib.closing(sqlite3.connect(self._path)) as db:
                if (found := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                    raise sqlite3.DatabaseError(found)
            buffer = open_buffer(self._path, Limits(), now_s=self._now_s)
            self._opened.append(buffer)
            self._check_what_was_told(
                dict(buffer.samples()), list(buffer.slots()), list(buffer.owed())
            )
            self._kill()
            self._start()
            self._buffer.flush()
            self._check_books(
                dict(self._buffer.samples()),
                list(self._buffer.slots()),
                list(self._buffer.owed()),
                self._buffer.counters(),
            )
        except (StoreError, sqlite3.Error) as error:
            self._wrong(f"the file is damaged: {error}")
        self._kill()

    def _kill(self) -> None:
        """Nothing is left of the process; in ours, its connection is closed, and can write nothing
        any more.
        """
        self._disk.kill()
        while self._opened:
            self._opened.pop().abandon()
        self._disk.revive()

    def _wrong(self, text: str) -> None:
        self.violations.append(f"end {self.ends}: {text}")

    def _check_what_was_told(
        self, samples: dict[int, Sample], slots: list[Slot], owed: list[Owed]
    ) -> None:
        """What was committed is there; what is there beyond it was at least under way."""
        if lost := [n for n, s in self.told.samples.items() if samples.get(n) != s]:
            self._wrong(f"samples are lost or changed: {lost}")
        if strange := [
            n for n in samples if n not in self.told.samples and (n, samples[n]) not in self._adrift
        ]:
            self._wrong(f"samples were never added: {strange}")
        revisions = {key(slot): slot.revision for slot in slots}
        if gone := [
            slot
            for slot in self.told.slots
            if slot not in slots and revisions.get(key(slot), -1) <= slot.revision
        ]:
            self._wrong(f"slots are lost or changed: {gone}")
        states = {each.item: each.state for each in owed}
        if forgotten := [each.item for each in self.told.owed if each.item not in states]:
            self._wrong(f"what is owed is forgotten: {forgotten}")
        if undone := [
            item for item, state in self.told.verdicts.items() if states.get(item) != state
        ]:
            self._wrong(f"verdicts are lost: {undone}")
        decided: dict[Item, State] = {
            item: state for item, state in states.items() if state in ("accepted", "rejected")
        }
        if invented := [
            item
            for item in decided
            if item not in self.told.verdicts and (item, decided[item]) not in self._in_flight
        ]:
            self._wrong(f"nobody gave these verdicts: {invented}")
        self.told.verdicts = decided
        self.told.samples, self._adrift, self._in_flight = samples, [], []

    def _check_books(
        self,
        samples: dict[int, Sample],
        slots: list[Slot],
        owed: list[Owed],
        counters: dict[str, tuple[int, MeterState]],
    ) -> None:
        """The books are those of an undisturbed run over the same samples."""
        undisturbed = self._undisturbed
        undisturbed.go_on(samples, self._rules)
        if {key(slot): slot for slot in slots} != undisturbed.slots or len(
            undisturbed.slots
        ) != len(slots):
            self._wrong(
                "the slots are not those of the samples: "
                f"{set(undisturbed.slots.values()) ^ set(slots)}"
            )
        if [left.what for left in self._buffer.unallocated()] != undisturbed.unallocated:
            self._wrong(
                f"what is unallocated is not what the samples say: {undisturbed.unallocated}"
            )
        if {device: state for device, (_, state) in counters.items()} != undisturbed.states:
            self._wrong("the folds are not where the samples end")
        for device, state in undisturbed.states.items():
            for direction, each in state.directions.items():
                booked_uwh = each.counter.counter_uwh - each.slot.begin_uwh
                booked_uwh += sum(
                    slot.energy_uwh or 0
                    for slot in slots
                    if (slot.device, slot.direction) == (device, direction)
                )
                unallocated = [
                    left
                    for left in undisturbed.unallocated
                    if (left.device, left.direction) == (device, direction)
                ]
                booked_uwh += sum(left.end_uwh - left.begin_uwh for left in unallocated)
                moved_uwh = each.counter.counter_uwh - undisturbed.begins_uwh[device, direction]
                if booked_uwh != moved_uwh:
                    self._wrong(
                        f"{device} {direction}: {booked_uwh} µWh are booked, the counter moved "
                        f"by {moved_uwh}"
                    )
                step_uwh = (
                    self._rules[device].registers[direction].step_uwh(each.counter.register_uwh)
                )
                if not 0 <= each.counter.counter_uwh - each.counter.register_uwh <= step_uwh:
                    self._wrong(f"{device} {direction}: the counter has left the register's step")
        self._check_owed(slots, [each for each in owed if each.item.kind == "measurement"])

    def _check_owed(self, slots: list[Slot], owed: list[Owed]) -> None:
        known = {(slot.device, slot.direction, slot.start_s): slot for slot in slots}
        expected: dict[tuple[str, int], int | None] = {}
        for asset in self._settings.assets:
            for start_s in {slot.start_s for slot in slots}:
                parts = {
                    (t.device, t.direction): known.get((t.device, t.direction, start_s))
                    for t in asset.energy.terms
                }
                if None not in parts.values():
                    whole = all(
                        slot is not None and slot.quality in ("measured", "estimated")
                        for slot in parts.values()
                    )
                    energies = {
                        name: slot.energy_uwh or 0
                        for name, slot in parts.items()
                        if slot is not None
                    }
                    expected[str(asset.uuid), start_s] = (
                        max(asset.energy.total(energies), 0) if whole else None
                    )
        # Of each the newest revision; they come in that order.
        newest = {(str(o.item.subject), o.item.slot_s): o for o in owed}
        found = {
            name: None if o.state == "missed" else o.item.energy_uwh for name, o in newest.items()
        }
        if found != expected or len({o.item for o in owed}) != len(owed):
            self._wrong(
                "what is owed is not what the slots say: "
                f"{sorted(found.items() ^ expected.items(), key=str)}"
            )


def lives(
    ends: int, kinds: Callable[[Random], End], *, seed: int = 1, lying: bool = False
) -> Iterator[Life]:
    """So many ends, a new site after every few."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = site(folder)
        for number in range((ends + ENDS_A_LIFE - 1) // ENDS_A_LIFE):
            home = folder / str(number)
            home.mkdir()
            with Disk(home) as disk:
                disk.lying = lying
                life = Life(settings, disk, seed * 1_000_003 + number)
                while (
                    life.ends < min(ENDS_A_LIFE, ends - number * ENDS_A_LIFE)
                    and not life.violations
                ):
                    life.endure(kinds(life.rng))
                life.check()
            yield life


def figures() -> Iterator[Figure]:
    """Takes a minute or two."""
    for end in ("power cut", "kill"):
        began_s = perf_counter()
        done = samples = slots = 0
        violations: list[str] = []
        for life in lives(ENDS, lambda _, end=end: end):  # type: ignore[misc]
            done += life.ends
            samples += len(life.told.samples)
            slots += len(life.told.slots)
            violations += life.violations
            progress(f"power: {done} of {ENDS} {end}s")
        for text in violations[:5]:
            progress(f"power: {text}")
        beside = f"{samples} samples, {slots} slots, {perf_counter() - began_s:.0f} s"
        yield Figure(f"violations in {done} {end}s", len(violations), "", 0, "low", beside)
