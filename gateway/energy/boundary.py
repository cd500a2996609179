"""Where the counter stood when one slot ended and the next began, as it becomes known. Pure.

When a boundary passes, the register is somewhere inside its step. What is read afterwards says
more: the reading that closes the step says when the register stood at its end. So for a while each
reading moves the boundary's value (`looked_back`):

- *By power.* The bounds around the truth, as of the later reading, less what power says of the time
  in between, are bounds of the truth at the boundary.

- *By the register's steps,* where power is not read, or has lately not fitted the register: a
  straight line between the moves before and after the boundary. Until the move after it is seen, it
  is foretold.
"""

import msgspec
from msgspec.structs import replace

from gateway.energy.counter import Counter, Since
from gateway.energy.register import Rules

PATIENCE_PERCENT = 115
"""A move of the register that is not seen yet is expected when so much of the time has passed that
has passed without it.
"""

MOST_AT_ONCE = 2
"""Of a register that moves by more steps than this between two readings the steps say no more than
the readings.
"""


class Steps(msgspec.Struct, frozen=True):
    """The last two moves of a register, in steady time and on the counter's scale."""

    at_ms: int
    """Between the two readings that saw it, halfway."""
    energy_uwh: int
    before_ms: int | None = None
    """None: no other has been seen."""
    before_uwh: int = 0
    at_once: int = 1
    """How many steps it was between those two readings."""

    def foretold_uwh(self, at_ms: int, *, seen_ms: int, end_uwh: int) -> int:
        """Where the register's truth is at a moment after the last move, when the next one, to
        `end_uwh`, has not been seen up to `seen_ms`.
        """
        rest_uwh = max(end_uwh - self.energy_uwh, 0)
        needed_ms = (seen_ms - self.at_ms) * PATIENCE_PERCENT // 100
        if self.before_ms is not None and self.energy_uwh > self.before_uwh:
            pace_ms = (self.at_ms - self.before_ms) * rest_uwh
            needed_ms = max(needed_ms, pace_ms // (self.energy_uwh - self.before_uwh))
        part_ms = min(at_ms - self.at_ms, needed_ms)
        return self.energy_uwh + (rest_uwh * part_ms // needed_ms if needed_ms > 0 else 0)

    def line_uwh(self, to: "Steps", at_ms: int) -> int:
        """On the straight line to a later move."""
        whole_ms = to.at_ms - self.at_ms
        part_ms = at_ms - self.at_ms
        more_uwh = to.energy_uwh - self.energy_uwh
        return self.energy_uwh + (more_uwh * part_ms // whole_ms if whole_ms > 0 else 0)


def steps_after(
    steps: Steps | None, before: Counter, after: Counter, register: Rules | None
) -> Steps | None:
    """The register's moves once it has confirmed the counter."""
    moved_uwh = after.register_uwh - before.register_uwh
    if moved_uwh <= 0 or register is None:
        return steps

    # Of several steps at once the middle one is taken to be at the middle.
    step_uwh = register.step_uwh(after.shown_uwh)
    energy_uwh = after.register_uwh - max(moved_uwh - step_uwh, 0) // 2
    at_ms = (before.at_ms + after.at_ms) // 2
    at_once = -(-moved_uwh // step_uwh)
    if steps is None:
        return Steps(at_ms, energy_uwh, at_once=at_once)
    return Steps(at_ms, energy_uwh, steps.at_ms, steps.energy_uwh, at_once)


class Boundary(msgspec.Struct, frozen=True):
    """One boundary, as far as it is known."""

    at_ms: int
    """In steady time."""
    counter_uwh: int
    uncertainty_uwh: int
    low_uwh: int
    high_uwh: int
    """Bounds of the truth, as far as power is right."""
    since: Since
    """What power says of the time since."""
    steps: Steps | None
    """The register's moves before it."""
    by_steps: bool = False
    """Whether it goes by the register's steps, and not by power."""
    is_known: bool = False
    """Whether no later reading says more."""


def passed(
    at_ms: int,
    *,
    value_uwh: int,
    uncertainty_uwh: int,
    after: Counter,
    since: Since,
    rest: Since,
    steps: tuple[Steps | None, Steps | None],
    register: Rules,
    surprise_uwh: int,
) -> Boundary:
    """A boundary that the reading `after` is the first one to follow. `since` is what power says of
    the time since the reading before it, and `rest` of the part of it after the boundary; `steps`
    are the moves as of both.
    """
    low_uwh, high_uwh = _bounds(after)
    if after.at_ms > at_ms:
        # Nothing read later moves it as long as it lies within what that allows.
        low_uwh, high_uwh = value_uwh - uncertainty_uwh, value_uwh + uncertainty_uwh
    boundary = Boundary(at_ms, value_uwh, uncertainty_uwh, low_uwh, high_uwh, rest, steps[0])
    before, now = steps
    is_coarse = before is not None and before.at_once > MOST_AT_ONCE
    if is_coarse or not _goes_by_steps(since, now, register, after, surprise_uwh):
        return boundary
    return _by_steps(replace(boundary, by_steps=True), after, now, register)


def looked_back(
    boundary: Boundary,
    before: Counter,
    after: Counter,
    since: Since,
    steps: Steps | None,
    register: Rules,
    surprise_uwh: int,
) -> Boundary:
    """The boundary once one more reading has confirmed the counter."""
    if boundary.is_known:
        return boundary
    all_since = Since(
        power_uwh=boundary.since.power_uwh + since.power_uwh,
        power_uncertainty_uwh=boundary.since.power_uncertainty_uwh + since.power_uncertainty_uwh,
        power_unknown_ms=boundary.since.power_unknown_ms + since.power_unknown_ms,
    )
    boundary = replace(boundary, since=all_since)
    if boundary.by_steps:
        return _by_steps(boundary, after, steps, register)
    if all_since.power_unknown_ms:
        return replace(boundary, is_known=True)
    if after.register_uwh == before.register_uwh:
        return boundary

    low_uwh, high_uwh = _moved(*_bounds(after), after, all_since)
    low_uwh, high_uwh = max(low_uwh, boundary.low_uwh), min(high_uwh, boundary.high_uwh)
    if low_uwh > high_uwh:
        return boundary

    step_uwh = register.step_uwh(after.shown_uwh)
    value_uwh = (low_uwh + high_uwh) // 2
    unseen_uwh = min(surprise_uwh, step_uwh // 2) + all_since.power_uncertainty_uwh // 2
    uncertainty_uwh = min((high_uwh - low_uwh) // 2 + unseen_uwh, boundary.uncertainty_uwh)
    return replace(
        boundary,
        counter_uwh=value_uwh,
        uncertainty_uwh=uncertainty_uwh,
        low_uwh=low_uwh,
        high_uwh=high_uwh,
    )


def _goes_by_steps(
    since: Since, steps: Steps | None, register: Rules, after: Counter, surprise_uwh: int
) -> bool:
    """Whether the register's steps say more of a boundary than power does."""
    if steps is None:
        return False
    if since.power_unknown_ms > 0:
        return steps.at_once <= MOST_AT_ONCE
    return steps.at_once == 1 and 2 * surprise_uwh > register.step_uwh(after.shown_uwh)


def _by_steps(boundary: Boundary, after: Counter, steps: Steps | None, register: Rules) -> Boundary:
    """The boundary on the way from the move before it to the one after it."""
    before = boundary.steps
    if steps is None or before is None:
        return replace(boundary, is_known=True)

    at_ms = boundary.at_ms
    step_uwh = register.step_uwh(after.shown_uwh)
    if steps.at_ms <= at_ms:
        end_uwh = after.register_uwh + step_uwh
        value_uwh = steps.foretold_uwh(at_ms, seen_ms=after.at_ms, end_uwh=end_uwh)
        return replace(boundary, counter_uwh=value_uwh, uncertainty_uwh=step_uwh // 2, steps=steps)

    boundary = replace(boundary, is_known=True)
    if steps.at_once > MOST_AT_ONCE:
        return boundary
    value_uwh = before.line_uwh(steps, at_ms)
    return replace(boundary, counter_uwh=value_uwh, uncertainty_uwh=step_uwh // 4)


def _bounds(counter: Counter) -> tuple[int, int]:
    low_uwh = counter.counter_uwh if counter.low_uwh is None else counter.low_uwh
    high_uwh = counter.counter_uwh if counter.high_uwh is None else counter.high_uwh
    return low_uwh, high_uwh


def _moved(low_uwh: int, high_uwh: int, after: Counter, since: Since) -> tuple[int, int]:
    """The bounds as they were before that passed by power."""
    passed_uwh = after.gain.applied(since.power_uwh)
    uncertain_uwh = since.power_uncertainty_uwh
    return low_uwh - passed_uwh - uncertain_uwh, high_uwh - passed_uwh + uncertain_uwh
