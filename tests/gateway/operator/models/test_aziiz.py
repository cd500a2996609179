"""A fee by what flows: the first threshold that is not below it."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.operator.fee import Fee, fee_of
from gateway.operator.model import Asked, Proposal, Unable
from gateway.operator.models.aziiz import Aziiz
from gateway.operator.statistics import NOTHING, Statistics
from gateway.operator.tariffs.thresholds import Threshold

NOW_S = 90_000

STEPS = [Threshold(10, fee_of(0.9, "constant")), Threshold(30, fee_of(6, "constant"))]


def model(**changes: Any) -> Aziiz:
    given: dict[str, Any] = {
        "file": "aziiz.json",
        "thresholds": {"Grid": STEPS},
        "measure": "moving_average",
        "above": None,
    }
    return Aziiz(**given | changes)


def flows(*net_kwh: float | None) -> Mapping[int, Statistics]:
    """Past slots, the newest last; positive is import, None has no statistics."""
    newest_s = NOW_S - 2 * 900
    return {
        newest_s - back * 900: NOTHING
        if kwh is None
        else Statistics(import_kwh=max(kwh, 0.0), export_kwh=max(-kwh, 0.0))
        for back, kwh in enumerate(reversed(net_kwh))
    }


def asked(statistics: Mapping[int, Statistics]) -> Asked:
    return Asked(market="Grid", slot_s=NOW_S, slot_length_s=900, statistics=statistics)


def fee(found: Proposal | Unable) -> float:
    assert isinstance(found, Proposal), found
    return found.fee.number


@pytest.mark.parametrize(
    ("net_kwh", "expected"),
    [
        ((40, 40, 40, 0), 6),  # a mean of 30; the exchange's template says 0.9
        ((40, 40, 40, 0.1), 6),  # above the last threshold, its fee
        ((10, 10, 10, 10), 0.9),  # not below the threshold
        ((-10, -10, -10, -10.1), 6),  # exports count like imports
        ((20, -20, 20, -20), 0.9),  # and are taken from them
        ((500, 5, 5, 5, 5), 0.9),  # only the last four
        ((None, None, 20), 6),  # of those that are known
        ((0, 0, 0, 0), 0.9),
        ((0.1, 0.2, 29.7, 90.0), 6),  # no sum of floats steps over a threshold
    ],
)
def test_the_mean_of_the_last_four_slots_has_the_fee(
    net_kwh: tuple[float | None, ...], expected: float
) -> None:
    assert fee(model().propose(asked(flows(*net_kwh)))) == expected


@pytest.mark.parametrize(
    ("newest", "expected", "told"),
    [
        (Statistics(import_kwh=5, export_kwh=20), 6, "export 20 kWh, up to 30 kWh: 6 ct/kWh"),
        (Statistics(import_kwh=8, export_kwh=2), 0.9, "import 8 kWh, up to 10 kWh: 0.9 ct/kWh"),
        (Statistics(import_kwh=31, export_kwh=2), 6, "import 31 kWh, above 30 kWh: 6 ct/kWh"),
    ],
)
def test_the_peak_is_the_greater_of_import_and_export(
    newest: Statistics, expected: float, told: str
) -> None:
    found = model(measure="peak").propose(asked({NOW_S - 1800: newest}))
    assert fee(found) == expected
    assert isinstance(found, Proposal)
    assert found.why == told


def test_above_the_last_threshold_there_may_be_another_fee() -> None:
    above = fee_of(2000, "constant")
    assert fee(model(above=above).propose(asked(flows(31, 31, 31, 31)))) == 2000


@pytest.mark.parametrize("measure", ["moving_average", "peak"])
@pytest.mark.parametrize(
    "statistics",
    [
        {},
        flows(5, 5, 5, None),
        {NOW_S - 2700: Statistics(import_kwh=5, export_kwh=0)},  # of a slot long past
        {NOW_S - 900: Statistics(import_kwh=5, export_kwh=0)},  # of one that has not ended
        {NOW_S - 1800: Statistics(import_kwh=5)},
        {NOW_S - 1800: Statistics(traded_kwh=5, revenue_cents=3)},
    ],
)
def test_without_the_newest_statistics_it_says_nothing(
    measure: str, statistics: Mapping[int, Statistics]
) -> None:
    found = model(measure=measure).propose(asked(statistics))
    assert found == Unable("there are no statistics of what flowed in the last slot")


def test_a_market_without_thresholds_is_told() -> None:
    other = Asked(market="Gird", slot_s=NOW_S, slot_length_s=900)
    assert model().propose(other) == Unable("aziiz.json has no thresholds for Gird")


@given(st.lists(st.floats(-1e6, 1e6) | st.none(), max_size=6), st.sampled_from(["peak", "mean"]))
def test_more_flow_never_means_a_lower_fee(net_kwh: list[float | None], which: str) -> None:
    aziiz = model(measure="peak" if which == "peak" else "moving_average")
    found = aziiz.propose(asked(flows(*net_kwh)))
    more = aziiz.propose(asked(flows(*(kwh and kwh * 2 for kwh in net_kwh))))
    assert isinstance(found, Proposal) == isinstance(more, Proposal)
    if isinstance(found, Proposal) and isinstance(more, Proposal):
        assert isinstance(found.fee, Fee)
        assert found.fee <= more.fee
