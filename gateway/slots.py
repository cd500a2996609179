"""Samples of one meter → energy per market slot. Pure: a fold that can run again over the same samples and give the same slots.

    advance(state, sample) -> (state, closed slots, findings)

For every direction of a series, over any run of slots: Σ slot energy + Σ unallocated energy = change of the counter, exactly.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from drivers.sample import Sample
from gateway import counter as counting
from gateway.assets import Direction
from gateway.counter import UWH_PER_WH, Counter, Rules

Quality = Literal["measured", "estimated", "partial", "missing"]
"""measured: samples cover the whole slot. estimated: part of it lies in a gap and was interpolated. partial: only part of the slot was
metered (start, swap, end of a long gap); its energy is right for that part, and is not delivered. missing: nothing is known."""

Method = Literal["counter", "register"]
"""counter: power integrated and held inside the register's step. register: the register alone, interpolated."""

DIRECTIONS: tuple[Direction, ...] = ("import", "export")

MAX_MISSING = 3000
"""At most this many slots (31 days of 15 minutes) are written down as missing after one gap; the event tells the whole of it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One direction of one meter over [start_s, start_s + length_s), and how it is known. Energies are integers in µWh."""

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
    """The counter at the start (or at the first sample inside), moved up by what a jump inside the slot left unallocated."""
    end_uwh: int
    """The counter at the end (or at the last sample inside)."""
    begin_register_uwh: int
    """The meter's register at the last sample at or before the start."""
    end_register_uwh: int
    """The meter's register at the last sample at or before the end."""
    clock: Literal["kernel", "assured", "placed"]
    """Why the clock was believed; `placed`: none was, and some of its samples only lie where they must, between their neighbours."""
    revision: int = 0
    """How many times the slot was written anew since it was first closed."""


@dataclass(frozen=True, slots=True)
class MeterRules:
    """What the fold must know of one meter. Times are in ms."""

    device: str
    registers: Mapping[Direction, Rules]
    slot_ms: int
    stale_ms: int
    """Samples further apart than this leave a gap: energy in it is interpolated, and the slot is estimated."""
    max_gap_ms: int
    """Energy of a longer gap is stated as unallocated, where the register has moved. At least one slot long."""
    invert: bool = False
    clock: Literal["kernel", "assured"] = "kernel"


@dataclass(frozen=True, slots=True)
class OpenSlot:
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
    """The slot is estimated although samples cover it: the clock was set back over it, or the register jumped in it."""
    placed: bool = False
    """A placed sample has a part in it: it is estimated, and says so."""


@dataclass(frozen=True, slots=True)
class DirectionState:
    """One direction of the series."""

    counter: Counter
    """Its times are steady ones (see MeterState)."""
    slot: OpenSlot
    shift_ms: int = 0
    """UTC of the counter's reading − its steady time. UTC that was booked up to is never left backwards by less than a slot."""
    placed: bool = False
    """Whether the counter's reading was placed."""


@dataclass(frozen=True, slots=True)
class MeterState:
    """The fold over one series (device, serial number), as of its last sample.

    Two times run side by side. *UTC* says which slot energy belongs to, and steps when the clock is set. *Steady time* says how long
    something lasted: it goes on with CLOCK_BOOTTIME within a boot, and with UTC from one boot to the next. It begins as UTC, and is UTC
    where the clock was never set.
    """

    serial_number: str | None
    at_ms: int
    """UTC of the last sample."""
    slot_ms: int
    directions: dict[Direction, DirectionState]
    stranger: str | None = None
    """Another serial number that the last samples bore, not believed yet."""
    strangers: int = 0
    """How many samples in a row bore it."""
    shift_ms: int = 0
    """UTC − steady time of the last sample."""
    boot_id: str = ""
    """The boot of the last sample; empty where it is not known."""
    boottime_ms: int = 0
    """CLOCK_BOOTTIME of the last sample."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person should know: glitch, rollover, reset, jump, swap, gap, clock, clash. `energy_uwh` is unallocated energy."""

    at_ms: int
    device: str
    kind: str
    text: str
    energy_uwh: int = 0


@dataclass(frozen=True, slots=True)
class Unallocated:
    """Energy of one direction that is in the counter and in no slot. Times are UTC in ms, energies µWh.

    It passed between the readings at `from_ms` and `to_ms`; `to_ms` is the earlier one where the clock was set back in between.
    """

    device: str
    serial_number: str | None
    direction: Direction
    kind: str
    """The kind of the event that stated it: gap, clock, jump, clash."""
    from_ms: int
    to_ms: int
    begin_uwh: int
    end_uwh: int

    @property
    def energy_uwh(self) -> int:
        """How much it is."""
        return self.end_uwh - self.begin_uwh


