"""IEC 62056-21 messages: pushed telegrams, identifications and data blocks, whatever chunks and
noise they come in.
"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.iec62056.telegram import (
    MAX_BLOCK_BYTES,
    MAX_TELEGRAM_BYTES,
    Framer,
    block_check,
    diagnose,
    find_block,
    find_identification,
)
from drivers.text_telegram import Damaged, Telegram, fault
from tests.drivers.p1.telegrams.written import sealed

ONE = (
    b"/ESY5Q3DA1024 "
    b"V3.04\r\n\r\n1-0:0.0.0*255(112233445566)\r\n1-0:1.8.0*255(00000123.4560000*kWh)\r\n"
    b"1-0:1.7.0*255(000318.00*W)\r\n!"
)
TWO = ONE.replace(b"123.456", b"123.789")


def even(text: bytes) -> bytes:
    """Seven bits with even parity, as eight bits show them."""
    return bytes(byte | (byte.bit_count() % 2) << 7 for byte in text)


def texts(events: list[Telegram | Damaged]) -> list[bytes]:
    return [event.raw for event in events if isinstance(event, Telegram)]


def test_the_parity_of_these_tests_is_even() -> None:
    assert even(b"\x03/!") == b"\x03\xaf\x21"


@given(cuts=st.lists(st.integers(0, 400), max_size=12), parity=st.booleans())
def test_chunks_change_nothing(cuts: list[int], parity: bool) -> None:
    stream = b"kWh)\r\n!\r\n" + ONE + b"\r\n" + TWO + b"\r\n/ES"
    stream = even(stream) if parity else stream
    framer = Framer()
    ends = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    events = [event for begin, end in pairwise(ends) for event in framer.feed(stream[begin:end])]
    assert events == [Telegram(9, ONE, None), Telegram(9 + len(ONE) + 2, TWO, None)]
    assert framer.offset == len(stream)


@given(noise=st.binary(max_size=200))
def test_noise_before_a_telegram_costs_no_later_one(noise: bytes) -> None:
    assert texts(Framer().feed(noise + ONE + b"\r\n" + TWO + b"\r\n"))[-1:] == [TWO]


def test_slashes_and_exclamation_marks_inside_texts_mean_nothing() -> None:
    text = ONE.replace(b"V3.04", b"/AAA1 !").replace(b"112233445566", b"1122!/33")
    assert texts(Framer().feed(text + b"\r\n")) == [text]


def test_a_telegram_that_the_next_cuts_off_is_damaged() -> None:
    first, second = Framer().feed(ONE[:70] + b"\r\n" + TWO + b"\r\n")
    assert isinstance(first, Damaged)
    assert "cut off" in first.reason
    assert second == Telegram(72, TWO, None)


def test_a_byte_with_the_wrong_parity_damages_its_telegram() -> None:
    wrong = bytearray(even(ONE))
    wrong[60] ^= 0x01
    events = Framer().feed(bytes(wrong) + even(b"\r\n" + TWO + b"\r\n"))
    assert isinstance(events[0], Damaged)
    assert "parity" in events[0].reason
    assert texts(events) == [TWO]


def test_a_telegram_without_end_is_given_up_and_the_next_one_taken() -> None:
    framer = Framer()
    events = framer.feed(ONE[:-1] + b"1-0:96.1.1(0)\r\n" * 700 + TWO + b"\r\n")
    assert isinstance(events[0], Damaged)
    assert f"within {MAX_TELEGRAM_BYTES} bytes" in events[0].reason
    assert texts(events) == [TWO]


@given(st.binary(max_size=3000), st.integers(1, 700))
def test_any_bytes_are_taken_in_bounded_memory(data: bytes, size: int) -> None:
    framer = Framer()
    for at in range(0, len(data), size):
        framer.feed(data[at : at + size])
    assert framer.open_bytes <= MAX_TELEGRAM_BYTES
    assert len(framer.noise_sample) <= 512
    framer.silence()
    assert not framer.awaits_silence


@given(cuts=st.lists(st.integers(0, 400), max_size=12), parity=st.booleans())
def test_a_checksum_belongs_to_its_telegram_whatever_the_chunks(
    cuts: list[int], parity: bool
) -> None:
    stream = sealed(ONE) + sealed(TWO)
    stream = even(stream) if parity else stream
    framer = Framer()
    ends = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    events = [event for begin, end in pairwise(ends) for event in framer.feed(stream[begin:end])]
    assert texts(events) == [ONE, TWO]
    assert [isinstance(each, Telegram) and fault(each, "required") for each in events] == [None] * 2


@pytest.mark.parametrize(
    ("end", "checksum", "waits"),
    [
        (b"\r\n", None, False),
        (b"/ESY5", None, False),
        (b"", None, True),
        (b"1a", 0x1A, True),
        (b"1aB2", 0x1AB2, False),
    ],
)
def test_only_where_a_checksum_may_still_come_silence_ends_a_telegram(
    end: bytes, checksum: int | None, waits: bool
) -> None:
    framer = Framer()
    events = framer.feed(ONE + end)
    assert framer.awaits_silence == waits
    assert bool(events) != waits
    assert [*events, *framer.silence()] == [Telegram(0, ONE, checksum)]
    assert not framer.awaits_silence


def test_a_telegram_whose_end_stands_where_none_may_be_longer_is_given_up() -> None:
    long = ONE[:-1] + b"1-0:96.1.1(0)\r\n" * 700
    text = long[: MAX_TELEGRAM_BYTES - 5] + b"\r\n!"
    framer = Framer()
    events = framer.feed(text) + framer.feed(b"12") + framer.feed(b"34\r\n" + TWO + b"\r\n")
    assert isinstance(events[0], Damaged)
    assert texts(events) == [TWO]


def test_what_was_thrown_away_is_not_continued() -> None:
    framer = Framer()
    framer.feed(ONE[:50])
    assert framer.open_start == 0
    framer.forget()
    assert framer.open_start is None
    assert texts(framer.feed(ONE[50:] + b"\r\n" + TWO + b"\r\n")) == [TWO]


@pytest.mark.parametrize(
    ("raw", "letter", "baud", "acknowledged"),
    [
        (b"/ISk5MT174-0001\r\n", b"5", 9600, True),
        (b"/?!\r\n/LGZ4\\2ZMF100AC.M23\r\n", b"4", 4800, True),
        (b"\x7f\x00/EMH0\r\n", b"0", 300, True),
        (b"/XYZ6A\r\n", b"6", 19200, True),
        (b"/XYZEA\r\n", b"E", 9600, False),
        (b"/XYZAA\r\n", b"A", 600, False),
        (b"/XYZ A\r\n", None, 0, False),
        (b"/XYZzA\r\n", b"z", 300, False),
    ],
)
def test_an_identification_offers_a_baud_rate(
    raw: bytes, letter: bytes | None, baud: int, acknowledged: bool
) -> None:
    for each in (raw, even(raw)):
        found = find_identification(each)
        assert (found and (found.baud_letter, found.baud, found.acknowledged)) == (
            letter and (letter, baud, acknowledged)
        )
    assert find_identification(raw[:-1]) is None


def test_an_identification_is_printable_whatever_a_meter_calls_itself() -> None:
    found = find_identification(b"/XYZ5\x1b[2J\x00A\r\n")
    assert found is not None
    assert found.text == "/XYZ5·[2J·A"


DATA = b"1.8.0(000123.456*kWh)\r\n!\r\n\x03"


def bcc(data: bytes) -> bytes:
    check = 0
    for byte in data:
        check ^= byte
    return bytes((check,))


def test_a_block_check_typed_by_hand() -> None:
    # 31 ^ 21 ^ 0D ^ 0A ^ 03
    assert block_check(b"1!\r\n\x03") == 0x14


@pytest.mark.parametrize("before", [b"", b"\x06050\r\n", b"\xff\x00"])
def test_a_data_block_is_taken_when_its_check_is_there_and_right(before: bytes) -> None:
    whole = b"\x02" + DATA + bcc(DATA)
    assert find_block(before + whole) == DATA[:-1]
    assert all(find_block((before + whole)[:size]) is None for size in range(len(before + whole)))
    assert find_block(even(before) + even(whole)) == DATA[:-1]


def test_a_wrong_block_check_names_both_values() -> None:
    with pytest.raises(
        ValueError, match=rf"the meter says 2A, its data give {bcc(DATA).hex().upper()}"
    ):
        find_block(b"\x02" + DATA + b"\x2a")


def test_a_wrong_parity_in_a_data_block_is_named() -> None:
    wrong = bytearray(even(b"\x02" + DATA + bcc(DATA)))
    wrong[5] ^= 0x80
    with pytest.raises(ValueError, match="parity"):
        find_block(bytes(wrong))


def test_a_data_block_that_never_ends_is_given_up() -> None:
    assert find_block(b"\x02" + b"1" * (MAX_BLOCK_BYTES - 1)) is None
    with pytest.raises(ValueError, match=f"within {MAX_BLOCK_BYTES} bytes"):
        find_block(b"\x02" + b"1" * MAX_BLOCK_BYTES)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_block_or_none_or_a_named_error(data: bytes) -> None:
    try:
        find_block(data)
    except ValueError as error:
        assert str(error)
    find_identification(data)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (bytes(50), "all zero"),
        (b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01\x76\x05", "sml/auto"),
        (even(b"1.8.0(000123.456*kWh)\r\n"), "text, but no telegram"),
        (bytes(range(128, 256)), "wrong baud rate"),
    ],
)
def test_noise_is_described_in_words_that_help(noise: bytes, words: str) -> None:
    assert words in diagnose(noise)
