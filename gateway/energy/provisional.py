"""Slots that end while the register is silent. Pure.

Only a register closes a slot for good. While it is silent, what power says at each boundary is
remembered as a mark. Some time after its end a slot that power covers is closed provisionally, by
power alone. When the register tells, the slot comes again as a revision (`booking`). When it never
will, what power said stays (`keep`).
"""

from collections.abc import Iterator

from msgspec.structs import replace

from gateway.energy.counter import CONFIRMATIONS, Counter, Since
from gateway.energy.entries import Entries
from gateway.energy.slot import DirectionState, Edge, Mark, MeterRules, OpenSlot
from gateway.energy.uncertainty import by_power

MAX_MARKS = 96
"""So many boundaries are remembered while a register is silent; beyond, every second one is
interpolated.

A day of slots of 15 minutes. A mark takes some 60 bytes of the state, which is written with every
slot that closes.
"""


def marks_up_to(
    before: DirectionState, now: Since, last_ms: int, at_ms: int, slot_ms: int
) -> tuple[Mark, ...]:
    """The marks as of a sample at `at_ms`, up to which power was integrated (`now`). The last
    sample was at `last_ms`; between the two, power is even. All times are UTC.
    """
    last_ms = max(last_ms, before.at_ms)
    first_ms = last_ms - last_ms % slot_ms + slot_ms
    if at_ms < first_ms:
        return before.marks

    passed = range(first_ms, at_ms + 1, slot_ms)
    is_one_stretch = len(passed) > MAX_MARKS
    was_set_back = bool(before.marks) and first_ms <= before.marks[-1].at_ms
    if is_one_stretch or was_set_back:
        return before.marks

    since = before.counter.since
    power_uwh = now.power_uwh - since.power_uwh
    unknown_ms = now.power_unknown_ms - since.power_unknown_ms
    whole_ms = at_ms - last_ms
    marks = list(before.marks)
    for boundary_ms in passed:
        part_ms = boundary_ms - last_ms
        marks.append(
            Mark(
                at_ms=boundary_ms,
                power_uwh=since.power_uwh + power_uwh * part_ms // whole_ms,
                power_unknown_ms=since.power_unknown_ms + unknown_ms * part_ms // whole_ms,
            )
        )
    return thinned(tuple(marks), MAX_MARKS)


def thinned(marks: tuple[Mark, ...], most: int) -> tuple[Mark, ...]:
    """At most so many of them, the last one among them."""
    if len(marks) <= most:
        return marks
    left = list(marks)
    while len(left) > most:
        del left[-2::-2]
    return tuple(left)


def wait(
    before: DirectionState,
    counter: Counter,
    marks: tuple[Mark, ...],
    at_ms: int,
    entries: Entries,
) -> DirectionState:
    """The direction as of a sample at `at_ms` (UTC) that does not confirm the counter. Slots that
    ended a while ago, and that power covers, are closed provisionally.
    """
    provisional_ms = before.provisional_ms
    # Where the clock was set, the boundaries since the last reading may lie in a time that never
    # was.
    off_ms = abs(at_ms - before.shift_ms - counter.last_sample_ms)
    has_news = bool(marks) and marks[-1].at_ms > provisional_ms
    if has_news and off_ms <= entries.rules.stale_ms:
        provisional_ms = _close_by_power(before, counter, marks, at_ms, entries)
    return DirectionState(
        counter=counter,
        slot=before.slot,
        shift_ms=before.shift_ms,
        placed=before.placed,
        marks=marks,
        provisional_ms=provisional_ms,
        source=before.source,
        surprise=before.surprise,
        passed=before.passed,
    )


def _close_by_power(
    before: DirectionState,
    counter: Counter,
    marks: tuple[Mark, ...],
    at_ms: int,
    entries: Entries,
) -> int:
    """Closes what can be closed. Returns up to when slots have been closed provisionally then."""
    rules = entries.rules
    open_slot = before.slot
    begin_ms = before.at_ms
    provisional_ms = before.provisional_ms
    # Where the counter stands at the boundaries, as far as all of them are remembered.
    stood: dict[int, Edge] = {}
    if open_slot.from_ms == open_slot.start_ms:
        stood[open_slot.start_ms] = open_slot.begin
    uncertainty_uwh = by_power(counter, entries.register, before.surprise.energy_uwh)

    for mark in marks:
        end_uwh = counter.counter_uwh + counter.gain.applied(mark.power_uwh)
        end = Edge(mark.at_ms, end_uwh, counter.register_uwh, uncertainty_uwh)
        stood[mark.at_ms] = end

        is_too_early = mark.at_ms > at_ms - rules.patience_ms
        is_too_long = mark.at_ms - begin_ms > rules.max_gap_ms
        if is_too_early or is_too_long or mark.power_unknown_ms:
            break

        start_ms = mark.at_ms - rules.slot_ms
        if mark.at_ms <= provisional_ms or start_ms not in stood:
            continue
        slot = open_slot if start_ms == open_slot.start_ms else OpenSlot.after(stood[start_ms])
        slot = replace(
            slot.doubted({"by power alone"}),
            largest_gap_ms=max(slot.largest_gap_ms, at_ms - begin_ms),
            revision=0,
        )
        entries.close_provisionally(slot, end)
        provisional_ms = mark.at_ms
    return provisional_ms


