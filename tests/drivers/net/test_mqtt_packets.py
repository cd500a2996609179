"""What a broker may send, to the byte."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.net.mqtt_packets import (
    MAX_MESSAGES,
    WINDOW_S,
    Conversation,
    Flood,
    NotAsBroker,
    SpeaksTls,
)

CONNACK, PONG, SUBACK = b"\x20\x02\x00\x00", b"\xd0\x00", b"\x90\x03\x00\x01\x00"
PING, SUBSCRIBE = b"\xc0\x00", b"\x82\x06\x00\x01\x00\x01a\x00"
MESSAGE = b"\x30\x05\x00\x01ahi"


def publish(number: int, topic: bytes = b"a") -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + number.to_bytes(2, "big") + b"x" * 200
    return b"\x32" + bytes((len(body) & 0x7F | 0x80, len(body) >> 7)) + body


def puback(number: int, reason: bytes = b"") -> bytes:
    return b"\x40" + bytes((2 + len(reason),)) + number.to_bytes(2, "big") + reason


def after(*said: bytes, max_packet_bytes: int = 4096) -> Conversation:
    conversation = Conversation(max_packet_bytes)
    conversation.hear(CONNACK, 0.0)
    conversation.whole.clear()
    for packet in said:
        conversation.said(packet)
    return conversation


@given(st.data())
def test_packets_come_whole_in_whatever_pieces_their_bytes_come(data: st.DataObject) -> None:
    packets = [CONNACK, puback(7), SUBACK, MESSAGE, PONG, MESSAGE, puback(300)]
    stream = b"".join(packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    conversation = Conversation(4096)
    for packet in (publish(7), SUBSCRIBE, PING, publish(300, b"topic/of/ours")):
        conversation.said(packet)
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        conversation.hear(stream[begin:end], 0.0)
    assert list(conversation.whole) == packets
    assert conversation.waiting_bytes == len(stream)
    assert [conversation.take() for _ in packets] == packets
    assert (conversation.waiting_bytes, conversation.take()) == (0, b"")


@pytest.mark.parametrize(
    ("said", "heard", "name"),
    [
        ((), puback(7), "PUBACK"),
        ((publish(7),), puback(8), "PUBACK"),
        ((publish(7),), puback(7) * 2, "PUBACK"),
        ((publish(7),), b"\x40\x00", "PUBACK"),
        ((), MESSAGE, "PUBLISH"),
        ((SUBSCRIBE,), b"\x34" + MESSAGE[1:], "PUBLISH"),
        ((), PONG, "PINGRESP"),
        ((PING,), PONG + PONG, "PINGRESP"),
        ((), SUBACK, "SUBACK"),
        ((), CONNACK, "CONNACK"),
        ((), b"\x62\x02\x00\x07", "PUBREL"),
        ((publish(7),), b"\x50\x02\x00\x07", "PUBREC"),
        ((), b"\xf0\x00", "AUTH"),
        ((), b"\x00\x00", "packet of type 0"),
    ],
)
def test_what_was_never_asked_for_ends_the_connection(
    said: tuple[bytes, ...], heard: bytes, name: str
) -> None:
    conversation = after(*said)
    with pytest.raises(NotAsBroker, match=re.escape(f"never asked for ({name})")):
        conversation.hear(heard, 0.0)


def test_a_goodbye_may_come_at_any_time() -> None:
    conversation = after()
    conversation.hear(b"\xe0\x02\x8e\x00", 0.0)
    conversation.hear(b"\xe0\x00" * 30_000 + MESSAGE, 0.0)
    assert list(conversation.whole) == [b"\xe0\x02\x8e\x00"], "it says so once"


@pytest.mark.parametrize(
    ("greeting", "kind", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", NotAsBroker, "no MQTT broker: it begins with b'H"),
        (b"\x15\x03\x01\x00\x02\x02\x46", SpeaksTls, "TLS"),
        (MESSAGE, NotAsBroker, "no MQTT broker"),
        (b"\x20\xff\xff\xff\xff\x01", NotAsBroker, "not MQTT"),
        (b"\x20\xff\xff\xff\x7f", NotAsBroker, "announces a packet of 268435455 bytes"),
    ],
)
def test_who_is_no_broker_is_told_by_the_first_bytes(
    greeting: bytes, kind: type[Exception], words: str
) -> None:
    for cut in (0, 1):
        conversation = Conversation(4096)
        with pytest.raises(kind, match=words):
            conversation.hear(greeting[:cut], 0.0)
            conversation.hear(greeting[cut:], 0.0)


def test_a_flood_of_messages_ends_the_connection_and_a_steady_stream_does_not() -> None:
    conversation = after(SUBSCRIBE)
    for second in range(100):
        conversation.hear(MESSAGE * int(MAX_MESSAGES / WINDOW_S), float(second))
    conversation = after(SUBSCRIBE)
    with pytest.raises(Flood, match="more than 500 messages in 10 s"):
        conversation.hear(MESSAGE * (MAX_MESSAGES + 1), 0.0)
    assert len(conversation.whole) == MAX_MESSAGES


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        (b"\x00", ""),
        (b"\x10", ""),
        (b"\x87\x00", "Not authorized"),
        (b"\x95", "Packet too large"),
        (b"\xee", "reason 0xee"),
    ],
)
def test_a_refusal_is_noted_and_the_packet_made_plain(reason: bytes, why: str) -> None:
    conversation = after(publish(7))
    conversation.hear(puback(7, reason), 0.0)
    assert list(conversation.whole) == [puback(7)]
    assert conversation.refusals == ({7: why} if why else {})


@given(st.lists(st.binary(max_size=300)), st.lists(st.sampled_from([publish(9), SUBSCRIBE, PING])))
def test_nothing_that_comes_makes_it_grow(chunks: list[bytes], said: list[bytes]) -> None:
    def grows(conversation: Conversation, hear: Callable[[bytes, float], None]) -> int:
        for n, chunk in enumerate(chunks):
            hear(chunk, float(n))
        return sum(map(len, conversation.whole))

    conversation = after(*said, max_packet_bytes=100)
    total = sum(map(len, chunks))
    try:
        assert grows(conversation, conversation.hear) <= total
    except NotAsBroker as error:
        assert str(error)


def test_who_listens_to_many_takes_any_number_also_with_qos_1() -> None:
    conversation = Conversation(4096, many=True)
    conversation.hear(CONNACK, 0.0)
    conversation.said(SUBSCRIBE)
    certain = publish(7)
    conversation.hear((certain + MESSAGE) * (2 * MAX_MESSAGES), 0.0)
    assert list(conversation.whole)[1:3] == [certain, MESSAGE]
    assert len(conversation.whole) == 1 + 4 * MAX_MESSAGES
    with pytest.raises(NotAsBroker, match="never asked for"):
        conversation.hear(b"\x34" + MESSAGE[1:], 0.0)


def test_who_listens_to_many_has_to_have_asked_as_well() -> None:
    conversation = Conversation(4096, many=True)
    conversation.hear(CONNACK, 0.0)
    with pytest.raises(NotAsBroker, match="never asked for"):
        conversation.hear(MESSAGE, 0.0)
