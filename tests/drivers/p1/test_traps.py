"""What real meters and cables do against the rules, trap by trap: bytes in, values or a named error
out.

The numbers are those of the list this was typed from; 29, 31, 33 and 34 are about buffers and time
and are tested at their bounds.
"""

import pytest

from drivers.line import BadReply, NoReply
from drivers.p1.driver import P1Driver
from drivers.p1.reader import read_values
from drivers.p1.telegram import MAX_TELEGRAM_BYTES, Event, Framer
from drivers.p1.told import Values, utc_of
from drivers.profile import DeviceAddress, load_profile
from drivers.text_telegram import ChecksumPolicy, Damaged, Telegram, fault
from tests.drivers.p1.telegrams.written import crc16_arc, sealed, written
from tests.drivers.scripted import ScriptedLine, in_virtual_time

WRITTEN = {each.name: each for each in written()}
GOOD = WRITTEN["dsmr5"].data
IMPORT_WH = WRITTEN["dsmr5"].values["energy_import_wh"]


def events_of(stream: bytes) -> list[Event]:
    framer = Framer()
    return [*framer.feed(stream), *framer.silence()]


def proper(stream: bytes, policy: ChecksumPolicy = "required") -> list[Values]:
    """What a stream gives under a policy."""
    telegrams = [event for event in events_of(stream) if isinstance(event, Telegram)]
    return [read_values(telegram.raw) for telegram in telegrams if fault(telegram, policy) is None]


def fault_of(stream: bytes, policy: ChecksumPolicy = "required") -> str | None:
    [telegram] = [event for event in events_of(stream) if isinstance(event, Telegram)]
    return fault(telegram, policy)


def values_of(*lines: bytes, utc_offset_h: float = 1) -> dict[str, float]:
    raw = b"/GWY5\r\n\r\n" + b"".join(line + b"\r\n" for line in lines) + b"!"
    return dict(read_values(raw, (), utc_offset_h).quantities)


def reads(data: list[bytes], profile: str) -> tuple[dict[str, float] | str, int]:
    """What the driver makes of telegrams 10 s apart: its first reading's values or its error's
    words, and how many were damaged.
    """
    result: list[tuple[dict[str, float] | str, int]] = []

    async def scenario() -> None:
        line = ScriptedLine(10 / 115200)
        for n, each in enumerate(data):
            line.sends(1000.3 + 10 * n, each)
        driver = load_profile(profile).open_driver(DeviceAddress(name="grid"), line)
        assert isinstance(driver, P1Driver)
        try:
            reading = await driver.read(1000.0)
            result.append((dict(reading.values), driver.damaged))
        except (BadReply, NoReply) as error:
            result.append((str(error), driver.damaged))

    in_virtual_time(scenario)
    return result[0]


def test_trap_1_no_checksum_at_all_is_fine_where_the_model_sends_none() -> None:
    old = WRITTEN["dsmr2.2"]
    assert reads([old.data], "dsmr/dsmr2.2") == (old.values, 0)
    assert reads([WRITTEN["slovenia"].data], "p1/slovenia") == (WRITTEN["slovenia"].values, 0)
    text, damaged = reads([old.data] * 3, "dsmr/dsmr4")
    assert (damaged, "no checksum after '!'" in str(text)) == (3, True)


def test_trap_2_a_checksum_in_lower_case_or_without_leading_zero_is_right() -> None:
    assert len(proper(GOOD[:-6] + GOOD[-6:].lower())) == 1
    number = next(
        n for n in range(10_000) if crc16_arc(b"/GWY5\r\n\r\n1-0:1.8.0(%09d*Wh)\r\n!" % n) < 0x1000
    )
    text = b"/GWY5\r\n\r\n1-0:1.8.0(%09d*Wh)\r\n!" % number
    assert proper(text + b"%X\r\n" % crc16_arc(text))[0].quantities == {"energy_import_wh": number}


@pytest.mark.parametrize("junk", [b"\0\r\n", b"\xff", b""])
def test_trap_3_junk_or_nothing_after_the_checksum_hides_no_telegram(junk: bytes) -> None:
    assert len(proper(GOOD[:-2] + junk)) == 1
    assert len(proper(GOOD[:-2] + junk + GOOD)) == 2


def test_trap_4_attached_in_the_middle_the_tail_is_noise() -> None:
    assert len(proper(GOOD[400:] + GOOD)) == 1


@pytest.mark.parametrize(("at", "length"), [(300, 12), (350, 1), (120, 200)])
def test_trap_5_lost_bytes_cost_that_telegram_and_no_other(at: int, length: int) -> None:
    fused = GOOD[:at] + GOOD[at + length :]
    assert "wrong checksum" in (fault_of(fused) or "")
    assert reads([fused, GOOD], "dsmr/dsmr5")[1] == 1


