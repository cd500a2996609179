"""Usual readings are taken in few steps, and come to the very same."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy import fold
from gateway.energy.slot import DirectionState, MeterRules, Step
from tests.gateway.energy.samples import meter, sample

MOVES = st.lists(
    st.tuples(
        st.sampled_from([10, 10, 10, 10, 10, 47, 200, 1000, 9000]),
        st.sampled_from([0, 0, 0, 0, 0, 0, 1, 3, 40, -1, -30, 9000]),
        st.sampled_from([0.0, 0.0, 0.0, 0.0, 360.0, 360.0, 300.0, -300.0, None]),
        st.sampled_from([0, 0, 0, 0, 0, 0, 0, 3, -3, 700, -700, 5000]),
        st.sampled_from(["", "", "", "", "", "placed", "widened", "no register", "other"]),
    ),
    max_size=80,
)


def samples_of(moves: Sequence[tuple[int, int, float | None, int, str]]) -> list[Sample]:
    """A meter of which most is usual. A move is s since the sample before, steps, power, by how
    much the clock is set meanwhile, and what else is odd.
    """
    samples: list[Sample] = []
    t_s = set_s = wh = 0
    for elapsed_s, steps, power_w, forward_s, odd in moves:
        t_s += elapsed_s
        set_s += forward_s
        wh += steps
        shown_wh = None if odd == "no register" else 5000 + wh
        one = sample(t_s, shown_wh, power_w, export_wh=7, serial="B" if odd == "other" else "A")
        assert one.utc_ms is not None
        samples.append(
            replace(
                one,
                utc_ms=one.utc_ms + 1000 * set_s,
                placed=odd == "placed",
                widened=("energy_import_wh",) if odd == "widened" else (),
            )
        )
    return samples


def steps_of(samples: Sequence[Sample], rules: MeterRules) -> list[Step]:
    steps: list[Step] = []
    for each in samples:
        steps.append(fold.advance(steps[-1].state if steps else None, each, rules))
    return steps


@given(
    MOVES,
    st.sampled_from([0, 300_000]),
    st.booleans(),
    st.sampled_from([0, 60_000]),
    st.sampled_from(["", "the register"]),
)
def test_a_usual_reading_comes_to_what_each_step_of_the_fold_would(
    moves: list[tuple[int, int, float | None, int, str]],
    look_back_ms: int,
    at_once: bool,
    refresh_ms: int,
    source: str,
) -> None:
    known = meter(1)
    registers = {
        direction: replace(each, refresh_ms=refresh_ms, source=source)
        for direction, each in known.registers.items()
    }
    rules = replace(known, registers=registers, look_back_ms=look_back_ms, says_at_once=at_once)
    samples = samples_of(moves)
    quick = steps_of(samples, rules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold, "as_usual", lambda *_: None)
        assert steps_of(samples, rules) == quick


@pytest.mark.parametrize("look_back_ms", [0, 810_000])
def test_most_readings_are_usual(look_back_ms: int) -> None:
    """Otherwise the property above would compare one way with itself."""
    ways: list[bool] = []
    way = fold._as_usual

    def noted(*given: Any) -> DirectionState | None:
        after = way(*given)
        ways.append(after is not None)
        return after

    moves = [(10, 1, 360.0, 0, ""), (10, 0, 360.0, 0, ""), (10, 2, 360.0, 0, "")] * 80
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold, "_as_usual", noted)
        steps_of(samples_of(moves), replace(meter(1), look_back_ms=look_back_ms))
    assert ways.count(True) > 0.95 * 2 * len(moves)
