"""Samples of one meter → energy per market slot. Pure: a fold that can run again over the same
samples and give the same slots.

    advance(state, sample) -> (state, closed slots, findings)

For every direction of a series, over any run of slots: Σ slot energy + Σ unallocated energy =
change of the counter, exactly.
"""

import dataclasses
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial

from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy import counter as counting
from gateway.energy.assets import Direction
from gateway.energy.counter import UWH_PER_WH, Counter, Since
from gateway.energy.slot import (
    DirectionState,
    Event,
    Mark,
    MeterRules,
    MeterState,
    OpenSlot,
    Slot,
    Step,
    Unallocated,
)

MAX_MARKS = 96
"""So many boundaries are remembered while a register is silent; beyond, every second one is
interpolated.
"""

MOST_WH = 1e12
"""No register of a home shows more."""

MAX_MISSING = 3000
"""At most this many slots (31 days of 15 minutes) are written down as missing after one gap; the
event tells the whole of it.
"""


class _Series:
    """One series while one sample is folded in: whose it is, and what it brings."""

    __slots__ = (
        "events",
        "placed",
        "provisional",
        "rules",
        "serial_number",
        "slots",
        "unallocated",
    )

    def __init__(self, serial_number: str | None, rules: MeterRules, *, placed: bool) -> None:
        self.serial_number = serial_number
        self.rules = rules
        self.placed = placed
        self.slots: list[Slot] = []
        self.events: list[Event] = []
        self.unallocated: list[Unallocated] = []
        self.provisional: list[Slot] = []

    def booked(self) -> int:
        """How many things were written that say where the counter stood."""
        return len(self.slots) + len(self.provisional) + len(self.unallocated)

    def step(self, state: MeterState) -> Step:
        return Step(
            state,
            tuple(self.slots),
            tuple(self.events),
            tuple(self.unallocated),
            tuple(self.provisional),
        )


def advance(state: MeterState | None, sample: Sample, rules: MeterRules) -> Step:
    """One sample further. `sample.utc_ms` must be known.

    A sample that comes again changes nothing. While the clock shows a time again that it has been
    set back over, by up to a slot, energy goes to the slot that is open, which is estimated then.
    Where the clock was set back, or forward, by more than a slot, the open slot ends as a partial
    one and metering begins anew at the new time; what passed between the two samples is
    unallocated. A slot that comes a second time that way is for the books to refuse (`clash`): what
    is closed stays.

    A direction whose register does not vouch for the counter (`counter.read`) closes no slot. Its
    energy arrives with the register, and is spread over the time as power was, or evenly where
    power is not known either. Until then slots that power covers are `provisional`. A meter is
    believed to have been replaced once `counter.CONFIRMATIONS` samples in a row bear the same other
    serial number. When the old one comes back within the longest gap, its series goes on.
    """
    at_ms = sample.utc_ms
    assert at_ms is not None, "an undated sample cannot be placed in a slot"
    if state is None:
        return Step(_begin(sample, at_ms, rules))
    elapsed_ms = _elapsed_ms(state, sample, at_ms)
    if elapsed_ms <= 0:
        return Step(state)
    if _swapped(state, sample):
        strangers = (
            state.candidate_readings + 1 if sample.serial_number == state.candidate_serial else 1
        )
        if strangers < counting.CONFIRMATIONS:
            return Step(
                replace(state, candidate_serial=sample.serial_number, candidate_readings=strangers)
            )
        return _swap(state, sample, at_ms, rules)
    if state.slot_ms != rules.slot_ms:
        return _regrid(state, sample, at_ms, rules)
    steady_ms = state.at_ms - state.shift_ms + elapsed_ms
    directions: dict[Direction, DirectionState] = {}
    series = _Series(state.serial_number or sample.serial_number, rules, placed=sample.placed)
    for direction, register in rules.registers.items():
        old = state.directions.get(direction)
        booked = series.booked()
        raw_uwh, power_w = _shown(sample, direction, rules)
        if old is None:
            if raw_uwh is not None:
                first = counting.start(steady_ms, raw_uwh, power_w, register)
                directions[direction] = _open(first, at_ms, rules, placed=sample.placed)
            continue
        seen = counting.integrate(
            old.counter, register, at_ms=steady_ms, power_w=power_w, stale_ms=rules.stale_ms
        )
        if raw_uwh is not None and counting.begins_anew(seen, register, raw_uwh):
            directions[direction] = _begin_anew(
                old, counting.start(steady_ms, raw_uwh, power_w, register), at_ms, direction, series
            )
            continue
        marks = _marks(old, seen.since, state.at_ms, at_ms, rules)
        counter, finding = counting.read(seen, register, raw_uwh, stale_ms=rules.stale_ms)
        jump_uwh = 0
        if finding:
            jump_uwh = finding.unallocated_uwh
            series.events.append(
                Event(at_ms, rules.device, finding.kind, f"{direction}: {finding.text}", jump_uwh)
            )
        if counter.at_ms == old.counter.at_ms:
            directions[direction] = _wait(old, counter, marks, at_ms, direction, series)
        else:
            # What passed around a reset is not known, in no slot that it may be in.
            reset = finding is not None and finding.kind == "reset"
            directions[direction] = _place(
                old, counter, seen.since, marks, at_ms, jump_uwh, direction, series, doubtful=reset
            )
        if series.booked() > booked:  # of what is booked, no beginning can be changed any more
            settled = replace(directions[direction].counter, agreed=counting.CONFIRMATIONS)
            directions[direction] = replace(directions[direction], counter=settled)
    previous = state.previous
    if previous is not None and at_ms - previous.at_ms > rules.max_gap_ms:
        previous = None
    return series.step(
        MeterState(
            serial_number=series.serial_number,
            at_ms=at_ms,
            slot_ms=rules.slot_ms,
            directions=directions,
            shift_ms=at_ms - steady_ms,
            boot_id=sample.boot_id,
            boottime_ms=sample.boottime_ms,
            previous=previous,
        )
    )


