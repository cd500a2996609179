"""What a gateway and a fleet's collector say to each other, and its bytes: JSON, in columns, gzip
from `PACK_FROM_SLOTS` slots on. Pure.

    <topic>/v1/<site>/slots      what has just closed                     gateway → collector
    <topic>/v1/<site>/backlog    the same of earlier: one unacknowledged at a time
    <topic>/v1/<site>/status     how the gateway is: retained, and its last will
    <topic>/v1/<site>/ack        what is stored, refused, asked for       collector → gateway

What gateways say goes with QoS 1, the collector's word with QoS 0: what it does not reach is sent
again. Nothing is believed for the broker's own acknowledgement: a gateway forgets what the
collector says is *stored*. Only `status` is retained. Everything works over MQTT 3.1.1.

Each closing or new writing of slots has a number of its own in the gateway's buffer, `seq`. A
message is made of the tables when it is sent, so that the same number may come again with more in
it: whoever receives it goes by asset, slot, kind and revision.
"""

import zlib
from typing import Literal, TypeVar, get_args

import msgspec

from gateway.energy.assets import Direction
from gateway.energy.slot import Quality
from gateway.outbox.fleet.change import Deliver as Deliver  # noqa: PLC0414 — part of what is said
from gateway.outbox.fleet.change import Span as Span  # noqa: PLC0414
from gateway.outbox.item import Kind

VERSION = 1
"""A collector refuses a message of a later one, and keeps it for a person."""

PACK_FROM_SLOTS = 4
MAX_BYTES = 1 << 20
"""Of a message, unpacked."""
MAX_ROWS = 2_000
"""Of a message: rows of assets and of meters together."""
MAX_ACK_BYTES = 4_096
MAX_PROBLEMS = 20
MAX_SLOTS = 96
"""Of a message of the backlog."""

Channel = Literal["slots", "backlog", "status", "ack"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)


class BadMessage(Exception):
    """Bytes that are no message of this protocol; says what is wrong with them."""


class AssetRow(msgspec.Struct, frozen=True, array_like=True):
    """One number of an asset: what is, or would be, delivered to the exchange."""

    slot_s: int
    revision: int
    energy_uwh: int | None
    """None where it is not known."""
    quality: Quality
    uncertainty_uwh: int | None = None
    """By how much it may be off, either way; None: not known, or a forecast."""


class AssetRows(msgspec.Struct, frozen=True):
    """Rows of one asset."""

    asset: str
    """Its UUID."""
    kind: Kind
    length_s: int
    rows: list[AssetRow]


class MeterRow(msgspec.Struct, frozen=True, array_like=True):
    """One slot of one direction of a meter; fields as in `Slot`."""

    slot_s: int
    revision: int
    energy_uwh: int | None
    quality: Quality
    method: str
    coverage_permille: int
    samples: int
    largest_gap_ms: int
    begin_register_uwh: int
    end_register_uwh: int
    clock: str
    uncertainty_uwh: int | None = None


class MeterRows(msgspec.Struct, frozen=True):
    """Rows of one direction of a meter."""

    meter: str
    direction: Direction
    serial: str
    """Empty where it tells none."""
    length_s: int
    rows: list[MeterRow]


class Slots(msgspec.Struct, frozen=True, omit_defaults=True):
    """What closed, or was written anew."""

    v: int
    site: str
    store: str
    """The random id of the buffer's file: after a lost card it is another one, and revisions begin
    at 0 again.
    """
    seq: list[Span]
    """The numbers of which all is here that there is now."""
    version: str
    """The gateway's."""
    sent: int
    """By the gateway's clock, Unix time."""
    deliver: Deliver
    """Of all slots in it."""
    items: list[AssetRows] = []
    meters: list[MeterRows] = []
    digests: list["Digest"] = []

    @property
    def rows(self) -> int:
        """How many it has, of assets and meters."""
        count = 0
        for item in self.items:
            count += len(item.rows)
        for meter in self.meters:
            count += len(meter.rows)
        return count


