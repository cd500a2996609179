"""What a run has left: what the gateway wrote down, beside what truly happened.

The database is read here with SQL of its own: a judge must not trust the code that it judges.
"""

import math
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from uuid import UUID

from gateway.energy.assets import Direction, Formula
from gateway.energy.belief import DOUBT_W
from gateway.energy.booking import MAX_MISSING
from gateway.energy.counter import UWH_PER_WH
from gateway.ledger.rules import meter_rules
from tests.simulation.home import ASSETS
from tests.simulation.result import RunResult
from tests.simulation.truth import MJ_PER_WH, TrueMeter

_UWH_PER_MJ = UWH_PER_WH / MJ_PER_WH


@dataclass(frozen=True, slots=True)
class Booked:
    """One row of `slots`."""

    device: str
    serial_number: str
    direction: Direction
    start_s: int
    length_s: int
    energy_uwh: int | None
    quality: str
    largest_gap_ms: int
    begin_uwh: int
    end_uwh: int
    end_register_uwh: int
    clock: str


class Books:
    """What the gateway wrote down."""

    def __init__(self, run: RunResult) -> None:
        self.run = run
        path = run.settings.buffer_path
        db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        db.row_factory = sqlite3.Row
        db.create_function("uuid_text", 1, lambda value: str(UUID(bytes=value)))
        try:
            self.integrity: str = db.execute("PRAGMA integrity_check").fetchone()[0]
            names = ", ".join(Booked.__dataclass_fields__)
            sql = f"SELECT {names} FROM slots ORDER BY device, direction, start_s, begin_uwh"
            self.slots = [Booked(**dict(row)) for row in db.execute(sql)]
            self.outbox: list[Any] = list(
                db.execute(
                    "SELECT uuid_text(subject) AS asset, * FROM outbox "
                    "WHERE destination = 'exchange' AND kind = 'measurement' "
                    "ORDER BY slot_s, subject, revision"
                )
            )
            self.fees: list[Any] = list(
                db.execute("SELECT uuid_text(market) AS market_text, * FROM grid_fees")
            )
            self.unallocated: list[Any] = list(db.execute("SELECT * FROM unallocated"))
            self.events: list[tuple[str, float]] = [
                (row["kind"], row["at_s"]) for row in db.execute("SELECT kind, at_s FROM events")
            ]
            self.samples: list[Any] = list(
                db.execute(
                    "SELECT boots.boot_id, placed, boottime_ms, utc_ms FROM samples JOIN boots "
                    "ON samples.boot = boots.id"
                )
            )
        finally:
            db.close()
        scenario = run.scenario
        self.slot_s = int(scenario.slot)
        # An undated number that is sent inside slot n + 1 is booked to n + 2.
        self.held_later_s = 0 if scenario.dialect == "sdk" else 2 * self.slot_s
        self.rules = {
            device.name: meter_rules(device, run.settings) for device in run.settings.devices
        }
        placed = (
            row
            for row in self.samples
            if row["placed"] and row["utc_ms"] is not None and row["boot_id"] in run.boots
        )
        off_ms = (
            abs(row["utc_ms"] - row["boottime_ms"] - run.boots[row["boot_id"]].booted_ms)
            for row in placed
        )
        self.placed_off_ms = max(off_ms, default=0)
        """How far samples are from where they were taken whose boot never knew the time."""

    @property
    def names(self) -> dict[str, str]:
        """The assets' names, by what the outbox calls them."""
        return {str(uuid): name for name, uuid in self.run.assets.items()}

    def starts_s(self, first_s: int, end_s: int) -> Iterator[int]:
        """The starts of all slots from the first one on. One in which gateway.yaml was given
        another length of slots is none: it ends early, or begins late.
        """
        changes = [*self.run.faults.slots_of, (math.inf, self.slot_s)]
        start_s, length_s = first_s, self.slot_s
        for at_s, next_length_s in changes:
            while start_s < end_s and start_s + length_s <= at_s:
                yield start_s
                start_s += length_s
            if at_s < end_s:
                start_s, length_s = math.ceil(at_s / next_length_s) * next_length_s, next_length_s

    def here(self, there: UUID) -> UUID:
        """Under which UUID the gateway keeps what has that one at the exchange."""
        return self.run.assets[self.run.faults.known_there[there]]

    def held(self) -> dict[UUID, dict[int, int]]:
        """What the exchange holds, under whichever UUID, by asset and start of the slot."""
        booked = self.run.exchange.books
        dated = self.run.scenario.dialect == "sdk"
        found: dict[UUID, dict[int, int]] = {uuid: {} for uuid in self.run.assets.values()}
        for there, values in (booked.measurements if dated else booked.undated).items():
            found[self.here(there)] |= values
        return found

    @property
    def lost_s(self) -> float:
        """When the database was last damaged or deleted."""
        return max(self.run.faults.lost_store_ms, default=-1) / 1000

    @property
    def fees_lost_s(self) -> float:
        """What was kept of fees before that may be gone, by damage or an old copy."""
        return max(self.lost_s, *(ms / 1000 for _, ms in self.run.faults.restored_ms), -1)

    @property
    def wrong_ms(self) -> int:
        """How wrong the clock was at most while it was called right."""
        return max((ms for _, ms in self.run.faults.untrue_ms), default=0)

    def step_uwh(self, slot: Booked) -> int:
        return self.rules[slot.device].registers[slot.direction].step_uwh(slot.end_register_uwh)

    def tolerance_uwh(self, slot: Booked) -> float:
        """What a slot may be off by: a step of the register, and what flowed between the readings
        around its ends.

        Where the meter was made to lie in it, also what flowed while its register was not believed,
        and what may be switched on and off unseen (`belief.DOUBT_W`) between two readings; where
        it says that some of its samples only lie where they must, also what flowed in the time by
        which they lie elsewhere than they were taken. What flowed while a register stood still may
        be in any slot of that time.
        """
        meter = self.run.meters[slot.device]
        ends_ms = slot.start_s * 1000, (slot.start_s + slot.length_s) * 1000
        around_ms = (
            slot.largest_gap_ms
            + self.wrong_ms
            + (self.placed_off_ms if slot.clock == "placed" else 0)
        )
        unsure_uwh = sum(
            energy_uwh(meter, slot.direction, end - around_ms, end + around_ms) for end in ends_ms
        )
        lies = [
            at
            for at in self.run.faults.register_faults_ms.get(slot.device, ())
            if ends_ms[0] - around_ms <= at <= ends_ms[1] + around_ms
        ]
        if lies:
            unsure_uwh += energy_uwh(
                meter, slot.direction, ends_ms[0] - around_ms, ends_ms[1] + around_ms
            )
            # A wrong reading that a load switched on and off between two readings could explain is
            # nothing that anybody could doubt.
            unsure_uwh += DOUBT_W * self.run.scenario.interval * 1000 / 3.6
        for begin_ms, end_ms in self.run.faults.pauses_ms.get(slot.device, ()):
            if begin_ms <= ends_ms[1] + around_ms and ends_ms[0] - around_ms <= end_ms:
                unsure_uwh += energy_uwh(meter, slot.direction, begin_ms, end_ms)
        return 2 * self.step_uwh(slot) + unsure_uwh

    def flowed_uwh(self, device: str, direction: Direction) -> tuple[float, float]:
        """What flowed through a meter from beginning to end, and by how much more may be stated:
        two steps of the register, and for each time that it was made to lie two more, and what may
        be switched on and off unseen between two readings.
        """
        meter = self.run.meters[device]
        rules = self.rules[device].registers[direction]
        lies = len(self.run.faults.register_faults_ms.get(device, ()))
        step_uwh = rules.step_uwh(self.widest_uwh(device, direction))
        unseen_uwh = DOUBT_W * self.run.scenario.interval * 1000 / 3.6
        begin_ms = meter.home.origin_s * 1000
        flowed_uwh = energy_uwh(meter, direction, begin_ms, self.run.end_ms)
        return flowed_uwh, 2 * step_uwh * (1 + lies) + lies * unseen_uwh

    def zero_since_s(self, asset: str) -> float:
        """Since when a meter of an asset has shown 0 because it was reset, and nothing has flowed:
        a total that falls to 0 is no total, so nothing is said of it before more than 0 is shown.
        """
        since_s = math.inf
        for device in meters_of(asset):
            reset_ms = self.run.faults.reset_ms.get(device)
            if reset_ms is None:
                continue
            meter, rules = self.run.meters[device], self.rules[device].registers
            seen_ms = self.run.end_ms - round(3 * self.run.scenario.interval * 1000)
            if all(
                energy_uwh(meter, direction, reset_ms, seen_ms) < rules[direction].step_uwh(0)
                for direction in rules
            ):
                since_s = min(since_s, reset_ms / 1000)
        return since_s

    def untold_s(self, asset: str) -> Iterator[range]:
        """Times of which not every missing slot is written down: after so many of a meter the event
        tells the rest (`booking.MAX_MISSING`).
        """
        for device in meters_of(asset):
            slots = [
                slot for slot in self.slots if (slot.device, slot.direction) == (device, "import")
            ]
            missing = 0
            for slot, after in pairwise(sorted(slots, key=lambda slot: slot.start_s)):
                missing = missing + 1 if slot.quality == "missing" else 0
                if missing >= MAX_MISSING:
                    yield range(slot.start_s + self.slot_s, after.start_s)

    def widest_uwh(self, device: str, direction: Direction) -> int:
        """The highest that its register stood."""
        mine = (s for s in self.slots if (s.device, s.direction) == (device, direction))
        return max(slot.end_register_uwh for slot in mine)

    def true_uwh(self, slot: Booked) -> float:
        meter = self.run.meters[slot.device]
        return energy_uwh(
            meter, slot.direction, slot.start_s * 1000, (slot.start_s + slot.length_s) * 1000
        )


def meters_of(asset: str) -> set[str]:
    return {term.device for term in Formula.parse(ASSETS[asset][1]).terms}


def energy_uwh(meter: TrueMeter, direction: Direction, from_ms: int, to_ms: int) -> float:
    return (meter.energy_mj(direction, to_ms) - meter.energy_mj(direction, from_ms)) * _UWH_PER_MJ


def wh_text(uwh: float) -> str:
    return f"{uwh / UWH_PER_WH:.3f} Wh"