def _swap(state: MeterState, sample: Sample, at_ms: int, rules: MeterRules) -> Step:
    """Another series goes on: a new one, or the one before, whose meter has come back."""
    if state.slot_ms != rules.slot_ms:
        return _regrid(state, sample, at_ms, rules)
    state, slots = _close_early(state, rules)
    back = state.previous
    if (
        back is not None
        and back.serial_number == sample.serial_number
        and 0 < at_ms - back.at_ms <= rules.max_gap_ms
    ):
        text = f"meter {back.serial_number} is back after {state.serial_number}; its series goes on"
        swap = Event(at_ms, rules.device, "swap", text)
        # Its open slots were written as partial ones when it went away.
        directions = {
            d: replace(each, slot=replace(each.slot, revision=each.slot.revision + 1))
            for d, each in back.directions.items()
        }
        step = advance(
            replace(back, directions=directions, previous=replace(state, previous=None)),
            sample,
            rules,
        )
        return dataclasses.replace(step, slots=(*slots, *step.slots), events=(swap, *step.events))
    text = (
        f"meter {state.serial_number} was replaced; a new series begins with "
        f"{sample.serial_number or 'this sample'}"
    )
    swap = Event(at_ms, rules.device, "swap", text)
    begun = _begin(sample, at_ms, rules)
    slots += tuple(_between(state, at_ms, rules))
    return Step(
        replace(
            begun,
            previous=replace(state, previous=None, candidate_serial=None, candidate_readings=0),
        ),
        slots,
        (swap,),
    )


