"""What a slot is forecast from: the last slots, earlier days, habits by the clock, and the sun.
Pure.
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from collections.abc import Sequence
from math import sqrt
from operator import mul
from typing import NamedTuple

from gateway.energy.forecast.learned import (
    BRIGHTEST,
    BRIGHTNESS,
    DAY,
    DAY_S,
    FEATURES,
    HOUR_S,
    HOURS,
    NEVER,
    QUARTERS,
    UNKNOWN,
    WEEK,
    WEEK_DAYS,
    Rules,
)

DARK_SHARE = 0.003
"""A slot in which a clear sky brings less than this of its best is dark."""

_WEIGHT_OF_BRIGHTNESS = 0.02
_MOST_BRIGHT = 1.6


class Clock(NamedTuple):
    """Where in the day a slot lies."""

    utc: int
    """Its slot of the UTC day."""
    habit: int
    """Where its habit lies among the profiles: by the local clock, weekday or weekend."""
    hour: int
    """Of the local day."""
    quarter: int
    """Of the local day."""


def clock(number: int, rules: Rules) -> Clock:
    """Where slot `number` lies."""
    per_day = rules.slots_per_day
    start_s = number * rules.slot_s
    local_s = start_s + rules.utc_offset_s(start_s)
    in_day_s = local_s % DAY_S
    hour = in_day_s // HOUR_S
    utc = number % per_day
    if rules.kind == "pv":
        return Clock(utc, utc, hour, hour * QUARTERS // HOURS)
    weekend = (local_s // DAY_S + 3) % 7 >= 5
    habit = min(in_day_s // rules.slot_s, per_day - 1) + (per_day if weekend else 0)
    return Clock(utc, habit, hour, hour * QUARTERS // HOURS)


def a_day_and_a_week_before(number: int, rules: Rules) -> tuple[int, int]:
    """The numbers of those slots, by the clock that counts for such an asset."""
    if rules.kind == "pv":
        return number - rules.slots_per_day, number - WEEK_DAYS * rules.slots_per_day
    start_s = number * rules.slot_s
    utc_offset_s = rules.utc_offset_s
    local_s = start_s + utc_offset_s(start_s)
    day_s, week_s = start_s - DAY_S, start_s - WEEK_DAYS * DAY_S
    return (
        (local_s - DAY_S - utc_offset_s(day_s)) // rules.slot_s,
        (local_s - WEEK_DAYS * DAY_S - utc_offset_s(week_s)) // rules.slot_s,
    )


def root_at(slots: array[float], number: int, otherwise: float) -> float:
    """The root of that slot's energy, or of what was expected of it."""
    value = slots[number % len(slots)]
    if value >= 0.0:
        return value
    return -1.0 - value if value > NEVER else otherwise


def ring(values: array[float], end: int, count: int, begin: int = 0) -> array[float]:
    """The `count` values before place `end` of a ring, which is all that comes from `begin` on."""
    end = begin + end % (len(values) - begin)
    if end - count >= begin:
        return values[end - count : end]
    return values[end - begin - count :] + values[begin:end]


def habit_of(profiles: array[float], place: int, per_day: int, otherwise: float) -> float:
    """What is usual there; where a weekend is not known yet, what is usual on weekdays, and the
    other way round.
    """
    value = profiles[place]
    if value >= 0.0:
        return value
    value = profiles[place - per_day if place >= per_day else place + per_day]
    return value if value >= 0.0 else otherwise


class Origin(NamedTuple):
    """What the newest slots say, whichever slot is forecast from them."""

    number: int
    last: float
    change: float
    of_four: float
    lowest: float
    day: float
    week: float
    from_habit: float
    of_top: float
    """What there was of a load's `Week.top`, 1 at the most."""
    bright_1h: float
    """Of a load, 0, as the next two."""
    bright_4h: float
    brightest: float


def origin(
    slots: array[float],
    profiles: array[float],
    level: array[float],
    number: int,
    habit: int,
    top: float,
    rules: Rules,
) -> Origin:
    """Look back from slot `number`, the newest one. `top`: that of the week before it."""
    per_day, per_hour = rules.slots_per_day, rules.slots_per_hour
    span = 4 * per_hour
    last = root_at(slots, number, 0.0)
    recent = ring(slots, number + 1, span)
    lowest = min(recent)
    if lowest < 0.0:
        recent = array("f", [v if v >= 0.0 else -1.0 - v if v > NEVER else last for v in recent])
        lowest = min(recent)
    usual = habit_of(profiles, habit, per_day, level[DAY])
    bright_1h = bright_4h = 0.0
    if rules.kind == "pv":
        sky = ring(profiles, number + 1, span, 3 * per_day)
        if min(sky) < 0.0:
            sky = array("d", [max(clear, 0.0) for clear in sky])
        energies = list(map(mul, recent, recent))
        bright_1h = brightness(energies[-per_hour:], sky[-per_hour:], level)
        bright_4h = brightness(energies, sky, level)
    return Origin(
        number,
        last,
        last - recent[-2],
        (recent[-1] + recent[-2] + recent[-3] + recent[-4]) * 0.25 - last,
        lowest,
        level[DAY],
        level[WEEK],
        last - usual,
        last / top if top > last else 1.0,
        bright_1h,
        bright_4h,
        level[BRIGHTEST],
    )


