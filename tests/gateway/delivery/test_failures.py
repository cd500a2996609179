"""The uploader while the exchange, the login, the disk or the clock fails, and where it rejects
items. In virtual time.
"""

import asyncio
import logging
from pathlib import Path

import pytest

from gateway.delivery.http_session import RENEW_AFTER_S
from gateway.delivery.simulated.exchange import LOGIN
from gateway.delivery.uploader import MAX_BACKOFF_S
from gateway.site.credentials import Credentials
from tests.gateway.delivery.rig import (
    SLOT,
    T0,
    UNSENDABLE_UWH,
    A,
    B,
    C,
    running,
    site_of,
    virtual,
)
from tests.simulation.disk import Disk

# --- failures ---


def test_a_restart_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.owe(T0 - 3000 * SLOT, A, B, C, count=2200)
            site.exchange.mode("slow", seconds=1)
            async with running(site.uploader()):
                await asyncio.sleep(3.5)
            assert 0 < site.states()["accepted"] < 6600
            async with running(site.uploader()):
                await asyncio.sleep(100)
            assert site.states() == {"accepted": 6600}
            assert all(site.in_books(asset) for asset in (A, B, C))

    virtual(story())


@pytest.mark.parametrize("mode", ["down", "status", "html", "slow"])
def test_after_an_outage_everything_is_booked_and_the_log_has_two_lines_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode(mode, seconds=1000)  # type: ignore[arg-type]
            async with running(site.uploader()) as uploader:
                for n in range(8):
                    site.owe(T0 + (n - 1) * SLOT, A, B)
                    uploader.wake()
                    await asyncio.sleep(SLOT)
                tries = len(site.exchange.journal)
                assert uploader.snapshot(site.now()).state == "retrying"
                assert uploader.snapshot(site.now()).backlog == 16
                site.exchange.mode("ok")
                await asyncio.sleep(MAX_BACKOFF_S + 30)
                report = uploader.snapshot(site.now())
            assert 8 * SLOT / MAX_BACKOFF_S / 2 < tries < 8 * SLOT / (MAX_BACKOFF_S / 2) + 30, (
                "one probe at a time, with backoff"
            )
            assert (report.state, report.backlog, report.accepted) == ("ok", 0, 16)
            assert site.states() == {"accepted": 16}
            assert site.in_books(A)
            assert site.in_books(B)

    caplog.set_level(logging.INFO, "gateway.delivery.journal")
    virtual(story())
    lines = [
        record.getMessage() for record in caplog.records if "delivered" not in record.getMessage()
    ]
    assert len(lines) == 2
    assert lines[0].startswith("deliveries fail: ")
    assert "takes deliveries again, after" in lines[1]


def test_a_slot_that_closes_is_tried_at_once_in_spite_of_the_backoff(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path, slot_s=15) as site:
            site.exchange.mode("down")
            site.owe(T0 - 15, A)
            async with running(site.uploader()):
                await asyncio.sleep(150)  # the backoff is 30 s by now
                before = len(site.exchange.journal)
                close_s = T0 + 150
                site.owe(close_s - 15, A)
                site.owe(close_s, A)
                await asyncio.sleep(14)
                tries = [at_s for at_s, _, _ in list(site.exchange.journal)[before:]]
                assert close_s + 1 in [pytest.approx(at_s) for at_s in tries]
                site.exchange.mode("ok")
                await asyncio.sleep(4)
                assert site.states() == {"accepted": 3}, (
                    "the next close came before the backoff's end"
                )

    virtual(story())


