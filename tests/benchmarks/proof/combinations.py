"""The grid: homes × meters × sampling × what power is wrong by."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from gateway.energy.assets import Direction
from tests.benchmarks.proof.homes import SECONDS, home
from tests.benchmarks.proof.meters import Meter, Numbers, Readings, Truth, look
from tests.benchmarks.proof.ours import SLOT_S

HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Combination:
    """One home, one direction of one meter, and how it is read."""

    name: str
    """What is special about the meter, in words. With home and interval it is unique."""
    home: str
    meter: Meter
    interval_s: float = 10
    phase_s: float = 0
    """How long after the clock's own multiples of the interval readings come."""
    direction: Direction = "import"
    row: str = ""
    """The row of the table of promises that it belongs to; empty: to none."""

    @property
    def title(self) -> str:
        """What it is called in tables and among the stored figures."""
        late = f"+{self.phase_s:g}" if self.phase_s else ""
        way = "" if self.direction == "import" else ", export"
        return f"{self.home}{way}: {self.name}, {self.interval_s:g}{late} s"

    def read(self) -> tuple[Readings, Truth]:
        """What is read of the meter, and what truly passed."""
        watts = home(self.home)
        truth = _truth(self.home, self.direction, self.meter.booked_singly)
        # Readings of each second are dear: half a day of them has to do.
        begin_s, until_s = (9 * HOUR_S, 21 * HOUR_S) if self.interval_s < 5 else (120, SECONDS)
        at_s = np.arange(begin_s + self.phase_s, until_s, self.interval_s)
        return look(self.meter, watts, truth, at_s), truth


@lru_cache(maxsize=16)
def _truth(name: str, direction: Literal["import", "export"], singly: bool) -> Truth:
    return Truth(home(name), direction, singly=singly)


