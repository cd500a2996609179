"""What is logged of deliveries: enough to see that they go on, and a quiet day in few lines."""

from uuid import UUID

import pytest

from gateway.delivery.journal import _MOST_UNSAID, DELIVERED_S, Journal
from gateway.outbox.item import Item

A, B = UUID(int=1), UUID(int=2)
T0 = 1_774_742_400
SLOT_S = 900


def journal() -> Journal:
    return Journal("exchange", {A: "House", B: "PV"}.__getitem__, lambda _: None)


def slot(number: int) -> list[Item]:
    """What is delivered of one slot: a measurement of each asset, and two forecasts."""
    start_s = T0 + number * SLOT_S
    found = [Item("exchange", subject, start_s, "measurement", 0, 1) for subject in (A, B)]
    later = (start_s + SLOT_S, start_s + 2 * SLOT_S)
    return found + [Item("exchange", A, at_s, "forecast", 0, 1) for at_s in later]


def test_a_day_of_deliveries_is_a_line_an_hour_that_leaves_nothing_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    it = journal()
    for number in range(96):
        it.accepted(slot(number), T0 + number * SLOT_S + 1)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 24
    assert lines[0] == (
        "delivered numbers of 3 slots of 2 assets, 2026-03-29 00:00:00Z to 2026-03-29 00:30:00Z"
    )
    assert lines[1].startswith("delivered numbers of 6 slots of 2 assets, 2026-03-29 00:15:00Z to")
    assert it.counts.accepted == 96 * 4


def test_each_delivery_is_a_line_where_somebody_looks_closely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    it = journal()
    for number in range(4):
        it.accepted(slot(number), T0 + number)
    assert sum(record.levelname == "DEBUG" for record in caplog.records) == 4
    assert sum(record.levelname == "INFO" for record in caplog.records) == 1


def test_a_backlog_and_a_clock_that_was_set_back_are_said_as_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    it = journal()
    it.accepted(slot(0), T0)
    for number in range(_MOST_UNSAID):
        it.accepted([Item("exchange", A, T0 - number * SLOT_S, "measurement", 0, 1)], T0 + 1)
    assert len(caplog.records) == 2
    assert f"of {_MOST_UNSAID} slots of asset House" in caplog.records[1].getMessage()
    it.accepted(slot(1), T0 + 1 - DELIVERED_S)
    assert len(caplog.records) == 3