def test_trap_6_of_two_telegrams_in_one_the_second_counts() -> None:
    damaged, whole = events_of(GOOD[:300] + b"\r\n" + GOOD)
    assert isinstance(damaged, Damaged)
    assert "cut off" in damaged.reason
    assert isinstance(whole, Telegram)
    assert fault(whole, "required") is None


def test_trap_7_slash_and_exclamation_mark_in_texts_mean_nothing() -> None:
    text = (
        b"/HLY5/D545-METER\r\n\r\n0-0:96.13.0(test-/-test! /abc)\r\n1-0:1.8.0(000001.000*kWh)\r\n!"
    )
    assert proper(sealed(text))[0].quantities == {"energy_import_wh": 1000.0}


def test_trap_8_the_end_may_follow_the_last_value_at_once() -> None:
    assert proper(sealed(b"/GWY5\r\n\r\n1-0:71.7.0(004.2*A)!"))[0].quantities == {
        "current_l3_a": 4.2
    }


def test_trap_9_bytes_beyond_ascii_end_nothing() -> None:
    text = (
        b"/GWY5\r\n\r\n0-0:96.13.0("
        + b"\xff" * 1024
        + b")\r\n0-1:24.1.0(003)\r\n0-1:24.2.1(260301115500W)(00012.5*m\xb3)\r\n!"
    )
    assert proper(sealed(text))[0].quantities == {"gas_m3": 12.5}
    with_parity = bytes(byte | (byte.bit_count() % 2) << 7 for byte in GOOD)
    assert "7 data bits and even parity" in str(reads([with_parity] * 3, "dsmr/dsmr5")[0])


def test_trap_10_doubled_ff_is_named_as_telnet() -> None:
    hungary = WRITTEN["hungary"].data
    assert "telnet" in (fault_of(hungary.replace(b"\xff", b"\xff\xff")) or "")
    assert "wrong checksum" in (fault_of(hungary.replace(b"\xff", b"")) or "")


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\r\n", b"\n\n", b"\r\r"])
def test_trap_11_rewritten_line_ends_are_put_right(line_end: bytes) -> None:
    rewritten = GOOD.replace(b"\r\n", line_end)
    assert proper(rewritten, "optional")[0].quantities["energy_import_wh"] == IMPORT_WH
    values, damaged = reads([rewritten] * 3, "dsmr/dsmr5")
    assert (values, damaged) == reads([GOOD] * 3, "dsmr/dsmr5")


@pytest.mark.parametrize("blank", [b"", b"\r\n\r\n"])
def test_trap_12_blank_lines_mean_nothing(blank: bytes) -> None:
    text = GOOD[: GOOD.index(b"!") + 1].replace(b"\r\n\r\n", b"\r\n" + blank, 1)
    assert proper(sealed(text))[0].quantities["energy_import_wh"] == IMPORT_WH


def test_trap_13_a_value_may_stand_on_the_next_line() -> None:
    assert values_of(b"1-0:1.8.0", b"(000001.000*kWh)", b"0-0:98.1.0(1)", b"(000002.000*kWh)") == {
        "energy_import_wh": 1000.0
    }
    gas = (b"0-1:24.1.0(3)", b"0-1:24.3.0(120517020000)(08)(60)(1)(0-1:24.2.1)(m3)", b"(00124.477)")
    assert values_of(*gas) == {"gas_m3": 124.477}


def test_trap_14_the_star_may_be_missing() -> None:
    assert values_of(b"1-0:1.8.0(116.372kWh)") == {"energy_import_wh": 116372.0}


def test_trap_15_a_value_without_unit_is_left_out_not_guessed() -> None:
    assert values_of(b"1-0:3.7.0(00.000)", b"0-0:17.0.0(16500)", b"1-0:1.7.0(00.318*kW)") == {
        "power_import_w": 318.0
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"1-0:1.8.0(000326641*Wh)", {"energy_import_wh": 326641.0}),
        (b"1-0:1.7.0(000000621*W)", {"power_import_w": 621.0}),
        (b"1-0:32.7.0(0.231*kV)", {"voltage_l1_v": 231.0}),
        (b"1-0:31.7.0(0.002*kA)", {"current_l1_a": 2.0}),
        (b"1-0:14.7.0(0.050*kHz)", {"frequency_hz": 50.0}),
    ],
)
def test_trap_16_the_unit_text_scales(line: bytes, expected: dict[str, float]) -> None:
    assert values_of(line) == expected


def test_trap_17_a_space_inside_the_brackets_is_stripped() -> None:
    assert values_of(b"1-0:1.8.0(00007137.694*kWh )") == {"energy_import_wh": 7137694.0}


