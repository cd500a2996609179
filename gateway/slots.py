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
    """The counter at the start (or at the first sample inside)."""
    end_uwh: int
    """The counter at the end (or at the last sample inside)."""
    begin_register_uwh: int
    """The meter's register at the last sample at or before the start."""
    end_register_uwh: int
    """The meter's register at the last sample at or before the end."""
    clock: Literal["kernel", "assured"]
    """Why the clock was believed."""


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


@dataclass(frozen=True, slots=True)
class DirectionState:
    """One direction of the series."""

    counter: Counter
    slot: OpenSlot


@dataclass(frozen=True, slots=True)
class MeterState:
    """The fold over one series (device, serial number), as of its last sample."""

    serial_number: str | None
    at_ms: int
    slot_ms: int
    directions: dict[Direction, DirectionState]
    stranger: str | None = None
    """Another serial number that the last samples bore, not believed yet."""
    strangers: int = 0
    """How many samples in a row bore it."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person should know: glitch, rollover, reset, jump, swap, gap, clash. `energy_uwh` is unallocated energy."""

    at_ms: int
    device: str
    kind: str
    text: str
    energy_uwh: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What one sample brought."""

    state: MeterState
    slots: tuple[Slot, ...] = ()
    events: tuple[Event, ...] = ()


def advance(state: MeterState | None, sample: Sample, rules: MeterRules) -> Step:
    """One sample further. `sample.utc_ms` must be known.

    A sample that is not after the last one (the clock was set back) changes nothing: registers are cumulative, so its energy arrives
    with the next sample that is. So it is for a direction whose register the sample lacks, or whose register is not believed. A meter is
    believed to have been replaced once `counter.CONFIRMATIONS` samples in a row bear the same other serial number.
    """
    at_ms = sample.utc_ms
    assert at_ms is not None, "an undated sample cannot be placed in a slot"
    if state is None:
        return Step(_begin(sample, at_ms, rules))
    if at_ms <= state.at_ms:
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
    slots: list[Slot] = []
    events: list[Event] = []
    directions: dict[Direction, DirectionState] = {}
    series = replace(state, serial_number=state.serial_number or sample.serial_number)
    for direction, register in rules.registers.items():
        old = state.directions.get(direction)
        raw_uwh, power_w = _shown(sample, direction, rules)
        if old is None:
            if raw_uwh is not None:
                directions[direction] = _open(counting.start(at_ms, raw_uwh, power_w), at_ms, rules)
            continue
        held = at_ms - old.counter.at_ms > rules.stale_ms
        counter, finding = counting.advance(old.counter, register, at_ms=at_ms, raw_uwh=raw_uwh, power_w=power_w, held=held)
        if finding:
            events.append(Event(at_ms, rules.device, finding.kind, f"{direction}: {finding.text}", finding.unallocated_uwh))
        if counter.at_ms == old.counter.at_ms:
            directions[direction] = DirectionState(counter, old.slot)
            continue
        slot, closed_slots, event = _place(old, counter, series, direction, rules)
        slots.extend(closed_slots)
        if event:
            events.append(event)
        directions[direction] = DirectionState(counter, slot)
    return Step(MeterState(series.serial_number, at_ms, rules.slot_ms, directions), tuple(slots), tuple(events))


def _swapped(state: MeterState, sample: Sample) -> bool:
    return None not in (state.serial_number, sample.serial_number) and state.serial_number != sample.serial_number


def _begin(sample: Sample, at_ms: int, rules: MeterRules) -> MeterState:
    directions: dict[Direction, DirectionState] = {}
    for direction in rules.registers:
        raw_uwh, power_w = _shown(sample, direction, rules)
        if raw_uwh is not None:
            directions[direction] = _open(counting.start(at_ms, raw_uwh, power_w), at_ms, rules)
    return MeterState(sample.serial_number, at_ms, rules.slot_ms, directions)


def _open(counter: Counter, at_ms: int, rules: MeterRules) -> DirectionState:
    slot = OpenSlot(at_ms - at_ms % rules.slot_ms, at_ms, counter.counter_uwh, counter.register_uwh, samples=1)
    return DirectionState(counter, slot)


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


def _place(
    old: DirectionState, counter: Counter, series: MeterState, direction: Direction, rules: MeterRules
) -> tuple[OpenSlot, list[Slot], Event | None]:
    """Put the energy between two samples into slots."""
    gap_ms = counter.at_ms - old.counter.at_ms
    # A register that has not moved tells that nothing passed, however long nobody read it: an inverter sleeps at night.
    still = counter.register_uwh == old.counter.register_uwh and gap_ms <= MAX_MISSING * rules.slot_ms
    if gap_ms > rules.max_gap_ms and not still:
        return _skip(old, counter, series, direction, rules)
    slots: list[Slot] = []
    slot = old.slot
    at_ms = old.counter.at_ms
    register_only = counter.power_w is None or old.counter.power_w is None or gap_ms > rules.stale_ms
    while (end_ms := slot.start_ms + rules.slot_ms) <= counter.at_ms:
        end_uwh = _between(old.counter, counter, end_ms)
        slot = _spend(slot, end_ms - at_ms, gap_ms, rules, register_only)
        exact = counter if end_ms == counter.at_ms else old.counter
        slots.append(_closed(slot, end_ms, end_uwh, exact.register_uwh, series, direction, rules))
        slot = OpenSlot(end_ms, end_ms, end_uwh, exact.register_uwh)
        at_ms = end_ms
    if counter.at_ms > at_ms:
        slot = _spend(slot, counter.at_ms - at_ms, gap_ms, rules, register_only)
    return replace(slot, samples=slot.samples + 1), slots, None


def _between(a: Counter, b: Counter, at_ms: int) -> int:
    """The counter at a time between two samples."""
    return a.counter_uwh + (b.counter_uwh - a.counter_uwh) * (at_ms - a.at_ms) // (b.at_ms - a.at_ms)


def _spend(slot: OpenSlot, part_ms: int, gap_ms: int, rules: MeterRules, register_only: bool) -> OpenSlot:
    """Note that a part of the slot lies between two samples `gap_ms` apart."""
    return replace(
        slot,
        largest_gap_ms=max(slot.largest_gap_ms, gap_ms),
        uncovered_ms=slot.uncovered_ms + (part_ms if gap_ms > rules.stale_ms else 0),
        register_only=slot.register_only or register_only,
    )


def _closed(
    slot: OpenSlot, end_ms: int, end_uwh: int, end_register_uwh: int, series: MeterState, direction: Direction, rules: MeterRules
) -> Slot:
    metered_ms = end_ms - slot.from_ms
    whole = metered_ms == rules.slot_ms
    return Slot(
        device=rules.device,
        serial_number=series.serial_number,
        direction=direction,
        start_s=slot.start_ms // 1000,
        length_s=rules.slot_ms // 1000,
        energy_uwh=end_uwh - slot.begin_uwh if metered_ms else None,
        quality="missing" if not metered_ms else "partial" if not whole else "estimated" if slot.uncovered_ms else "measured",
        method="register" if slot.register_only or not metered_ms else "counter",
        coverage_permille=(metered_ms - slot.uncovered_ms) * 1000 // rules.slot_ms,
        samples=slot.samples,
        largest_gap_ms=slot.largest_gap_ms,
        begin_uwh=slot.begin_uwh,
        end_uwh=end_uwh,
        begin_register_uwh=slot.begin_register_uwh,
        end_register_uwh=end_register_uwh,
        clock=rules.clock,
    )


def _close_early(state: MeterState, rules: MeterRules) -> Iterator[Slot]:
    """What was metered of the open slots, up to the last sample."""
    then = replace(rules, slot_ms=state.slot_ms)
    for direction, each in state.directions.items():
        if each.slot.samples or each.slot.from_ms < each.counter.at_ms:
            yield _closed(each.slot, each.counter.at_ms, each.counter.counter_uwh, each.counter.register_uwh, state, direction, then)


def _skip(
    old: DirectionState, counter: Counter, series: MeterState, direction: Direction, rules: MeterRules
) -> tuple[OpenSlot, list[Slot], Event]:
    """After a gap too long to place its energy: a partial slot before, missing ones inside, a partial one after."""
    before = old.counter
    slots = [_closed(old.slot, before.at_ms, before.counter_uwh, before.register_uwh, series, direction, rules)]
    first_ms = old.slot.start_ms + rules.slot_ms
    after = _open(counter, counter.at_ms, rules).slot
    missing = range(first_ms, after.start_ms, rules.slot_ms)
    for start_ms in missing[:MAX_MISSING]:
        empty = OpenSlot(start_ms, start_ms, before.counter_uwh, before.register_uwh, largest_gap_ms=counter.at_ms - before.at_ms)
        slots.append(_closed(empty, start_ms, before.counter_uwh, before.register_uwh, series, direction, rules))
    energy_uwh = counter.counter_uwh - before.counter_uwh
    hours = (counter.at_ms - before.at_ms) / 3_600_000
    text = f"{direction}: no reading for {hours:.1f} h, {len(missing)} slots missing, {energy_uwh / UWH_PER_WH:.3f} Wh unallocated"
    return after, slots, Event(counter.at_ms, rules.device, "gap", text, energy_uwh)