@dataclass(frozen=True, slots=True)
class Step:
    """What one sample brought."""

    state: MeterState
    slots: tuple[Slot, ...] = ()
    events: tuple[Event, ...] = ()
    unallocated: tuple[Unallocated, ...] = ()


class _Series:
    """One series while one sample is folded in: whose it is, and what it brings."""

    __slots__ = ("events", "placed", "rules", "serial_number", "slots", "unallocated")

    def __init__(self, serial_number: str | None, rules: MeterRules, *, placed: bool) -> None:
        self.serial_number = serial_number
        self.rules = rules
        self.placed = placed
        self.slots: list[Slot] = []
        self.events: list[Event] = []
        self.unallocated: list[Unallocated] = []

    def step(self, state: MeterState) -> Step:
        return Step(state, tuple(self.slots), tuple(self.events), tuple(self.unallocated))


def advance(state: MeterState | None, sample: Sample, rules: MeterRules) -> Step:
    """One sample further. `sample.utc_ms` must be known.

    A sample that comes again changes nothing. While the clock shows a time again that it has been set back over, by up to a slot, energy
    goes to the slot that is open, which is estimated then. Where the clock was set back, or forward, by more than a slot, the open slot
    ends as a partial one and metering begins anew at the new time; what passed between the two samples is unallocated. A slot that comes
    a second time that way is for the books to refuse (`clash`): what is closed stays.

    A direction whose register the sample lacks, or whose register is not believed, stays as it was; its energy arrives with the register.
    A meter is believed to have been replaced once `counter.CONFIRMATIONS` samples in a row bear the same other serial number.
    """
    at_ms = sample.utc_ms
    assert at_ms is not None, "an undated sample cannot be placed in a slot"
    if state is None:
        return Step(_begin(sample, at_ms, rules))
    elapsed_ms = _elapsed_ms(state, sample, at_ms)
    if elapsed_ms <= 0:
        return Step(state)
    if _swapped(state, sample):
        strangers = state.strangers + 1 if sample.serial_number == state.stranger else 1
        if strangers < counting.CONFIRMATIONS:
            return Step(replace(state, stranger=sample.serial_number, strangers=strangers))
    if _swapped(state, sample) or state.slot_ms != rules.slot_ms:
        closed = tuple(_close_early(state, rules))
        what = "slot length changed" if state.slot_ms != rules.slot_ms else f"meter {state.serial_number} was replaced"
        swap = Event(at_ms, rules.device, "swap", f"{what}; a new series begins with {sample.serial_number or 'this sample'}")
        return Step(_begin(sample, at_ms, rules), closed, (swap,))
    steady_ms = state.at_ms - state.shift_ms + elapsed_ms
    directions: dict[Direction, DirectionState] = {}
    series = _Series(state.serial_number or sample.serial_number, rules, placed=sample.placed)
    for direction, register in rules.registers.items():
        old = state.directions.get(direction)
        raw_uwh, power_w = _shown(sample, direction, rules)
        if old is None:
            if raw_uwh is not None:
                directions[direction] = _open(counting.start(steady_ms, raw_uwh, power_w), at_ms, rules, placed=sample.placed)
            continue
        held = steady_ms - old.counter.at_ms > rules.stale_ms
        counter, finding = counting.advance(old.counter, register, at_ms=steady_ms, raw_uwh=raw_uwh, power_w=power_w, held=held)
        jump_uwh = 0
        if finding:
            jump_uwh = finding.unallocated_uwh
            series.events.append(Event(at_ms, rules.device, finding.kind, f"{direction}: {finding.text}", jump_uwh))
        if counter.at_ms == old.counter.at_ms:
            directions[direction] = replace(old, counter=counter)
        else:
            directions[direction] = _place(old, counter, at_ms, jump_uwh, direction, series)
    return series.step(
        MeterState(
            serial_number=series.serial_number,
            at_ms=at_ms,
            slot_ms=rules.slot_ms,
            directions=directions,
            shift_ms=at_ms - steady_ms,
            boot_id=sample.boot_id,
            boottime_ms=sample.boottime_ms,
        )
    )


def _elapsed_ms(state: MeterState, sample: Sample, at_ms: int) -> int:
    """How long after the last sample this one was taken; 0 or less for one that comes again, or late."""
    if sample.boot_id == state.boot_id:
        return sample.boottime_ms - state.boottime_ms
    elapsed_ms = at_ms - state.at_ms
    # After a restart of the machine by a clock that is behind, all that is known is how long it has been running.
    return elapsed_ms if elapsed_ms > 0 or not state.boot_id else sample.boottime_ms


def _swapped(state: MeterState, sample: Sample) -> bool:
    return None not in (state.serial_number, sample.serial_number) and state.serial_number != sample.serial_number


