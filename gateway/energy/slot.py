"""What a slot is, and the state of the fold that makes slots of one meter's samples. Pure."""

from collections.abc import Mapping, Set
from fractions import Fraction
from math import hypot
from typing import Literal
from uuid import UUID

import msgspec
from msgspec.structs import replace

from gateway.energy.assets import Direction
from gateway.energy.boundary import Known
from gateway.energy.counter import Counter
from gateway.energy.refinement import Refinement
from gateway.energy.register import Rules
from gateway.energy.uncertainty import Surprise

Quality = Literal["measured", "estimated", "partial", "missing"]
"""measured: samples cover the whole slot. estimated: part of it lies in a gap and was interpolated.
partial: only part of the slot was metered (start, swap, end of a long gap); its energy is right for
that part, and is not delivered. missing: nothing is known.
"""

Method = Literal["counter", "register", "power"]
"""counter: power integrated and held inside the register's step. register: the register alone,
interpolated. power: power alone; the slot is provisional, and will be written anew as a revision
when the register says more.
"""

KNOWN: frozenset[Quality] = frozenset({"measured", "estimated"})
"""The energy of the whole slot is known: it can be delivered, and takes part in an asset's sum."""

Doubt = Literal[
    "register reset",
    "register jumped",
    "register late",
    "clock set back",
    "power disproved",
    "by power alone",
    "uncertain",
    "not read",
    "clock not known",
]
"""Why a slot is estimated. `register reset`: what passed around it is not
known. `register jumped`: it moved by more than can be true. `register late`: it was silent over an
end of the slot. `clock set back`: the slot has energy of a time that came twice. `power disproved`:
the register stands still, is believed, and power contradicts it. `by power alone`: no register will
ever tell. `uncertain`: it may be off by more than a measured slot may (`uncertainty`).
`not read`: samples do not cover it. `clock not known`: samples in it lie between their neighbours,
and no clock said when.
"""

ForecastBy = Literal["", "auto", "last_slot", "yesterday", "last_week"]
"""How a slot was foretold: by what was learned of the asset, or as an earlier slot was."""

BeliefKind = Literal["reset", "jump", "rollover", "rise", "fall"]
"""What a register can be believed to have done, though its readings do not follow each other, or
though nothing but itself speaks for it (`rise`).
"""

DIRECTIONS: tuple[Direction, ...] = ("import", "export")

PROVISIONAL_AFTER_FRACTION = Fraction(1, 10)
"""When the register has not told for this fraction of a slot after the slot's end, the slot is
closed provisionally, by power alone.

Chosen, not measured: early enough for a destination that takes a slot only while the next one runs,
and late enough for a register that is refreshed once a minute.
"""

MAX_REGISTER_SILENCE_FRACTION = Fraction(1, 3)
"""A register that is silent over a boundary for longer than this fraction of a slot leaves the
slots at it less than measured.

Chosen, not measured: registers that come every five minutes still make measured slots of a quarter
of an hour; hourly ones do not.
"""


class Slot(msgspec.Struct, frozen=True):
    """One direction of one meter over [start_s, start_s + length_s), and how it is known. Energies
    are integers in µWh.
    """

    device: str
    serial_number: str | None
    direction: Direction
    start_s: int
    length_s: int
    energy_uwh: int | None
    """None where nothing is known: missing is not zero."""
    quality: Quality
    method: Method
    coverage_permille: int
    """Part of the slot that lies between samples close enough to each other."""
    samples: int
    largest_gap_ms: int
    begin_uwh: int
    """The counter at the start (or at the first sample inside), moved up by what a jump inside the
    slot left unallocated.
    """
    end_uwh: int
    """The counter at the end (or at the last sample inside)."""
    begin_register_uwh: int
    """The meter's register at the last sample at or before the start."""
    end_register_uwh: int
    """The meter's register at the last sample at or before the end."""
    clock: Literal["kernel", "assured", "placed"]
    """Why the clock was believed; `placed`: none was, and some of its samples only lie where they
    must, between their neighbours.
    """
    revision: int = 0
    """How many times the slot was written anew since it was first closed."""
    uncertainty_uwh: int | None = None
    """By how much the energy may be off, either way; None where that, or the energy, is not known.
    """
    imported: bool = False
    """Brought in from elsewhere, and not metered here."""
    doubts: str = ""
    """Why it is estimated, in words, divided by commas (`Doubt`). Empty where it is not, or where
    the version that closed it did not say.
    """


