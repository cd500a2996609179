"""A belief that can be taken back: the register from before it was said to have been reset, to have
jumped or to have passed its modulus. Pure.

The direction as it was then waits beside the one that goes on, as if the register had been silent
ever since: power is integrated, and remembered at the boundaries of slots. When readings follow
*it*, and what they say cannot be told to have been counted up from where the register was believed
to be, the belief was wrong. Then everything since the last reading before it is booked anew, from
both ends, as with any silence (`booking`); slots that were closed meanwhile come as revisions, and
what was stated as unallocated is withdrawn (`TakenBack`).

It is kept for as long as coming back to it can be told from counting up to it, and what passed
meanwhile can be told too (`_is_worth_keeping`).
"""

from collections.abc import Iterator

from msgspec.structs import replace

from gateway.energy import counter as counting
from gateway.energy.assets import Direction
from gateway.energy.belief import (
    AGREEING,
    JITTER_STEPS,
    explained_uwh,
    is_gross,
    suspect,
    unexplained_uwh,
    was_told_lately,
    wh,
)
from gateway.energy.counter import CONFIRMATIONS, Counter, Finding
from gateway.energy.provisional import marks_up_to, thinned
from gateway.energy.register import Rules
from gateway.energy.slot import (
    BeliefKind,
    DirectionState,
    Former,
    MeterRules,
    MeterState,
    OpenSlot,
)

KEPT_MS = 86_400_000
"""A day: as many slots can be revised at once as a person would still call one event."""

RISE_KEPT_MS = 3_600_000
"""A rise for which nothing but the register spoke may be a load that was switched on. After an hour
a later one takes its place, and a larger one at once. Of one that goes back when it is not kept any
more the counter waits until it is passed (`belief`).
"""

MOST_FORMERS = 2
"""A reset that was real and a jump that was not, at most: more beliefs in a row are not kept."""

MOST_FORMER_MARKS = 12
"""Boundaries that are remembered of each: the state is written with every slot that closes."""


def wait_beside(
    former: Former | None,
    *,
    steady_ms: int,
    last_ms: int,
    at_ms: int,
    power_w: float | None,
    pace_w: float | None,
    rules: MeterRules,
    register: Rules,
) -> Former | None:
    """It as of a sample at `at_ms` (UTC), the last one having been at `last_ms`; None where nobody
    can come back to it any more. `pace_w` is what the register of now counts, as power, where power
    is not read. One that has jumped counts on as it did, only from elsewhere.
    """
    if former is None:
        return None

    before = former.state
    older = wait_beside(
        before.former,
        steady_ms=steady_ms,
        last_ms=last_ms,
        at_ms=at_ms,
        power_w=power_w,
        pace_w=pace_w,
        rules=rules,
        register=register,
    )
    if power_w is None and former.kind == "jump" and not former.is_conceded:
        power_w = pace_w
    seen = counting.integrate(
        before.counter, register, at_ms=steady_ms, power_w=power_w, stale_ms=rules.stale_ms
    )
    was_set_ms = abs(at_ms - before.shift_ms - steady_ms)
    if was_set_ms > rules.stale_ms or not _is_worth_keeping(seen, rules):
        return older
    marks = marks_up_to(before, seen.since, last_ms, at_ms, rules.slot_ms)
    marks = thinned(marks, MOST_FORMER_MARKS)
    return replace(former, state=replace(before, counter=seen, marks=marks, former=older))


def _is_worth_keeping(counter: Counter, rules: MeterRules) -> bool:
    """Whether what has passed since can still be told when the register comes back."""
    if counter.last_sample_ms - counter.at_ms > KEPT_MS:
        return False
    return counter.since.power_unknown_ms <= rules.max_gap_ms