def _begin(sample: Sample, at_ms: int, rules: MeterRules) -> MeterState:
    directions: dict[Direction, DirectionState] = {}
    for direction in rules.registers:
        raw_uwh, power_w = _shown(sample, direction, rules)
        if raw_uwh is not None:
            directions[direction] = _open(counting.start(at_ms, raw_uwh, power_w), at_ms, rules, placed=sample.placed)
    return MeterState(sample.serial_number, at_ms, rules.slot_ms, directions, boot_id=sample.boot_id, boottime_ms=sample.boottime_ms)


def _open(counter: Counter, at_ms: int, rules: MeterRules, *, placed: bool) -> DirectionState:
    """Metering begins at a reading, at this UTC."""
    slot = OpenSlot(at_ms - at_ms % rules.slot_ms, at_ms, counter.counter_uwh, counter.register_uwh, samples=1, placed=placed)
    return DirectionState(counter, slot, at_ms - counter.at_ms, placed)


def _shown(sample: Sample, direction: Direction, rules: MeterRules) -> tuple[int | None, float | None]:
    """Register (µWh) and power (W, ≥ 0) of one direction, as the meter shows them."""
    register = rules.registers[direction]
    if rules.invert:
        direction = "export" if direction == "import" else "import"
    wh = sample.values.get(f"energy_{direction}_wh")
    power_w = sample.values.get(f"power_{direction}_w")
    if power_w is None and (net_w := sample.values.get("power_w")) is not None:
        power_w = max(net_w if direction == "import" else -net_w, 0.0)
    return None if wh is None else register.exact_uwh(round(wh * UWH_PER_WH)), power_w


def _place(old: DirectionState, counter: Counter, at_ms: int, jump_uwh: int, direction: Direction, series: _Series) -> DirectionState:
    """Put the energy between two readings, of which the second was taken at this UTC, into slots; but for a jump, which is in none."""
    rules = series.rules
    before_ms = old.counter.at_ms + old.shift_ms
    passed_ms = counter.at_ms - old.counter.at_ms
    calm = counter
    if jump_uwh:
        calm = replace(counter, counter_uwh=counter.counter_uwh - jump_uwh)
        end_uwh = old.counter.counter_uwh + jump_uwh
        series.unallocated.append(_left(series, direction, "jump", before_ms, at_ms, old.counter.counter_uwh, end_uwh))
    set_forward_ms = at_ms - before_ms - passed_ms
    # A register that has not moved tells that nothing passed, however long nobody read it: an inverter sleeps at night.
    still = counter.register_uwh == old.counter.register_uwh and passed_ms <= MAX_MISSING * rules.slot_ms
    if set_forward_ms > rules.slot_ms or before_ms - at_ms > rules.slot_ms:
        new = _skip(old, calm, at_ms, jump_uwh, "clock", direction, series)
    elif max(at_ms - before_ms, passed_ms) > rules.max_gap_ms and not still:
        new = _skip(old, calm, at_ms, jump_uwh, "gap", direction, series)
    else:
        new = _fill(old, calm, at_ms, direction, series)
    if jump_uwh:
        slot = replace(new.slot, begin_uwh=new.slot.begin_uwh + jump_uwh, doubtful=True)
        new = replace(new, counter=counter, slot=slot)
    return new


def _fill(old: DirectionState, counter: Counter, at_ms: int, direction: Direction, series: _Series) -> DirectionState:
    """Put the energy between two readings into slots, evenly by UTC."""
    rules = series.rules
    begin_ms = old.counter.at_ms + old.shift_ms
    until_ms = max(at_ms, begin_ms)
    gap_ms = max(until_ms - begin_ms, counter.at_ms - old.counter.at_ms)
    moved_uwh = counter.counter_uwh - old.counter.counter_uwh
    register_only = counter.power_w is None or old.counter.power_w is None or gap_ms > rules.stale_ms
    placed = old.placed or series.placed
    slot = replace(old.slot, placed=old.slot.placed or placed)
    from_ms = begin_ms
    while (end_ms := slot.start_ms + rules.slot_ms) <= until_ms:
        end_uwh = old.counter.counter_uwh + moved_uwh * (end_ms - begin_ms) // (until_ms - begin_ms)
        slot = _spend(slot, end_ms - from_ms, gap_ms, rules, register_only)
        exact = counter if end_ms == until_ms else old.counter
        series.slots.append(_closed(slot, end_ms, end_uwh, exact.register_uwh, direction, series.serial_number, rules))
        slot = OpenSlot(end_ms, end_ms, end_uwh, exact.register_uwh, placed=placed)
        from_ms = end_ms
    if counter.at_ms > old.counter.at_ms:
        slot = _spend(slot, until_ms - from_ms, gap_ms, rules, register_only)
    doubtful = slot.doubtful or until_ms - at_ms > rules.stale_ms
    slot = replace(slot, samples=slot.samples + 1, doubtful=doubtful)
    return DirectionState(counter, slot, until_ms - counter.at_ms, series.placed)


