"""The best value of an energy and its variance, followed over time and looked back at. Pure.

A register tells in which of its steps the energy is, and nothing more. So the energy is taken to be
normally distributed, power moves it and makes it less certain, and each reading cuts off what lies
outside of the register's step: mean and variance of what is left are kept (a moment-matched
truncated Gaussian, as in expectation propagation).

A boundary that has passed goes on learning: what a later reading says of the energy now, it says of
the energy then as far as the two vary together (a fixed-point smoother).

Energies are in Wh, as floats. The same inputs give the same floats on the same machine, and what is
booked is rounded to whole µWh elsewhere.
"""

from math import erf, exp, pi, sqrt

import msgspec

FAR = 5.0
"""So many standard deviations outside of the step the normal distribution says nothing any more."""

SURPRISING = 2.5
"""A value that lies further than this outside of the step, in standard deviations, is a surprise:
power missed something.
"""

SURPRISE_SHARE = 0.25
"""So much of a surprise's square is added to the variance before the reading is looked at.

Without it a hob's pulses that power did not see are taken for a sure thing; with all of it power's
own steps are forgotten (tried on the grid with 0, 0.25 and 1).
"""

UNRELATED = 0.01
"""With a correlation that is less than this a boundary learns nothing any more."""

_SQRT2 = sqrt(2)
_SQRT2PI = sqrt(2 * pi)


class Track(msgspec.Struct, frozen=True, array_like=True):
    """An energy that is followed."""

    wh: float
    variance: float

    def moved(self, wh: float, variance: float) -> "Track":
        """After so much more has passed, uncertain by so much."""
        return Track(self.wh + wh, self.variance + variance)


class Past(msgspec.Struct, frozen=True, array_like=True):
    """The energy at a boundary that has passed."""

    end_s: float
    wh: float
    variance: float
    covariance: float
    """With the energy now."""
    place: float
    """When it was passed, where no register has been looked at since; 0 once one has."""
    low_wh: float
    """The register that was shown last before it."""
    high_wh: float | None
    """One step above the register that was shown first after it; None: none yet."""
    power_w: float
    """Power then."""


def within(track: Track, low_wh: float, high_wh: float) -> Track:
    """What is left of the energy after a reading that says that it is between these."""
    wh, variance = track.wh, track.variance
    sd = sqrt(variance)
    from_low, from_high = (low_wh - wh) / sd, (high_wh - wh) / sd
    if from_low < -4 and from_high > 4:
        return track

    width = high_wh - low_wh
    least = (width * 1e-3) ** 2
    if from_low > FAR or from_high < -FAR:
        inside = min(0.02 * width, sqrt(least))
        edge_wh = low_wh + inside if from_low > FAR else high_wh - inside
        return Track(edge_wh, max(variance * 0.05, least))

    density_low = exp(-from_low * from_low / 2) / _SQRT2PI
    density_high = exp(-from_high * from_high / 2) / _SQRT2PI
    mass = max(0.5 * (erf(from_high / _SQRT2) - erf(from_low / _SQRT2)), 1e-9)
    shift = (density_low - density_high) / mass
    spread = 1 + (from_low * density_low - from_high * density_high) / mass - shift * shift
    left_wh = min(max(wh + sd * shift, low_wh), high_wh)
    return Track(left_wh, max(variance * spread, least))


def surprise(track: Track, low_wh: float, high_wh: float) -> float:
    """The variance that a reading adds because power did not foresee it."""
    if low_wh <= track.wh <= high_wh:
        return 0.0
    outside_wh = max(low_wh - track.wh, track.wh - high_wh)
    if outside_wh * outside_wh <= SURPRISING**2 * track.variance:
        return 0.0
    return SURPRISE_SHARE * outside_wh * outside_wh


def looked_back(past: Past, before: Track, after: Track, added: float, part: float) -> Past:
    """The boundary after a reading turned one track into the other. `added` is the variance that it
    was surprised by; so much of it passed before the boundary, as a part of one.
    """
    if not (past.place or added):
        apart = past.covariance * past.covariance
        if apart <= UNRELATED**2 * past.variance * before.variance:
            return past
    variance = past.variance + added * part
    covariance = past.covariance + added * part
    weight = covariance / before.variance
    change = after.variance - before.variance
    return Past(
        past.end_s,
        past.wh + weight * (after.wh - before.wh),
        max(variance + weight * weight * change, 0.0),
        covariance + weight * change,
        0.0,
        past.low_wh,
        past.high_wh,
        past.power_w,
    )
