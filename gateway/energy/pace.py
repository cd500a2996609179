"""The energy at a boundary from the register's steps alone: straight lines between them. Pure.

A step is dated in the middle of the two readings between which it was seen. Where the pace before a
step and the one after it differ, and the step's own lies in between, one pace gave way to the other
once: the line has a kink there. Where the step after the boundary is not seen yet, it is taken to
last a little longer than it has lasted already, or as long as the last one.

Energies are in Wh, times in s.
"""

import msgspec

LONGER = 1.15
"""A step that has not come for so long is taken to come after this many times as long (tried on the
grid with 1, 1.15 and 1.5).
"""

DIFFERENT = 1.5
"""Paces whose ratio is less are one pace."""

MOST_STEPS = 3
"""A step that is seen at once with more of them has no kink."""

KEPT = 4
"""Steps that are kept before a boundary."""

WANTED = 2
"""Steps after a boundary that tell of it."""


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One step of the register."""

    at_s: float
    wh: float


class Paced(msgspec.Struct, frozen=True, array_like=True):
    """The steps around a boundary, in order."""

    end_s: float
    steps: tuple[Step, ...] = ()
    """Empty: none has come since."""

    def and_then(self, step: Step, steps: tuple[Step, ...]) -> "Paced":
        """One more step; `steps` are the last ones, that one included."""
        if not self.steps:
            return Paced(self.end_s, steps) if step.at_s > self.end_s else self
        after = sum(1 for each in self.steps if each.at_s > self.end_s)
        if after >= WANTED:
            return self
        return Paced(self.end_s, (*self.steps, step))


class AtPace(msgspec.Struct, frozen=True):
    """What the steps say of a boundary."""

    wh: float
    into: float
    """How far it lies in its step, from 0 to 1; 0.5 where nobody knows."""
    between_wh: float
    """What the step was."""
    uneven_wh: float
    """What the step would differ by at its neighbours' pace."""
    is_seen: bool
    """Whether the step after it was seen."""
    lasted_s: float


def at_pace(
    paced: Paced, steps: tuple[Step, ...], high_wh: float, seen_s: float, step_wh: float
) -> AtPace:
    """The energy at the boundary. `steps` are the last ones, `high_wh` is the upper edge of the
    register's step now, `seen_s` is when it was seen there, and `step_wh` is how wide it is.
    """
    known = paced.steps or steps
    n = len(known) - 1
    while n > 0 and known[n].at_s > paced.end_s:
        n -= 1
    if n + 1 < len(known):
        return _inside(known, n, paced.end_s, high_wh, seen_s, step_wh)

    last = known[n]
    whole_wh = max(high_wh - last.wh, 0.0)
    need_s = max((seen_s - last.at_s) * LONGER, 1e-9)
    if n > 1 and known[n].wh > known[n - 1].wh:
        pace = (known[n].at_s - known[n - 1].at_s) / (known[n].wh - known[n - 1].wh)
        need_s = max(need_s, pace * whole_wh)
    elif n <= 1:
        need_s = 1e9
    part = min((paced.end_s - last.at_s) / need_s, 1.0)
    return AtPace(last.wh + whole_wh * part, 0.5, whole_wh, 0.0, False, need_s)


def _inside(
    known: tuple[Step, ...], n: int, end_s: float, high_wh: float, seen_s: float, step_wh: float
) -> AtPace:
    begin, end = known[n], known[n + 1]
    lasted_s, between_wh = end.at_s - begin.at_s, end.wh - begin.wh
    if lasted_s <= 0:
        return AtPace(begin.wh, 0.0, between_wh, 0.0, True, 0.0)

    pace = between_wh / lasted_s
    before = after = None
    if n > 1 and begin.at_s > known[n - 1].at_s:
        before = (begin.wh - known[n - 1].wh) / (begin.at_s - known[n - 1].at_s)
    if n + 2 < len(known):
        after = (known[n + 2].wh - end.wh) / max(known[n + 2].at_s - end.at_s, 1e-9)
    elif before is not None and pace <= before:
        # It has been waiting for the next step since: no faster than that.
        after = min(pace, (high_wh - end.wh) / max(seen_s - end.at_s, 1e-9))

    unevens = [abs(pace - each) * lasted_s for each in (before, after) if each is not None]
    uneven_wh = max(unevens, default=0.0)
    into_s = end_s - begin.at_s
    gone_wh = pace * into_s
    # Of many steps at once nobody saw the pace in between: it may have changed more than once.
    is_seen = between_wh <= MOST_STEPS * step_wh
    if is_seen and before is not None and after is not None and _is_kinked(before, pace, after):
        kink_s = (between_wh - after * lasted_s) / (before - after)
        gone_wh = before * min(into_s, kink_s) + after * max(into_s - kink_s, 0.0)
    into = min(max(into_s / lasted_s, 0.0), 1.0)
    return AtPace(begin.wh + gone_wh, into, between_wh, uneven_wh, True, lasted_s)


def _is_kinked(before: float, pace: float, after: float) -> bool:
    is_between = (before - pace) * (pace - after) > 0
    return is_between and max(before, after) > DIFFERENT * min(before, after)
