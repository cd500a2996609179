"""The framer: telegrams out of any stream, in any chunks, within bounds."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.p1.telegram import MAX_TELEGRAM_BYTES, Framer, diagnose
from drivers.text_telegram import Damaged, Telegram, fault


def crc16_arc(data: bytes) -> int:
    """Bit by bit, from the definition: polynomial 0x8005 reflected, initial value 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def sealed(body: bytes) -> bytes:
    return body + b"!%04X\r\n" % crc16_arc(body + b"!")


BODY = (
    b"/GWY5\\TEST-METER\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(240301120000W)\r\n"
    b"1-0:1.8.1(000123.456*kWh)\r\n1-0:1.8.2(000004.000*kWh)\r\n"
    b"1-0:1.7.0(00.318*kW)\r\n0-0:96.13.0(test-/-test!)\r\n"
)
GOOD = sealed(BODY)
OTHER_BODY = BODY.replace(b"123.456", b"123.457")
OTHER = sealed(OTHER_BODY)
OLD = BODY + b"!\r\n"  # as DSMR 2.2 sends it


def frame(*chunks: bytes) -> list[Telegram | Damaged]:
    framer = Framer()
    return [event for chunk in chunks for event in framer.feed(chunk)]


def bodies(events: list[Telegram | Damaged]) -> list[bytes]:
    return [event.raw[:-1] for event in events if isinstance(event, Telegram)]


def test_checksum_of_the_test_is_the_standard_one() -> None:
    assert crc16_arc(b"123456789") == 0xBB3D


def test_a_good_telegram_comes_out_with_its_place_and_checksum() -> None:
    (event,) = frame(b"\r\n" + GOOD)
    assert event == Telegram(2, BODY + b"!", crc16_arc(BODY + b"!"))
    assert fault(event, "required") is None


pieces = st.one_of(
    st.sampled_from(
        [
            GOOD,
            OTHER,
            OLD,
            BODY,
            b"\r\n",
            b"\n/ab",
            b"/",
            b"!",
            b")!12",
            b"\xff/GWY5",
            b"\n!",
            b"\0" * 7,
        ]
    ),
    st.binary(max_size=40),
    st.integers(0, len(GOOD)).map(lambda n: GOOD[n:]),
    st.integers(0, len(GOOD)).map(lambda n: GOOD[:n]),
    st.integers(8000, 9000).map(lambda n: b"\n/LNG" + b"x" * n),
)


@given(st.lists(pieces, max_size=8), st.randoms(use_true_random=False))
def test_chunking_changes_nothing(parts: list[bytes], rng: random.Random) -> None:
    stream = b"".join(parts)
    whole, cut = Framer(), Framer()
    expected = whole.feed(stream)
    events, at = [], 0
    while at < len(stream):
        size = rng.choice([1, 2, 3, 7, 92, 500, 5000])
        events += cut.feed(stream[at : at + size])
        at += size
    assert events == expected
    assert (cut.offset, cut.noise_bytes, cut.open_start) == (
        whole.offset,
        whole.noise_bytes,
        whole.open_start,
    )


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_noise_around_telegrams_costs_none_of_them(before: bytes, between: bytes) -> None:
    # A `!` or `/` of the noise may look like an end or a start; the line end after it is what a
    # real meter sends.
    events = frame(before + b"\r\n", GOOD, between + b"\r\n", OTHER)
    good = [
        event.raw + b"%04X" % (event.checksum or 0)
        for event in events
        if isinstance(event, Telegram) and not fault(event, "required")
    ]
    assert good == [GOOD[:-2], OTHER[:-2]]


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=20))
def test_noise_inside_is_found_by_the_checksum(at: int, noise: bytes) -> None:
    events = frame(GOOD[:at] + noise + GOOD[at:] + OTHER)
    proper = [
        event.raw[:-1]
        for event in events
        if isinstance(event, Telegram) and fault(event, "required") is None
    ]
    assert proper in (
        [OTHER_BODY],
        [BODY, OTHER_BODY],
    )  # noise before the first byte leaves the telegram whole


def test_the_tail_of_a_telegram_is_noise() -> None:
    framer = Framer()
    assert bodies(framer.feed(GOOD[100:] + GOOD)) == [BODY]
    assert framer.noise_bytes > 0


def test_two_starts_in_one_give_one_damaged_and_one_good() -> None:
    damaged, good = frame(b"/GWY5\\TEST\r\n\r\n1-0:32.32.0(0\r\n" + GOOD)
    assert isinstance(damaged, Damaged)
    assert "cut off" in damaged.reason
    assert damaged.text.startswith("/GWY5\\TEST")
    assert bodies([good]) == [BODY]


