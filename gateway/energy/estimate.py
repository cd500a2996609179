"""The true energy behind a register that moves in steps, now and at boundaries that have passed.
Pure.

Two ways lead to it. One follows power, which each reading of the register holds inside of its step
(`track`). The other goes by the register's steps alone (`pace`). Whose power it is shows at each
step that lies between two others: it is foretold from its neighbours, once with power and once
evenly, and the better foreteller counts for more. So a power that is absent, or another line's, or
blind for what the register counts, counts for little. What a meter's power is off by is learnt
meanwhile (`power_faults`).

A boundary goes on learning for as long as it is kept: readings after it say where it was. Its value
never leaves what the registers before and after it leave open.

The order of things is that of the power line. Where power is late by d, what it shows at t happened
at t − d: a reading of the register at t belongs to t + d on that line, and so does a boundary.
Where the register is late by d, its reading at t belongs to t − d, and a boundary stays where it
is. `place` is a moment on that line.

Energies are in Wh from where the series began, as floats; times in s; powers in W.
"""

import msgspec
from msgspec.structs import replace

from gateway.energy.delay_search import FINE_S, DelaySearch, searched
from gateway.energy.pace import KEPT, Paced, Step
from gateway.energy.power_faults import (
    NWH_PER_WH,
    Crossing,
    Faults,
    Sums,
    bare,
    crossed,
    crossing_at,
    is_steady,
    stayed,
)
from gateway.energy.power_line import (
    CHANGES,
    HOURS_PER_S,
    Passed,
    Segment,
    known_later,
    passed,
    power_at,
    rounded,
    segment,
    towards,
    whole,
)
from gateway.energy.track import Past, Track, looked_back, surprise, within

SLEW = 0.02
"""The delay that is applied comes nearer to what was found by so many seconds each second."""

RATING_SHARE = 1 / 40
"""How much the last step counts in the rating of power and pace."""

PULSING_STEPS = 0.1
"""Where power is uncertain by more than this part of a step from one to the next, it is rated
apart: what is good for calm hours may be blind for a hob's.
"""

LAZY = 3.0
"""A register that was found so often to stand still while more than its step passed is refreshed
only now and then. Its standing still says nothing.
"""

MOST_LAZY = 6.0

MOST_W = 3000.0
MOST_PACES = 4.0
MOST_POWERS = 2.0
"""From a boundary to the nearest reading no more passes than at so much power, and at so many times
the pace between the readings, and the power that is shown. Chosen, not measured: a hob is switched
on within it.
"""


class Seen(msgspec.Struct, frozen=True):
    """What a register shows: the energy is between these two."""

    low_wh: float
    high_wh: float

    @property
    def step_wh(self) -> float:
        return self.high_wh - self.low_wh


class Sight(msgspec.Struct, frozen=True, array_like=True):
    """A sample that is yet to be looked at."""

    place: float
    at_s: float
    low_wh: float | None
    high_wh: float | None
    slope_nwh: int
    stair_nwh: int
    change_w2: float
    """The square of power's change since the sample before."""
    wobble_w2: float
    """The larger one of the last two."""


class Rating(msgspec.Struct, frozen=True, array_like=True):
    """The mean square of what each way of foretelling a step is off by, in Wh²; what the step is
    uncertain by itself is taken off.
    """

    power: float
    pace: float


class Foretold(msgspec.Struct, frozen=True, array_like=True):
    """One step after another, as the middle one of three is foretold."""

    corrected_wh: float
    lasted_s: float
    power_variance: float
    moved_wh: float
    variance: float
    variance_before: float


class Milestone(msgspec.Struct, frozen=True, array_like=True):
    """A boundary, where the track passed it, and what had passed by power then."""

    end_s: float
    power_w: float
    sums: Sums