class AssetSlot(msgspec.Struct, frozen=True):
    """One asset over [start_s, start_s + length_s): the sum of its meters' directions. Energies are
    integers in µWh.
    """

    asset: UUID
    start_s: int
    length_s: int
    energy_uwh: int | None
    """The formula's result, negative where the formula says so; None where it is not known."""
    uncertainty_uwh: int | None
    """None where it is not known."""
    quality: Quality
    """The worst of its meters' slots."""
    revision: int = 0
    """How many times it was written anew since it was first closed."""
    imported: bool = False
    """Brought in from elsewhere, and not metered here."""
    forecast_uwh: int | None = None
    """What was expected of it when it began; None: nothing was."""
    forecast_low_uwh: int | None = None
    """It was expected to be less in 10 % of such slots; None: nobody said."""
    forecast_high_uwh: int | None = None
    """It was expected to be more in 10 % of such slots; None: nobody said."""
    forecast_by: ForecastBy = ""
    """How that was foretold; empty where it was not."""


class MeterRules(msgspec.Struct, frozen=True):
    """What the fold must know of one meter. Times are in ms."""

    device: str
    registers: Mapping[Direction, Rules]
    slot_ms: int
    stale_ms: int
    """Samples further apart than this leave a gap: energy in it is interpolated, and the slot is
    estimated.
    """
    max_gap_ms: int
    """Energy of a longer gap, in which neither register nor power was read, is stated as
    unallocated, where the register has moved. At least one slot long. Nor is anything provisional
    for longer.
    """
    invert: bool = False
    clock: Literal["kernel", "assured"] = "kernel"
    look_back_ms: int = 0
    """For so long after its end a slot stays open, while readings say more of where that was. Less
    than a slot.
    """
    says_at_once: bool = False
    """Such a slot is closed at its end all the same, and written anew where that is worth it."""
    tells_more: bool = False
    """Whether the meter tells more than its registers."""

    @property
    def patience_ms(self) -> int:
        """How long after its end a slot waits for the register."""
        return max(int(self.slot_ms * PROVISIONAL_AFTER_FRACTION), self.stale_ms)

    @property
    def late_ms(self) -> int:
        """How long the register may be silent over a boundary before the slots at it are less than
        measured.
        """
        return max(int(self.slot_ms * MAX_REGISTER_SILENCE_FRACTION), self.stale_ms)


# --- the state of the fold ------------------------------------------------------------------------
#
# It is stored as JSON with every slot that closes: the names of the fields are keys in files, and
# `rename` says which key is kept for a field that has a better name here.


class Edge(msgspec.Struct, frozen=True):
    """Where a slot ends, and mostly the next one begins."""

    at_ms: int
    """UTC."""
    counter_uwh: int
    """Where the counter is taken to stand then."""
    register_uwh: int
    """The register at the last reading at or before it."""
    uncertainty_uwh: int | None
    """By how much the truth may be off from the counter there, either way. None: not known."""
    late_uwh: int = 0
    """The same of what passes during a delay that nobody knows: off the same way at every edge."""
    passed_uwh: int | None = None
    """By how much what passed since the slot began may be off. None: only its ends tell."""


class OpenSlot(msgspec.Struct, frozen=True):
    """One direction's slot that has not ended yet."""

    start_ms: int
    from_ms: int
    """Where metering begins: the start, or the first sample."""
    begin_uwh: int
    begin_register_uwh: int
    samples: int = 0
    largest_gap_ms: int = 0
    uncovered_ms: int = 0
    register_only: bool = False
    doubtful: bool = False
    """There was a `Doubt`: all that versions before this one kept of it."""
    doubts: tuple[Doubt, ...] = ()
    """In alphabetical order."""
    placed: bool = False
    """A placed sample has a part in it: it is estimated, and says so."""
    revision: int = 0
    begin_uncertainty_uwh: int | None = None
    """None: the version that opened it did not say."""
    missed_from_ms: int = 0
    """The slots from this start on up to it are missing, and are written with it: the series was
    first taken to begin there. 0: there are none.
    """
    begin_late_uwh: int = 0
    """Of an `Edge`."""
    contradicted_uwh: int = 0
    """What power said while the register stood still and was believed: so much may have flowed."""

    @property
    def begin(self) -> Edge:
        """The edge where metering begins."""
        uncertainty_uwh = self.begin_uncertainty_uwh
        register_uwh = self.begin_register_uwh
        late_uwh = self.begin_late_uwh
        return Edge(self.from_ms, self.begin_uwh, register_uwh, uncertainty_uwh, late_uwh)

    @classmethod
    def after(cls, edge: Edge) -> "OpenSlot":
        """The slot that begins there."""
        return cls(
            edge.at_ms,
            edge.at_ms,
            edge.counter_uwh,
            edge.register_uwh,
            begin_uncertainty_uwh=edge.uncertainty_uwh,
            begin_late_uwh=edge.late_uwh,
        )

    def doubted(self, doubts: Set[Doubt]) -> "OpenSlot":
        """The slot, doubtful for these reasons, or as it was where there are none."""
        if not doubts:
            return self
        return replace(self, doubts=tuple(sorted({*self.doubts, *doubts})))


