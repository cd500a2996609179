"""What flows in the simulated home, and what its meters show."""

import itertools

from tests.simulation.truth import Glitches, Home, TrueMeter


def test_what_flows_between_two_times_is_the_sum_of_what_flows_in_between() -> None:
    home = Home(3, 1_773_100_800)
    times_ms = [home.origin_s * 1000 + k * 7_001 for k in range(2000)]
    total_mj = home.energy_mj("consumption", times_ms[-1]) - home.energy_mj(
        "consumption", times_ms[0]
    )
    parts = itertools.pairwise(times_ms)
    assert (
        total_mj
        == sum(
            home.energy_mj("consumption", b) - home.energy_mj("consumption", a) for a, b in parts
        )
        > 0
    )


def test_what_the_house_uses_comes_from_the_grid_or_its_panels() -> None:
    home = Home(3, 1_773_100_800)
    for t_ms in range(home.origin_s * 1000, home.origin_s * 1000 + 86_400_000, 613_000):
        supplied_w = (
            home.watts("grid_import", t_ms)
            + home.watts("pv", t_ms)
            - home.watts("grid_export", t_ms)
        )
        assert supplied_w == home.watts("consumption", t_ms)
        assert 0 in (home.watts("grid_import", t_ms), home.watts("grid_export", t_ms))


def test_a_glitch_is_in_as_many_readings_as_it_was_made_for() -> None:
    home = Home(3, 1_773_100_800)
    meter = TrueMeter("grid", home, {"import": "consumption"}, {"import": 1000}, 10, "1")
    t_ms = home.origin_s * 1000
    meter.glitches = Glitches(zeros=2, flips=1, flip_bit=4)
    assert [meter.reading_wh(t_ms)["import"] for _ in range(4)] == [0, 0, 1000 ^ 16, 1000]
