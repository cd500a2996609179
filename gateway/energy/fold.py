"""Samples of one meter → energy per market slot. Pure: a fold that can run again over the same
samples and give the same slots.

    advance(state, sample, rules) -> what the sample brought, and the state as of it
"""

from collections.abc import Mapping

from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy import belief as believing
from gateway.energy import counter as counting
from gateway.energy import former as formers
from gateway.energy.assets import Direction
from gateway.energy.booking import (
    MAX_MISSING,
    book,
    change_register,
    end_of_metering,
    later_in_series,
    leave_out,
    open_slot,
)
from gateway.energy.counter import CONFIRMATIONS, UWH_PER_WH
from gateway.energy.entries import Entries
from gateway.energy.interval import REGISTER_RESET, between
from gateway.energy.look_back import begin_at, is_overdue, left_alone, settle
from gateway.energy.provisional import keep, marks_up_to, revised, wait
from gateway.energy.reading import Reading
from gateway.energy.refinement import (
    ABOUT_MS,
    MOST_KEPT,
    Refinement,
    begun_at,
    elsewhere,
    followed,
    without_before,
)
from gateway.energy.slot import (
    DirectionState,
    Event,
    Former,
    MeterRules,
    MeterState,
    OpenSlot,
    Slot,
    Step,
)
from gateway.energy.usual import after_usual, as_usual

_POWER: dict[Direction, str] = {"import": "power_import_w", "export": "power_export_w"}
_ENERGY: dict[Direction, str] = {"import": "energy_import_wh", "export": "energy_export_wh"}
"""What drivers call each."""

MOST_WH = 1e12
"""No register of a home shows more: it is what 100 kW make in a thousand years."""


def advance(state: MeterState | None, sample: Sample, rules: MeterRules) -> Step:
    """One sample further. `sample.utc_ms` must be known.

    1. The first sample of all begins the state.
    2. A sample that comes again, or late, changes nothing.
    3. A sample of another serial number moves no energy. Once `counter.CONFIRMATIONS` samples in a
       row bear the same one, the meter is believed to have been replaced. When the old one comes
       back within the longest gap, its series goes on.
    4. Where slots have another length from here on, those that are open end first.
    5. Otherwise each direction advances on its own (`advance_direction`).
    """
    at_ms = sample.utc_ms
    assert at_ms is not None, "an undated sample belongs to no slot"
    if state is None:
        return Step(_begin(sample, at_ms, rules))

    elapsed_ms = state.elapsed_ms(sample.boot_id, sample.boottime_ms, at_ms)
    if elapsed_ms <= 0:
        return Step(state)
    if _bears_another_serial(state, sample):
        return _judge_candidate(state, sample, at_ms, rules)
    if state.slot_ms != rules.slot_ms:
        return _regrid(state, sample, at_ms, rules)
    return _advance_series(state, sample, at_ms, elapsed_ms, rules)