class Boundary(msgspec.Struct, frozen=True):
    """Where one slot ends and the next begins, as far as that is known."""

    at_ms: int
    """In steady time."""
    counter_uwh: int
    uncertainty_uwh: int
    """Of what the truth is taken to be."""
    is_known: bool = False
    """Whether no later reading says more."""
    late_uwh: int = 0
    passed_uwh: int | None = None
    """Of an `Edge`."""
    off_uwh: int = 0
    """By how much the counter stands above what the truth is taken to be, as an uncertainty is not:
    what is off is made good in the slots after it.
    """
    began: Known | None = None
    """Where the slot that ends there began, if that is known for good."""


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A slot that has ended, and where its end was is not known for good (`look_back`)."""

    slot: OpenSlot
    end_ms: int
    """UTC."""
    register_uwh: int
    """The register at the last reading at or before the end."""
    boundary: Boundary
    said_uwh: int | None = None
    """Where the counter stood then, as the slot was closed at first; None: it was not closed."""
    said_uncertainty_uwh: int = 0

    @property
    def end(self) -> Edge:
        """Its end, as far as it is known. No energy flows back."""
        boundary = self.boundary
        end_uwh = max(boundary.counter_uwh, self.slot.begin_uwh)
        return Edge(
            self.end_ms,
            end_uwh,
            self.register_uwh,
            round(hypot(boundary.uncertainty_uwh, boundary.off_uwh)),
            boundary.late_uwh,
            boundary.passed_uwh,
        )


class Mark(msgspec.Struct, frozen=True, rename={"power_unknown_ms": "dark_ms"}):
    """What power says, at a boundary, of the time since the register last confirmed the counter.
    Files know the last field as `dark_ms`.
    """

    at_ms: int
    """UTC of the boundary."""
    power_uwh: int
    power_unknown_ms: int


class DirectionState(msgspec.Struct, frozen=True):
    """One direction of the series."""

    counter: Counter
    """Its times are steady ones (see MeterState)."""
    slot: OpenSlot
    shift_ms: int = 0
    """UTC of the counter's reading − its steady time. UTC that was booked up to is never left
    backwards by less than a slot.
    """
    placed: bool = False
    """Whether the counter's reading was placed."""
    marks: tuple[Mark, ...] = ()
    """The boundaries that have passed since."""
    provisional_ms: int = 0
    """Slots that end up to then (UTC) have been closed provisionally."""
    source: str = ""
    """Which register is counted (`Rules.source`); empty where the version that left the state did
    not say.
    """
    surprise: Surprise = Surprise()
    refinement: Refinement | None = None
    """What is known of the energy at boundaries that have passed; None: nothing yet."""
    passed: Passed | None = None
    """The slot before the open one, while it is looked back at."""
    former: "Former | None" = None
    """The direction from before the register was said to have been reset or to have jumped, while
    that may yet be taken back.
    """

    @property
    def at_ms(self) -> int:
        """UTC of the counter's reading."""
        return self.counter.at_ms + self.shift_ms

    def counts_another(self, register: Rules, *, widened: bool = False) -> bool:
        """Whether it was counted from another register than this one, by all that is known.
        `widened`: what is read now is a sum of more tariffs than versions took into it that did
        not say what they counted.
        """
        if not register.source:
            return False
        if not self.source and widened:
            return True
        counted = self.source or register.former_source
        return bool(counted) and counted != register.source

    def counting(self, register: Rules) -> "DirectionState":
        """The direction, which says that it counts this one, where it did not say."""
        if self.source or not register.source:
            return self
        return replace(self, source=register.source)


class Former(msgspec.Struct, frozen=True):
    """A direction that waits for its register to come back (`former`)."""

    kind: BeliefKind
    """What its register was said to have done."""
    state: DirectionState
    """The direction as of the last reading before, power having gone on since."""
    returned: int = 0
    """Readings in a row that follow it."""
    shown_uwh: int = 0
    """What the register showed then, as the meter shows it."""
    unallocated_uwh: int = 0
    """What that left unallocated."""
    is_conceded: bool = False
    """Whether nobody believed it, and the counter only went along (`belief.concede`)."""


