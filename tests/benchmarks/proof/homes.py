"""Homes whose every quarter of a second is known: watts per phase, import positive.

A home is drawn by its seed alone, and begins at midnight. None is taken from a data set: they hold
what is hard for a meter that counts in steps and is looked at now and then.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Watts = NDArray[np.float64]

TICKS_PER_S = 4
"""The truth is finer than the finest sampling: a pulse begins between two readings."""

DAY_S = 86_400
DAYS = 3
SECONDS = DAYS * DAY_S
TICKS = SECONDS * TICKS_PER_S


@lru_cache(maxsize=16)
def home(name: str, seed: int = 1) -> Watts:
    """Watts in every tick, one row per phase, of the home of this name."""
    watts = np.atleast_2d(HOMES[name](np.random.default_rng(seed)))
    watts.flags.writeable = False
    return watts


# --- what homes are made of -----------------------------------------------------------------------


def _nothing() -> Watts:
    return np.zeros(TICKS)


def _ticks(seconds: float) -> int:
    return max(round(seconds * TICKS_PER_S), 1)


def _switch(watts: Watts, at_s: float, lasting_s: float, load_w: float) -> None:
    """Add a load that is on for so long."""
    at = round(at_s * TICKS_PER_S)
    watts[at : at + _ticks(lasting_s)] += load_w


def _awake(rng: Generator, per_day: float) -> Iterator[float]:
    """Moments between 6 and 23 o'clock, in seconds, so many a day."""
    for day in range(DAYS):
        for _ in range(rng.poisson(per_day)):
            yield day * DAY_S + rng.uniform(6 * 3600, 23 * 3600)


