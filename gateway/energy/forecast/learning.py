"""The forecast that learns from the asset itself: slot by slot, without weather and without knobs.
Pure.

Each slot that comes judges what was said of it, one and two slots before. Two regressions learn
from that (one that minds many small errors and changes in ten days, one that minds large ones and
changes in forty), a mixture weighs them against six simple experts, and the quantiles of the error
adapt. Then the next two slots are forecast anew.
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from dataclasses import replace
from math import isfinite, sqrt
from typing import Literal

from gateway.energy.forecast import band, features, mixture, regression, scores
from gateway.energy.forecast.features import Origin, root_at
from gateway.energy.forecast.learned import (
    AIM,
    ARRAYS,
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
_MIXTURE_DAYS = 20.0
_PEAK_DAYS = 60.0
_ABOVE_PEAK = 1.05
_HABIT_SHARE = 0.06
_LATELY_SHARE = 0.2
_SKY_UP, _SKY_DOWN = 0.35, 0.03
_SIZE_SHARE_PER_DAY = 0.3
_ABSURD = 2.5
"""A slot whose root is larger than this many times the largest one's of late is not believed: a
home does not grow sixfold in a quarter of an hour. When a second one follows, both are true.
"""
_DEFAULT_WEIGHTS = {
    "load": (0.1, 0.0, 0.0, 0.1, 0.0, 0.0, 0.5, 0.3),
    "pv": (0.0, 0.25, 0.0, 0.0, 0.25, 0.3, 0.1, 0.1),
}
_FIRST_QUANTILES = (-2.0, -1.5, -1.0, -0.6, -0.3, 0.0, 0.3, 0.6, 1.0, 1.5, 2.0)
_BAND_STEP = 0.12
_AIM_PER_DAY = 0.1
_RIDGE = 0.01
_EARLY_RIDGE = {"load": 2.0, "pv": 1.5}
_VALID, _MIXED, _SCALE, _LOW, _HIGH, _BALANCED, _HABIT, _HOUR, _QUARTER, _X = range(10)
"""Where a forecast that waits for its slot has: whether it is one (2: a dark one), its root, the
error's usual size, the band and the sum-holding one (roots), where the slot lies by the clock, and
then features and experts.
"""
_EXPERTS_AT = _X + SHARED + 1
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
            arrays["regressions"][beta : beta + FEATURES] = array("d", _prior(rules))
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
    at = (horizon - 1) * PENDING if horizon == 1 else 2 * PENDING
    waiting = learned.pending[at : at + PENDING]
    if not waiting[_VALID]:
        return None
    if waiting[_VALID] == 2.0:
        return Forecast(0, 0, 0)
    mixed, scale = waiting[_MIXED], waiting[_SCALE]
    peak = _ABOVE_PEAK * learned.level[PEAK]
    share = learned.level[AIM] if quantile == SUMS else float(quantile)
    root = mixed
    if share != 0.5:
        root = _quantile_root(_quantiles(learned, horizon), mixed, scale, share, peak)
    method = used_method(learned)
    if method != "auto":
        naive = _naive_root(learned.slots, learned.newest, learned.newest + horizon, method, rules)
        shift = root - mixed
        root = min(max(naive + shift, 0.0), peak)
    low, high = waiting[_LOW], waiting[_HIGH]
    low, high = min(low, root), max(high, root)
    return Forecast(_uwh(root), _uwh(low), _uwh(high))


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
    waiting = [s.pending[:PENDING], s.pending[PENDING : 2 * PENDING]]
    next_but_one = s.pending[2 * PENDING :]
    when = _when(waiting[0], number, rules)
    if root is not None:
        for horizon, said in zip(HORIZONS, waiting, strict=True):
            if said[_VALID] == 1.0:
                _learn(s, horizon, number, said, root, weight, rules)
        if waiting[1][_VALID]:
            _judge(s, number, waiting[1], root, rules)
        _usual(s, root, weight, when, rules)
        s.slots[number % len(s.slots)] = root
    else:
        expected = root_at(s.slots, number - rules.slots_per_day, 0.0)
        s.slots[number % len(s.slots)] = -1.0 - (
            waiting[0][_MIXED] if waiting[0][_VALID] else expected
        )
    _solve(s, number, rules)
    seen = features.origin(s.slots, s.profiles, s.level, number, when.habit, rules)
    next_one = _said(s, seen, 1, _when(next_but_one, number + 1, rules), rules)
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
    s: Learned, seen: Origin, horizon: int, when: features.Clock, rules: Rules
) -> array[float]:
    """The forecast of the slot `horizon` after the newest, and all it was made of."""
    target = seen.number + horizon
    if rules.kind == "pv" and features.is_dark(s.slots, s.profiles, seen, target, rules):
        where = (2.0, *(0.0,) * 5, when.habit, when.hour, when.quarter)
        return array("d", where + (0.0,) * (PENDING - len(where)))
    x, experts = features.look(s.slots, s.profiles, seen, target, when, rules)
    peak = _ABOVE_PEAK * s.level[PEAK]
    for which in range(REGRESSIONS):
        found = regression.says(s.regressions, _regression(horizon, which), x, when.quarter)
        experts.append(min(max(found, 0.0), peak))
    shares = mixture.weights(
        s.mixtures, _blocks(horizon, when.quarter), _DEFAULT_WEIGHTS[rules.kind]
    )
    mixed = min(regression.dot(shares, experts), peak)
    usual = s.regressions[_regression(horizon, 0) + regression.SIZE]
    scale = band.size(s.bands, (horizon - 1) * BAND, when.hour, usual)
    values = _quantiles(s, horizon)
    low = _quantile_root(values, mixed, scale, 0.1, peak)
    high = _quantile_root(values, mixed, scale, 0.9, peak)
    balanced = mixed
    if horizon == HORIZONS[-1]:
        balanced = _quantile_root(values, mixed, scale, s.level[AIM], peak)
    head = (1.0, mixed, scale, low, high, balanced, when.habit, when.hour, when.quarter)
    return array("d", (*head, *x, *experts))


def _learn(
    s: Learned,
    horizon: int,
    number: int,
    said: array[float],
    root: float,
    weight: float,
    rules: Rules,
) -> None:
    """Learn from how far a forecast was off."""
    per_day = rules.slots_per_day
    hour, quarter = int(said[_HOUR]), int(said[_QUARTER])
    x = said[_X:_EXPERTS_AT]
    experts = said[_EXPERTS_AT:]
    weights = [0.0] * REGRESSIONS
    share = max(_SIZE_SHARE_PER_DAY / per_day, 1.0 / (1.0 + s.known))
    for which in range(REGRESSIONS):
        at = _regression(horizon, which)
        error = abs(root - experts[EXPERTS - REGRESSIONS + which])
        usual = s.regressions[at + regression.SIZE] or error
        if usual > 0.0:
            if which == 0:
                counts = usual / max(error, _FLOOR_OF_ERROR * usual)
            else:
                counts = 1.0 if error <= _LARGE_ERROR * usual else _LARGE_ERROR * usual / error
            if rules.kind == "pv":
                # An error of the root costs most at noon.
                counts *= min(max(said[_MIXED] / max(s.level[WEEK], 1e-9), 0.2), 3.0)
            weights[which] = counts * weight
        error = min(error, 4.0 * usual) if s.known > per_day else error
        s.regressions[at + regression.SIZE] = usual + share * (error - usual)
        square = s.regressions[at + regression.SQUARE]
        s.regressions[at + regression.SQUARE] = square + share * (error * error - square)
    begin = ((horizon - 1) * ROUND + number % ROUND) * OBSERVATION
    s.rows[begin : begin + OBSERVATION] = array("f", (*x, quarter, root, *weights))
    keep = 0.5 ** (1.0 / (_MIXTURE_DAYS * per_day))
    blocks = _blocks(horizon, quarter)
    mixture.learn(s.mixtures, blocks, experts, said[_MIXED], root, keep, weight)
    if horizon == HORIZONS[-1] and s.level[MEAN] > 0.0:
        off = (root * root - said[_BALANCED] ** 2) / s.level[MEAN]
        moved = s.level[AIM] + _AIM_PER_DAY / per_day * off
        s.level[AIM] = min(max(moved, QUANTILES[0]), QUANTILES[-1])
    band.learn(s.bands, (horizon - 1) * BAND, hour, said[_MIXED], said[_SCALE], root, _BAND_STEP)


def _judge(s: Learned, number: int, said: array[float], root: float, rules: Rules) -> None:
    """Keep how far the forecast of two slots before was off, beside the naive ones."""
    naive = [_naive_root(s.slots, number - 2, number, method, rules) for method in NAIVE]
    came = root * root
    lit = said[_VALID] == 1.0
    scores.add(
        s.scores,
        number * rules.slot_s // DAY_S,
        came,
        said[_MIXED] ** 2,
        (naive[0] ** 2, naive[1] ** 2, naive[2] ** 2),
        said[_LOW] <= root <= said[_HIGH] if lit else None,
        said[_BALANCED] ** 2,
    )


def _usual(s: Learned, root: float, weight: float, when: features.Clock, rules: Rules) -> None:
    """Learn what is usual: habits, the last days, the clear sky, the whole level."""
    per_day = rules.slots_per_day
    age = s.known / per_day
    for place, share in (
        (when.habit, max(_HABIT_SHARE, 0.7 / (1.0 + age))),
        (2 * per_day + when.habit % per_day, max(_LATELY_SHARE, 0.7 / (1.0 + age))),
    ):
        before = s.profiles[place]
        s.profiles[place] = root if before < 0.0 else before + weight * share * (root - before)
    level = s.level
    energy = root * root
    sky = 3 * per_day + when.utc
    before = s.profiles[sky]
    if before < 0.0:
        s.profiles[sky] = energy
    else:
        share = _SKY_UP if energy > before else _SKY_DOWN
        s.profiles[sky] = before + weight * share * (energy - before)
        if before > 0.1 * level[BRIGHTEST]:
            bright = min(energy / before, 1.5)
            level[BRIGHTNESS] += min(3.0 / per_day, 1.0) * (bright - level[BRIGHTNESS])
    clear = s.profiles[sky]
    level[BRIGHTEST] = max(clear, level[BRIGHTEST] * (1.0 - 0.05 / per_day))
    for place, value, days in ((DAY, root, 1.0), (WEEK, root, 7.0), (MEAN, energy, 7.0)):
        share = max(1.0 / (days * per_day), 1.0 / max(s.known, 1))
        level[place] += share * (value - level[place])
    level[PEAK] = max(root, level[PEAK] * 0.5 ** (1.0 / (_PEAK_DAYS * per_day)))


def _solve(s: Learned, number: int, rules: Rules) -> None:
    """Solve one of the regressions, in turn: each once in a round, and never two at once."""
    block, rest = divmod(number % ROUND, ROUND // (len(HORIZONS) * REGRESSIONS))
    if rest:
        return
    horizon, which = divmod(block, REGRESSIONS)
    at = block * REGRESSION
    per_day = rules.slots_per_day
    begin, end = horizon * ROUND * OBSERVATION, (horizon + 1) * ROUND * OBSERVATION
    rows = s.rows[begin:end]
    keep = 0.5 ** (ROUND / (HALF_LIFE_DAYS[which] * per_day))
    regression.fold(s.regressions, at, rows, which, keep)
    s.rows[begin:end] = rows
    days = s.known / per_day
    ridge = per_day * (_RIDGE + _EARLY_RIDGE[rules.kind] / (1.0 + days))
    square = s.regressions[at + regression.SQUARE]
    regression.solve(s.regressions, at, ridge * square, _prior(rules))


# --- small things ---------------------------------------------------------------------------------


def _prior(rules: Rules) -> tuple[float, ...]:
    return features.SUN_PRIOR if rules.kind == "pv" else features.LOAD_PRIOR


def _regression(horizon: int, which: int) -> int:
    return ((horizon - 1) * REGRESSIONS + which) * REGRESSION


def _blocks(horizon: int, quarter: int) -> tuple[int, int]:
    first = (horizon - 1) * MIXTURES * MIXTURE
    return first, first + (1 + quarter) * MIXTURE


def _quantiles(s: Learned, horizon: int) -> list[float]:
    return band.quantiles(s.bands, (horizon - 1) * BAND)


def _quantile_root(
    values: list[float], mixed: float, scale: float, share: float, peak: float
) -> float:
    found = mixed + scale * band.between(values, share)
    return min(max(found, 0.0), max(peak, mixed))


def _naive_root(
    slots: array[float], newest: int, target: int, method: Method, rules: Rules
) -> float:
    """What a naive forecast says, from slots that are known; one that is not falls back."""
    per_day = rules.slots_per_day
    last = root_at(slots, newest, 0.0)
    back = {"yesterday": per_day, "last_week": 7 * per_day}.get(method)
    if back is None:
        return last
    earlier = slots[(target - back) % len(slots)]
    return earlier if earlier >= 0.0 else last


def _uwh(root: float) -> int:
    energy = root * root * 1e6
    return round(energy) if isfinite(energy) else 0


def _is_absurd(s: Learned, root: float, rules: Rules) -> bool:
    return s.known > rules.slots_per_day and root > _ABSURD * s.level[PEAK] > 0.0


def _is_of(learned: Learned, rules: Rules) -> bool:
    return (learned.slot_s, learned.kind, learned.identity) == (
        rules.slot_s,
        rules.kind,
        rules.identity,
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
        *(getattr(learned, name)[:] for name in ARRAYS),
    )


def _moved(learned: Learned, newest: int) -> Learned:
    """What is known, with the slots themselves forgotten: they lie too far from the next."""
    moved = _copied(learned, newest, learned.known, learned.absurd)
    moved.slots[:] = array("f", [NEVER]) * len(moved.slots)
    moved.pending[:] = array("d", bytes(8 * len(moved.pending)))
    return moved