class MeterState(
    msgspec.Struct,
    frozen=True,
    rename={"candidate_serial": "stranger", "candidate_readings": "strangers"},
):
    """The fold over one series (device, serial number), as of its last sample.

    Two times run side by side. *UTC* says which slot energy belongs to, and steps when the clock is
    set. *Steady time* says how long something lasted: it goes on with CLOCK_BOOTTIME within a boot,
    and with UTC from one boot to the next. It begins as UTC, and is UTC where the clock was never
    set.

    Files know the candidate's fields as `stranger` and `strangers`.
    """

    serial_number: str | None
    at_ms: int
    """UTC of the last sample."""
    slot_ms: int
    directions: dict[Direction, DirectionState]
    candidate_serial: str | None = None
    """Another serial number that the last samples bore, not believed yet."""
    candidate_readings: int = 0
    """How many samples in a row bore it."""
    shift_ms: int = 0
    """UTC − steady time of the last sample."""
    boot_id: str = ""
    """The boot of the last sample; empty where it is not known."""
    boottime_ms: int = 0
    """CLOCK_BOOTTIME of the last sample."""
    changed_after: int = 0
    """The number of the last sample that was read before the meter's profile changed: the register
    is still the one from before in samples up to there. 0: there is none.
    """
    previous: "MeterState | None" = None
    """The series before this one, while its meter may yet come back."""
    missed_from_ms: dict[Direction, int] = {}
    """Directions that the series before had, and whose register this one has not shown yet: from
    which slot on they are missing.
    """

    def elapsed_ms(self, boot_id: str, boottime_ms: int, at_ms: int) -> int:
        """How long after the last sample it is, or one was taken, at `at_ms` (UTC); 0 or less for
        a sample that comes again, or late.
        """
        if boot_id == self.boot_id:
            return boottime_ms - self.boottime_ms

        elapsed_ms = at_ms - self.at_ms
        if elapsed_ms > 0 or not self.boot_id:
            return elapsed_ms
        # After a restart of the machine by a clock that is behind, all that is known is how long it
        # has been running.
        return boottime_ms

    @property
    def is_unsaid(self) -> bool:
        """Whether a version left it that did not say which registers it counted."""
        return any(not each.source for each in self.directions.values())

    def counts_another(self, rules: MeterRules) -> bool:
        """Whether one of its directions was counted from another register than these rules'."""
        return any(
            each.counts_another(rules.registers[direction])
            for direction, each in self.directions.items()
            if direction in rules.registers
        )


class Event(msgspec.Struct, frozen=True):
    """Something a person should know: glitch, rollover, reset, jump, confirmed, swap, profile,
    slots, gap, clock, clash. `energy_uwh` is unallocated energy.
    """

    at_ms: int
    device: str
    kind: str
    text: str
    energy_uwh: int = 0


class Unallocated(msgspec.Struct, frozen=True):
    """Energy of one direction that is in the counter and in no slot. Times are UTC in ms, energies
    µWh.

    It passed between the readings at `from_ms` and `to_ms`; `to_ms` is the earlier one where the
    clock was set back in between. The counter went from `begin_uwh` to `end_uwh` by it. From slot
    to slot of a series the counter goes on where it stood, but for such records.
    """

    device: str
    serial_number: str | None
    direction: Direction
    kind: str
    """The kind of the event that stated it: gap, clock, jump, clash, lost. `start`, of which there
    is no event: what the first step of a register says of where in its step metering began.
    """
    from_ms: int
    to_ms: int
    begin_uwh: int
    end_uwh: int
    is_rest: bool = False
    """Whether it goes on where the record of the same time ended, with no slot in between."""

    @property
    def energy_uwh(self) -> int:
        """How much it is."""
        return self.end_uwh - self.begin_uwh


class TakenBack(msgspec.Struct, frozen=True):
    """What a register was believed to have done, and has not. Of the series and direction, all that
    was booked or stated from `from_uwh` of the counter on is void: it comes anew, with the same
    sample.
    """

    device: str
    serial_number: str | None
    direction: Direction
    at_ms: int
    """UTC of the reading that told."""
    from_uwh: int

    def concerns(self, entry: Slot | Unallocated) -> bool:
        """Whether it is of this series and direction."""
        return (entry.device, entry.serial_number, entry.direction) == (
            self.device,
            self.serial_number,
            self.direction,
        )

    def voids(self, record: Unallocated) -> bool:
        """Whether this energy never was."""
        return self.concerns(record) and record.begin_uwh >= self.from_uwh


class Step(msgspec.Struct, frozen=True):
    """What one sample brought."""

    state: MeterState
    slots: tuple[Slot, ...] = ()
    events: tuple[Event, ...] = ()
    unallocated: tuple[Unallocated, ...] = ()
    provisional: tuple[Slot, ...] = ()
    """Slots that ended a while ago, whose register is not known yet: what power says of them. They
    are not in the books: they will come again, among `slots`, as a later revision.
    """
    taken_back: tuple[TakenBack, ...] = ()
    """To be done before anything else of it is booked: `slots` of what was taken back are written
    over whatever is there.
    """

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to write but the state, which can wait."""
        is_said = self.slots or self.events or self.provisional or self.unallocated
        return not (is_said or self.taken_back)