def _regrid(state: MeterState, sample: Sample, at_ms: int, rules: MeterRules) -> Step:
    """Slots have another length from here on: those that are open end early, and the counter goes
    on in new ones.
    """
    state, slots = _close_early(state, rules)
    directions: dict[Direction, DirectionState] = {}
    for direction, each in state.directions.items():
        end_ms = each.counter.at_ms + each.shift_ms
        slot = OpenSlot(
            end_ms - end_ms % rules.slot_ms,
            end_ms,
            each.counter.counter_uwh,
            each.counter.register_uwh,
            samples=1,
        )
        directions[direction] = replace(each, slot=slot, marks=(), provisional_ms=0)
    step = advance(
        replace(state, slot_ms=rules.slot_ms, directions=directions, previous=None), sample, rules
    )
    text = f"slots are {rules.slot_ms // 1000} s long from here on, not {state.slot_ms // 1000} s"
    return dataclasses.replace(
        step,
        slots=(*slots, *step.slots),
        events=(Event(at_ms, rules.device, "slots", text), *step.events),
    )


def _elapsed_ms(state: MeterState, sample: Sample, at_ms: int) -> int:
    """How long after the last sample this one was taken; 0 or less for one that comes again, or
    late.
    """
    if sample.boot_id == state.boot_id:
        return sample.boottime_ms - state.boottime_ms
    elapsed_ms = at_ms - state.at_ms
    # After a restart of the machine by a clock that is behind, all that is known is how long it has
    # been running.
    return elapsed_ms if elapsed_ms > 0 or not state.boot_id else sample.boottime_ms


def _swapped(state: MeterState, sample: Sample) -> bool:
    return (
        None not in (state.serial_number, sample.serial_number)
        and state.serial_number != sample.serial_number
    )


def _begin(sample: Sample, at_ms: int, rules: MeterRules) -> MeterState:
    directions: dict[Direction, DirectionState] = {}
    for direction in rules.registers:
        raw_uwh, power_w = _shown(sample, direction, rules)
        if raw_uwh is not None:
            first = counting.start(at_ms, raw_uwh, power_w, rules.registers[direction])
            directions[direction] = _open(first, at_ms, rules, placed=sample.placed)
    return MeterState(
        sample.serial_number,
        at_ms,
        rules.slot_ms,
        directions,
        boot_id=sample.boot_id,
        boottime_ms=sample.boottime_ms,
    )


def _open(counter: Counter, at_ms: int, rules: MeterRules, *, placed: bool) -> DirectionState:
    """Metering begins at a reading, at this UTC."""
    slot = OpenSlot(
        at_ms - at_ms % rules.slot_ms,
        at_ms,
        counter.counter_uwh,
        counter.register_uwh,
        samples=1,
        placed=placed,
    )
    return DirectionState(counter, slot, at_ms - counter.at_ms, placed)


def _begin_anew(
    old: DirectionState, counter: Counter, at_ms: int, direction: Direction, series: _Series
) -> DirectionState:
    """The series begins at this reading, and not at those before. One event tells of all the
    beginnings that were none.
    """
    rules = series.rules
    if old.counter.agreed:
        shown = old.counter.register_uwh / UWH_PER_WH, counter.register_uwh / UWH_PER_WH
        text = (
            f"{direction}: the first reading(s) showed {shown[0]:.3f} Wh, the next one "
            f"{shown[1]:.3f} Wh; metering begins with that"
        )
        series.events.append(Event(at_ms, rules.device, "glitch", text))
    return _open(replace(counter, agreed=0), at_ms, rules, placed=series.placed)


def _shown(
    sample: Sample, direction: Direction, rules: MeterRules
) -> tuple[int | None, float | None]:
    """Register (µWh) and power (W, ≥ 0) of one direction, as the meter shows them."""
    register = rules.registers[direction]
    if rules.invert:
        direction = "export" if direction == "import" else "import"
    wh = sample.values.get(f"energy_{direction}_wh")
    power_w = sample.values.get(f"power_{direction}_w")
    if power_w is None and (net_w := sample.values.get("power_w")) is not None:
        power_w = max(net_w if direction == "import" else -net_w, 0.0)
    if wh is None or not abs(wh) <= MOST_WH:
        return (
            None,
            power_w,
        )  # what no meter shows, and no state can store, is as if it were not there
    return register.exact_uwh(round(wh * UWH_PER_WH)), power_w