def test_trap_18_negative_values_are_values() -> None:
    lines = (
        b"1-0:31.7.0(-063*A)",
        b"1-0:13.7.0(-1.000)",
        b"1-0:16.7.0(-00.024*kW)",
        b"1-1:31.4.0(100*A)(-063*A)",
    )
    assert values_of(*lines) == {"current_l1_a": -63.0, "power_factor": -1.0, "power_w": -24.0}


@pytest.mark.parametrize(
    "text", [b"(ER23)", b"((ER11))", b"(not-a-number)", b"(TARIFF 1)", b"(ON)", b"()"]
)
def test_trap_19_a_word_for_a_number_costs_that_field_only(text: bytes) -> None:
    assert values_of(b"1-0:32.7.0" + text, b"0-0:96.14.0" + text, b"1-0:1.7.0(00.318*kW)") == {
        "power_import_w": 318.0
    }


def test_trap_20_malformed_ids_under_a_right_checksum_cost_their_line_only() -> None:
    text = b"/GWY5\r\n\r\n1-0:99:97.0(0)\r\n1-0:72:32.0(00000)\r\n1-0:1.7.0(00.318*kW)\r\n!"
    assert proper(sealed(text))[0].quantities == {"power_import_w": 318.0}


@pytest.mark.parametrize(
    "log",
    [
        b"()",
        b"(0)(0-0:96.7.19)",
        b"(1)(0-0:96.7.19)(260101000000W)(23)",
        b"(1)(0-0:96.7.19)(000101000001W)(2147483647*s)",
    ],
)
def test_trap_21_the_log_of_failures_may_look_like_anything(log: bytes) -> None:
    assert values_of(b"1-0:99.97.0" + log, b"1-0:1.7.0(00.318*kW)") == {"power_import_w": 318.0}


def clock_of(stamp: bytes, utc_offset_h: float = 1) -> int | None:
    return read_values(b"/GWY5\r\n\r\n0-0:1.0.0(" + stamp + b")\r\n!", (), utc_offset_h).meter_utc_s


@pytest.mark.parametrize(
    "stamp",
    [
        b"000101010000W",
        b"000101000000W",
        b"000000000000W",
        b"240112093500T",
        b"240112093500",
        b"20240111 09:35:00",
        b"",
        b"632525252525W",
    ],
)
def test_trap_22_a_clock_that_was_never_set_or_cannot_be_read_is_none(stamp: bytes) -> None:
    assert clock_of(stamp) is None


def test_trap_22_a_gas_meter_with_its_clock_a_year_ahead_does_not_hide_the_others() -> None:
    ahead = (
        b"0-0:1.0.0(260101000500W)",
        b"0-1:24.1.0(003)",
        b"0-1:24.2.1(270101000000W)(00111.000*m3)",
    )
    right = (b"0-2:24.1.0(003)", b"0-2:24.2.1(260101000000W)(00222.000*m3)")
    assert values_of(*ahead) == {"gas_m3": 111.0}
    assert values_of(*ahead, *right) == values_of(*right, *ahead) == {"gas_m3": 222.0}


def test_trap_23_the_flag_alone_gives_the_offset() -> None:
    assert clock_of(b"190324150541W") == 1553436341
    assert (
        clock_of(b"230327074230S") == clock_of(b"230327064230W") == 1679895750
    )  # the same instant, said in two ways
    assert clock_of(b"221229171240W", 2) == 1672326760
    assert clock_of(b"251026023000S") == 1761438600
    assert clock_of(b"251026023000W") == 1761438600 + 3600  # the hour that comes twice
    assert utc_of(b"120517020000", 1) == utc_of(b"120517020000W", 1)


def test_trap_24_the_meaning_of_tariff_1_is_the_countrys() -> None:
    assert load_profile("dsmr/dsmr4").settings.tariffs[0] == "low"
    assert load_profile("p1/belgium").settings.tariffs[0] == "day"


def test_trap_25_the_total_is_the_meters_own_or_the_sum_of_the_same_telegram() -> None:
    tariffs = (b"1-0:1.8.1(000004.000*kWh)", b"1-0:1.8.2(000005.999*kWh)")
    assert values_of(*tariffs)["energy_import_wh"] == 9_999.0
    assert values_of(*tariffs, b"1-0:1.8.0(000010.000*kWh)")["energy_import_wh"] == 10_000.0
    assert "energy_import_wh" not in values_of(*tariffs, b"1-0:1.8.3(ER11)")
    lithuania = WRITTEN["lithuania"].values  # export per tariff only
    assert lithuania["energy_export_wh"] == sum(
        lithuania[f"energy_export_t{n}_wh"] for n in range(1, 5)
    )


