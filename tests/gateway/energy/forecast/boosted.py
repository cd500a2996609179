"""Gradient boosting on the same home, as a yardstick: lags and calendar, refit every 90 days, on
the absolute error. Needs LightGBM, which nothing here installs.
"""

# mypy: ignore-errors

import lightgbm
import numpy as np

from tests.gateway.energy.forecast.series import DAY_S, Series
from tests.gateway.energy.forecast.trial import naive_wh

REFIT_DAYS = 90
# Its own defaults but for the error that counts. With more processors the sums would be others.
_SETTINGS = {"objective": "l1", "verbosity": -1, "num_threads": 1, "deterministic": True}


def errors_of(series: Series, horizon: int, from_day: int) -> tuple[float, float]:
    """Sums of the errors from that day on, in Wh: its own, and those of the best naive one."""
    energies = np.array([np.nan if e is None else max(e, 0.0) for e in series.energies_wh])
    per_day = series.slots_per_day
    x = _features(series, energies, horizon)
    ours_wh, naive = 0.0, np.zeros(3)
    for begin in range(from_day * per_day, len(energies), REFIT_DAYS * per_day):
        end = min(begin + REFIT_DAYS * per_day, len(energies))
        known = ~np.isnan(energies[:begin])
        data = lightgbm.Dataset(x[:begin][known], energies[:begin][known])
        model = lightgbm.train(_SETTINGS, data, num_boost_round=200)
        said = np.maximum(model.predict(x[begin:end]), 0.0)
        for n in range(begin, end):
            simple = naive_wh(series, n, horizon)
            if np.isnan(energies[n]) or simple is None:
                continue
            ours_wh += abs(said[n - begin] - energies[n])
            naive += np.abs(np.array(simple) - energies[n])
    return ours_wh, float(min(naive))


def _features(series: Series, energies, horizon: int):
    count, per_day = len(energies), series.slots_per_day
    rules = series.rules
    lags = [*range(horizon, horizon + 4), per_day, per_day + 1, 2 * per_day, 7 * per_day]
    columns = []
    for lag in lags:
        column = np.full(count, np.nan)
        column[lag:] = energies[:-lag]
        columns.append(column)
    starts_s = series.first_s + np.arange(count) * series.slot_s
    local_s = starts_s + np.array([rules.utc_offset_s(int(start_s)) for start_s in starts_s])
    columns += [local_s % DAY_S, starts_s % DAY_S, (local_s // DAY_S + 3) % 7]
    return np.column_stack(columns)