def test_retry_after_is_honoured_even_by_live_slots(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode("status", status=429, retry_after_s=1200, times=2, where=str(A))
            site.owe(T0 - SLOT, A)
            site.owe(T0, A)
            async with running(site.uploader()):
                await asyncio.sleep(2500)
            assert [at_s - T0 for at_s, _, _ in site.exchange.journal] == pytest.approx(
                [1, 1, 1201, 2401, 2401]
            ), "the first is the login"
            assert site.states() == {"accepted": 2}

    virtual(story())


def test_a_throttled_login_is_honoured_like_a_throttled_delivery(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode("status", status=429, retry_after_s=1200, times=2, where=LOGIN)
            site.owe(T0 - SLOT, A)
            site.owe(T0, A)
            async with running(site.uploader()):
                await asyncio.sleep(2500)
            assert [
                at_s - T0 for at_s, path, _ in site.exchange.journal if path == LOGIN
            ] == pytest.approx([1, 1201, 2401])
            assert site.states() == {"accepted": 2}
            assert {owed.attempts for owed in site.buffer.owed()} == {1}, (
                "what was never sent was not attempted"
            )

    virtual(story())


def test_a_wrong_password_is_tried_four_times_an_hour_and_a_corrected_one_within_a_minute(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.credentials = Credentials("gateway", "wrong")
            site.owe(T0 - SLOT, A)
            async with running(site.uploader()) as uploader:
                await asyncio.sleep(3600)
                assert site.exchange.logins <= 4
                assert "correct the credentials" in uploader.snapshot(site.now()).last_error
                site.credentials = Credentials("gateway", "let-me-in")
                await asyncio.sleep(MAX_BACKOFF_S)
            assert site.states() == {"accepted": 1}
            assert [owed.attempts for owed in site.buffer.owed()] == [1], (
                "what was never sent was not attempted"
            )

    virtual(story())


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_login_that_is_refused_for_twenty_seconds_costs_two_minutes(
    tmp_path: Path, status: int
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.owe(T0 - SLOT, A)
            site.exchange.mode("status", status=status)  # as it is started
            async with running(site.uploader()) as uploader:
                for n in range(3):
                    await asyncio.sleep(20)
                    site.exchange.mode("ok")
                    await asyncio.sleep(2 * MAX_BACKOFF_S)
                    assert site.states() == {"accepted": n + 1}
                    await asyncio.sleep(T0 + (n + 1) * SLOT - site.now())
                    site.exchange.revoke_tokens()
                    site.exchange.mode("status", status=status)
                    site.owe(T0 + n * SLOT, A)
                    uploader.wake()

    virtual(story())


def test_tokens_are_renewed_twice_a_day_and_their_loss_costs_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()) as uploader:
                for n in range(4 * 26):
                    site.owe(T0 + (n - 1) * SLOT, A)
                    uploader.wake()
                    await asyncio.sleep(SLOT)
                assert site.exchange.logins == 1 + int(26 * 3600 / RENEW_AFTER_S)
                site.exchange.revoke_tokens()
                site.owe(T0 + (4 * 26 - 1) * SLOT, A)
                uploader.wake()
                await asyncio.sleep(2)
            assert site.states() == {"accepted": 4 * 26 + 1}
            assert uploader.snapshot(site.now()).errors == 0

    virtual(story())


def test_a_lost_answer_is_asked_for_again_and_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode("drop_after_accept", times=1, where="measurement")
            site.owe(T0 - SLOT, A)
            async with running(site.uploader()):
                await asyncio.sleep(60)
            assert site.exchange.books.booked == {("measurement", A, T0 - SLOT): 2}
            assert site.in_books(A)
            assert [owed.attempts for owed in site.buffer.owed()] == [2]

    virtual(story())


@pytest.mark.parametrize("status", [403, 500])
def test_one_asset_that_fails_does_not_hold_up_the_others(tmp_path: Path, status: int) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode("status", status=status, where=str(A))
            site.owe(T0 - 700 * SLOT, A, B, C, count=600)
            async with running(site.uploader()) as uploader:
                for n in range(4):
                    site.owe(T0 + (n - 1) * SLOT, A, B, C)
                    uploader.wake()
                    await asyncio.sleep(10)
                    assert all(
                        site.in_books(asset)
                        and max(site.exchange.books.measurements[asset]) == T0 + (n - 1) * SLOT
                        for asset in (B, C)
                    )
                    await asyncio.sleep(SLOT - 10)
                assert site.states() == {"accepted": 2 * 604, "pending": 604}
                assert site.exchange.logins < 20
                site.exchange.mode("ok")
                await asyncio.sleep(2 * MAX_BACKOFF_S)
            assert site.states() == {"accepted": 3 * 604}
            assert (
                max(
                    count
                    for (_, asset, _), count in site.exchange.books.booked.items()
                    if asset != A
                )
                == 1
            )

    virtual(story())


def test_a_failing_disk_delays_the_verdict_and_loses_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        with Disk(tmp_path) as disk, site_of(tmp_path) as site:
            site.owe(T0 - SLOT, A)
            disk.failing = True
            async with running(site.uploader()) as uploader:
                await asyncio.sleep(30)
                assert "buffer" in uploader.snapshot(site.now()).last_error
                assert site.states() == {"pending": 1}
                disk.failing = False
                await asyncio.sleep(MAX_BACKOFF_S)
            assert site.states() == {"accepted": 1}
            assert site.in_books(A)

    virtual(story())


def test_nothing_is_sent_or_given_up_by_a_clock_that_is_not_trusted(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path, "rest") as site:
            site.owe(T0 - SLOT, A)
            site.owe(T0 - 9 * SLOT, A)
            site.trusted = False
            async with running(site.uploader()):
                await asyncio.sleep(60)
                assert site.states() == {"pending": 2}
                assert not site.exchange.journal
                site.trusted = True
                await asyncio.sleep(10)
            assert site.states() == {"accepted": 1, "missed": 1}

    virtual(story())


# --- rejections ---


def test_a_bad_number_is_found_and_the_rest_of_its_batch_is_delivered(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.owe(T0 - 1010 * SLOT, A, count=1000)
            for n in (1500, 1501, 1999):
                site.owe(T0 - n * SLOT, A, uwh=UNSENDABLE_UWH)
            async with running(site.uploader()) as uploader:
                await asyncio.sleep(10)
                assert site.states() == {"accepted": 1000, "pending": 3}
                await asyncio.sleep(190)
                requests = len(site.sent(A, "set-energy"))
                assert requests < 90, "a minute of asking again is in them"
                await asyncio.sleep(7200)
                assert len(site.sent(A, "set-energy")) == requests, "never sent again unchanged"
                assert uploader.snapshot(site.now()).rejected == 3
            assert site.states() == {"accepted": 1000, "rejected": 3}
            assert {o.reason for o in site.buffer.owed() if o.state == "rejected"} == {
                "answered 400: 2000000000.0 is not a number from 0 to 10⁹"
            }
            assert site.in_books(A)

    virtual(story())


def test_an_unknown_asset_is_rejected_in_few_requests(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.community.remove(A)
            site.owe(T0 - 1010 * SLOT, A, B, count=1000)
            async with running(site.uploader()):
                await asyncio.sleep(10)
                assert site.states() == {"accepted": 1000, "pending": 1000}
                await asyncio.sleep(80)
            assert site.states() == {"accepted": 1000, "rejected": 1000}
            assert site.exchange.requests[200] == 1
            assert site.exchange.requests[404] < 20, "asked again in growing waits for a minute"

    virtual(story())


def test_an_exchange_that_rejects_everything_is_given_time(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.owe(T0 - 2010 * SLOT, A, count=1500, uwh=UNSENDABLE_UWH)
            async with running(site.uploader()) as uploader:
                await asyncio.sleep(600)
                assert site.exchange.requests.total() < 150
                site.owe(T0 - SLOT, B)
                uploader.wake()
                await asyncio.sleep(MAX_BACKOFF_S)
            assert site.in_books(B)

    virtual(story())
