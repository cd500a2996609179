"""The estimate (`estimate`) of one direction beside its counter: the counter's µWh, steady time and
beliefs on one side, its Wh and seconds on the other. Pure.

The counter says which readings are believed, and on which scale. The estimate follows it, and says
where the energy was at boundaries that have passed.
"""

from typing import TypeVar

import msgspec
from msgspec.structs import replace

from gateway.energy.boundary import (
    Known,
    at_boundary,
    between_uncertainty_wh,
    passed_uncertainty_wh,
)
from gateway.energy.carried import end_of
from gateway.energy.counter import UWH_PER_WH, Counter
from gateway.energy.estimate import (
    Estimate,
    Milestone,
    Seen,
    advanced,
    begun,
    begun_again,
    forgotten,
)
from gateway.energy.register import Rules
from gateway.energy.track import Past

Moment = TypeVar("Moment", Past, Milestone)

MOST_KEPT = 3
"""Boundaries that are kept. More pass while they are looked back at only where slots are short, or
while the register is silent; then the oldest one is forgotten.
"""

ABOUT_MS = 2000
"""A boundary is found again though the clock was corrected by so much."""

MOST_WAITING = 40
"""Samples that may wait for a delay to pass. More of them, and the delay is not applied."""


class Refinement(msgspec.Struct, frozen=True, array_like=True):
    """An estimate, and from where on it counts."""

    origin_ms: int
    """In steady time."""
    origin_uwh: int
    """On the counter's scale."""
    estimate: Estimate


class Refined(msgspec.Struct, frozen=True):
    """Where the counter is to stand at a boundary."""

    counter_uwh: int
    uncertainty_uwh: int
    """By how much what the truth is taken to be may be off, either way, in 95 of 100 cases; but for
    what is late.
    """
    late_uwh: int
    """The same of what passes during a delay that is not known: off the same way everywhere."""
    passed_uwh: int | None
    """The same of what passed since the slot began; None: only its ends tell."""
    is_known: bool
    """Whether later readings will hardly say more."""
    off_uwh: int
    """By how much the counter stands above what the truth is taken to be (`carried`)."""
    began: Known | None
    """What is known of where the slot began; None: later readings may say more of it."""


def begun_at(counter: Counter, register: Rules) -> Refinement:
    """The refinement from a reading on that was believed."""
    origin_uwh = counter.register_uwh
    seen = _seen(counter, register, origin_uwh)
    return Refinement(counter.at_ms, origin_uwh, begun(0.0, seen, counter.power_w))


def elsewhere(refinement: Refinement, counter: Counter, register: Rules) -> Refinement:
    """The refinement where the register goes on from elsewhere: what is known of power stays."""
    at_s = (counter.at_ms - refinement.origin_ms) / 1000
    seen = _seen(counter, register, refinement.origin_uwh)
    estimate = begun_again(refinement.estimate, at_s, seen, counter.power_w)
    return replace(refinement, estimate=estimate)


def followed(
    refinement: Refinement,
    counter: Counter,
    register: Rules,
    ends_ms: tuple[int, ...],
    *,
    is_believed: bool,
    wanted_ms: int,
) -> Refinement:
    """The refinement after one more sample, which the counter has seen: believed or not.
    `ends_ms` are the boundaries since the one before, in steady time; those before `wanted_ms` are
    forgotten.
    """
    origin_ms = refinement.origin_ms
    at_s = (counter.last_sample_ms - origin_ms) / 1000
    seen = _seen(counter, register, refinement.origin_uwh) if is_believed else None
    ends_s: tuple[float, ...] = ()
    if ends_ms:
        ends_s = tuple((end_ms - origin_ms) / 1000 for end_ms in ends_ms[-MOST_KEPT:])
    estimate = advanced(
        refinement.estimate,
        at_s,
        counter.power_w,
        seen,
        ends_s,
        refreshed_s=register.refresh_ms / 1000,
    )
    if estimate.paced:
        oldest_s = estimate.paced[-MOST_KEPT:][0].end_s
        oldest_s = max(oldest_s, (wanted_ms - origin_ms) / 1000)
        if estimate.paced[0].end_s < oldest_s:
            estimate = forgotten(estimate, oldest_s)
    if len(estimate.sights) > MOST_WAITING:
        # A second of samples for each second of delay would make the state too large.
        return elsewhere(refinement, counter, register)
    return Refinement(origin_ms, refinement.origin_uwh, estimate)


