"""What is owed to a destination, as it is kept."""

import math
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.owed import Backlog
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from tests.gateway.store.rig import ASSETS, SMALL, keep, owed


def test_what_is_due_comes_oldest_first_in_its_window(store: Buffer) -> None:
    keep(
        store,
        owed(2700, opens_s=3600, closes_s=4500),
        owed(900, opens_s=1800, closes_s=2700),
        owed(1800, opens_s=2700, closes_s=None),
        owed(1800, 1, opens_s=2700, state="accepted"),
    )

    def due(now_s, since_s=None, limit=10):
        return [
            o.item.slot_s for o in store.outbox("exchange").due(now_s, since_s=since_s, limit=limit)
        ]

    assert due(1799.9) == []
    assert due(1800) == [900]
    assert due(2699.9) == [900]
    assert due(2700) == [1800]
    assert due(4000) == [1800, 2700]
    assert due(4000, limit=1) == [1800]
    assert due(4000, since_s=1801) == [2700]
    assert due(4500) == [1800]


def test_the_next_change_is_the_next_opening_or_closing_of_what_is_pending(store: Buffer) -> None:
    assert store.outbox("exchange").next_change_s(0) is None
    keep(
        store,
        owed(900, opens_s=1800, closes_s=2700),
        owed(1800, opens_s=2000, closes_s=None),
        owed(0, opens_s=100, state="missed"),
    )
    assert [store.outbox("exchange").next_change_s(now_s) for now_s in (0, 1800, 2000, 2700)] == [
        1800,
        2000,
        2700,
        None,
    ]


def test_a_verdict_is_written_down_with_its_time_and_reason(store: Buffer) -> None:
    keep(store, owed(900), owed(1800), owed(2700))
    items = [o.item for o in store.owed()]
    store.outbox("exchange").record(items[:1], "accepted", "", 5000)
    store.outbox("exchange").record(items[1:2], "rejected", "unknown asset", 5001)
    store.outbox("exchange").record(items[2:], "pending", "timeout", 5002)
    store.outbox("exchange").record(items[2:], "pending", "HTTP 503", 5003)
    assert [(o.state, o.reason, o.attempts, o.decided_s) for o in store.owed()] == [
        ("accepted", "", 1, 5000),
        ("rejected", "unknown asset", 1, 5001),
        ("pending", "HTTP 503", 2, None),
    ]
    assert store.outbox("exchange").backlog() == Backlog(1, 2700, None)


def test_what_was_not_delivered_in_its_window_is_missed_with_the_last_reason(store: Buffer) -> None:
    keep(
        store,
        owed(900, closes_s=2700),
        owed(900, 1, closes_s=2700),
        owed(1800, closes_s=3600),
        owed(2700),
    )
    store.outbox("exchange").record([owed(900, 1).item], "pending", "timeout", 2000)
    assert store.outbox("exchange").expire(2699) == []
    assert store.outbox("exchange").expire(2700) == [owed(900).item, owed(900, 1).item]
    assert store.outbox("exchange").expire(2700) == []
    missed = [o for o in store.owed() if o.state == "missed"]
    assert [o.reason for o in missed] == [
        "not delivered before its window closed",
        "not delivered before its window closed (timeout)",
    ]
    assert {o.decided_s for o in missed} == {2700}
    assert store.outbox("exchange").backlog() == Backlog(2, 1800, 3600)


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("owe"), st.integers(0, 40), st.one_of(st.none(), st.integers(0, 40))),
            st.tuples(st.just("expire"), st.integers(0, 45), st.none()),
            st.tuples(st.just("next"), st.integers(0, 45), st.none()),
            st.tuples(st.just("retry"), st.just(0), st.none()),
            st.tuples(st.just("record"), st.integers(0, 2), st.none()),
        ),
        max_size=20,
    )
)
def test_that_no_window_has_opened_or_closed_is_remembered_and_never_wrongly(
    steps: list[tuple[str, int, int | None]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        quick, plain = (
            open_buffer(Path(folder) / name / "buffer.sqlite", SMALL, now_s=0)
            for name in ("quick", "plain")
        )
        for n, (what, number, closes) in enumerate(steps):
            plain.outbox("exchange").forget_windows()
            answers: list[Any] = []
            for store in (quick, plain):
                items = [each.item for each in store.owed()]
                if what == "owe":
                    keep(store, owed(900 * n, opens_s=number, closes_s=closes))
                elif what == "retry":
                    store.retry(items)
                elif what == "record" and items:
                    store.outbox("exchange").record(
                        items[-1:], ("accepted", "rejected", "pending")[number], "", 0
                    )
                if what == "next":
                    at_s = store.outbox("exchange").next_change_s(number)
                    answers.append(math.inf if at_s is None else at_s)
                else:
                    answers.append(
                        store.outbox("exchange").expire(number)
                        if what == "expire"
                        else list(store.owed())
                    )
            # What is not pending any more is remembered for a while: one look too many, and never
            # one too few.
            assert answers[0] <= answers[1] if what == "next" else answers[0] == answers[1]
        quick.close_file()
        plain.close_file()


def test_an_item_is_owed_once_and_keeps_its_verdict(store: Buffer) -> None:
    keep(store, owed(900))
    store.outbox("exchange").record([owed(900).item], "accepted", "", 5000)
    keep(store, owed(900))
    assert [o.state for o in store.owed()] == ["accepted"]
    assert store.outbox("exchange").due(10**10, since_s=None, limit=10) == []


def test_a_slot_that_was_not_wholly_metered_is_kept_as_missed_without_energy(store: Buffer) -> None:
    keep(
        store,
        owed(
            900, state="missed", quality="partial", reason="grid was metered for 50 % of the slot"
        ),
    )
    (back,) = store.owed()
    assert (back.state, back.quality, back.reason) == (
        "missed",
        "partial",
        "grid was metered for 50 % of the slot",
    )
    assert store.database.connection.execute("SELECT energy_uwh FROM outbox").fetchall() == [
        (None,)
    ]


def test_the_newest_of_each_kind_is_found_whatever_became_of_it(store: Buffer) -> None:
    keep(
        store,
        owed(900, state="rejected"),
        owed(900, 1, kind="forecast"),
        owed(900, kind="forecast"),
        owed(900, kind="forecast").revised(1),
    )
    found = store.newest_owed(ASSETS[0], 900)
    assert found is not None
    assert (found.state, found.item.kind, found.item.energy_uwh) == (
        "rejected",
        "measurement",
        7_000_000,
    )
    assert store.newest_owed(ASSETS[1], 900) is None
    assert store.newest_owed(ASSETS[0], 1800) is None
    forecast = store.newest_owed(ASSETS[0], 900, kind="forecast")
    assert forecast is not None
    assert forecast.item.revision == 1
