"""SunSpec registers → values, against numbers worked out by hand from the model definitions."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sample import QUANTITIES
from drivers.sunspec import LONGEST_MODEL
from drivers.sunspec.models import MODELS, decode


def image(number, registers):
    """A model's first registers: words by offset; the rest says that it is not implemented: 0xFFFF
    unsigned, else 0x8000.
    """
    count = MODELS[number].count
    words = [0x8000] * count
    words[:2] = [number, 0]
    if (
        number < 200
    ):  # the currents, voltages and frequency of an inverter are unsigned, those of a meter are not
        for at in (2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 16):
            words[at] = 0xFFFF
    elif number < 300:
        words[39::2] = [0] * len(
            words[39::2]
        )  # the low words of accumulators that begin at even offsets
    for at, value in registers.items():
        for n, word in enumerate(value if isinstance(value, list) else [value]):
            words[at + n] = word & 0xFFFF
    return struct.pack(f">{count}H", *words)


def floats(number, registers):
    count = MODELS[number].count
    words = struct.pack(">HH", number, 0) + struct.pack(">I", 0x7FC00000) * (count // 2)
    data = bytearray(words[: 2 * count])
    for at, value in registers.items():
        struct.pack_into(">f", data, 2 * at, value)
    return bytes(data)


def test_an_inverter_s_production_is_export():
    data = image(
        103, {2: 1234, 6: -2, 14: 2841, 15: -1, 16: 5001, 17: -2, 24: [0x0012, 0xD687], 26: 0}
    )
    expected = {
        "energy_export_wh": 1_234_567.0,
        "power_w": -284.1,
        "current_a": 12.34,
        "frequency_hz": 50.01,
    }
    assert decode(MODELS[103], data, power_is_export=True) == expected


def test_a_three_phase_inverter_tells_each_phase():
    registers = {
        3: 411,
        4: 412,
        5: 413,
        6: -2,
        7: 3991,
        8: 3992,
        9: 3993,
        10: 2301,
        11: 2302,
        12: 2303,
        13: -1,
    }
    assert decode(MODELS[103], image(103, registers), power_is_export=True) == {
        "current_l1_a": 4.11,
        "current_l2_a": 4.12,
        "current_l3_a": 4.13,
        "voltage_l1_l2_v": 399.1,
        "voltage_l2_l3_v": 399.2,
        "voltage_l3_l1_v": 399.3,
        "voltage_l1_v": 230.1,
        "voltage_l2_v": 230.2,
        "voltage_l3_v": 230.3,
    }


def test_scale_factors_are_read_with_the_values_they_scale():
    before = image(203, {18: 12, 22: 1, 38: [0, 5], 46: [0, 7], 54: 1})
    after = image(203, {18: 1200, 22: -1, 38: [0, 500], 46: [0, 700], 54: -1})
    for data in (before, after):
        values = decode(MODELS[203], data, power_is_export=False)
        assert values == {"power_w": 120.0, "energy_export_wh": 50.0, "energy_import_wh": 70.0}


@pytest.mark.parametrize(("exports", "sign"), [(True, -1), (False, 1)])
def test_a_meter_s_power_is_turned_where_the_maker_means_export(exports, sign):
    data = image(203, {18: 1500, 19: 700, 20: 900, 21: -100, 22: 0, 28: 60, 32: 0, 2: 65, 6: -1})
    assert decode(MODELS[203], data, power_is_export=exports) == {
        "power_w": sign * 1500.0,
        "power_l1_w": sign * 700.0,
        "power_l2_w": sign * 900.0,
        "power_l3_w": sign * -100.0,
        "reactive_power_var": sign * 60.0,
        "current_a": 6.5,
    }


def test_no_power_has_no_sign():
    values = decode(MODELS[103], image(103, {14: 0, 15: 0}), power_is_export=True)
    assert str(values["power_w"]) == "0.0"


def test_a_meter_s_registers_count_from_zero():
    values = decode(MODELS[201], image(201, {38: [0, 0], 46: [0, 0], 54: 0}), power_is_export=False)
    assert values == {"energy_export_wh": 0.0, "energy_import_wh": 0.0}


def test_an_inverter_that_sleeps_shows_no_energy_not_zero():
    assert decode(
        MODELS[103], image(103, {14: 0, 15: 0, 24: [0, 0], 26: 0}), power_is_export=True
    ) == {"power_w": 0.0}
    assert decode(MODELS[113], floats(113, {22: 0.0, 32: 0.0}), power_is_export=True) == {
        "power_w": 0.0
    }


@pytest.mark.parametrize("bits", [[0x8000, 0], [0xFFFF, 0xFFFF]])
def test_an_accumulator_that_is_not_implemented_is_missing(bits):
    values = decode(MODELS[203], image(203, {38: bits, 46: [0, 9], 54: 0}), power_is_export=False)
    assert values == {"energy_import_wh": 9.0}


def test_an_accumulator_uses_all_its_32_bits():
    values = decode(
        MODELS[203],
        image(203, {38: [0xFFFF, 0xFFFE], 46: [0x8000, 1], 54: 1}),
        power_is_export=False,
    )
    assert values == {"energy_export_wh": 42_949_672_940.0, "energy_import_wh": 21_474_836_490.0}


@pytest.mark.parametrize("scale", [-0x8000, 11, -11, 300])
def test_what_has_no_proper_scale_factor_is_missing(scale):
    assert decode(
        MODELS[203], image(203, {18: 5, 22: scale, 46: [0, 9], 54: 0}), power_is_export=False
    ) == {"energy_import_wh": 9.0}


@pytest.mark.parametrize(
    ("raw", "scale", "factor"),
    [(-9350, -2, -0.935), (97, 0, 0.97), (93, -2, 0.93), (100, 0, 1.0), (-1000, -3, -1.0)],
)
def test_a_power_factor_comes_in_per_cent_or_as_it_is(raw, scale, factor):
    assert decode(MODELS[203], image(203, {33: raw, 37: scale}), power_is_export=False) == {
        "power_factor": pytest.approx(factor)
    }


def test_floats_of_an_inverter():
    data = floats(113, {2: 12.5, 22: 2841.5, 24: 50.0, 32: 1234567.0, 16: 230.25})
    assert decode(MODELS[113], data, power_is_export=True) == {
        "current_a": 12.5,
        "power_w": -2841.5,
        "frequency_hz": 50.0,
        "energy_export_wh": 1234567.0,
        "voltage_l1_v": 230.25,
    }


def test_floats_of_a_meter_whose_unknown_values_are_no_numbers():
    data = floats(213, {28: -812.5, 30: -800.25, 60: 4096.0, 68: 8192.0, 26: 49.5, 52: 95.0})
    assert decode(MODELS[213], data, power_is_export=False) == {
        "power_w": -812.5,
        "power_l1_w": -800.25,
        "energy_export_wh": 4096.0,
        "energy_import_wh": 8192.0,
        "frequency_hz": 49.5,
        "power_factor": 0.95,
    }


def test_model_701_counts_both_directions_in_64_bits():
    registers = {
        10: 3000,
        116: 0,
        17: [0, 50020],
        115: -3,
        19: [0, 0, 0x0100, 0],
        23: [0, 0, 0, 321],
        120: 0,
        41: 3000,
        47: 2315,
        114: -1,
    }
    registers |= {
        13: 0xFFFF,
        64: -0x8000,
        87: -0x8000,
        15: -0x8000,
        16: -0x8000,
        46: -0x8000,
        69: -0x8000,
        70: -0x8000,
        92: -0x8000,
    }
    registers |= {93: -0x8000}
    assert decode(MODELS[701], image(701, registers), power_is_export=True) == {
        "power_w": -3000.0,
        "power_l1_w": -3000.0,
        "frequency_hz": 50.02,
        "voltage_l1_v": 231.5,
        "energy_export_wh": 16_777_216.0,
        "energy_import_wh": 321.0,
    }


@given(st.sampled_from(sorted(MODELS)), st.binary(min_size=242, max_size=242), st.booleans())
def test_any_bytes_give_known_quantities_with_finite_values(number, data, exports):
    model = MODELS[number]
    values = decode(model, data[: 2 * model.count], power_is_export=exports)
    assert values.keys() <= {point.quantity for point in model.points} <= QUANTITIES.keys()
    assert all(abs(value) < float("inf") for value in values.values())
    assert all(
        value >= 0 or not quantity.startswith("energy") or model.floats
        for quantity, value in values.items()
    )


@pytest.mark.parametrize("number", sorted(MODELS))
def test_a_model_s_points_lie_inside_its_one_request_and_do_not_overlap(number):
    model = MODELS[number]
    taken = []
    words = {"int16": 1, "uint16": 1, "uint32": 2, "acc32": 2, "uint64": 4, "float32": 2}
    for point in model.points:
        taken += range(point.at, point.at + words[point.type])
    scales = {point.scale_at for point in model.points if point.scale_at is not None}
    assert len(set(taken) | scales) == len(taken) + len(scales)
    assert min(taken) >= 2
    assert max([*taken, *scales]) < model.count <= 125


def test_a_turn_is_reckoned_with_the_longest_model():
    assert max(model.count for model in MODELS.values()) == LONGEST_MODEL
