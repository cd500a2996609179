"""A series, forecast slot by slot as the gateway does it, and judged beside the naive forecasts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.energy.forecast import Forecast, begin, predict, update
from tests.gateway.energy.forecast.series import DAY_S, Series

WINDOWS: Mapping[str, tuple[int, int]] = {
    "2–7": (2, 8),
    "8–27": (8, 28),
    "28–": (28, 100_000),
}
"""Days from the first slot: from, and up to but without."""


@dataclass(slots=True)
class Sums:
    """Errors of many slots, added up, in Wh."""

    slots: int = 0
    ours_wh: float = 0.0
    squares: float = 0.0
    naive_wh: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    lit: int = 0
    inside: int = 0
    forecast_wh: float = 0.0
    came_wh: float = 0.0
    balanced_wh: float = 0.0
    balanced_error_wh: float = 0.0

    @property
    def ratio(self) -> float:
        """Our mean error over that of the naive one that is best in hindsight."""
        best_wh = min(self.naive_wh)
        return self.ours_wh / best_wh if best_wh else float(self.ours_wh > 0) * 99

    @property
    def held(self) -> float:
        """How often the band held, of slots that were not forecast to be dark."""
        return self.inside / max(self.lit, 1)

    @property
    def bias(self) -> float:
        """By how much the medians' sum is more than what came."""
        return self.forecast_wh / self.came_wh - 1 if self.came_wh else 0.0

    @property
    def balanced_bias(self) -> float:
        """The same, where sums are to hold."""
        return self.balanced_wh / self.came_wh - 1 if self.came_wh else 0.0


@dataclass(slots=True)
class Outcome:
    """What came of one series."""

    name: str
    sums: dict[tuple[int, str], Sums]
    dark_share: float
    """Energy forecast of slots in which nothing came for a week, over all that came."""


def run(
    series: Series,
    judged_by: Series | None = None,
    windows: Mapping[str, tuple[int, int]] = WINDOWS,
) -> Outcome:
    """Forecast one and two slots ahead all along the series. `judged_by`: what was truly used,
    where the series itself is spoiled (missing there: not judged).
    """
    rules = series.rules
    learned = begin(rules)
    said: dict[tuple[int, int], tuple[Forecast, Forecast]] = {}
    for n, slot in enumerate(series.slots()):
        learned = update(learned, slot, rules)
        for horizon in (1, 2):
            median = predict(learned, horizon, rules)
            balanced = predict(learned, horizon, rules, "sums") if horizon == 2 else median
            if median and balanced:
                said[horizon, n + horizon] = median, balanced
    sums = {(horizon, window): Sums() for horizon in (1, 2) for window in windows}
    truth = (judged_by or series).energies_wh
    for (horizon, n), (median, balanced) in said.items():
        if n >= len(truth) or (came_wh := truth[n]) is None:
            continue
        if (naive := naive_wh(series, n, horizon)) is None:
            continue
        day = n * series.slot_s // DAY_S
        for window, (first, end) in windows.items():
            if first <= day < end:
                _add(sums[horizon, window], came_wh, median, balanced, naive)
    return Outcome(series.name, sums, _dark_share(series, said))


def _add(
    sums: Sums, came_wh: float, median: Forecast, balanced: Forecast, naive: list[float]
) -> None:
    forecast_wh = median.energy_uwh / 1e6
    sums.slots += 1
    sums.ours_wh += abs(forecast_wh - came_wh)
    sums.squares += (forecast_wh - came_wh) ** 2
    sums.naive_wh = [a + abs(b - came_wh) for a, b in zip(sums.naive_wh, naive, strict=True)]
    if median.high_uwh:
        sums.lit += 1
        sums.inside += median.low_uwh <= round(came_wh * 1e6) <= median.high_uwh
    sums.forecast_wh += forecast_wh
    sums.came_wh += came_wh
    sums.balanced_wh += balanced.energy_uwh / 1e6
    sums.balanced_error_wh += abs(balanced.energy_uwh / 1e6 - came_wh)


def naive_wh(series: Series, n: int, horizon: int) -> list[float] | None:
    """What the three naive ones say of slot `n` when the slot `horizon` before it is the newest;
    None where nothing at all is known.
    """
    known = series.energies_wh
    last = next(
        (e for e in reversed(known[max(n - 500, 0) : n - horizon + 1]) if e is not None), None
    )
    if last is None:
        return None
    found = [last]
    for days in (1, 7):
        place = n - days * series.slots_per_day
        earlier = known[place] if place >= 0 else None
        found.append(last if earlier is None else earlier)
    return [max(each, 0.0) for each in found]


def _dark_share(series: Series, said: Mapping[tuple[int, int], tuple[Forecast, Forecast]]) -> float:
    if series.kind != "pv":
        return 0.0
    known, per_day = series.energies_wh, series.slots_per_day
    total_wh = sum(each for each in known if each is not None)
    dark_wh = 0.0
    for (horizon, n), (median, _) in said.items():
        if horizon == 2 and 3 * per_day <= n < len(known) - 4 * per_day:
            around = [known[n + day * per_day] for day in range(-3, 4)]
            if not any(around):
                dark_wh += median.energy_uwh / 1e6
    return dark_wh / total_wh if total_wh else 0.0