class Estimate(msgspec.Struct, frozen=True, array_like=True):
    """One direction of one meter, as of its last sample."""

    at_s: float
    power_w: float | None
    """What was shown last; None: nothing that counts."""
    place: float
    """How far the track has come."""
    track: Track
    register: tuple[float, float]
    """The bounds that the register last gave."""
    seen_s: float
    """When it was last looked at."""
    seen_place: float
    seen_nwh: int
    """What had passed by power then."""
    segments: tuple[Segment, ...] = ()
    changes: tuple[float, ...] = ()
    sights: tuple[Sight, ...] = ()
    ahead: tuple[tuple[float, float], ...] = ()
    """Boundaries that the track has not reached: place and time."""
    past: tuple[Past, ...] = ()
    paced: tuple[Paced, ...] = ()
    steps: tuple[Step, ...] = ()
    sums: Sums = Sums()
    """`slope_nwh` and `stair_nwh` are as of the last sample, the others as of `place`."""
    last: Crossing | None = None
    before: Foretold | None = None
    faults: Faults = Faults()
    ratings: tuple[Rating | None, Rating | None] = (None, None)
    """While power is calm, and while it pulses."""
    pulses: bool = False
    scatter: float = 1.0
    """How much more the register's steps scatter around the track than was foretold."""
    interval_s: float = 0.0
    """Between the last two readings of the register."""
    laziness: float = 0.0
    search: DelaySearch | None = None
    """Where samples are fine, and the register is not lazy."""
    idle: int = 0
    """Samples since `place` at which nothing passed (`_is_idle`)."""
    milestones: tuple[Milestone, ...] = ()
    """The last two boundaries."""


def begun(at_s: float, seen: Seen, power_w: float | None) -> Estimate:
    """The estimate at the first reading: anywhere in the register's step."""
    middle_wh = (seen.low_wh + seen.high_wh) / 2
    return Estimate(
        at_s=at_s,
        power_w=power_w,
        place=at_s,
        track=Track(middle_wh, seen.step_wh**2 / 12),
        register=(seen.low_wh, seen.high_wh),
        seen_s=at_s,
        seen_place=at_s,
        seen_nwh=0,
        steps=(Step(at_s, middle_wh),),
    )


def begun_again(estimate: Estimate, at_s: float, seen: Seen, power_w: float | None) -> Estimate:
    """The estimate where the register goes on from elsewhere; what is known of power stays, and
    boundaries are forgotten.
    """
    fresh = begun(at_s, seen, power_w)
    faults = replace(estimate.faults, long=None, steady=None, candidate=None)
    return replace(
        fresh,
        faults=faults,
        ratings=estimate.ratings,
        pulses=estimate.pulses,
        scatter=estimate.scatter,
        laziness=estimate.laziness,
    )


def advanced(
    estimate: Estimate,
    at_s: float,
    power_w: float | None,
    seen: Seen | None,
    ends_s: tuple[float, ...] = (),
    *,
    refreshed_s: float = 0.0,
) -> Estimate:
    """One sample further. `seen` is the register, if it is believed; `ends_s` are the boundaries
    since the sample before, that of the sample itself included. `refreshed_s` is how often the
    register moves, if that is told.
    """
    if _is_idle(estimate, at_s, power_w, seen, ends_s):
        return replace(estimate, at_s=at_s, idle=estimate.idle + 1)
    if estimate.idle:
        # All of that time is one sample: its last.
        idle, idle_s = estimate.idle, estimate.at_s
        begin = replace(estimate, at_s=estimate.place, idle=0)
        still = Seen(*estimate.register)
        estimate = _sampled(begin, idle_s, 0.0, still, (), refreshed_s, samples=idle)
    return _sampled(estimate, at_s, power_w, seen, ends_s, refreshed_s)


def _is_idle(
    estimate: Estimate,
    at_s: float,
    power_w: float | None,
    seen: Seen | None,
    ends_s: tuple[float, ...],
) -> bool:
    """Whether a sample shows what the one before showed, and that is no power: it tells nothing but
    that time has passed, whose energy is one sum. So it is in one direction of most meters, most of
    the time.
    """
    if power_w != 0 or estimate.power_w != 0 or ends_s:
        return False
    if seen is None or (seen.low_wh, seen.high_wh) != estimate.register:
        return False
    if at_s - estimate.at_s <= FINE_S or estimate.search is not None:
        return False
    was_seen = estimate.seen_s == estimate.place
    is_done = not estimate.sights and not estimate.ahead and estimate.faults.candidate is None
    if not (was_seen and is_done):
        return False
    return not estimate.past or all(each.high_wh is not None for each in estimate.past)