def kept(state: DirectionState, kind: BeliefKind, raw_uwh: int, unallocated_uwh: int = 0) -> Former:
    """What waits after a belief of this kind: the direction as of the last reading before, power
    having been integrated up to the one that was believed, which showed `raw_uwh`.
    """
    suspects = state.counter.suspects
    shown_uwh = raw_uwh
    # One that rose has not shown less before: those were other suspects.
    if suspects and (kind != "rise" or suspects.first_raw_uwh >= state.counter.shown_uwh):
        shown_uwh = min(suspects.first_raw_uwh, raw_uwh)
    waits = replace(state, counter=replace(state.counter, suspects=None))
    former = Former(kind, waits, shown_uwh=shown_uwh, unallocated_uwh=unallocated_uwh)
    return _shallow(former, MOST_FORMERS)


def conceded(
    state: DirectionState, former: Former | None, counter: Counter, unallocated_uwh: int
) -> Former:
    """What waits once the counter goes along with a register that cannot be believed, slot after
    slot: the direction before the first of them, as if it had jumped. Nothing that such a register
    counts is true of the one before.
    """
    goes_on = former is not None and former.kind == "jump" and former.is_conceded
    if former is None or not goes_on:
        one = kept(state, "jump", counter.shown_uwh, unallocated_uwh)
        return replace(one, is_conceded=True, shown_uwh=counter.shown_uwh)
    left_uwh = former.unallocated_uwh + unallocated_uwh
    return replace(former, shown_uwh=counter.shown_uwh, unallocated_uwh=left_uwh)


def with_rise(state: DirectionState, former: Former | None, counter: Counter) -> Former | None:
    """What waits after a reading was believed: also the direction before (`state`), where it was a
    rise for which nothing else spoke.
    """
    if not is_new_rise(state, former, counter):
        return former
    if former is not None and former.kind == "rise":
        former = former.state.former
    return kept(replace(state, former=former), "rise", counter.shown_uwh)


def is_new_rise(state: DirectionState, former: Former | None, counter: Counter) -> bool:
    """Whether the register has just risen (`state`: before that), nothing else spoke for it, and no
    rise that is as large waits since lately to be taken back.
    """
    if not (counter.leap_uwh > 0 and counter.leap_ms == counter.at_ms):
        return False
    if former is None or former.kind != "rise":
        return True
    waits = former.state.counter
    is_old = counter.at_ms - waits.at_ms > RISE_KEPT_MS
    risen_uwh = counter.shown_uwh - state.counter.shown_uwh
    return is_old or risen_uwh > former.shown_uwh - waits.shown_uwh


def within_slot(state: DirectionState, seen: Counter, raw_uwh: int, rules: Rules) -> Former | None:
    """What a reading takes back though nothing was kept of it: a rise for which power spoke, too.
    None where it does not.

    Readings agree that the register stands lower than it did, and no lower than when a slot began
    that is not closed for good: it has not been reset, but was wrong meanwhile. No power is kept of
    that time. Or it is wrong now: `fallen`.
    """
    suspects = suspect(seen, rules, raw_uwh).suspects
    assert suspects is not None
    if suspects.count < CONFIRMATIONS or suspects.first_raw_uwh == 0:
        return None
    back_uwh = suspects.first_raw_uwh + seen.offset_uwh
    is_back = back_uwh <= raw_uwh + seen.offset_uwh < seen.register_uwh
    slots = (state.slot, state.passed.slot) if state.passed else (state.slot,)
    for slot in slots:
        stood_uwh = slot.begin_register_uwh
        step_uwh = rules.step_uwh(stood_uwh - seen.offset_uwh)
        # Not so where the register jumped in the slot.
        has_scale = stood_uwh <= slot.begin_uwh <= stood_uwh + step_uwh
        begin_ms = slot.from_ms - state.shift_ms
        if is_back and stood_uwh <= back_uwh and has_scale and begin_ms < seen.last_sample_ms:
            return _begin_of(slot, begin_ms, state, seen, rules)
    return None


def fallen(state: DirectionState, raw_uwh: int) -> Former:
    """What waits where a rise was taken back within a slot, by readings that show `raw_uwh`: the
    direction before them (`state`), power having gone on. What rose may have been true all the
    same. Then the register comes back to where it stood, by more than power explains.
    """
    return kept(state, "fall", raw_uwh)