@pytest.mark.parametrize("glue", [b"", b"\xff", b"\0", b"\r\n"])
@pytest.mark.parametrize("after", [8, 150, len(GOOD) - 8])
def test_a_telegram_cut_within_a_line_does_not_take_the_next_with_it(
    after: int, glue: bytes
) -> None:
    for checksum in (True, False):
        first, second = (GOOD, OTHER) if checksum else (OLD, OTHER_BODY + b"!\r\n")
        events = frame(first[:after] + glue + second)
        assert [type(event) for event in events] == [Damaged, Telegram]
        assert bodies(events) == [OTHER_BODY]


def test_several_telegrams_cut_one_after_the_other_are_each_counted() -> None:
    assert [type(event) for event in frame(GOOD[:100] + GOOD[:150] + GOOD)] == [
        Damaged,
        Damaged,
        Telegram,
    ]


def test_silence_ends_a_telegram_that_began_within_a_cut_one() -> None:
    framer = Framer()
    assert framer.feed(OLD[:150] + OLD[:-2]) == []
    damaged, good = framer.silence()
    assert isinstance(damaged, Damaged)
    assert bodies([good]) == [BODY]
    assert framer.silence() == []


def test_a_text_that_repeats_the_header_is_no_cut_where_the_checksum_is_right() -> None:
    body = BODY + b"0-0:96.13.1(/GWY5)\r\n"
    assert bodies(frame(sealed(body))) == [body]


def test_a_doubled_telegram_is_two() -> None:
    assert bodies(frame(GOOD + GOOD)) == [BODY, BODY]
    assert bodies(frame(GOOD[:-2] + GOOD[:-2])) == [BODY, BODY]


@pytest.mark.parametrize(
    "ident",
    [
        rb"/KMP5 KA6U001600000012",
        rb"/Ene5\XS210 ESMR 5.0",
        b"/HLY5/D545-METER",
        b"/KAM5",
        b"/ADN9 6534",
        b"/ISk5\xab\x02MT382",
    ],
)
def test_identifications_seen_in_the_field_are_accepted(ident: bytes) -> None:
    (event,) = frame(sealed(ident + b"\r\n\r\n1-0:1.8.0(000001.000*kWh)\r\n"))
    assert isinstance(event, Telegram)
    assert fault(event, "required") is None


def test_slash_and_exclamation_mark_inside_text_mean_nothing() -> None:
    body = b"/GWY5\r\n\r\n0-0:96.13.0(a!b /abc)\r\n0-0:96.13.1(!)\r\n"
    assert bodies(frame(sealed(body))) == [body]


def test_bytes_of_ff_in_a_text_belong_to_the_telegram() -> None:
    body = b"/GWY5\r\n\r\n0-0:96.13.0(" + b"\xff" * 1024 + b")\r\n1-0:1.8.0(000001.000*kWh)\r\n"
    (event,) = frame(sealed(body))
    assert isinstance(event, Telegram)
    assert fault(event, "required") is None


def test_the_end_may_follow_a_value_on_its_line() -> None:
    body = b"/GWY5\r\n\r\n1-0:1.8.0(000001.000*kWh)"
    (event,) = frame(sealed(body))
    assert event == Telegram(0, body + b"!", crc16_arc(body + b"!"))


def test_a_checksum_may_be_in_lower_case_or_unpadded() -> None:
    number = next(
        n for n in range(10_000) if crc16_arc(BODY + b"0-0:96.1.1(%04d)\r\n!" % n) < 0x1000
    )
    body = BODY + b"0-0:96.1.1(%04d)\r\n" % number
    assert fault_of(body + b"!%x\r\n" % crc16_arc(body + b"!")) is None
    assert fault_of(GOOD[:-6] + GOOD[-6:].lower()) is None


def fault_of(stream: bytes, policy: str = "required") -> str | None:
    (event,) = frame(stream)
    assert isinstance(event, Telegram)
    return fault(event, policy)  # type: ignore[arg-type]


def test_a_wrong_checksum_is_named_with_both_values() -> None:
    reason = fault_of(BODY + b"!0BAD\r\n")
    assert (
        reason
        == f"wrong checksum: the telegram says 0BAD, its bytes give {crc16_arc(BODY + b'!'):04X}"
    )
    assert fault_of(BODY + b"!0BAD\r\n", "optional") == reason
    assert fault_of(BODY + b"!0BAD\r\n", "ignored") is None