def _sampled(
    estimate: Estimate,
    at_s: float,
    power_w: float | None,
    seen: Seen | None,
    ends_s: tuple[float, ...],
    refreshed_s: float,
    *,
    samples: int = 1,
) -> Estimate:
    """One sample further, or so many that are one: power's noise is drawn anew at each."""
    elapsed_s = at_s - estimate.at_s
    # What is not shown is as the other one was.
    end_w = power_w if power_w is not None else estimate.power_w or 0.0
    begin_w = estimate.power_w if estimate.power_w is not None else end_w
    change_w2 = (end_w - begin_w) ** 2
    changes = estimate.changes
    wobble_w2 = changes[-1] if changes and changes[-1] > change_w2 else change_w2
    changes = (*changes, *(change_w2,) * samples)[-CHANGES:]
    low_wh, high_wh = (None, None) if seen is None else (seen.low_wh, seen.high_wh)
    sums = estimate.sums
    nwh_per_w = elapsed_s * HOURS_PER_S * NWH_PER_WH
    # What passed as if power were of the moment, and as if it were a mean.
    slope_nwh = sums.slope_nwh + round((begin_w + end_w) * nwh_per_w / 2)
    stair_nwh = sums.stair_nwh + round(end_w * nwh_per_w)
    delay_s = estimate.faults.delay.now_s
    sight = Sight(at_s + delay_s, at_s, low_wh, high_wh, slope_nwh, stair_nwh, change_w2, wobble_w2)
    one = segment(estimate.at_s, at_s, begin_w, end_w, changes, samples)
    if elapsed_s <= FINE_S or estimate.search is not None:
        estimate = _with_delay(estimate, sight, elapsed_s, is_shown=power_w is not None)
    delay = estimate.faults.delay
    if not (ends_s or delay.now_s or delay.aim_s) and _is_caught_up(estimate):
        # Nearly always: what was shown is looked at when it is.
        what = whole(one, is_mean=estimate.faults.mean.is_mean)
        corrected_wh, sums = _corrected(estimate, what, elapsed_s, slope_nwh, stair_nwh)
        estimate = replace(
            estimate,
            at_s=at_s,
            power_w=power_w,
            place=at_s,
            track=estimate.track.moved(corrected_wh, what.variance),
            changes=changes,
            sums=sums,
        )
        return _looked_at(estimate, sight, refreshed_s)

    estimate = replace(
        estimate,
        at_s=at_s,
        power_w=power_w,
        segments=(*estimate.segments, one),
        changes=changes,
        sights=(*estimate.sights, sight),
        sums=replace(sums, slope_nwh=slope_nwh, stair_nwh=stair_nwh),
    )
    if ends_s:
        estimate = _with_ends(estimate, ends_s, max(delay_s, 0.0))
    if delay.now_s != delay.aim_s:
        estimate = _slewed(estimate, elapsed_s)
    return _caught_up(estimate, at_s + min(estimate.faults.delay.now_s, 0.0) + 1e-9, refreshed_s)


def _slewed(estimate: Estimate, elapsed_s: float) -> Estimate:
    """The delay that is applied, nearer to its aim."""
    faults = estimate.faults
    delay = faults.delay
    now_s = towards(delay.now_s, delay.aim_s, SLEW * elapsed_s)
    return replace(estimate, faults=replace(faults, delay=replace(delay, now_s=now_s)))


def _with_ends(estimate: Estimate, ends_s: tuple[float, ...], late_s: float) -> Estimate:
    """The boundaries wait to be reached, and for the register's steps after them."""
    return replace(
        estimate,
        ahead=(*estimate.ahead, *((end_s + late_s, end_s) for end_s in ends_s)),
        paced=(*estimate.paced, *(Paced(end_s) for end_s in ends_s)),
    )


