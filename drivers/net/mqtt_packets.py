"""What a broker may send, packet by packet: nothing that was not asked for, nothing too long, and
no flood (MQTT 3.1.1 and 5). Pure.

paho believes whatever comes. A broker that acknowledges what was never published, or sends what was
never subscribed to, would keep it busy for ever, and make it keep what nobody fetches.
"""

from collections import deque
from dataclasses import dataclass, field

MAX_MESSAGES = 500
"""Messages of a topic that may come in `WINDOW_S`. A meter publishes a few a second at most."""

WINDOW_S = 10.0

_MAX_LENGTH_BYTES = 4

_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP, _DISCONNECT = 2, 3, 4, 9, 13, 14
_SUBSCRIBE, _PINGREQ = 8, 12
_NAMES = {
    1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP",
    8: "SUBSCRIBE", 9: "SUBACK", 10: "UNSUBSCRIBE", 11: "UNSUBACK", 12: "PINGREQ", 13: "PINGRESP",
    14: "DISCONNECT", 15: "AUTH", 0: "packet of type 0",
}  # fmt: skip

_PLAIN_PUBACK_BYTES = 4
_REFUSED = 0x80
_REASONS = {
    0x80: "Unspecified error",
    0x83: "Implementation specific error",
    0x87: "Not authorized",
    0x90: "Topic name invalid",
    0x95: "Packet too large",
    0x97: "Quota exceeded",
    0x99: "Payload format invalid",
    0x9A: "Retain not supported",
    0x9B: "QoS not supported",
}
"""Why a PUBLISH is refused (MQTT 5, section 3.4.2.1), and what brokers say beside these."""

_ALERT = b"\x15\x03"
"""How TLS says that it does not understand (RFC 8446, section 5.1)."""


class NotAsBroker(ConnectionError):
    """What came is nothing that a broker may send here. The text says what, and what to do."""


class SpeaksTls(NotAsBroker):
    """A TLS alert came."""


class Flood(NotAsBroker):
    """Far more came than any meter says."""


