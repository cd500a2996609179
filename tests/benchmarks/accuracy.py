"""How right a slot is: the counter against a simulated truth, beside the register alone and power
alone.

One household over 30 days, read every 10 s, in slots of 15 minutes. What is left of the error comes
from what happens between two samples: a kettle of 2 kW that is switched on somewhere inside 10 s is
uncertain by 3 Wh until the register tells.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from random import Random

from gateway.energy.belief import read
from gateway.energy.counter import UWH_PER_WH, integrate, start
from gateway.energy.register import Rules
from tests.benchmarks.figure import Figure, progress

TITLE = "energy per slot against a simulated truth"

DAYS = 30
INTERVAL_S = 10
SLOT_S = 900
J_PER_WH = 3600

BOUNDS_WH = {1: 0.15, 10: 0.5, 100: 1.8}
"""Rms error of a slot (Wh) that the counter stays below, by the register's resolution (Wh)."""


def household(seed: int, seconds: int) -> Iterator[int]:
    """Watts in every second: standby and drifting electronics, a refrigerator, and now and then a
    kettle, an oven that cycles, a wash.
    """
    rng = Random(seed)
    standby_w = 150.0
    on_until = {"kettle": 0, "oven": 0, "wash": 0}
    for second in range(seconds):
        if second % 60 == 0:
            standby_w = min(max(standby_w + rng.gauss(0, 12), 60), 600)
            awake = 6 <= second // 3600 % 24 < 23
        if second % 61 == 0:  # so that nothing begins in step with the samples
            for name, per_day, lasting_s in (
                ("kettle", 8, 180),
                ("oven", 1, 3000),
                ("wash", 0.7, 5400),
            ):
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
    """At every sample: energy so far in J, and power in W as a meter shows it, the mean of the
    second that has just passed.

    The second that begins with the sample would be news from the future; it costs the finest
    register: 0.19 Wh, not 0.10, because the refrigerator of this household starts and stops on the
    boundaries of slots.
    """
    energies_j, powers_w = [], []
    total_j, passed_w = 0, 0
    for second, watts in enumerate(household(seed, DAYS * 86_400 + 1)):
        if second % INTERVAL_S == 0:
            energies_j.append(total_j)
            powers_w.append(passed_w)
        total_j += watts
        passed_w = watts
    return energies_j, powers_w


def by_counter(
    energies_j: Sequence[int], powers_w: Sequence[float], resolution_wh: int
) -> list[float]:
    """Energy of every slot by our counter, Wh. Reads are aligned to the clock, so one falls on
    every boundary. Raises AssertionError where the counter is ever further from the truth than the
    register's step.
    """
    rules = Rules(resolution_wh * UWH_PER_WH, 10**9 * UWH_PER_WH, float32=False, max_power_w=17_250)
    counter = start(0, 0, powers_w[0], rules)
    ends = [counter.counter_uwh]
    for n, (energy_j, power_w) in enumerate(zip(energies_j[1:], powers_w[1:], strict=True), 1):
        raw_uwh = energy_j // (J_PER_WH * resolution_wh) * resolution_wh * UWH_PER_WH
        seen = integrate(
            counter,
            rules,
            at_ms=n * INTERVAL_S * 1000,
            power_w=power_w,
            stale_ms=3 * INTERVAL_S * 1000,
        )
        counter, _ = read(seen, rules, raw_uwh, stale_ms=3 * INTERVAL_S * 1000)
        if n * INTERVAL_S % SLOT_S == 0:
            ends.append(counter.counter_uwh)
            assert abs(counter.counter_uwh / UWH_PER_WH - energy_j / J_PER_WH) <= resolution_wh
    return [(b - a) / UWH_PER_WH for a, b in pairwise(ends)]


def by_register(energies_j: Sequence[int], resolution_wh: int) -> list[float]:
    """Energy of every slot as the difference of the register at its ends, Wh."""
    ends = [
        energy_j // (J_PER_WH * resolution_wh) * resolution_wh
        for energy_j in energies_j[:: SLOT_S // INTERVAL_S]
    ]
    return [float(b - a) for a, b in pairwise(ends)]


def by_power(powers_w: Sequence[float]) -> list[float]:
    """Energy of every slot as the integral of power (trapezoidal rule), Wh."""
    each = SLOT_S // INTERVAL_S
    between = [(a + b) / 2 * INTERVAL_S / J_PER_WH for a, b in pairwise(powers_w)]
    return [sum(between[n : n + each]) for n in range(0, len(between), each)]


def rms(found: Sequence[float], true: Sequence[float]) -> float:
    """Root of the mean square of the differences."""
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(found, true, strict=True)) / len(true))


def figures() -> Iterator[Figure]:
    """For every resolution: the error with power readings that are right, and with such that are 1
    % off.
    """
    progress(f"accuracy: simulating {DAYS} days")
    energies_j, powers_w = simulate(seed=1)
    true = [(b - a) / J_PER_WH for a, b in pairwise(energies_j[:: SLOT_S // INTERVAL_S])]
    for resolution_wh, bound_wh in BOUNDS_WH.items():
        register_wh = rms(by_register(energies_j, resolution_wh), true)
        for name, factors in (("", (1.0,)), (", power 1 % off", (1.01, 0.99))):
            progress(f"accuracy: a register of {resolution_wh} Wh{name}")
            counter_wh, power_wh = 0.0, 0.0
            for factor in factors:
                shown_w = [power_w * factor for power_w in powers_w]
                counter_wh = max(
                    counter_wh, rms(by_counter(energies_j, shown_w, resolution_wh), true)
                )
                power_wh = max(power_wh, rms(by_power(shown_w), true))
            beside = f"register alone {register_wh:.2f}, power alone {power_wh:.2f}"
            yield Figure(
                f"rms error of a slot, register of {resolution_wh} Wh{name}",
                counter_wh,
                "Wh",
                bound_wh,
                "low",
                beside,
            )
