"""How right a slot is over a grid of homes, meters and ways to read them: our error, four simpler
methods beside it, and what the slots say of themselves. See `tests/benchmarks/proof`.
"""

from collections.abc import Iterator, Sequence

from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.proof.combinations import grid
from tests.benchmarks.proof.evaluation import Evaluation, evaluate
from tests.benchmarks.proof.informed import informed_rms_wh
from tests.benchmarks.proof.tables import (
    ASKED,
    MOST_TO_BEST,
    NOT_REACHED,
    ratio_to_baseline,
    show,
)

TITLE = "energy per slot over a grid of homes and meters"

SURE = 0.95
MOST_COVERED = 65


def figures() -> Iterator[Figure]:
    """Print the grid, and yield what must hold of all of it."""
    evaluations = []
    for combination in grid():
        progress(f"grid: {combination.title}")
        evaluations.append(evaluate(combination))
    revised = []
    for combination in grid():
        if combination.row:
            progress(f"grid: revised, {combination.title}")
            revised.append(evaluate(combination, revises=True))
    show(evaluations, revised)

    for row, asked in ASKED.items():
        those = [each for each in evaluations if each.combination.row == row]
        ratio = ratio_to_baseline(those)
        assert ratio is not None, f"{row} was not measured before"
        bound, beside = asked, ""
        if row in NOT_REACHED:
            progress(f"grid: informed, {row}")
            bound, beside = NOT_REACHED[row], _what_could_be_known(those, asked)
        yield Figure(f"rms, to that before: {row}", round(ratio, 3), "×", bound, "low", beside)
    covered = [each.held for each in evaluations if each.held is not None]
    yield Figure(
        "combinations whose slots hold the truth within ± u in 95 of 100",
        sum(each >= SURE for each in covered),
        "",
        MOST_COVERED,
        "high",
        f"the least one in {min(covered):.1%}",
    )

    worse = sum(each.to_best > MOST_TO_BEST for each in evaluations)
    yield Figure(
        "combinations",
        len(evaluations),
        "",
        40,
        "high",
        f"{worse} of them worse than {MOST_TO_BEST} × the best simpler method",
    )
    unbalanced_uwh = max(abs(each.unbalanced_uwh) for each in evaluations)
    yield Figure(
        "slots and unallocated, less the counter's change", unbalanced_uwh, "µWh", 0, "low"
    )


def _what_could_be_known(those: Sequence[Evaluation], asked: float) -> str:
    known = ratio_to_baseline(those, [informed_rms_wh(each.combination) for each in those])
    return f"{asked} is asked; who knew the homes beforehand would come to {known:.2f}"
