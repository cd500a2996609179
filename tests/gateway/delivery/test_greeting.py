"""The exchange is heard from once at the start, before anything is owed to it."""

import asyncio
from pathlib import Path

import pytest

from gateway.delivery.simulated.exchange import LOGIN
from gateway.monitoring.report import DestinationReport
from gateway.site.credentials import Credentials
from tests.gateway.delivery.rig import SLOT, T0, A, Site, running, site_of, virtual


def logins(site: Site) -> list[float]:
    """When somebody tried to log in, in seconds from the start."""
    return [at_s - T0 for at_s, path, _ in site.exchange.journal if path == LOGIN]


async def after(site: Site, seconds: float) -> DestinationReport:
    """What an uploader that greets says of itself by then."""
    async with running(site.uploader(greets=True)) as uploader:
        await asyncio.sleep(seconds)
        return uploader.snapshot(site.now())


def test_one_login_says_that_it_is_there_and_takes_us(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def story() -> None:
        with site_of(tmp_path) as site:
            report = await after(site, 600)
            assert (report.state, report.greets, report.refused) == ("ok", True, False)
            assert report.last_success_s == pytest.approx(T0, abs=1)
            assert report.requests == 0, "no number has been sent"
            assert len(logins(site)) == 1

    virtual(story())
    assert caplog.text.count("the exchange answers and takes our login") == 1


def test_what_is_owed_goes_under_the_same_login(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader(greets=True)) as uploader:
                await asyncio.sleep(60)
                site.owe(T0 - SLOT, A)
                uploader.wake()
                await asyncio.sleep(60)
            assert site.in_books(A)
            assert len(logins(site)) == 1

    virtual(story())


def test_a_refused_login_is_known_at_once_and_a_corrected_one_within_a_minute(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            right, site.credentials = site.credentials, Credentials("gateway", "wrong")
            async with running(site.uploader(greets=True)) as uploader:
                await asyncio.sleep(1)
                report = uploader.snapshot(site.now())
                assert report.refused
                assert "does not take this user name and password" in report.last_error

                await asyncio.sleep(3600)
                assert len(logins(site)) < 8, "who was refused does not knock all the time"
                site.credentials = right
                await asyncio.sleep(61)
                report = uploader.snapshot(site.now())
                assert (report.refused, report.state) == (False, "ok")

    virtual(story())


def test_an_exchange_that_is_away_is_known_within_ten_seconds_and_found_again(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode("down")
            async with running(site.uploader(greets=True)) as uploader:
                await asyncio.sleep(10)
                report = uploader.snapshot(site.now())
                assert (report.state, report.refused) == ("retrying", False)
                assert report.last_success_s is None

                site.exchange.mode("ok")
                await asyncio.sleep(61)
                assert uploader.snapshot(site.now()).state == "ok"

    virtual(story())


def test_nobody_is_greeted_by_a_clock_that_is_not_trusted(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.trusted = False
            async with running(site.uploader(greets=True)) as uploader:
                await asyncio.sleep(600)
                assert logins(site) == []
                site.trusted = True
                await asyncio.sleep(10)
                assert uploader.snapshot(site.now()).state == "ok"

    virtual(story())
