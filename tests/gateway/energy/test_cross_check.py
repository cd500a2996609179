"""What is compared with our slots, and what is made of it."""

from pathlib import Path

import pytest

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.cross_check import CrossChecks
from gateway.energy.fold import advance
from gateway.energy.register import Rules
from gateway.energy.slot import MeterRules, MeterState, Slot
from gateway.site.config import load
from gateway.site.credentials import ConfigError

BEGIN_S = 1_800_000_000
RULES = MeterRules("grid", {"import": Rules(WH, None, False, 17_250.0)}, 900_000, 30_000, 7_200_000)


def run(
    checks: CrossChecks,
    seconds: range,
    *,
    power_w: float = 3600,
    demand_w: float = 3600,
    slot_ms: int = 900_000,
) -> list[Slot]:
    """A steady load, and a meter that says that its demand is another one; it begins anew in every
    quarter-hour.
    """
    rules = MeterRules("grid", RULES.registers, slot_ms, 30_000, 7_200_000)
    state: MeterState | None = None
    closed: list[Slot] = []
    for t in seconds:
        values = {
            "energy_import_wh": float(int(power_w * t / 3600)),
            "power_w": power_w,
            "demand_import_w": demand_w * (t % 900) / 900,
        }
        sample = Sample("grid", "A", "boot", t * 1000, (BEGIN_S + t) * 1000, values)
        step = advance(state, sample, rules)
        state = step.state
        checks.look(sample, state, invert=False)
        checks.closed(step.slots)
        closed += step.slots
    return closed


def test_a_slot_is_compared_with_the_quarter_hour_of_the_meter_itself() -> None:
    checks = CrossChecks({})
    run(checks, range(0, 890, 10))
    assert checks.of("grid") == {}
    run(checks, range(0, 910, 10))
    assert checks.of("grid") == {"demand": pytest.approx(0, abs=1)}
    run(checks, range(0, 1810, 10), demand_w=3200)
    assert checks.of("grid") == {"demand": pytest.approx(100 * 890 / 900, abs=1)}
    assert checks.of("pv") == {}


def test_a_quarter_hour_not_wholly_metered_is_not_compared_nor_slots_of_another_length() -> None:
    checks = CrossChecks({})
    run(checks, range(300, 1000, 10))
    run(checks, range(0, 1000, 100))  # its last sample is too far from the end
    run(checks, range(0, 1000, 10), slot_ms=300_000)
    assert checks.of("grid") == {}


def slot(device: str, n: int, energy_wh: float, **changes: str) -> Slot:
    quality = changes.get("quality", "measured")
    method = changes.get("method", "counter")
    ends = 0, round(energy_wh * WH)
    return Slot(
        device,
        "A",
        "import",
        BEGIN_S + n * 900,
        900,
        ends[1],
        quality,
        method,
        1000,
        90,
        10_000,
        *ends,
        0,
        0,
        "kernel",
    )  # type: ignore[arg-type]


def test_two_meters_of_one_line_are_compared_slot_by_slot() -> None:
    checks = CrossChecks({"sub": "grid"})
    checks.closed([slot("grid", 0, 100)])
    checks.closed([slot("sub", 0, 103)])
    assert checks.of("sub") == {"grid.import": 3}
    checks.closed([slot("sub", 1, 50), slot("grid", 1, 60)])
    assert checks.of("sub") == {"grid.import": -10}
    checks.closed(
        [
            slot("sub", 2, 50),
            slot("grid", 2, 90, quality="partial"),
            slot("grid", 2, 90, method="power"),
        ]
    )
    assert checks.of("sub") == {"grid.import": -10}
    assert checks.of("grid") == {}


def test_the_other_meter_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "gateway.yaml").write_text("site: home-12\nassets: []\n")
    (tmp_path / "devices/grid.yaml").write_text("profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\n")
    (tmp_path / "devices/sub.yaml").write_text(
        "profile: eastron/sdm630\nline: serial:/dev/ttyUSB1\ncheck_against: gird\n"
    )
    with pytest.raises(ConfigError, match=r"check_against.*there is no other meter 'gird'.*grid"):
        load(tmp_path)
    (tmp_path / "devices/sub.yaml").write_text(
        "profile: eastron/sdm630\nline: serial:/dev/ttyUSB1\ncheck_against: grid\n"
    )
    assert {device.name: device.check_against for device in load(tmp_path).devices} == {
        "grid": None,
        "sub": "grid",
    }
