"""SML values: exact numbers, each maker's deviation, and whatever is broken named or left out."""

import sys
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sample import QUANTITIES as KNOWN
from drivers.simulated.sml import Entry, kermit, telegram, x25
from drivers.sml.transport import Frame, Framer
from drivers.sml.values import (
    MAX_DEPTH,
    MAX_SERIAL_CHARS,
    QUANTITIES,
    SmlError,
    Values,
    decode,
    read_values,
    serial_number,
)

EMH = bytes.fromhex("0a01454d480000010203")
DZG_OLD = bytes.fromhex("0a01445a470002 82225e")  # 42082910
DZG_NEW = bytes.fromhex("0a01445a470003 93a1c0")  # 60006848


def payload_of(data: bytes) -> bytes:
    (frame,) = Framer().feed(data)
    assert isinstance(frame, Frame)
    return frame.payload


def values(entries: Sequence[Entry], server_id: bytes = EMH, **options: object) -> Values:
    return read_values(payload_of(telegram(server_id, entries, **options)))  # type: ignore[arg-type]


def energy(code: str, raw: int | None, scaler: int = -1, **more: object) -> Entry:
    return Entry(code=f"1-0:{code}*255", raw=raw, unit=30, scaler=scaler, **more)  # type: ignore[arg-type]


def power(code: str, raw: int | None, scaler: int = -1, **more: object) -> Entry:
    return Entry(code=f"1-0:{code}*255", raw=raw, unit=27, scaler=scaler, **more)  # type: ignore[arg-type]


# A telegram typed by hand. The checksums are worked out bit by bit below; everything else is as it
# would be on the wire.
BY_HAND = (
    "76 05 00000001 62 00 62 00 72 63 01 01 76 01 01 04 063f3f 0b 0a01484c590200 5e8a31 01 01 63 "
    "CCCC 00",
    "76 05 00000002 62 00 62 00 72 63 07 01 77 01 0b 0a01484c590200 5e8a31 07 0100620affff 72 62 "
    "01 65 00a1b2c3"
    "  75"
    "    77 07 010060320101 01 01 01 01 04 484c59 01"  # the maker's letters
    # 0x012345 × 0.1 Wh, three bytes wide
    "    77 07 0100010800ff 65 001c0104 01 62 1e 52 ff 54 012345 01"
    "    77 07 0100020800ff 01 01 62 1e 52 ff 62 07 01"
    "    77 07 0100100700ff 01 01 62 1b 52 fe 53 ff38 01"  # -200 × 0.01 W
    "    77 07 0100200700ff 01 01 62 23 52 ff 63 08fc 01"  # 2300 × 0.1 V
    "  01 01 63 CCCC 00",
    "76 05 00000003 62 00 62 00 72 63 02 01 71 01 63 CCCC 00",
)


def by_hand() -> bytes:
    payload = b""
    for text in BY_HAND:
        message = bytes.fromhex(text.replace("CCCC", "0000"))
        crc = 0xFFFF
        for byte in message[:-4]:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
        payload += message[:-3] + (crc ^ 0xFFFF).to_bytes(2, "little") + b"\0"
    return payload


def test_a_telegram_typed_by_hand_gives_its_values() -> None:
    found = read_values(by_hand())
    assert found.quantities == {
        "energy_import_wh": 7456.5,
        "energy_export_wh": 0.7,
        "power_w": -2.0,
        "voltage_l1_v": 230.0,
    }
    assert found.serial_number == "1HLY0206195761"
    assert found.steps_wh == {"energy_import_wh": 0.1, "energy_export_wh": 0.1}


def test_every_quantity_is_known_to_samples() -> None:
    assert set(KNOWN) >= QUANTITIES


