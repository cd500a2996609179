"""How far forecasts are off, beside the best naive one of each home, chosen in hindsight.

The split. Parameters were chosen with the homes marked `chosen` in
tests/gateway/energy/forecast/homes/homes.csv and with those of CHOSEN_ELSEWHERE. All figures are of
the other ones, which were never looked at for that. All roofs of California lie under one sky: what
holds for one of them holds for all, and the chosen ones are neighbours of those held out.

By default the homes that are shipped are measured: hourly loads, hourly roofs and one roof by the
quarter of an hour. `FORECAST_HOMES=<folder>` adds homes that may not be shipped (`elsewhere` in
tests/gateway/energy/forecast/series.py says in which form).
"""

import importlib
import importlib.util
import os
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

from gateway.energy.forecast import Learned, begin, pack, predict, unpack, update
from tests.benchmarks.figure import Figure, progress
from tests.gateway.energy.forecast.series import (
    Series,
    behind_battery,
    community,
    elsewhere,
    quarters,
    shipped,
    with_car,
)
from tests.gateway.energy.forecast.trial import WINDOWS, Outcome, run

TITLE = "mean error of forecasts over that of the best naive one in hindsight, on homes held out"

CHOSEN_ELSEWHERE = frozenset(
    {
        *("uk-ideal-106", "uk-ideal-136", "uk-ideal-190"),
        *("au-sgsc-10006414", "au-sgsc-10017562", "au-sgsc-10018064"),
        "nl-hp-24378",
    }
)
"""Homes that are not shipped, or are by another name, and took part in choosing parameters."""

LATE = "28–"
EVENT_DAY = 60
"""When a car comes, or all loads grow."""
AFTER_EVENT: Mapping[str, tuple[int, int]] = {
    "first week": (EVENT_DAY, EVENT_DAY + 8),
    "days 8–28": (EVENT_DAY + 8, EVENT_DAY + 29),
}
SPOILED_DAYS = 70
"""Spoiled and made series are run for so many days."""
RUNS = 16
"""So often each slot is timed."""

_MISSING = (
    "LightGBM is not installed (nothing here needs it); to see it beside: "
    ".venv/bin/pip install lightgbm"
)


def figures() -> Iterator[Figure]:
    """Run all homes held out, then what is made of them."""
    homes = [each for each in _homes().values() if each.held_out]
    outcomes = _run_all([(home, None, WINDOWS) for home in homes])
    of = {outcome.name: outcome for outcome in outcomes}
    loads = [of[home.name] for home in homes if home.kind == "load"]
    roofs = [of[home.name] for home in homes if home.kind == "pv"]
    fast = [of[home.name] for home in homes if home.kind == "pv" and home.slot_s <= 1_800]
    hourly = [of[home.name] for home in homes if home.kind == "pv" and home.slot_s == 3_600]
    yield from _table("load", loads, 1, 0.83)
    yield from _table("load", loads, 2, 0.78)
    yield from _table("PV, 15 and 30 min", fast, 1, 0.75, each=None)
    yield from _table("PV, 15 and 30 min", fast, 2, 0.65, each=None)
    yield from _table("PV, hourly", hourly, 1, 0.60, each=None)
    yield from _table("PV, hourly", hourly, 2, 0.72, each=None)
    yield _mean("load, n+2, days 2–7", loads, 2, "2–7", 0.90)
    yield _mean("load, n+2, days 8–27", loads, 2, "8–27", 0.83)
    yield _mean("PV, n+2, days 2–7", roofs, 2, "2–7", 1.15)
    yield from _bands(outcomes)
    yield from _sums("load", loads)
    yield from _sums("PV", roofs)
    dark = max(roofs, key=lambda outcome: outcome.dark_share)
    yield Figure(
        "PV: energy forecast in the dark, of the yield; the worst",
        dark.dark_share * 100,
        "%",
        0.05,
        "low",
        dark.name,
    )
    yield from _spoiled(homes)
    yield from _events(homes)
    yield from _made()
    yield from _resumed()
    yield from _speed()
    yield from _boosted(homes, of)


def _homes() -> dict[str, Series]:
    homes = dict(shipped())
    if folder := os.environ.get("FORECAST_HOMES"):
        same = {(home.first_s, home.energies_wh[:200]) for home in homes.values()}
        homes |= {
            name: home
            for name, home in elsewhere(Path(folder), CHOSEN_ELSEWHERE).items()
            if (home.first_s, home.energies_wh[:200]) not in same
        }
    return homes


Job = tuple[Series, Series | None, Mapping[str, tuple[int, int]]]


def _one(job: Job) -> Outcome:
    return run(*job)


def _run_all(jobs: Sequence[Job]) -> list[Outcome]:
    with ProcessPoolExecutor() as pool:
        outcomes = []
        for outcome in pool.map(_one, jobs):
            progress(f"forecast: {outcome.name}")
            outcomes.append(outcome)
        return outcomes


# --- the table ------------------------------------------------------------------------------------