def _advance_series(
    state: MeterState, sample: Sample, at_ms: int, elapsed_ms: int, rules: MeterRules
) -> Step:
    """A further sample of the same meter, in slots of the same length."""
    serial_number = state.serial_number or sample.serial_number
    steady_ms = state.at_ms - state.shift_ms + elapsed_ms
    directions: dict[Direction, DirectionState] = {}
    books: list[Entries] = []
    shown = {direction: _shown(sample, direction, rules) for direction in rules.registers}
    missed_from_ms = state.missed_from_ms

    for direction in _zeros_last(shown):
        raw_uwh, power_w = shown[direction]
        widened = bool(sample.widened) and _ENERGY[_on_meter(direction, rules)] in sample.widened
        began_anew = raw_uwh == 0 and _has_another_begun_anew(direction, state, directions, rules)
        heard = raw_uwh == 0 and _is_heard(sample, power_w)
        times_ms = at_ms, steady_ms, state.at_ms
        reading = Reading(*times_ms, raw_uwh, power_w, sample.placed, widened, heard, began_anew)
        entries = Entries(serial_number, direction, rules)
        new = advance_direction(state.directions.get(direction), reading, entries)
        if new is not None:
            if direction in missed_from_ms:
                new = _missed_from(new, missed_from_ms[direction], rules)
                missed_from_ms = {n: ms for n, ms in missed_from_ms.items() if n != direction}
            directions[direction] = new
        if not entries.are_empty:
            books.append(entries)

    previous = state.previous
    if previous is not None and at_ms - previous.at_ms > rules.max_gap_ms:
        previous = None
    new_state = MeterState(
        serial_number=serial_number,
        at_ms=at_ms,
        slot_ms=rules.slot_ms,
        directions={each: directions[each] for each in rules.registers if each in directions},
        shift_ms=at_ms - steady_ms,
        boot_id=sample.boot_id,
        boottime_ms=sample.boottime_ms,
        changed_after=state.changed_after,
        previous=previous,
        missed_from_ms=missed_from_ms,
    )
    if state.changed_after and not _reads_as_before(rules) and not new_state.counts_another(rules):
        new_state = replace(new_state, changed_after=0)
    if not books:
        return Step(new_state)
    return Step(
        new_state,
        tuple(slot for each in books for slot in each.slots),
        tuple(event for each in books for event in each.events),
        tuple(record for each in books for record in each.unallocated),
        tuple(slot for each in books for slot in each.provisional),
        tuple(void for each in books for void in each.taken_back),
    )


def _zeros_last(shown: dict[Direction, tuple[int | None, float | None]]) -> list[Direction]:
    """The directions in the order in which they are read. A register that fell to 0 comes last:
    whether it is believed depends on the others.
    """
    zeros = [direction for direction, (raw_uwh, _) in shown.items() if raw_uwh == 0]
    if not zeros:
        return list(shown)
    return [direction for direction in shown if direction not in zeros] + zeros


def _has_another_begun_anew(
    direction: Direction,
    before: MeterState,
    after: Mapping[Direction, DirectionState],
    rules: MeterRules,
) -> bool:
    """Whether another register has been reset since the one of this direction was last believed.
    `after` is what is known already as of this sample.
    """
    own = before.directions.get(direction)
    if own is None:
        return False
    since_ms = own.counter.at_ms - rules.stale_ms
    return any(
        formers.has_begun_anew(after.get(other, each), since_ms)
        for other, each in before.directions.items()
        if other != direction
    )


def advance_direction(
    before: DirectionState | None, reading: Reading, entries: Entries
) -> DirectionState | None:
    """One reading further: the direction as of it, or None where it has not begun yet. What the
    reading brings is added to `entries`.

    1. Metering begins with the first register, and anew as long as the beginning may have been
       wrong (`belief.begins_anew`).
    2. Power is integrated up to the reading, and what it says at the boundaries that have passed is
       remembered.
    3. The register is read. It confirms the counter, or it does not.
    4. Where it does not, no slot closes. What power covers is closed provisionally. What is not
       believed for long is unallocated (`belief.concede`).
    5. Where it does, the energy since it last did goes into slots, as power was, or evenly where
       power is not known either. While the clock shows a time again that it has been set back over,
       by up to a slot, energy goes to the slot that is open, which is estimated then. Where the
       clock was set, either way, by more than a slot, the open slot ends as a partial one and
       metering begins anew at the new time; what passed between is unallocated. A slot that comes a
       second time that way is for the books to refuse (`clash`): what is closed stays.
    6. Once anything is booked, the beginning cannot be changed any more.
    7. Where another register was counted than is read now, it begins anew (`_change_register`).
    8. One that comes back to where it stood before a belief takes that belief back (`former`).
    """
    rules = entries.rules
    register = rules.registers[entries.direction]
    if before is None:
        return _begin_direction(reading, entries)
    if reading.is_heard:
        before = replace(before, counter=believing.heard(before.counter))
    if (usual := _as_usual(before, reading, entries)) is not None:
        return usual
    is_another = before.counts_another(register, widened=reading.widened)
    before = before if is_another else before.counting(register)
    if is_overdue(before, reading.steady_ms, entries):
        before = settle(before, entries)
    seen = _integrated(before, reading, entries)
    if is_another and reading.raw_uwh is not None:
        return _change_register(before, seen, reading, entries)
    if reading.raw_uwh is not None and believing.begins_anew(seen, register, reading.raw_uwh):
        return _begin_anew(before, reading, entries)

    marks = marks_up_to(before, seen.since, reading.last_ms, reading.at_ms, rules.slot_ms)
    former = _former(before, reading, entries)
    if former is not None and reading.raw_uwh is not None:
        one = formers.returning(former, seen, reading.raw_uwh, register, rules.stale_ms)
        if one is not None and formers.is_back(one):
            return _settled(_take_back(one, reading, entries))
        if one is not None:
            seen = believing.suspect(seen, register, reading.raw_uwh)
            after = wait(before, seen, marks, reading.at_ms, entries)
            return replace(after, former=formers.with_returned(former, one))
        former = formers.without_returns(former)
    waits = replace(before, counter=seen, marks=marks, former=former, refinement=None)
    if reading.raw_uwh is not None and seen.suspects is not None:
        suspected = _as_suspected(before, waits, reading, entries)
        if suspected is not None:
            return suspected

    after = _with_register(before, waits, reading, entries)
    return _settled(after) if entries.are_binding or after.passed else after