def _marks(
    old: DirectionState, now: Since, seen_ms: int, at_ms: int, rules: MeterRules
) -> tuple[Mark, ...]:
    """Remember what power says at the boundaries that have passed since the last sample (UTC
    `seen_ms`). It is even in between.
    """
    slot_ms = rules.slot_ms
    seen_ms = max(seen_ms, old.counter.at_ms + old.shift_ms)
    first_ms = seen_ms - seen_ms % slot_ms + slot_ms
    if at_ms < first_ms:
        return old.marks
    before = old.counter.since
    passed = range(first_ms, at_ms + 1, slot_ms)
    if len(passed) > MAX_MARKS or (old.marks and first_ms <= old.marks[-1].at_ms):
        return old.marks  # all of it is one stretch to us, or the clock was set back
    marks = list(old.marks)
    for boundary_ms in passed:
        part_ms, whole_ms = boundary_ms - seen_ms, at_ms - seen_ms
        power_uwh = before.power_uwh + (now.power_uwh - before.power_uwh) * part_ms // whole_ms
        marks.append(
            Mark(
                boundary_ms,
                power_uwh,
                before.power_unknown_ms
                + (now.power_unknown_ms - before.power_unknown_ms) * part_ms // whole_ms,
            )
        )
    while len(marks) > MAX_MARKS:
        del marks[-2::-2]
    return tuple(marks)


def _wait(
    old: DirectionState,
    counter: Counter,
    marks: tuple[Mark, ...],
    at_ms: int,
    direction: Direction,
    series: _Series,
) -> DirectionState:
    """The register does not vouch for the counter now. Slots that ended a while ago, and that power
    covers, are provisional.
    """
    rules = series.rules
    provisional_ms = old.provisional_ms
    assert counter.seen_ms is not None
    # Where the clock was set, the boundaries since the last reading may lie in a time that never
    # was.
    is_set = abs(at_ms - old.shift_ms - counter.seen_ms) > rules.stale_ms
    if marks and marks[-1].at_ms > provisional_ms and not is_set:
        begin_ms = old.counter.at_ms + old.shift_ms
        before = (
            {old.slot.start_ms: old.slot.begin_uwh} if old.slot.from_ms == old.slot.start_ms else {}
        )
        for mark in marks:
            end_uwh = counter.counter_uwh + counter.gain.applied(mark.power_uwh)
            start_ms = mark.at_ms - rules.slot_ms
            before[mark.at_ms] = end_uwh
            if (
                mark.at_ms > at_ms - rules.patience_ms
                or mark.at_ms - begin_ms > rules.max_gap_ms
                or mark.power_unknown_ms
            ):
                break
            if mark.at_ms > provisional_ms and start_ms in before:
                slot = (
                    old.slot
                    if start_ms == old.slot.start_ms
                    else OpenSlot(start_ms, start_ms, before[start_ms], counter.register_uwh)
                )
                slot = replace(
                    slot,
                    largest_gap_ms=max(slot.largest_gap_ms, at_ms - begin_ms),
                    doubtful=True,
                    revision=0,
                )
                closed = _closed(
                    slot,
                    mark.at_ms,
                    end_uwh,
                    counter.register_uwh,
                    direction,
                    series.serial_number,
                    rules,
                )
                series.provisional.append(dataclasses.replace(closed, method="power"))
                provisional_ms = mark.at_ms
    return DirectionState(counter, old.slot, old.shift_ms, old.placed, marks, provisional_ms)