def test_all_objects_of_a_big_meter() -> None:
    entries = [
        energy("1.8.0", 1),
        energy("2.8.0", 2),
        energy("1.8.1", 3),
        energy("1.8.2", 4),
        power("16.7.0", -5),
    ]
    entries += [power(f"{n}.7.0", n) for n in (36, 56, 76)]
    entries += [Entry(code=f"1-0:{n}.7.0*255", raw=n, unit=35, scaler=0) for n in (32, 52, 72)]
    entries += [Entry(code=f"1-0:{n}.7.0*255", raw=n, unit=33, scaler=-2) for n in (31, 51, 71)]
    entries += [
        Entry(code="1-0:14.7.0*255", raw=499, unit=44, scaler=-1),
        Entry(code="1-0:81.7.1*255", raw=120, unit=8, scaler=0),
    ]
    assert values(entries).quantities == {
        "energy_import_wh": 0.1,
        "energy_export_wh": 0.2,
        "energy_import_t1_wh": 0.3,
        "energy_import_t2_wh": 0.4,
        "power_w": -0.5,
        "power_l1_w": 3.6,
        "power_l2_w": 5.6,
        "power_l3_w": 7.6,
        "voltage_l1_v": 32.0,
        "voltage_l2_v": 52.0,
        "voltage_l3_v": 72.0,
        "current_l1_a": 0.31,
        "current_l2_a": 0.51,
        "current_l3_a": 0.71,
        "frequency_hz": 49.9,
    }


@given(
    raw=st.integers(0, 10**12),
    scaler=st.integers(-6, 4),
    width=st.integers(1, 8),
    signed=st.booleans(),
    power_raw=st.integers(-(2**39), 2**39),
)
def test_energy_is_exact_and_power_keeps_its_sign_at_every_width(
    raw: int, scaler: int, width: int, signed: bool, power_raw: int
) -> None:
    entries = [
        energy("1.8.0", raw, scaler, width=width, signed=signed),
        power("16.7.0", power_raw, -2, width=width),
    ]
    found = values(entries).quantities
    assert found["energy_import_wh"] == float(Decimal(raw).scaleb(scaler))
    assert found["power_w"] == float(Decimal(power_raw).scaleb(-2))


@given(tariffs=st.lists(st.integers(0, 10**9), min_size=1, max_size=4))
def test_without_a_total_the_tariffs_of_the_same_telegram_make_it_exactly(
    tariffs: list[int],
) -> None:
    entries = [energy(f"1.8.{n}", raw) for n, raw in enumerate(tariffs, 1)]
    found = values(entries)
    assert found.quantities["energy_import_wh"] == sum(tariffs) / 10
    assert found.steps_wh["energy_import_wh"] == 0.1


# What makers do differently


def test_dzg_power_with_a_bit_too_few_is_what_the_status_says() -> None:
    short = power("16.7.0", -29912, -2, width=2)
    assert (
        values([energy("1.8.0", 1, status=0x1C0104), short], DZG_OLD).quantities["power_w"]
        == 356.24
    )
    assert (
        values([energy("1.8.0", 1, status=0x1C0904), short], DZG_OLD).quantities["power_w"]
        == -299.12
    )
    assert values([energy("1.8.0", 1), short], DZG_OLD).quantities["power_w"] == -299.12
    assert (
        values([energy("1.8.0", 1, status=0x1C0104), short], DZG_NEW).quantities["power_w"]
        == -299.12
    )
    assert (
        values([energy("1.8.0", 1, status=0x1C0104), short], EMH).quantities["power_w"] == -299.12
    )


@pytest.mark.parametrize(("status", "power_w"), [(0x182, 126.6), (0x1B0, -126.6), (0x1A2, -126.6)])
def test_emh_power_without_sign_takes_it_from_the_status(status: int, power_w: float) -> None:
    entries = [
        energy("1.8.0", 15, status=status),
        energy("2.8.0", 1, status=0x8),
        power("15.7.0", 1266),
    ]
    assert values(entries).quantities["power_w"] == power_w