def _as_usual(before: DirectionState, reading: Reading, entries: Entries) -> DirectionState | None:
    """The direction after a usual reading; None where it is none."""
    rules = entries.rules
    register = rules.registers[entries.direction]
    confirmed = as_usual(before, reading, rules, register)
    if confirmed is None:
        return None
    counter, since = confirmed
    refinement = _refined(before, counter, reading, entries, False)
    return after_usual(before, counter, since, reading, refinement, register)


def _with_register(
    before: DirectionState, waits: DirectionState, reading: Reading, entries: Entries
) -> DirectionState:
    """The direction after its register was read. `waits` is what it was before with power up to the
    reading: what stays where this one is not believed.
    """
    rules, at_ms = entries.rules, reading.at_ms
    register = rules.registers[entries.direction]
    seen, marks, former = waits.counter, waits.marks, waits.former
    counter, finding = believing.read(
        seen,
        register,
        reading.raw_uwh,
        stale_ms=rules.stale_ms,
        began_anew=reading.began_anew,
    )
    if finding:
        entries.tell(at_ms, finding.kind, finding.text, finding.unallocated_uwh)

    if is_conceded := _is_to_concede(before, counter, reading, entries):
        counter = believing.concede(counter, register)
    is_elsewhere = is_conceded or (finding is not None and finding.kind in ("reset", "jump"))
    refinement = _refined(before, counter, reading, entries, is_elsewhere)
    before = replace(before, refinement=refinement)
    if counter.at_ms == before.counter.at_ms:
        after = wait(before, counter, marks, at_ms, entries)
        return replace(after, former=former, refinement=refinement)

    is_belief = finding is not None and finding.kind != "glitch"
    if is_belief or formers.is_new_rise(before, former, counter):
        # What waits beside must go on from the same end of the slot before.
        before, waits, counter = _settled_first(before, waits, counter, entries)
    interval = between(
        before,
        counter,
        at_ms,
        since=seen.since,
        marks=marks,
        finding=finding,
        placed=reading.placed,
    )
    after = leave_out(interval, entries) if is_conceded else book(interval, entries)
    if is_conceded:
        left_uwh = sum(each.energy_uwh for each in entries.unallocated)
        former = formers.conceded(waits, former, counter, left_uwh)
    elif finding and finding.kind != "glitch":
        raw_uwh = counter.shown_uwh
        former = formers.kept(waits, finding.kind, raw_uwh, finding.unallocated_uwh)
    else:
        former = formers.with_rise(waits, former, counter)
    return _with_refinement(replace(after, former=former), before)


def _as_suspected(
    before: DirectionState, waits: DirectionState, reading: Reading, entries: Entries
) -> DirectionState | None:
    """The direction after a reading that says that those before it, which were not believed, were
    right; None where it does not. `waits` as in `_with_register`.
    """
    assert reading.raw_uwh is not None, "a register that is not in the sample says nothing"
    fell = _fallen(waits, reading, entries)
    if fell is not None:
        return _settled(fell)
    register = entries.rules.registers[entries.direction]
    if not believing.was_at_0(before.counter, waits.counter, register, reading.raw_uwh):
        return None
    begun = _reset_to_0(replace(before, former=waits.former), reading, entries)
    return advance_direction(begun, reading, entries)


