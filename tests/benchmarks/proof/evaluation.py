"""One combination, from the truth to its scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.proof.baseline import BASELINE_WH
from tests.benchmarks.proof.combinations import Combination, scored_ends_s
from tests.benchmarks.proof.methods import simpler
from tests.benchmarks.proof.ours import UWH_PER_WH, rules_of, settle
from tests.benchmarks.proof.score import Score, held, score


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How right the slots of one combination are."""

    combination: Combination
    score: Score
    simpler_wh: Mapping[str, float | None]
    """The rms error of each simpler method (Wh); None: it has nothing to go by."""
    held: float | None
    """The part of the slots that hold the truth within their uncertainty; None: they state none."""
    mean_uncertainty_wh: float | None
    unbalanced_uwh: int
    revised: float
    """The part of the slots that were written anew."""

    @property
    def to_best(self) -> float:
        """Our rms error as a multiple of that of the best simpler method."""
        return self.score.rms / min(each for each in self.simpler_wh.values() if each is not None)

    @property
    def baseline_wh(self) -> float | None:
        """The rms error of the same before slots looked back; None: never measured."""
        return BASELINE_WH.get(self.combination.title)


def evaluate(combination: Combination, *, revises: bool = False) -> Evaluation:
    """Read the home, settle it, and look at the truth; with `revises` as for an exchange that takes
    revisions. Raises AssertionError where a slot that counts has no energy.
    """
    readings, truth = combination.read()
    ends_s = scored_ends_s(readings)
    true_wh = np.diff(truth.energy_wh(ends_s))

    rules = rules_of(
        combination.meter, combination.direction, combination.interval_s, revises=revises
    )
    settled = settle(readings, combination.direction, rules)
    # Slots whose register is still silent at the end of the readings are not settled yet.
    ends_s = ends_s[ends_s <= max(settled.slots) + rules.slot_ms // 1000]
    true_wh = true_wh[: len(ends_s) - 1]
    slots = [settled.slots[int(begin_s)] for begin_s in ends_s[:-1]]
    energies = [slot.energy_uwh for slot in slots]
    assert None not in energies, f"{combination.title}: a slot is missing"
    found_wh = np.array(energies, dtype=np.float64) / UWH_PER_WH

    is_export = combination.direction == "export"
    others = {
        name: None if wh is None else score(wh, true_wh).rms
        for name, wh in simpler(readings, ends_s, is_export=is_export).items()
    }
    uncertainties = [slot.uncertainty_uwh for slot in slots]
    states_any = None not in uncertainties
    within_wh = np.array(uncertainties, dtype=np.float64) / UWH_PER_WH
    return Evaluation(
        combination,
        score(found_wh, true_wh),
        others,
        held(found_wh, true_wh, within_wh) if states_any else None,
        float(within_wh.mean()) if states_any else None,
        settled.unbalanced_uwh,
        sum(slot.revision > 0 for slot in slots) / len(slots),
    )