def _is_caught_up(estimate: Estimate) -> bool:
    """Whether the track has come as far as the last sample, and nothing waits."""
    waits = estimate.sights or estimate.ahead or estimate.segments
    return not waits and estimate.place == estimate.at_s


def _with_delay(estimate: Estimate, sight: Sight, elapsed_s: float, *, is_shown: bool) -> Estimate:
    """The delay as it looks where samples are fine."""
    if elapsed_s > FINE_S or not is_shown or estimate.laziness > LAZY:
        return estimate if estimate.search is None else replace(estimate, search=None)
    low_wh = estimate.sights[-1].low_wh if estimate.sights else estimate.register[0]
    has_stepped = None not in (low_wh, sight.low_wh) and sight.low_wh != low_wh
    step_wh = sight.low_wh if has_stepped else None
    search = searched(
        estimate.search or DelaySearch(), sight.at_s, sight.slope_nwh / NWH_PER_WH, step_wh
    )
    delay = estimate.faults.delay
    found_s = search.found_s if search.count != (estimate.search or search).count else None
    if found_s is not None and found_s != delay.aim_s:
        faults = replace(estimate.faults, delay=replace(delay, aim_s=rounded(found_s, 1e3)))
        return replace(estimate, search=search, faults=faults)
    return replace(estimate, search=search)


def _caught_up(estimate: Estimate, to: float, refreshed_s: float) -> Estimate:
    """Everything that lies up to there on the power line, in order."""
    while True:
        sight = estimate.sights[0] if estimate.sights else None
        ahead = estimate.ahead[0] if estimate.ahead else None
        if sight is not None and sight.place <= to and (ahead is None or sight.place <= ahead[0]):
            estimate = replace(_moved(estimate, sight.place), sights=estimate.sights[1:])
            estimate = _looked_at(estimate, sight, refreshed_s)
        elif ahead is not None and ahead[0] <= to:
            estimate = _moved(estimate, ahead[0])
            past = _passing(estimate, ahead)
            milestone = _milestone(past, estimate.sums)
            estimate = replace(
                estimate,
                ahead=estimate.ahead[1:],
                past=(*estimate.past, past),
                milestones=(*estimate.milestones[-1:], milestone),
            )
        else:
            return estimate


def _moved(estimate: Estimate, place: float) -> Estimate:
    """The track further on, by power."""
    if place <= estimate.place:
        return estimate
    segments, sums = estimate.segments, estimate.sums
    is_mean = estimate.faults.mean.is_mean
    what = passed(segments, estimate.place, place, is_mean=is_mean)
    lasted_s = place - estimate.place
    corrected_wh, sums = _corrected(estimate, what, lasted_s, sums.slope_nwh, sums.stair_nwh)
    gone = 0
    while gone < len(segments) and segments[gone].end_s <= place:
        gone += 1
    return replace(
        estimate,
        place=place,
        track=estimate.track.moved(corrected_wh, what.variance),
        segments=segments[gone:],
        sums=sums,
    )


def _corrected(
    estimate: Estimate, what: Passed, lasted_s: float, slope_nwh: int, stair_nwh: int
) -> tuple[float, Sums]:
    """What passed by power, once that is corrected, and what has passed in all."""
    shown_s = lasted_s - what.idle_s
    corrected_wh = estimate.faults.correction.applied(what.wh, shown_s, what.idle_s)
    sums = estimate.sums
    return corrected_wh, Sums(
        sums.nwh + round(what.wh * NWH_PER_WH),
        sums.corrected_nwh + round(corrected_wh * NWH_PER_WH),
        sums.variance + what.variance,
        sums.idle_s + what.idle_s,
        slope_nwh,
        stair_nwh,
    )


def _passing(estimate: Estimate, ahead: tuple[float, float]) -> Past:
    """A boundary, where the track passes it."""
    track = estimate.track
    end_s = ahead[1]
    is_shown = estimate.seen_s == end_s and estimate.faults.delay.now_s >= 0
    is_shown = is_shown and estimate.laziness <= LAZY
    low_wh, high_wh = estimate.register
    less, apart = 0.0, 0.0
    if not (estimate.faults.mean.is_mean or estimate.faults.delay.now_s):
        less, apart = known_later(estimate.segments, estimate.place)
    return Past(
        end_s,
        track.wh,
        track.variance - less,
        track.variance - apart,
        estimate.place,
        low_wh,
        high_wh if is_shown else None,
        power_at(estimate.segments, estimate.place, estimate.power_w or 0.0),
    )