def _fallen(waits: DirectionState, reading: Reading, entries: Entries) -> DirectionState | None:
    """The direction after readings that take back what their register rose by within a slot, and
    what waits in case that it did rise; None where they do not (`former.within_slot`).
    """
    assert reading.raw_uwh is not None, "a register that is not in the sample has not fallen"
    register = entries.rules.registers[entries.direction]
    one = formers.within_slot(waits, waits.counter, reading.raw_uwh, register)
    if one is None:
        return None
    if waits.passed is not None and one.state.slot.start_ms == waits.slot.start_ms:
        # The slot before is none of those that are booked anew.
        waits = settle(waits, entries)
        one = formers.within_slot(waits, waits.counter, reading.raw_uwh, register) or one
    after = _take_back(one, reading, entries)
    return replace(after, former=formers.fallen(waits, reading.raw_uwh))


def _reset_to_0(before: DirectionState, reading: Reading, entries: Entries) -> DirectionState:
    """The direction as of the sample before this reading, once its register is believed to have
    been 0 then.
    """
    counter = before.counter
    zero = replace(
        reading,
        at_ms=reading.last_ms,
        steady_ms=counter.last_sample_ms,
        raw_uwh=0,
        power_w=counter.power_w,
        began_anew=True,
    )
    return _with_register(before, before, zero, entries)


def _settled_first(
    before: DirectionState, waits: DirectionState, counter: counting.Counter, entries: Entries
) -> tuple[DirectionState, DirectionState, counting.Counter]:
    """The states before a belief, and the counter after it, once the slot that was looked back at
    is closed for good.
    """
    if before.passed is None:
        return before, waits, counter
    settled = settle(before, entries)
    begun_uwh = settled.counter.counter_uwh
    seen = replace(waits.counter, counter_uwh=begun_uwh)
    waits = replace(waits, counter=seen, slot=settled.slot, passed=None)
    return settled, waits, replace(counter, counter_uwh=max(counter.counter_uwh, begun_uwh))


def _former(before: DirectionState, reading: Reading, entries: Entries) -> Former | None:
    """What of the direction waits beside it, as of the reading."""
    if before.former is None:
        return None
    now = before.counter
    is_paced = now.power_w is None and now.at_ms == now.last_sample_ms
    return formers.wait_beside(
        before.former,
        steady_ms=reading.steady_ms,
        last_ms=reading.last_ms,
        at_ms=reading.at_ms,
        power_w=reading.power_w,
        pace_w=now.pace_w if is_paced else None,
        rules=entries.rules,
        register=entries.rules.registers[entries.direction],
    )


def _take_back(former: Former, reading: Reading, entries: Entries) -> DirectionState:
    """The register is back where it was before the belief: all that passed since is booked anew,
    from both ends.
    """
    assert reading.raw_uwh is not None, "a register that is not in the sample follows nothing"
    old = former.state
    register = entries.rules.registers[entries.direction]
    if old.passed is not None:
        # It was booked anew meanwhile, and comes as it was known before.
        entries.take_back(reading.at_ms, old.passed.slot.begin_uwh)
        entries.close(old.passed.slot, old.passed.end)
        old = begin_at(replace(old, passed=None), old.passed.end)
    else:
        entries.take_back(reading.at_ms, old.slot.begin_uwh)
    moved_uwh = max(reading.raw_uwh - old.counter.shown_uwh, 0)
    counter = counting.confirmed(old.counter, register, moved_uwh)
    if former.kind in ("reset", "fall"):
        fell_uwh = old.counter.shown_uwh - former.shown_uwh
        counter = believing.back_from(counter, register, fell_uwh)
    if finding := formers.told(former, reading.raw_uwh):
        entries.tell(reading.at_ms, finding.kind, finding.text)
        counter = replace(counter, wavered_ms=counter.at_ms)
    interval = between(
        old,
        counter,
        reading.at_ms,
        since=old.counter.since,
        marks=old.marks,
        finding=None,
        placed=reading.placed,
    )
    after = book(replace(interval, doubts=REGISTER_RESET), entries)
    return replace(after, former=formers.without_returns(old.former))