@dataclass(slots=True)
class Conversation:
    """One connection, as both sides have spoken so far."""

    max_packet_bytes: int
    many: bool = False
    """Whether we listen to many: any number of messages may come, with QoS 0 or 1."""
    whole: deque[bytes] = field(default_factory=deque)
    """Packets that came whole, and may come, for whoever works them off."""
    waiting_bytes: int = 0
    """Of these."""
    refusals: dict[int, str] = field(default_factory=dict)
    """Why the broker does not take what was published under a number (MQTT 5)."""
    _rest: bytearray = field(default_factory=bytearray)
    _stage: str = "new"
    """new, welcomed, or over: the broker has said goodbye."""
    _subscriptions: int = 0
    _unanswered: set[int] = field(default_factory=set)
    """Numbers of what was published and not acknowledged."""
    _suback_owed: int = 0
    _pongs_owed: int = 0
    _window: tuple[float, int] = (0.0, 0)
    """When it began, and how many messages have come in it."""

    def said(self, packet: bytes) -> None:
        """We have sent a packet."""
        kind = packet[0] >> 4
        if kind == _PUBLISH and packet[0] & 0b110:
            self._unanswered.add(_number_of(packet))
        elif kind == _SUBSCRIBE:
            self._subscriptions += 1
            self._suback_owed += 1
        elif kind == _PINGREQ:
            self._pongs_owed += 1

    def take(self) -> bytes:
        """The next whole packet, or b""."""
        if not self.whole:
            return b""
        packet = self.whole.popleft()
        self.waiting_bytes -= len(packet)
        return packet

    def hear(self, data: bytes, now_s: float) -> None:
        """Bytes have come. Raises NotAsBroker at the first packet that may not come; those before
        it are whole. What comes after a goodbye is not looked at.
        """
        if self._stage == "over":
            return
        self._rest += data
        at = 0
        try:
            while self._stage != "over" and (packet := self._next(at)):
                at += len(packet)
                self._judge(packet, now_s)
                plain = self._plain(packet)
                self.whole.append(plain)
                self.waiting_bytes += len(plain)
        finally:
            del self._rest[:at]

    def _next(self, at: int) -> bytes:
        """The whole packet that begins there, or b"". Raises NotAsBroker."""
        rest = self._rest
        if self._stage == "new" and at == 0 and rest:
            self._look_at_the_greeting()

        size, shift = 0, 0
        for n in range(1, _MAX_LENGTH_BYTES + 1):
            if at + n >= len(rest):
                return b""
            size |= (rest[at + n] & 0x7F) << shift
            shift += 7
            if not rest[at + n] & 0x80:
                break
        else:
            raise NotAsBroker("what came is not MQTT — check host and port")

        if size > self.max_packet_bytes:
            raise NotAsBroker(f"the broker announces a packet of {size} bytes")
        end = at + 1 + n + size
        return bytes(rest[at:end]) if end <= len(rest) else b""

    def _look_at_the_greeting(self) -> None:
        """The first bytes tell who is there. Raises NotAsBroker."""
        begin = bytes(self._rest[:2])
        if begin[0] >> 4 == _CONNACK:
            return
        if len(begin) == 1 and _ALERT.startswith(begin):
            return
        if begin == _ALERT:
            raise SpeaksTls("it speaks TLS")
        raise NotAsBroker(
            f"what answers is no MQTT broker: it begins with {bytes(self._rest[:16])!r} — check "
            "host and port"
        )

    def _judge(self, packet: bytes, now_s: float) -> None:
        """Raises NotAsBroker where a packet may not come now."""
        kind = packet[0] >> 4
        if self._stage == "new":
            self._stage = "welcomed"
        elif kind == _PUBLISH and self._subscriptions and self.many and not packet[0] & 0b100:
            pass
        elif kind == _PUBLISH and self._subscriptions and not packet[0] & 0b110:
            self._count(now_s)
        elif kind == _PUBACK and (number := _acknowledged(packet)) in self._unanswered:
            self._unanswered.discard(number)
        elif kind == _SUBACK and self._suback_owed:
            self._suback_owed -= 1
        elif kind == _PINGRESP and self._pongs_owed:
            self._pongs_owed -= 1
        elif kind == _DISCONNECT:
            self._stage = "over"
        else:
            raise NotAsBroker(
                f"the broker sends what was never asked for ({_NAMES[kind]}) — is it a broker, and "
                "well?"
            )

    def _plain(self, packet: bytes) -> bytes:
        """An acknowledgement of MQTT 5 without its reason, which is noted.

        Brokers give reasons that the standard does not have there, and paho takes these for no MQTT
        at all.
        """
        if packet[0] >> 4 != _PUBACK or len(packet) <= _PLAIN_PUBACK_BYTES:
            return packet
        if (code := packet[4]) >= _REFUSED:
            self.refusals[_acknowledged(packet)] = _REASONS.get(code, f"reason {code:#x}")
        return b"\x40\x02" + packet[2:4]

    def _count(self, now_s: float) -> None:
        """One more message. Raises Flood."""
        begin_s, messages = self._window
        if now_s - begin_s >= WINDOW_S:
            begin_s, messages = now_s, 0
        self._window = begin_s, messages + 1
        if messages >= MAX_MESSAGES:
            raise Flood(
                f"the broker floods us: more than {MAX_MESSAGES} messages in {WINDOW_S:g} s — what "
                "publishes to that topic?"
            )


def _number_of(packet: bytes) -> int:
    """The number of a PUBLISH of ours: behind its length and its topic."""
    at = 1
    while packet[at] & 0x80:
        at += 1
    topic = int.from_bytes(packet[at + 1 : at + 3], "big")
    return int.from_bytes(packet[at + 3 + topic : at + 5 + topic], "big")


def _acknowledged(packet: bytes) -> int:
    """The number in a PUBACK, whose length takes one byte; -1 where there is none."""
    return int.from_bytes(packet[2:4], "big") if len(packet) >= 4 else -1
