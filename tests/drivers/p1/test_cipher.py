"""Encrypted frames: cut out of any stream, opened with the right keys, and each wrong key told
apart from damage.
"""

import random

import pytest
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser
from hypothesis import given
from hypothesis import strategies as st

from drivers.p1.cipher import CipherError, Opened, decrypt, system_title, title_text
from drivers.p1.keys import Keys
from drivers.p1.telegram import MAX_TELEGRAM_BYTES, Event, Framer, Sealed
from drivers.text_telegram import Damaged, Telegram
from tests.drivers.p1.telegrams.encrypted import AUTHENTICATION, KEYS, TITLE, envelope, headed
from tests.drivers.p1.telegrams.written import written

PLAIN = {each.name: each.data for each in written()}
TEXT = PLAIN["luxembourg"]
FRAME = envelope(TEXT)


def frame(*chunks: bytes) -> list[Event]:
    framer = Framer()
    return [event for chunk in chunks for event in framer.feed(chunk)]


def without_ends(data: bytes) -> bytes:
    return data.removesuffix(b"\r\n")


# Out of the stream


def test_an_encrypted_frame_comes_out_whole_with_its_place() -> None:
    assert frame(b"\r\n" + FRAME) == [Sealed(2, FRAME)]


@pytest.mark.parametrize("form", [0x82, 0x83, 0x84])
def test_the_length_may_be_in_any_form(form: int) -> None:
    sealed = envelope(TEXT, form=form)
    assert frame(sealed + FRAME) == [Sealed(0, sealed), Sealed(len(sealed), FRAME)]
    assert decrypt(sealed, KEYS).text == TEXT


@pytest.mark.parametrize(("form", "size"), [(0, 90), (0x81, 200)])
def test_the_length_of_a_short_telegram_may_be_short(form: int, size: int) -> None:
    text = b"/KFM5\r\n\r\n" + b"x" * (size - 9)
    sealed = envelope(text, form=form)
    assert frame(sealed) == [Sealed(0, sealed)]
    assert decrypt(sealed, KEYS).text == text


pieces = st.one_of(
    st.sampled_from(
        [
            FRAME,
            TEXT,
            headed(TEXT),
            FRAME[:300],
            FRAME[40:],
            b"\xdb\x08",
            b"\xdb",
            b"\xdb\x08SAG12345\x82",
            b"\r\n\r\n\0\x82",
        ]
    ),
    st.binary(max_size=40),
)


@given(st.lists(pieces, max_size=6), st.randoms(use_true_random=False))
def test_chunking_changes_nothing(parts: list[bytes], rng: random.Random) -> None:
    stream = b"".join(parts)
    whole, cut = Framer(), Framer()
    expected = whole.feed(stream)
    events: list[Event] = []
    at = 0
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


def test_whatever_a_frame_holds_ends_nothing_and_begins_nothing() -> None:
    text = b"\r\n/ABC5\r\n!1234\r\n\0\r\n\r\n" * 20
    sealed = envelope(text, security=0x30, counter=9)
    tricky = sealed[:20] + b"\r\n/ABC5\r\n\r\n!0000\r\n" + sealed[38:]
    assert frame(tricky + FRAME) == [Sealed(0, tricky), Sealed(len(tricky), FRAME)]


def test_a_frame_that_lost_bytes_does_not_take_the_next_with_it() -> None:
    damaged, good = frame(FRAME[:400] + FRAME[430:] + FRAME)
    assert isinstance(damaged, Damaged)
    assert "cut off" in damaged.reason
    assert good == Sealed(len(FRAME) - 30, FRAME)


def test_a_plain_telegram_that_is_cut_off_does_not_hide_an_encrypted_frame() -> None:
    damaged, good = frame(TEXT[:200] + FRAME)
    assert isinstance(damaged, Damaged)
    assert good == Sealed(200, FRAME)


def test_the_tail_of_a_frame_is_noise() -> None:
    assert [event for event in frame(FRAME[300:] + FRAME + FRAME) if isinstance(event, Sealed)] == [
        Sealed(len(FRAME) - 300, FRAME),
        Sealed(2 * len(FRAME) - 300, FRAME),
    ]


def test_a_length_beyond_the_limit_is_no_frame() -> None:
    framer = Framer()
    huge = b"\xdb\x08" + TITLE + b"\x82\xff\xff\x30" + b"\0" * 9
    events = framer.feed(huge + b"\r\n" + TEXT)
    assert [type(event) for event in events] == [Telegram]
    assert framer.open_bytes <= MAX_TELEGRAM_BYTES


