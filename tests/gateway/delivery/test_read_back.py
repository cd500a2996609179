"""What the exchange accepted is asked for; the real buffer, session, dialect and uploader against
the stand-in exchange.
"""

import asyncio
import logging
import time
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from gateway.delivery.question_round import RARELY_S
from gateway.delivery.simulated.books import KEPT_S as FORGOTTEN_S
from gateway.delivery.simulated.exchange import LOGIN
from gateway.outbox.owed import Confirmations
from tests.gateway.delivery.rig import (
    ASSETS,
    SLOT,
    T0,
    A,
    B,
    C,
    Site,
    running,
    site_of,
    until,
    virtual,
)

ASKED_S = 1 + SLOT * 0.1
"""The part of each slot that belongs to deliveries."""


async def slots_go_by(site: Site, count: int, *, owing: bool = True) -> None:
    """Run for so many slots from T0 on; in each, the one before is owed for three assets."""
    async with running(site.uploader()) as uploader:
        for n in range(count):
            if owing:
                site.owe(T0 + (n - 1) * SLOT, A, B, C)
                uploader.wake()
            await asyncio.sleep(T0 + (n + 1) * SLOT - site.now())


def confirmed(site: Site) -> list[int]:
    """The slots of A that are confirmed, counted from T0."""
    return [
        (o.item.slot_s - T0) // SLOT
        for o in site.buffer.owed()
        if o.item.subject == A and o.confirmed_s is not None
    ]


def test_what_was_accepted_is_confirmed_in_the_slot_after_with_one_question_per_asset(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()) as uploader:
                for n in range(4):
                    site.owe(T0 + (n - 1) * SLOT, A, B, C)
                    uploader.wake()
                    await asyncio.sleep(T0 + (n + 1) * SLOT - site.now())
                    # What was accepted in this slot is applied when the next begins, and asked for
                    # after that.
                    assert confirmed(site) == list(range(-1, n - 1))
                report = uploader.snapshot(site.now())
            for asset in (A, B, C):
                assert site.asked(asset) == pytest.approx(
                    [n * SLOT + ASKED_S for n in (1, 2, 3)], abs=1
                )
            assert (report.state, report.read_back, report.confirmed, report.disagreements) == (
                "ok",
                "ok",
                9,
                0,
            )
            assert (report.unconfirmed, report.disputed, report.errors) == (3, 0, 0)
            assert report.requests == 12, "a question is no delivery"

    caplog.set_level(logging.INFO, "gateway.delivery.read_back")
    virtual(story())
    assert caplog.records == []