def test_a_missing_checksum_is_a_fault_only_where_it_is_required() -> None:
    assert "no checksum" in (fault_of(OLD) or "")
    assert fault_of(OLD, "optional") is None
    assert fault_of(OLD, "ignored") is None


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\r\n", b"\n\n", b"\r\r"])
@pytest.mark.parametrize("policy", ["required", "optional"])
def test_a_checksum_is_that_of_the_line_ends_which_the_meter_sent(
    line_end: bytes, policy: str
) -> None:
    rewritten = GOOD.replace(b"\r\n", line_end)
    assert fault_of(rewritten, policy) is None
    damaged = rewritten.replace(b"1-0:1.8.1(0", b"1-0:1.8.1(9")
    assert damaged != rewritten
    assert "wrong checksum" in (fault_of(damaged, policy) or "")


def test_four_digits_end_a_telegram_without_a_line_feed() -> None:
    framer = Framer()
    assert framer.feed(GOOD[:-3]) == []
    assert framer.awaits_silence
    assert len(framer.feed(GOOD[-3:-2])) == 1
    assert not framer.awaits_silence


def test_silence_ends_a_telegram_that_has_its_mark() -> None:
    framer = Framer()
    assert framer.feed(OLD[:-2]) == []
    assert framer.awaits_silence
    assert framer.silence() == [Telegram(0, BODY + b"!", None)]
    assert framer.silence() == []
    assert bodies(framer.feed(b"\r\n" + GOOD)) == [BODY]


def test_silence_ends_nothing_else() -> None:
    framer = Framer()
    framer.feed(GOOD[:100])
    assert framer.silence() == []
    assert bodies(framer.feed(GOOD[100:])) == [BODY]


@pytest.mark.parametrize("junk", [b"\0\r\n", b"\xff", b"\xff\xff\r\n\0\0"])
def test_junk_after_the_checksum_does_not_hide_the_next_telegram(junk: bytes) -> None:
    assert bodies(frame(GOOD[:-2] + junk + OTHER)) == [BODY, OTHER_BODY]


def test_a_telegram_without_end_is_dropped_at_the_limit_once() -> None:
    framer = Framer()
    endless = b"/GWY5\r\n" + b"1-0:1.8.0(000001.000*kWh)\r\n" * 1000
    events = framer.feed(endless + GOOD)
    assert [type(event) for event in events] == [Damaged, Telegram]
    assert str(MAX_TELEGRAM_BYTES) in getattr(events[0], "reason", "")


@pytest.mark.parametrize("kind", ["random", "slashes", "text", "starts"])
def test_a_megabyte_of_noise_is_counted_in_bounded_memory_and_the_next_telegram_found(
    kind: str,
) -> None:
    noise = {
        "random": random.Random(1).randbytes(1 << 20),
        "slashes": b"/!\n" * 350_000,
        "text": b"x" * (1 << 20),
        "starts": b"\n!" * (1 << 19),
    }[kind]
    framer = Framer()
    damaged = sum(len(framer.feed(noise[at : at + 4096])) for at in range(0, len(noise), 4096))
    assert damaged < 200
    assert framer.noise_bytes > len(noise) / 4
    assert len(framer.noise_sample) <= 512
    assert framer.open_bytes <= MAX_TELEGRAM_BYTES
    events = framer.feed(b"\r\n" + GOOD)
    assert BODY in bodies(events)


def test_forgetting_drops_a_telegram_half_received() -> None:
    framer = Framer()
    framer.feed(GOOD[:100])
    framer.forget()
    assert framer.feed(GOOD[100:]) == []
    assert bodies(framer.feed(GOOD)) == [BODY]


def test_a_telegram_is_placed_in_the_stream() -> None:
    framer = Framer()
    framer.feed(b"noise\r\n")
    framer.feed(GOOD[:50])
    assert framer.open_start == 7
    (event,) = framer.feed(GOOD[50:])
    assert event.start == 7
    assert framer.open_start is None


def with_parity(data: bytes) -> bytes:
    return bytes(byte | (byte.bit_count() % 2) << 7 for byte in data)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (with_parity(GOOD), "7E1"),
        (
            b"\x76\x05\0\x1b\x1b\x1b\x1b\x1a\0\xa7\x91"
            + b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01\x76\x05" * 3,
            "use the profile sml/auto",
        ),
        (random.Random(2).randbytes(300), "baud rate"),
        (b"\0" * 100, "stuck"),
        (b"AT+CMGF=1 OK", "no telegram"),
        (b"1-0:1.8.1(0012\xff3.456*kWh)1-0:1.7.0(00.318*kW)", "errors"),
    ],
)
def test_noise_is_named_by_what_it_looks_like(noise: bytes, words: str) -> None:
    assert re.search(words, diagnose(noise))