def _place(
    old: DirectionState,
    counter: Counter,
    since: Since,
    marks: tuple[Mark, ...],
    at_ms: int,
    jump_uwh: int,
    direction: Direction,
    series: _Series,
    *,
    doubtful: bool,
) -> DirectionState:
    """Put the energy between two readings, of which the second was taken at this UTC, into slots;
    but for a jump, which is in none.
    """
    rules = series.rules
    before_ms = old.counter.at_ms + old.shift_ms
    passed_ms = counter.at_ms - old.counter.at_ms
    calm = counter
    if jump_uwh:
        calm = replace(counter, counter_uwh=counter.counter_uwh - jump_uwh)
    set_forward_ms = at_ms - before_ms - passed_ms
    # A register that has not moved tells that nothing passed, however long nobody read it: an
    # inverter sleeps at night.
    still = (
        counter.register_uwh == old.counter.register_uwh
        and passed_ms <= MAX_MISSING * rules.slot_ms
    )
    if set_forward_ms > rules.slot_ms or before_ms - at_ms > rules.slot_ms:
        new = _skip(old, calm, at_ms, "clock", direction, series)
    elif since.power_unknown_ms > rules.max_gap_ms and not still:
        new = _skip(old, calm, at_ms, "gap", direction, series)
    else:
        new = _fill(old, calm, since, marks, at_ms, direction, series, doubtful=doubtful)
    if jump_uwh:
        # As if the jump came before all else in the slot: from slot to slot the counter goes on,
        # but for what is on record.
        begin_uwh = new.slot.begin_uwh
        series.unallocated.append(
            _left(series, direction, "jump", before_ms, at_ms, begin_uwh, begin_uwh + jump_uwh)
        )
        new = replace(
            new,
            counter=counter,
            slot=replace(new.slot, begin_uwh=begin_uwh + jump_uwh, doubtful=True),
        )
    return new


def _fill(
    old: DirectionState,
    counter: Counter,
    since: Since,
    marks: tuple[Mark, ...],
    at_ms: int,
    direction: Direction,
    series: _Series,
    *,
    doubtful: bool,
) -> DirectionState:
    """Put the energy between two readings into slots, as power was, and evenly where it is not
    known. None is measured if `doubtful`.
    """
    rules = series.rules
    begin_ms = old.counter.at_ms + old.shift_ms
    until_ms = max(at_ms, begin_ms)
    passed_ms = counter.at_ms - old.counter.at_ms
    gap_ms = max(until_ms - begin_ms, passed_ms)
    # Set forward: nobody knows what happened in the time that the clock left out.
    left_out = until_ms - begin_ms - passed_ms > rules.stale_ms
    dark = since.power_unknown_ms > rules.stale_ms
    placed = old.placed or series.placed
    slot, provisional_ms = (
        replace(old.slot, doubtful=True) if doubtful else old.slot,
        old.provisional_ms,
    )
    from_ms, from_dark_ms = begin_ms, 0
    if slot.start_ms + rules.slot_ms <= until_ms:
        energy_uwh, dark_until_ms = _shape(old.counter, counter, since, marks, begin_ms, until_ms)
        while (end_ms := slot.start_ms + rules.slot_ms) <= until_ms:
            exact = counter if end_ms == until_ms else old.counter
            inside = begin_ms < end_ms < until_ms
            end_uwh = old.counter.counter_uwh + energy_uwh(end_ms)
            end_dark_ms = dark_until_ms(end_ms) if dark else 0
            slot = OpenSlot(
                slot.start_ms,
                slot.from_ms,
                slot.begin_uwh,
                slot.begin_register_uwh,
                slot.samples,
                max(slot.largest_gap_ms, gap_ms) if end_ms > from_ms else slot.largest_gap_ms,
                slot.uncovered_ms
                + (
                    end_ms - from_ms
                    if left_out
                    else min(end_dark_ms - from_dark_ms, end_ms - from_ms)
                ),
                slot.register_only or since.power_unknown_ms > 0,
                slot.doubtful or (inside and gap_ms > rules.late_ms),
                slot.placed or placed,
                slot.revision + (end_ms <= provisional_ms),
            )
            series.slots.append(
                _closed(
                    slot,
                    end_ms,
                    end_uwh,
                    exact.register_uwh,
                    direction,
                    series.serial_number,
                    rules,
                )
            )
            unsure = doubtful or (inside and gap_ms > rules.late_ms)
            slot = OpenSlot(
                end_ms, end_ms, end_uwh, exact.register_uwh, doubtful=unsure, placed=placed
            )
            from_ms, from_dark_ms = end_ms, end_dark_ms
    more = until_ms > from_ms or from_ms == begin_ms
    slot = OpenSlot(
        slot.start_ms,
        slot.from_ms,
        slot.begin_uwh,
        slot.begin_register_uwh,
        slot.samples + 1,
        max(slot.largest_gap_ms, gap_ms) if more else slot.largest_gap_ms,
        slot.uncovered_ms
        + (
            until_ms - from_ms
            if left_out
            else min(since.power_unknown_ms - from_dark_ms, until_ms - from_ms)
            if dark
            else 0
        ),
        slot.register_only or (more and since.power_unknown_ms > 0),
        # The register stands still, is believed, and power contradicts it.
        slot.doubtful
        or until_ms - at_ms > rules.stale_ms
        or (counter.still_uwh < 0 and since.power_uwh > 0),
        slot.placed or placed,
        slot.revision,
    )
    return DirectionState(
        counter,
        slot,
        until_ms - counter.at_ms,
        series.placed,
        (),
        provisional_ms if provisional_ms > until_ms else 0,
    )


