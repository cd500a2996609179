"""What could be known of a slot's energy by a register without power, if the home was known
beforehand: a bound for whoever has to do without that.

A hidden Markov model: power is at one of some levels, goes from one to another as often as it truly
does in this very home, and moves the energy inside of the register's step. Each reading leaves what
its register allows. Where a boundary was is the mean over all courses that later readings leave.
A slot's energy is from where it began to where it ended, as both look once its end's look-back is
over. It is best in the mean square but for what it takes to be: that power has no memory beside its
level, and that levels and energies are steps.
"""

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.proof.combinations import Combination, scored_ends_s
from tests.benchmarks.proof.homes import TICKS_PER_S, home
from tests.benchmarks.proof.meters import LIFETIME_WH, Numbers
from tests.benchmarks.proof.methods import LOOK_BACK_S
from tests.benchmarks.proof.ours import SLOT_S
from tests.benchmarks.proof.score import score

LEVELS = 40
LOWEST_W, HIGHEST_W = 40.0, 6000.0
CELLS = 100
"""Energies inside of a step that are told apart."""

RARE = 1e-3
"""How often power goes to any level as often as that occurs."""

LEAST = 1e-12
"""How likely anything is that cells and levels rule out."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How a home's power goes on from one reading to the next."""

    cells: Numbers
    """By how many cells each level moves the energy."""
    share: Numbers
    """How often each level occurs."""
    goes: Numbers
    """How often each level is followed by each."""

    def begun(self) -> Numbers:
        """Where the energy may be and at which level power: at first anywhere in the step."""
        return np.tile(self.share / CELLS, (CELLS, 1))

    def moved(self, odds: Numbers, moved_cells: int) -> Numbers:
        """The same at the next reading, whose register has moved so far."""
        after = odds @ self.goes
        whole = np.floor(self.cells).astype(int)
        part = self.cells - whole
        room = max(CELLS + int(whole.max()) + 1, moved_cells + CELLS)
        out = np.zeros((room, LEVELS))
        for level, cells in enumerate(whole):
            out[cells : cells + CELLS, level] += after[:, level] * (1 - part[level])
            out[cells + 1 : cells + 1 + CELLS, level] += after[:, level] * part[level]
        return out[moved_cells : moved_cells + CELLS]


def habits_of(combination: Combination) -> Habits:
    """What this very home does. Of a home that imports, and each reading of it."""
    ticks = round(combination.interval_s * TICKS_PER_S)
    watts = home(combination.home).sum(axis=0)
    mean_w = np.maximum(watts[: len(watts) // ticks * ticks].reshape(-1, ticks).mean(axis=1), 0)
    levels = np.digitize(mean_w, np.geomspace(LOWEST_W, HIGHEST_W, LEVELS - 1))
    counts = np.bincount(levels, minlength=LEVELS)
    level_w = np.bincount(levels, mean_w, LEVELS) / np.maximum(counts, 1)
    follows = np.zeros((LEVELS, LEVELS))
    np.add.at(follows, (levels[:-1], levels[1:]), 1)
    share = counts / len(levels)
    follows /= np.maximum(follows.sum(axis=1, keepdims=True), 1)
    cell_wh = combination.meter.step_wh / CELLS
    cells = level_w * combination.interval_s / 3600 / cell_wh
    return Habits(cells, share, (1 - RARE) * follows + RARE * share)


def informed_rms_wh(combination: Combination) -> float:
    """The rms error of the slots of a meter that is read at each boundary, and shows no power."""
    readings, truth = combination.read()
    ends_s = scored_ends_s(readings)
    habits = habits_of(combination)
    cell_wh = readings.step_wh / CELLS
    middles_wh = (np.arange(CELLS)[:, None] + 0.5) * cell_wh
    begun = odds = habits.begun()
    # Boundaries, and the energy there times the odds of all that may have followed.
    waiting: list[tuple[float, Numbers]] = []
    slots_wh: dict[float, float] = {}
    last_wh = readings.register_wh[0]
    for at_s, register_wh in zip(readings.at_s[1:], readings.register_wh[1:], strict=True):
        moved_cells = round((register_wh - last_wh) / cell_wh)
        last_wh = register_wh
        odds = habits.moved(odds, moved_cells) + LEAST * begun
        total = odds.sum()
        odds = odds / total
        waiting = [(end_s, habits.moved(wh, moved_cells) / total) for end_s, wh in waiting]
        while len(waiting) > 1 and at_s >= waiting[1][0] + LOOK_BACK_S:
            begin_s, begin_wh = waiting.pop(0)
            slots_wh[begin_s] = float(waiting[0][1].sum() - begin_wh.sum())
        if at_s in ends_s:
            waiting.append((at_s, odds * (register_wh - LIFETIME_WH + middles_wh)))
    begins_s = np.array(list(slots_wh))
    true_wh = truth.energy_wh(begins_s + SLOT_S) - truth.energy_wh(begins_s)
    return score(np.array(list(slots_wh.values())), true_wh).rms
