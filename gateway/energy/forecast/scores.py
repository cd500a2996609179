"""How far forecasts were off, day by day. Pure."""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array

import msgspec

from gateway.energy.forecast.learned import DAY_S, SCORE, SCORE_DAYS, Learned
from gateway.energy.forecast.naive import NAIVE, Naive

WORSE_DAYS = 14
"""When the mean error of so many days is larger than a naive one's, that one is sent."""

(_DAY, _N, _AUTO, _LAST, _YESTERDAY, _WEEK, _LIT, _INSIDE, _FORECAST, _MEASURED, _BALANCED) = range(
    SCORE
)


class Score(msgspec.Struct, frozen=True):
    """Forecasts of the second slot after the newest, beside what came, over whole UTC days."""

    slots: int
    """How many were judged."""
    mae_uwh: float | None
    """The mean error's size of what is learned; None where none was judged."""
    naive_mae_uwh: dict[Naive, float | None]
    """The same, of each naive one."""
    inside: float | None
    """The share of slots within the band of 10 to 90 %, of those that were not dark."""
    bias: float | None
    """By how much the sum of the forecasts' medians is more than what came, as a share of it."""
    balanced_bias: float | None
    """The same of the forecasts that are to make sums hold."""

    @property
    def best_naive(self) -> Naive | None:
        """The one with the smallest error; None where none was judged."""
        known = [(mae, name) for name, mae in self.naive_mae_uwh.items() if mae is not None]
        return min(known)[1] if known else None


def add(
    scores: array[float],
    day: int,
    came_wh: float,
    forecast_wh: float,
    naive_wh: tuple[float, float, float],
    inside: bool | None,
    balanced_wh: float,
) -> None:
    """Judge one slot of UTC day `day`. `inside` is None for a dark one."""
    at = day % SCORE_DAYS * SCORE
    if scores[at] != day:
        scores[at : at + SCORE] = array("f", (day, *(0.0,) * (SCORE - 1)))
    scores[at + _N] += 1.0
    scores[at + _AUTO] += abs(forecast_wh - came_wh)
    last_wh, yesterday_wh, week_wh = naive_wh
    scores[at + _LAST] += abs(last_wh - came_wh)
    scores[at + _YESTERDAY] += abs(yesterday_wh - came_wh)
    scores[at + _WEEK] += abs(week_wh - came_wh)
    if inside is not None:
        scores[at + _LIT] += 1.0
        scores[at + _INSIDE] += inside
    scores[at + _FORECAST] += forecast_wh
    scores[at + _MEASURED] += came_wh
    scores[at + _BALANCED] += balanced_wh


def score(learned: Learned, days: int) -> Score:
    """The newest `days` UTC days (1 to 28) before the one that runs, added up."""
    if learned.newest is None:
        return _score([0.0] * SCORE)
    today = learned.newest * learned.slot_s // DAY_S
    return _score(_sums(learned.scores, today, days)[0])


def sent(scores: array[float], today: int) -> int:
    """What is to be sent on UTC day `today`. 0: what is learned; from 1: the naive one that was
    better over the last days, by its place in NAIVE.
    """
    sums, there = _sums(scores, today, WORSE_DAYS)
    if there < WORSE_DAYS:
        return 0
    best = min(range(_LAST, _WEEK + 1), key=lambda place: sums[place])
    return best - _LAST + 1 if sums[best] < sums[_AUTO] else 0


def _sums(scores: array[float], today: int, days: int) -> tuple[list[float], int]:
    sums = [0.0] * SCORE
    there = 0
    for day in range(today - min(days, SCORE_DAYS - 1), today):
        at = day % SCORE_DAYS * SCORE
        if scores[at] == day and scores[at + _N]:
            there += 1
            sums = [a + b for a, b in zip(sums, scores[at : at + SCORE], strict=True)]
    return sums, there


def _score(sums: list[float]) -> Score:
    count, came_wh = sums[_N], sums[_MEASURED]

    def mean_uwh(place: int) -> float | None:
        return sums[place] / count * 1e6 if count else None

    return Score(
        slots=round(count),
        mae_uwh=mean_uwh(_AUTO),
        naive_mae_uwh={name: mean_uwh(_LAST + n) for n, name in enumerate(NAIVE)},
        inside=sums[_INSIDE] / sums[_LIT] if sums[_LIT] else None,
        bias=sums[_FORECAST] / came_wh - 1.0 if came_wh else None,
        balanced_bias=sums[_BALANCED] / came_wh - 1.0 if came_wh else None,
    )