def _milestone(past: Past, sums: Sums) -> Milestone:
    bare_sums = Sums(sums.nwh, sums.corrected_nwh, sums.variance, sums.idle_s)
    return Milestone(past.end_s, rounded(past.power_w, 1e3), bare_sums)


def _looked_at(estimate: Estimate, sight: Sight, refreshed_s: float) -> Estimate:
    """After the register was looked at."""
    interval_s = sight.at_s - estimate.seen_s
    faults = estimate.faults
    if faults.candidate is not None:
        if is_steady(sight.change_w2, faults.candidate.power_w):
            step_wh = estimate.register[1] - estimate.register[0]
            faults = stayed(faults, interval_s, step_wh)
        else:
            faults = replace(faults, candidate=None)
    if sight.low_wh is None or sight.high_wh is None:
        return estimate if faults is estimate.faults else replace(estimate, faults=faults)

    laziness = estimate.laziness
    if refreshed_s > 1.5 * interval_s:
        laziness = MOST_LAZY
    elif refreshed_s and not faults.delay.told_s:
        # Its reading is anything from new to as old as it gets.
        delay = replace(faults.delay, aim_s=-refreshed_s / 2, told_s=-refreshed_s / 2)
        faults = replace(faults, delay=delay)
    has_moved = sight.low_wh > estimate.register[0]
    looked = replace(
        estimate,
        seen_s=sight.at_s,
        seen_nwh=estimate.sums.corrected_nwh,
        interval_s=interval_s,
        laziness=laziness,
        faults=faults,
    )
    if not has_moved and laziness > LAZY:
        return looked

    first = None
    if has_moved:
        since_wh = (estimate.sums.corrected_nwh - estimate.seen_nwh) / NWH_PER_WH
        looked = _stepped(looked, sight, since_wh)
        first = looked.last if estimate.last is None else None
    return _held(looked, Seen(sight.low_wh, sight.high_wh), sight.at_s, first, estimate.last)


def _held(
    estimate: Estimate, seen: Seen, at_s: float, first: Crossing | None, last: Crossing | None
) -> Estimate:
    """The track inside of the register's step, and the boundaries as they look from there. The
    `first` step of all says where the energy is: nothing was known of that before. `last` is the
    step before this reading.
    """
    added = surprise(estimate.track, seen.low_wh, seen.high_wh) if first is None else 0.0
    before = Track(estimate.track.wh, estimate.track.variance + added)
    after = within(before, seen.low_wh, seen.high_wh)
    if first is not None and first.variance < after.variance:
        after = Track(first.wh, first.variance)
    past = estimate.past
    if past:
        early_s = max(0.0, -estimate.faults.delay.now_s)
        is_telling = estimate.laziness <= LAZY
        revised = []
        for each in past:
            part = _part_before(estimate, each, seen, last) if added else 0.0
            new = looked_back(each, before, after, added, part)
            if new.high_wh is None and is_telling and at_s >= each.end_s + early_s:
                new = _between(new, estimate, seen, at_s - early_s)
            revised.append(new)
        past = tuple(revised)
    return replace(
        estimate,
        track=after,
        past=past,
        register=(seen.low_wh, seen.high_wh),
        seen_place=estimate.place,
    )


def _part_before(estimate: Estimate, past: Past, seen: Seen, last: Crossing | None) -> float:
    """How much of what power is found to be off by was before a boundary, of all since the last
    step of the register. What it showed too much was where it showed something; what it missed was
    at any time.
    """
    begin = last.at_s if last is not None else estimate.steps[0].at_s
    if past.end_s <= begin:
        return 0.0
    if last is not None and seen.high_wh < estimate.track.wh:
        for each in estimate.milestones:
            if each.end_s == past.end_s:
                nwh = max(each.sums.nwh - last.sums.nwh, 0)
                return nwh / max(estimate.sums.nwh - last.sums.nwh, nwh, 1)
    return min((past.end_s - begin) / max(estimate.seen_s - begin, 1e-3), 1.0)


