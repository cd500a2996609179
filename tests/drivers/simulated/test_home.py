"""The simulated household: exact, repeatable, and one home for all its meters."""

import itertools
import math
from datetime import UTC, datetime

import pytest
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser
from hypothesis import given
from hypothesis import strategies as st

from drivers.sample import QUANTITIES
from drivers.simulated.home import DEMO_DAY_S, MJ_PER_WH, Household, meter_values
from drivers.simulated.meters import grid_telegram
from drivers.simulated.telegram import GridReading, local_time, telegram

ORIGIN_S = 1_780_000_200
SERIES = [("grid", "import"), ("grid", "export"), ("pv", "export"), ("heat_pump", "import")]


def made_home(seed=7, day_s=DEMO_DAY_S):
    return Household(seed, ORIGIN_S, day_s=day_s)


def test_grid_is_load_minus_pv_at_every_second_in_total_and_by_phase():
    home = made_home()
    for second in range(ORIGIN_S, ORIGIN_S + DEMO_DAY_S):
        flow = home.flow(second)
        assert flow.grid_w == flow.heat_pump_w + flow.other_w - flow.pv_w == sum(flow.grid_phases_w)
        assert sum(flow.heat_pump_phases_w) == flow.heat_pump_w
        assert min(flow.pv_w, flow.heat_pump_w, flow.other_w) >= 0


