"""Register bytes become values: types, word orders, scales, and what the meter does not know."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.codec import CODES, Decoder, add_sums, decode_serial
from drivers.modbus.digits import FROM_DIGITS, TO_DIGITS
from drivers.modbus.plan import Block, Row, plan
from drivers.modbus.settings import WORDS, Identity, RegisterRow, SerialNumber, Settings, Sum
from drivers.sample import QUANTITIES

NAMES = sorted(QUANTITIES)


def block_of(*rows: Row) -> Block:
    return Block(4, rows[0].address, rows[-1].end - rows[0].address, rows)


def one(
    data: bytes, kind: str, factor: float = 1.0, word_order: str = "big", invalid: int | None = None
) -> float | None:
    """The value of a single register row, or None where it is left out."""
    return (
        Decoder(block_of(Row("power_w", 10, kind, word_order, factor, invalid)))
        .decode(data)
        .get("power_w")
    )


def digits(kind: str, number: float) -> bytes:
    """A number digit by digit, by way of its decimal text; empty for types that are none."""
    text = f"{int(number):0{4 * WORDS[kind]}d}" if kind in FROM_DIGITS else ""
    if kind.startswith("bcd"):
        return bytes.fromhex(text)
    if kind.startswith("mod10"):
        words = [int(text[at : at + 4]) for at in range(0, len(text), 4)]
        return struct.pack(f">{len(words)}H", *words)
    return b""


@st.composite
def rows_with_numbers(draw: st.DrawFn) -> tuple[list[Row], list[float], bytes]:
    """A block of up to 12 rows with holes, numbers for it, and its bytes as a meter of that kind
    sends them.
    """
    rows: list[Row] = []
    numbers: list[float] = []
    data = b""
    address = draw(st.integers(0, 60000))
    for name in NAMES[: draw(st.integers(1, 12))]:
        kind = draw(st.sampled_from(sorted(WORDS)))
        order = draw(st.sampled_from(["big", "little"]))
        bits = 16 * WORDS[kind]
        if kind.startswith("float"):
            number = draw(st.floats(width=bits, allow_nan=False, allow_infinity=False))
        elif kind in FROM_DIGITS:
            number = draw(st.integers(0, 10 ** (4 * WORDS[kind]) - 1))
        elif kind.startswith("u"):
            number = draw(st.integers(0, 2**bits - 1))
        else:
            number = draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
        hole = draw(st.integers(0, 3)) if rows else 0
        raw = digits(kind, number) or struct.pack(">" + CODES[kind], number)
        words = [raw[i : i + 2] for i in range(0, len(raw), 2)]
        data += b"\xde\xad" * hole + b"".join(words if order == "big" else reversed(words))
        rows.append(Row(name, address + hole, kind, order, 1.0, None))
        numbers.append(float(number))
        address = rows[-1].end
    return rows, numbers, data


@given(rows_with_numbers())
def test_what_was_packed_is_read_back(case: tuple[list[Row], list[float], bytes]) -> None:
    rows, numbers, data = case
    assert Decoder(block_of(*rows)).decode(data) == {
        row.quantity: number for row, number in zip(rows, numbers, strict=True)
    }


@given(st.integers(-(2**31), 2**31 - 1), st.integers(1, 6))
def test_a_decimal_scale_gives_the_double_nearest_to_the_decimal_number(
    raw: int, places: int
) -> None:
    assert one(struct.pack(">i", raw), "int32", factor=10.0**-places) == float(f"{raw}e-{places}")


def test_scale_and_unit_of_a_row_are_applied_together() -> None:
    rows = {
        "energy_import_wh": RegisterRow(address=0, type="uint32", scale=0.01, unit="kWh"),
        "voltage_l1_v": RegisterRow(address=2, type="uint16", scale=0.1, unit="V"),
        "current_l1_a": RegisterRow(address=3, type="int16", unit="mA"),
        "power_w": RegisterRow(address=4, type="int16", scale=-1, unit="kW"),
    }
    (block,) = plan(Settings(registers=rows), 0.0)
    values = Decoder(block).decode(struct.pack(">IHhh", 123456, 2301, -1500, 2))
    assert values == {
        "energy_import_wh": 1234560.0,
        "voltage_l1_v": 230.1,
        "current_l1_a": -1.5,
        "power_w": -2000.0,
    }


@pytest.mark.parametrize(
    ("data", "kind", "order", "invalid"),
    [
        ("7fffffff", "int32", "big", 0x7FFFFFFF),
        ("ffff7fff", "int32", "little", 0x7FFFFFFF),
        ("80000000", "int32", "big", 0x80000000),
        ("8000", "int16", "big", 0x8000),
        ("ffffffffffffffff", "uint64", "big", 0xFFFFFFFFFFFFFFFF),
        ("ff7fffff", "float32", "big", 0xFF7FFFFF),
        ("7fc00000", "float32", "big", 0x7FC00000),
        ("7fc00000", "float32", "big", None),
        ("7f800000", "float32", "big", None),
        ("fff8000000000000", "float64", "big", None),
    ],
)
def test_what_the_meter_does_not_know_is_left_out_and_not_zero(
    data: str, kind: str, order: str, invalid: int | None
) -> None:
    assert one(bytes.fromhex(data), kind, word_order=order, invalid=invalid) is None


def test_zero_is_a_value() -> None:
    assert one(bytes(4), "float32") == 0.0
    assert one(bytes(4), "int32", invalid=0x7FFFFFFF) == 0.0


def test_a_value_beyond_all_numbers_after_scaling_is_left_out() -> None:
    assert one(struct.pack(">d", math.ldexp(1.0, 1023)), "float64", factor=1e3) is None


@pytest.mark.parametrize("factor", [5e-324, 1e-300, -1e-310, 1e300])
def test_a_factor_may_be_as_small_or_great_as_a_float(factor: float) -> None:
    assert one(struct.pack(">i", 7), "int32", factor=factor) == 7 * factor


@pytest.mark.parametrize(
    ("spec", "data", "expected"),
    [
        (SerialNumber(address=0), "01312d00", "20000000"),
        (SerialNumber(address=0, word_order="little"), "2d000131", "20000000"),
        (SerialNumber(address=0, type="uint16"), "002a", "42"),
        (SerialNumber(address=0, type="uint64"), "0000000100000000", "4294967296"),
        (SerialNumber(address=0, type="string", words=4), "4b49303132330000", "KI0123"),
        (SerialNumber(address=0, type="string", words=3), "205a41394120", "ZA9A"),
        (SerialNumber(address=0), "00000000", None),
        (SerialNumber(address=0), "ffffffff", None),
        (SerialNumber(address=0, type="string", words=2), "20202020", None),
    ],
)
def test_a_serial_number_is_text_or_unknown(
    spec: SerialNumber, data: str, expected: str | None
) -> None:
    assert decode_serial(spec, bytes.fromhex(data)) == expected
    assert spec.count * 2 == len(bytes.fromhex(data))


def test_an_invalid_pattern_that_does_not_fit_is_named_by_the_profile_check() -> None:
    row = RegisterRow(address=0, type="int16", unit="W", invalid=0x7FFFFFFF)
    settings = Settings(
        registers={"power_w": row},
        power_sign="import_positive",
        identify=[Identity(address=9, values=[7])],
    )
    assert [(path, message) for path, message, _ in settings.check()] == [
        (("registers", "power_w", "invalid"), "does not fit into 1 registers")
    ]


def test_powers_of_a_meter_that_counts_export_as_positive_are_turned_and_nothing_else() -> None:
    rows = {
        "power_w": RegisterRow(address=0, type="int16", scale=0.1, unit="kW"),
        "power_l1_w": RegisterRow(address=1, type="int16", unit="W"),
        "power_export_w": RegisterRow(address=2, type="int16", unit="W"),
        "reactive_power_var": RegisterRow(address=3, type="int16", unit="var"),
    }
    (block,) = plan(Settings(registers=rows, power_sign="export_positive"), 0.0)
    values = Decoder(block).decode(bytes.fromhex("001E FF9C 0BB8 0005"))
    assert values == {
        "power_w": -3000,
        "power_l1_w": 100,
        "power_export_w": 3000,
        "reactive_power_var": 5,
    }


@pytest.mark.parametrize("raw", ["0000 04D2", "FFFF FB2E"])
def test_a_sign_that_tells_nothing_is_dropped(raw: str) -> None:
    rows = {
        "energy_export_wh": RegisterRow(
            address=0, type="int32", scale=0.1, unit="kWh", magnitude=True
        )
    }
    (block,) = plan(Settings(registers=rows), 0.0)
    assert Decoder(block).decode(bytes.fromhex(raw)) == {"energy_export_wh": 123400}


def test_what_a_meter_tells_in_parts_is_put_together_where_all_parts_are_there() -> None:
    sums = {
        "power_w": Sum(plus=["power_import_w"], minus=["power_export_w"]),
        "current_a": Sum(plus=["current_l1_a", "current_l2_a"]),
    }
    values = {"power_import_w": 0.0, "power_export_w": 250.5, "current_l1_a": 3.0}
    add_sums(values, sums)
    assert values == {
        "power_import_w": 0.0,
        "power_export_w": 250.5,
        "current_l1_a": 3.0,
        "power_w": -250.5,
    }


# --- a scale that is told by what the value can be ------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "value"),
    [(4998, 49.98), (49987, 49.987), (60010, 60.01), (0, 0.0), (499, None), (499870, None)],
)
def test_a_frequency_in_hundredths_or_thousandths_is_told_by_what_mains_can_be(
    raw: int, value: float | None
) -> None:
    row = RegisterRow(
        address=0, type="int32", unit="Hz", scale=0.01, or_scale=0.001, between=[45, 65]
    )
    (block,) = plan(Settings(registers={"frequency_hz": row}), 0.0)
    found = Decoder(block).decode(raw.to_bytes(4, "big"))
    assert found == ({} if value is None else {"frequency_hz": value})


# --- digit by digit, and words apart --------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        ("bcd16", "1234", 1234),
        ("bcd32", "0098 7654", 987654),
        ("bcd64", "0000 1234 5678 9012", 123456789012),
        ("bcd32", "0098 76A4", None),
        ("bcd16", "FFFF", None),
        ("mod10_32", "000C 0D80", 123456),
        ("mod10_32", "270F 270F", 99_999_999),
        ("mod10_32", "0001 2710", None),
        ("mod10_64", "0001 0002 0003 0004", 1_0002_0003_0004),
    ],
)
def test_what_is_no_digit_is_no_value(kind: str, data: str, value: int | None) -> None:
    assert one(bytes.fromhex(data), kind) == value
    words = data.split()
    assert one(bytes.fromhex("".join(reversed(words))), kind, word_order="little") == value


@given(st.sampled_from(sorted(TO_DIGITS)), st.data())
def test_digits_are_read_back(kind: str, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, 10 ** (4 * WORDS[kind]) - 1))
    assert FROM_DIGITS[kind](TO_DIGITS[kind](number)) == number


def test_words_that_lie_apart_are_one_value_and_what_is_between_them_another() -> None:
    """As Deye's hybrids have it: energy at 78 and 80, and the mains' frequency at 79."""
    rows = {
        "energy_import_wh": RegisterRow(
            address=78, high_address=80, type="uint32", scale=0.1, unit="kWh"
        ),
        "frequency_hz": RegisterRow(address=79, type="uint16", scale=0.01, unit="Hz"),
        "energy_export_wh": RegisterRow(
            address=84, high_address=81, type="uint32", scale=0.1, unit="kWh"
        ),
    }
    blocks = plan(Settings(registers=rows, type="uint16", holes=False), 0.0)
    memory = {78: 0x5678, 79: 5001, 80: 0x0012, 81: 0x0001, 84: 0x86A0}
    values: dict[str, float] = {}
    for block in blocks:
        words = [memory.get(block.address + n, 0xDEAD) for n in range(block.count)]
        values |= Decoder(block).decode(struct.pack(f">{len(words)}H", *words))
    assert values == {
        "energy_import_wh": 0x00125678 * 100.0,
        "frequency_hz": 50.01,
        "energy_export_wh": 100_000 * 100.0,
    }
    assert len(blocks) == 1


@pytest.mark.parametrize(("kind", "raw"), [("int32", "FFFE F0D0"), ("float32", "C787 9800")])
def test_an_export_register_that_is_minus_the_export_is_read_as_the_export(kind, raw):
    decoder = Decoder(block_of(Row("energy_export_wh", 10, kind, "big", 10.0, None)))
    assert decoder.decode(bytes.fromhex(raw)) == {"energy_export_wh": 694_240}