def test_a_plain_first_line_may_stand_before_an_encrypted_frame() -> None:
    [sealed] = frame(headed(TEXT))
    assert isinstance(sealed, Sealed)
    assert system_title(sealed.raw) == b""
    assert decrypt(sealed.raw, Keys(encryption=KEYS.encryption, system_title=TITLE)).text == TEXT
    assert frame(headed(TEXT) + headed(TEXT))[1] == Sealed(len(headed(TEXT)), sealed.raw)


# Opened


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_what_was_encrypted_comes_out(name: str) -> None:
    sealed = envelope(PLAIN[name])
    assert decrypt(sealed, KEYS, AUTHENTICATION) == Opened(PLAIN[name], TITLE, proven=True)
    assert decrypt(sealed, KEYS) == Opened(PLAIN[name], TITLE, proven=False)


def test_another_program_reads_the_same_frame() -> None:
    """The frames of these tests are those of real meters: dsmr-parser opens them with the same
    keys.
    """
    parser = TelegramParser(telegram_specifications.SAGEMCOM_T210_D_R)
    for name in ("austria",):
        telegram = parser.parse(
            envelope(PLAIN[name]).hex(), KEYS.encryption.hex(), AUTHENTICATION.hex(), throw_ex=True
        )
        assert getattr(telegram, "ELECTRICITY_IMPORTED_TOTAL").value == 6545766  # noqa: B009 — made at run time


def test_the_meters_own_authentication_key_goes_before_the_common_one() -> None:
    own = Keys(encryption=KEYS.encryption, authentication=b"another 16 bytes")
    assert decrypt(envelope(TEXT, ak=b"another 16 bytes"), own, AUTHENTICATION).proven
    with pytest.raises(CipherError, match="authentication key is wrong"):
        decrypt(FRAME, own, AUTHENTICATION)


def test_a_frame_without_tag_is_opened_and_not_proven() -> None:
    assert decrypt(envelope(TEXT, security=0x20), KEYS, AUTHENTICATION) == Opened(
        TEXT, TITLE, proven=False
    )


def test_a_wrong_encryption_key_is_named_with_the_meter_and_without_the_key() -> None:
    with pytest.raises(
        CipherError, match=r"encryption key does not fit meter SAG0102030405.*key file"
    ) as caught:
        decrypt(FRAME, Keys(encryption=b"not the meters's"), AUTHENTICATION)
    assert b"not the meters's".hex() not in str(caught.value)


def test_damage_is_not_taken_for_a_wrong_encryption_key() -> None:
    flipped = FRAME[:300] + bytes([FRAME[300] ^ 4]) + FRAME[301:]
    with pytest.raises(CipherError, match="the frame was damaged, or the authentication key"):
        decrypt(flipped, KEYS, AUTHENTICATION)


def test_a_missing_system_title_is_named() -> None:
    [sealed] = frame(headed(TEXT))
    assert isinstance(sealed, Sealed)
    with pytest.raises(CipherError, match=r"does not send its system title.*system_title"):
        decrypt(sealed.raw, KEYS)


def test_dlms_objects_inside_are_named() -> None:
    with pytest.raises(CipherError, match="DLMS objects, not P1 text"):
        decrypt(envelope(b"\x0f" + bytes(60)), KEYS, AUTHENTICATION)


@pytest.mark.parametrize(
    "form",
    [b"\xdb\x08" + TITLE + b"\x84", b"\xdb\x08" + TITLE, b"\x00\x1e", b"\x00", b"\x00\xff\x30"],
)
def test_a_frame_that_ends_early_is_named(form: bytes) -> None:
    with pytest.raises(CipherError, match="ends before its content"):
        decrypt(form, KEYS, AUTHENTICATION)


@given(st.binary(min_size=5, max_size=60))
def test_any_frame_gives_text_or_a_named_error(body: bytes) -> None:
    [sealed] = frame(b"\xdb\x08" + TITLE + bytes([len(body) + 1]) + b"\x30" + body)
    assert isinstance(sealed, Sealed)
    with pytest.raises(CipherError):
        decrypt(sealed.raw, KEYS, AUTHENTICATION)


def test_a_system_title_reads_as_maker_and_number() -> None:
    assert title_text(TITLE) == "SAG0102030405"
    assert title_text(b"\xff" * 8) == "FF" * 8
