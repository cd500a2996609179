"""IEC 62056-21 values: ids in all their forms, exact numbers, and what is left out."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.iec62056.values import QUANTITIES, read_values
from drivers.sample import QUANTITIES as KNOWN

# Typed by hand after the forms that the makers use.
EASYMETER = b"""/ESY5Q3DA1024 V3.04\r
\r
1-0:0.0.0*255(0000112233445)\r
1-0:1.8.0*255(00012345.6789012*kWh)\r
1-0:2.8.0*255(00000007.5000000*kWh)\r
1-0:21.7.0*255(000100.50*W)\r
1-0:41.7.0*255(-000300.25*W)\r
1-0:61.7.0*255(000000.00*W)\r
1-0:1.7.0*255(-000199.75*W)\r
1-0:96.5.5*255(80)\r
0-0:96.1.255*255(1ESY1122334455)\r
!"""
EBZ = b"""/EBZ5DD32R06ETA_107\r
\r
1-0:0.0.0*255(1EBZ0100000001)\r
1-0:96.1.0*255(1EBZ0100000001)\r
1-0:1.8.0*255(000123.45678901*kWh)\r
1-0:16.7.0*255(000318.42*W)\r
1-0:36.7.0*255(000318.42*W)\r
1-0:56.7.0*255(-00010.00*W)\r
1-0:76.7.0*255(000010.00*W)\r
0-0:96.8.0*255(0020D4D5)\r
!"""
EMH = (
    b"/EMH5----eHZ-E00000\r\n\r\n1-0:0.0.0*255(331200-1234567)\r\n"
    b"1-0:1.8.1*255(032942.0234)\r\n1-0:96.5.5*255(80)\r\n!"
)
READOUT = b"""F.F(00000000)\r
0.0.0(12345678)\r
C.1.0(87654321)\r
0.9.1(120102)\r
1.8.0(0001234.567*kWh)1.8.1(0001000.000*kWh)1.8.2(0000234.567*kWh)\r
1.8.0*01(0001111.111*kWh)\r
1.8.0&02(0001000.111*kWh)\r
2.8.0(0000007.000*kWh)\r
1.6.1(4.112*kW)(1201011200)\r
1.7.0(0.500*kW)\r
2.7.0(0.200*kW)\r
21.7.0(0.500*kW)\r
22.7.0(0.200*kW)\r
32.7(230.1*V)\r
31.7(002.17*A)\r
14.7(49.98*Hz)\r
!\r
"""


def test_easymeter_tells_powers_with_a_sign() -> None:
    found = read_values(EASYMETER)
    assert found.quantities == {
        "energy_import_wh": 12345678.9012,
        "energy_export_wh": 7500.0,
        "power_w": -199.75,
        "power_l1_w": 100.5,
        "power_l2_w": -300.25,
        "power_l3_w": 0.0,
    }
    assert found.serial_number == "0000112233445"
    assert found.steps_wh["energy_import_wh"] == pytest.approx(1e-4)


def test_ebz_tells_power_and_phases_by_their_own_names() -> None:
    found = read_values(EBZ)
    assert found.quantities == {
        "energy_import_wh": 123456.78901,
        "power_w": 318.42,
        "power_l1_w": 318.42,
        "power_l2_w": -10.0,
        "power_l3_w": 10.0,
    }
    assert found.serial_number == "1EBZ0100000001"


def test_emh_writes_no_unit_which_the_profile_knows() -> None:
    assert read_values(EMH, "kWh").quantities == {
        "energy_import_wh": 32942023.4,
        "energy_import_t1_wh": 32942023.4,
    }
    assert read_values(EMH, "Wh").quantities["energy_import_wh"] == 32942.0234
    assert read_values(EMH).quantities == {}
    assert read_values(EMH).serial_number == "331200-1234567"


def test_a_readout_with_short_ids_past_values_and_several_sets_in_a_line() -> None:
    found = read_values(READOUT)
    assert found.quantities == {
        "energy_import_wh": 1234567.0,
        "energy_import_t1_wh": 1000000.0,
        "energy_import_t2_wh": 234567.0,
        "energy_export_wh": 7000.0,
        "power_import_w": 500.0,
        "power_export_w": 200.0,
        "power_w": 300.0,
        "power_import_l1_w": 500.0,
        "power_export_l1_w": 200.0,
        "power_l1_w": 300.0,
        "voltage_l1_v": 230.1,
        "current_l1_a": 2.17,
        "frequency_hz": 49.98,
    }
    assert found.serial_number == "87654321"
    assert found.steps_wh["energy_import_wh"] == 1.0


def test_every_quantity_is_known_to_samples() -> None:
    assert set(KNOWN) >= QUANTITIES


@given(
    whole=st.integers(0, 10**8 - 1),
    fraction=st.integers(0, 10**8 - 1),
    digits=st.integers(0, 8),
    prefix=st.sampled_from(["", "1-0:", "1-1:"]),
)
def test_energy_is_exact(whole: int, fraction: int, digits: int, prefix: str) -> None:
    number = f"{whole:08d}.{str(fraction).zfill(8)[:digits]}" if digits else f"{whole:08d}"
    found = read_values(f"{prefix}1.8.0({number}*kWh)\r\n".encode("ascii"))
    assert found.quantities == {"energy_import_wh": float(Decimal(number).scaleb(3))}
    assert found.steps_wh["energy_import_wh"] == pytest.approx(10.0 ** (3 - digits))


@given(tariffs=st.lists(st.integers(0, 10**8), min_size=1, max_size=4))
def test_without_a_total_the_tariffs_make_it_exactly(tariffs: list[int]) -> None:
    lines = "".join(
        f"2.8.{n}({raw // 1000}.{raw % 1000:03d}*kWh)\r\n" for n, raw in enumerate(tariffs, 1)
    )
    assert read_values(lines.encode("ascii")).quantities["energy_export_wh"] == sum(tariffs)


@pytest.mark.parametrize(
    "data_set",
    [
        b"1.8.0(00ER11)",
        b"1.8.0()",
        b"1.8.0(-5*kWh)",
        b"1.8.0(5*kW)",
        b"1.8.0(5)",
        b"1.8.0(1234567890123*kWh)",
        b"1.8.0*255 (5*kWh)",
        b"7-0:1.8.0(5*kWh)",
        b"11.8.0(5*kWh)",
        b"1.8.0.1(5*kWh)",
        b"1.8.0(1*kWh)\r\n1.8.0(2*kWh)",
        b"1.8.0(" + b"1" * 200 + b"*kWh)",
        b"1.8.0(5*kWh",
    ],
)
def test_what_cannot_be_read_is_left_out_and_the_rest_kept(data_set: bytes) -> None:
    assert read_values(data_set + b"\r\n16.7.0(5*W)\r\n").quantities == {"power_w": 5.0}


@pytest.mark.parametrize("number", [b"33\x1b[2J", b"33\x0012", b"\x7f", b" "])
def test_a_serial_number_that_cannot_be_printed_is_none(number: bytes) -> None:
    assert read_values(b"0.0.0(" + number + b")\r\n").serial_number is None
    assert read_values(b"0.0.0(" + number + b")\r\nC.1.0(3312)\r\n").serial_number == "3312"


def test_a_total_is_not_made_from_tariffs_of_which_one_is_broken() -> None:
    assert read_values(b"1.8.1(1*kWh)\r\n1.8.2(ER*kWh)\r\n").quantities == {
        "energy_import_t1_wh": 1000.0
    }


@given(st.binary(max_size=500))
def test_any_bytes_give_values(data: bytes) -> None:
    assert set(read_values(data, "kWh").quantities) <= QUANTITIES


def test_a_total_is_the_sum_of_every_tariff_there_is() -> None:
    sets = b"".join(b"1-0:1.8.%d*255(00000%d.0000*kWh)\r\n" % (n, n) for n in range(1, 7))
    values = read_values(sets)
    assert values.quantities["energy_import_wh"] == 21_000.0
    assert {name for name in values.quantities if name.startswith("_")} == set()
    broken = read_values(sets + b"1-0:1.8.7*255(ER)\r\n")
    assert "energy_import_wh" not in broken.quantities


def test_data_sets_of_which_nothing_is_made_are_named() -> None:
    values = read_values(b"1-0:1.8.0*255(000001.0000*kWh)\r\n1-0:96.5.5*255(82)\r\n32.7(ER)\r\n")
    assert values.unused == ("96.5.5", "32.7.0")


def test_the_number_of_a_meter_on_its_m_bus_is_not_the_meters_own() -> None:
    gas = b"0-1:96.1.0(4730303339303031)\r\n0-1:24.2.1(00124.477*m3)\r\n"
    own = b"0-0:96.1.1(4530303033)\r\n"
    assert read_values(b"1-0:1.8.0(1*kWh)\r\n" + gas).serial_number is None
    assert read_values(gas + own).serial_number == "4530303033"
    assert read_values(own + gas + b"1-0:96.1.0(7)\r\n").serial_number == "7"