def test_emh_gw8_names_its_power_1_7_0_and_its_total_1_8_1() -> None:
    found = values([energy("1.8.1", 1234), power("1.7.0", 500)]).quantities
    assert found == {"energy_import_wh": 123.4, "energy_import_t1_wh": 123.4, "power_w": 50.0}


def test_emh_ehz361_names_its_power_1_7_1_with_a_sign() -> None:
    found = values([energy("2.8.1", 1234), power("1.7.1", -500)]).quantities
    assert found == {"energy_export_wh": 123.4, "energy_export_t1_wh": 123.4, "power_w": -50.0}


def test_neuhaus_tells_only_what_is_exported() -> None:
    assert values([energy("2.8.0", 1234), power("15.7.0", 500)]).quantities == {
        "energy_export_wh": 123.4,
        "power_w": -50.0,
    }


def test_a_power_whose_direction_nothing_tells_is_left_out() -> None:
    assert values([energy("1.8.0", 1), power("15.7.0", 500)]).quantities["power_w"] == 50.0
    assert (
        "power_w"
        not in values([energy("1.8.0", 1), energy("2.8.0", 1), power("15.7.0", 500)]).quantities
    )


def test_power_in_two_directions_is_netted() -> None:
    assert values([power("1.7.0", 500), power("2.7.0", 700)]).quantities["power_w"] == -20.0


def test_a_power_with_a_sign_goes_before_its_other_names() -> None:
    assert (
        values([power("15.7.0", 1), power("1.7.0", 2), power("16.7.0", -3)]).quantities["power_w"]
        == -0.3
    )


def test_holley_on_rs485_has_another_checksum_a_bare_time_and_past_values() -> None:
    entries = [energy("1.8.0", 999)] + [
        Entry(code=f"1-0:1.8.0*{n}", raw=n, unit=30, scaler=-1) for n in range(96, 101)
    ]
    assert values(entries, checksum=kermit, bare_time=True).quantities == {"energy_import_wh": 99.9}


def test_easymeter_and_ebz_count_in_tiny_steps() -> None:
    found = values([energy("1.8.0", 123456789, -4), energy("2.8.0", 123456789, -5)])
    assert found.quantities == {"energy_import_wh": 12345.6789, "energy_export_wh": 1234.56789}
    assert found.steps_wh["energy_export_wh"] == pytest.approx(1e-5)


def test_whole_kwh_show_in_the_step() -> None:
    assert values([energy("1.8.0", 1234, 3), energy("2.8.0", 0, 3)]).steps_wh == {
        "energy_import_wh": 1000.0,
        "energy_export_wh": 1000.0,
    }


def test_registers_that_are_rounded_to_whole_kwh_are_noticed_where_power_is_missing() -> None:
    entries = [energy("1.8.0", 12340000), energy("2.8.0", 0)]
    assert values(entries).rounded
    assert not values([*entries, power("16.7.0", 0)]).rounded
    assert not values([energy("1.8.0", 0), energy("2.8.0", 0)]).rounded, "a new meter"
    assert not values([energy("1.8.0", 12340001), energy("2.8.0", 0)]).rounded


def test_a_value_that_is_not_set_is_left_out() -> None:
    assert values([energy("1.8.0", 17), power("16.7.0", None)]).quantities == {
        "energy_import_wh": 1.7
    }


@pytest.mark.parametrize(
    ("server_id", "text"),
    [
        ("0a01454d480000bc614e", "1EMH0012345678"),
        ("09014953 4b0003 93a1c0", "1ISK0060006848"),
        ("0a0144 5a 4702 0293a1c0", "1DZG0243229632"),
        ("06454d4801047153", "06454D4801047153"),
        ("0a01454d4800ffffffff", "0A01454D4800FFFFFFFF"),
        (b"1EBZ0100000001".hex(), "1EBZ0100000001"),
        ("", None),
    ],
)
def test_a_serial_number_is_as_printed_on_the_meter(server_id: str, text: str | None) -> None:
    assert serial_number(bytes.fromhex(server_id)) == text