def brightness(energies: Sequence[float], sky: Sequence[float], level: array[float]) -> float:
    """What there was of a clear sky's energy. Where the sky is nearly dark, of late."""
    trust = _WEIGHT_OF_BRIGHTNESS * level[BRIGHTEST]
    clear = sum(sky) + trust
    if clear <= 0.0:
        return level[BRIGHTNESS]
    return min((sum(energies) + trust * level[BRIGHTNESS]) / clear, _MOST_BRIGHT)


def is_dark(
    slots: array[float], profiles: array[float], seen: Origin, target: int, rules: Rules
) -> bool:
    """Whether no energy can come of a PV then: a clear sky brings nothing, or the two days before
    brought nothing, and nothing comes now.
    """
    per_day = rules.slots_per_day
    clear = profiles[3 * per_day + target % per_day]
    if clear == UNKNOWN:
        return False
    if clear <= DARK_SHARE * seen.brightest:
        return True
    return (
        seen.last == 0.0
        and root_at(slots, target - per_day, 1.0) == 0.0
        and root_at(slots, target - 2 * per_day, 1.0) == 0.0
    )


class Week(NamedTuple):
    """The roots of a week, at the same time of each day."""

    median: float
    """No single day moves it."""
    top: float
    """The second of the largest ones: what there is where something large runs."""


def week_before(slots: array[float], yesterday: int, per_day: int, otherwise: float) -> Week:
    """Of the slot that comes a day after the one of number `yesterday`."""
    at = yesterday % len(slots)
    known = slots[at::-per_day].tolist()
    if len(known) < WEEK_DAYS:
        known += slots[at - len(known) * per_day :: -per_day]
    known = sorted(known[:WEEK_DAYS])
    if known[0] < 0.0:
        known = [each for each in known if each >= 0.0]
        if not known:
            return Week(otherwise, otherwise)
    days = len(known)
    half = days // 2
    median = known[half] if days % 2 else 0.5 * (known[half - 1] + known[half])
    return Week(median, known[-2] if days > 1 else known[0])


def look(
    slots: array[float],
    profiles: array[float],
    seen: Origin,
    target: int,
    when: Clock,
    rules: Rules,
    earlier: Sequence[float] = (),
) -> tuple[list[float], list[float], float]:
    """The features of slot `target`, the roots that the simple experts expect, and a load's
    `Week.top`. `earlier`: what came a day and a week before it, and that `Week`, where that is
    known already.
    """
    per_day = rules.slots_per_day
    usual = habit_of(profiles, when.habit, per_day, seen.last)
    lately = profiles[2 * per_day + when.habit % per_day]
    if lately < 0.0:
        lately = usual
    if earlier:
        yesterday, last_week, median, top = earlier
    else:
        day, week = a_day_and_a_week_before(target, rules)
        yesterday = root_at(slots, day, usual)
        last_week = root_at(slots, week, yesterday)
        median = top = 0.0
        if rules.kind == "load":
            median, top = week_before(slots, day, per_day, usual)
    if rules.kind == "pv":
        clear = profiles[3 * per_day + when.utc]
        root = sun_1h = sun_4h = seen.last
        if clear >= 0.0:
            root = sqrt(clear)
            sun_1h, sun_4h = root * sqrt(seen.bright_1h), root * sqrt(seen.bright_4h)
        own = (root, sun_1h, sun_4h)
        expert = sun_1h
    else:
        own = (median, seen.week, seen.lowest)
        expert = top * seen.of_top
    x = [
        seen.last,
        seen.change,
        seen.of_four,
        yesterday,
        usual,
        lately,
        seen.day,
        *own,
        seen.from_habit if seen.from_habit > 0.0 else 0.0,
        seen.from_habit,
    ]
    return x, [seen.last, yesterday, last_week, usual, expert], top


LOAD_PRIOR = (
    (0.4, -0.07, -0.03, 0.05, 0.22, 0.07, 0.1, 0.09, -0.03, 0.09, -0.03, 0.04, 0.11, 0.15, 0.13),
    (0.21, 0.03, 0.0, 0.08, 0.25, 0.1, 0.13, 0.14, -0.04, 0.12, -0.03, 0.13, 0.07, 0.15, 0.1),
)
SUN_PRIOR = (0.0, 0.0, 0.0, 0.15, 0.0, 0.35, 0.0, 0.0, 0.4, 0.1, *(0.0,) * 5)
"""What the coefficients are near before anything is known. Of a load one and two slots ahead: the
mean of what was learned in eight weeks of the homes with which parameters were chosen.
"""

assert all(len(prior) == FEATURES for prior in (*LOAD_PRIOR, SUN_PRIOR))
