"""What is known of the energy at a boundary that has passed, and how far it may be off. Pure.

What power says and what the register's steps say (`estimate`) are put together here by how well
each has foretold steps lately, and by how certain each is of this boundary.
"""

from math import sqrt
from typing import NamedTuple

from gateway.energy.estimate import LAZY, Estimate, Milestone, Rating, is_pulsing
from gateway.energy.pace import ENOUGH, WANTED, at_pace
from gateway.energy.power_faults import NWH_PER_WH
from gateway.energy.power_line import HOURS_PER_S

EVEN_STEPS2 = 0.03
"""So much worse is pace taken to be than it is rated, in square steps: power counts where both
foretell as well as can be.
"""

FOREIGN_WORSE = 2.0
"""Power that does not foretell steps best is worse than its own variance says by this many times
(tried on the grid, two seeds of each home, with 0.4 to 6).
"""

MOSTLY = 0.99
"""With so much of a share power alone counts."""

MOSTLY_POWER = 0.9
"""With so much of a share power says what passed."""

PACE_STEPS2 = 0.0015
"""No boundary is known by pace to less than this part of a step's square, as a variance (tried on
the grid).
"""

LITTLE = 0.005
"""When all that a boundary still has in common with the energy now is less than this part of its
variance, there is nothing to wait for.
"""

ENOUGH_S = 300.0
"""Where power says what passed, readings that come later than this say next to nothing more of a
boundary (on the grid 1 % of the error, up to 13 minutes), and each costs time.
"""

WIDEST = 14.0
"""A boundary somewhere between two registers, and nobody knows where, has the square of what lies
between them by this as its variance: 95 of 100 slots between two such are within 0.8 of it.
"""

SURE_SD = 2.05
"""So many standard deviations hold 95 %."""

SURE_STEPS = 0.008
SURE_WH = 0.08
"""No boundary is known to less than the smaller one of this part of a step and this, as a standard
deviation: what moves a register is never quite what power shows. Fine samples show nearly all of
it (tried on the grid).
"""

SURE_PASSED_SD = 2.6
"""The same of what passed by power alone: it errs seldom, and far (tried on the grid)."""

LAZY_WIDER = 1.5
LATE_WIDER = 1.3
"""Where the register is refreshed now and then, and where it or power is late, a boundary is
uncertain by so much more: not each reading is late by the same (tried on the grid, three seeds of
each home, with 1 to 1.5).
"""

YOUNG_S = 8 * 3600.0
YOUNG_WIDER = 1.8
YOUNG_INTERVAL_S = 30.0
LITTLE_WEIGHT = 1.0
"""For so long after the first reading a delay may have had no occasion to show, as at night: a
boundary is uncertain by so much more until there were some comparisons.
"""

MEAN_DELAY_SD_S = 0.3
"""Power that fits its register best as a mean is hardly late (chosen, not measured)."""

FINE_DELAY_SD = 1.5
"""At fine samples a delay is known to so many intervals by one comparison, and by n of them to that
over their root.
"""


class Known(NamedTuple):
    """The energy at a boundary, as far as is known now."""

    wh: float
    variance: float
    late_wh: float
    """The standard deviation of what passes during the delay, of which nobody knows how long it is.
    At all boundaries it is off the same way.
    """
    is_known: bool
    """Whether later readings will hardly say more of it."""
    is_settled: bool
    """Whether they will hardly move it, not even together with a later boundary."""

    @property
    def uncertainty_wh(self) -> float:
        """What holds the truth in 95 of 100 cases."""
        return float(SURE_SD * self.variance**0.5)

    @property
    def late_uncertainty_wh(self) -> float:
        """The same of what is late."""
        return SURE_SD * self.late_wh


def at_boundary(estimate: Estimate, end_s: float) -> Known | None:
    """The energy at a boundary that has passed and is kept; None: it is not, or the track has not
    reached it yet.
    """
    for past in estimate.past:
        if past.end_s == end_s:
            break
    else:
        return None
    for paced in estimate.paced:
        if paced.end_s == end_s:
            break
    else:
        return None

    register_high_wh = estimate.register[1]
    step_wh = register_high_wh - estimate.register[0]
    low_wh, high_wh = past.low_wh, past.high_wh
    if high_wh is None:
        high_wh = register_high_wh
    even = at_pace(
        paced, estimate.steps, estimate.register, estimate.at_s, pulses=is_pulsing(estimate)
    )
    even_wh = _inside(even.wh, low_wh, high_wh)
    even_variance = even.variance + PACE_STEPS2 * step_wh * step_wh
    power_wh = _inside(past.wh, low_wh, high_wh)
    power_variance = past.variance * _scatter(estimate)

    share = _power_share(estimate, step_wh)
    if 0 < share < 1:
        # What is known worse here counts for less.
        by_power = share * even_variance
        by_pace = (1 - share) * power_variance * FOREIGN_WORSE
        share = by_power / (by_power + by_pace)
    apart_wh = power_wh - even_wh
    variance = share * power_variance + (1 - share) * even_variance
    variance += share * (1 - share) * apart_wh * apart_wh
    if estimate.search is None:
        variance += min(SURE_STEPS * step_wh, SURE_WH) ** 2
    if estimate.laziness > LAZY:
        variance *= LAZY_WIDER**2
    elif estimate.faults.delay.aim_s:
        variance *= LATE_WIDER**2
    elif _is_young(estimate, end_s):
        variance *= YOUNG_WIDER**2
    late_wh = share**0.5 * _delay_sd_s(estimate) * past.power_w * HOURS_PER_S
    if past.high_wh is not None:
        widest = (high_wh - low_wh) ** 2 / WIDEST
        variance = min(variance, widest)
        late_wh = min(late_wh, (widest - variance) ** 0.5)
    wh = _inside(share * power_wh + (1 - share) * even_wh, low_wh, high_wh)
    to_come = share * past.covariance * past.covariance / estimate.track.variance
    wanted = ENOUGH if estimate.power_w is None else WANTED
    has_steps = share > MOSTLY or paced.has(wanted)
    total = variance + late_wh * late_wh
    is_between = past.high_wh is not None
    is_settled = is_between and has_steps and to_come < LITTLE * total
    is_late = share > MOSTLY_POWER and estimate.at_s > end_s + ENOUGH_S
    return Known(wh, variance, late_wh, is_settled or (is_between and is_late), is_settled)


