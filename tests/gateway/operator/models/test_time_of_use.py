"""The fee of the quarter of an hour in which a slot begins, in UTC or on the wall clock."""

from collections import Counter
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from gateway.operator.fee import Fee
from gateway.operator.model import Asked, Proposal, Unable
from gateway.operator.models.time_of_use import TimeOfUse

BERLIN = ZoneInfo("Europe/Berlin")

DAY = [Fee("constant", quarter) for quarter in range(96)]
"""Each quarter of an hour has its own fee, which tells it."""


def quarter(at: datetime, timezone: tzinfo, length_s: int = 900) -> int:
    model = TimeOfUse(file="tou.csv", fees={"Grid": DAY}, timezone=timezone)
    proposal = model.propose(
        Asked(market="Grid", slot_s=int(at.timestamp()), slot_length_s=length_s)
    )
    assert isinstance(proposal, Proposal)
    return proposal.fee.micros


def quarters_of(day: datetime) -> Counter[int]:
    begin_s = int(day.timestamp())
    end_s = int(day.replace(day=day.day + 1).timestamp())
    slots = (datetime.fromtimestamp(s, UTC) for s in range(begin_s, end_s, 900))
    return Counter(quarter(at, BERLIN) for at in slots)


def test_times_are_those_of_utc_where_they_are_said_to_be() -> None:
    assert quarter(datetime(2026, 7, 1, 7, 15, tzinfo=UTC), UTC) == 29
    assert quarter(datetime(2026, 7, 1, 7, 15, tzinfo=UTC), BERLIN) == 37
    assert quarter(datetime(2026, 1, 1, 7, 15, tzinfo=UTC), BERLIN) == 33


def test_the_hour_that_a_spring_day_lacks_has_no_fee() -> None:
    found = quarters_of(datetime(2026, 3, 29, tzinfo=BERLIN))
    assert found.total() == 92
    assert set(range(96)) - set(found) == {8, 9, 10, 11}


def test_the_hour_that_an_autumn_day_has_twice_has_its_fees_twice() -> None:
    found = quarters_of(datetime(2026, 10, 25, tzinfo=BERLIN))
    assert found.total() == 100
    assert {q for q, count in found.items() if count == 2} == {8, 9, 10, 11}


@pytest.mark.parametrize("length_s", [5, 60, 300, 900, 3600])
def test_slots_of_other_lengths_have_the_fee_of_the_quarter_they_begin_in(length_s: int) -> None:
    midnight = datetime(2026, 5, 1, tzinfo=UTC)
    for start in range(0, 7200, length_s):
        at = datetime.fromtimestamp(midnight.timestamp() + start, UTC)
        assert quarter(at, UTC, length_s) == start // 900


def test_a_market_that_was_renamed_is_told() -> None:
    model = TimeOfUse(file="tou.csv", fees={"Grid": DAY}, timezone=UTC)
    found = model.propose(Asked(market="Grid 2", slot_s=0, slot_length_s=900))
    assert found == Unable("tou.csv has no column for Grid 2")
