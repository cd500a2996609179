"""The counter: our continuous estimate of a cumulative energy register between its steps. Pure.

A register moves in steps, of 1, 10 or 100 Wh. The truth lies somewhere between what it shows and
one step more. Power says how far it has come since the last sample, but not what happened between
two samples. So two bounds are kept around the truth. Power moves both of them up. What is uncertain
about power moves them apart. Each step of the register moves them together. The counter is their
middle:

    low     ← max(low  + ∫ power dt − uncertainty, register)
    high    ← min(high + ∫ power dt + uncertainty, register + step)
    counter ← max(counter, (low + high) / 2)

Power that is off by a few percent is calibrated first (`calibration`).

All energies are integers in µWh (10⁻⁶ Wh), so that sums are exact and a replay gives the same
numbers. The counter lives on an *unwrapped* scale: what the meter shows, plus an offset. A rollover
or a reset changes the offset, and the counter itself never runs backwards. Times are in ms of a
clock that is never set, because how long something lasted decides what can be true.

A reading of the register that is believed *confirms* the counter. A reading that is not believed
changes nothing: only the integral of power goes on. These readings are not believed at once:

- *The register is not in the sample.*

- *It says grossly more than power does, and than the register's own pace was before.* Such a
  reading is a suspect. When the register goes on from where it was, the suspect was a *glitch*.
  When the next reading agrees with the suspect, both are believed (`AGREEING`).

- *It cannot follow the last one:* it went backwards, or by more than the main fuse can carry. Only
  when `CONFIRMATIONS` such readings in a row agree with each other are they believed, and then one
  of three things has happened. The register passed its modulus: a *rollover*. It went backwards: a
  *reset*, across which nothing can be known and nothing is booked. It went forwards: a *jump*. The
  counter goes along with a jump, but what the register jumped over is stated as unallocated and is
  in no slot.

- *It is one of the first of all.* Until `CONFIRMATIONS` readings agree, and as long as nothing is
  booked, the counter begins anew with a reading that cannot follow (`begins_anew`).

- *It is one more of many that rise too fast.* Each is more than the main fuse can carry since the
  one before, so they never agree (`MOST_REFUSED`). Then the rule is wrong and not the register, and
  nobody knows by how much: slot by slot the counter goes along, and all that passed is stated as
  unallocated (`concede`).

- *It stands still while more passes than its step can hold.* The register *pauses*, and will catch
  up. After `MOST_PAUSE_MS` the register is believed, and power is not.

- *It stands still, and the meter moves it only once a minute, say* (`Rules.refresh_ms`). For that
  long this says nothing.

- *It is one of another register,* because the meter's profile changed. Once `CONFIRMATIONS` such
  readings agree, the counter goes on from where it is with the new one (`go_on_with`).
"""

from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec.structs import replace

from gateway.energy.calibration import MOST_GAIN_PPM, PPM, Gain
from gateway.energy.register import Rules

CONFIRMATIONS = 3
"""Readings that must agree before anything but a normal step is believed.

One more than the wrong readings in a row that the simulation has a name for (scenarios
`bogus-zero-twice`, `bogus-zeros-and-a-kill`).
"""

AGREEING = 2
"""Readings that must agree before a step is believed that the fuse can carry, and for which nothing
else speaks.

One is a flipped bit (scenario `bit-flip-small`). A third would keep a real load waiting for longer,
such as a car that begins to charge where power is read from another place.
"""

MOST_REFUSED = 10
"""So many readings in a row that are not believed are no accident, and a person should know.

More than any glitch that the simulation has a name for, and 100 s at the usual interval.
"""

DOUBT_MS = 15 * 60_000
"""Of a meter that is read more rarely no reading is doubted for saying more than power does: the
next one would come too late.

After a time that nobody saw every reading is doubted, however long it was. The value is the usual
slot. With one minute, a flipped bit within what the fuse carries was believed where
a meter was read once a minute or less often (random days 108, 121 and 178 of the simulation).
"""

DOUBT_W = 1000.0
"""What may have been switched on and off in between, unseen, without making anybody doubt.

Tried with the household of `tests/benchmarks/accuracy.py`, read every 5 minutes for 30 days: with
0, 300, 1000 and 3000 W, of 8640 true readings 64, 41, 3 and none wait for the next one, and 163,
107, 12 and none where the register is read without power. A wrong reading that so much power could
explain is booked until the register goes back. The README states that limit, and the laws of the
simulation allow for it.
"""

