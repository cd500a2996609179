"""What passed between two readings, cut at the boundaries of slots. Pure."""

from bisect import bisect_left

import msgspec
from msgspec.structs import replace

from gateway.energy.counter import Counter, Finding, Since, before_beginning_uwh
from gateway.energy.slot import DirectionState, Doubt, Mark, MeterRules

NO_DOUBT: frozenset[Doubt] = frozenset()
REGISTER_RESET: frozenset[Doubt] = frozenset({"register reset"})
REGISTER_LATE: frozenset[Doubt] = frozenset({"register late"})


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """The time between two readings that confirm the counter, and the energy that passed in it.

    Its ends are in UTC: the slots that it spans are. How long it lasted is told by steady time,
    which differs where the clock was set meanwhile.
    """

    before: DirectionState
    """The direction as of the earlier reading."""
    counter: Counter
    """The counter as of the later reading, but for what is in no slot."""
    begin_ms: int
    """UTC of the earlier reading."""
    at_ms: int
    """UTC of the later reading. Before the earlier one where the clock was set back."""
    until_ms: int
    """UTC up to which energy is booked. It does not go back where the clock does."""
    passed_ms: int
    """How long it lasted, whatever the clock says."""
    since: Since
    """What power says of it."""
    marks: tuple[Mark, ...]
    """What power says at the boundaries in it."""
    jump_uwh: int
    """What the register jumped over: it is in no slot."""
    begun_uwh: int
    """What its first step says of where it began: that is in no slot either."""
    placed: bool
    """Whether the later reading was placed."""
    doubts: frozenset[Doubt]
    """Why none of it can be called measured."""

    @property
    def set_forward_ms(self) -> int:
        """By how much the clock was set forward meanwhile; negative where it was set back."""
        return self.at_ms - self.begin_ms - self.passed_ms

    @property
    def set_back_ms(self) -> int:
        """How far the later reading lies before the earlier one; negative where it is after it."""
        return self.begin_ms - self.at_ms

    @property
    def gap_ms(self) -> int:
        """The longer one of both times."""
        return max(self.until_ms - self.begin_ms, self.passed_ms)

    @property
    def moved_uwh(self) -> int:
        """The energy that passed."""
        return self.counter.counter_uwh - self.before.counter.counter_uwh


