"""A community's server, in one process and under virtual time: a broker that loses, repeats and
delays, a collector, and its database.

What is pure of the collector is the product's own: what a message is, what of it is taken, what
waits for which, and what is said to the gateway. The database stands in for PostgreSQL, and is as
strict: a row is there once; the same key with another value is kept beside it; what is not
committed was never there.
"""

import asyncio
import copy
import errno
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from drivers.net.mqtt import Message
from gateway.fleet.checking import Checked, acks, check, differs, span_of
from gateway.fleet.inbox import Delivered, Inbox
from gateway.outbox.fleet.messages import (
    Ack,
    AssetRow,
    BadMessage,
    MeterRow,
    Slots,
    Span,
    decode_slots,
    encode,
    place_of,
    topic_of,
)

TOPIC = "mg"
SITE = "simulated-home"
_LATENCY_S = 0.03
_REPEATED_WITHIN_S = 600.0
_GATHER_S = 0.25
_COMMIT_S = 0.05
_AGAIN_S = 2.0
_BATCH = 100

AssetKey = tuple[str, int, str, int]
"""Asset, slot, kind, revision."""
MeterKey = tuple[str, str, str, int, int]
"""Meter, direction, serial number, slot, revision."""


@dataclass(slots=True)
class Database:
    """What is committed."""

    assets: dict[AssetKey, AssetRow] = field(default_factory=dict)
    meters: dict[MeterKey, MeterRow] = field(default_factory=dict)
    clashes: set[tuple[Any, ...]] = field(default_factory=set)
    """Keys that came again with another value, and these values."""
    stores: list[str] = field(default_factory=list)
    """In the order in which they were first heard of."""

    def commit(self, message: Slots, checked: Checked) -> None:
        """All of a message, or nothing: here nothing can stop it in between."""
        if message.store not in self.stores:
            self.stores.append(message.store)
        for item in checked.items:
            for row in item.rows:
                key = item.asset, row.slot_s, item.kind, row.revision
                _insert(self.assets, self.clashes, key, row)
        for meter in checked.meters:
            for one in meter.rows:
                whose = meter.meter, meter.direction, meter.serial, one.slot_s, one.revision
                _insert(self.meters, self.clashes, whose, one)

    def differing(self, message: Slots) -> list[Span]:
        """The days of which the gateway says something else."""
        wanted = {
            span_of(digest)
            for digest in message.digests
            if differs(digest, *self._sum_of(digest.asset, *span_of(digest)))
        }
        return sorted(wanted)

    def _sum_of(self, asset: str, first_s: int, last_s: int) -> tuple[int, int, set[int], set[int]]:
        """How many slots are known, their sum, in which there are clashes, and which are known."""
        newest: dict[int, tuple[int, int | None]] = {}
        for (whose, slot_s, kind, revision), row in self.assets.items():
            if whose == asset and kind == "measurement" and first_s <= slot_s <= last_s:
                newest[slot_s] = max(
                    newest.get(slot_s, (-1, None)),
                    (revision, row.energy_uwh),
                    key=lambda each: each[0],
                )
        known = {slot_s: uwh for slot_s, (_, uwh) in newest.items() if uwh is not None}
        clashing = {
            key[1]
            for key, _ in self.clashes
            if len(key) == 4 and key[0] == asset and first_s <= key[1] <= last_s
        }
        return len(known), sum(known.values()), clashing, {*known}


def _insert(table: dict[Any, Any], clashes: set[tuple[Any, ...]], key: Any, row: Any) -> None:
    there = table.setdefault(key, row)
    if there != row:
        clashes.add((key, row))


@dataclass(slots=True)
class Way:
    """What the broker does to messages, both ways."""

    dropped: float = 0.0
    """A share."""
    repeated: float = 0.0
    """A share."""
    late_s: float = 0.0
    """At most."""
    down: bool = False