@pytest.mark.parametrize("server_id", [b"A" * 8000, b"\xff" * 8000])
def test_a_serial_number_has_a_length_that_can_be_shown(server_id: bytes) -> None:
    assert len(serial_number(server_id) or "") == MAX_SERIAL_CHARS


@pytest.mark.parametrize("code", ["1-0:96.1.0*255", "0-0:96.1.0*255", "1-0:0.0.9*255"])
def test_the_meters_id_in_the_list_serves_where_there_is_no_server_id(code: str) -> None:
    other = Entry(code=code, raw=bytes.fromhex("0a01454d480000bc614e"))
    assert values([other, energy("1.8.0", 1)], b"").serial_number == "1EMH0012345678"
    assert values([other, energy("1.8.0", 1)], DZG_NEW).serial_number == "1DZG0060006848"


# What is broken


@pytest.mark.parametrize(
    "entry",
    [
        Entry(code="1-0:1.8.0*255", raw=5, unit=27, scaler=0),
        Entry(code="1-0:1.8.0*255", raw=5, unit=None, scaler=0),
        Entry(code="1-0:1.8.0*255", raw=-5, unit=30, scaler=0),
        Entry(code="1-0:1.8.0*255", raw=5, unit=30, scaler=100),
        Entry(code="1-0:1.8.0*255", raw=b"text", unit=30, scaler=0),
        Entry(code="0-0:1.8.0*255", raw=5, unit=30, scaler=0),
    ],
)
def test_a_broken_register_is_left_out_and_the_rest_kept(entry: Entry) -> None:
    assert values([entry, power("16.7.0", 5)]).quantities == {"power_w": 0.5}


def test_an_object_that_is_there_twice_with_different_values_is_left_out_and_so_is_its_total() -> (
    None
):
    assert values([energy("1.8.0", 1), energy("1.8.0", 2), energy("1.8.1", 3)]).quantities == {
        "energy_import_t1_wh": 0.3
    }
    assert values([energy("1.8.1", 1), energy("1.8.1", 2), energy("1.8.2", 3)]).quantities == {
        "energy_import_t2_wh": 0.3
    }


def test_a_message_whose_own_checksum_is_wrong_is_refused() -> None:
    payload = payload_of(telegram(EMH, [energy("1.8.0", 1)]))
    broken = payload.replace(bytes.fromhex("52ff"), bytes.fromhex("5203"))
    with pytest.raises(
        SmlError, match=r"wrong checksum of its own \(ff ff ff .* …\)$"
    ):  # it may be as long as the file
        read_values(bytes.fromhex("76 01 01 01 72 62 01 01 8f 8a 03") + b"\xff" * 4000 + b"\x00")
    with pytest.raises(SmlError, match="wrong checksum of its own"):
        read_values(broken)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000])
@pytest.mark.parametrize("list_head", [b"\x71", b"\x77", b"\xf0\x01"])
def test_lists_nested_too_deep_are_refused_without_using_up_the_stack(
    depth: int, list_head: bytes
) -> None:
    limit = sys.getrecursionlimit()
    with pytest.raises(SmlError, match=f"nested more than {MAX_DEPTH} deep"):
        read_values(list_head * depth + b"\x00")
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("77 01 01", "ends inside an element"),
        ("71 0b 01 02", "ends inside an element"),
        ("ff 8f 8f 8f 8f 01", "length of more than four bytes"),
        ("71 80 00", "shorter than its own length"),
        ("01", "does not begin with a list"),
        ("72 01 01", "is not a message"),
        ("ff 0f 01", "ends inside an element"),
    ],
)
def test_what_is_no_sml_is_refused_by_name(payload: str, words: str) -> None:
    with pytest.raises(SmlError, match=words):
        read_values(bytes.fromhex(payload))


