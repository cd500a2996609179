"""What registers can mean, side by side."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.codec import CODES
from drivers.modbus.raw import decodings
from drivers.modbus.settings import WORDS


def test_one_value_is_seen_in_every_type_and_both_word_orders():
    table = dict(decodings(bytes.fromhex("4366 3334 0841")))
    assert table["hex"] == ["4366", "3334", "0841"]
    assert table["text"] == ["Cf", "34", ".A"]
    assert table["uint16"] == ["17254", "13108", "2113"]
    assert table["float32 big"] == [
        "230.2",
        "4.191702e-08",
        "",
    ]  # 230.2 V, as the maker's own example prints it
    assert table["uint32 little"] == ["859063142", "138490676", ""]
    assert table["int64 big"] == ["", "", ""]


def test_negative_numbers_and_long_counters_are_told_apart():
    table = dict(decodings(bytes.fromhex("FFFF FFFF FFFF FFFE")))
    assert table["int16"][3] == "-2"
    assert table["int32 big"][2] == "-2"
    assert table["int64 big"][0] == "-2"
    assert table["uint64 big"][0] == "18446744073709551614"
    assert table["int32 little"][2] == "-65537"


@given(st.binary(max_size=250))
def test_any_bytes_give_every_reading_once_and_one_cell_per_register(data):
    rows = list(decodings(data))
    one_word = sum(WORDS[kind] == 1 for kind in CODES)
    expected = 2 + one_word + 2 * (len(CODES) - one_word)
    assert len({name for name, _ in rows}) == len(rows) == expected
    assert {len(cells) for _, cells in rows} == {len(data) // 2}


@given(st.integers(-(2**31), 2**31 - 1))
def test_a_number_is_found_again_in_the_order_it_was_written_in(number):
    data = struct.pack(">i", number)
    assert dict(decodings(data))["int32 big"][0] == str(number)
    assert dict(decodings(data[2:] + data[:2]))["int32 little"][0] == str(number)
