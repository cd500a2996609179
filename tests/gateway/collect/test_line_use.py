"""How busy a line is said to be."""

import pytest

from gateway.collect.line_use import BUSY_S, LineUse


def test_a_line_that_is_closed_or_just_opened_is_not_known_to_be_busy() -> None:
    use = LineUse()
    assert use.busy(10.0) is None
    use.opened_s = 10.0
    assert use.busy(10.0) is None
    assert use.busy(11.0) == 0.0


def test_the_share_counts_from_the_opening_and_no_longer_than_a_minute() -> None:
    use = LineUse(opened_s=100.0)
    use.used(100.0, 101.0)
    assert use.busy(104.0) == pytest.approx(0.25)
    assert use.busy(130.0) == pytest.approx(1 / 30)
    assert use.busy(100.5 + BUSY_S) == pytest.approx(0.5 / BUSY_S), "only what lies in the minute"
    assert use.busy(300.0) == 0.0


def test_turns_of_no_time_are_not_kept_and_old_ones_are_forgotten() -> None:
    use = LineUse(opened_s=0.0)
    use.used(5.0, 5.0)
    use.used(6.0, 5.0)
    assert not use._turns
    for n in range(1000):
        use.used(float(n), n + 0.5)
    assert len(use._turns) <= BUSY_S + 1
    assert use.busy(999.5) == pytest.approx(0.5, abs=0.01)


def test_frames_of_another_master_are_counted_and_spoken_of_once_an_hour() -> None:
    use = LineUse()
    assert not use.heard(0, 10.0)
    assert use.heard(3, 11.0)
    assert not use.heard(3, 12.0)
    assert not use.heard(5, 13.0)
    assert not use.heard(0, 14.0), "the line was opened anew"
    assert use.heard(2, 11.0 + 3600)
    assert use.strangers == 7