def revised(state: DirectionState, rules: MeterRules) -> OpenSlot:
    """The open slot, as a revision where it was closed provisionally."""
    slot = state.slot
    if slot.start_ms + rules.slot_ms > state.provisional_ms:
        return slot
    return replace(slot, revision=slot.revision + 1)


def keep(state: DirectionState, entries: Entries, *, most_uwh: int | None = None) -> DirectionState:
    """Where the register will not tell of the provisional slots any more, what power said of them
    stays, estimated: it was delivered.

    The counter goes along: it is taken to stand at the end of the last one where power saw it.
    Nothing is booked twice, since what the register may yet show beyond is counted from there. Nor
    can the beginning of the series be changed then. `most_uwh` is where the counter stands later,
    if that is known: no slot has more.
    """
    counter = replace(state.counter, agreed=CONFIRMATIONS)
    state = replace(state, counter=counter)
    marks = [mark for mark in state.marks if mark.at_ms <= state.provisional_ms]
    uncertainty_uwh = by_power(counter, entries.register, state.surprise.energy_uwh)
    slot = state.slot
    for end_ms, power_uwh, mark_ms in _ends(state, marks, entries.rules.slot_ms):
        end_uwh = counter.counter_uwh + counter.gain.applied(power_uwh)
        if most_uwh is not None:
            end_uwh = min(end_uwh, most_uwh)
        slot = replace(
            slot.doubted({"by power alone"}),
            largest_gap_ms=max(slot.largest_gap_ms, mark_ms - state.at_ms),
            revision=slot.revision + 1,
        )
        end = Edge(end_ms, end_uwh, counter.register_uwh, uncertainty_uwh)
        entries.close(slot, end)
        slot = OpenSlot.after(end)

    if slot is state.slot:
        return state
    rest = state.marks[len(marks) :]
    return _moved_up(state, slot, marks[-1], rest)


def _ends(state: DirectionState, marks: list[Mark], slot_ms: int) -> Iterator[tuple[int, int, int]]:
    """The ends of the slots up to the last mark: when, what power says up to then, and when the
    mark is that tells. Of a long silence not every boundary has a mark: in between, power is even.
    """
    end_ms = state.slot.start_ms + slot_ms
    before = Mark(state.at_ms, 0, 0)
    for mark in marks:
        while end_ms <= mark.at_ms:
            part_ms = end_ms - before.at_ms
            whole_ms = mark.at_ms - before.at_ms
            more_uwh = (mark.power_uwh - before.power_uwh) * part_ms // whole_ms
            yield end_ms, before.power_uwh + more_uwh, mark.at_ms
            end_ms += slot_ms
        before = mark


def _moved_up(
    state: DirectionState, slot: OpenSlot, mark: Mark, rest: tuple[Mark, ...]
) -> DirectionState:
    """The direction, going on with this slot from its start. What power says up to the mark there
    is accounted for; `rest` are the marks after it.
    """
    counter = state.counter
    since = counter.since
    passed_uwh = slot.begin_uwh - counter.counter_uwh
    low_uwh, high_uwh = counter.low_uwh, counter.high_uwh
    counter = replace(
        counter,
        at_ms=slot.start_ms - state.shift_ms,
        counter_uwh=slot.begin_uwh,
        power_ms=counter.power_shown_ms,
        low_uwh=None if low_uwh is None else low_uwh + passed_uwh,
        high_uwh=None if high_uwh is None else high_uwh + passed_uwh,
        since=replace(
            since,
            power_uwh=since.power_uwh - mark.power_uwh,
            power_unknown_ms=since.power_unknown_ms - mark.power_unknown_ms,
        ),
    )
    marks = tuple(
        Mark(
            at_ms=each.at_ms,
            power_uwh=each.power_uwh - mark.power_uwh,
            power_unknown_ms=each.power_unknown_ms - mark.power_unknown_ms,
        )
        for each in rest
    )
    return replace(state, counter=counter, slot=slot, marks=marks)