def _wandering(rng: Generator, mean: float, spread: float, each_s: float, memory: float) -> Watts:
    """A level that wanders around its mean, and is another one every `each_s`."""
    each = _ticks(each_s)
    level = 0.0
    levels = []
    for kick in rng.normal(0, spread * (1 - memory**2) ** 0.5, TICKS // each + 1):
        level = memory * level + kick
        levels.append(mean + level)
    return np.repeat(np.array(levels), each)[:TICKS]


def _refrigerator(rng: Generator, load_w: float = 95) -> Watts:
    watts = _nothing()
    at_s = rng.uniform(0, 2000)
    while at_s < SECONDS:
        lasting_s = rng.uniform(700, 1100)
        _switch(watts, at_s, lasting_s, load_w)
        _switch(watts, at_s, 0.5, 600)  # the compressor starts
        at_s += lasting_s + rng.uniform(1300, 2400)
    return watts


def _kettles(rng: Generator, per_day: float = 8) -> Watts:
    watts = _nothing()
    for at_s in _awake(rng, per_day):
        _switch(watts, at_s, rng.uniform(60, 240), 2050)
    return watts


def _thermostat(
    rng: Generator, per_day: float, lasting_s: float, on_s: float, each_s: float, load_w: float
) -> Watts:
    """A load that is switched on and off by itself for as long as it is used."""
    watts = _nothing()
    for begin_s in _awake(rng, per_day):
        until_s = begin_s + lasting_s * rng.uniform(0.5, 1.5)
        at_s = begin_s
        while at_s < until_s:
            _switch(watts, at_s, on_s * rng.uniform(0.8, 1.2), load_w)
            at_s += each_s * rng.uniform(0.9, 1.1)
    return watts


def _hob(rng: Generator, per_day: float) -> Watts:
    """Induction: pulses of 1 to 5 s, of which each setting has its own rhythm."""
    watts = _nothing()
    for begin_s in _awake(rng, per_day):
        until_s = begin_s + rng.uniform(600, 2400)
        on_s, off_s = rng.uniform(1, 5), rng.uniform(1, 6)
        load_w = rng.uniform(1200, 2200)
        at_s = begin_s
        while at_s < until_s:
            _switch(watts, at_s, on_s * rng.uniform(0.9, 1.1), load_w)
            at_s += on_s + off_s * rng.uniform(0.9, 1.1)
    return watts


def _electronics(rng: Generator, mean_w: float) -> Watts:
    drifting = _wandering(rng, mean_w, 0.4 * mean_w, 60, 0.95)
    return np.maximum(drifting, 0.3 * mean_w) + rng.uniform(-8, 8, TICKS)


def _sun(rng: Generator, peak_w: float) -> Watts:
    """What the modules make: clouds come and go within seconds."""
    hour = np.arange(TICKS) / TICKS_PER_S / 3600 % 24
    clear = np.maximum(np.sin((hour - 6) / 12 * np.pi), 0) ** 1.2
    times, covers = [0.0], [1.0]
    while times[-1] < SECONDS:
        cover = rng.uniform(0.15, 0.5) if covers[-1] > 0.6 else rng.uniform(0.85, 1.05)
        times += [times[-1] + rng.uniform(2, 12)]
        covers += [cover]
        times += [times[-1] + rng.uniform(10, 200)]
        covers += [cover]
    return peak_w * clear * np.interp(np.arange(TICKS) / TICKS_PER_S, times, covers)


# --- the homes ------------------------------------------------------------------------------------


def _family(rng: Generator) -> Watts:
    """Standby, a refrigerator, kettles, an oven, a wash."""
    oven = _thermostat(rng, 1.5, 3000, 40, 87, 2400)
    wash = _thermostat(rng, 1, 5000, 12, 25, 320)
    return _electronics(rng, 150) + _refrigerator(rng) + _kettles(rng) + oven + wash


def _cooking(rng: Generator) -> Watts:
    """The same with an induction hob that is in use for a third of the day."""
    return _family(rng) + _hob(rng, 16)


def _shed(rng: Generator) -> Watts:
    """Standby of 5 W, and a pump three times a day."""
    watts = _nothing() + 5
    for at_s in _awake(rng, 3):
        _switch(watts, at_s, rng.uniform(120, 400), 600)
    return watts


def _heat_pump(rng: Generator) -> Watts:
    """It ramps up, follows the house, and stops; now and then it thaws."""
    watts = _nothing() + 12
    at_s = rng.uniform(0, 1200)
    while at_s < SECONDS:
        lasting_s = rng.uniform(1200, 5400)
        begin, ticks = round(at_s * TICKS_PER_S), _ticks(lasting_s)
        ramp = np.minimum(np.arange(ticks) / _ticks(90), 1)
        level = rng.uniform(500, 2300) + np.cumsum(rng.normal(0, 0.6, ticks))
        part = watts[begin : begin + ticks]
        part += (ramp * np.clip(level, 350, 2600))[: len(part)]
        at_s += lasting_s
        if rng.random() < 0.3:
            _switch(watts, at_s, rng.uniform(200, 400), 900)
        at_s += rng.uniform(600, 2400)
    return watts


def _car(rng: Generator) -> Watts:
    """A charger that follows a surplus by 1 A every half minute, on three phases."""
    watts = _nothing() + 3
    hours = [24 * day + rng.uniform(1, 14) for day in range(DAYS)]
    for begin_s in (hour * 3600 for hour in [9.3, *hours]):
        amperes, at_s = 16, begin_s
        until_s = begin_s + rng.uniform(2, 6) * 3600
        while at_s < until_s:
            lasting_s = 30 * rng.uniform(0.95, 1.05)
            _switch(watts, at_s, lasting_s, amperes * 690 * rng.uniform(0.98, 1))
            amperes = int(np.clip(amperes + rng.integers(-2, 3), 6, 16))
            at_s += lasting_s
    return watts


def _solar(rng: Generator) -> Watts:
    """An inverter's meter: nothing but PV, which is exported."""
    return -_sun(rng, 9000)


def _prosumer(rng: Generator) -> Watts:
    """A family under modules: import and export by turns."""
    return _family(rng) - _sun(rng, 3500)


def _held_at_zero(rng: Generator) -> Watts:
    """A battery that holds the grid at 0 W: once a second it makes good a part of what it saw, and
    is a little off.
    """
    wanted = _family(rng) + _hob(rng, 6) - _sun(rng, 2500)
    aims = _wandering(rng, 0, 20, 3, 0.7)
    watts = _nothing()
    given_w, seen_w = 0.0, 0.0
    for at in range(0, TICKS, TICKS_PER_S):
        given_w = min(max(given_w + 0.45 * (seen_w - aims[at]), -4600), 4600)
        second = wanted[at : at + TICKS_PER_S] - given_w
        watts[at : at + TICKS_PER_S] = second
        seen_w = float(second.mean())
    return watts


def _three_phases(rng: Generator) -> Watts:
    """PV on one phase, loads on all of them: what one phase exports another imports."""
    first = _electronics(rng, 120) + _kettles(rng, 4) - _sun(rng, 3000)
    second = _refrigerator(rng) + _electronics(rng, 200) + _thermostat(rng, 1.5, 3000, 40, 87, 2400)
    third = _electronics(rng, 90) + _kettles(rng, 5) + _thermostat(rng, 2, 5000, 12, 25, 320)
    return np.vstack([first, second, third])


HOMES: Mapping[str, Callable[[Generator], Watts]] = {
    "family": _family,
    "hob": _cooking,
    "shed 5 W": _shed,
    "heat pump": _heat_pump,
    "car": _car,
    "PV": _solar,
    "prosumer": _prosumer,
    "grid at 0": _held_at_zero,
    "three phases": _three_phases,
}
"""By the names that the table shows."""
