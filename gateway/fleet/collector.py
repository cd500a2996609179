"""One collector: from the broker into the database, and its word back to the gateways.

Two tasks. One listens: it acknowledges to the broker at once and keeps what came. The other
stores: thousands of rows at a time, and tells the gateways once that is on the server's disk; what
comes next it reads while the database is at work. While the broker or the database is away the task
waits and tries again; nothing is acknowledged that is not stored, and gateways send again what was
not.
"""

import asyncio
import logging
import random
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
from psycopg.types.json import Jsonb

from gateway import __version__
from gateway.fleet import migrating
from gateway.fleet.broker import broker_of, deals_out, listen, words
from gateway.fleet.database import Connection, DatabaseError, connect, translated
from gateway.fleet.inbox import Delivered, Inbox
from gateway.fleet.settings import FleetSettings
from gateway.fleet.sharing import collector_of
from gateway.fleet.subscriber import Subscriber
from gateway.fleet.writing import Kept, Reply, Taken, Writer
from gateway.outbox.fleet.messages import (
    Ack,
    BadMessage,
    Status,
    decode_status,
    encode,
    place_of,
    topic_of,
)
from gateway.site.credentials import ConfigError
from gateway.timing.backoff import Backoff

_log = logging.getLogger(__name__)

BATCH_ROWS = 4_000
BATCH_MESSAGES = 1_000
GATHER_S = 0.4
"""Between the beginnings of two commits, while there is little to store: a commit costs as much as
some two hundred rows, and gateways are answered within a second.
"""
MUCH_BYTES = 200_000
"""So much in the inbox does not wait for more: a hundred live messages, or a commit's worth of
backlog.
"""
READ_AHEAD_S = 0.002
"""From one message that is read while the database is at work to the next: most of its answers come
sooner, and are not kept waiting.
"""
BACKOFF_S = (0.5, 15.0)

GC_THRESHOLDS = 50_000, 20, 100
"""For the process that it runs in: messages are thousands of small objects that are gone at once,
and in no circles.
"""

HOUSEKEEPING_S = 10.0
"""Between two looks at sites, partitions and the other collectors."""
LOOK_AGAIN_S = 2.0
"""The same where a site was not known: it may just have been added."""
GONE_S = 35.0
"""A collector that has not been seen for so long is gone: others take its sites."""

MAX_STATUSES = 2_000
"""Written at a time."""

MAX_LOGGED = 1_000
"""Different faults of gateways that are logged; all are in the table `refused`."""


@dataclass(slots=True)
class Health:
    """How it goes, for metrics and people. Times are Unix seconds."""

    broker: str = "connecting"
    database: str = "connecting"
    shared: bool = False
    stored_s: float | None = None
    batches: int = 0
    unsent: int = 0
    """Words that could not be sent to a gateway."""


@dataclass(slots=True)
class _Outgoing:
    """The connection to the broker, as long as there is one."""

    group: asyncio.Future[str]
    """What the collectors of this fleet call theirs: known once the database has been there."""
    connection: Subscriber | None = None


@dataclass(slots=True)
class _Hand:
    """What was taken from the inbox for one commit, and is not stored yet."""

    batch: list[Taken] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    rows: int = 0

    def __len__(self) -> int:
        """How many messages there are to store, or to keep."""
        return len(self.batch) + len(self.kept)

    @property
    def full(self) -> bool:
        return self.rows >= BATCH_ROWS or len(self) >= BATCH_MESSAGES


@dataclass(slots=True)
class _Hands:
    """They outlive the connection to the database."""

    first: _Hand = field(default_factory=_Hand)
    second: _Hand = field(default_factory=_Hand)
    """What is read ahead while the first one is stored."""
    is_storing: bool = False

    def drop_others(self, sites: Mapping[str, int]) -> None:
        """What was not stored yet comes again, if its site has another number by now, or none."""
        for hand in (self.first, self.second):
            hand.batch = [each for each in hand.batch if sites.get(each.site) == each.site_id]
            hand.rows = sum(each.message.rows for each in hand.batch)

    def stored(self) -> None:
        """The first one is."""
        self.first, self.second = self.second, _Hand()


