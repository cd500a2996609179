"""The receiver's clock as a witness of ours."""

from email.utils import formatdate

import pytest

from gateway.outbox.their_clock import HOLDS_S, MOST_S, TheirClock

T0 = 1_774_742_400.0


def heard(ours_s: float, theirs_s: float = T0) -> TheirClock:
    clock = TheirClock(lambda: ours_s)
    clock.hear({"date": formatdate(theirs_s, usegmt=True)}, 100.0)
    return clock


@pytest.mark.parametrize(
    ("ahead_s", "says"),
    [
        (0, ""),
        (MOST_S, ""),
        (-MOST_S, ""),
        (MOST_S + 1, "our clock is 10 min ahead of"),
        (86_400, "our clock is 24.0 h ahead of"),
        (-7200, "our clock is 2.0 h behind"),
        (-T0, "days behind"),
    ],
)
def test_clocks_that_are_apart_are_told(ahead_s: float, says: str) -> None:
    doubt = heard(T0 + ahead_s).doubt(100.0)
    assert doubt.startswith(says) if says.startswith("our") else says in doubt
    assert bool(doubt) is bool(says)


def test_what_it_said_goes_on_by_a_clock_that_nobody_sets() -> None:
    clock = heard(T0 + 3600)
    assert not clock.doubt(100.0 + 3600)
    assert clock.doubt(100.0)


def test_what_is_old_is_asked_for_anew() -> None:
    clock = heard(T0)
    assert not clock.is_old(100.0 + HOLDS_S)
    assert clock.is_old(100.1 + HOLDS_S)


@pytest.mark.parametrize("headers", [{}, {"date": ""}, {"date": "yesterday"}, {"date": "9" * 99}])
def test_without_a_date_there_is_no_witness(headers: dict[str, str]) -> None:
    clock = TheirClock(lambda: 0.0)
    clock.hear(headers, 100.0)
    assert not clock.doubt(100.0)
    assert not clock.is_old(1e9)


def test_a_later_reply_without_a_date_withdraws_what_was_said() -> None:
    clock = heard(T0 + 3600)
    clock.hear({}, 101.0)
    assert not clock.doubt(101.0)


def test_a_clock_that_needs_no_witness_is_not_doubted() -> None:
    clock = TheirClock(None)
    clock.hear({"date": formatdate(T0, usegmt=True)}, 100.0)
    assert not clock.doubt(100.0)
