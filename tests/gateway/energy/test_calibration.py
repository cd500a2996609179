"""Power that is off is calibrated against the register."""

import pytest

from tests.gateway.energy.registers import TEN_S, WH, advance, rules, start


@pytest.mark.parametrize("resolution_wh", [1, 10, 100])
@pytest.mark.parametrize("off", [0.97, 0.99, 1.01, 1.02, 1.2])
def test_power_that_is_off_is_calibrated_against_the_register_within_bounds(
    resolution_wh: int, off: float
) -> None:
    known = rules(resolution_wh)
    counter = start(0, 0, 3600.0 * off, known)
    for n in range(1, 30 * resolution_wh):
        raw_uwh = n * 10 // resolution_wh * resolution_wh * WH
        counter, _ = advance(
            counter, known, at_ms=n * TEN_S, raw_uwh=raw_uwh, power_w=3600.0 * off, held=False
        )
        assert 950_000 <= counter.gain.ppm <= 1_050_000
    assert counter.gain.ppm == pytest.approx(min(max(1e6 / off, 950_000), 1_050_000), abs=5_000)
