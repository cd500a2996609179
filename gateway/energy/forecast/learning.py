"""The forecast that learns from the asset itself: slot by slot, without weather and without knobs.
Pure.

Each slot that comes judges what was said of it, one and two slots before. Two regressions learn
from that (one that minds many small errors and changes in ten days, one that minds large ones and
changes in forty), a mixture weighs them against five simple experts, what brings half of all slots
above the forecast is learned for each hour of the day, and the quantiles of the error adapt. Then
the next two slots are forecast anew.

To add up what came and to solve takes twice as long as all the rest: each of the four regressions
has a slot for either, in turn, and more than half of all slots have neither.
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from collections.abc import Sequence
from functools import cache
from math import inf, isfinite, sqrt
from typing import Literal

from msgspec.structs import replace

from gateway.energy.forecast import band, features, mixture, regression, scores
from gateway.energy.forecast.features import Origin, root_at
from gateway.energy.forecast.learned import (
    AIM,
    BAND,
    BRIGHTEST,
    BRIGHTNESS,
    DAY,
    DAY_S,
    EXPERTS,
    FEATURES,
    HORIZONS,
    HOURS,
    MEAN,
    MIXTURE,
    MIXTURES,
    NEVER,
    OBSERVATION,
    PEAK,
    PENDING,
    QUANTILES,
    REGRESSION,
    REGRESSIONS,
    ROUND,
    SCORE,
    SCORE_DAYS,
    SENT,
    SHARED,
    UNKNOWN,
    WEEK,
    WEEK_DAYS,
    Forecast,
    Learned,
    Rules,
    blank,
    sizes,
)
from gateway.energy.forecast.naive import NAIVE, Method
from gateway.energy.slot import AssetSlot, Quality

WEIGHTS: dict[Quality, float] = {"measured": 1.0, "estimated": 0.5}
"""What a slot counts by how it is known. A partial or missing one counts nothing. An imported one
counts by its quality: the energy was metered, only not here. So does a revised one; it is learned
once, as it was when the next slot closed.
"""

SUMS: Literal["sums"] = "sums"

HALF_LIFE_DAYS = (10.0, 40.0)
_FLOOR_OF_ERROR = 0.3
_LARGE_ERROR = 1.5
_MIXTURE_DAYS = 2.0
_PEAK_DAYS = 60.0
_ABOVE_PEAK = 1.05
_HABIT_SHARE = 0.06
_OTHER_SHARE = 0.5
"""What a weekday teaches the weekend, and the other way round, of what it teaches its own kind: so
much at first, half of that once one day of that other kind was seen, and less with each.
"""
_LATELY_SHARE = {"load": 0.1, "pv": 0.2}
_SKY_UP, _SKY_DOWN = 0.35, 0.03
_SIZE_SHARE_PER_DAY = 0.3
_ABSURD = 2.5
"""A slot whose root is larger than this many times the largest one's of late is not believed: a
home does not grow sixfold in a quarter of an hour. When a second one follows, both are true.
"""
_DEFAULT_WEIGHTS = {
    "load": (0.1, 0.0, 0.0, 0.1, 0.0, 0.5, 0.3),
    "pv": (0.0, 0.1, 0.0, 0.0, 0.3, 0.4, 0.2),
}
_FIRST_QUANTILES = (-2.0, -1.5, -1.0, -0.6, -0.3, 0.0, 0.3, 0.6, 1.0, 1.5, 2.0)
_AIM_PER_DAY = 0.1
_RIDGE = 0.01
_EARLY_RIDGE = {"load": 2.0, "pv": 1.5}
_EARLY_FADES = {"load": 0.7, "pv": 1.0}
_VALID, _ROOT, _SCALE, _LOW, _HIGH, _BALANCED, _HABIT, _HOUR, _QUARTER, _TOP, _MIXED, _X = range(12)
"""Where a forecast that waits for its slot has: whether it is one (_LIT, or _DARK), its root, the
error's usual size, the band and the sum-holding one (roots), where the slot lies by the clock, what
a load's `features.Week.top` is, what the experts say together, and then features and experts.
"""
_LIT, _DARK = 1.0, 2.0
_EXPERTS_AT = _X + SHARED + 1
_EARLIER = _EXPERTS_AT + 1
"""The expert that says what came a day before; next to it, a week before."""
_MEDIAN = _X + 7
"""Of a load, the feature that is the `features.Week.median`."""
assert _EXPERTS_AT + EXPERTS == PENDING


def begin(rules: Rules) -> Learned:
    """Nothing is known yet."""
    arrays = {name: blank(code, count) for name, (code, count) in sizes(rules).items()}
    arrays["slots"] = array("f", [NEVER]) * len(arrays["slots"])
    arrays["profiles"] = array("d", [UNKNOWN]) * len(arrays["profiles"])
    arrays["level"][BRIGHTNESS] = 1.0
    arrays["level"][AIM] = 0.5
    for at in range(SCORE_DAYS):
        arrays["scores"][at * SCORE] = -1.0
    for horizon in range(len(HORIZONS)):
        at = horizon * BAND + HOURS
        arrays["bands"][at : at + len(QUANTILES)] = array("d", _FIRST_QUANTILES)
        for which in range(REGRESSIONS):
            beta = (horizon * REGRESSIONS + which) * REGRESSION + regression.BETA
            arrays["regressions"][beta : beta + FEATURES] = array("d", _prior(rules, horizon))
    return Learned(
        slot_s=rules.slot_s,
        kind=rules.kind,
        identity=rules.identity,
        newest=None,
        since_s=None,
        known=0,
        stale=0,
        absurd=0,
        **arrays,
    )


def update(learned: Learned, slot: AssetSlot, rules: Rules) -> Learned:
    """What is known once `slot` is, which must be newer than the newest.

    Slots in between are taken as missing. One that is not newer, or of another length, changes
    nothing, and the same object comes back: unless a day's worth in a row is older by more than a
    day. Then the newest was written by a clock that was ahead, and counts no more.
    """
    if not _is_of(learned, rules):
        learned = begin(rules)
    if slot.length_s != rules.slot_s:
        return learned
    number = slot.start_s // rules.slot_s
    if learned.newest is not None and number <= learned.newest:
        if number > learned.newest - rules.slots_per_day:
            return learned
        if learned.stale < rules.slots_per_day:
            return replace(learned, stale=learned.stale + 1)
        learned = _moved(learned, number - 1)
    elif learned.newest is not None and number - learned.newest > 2 * rules.slots_per_day:
        learned = _moved(learned, number - 1)
    weight = WEIGHTS.get(slot.quality, 0.0)
    root = None
    if slot.energy_uwh is not None and weight:
        root = sqrt(max(slot.energy_uwh, 0) / 1e6)
    if learned.newest is None and root is None:
        return learned
    if learned.newest is not None:
        for missing in range(learned.newest + 1, number):
            learned = _next(learned, missing, None, 0.0, rules)
    return _next(learned, number, root, weight, rules)


def _next(
    learned: Learned, number: int, root: float | None, weight: float, rules: Rules
) -> Learned:
    """What is known after slot `number`, which follows the newest, or is the first."""
    absurd = 0
    if root is not None and _is_absurd(learned, root, rules) and not learned.absurd:
        root, absurd = None, 1
    state = _copied(learned, number, learned.known + (root is not None), absurd)
    today = number * rules.slot_s // DAY_S
    if learned.newest is not None and today != learned.newest * rules.slot_s // DAY_S:
        state.level[SENT] = scores.sent(state.scores, today)
    _step(state, number, root, weight, rules)
    return state


def predict(
    learned: Learned, horizon: int, rules: Rules, quantile: float | Literal["sums"] = 0.5
) -> Forecast | None:
    """What is expected of the slot `horizon` (1 or 2) after the newest one. None: nothing is known
    yet (`why_none`).

    `quantile` is the share of slots that are to be below the energy: 0.5 errs least. "sums" moves
    it slowly so that sums hold. Raises ValueError for another horizon or quantile.
    """
    if horizon not in HORIZONS:
        raise ValueError(f"horizon {horizon}: forecasts are made for 1 or 2 slots ahead")
    if quantile != SUMS and not 0.0 < float(quantile) < 1.0:
        raise ValueError(f"quantile {quantile}: it lies between 0 and 1")
    if learned.newest is None or not _is_of(learned, rules):
        return None
    pending = learned.pending
    at = 0 if horizon == 1 else 2 * PENDING
    valid = pending[at + _VALID]
    if not valid:
        return None
    if valid == _DARK:
        return Forecast(0, 0, 0)
    root = likeliest = pending[at + _ROOT]
    peak = _ABOVE_PEAK * learned.level[PEAK]
    share = learned.level[AIM] if quantile == SUMS else float(quantile)
    if share != 0.5:
        values = band.quantiles(learned.bands, (horizon - 1) * BAND)
        root = _within(likeliest + pending[at + _SCALE] * band.between(values, share), peak)
    if place := int(learned.level[SENT]):
        target = learned.newest + horizon
        naive = _naive_roots(learned.slots, learned.newest, target, rules)[place - 1]
        root = _within(naive + root - likeliest, peak)
    low, high = pending[at + _LOW], pending[at + _HIGH]
    return Forecast(_uwh(root), _uwh(min(low, root)), _uwh(max(high, root)))


def used_method(learned: Learned) -> Method:
    """What `predict` says: "auto", or the naive one that was better over the last 14 days."""
    place = int(learned.level[SENT])
    return NAIVE[place - 1] if place else "auto"


def why_none(learned: Learned) -> str:
    """Why there is no forecast, in words; empty where there is one."""
    if learned.newest is None:
        return "no slot of it has been metered yet"
    return ""


# --- one slot -------------------------------------------------------------------------------------


def _step(s: Learned, number: int, root: float | None, weight: float, rules: Rules) -> None:
    """Slot `number` came, with that root or missing. Changes the arrays of `s`."""
    first, second = s.pending[:PENDING], s.pending[PENDING : 2 * PENDING]
    next_but_one = s.pending[2 * PENDING :]
    # Counted from the first slot: the same slots at any other time are learned the same.
    turn = (number - (s.since_s or 0) // rules.slot_s) % ROUND
    when = _when(first, number, rules)
    if root is not None:
        for horizon, said in ((1, first), (2, second)):
            if said[_VALID] == _LIT:
                _learn(s, horizon, turn, said, root, weight, rules)
        if second[_VALID]:
            _judge(s, number, second, root, rules)
        _usual(s, root, weight, when, rules)
        s.slots[number % len(s.slots)] = root
    else:
        expected = root_at(s.slots, number - rules.slots_per_day, 0.0)
        s.slots[number % len(s.slots)] = -1.0 - (first[_ROOT] if first[_VALID] else expected)
    _solve(s, turn, rules)
    top = first[_TOP]
    seen = features.origin(s.slots, s.profiles, s.level, number, when.habit, top, rules)
    # What came in the week before was looked up when that slot was forecast as a second one. Before
    # there is a week, or a day, something newer stood in for what there was not.
    known: Sequence[float] = ()
    size, per_day = len(s.slots), rules.slots_per_day
    day_ago, week_ago = (number + 1 - per_day) % size, (number + 1 - WEEK_DAYS * per_day) % size
    if next_but_one[_VALID] == _LIT and (s.slots[week_ago] > NEVER or s.slots[day_ago] >= 0.0):
        week = next_but_one[_MEDIAN], next_but_one[_TOP]
        known = (*next_but_one[_EARLIER : _EARLIER + 2], *week)
    next_one = _said(s, seen, 1, _when(next_but_one, number + 1, rules), rules, known)
    last = _said(s, seen, 2, features.clock(number + 2, rules), rules)
    s.pending[:] = next_one + next_but_one + last


def _when(said: array[float], number: int, rules: Rules) -> features.Clock:
    """Where the slot lies, as it was found when it was first forecast."""
    if not said[_VALID]:
        return features.clock(number, rules)
    return features.Clock(
        number % rules.slots_per_day, int(said[_HABIT]), int(said[_HOUR]), int(said[_QUARTER])
    )


def _said(
    s: Learned,
    seen: Origin,
    horizon: int,
    when: features.Clock,
    rules: Rules,
    earlier: Sequence[float] = (),
) -> array[float]:
    """The forecast of the slot `horizon` after the newest, and all it was made of."""
    target = seen.number + horizon
    _, habit, hour, quarter = when
    if rules.kind == "pv" and features.is_dark(s.slots, s.profiles, seen, target, rules):
        where = (_DARK, *(0.0,) * 5, habit, hour, quarter)
        return array("d", where + (0.0,) * (PENDING - len(where)))
    x, experts, top = features.look(s.slots, s.profiles, seen, target, when, rules, earlier)
    peak = _ABOVE_PEAK * s.level[PEAK]
    at = _regression(horizon, 0)
    for block in (at, at + REGRESSION):
        experts.append(_within(regression.says(s.regressions, block, x, quarter), peak))
    mixed = mixture.mixed(
        s.mixtures, _blocks(horizon, quarter), _DEFAULT_WEIGHTS[rules.kind], experts
    )
    bands = (horizon - 1) * BAND
    root = _within(mixed + band.middle(s.bands, bands, hour), peak)
    # Before any error is known it may be off by all of it.
    scale = band.size(s.bands, bands, hour, s.regressions[at + regression.SIZE]) or root
    values = band.quantiles(s.bands, bands)
    low, high = band.edges(values)
    low, high = _within(root + scale * low, peak), _within(root + scale * high, peak)
    balanced = root
    if horizon == 2:
        balanced = _within(root + scale * band.between(values, s.level[AIM]), peak)
    head = (_LIT, root, scale, low, high, balanced, habit, hour, quarter, top, mixed)
    return array("d", (*head, *x, *experts))


def _learn(
    s: Learned,
    horizon: int,
    turn: int,
    said: array[float],
    root: float,
    weight: float,
    rules: Rules,
) -> None:
    """Learn from how far a forecast was off."""
    per_day, level = rules.slots_per_day, s.level
    hour, quarter = int(said[_HOUR]), int(said[_QUARTER])
    experts = said[_EXPERTS_AT:].tolist()
    # An error of a roof's root costs most at noon.
    costs = weight
    if rules.kind == "pv":
        costs *= min(max(said[_ROOT] / max(level[WEEK], 1e-9), 0.2), 3.0)
    at = _regression(horizon, 0)
    share = max(_SIZE_SHARE_PER_DAY / per_day, 1.0 / (1.0 + s.known))
    most = 4.0 if s.known > per_day else inf
    weights = (
        costs * _counts(s.regressions, at, 0, abs(root - experts[-2]), most, share),
        costs * _counts(s.regressions, at + REGRESSION, 1, abs(root - experts[-1]), most, share),
    )
    begin = ((horizon - 1) * ROUND + turn) * OBSERVATION
    s.rows[begin : begin + OBSERVATION] = array(
        "f", (*said[_X:_EXPERTS_AT], quarter, root, *weights)
    )
    blocks = _blocks(horizon, quarter)
    keep = _keep(_MIXTURE_DAYS * per_day)
    mixture.learn(s.mixtures, blocks, experts, said[_MIXED], root, keep, weight)
    if horizon == 2 and level[MEAN] > 0.0:
        off = (root * root - said[_BALANCED] ** 2) / level[MEAN]
        moved = level[AIM] + _AIM_PER_DAY / per_day * off
        level[AIM] = min(max(moved, QUANTILES[0]), QUANTILES[-1])
    band.learn(s.bands, (horizon - 1) * BAND, hour, said[_ROOT], said[_SCALE], root)


def _counts(
    numbers: array[float], at: int, which: int, error: float, most: float, share: float
) -> float:
    """What a slot counts in the regression at `at`, which was off by `error`. Its usual error moves
    towards that by `share`: towards `most` times the usual one at the most.
    """
    usual = numbers[at + regression.SIZE] or error
    if not usual > 0.0:
        return 0.0
    off = error / usual
    if which == 0:
        counts = 1.0 / (off if off > _FLOOR_OF_ERROR else _FLOOR_OF_ERROR)
    else:
        counts = 1.0 if off <= _LARGE_ERROR else _LARGE_ERROR / off
    if off > most:
        error = most * usual
    numbers[at + regression.SIZE] = usual + share * (error - usual)
    numbers[at + regression.SQUARE] += share * (error * error - numbers[at + regression.SQUARE])
    return counts


def _judge(s: Learned, number: int, said: array[float], root: float, rules: Rules) -> None:
    """Keep how far the forecast of two slots before was off, beside the naive ones."""
    last, yesterday, last_week = _naive_roots(s.slots, number - 2, number, rules)
    scores.add(
        s.scores,
        number * rules.slot_s // DAY_S,
        root * root,
        said[_ROOT] ** 2,
        (last * last, yesterday * yesterday, last_week * last_week),
        said[_LOW] <= root <= said[_HIGH] if said[_VALID] == _LIT else None,
        said[_BALANCED] ** 2,
    )


def _usual(s: Learned, root: float, weight: float, when: features.Clock, rules: Rules) -> None:
    """Learn what is usual: habits, the last days, the whole level; of a roof, the clear sky."""
    per_day = rules.slots_per_day
    level, profiles = s.level, s.profiles
    days = s.known / per_day
    place = when.habit
    own_days = days if rules.kind == "pv" else days * (2 / 7 if place >= per_day else 5 / 7)
    share = max(_HABIT_SHARE, 0.7 / (1.0 + own_days))
    before = features.habit_of(profiles, place, per_day, root)
    if profiles[place] < 0.0:
        share = 0.5  # the first weekend is half a weekday
    profiles[place] = before + weight * share * (root - before)
    if rules.kind == "load":
        other = place - per_day if place >= per_day else place + per_day
        if (before := profiles[other]) >= 0.0:
            share *= _OTHER_SHARE / (1.0 + days - own_days)
            profiles[other] = before + weight * share * (root - before)
    place = 2 * per_day + place % per_day
    before = profiles[place]
    share = weight * max(_LATELY_SHARE[rules.kind], 0.7 / (1.0 + days))
    profiles[place] = root if before < 0.0 else before + share * (root - before)
    energy = root * root
    if rules.kind == "pv":
        _sky(s, energy, weight, when, rules)
    share = 1.0 / min(s.known, per_day)
    level[DAY] += share * (root - level[DAY])
    share = 1.0 / min(s.known, WEEK_DAYS * per_day)
    level[WEEK] += share * (root - level[WEEK])
    level[MEAN] += share * (energy - level[MEAN])
    level[PEAK] = max(root, level[PEAK] * _keep(_PEAK_DAYS * per_day))


def _sky(s: Learned, energy: float, weight: float, when: features.Clock, rules: Rules) -> None:
    """Learn what a clear sky brings, and what the sun brought of it."""
    per_day = rules.slots_per_day
    level, profiles = s.level, s.profiles
    sky = 3 * per_day + when.utc
    before = clear = profiles[sky]
    if before < 0.0:
        clear = energy
    else:
        clear += weight * (_SKY_UP if energy > before else _SKY_DOWN) * (energy - before)
        if before > 0.1 * level[BRIGHTEST]:
            bright = min(energy / before, 1.5)
            level[BRIGHTNESS] += min(3.0 / per_day, 1.0) * (bright - level[BRIGHTNESS])
    profiles[sky] = clear
    level[BRIGHTEST] = max(clear, level[BRIGHTEST] * (1.0 - 0.05 / per_day))


def _solve(s: Learned, turn: int, rules: Rules) -> None:
    """Each regression in turn: add what waits for it, and solve it in the slot after."""
    block, rest = divmod(turn, ROUND // (len(HORIZONS) * REGRESSIONS))
    if block == len(HORIZONS) * REGRESSIONS:
        return
    horizon, which = divmod(block, REGRESSIONS)
    at = block * REGRESSION
    per_day = rules.slots_per_day
    if rest == 0:
        begin, end = horizon * ROUND * OBSERVATION, (horizon + 1) * ROUND * OBSERVATION
        rows = s.rows[begin:end]
        keep = _keep(HALF_LIFE_DAYS[which] * per_day / ROUND)
        regression.fold(s.regressions, at, rows, which, keep)
        s.rows[begin:end] = rows
    elif rest == 1:
        days = 1.0 + s.known / per_day
        early = _EARLY_RIDGE[rules.kind] / days ** _EARLY_FADES[rules.kind]
        ridge = per_day * (_RIDGE + early)
        square = s.regressions[at + regression.SQUARE]
        regression.solve(s.regressions, at, ridge * square, _prior(rules, horizon))


# --- small things ---------------------------------------------------------------------------------


def _prior(rules: Rules, horizon: int) -> tuple[float, ...]:
    """`horizon`: by its place in HORIZONS."""
    return features.SUN_PRIOR if rules.kind == "pv" else features.LOAD_PRIOR[horizon]


def _regression(horizon: int, which: int) -> int:
    return ((horizon - 1) * REGRESSIONS + which) * REGRESSION


def _blocks(horizon: int, quarter: int) -> tuple[int, int]:
    first = (horizon - 1) * MIXTURES * MIXTURE
    return first, first + (1 + quarter) * MIXTURE


def _within(root: float, peak: float) -> float:
    """Neither negative nor more than can come."""
    # `min` and `max` take five times as long, and this is done ten times in each slot.
    return 0.0 if root < 0.0 else root if root < peak else peak


def _naive_roots(
    slots: array[float], newest: int, target: int, rules: Rules
) -> tuple[float, float, float]:
    """What the naive forecasts say, in the order of NAIVE, from slots that are known; one that is
    not falls back.
    """
    per_day = rules.slots_per_day
    last = root_at(slots, newest, 0.0)
    yesterday = slots[(target - per_day) % len(slots)]
    last_week = slots[(target - 7 * per_day) % len(slots)]
    return (
        last,
        yesterday if yesterday >= 0.0 else last,
        last_week if last_week >= 0.0 else last,
    )


@cache
def _keep(half_life: float) -> float:
    """What is kept of what fades by half in so many steps."""
    return float(0.5 ** (1.0 / half_life))


def _uwh(root: float) -> int:
    energy = root * root * 1e6
    return round(energy) if isfinite(energy) else 0


def _is_absurd(s: Learned, root: float, rules: Rules) -> bool:
    return s.known > rules.slots_per_day and root > _ABSURD * s.level[PEAK] > 0.0


def _is_of(learned: Learned, rules: Rules) -> bool:
    return (
        learned.slot_s == rules.slot_s
        and learned.kind == rules.kind
        and learned.identity == rules.identity
    )


def _copied(learned: Learned, newest: int, known: int, absurd: int) -> Learned:
    """A copy whose arrays may be changed until it is handed out."""
    since_s = newest * learned.slot_s if learned.since_s is None else learned.since_s
    return Learned(
        learned.slot_s,
        learned.kind,
        learned.identity,
        newest,
        since_s,
        known,
        0,
        absurd,
        learned.slots[:],
        learned.profiles[:],
        learned.level[:],
        learned.rows[:],
        learned.regressions[:],
        learned.mixtures[:],
        learned.bands[:],
        learned.pending[:],
        learned.scores[:],
    )


def _moved(learned: Learned, newest: int) -> Learned:
    """What is known, with the slots themselves forgotten: they lie too far from the next."""
    moved = _copied(learned, newest, learned.known, learned.absurd)
    moved.slots[:] = array("f", [NEVER]) * len(moved.slots)
    moved.pending[:] = array("d", bytes(8 * len(moved.pending)))
    return moved
