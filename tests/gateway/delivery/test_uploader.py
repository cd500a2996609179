"""The uploader with the real buffer, session and dialects against the stand-in exchange: what goes
when, in which order.

It runs in virtual time with the stand-in at the HTTP seam, so that an hour of outage takes a
moment; the drain runs over a real socket.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.kinds.exchange import LEAST_LEADS
from gateway.delivery.simulated.community import Node
from gateway.delivery.simulated.exchange import LOGIN
from gateway.delivery.uploader import MAX_BACKOFF_S
from gateway.outbox.dialects import load_dialect
from gateway.outbox.format import Margins
from gateway.outbox.item import Item
from gateway.outbox.owed import offset_s
from gateway.store.opening import open_for_deciding
from tests.gateway.delivery.rig import (
    ASSETS,
    NETWORK,
    SLOT,
    T0,
    UNSENDABLE_UWH,
    A,
    B,
    C,
    Site,
    running,
    site_of,
    until,
    virtual,
)

OFFSET_OF_HOME_12_S = 6.173669


# --- delivery ---


def test_a_slot_is_delivered_when_its_window_opens_and_its_forecast_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            async with running(site.uploader()) as uploader:
                await asyncio.sleep(1)
                site.owe(T0 - SLOT, A, B)
                site.owe(T0 + SLOT, A, B, kind="forecast")
                uploader.wake()
                site.owe(T0, A)  # not over yet
                await asyncio.sleep(60)
            assert site.states() == {"accepted": 4, "pending": 1}
            assert site.in_books(A)
            assert site.in_books(B)
            assert site.exchange.books.dropped.total() == 0
            assert site.exchange.books.forecasts[A] == {T0 + SLOT: (T0 + SLOT) % 7919 + 1}
            assert set(site.exchange.books.booked.values()) == {1}
            assert site.sent(A) == pytest.approx([1, 1])

    virtual(story())


def test_a_slot_that_is_not_over_waits_for_its_margin(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.owe(T0, A)
            async with running(site.uploader()):
                await asyncio.sleep(SLOT + 30)
            assert site.sent(A) == pytest.approx([SLOT + 1])
            assert site.exchange.books.dropped.total() == 0
            assert site.states() == {"accepted": 1}

    virtual(story())


async def test_thirty_days_of_ten_assets_drain_in_few_requests(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with site_of(tmp_path, real=True) as site:
        async with site.exchange:
            newest_s = int(time.time()) // SLOT * SLOT - 4 * SLOT
            site.owe(newest_s - 2879 * SLOT, *ASSETS, count=2880)
            begin_s = time.perf_counter()
            async with running(site.uploader()):
                await until(lambda: site.buffer.outbox("exchange").backlog().count == 0, 60)
            record_property("drain_s", time.perf_counter() - begin_s)
            print(
                f"28,800 slots drained in {site.exchange.requests.total()} requests, "
                f"{time.perf_counter() - begin_s:.2f} s"
            )
            assert site.exchange.requests.total() <= 30
            assert site.states() == {"accepted": 28_800}
            assert all(site.in_books(asset) for asset in ASSETS)
            assert set(site.exchange.books.booked.values()) == {1}


def test_live_slots_go_before_the_backlog_and_interrupt_it(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.owe(T0 - 2200 * SLOT, *ASSETS[3:6], count=2100)
            site.owe(T0 - 2 * SLOT, A)
            site.exchange.mode("slow", seconds=5)
            async with running(site.uploader()) as uploader:
                await asyncio.sleep(12)  # the login, A, and the first of the backlog is under way
                site.owe(T0 - 2 * SLOT, B)
                uploader.wake()
                await asyncio.sleep(300)
            assert site.states() == {"accepted": 3 * 2100 + 2}
            order = [path.split("/")[4] for _, path, _ in site.exchange.journal if path != LOGIN]
            assert order[0] == str(A)
            assert order[2] == str(B), "the first request after it was committed"

    virtual(story())


def booked_slots(site: Site, asset: UUID) -> list[int]:
    """The measured slots of an asset in the order in which they arrived, as slots before T0; those
    of one request together.
    """
    return [
        (T0 - booking.slot_s) // SLOT
        for booking in site.exchange.books.history
        if (booking.what, booking.asset) == ("measurement", asset)
    ]


def test_the_newest_slots_go_first_then_what_is_still_settled_then_the_rest(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            await asyncio.sleep(5)  # the newest slot's window is open
            site.owe(T0 - 20 * SLOT, A, count=20)
            site.exchange.mode("status", status=503, times=1, where="measurement")
            async with running(site.uploader()):
                await asyncio.sleep(60)
            order = booked_slots(site, A)
            # The first request after a failure carries one item, the next one eight.
            assert order == [1, 2, 3, *range(20, 3, -1)]
            assert site.states() == {"accepted": 20}

        with site_of(tmp_path / "several") as site:
            site.owe(T0 - 20 * SLOT, A, B, C, count=20)
            async with running(site.uploader()):
                await asyncio.sleep(60)
            # Slot 4 began more than the hour ago for which a slot is settled.
            live, counting, rest = {1, 2}, {3}, set(range(4, 21))
            requests = [
                (path.split("/")[4], n)
                for n, (_, path, _) in enumerate(site.exchange.journal)
                if "measurement" in path
            ]
            assert [asset for asset, _ in requests] == [
                str(each) for _ in range(3) for each in (A, B, C)
            ]
            for asset in (A, B, C):
                order = booked_slots(site, asset)
                assert (set(order[:2]), set(order[2:3]), set(order[3:])) == (live, counting, rest)
                assert order[3:] == sorted(rest, reverse=True)

    (tmp_path / "several").mkdir()
    virtual(story())


def test_no_live_slot_waits_while_thirty_days_of_backlog_drain(tmp_path: Path) -> None:
    """Every answer takes a second, and slots close all the while: each is on its way with the next
    request.
    """

    async def story() -> None:
        with site_of(tmp_path, slot_s=15) as site:
            site.owe(T0 - 2890 * 15, *ASSETS, count=2880)
            site.exchange.mode("slow", seconds=1)
            async with running(site.uploader()) as uploader:
                for n in range(12):
                    await asyncio.sleep(T0 + (n + 1) * 15 - site.now())
                    site.owe(T0 + n * 15, *ASSETS)
                    uploader.wake()
            backlog = [
                booking.at_s for booking in site.exchange.books.history if booking.slot_s < T0 - 15
            ]
            assert backlog[-1] > T0 + 60, "there was a backlog all the while"
            for booking in site.exchange.books.history:
                if booking.slot_s >= T0:
                    place = ASSETS.index(booking.asset)
                    closed_s = booking.slot_s + 15 + 1
                    # One request is under way, then the assets one after the other; nothing of the
                    # backlog in between.
                    assert booking.at_s <= closed_s + 1 + place + 0.01
            assert len({b.slot_s for b in site.exchange.books.history if b.slot_s >= T0}) >= 11

    virtual(story())


def test_of_two_revisions_only_the_newer_one_is_sent(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.exchange.mode("down")
            site.owe(T0 - SLOT, A, uwh=5)
            async with running(site.uploader()) as uploader:
                await asyncio.sleep(30)
                site.owe(T0 - SLOT, A, uwh=7, revision=1)
                uploader.wake()
                site.exchange.mode("ok")
                await asyncio.sleep(MAX_BACKOFF_S)
                site.owe(T0 - SLOT, A, uwh=6, revision=2)
                uploader.wake()
                await asyncio.sleep(5)
            assert [booking.energy_uwh for booking in site.exchange.books.history] == [7, 6]
            assert [(o.item.revision, o.state) for o in site.buffer.owed()] == [
                (0, "missed"),
                (1, "accepted"),
                (2, "accepted"),
            ]

    virtual(story())


def test_what_a_person_decides_elsewhere_is_noticed_within_half_a_minute(tmp_path: Path) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.owe(T0 - 1010 * SLOT, A, count=1000)
            site.owe(T0 - 5 * SLOT, B, uwh=UNSENDABLE_UWH)
            site.exchange.community.remove(B)
            site.exchange.mode("status", status=503, where=str(A))
            async with running(site.uploader()) as uploader:
                await asyncio.sleep(600)
                assert site.states() == {"pending": 1001}, "nothing is taken, so it is no verdict"
                site.owe(T0 - SLOT, C)
                uploader.wake()
                await asyncio.sleep(MAX_BACKOFF_S + 60)
                assert site.states() == {"pending": 1000, "rejected": 1, "accepted": 1}
                person = open_for_deciding(site.buffer.path)
                given_up = [owed.item for owed in person.owed() if owed.item.subject == A][:990]
                assert person.give_up(given_up, "nobody wants it", site.now()) == 990
                site.exchange.community.add(Node(B, "Load"))
                site.exchange.mode("ok")
                await asyncio.sleep(MAX_BACKOFF_S)
                assert site.states() == {"missed": 990, "accepted": 11, "rejected": 1}
                assert (
                    person.retry(
                        [Item("exchange", B, T0 - 5 * SLOT, "measurement", 0, UNSENDABLE_UWH)]
                    )
                    == 1
                )
                await asyncio.sleep(31)
                person.close_file()
            assert next(
                owed for owed in site.buffer.owed() if owed.item.subject == B
            ).reason.startswith("answered 400"), "tried again"

    virtual(story())


def test_what_was_given_up_since_the_clock_was_set_back_is_not_sent(tmp_path: Path) -> None:
    """The same within the daemon: what was to be sent next had been decided before."""

    async def story() -> None:
        with site_of(tmp_path) as site:
            site.owe(T0 - 110 * SLOT, A, count=100)
            site.exchange.mode("status", status=503)
            async with running(site.uploader()):
                await asyncio.sleep(600)
                given_up = [owed.item for owed in site.buffer.owed()][:90]
                assert site.buffer.give_up(given_up, "it has not begun", site.now()) == 90
                site.exchange.mode("ok")
                await asyncio.sleep(2 * MAX_BACKOFF_S)
            assert site.states() == {"missed": 90, "accepted": 10}
            booked = site.exchange.books.measurements[A]
            assert not booked.keys() & {item.slot_s for item in given_up}

    virtual(story())


def test_a_kill_between_the_answer_and_its_record_costs_one_more_delivery_of_the_same_number(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        with site_of(tmp_path) as site:
            site.owe(T0 - SLOT, A, B)
            recorded = site.buffer.outbox("exchange").record
            task = asyncio.create_task(site.uploader().run())
            # The process dies where the answer is there and nothing is written yet: its file is
            # left as it is.
            site.buffer.outbox("exchange").record = lambda *_: task.cancel()  # type: ignore[method-assign, assignment]
            await asyncio.gather(task, return_exceptions=True)
            site.buffer.outbox("exchange").record = recorded  # type: ignore[method-assign]
            assert site.states() == {"pending": 2}
            async with running(site.uploader()):
                await asyncio.sleep(60)
            assert site.states() == {"accepted": 2}
            assert site.in_books(A)
            twice = [
                booking for booking in site.exchange.books.history if booking.before_uwh is not None
            ]
            assert [booking.before_uwh for booking in twice] == [
                booking.energy_uwh for booking in twice
            ]

    virtual(story())


# --- the spread of sites ---


def test_a_thousand_sites_are_spread_evenly_and_always_the_same() -> None:
    offsets = sorted(offset_s(f"home-{n}", 30.0) for n in range(1000))
    assert offsets[0] >= 0
    assert offsets[-1] < 30
    per_second = Counter(int(offset) for offset in offsets)
    assert set(per_second) == set(range(30))
    assert max(per_second.values()) < 3 * 1000 / 30
    # Kolmogorov-Smirnov: 1.63 / √1000 is what evenly spread numbers exceed once in a hundred times.
    assert max(abs(offset / 30 - n / 1000) for n, offset in enumerate(offsets)) < 0.052
    assert offset_s("home-12", 30.0) == pytest.approx(OFFSET_OF_HOME_12_S), (
        "the same after a restart and on every machine"
    )


@pytest.mark.parametrize("dialect", ["sdk", "rest"])
def test_a_slot_s_uploads_begin_when_the_site_s_turn_comes(tmp_path: Path, dialect: str) -> None:
    async def story() -> None:
        with site_of(tmp_path, dialect) as site:
            async with running(site.uploader(quiet_s=21.0)) as uploader:
                for n in range(3):
                    await asyncio.sleep(T0 + n * SLOT + 2 - site.now())
                    site.owe(T0 + (n - 1) * SLOT, A)
                    if dialect == "sdk":
                        site.owe(T0 + (n + 1) * SLOT, A, kind="forecast")
                    uploader.wake()
                await asyncio.sleep(60)
            posts = site.sent(A, "external-connection")
            assert posts == pytest.approx(
                [n * SLOT + 21 for n in range(3) for _ in range(2 if dialect == "sdk" else 1)],
                abs=0.1,
            )
            assert site.exchange.books.dropped.total() == 0
            assert set(site.states()) == {"accepted"}

    virtual(story())


@given(st.integers(5, 86_400), st.floats(0, 1), st.floats(0, 1), st.text(min_size=1, max_size=20))
def test_the_spread_never_moves_an_undated_number_out_of_its_window(
    slot_s: int, part: float, margin: float, site: str
) -> None:
    """For every spread and margin that the configuration lets pass."""
    spread_s, margin_s = part * slot_s / 3, margin * slot_s / 4
    kept = Margins(margin_s, max(margin_s, slot_s / LEAST_LEADS))
    window = load_dialect("rest", str(NETWORK), slot_s).window("measurement", 0, kept)
    quiet_s = margin_s + offset_s(site, spread_s)
    assert window.closes_s is not None
    assert window.closes_s - (slot_s + quiet_s) >= slot_s / 6 - 1e-6