def _table(
    name: str, outcomes: Sequence[Outcome], horizon: int, bound: float, each: float | None = 1.0
) -> Iterator[Figure]:
    if not outcomes:
        return
    yield _mean(f"{name}, n+{horizon}, from day 28", outcomes, horizon, LATE, bound)
    if each is not None:
        worst = max(outcomes, key=lambda outcome: outcome.sums[horizon, LATE].ratio)
        yield Figure(
            f"{name}, n+{horizon}, from day 28: the worst home",
            worst.sums[horizon, LATE].ratio,
            "×",
            each,
            "low",
            worst.name,
        )


def _mean(
    name: str, outcomes: Sequence[Outcome], horizon: int, window: str, bound: float
) -> Figure:
    # Where even the best naive one is never off, as in an empty home, there is nothing to compare.
    judged = [outcome.sums[horizon, window] for outcome in outcomes]
    ratios = [sums.ratio for sums in judged if min(sums.naive_wh) > 0]
    if not ratios:
        raise RuntimeError(f"{name}: no home used anything")
    beside = f"{len(ratios)} series, {min(ratios):.3f} to {max(ratios):.3f}"
    return Figure(f"{name}: mean over homes", fmean(ratios), "×", bound, "low", beside)


def _bands(outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    held = [(outcome.sums[2, LATE].held, outcome.name) for outcome in outcomes]
    low, high = min(held), max(held)
    name = "n+2: share of slots in the band, dark ones apart"
    yield Figure(f"{name}; the least", low[0] * 100, "%", 77, "high", low[1])
    yield Figure(f"{name}; the most", high[0] * 100, "%", 83, "low", high[1])


def _sums(kind: str, outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    found = [outcome.sums[2, LATE] for outcome in outcomes]
    worst = max(found, key=lambda sums: abs(sums.balanced_bias))
    cost = sum(sums.balanced_error_wh for sums in found) / sum(sums.ours_wh for sums in found)
    yield Figure(
        f"{kind}, n+2, sums within 5 %: the worst home's bias",
        abs(worst.balanced_bias) * 100,
        "%",
        5,
        "low",
        f"the medians' own: {fmean(sums.bias for sums in found) * 100:+.1f} % in the mean; "
        f"the cost is {cost:.3f} × the mean error",
    )


# --- spoiled, changed and made series -------------------------------------------------------------


def _spoiled(homes: Sequence[Series]) -> Iterator[Figure]:
    chosen = [home.days(0, SPOILED_DAYS) for home in homes if home.slot_s == 3_600][:4]
    spoils: Mapping[str, Callable[[Series], Series]] = {
        "5 % of slots missing": _with_gaps,
        "an absurd slot a day": _with_absurd,
    }
    for name, spoil in spoils.items():
        spoiled = [spoil(home) for home in chosen]
        # Judged by those slots only that are known, and true, in both.
        truths = [
            replace(
                home,
                energies_wh=tuple(
                    a if a == b else None
                    for a, b in zip(home.energies_wh, bad.energies_wh, strict=True)
                ),
            )
            for home, bad in zip(chosen, spoiled, strict=True)
        ]
        jobs: list[Job] = []
        for home, bad, truth in zip(chosen, spoiled, truths, strict=True):
            jobs += [(home, truth, WINDOWS), (bad, truth, WINDOWS)]
        found = _run_all(jobs)
        ratios = [
            bad.sums[2, LATE].ours_wh / clean.sums[2, LATE].ours_wh
            for clean, bad in zip(found[::2], found[1::2], strict=True)
        ]
        yield Figure(
            f"{name}, n+2: the error over that without; mean",
            fmean(ratios),
            "×",
            1.05,
            "low",
            f"{min(ratios):.3f} to {max(ratios):.3f}",
        )


def _with_gaps(home: Series) -> Series:
    drawn = random.Random(5)
    kept = tuple(None if drawn.random() < 0.05 else each for each in home.energies_wh)
    return replace(home, energies_wh=kept)


def _with_absurd(home: Series) -> Series:
    drawn = random.Random(6)
    energies = list(home.energies_wh)
    for begin_of_day in range(3 * 24, len(energies) - 24, 24):
        energies[begin_of_day + drawn.randrange(24)] = 1e6
    return replace(home, energies_wh=tuple(energies))


def _events(homes: Sequence[Series]) -> Iterator[Figure]:
    loads = [
        home.days(0, EVENT_DAY + 29) for home in homes if home.kind == "load" and home.slot_s > 900
    ][:4]
    cars = [with_car(home, EVENT_DAY, seed) for seed, home in enumerate(loads)]
    grown = [
        replace(
            home,
            name=f"{home.name} × 2.5",
            energies_wh=tuple(
                each if each is None or n < EVENT_DAY * home.slots_per_day else each * 2.5
                for n, each in enumerate(home.energies_wh)
            ),
        )
        for home in loads
    ]
    for name, made in (("a new car", cars), ("all loads × 2.5", grown)):
        found = _run_all([(home, None, AFTER_EVENT) for home in made])
        week = fmean(outcome.sums[2, "first week"].ratio for outcome in found)
        figure = _mean(f"{name}, n+2, days 8–28", found, 2, "days 8–28", 0.90)
        yield replace(figure, beside=f"{figure.beside}; in the first week {week:.2f}")


def _made() -> Iterator[Figure]:
    """A meter behind a battery, a car that was there from the first day, a community."""
    homes = shipped()
    loads = [home for home in homes.values() if home.name.startswith("california-load")]
    held = [home for home in loads if home.held_out]
    made = [
        behind_battery(homes["california-load-2"], homes["california-pv-2"]),
        with_car(homes["california-load-4"], 0, 4),
        community(held),
        quarters(homes["california-load-6"], 6),
    ]
    for outcome in _run_all([(each.days(0, SPOILED_DAYS), None, WINDOWS) for each in made]):
        yield Figure(
            f"made: {outcome.name}, n+2, from day 28",
            outcome.sums[2, LATE].ratio,
            "×",
            1.0,
            "low",
            f"n+1: {outcome.sums[1, LATE].ratio:.3f}; band {outcome.sums[2, LATE].held:.2f}",
        )


# --- resumed, speed, size -------------------------------------------------------------------------


def _resumed() -> Iterator[Figure]:
    home = shipped()["usa-pv-7kw"].days(0, 30)
    rules = home.rules
    whole = resumed = begin(rules)
    largest = different = 0
    for n, slot in enumerate(home.slots()):
        whole = update(whole, slot, rules)
        resumed = update(resumed, slot, rules)
        if n % 37 == 0:
            data = pack(resumed)
            largest = max(largest, len(data))
            resumed = unpack(data, rules)
        different += any(
            predict(whole, horizon, rules) != predict(resumed, horizon, rules) for horizon in (1, 2)
        )
    different += pack(whole) != pack(resumed)
    yield Figure("resumed and uninterrupted: forecasts that differ", different, "", 0, "low")
    yield Figure("state, packed, at slots of 15 minutes", largest / 1000, "kB", 20, "low")


def _speed() -> Iterator[Figure]:
    """Each slot's shortest of some runs: what else runs on this machine is not ours."""
    home = quarters(shipped()["california-load-6"], 6).days(0, 10)
    rules = home.rules
    slots = list(home.slots())
    best = [float("inf")] * len(slots)
    for _ in range(RUNS):
        learned = begin(rules)
        for n, slot in enumerate(slots):
            began_s = time.perf_counter()
            learned = update(learned, slot, rules)
            predict(learned, 2, rules)
            best[n] = min(best[n], time.perf_counter() - began_s)
    steady = [each * 1e6 for each in best[2 * home.slots_per_day :]]
    yield Figure("update and forecast, per slot: the median", median(steady), "µs", 100, "low")
    yield Figure("update and forecast, per slot: the most", max(steady), "µs", 400, "low")
    tracemalloc.start()
    kept: list[Learned] = []
    for _ in range(10):
        learned = begin(rules)
        for slot in slots[:200]:
            learned = update(learned, slot, rules)
        kept.append(learned)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    yield Figure("memory of ten assets' states", size / 1e6, "MB", 0.3, "low")
    if "numpy" in sys.modules:
        raise RuntimeError("numpy was imported, and the daemon must do without")


# --- beside it ------------------------------------------------------------------------------------


def _boosted(homes: Sequence[Series], of: Mapping[str, Outcome]) -> Iterator[Figure]:
    """LightGBM per home, where it is installed."""
    is_there = importlib.util.find_spec("lightgbm") is not None
    if not is_there:
        progress(f"forecast: {_MISSING}")
    for kind, title in (("load", "load"), ("pv", "PV")):
        judged = [home for home in homes if home.kind == kind]
        ours = [of[home.name].sums[2, LATE] for home in judged]
        mean = fmean(sums.ratio for sums in ours if min(sums.naive_wh) > 0)
        name = f"{title}, n+2, from day 28, beside LightGBM on the same home: mean over homes"
        if not is_there:
            yield Figure(name, mean, "×", 1, "low", _MISSING)
            continue
        with ProcessPoolExecutor() as pool:
            errors = list(pool.map(_errors_of_boosted, judged))
        theirs = [(error_wh / best_wh, name) for (error_wh, best_wh), name in errors if best_wh]
        low, high = min(theirs), max(theirs)
        beside = f"LightGBM {low[0]:.3f} ({low[1]}) to {high[0]:.3f} ({high[1]})"
        bound = round(fmean(ratio for ratio, _ in theirs), 3)
        yield Figure(name, mean, "×", bound, "low", beside)


def _errors_of_boosted(home: Series) -> tuple[tuple[float, float], str]:
    boosted = importlib.import_module("tests.gateway.energy.forecast.boosted")
    return boosted.errors_of(home, horizon=2, from_day=int(WINDOWS[LATE][0])), home.name