@pytest.mark.parametrize("held_uwh", [None, 5_000_000])
def test_what_is_held_otherwise_is_shown_and_sent_once_more_in_time_for_the_settlement(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, held_uwh: int | None
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            uwh = (T0 - SLOT) % 7919 + 1
            async with running(site.uploader()) as uploader:
                site.owe(T0 - SLOT, A)
                await asyncio.sleep(SLOT + 5)
                await lose(site, held_uwh)
                await asyncio.sleep(SLOT)
                report = uploader.snapshot(site.now())
                assert (report.disagreements, report.disputed, report.confirmed, report.state) == (
                    1,
                    0,
                    0,
                    "ok",
                )
                await asyncio.sleep(SLOT)
                assert uploader.snapshot(site.now()).confirmed == 1
            sent = site.sent(A, "measurement")
            assert len(sent) == 2
            assert sent[1] < 3600, "it still counts"
            (owed,) = site.buffer.owed()
            assert (owed.state, owed.attempts, owed.disagreements, owed.held_uwh) == (
                "accepted",
                2,
                1,
                None,
            )
            assert site.exchange.books.held[A] == {T0 - SLOT: uwh}
            site.buffer.flush()
            (event,) = [event for event in site.buffer.latest_events() if "disagreement" in event]
            assert (
                f"holds {'nothing' if held_uwh is None else '5 Wh'} where it accepted "
                f"{uwh / 10**6:g} Wh"
            ) in event

    async def lose(site: Site, uwh: int | None) -> None:
        site.exchange.books.fresh.clear()
        if uwh is not None:
            site.exchange.books.held[A][T0 - SLOT] = uwh

    caplog.set_level(logging.INFO, "gateway.delivery.read_back")
    virtual(story())
    (record,) = caplog.records
    assert "sent once more: 1" in record.getMessage()


def test_an_exchange_that_insists_gets_it_twice_and_never_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()) as uploader:
                site.owe(T0 - 4 * SLOT, A, B, count=4)
                for _ in range(12):
                    await asyncio.sleep(SLOT / 2)
                    site.exchange.books.fresh.clear()  # it loses all that it takes
                report = uploader.snapshot(site.now())
                asked = len(site.asked(A))
            assert set(site.exchange.books.booked.values()) == {2}
            assert {(o.state, o.disagreements, o.held_uwh) for o in site.buffer.owed()} == {
                ("accepted", 2, None)
            }
            assert (report.disputed, report.unconfirmed, report.disagreements, report.backlog) == (
                8,
                0,
                16,
                0,
            )
            assert asked == 2
            assert site.buffer.outbox("exchange").confirmations(0) == Confirmations(0, 8)

    caplog.set_level(logging.INFO, "gateway.delivery.read_back")
    virtual(story())
    assert len(caplog.records) == 2, "that it differs, and that it is left alone"


def test_an_exchange_that_tells_something_else_costs_a_few_more_requests_a_day(
    tmp_path: Path,
) -> None:
    """What it tells is understood and never agrees: it may be of another kind than what it
    accepts.
    """

    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()) as uploader:
                for n in range(200):
                    site.owe(T0 + (n - 1) * SLOT, A)
                    uploader.wake()
                    await asyncio.sleep(T0 + (n + 1) * SLOT - site.now())
                    site.exchange.books.fresh.clear()
                report = uploader.snapshot(site.now())
            assert (report.state, report.backlog, report.confirmed) == ("ok", 0, 0)
            assert (
                report.read_back
                == "cannot be asked: nothing that the exchange tells agrees with what it accepted"
            )
            assert len(site.asked(A)) <= 2 * 3, "twice a day"
            assert len(site.sent(A, "measurement")) <= 200 + 3 * 5
            assert set(site.exchange.books.booked.values()) <= {1, 2}

    virtual(story())


