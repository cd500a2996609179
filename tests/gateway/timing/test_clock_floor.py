"""A clock that the operator answers for is not believed before what is stored."""

import pytest

from gateway.timing.clock import BATTERY_S, PROOF_S, Clock
from tests.gateway.timing.test_clock import Watch

MADE_S, NEWEST_S = 1_767_225_600.0, 1_800_000_000.0


@pytest.mark.parametrize("says_s", [600.0, MADE_S - 1, NEWEST_S - 1, NEWEST_S - 86_400])
def test_a_time_before_the_floor_is_not_believed_until_it_is_set(says_s: float) -> None:
    watch = Watch()
    watch.utc_s, watch.boottime_s = says_s, 2 * BATTERY_S
    clock = Clock("assured", watch.sources(), made_s=MADE_S)
    clock.know(NEWEST_S, earlier_boot_s=NEWEST_S)
    assert not clock.trusted
    assert clock.date(0) == (round(watch.boottime_s * 1000), None)
    assert "before" in clock.why
    assert "set it" in clock.why

    watch.utc_s += 3600
    watch.boottime_s += 3600
    if says_s > NEWEST_S - 3600:
        assert not clock.trusted, "this boot would have begun before the newest that is stored"
    watch.utc_s = NEWEST_S + 7200
    assert clock.trusted


def test_no_step_is_believed_to_a_time_before_this_version_was_made() -> None:
    watch = Watch()
    watch.utc_s = NEWEST_S
    clock = Clock("assured", watch.sources(), made_s=MADE_S)
    assert clock.trusted
    watch.utc_s = 600.0
    clock.now_s()
    watch.utc_s += 2 * PROOF_S
    watch.boottime_s += 2 * PROOF_S
    assert clock.now_s() == pytest.approx(NEWEST_S + 2 * PROOF_S)


def test_a_boot_that_nobody_knows_to_be_a_later_one_may_have_begun_before() -> None:
    watch = Watch()
    watch.utc_s, watch.boottime_s = NEWEST_S + 60, 86_400.0
    clock = Clock("assured", watch.sources(), made_s=MADE_S)
    clock.know(NEWEST_S, earlier_boot_s=0.0)
    assert clock.trusted
    clock = Clock("assured", watch.sources(), made_s=MADE_S)
    clock.know(NEWEST_S, earlier_boot_s=NEWEST_S)
    assert not clock.trusted
    assert "still ran" in clock.why
