"""What the grid is measured with must itself be right."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.benchmarks.proof.combinations import Combination, grid, scored_ends_s
from tests.benchmarks.proof.evaluation import evaluate
from tests.benchmarks.proof.homes import HOMES, SECONDS, TICKS_PER_S, home
from tests.benchmarks.proof.meters import Meter, Numbers, Readings, Truth, look, shown
from tests.benchmarks.proof.methods import between_steps, last_reading, linear, simpler
from tests.benchmarks.proof.score import held, score

FULL_S = np.arange(120.0, 20_000, 10)


@pytest.fixture(scope="module", autouse=True)
def _homes_are_forgotten() -> Iterator[None]:
    """The memory of the homes is given back."""
    yield
    home.cache_clear()


def steady(meter: Meter, watts: float = 720) -> tuple[Readings, Truth]:
    """A home of one phase that takes the same power for ever."""
    power = np.full((1, 20_000 * TICKS_PER_S), watts)
    truth = Truth(power, "import", singly=False)
    return look(meter, power, truth, FULL_S), truth


def test_the_grid_has_forty_combinations_of_different_names() -> None:
    titles = [each.title for each in grid()]
    assert len(titles) == len(set(titles)) >= 40


@pytest.mark.parametrize("name", HOMES)
def test_a_home_is_the_same_each_time_and_another_by_another_seed(name: str) -> None:
    first = home(name)
    assert first.shape[1] == SECONDS * TICKS_PER_S
    assert np.isfinite(first).all()
    assert np.array_equal(first, home.__wrapped__(name, 1))
    assert not np.array_equal(first, home.__wrapped__(name, 2))


def test_the_hobs_pulses_last_for_seconds() -> None:
    """The home with the hob changes by a kilowatt within seconds, far more often than without."""
    jumps = {
        name: np.sum(np.abs(np.diff(home(name)[0])) > 1000) / SECONDS * 3600
        for name in ("family", "hob")
    }
    assert jumps["hob"] > 5 * jumps["family"]
    assert jumps["hob"] > 100


def test_the_battery_holds_the_grid_at_0() -> None:
    grid_w = home("grid at 0")[0]
    assert abs(np.median(grid_w)) < 10
    assert np.quantile(np.abs(grid_w), 0.8) < 60
    assert np.abs(grid_w).max() > 1000


def test_import_less_export_is_the_integral_of_power() -> None:
    watts = home("three phases")
    end_s = np.array([float(SECONDS)])
    for singly in (False, True):
        taken = Truth(watts, "import", singly=singly).energy_wh(end_s)[0]
        given = Truth(watts, "export", singly=singly).energy_wh(end_s)[0]
        assert taken - given == pytest.approx(watts.sum() / TICKS_PER_S / 3600)
    net = Truth(watts, "import", singly=False).energy_wh(end_s)[0]
    assert taken > net * 1.05


@pytest.mark.parametrize("step_wh", [1, 10, 100, 1000])
def test_a_register_is_never_further_from_the_truth_than_its_step(step_wh: float) -> None:
    meter = Meter(step_wh)
    energy_wh = np.arange(0, 5000, 7.3)
    below = meter.lifetime_wh + energy_wh - shown(meter, energy_wh)
    assert below.min() >= 0
    assert below.max() < step_wh
    beside = meter.lifetime_wh + energy_wh - shown(replace(meter, nearest=True), energy_wh)
    assert -step_wh / 2 <= beside.min() < 0 < beside.max() <= step_wh / 2


def test_a_coarse_float_is_rounded_to_nearest() -> None:
    meter = Meter(1, float32=True, lifetime_wh=130_000_000.4)
    register_wh = shown(meter, np.arange(0.0, 100))
    assert set(np.round(np.diff(register_wh), 1)) <= {0.0, 7.8}
    assert np.abs(register_wh - 130_000_000.4 - np.arange(0.0, 100)).max() <= 8 / 2 + 1


def test_a_register_that_is_refreshed_is_old_by_up_to_that() -> None:
    fresh, _ = steady(Meter(1))
    slow, _ = steady(Meter(1, refresh_s=60))
    behind = fresh.register_wh - slow.register_wh
    # 720 W make 0.2 Wh a second.
    assert 0 <= behind.min() <= behind.max() <= 12 + 1
    assert len(set(slow.register_wh)) <= 20_000 / 60 + 1


def test_power_is_wrong_by_what_the_meter_says() -> None:
    shows = {
        Meter(1): 720,
        Meter(1, factor=1.01): 727,
        Meter(1, offset_w=-20): 700,
        Meter(1, dead_band_w=720): 0,
        Meter(1, mean_s=10, late_s=3): 720,
    }
    for meter, power_w in shows.items():
        readings, _ = steady(meter)
        assert readings.power_w is not None
        assert set(readings.power_w) == {power_w}
    assert steady(Meter(1, shows_power=False))[0].power_w is None


def test_late_power_is_that_of_before() -> None:
    watts = home("hob")
    truth = Truth(watts, "import", singly=False)
    now = look(Meter(1), watts, truth, FULL_S).power_w
    late = look(Meter(1, late_s=3), watts, truth, FULL_S + 3).power_w
    assert np.array_equal(now, late)


@pytest.mark.parametrize("home_name", ["hob", "PV"])
def test_slots_of_the_simpler_methods_add_up(home_name: str) -> None:
    """Over any run of slots each is as far off as at its ends, and no further."""
    is_export = home_name == "PV"
    combination = Combination(
        "", home_name, Meter(10), direction="export" if is_export else "import"
    )
    readings, truth = combination.read()
    ends_s = scored_ends_s(readings)
    true_wh = np.diff(truth.energy_wh(ends_s))
    for name, wh in simpler(readings, ends_s, is_export=is_export).items():
        assert wh is not None
        off_wh = wh.sum() - true_wh.sum()
        assert abs(off_wh) <= (0.02 * true_wh.sum() if name == "power" else 10.01), name


def test_steady_power_makes_each_method_right() -> None:
    """720 W are 180 Wh a slot."""
    readings, _ = steady(Meter(10))
    ends_s = np.arange(900.0, 19_000, 900)
    for name, wh in simpler(readings, ends_s, is_export=False).items():
        assert wh is not None
        assert wh == pytest.approx(180, abs=0.001 if name == "power" else 10.01), name
    exact = steps_of(readings, ends_s)
    assert exact == pytest.approx(180, abs=2.01)


def steps_of(readings: Readings, ends_s: Numbers) -> Numbers:
    """Slots by straight lines between steps, which look back as far as it takes."""
    return np.diff(between_steps(readings, ends_s, look_back_s=300))


def test_no_method_sees_what_comes_after_its_reading() -> None:
    """What a later reading shows changes nothing at a boundary."""
    readings, _ = steady(Meter(1))
    altered = Readings(
        readings.at_s,
        np.where(readings.at_s > 1800, readings.register_wh + 50, readings.register_wh),
        readings.power_w,
        readings.step_wh,
    )
    end_s = np.array([1800.0])
    for method in (last_reading, linear, between_steps):
        assert method(readings, end_s) == method(altered, end_s)


def test_a_score_tells_size_and_sign() -> None:
    found = score(np.array([1.0, 5.0]), np.array([2.0, 2.0]))
    assert (found.rms, found.worst, found.bias) == (pytest.approx(5**0.5), 3, 1)
    assert held(np.array([1.0, 5.0]), np.array([2.0, 2.0]), np.array([1.0, 2.9])) == 0.5


def test_our_slots_balance_and_beat_the_register() -> None:
    found = evaluate(Combination("10 Wh", "family", Meter(10), 60))
    last_wh = found.simpler_wh["last"]
    assert found.unbalanced_uwh == 0
    assert found.score.slots > 200
    assert last_wh is not None
    assert found.score.rms < last_wh