MOST_PAUSE_MS = 2 * 3_600_000
"""A register that stands still for longer is believed, whatever power says.

It is the default of the longest gap (`market.max_gap`), beyond which power closes no slot on its
own either. Registers that are sent hourly stand still for half as long, by design.
"""

UWH_PER_WH = 1_000_000

POWER_DISPROVED = -1
"""What `Counter.still_uwh` holds, in files as well, where power was found to be wrong."""


class Suspects(msgspec.Struct, frozen=True):
    """Readings in a row that do not follow the believed one but do follow each other."""

    first_raw_uwh: int
    last_raw_uwh: int
    last_ms: int
    count: int
    rising: int = 1
    """Readings in a row, up to the last one, none of which is less than the one before, however
    fast they rise.
    """
    refused: int = 1
    """Readings in a row that were not believed, whether they follow each other or not."""

    def lead_to(self, raw_uwh: int, at_ms: int, rules: Rules) -> bool:
        """Whether a reading can follow them."""
        moved_uwh = raw_uwh - self.last_raw_uwh
        return 0 <= moved_uwh <= rules.most_uwh(at_ms - self.last_ms, raw_uwh)

    def and_then(self, raw_uwh: int, at_ms: int, rules: Rules) -> "Suspects":
        """One more that is not believed; where it cannot follow, it is the first of new ones."""
        leads = self.lead_to(raw_uwh, at_ms, rules)
        return Suspects(
            first_raw_uwh=self.first_raw_uwh if leads else raw_uwh,
            last_raw_uwh=raw_uwh,
            last_ms=at_ms,
            count=self.count + 1 if leads else 1,
            rising=self.rising + 1 if raw_uwh >= self.last_raw_uwh else 1,
            refused=self.refused + 1,
        )


class Since(
    msgspec.Struct,
    frozen=True,
    rename={"power_uncertainty_uwh": "swing_uwh", "power_unknown_ms": "dark_ms"},
):
    """What power says of the time since the register confirmed the counter.

    Files know the second field as `swing_uwh` and the third as `dark_ms`.
    """

    power_uwh: int = 0
    """The integral of power, as the meter shows it."""
    power_uncertainty_uwh: int = 0
    """What that is uncertain by, because nobody saw when power changed between two samples: a
    quarter of the change times the time, which is the mean error; the largest is twice as much.
    """
    power_unknown_ms: int = 0
    """The part of the time over which power is not known."""