def test_trap_26_without_total_power_the_phases_add_up() -> None:
    phases = (
        b"1-0:21.7.0(00.400*kW)",
        b"1-0:22.7.0(00.000*kW)",
        b"1-0:41.7.0(00.000*kW)",
        b"1-0:42.7.0(00.150*kW)",
    )
    assert values_of(*phases)["power_w"] == 250.0
    assert "power_w" not in values_of(*phases, b"1-0:61.7.0(00.100*kW)"), (
        "phase 3 is told in one direction only"
    )
    assert "power_w" not in values_of(*phases, b"1-0:1.7.0(ER11)"), (
        "there is a total, which cannot be read"
    )


def test_trap_27_both_directions_may_flow_and_their_difference_is_the_power() -> None:
    assert values_of(b"1-0:1.7.0(00.250*kW)", b"1-0:2.7.0(00.168*kW)")["power_w"] == 82.0
    assert values_of(b"1-0:21.7.0(00.000*kW)", b"1-0:22.7.0(00.200*kW)")["power_l1_w"] == -200.0


def test_trap_28_no_power_is_computed_from_amperes() -> None:
    assert values_of(b"1-0:32.7.0(230.0*V)", b"1-0:31.7.0(001*A)") == {
        "voltage_l1_v": 230.0,
        "current_l1_a": 1.0,
    }


def test_traps_29_33_and_34_the_longest_telegrams_fit_and_nothing_grows_beyond_the_limit() -> None:
    history = (
        b"0-0:98.1.0(13)(1-0:1.6.0)(1-0:1.6.0)" + b"(250501000000S)(250423192538S)(03.695*kW)" * 13
    )
    text = (
        b"/GWY5\r\n\r\n"
        + history
        + b"\r\n0-0:96.13.0("
        + b"30" * 2048
        + b")\r\n1-0:1.8.0(000001.000*kWh)\r\n!"
    )
    assert len(text) > 4500
    assert proper(sealed(text))[0].quantities == {"energy_import_wh": 1000.0}
    framer = Framer()
    framer.feed(b"/GWY5\r\n" + b"x" * 100_000)
    assert framer.open_bytes <= MAX_TELEGRAM_BYTES


def test_trap_30_a_meter_that_stops_is_told_after_three_periods_so_the_port_is_reopened() -> None:
    assert "no byte for 30 s" in str(reads([], "dsmr/dsmr4")[0])


def test_trap_31_power_is_never_computed_from_energy() -> None:
    assert values_of(b"1-0:1.8.0(00006678.394*kWh)") == {"energy_import_wh": 6678394.0}


def test_trap_32_a_register_is_given_as_the_meter_says_it_with_whose_it_is() -> None:
    lines = b"0-0:96.1.1(4530303032)\r\n1-0:1.8.0(000000.001*kWh)\r\n"
    values = read_values(
        b"/GWY5\r\n\r\n" + lines + b"!"
    )  # glitch, reset and swap are told apart by the counter, which knows the past
    assert (values.serial_number, values.quantities) == ("E0002", {"energy_import_wh": 1.0})


def test_trap_35_an_identification_may_hold_any_byte() -> None:
    for ident in (b"/ISK5\x02M550", b"/KFM5\xab10000", b"/Ene5\\XS210 ESMR 5.0", b"/KAM5"):
        assert len(proper(sealed(ident + b"\r\n\r\n1-0:1.8.0(000001.000*kWh)\r\n!"))) == 1


def test_trap_36_a_checksum_that_fits_no_rule_may_be_ignored_by_the_profile() -> None:
    text = b"/ST\xe55\r\n\r\n1-0:1.8.0(00000001.000*kWh)\r\n1-0:99.97.0(1)(x\r\n!"
    named = text.replace(b"/ST\xe55", b"/STZ5\xe5")
    assert proper(named + b"1234\r\n", "ignored")[0].quantities == {"energy_import_wh": 1000.0}
    assert proper(named + b"1234\r\n", "optional") == []
    assert (
        proper(named + b"1234\r\n" + named + b"1234\r\n", "ignored")
        == [Values({"energy_import_wh": 1000.0}, None)] * 2
    )


def test_trap_37_a_gateway_that_leaves_lines_out_gives_what_it_leaves() -> None:
    text = b"/GWY5\r\n\r\n1-3:0.2.8(50)\r\n1-0:1.8.1(000001.000*kWh)\r\n1-0:1.7.0(00.318*kW)\r\n!"
    values, damaged = reads([sealed(text)], "dsmr/dsmr5")
    assert (values, damaged) == ({"energy_import_t1_wh": 1000.0, "power_import_w": 318.0}, 0), (
        "a total needs both tariffs"
    )