def _spend(slot: OpenSlot, part_ms: int, gap_ms: int, rules: MeterRules, register_only: bool) -> OpenSlot:
    """Note that a part of the slot lies between two samples `gap_ms` apart."""
    return replace(
        slot,
        largest_gap_ms=max(slot.largest_gap_ms, gap_ms),
        uncovered_ms=slot.uncovered_ms + (part_ms if gap_ms > rules.stale_ms else 0),
        register_only=slot.register_only or register_only,
    )


def _closed(
    slot: OpenSlot, end_ms: int, end_uwh: int, end_register_uwh: int, direction: Direction, serial_number: str | None, rules: MeterRules
) -> Slot:
    metered_ms = end_ms - slot.from_ms
    whole = metered_ms == rules.slot_ms
    # Where the clock was set back, energy may have come while its time stood still.
    known = metered_ms > 0 or end_uwh > slot.begin_uwh
    sure = not slot.uncovered_ms and not slot.doubtful and not slot.placed
    return Slot(
        device=rules.device,
        serial_number=serial_number,
        direction=direction,
        start_s=slot.start_ms // 1000,
        length_s=rules.slot_ms // 1000,
        energy_uwh=end_uwh - slot.begin_uwh if known else None,
        quality="missing" if not known else "partial" if not whole else "measured" if sure else "estimated",
        method="register" if slot.register_only or not known else "counter",
        coverage_permille=(metered_ms - slot.uncovered_ms) * 1000 // rules.slot_ms,
        samples=slot.samples,
        largest_gap_ms=slot.largest_gap_ms,
        begin_uwh=slot.begin_uwh,
        end_uwh=end_uwh,
        begin_register_uwh=slot.begin_register_uwh,
        end_register_uwh=end_register_uwh,
        clock="placed" if slot.placed else rules.clock,
    )


def _close_early(state: MeterState, rules: MeterRules) -> Iterator[Slot]:
    """What was metered of the open slots, up to the last sample."""
    then = replace(rules, slot_ms=state.slot_ms)
    for direction, each in state.directions.items():
        end_ms = each.counter.at_ms + each.shift_ms
        if each.slot.samples or each.slot.from_ms < end_ms:
            yield _closed(each.slot, end_ms, each.counter.counter_uwh, each.counter.register_uwh, direction, state.serial_number, then)


def _skip(
    old: DirectionState, counter: Counter, at_ms: int, jump_uwh: int, kind: str, direction: Direction, series: _Series
) -> DirectionState:
    """Where the energy between two readings has no place: a partial slot before, missing ones inside, a partial one after."""
    rules = series.rules
    before = old.counter
    before_ms = before.at_ms + old.shift_ms
    if at_ms > before_ms or old.slot.from_ms < before_ms:
        closed = _closed(old.slot, before_ms, before.counter_uwh, before.register_uwh, direction, series.serial_number, rules)
        series.slots.append(closed)
    first_ms = old.slot.start_ms + rules.slot_ms
    after = _open(counter, at_ms, rules, placed=series.placed)
    missing = range(first_ms, after.slot.start_ms, rules.slot_ms)
    for start_ms in missing[:MAX_MISSING]:
        empty = OpenSlot(start_ms, start_ms, before.counter_uwh, before.register_uwh, largest_gap_ms=at_ms - before_ms)
        series.slots.append(_closed(empty, start_ms, before.counter_uwh, before.register_uwh, direction, series.serial_number, rules))
    begin_uwh = before.counter_uwh + jump_uwh
    left = _left(series, direction, kind, before_ms, at_ms, begin_uwh, counter.counter_uwh + jump_uwh)
    series.unallocated.append(left)
    if kind == "clock":
        set_ms = at_ms - before_ms - (counter.at_ms - before.at_ms)
        what = f"the clock was set {'back' if set_ms < 0 else 'forward'} by {abs(set_ms) / 3_600_000:.2f} h"
    else:
        what = f"no reading for {(at_ms - before_ms) / 3_600_000:.1f} h"
    text = f"{direction}: {what}, {len(missing)} slots missing, {left.energy_uwh / UWH_PER_WH:.3f} Wh unallocated"
    series.events.append(Event(at_ms, rules.device, kind, text, left.energy_uwh))
    return after


def _left(series: _Series, direction: Direction, kind: str, from_ms: int, to_ms: int, begin_uwh: int, end_uwh: int) -> Unallocated:
    return Unallocated(series.rules.device, series.serial_number, direction, kind, from_ms, to_ms, begin_uwh, end_uwh)