class Counter(msgspec.Struct, frozen=True):
    """One direction of one meter, as of `at_ms`, when its register last confirmed it.

    The names of its fields are keys in files. A field that is None has not changed since `at_ms`;
    the properties below say what it stands for.
    """

    at_ms: int
    counter_uwh: int
    register_uwh: int
    """The register as of `at_ms`, unwrapped."""
    offset_uwh: int
    """Unwrapped register = what the meter shows + this."""
    power_w: float | None
    """The last power that is known."""
    suspects: Suspects | None = None
    seen_ms: int | None = None
    """The last sample, whatever was in it; None: `at_ms`."""
    power_ms: int | None = None
    """When that power was shown; None: `at_ms`."""
    low_uwh: int | None = None
    high_uwh: int | None = None
    """Bounds of the truth as of `at_ms`; None: the counter itself."""
    since: Since = Since()
    still_uwh: int = 0
    """What at least passed, by power, since the register last moved; or `POWER_DISPROVED`."""
    pace_w: float = 0.0
    """What the register's last move was, as power."""
    gain: Gain = Gain()
    agreed: int = CONFIRMATIONS
    """How many readings speak for the series, up to `CONFIRMATIONS`. While fewer do, one that
    cannot follow is as good as they are. 0 where the counter has begun anew, and one less for each
    further time in a row that it did, higher each time.
    """

    @property
    def last_sample_ms(self) -> int:
        """When the last sample was taken, whatever was in it."""
        return self.at_ms if self.seen_ms is None else self.seen_ms

    @property
    def power_shown_ms(self) -> int:
        """When the last known power was shown."""
        return self.at_ms if self.power_ms is None else self.power_ms

    @property
    def shown_uwh(self) -> int:
        """The register as of `at_ms`, as the meter shows it."""
        return self.register_uwh - self.offset_uwh

    @property
    def power_disproved(self) -> bool:
        """Whether the register stands still, is believed, and power has been found to be wrong."""
        return self.still_uwh < 0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know about a register."""

    kind: Literal["glitch", "rollover", "reset", "jump"]
    unallocated_uwh: int
    """What the counter has moved by and no slot may have."""
    text: str


def start(at_ms: int, raw_uwh: int, power_w: float | None, rules: Rules) -> Counter:
    """The counter at its first reading: in the middle of the register's step, on the meter's own
    scale.
    """
    step_uwh = rules.step_uwh(raw_uwh)
    return Counter(
        at_ms=at_ms,
        counter_uwh=raw_uwh + step_uwh // 2,
        register_uwh=raw_uwh,
        offset_uwh=0,
        power_w=power_w,
        low_uwh=raw_uwh,
        high_uwh=raw_uwh + step_uwh,
        agreed=1,
    )


def begins_anew(counter: Counter, rules: Rules, raw_uwh: int) -> bool:
    """Whether the sample that power was integrated up to is where the counter should have begun
    (`start`).

    So it is where too few readings speak for the series yet, and this one cannot follow: the very
    first may have been a wrong one. Not for ever: where readings only rise, and each one too fast,
    the counter has begun all the same, and what passes is accounted for.
    """
    if counter.agreed >= CONFIRMATIONS or counter.agreed <= -CONFIRMATIONS:
        return False

    moved_uwh = raw_uwh + counter.offset_uwh - counter.register_uwh
    elapsed_ms = counter.last_sample_ms - counter.at_ms
    return not 0 <= moved_uwh <= rules.most_uwh(elapsed_ms, raw_uwh)


def integrate(
    counter: Counter, rules: Rules, *, at_ms: int, power_w: float | None, stale_ms: int
) -> Counter:
    """Power up to a sample at `at_ms`, which must be after the last one. `power_w` (≥ 0, in this
    direction) is what it shows, if it does.

    Between two samples power is taken to be the mean of both (the trapezoidal rule). A sample that
    shows no power is taken to show the last one again, for `stale_ms` after that was shown. Over
    the time beyond, power is not known.
    """
    elapsed_ms = at_ms - counter.last_sample_ms
    shown_ms = counter.power_shown_ms
    before_w = counter.power_w if at_ms - shown_ms <= stale_ms else None

    if power_w is not None and 0 <= power_w <= rules.most_power_w:
        now_w: float | None = power_w
        shown_ms = at_ms
    else:
        now_w = before_w

    since = counter.since
    still_uwh = counter.still_uwh
    if before_w is None or now_w is None:
        since = replace(since, power_unknown_ms=since.power_unknown_ms + elapsed_ms)
    else:
        # W · ms / 3.6 = µWh. The mean of two is half their sum; the uncertainty is a quarter of
        # their difference.
        energy_uwh = round((before_w + now_w) * elapsed_ms / 7.2)
        uncertainty_uwh = round(abs(before_w - now_w) * elapsed_ms / 14.4)
        since = replace(
            since,
            power_uwh=since.power_uwh + energy_uwh,
            power_uncertainty_uwh=since.power_uncertainty_uwh + uncertainty_uwh,
        )
        if not counter.power_disproved:
            still_uwh += max(energy_uwh - 2 * uncertainty_uwh, 0)

    return replace(
        counter,
        power_w=now_w,
        seen_ms=at_ms,
        power_ms=shown_ms,
        since=since,
        still_uwh=still_uwh,
    )


def read(
    counter: Counter, rules: Rules, raw_uwh: int | None, *, stale_ms: int
) -> tuple[Counter, Finding | None]:
    """What the meter shows at the sample that power was integrated up to; None: the register is not
    in it. Where power is not known for longer than `stale_ms`, nobody saw what happened.

    The counter that comes back is as of that sample where the register confirms it: `at_ms` tells.
    Otherwise it is still as of before.
    """
    if raw_uwh is None:
        return counter, None

    at_ms = counter.last_sample_ms
    elapsed_ms = at_ms - counter.at_ms
    moved_uwh = raw_uwh + counter.offset_uwh - counter.register_uwh
    can_follow = 0 <= moved_uwh <= rules.most_uwh(elapsed_ms, raw_uwh)

    if can_follow and not _is_doubtful(counter, rules, moved_uwh, elapsed_ms, stale_ms):
        if moved_uwh == 0 and _is_yet_to_move(counter, rules, elapsed_ms):
            return counter, None
        if moved_uwh == 0 and _pauses(counter, rules, elapsed_ms):
            return counter, None
        return _confirmed(counter, rules, moved_uwh), _glitch(counter, rules, raw_uwh)

    counter = suspect(counter, rules, raw_uwh)
    suspects = counter.suspects
    assert suspects is not None

    if can_follow and suspects.count >= AGREEING:
        return _confirmed(counter, rules, moved_uwh), None
    if suspects.count < CONFIRMATIONS:
        return counter, None
    return _rebase(counter, rules, suspects)


def suspect(counter: Counter, rules: Rules, raw_uwh: int) -> Counter:
    """The counter after a reading that it cannot be compared with: one of another register, at the
    sample that power was integrated up to.
    """
    at_ms = counter.last_sample_ms
    if counter.suspects is None:
        suspects = Suspects(raw_uwh, raw_uwh, at_ms, 1)
    else:
        suspects = counter.suspects.and_then(raw_uwh, at_ms, rules)
    return replace(counter, suspects=suspects)


def go_on_with(
    counter: Counter, rules: Rules, at_ms: int, raw_uwh: int, power_w: float | None
) -> Counter:
    """The counter where it is, from now on in the middle of a step of another register.

    A step that is coarser than the one before begins below what the register was: a counter at its
    lower edge would book half a step that has not passed.
    """
    begun = start(at_ms, raw_uwh, power_w, rules)
    step_uwh = rules.step_uwh(raw_uwh)
    begin_uwh = counter.counter_uwh - step_uwh // 2
    return replace(
        begun,
        counter_uwh=counter.counter_uwh,
        register_uwh=begin_uwh,
        offset_uwh=begin_uwh - raw_uwh,
        low_uwh=begin_uwh,
        high_uwh=begin_uwh + step_uwh,
        agreed=CONFIRMATIONS,
    )


def is_to_concede(counter: Counter) -> bool:
    """Whether so many readings rise too fast that the counter had better go along (`concede`)."""
    suspects = counter.suspects
    if suspects is None or suspects.rising < MOST_REFUSED:
        return False
    return suspects.last_raw_uwh + counter.offset_uwh > counter.register_uwh


def concede(counter: Counter, rules: Rules) -> Counter:
    """The counter where its register is now, though that cannot be believed. What it moves by is
    for no slot to have.
    """
    suspects = counter.suspects
    assert suspects is not None
    latest = Suspects(suspects.last_raw_uwh, suspects.last_raw_uwh, suspects.last_ms, 1)
    counter, _ = _jump(counter, rules, latest, "")
    since = replace(counter.since, power_unknown_ms=max(counter.since.power_unknown_ms, 1))
    counter = _confirmed(replace(counter, since=since), rules, 0)
    # The next reading is no more believed for that, and the count goes on.
    return replace(
        counter, suspects=replace(latest, rising=suspects.rising, refused=suspects.refused)
    )


def _is_doubtful(
    counter: Counter, rules: Rules, moved_uwh: int, elapsed_ms: int, stale_ms: int
) -> bool:
    """Whether a reading says grossly more than power, and than the register's own pace.

    Grossly is three times as much, and a few steps and `DOUBT_W` on top. The margins are wide
    because doubt costs little where it is wrong: the reading is believed with the next one.
    """
    if elapsed_ms > DOUBT_MS and counter.since.power_unknown_ms <= stale_ms:
        return False
    return _is_gross(counter, rules, moved_uwh, elapsed_ms)


def _is_gross(counter: Counter, rules: Rules, moved_uwh: int, elapsed_ms: int) -> bool:
    since = counter.since
    by_power_uwh = since.power_uwh + 2 * since.power_uncertainty_uwh
    by_pace_uwh = round(counter.pace_w * elapsed_ms / 3.6)
    unseen_uwh = round(DOUBT_W * elapsed_ms / 3.6)
    steps_uwh = 4 * rules.step_uwh(counter.shown_uwh)
    return moved_uwh > 3 * max(by_power_uwh, by_pace_uwh) + unseen_uwh + steps_uwh


def _is_yet_to_move(counter: Counter, rules: Rules, elapsed_ms: int) -> bool:
    """Whether the register stands still because the meter moves it only now and then."""
    return elapsed_ms < rules.refresh_ms and counter.suspects is None


def _pauses(counter: Counter, rules: Rules, elapsed_ms: int) -> bool:
    """Whether more has passed than the register's step can hold, by a clear margin, while it stands
    still.
    """
    step_uwh = rules.step_uwh(counter.shown_uwh)
    # Power may be off: the least that can have passed is compared with two steps.
    is_too_much = counter.still_uwh * (PPM - MOST_GAIN_PPM) > 2 * step_uwh * PPM
    return is_too_much and elapsed_ms <= MOST_PAUSE_MS and counter.gain.credible(step_uwh)


def _glitch(counter: Counter, rules: Rules, raw_uwh: int) -> Finding | None:
    """What the suspects were, now that a reading is believed: a glitch, unless they lie on the way
    from the last believed reading to this one.
    """
    suspects = counter.suspects
    if suspects is None:
        return None

    are_ahead = suspects.last_raw_uwh + counter.offset_uwh >= counter.register_uwh
    if are_ahead and suspects.lead_to(raw_uwh, counter.last_sample_ms, rules):
        return None

    shown = _wh(suspects.last_raw_uwh)
    return Finding("glitch", 0, f"{suspects.count} reading(s) not believed, {shown} shown")


def _confirmed(counter: Counter, rules: Rules, moved_uwh: int) -> Counter:
    """The counter after its register has confirmed it, having moved by `moved_uwh` (≥ 0) since it
    last did.
    """
    at_ms = counter.last_sample_ms
    elapsed_ms = at_ms - counter.at_ms
    since = counter.since
    gain = counter.gain

    register_uwh = counter.register_uwh + moved_uwh
    step_uwh = rules.step_uwh(register_uwh - counter.offset_uwh)
    # Over a time that nobody saw, a register that moved says where the truth is; one that stands
    # still says that nothing passed.
    if since.power_unknown_ms and moved_uwh:
        low_uwh, high_uwh = register_uwh, register_uwh + step_uwh
    else:
        low_uwh, high_uwh = _bounds(counter, register_uwh, step_uwh)
    counter_uwh = max(counter.counter_uwh, (low_uwh + high_uwh) // 2)

    if not since.power_unknown_ms:
        # The counter and not the register: within a step it moves as power does, which teaches
        # nothing, and at its edges as the register.
        gain = gain.learnt(counter_uwh - counter.counter_uwh, since.power_uwh, step_uwh)

    if moved_uwh:
        still_uwh = 0
    elif counter.power_disproved or elapsed_ms > MOST_PAUSE_MS:
        still_uwh = POWER_DISPROVED
    else:
        still_uwh = counter.still_uwh

    return replace(
        counter,
        at_ms=at_ms,
        counter_uwh=counter_uwh,
        register_uwh=register_uwh,
        suspects=None,
        seen_ms=None,
        power_ms=None if counter.power_ms == at_ms else counter.power_ms,
        low_uwh=low_uwh,
        high_uwh=high_uwh,
        since=_NOTHING,
        still_uwh=still_uwh,
        pace_w=moved_uwh * 3.6 / elapsed_ms,
        gain=gain,
        agreed=min(max(counter.agreed, 0) + 1, CONFIRMATIONS),
    )


_NOTHING = Since()


def _bounds(counter: Counter, register_uwh: int, step_uwh: int) -> tuple[int, int]:
    """The bounds of the truth, after power has moved them and a register has narrowed them."""
    since = counter.since
    passed_uwh = counter.gain.applied(since.power_uwh)
    uncertain_uwh = since.power_uncertainty_uwh
    low_uwh = counter.counter_uwh if counter.low_uwh is None else counter.low_uwh
    high_uwh = counter.counter_uwh if counter.high_uwh is None else counter.high_uwh

    low_uwh = max(low_uwh + passed_uwh - uncertain_uwh, register_uwh)
    high_uwh = min(high_uwh + passed_uwh + uncertain_uwh, register_uwh + step_uwh)
    if low_uwh > high_uwh:
        # Power was wrong: the truth is at that end of the step which it would have left.
        middle_uwh = (low_uwh + high_uwh) // 2
        low_uwh = high_uwh = min(max(middle_uwh, register_uwh), register_uwh + step_uwh)
    return low_uwh, high_uwh


def _rebase(counter: Counter, rules: Rules, suspects: Suspects) -> tuple[Counter, Finding]:
    """The suspects are right: decide what happened, and go on from there."""
    shown_uwh = counter.shown_uwh
    last_ms = suspects.last_ms
    text = f"{_wh(shown_uwh)} was followed by {_wh(suspects.first_raw_uwh)}, {suspects.count} times"

    modulus_uwh = rules.modulus_uwh or 0
    rolled_uwh = suspects.last_raw_uwh + modulus_uwh - shown_uwh
    if modulus_uwh and _may_have_rolled(counter, rules, rolled_uwh, last_ms - counter.at_ms):
        counter = replace(counter, offset_uwh=counter.offset_uwh + modulus_uwh)
        finding = Finding("rollover", 0, f"the register started again from 0: {text}")
        return _confirmed(counter, rules, rolled_uwh), finding

    if suspects.first_raw_uwh < shown_uwh:
        counter, finding = _reset(counter, rules, suspects, text)
    else:
        counter, finding = _jump(counter, rules, suspects, text)

    # What the suspects counted among themselves is booked; what power says of the time before them
    # may be theirs or not.
    since = counter.since
    since = replace(since, power_unknown_ms=max(since.power_unknown_ms, 1))
    counter = replace(counter, since=since)
    return _confirmed(counter, rules, suspects.last_raw_uwh - suspects.first_raw_uwh), finding


def _may_have_rolled(counter: Counter, rules: Rules, rolled_uwh: int, elapsed_ms: int) -> bool:
    """Whether the register can have passed its modulus. Where power is known for all of the time,
    and says that nothing like that passed, it was set to 0 near its modulus.
    """
    if not 0 <= rolled_uwh <= rules.most_uwh(elapsed_ms, counter.shown_uwh):
        return False
    power_tells = counter.since.power_unknown_ms == 0 and not counter.power_disproved
    return not (power_tells and _is_gross(counter, rules, rolled_uwh, elapsed_ms))


def _reset(
    counter: Counter, rules: Rules, suspects: Suspects, text: str
) -> tuple[Counter, Finding]:
    """The register went backwards: the counter stays where it is, on a new scale.

    The new scale begins so that the counter is in the middle of the register's step, or further:
    nothing is booked for that.
    """
    step_uwh = rules.step_uwh(suspects.first_raw_uwh)
    begin_uwh = max(counter.register_uwh, counter.counter_uwh - step_uwh // 2)
    counter = replace(
        counter,
        register_uwh=begin_uwh,
        offset_uwh=begin_uwh - suspects.first_raw_uwh,
        low_uwh=begin_uwh,
        high_uwh=max(begin_uwh + step_uwh, counter.counter_uwh),
    )
    text = f"the register went back: {text}; nothing is booked across"
    return counter, Finding("reset", 0, text)


def _jump(counter: Counter, rules: Rules, suspects: Suspects, text: str) -> tuple[Counter, Finding]:
    """The register went forwards by more than can be true: the counter goes along, and what lies in
    between is unallocated.

    The counter is then as far into the new step as it was into the old one: what it was uncertain
    by is neither lost nor booked twice.
    """
    step_uwh = rules.step_uwh(suspects.first_raw_uwh)
    begin_uwh = suspects.first_raw_uwh + counter.offset_uwh
    into_uwh = min(counter.counter_uwh - counter.register_uwh, step_uwh)
    unallocated_uwh = max(begin_uwh + into_uwh - counter.counter_uwh, 0)
    counter = replace(
        counter,
        counter_uwh=counter.counter_uwh + unallocated_uwh,
        register_uwh=begin_uwh,
        low_uwh=begin_uwh,
        high_uwh=begin_uwh + step_uwh,
    )
    text = f"more than the main fuse carries: {text}; {_wh(unallocated_uwh)} unallocated"
    return counter, Finding("jump", unallocated_uwh, text)


def _wh(uwh: int) -> str:
    return f"{uwh / UWH_PER_WH:.3f} Wh"
