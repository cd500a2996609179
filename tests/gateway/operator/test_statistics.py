"""What the engine says of a slot, and what it leaves out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.operator.statistics import NOTHING, parse_statistics

OBSERVED = {
    "min_trade_rate": 34.28571429,
    "max_trade_rate": 34.28571429,
    "avg_trade_rate": 34.28571429,
    "median_trade_rate": 34.28571429,
    "total_traded_energy_kWh": 0.075,
    "market_bill": {"Accumulated Trades": {}},
    "market_fee_revenue": 0.15,
    "area_throughput": {"import": 0.075, "export": 0.0},
    "self_sufficiency": None,
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def test_what_the_engine_said_is_read() -> None:
    found = parse_statistics(OBSERVED)
    assert (found.import_kwh, found.export_kwh) == (0.075, 0.0)
    assert (found.traded_kwh, found.revenue_cents) == (0.075, 0.15)
    assert found.net_import_kwh == found.peak_kwh == 0.075


def test_the_throughput_of_the_root_market_is_missing_not_zero() -> None:
    zeros = OBSERVED | {"area_throughput": {"import": 0.0, "export": 0.0}}
    assert parse_statistics(zeros).net_import_kwh == 0
    assert parse_statistics(zeros, is_root=True).net_import_kwh is None


@pytest.mark.parametrize(
    "raw",
    [{}, None, "", [], {"area_throughput": None}, {"area_throughput": {"import": None}}],
)
def test_what_is_not_said_is_missing(raw: object) -> None:
    assert parse_statistics(raw) == NOTHING


@pytest.mark.parametrize("value", ["0.5", float("nan"), float("inf"), -1, True, 10**400])
def test_no_energy_is_made_of_what_is_none(value: object) -> None:
    found = parse_statistics({"area_throughput": {"import": value, "export": 0.1}})
    assert found.import_kwh is None
    assert found.net_import_kwh is None
    assert found.peak_kwh is None


@given(JSON, st.dictionaries(st.sampled_from([*OBSERVED]), JSON))
def test_no_answer_breaks_the_reading(whole: object, keys: dict[str, object]) -> None:
    parse_statistics(whole)
    parse_statistics(keys)
    parse_statistics({"area_throughput": keys})