def _begin_of(
    slot: OpenSlot, begin_ms: int, state: DirectionState, seen: Counter, rules: Rules
) -> Former:
    """The direction as it was when a slot began, at that steady time, as far as that is known."""
    stood_uwh = slot.begin_register_uwh
    first = counting.start(begin_ms, stood_uwh, None, rules)
    began = replace(
        first,
        counter_uwh=slot.begin_uwh,
        offset_uwh=seen.offset_uwh,
        low_uwh=None,
        high_uwh=None,
        gain=seen.gain,
        wavered_ms=seen.wavered_ms,
        agreed=CONFIRMATIONS,
        beginning=None,
    )
    unseen = counting.integrate(began, rules, at_ms=seen.last_sample_ms, power_w=None, stale_ms=0)
    empty = OpenSlot.after(slot.begin)
    empty = replace(
        empty,
        start_ms=slot.start_ms,
        placed=slot.placed,
        revision=slot.revision,
        missed_from_ms=slot.missed_from_ms,
    )
    old = replace(state, counter=unseen, slot=empty, marks=(), passed=None, refinement=None)
    return Former("rise", old, shown_uwh=seen.shown_uwh)


def _shallow(former: Former, most: int) -> Former:
    """The newest ones of a chain."""
    older = former.state.former
    if most <= 1:
        older = None
    elif older is not None:
        older = _shallow(older, most - 1)
    return replace(former, state=replace(former.state, former=older))


def _follows(former: Former, now: Counter, raw_uwh: int, rules: Rules, stale_ms: int) -> bool:
    """Whether a reading goes on from where the register stood before, and not from where it was
    believed to be. Of both counters power was integrated up to it.
    """
    then = former.state.counter
    elapsed_ms = then.last_sample_ms - then.at_ms
    step_uwh = rules.step_uwh(raw_uwh)
    moved_uwh = raw_uwh - then.shown_uwh
    # What was counted meanwhile has passed for the former register, too: one that counts up to
    # where it stood is not back. But nothing counts down: one that has jumped, and is back, may
    # have been another meter's meanwhile.
    counted_uwh = max(now.shown_uwh - former.shown_uwh, 0)
    least_uwh = 0 if former.kind == "jump" else counted_uwh
    least_uwh -= 2 * JITTER_STEPS * step_uwh
    if not least_uwh <= moved_uwh <= rules.most_uwh(elapsed_ms, raw_uwh):
        return False
    is_first = former.returned == 0
    if is_first and not _may_have_moved(then, now, moved_uwh, counted_uwh, rules, stale_ms):
        return False

    if former.kind in ("jump", "rise"):
        return raw_uwh < now.shown_uwh - JITTER_STEPS * step_uwh
    if former.kind == "reset" and former.shown_uwh * 2 > then.shown_uwh:
        # One that is reset begins near 0. This one only stood lower.
        return True
    if former.kind == "reset" and now.shown_uwh > then.shown_uwh:
        # It has counted past where it stood, and what it does now is its own.
        return False
    risen_uwh = raw_uwh - now.shown_uwh
    if not is_first:
        # The first that followed was more than power explains, with all margins.
        since = now.since
        by_power_uwh = now.gain.applied(since.power_uwh) + 2 * since.power_uncertainty_uwh
        if risen_uwh - by_power_uwh > JITTER_STEPS * step_uwh and not since.power_unknown_ms:
            return True
    return unexplained_uwh(now, risen_uwh, stale_ms) > step_uwh