@pytest.mark.parametrize("day_s", [DEMO_DAY_S, 86_400])
def test_a_day_has_import_export_night_and_both_tariffs(day_s):
    home = made_home(day_s=day_s)
    flows = [home.flow(ORIGIN_S + s) for s in range(0, day_s, day_s // 600)]
    assert max(f.grid_w for f in flows) > 2000 > -2000 > min(f.grid_w for f in flows)
    assert 0.3 < sum(f.pv_w > 0 for f in flows) / len(flows) < 0.55
    assert {f.tariff for f in flows} == {1, 2}


@given(
    st.lists(st.integers(0, 2_000_000), min_size=2, max_size=8),
    st.sampled_from(SERIES),
    st.integers(0, 3),
)
def test_the_energy_of_the_parts_is_the_energy_of_the_whole_to_the_last_millijoule(
    cuts_ms, series, seed
):
    home = made_home(seed)
    times = sorted(ORIGIN_S + ms / 1000 for ms in cuts_ms)
    parts = [home.energy_mj(*series, a, b) for a, b in itertools.pairwise(times)]
    assert sum(parts) == home.energy_mj(*series, times[0], times[-1])
    assert min(parts) >= 0


def test_energy_is_the_sum_of_power_over_its_seconds():
    home = made_home()
    flows = [home.flow(ORIGIN_S + s) for s in range(1000)]
    end_s = ORIGIN_S + 1000
    assert home.energy_mj("pv", "export", ORIGIN_S, end_s) == 1000 * sum(f.pv_w for f in flows)
    assert home.energy_mj("heat_pump", "import", ORIGIN_S, end_s) == 1000 * sum(
        f.heat_pump_w for f in flows
    )
    assert home.energy_mj("grid", "import", ORIGIN_S, end_s) == 1000 * sum(
        max(f.grid_w, 0) for f in flows
    )
    assert home.energy_mj("grid", "export", ORIGIN_S, end_s) == 1000 * sum(
        max(-f.grid_w, 0) for f in flows
    )
    assert home.energy_mj("grid", "import", ORIGIN_S + 0.25, ORIGIN_S + 0.75) == 500 * max(
        flows[0].grid_w, 0
    )
    assert home.energy_wh("pv", "export", ORIGIN_S, end_s) == pytest.approx(
        sum(f.pv_w for f in flows) / 3600
    )


def test_the_truth_is_the_same_in_whatever_order_it_is_asked():
    forward, backward = made_home(), made_home()
    times = [ORIGIN_S + 37 * k for k in range(40)]
    seen = {t: forward.register_mj("grid.import", t) for t in times}
    assert {t: backward.register_mj("grid.import", t) for t in reversed(times)} == seen
    assert made_home(seed=8).register_mj("grid.import", times[-1]) != seen[times[-1]]


def test_registers_never_run_backwards_and_show_the_completed_wh():
    home = made_home()
    for register in (
        "grid.import",
        "grid.import.t1",
        "grid.export.t2",
        "pv.export",
        "heat_pump.import",
    ):
        shown = [home.register_wh(register, ORIGIN_S + s / 2) for s in range(600)]
        assert shown == sorted(shown)
    start_wh, energy_mj = (
        home.register_wh("pv.export", ORIGIN_S),
        home.register_mj("pv.export", ORIGIN_S + 999),
    )
    assert home.register_wh("pv.export", ORIGIN_S + 999) == start_wh + energy_mj // MJ_PER_WH
    # Each tariff register steps for itself: together they may lag by less than one step each.
    lag_wh = home.register_mj("grid.import", ORIGIN_S + 999) / MJ_PER_WH - (
        home.register_wh("grid.import", ORIGIN_S + 999) - home.register_wh("grid.import", ORIGIN_S)
    )
    assert 0 <= lag_wh < 2


def test_a_time_before_the_beginning_and_an_unknown_meter_are_refused():
    with pytest.raises(ValueError, match="begins at"):
        made_home().register_mj("pv.export", ORIGIN_S - 1)
    with pytest.raises(ValueError, match=r"no register 'pool\.import'; it has grid"):
        made_home().energy_wh("pool", "import", ORIGIN_S, ORIGIN_S + 1)


def test_a_meter_shows_only_known_quantities_and_its_phases_agree_with_its_total():
    values = meter_values((100, -300, 50), (230.0, 229.0, 231.0), 1000, 20)
    assert set(values) <= set(QUANTITIES)
    assert values["power_w"] == -150
    assert values["power_export_w"] == 150
    assert values["current_l2_a"] == pytest.approx(300 / 229 / 0.97)
    assert "voltage_l2_v" not in meter_values((-2000,), (230.0,), 0, 5)


def bitwise_crc(data):
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def test_telegrams_carry_the_right_checksum_and_an_independent_parser_reads_the_home_from_them():
    home = made_home()
    parser = TelegramParser(telegram_specifications.V5)
    for second in range(ORIGIN_S, ORIGIN_S + DEMO_DAY_S, 61):
        data = grid_telegram(home, second + 1)
        body, mark, tail = data.partition(b"!")
        assert tail == b"%04X\r\n" % bitwise_crc(body + mark)
        assert b"\n" not in data.replace(b"\r\n", b"")
        read = parser.parse(data.decode())
        flow = home.flow(second)
        assert read.P1_MESSAGE_TIMESTAMP.value == datetime.fromtimestamp(second + 1, UTC)
        wh = [
            1000 * r.value
            for r in (
                read.ELECTRICITY_USED_TARIFF_1,
                read.ELECTRICITY_USED_TARIFF_2,
                read.ELECTRICITY_DELIVERED_TARIFF_1,
                read.ELECTRICITY_DELIVERED_TARIFF_2,
            )
        ]
        assert wh[0] + wh[1] == home.register_wh("grid.import", second + 1)
        assert wh[2] + wh[3] == home.register_wh("grid.export", second + 1)
        power_w = 1000 * (
            read.CURRENT_ELECTRICITY_USAGE.value - read.CURRENT_ELECTRICITY_DELIVERY.value
        )
        assert power_w == flow.grid_w
        l1_w = 1000 * (
            read.INSTANTANEOUS_ACTIVE_POWER_L1_POSITIVE.value
            - read.INSTANTANEOUS_ACTIVE_POWER_L1_NEGATIVE.value
        )
        assert l1_w == flow.grid_phases_w[0]
        assert bytes.fromhex(read.EQUIPMENT_IDENTIFIER.value) == b"E0031007000012345"


@pytest.mark.parametrize(
    ("utc", "text"),
    [
        ("2026-03-29T00:59:59", "260329015959W"),
        ("2026-03-29T01:00:00", "260329030000S"),
        ("2026-10-25T00:59:59", "261025025959S"),
        ("2026-10-25T01:00:00", "261025020000W"),
        ("2027-12-31T23:00:00", "280101000000W"),
    ],
)
def test_timestamps_are_central_european_time_with_its_flag(utc, text):
    assert local_time(int(datetime.fromisoformat(utc + "+00:00").timestamp())) == text


def test_a_register_beyond_its_last_digit_starts_again_from_zero():
    reading = GridReading(
        utc_s=ORIGIN_S,
        serial_number="X",
        import_wh=(999_999_999, 1_000_000_001),
        export_wh=(0, 0),
        tariff=1,
        phases_w=(0, 0, 0),
        voltages_v=(230.0, 230.0, 230.0),
        gas_l=0,
    )
    assert b"1.8.1(999999.999*kWh)\r\n1-0:1.8.2(000000.001*kWh)" in telegram(reading)


def test_voltages_are_those_of_a_home():
    home = made_home()
    for second in range(ORIGIN_S, ORIGIN_S + 500, 7):
        assert all(
            227 < v < 235 and math.isclose(v * 10, round(v * 10)) for v in home.voltages_v(second)
        )