def _integrated(before: DirectionState, reading: Reading, entries: Entries) -> counting.Counter:
    """The counter after power up to the reading."""
    return counting.integrate(
        before.counter,
        entries.rules.registers[entries.direction],
        at_ms=reading.steady_ms,
        power_w=reading.power_w,
        stale_ms=entries.rules.stale_ms,
    )


def _with_refinement(after: DirectionState, before: DirectionState) -> DirectionState:
    """The state with what is known of boundaries, from where the slot that is open begins."""
    refinement = before.refinement
    if refinement is not None and before.passed and not after.passed:
        refinement = without_before(refinement, after.slot.start_ms - after.shift_ms - ABOUT_MS)
    return replace(after, refinement=refinement)


def _refined(
    before: DirectionState,
    counter: counting.Counter,
    reading: Reading,
    entries: Entries,
    is_elsewhere: bool,
) -> Refinement | None:
    """What is known of the energy at boundaries after the reading that the counter has seen; the
    register `is_elsewhere` where it goes on from another place than where it was.
    """
    rules = entries.rules
    register = rules.registers[entries.direction]
    old = before.refinement
    is_believed = counter.at_ms != before.counter.at_ms
    if old is None:
        return begun_at(counter, register) if is_believed else None
    if reading.raw_uwh is not None and counter.suspects is None:
        # A register that pauses, or is yet to move, is no news to the counter. It is what it shows.
        is_believed = True
    if is_elsewhere:
        return elsewhere(old, counter, register)

    at_ms, shift_ms, slot_ms = reading.at_ms, reading.at_ms - reading.steady_ms, rules.slot_ms
    # Those that passed in a long silence are nothing to look back at.
    since_ms = max(reading.last_ms, at_ms - MOST_KEPT * slot_ms)
    first_ms = (since_ms // slot_ms + 1) * slot_ms
    ends_ms: tuple[int, ...] = ()
    if first_ms <= at_ms:
        ends_ms = tuple(end_ms - shift_ms for end_ms in range(first_ms, at_ms + 1, slot_ms))
    # Where the slot that is open begins; and where the one that is looked back at does, until that
    # is known for good.
    one = before.passed
    begun = before.slot if one is None or one.boundary.began else one.slot
    wanted_ms = begun.start_ms - shift_ms - ABOUT_MS
    return followed(old, counter, register, ends_ms, is_believed=is_believed, wanted_ms=wanted_ms)


def _is_to_concede(
    before: DirectionState, counter: counting.Counter, reading: Reading, entries: Entries
) -> bool:
    """Whether a slot ends here of which no reading was believed: what passed is stated now.

    An overload that is shorter is believed afterwards, when the mean is what the fuse carries.
    """
    if counter.suspects is None:
        return False
    rules = entries.rules
    register = rules.registers[entries.direction]
    is_at_end = reading.at_ms // rules.slot_ms > reading.last_ms // rules.slot_ms
    is_long = reading.at_ms - before.at_ms >= rules.slot_ms - rules.stale_ms
    return is_at_end and is_long and believing.is_to_concede(counter, register)


# --- the beginning --------------------------------------------------------------------------------


def _begin(sample: Sample, at_ms: int, rules: MeterRules) -> MeterState:
    """The state as of its first sample: UTC is steady time."""
    directions: dict[Direction, DirectionState] = {}
    for direction, register in rules.registers.items():
        raw_uwh, power_w = _shown(sample, direction, rules)
        if raw_uwh is not None:
            first = counting.start(at_ms, raw_uwh, power_w, register, utc_ms=at_ms)
            if raw_uwh == 0 and _is_heard(sample, power_w):
                first = believing.heard(first)
            directions[direction] = open_slot(
                first, at_ms, rules, placed=sample.placed, source=register.source
            )
    return MeterState(
        serial_number=sample.serial_number,
        at_ms=at_ms,
        slot_ms=rules.slot_ms,
        directions=directions,
        boot_id=sample.boot_id,
        boottime_ms=sample.boottime_ms,
    )


def _begin_direction(reading: Reading, entries: Entries) -> DirectionState | None:
    """Metering begins at this reading, if the register is in it."""
    if reading.raw_uwh is None:
        return None
    register = entries.rules.registers[entries.direction]
    counter = counting.start(
        reading.steady_ms, reading.raw_uwh, reading.power_w, register, utc_ms=reading.at_ms
    )
    if reading.is_heard:
        counter = believing.heard(counter)
    return open_slot(
        counter, reading.at_ms, entries.rules, placed=reading.placed, source=register.source
    )


def _begin_anew(
    before: DirectionState, reading: Reading, entries: Entries
) -> DirectionState | None:
    """The series begins at this reading, and not at those before. One event tells of all the
    beginnings that were none.
    """
    begun = _begin_direction(reading, entries)
    if begun is None:
        return None

    if before.counter.agreed > 0:
        first_wh = before.counter.register_uwh / UWH_PER_WH
        next_wh = begun.counter.register_uwh / UWH_PER_WH
        text = (
            f"the first reading(s) showed {first_wh:.3f} Wh, the next one {next_wh:.3f} Wh; "
            "metering begins with that"
        )
        entries.tell(reading.at_ms, "glitch", text)
    rises = begun.counter.register_uwh > before.counter.register_uwh
    agreed = min(before.counter.agreed, 1) - 1 if rises else 0
    counter = replace(begun.counter, agreed=agreed)
    missed_from_ms = before.slot.missed_from_ms or before.slot.start_ms
    return _missed_from(replace(begun, counter=counter), missed_from_ms, entries.rules)


def _missed_from(begun: DirectionState, missed_from_ms: int, rules: MeterRules) -> DirectionState:
    """The direction, which begins later than it was to begin: slots are missing before it."""
    start_ms = begun.slot.start_ms
    # Slots may have had another length then.
    missed_from_ms += -missed_from_ms % rules.slot_ms
    if missed_from_ms >= start_ms:
        return begun
    missed_from_ms = max(missed_from_ms, start_ms - MAX_MISSING * rules.slot_ms)
    return replace(begun, slot=replace(begun.slot, missed_from_ms=missed_from_ms))


def _change_register(
    before: DirectionState, seen: counting.Counter, reading: Reading, entries: Entries
) -> DirectionState:
    """Another register is read than was counted before. Its first readings are not believed until
    they agree; then metering begins anew with it, and nothing is booked across.
    """
    register = entries.rules.registers[entries.direction]
    raw_uwh = reading.raw_uwh
    assert raw_uwh is not None, "another register that is not in the sample waits"
    counter = believing.suspect(seen, register, raw_uwh)
    suspects = counter.suspects
    assert suspects is not None
    # One that always rises too fast is conceded, once it is counted.
    if suspects.count < CONFIRMATIONS and suspects.rising < believing.MOST_REFUSED:
        return replace(before, counter=counter)

    was = before.source or register.former_source or f"{register.source}, of tariffs 1 to 4"
    text = (
        f"the profile reads another register: {register.source}; before it was {was}. Metering "
        f"begins anew with it, and nothing is booked across{left_alone(before)}"
    )
    entries.tell(reading.at_ms, "profile", text)
    old = keep(settle(before, entries), entries)
    counter = believing.go_on_with(
        old.counter, register, reading.steady_ms, raw_uwh, reading.power_w
    )
    return change_register(old, counter, reading.at_ms, entries, placed=reading.placed)


def _settled(state: DirectionState) -> DirectionState:
    """The direction, whose beginning cannot be changed any more."""
    return replace(state, counter=replace(state.counter, agreed=CONFIRMATIONS))


# --- what a sample shows --------------------------------------------------------------------------


def _reads_as_before(rules: MeterRules) -> bool:
    """Whether these are the rules of samples from before the meter's profile changed."""
    return not any(register.source for register in rules.registers.values())


def is_void(sample: Sample, rules: MeterRules) -> bool:
    """Whether nothing is in a sample but registers of 0, though the meter tells more: an inverter
    that does not hear its meter shows all else as not implemented, and its totals as 0.
    """
    if not rules.tells_more:
        return False
    shown = {name: value for name, value in sample.values.items() if name != "meter_utc_s"}
    return bool(shown) and not any(
        value or name not in _ENERGY.values() for name, value in shown.items()
    )


def _is_heard(sample: Sample, power_w: float | None) -> bool:
    """Whether power in the direction of a register that shows 0, or another register, is not 0: the
    meter is heard by what shows it, and knows its totals.
    """
    return bool(power_w) or any(sample.values.get(name) for name in _ENERGY.values())


def shows_register(sample: Sample, rules: MeterRules) -> bool:
    """Whether there is a register in the sample, of whichever direction."""
    return any(_shown(sample, direction, rules)[0] is not None for direction in rules.registers)


def _on_meter(direction: Direction, rules: MeterRules) -> Direction:
    """What the meter calls this direction, which may be wired the other way round."""
    if not rules.invert:
        return direction
    return "export" if direction == "import" else "import"


def _shown(
    sample: Sample, direction: Direction, rules: MeterRules
) -> tuple[int | None, float | None]:
    """Register (µWh) and power (W, ≥ 0) of one direction, as the meter shows them."""
    register = rules.registers[direction]
    direction = _on_meter(direction, rules)
    values = sample.values
    power_w = values.get(_POWER[direction])
    if power_w is None:
        net_w = values.get("power_w")
        # No power (−∞, −2³¹ W) says nothing of either direction.
        if net_w is not None and abs(net_w) <= register.most_power_w:
            one_way_w = net_w if direction == "import" else -net_w
            power_w = one_way_w if one_way_w > 0 else 0.0

    wh = values.get(_ENERGY[direction])
    if wh is None or not 0 <= wh <= MOST_WH:
        # What no meter shows, and no state can store, is as if it were not there.
        return None, power_w
    if wh == 0 and is_void(sample, rules):
        return None, power_w
    uwh = round(wh * UWH_PER_WH)
    return register.exact_uwh(uwh) if register.float32 else uwh, power_w


# --- another meter, another length of slots -------------------------------------------------------


def _bears_another_serial(state: MeterState, sample: Sample) -> bool:
    are_known = state.serial_number is not None and sample.serial_number is not None
    return are_known and state.serial_number != sample.serial_number


def _judge_candidate(state: MeterState, sample: Sample, at_ms: int, rules: MeterRules) -> Step:
    """The sample bears another serial number: it is one more of the candidate's, and may be the one
    that makes it believed.
    """
    is_same = sample.serial_number == state.candidate_serial
    readings = state.candidate_readings + 1 if is_same else 1
    if readings >= CONFIRMATIONS:
        return _swap(state, sample, at_ms, rules)
    return Step(replace(state, candidate_serial=sample.serial_number, candidate_readings=readings))


def _swap(state: MeterState, sample: Sample, at_ms: int, rules: MeterRules) -> Step:
    """Another series goes on: a new one, or the one before, whose meter has come back."""
    if state.slot_ms != rules.slot_ms:
        return _regrid(state, sample, at_ms, rules)

    left = left_alone(*state.directions.values())
    state, slots = _close_early(state, rules)
    back = state.previous
    if (
        back is not None
        and back.serial_number == sample.serial_number
        and 0 < at_ms - back.at_ms <= rules.max_gap_ms
    ):
        return _go_back(state, back, slots, sample, at_ms, rules, left)

    new_serial = sample.serial_number or "this sample"
    text = f"meter {state.serial_number} was replaced; a new series begins with {new_serial}{left}"
    swap = Event(at_ms, rules.device, "swap", text)
    slots += _missing_between(state, at_ms, rules)
    gone = formers.forgotten(
        replace(state, previous=None, candidate_serial=None, candidate_readings=0)
    )
    begun = replace(_begin(sample, at_ms, rules), previous=gone)
    next_ms = at_ms - at_ms % rules.slot_ms
    missed_from_ms = dict.fromkeys(state.directions, next_ms) | state.missed_from_ms
    directions = {
        direction: _missed_from(each, missed_from_ms.pop(direction, each.slot.start_ms), rules)
        for direction, each in begun.directions.items()
    }
    begun = replace(begun, directions=directions, missed_from_ms=missed_from_ms)
    return Step(begun, tuple(slots), (swap,))


def _go_back(
    state: MeterState,
    back: MeterState,
    slots: list[Slot],
    sample: Sample,
    at_ms: int,
    rules: MeterRules,
    left: str,
) -> Step:
    """The meter before this one has come back: its series goes on."""
    text = (
        f"meter {back.serial_number} is back after {state.serial_number}; its series goes on{left}"
    )
    swap = Event(at_ms, rules.device, "swap", text)
    # Its open slots were written as partial ones when it went away.
    directions = {
        direction: replace(each, slot=replace(each.slot, revision=each.slot.revision + 1))
        for direction, each in back.directions.items()
    }
    gone = formers.forgotten(replace(state, previous=None))
    step = advance(replace(back, directions=directions, previous=gone), sample, rules)
    return replace(step, slots=(*slots, *step.slots), events=(swap, *step.events))


def _regrid(state: MeterState, sample: Sample, at_ms: int, rules: MeterRules) -> Step:
    """Slots have another length from here on: those that are open end early, and the counter goes
    on in new ones.
    """
    left = left_alone(*state.directions.values())
    state, slots = _close_early(state, rules)
    directions: dict[Direction, DirectionState] = {}
    for direction, each in state.directions.items():
        end_ms = each.at_ms
        slot = replace(
            OpenSlot.after(end_of_metering(each, rules.registers.get(direction))),
            start_ms=end_ms - end_ms % rules.slot_ms,
            samples=1,
        )
        counter = later_in_series(each.counter)
        directions[direction] = replace(
            each, counter=counter, slot=slot, marks=(), provisional_ms=0, former=None
        )

    again = replace(state, slot_ms=rules.slot_ms, directions=directions, previous=None)
    step = advance(again, sample, rules)
    length = f"{rules.slot_ms // 1000} s long from here on, not {state.slot_ms // 1000} s"
    text = f"slots are {length}{left}"
    told = Event(at_ms, rules.device, "slots", text)
    return replace(step, slots=(*slots, *step.slots), events=(told, *step.events))


def _close_early(state: MeterState, rules: MeterRules) -> tuple[MeterState, list[Slot]]:
    """What was metered of the open slots, up to the last reading, or up to where power was
    believed.
    """
    then = replace(rules, slot_ms=state.slot_ms)
    directions: dict[Direction, DirectionState] = {}
    slots: list[Slot] = []
    for direction, old in state.directions.items():
        entries = Entries(state.serial_number, direction, then)
        kept = keep(settle(old, entries), entries)
        slot = revised(kept, then)
        if slot.samples or slot.from_ms < kept.at_ms or slot.revision:
            entries.close(slot, end_of_metering(kept, entries.register))
        entries.withdraw(kept, slot.start_ms + then.slot_ms)
        directions[direction] = kept
        slots += entries.slots
    return replace(state, directions=directions), slots


def _missing_between(state: MeterState, at_ms: int, rules: MeterRules) -> list[Slot]:
    """The slots in which no meter was read, from the end of a series to the begin of the next one:
    missing.
    """
    slots: list[Slot] = []
    next_ms = at_ms - at_ms % rules.slot_ms
    for direction, each in state.directions.items():
        entries = Entries(state.serial_number, direction, rules)
        # The open slot was closed early, unless nothing was metered of it.
        first_ms = each.slot.start_ms + (rules.slot_ms if each.slot.samples else 0)
        first_ms = max(first_ms, each.provisional_ms)
        for start_ms in range(first_ms, next_ms, rules.slot_ms)[:MAX_MISSING]:
            entries.miss(start_ms, each.counter)
        slots += entries.slots
    return slots