@pytest.mark.parametrize(("mode", "status"), [("status", 404), ("status", 405), ("html", 200)])
def test_an_exchange_that_cannot_be_asked_is_asked_ever_more_rarely(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str, status: int
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode(mode, status=status, where="historical")  # type: ignore[arg-type]
            async with running(site.uploader()) as uploader:
                for n in range(100):
                    site.owe(T0 + (n - 1) * SLOT, A)
                    uploader.wake()
                    await asyncio.sleep(T0 + (n + 1) * SLOT - site.now())
                report = uploader.snapshot(site.now())
                assert (report.state, report.errors, report.accepted) == ("ok", 0, 100)
                assert report.read_back.startswith("cannot be asked: ")
                waits = [round((b - a) / SLOT) for a, b in pairwise(site.asked(A))]
                assert waits == [1, 2, 4, 8, 16, 32], "and a day at last"
                site.exchange.mode("ok")
                await asyncio.sleep(RARELY_S + 2 * SLOT)
                assert uploader.snapshot(site.now()).read_back == "ok"
                assert len(confirmed(site)) >= 96

    caplog.set_level(logging.INFO, "gateway.delivery.read_back")
    virtual(story())
    (record,) = caplog.records
    assert "asked again ever more rarely" in record.getMessage()


def test_an_exchange_that_cannot_be_asked_for_a_moment_is_asked_in_the_next_slot(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode("status", status=404, where="historical")
            await slots_go_by(site, 3)
            assert len(site.asked(A)) == 2, "one question each in two slots"

            site.exchange.mode("ok")
            site.owe(T0 + 2 * SLOT, A)
            async with running(site.uploader()) as uploader:
                await asyncio.sleep(2 * SLOT)
                assert uploader.snapshot(site.now()).read_back == "ok"
            assert confirmed(site) == [-1, 0, 1, 2]

    virtual(story())


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        ("down", 0),
        ("status", 500),
        ("status", 429),
        ("status", 403),
        ("drop_after_accept", 0),
        ("partial", 0),
    ],
)
def test_a_question_that_fails_leaves_deliveries_alone(
    tmp_path: Path, mode: str, status: int
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode(mode, status=status, where="historical")  # type: ignore[arg-type]
            async with running(site.uploader()) as uploader:
                for n in range(4):
                    site.owe(T0 + (n - 1) * SLOT, A, B, C)
                    uploader.wake()
                    await asyncio.sleep(T0 + (n + 1) * SLOT - site.now())
                report = uploader.snapshot(site.now())
            assert (report.state, report.errors, report.accepted, report.disagreements) == (
                "ok",
                0,
                12,
                0,
            )
            assert site.exchange.logins == 1
            assert set(site.exchange.books.booked.values()) == {1}
            assert [1 <= len(site.asked(asset)) <= 3 for asset in (A, B, C)] == [True] * 3, (
                "each gets its turn"
            )

    virtual(story())


@pytest.mark.parametrize("status", [403, 500])
def test_an_asset_whose_deliveries_fail_does_not_keep_the_others_from_being_confirmed(
    tmp_path: Path, status: int
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode("status", status=status, where=f"{B}/set")
            await slots_go_by(site, 4)
            assert confirmed(site) == [-1, 0, 1]

    virtual(story())


@pytest.mark.parametrize(
    ("mode", "status", "after_s"), [("down", 0, None), ("status", 503, 3600.0)]
)
def test_an_exchange_that_is_away_or_asks_for_silence_is_not_asked(
    tmp_path: Path, mode: str, status: int, after_s: float | None
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()):
                site.owe(T0 - SLOT, A)
                await asyncio.sleep(10)
                site.exchange.mode(
                    mode, status=status, retry_after_s=after_s, where="external-connection"
                )  # type: ignore[arg-type]
                site.owe(T0 - 2 * SLOT, A)
                await asyncio.sleep(3 * SLOT)
            assert site.asked(A) == []

    virtual(story())


def test_a_question_is_broken_off_for_what_is_to_be_sent(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()) as uploader:
                site.owe(T0 - SLOT, A)
                await asyncio.sleep(SLOT + ASKED_S - 1)
                site.exchange.mode("slow", seconds=8, where="historical")
                await asyncio.sleep(3)  # it is being asked
                assert len(site.asked(A)) == 1
                site.owe(T0, A)
                uploader.wake()
                await asyncio.sleep(1)
                assert site.sent(A, "measurement")[1] == pytest.approx(SLOT + ASKED_S + 2, abs=1)
                await asyncio.sleep(30)
            assert len(site.asked(A)) == 2, "and asked again after it"
            assert confirmed(site) == [-1]

    virtual(story())


def test_a_month_is_confirmed_a_day_at_a_time_newest_first_and_not_what_is_forgotten(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            old_s = T0 - FORGOTTEN_S - 96 * SLOT
            site.owe(old_s, A, count=10)
            site.owe(T0 - 290 * SLOT, A, count=288)
            await slots_go_by(site, 1, owing=False)
            for n in (1, 2, 3):
                async with running(site.uploader()):
                    await asyncio.sleep(T0 + (n + 1) * SLOT - site.now())
                assert len(confirmed(site)) == 96 * n
                assert min(confirmed(site)) == -2 - 96 * n
                assert len(site.asked(A)) == n
            async with running(site.uploader()) as uploader:
                await asyncio.sleep(3 * SLOT)
                assert uploader.snapshot(site.now()).unconfirmed == 0
            assert len(site.asked(A)) == 3

    virtual(story())


def test_an_undated_exchange_is_not_asked(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path, "rest") as site:
            await slots_go_by(site, 4)
            assert site.states() == {"accepted": 12}
            assert site.asked(A) == []

    virtual(story())


def test_a_disk_that_refuses_delays_the_confirmation_and_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()) as uploader:
                site.owe(T0 - SLOT, A)
                await asyncio.sleep(SLOT)
                site.buffer.database.connection.execute("PRAGMA query_only = ON")
                await asyncio.sleep(SLOT)
                assert confirmed(site) == []
                assert uploader.snapshot(site.now()).errors == 0
                site.buffer.database.connection.execute("PRAGMA query_only = OFF")
                await asyncio.sleep(SLOT)
            assert confirmed(site) == [-1]

    virtual(story())


async def test_over_a_real_socket_a_month_drains_before_anything_is_asked_and_is_then_confirmed(
    tmp_path: Path,
) -> None:
    """With slots of five seconds, so that the exchange applies what it got while we watch."""
    with site_of(tmp_path, slot_s=5, real=True) as site:
        async with site.exchange:
            newest_s = int(time.time()) // 5 * 5 - 4 * 5
            site.owe(newest_s - 199 * 5, *ASSETS, count=200)
            async with running(site.uploader()) as uploader:
                await until(lambda: uploader.snapshot(time.time()).confirmed >= 960, 30)
                report = uploader.snapshot(time.time())
        paths = [path for _, path, _ in site.exchange.journal if path != LOGIN]
        first_question = next(n for n, path in enumerate(paths) if "historical" in path)
        assert not [path for path in paths[first_question:] if "historical" not in path]
        assert (report.backlog, report.read_back, report.disagreements) == (0, "ok", 0)
        assert all(site.in_books(asset) for asset in ASSETS)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_exchange_loses_or_changes_ends_confirmed_or_disputed(
    tmp_path: Path, seed: int
) -> None:
    """Nothing is sent more than once too often, and what is neither confirmed nor disputed is what
    nobody could ask for.
    """
    dice = Random(seed)

    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()) as uploader:
                for n in range(10):
                    site.owe(T0 + (n - 1) * SLOT, A, B, C)
                    uploader.wake()
                    await asyncio.sleep(SLOT - dice.uniform(0, 30))
                    for entry in [
                        entry for entry in site.exchange.books.fresh if dice.random() < 0.3
                    ]:
                        site.exchange.books.fresh.remove(entry)
                        if dice.random() < 0.5:
                            site.exchange.books.fresh.append((*entry[:3], dice.randrange(10**6)))
                    mode = dice.choice(
                        ["ok", "ok", "status", "drop_after_accept", "partial", "slow"]
                    )
                    site.exchange.mode(
                        mode, status=503, seconds=dice.uniform(0, 15), times=dice.choice([1, 3])
                    )  # type: ignore[arg-type]
                    await asyncio.sleep(T0 + (n + 1) * SLOT - site.now())
                site.exchange.mode("ok")
                await asyncio.sleep(5 * SLOT)
                report = uploader.snapshot(site.now())
            owed = list(site.buffer.owed())
            assert {o.state for o in owed} == {"accepted"}
            assert report.unconfirmed == 0
            held = {
                (asset, slot_s): uwh
                for asset, slots in site.exchange.books.held.items()
                for slot_s, uwh in slots.items()
            }
            for o in owed:
                there = held.get((o.item.subject, o.item.slot_s))
                assert (o.confirmed_s is not None) == (there == o.item.energy_uwh)
                assert (o.confirmed_s is None) == (o.disagreements == 2)
                if o.confirmed_s is None:
                    assert o.held_uwh == there

    virtual(story())
