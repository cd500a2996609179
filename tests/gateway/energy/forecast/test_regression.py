"""The equations that are added up and solved, beside the same done in full."""

from __future__ import annotations  # array[float] is no class before Python 3.12

import random
from array import array

import pytest

from gateway.energy.forecast import Learned, regression
from gateway.energy.forecast.learned import (
    FEATURES,
    HORIZONS,
    OBSERVATION,
    QUARTERS,
    REGRESSION,
    REGRESSIONS,
    ROUND,
    SHARED,
)
from tests.gateway.energy.forecast.test_properties import FIRST_S, HOUR_S, LOAD, learned_of, made

RIDGE = 0.7
KEEP = 0.9


def rounds(seed: int, count: int) -> list[array[float]]:
    """Rows as they wait: features, the quarter, what came, and two weights, one of them often 0."""
    drawn = random.Random(seed)
    return [
        array(
            "f",
            [
                number
                for _ in range(ROUND)
                for number in (
                    *(drawn.gauss(3, 2) for _ in range(SHARED + 1)),
                    drawn.randrange(QUARTERS),
                    drawn.gauss(10, 4),
                    drawn.random(),
                    drawn.choice((0.0, 1.5)),
                )
            ],
        )
        for _ in range(count)
    ]


def in_full(row: array[float]) -> list[float]:
    """The features of a row, each quarter's apart."""
    quarters = [0.0] * QUARTERS
    quarters[int(row[SHARED + 1])] = row[SHARED]
    return [*row[:SHARED], *quarters]


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_solved_solves_the_equations_of_all_rows_that_faded(which: int) -> None:
    numbers = array("d", bytes(8 * REGRESSION))
    prior = [0.1 * n for n in range(FEATURES)]
    lots = rounds(which, 5)
    matrix = [[RIDGE * (i == j) for j in range(FEATURES)] for i in range(FEATURES)]
    right = [RIDGE * each for each in prior]
    for age, rows in enumerate(reversed(lots)):
        for begin in range(0, len(rows), OBSERVATION):
            row = rows[begin : begin + OBSERVATION]
            weight = KEEP**age * row[SHARED + 3 + which]
            x = in_full(row)
            for i in range(FEATURES):
                right[i] += weight * x[i] * row[SHARED + 2]
                for j in range(FEATURES):
                    matrix[i][j] += weight * x[i] * x[j]
    for rows in lots:
        regression.fold(numbers, 0, rows, which, KEEP)
    regression.solve(numbers, 0, RIDGE, prior)
    found = numbers[regression.BETA : regression.BETA + FEATURES]
    for line, there in zip(matrix, right, strict=True):
        assert sum(a * b for a, b in zip(line, found, strict=True)) == pytest.approx(there)


def test_what_was_added_waits_no_more_and_what_is_for_the_other_one_does() -> None:
    (rows,) = rounds(3, 1)
    other = rows[SHARED + 4 :: OBSERVATION]
    numbers = array("d", bytes(8 * REGRESSION))
    regression.fold(numbers, 0, rows, 0, KEEP)
    once = numbers[: regression.BETA]
    regression.fold(numbers, 0, rows, 0, 1.0)
    assert numbers[: regression.BETA] == once
    assert rows[SHARED + 4 :: OBSERVATION] == other


def test_a_ridge_of_nothing_changes_nothing() -> None:
    numbers = array("d", [1.0]) * REGRESSION
    regression.solve(numbers, 0, 0.0, [0.0] * FEATURES)
    assert numbers == array("d", [1.0]) * REGRESSION


def blocks(learned: Learned) -> list[tuple[array[float], array[float]]]:
    """Of each regression: its equations, and its coefficients."""
    numbers, beta = learned.regressions, regression.BETA
    return [
        (numbers[at : at + beta], numbers[at + beta : at + beta + FEATURES])
        for at in range(0, len(numbers), REGRESSION)
    ]


def test_no_slot_has_two_equations_to_do_and_most_have_none() -> None:
    drawn = random.Random(4)
    slots = [made(drawn.randrange(10**9), FIRST_S + n * HOUR_S) for n in range(5 * ROUND)]
    learned = learned_of(slots[: 2 * ROUND], LOAD)
    work = []
    for slot in slots[2 * ROUND :]:
        before, learned = learned, learned_of([slot], LOAD, learned)
        pairs = zip(blocks(before), blocks(learned), strict=True)
        work.append(sum((a != c) + (b != d) for (a, b), (c, d) in pairs))
    assert max(work) == 1
    assert sum(work) == 3 * 2 * len(HORIZONS) * REGRESSIONS < len(work) / 2