def scored_ends_s(readings: Readings) -> Numbers:
    """The boundaries of the slots that count: all that begin once the register has stepped twice.

    Before that nobody can know where in its step the register began.
    """
    moved = np.flatnonzero(np.diff(readings.register_wh) > 0) + 1
    first_s = -(-readings.at_s[moved[1]] // SLOT_S) * SLOT_S
    last_s = readings.at_s[-1] // SLOT_S * SLOT_S
    return np.arange(first_s, last_s + 1, SLOT_S)


def grid() -> Iterator[Combination]:
    """All combinations, those of the table of promises first."""
    yield from _promised()
    yield from _registers()
    yield from _power()
    yield from _homes()
    yield from _sampled_otherwise()


def _promised() -> Iterator[Combination]:
    one, ten, hundred = Meter(1), Meter(10), Meter(100)
    for name in ("family", "hob"):
        yield Combination("1 Wh", name, one, row="1 Wh register")
        yield Combination("10 Wh", name, ten, row="10 Wh")
        yield Combination("100 Wh", name, hundred, row="100 Wh")
        for meter in (ten, hundred):
            bare = replace(meter, shows_power=False)
            text = f"{meter.step_wh:g} Wh, no power"
            yield Combination(text, name, bare, row=f"{text} reading")

    shed = replace(ten, dead_band_w=5)
    yield Combination(
        "10 Wh, 5 W shown as 0", "shed 5 W", shed, row="10 Wh, 5 W standby that power shows as 0"
    )
    for refresh_s in (10, 60):
        for name in ("family", "hob"):
            slow = replace(one, refresh_s=refresh_s)
            text = f"refreshed every {refresh_s} s"
            yield Combination(f"1 Wh {text}", name, slow, row=f"1 Wh register {text}")

        untold = replace(one, refresh_s=refresh_s, tells_refresh=False)
        row = f"1 Wh register {text}"
        yield Combination(f"1 Wh {text}, untold", "family", untold, row=row)

    late = replace(one, late_s=3)
    for name in ("family", "hob"):
        yield Combination("1 Wh, power 3 s late", name, late, 1, row="1 Wh at 1 s, power 3 s late")
    yield Combination(
        "10 Wh, power 3 s late",
        "PV",
        replace(ten, late_s=3),
        direction="export",
        row="PV export 10 Wh, power 3 s late",
    )
    yield Combination(
        "10 Wh, phases singly, net power",
        "three phases",
        replace(ten, booked_singly=True),
        row="phases booked singly, net power, 10 Wh",
    )
    yield Combination(
        "10 Wh, mean power",
        "grid at 0",
        replace(ten, mean_s=10),
        row="grid held at 0 W by a battery, mean power, 10 Wh",
    )


def _registers() -> Iterator[Combination]:
    """Other registers, and other ways to round and to refresh them."""
    for name in ("family", "car"):
        yield Combination("1000 Wh", name, Meter(1000))
    for step_wh in (1, 10, 100):
        yield Combination(f"{step_wh} Wh to nearest", "family", Meter(step_wh, nearest=True))
    for lifetime_wh, spacing in ((9_876_543.2, 1), (30_000_123.4, 2), (130_000_123.4, 8)):
        coarse = Meter(1, float32=True, lifetime_wh=lifetime_wh)
        yield Combination(f"1 Wh in float32 of {spacing} Wh", "family", coarse)
    yield Combination("10 Wh refreshed every 60 s", "hob", Meter(10, refresh_s=60))
    yield Combination("1 Wh refreshed every 60 s, no power", "family", _bare(1, 60))


def _bare(step_wh: float, refresh_s: float = 0) -> Meter:
    return Meter(step_wh, refresh_s=refresh_s, shows_power=False)


def _power() -> Iterator[Combination]:
    """Power that is off, late, a mean, or another's."""
    for step_wh in (1, 10, 100):
        yield Combination(f"{step_wh} Wh, power +1 %", "family", Meter(step_wh, factor=1.01))
    yield Combination("10 Wh, power −1 %", "hob", Meter(10, factor=0.99))
    yield Combination("10 Wh, power +15 W", "family", Meter(10, offset_w=15))
    yield Combination("10 Wh, mean of 10 s", "hob", Meter(10, mean_s=10))
    yield Combination("1 Wh, mean of 10 s", "hob", Meter(1, mean_s=10))
    yield Combination("10 Wh, power 3 s late", "hob", Meter(10, late_s=3))
    yield Combination("1 Wh, 5 W shown as 0", "shed 5 W", Meter(1, dead_band_w=5))
    yield Combination("10 Wh, power right", "shed 5 W", Meter(10))
    yield Combination("10 Wh, of this moment", "grid at 0", Meter(10))
    yield Combination("10 Wh, mean power", "grid at 0", Meter(10, mean_s=10), direction="export")
    singly = Meter(10, booked_singly=True)
    yield Combination("10 Wh, phases singly", "three phases", singly, direction="export")
    yield Combination("1 Wh, phases singly", "three phases", replace(singly, step_wh=1))
    yield Combination("10 Wh, sum of phases", "three phases", Meter(10))


def _homes() -> Iterator[Combination]:
    """Homes that have no place above, with power that is right."""
    for step_wh in (1, 10, 100):
        yield Combination(f"{step_wh} Wh", "heat pump", Meter(step_wh))
    yield Combination("10 Wh", "car", Meter(10))
    yield Combination("100 Wh", "car", Meter(100))
    yield Combination("1 Wh", "PV", Meter(1), direction="export")
    yield Combination("10 Wh", "PV", Meter(10), direction="export")
    yield Combination("10 Wh", "prosumer", Meter(10))
    yield Combination("10 Wh", "prosumer", Meter(10), direction="export")


def _sampled_otherwise() -> Iterator[Combination]:
    """Each second, each minute, and beside the boundaries."""
    yield Combination("1 Wh", "hob", Meter(1), 1)
    yield Combination("10 Wh", "hob", Meter(10), 1)
    for step_wh in (1, 10, 100):
        yield Combination(f"{step_wh} Wh", "hob", Meter(step_wh), 60)
    yield Combination("10 Wh, no power", "family", _bare(10), 60)
    yield Combination("10 Wh", "PV", Meter(10), 60, direction="export")
    yield Combination("1 Wh", "family", Meter(1), 10, phase_s=3.75)
    yield Combination("1 Wh", "family", Meter(1), 60, phase_s=21.5)
    yield Combination("1 Wh, no power", "family", _bare(1), 60, phase_s=21.5)
