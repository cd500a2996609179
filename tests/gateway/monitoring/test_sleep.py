"""A meter that sleeps is no alarm; one that dies while it produces is."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.register import Rules
from gateway.energy.slot import MeterRules, MeterState, Slot
from gateway.monitoring.report import Report
from gateway.monitoring.sleep import (
    DAY_S,
    MOST_QUIET_W,
    QUIET_W,
    Sleeper,
    asleep,
    excused,
)

SLOT_S = 900
DUSK_S = 1_800_064_800
"""On a boundary of slots."""
INVERTER = Sleeper("pv", seasonal=False, max_power_w=5000.0)
POOL = Sleeper("pool", seasonal=True, max_power_w=5000.0)

RULES = MeterRules(
    "pv",
    {"export": Rules(WH, 100_000_000 * WH, float32=False, max_power_w=17_250.0)},
    SLOT_S * 1000,
    30_000,
    7_200_000,
)


def last_heard(at_s: int, power_w: float | None, *, wh_a_minute: float = 0.0) -> MeterState:
    """The fold of a meter that was heard for five minutes, and last at `at_s`."""
    state = None
    for n in range(31):
        values = {"energy_export_wh": 1000 + float(int(wh_a_minute * n / 6))}
        if power_w is not None:
            values["power_w"] = -power_w
        at_ms = (at_s - 300 + 10 * n) * 1000
        state = advance(state, Sample("pv", "A", "boot", at_ms, at_ms, values), RULES).state
    assert state is not None
    return state


def booked(energies_wh: Mapping[int, float]) -> dict[int, list[Slot]]:
    """The books: energy by the start of the slot."""
    return {
        start_s: [
            Slot(
                "pv", "A", "export", start_s, SLOT_S, round(wh * WH), "measured", "counter",
                1000, 90, 10_000, 0, round(wh * WH), 0, 0, "kernel",
            )
        ]
        for start_s, wh in energies_wh.items()
    }  # fmt: skip


def is_asleep(
    sleeper: Sleeper,
    state: MeterState | None,
    now_s: float,
    books: Mapping[int, list[Slot]] | None = None,
) -> bool:
    slots = books or {}
    return bool(asleep(sleeper, state, now_s, SLOT_S, lambda start_s: slots.get(start_s, [])))


@pytest.mark.parametrize("power_w", [0.0, 20.0, QUIET_W])
def test_an_inverter_that_faded_out_sleeps_through_the_night(power_w: float) -> None:
    state = last_heard(DUSK_S, power_w)
    for hours in (0.02, 1, 8, 14):
        assert is_asleep(INVERTER, state, DUSK_S + hours * 3600)


@pytest.mark.parametrize("power_w", [QUIET_W + 1, 3000.0])
def test_one_that_falls_silent_while_it_produces_does_not_sleep(power_w: float) -> None:
    assert not is_asleep(INVERTER, last_heard(DUSK_S, power_w), DUSK_S + 60)


def test_where_no_power_is_shown_the_register_tells() -> None:
    assert is_asleep(INVERTER, last_heard(DUSK_S, None), DUSK_S + 60)
    assert not is_asleep(INVERTER, last_heard(DUSK_S, None, wh_a_minute=50.0), DUSK_S + 60)


def test_it_must_be_awake_an_hour_after_it_was_the_day_before() -> None:
    """It produced from 14 h after dusk on; the night after that it dies."""
    woke_s = DUSK_S - DAY_S + 14 * 3600
    books = booked(dict.fromkeys(range(woke_s, DUSK_S, SLOT_S), 400.0))
    state = last_heard(DUSK_S, 0.0)
    assert is_asleep(INVERTER, state, woke_s + DAY_S + 1800, books)
    assert not is_asleep(INVERTER, state, woke_s + DAY_S + 4600, books)
    assert is_asleep(POOL, state, woke_s + DAY_S + 4600, books), "a season has no mornings"


def test_one_that_is_switched_off_at_noon_is_missed_by_what_it_did_the_day_before() -> None:
    noon_s = DUSK_S + 43_200
    books = booked({noon_s - DAY_S - n * SLOT_S: 400.0 for n in range(12)})
    assert not is_asleep(INVERTER, last_heard(noon_s, 0.0), noon_s + 60, books)


def test_nobody_sleeps_for_longer_than_a_day_but_for_a_season() -> None:
    state = last_heard(DUSK_S, 0.0)
    assert not is_asleep(INVERTER, state, DUSK_S + DAY_S + 1)
    assert is_asleep(POOL, state, DUSK_S + 150 * DAY_S)


@pytest.mark.parametrize("later_s", [60, DAY_S - 900, DAY_S + 900, 150 * DAY_S])
def test_one_that_is_switched_off_for_the_season_while_it_runs_is_never_missed(
    later_s: int,
) -> None:
    state = last_heard(DUSK_S, 3000.0)
    assert is_asleep(POOL, state, DUSK_S + later_s)
    assert not is_asleep(INVERTER, state, DUSK_S + later_s)


def test_one_that_was_never_heard_is_asleep_only_where_a_person_said_so() -> None:
    assert not is_asleep(INVERTER, None, DUSK_S)
    assert is_asleep(POOL, None, DUSK_S)


def test_what_is_hardly_any_power_goes_by_the_meter_within_bounds() -> None:
    assert Sleeper("a", seasonal=False, max_power_w=800.0).quiet_w == QUIET_W
    assert Sleeper("a", seasonal=False, max_power_w=10_000.0).quiet_w == 100.0
    assert Sleeper("a", seasonal=False, max_power_w=120_000.0).quiet_w == MOST_QUIET_W


def test_an_exchange_that_is_owed_nothing_while_a_meter_sleeps_is_no_alarm(
    healthy_report: Report,
) -> None:
    meters = [replace(healthy_report.meters[0], asleep="asleep")]
    idle = replace(
        healthy_report.destinations[0], backlog=0, last_success_s=healthy_report.now_s - 30_000
    )

    def is_well(destination: object) -> bool:
        found = excused(destination, meters)  # type: ignore[arg-type]
        return found.healthy(healthy_report.now_s, healthy_report.started_s)

    assert is_well(idle)
    for change in (
        {"backlog": 1},
        {"sent": 1},
        {"state": "retrying"},
        {"last_success_s": None},
    ):
        assert not is_well(replace(idle, **change))  # type: ignore[arg-type]
    meters = [healthy_report.meters[0]]
    assert not is_well(idle), "somebody should settle something"
