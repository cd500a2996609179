"""A fee is a finite number in range, or it is not."""

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.operator.fee import HIGHEST, Fee, FeeError, FeeType, echoed, fee_of, fee_written

TYPES = st.sampled_from(["constant", "percent"])

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.text(), st.integers(), st.floats(), st.decimals(), st.binary()
)


@given(ANYTHING, TYPES)
def test_nothing_but_a_finite_number_in_range_becomes_a_fee(raw: object, type_: FeeType) -> None:
    try:
        fee = fee_of(raw, type_)
    except FeeError as error:
        assert " — " in str(error)  # it says what to do
        return
    assert not isinstance(raw, bool | str)
    assert math.isfinite(fee.number)
    assert 0 <= fee.number <= HIGHEST[type_]


@given(st.text(), TYPES)
def test_no_text_that_is_no_number_becomes_a_fee(text: str, type_: FeeType) -> None:
    try:
        fee = fee_written(text, type_)
    except FeeError:
        return
    assert abs(Decimal(text.strip().replace(",", ".")) - Decimal(fee.text)) <= Decimal("5e-7")


@given(st.integers(0, 100_000_000), TYPES)
def test_what_is_sent_is_known_again_in_its_echo(micros: int, type_: FeeType) -> None:
    fee = Fee(type_, micros)
    (key, sent), *rest = json.loads(json.dumps(fee.data)).items()
    assert not rest
    other = "fee_percent" if type_ == "constant" else "fee_const"
    answer = {f"market_{key}": str(sent), f"market_{other}": "None"}
    assert fee.is_echoed_by(answer)
    assert not Fee(type_, micros + 1 if micros < 1000 else micros - 1).is_echoed_by(answer)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (float("nan"), "not a finite number"),
        (float("-inf"), "not a finite number"),
        ("3,5", "expected a number"),
        (None, "expected a number"),
        (True, "expected a number"),
        (-0.1, "negative"),
        (10**400, "out of range"),
    ],
)
def test_what_the_engine_would_choke_on_is_refused(raw: object, told: str) -> None:
    with pytest.raises(FeeError, match=told):
        fee_of(raw, "constant")


def test_more_than_all_of_the_price_is_no_percentage() -> None:
    assert fee_of(100, "percent").number == 100
    with pytest.raises(FeeError, match="at most 100 %"):
        fee_of(100.000001, "percent")


def test_a_fee_cannot_be_made_around_the_check() -> None:
    with pytest.raises(FeeError):
        Fee("constant", 2.5)  # type: ignore[arg-type]
    with pytest.raises(FeeError):
        Fee("percent", 150_000_000)
    with pytest.raises(FeeError):
        Fee("cents", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", [{}, {"market_fee_const": "None"}, {"market_fee_const": None}])
def test_an_answer_without_its_number_is_no_echo(answer: dict[str, object]) -> None:
    assert echoed(answer, "constant") is None


def test_fees_are_written_without_needless_digits() -> None:
    assert str(fee_of(3.25, "constant")) == "3.25 ct/kWh"
    assert str(fee_of(10, "percent")) == "10 %"
    assert fee_written(" 0,42 ", "constant").text == "0.42"
