"""Which readings of a register are believed, and what they say happened to it. Pure.

A reading of the register that is believed *confirms* the counter. A reading that is not believed
changes nothing: only the integral of power goes on. These readings are not believed at once:

- *The register is not in the sample.*

- *It says grossly more than power does, and than the register's own pace was before.* Such a
  reading is a suspect. When the register goes on from where it was, the suspect was a *glitch*.
  When the next reading agrees with the suspect, both are believed (`AGREEING`).

- *It lies one or two steps below the last one* (`JITTER_STEPS`), or goes back on a rise for which
  nothing else had spoken. The counter waits at the highest that was seen until that is passed.

- *It shows a total after a time that nobody saw, and the register was 0 ever since the series
  began.* When the next one agrees, both are believed, and nothing of the total passed meanwhile.

- *It is 0, and the register stood higher,* or it is less than 0 as a number without a sign
  (0xFFFFFFF0, `Rules.has_underflowed`). That is no total, however often it is read: the meter does
  not know its own. A register that truly began again is believed when it shows more than 0.

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

from msgspec.structs import replace

from gateway.energy.calibration import MOST_GAIN_PPM, PPM
from gateway.energy.counter import (
    CONFIRMATIONS,
    MOST_PAUSE_MS,
    UWH_PER_WH,
    Beginning,
    Counter,
    Finding,
    Suspects,
    begun,
    confirmed,
    start,
)
from gateway.energy.register import Rules

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

JITTER_STEPS = 2
"""A register that goes back by so many steps has not gone back: some meters round it otherwise from
one reading to the next, or answer from one of two copies. The counter waits at the highest.
"""

WAVER_STEPS = 64
"""A register that has fallen by no more than this, and came back, wavers: the counter waits at the
highest when it does so again. And of wrong readings no further away it is told once an hour.