def _inside(wh: float, low_wh: float, high_wh: float) -> float:
    if low_wh <= wh <= high_wh:
        return wh
    return min(max(wh, low_wh), high_wh)


def between_uncertainty_wh(began: Known, found: Known, repaid_wh: float) -> float:
    """By how much the energy between two boundaries may be off, which is booked less by so much
    than is taken to have passed.
    """
    late_wh = found.late_wh - began.late_wh
    variance = began.variance + found.variance + late_wh * late_wh + repaid_wh * repaid_wh
    return SURE_SD * float(variance**0.5)


def passed_uncertainty_wh(
    estimate: Estimate, before: Milestone, end: Known, end_s: float, booked_wh: float
) -> float | None:
    """By how much the energy between two boundaries, of which so much is booked, may be off, as
    far as power tells; None: power does not, or the later one is not kept.

    The ends of a slot inside of one step of a coarse register are uncertain by a part of that step,
    and both the same way. What passed between them is not.
    """
    step_wh = estimate.register[1] - estimate.register[0]
    if estimate.laziness > LAZY or _power_share(estimate, step_wh) < MOSTLY_POWER:
        return None
    after = estimate.milestones[-1]
    if after.end_s != end_s:
        after = estimate.milestones[0]
        if after.end_s != end_s:
            return None
    wh = (after.sums.nwh - before.sums.nwh) / NWH_PER_WH
    corrected_wh = (after.sums.corrected_nwh - before.sums.corrected_nwh) / NWH_PER_WH
    idle_s = after.sums.idle_s - before.sums.idle_s
    causes = (wh, (end_s - before.end_s - idle_s) * HOURS_PER_S, idle_s * HOURS_PER_S)
    variance = (after.sums.variance - before.sums.variance) * _scatter(estimate)
    variance += (booked_wh - corrected_wh) ** 2
    change_wh = (after.power_w - before.power_w) * HOURS_PER_S
    late_wh = _delay_sd_s(estimate) * change_wh
    faults = estimate.faults.correction.variance(causes)
    if not wh:
        # Had more flowed unseen all the time, the register would have moved.
        stood_s = max(estimate.at_s - estimate.steps[-1].at_s, end_s - before.end_s)
        most_wh = step_wh * (end_s - before.end_s) / stood_s
        faults = min(faults, most_wh * most_wh / 3)
    faults += late_wh * late_wh
    # Had they moved it by more than the register leaves open, what is booked would not fit power.
    variance += min(faults, 2 * end.variance)
    return float(SURE_PASSED_SD * variance**0.5)


def _is_young(estimate: Estimate, end_s: float) -> bool:
    """Whether a delay that would matter had no occasion to show yet. At fine samples that has its
    own search, and between coarse ones more is unknown than it could hide.
    """
    if estimate.power_w is None or estimate.search is not None:
        return False
    if estimate.interval_s > YOUNG_INTERVAL_S:
        return False
    return end_s < YOUNG_S and estimate.faults.delay.weight < LITTLE_WEIGHT


def _scatter(estimate: Estimate) -> float:
    return _inside(estimate.scatter, 1.0, 4.0)


def _delay_sd_s(estimate: Estimate) -> float:
    """By how much the delay may be another than is applied."""
    search = estimate.search
    if search is None and estimate.faults.mean.is_mean:
        return MEAN_DELAY_SD_S
    if search is None:
        return sqrt(estimate.faults.delay.variance_s2)
    return search.apart_s * min(FINE_DELAY_SD / sqrt(search.count + 1), 1.0)


def _rating(estimate: Estimate) -> Rating | None:
    return estimate.ratings[estimate.pulses] or estimate.ratings[not estimate.pulses]


def _power_share(estimate: Estimate, step_wh: float) -> float:
    """What power counts for, from 0 to 1; pace counts for the rest."""
    if estimate.power_w is None:
        return 0.0
    rating = _rating(estimate)
    if rating is None:
        return 1.0
    power = max(rating.power, 0.0) + 1e-9
    pace = max(rating.pace, 0.0) + EVEN_STEPS2 * step_wh * step_wh
    return pace / (power + pace)
