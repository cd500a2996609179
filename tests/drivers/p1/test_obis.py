"""Values out of telegrams: exact, by unit, field by field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.p1.obis import QUANTITIES
from drivers.p1.reader import read_values
from drivers.sample import QUANTITIES as KNOWN


def values_of(*lines: bytes, tariffs: tuple[int, ...] = ()) -> dict[str, float]:
    return dict(read_values(telegram(*lines), tariffs).quantities)


def telegram(*lines: bytes) -> bytes:
    return b"/GWY5\\TEST\r\n\r\n" + b"".join(line + b"\r\n" for line in lines) + b"!"


DSMR5 = (
    b"1-3:0.2.8(50)",
    b"0-0:1.0.0(240301120000W)",
    b"0-0:96.1.1(4530303031323334)",
    b"1-0:1.8.1(123456.789*kWh)",
    b"1-0:1.8.2(000100.001*kWh)",
    b"1-0:2.8.1(000000.000*kWh)",
    b"1-0:2.8.2(000007.500*kWh)",
    b"0-0:96.14.0(0002)",
    b"1-0:1.7.0(00.000*kW)",
    b"1-0:2.7.0(01.193*kW)",
    b"0-0:96.7.21(00004)",
    b"1-0:99.97.0(1)(0-0:96.7.19)(240101000000W)(0000000240*s)",
    b"1-0:32.32.0(00002)",
    b"0-0:96.13.0()",
    b"1-0:32.7.0(230.1*V)",
    b"1-0:52.7.0(229.9*V)",
    b"1-0:31.7.0(001*A)",
    b"1-0:21.7.0(00.100*kW)",
    b"1-0:22.7.0(00.000*kW)",
    b"1-0:41.7.0(00.000*kW)",
    b"1-0:42.7.0(01.293*kW)",
    b"0-1:24.1.0(003)",
    b"0-1:96.1.0(4730303035363738)",
    b"0-1:24.2.1(240301115500W)(12785.123*m3)",
    b"0-2:24.1.0(007)",
    b"0-2:24.2.1(240301115500W)(00872.234*m3)",
)


def test_every_quantity_of_the_parser_is_a_known_one() -> None:
    assert set(KNOWN) >= QUANTITIES


def test_a_dsmr5_telegram_gives_all_its_values() -> None:
    values = read_values(telegram(*DSMR5))
    assert values.serial_number == "E0001234"
    assert dict(values.quantities) == {
        "energy_import_wh": 123556790.0,
        "energy_import_t1_wh": 123456789.0,
        "energy_import_t2_wh": 100001.0,
        "energy_export_wh": 7500.0,
        "energy_export_t1_wh": 0.0,
        "energy_export_t2_wh": 7500.0,
        "power_w": -1193.0,
        "power_import_w": 0.0,
        "power_export_w": 1193.0,
        "voltage_l1_v": 230.1,
        "voltage_l2_v": 229.9,
        "current_l1_a": 1.0,
        "power_l1_w": 100.0,
        "power_import_l1_w": 100.0,
        "power_export_l1_w": 0.0,
        "power_l2_w": -1293.0,
        "power_import_l2_w": 0.0,
        "power_export_l2_w": 1293.0,
        "tariff": 2.0,
        "gas_m3": 12785.123,
        "water_m3": 872.234,
    }


def test_line_ends_do_not_matter() -> None:
    expected = read_values(telegram(*DSMR5))
    for line_end in (b"\n", b"\r"):
        assert read_values(telegram(*DSMR5).replace(b"\r\n", line_end)) == expected


@given(st.permutations(DSMR5))
def test_the_order_of_the_lines_does_not_matter(lines: list[bytes]) -> None:
    assert read_values(telegram(*lines)) == read_values(telegram(*DSMR5))


@given(st.integers(0, 10**12 - 1))
def test_energy_is_exact_to_the_watt_hour(wh: int) -> None:
    text = b"1-0:1.8.0(%09d.%03d*kWh)" % divmod(wh, 1000)
    assert values_of(text)["energy_import_wh"] == wh


@given(st.binary(max_size=400))
def test_any_bytes_give_values_or_nothing_but_no_error(raw: bytes) -> None:
    read_values(b"/GWY5\r\n\r\n1-0:1.8.0(" + raw)


@given(
    st.lists(
        st.sampled_from(
            [*DSMR5, b"(", b")", b"1-0:", b"*kWh", b"\r\n", b"0-1:24.3.0(1)", b"\xff\x00"]
        ),
        max_size=12,
    )
)
def test_any_mixture_of_fragments_gives_no_error_and_finite_values(parts: list[bytes]) -> None:
    for name, value in read_values(b"/GWY5\r\n" + b"".join(parts)).quantities.items():
        assert name in QUANTITIES
        assert abs(value) < 1e16


# units


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (b"1-0:1.8.0(000326641*Wh)", "energy_import_wh", 326641.0),
        (b"1-0:1.8.0(00006678.394*KWH)", "energy_import_wh", 6678394.0),
        (b"1-0:1.8.0(116.372kWh)", "energy_import_wh", 116372.0),
        (b"1-0:1.8.0(00007137.694*kWh )", "energy_import_wh", 7137694.0),
        (b"1-0:1.8.0*255(000001.000*kWh)", "energy_import_wh", 1000.0),
        (b"1-1:1.8.0(000001.000*kWh)", "energy_import_wh", 1000.0),
        (b"1-0:1.8.0(32942.0234*kWh)", "energy_import_wh", 32942023.4),
        (b"1-0:1.7.0(000000621*W)", "power_import_w", 621.0),
        (b"1-0:1.7.0(0001.19*kW)", "power_import_w", 1190.0),
        (b"1-0:32.7.0(0.231*kV)", "voltage_l1_v", 231.0),
        (b"1-0:71.7.0(004.2*A)", "current_l3_a", 4.2),
        (b"1-0:31.7.0(-063*A)", "current_l1_a", -63.0),
        (b"1-0:14.7.0(49.98*Hz)", "frequency_hz", 49.98),
        (b"1-0:3.8.0(00000001.500*kVArh)", "reactive_energy_import_varh", 1500.0),
        (b"1-0:1.4.0(02.351*kW)", "demand_import_w", 2351.0),
    ],
)
def test_the_unit_text_scales_the_value(line: bytes, name: str, value: float) -> None:
    assert values_of(line) == {name: value}


@pytest.mark.parametrize(
    "line",
    [
        b"1-0:1.8.0(000001.000)",
        b"1-0:1.8.0(000001.000*kvarh)",
        b"1-0:1.8.0(000001.000*m3)",
        b"1-0:1.8.0(-00001.000*kWh)",
        b"1-0:1.8.0(ER23)",
        b"1-0:1.8.0((ER11))",
        b"1-0:1.8.0()",
        b"1-0:1.8.0(0000\xff1.000*kWh)",
        b"1-0:1.8.0(000001.000*kWh",
        b"1-0:1.8.0(000001.000*kWh)1-0:2.7.0(00.000*kW)",
        b"1-0:1.8.0(1234567890123.000*kWh)",
        b"1-0:1:8.0(000001.000*kWh)",
        b"x1-0:1.8.0(000001.000*kWh)",
        b"2-0:1.8.0(000001.000*kWh)",
    ],
)
def test_an_unreadable_field_is_left_out_and_the_rest_kept(line: bytes) -> None:
    assert values_of(line, b"1-0:1.7.0(00.318*kW)") == {"power_import_w": 318.0}


# totals


def test_the_meters_own_total_goes_before_the_sum() -> None:
    values = values_of(
        b"1-0:1.8.0(000010.000*kWh)", b"1-0:1.8.1(000004.000*kWh)", b"1-0:1.8.2(000005.999*kWh)"
    )
    assert values["energy_import_wh"] == 10_000.0


def test_four_tariffs_add_up() -> None:
    assert (
        values_of(*(b"1-0:2.8.%d(00000%d.001*kWh)" % (n, n) for n in range(1, 5)))[
            "energy_export_wh"
        ]
        == 10_004.0
    )


@pytest.mark.parametrize("broken", [b"1-0:1.8.2(ER23)", b"1-0:1.8.0(ER23)"])
def test_there_is_no_total_where_a_part_of_it_is_unreadable(broken: bytes) -> None:
    assert values_of(b"1-0:1.8.1(000004.000*kWh)", broken) == {"energy_import_t1_wh": 4_000.0}


def test_there_is_no_total_where_a_tariff_of_the_model_is_missing() -> None:
    line = b"1-0:1.8.1(000004.000*kWh)"
    assert "energy_import_wh" in values_of(line)
    assert "energy_import_wh" not in values_of(line, tariffs=(1, 2))


def test_a_register_that_comes_twice_with_different_values_is_none() -> None:
    assert values_of(b"1-0:1.8.0(000004.000*kWh)", b"1-0:1.8.0(000004.001*kWh)") == {}
    assert values_of(b"1-0:1.8.0(000004.000*kWh)", b"1-0:1.8.0(000004.000*kWh)") == {
        "energy_import_wh": 4_000.0
    }


def test_net_power_needs_both_directions_and_both_may_flow() -> None:
    assert "power_w" not in values_of(b"1-0:1.7.0(00.250*kW)")
    assert "power_w" not in values_of(b"1-0:1.7.0(00.250*kW)", b"1-0:2.7.0(ER11)")
    assert values_of(b"1-0:1.7.0(00.250*kW)", b"1-0:2.7.0(00.168*kW)")["power_w"] == 82.0


# M-Bus


def test_gas_of_dsmr_2_stands_on_a_line_of_its_own() -> None:
    lines = (
        b"0-1:24.1.0(3)",
        b"0-1:24.3.0(130401120000)(2C)(60)(1)(0-1:24.2.1)(m3)",
        b"(00345.678)",
        b"0-1:24.4.0(1)",
    )
    assert values_of(*lines) == {"gas_m3": 345.678}


def test_the_device_type_says_what_flows_on_whatever_channel() -> None:
    lines = (
        b"0-4:24.2.1(240301110000W)(00012.500*GJ)",
        b"0-4:24.1.0(004)",
        b"0-2:24.2.3(240301110000W)(00001.000*m3)",
        b"0-2:24.1.0(003)",
    )
    assert values_of(*lines) == {"heat_gj": 12.5, "gas_m3": 1.0}
    assert values_of(b"0-1:24.2.1(240301110000W)(00001.000*m3)") == {}


@pytest.mark.parametrize(
    "slot",
    [
        b"(700101010000W)(00000000)",
        b"(632525252525S)(00000.000)",
        b"(000101010000W)(0000000000)",
        b"(000101010000W)(00000.000*m3)",
    ],
)
def test_an_empty_channel_gives_no_reading(slot: bytes) -> None:
    assert values_of(b"0-1:24.1.0(003)", b"0-1:24.2.1" + slot) == {}


def test_of_two_gas_meters_the_latest_reading_counts() -> None:
    old, new = (
        b"0-1:24.2.1(231201110000W)(99999.000*m3)",
        b"0-2:24.2.1(240301110000W)(00001.000*m3)",
    )
    for lines in ((old, new), (new, old)):
        assert values_of(b"0-1:24.1.0(003)", b"0-2:24.1.0(003)", *lines) == {"gas_m3": 1.0}


# who it is


@pytest.mark.parametrize(
    ("lines", "serial_number"),
    [
        ([b"0-0:96.1.1(204B413655303031)"], "KA6U001"),
        ([b"0-0:42.0.0(53414731303330)"], "SAG1030"),
        ([b"0-0:42.0.0(53414731303330)", b"0-0:96.1.1(4530303031)"], "E0001"),
        ([b"0-0:96.1.1(12345678)"], "12345678"),
        ([b"0-0:96.1.1(AUX0012)"], "AUX0012"),
        ([b"0-0:96.1.1()"], None),
        ([b"0-0:96.1.1(\xff\xff)"], None),
        ([b"0-1:96.1.1(4530303031)"], None),
        ([], None),
    ],
)
def test_the_serial_number_is_the_meters_own(lines: list[bytes], serial_number: str | None) -> None:
    assert read_values(telegram(*lines)).serial_number == serial_number


def test_a_tariff_that_is_no_number_is_left_out() -> None:
    assert values_of(b"0-0:96.14.0(TARIFF 1)") == {}
    assert values_of(b"0-0:96.14.0(0001)") == {"tariff": 1.0}
