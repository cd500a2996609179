"""How right a slot is: the counter against a simulated truth, beside the register alone and power alone.

    python tests/benchmarks/accuracy.py

One household over 30 days, read every 10 s, in slots of 15 minutes. Exit code 1 where the counter is worse than its bound.
"""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from random import Random

from gateway.counter import UWH_PER_WH, Rules, advance, start

DAYS = 30
INTERVAL_S = 10
SLOT_S = 900
J_PER_WH = 3600

BOUNDS_WH = {1: 0.25, 10: 1.0, 100: 5.0}
"""Rms error of a slot (Wh) that the counter stays below, by the register's resolution, with power readings that are right or 1 % off."""


def household(seed: int, seconds: int) -> Iterator[int]:
    """Watts in every second: standby and drifting electronics, a refrigerator, and now and then a kettle, an oven that cycles, a wash."""
    rng = Random(seed)
    standby_w = 150.0
    on_until = {"kettle": 0, "oven": 0, "wash": 0}
    for second in range(seconds):
        if second % 60 == 0:
            standby_w = min(max(standby_w + rng.gauss(0, 12), 60), 600)
            awake = 6 <= second // 3600 % 24 < 23
        if second % 61 == 0:  # so that nothing begins in step with the samples
            for name, per_day, lasting_s in (("kettle", 8, 180), ("oven", 1, 3000), ("wash", 0.7, 5400)):
                if awake and on_until[name] <= second and rng.random() < per_day / (17 * 60):
                    on_until[name] = second + int(lasting_s * rng.uniform(0.6, 1.4))
        watts = standby_w + rng.uniform(-8, 8)
        if second % 2700 < 900:
            watts += 95
        if second < on_until["kettle"]:
            watts += 2050
        if second < on_until["oven"] and second % 87 < 40:
            watts += 2400
        if second < on_until["wash"]:
            watts += 2000 if on_until["wash"] - second > 4000 else 180 + 120 * (second % 25 < 12)
        yield round(watts)


def simulate(seed: int) -> tuple[list[int], list[int]]:
    """At every sample: energy so far in J, and the power of that second in W."""
    energies_j, powers_w = [], []
    total_j = 0
    for second, watts in enumerate(household(seed, DAYS * 86_400 + 1)):
        if second % INTERVAL_S == 0:
            energies_j.append(total_j)
            powers_w.append(watts)
        total_j += watts
    return energies_j, powers_w


def by_counter(energies_j: Sequence[int], powers_w: Sequence[float], resolution_wh: int) -> list[float]:
    """Energy of every slot by our counter, Wh. Reads are aligned to the clock, so one falls on every boundary."""
    rules = Rules(resolution_wh * UWH_PER_WH, 10**9 * UWH_PER_WH, float32=False, max_power_w=17_250)
    counter = start(0, 0, powers_w[0])
    ends = [0]
    for n, (energy_j, power_w) in enumerate(zip(energies_j[1:], powers_w[1:], strict=True), 1):
        raw_uwh = energy_j // (J_PER_WH * resolution_wh) * resolution_wh * UWH_PER_WH
        counter, _ = advance(counter, rules, at_ms=n * INTERVAL_S * 1000, raw_uwh=raw_uwh, power_w=power_w, held=False)
        if n * INTERVAL_S % SLOT_S == 0:
            ends.append(counter.counter_uwh)
    return [(b - a) / UWH_PER_WH for a, b in pairwise(ends)]


def by_register(energies_j: Sequence[int], resolution_wh: int) -> list[float]:
    """Energy of every slot as the difference of the register at its ends, Wh."""
    ends = [energy_j // (J_PER_WH * resolution_wh) * resolution_wh for energy_j in energies_j[:: SLOT_S // INTERVAL_S]]
    return [float(b - a) for a, b in pairwise(ends)]


def by_power(powers_w: Sequence[float]) -> list[float]:
    """Energy of every slot as the integral of power (trapezoidal rule), Wh."""
    each = SLOT_S // INTERVAL_S
    between = [(a + b) / 2 * INTERVAL_S / J_PER_WH for a, b in pairwise(powers_w)]
    return [sum(between[n : n + each]) for n in range(0, len(between), each)]


def rms(found: Sequence[float], true: Sequence[float]) -> float:
    """Root of the mean square of the differences."""
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(found, true, strict=True)) / len(true))


def main() -> int:
    """Prints the table; returns 1 where a bound is broken."""
    began_s = time.perf_counter()
    energies_j, powers_w = simulate(seed=1)
    ends_j = energies_j[:: SLOT_S // INTERVAL_S]
    true = [(b - a) / J_PER_WH for a, b in pairwise(ends_j)]
    print(f"{len(true)} slots of {SLOT_S // 60} min, {sum(true) / 1000:.0f} kWh, a sample every {INTERVAL_S} s: rms error per slot in Wh")
    print(f"{'register':>10} {'power':>8} {'counter':>9} {'bound':>7} {'register alone':>15} {'power alone':>12} {'drift of power':>15}")
    broken = False
    for resolution_wh, bound_wh in BOUNDS_WH.items():
        for wrong in (1.0, 1.01, 0.99):
            shown_w = [power_w * wrong for power_w in powers_w]
            counter_wh = rms(by_counter(energies_j, shown_w, resolution_wh), true)
            integrated = by_power(shown_w)
            print(
                f"{resolution_wh:>7} Wh {wrong - 1:>+8.0%} {counter_wh:>9.2f} {bound_wh:>7.2f} "
                f"{rms(by_register(energies_j, resolution_wh), true):>15.2f} {rms(integrated, true):>12.2f} {sum(integrated) - sum(true):>+12.0f} Wh"
            )
            broken |= counter_wh > bound_wh
    print(f"{time.perf_counter() - began_s:.1f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