def without_before(refinement: Refinement, wanted_ms: int) -> Refinement:
    """The refinement, which keeps no boundary before that, in steady time."""
    before_s = (wanted_ms - refinement.origin_ms) / 1000
    return replace(refinement, estimate=forgotten(refinement.estimate, before_s))


def at(
    refinement: Refinement,
    end_ms: int,
    begin_ms: int,
    begin_uwh: int,
    began: Known | None,
    *,
    has_all: bool,
) -> Refined | None:
    """The boundary at about this steady time, at which a slot ends that began at another one with
    the counter there; None: it is not known. `began` is what is known for good of the beginning.
    `has_all` says that power was read all the time in between.

    About, because steady time is not quite as long as UTC: the clock is corrected all the time.
    """
    estimate, origin_ms = refinement.estimate, refinement.origin_ms
    past = _kept(estimate.past, (end_ms - origin_ms) / 1000)
    if past is None:
        return None
    found = at_boundary(estimate, past.end_s)
    if found is None:
        return None

    begin_s = (begin_ms - origin_ms) / 1000
    begin_wh = (begin_uwh - refinement.origin_uwh) / UWH_PER_WH
    if began is None:
        before = _kept(estimate.past, begin_s)
        if before is not None and before is not past:
            began = at_boundary(estimate, before.end_s)
    end_wh, off_wh, passed_wh = found.wh, 0.0, None
    if began is not None:
        high_wh = estimate.register[1] if past.high_wh is None else past.high_wh
        end = end_of(begin_wh, began.wh, found.wh, (past.low_wh, high_wh))
        end_wh, off_wh = end.wh, end.off_wh
        passed_wh = between_uncertainty_wh(began, found, end.repaid_wh)
    milestone = _kept(estimate.milestones, begin_s) if has_all else None
    if milestone is not None:
        booked_wh = end_wh - begin_wh
        by_power_wh = passed_uncertainty_wh(estimate, milestone, found, past.end_s, booked_wh)
        if passed_wh is None or (by_power_wh is not None and by_power_wh < passed_wh):
            passed_wh = by_power_wh
    return Refined(
        refinement.origin_uwh + round(end_wh * UWH_PER_WH),
        round(found.uncertainty_wh * UWH_PER_WH),
        round(found.late_uncertainty_wh * UWH_PER_WH),
        None if passed_wh is None else round(passed_wh * UWH_PER_WH),
        found.is_known,
        round(off_wh * UWH_PER_WH),
        began if began is not None and began.is_settled else None,
    )


def _kept(kept: tuple[Moment, ...], at_s: float) -> Moment | None:
    """Which of these is about then."""
    nearest = None
    least_ms = float(ABOUT_MS)
    for each in kept:
        off_ms = abs(each.end_s - at_s) * 1000
        if off_ms < least_ms or (nearest is None and off_ms == least_ms):
            nearest, least_ms = each, off_ms
    return nearest


def _seen(counter: Counter, register: Rules, origin_uwh: int) -> Seen:
    """Between which energies the register says that the counter is.

    A float32 that is coarser than the register is rounded to its nearest number, and not down: its
    step is wider by the register's own. Where that step begins is the same for all readings.
    """
    low_uwh = counter.register_uwh - origin_uwh
    step_uwh = register.step_uwh(counter.shown_uwh)
    if step_uwh > register.resolution_uwh:
        step_uwh += register.resolution_uwh
    return Seen(low_uwh / UWH_PER_WH, (low_uwh + step_uwh) / UWH_PER_WH)
