"""What a gateway and a collector say: everything comes back, and nothing else is taken."""

import gzip

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.fleet import messages
from gateway.outbox.fleet.messages import (
    Ack,
    AssetRow,
    AssetRows,
    BadMessage,
    Digest,
    MeterRow,
    MeterRows,
    Refused,
    Slots,
    Status,
    decode_ack,
    decode_slots,
    decode_status,
    encode,
    place_of,
    topic_of,
)
from tests.draws import draws

ASSET = "26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1"
SITE = "home-12"


def slots_of(count: int) -> Slots:
    starts = [1_750_000_500 + 900 * n for n in range(count)]
    return Slots(
        v=1,
        site=SITE,
        store="a1b2",
        seq=[(1, max(count, 1))],
        version="1.0",
        sent=1_750_000_000,
        deliver="direct",
        items=[
            AssetRows(
                asset=ASSET,
                kind="measurement",
                length_s=900,
                rows=[AssetRow(s, 0, 123_456_789, "measured", 40_000) for s in starts],
            )
        ],
        meters=[
            MeterRows(
                meter="grid",
                direction="import",
                serial="190000",
                length_s=900,
                rows=[
                    MeterRow(s, 0, None, "missing", "counter", 0, 0, 900_000, 5, 5, "kernel")
                    for s in starts
                ],
            )
        ],
        digests=[Digest(ASSET, 1_749_945_600, 96, 2**62)],
    )


@pytest.mark.parametrize("count", [0, 1, 3, 4, 96])
def test_slots_come_back_and_many_are_packed(count: int) -> None:
    data = encode(slots_of(count))
    assert decode_slots(data, SITE) == slots_of(count)
    assert data.startswith(b"\x1f\x8b") == (count >= 4)


def test_a_whole_day_of_a_home_is_small() -> None:
    assert len(encode(slots_of(96))) < 2_500


def test_acknowledgements_and_the_status_come_back() -> None:
    ack = Ack("a1b2", stored=[(1, 4), (7, 7)], refused=[Refused((5, 6), "no such asset")])
    assert decode_ack(encode(ack)) == ack
    status = Status(v=1, site=SITE, store="a1b2", online=True, sent=5, version="1.0")
    assert decode_status(encode(status), SITE) == status


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cannot be read"),
        (b"\x1f\x8b\x08", "cut short"),
        (gzip.compress(bytes(100 << 20), 1), "more than 1,048,576 bytes"),
        (bytes(2 << 20), "2,097,152 bytes"),
        (gzip.compress(b"{}")[:-6], "cut short"),
        (b"\x1f\x8bnothing of gzip", "gzip is damaged"),
        (b'{"v":2,"whatever":1}', "version 2 of the protocol"),
        (encode(slots_of(1))[:-9], "cannot be read"),
        (encode(slots_of(1)).replace(b'"home-12"', b'"home-13"'), "says it is of 'home-13'"),
        (encode(slots_of(1)).replace(b"[[1,1]]", b"[[9,1]]"), "no span"),
        (encode(slots_of(1)).replace(b'"measured"', b'"splendid"'), "splendid"),
        (encode(slots_of(1001)), "2,002 rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_message_is_refused_with_its_reason(data: bytes, why: str) -> None:
    with pytest.raises(BadMessage) as refused:
        decode_slots(data, SITE)
    assert why in str(refused.value)


@draws(200)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(gzip.compress))
def test_whatever_comes_is_a_message_or_refused(data: bytes) -> None:
    for decode in (
        lambda d: decode_slots(d, SITE),
        lambda d: decode_status(d, SITE),
        decode_ack,
    ):
        with pytest.raises(BadMessage):
            decode(data)


def test_a_long_acknowledgement_is_refused() -> None:
    ack = Ack("a1b2", refused=[Refused((1, 1), "x" * 5000)])
    with pytest.raises(BadMessage, match="4,096 are taken"):
        decode_ack(msgspec.json.encode(ack))


def test_topics_name_site_and_channel() -> None:
    for channel in messages.CHANNELS:
        assert place_of("mg/north", topic_of("mg/north", SITE, channel)) == (SITE, channel)
    for other in ("mg/v1/home/slots", "mg/north/v2/home/slots", "mg/north/v1//slots", "mg/north"):
        assert place_of("mg/north", other) is None
    assert place_of("mg", "mg/v1/home/else") is None