def _shape(
    a: Counter, b: Counter, since: Since, marks: tuple[Mark, ...], begin_ms: int, until_ms: int
) -> tuple[Callable[[int], int], Callable[[int], int]]:
    """How the energy between two readings of the register is spread over time: µWh, and dark ms, up
    to a boundary.

    What power accounts for is where power was; the rest is spread evenly over the time that is
    dark. Where power says more than the register, or less and nothing is dark, it tells the
    proportions only.
    """
    moved_uwh = b.counter_uwh - a.counter_uwh
    known_uwh = a.gain.applied(since.power_uwh)
    inside = [mark for mark in marks if begin_ms < mark.at_ms < until_ms]
    times = [begin_ms, *(mark.at_ms for mark in inside), until_ms]
    darks = [0, *(mark.power_unknown_ms for mark in inside), since.power_unknown_ms]
    if since.power_unknown_ms and moved_uwh > known_uwh:
        rest_uwh = moved_uwh - known_uwh
        energies = [
            a.gain.applied(mark.power_uwh)
            + rest_uwh * mark.power_unknown_ms // since.power_unknown_ms
            for mark in inside
        ]
    elif since.power_uwh:
        energies = [moved_uwh * mark.power_uwh // since.power_uwh for mark in inside]
    else:
        times, darks, energies = [begin_ms, until_ms], [0, since.power_unknown_ms], []
    energies = [0, *energies, moved_uwh]

    def at(known: list[int], ms: int) -> int:
        n = bisect_left(times, ms, 1, len(times) - 1)
        return known[n - 1] + (known[n] - known[n - 1]) * (ms - times[n - 1]) // (
            times[n] - times[n - 1]
        )

    return partial(at, energies), partial(at, darks)


def _closed(
    slot: OpenSlot,
    end_ms: int,
    end_uwh: int,
    end_register_uwh: int,
    direction: Direction,
    serial_number: str | None,
    rules: MeterRules,
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
        quality="missing"
        if not known
        else "partial"
        if not whole
        else "measured"
        if sure
        else "estimated",
        method="register" if slot.register_only or not known else "counter",
        coverage_permille=(metered_ms - slot.uncovered_ms) * 1000 // rules.slot_ms,
        samples=slot.samples,
        largest_gap_ms=slot.largest_gap_ms,
        begin_uwh=slot.begin_uwh,
        end_uwh=end_uwh,
        begin_register_uwh=slot.begin_register_uwh,
        end_register_uwh=end_register_uwh,
        clock="placed" if slot.placed else rules.clock,
        revision=slot.revision,
    )


def _close_early(state: MeterState, rules: MeterRules) -> tuple[MeterState, tuple[Slot, ...]]:
    """What was metered of the open slots, up to the last reading, or up to where power was
    believed.
    """
    then = dataclasses.replace(rules, slot_ms=state.slot_ms)
    directions: dict[Direction, DirectionState] = {}
    slots: list[Slot] = []
    for direction, old in state.directions.items():
        each, kept = _kept(old, direction, state.serial_number, then)
        directions[direction] = each
        slots += kept
        end_ms = each.counter.at_ms + each.shift_ms
        slot = _revised(each, then)
        if slot.samples or slot.from_ms < end_ms or slot.revision:
            slots.append(
                _closed(
                    slot,
                    end_ms,
                    each.counter.counter_uwh,
                    each.counter.register_uwh,
                    direction,
                    state.serial_number,
                    then,
                )
            )
        slots += _withdrawn(
            each, slot.start_ms + then.slot_ms, direction, state.serial_number, then
        )
    return replace(state, directions=directions), tuple(slots)


