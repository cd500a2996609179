"""The uploader before an exchange that refuses: everything, one asset, or with 200. In virtual
time.
"""

import asyncio
import logging
from pathlib import Path

import pytest

from gateway.delivery.uploader import MAX_BACKOFF_S
from gateway.outbox.refusals import FINAL_AFTER_S
from tests.gateway.delivery.rig import SLOT, T0, A, B, C, running, site_of, virtual


@pytest.mark.parametrize(
    ("mode", "status"), [("status", 400), ("status", 404), ("status", 422), ("error_body", 200)]
)
@pytest.mark.parametrize("dialect", ["sdk", "rest"])
def test_twenty_seconds_of_refusing_everything_cost_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dialect: str, mode: str, status: int
) -> None:
    async def story() -> None:
        with site_of(tmp_path, dialect) as site:
            async with running(site.uploader()) as uploader:
                site.owe(T0 - SLOT, A, B)
                uploader.wake()
                await asyncio.sleep(SLOT)
                site.exchange.mode(mode, status=status)  # type: ignore[arg-type]
                site.owe(T0, A, B, C)
                uploader.wake()
                await asyncio.sleep(20)
                report = uploader.snapshot(site.now())
                assert (report.state, report.rejected, report.backlog) == ("refusing", 0, 3)
                assert not report.healthy(site.now(), T0), "whatever it took a minute ago"
                assert report.refusing_since_s is not None
                assert {o.reason for o in site.buffer.owed() if o.state == "pending"}
                site.exchange.mode("ok")
                await asyncio.sleep(MAX_BACKOFF_S + 5)
                report = uploader.snapshot(site.now())
                assert (report.state, report.refusing_since_s) == ("ok", None)
                assert report.healthy(site.now(), T0)
            assert site.states() == {"accepted": 5}
            site.buffer.flush()
            assert "refuses everything" in " ".join(site.buffer.latest_events())

    caplog.set_level(logging.WARNING, "gateway.delivery.journal")
    virtual(story())
    loud = [r.getMessage() for r in caplog.records if "refuses everything since" in r.getMessage()]
    assert len(loud) == 1
    assert len(caplog.records) <= 4, "one line each, and one of everything"


def test_one_asset_is_rejected_while_the_others_are_delivered(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode("status", status=404, where=str(B))
            async with running(site.uploader()) as uploader:
                for n in range(4):
                    site.owe(T0 + (n - 1) * SLOT, A, B, C)
                    uploader.wake()
                    await asyncio.sleep(3)
                    for asset in (A, C):
                        booked = site.exchange.books.measurements[asset]
                        assert max(booked) == T0 + (n - 1) * SLOT
                    await asyncio.sleep(SLOT - 3)
                report = uploader.snapshot(site.now())
            assert site.states() == {"accepted": 8, "rejected": 4}
            assert (report.state, report.refusing_since_s) == ("ok", None)
            [(name, why)] = report.refuses.items()
            assert (name, "404" in why) == (str(B), True)
            assert report.healthy(site.now(), T0)
            assert len(site.sent(B)) < 20

    virtual(story())


def test_a_right_that_is_missing_is_told_and_never_the_last_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode("status", status=403, where=str(B))
            async with running(site.uploader()) as uploader:
                for n in range(40):
                    site.owe(T0 + (n - 1) * SLOT, A, B)
                    uploader.wake()
                    await asyncio.sleep(SLOT)
                assert site.states() == {"accepted": 40, "pending": 40}
                refused = [o for o in site.buffer.owed() if o.item.subject == B]
                assert all("answered 403" in o.reason for o in refused if o.refused_s is not None)
                assert refused[-1].refused_s is not None, "so it is shown"
                assert uploader.snapshot(site.now()).healthy(site.now(), T0), "of others it takes"
                site.exchange.mode("ok")
                await asyncio.sleep(2 * MAX_BACKOFF_S)
            assert site.states() == {"accepted": 80}

    caplog.set_level(logging.WARNING, "gateway.delivery.journal")
    virtual(story())
    assert len(caplog.records) <= 40 * SLOT / 3600 + 1, "one line an hour"


@pytest.mark.parametrize("status", [401, 403])
def test_an_exchange_that_lets_us_do_nothing_any_more_is_told_in_seconds(
    tmp_path: Path, status: int
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()) as uploader:
                site.owe(T0 - SLOT, A, B)
                uploader.wake()
                await asyncio.sleep(SLOT)
                site.exchange.mode("status", status=status, where="set-")
                site.owe(T0, A, B)
                uploader.wake()
                await asyncio.sleep(8)
                report = uploader.snapshot(site.now())
                assert (report.state, report.healthy(site.now(), T0)) == ("refusing", False)
            assert site.states() == {"accepted": 2, "pending": 2}

    virtual(story())


def test_while_everything_is_refused_there_is_one_request_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.owe(T0 - 200 * SLOT, A, B, C, count=190)
            site.exchange.mode("status", status=400, where="set-")
            async with running(site.uploader()) as uploader:
                for n in range(8):
                    site.owe(T0 + (n - 1) * SLOT, A, B, C)
                    uploader.wake()
                    await asyncio.sleep(SLOT)
                requests = site.exchange.requests.total()
                assert requests < 8 * SLOT / 20, "with half of the waiting left to chance"
                site.exchange.mode("ok")
                await asyncio.sleep(2 * MAX_BACKOFF_S)
            assert site.states() == {"accepted": 3 * 198}

    caplog.set_level(logging.WARNING, "gateway.delivery.journal")
    virtual(story())
    loud = [r.getMessage() for r in caplog.records if "refuses everything since" in r.getMessage()]
    assert len(loud) == 2, "now, and once an hour"
    assert len(caplog.records) <= 10


def test_after_a_day_of_refusals_and_restarts_it_is_final(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.owe(T0 - SLOT, A, B)
            site.exchange.mode("status", status=404, where="set-")
            for _ in range(12):
                async with running(site.uploader()):
                    await asyncio.sleep(FINAL_AFTER_S / 12 - 1)
                assert site.states() == {"pending": 2}
                assert {o.refused_s is not None for o in site.buffer.owed()} == {True}
            async with running(site.uploader()):
                await asyncio.sleep(2 * 3600)
            assert site.states() == {"rejected": 2}
            assert {o.reason for o in site.buffer.owed()} == {"answered 404: told to say so"}

    virtual(story())


def test_an_undated_number_that_is_refused_until_its_window_closes_is_missed_for_that(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        with site_of(tmp_path, "rest") as site:
            site.owe(T0 - SLOT, A, B)
            site.exchange.mode("error_body", where="set_")
            async with running(site.uploader()):
                await asyncio.sleep(SLOT + 10)
            assert site.states() == {"missed": 2}
            reason = "not delivered before its window closed (answered 200 with an error: told to"
            assert all(owed.reason.startswith(reason) for owed in site.buffer.owed())
            assert max(site.sent(A)) < SLOT - 1

    virtual(story())