class Collector:
    """Runs for ever, in the loop in which it is made. `now` is Unix time."""

    def __init__(
        self,
        settings: FleetSettings,
        now: Callable[[], float] = time.time,
        housekeeping_s: float = HOUSEKEEPING_S,
    ) -> None:
        self._settings = settings
        self._now = now
        self._housekeeping_s = housekeeping_s
        host = "".join(c for c in socket.gethostname() if c.isalnum() or c == "-")[:40]
        self.name = f"{host}-{secrets.token_hex(4)}"
        """Never configured: two of one name would throw each other off the broker."""
        self.writer = Writer()
        self.inbox = Inbox()
        self.health = Health()
        self.others: list[str] = [self.name]
        """The collectors that run, this one among them."""
        self._outgoing = _Outgoing(asyncio.get_running_loop().create_future())
        self._hands = _Hands()
        self._came = asyncio.Event()
        self._logged: set[str] = set()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._store())

    def tell(self, site: str, ack: Ack) -> bool:
        """Hand a word for a site's gateway to the broker, QoS 0; whether it was."""
        connection = self._outgoing.connection
        if connection is None or connection.busy:
            return False
        connection.publish([(topic_of(self._settings.topic, site, "ack"), encode(ack))])
        return True

    # --- the broker -------------------------------------------------------------------------------

    async def _listen(self) -> None:
        # Without the database nothing could be stored, and nobody is known.
        group = await self._outgoing.group
        backoff = Backoff(*BACKOFF_S, random.random)
        while True:
            try:
                await self._session(group, backoff)
            except (OSError, ConfigError) as error:
                self.health.broker = "away"
                self._say(f"the broker: {words(error)}; trying again")
            finally:
                self._outgoing.connection = None
            await asyncio.sleep(backoff.fail())

    async def _session(self, group: str, backoff: Backoff) -> None:
        settings = self._settings
        broker = broker_of(settings, f"meter-gateway-fleet-{self.name}")
        shared = settings.file.broker.shared == "auto" and await deals_out(broker, settings.topic)
        self.health.shared = shared
        own_group = f"mg-{group}" if shared else None
        connection = await listen(broker, settings.topic, own_group, self._received)
        try:
            self._outgoing.connection = connection
            self.health.broker = "connected"
            self._is_well("the broker")
            how = "a share of all sites" if shared else "the sites that are its own"
            _log.info("the broker is there: this collector, %s, takes %s", self.name, how)
            await connection.run(backoff.succeed)
        finally:
            await connection.end()

    def _received(self, topic: str, payload: bytes) -> None:
        place = _place_of(self._settings.topic, topic)
        if place is None:
            return
        site, channel = place
        if channel == "status":
            self._note_status(site, payload)
        elif self.health.shared or collector_of(site, self.others) == self.name:
            delivered = Delivered(site, payload, self._now())
            self.inbox.put(delivered, live=channel == "slots")
            self._came.set()

    def _note_status(self, site: str, payload: bytes) -> None:
        if not payload or collector_of(site, self.others) != self.name:
            return
        try:
            self.inbox.statuses[site] = decode_status(payload, site)
        except BadMessage as error:
            self._say(f"site {site}: its status is not taken: {error}")
        self._came.set()

    def _send(self, replies: list[Reply]) -> None:
        """Tell gateways what became of their messages; those that cannot be told ask again. So QoS
        0 is enough, and half the work. While the network has not taken the words before, none are
        added.
        """
        connection = self._outgoing.connection
        for reply in replies:
            if reply.ack.warning or reply.ack.refused:
                why = reply.ack.warning or reply.ack.refused[0].why
                self._say(f"site {reply.site}: {why}")
        if connection is None or connection.busy:
            self.health.unsent += len(replies)
            return
        topic = self._settings.topic
        connection.publish(
            [(topic_of(topic, reply.site, "ack"), encode(reply.ack)) for reply in replies]
        )

    # --- the database -----------------------------------------------------------------------------

    async def _store(self) -> None:
        backoff = Backoff(*BACKOFF_S, random.random)
        while True:
            connection: Connection | None = None
            try:
                connection = await connect(self._settings, f"meter-gateway fleet {self.name}")
                await migrating.require(connection)
                await plan_once(connection)
                self.writer.directory.forget()
                await self._housekeeping(connection)
                sites = self.writer.directory.sites
                self._hands.drop_others(sites)
                self.health.database = "connected"
                if not any(each.startswith("the database") for each in self._logged):
                    _log.info("the database is there: %d sites", len(sites))
                await self._work(connection, backoff)
            except (DatabaseError, ConfigError) as error:
                self.health.database = "away"
                self._say(f"the database: {error}; nothing is acknowledged; trying again")
            finally:
                if connection is not None:
                    await connection.close()
            await asyncio.sleep(backoff.fail())

    async def _work(self, connection: Connection, backoff: Backoff) -> None:
        """Store what comes. Raises DatabaseError; what is in hand is stored later."""
        loop_s = asyncio.get_running_loop().time
        looked_s = began_s = loop_s()
        while True:
            unknown = self.writer.counts.unknown_sites
            if loop_s() - looked_s > self._housekeeping_s:
                await self._housekeeping(connection)
                looked_s = loop_s()
            if self.inbox.bytes < MUCH_BYTES and (rest_s := began_s + GATHER_S - loop_s()) > 0:
                await asyncio.sleep(rest_s)
            for _ in range(BATCH_MESSAGES):
                if not self._take(self._hands.first):
                    break
            if hand := self._hands.first:
                began_s = loop_s()
                replies = await self._write(connection, hand)
                self._hands.stored()
                self._send(replies)
                self._is_well("the database")
                self.health.batches += 1
                self.health.stored_s = self._now()
                backoff.succeed()
            await self._store_statuses(connection)
            if self.writer.counts.unknown_sites > unknown:
                looked_s = min(looked_s, loop_s() - self._housekeeping_s + LOOK_AGAIN_S)
            if not len(self.inbox) and not self._hands.first:
                await self._wait()

    async def _wait(self) -> None:
        self._came.clear()
        try:
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._came.wait()
        except TimeoutError:
            return

    async def _write(self, connection: Connection, hand: _Hand) -> list[Reply]:
        """Store what is in hand, and read what comes next while the database is at work. Raises
        DatabaseError.
        """
        self._hands.is_storing = True
        reading = asyncio.create_task(self._read_ahead())
        try:
            return await self.writer.write(connection, hand.batch, hand.kept)
        finally:
            self._hands.is_storing = False
            await reading

    async def _read_ahead(self) -> None:
        while self._take(self._hands.second):
            await asyncio.sleep(READ_AHEAD_S)
            if not self._hands.is_storing:
                break

    def _take(self, hand: _Hand) -> bool:
        """Take a message from the inbox in hand; False where there is none, or no room."""
        delivered = None if hand.full else self.inbox.take()
        if delivered is None:
            return False
        match self.writer.read(delivered):
            case Taken() as taken:
                hand.batch.append(taken)
                hand.rows += taken.message.rows
            case Reply() as reply:
                self._send([reply])
            case Kept() as kept:
                hand.kept.append(kept)
                self._say(f"site {kept.site}: a message is not taken: {kept.why}")
        return True

    async def _store_statuses(self, connection: Connection) -> None:
        """What gateways said of themselves. Raises DatabaseError."""
        known = self.writer.directory.sites
        some = [each for each in sorted(self.inbox.statuses) if each in known][:MAX_STATUSES]
        taken = {site: self.inbox.statuses.pop(site) for site in some}
        for site in [each for each in self.inbox.statuses if each not in known]:
            del self.inbox.statuses[site]
        if not taken:
            return
        with translated():
            await connection.execute(
                "INSERT INTO fleet.status (site, online, told) "
                "SELECT * FROM unnest(%s::int[], %s::bool[], %s::jsonb[]) AS new(site, o, t) "
                "ORDER BY site ON CONFLICT (site) DO UPDATE SET received = now(), "
                "online = excluded.online, told = CASE WHEN excluded.online THEN excluded.told "
                "ELSE fleet.status.told END",
                (
                    [known[site] for site in taken],
                    [status.online for status in taken.values()],
                    [Jsonb(without_nul(status)) for status in taken.values()],
                ),
            )

    async def _housekeeping(self, connection: Connection) -> None:
        """Which sites and which other collectors there are, and partitions ahead. Raises
        DatabaseError.
        """
        await self.writer.directory.refresh(connection)
        await migrating.add_months(connection)
        with translated():
            await connection.execute(
                "INSERT INTO fleet.collectors (name, version, shared) VALUES (%s, %s, %s) "
                "ON CONFLICT (name) DO UPDATE SET seen_at = now(), shared = excluded.shared",
                (self.name, __version__, self.health.shared),
            )
            await connection.execute(
                "DELETE FROM fleet.collectors WHERE seen_at < now() - interval '1 day'"
            )
            cursor = await connection.execute(
                "SELECT name FROM fleet.collectors "
                "WHERE seen_at > now() - make_interval(secs => %s) ORDER BY name",
                (GONE_S,),
            )
            self.others = [str(row[0]) for row in await cursor.fetchall()] or [self.name]
        group = self._outgoing.group
        if not group.done():
            group.set_result(await migrating.group_of(connection))

    def _say(self, what: str) -> None:
        """Once, until what it is about is well again."""
        if what not in self._logged and len(self._logged) < MAX_LOGGED:
            self._logged.add(what)
            _log.warning("%s", what)

    def _is_well(self, part: str) -> None:
        """Broker or database are well again: a database only once something is stored, for one that
        is full lets us in.
        """
        troubles = [each for each in self._logged if each.startswith(part)]
        if troubles and part == "the database":
            _log.info("%s stores again", part)
        self._logged.difference_update(troubles)


async def plan_once(connection: Connection) -> None:
    """The same few statements come again and again, and their plans do not depend on what is in
    them. Rows are looked up one by one in the order in which they are given, by index: in that
    order they are locked, and no other plan is as fast for some hundreds of a large table. Raises
    DatabaseError.
    """
    connection.prepare_threshold = 1
    with translated():
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        for join in ("hashjoin", "mergejoin", "material"):
            await connection.execute(f"SET enable_{join} = off")


_place_of = lru_cache(maxsize=100_000)(place_of)


def without_nul(status: Status) -> dict[str, object]:
    """As the database takes it: jsonb has no NUL."""

    def plain(value: object) -> object:
        if isinstance(value, str):
            return value.replace("\0", "")
        if isinstance(value, dict):
            return {plain(key): plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, list) else value

    told: dict[str, object] = msgspec.to_builtins(status)
    return {key: plain(value) for key, value in told.items()}