Chosen, not measured: more than rounding and copies of a total differ by, less than people would
reset a meter at.
"""

LEAP_KEPT_MS = 86_400_000
"""For so long a register may go back on a rise for which nothing but itself spoke, or by as much as
it came back from.
"""

TELL_EVERY_MS = 3_600_000
"""A meter that does so without end is told of no more often."""

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
    if _wavers(counter, rules, moved_uwh):
        return False
    return not 0 <= moved_uwh <= rules.most_uwh(elapsed_ms, raw_uwh)


def read(
    counter: Counter,
    rules: Rules,
    raw_uwh: int | None,
    *,
    stale_ms: int,
    began_anew: bool = False,
) -> tuple[Counter, Finding | None]:
    """What the meter shows at the sample that power was integrated up to; None: the register is not
    in it. Where power is not known for longer than `stale_ms`, nobody saw what happened. Another
    register of the meter `began_anew`: this one may have fallen to 0 with it.

    The counter that comes back is as of that sample where the register confirms it: `at_ms` tells.
    Otherwise it is still as of before.
    """
    if raw_uwh is None:
        return counter, None

    at_ms = counter.last_sample_ms
    elapsed_ms = at_ms - counter.at_ms
    moved_uwh = raw_uwh + counter.offset_uwh - counter.register_uwh
    if wavers := _wavers(counter, rules, moved_uwh):
        if -moved_uwh <= 2 * JITTER_STEPS * rules.step_uwh(counter.shown_uwh):
            counter = replace(counter, jittered_ms=at_ms)
        moved_uwh = 0
    can_follow = 0 <= moved_uwh <= rules.most_uwh(elapsed_ms, raw_uwh)

    if can_follow and not _is_doubtful(counter, rules, moved_uwh, elapsed_ms, stale_ms):
        if moved_uwh == 0 and _is_yet_to_move(counter, rules, elapsed_ms):
            return counter, None
        if moved_uwh == 0 and pauses(counter, rules, elapsed_ms):
            return counter, None
        finding = _glitch(counter, rules, raw_uwh)
        is_hourly = _is_near(counter, rules) if finding else wavers
        if wavers and finding is None:
            finding = _goes_back(counter)
        counter = confirmed(_leapt(counter, rules, moved_uwh), rules, moved_uwh)
        return _told_hourly(counter, finding) if is_hourly else (counter, finding)

    counter = suspect(counter, rules, raw_uwh)
    suspects = counter.suspects
    assert suspects is not None

    if can_follow and suspects.count >= AGREEING:
        if _was_unheard(counter, rules, moved_uwh, stale_ms):
            return _rebase(counter, rules, suspects)
        counter = confirmed(_leapt(counter, rules, moved_uwh), rules, moved_uwh)
        return _told_hourly(counter, _glitch_before(suspects))
    is_zeroed = began_anew and raw_uwh == 0
    if suspects.count < CONFIRMATIONS or (not is_zeroed and _is_no_total(counter, rules, suspects)):
        return counter, None
    return _rebase(counter, rules, suspects)


def is_plain(counter: Counter, rules: Rules, moved_uwh: int, raw_uwh: int) -> bool:
    """Whether a register that moved so much (≥ 0), to `raw_uwh`, is believed at once, and no leap:
    as `read` has it, of a counter that suspects nothing and whose beginning is known.
    """
    step_uwh = rules.step_uwh(counter.register_uwh - counter.offset_uwh)
    if moved_uwh > step_uwh and moved_uwh - explained_uwh(counter) > step_uwh:
        return False
    elapsed_ms = counter.last_sample_ms - counter.at_ms
    if moved_uwh == 0:
        return not pauses(counter, rules, elapsed_ms)
    # What is explained, and a step, is never gross.
    return moved_uwh <= rules.most_uwh(elapsed_ms, raw_uwh)


def was_at_0(before: Counter, counter: Counter, rules: Rules, raw_uwh: int) -> bool:
    """Whether a reading says that the register has begun at 0 again, as those before it showed
    without being believed (`before`), and shows more than can have passed since: then it may be a
    wrong one, and is judged as any other, from 0 on.
    """
    suspects = before.suspects
    # This reading is one more that speaks for them.
    if suspects is None or suspects.last_raw_uwh or suspects.count + 1 < CONFIRMATIONS:
        return False
    moved_uwh = raw_uwh - counter.shown_uwh
    if not raw_uwh or moved_uwh >= 0 or _wavers(counter, rules, moved_uwh):
        return False
    if _rolled_uwh(counter, rules, raw_uwh) is not None:
        return False
    now, then = counter.since, before.since
    passed_uwh = now.power_uwh - then.power_uwh
    passed_uwh += 2 * (now.power_uncertainty_uwh - then.power_uncertainty_uwh)
    return raw_uwh > counter.gain.applied(passed_uwh) * 5 // 4 + rules.step_uwh(raw_uwh)


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


def heard(counter: Counter) -> Counter:
    """The counter, at whose beginning the meter showed something beside the 0 of its register."""
    if counter.beginning is None or counter.beginning.is_heard:
        return counter
    return replace(counter, beginning=replace(counter.beginning, is_heard=True))


def go_on_with(
    counter: Counter, rules: Rules, at_ms: int, raw_uwh: int, power_w: float | None
) -> Counter:
    """The counter where it is, from now on at the lower end of a step of another register."""
    first = start(at_ms, raw_uwh, power_w, rules)
    stood_uwh = counter.counter_uwh
    first = replace(first, register_uwh=stood_uwh, offset_uwh=stood_uwh - raw_uwh)
    return replace(begun(first, rules, Beginning()), counter_uwh=stood_uwh, agreed=CONFIRMATIONS)


def is_to_concede(counter: Counter, rules: Rules) -> bool:
    """Whether so many readings rise too fast that the counter had better go along (`concede`)."""
    suspects = counter.suspects
    if suspects is None or suspects.rising < MOST_REFUSED:
        return False
    if rules.has_underflowed(suspects.last_raw_uwh):
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
    counter = confirmed(replace(counter, since=since), rules, 0)
    # The next reading is no more believed for that, and the count goes on.
    return replace(
        counter, suspects=replace(latest, rising=suspects.rising, refused=suspects.refused)
    )


def _wavers(counter: Counter, rules: Rules, moved_uwh: int) -> bool:
    """Whether a reading lies so little below the register that the meter has only rounded it
    otherwise, or read it from another place; or that it goes back on what it rose by when nothing
    else spoke for that.
    """
    if moved_uwh >= 0:
        return False
    back_uwh = JITTER_STEPS * rules.step_uwh(counter.shown_uwh)
    if counter.jitters:
        # The highest was that much too high, and this one is that much too low.
        back_uwh *= 2
    if counter.last_sample_ms - counter.leap_ms <= LEAP_KEPT_MS:
        back_uwh += counter.leap_uwh
    return -back_uwh <= moved_uwh


def _leapt(counter: Counter, rules: Rules, moved_uwh: int) -> Counter:
    """The counter, about to be confirmed by a register that moved by so much: if that is more than
    power and pace say, it may yet have been a wrong reading, whatever passed that nobody saw.
    """
    step_uwh = rules.step_uwh(counter.shown_uwh)
    if moved_uwh <= step_uwh:
        return counter
    leap_uwh = moved_uwh - explained_uwh(counter)
    if leap_uwh <= step_uwh:
        return counter
    at_ms = counter.last_sample_ms
    if at_ms - counter.leap_ms <= TELL_EVERY_MS:
        leap_uwh = max(leap_uwh, counter.leap_uwh)
    return replace(counter, leap_uwh=leap_uwh, leap_ms=at_ms)


def unexplained_uwh(counter: Counter, moved_uwh: int, stale_ms: int) -> int:
    """By how much a register that moved so much has moved further than power says, and its pace,
    and than may have passed unseen.
    """
    unknown_ms = counter.since.power_unknown_ms
    unseen_ms = unknown_ms if unknown_ms > stale_ms else 0
    return moved_uwh - explained_uwh(counter) - round(DOUBT_W * unseen_ms / 3.6)


def explained_uwh(counter: Counter) -> int:
    """The most that may have passed since the register confirmed the counter, by power, or by its
    own pace.
    """
    since = counter.since
    elapsed_ms = counter.last_sample_ms - counter.at_ms
    by_power_uwh = since.power_uwh * 5 // 4 + 2 * since.power_uncertainty_uwh
    by_pace_uwh = round(counter.pace_w * 1.25 * elapsed_ms / 3.6)
    return max(by_power_uwh, by_pace_uwh)


def _goes_back(counter: Counter) -> Finding:
    """What is said of such a reading."""
    text = (
        f"the register goes back by a little from {wh(counter.shown_uwh)}: the counter waits at "
        "the highest until that is passed"
    )
    return Finding("glitch", 0, text)


def was_told_lately(counter: Counter) -> bool:
    """Whether it was told within an hour that its register wavers."""
    return counter.wavered_ms is not None and counter.at_ms - counter.wavered_ms < TELL_EVERY_MS


def _told_hourly(counter: Counter, finding: Finding | None) -> tuple[Counter, Finding | None]:
    """The counter, and the finding, if any, unless such a one was told within an hour."""
    if finding is None or was_told_lately(counter):
        return counter, None
    return replace(counter, wavered_ms=counter.at_ms), finding


def _is_near(counter: Counter, rules: Rules) -> bool:
    """Whether the suspects lie near the register."""
    suspects = counter.suspects
    assert suspects is not None
    apart_uwh = abs(suspects.last_raw_uwh - counter.shown_uwh)
    return apart_uwh <= WAVER_STEPS * rules.step_uwh(counter.shown_uwh)


def back_from(counter: Counter, rules: Rules, fell_uwh: int) -> Counter:
    """The counter, whose register is back after it had fallen by so much."""
    at_ms = counter.at_ms
    if not 0 < fell_uwh <= WAVER_STEPS * rules.step_uwh(counter.shown_uwh):
        return counter
    if at_ms - counter.leap_ms <= LEAP_KEPT_MS:
        fell_uwh = max(fell_uwh, counter.leap_uwh)
    return replace(counter, leap_uwh=fell_uwh, leap_ms=at_ms)


def _is_no_total(counter: Counter, rules: Rules, suspects: Suspects) -> bool:
    """Whether readings agree on what no total can be: 0, after it stood higher, or less than 0 as a
    number without a sign. A meter shows that while it does not know its total.
    """
    raw_uwh = suspects.last_raw_uwh
    if raw_uwh == 0:
        return _rolled_uwh(counter, rules, raw_uwh) is None
    return raw_uwh > counter.shown_uwh and rules.has_underflowed(raw_uwh)


def _is_doubtful(
    counter: Counter, rules: Rules, moved_uwh: int, elapsed_ms: int, stale_ms: int
) -> bool:
    """Whether a reading says grossly more than power, and than the register's own pace.

    Grossly is three times as much, and a few steps and `DOUBT_W` on top. The margins are wide
    because doubt costs little where it is wrong: the reading is believed with the next one.
    """
    is_rare = elapsed_ms > DOUBT_MS and counter.suspects is None
    if is_rare and counter.since.power_unknown_ms <= stale_ms:
        return False
    if _was_unheard(counter, rules, moved_uwh, stale_ms):
        return True
    unseen_ms = elapsed_ms
    if counter.suspects is not None:
        # Others came since and were refused: this one follows them.
        unseen_ms = counter.last_sample_ms - counter.suspects.last_ms
    return is_gross(counter, rules, moved_uwh, unseen_ms)


def _was_unheard(counter: Counter, rules: Rules, moved_uwh: int, stale_ms: int) -> bool:
    """Whether a register showed 0 ever since the series began, and nothing else was shown, and it
    shows a total after a time that nobody saw: the 0 may have been what is shown of a meter that is
    not heard yet.
    """
    beginning = counter.beginning
    if beginning is None or beginning.is_heard or counter.shown_uwh != 0:
        return False
    unseen = counter.since.power_unknown_ms > stale_ms
    steps_uwh = JITTER_STEPS * rules.step_uwh(0)
    return unseen and moved_uwh - explained_uwh(counter) > steps_uwh


def is_gross(counter: Counter, rules: Rules, moved_uwh: int, unseen_ms: int) -> bool:
    """Whether a register that moves so much does grossly more than power, and its own pace, say of
    the time since it confirmed the counter. For `unseen_ms` of that nobody saw a reading.
    """
    steps_uwh = 4 * rules.step_uwh(counter.shown_uwh)
    if moved_uwh <= steps_uwh:
        return False
    since = counter.since
    by_power_uwh = since.power_uwh + 2 * since.power_uncertainty_uwh
    by_pace_uwh = round(counter.pace_w * (counter.last_sample_ms - counter.at_ms) / 3.6)
    unseen_uwh = round(DOUBT_W * unseen_ms / 3.6)
    return moved_uwh > 3 * max(by_power_uwh, by_pace_uwh) + unseen_uwh + steps_uwh


def _is_yet_to_move(counter: Counter, rules: Rules, elapsed_ms: int) -> bool:
    """Whether the register stands still because the meter moves it only now and then."""
    return elapsed_ms < rules.refresh_ms and counter.suspects is None


def pauses(counter: Counter, rules: Rules, elapsed_ms: int) -> bool:
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

    shown = wh(suspects.last_raw_uwh)
    return Finding("glitch", 0, f"{suspects.count} reading(s) not believed, {shown} shown")


def _glitch_before(suspects: Suspects) -> Finding | None:
    """What came before suspects that are believed now, and did not lead to them."""
    refused = suspects.refused - suspects.count
    if not refused:
        return None
    text = f"{refused} reading(s) not believed, until {wh(suspects.first_raw_uwh)} was shown"
    return Finding("glitch", 0, text)


def _rebase(counter: Counter, rules: Rules, suspects: Suspects) -> tuple[Counter, Finding]:
    """The suspects are right: decide what happened, and go on from there."""
    shown_uwh = counter.shown_uwh
    text = f"{wh(shown_uwh)} was followed by {wh(suspects.first_raw_uwh)}, {suspects.count} times"

    rolled_uwh = _rolled_uwh(counter, rules, suspects.last_raw_uwh)
    if rolled_uwh is not None:
        counter = replace(counter, offset_uwh=counter.offset_uwh + (rules.modulus_uwh or 0))
        finding = Finding("rollover", 0, f"the register started again from 0: {text}")
        return confirmed(counter, rules, rolled_uwh), finding

    if suspects.first_raw_uwh < shown_uwh:
        counter, finding = _reset(counter, rules, suspects, text)
    else:
        counter, finding = _jump(counter, rules, suspects, text)

    # What the suspects counted among themselves is booked; what power says of the time before them
    # may be theirs or not.
    since = counter.since
    since = replace(since, power_unknown_ms=max(since.power_unknown_ms, 1))
    counter = replace(counter, since=since)
    counter = confirmed(counter, rules, suspects.last_raw_uwh - suspects.first_raw_uwh)
    if finding.kind == "reset":
        counter = replace(counter, counter_uwh=counter.register_uwh)
        # What it shows now is its total, 0 as well.
        counter = begun(counter, rules, Beginning(is_heard=True))
    return counter, finding


def _rolled_uwh(counter: Counter, rules: Rules, raw_uwh: int) -> int | None:
    """By how much the register moved that passed its modulus and shows this now; None: it cannot
    have. Where power is known for all of the time, and says that nothing like that passed, it was
    set to 0 near its modulus.
    """
    if rules.modulus_uwh is None:
        return None
    rolled_uwh = raw_uwh + rules.modulus_uwh - counter.shown_uwh
    elapsed_ms = counter.last_sample_ms - counter.at_ms
    if not 0 <= rolled_uwh <= rules.most_uwh(elapsed_ms, counter.shown_uwh):
        return None
    power_tells = counter.since.power_unknown_ms == 0 and not counter.power_disproved
    if power_tells and is_gross(counter, rules, rolled_uwh, elapsed_ms):
        return None
    return rolled_uwh


def _reset(
    counter: Counter, rules: Rules, suspects: Suspects, text: str
) -> tuple[Counter, Finding]:
    """The register went backwards: the counter stays where it is, on a new scale.

    The new scale begins so that the counter is at the lower end of the register's step: how far
    into it the register truly is, its first step says.
    """
    step_uwh = rules.step_uwh(suspects.first_raw_uwh)
    begin_uwh = counter.counter_uwh
    counter = replace(
        counter,
        register_uwh=begin_uwh,
        offset_uwh=begin_uwh - suspects.first_raw_uwh,
        low_uwh=begin_uwh,
        high_uwh=begin_uwh + step_uwh,
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
    if counter.shown_uwh == 0:
        return _heard(counter, step_uwh, suspects, text)
    into_uwh = min(counter.counter_uwh - counter.register_uwh, step_uwh)
    unallocated_uwh = max(begin_uwh + into_uwh - counter.counter_uwh, 0)
    counter = replace(
        counter,
        counter_uwh=counter.counter_uwh + unallocated_uwh,
        register_uwh=begin_uwh,
        low_uwh=begin_uwh,
        high_uwh=begin_uwh + step_uwh,
    )
    text = f"more than the main fuse carries: {text}; {wh(unallocated_uwh)} unallocated"
    return counter, Finding("jump", unallocated_uwh, text)


def _heard(
    counter: Counter, step_uwh: int, suspects: Suspects, text: str
) -> tuple[Counter, Finding]:
    """The register showed 0 all the time, and now a total that nothing explains: the meter had not
    been heard by whoever showed that 0. Nothing of it passed meanwhile.
    """
    stood_uwh = counter.register_uwh
    counter = replace(
        counter,
        offset_uwh=stood_uwh - suspects.first_raw_uwh,
        low_uwh=stood_uwh,
        high_uwh=stood_uwh + step_uwh,
    )
    text = f"more than can have passed: {text}; a 0 before was no total, and metering goes on"
    return counter, Finding("jump", 0, text)


def wh(uwh: int) -> str:
    """Energy as people read it."""
    return f"{uwh / UWH_PER_WH:.3f} Wh"
