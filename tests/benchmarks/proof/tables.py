"""The grid as two tables: every combination, and the rows of what is promised."""

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

from tests.benchmarks.proof.evaluation import Evaluation

ASKED = {
    "1 Wh register": 0.67,
    "10 Wh": 0.65,
    "100 Wh": 0.87,
    "10 Wh, no power reading": 0.19,
    "100 Wh, no power reading": 0.31,
    "10 Wh, 5 W standby that power shows as 0": 0.12,
    "1 Wh register refreshed every 10 s": 0.34,
    "1 Wh register refreshed every 60 s": 0.52,
    "1 Wh at 1 s, power 3 s late": 0.41,
    "PV export 10 Wh, power 3 s late": 0.60,
    "phases booked singly, net power, 10 Wh": 0.37,
    "grid held at 0 W by a battery, mean power, 10 Wh": 0.46,
}
"""The rms error that is aimed at, as a ratio to that before slots looked back."""

NOT_REACHED = {"10 Wh, no power reading": 0.24, "100 Wh, no power reading": 0.36}
"""What is not reached, and the bound that is kept instead: of two loads that are switched within
one step, no later step tells when. `informed` says what could be known of these homes at all.
"""

MOST_TO_BEST = 1.05
"""Nowhere should ours be worse than the best of the simpler methods by more than this ratio."""


def show(evaluations: Sequence[Evaluation], revised: Sequence[Evaluation]) -> None:
    """Print both tables. `revised` are the same where numbers are sent at once, and revised: of the
    rows of what is promised.
    """
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(_combinations(evaluations))
    console.print(_rows(evaluations, revised))


def ratio_to_baseline(
    evaluations: Sequence[Evaluation], rms_wh: Sequence[float] | None = None
) -> float | None:
    """The rms error of all of these, or what is given instead, as a ratio to the stored one; None:
    one was not measured.
    """
    before = [each.baseline_wh for each in evaluations]
    if not before or any(wh is None for wh in before):
        return None
    ours_wh = [each.score.rms for each in evaluations] if rms_wh is None else rms_wh
    return _together(ours_wh) / _together(wh or 0 for wh in before)


def _together(rms_errors: Iterable[float]) -> float:
    return math.sqrt(sum(each**2 for each in rms_errors))


def _table(title: str, *columns: tuple[str, Literal["left", "right"]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True)
    return table


def _combinations(evaluations: Sequence[Evaluation]) -> Table:
    names = ["slots", "rms", "p99", "worst", "bias", "in ±u", "mean u"]
    names += ["last", "linear", "steps", "power", "to best", "to before"]
    table = _table(
        "Error of a slot against the truth, Wh",
        ("home: meter, read every", "left"),
        *((name, "right") for name in names),
    )
    for each in evaluations:
        found = each.score
        table.add_row(
            each.combination.title,
            str(found.slots),
            *(_number(wh) for wh in (found.rms, found.p99, found.worst, found.bias)),
            "–" if each.held is None else f"{each.held:.1%}",
            _number(each.mean_uncertainty_wh),
            *(_number(each.simpler_wh[name]) for name in ("last", "linear", "steps", "power")),
            f"{each.to_best:.2f}{'' if each.to_best <= MOST_TO_BEST else ' !'}",
            _number(ratio_to_baseline([each])),
        )
    return table


def _rows(evaluations: Sequence[Evaluation], revised: Sequence[Evaluation]) -> Table:
    table = _table(
        "The same by what is asked: rms in Wh",
        ("", "left"),
        ("before", "right"),
        ("now", "right"),
        ("ratio", "right"),
        ("asked", "right"),
        ("sent at once and revised (sdk)", "right"),
        ("ratio", "right"),
        ("slots revised", "right"),
        ("in ±u", "right"),
    )
    for row, asked in ASKED.items():
        those = [each for each in evaluations if each.combination.row == row]
        ratio = ratio_to_baseline(those)
        anew = [each for each in revised if each.combination.row == row]
        table.add_row(
            row,
            " / ".join(_number(each.baseline_wh) for each in those),
            " / ".join(_number(each.score.rms) for each in those),
            _number(ratio),
            f"≤ {asked:.2f}{'' if ratio is None or ratio <= asked else ' !'}",
            " / ".join(_number(each.score.rms) for each in anew),
            _number(ratio_to_baseline(anew)),
            f"{max(each.revised for each in anew):.0%}",
            f"{min(each.held or 0 for each in anew):.1%}",
        )
    return table


def _number(wh: float | None) -> str:
    if wh is None:
        return "–"
    return f"{wh:.3f}" if abs(wh) < 1 else f"{wh:.2f}"