def between(
    before: DirectionState,
    counter: Counter,
    at_ms: int,
    *,
    since: Since,
    marks: tuple[Mark, ...],
    finding: Finding | None,
    placed: bool,
) -> Interval:
    """The interval from the state `before` to a reading at `at_ms` (UTC), as of which the counter
    is `counter` and at which this was found.
    """
    jump_uwh = 0
    doubts = NO_DOUBT
    if finding is not None:
        jump_uwh = finding.unallocated_uwh
        if finding.kind == "reset":
            doubts = REGISTER_RESET
    begun_uwh = 0
    has_begun = counter.beginning is None
    if has_begun and (finding is None or finding.kind in ("glitch", "rollover")):
        ends_uwh = counter.register_uwh, counter.counter_uwh
        begun_uwh = before_beginning_uwh(before.counter, since, *ends_uwh)
    if left_out_uwh := jump_uwh + begun_uwh:
        counter = replace(counter, counter_uwh=counter.counter_uwh - left_out_uwh)

    begin_ms = before.at_ms
    return Interval(
        before=before,
        counter=counter,
        begin_ms=begin_ms,
        at_ms=at_ms,
        until_ms=max(at_ms, begin_ms),
        passed_ms=counter.at_ms - before.counter.at_ms,
        since=since,
        marks=marks,
        jump_uwh=jump_uwh,
        begun_uwh=begun_uwh,
        placed=placed,
        doubts=doubts,
    )


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What of an interval lies in one slot."""

    until_ms: int
    ends_slot: bool
    """Whether the slot ends with it. The last part of an interval ends none."""
    counts: bool
    """Whether it lasts at all. An interval that ends on a boundary leaves nothing for the next
    slot.
    """
    end_uwh: int
    """The counter at its end."""
    end_register_uwh: int
    """The register at the last reading at or before its end."""
    uncovered_ms: int
    """The time in it of which nobody knows what happened."""
    contradicted_uwh: int
    """What power says of it, where the register stood still and is believed."""
    doubts: frozenset[Doubt]
    """Why the slot can not be called measured."""


def split_at_boundaries(interval: Interval, rules: MeterRules) -> list[Part]:
    """One part for each slot that ends in the interval, and a last one, which may be empty, for the
    slot that is open then.
    """
    before = interval.before
    begin_ms, until_ms = interval.begin_ms, interval.until_ms
    first_end_ms = before.slot.start_ms + rules.slot_ms
    if until_ms < first_end_ms:
        unknown_ms = interval.since.power_unknown_ms
        return [_last_part(interval, rules, begin_ms, unknown_ms, interval.doubts)]

    spread = _spread(interval)
    is_late = interval.gap_ms > rules.late_ms
    parts: list[Part] = []
    from_ms = begin_ms
    doubts = interval.doubts
    for end_ms in range(first_end_ms, until_ms + 1, rules.slot_ms):
        # Both slots at a boundary are doubted: the energy may be on either side of it.
        is_late_here = is_late and begin_ms < end_ms < until_ms
        late = REGISTER_LATE if is_late_here else NO_DOUBT
        unknown_ms = spread.unknown_ms(end_ms) - spread.unknown_ms(from_ms)
        exact = interval.counter if end_ms == until_ms else before.counter
        parts.append(
            Part(
                until_ms=end_ms,
                ends_slot=True,
                counts=end_ms > from_ms,
                end_uwh=before.counter.counter_uwh + spread.energy_uwh(end_ms),
                end_register_uwh=exact.register_uwh,
                uncovered_ms=_uncovered_ms(interval, rules, end_ms - from_ms, unknown_ms),
                contradicted_uwh=_contradicted_uwh(interval, end_ms - from_ms),
                doubts=doubts | late,
            )
        )
        from_ms = end_ms
        doubts = interval.doubts | late

    unknown_ms = interval.since.power_unknown_ms - spread.unknown_ms(from_ms)
    parts.append(_last_part(interval, rules, from_ms, unknown_ms, doubts))
    return parts


def _last_part(
    interval: Interval,
    rules: MeterRules,
    from_ms: int,
    unknown_ms: int,
    doubts: frozenset[Doubt],
) -> Part:
    """What lies in the slot that is open after the interval. Power is not known over `unknown_ms`
    of it.
    """
    counter = interval.counter
    until_ms = interval.until_ms
    if until_ms - interval.at_ms > rules.stale_ms:
        doubts |= {"clock set back"}
    if counter.power_disproved and interval.since.power_uwh > 0:
        doubts |= {"power disproved"}
    return Part(
        until_ms=until_ms,
        ends_slot=False,
        counts=until_ms > from_ms or from_ms == interval.begin_ms,
        end_uwh=counter.counter_uwh,
        end_register_uwh=counter.register_uwh,
        uncovered_ms=_uncovered_ms(interval, rules, until_ms - from_ms, unknown_ms),
        contradicted_uwh=_contradicted_uwh(interval, until_ms - from_ms),
        doubts=doubts,
    )


def _uncovered_ms(interval: Interval, rules: MeterRules, part_ms: int, unknown_ms: int) -> int:
    """The time, in a part that lasts for `part_ms`, of which nobody knows what happened."""
    clock_left_out_ms = interval.until_ms - interval.begin_ms - interval.passed_ms
    if clock_left_out_ms > rules.stale_ms:
        return part_ms
    if interval.since.power_unknown_ms > rules.stale_ms:
        return min(unknown_ms, part_ms)
    return 0


def _contradicted_uwh(interval: Interval, part_ms: int) -> int:
    """What power says of a part that lasts for `part_ms`, evenly, where it is not believed."""
    if not interval.counter.power_disproved:
        return 0
    whole_ms = max(interval.until_ms - interval.begin_ms, 1)
    return interval.since.power_uwh * part_ms // whole_ms


class _Spread(msgspec.Struct, frozen=True):
    """How an interval's energy, and the time over which power is not known, are spread over it: at
    some moments it is known what has passed up to then, and between two of them it is even.
    """

    times_ms: list[int]
    energies_uwh: list[int]
    unknowns_ms: list[int]

    def energy_uwh(self, at_ms: int) -> int:
        """The energy that passed up to then."""
        return self._at(self.energies_uwh, at_ms)

    def unknown_ms(self, at_ms: int) -> int:
        """The time up to then over which power is not known."""
        return self._at(self.unknowns_ms, at_ms)

    def _at(self, known: list[int], at_ms: int) -> int:
        times_ms = self.times_ms
        n = bisect_left(times_ms, at_ms, 1, len(times_ms) - 1)
        into_ms = at_ms - times_ms[n - 1]
        whole_ms = times_ms[n] - times_ms[n - 1]
        return known[n - 1] + (known[n] - known[n - 1]) * into_ms // whole_ms


def _spread(interval: Interval) -> _Spread:
    """The energy goes where power was. What power does not account for goes evenly to the time over
    which it is not known.

    Where power says more than the register, or less and is known all the while, it tells the
    proportions only. Where it says nothing, the energy is spread evenly.
    """
    since = interval.since
    gain = interval.before.counter.gain
    begin_ms, until_ms = interval.begin_ms, interval.until_ms
    moved_uwh = interval.moved_uwh
    rest_uwh = moved_uwh - gain.applied(since.power_uwh)

    marks = [mark for mark in interval.marks if begin_ms < mark.at_ms < until_ms]
    if since.power_unknown_ms and rest_uwh > 0:
        energies_uwh = [
            gain.applied(mark.power_uwh)
            + rest_uwh * mark.power_unknown_ms // since.power_unknown_ms
            for mark in marks
        ]
    elif since.power_uwh:
        energies_uwh = [moved_uwh * mark.power_uwh // since.power_uwh for mark in marks]
    else:
        marks, energies_uwh = [], []

    return _Spread(
        [begin_ms, *(mark.at_ms for mark in marks), until_ms],
        [0, *energies_uwh, moved_uwh],
        [0, *(mark.power_unknown_ms for mark in marks), since.power_unknown_ms],
    )
