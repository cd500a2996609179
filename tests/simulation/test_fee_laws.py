"""The judge of a grid operator's fees finds nothing wrong in what is right, and what is wrong in
what is tampered with.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from drivers.strict_yaml import Seconds
from tests.simulation.examples import HOUR, tampering
from tests.simulation.laws import judge
from tests.simulation.markets import Arrived, street_fee
from tests.simulation.result import RunResult
from tests.simulation.scenario import Must
from tests.simulation.world import run

pytestmark = pytest.mark.xdist_group("fee_laws")  # what they judge takes long to make

SLOT = "state = 'taken' AND slot_s % 3600 = 900"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    scenario = replace(HOUR, lasts=Seconds(4 * 3600), grid_operator=True, must=Must())
    return run(scenario, tmp_path_factory.mktemp("judged") / "site")


@pytest.fixture
def tampered(result: RunResult) -> Iterator[Callable[[str], list[str]]]:
    with tampering(result, wrong_fees) as tamper:
        yield tamper


def wrong_fees(result: RunResult) -> list[str]:
    return [text for text in judge(result).violations if text.startswith("lawful_fees")]


def test_nothing_is_wrong_in_what_is_right(result: RunResult) -> None:
    assert judge(result).violations == []
    assert len({each.fee for each in result.faults.markets.arrived if each.market == "House 1"}) > 5


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (f"UPDATE grid_fees SET fee = fee + 1 WHERE {SLOT}", "of the next one is kept"),
        (f"UPDATE grid_fees SET fee = fee + 1 WHERE {SLOT}", "and charged"),
        (f"DELETE FROM grid_fees WHERE {SLOT}", "neither taken nor explained"),
        (f"UPDATE grid_fees SET state = 'silent' WHERE {SLOT}", "neither taken nor explained"),
        ("UPDATE grid_fees SET state = 'missed', reason = 'tired'", "in the end, is missed"),
    ],
)
def test_what_is_kept_otherwise_than_it_was_is_found(
    tampered: Callable[[str], list[str]], sql: str, words: str
) -> None:
    assert any(words in text for text in tampered(sql))


@pytest.mark.parametrize(
    ("market", "fee_of", "words"),
    [
        ("House 1", lambda _: 8.5, "out of bounds"),
        ("Street", street_fee, "is not the fee of the next one"),
        ("Transformer", lambda _: 0.77, "of the next one is kept"),
    ],
)
def test_what_arrived_and_should_not_have_is_found(
    result: RunResult, market: str, fee_of: Callable[[int], float], words: str
) -> None:
    slot_s = result.faults.markets.arrived[-1].slot_s
    wrong = Arrived(slot_s, float(slot_s + 60), market, fee_of(slot_s))
    result.faults.markets.arrived.append(wrong)
    try:
        assert any(words in text for text in wrong_fees(result))
    finally:
        result.faults.markets.arrived.remove(wrong)