@dataclass(slots=True)
class Server:
    """What is wrong with collector and database, and what the collector has said."""

    is_database_away: bool = False
    dies: Literal["", "before commit", "before its word"] = ""
    """When the collector is killed."""
    off_s: float = 0.0
    """For how long then."""
    is_off: bool = False
    """It has been killed."""
    told: list[Ack] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Why messages, or parts of them, were not taken."""


Sabotage = Literal["", "acknowledges before the commit"]


class Community:
    """Broker, collector and database. `rng` draws what becomes of each message; `now` is true
    time.
    """

    def __init__(self, rng: Random, now: Callable[[], float], sabotage: Sabotage = "") -> None:
        self._rng = rng
        self._now = now
        self._loop = asyncio.get_running_loop()
        self.sabotage = sabotage
        self.way = Way()
        self.database = Database()
        self.server = Server()
        self._sessions: list[Session] = []
        self._inbox = Inbox()
        self._came = asyncio.Event()

    # --- the broker -------------------------------------------------------------------------------

    async def connect(
        self,
        is_severed: Callable[[], bool],
        will: Message,
        received: Callable[[Message], None],
    ) -> "Session":
        """A gateway's connection. Raises OSError."""
        await asyncio.sleep(_LATENCY_S)
        if self.way.down or is_severed():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        session = Session(self, is_severed, will, received)
        self._sessions.append(session)
        return session

    def throw_out(self) -> None:
        """Every connection is lost."""
        for session in self._sessions:
            session.lose()
        self._sessions.clear()

    def forget(self, session: "Session") -> None:
        """It is gone."""
        if session in self._sessions:
            self._sessions.remove(session)

    def carry(self, message: Message) -> None:
        """A message on its way: the broker has said that it has it."""
        way, rng = self.way, self._rng
        if not (way.dropped and rng.random() < way.dropped):
            late_s = rng.uniform(0, way.late_s) if way.late_s else 0.0
            self._loop.call_later(_LATENCY_S + late_s, self._arrive, message)
        if way.repeated and rng.random() < way.repeated:
            self._loop.call_later(rng.uniform(0, _REPEATED_WITHIN_S), self._arrive, message)

    def _arrive(self, message: Message) -> None:
        for session in list(self._sessions):
            session.arrive(message)
        place = place_of(TOPIC, message.topic)
        if place is None or self.server.is_off or place[1] in ("ack", "status"):
            return
        site, channel = place
        self._inbox.put(Delivered(site, message.payload, self._now()), live=channel == "slots")
        self._came.set()

    # --- the collector ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Until it is cancelled; killed now and then."""
        while True:
            try:
                await self._collect()
            except _Killed:
                self._inbox, self.server.is_off, self.server.dies = Inbox(), True, ""
                await asyncio.sleep(self.server.off_s)
                self.server.is_off = False

    async def _collect(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            await asyncio.sleep(_GATHER_S)
            while len(self._inbox):
                batch = []
                while len(batch) < _BATCH and (delivered := self._inbox.take()) is not None:
                    batch.append(delivered)
                await self._store(batch)

    async def _store(self, batch: Sequence[Delivered]) -> None:
        taken = [each for each in map(self._read, batch) if each is not None]
        if self.sabotage:
            self._say(taken)
        while self.server.is_database_away:
            await asyncio.sleep(_AGAIN_S)
            self._may_die("before commit")
        await asyncio.sleep(_COMMIT_S)
        self._may_die("before commit")
        for message, checked in taken:
            self.database.commit(message, checked)
        self._may_die("before its word")
        if not self.sabotage:
            self._say(taken)

    def _may_die(self, when: str) -> None:
        if self.server.dies == when:
            raise _Killed

    def _read(self, delivered: Delivered) -> tuple[Slots, Checked] | None:
        try:
            message = decode_slots(delivered.payload, delivered.site)
            checked = check(message, delivered.at_s)
        except BadMessage as error:
            self.server.refused.append(str(error))
            return None
        self.server.refused += [refusal.why for refusal in checked.refusals]
        return message, checked

    def _say(self, taken: Sequence[tuple[Slots, Checked]]) -> None:
        for message, checked in taken:
            why = "; ".join(dict.fromkeys(refusal.why for refusal in checked.refusals))
            ask = self.database.differing(message)
            newest = self.database.stores[-1] if self.database.stores else message.store
            warning = "" if message.store == newest else "a newer buffer has begun"
            for ack in acks(message.store, message.seq, why=why, ask=ask, warning=warning):
                self.server.told.append(ack)
                self.carry(Message(topic_of(TOPIC, message.site, "ack"), encode(ack)))

    # --- the database -----------------------------------------------------------------------------

    def backup(self) -> Database:
        """A copy of what is committed."""
        return copy.deepcopy(self.database)

    def restore(self, backup: Database) -> None:
        """Put it in its place."""
        self.database = backup


class _Killed(Exception):
    """kill -9."""


class Session:
    """A gateway's connection to the broker, as `gateway.delivery.mqtt_session` has it."""

    busy = False

    def __init__(
        self,
        community: Community,
        is_severed: Callable[[], bool],
        will: Message,
        received: Callable[[Message], None],
    ) -> None:
        self._community = community
        self._is_severed = is_severed
        self._will = will
        self._received = received
        self._topics: set[str] = set()
        self._waiting: deque[Message] = deque()
        self._something = asyncio.Event()
        self._is_lost = False

    def wake(self) -> None:
        self._something.set()

    def publish(self, message: Message) -> int:
        if self._is_lost:
            raise ConnectionError("the broker closed the connection")
        if not self._is_severed():
            self._community.carry(message)
        return 1

    def subscribe(self, topic: str) -> None:
        self._topics.add(topic)

    async def turn(self, patience_s: float) -> None:
        try:
            async with asyncio.timeout(patience_s):
                await self._something.wait()
        except TimeoutError:
            pass
        self._something.clear()
        while self._waiting:
            self._received(self._waiting.popleft())
        if self._is_lost:
            raise ConnectionError("the broker closed the connection")

    async def end(self, last: Message) -> None:
        if not self._is_lost:
            self.publish(last)
        self._community.forget(self)

    def abort(self) -> None:
        self._community.forget(self)

    def arrive(self, message: Message) -> None:
        """Something was published that may be for this one."""
        if message.topic in self._topics and not (self._is_lost or self._is_severed()):
            self._waiting.append(message)
            self._something.set()

    def lose(self) -> None:
        """The broker is gone."""
        self._is_lost = True
        self._something.set()