def _may_have_moved(
    then: Counter, now: Counter, moved_uwh: int, counted_uwh: int, rules: Rules, stale_ms: int
) -> bool:
    """Whether the former register can have moved so much, the one that is believed having counted
    so much meanwhile.
    """
    elapsed_ms = then.last_sample_ms - then.at_ms
    if is_gross(then, rules, moved_uwh - 3 * counted_uwh, elapsed_ms):
        return False
    # One that counts, if from elsewhere, has seen what passed, also where power was not known.
    steps_uwh = 2 * JITTER_STEPS * rules.step_uwh(then.shown_uwh)
    if counted_uwh <= steps_uwh // 2:
        return True
    beside_uwh = unexplained_uwh(now, moved_uwh - counted_uwh * 5 // 4, stale_ms)
    return min(beside_uwh, moved_uwh - explained_uwh(then)) <= steps_uwh


def returning(
    former: Former | None, now: Counter, raw_uwh: int, rules: Rules, stale_ms: int
) -> Former | None:
    """The former register that a reading follows, the newest one first, with this reading counted;
    None where it follows none.
    """
    if former is None:
        return None
    if _follows(former, now, raw_uwh, rules, stale_ms):
        return replace(former, returned=former.returned + 1)
    return returning(former.state.former, now, raw_uwh, rules, stale_ms)


def with_returned(former: Former, one: Former) -> Former:
    """The chain with the one in it that a reading followed."""
    if former.state.counter.at_ms == one.state.counter.at_ms:
        return one
    older = former.state.former
    assert older is not None, "it is one of the chain"
    return replace(former, state=replace(former.state, former=with_returned(older, one)))


def without_returns(former: Former | None) -> Former | None:
    """The chain after a reading that follows none of it."""
    if former is None:
        return None
    older = without_returns(former.state.former)
    if older is former.state.former and not former.returned:
        return former
    return replace(former, returned=0, state=replace(former.state, former=older))


def is_back(former: Former) -> bool:
    """Whether enough readings have followed it."""
    return former.returned >= AGREEING


def has_begun_anew(state: DirectionState, since_ms: int) -> bool:
    """Whether its register is believed to have been reset, after that steady time."""
    former = state.former
    return former is not None and former.kind == "reset" and former.state.counter.at_ms >= since_ms


def forgotten(state: MeterState) -> MeterState:
    """A series that ends: what it believed stays."""
    directions = {
        direction: each if each.former is None else replace(each, former=None)
        for direction, each in state.directions.items()
    }
    return replace(state, directions=directions)


def confirmable(state: MeterState) -> Iterator[tuple[Direction, str]]:
    """What its registers are believed to have done, and may yet be taken back."""
    for direction, each in state.directions.items():
        former = each.former
        while former is not None:
            if former.kind != "rise":
                then = wh(former.state.counter.shown_uwh)
                yield direction, f"{former.kind} from {then} to {wh(former.shown_uwh)}"
            former = former.state.former


def confirmed(state: MeterState, direction: Direction, at_ms: int) -> MeterState:
    """The state after a person has said, at this UTC, that what the register was believed to have
    done up to then is true: coming back to where it stood before undoes nothing.
    """
    one = state.directions[direction]
    former = _unconfirmed(one.former, at_ms)
    if former is one.former:
        return state
    directions = {**state.directions, direction: replace(one, former=former)}
    return replace(state, directions=directions)


def _unconfirmed(former: Former | None, at_ms: int) -> Former | None:
    if former is None:
        return None
    older = _unconfirmed(former.state.former, at_ms)
    if former.kind != "rise" and former.state.at_ms <= at_ms:
        return older
    if older is former.state.former:
        return former
    return replace(former, state=replace(former.state, former=older))


def told(former: Former, raw_uwh: int) -> Finding | None:
    """What a person should know when a belief is taken back. Of rises and falls it is told once an
    hour.
    """
    if former.kind in ("rise", "fall") and was_told_lately(former.state.counter):
        return None
    then = wh(former.state.counter.shown_uwh)
    text = (
        f"the register is back where it was before the {former.kind}, at {wh(raw_uwh)} after "
        f"{then}: the {former.kind} is taken back, and what passed since is booked anew"
    )
    if former.unallocated_uwh:
        text += f"; {wh(former.unallocated_uwh)} are no longer unallocated"
    return Finding("glitch", 0, text)
