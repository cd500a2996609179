"""What is told of zeros and of forecasts confirms nothing. The real buffer, session, dialect and
uploader against the stand-in exchange.
"""

import asyncio
import logging
from pathlib import Path

import pytest

from tests.gateway.delivery.rig import SLOT, T0, A, B, Site, running, site_of, virtual


async def slots_go_by(
    site: Site, count: int, *, first: int = 0, tells: str = "forecasts", measured_from: int = 2
) -> None:
    """In each slot a forecast of the next but one, and the measurement of the one before: another
    number. Those of the first slots were not forecast. The exchange tells its forecasts, or what it
    got last.
    """
    async with running(site.uploader()) as uploader:
        for n in range(first, first + count):
            site.owe(T0 + (n + 2) * SLOT, A, kind="forecast", uwh=500 + n + 2)
            if n > measured_from:
                site.owe(T0 + (n - 1) * SLOT, A, uwh=1_000 + n - 1)
            uploader.wake()
            await asyncio.sleep(T0 + (n + 1) * SLOT - 1 - site.now())
            if tells == "forecasts":
                site.exchange.books.fresh.clear()
                site.exchange.books.held[A].update(site.exchange.books.forecasts[A])
            await asyncio.sleep(1)


def test_an_exchange_that_tells_its_forecasts_is_said_to_once_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            await slots_go_by(site, 40)
            assert len(site.asked(A)) == 3, "it rests for a day"
            assert all(owed.attempts == 1 for owed in site.buffer.owed() if owed.state != "pending")
            assert all(owed.confirmed_s is None for owed in site.buffer.owed())
            assert site.states() == {"accepted": 77}
            assert sum(owed.disagreements == 2 for owed in site.buffer.owed()) == 0

    caplog.set_level(logging.INFO, "gateway.delivery.read_back")
    virtual(story())
    said = [record.message for record in caplog.records if "forecasts" in record.message]
    assert said == [
        "what the exchange holds cannot be read back: what the exchange tells are the forecasts "
        "that were sent, and not the measurements; it is asked again in a day, and deliveries go on"
    ]


def test_slots_of_before_the_first_forecast_are_no_dispute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A home that is new has measurements before its first forecast takes effect."""

    async def story() -> None:
        with site_of(tmp_path) as site:
            await slots_go_by(site, 12, measured_from=0)
            measured = [o for o in site.buffer.owed() if o.item.kind == "measurement"]
            assert len(measured) == 11
            assert {(o.state, o.attempts, o.disagreements) for o in measured} == {
                ("accepted", 1, 0)
            }

    caplog.set_level(logging.INFO, "gateway.delivery.read_back")
    virtual(story())
    assert len(caplog.records) == 1
    assert "are the forecasts that were sent" in caplog.text


def test_what_is_lost_before_the_first_forecast_is_sent_again_once_measurements_are_told(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            await slots_go_by(site, 2, tells="what came", measured_from=0)
            site.exchange.books.measurements[A].pop(T0)
            site.exchange.books.fresh.clear()
            site.exchange.books.held[A].pop(T0, None)
            await slots_go_by(site, 4, first=2, tells="what came", measured_from=0)
            lost = next(owed for owed in site.buffer.owed() if owed.item.slot_s == T0)
            assert (lost.attempts, lost.confirmed_s is None) == (2, False)

    virtual(story())


def test_one_measurement_that_got_lost_is_sent_again_where_the_forecast_is_told(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            await slots_go_by(site, 7, tells="what came")
            site.exchange.books.held[A][T0 + 5 * SLOT] = 505
            site.exchange.books.fresh.clear()
            await slots_go_by(site, 4, first=7, tells="what came")
            lost = next(
                owed
                for owed in site.buffer.owed()
                if owed.item.slot_s == T0 + 5 * SLOT and owed.item.kind == "measurement"
            )
            assert lost.attempts == 2
            assert lost.confirmed_s is not None

    virtual(story())


@pytest.mark.parametrize("uwh", [0, 777])
def test_a_number_that_would_be_told_anyway_confirms_nothing(tmp_path: Path, uwh: int) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()) as uploader:
                if uwh:
                    site.owe(T0 + SLOT, A, kind="forecast", uwh=uwh)
                await asyncio.sleep(2 * SLOT)
                site.owe(T0 + SLOT, A, uwh=uwh)
                site.owe(T0 + SLOT, B, uwh=5)
                uploader.wake()
                await asyncio.sleep(2 * SLOT)
                report = uploader.snapshot(site.now())
            assert (report.confirmed, report.disagreements) == (1, 0), "of the other asset"
            assert len(site.asked(A)) == 1, "it would say the same again"

    virtual(story())


def test_one_that_tells_the_forecast_that_was_replaced_tells_forecasts_as_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A better one was sent, and came too late there: its engine holds the first."""

    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()) as uploader:
                for n in range(12):
                    target_s = T0 + (n + 2) * SLOT
                    site.owe(target_s, A, kind="forecast", uwh=500 + n)
                    if n > 2:
                        site.owe(T0 + (n - 1) * SLOT, A, uwh=1_000 + n)
                    uploader.wake()
                    await asyncio.sleep(T0 + (n + 1) * SLOT - 60 - site.now())
                    first = dict(site.exchange.books.forecasts[A])
                    site.owe(target_s, A, kind="forecast", uwh=700 + n, revision=1)
                    uploader.wake()
                    await asyncio.sleep(T0 + (n + 1) * SLOT - 1 - site.now())
                    assert site.exchange.books.forecasts[A][target_s] == 700 + n, "replaced"
                    site.exchange.books.forecasts[A].update(first)
                    site.exchange.books.fresh.clear()
                    site.exchange.books.held[A].update(first)
                    await asyncio.sleep(1)
            measured = [o for o in site.buffer.owed() if o.item.kind == "measurement"]
            assert {(o.state, o.disagreements) for o in measured} == {("accepted", 0)}

    caplog.set_level(logging.INFO, "gateway.delivery.read_back")
    virtual(story())
    said = [record.message for record in caplog.records if "are the forecasts" in record.message]
    assert len(said) == 1