class Digest(msgspec.Struct, frozen=True, array_like=True):
    """What one side has of an asset's measurements in one UTC day: enough to see whether both have
    the same.
    """

    asset: str
    day_s: int
    """Its begin, Unix time."""
    slots: int
    """How many have a known energy."""
    sum_uwh: int
    """Of the newest revisions."""
    first_s: int | None = None
    """Starts of the first and the last slot that it is about: a buffer may begin in the middle of a
    day. None: the whole day.
    """
    last_s: int | None = None


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """What will never be stored as it is."""

    seq: Span
    why: str


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """What the exchange said of a number that the fleet delivered."""

    asset: str
    slot_s: int
    kind: Kind
    revision: int
    state: Literal["accepted", "rejected", "missed"]
    reason: str
    at_s: int


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the collector says. `store` is the buffer that it speaks of: to another one it says
    nothing.
    """

    store: str
    stored: list[Span] = []
    """In the database, beyond any crash: the gateway may forget that it is owed."""
    refused: list[Refused] = []
    ask: list[Span] = []
    """Slots from … to … (Unix time) that are wanted again."""
    verdicts: list[Verdict] = []
    warning: str = ""
    """What a person at the gateway should know: two gateways of one name."""


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a gateway is. Its last will has `online` false and nothing else that is new."""

    v: int
    site: str
    store: str
    online: bool
    sent: int
    version: str
    deliver: Deliver = "direct"
    mood: str = ""
    """As its page says: well, starting, warn, bad."""
    problems: list[str] = []
    """The ids of what is wrong, at most `MAX_PROBLEMS`."""
    rss_bytes: int = 0
    disk_free_bytes: int = 0
    disk_written_per_day_bytes: int = 0
    clock_trusted: bool = True
    oldest_owed_s: int | None = None
    """Start of the oldest slot that the exchange or the fleet is still owed."""
    owed: int = 0
    config: str = ""
    """A hash of the configuration's files."""
    meters: dict[str, str] = {}
    """What each meter stands for: grid, sun, battery, house or other. A community's energy is added
    up by it.
    """


def topic_of(base: str, site: str, channel: Channel) -> str:
    """Where that is published."""
    return f"{base}/v1/{site}/{channel}"


def place_of(base: str, topic: str) -> tuple[str, Channel] | None:
    """The site and channel of a topic; None where it is not one of these."""
    head, _, rest = topic.removeprefix(f"{base}/").partition("/")
    site, _, channel = rest.partition("/")
    found = next((each for each in CHANNELS if each == channel), None)
    if not topic.startswith(f"{base}/") or head != "v1" or not site or found is None:
        return None
    return site, found


def encode(message: Slots | Ack | Status) -> bytes:
    """Its bytes, packed where it is long."""
    data = msgspec.json.encode(message)
    if isinstance(message, Slots):
        slots = {row.slot_s for each in message.items for row in each.rows}
        slots |= {row.slot_s for each in message.meters for row in each.rows}
        if len(slots) >= PACK_FROM_SLOTS:
            packing = zlib.compressobj(6, zlib.DEFLATED, wbits=31)
            return packing.compress(data) + packing.flush()
    return data


def decode_slots(data: bytes, site: str) -> Slots:
    """What a gateway sent on the topic of `site`. Raises BadMessage where it is not one, is of a
    later version, too large, or names another site.
    """
    message = _decoded(unpacked(data), Slots)
    if message.site != site:
        raise BadMessage(f"it came on the topic of {site!r} and says it is of {message.site!r}")
    if message.rows > MAX_ROWS:
        raise BadMessage(f"it has {message.rows:,} rows; {MAX_ROWS:,} are taken at a time")
    for begin, end in message.seq:
        if not 0 < begin <= end:
            raise BadMessage(f"seq {begin} to {end} is no span of numbers")
    return message


def decode_ack(data: bytes) -> Ack:
    """What a collector sent. Raises BadMessage."""
    if len(data) > MAX_ACK_BYTES:
        raise BadMessage(f"it has {len(data):,} bytes; {MAX_ACK_BYTES:,} are taken")
    try:
        return msgspec.json.decode(data, type=Ack)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(f"it cannot be read: {error}") from error


def decode_status(data: bytes, site: str) -> Status:
    """What a gateway says of itself on the topic of `site`. Raises BadMessage."""
    message = _decoded(unpacked(data), Status)
    if message.site != site:
        raise BadMessage(f"it came on the topic of {site!r} and says it is of {message.site!r}")
    return message


def unpacked(data: bytes) -> bytes:
    """Without gzip, where it is packed. Raises BadMessage where that would be too large, or is cut
    short.
    """
    if data[:2] != b"\x1f\x8b":
        if len(data) > MAX_BYTES:
            raise BadMessage(f"it has {len(data):,} bytes; {MAX_BYTES:,} are taken")
        return data
    unpacking = zlib.decompressobj(wbits=31)
    try:
        plain = unpacking.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise BadMessage(f"its gzip is damaged: {error}") from error
    if unpacking.unconsumed_tail:
        raise BadMessage(f"unpacked it has more than {MAX_BYTES:,} bytes")
    if not unpacking.eof:
        raise BadMessage("its gzip is cut short")
    return plain


_Told = TypeVar("_Told", Slots, Status)


class _Head(msgspec.Struct):
    v: int


def _decoded(data: bytes, kind: type[_Told]) -> _Told:
    try:
        message = msgspec.json.decode(data, type=kind)
        version = message.v
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        version = _version(data)
        if version == VERSION:
            raise BadMessage(f"it cannot be read: {error}") from error
    if version != VERSION:
        raise BadMessage(
            f"it is of version {version} of the protocol, and this is version {VERSION}: "
            "bring the collector up to date first"
        )
    return message


def _version(data: bytes) -> int:
    """Of a message that cannot be read. Raises BadMessage where not even that can."""
    try:
        return msgspec.json.decode(data, type=_Head).v
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(f"it cannot be read: {error}") from error
