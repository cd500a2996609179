"""What a register's values can be: its step, and what a float32 has rounded."""

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from tests.gateway.energy.registers import WH, rules


@given(st.floats(0.015625, 100_000, width=32), st.sampled_from([1, 10, 100]))
def test_the_step_of_a_float32_register_is_its_resolution_or_the_distance_to_the_next_float(
    kwh: float, resolution_wh: int
) -> None:
    following = struct.unpack(
        "<f", struct.pack("<I", struct.unpack("<I", struct.pack("<f", kwh))[0] + 1)
    )[0]
    step_uwh = rules(resolution_wh, float32=True).step_uwh(round(kwh * 1000 * WH))
    assert step_uwh == max(resolution_wh * WH, round((following - kwh) * 1000 * WH))


def test_a_float32_register_above_65_mwh_moves_in_steps_of_8_wh() -> None:
    assert rules(1, float32=True).step_uwh(70_000_000 * WH) == round(7.8125 * WH)
    assert rules(1).step_uwh(70_000_000 * WH) == WH


def as_float32_wh(wh: int) -> float:
    """A register in kWh, as it arrives in a 32-bit float."""
    return float(struct.unpack("<f", struct.pack("<f", wh / 1000))[0]) * 1000


@given(st.integers(0, 16_384_000), st.sampled_from([1, 10, 100]))
def test_a_register_that_a_float32_rounded_is_exact_while_floats_are_closer_than_its_steps(
    wh: int, step_wh: int
) -> None:
    wh = wh // step_wh * step_wh
    assert rules(step_wh, float32=True).exact_uwh(round(as_float32_wh(wh) * WH)) == wh * WH


@given(st.integers(0, 99_999_000), st.integers(0, 30), st.sampled_from([1, 10, 100]))
@example(85_765_145, 0, 10)
def test_a_register_never_goes_back_for_being_read_exactly(
    wh: int, more_wh: int, step_wh: int
) -> None:
    known = rules(step_wh, float32=True)
    before_uwh, after_uwh = (
        known.exact_uwh(round(as_float32_wh(each) * WH)) for each in (wh, wh + more_wh)
    )
    assert before_uwh <= after_uwh
    assert abs(before_uwh - wh * WH) <= 8 * WH, "two neighbouring floats"