def _between(past: Past, estimate: Estimate, seen: Seen, at_s: float) -> Past:
    """The boundary, between what the registers before and after it allow. Near to one of them, it
    is near to that one.
    """
    moved_wh = seen.low_wh - estimate.register[0]
    pace_w = moved_wh / HOURS_PER_S / max(estimate.interval_s, 1e-3)
    most_w = MOST_W + MOST_PACES * pace_w + MOST_POWERS * (estimate.power_w or 0.0)
    after_s = at_s - past.end_s
    before_s = estimate.interval_s - after_s
    low_wh = max(past.low_wh, seen.low_wh - most_w * after_s * HOURS_PER_S)
    high_wh = min(seen.high_wh, estimate.register[1] + most_w * before_s * HOURS_PER_S)
    return replace(past, low_wh=low_wh, high_wh=max(high_wh, low_wh))


def _stepped(estimate: Estimate, sight: Sight, since_wh: float) -> Estimate:
    """The register has moved: what that says of the register, of power, and of their being one."""
    assert sight.low_wh is not None and sight.high_wh is not None
    step_wh = sight.high_wh - sight.low_wh
    moved_wh = sight.low_wh - estimate.register[0]
    interval_s = estimate.interval_s
    last = estimate.last
    elapsed_s = sight.at_s - (last.at_s if last else estimate.steps[0].at_s)
    laziness = _laziness(estimate, moved_wh, step_wh, elapsed_s, since_wh)
    is_lazy = laziness > LAZY

    wide_wh = step_wh
    if not is_lazy and moved_wh <= 1.5 * step_wh:
        by_pace_wh = moved_wh / max(elapsed_s, interval_s) * interval_s
        by_wh = since_wh if estimate.power_w is not None else by_pace_wh
        wide_wh = min(max(by_wh, 0.02 * step_wh), step_wh)
    power_w = power_at(estimate.segments, estimate.place, estimate.power_w or 0.0)
    # Steps that overlap, as those of a coarse float do, leave open where one begins.
    overlap_wh = max(step_wh - moved_wh, 0.0)
    sums = estimate.sums
    if sums.slope_nwh != sight.slope_nwh or sums.stair_nwh != sight.stair_nwh:
        sums = replace(sums, slope_nwh=sight.slope_nwh, stair_nwh=sight.stair_nwh)
    crossing = crossing_at(sight.at_s, sight.low_wh, wide_wh, power_w, sums, overlap_wh)
    step = _step(estimate, sight, moved_wh, is_lazy=is_lazy)
    steps = (*estimate.steps[1 - KEPT :], step)
    faults = estimate.faults
    if estimate.power_w is not None:
        if faults.candidate is None and is_steady(sight.wobble_w2, power_w):
            faults = replace(faults, candidate=crossing)
        faults = crossed(faults, crossing, step_wh)
    new = replace(estimate, laziness=laziness, steps=steps, faults=faults)
    new = _rated(new, crossing, step_wh, elapsed_s)
    if not estimate.paced:
        return new
    register = sight.low_wh, sight.high_wh
    pulses = is_pulsing(new)
    paced = [each.and_then(step, steps, register, pulses=pulses) for each in estimate.paced]
    return replace(new, paced=tuple(paced))


def _laziness(
    estimate: Estimate,
    moved_wh: float,
    step_wh: float,
    elapsed_s: float,
    since_wh: float,
) -> float:
    """How sure it is that the register is refreshed only now and then."""
    laziness = estimate.laziness
    if elapsed_s <= 1.01 * estimate.interval_s:
        return max(laziness - 0.5, 0.0)
    last = estimate.last
    if last is None or estimate.power_w is None:
        return laziness
    wh = (estimate.sums.nwh - last.sums.nwh) / NWH_PER_WH
    waited_wh = wh - since_wh
    uncertain_wh = (estimate.sums.variance - last.sums.variance) ** 0.5
    stood_still = waited_wh * 0.97 > 1.5 * step_wh + 3 * uncertain_wh
    if stood_still and abs(moved_wh - wh) < 0.5 * waited_wh:
        return max(laziness, min(laziness + 1, MOST_LAZY))
    return laziness


