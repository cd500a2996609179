"""What is known of power between two samples."""

import numpy as np
import pytest

from gateway.energy.power_line import known_later, passed, segment

CHANGE_W = 1800.0
EVERY_S = 10.0


@pytest.mark.parametrize("part", [0.1, 0.375, 0.5, 0.8])
@pytest.mark.parametrize("way", [1, -1])
def test_what_passed_before_a_moment_in_which_power_changed_once_is_told_by_the_whole(
    part: float, way: int
) -> None:
    """A load is switched at any time between two samples. What passed up to a moment between them
    is uncertain, and varies with what passes in all, as if that had been tried a hundred thousand
    times.
    """
    begin_w, end_w = (0.0, CHANGE_W) if way > 0 else (CHANGE_W, 0.0)
    one = segment(0.0, EVERY_S, begin_w, end_w, (CHANGE_W**2,))
    at_s = part * EVERY_S
    so_far = passed((one,), 0.0, at_s, is_mean=False)
    noise = one.variance * part
    less, apart = known_later((one,), at_s)

    switched_s = (np.arange(100_000) + 0.5) / 100_000 * EVERY_S
    on_s, all_on_s = np.maximum(at_s - switched_s, 0), EVERY_S - switched_s
    if way < 0:
        on_s, all_on_s = at_s - on_s, EVERY_S - all_on_s
    wh, all_wh = on_s * CHANGE_W / 3600, all_on_s * CHANGE_W / 3600
    assert so_far.wh == pytest.approx(float(wh.mean()), rel=1e-3)
    assert so_far.variance - noise - less == pytest.approx(float(wh.var()), rel=1e-3)
    together = float(((wh - wh.mean()) * (all_wh - all_wh.mean())).mean())
    assert so_far.variance - noise - apart == pytest.approx(together, rel=1e-3)


def test_at_a_sample_nothing_more_is_known_later() -> None:
    one = segment(0.0, EVERY_S, 0.0, CHANGE_W, (CHANGE_W**2,))
    assert known_later((one,), 0.0) == known_later((one,), EVERY_S) == (0.0, 0.0)