def _kept(
    state: DirectionState,
    direction: Direction,
    serial_number: str | None,
    rules: MeterRules,
    *,
    most_uwh: int | None = None,
) -> tuple[DirectionState, list[Slot]]:
    """Where the register will not tell of the provisional slots any more, what power said of them
    stays, estimated: it was delivered.

    The counter goes along: it is taken to stand at the end of the last one where power saw it.
    Nothing is booked twice, since what the register may yet show beyond is counted from there. Nor
    can the beginning of the series be changed then. `most_uwh` is where the counter stands later,
    if that is known: no slot has more.
    """
    counter = replace(state.counter, agreed=counting.CONFIRMATIONS)
    marks = [mark for mark in state.marks if mark.at_ms <= state.provisional_ms]
    slot, slots = state.slot, list[Slot]()
    before = Mark(counter.at_ms + state.shift_ms, 0, 0)
    for mark in marks:
        while (end_ms := slot.start_ms + rules.slot_ms) <= mark.at_ms:
            # Of a long silence not every boundary is remembered.
            more_uwh = (
                (mark.power_uwh - before.power_uwh)
                * (end_ms - before.at_ms)
                // (mark.at_ms - before.at_ms)
            )
            end_uwh = counter.counter_uwh + counter.gain.applied(before.power_uwh + more_uwh)
            end_uwh = end_uwh if most_uwh is None else min(end_uwh, most_uwh)
            gap_ms = max(slot.largest_gap_ms, mark.at_ms - counter.at_ms - state.shift_ms)
            slot = replace(slot, largest_gap_ms=gap_ms, doubtful=True, revision=slot.revision + 1)
            slots.append(
                _closed(
                    slot, end_ms, end_uwh, counter.register_uwh, direction, serial_number, rules
                )
            )
            slot = OpenSlot(end_ms, end_ms, end_uwh, counter.register_uwh)
        before = mark
    if not slots:
        return replace(state, counter=counter), slots
    passed_uwh = slot.begin_uwh - counter.counter_uwh
    since = counter.since
    counter = replace(
        counter,
        at_ms=slot.start_ms - state.shift_ms,
        counter_uwh=slot.begin_uwh,
        power_ms=counter.at_ms if counter.power_ms is None else counter.power_ms,
        low_uwh=None if counter.low_uwh is None else counter.low_uwh + passed_uwh,
        high_uwh=None if counter.high_uwh is None else counter.high_uwh + passed_uwh,
        since=replace(
            since,
            power_uwh=since.power_uwh - before.power_uwh,
            power_unknown_ms=since.power_unknown_ms - before.power_unknown_ms,
        ),
    )
    rest = (
        Mark(
            mark.at_ms,
            mark.power_uwh - before.power_uwh,
            mark.power_unknown_ms - before.power_unknown_ms,
        )
        for mark in state.marks[len(marks) :]
    )
    return replace(state, counter=counter, slot=slot, marks=tuple(rest)), slots


def _between(state: MeterState, at_ms: int, rules: MeterRules) -> Iterator[Slot]:
    """The slots in which no meter was read, from the end of a series to the begin of the next one:
    missing.
    """
    for direction, each in state.directions.items():
        first_ms = max(
            each.slot.start_ms + (rules.slot_ms if each.slot.samples else 0), each.provisional_ms
        )
        for start_ms in range(first_ms, at_ms - at_ms % rules.slot_ms, rules.slot_ms)[:MAX_MISSING]:
            yield _missing(start_ms, each.counter, direction, state.serial_number, rules)


