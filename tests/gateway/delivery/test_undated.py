"""Numbers without a time, which must arrive within their window; and whatever happens: the books
agree. In virtual time.
"""

import asyncio
from pathlib import Path
from random import Random

import pytest

from gateway.delivery.simulated.exchange import LOGIN
from tests.gateway.delivery.rig import (
    SLOT,
    T0,
    A,
    B,
    C,
    running,
    site_of,
    virtual,
)

# --- rest: undated ---


def test_rest_delivers_each_slot_once_in_the_slot_that_follows(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path, "rest") as site:
            async with running(site.uploader()) as uploader:
                for n in range(5):
                    site.owe(T0 + (n - 1) * SLOT, A, B)
                    uploader.wake()
                    await asyncio.sleep(SLOT)
            assert site.states() == {"accepted": 10}
            assert site.exchange.books.undated[A] == {
                T0 + (n + 1) * SLOT: (T0 + (n - 1) * SLOT) % 7919 + 1 for n in range(5)
            }
            assert set(site.exchange.books.booked.values()) == {1}

    virtual(story())


def test_rest_sends_nothing_late(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path, "rest") as site:
            site.exchange.mode("down")
            async with running(site.uploader()) as uploader:
                for n in range(4):
                    site.owe(T0 + (n - 1) * SLOT, A)
                    uploader.wake()
                    await asyncio.sleep(SLOT)
                site.exchange.mode("ok")
                site.owe(T0 + 3 * SLOT, A)
                uploader.wake()
                await asyncio.sleep(SLOT)
                assert uploader.snapshot(site.now()).missed == 4
            assert site.states() == {"missed": 4, "accepted": 1}
            assert site.exchange.books.undated[A] == {T0 + 5 * SLOT: (T0 + 3 * SLOT) % 7919 + 1}
            assert all(
                "window closed" in owed.reason
                for owed in site.buffer.owed()
                if owed.state == "missed"
            )

    virtual(story())


def test_rest_sends_again_inside_the_window_and_replaces_the_same_value(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path, "rest") as site:
            site.exchange.mode("drop_after_accept", times=1, where=str(A))
            site.owe(T0 - SLOT, A)
            async with running(site.uploader()):
                await asyncio.sleep(SLOT)
            assert site.exchange.books.booked == {("undated", A, T0 + SLOT): 2}
            assert site.states() == {"accepted": 1}

    virtual(story())


def test_rest_gives_a_request_up_when_its_window_closes(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path, "rest", slot_s=15) as site:
            site.exchange.mode("slow", seconds=9)
            site.owe(T0 - 15, A)
            async with running(site.uploader()):
                await asyncio.sleep(60)
            # Login until second 10; the request is answered in second 19, in the slot after its
            # own.
            assert site.states() == {"missed": 1}
            assert site.exchange.books.undated[A] == {T0 + 15: (T0 - 15) % 7919 + 1}, (
                "it arrived in time"
            )
            (owed,) = site.buffer.owed()
            assert owed.decided_s == pytest.approx(T0 + 14)

    virtual(story())


def test_rest_begins_no_request_that_its_window_leaves_no_time_for(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path, "rest", slot_s=15) as site:
            site.owe(T0 - 15, A)
            await asyncio.sleep(13.95)
            async with running(site.uploader()) as uploader:
                await asyncio.sleep(5)
                assert uploader.snapshot(site.now()).requests == 0
            (owed,) = site.buffer.owed()
            assert (owed.state, owed.reason) == ("missed", "not delivered before its window closed")

    virtual(story())


def test_forecasts_are_not_sent_once_their_slot_began(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode("down")
            site.owe(T0 + SLOT, A, kind="forecast")
            async with running(site.uploader()):
                await asyncio.sleep(SLOT + 1)
                site.exchange.mode("ok")
                await asyncio.sleep(SLOT)
            assert site.states() == {"missed": 1}
            assert site.exchange.books.booked.total() == 0

    virtual(story())


# --- whatever happens ---


@pytest.mark.parametrize("dialect", ["sdk", "rest"])
@pytest.mark.parametrize("seed", range(10))
def test_after_any_faults_the_books_agree_and_nothing_is_in_a_wrong_slot(
    tmp_path: Path, dialect: str, seed: int
) -> None:
    """Faults of every kind at random times, restarts and forgotten tokens included; then the
    exchange is well for an hour.
    """
    dice = Random(seed)

    async def story() -> None:
        with site_of(tmp_path, dialect) as site:
            owed = 0
            for n in range(8):
                async with running(site.uploader()) as uploader:
                    for _ in range(4):
                        mode = dice.choice(
                            ["ok", "down", "slow", "status", "html", "drop_after_accept"]
                        )
                        status = dice.choice([401, 403, 408, 429, 500, 503])
                        times = dice.choice([None, 1, 3])
                        where = dice.choice(["", "", str(A), LOGIN])
                        site.exchange.mode(
                            mode,
                            status=status,
                            seconds=dice.uniform(0, 15),
                            where=where,
                            times=times,
                        )  # type: ignore[arg-type]
                        if dice.random() < 0.3:
                            site.exchange.revoke_tokens()
                        await asyncio.sleep(SLOT / 5)
                    boundary_s = T0 + n * SLOT + SLOT
                    await asyncio.sleep(boundary_s - site.now())
                    site.owe(boundary_s - SLOT, A, B, C)
                    owed += 3
                    uploader.wake()
                    await asyncio.sleep(dice.uniform(0, SLOT / 10))
            site.exchange.mode("ok")
            async with running(site.uploader()):
                await asyncio.sleep(3600)
            states = site.states()
            assert sum(states.values()) == owed
            if dialect == "sdk":
                assert states == {"accepted": owed}
                assert all(site.in_books(asset) for asset in (A, B, C))
                assert site.exchange.books.dropped.total() == 0
                return
            assert set(states) <= {"accepted", "missed"}
            for item in site.buffer.owed():
                booked = site.exchange.books.undated[item.item.subject].get(
                    item.item.slot_s + 2 * SLOT
                )
                assert (
                    booked == item.item.energy_uwh
                    if item.state == "accepted"
                    else booked in (None, item.item.energy_uwh)
                )

    virtual(story())
