"""SML recordings without the meter's ids: what is left gives the same values, under right
checksums.
"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.recording import Passed, Recording, Told, write
from drivers.simulated.sml import Checksum, Entry, kermit, telegram, transport, x25
from drivers.sml.redact import redact
from drivers.sml.settings import Settings
from drivers.sml.transport import Damaged, Frame, Framer
from drivers.sml.values import read_values

SETTINGS = Settings(period_s=1, values=["energy_import_wh", "power_w"])
KEY = bytes(range(1, 49))
NUMBERED = bytes.fromhex("0a01454d480000bc614e")  # 1EMH0012345678


def file(
    server_id: bytes, *, checksum: Checksum = x25, raw: int = 123_456_789, listed: bytes = b""
) -> bytes:
    entries = [
        Entry(code="129-129:199.130.3*255", raw=b"EMH"),
        Entry(code="1-0:96.1.0*255", raw=listed or server_id),
        Entry(code="1-0:1.8.0*255", raw=raw, unit=30, scaler=-1, status=0x182),
        Entry(code="1-0:16.7.0*255", raw=5635, unit=27, scaler=-1),
        Entry(code="129-129:199.130.5*255", raw=KEY),
    ]
    return telegram(server_id, entries, checksum=checksum)


def recording(stream: bytes, size: int, *told: str) -> Recording:
    passed = tuple(
        Passed(at / 100, "came", stream[at : at + size]) for at in range(0, len(stream), size)
    )
    readings = tuple(
        Told(n + 1.0, float(n), {"power_w": 563.5}, each) for n, each in enumerate(told)
    )
    return Recording(
        profile="sml/auto", address=1, framing="rtu", serial=None, passed=passed, told=readings
    )


def bytes_of(shown: Recording) -> bytes:
    return b"".join(each.data for each in shown.passed)


def frames_of(stream: bytes) -> list[Frame | Damaged]:
    return Framer().feed(stream)


@pytest.mark.parametrize("checksum", [x25, kermit])
@pytest.mark.parametrize(
    ("server_id", "number", "shown_as"),
    [
        (NUMBERED, "1EMH0012345678", "1EMH0012000000"),
        (b"Q3A-4711-08", "Q3A-4711-08", "000-0000-00"),
        (bytes.fromhex("0648 4c59 02b5 6801"), "06484C5902B56801", "00" * 8),
    ],
)
def test_ids_and_keys_are_zeros_and_values_stay(
    checksum: Checksum, server_id: bytes, number: str, shown_as: str
) -> None:
    stream = file(server_id, checksum=checksum) + file(
        server_id, checksum=checksum, raw=123_456_800
    )
    before = recording(stream, 64, number, number)
    after = redact(before, SETTINGS)
    assert after.redacted
    assert [len(each.data) for each in after.passed] == [len(each.data) for each in before.passed]
    assert [each.serial_number for each in after.told] == [shown_as] * 2
    assert server_id not in bytes_of(after)
    assert KEY not in bytes_of(after)
    assert number not in write(after)
    for was, now in zip(frames_of(stream), frames_of(bytes_of(after)), strict=True):
        assert isinstance(was, Frame)
        assert isinstance(now, Frame)
        assert read_values(now.payload).quantities == read_values(was.payload).quantities
        assert read_values(now.payload).serial_number == shown_as


def test_a_meter_that_is_known_by_its_number_gives_the_same_power() -> None:
    dzg = bytes.fromhex(
        "0a01445a470002c4bc01"
    )  # 1DZG0046447617: sends too few bits for a positive power
    assert read_values(frames_of(short_power(dzg))[0].payload).quantities["power_w"] == 356.24  # type: ignore[union-attr]
    after = redact(recording(short_power(dzg), 50), SETTINGS)
    assert read_values(frames_of(bytes_of(after))[0].payload).quantities["power_w"] == 356.24  # type: ignore[union-attr]


def short_power(server_id: bytes) -> bytes:
    energy = Entry(code="1-0:1.8.0*255", raw=1, unit=30, scaler=-1, status=0)
    return telegram(
        server_id,
        [energy, Entry(code="1-0:16.7.0*255", raw=35624 - 65536, unit=27, scaler=-2, width=2)],
    )


def test_damaged_telegrams_stay_damaged_and_lose_their_ids_too() -> None:
    good = file(NUMBERED)
    stream = good[40:] + good[:-1] + bytes((good[-1] ^ 1,)) + good
    after = redact(recording(stream, 41), SETTINGS)
    assert (
        [type(each) for each in frames_of(bytes_of(after))]
        == [type(each) for each in frames_of(stream)]
        == [Damaged, Frame]
    )
    assert NUMBERED not in bytes_of(after)


def test_a_checksum_that_came_without_its_zero_may_need_both_bytes() -> None:
    entries = [Entry(code="1-0:1.8.0*255", raw=5, unit=30, scaler=-1)]
    files = (
        telegram(bytes.fromhex("0a01454d480000") + number.to_bytes(3, "big"), entries)
        for number in range(1, 0x6300)
    )
    payloads = (frames_of(each)[0].payload.rstrip(b"\0") + b"\0" for each in files)  # type: ignore[union-attr]
    matches = (re.search(rb"\x01(?=\x63\x00.\x00)", each, re.DOTALL) for each in payloads)
    match = next(each for each in matches if each)
    payload, at = match.string, match.end()
    trimmed = transport(payload[:at] + b"\x62" + payload[at + 2 :])
    stream = trimmed + trimmed
    after = redact(recording(stream, 33), SETTINGS)
    was, now = frames_of(stream), frames_of(bytes_of(after))
    assert [type(each) for each in now] == [Frame, Frame]
    for before, later in zip(was, now, strict=True):
        assert (
            read_values(later.payload).quantities
            == read_values(before.payload).quantities
            == {"energy_import_wh": 0.5}
        )  # type: ignore[union-attr]


def test_without_a_whole_telegram_nobody_knows_where_the_ids_are() -> None:
    with pytest.raises(ValueError, match="no telegram in it is whole"):
        redact(recording(file(NUMBERED)[:-9], 50), SETTINGS)


@given(st.binary(min_size=6, max_size=20).filter(any), st.integers(1, 400), st.binary(max_size=40))
def test_whatever_the_id_and_the_chunks_values_stay(
    server_id: bytes, size: int, noise: bytes
) -> None:
    stream = noise + file(server_id)
    was = frames_of(stream)
    if not any(isinstance(each, Frame) for each in was):
        return
    after = redact(recording(stream, size), SETTINGS)
    now = frames_of(bytes_of(after))
    assert [type(each) for each in now] == [type(each) for each in was]
    assert read_values(now[-1].payload).quantities == {
        "energy_import_wh": 12345678.9,
        "power_w": 563.5,
    }  # type: ignore[union-attr]