def _missing(
    start_ms: int,
    counter: Counter,
    direction: Direction,
    serial_number: str | None,
    rules: MeterRules,
    *,
    gap_ms: int = 0,
    revision: int = 0,
) -> Slot:
    empty = OpenSlot(
        start_ms,
        start_ms,
        counter.counter_uwh,
        counter.register_uwh,
        largest_gap_ms=gap_ms,
        revision=revision,
    )
    return _closed(
        empty, start_ms, counter.counter_uwh, counter.register_uwh, direction, serial_number, rules
    )


def _revised(state: DirectionState, rules: MeterRules) -> OpenSlot:
    """The open slot, as a revision where it was closed provisionally."""
    slot = state.slot
    return (
        replace(slot, revision=slot.revision + 1)
        if slot.start_ms + rules.slot_ms <= state.provisional_ms
        else slot
    )


def _withdrawn(
    state: DirectionState,
    from_ms: int,
    direction: Direction,
    serial_number: str | None,
    rules: MeterRules,
) -> Iterator[Slot]:
    """Provisional slots for which no register will vouch any more: nothing is known of them after
    all.
    """
    for start_ms in range(from_ms, state.provisional_ms, rules.slot_ms):
        yield _missing(start_ms, state.counter, direction, serial_number, rules, revision=1)


def _skip(
    old: DirectionState,
    counter: Counter,
    at_ms: int,
    kind: str,
    direction: Direction,
    series: _Series,
) -> DirectionState:
    """Where the energy between two readings has no place: a partial slot before, missing ones
    inside, a partial one after.
    """
    rules = series.rules
    old, kept = _kept(old, direction, series.serial_number, rules, most_uwh=counter.counter_uwh)
    series.slots.extend(kept)
    before = old.counter
    before_ms = before.at_ms + old.shift_ms
    slot = _revised(old, rules)
    if (
        at_ms > before_ms
        or slot.from_ms < before_ms
        or before.counter_uwh > slot.begin_uwh
        or slot.revision
    ):
        closed = _closed(
            slot,
            before_ms,
            before.counter_uwh,
            before.register_uwh,
            direction,
            series.serial_number,
            rules,
        )
        series.slots.append(closed)
    first_ms = old.slot.start_ms + rules.slot_ms
    after = _open(counter, at_ms, rules, placed=series.placed)
    missing = range(first_ms, after.slot.start_ms, rules.slot_ms)
    for start_ms in missing[:MAX_MISSING]:
        again = int(start_ms + rules.slot_ms <= old.provisional_ms)
        missing_slot = _missing(
            start_ms,
            before,
            direction,
            series.serial_number,
            rules,
            gap_ms=at_ms - before_ms,
            revision=again,
        )
        series.slots.append(missing_slot)
    series.slots.extend(
        _withdrawn(old, max(first_ms, missing.stop), direction, series.serial_number, rules)
    )
    left = _left(series, direction, kind, before_ms, at_ms, before.counter_uwh, counter.counter_uwh)
    series.unallocated.append(left)
    if kind == "clock":
        set_ms = at_ms - before_ms - (counter.at_ms - before.at_ms)
        what = (
            f"the clock was set {'back' if set_ms < 0 else 'forward'} by "
            f"{abs(set_ms) / 3_600_000:.2f} h"
        )
    else:
        what = f"no reading for {(at_ms - before_ms) / 3_600_000:.1f} h"
    text = (
        f"{direction}: {what}, {len(missing)} slots missing, "
        f"{left.energy_uwh / UWH_PER_WH:.3f} Wh unallocated"
    )
    series.events.append(Event(at_ms, rules.device, kind, text, left.energy_uwh))
    return after


def _left(
    series: _Series,
    direction: Direction,
    kind: str,
    from_ms: int,
    to_ms: int,
    begin_uwh: int,
    end_uwh: int,
) -> Unallocated:
    return Unallocated(
        series.rules.device,
        series.serial_number,
        direction,
        kind,
        from_ms,
        to_ms,
        begin_uwh,
        end_uwh,
    )