def _step(estimate: Estimate, sight: Sight, moved_wh: float, *, is_lazy: bool) -> Step:
    """When and where the step was."""
    assert sight.low_wh is not None and sight.high_wh is not None
    step_wh = sight.high_wh - sight.low_wh
    early_s = min(estimate.faults.delay.now_s, 0.0)
    half_s = estimate.interval_s / 2
    if is_lazy:
        later_s = half_s if estimate.power_w is None else 0.0
        return Step(sight.at_s - later_s + early_s, sight.low_wh + step_wh / 2, half_s)
    # Of several steps at once the last one came that much later.
    half_s /= max(moved_wh / step_wh, 1.0)
    return Step(sight.at_s - half_s + early_s, sight.low_wh, half_s)


def _rated(estimate: Estimate, crossing: Crossing, step_wh: float, elapsed_s: float) -> Estimate:
    """The step before, foretold from its neighbours with power and evenly."""
    last = estimate.last
    if last is None:
        return replace(estimate, last=bare(crossing))

    moved_wh = crossing.wh - last.wh
    # By what is known of power now: most of it may have just been learnt.
    idle_s = crossing.sums.idle_s - last.sums.idle_s
    corrected_wh = estimate.faults.correction.applied(
        (crossing.sums.nwh - last.sums.nwh) / NWH_PER_WH, elapsed_s - idle_s, idle_s
    )
    variance = crossing.sums.variance - last.sums.variance + 1e-9
    pulses = variance > (PULSING_STEPS * step_wh) ** 2
    ratings = estimate.ratings
    before = estimate.before
    if before is not None:
        whole_wh = before.moved_wh + moved_wh
        rest_wh = whole_wh - before.corrected_wh - corrected_wh
        share = before.power_variance / (before.power_variance + variance)
        by_power_wh = before.corrected_wh + rest_wh * share
        evenly_wh = whole_wh * before.lasted_s / (before.lasted_s + elapsed_s)
        most_wh = 2 * step_wh + 0.3 * moved_wh
        noise = before.variance + (crossing.variance + before.variance_before) / 4
        power = min(abs(by_power_wh - before.moved_wh), most_wh) ** 2 - noise
        pace = min(abs(evenly_wh - before.moved_wh), most_wh) ** 2 - noise
        old = ratings[pulses]
        if old is None:
            new = Rating(rounded(power, 1e9), rounded(pace, 1e9))
        else:
            new = Rating(
                rounded(old.power + RATING_SHARE * (power - old.power), 1e9),
                rounded(old.pace + RATING_SHARE * (pace - old.pace), 1e9),
            )
        ratings = (ratings[0], new) if pulses else (new, ratings[1])

    off_wh = crossing.wh - estimate.track.wh
    off = off_wh * off_wh / (estimate.track.variance + crossing.variance)
    return replace(
        estimate,
        last=bare(crossing),
        before=Foretold(
            rounded(corrected_wh, 1e6),
            rounded(elapsed_s, 1e3),
            rounded(variance, 1e9),
            rounded(moved_wh, 1e6),
            crossing.variance,
            last.variance,
        ),
        ratings=ratings,
        pulses=pulses,
        scatter=rounded(estimate.scatter + 0.02 * (min(off, 9.0) - estimate.scatter), 1e6),
    )


def is_pulsing(estimate: Estimate) -> bool:
    """Whether power is known to go on and off within less than a sample."""
    return estimate.pulses and estimate.laziness <= LAZY


def forgotten(estimate: Estimate, before_s: float) -> Estimate:
    """The estimate, which keeps no boundary before that."""
    return replace(
        estimate,
        past=tuple(each for each in estimate.past if each.end_s >= before_s),
        paced=tuple(each for each in estimate.paced if each.end_s >= before_s),
        ahead=tuple(each for each in estimate.ahead if each[1] >= before_s),
    )