@given(st.binary(max_size=400))
def test_any_bytes_give_values_or_a_named_error(data: bytes) -> None:
    try:
        read_values(data)
    except SmlError as error:
        assert str(error)


@given(st.integers(0, 200), st.integers(0, 255))
def test_any_change_of_a_proper_message_gives_values_or_a_named_error(at: int, byte: int) -> None:
    payload = bytearray(payload_of(telegram(EMH, [energy("1.8.0", 1), power("16.7.0", 5)])))
    payload[at % len(payload)] = byte
    try:
        read_values(bytes(payload))
    except SmlError as error:
        assert str(error)


def test_a_long_octet_string_has_a_length_of_two_bytes() -> None:
    tree, end = decode(bytes.fromhex("71 83 02") + bytes(48), 0)
    assert (tree, end) == ([bytes(49)], 51)


def test_a_message_checksum_without_its_leading_zero_is_taken() -> None:
    for number in range(2000):
        begun = (
            b"\x76\x05" + number.to_bytes(4, "big") + bytes.fromhex("62 00 62 00 72 63 02 01 71 01")
        )
        if x25(begun)[0] == 0:
            assert read_values(begun + b"\x62" + x25(begun)[1:] + b"\x00").quantities == {}
            return
    pytest.fail("no message has such a checksum")


@pytest.mark.parametrize("way", ["import", "export"])
def test_a_total_is_the_sum_of_every_tariff_there_is(way: str) -> None:
    group = {"import": 1, "export": 2}[way]
    tariffs = [energy(f"{group}.8.{n}", n * 10_000) for n in range(1, 7)]
    read = values([*tariffs, energy(f"{group}.8.13", 5)])
    assert read.widened == (f"energy_{way}_wh",)
    assert values(tariffs[:4]).widened == ()
    assert read.quantities[f"energy_{way}_wh"] == 21_000.5
    assert f"energy_{way}_t5_wh" not in read.quantities
    assert {name for name in read.quantities if name.startswith("_")} == set()
    unset = values([*tariffs, energy(f"{group}.8.7", None)])
    assert f"energy_{way}_wh" not in unset.quantities, "part of it is not told"
    own = values([*tariffs, energy(f"{group}.8.0", 30)])
    assert own.quantities[f"energy_{way}_wh"] == 3.0


DZG_WS74 = bytes.fromhex("0a01445a470002 fc07a7")


def test_the_power_of_a_dzg_meter_that_counts_one_way_is_never_negative() -> None:
    phase = power("36.7.0", -14836, -2)  # as two bytes, C6 0C: 507.00 W
    read = values([energy("1.8.0", 1_000, status=0x40104), phase], DZG_WS74)
    assert read.quantities["power_l1_w"] == 507.0
    registers = [energy("1.8.0", 1_000, status=0x40104), energy("2.8.0", 0)]
    both_ways = values([*registers, phase], DZG_WS74)
    assert both_ways.quantities["power_l1_w"] == -148.36


def test_phases_of_an_old_dzg_meter_are_those_that_add_up_to_its_power() -> None:
    phases = [
        power("36.7.0", 50700 - 65536, -2),
        power("56.7.0", -10000, -2),  # this one does export
        power("76.7.0", 400, -2),
    ]
    registers = [energy("1.8.0", 1_000, status=0x10180), energy("2.8.0", 0)]
    read = values([*registers, power("16.7.0", 41100 - 65536, -2), *phases], DZG_OLD)
    assert read.quantities["power_w"] == 411.0
    shown = [read.quantities[f"power_l{n}_w"] for n in (1, 2, 3)]
    assert shown == [507.0, -100.0, 4.0]


def test_numbers_of_which_nothing_is_made_are_named() -> None:
    read = values([energy("1.8.0", 1_000), energy("3.8.0", 5), power("77.7.0", 4)])
    assert read.unused == ("1-0:3.8.0", "1-0:77.7.0")
