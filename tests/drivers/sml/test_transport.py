"""SML frames out of streams: any chunks, noise anywhere, damaged ends, bounded memory."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.simulated.sml import Entry, kermit, telegram, transport, x25
from drivers.sml.transport import MAX_FRAME_BYTES, Damaged, Frame, Framer, diagnose
from drivers.sml.values import SmlError, read_values

EMH = bytes.fromhex("0a01454d480000010203")
ONE = telegram(EMH, [Entry(code="1-0:1.8.0*255", raw=123456, unit=30, scaler=-1)])
TWO = telegram(EMH, [Entry(code="1-0:1.8.0*255", raw=123999, unit=30, scaler=-1)])

# Made by hand: 8 bytes of data, checksum over all before it.
BY_HAND = bytes.fromhex("1b1b1b1b 01010101 7605112233440000 1b1b1b1b 1a00")


def crc_bit_by_bit(data: bytes, start: int, flip: int) -> int:
    crc = start
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return crc ^ flip


def frames(data: bytes) -> list[Frame | Damaged]:
    return Framer().feed(data)


def payloads(events: list[Frame | Damaged]) -> list[bytes]:
    return [event.payload for event in events if isinstance(event, Frame)]


@pytest.mark.parametrize(
    ("checksum", "start", "flip", "order"), [(x25, 0xFFFF, 0xFFFF, "little"), (kermit, 0, 0, "big")]
)
def test_both_checksums_are_taken_and_are_those_of_the_standards(
    checksum: object, start: int, flip: int, order: str
) -> None:
    assert crc_bit_by_bit(b"123456789", start, flip) == (0x906E if start else 0x2189)
    crc = crc_bit_by_bit(BY_HAND, start, flip)
    whole = BY_HAND + crc.to_bytes(2, "little" if order == "little" else "big")
    assert whole == transport(BY_HAND[8:16], checksum)  # type: ignore[arg-type]
    assert payloads(frames(whole)) == [BY_HAND[8:16]]


@given(cuts=st.lists(st.integers(0, len(ONE + TWO) + 9), max_size=12))
def test_chunks_change_nothing(cuts: list[int]) -> None:
    stream = b"\xff\x1b\x1b" + ONE + b"\x00\x1b" + TWO + b"\x80\x1b\x1b\x1b"
    framer = Framer()
    events = [
        event
        for begin, end in pairwise([0, *sorted(cuts), len(stream)])
        for event in framer.feed(stream[begin:end])
    ]
    assert events == frames(stream)
    assert [event.start for event in events] == [3, 3 + len(ONE) + 2]
    assert framer.offset == len(stream)


@given(
    st.lists(
        st.sampled_from([b"\x1b", b"\x1b\x1b\x1b\x1b", b"\x01", b"\x1a", b"\x00", b"\x63"]),
        max_size=12,
    )
)
def test_escapes_inside_the_data_are_undone(parts: list[bytes]) -> None:
    body = b"\x76" + b"".join(parts) + b"\x00"
    if b"\x1b" * 4 + b"\x01" * 4 in body:
        return
    assert [payload[: len(body)] for payload in payloads(frames(transport(body)))] == [body]


@pytest.mark.parametrize("size", range(1, 12))
def test_escapes_inside_the_data_are_undone_in_chunks_of_any_size(size: int) -> None:
    stream = transport(b"\x76" + b"\x1b" * 8 + b"\xff" * 5)
    framer = Framer()
    events = [
        event for at in range(0, len(stream), size) for event in framer.feed(stream[at : at + size])
    ]
    assert events == frames(stream)
    assert len(payloads(events)) == 1


@given(noise=st.binary(max_size=300))
def test_noise_before_a_frame_hides_it_at_most_where_it_looks_like_a_start(noise: bytes) -> None:
    assert payloads(frames(noise + ONE + TWO))[-1:] == payloads(frames(TWO))


@given(at=st.integers(8, len(ONE) - 1), flip=st.integers(1, 255))
def test_a_changed_byte_damages_its_frame_and_no_other(at: int, flip: int) -> None:
    changed = ONE[:at] + bytes((ONE[at] ^ flip,)) + ONE[at + 1 :]
    events = frames(changed + TWO)
    assert payloads(events) == payloads(frames(TWO))
    assert any(isinstance(event, Damaged) for event in events)


@given(begin=st.integers(8, len(ONE) - 1), count=st.integers(1, 8))
@example(begin=68, count=4)
def test_lost_bytes_damage_their_frame_and_no_other(begin: int, count: int) -> None:
    events = frames(ONE[:begin] + ONE[begin + count :] + TWO)
    assert payloads(events)[-1:] == payloads(frames(TWO))
    if isinstance(events[0], Frame):
        # Sixteen bits of checksum fit by chance now and then (here: bytes 68 to 71); the messages'
        # own then tell.
        with pytest.raises(SmlError):
            read_values(events[0].payload)


def test_a_frame_that_the_next_cuts_off_is_damaged() -> None:
    first, second = frames(ONE[:60] + TWO)
    assert isinstance(first, Damaged)
    assert "cut off" in first.reason
    assert isinstance(second, Frame)
    assert second.start == 60


def test_a_wrong_checksum_names_both() -> None:
    (event,) = frames(ONE[:-2] + b"\xab\xcd")
    assert isinstance(event, Damaged)
    assert f"it says ABCD, its bytes give {ONE[-2:].hex().upper()}" in event.reason
    assert event.text.startswith("1b 1b 1b 1b 01 01 01 01 76")


def test_four_fill_bytes_as_dzg_sends_them_are_fine() -> None:
    body = b"\x76\x05\x11\x22\x33\x44\x00\x00"
    (frame,) = frames(transport(body, extra_fill=4))
    assert isinstance(frame, Frame)
    assert frame.payload == body + bytes(4)


def test_version_2_is_named() -> None:
    events = frames(ONE[:40] + bytes.fromhex("1b1b1b1b02020202") + bytes(20) + TWO)
    assert isinstance(events[0], Damaged)
    assert "version 2" in events[0].reason
    assert payloads(events) == payloads(frames(TWO))


def test_a_frame_without_end_is_given_up_and_nothing_is_kept() -> None:
    framer = Framer()
    events = framer.feed(ONE[:30] + bytes(MAX_FRAME_BYTES) + TWO)
    assert isinstance(events[0], Damaged)
    assert f"no end within {MAX_FRAME_BYTES} bytes" in events[0].reason
    assert payloads(events) == payloads(frames(TWO))
    assert framer.open_start is None


def test_a_frame_of_the_longest_length_is_taken() -> None:
    longest = transport(b"\x76" * (MAX_FRAME_BYTES - 16))
    assert len(longest) == MAX_FRAME_BYTES
    assert payloads(frames(longest))
    assert isinstance(frames(transport(b"\x76" * (MAX_FRAME_BYTES - 12)))[0], Damaged)


@given(st.binary(max_size=3000), st.integers(1, 700))
def test_any_bytes_are_taken_in_bounded_memory(data: bytes, size: int) -> None:
    framer = Framer()
    for at in range(0, len(data), size):
        framer.feed(data[at : at + size])
    assert framer.open_bytes <= MAX_FRAME_BYTES
    assert len(framer.noise_sample) <= 512
    assert framer.silence() == []


def test_what_was_thrown_away_is_not_continued() -> None:
    framer = Framer()
    framer.feed(ONE[:50])
    assert (framer.open_start, framer.open_bytes) == (0, 50)
    framer.forget()
    assert framer.open_start is None
    assert payloads(framer.feed(ONE[50:] + TWO)) == payloads(frames(TWO))


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (bytes(100), "all zero"),
        (b"/EMH5----eHZ\r\n\r\n1-0:1.8.1*255(032942.0234)\r\n!\r\n", "iec62056/mode_d"),
        (b"\x1b\x1b\x1b\x1b\x01\x01\x01" * 3, "damaged"),
        (bytes(range(128, 256)), "9600 baud 8N1"),
    ],
)
def test_noise_is_described_in_words_that_help(noise: bytes, words: str) -> None:
    assert words in diagnose(noise)
