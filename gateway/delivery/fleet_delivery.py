"""Slots to a fleet's collector over MQTT: what it has not said to be stored is sent again. Shell.

`outbox/fleet/` says what goes next and how it is written; what is owed are the rows of `changes`.
The broker's own acknowledgement is worth nothing here: brokers give it for what they drop.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from drivers.net.mqtt import Broker, Message, MqttConnection, TooLong
from gateway.delivery.handover import Handover
from gateway.delivery.mqtt_session import Connects, MqttSession
from gateway.energy.slot import Event
from gateway.monitoring.report import DestinationReport
from gateway.outbox.fleet import making
from gateway.outbox.fleet.change import Deliver
from gateway.outbox.fleet.messages import (
    MAX_ACK_BYTES,
    VERSION,
    Ack,
    BadMessage,
    Slots,
    Status,
    decode_ack,
    encode,
    topic_of,
)
from gateway.outbox.fleet.shipping import Parcel, Shipping, spans_of
from gateway.site.credentials import ConfigError
from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.timing.backoff import Backoff

_log = logging.getLogger(__name__)

_BACKOFF_S = (1.0, 60.0)
_LOOK_S = 10.0
"""The wall clock may step while the loop's does not: look at it this often."""
MANY = 40_000
"""Changes that are looked at: 400 days."""
UNHEARD_S = 120.0
"""Who has heard nothing for so long since the connection began is told what to look at."""
STATUS_S = 300.0
DIGEST_S = 3600.0
DIGEST_DAYS = 7
"""So many whole days (UTC) are compared with the collector each hour, and the one that runs, where
nothing of it is on its way.
"""
_MAX_AGE_SLOTS = 3
"""A collector that has said nothing for so many slots is away."""


@dataclass(slots=True)
class _Health:
    """How it goes. Times are Unix seconds."""

    state: str = "connecting"
    last_success_s: float | None = None
    errors: int = 0
    last_error: str = ""
    last_error_s: float | None = None
    stored: int = 0
    refused: int = 0
    sent: int = 0
    warning: str = ""
    logged: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the collector listens, and who we are."""

    name: str
    """The destination's, in the configuration."""
    topic: str
    site: str
    version: str
    deliver: Deliver
    url: str
    broker: Callable[[], Broker]
    """Made anew for each connection: the login may have changed. Raises OSError, ConfigError."""


class FleetDelivery:
    """Delivers to one fleet, for ever. `now` is Unix time, and `trusted` says whether it is
    believed.
    """

    def __init__(
        self,
        place: Place,
        buffer: Buffer,
        shipping: Shipping,
        handover: Handover,
        *,
        now: Callable[[], float],
        trusted: Callable[[], bool],
        jitter: Callable[[], float],
        status: Callable[[str], Status],
        connect: Connects | None = None,
    ) -> None:
        """`connect`: where a simulation puts its broker."""
        self._place = place
        self._buffer = buffer
        self._shipping = shipping
        self._handover = handover
        self._now = now
        self._trusted = trusted
        self._status = status
        self._connect: Connects = connect or MqttConnection.connect
        self._backoff = Backoff(*_BACKOFF_S, jitter)
        self._health = _Health()
        self._connection: MqttSession | None = None
        self._acks: list[Ack] = []
        self._counts_right = False
        """Numbers of changes are given from now on."""
        self.turned_s: float | None = None
        """When `run` last went round, by the loop's clock."""

    @property
    def name(self) -> str:
        """The destination's, in the configuration."""
        return self._place.name

    @property
    def terms(self) -> None:
        """It keeps its own record of what it owes."""

    @property
    def longest_turn_s(self) -> float:
        """How long `run` may take to go round once."""
        return _BACKOFF_S[1] + 60.0

    def wake(self) -> None:
        """Something was closed."""
        if self._connection is not None:
            self._connection.wake()

    async def run(self) -> None:
        """Keeps a connection to the broker until cancelled, then says goodbye."""
        while True:
            self.turned_s = asyncio.get_running_loop().time()
            try:
                self._decide()
                await self._session()
            except (OSError, ConfigError) as error:
                self._failed(_words(error), "retrying")
            except StoreError as error:
                self._failed(str(error), "waiting for the disk")
            await asyncio.sleep(self._backoff.fail())

    async def aclose(self) -> None:
        """Nothing is open once `run` has ended."""

    def snapshot(self, now_s: float) -> DestinationReport:
        """How it goes. Raises StoreError."""
        health = self._health
        if health.state == "ok" and now_s - (health.last_success_s or now_s) > self._away_s:
            health.state = "connected"  # to the broker; nobody has stored anything for long
        owed, oldest_s = self._buffer.tables.changes.count()
        return DestinationReport(
            name=self.name,
            state=health.state,
            last_success_s=health.last_success_s,
            max_age_s=self._away_s,
            errors=health.errors,
            last_error=health.last_error,
            last_error_s=health.last_error_s,
            url=self._place.url,
            dialect="fleet",
            backlog=owed,
            oldest_undelivered_s=oldest_s,
            requests=health.sent,
            accepted=health.stored,
            rejected=health.refused,
        )

    @property
    def _away_s(self) -> float:
        """A collector that has said nothing for so long is away."""
        return _MAX_AGE_SLOTS * self._shipping.slot_s

    # --- one connection ---------------------------------------------------------------------------

    def _decide(self) -> None:
        """Who delivers to the exchange, as soon as it is known what time it is. Raises
        StoreError.
        """
        if self._trusted():
            self._handover.decide(self._place.deliver, self.name)

    async def _session(self) -> None:
        """From DNS to its end. Raises OSError, ConfigError, StoreError."""
        store = self._joined("")
        offline = self._status_message(self._told(store, online=False))
        connection = await self._connect(
            self._place.broker(),
            will=offline,
            received=self._received,
            max_packet_bytes=MAX_ACK_BYTES + 1024,
        )
        self._connection = connection
        now_s = asyncio.get_running_loop().time
        began_s = status_s = digest_s = now_s()
        try:
            connection.subscribe(topic_of(self._place.topic, self._place.site, "ack"))
            self._set_state("connected")
            while True:
                self.turned_s = now_s()
                store = self._joined(store)
                self._take_acks()
                self._say_if_unheard(now_s() - began_s)
                if now_s() >= status_s:
                    connection.publish(self._status_message(self._told(store, online=True)))
                    status_s = now_s() + STATUS_S
                if self._trusted():
                    self._decide()
                    if now_s() >= digest_s and self._may_compare(now_s() - digest_s):
                        self._buffer.tables.changes.note_slots(self._handover.unspoken())
                        self._send(connection, self._digests(store))
                        digest_s = now_s() + DIGEST_S
                    self._ship(connection, store)
                wait_s = self._shipping.wait_s(self._now(), now_s())
                await connection.turn(min(max(wait_s, 0.1), _LOOK_S))
        except asyncio.CancelledError:
            await connection.end(offline)
            raise
        finally:
            connection.abort()
            self._connection = None

    def _joined(self, store: str) -> str:
        """By which name the fleet knows the buffer's file now; it was `store` before. Another file
        may have taken its place. Raises StoreError.
        """
        changes = self._buffer.tables.changes
        found = changes.join()
        if found != store:
            self._shipping.forget()
            self._counts_right = False
        if self._trusted() and not self._counts_right:
            changes.count_from(self._now())
            self._counts_right = True
        return found

    def _ship(self, connection: MqttSession, store: str) -> None:
        """Send all that may go now. Raises OSError, StoreError."""
        changes = self._buffer.tables.changes.newest(MANY)
        loop_s = asyncio.get_running_loop().time()
        while parcel := self._shipping.next(changes, self._now(), loop_s):
            message, taken = self._made(parcel, store)
            self._shipping.sent(taken, loop_s)
            self._send(connection, message, parcel.channel)
            if connection.busy:
                return  # the network is slower than we are

    def _made(self, parcel: Parcel, store: str) -> tuple[Slots, Parcel]:
        """A message of as many of these changes as it takes, and which those are. Raises
        StoreError.
        """
        tables = self._buffer.tables
        slots_s = [change.slot_s for change in parcel.changes]
        at = {each: list(tables.slots.at(each)) for each in dict.fromkeys(slots_s)}
        of_assets = {each: list(tables.asset_slots.between(each, each + 1)) for each in at}
        deliver = parcel.changes[0].deliver
        foreseen = {
            each: tables.outbox.pending_at(each, "forecast") if deliver == "fleet" else []
            for each in at
        }
        rows_at = {each: len(at[each]) + len(of_assets[each]) + len(foreseen[each]) for each in at}
        fitting = {*making.slots_that_fit(slots_s, rows_at)}
        taken = Parcel(
            parcel.channel, tuple(change for change in parcel.changes if change.slot_s in fitting)
        )
        message = self._head(
            store,
            seq=spans_of(change.seq for change in taken.changes),
            deliver=deliver,
            items=[
                *making.asset_rows(s for each in fitting for s in of_assets[each]),
                *making.forecast_rows(o for each in fitting for o in foreseen[each]),
            ],
            meters=making.meter_rows(s for each in fitting for s in at[each]),
        )
        return message, taken

    def _may_compare(self, late_s: float) -> bool:
        """Whether days are compared now: best while nothing is on its way, for then today is, too.
        Raises StoreError.
        """
        return late_s > self._shipping.slot_s or not self._buffer.tables.changes.count()[0]

    def _digests(self, store: str) -> Slots:
        """What the last days come to. Raises StoreError."""
        today_s = int(self._now()) // making.DAY_S * making.DAY_S
        is_all_there = not self._buffer.tables.changes.count()[0]
        slots = self._buffer.tables.asset_slots.between(
            today_s - DIGEST_DAYS * making.DAY_S, today_s + making.DAY_S * is_all_there
        )
        return self._head(store, digests=making.digests(slots))

    def _head(self, store: str, **more: object) -> Slots:
        place = self._place
        return Slots(
            v=VERSION,
            site=place.site,
            store=store,
            version=place.version,
            sent=int(self._now()),
            **{"seq": [], "deliver": place.deliver, **more},  # type: ignore[arg-type]  # the fields of Slots, by their names
        )

    def _send(
        self,
        connection: MqttSession,
        message: Slots,
        channel: Literal["slots", "backlog"] = "slots",
    ) -> None:
        topic = topic_of(self._place.topic, self._place.site, channel)
        try:
            connection.publish(Message(topic, encode(message)))
        except TooLong as error:
            self._failed(
                f"the broker takes no message of that size: {error} — raise its limit to 1 MiB "
                "(mosquitto: max_packet_size, message_size_limit)",
                "refused",
            )
            return
        self._health.sent += 1

    def _told(self, store: str, *, online: bool) -> Status:
        """How the gateway is."""
        status = self._status(store)
        return replace(status, online=online, sent=int(self._now()))

    def _status_message(self, status: Status) -> Message:
        """It stays with the broker, for collectors that come later."""
        topic = topic_of(self._place.topic, self._place.site, "status")
        return Message(topic, encode(status), retained=True)

    # --- what the collector says ------------------------------------------------------------------

    def _received(self, message: Message) -> None:
        """Something came on the topic of acknowledgements."""
        try:
            self._acks.append(decode_ack(message.payload))
        except BadMessage as error:
            self._failed(f"an acknowledgement: {error}", self._health.state)

    def _take_acks(self) -> None:
        """Forget what is stored, and note what is refused. Raises StoreError: then they are
        looked at again.
        """
        while self._acks:
            ack = self._acks[0]
            if ack.store == self._buffer.tables.changes.store and not self._is_of_a_twin(ack):
                self._take(ack)
            self._acks.pop(0)

    def _is_of_a_twin(self, ack: Ack) -> bool:
        """Whether it is about what was never sent from here: another gateway has a copy of this
        buffer, and the same name. From now on this one has a name of its own there, so that neither
        forgets what only the other has delivered. Raises StoreError.
        """
        changes = self._buffer.tables.changes
        decided = [*ack.stored, *(each.seq for each in ack.refused)]
        if (
            not self._counts_right
            or max((end for _, end in decided), default=0) <= changes.newest_seq
        ):
            return False
        changes.begin_anew()
        self._note(
            f"another gateway that is called {self._place.site} delivers to the fleet from a copy "
            "of this buffer: was the card copied? Give one of them another site name; until then "
            "both deliver, and the collector keeps what differs"
        )
        return True

    def _take(self, ack: Ack) -> None:
        changes = self._buffer.tables.changes
        decided = [*ack.stored, *(each.seq for each in ack.refused)]
        if decided:
            changes.stored(ack.stored, self._now())
            for each in ack.refused:
                changes.stored([each.seq], self._now(), f"the fleet refuses it: {each.why}")
            self._shipping.done(decided)
            self._health.last_success_s = self._now()
            self._backoff.succeed()
            self._set_state("ok")
        for begin_s, end_s in ack.ask:
            changes.note_again(begin_s, end_s + 1)
        if ack.verdicts:
            self._handover.told(ack.verdicts)
        self._health.stored += sum(end - begin + 1 for begin, end in ack.stored)
        for refused in ack.refused:
            self._health.refused += refused.seq[1] - refused.seq[0] + 1
            self._note(f"the fleet's collector refuses what it was sent: {refused.why}")
        if ack.warning and ack.warning != self._health.warning:
            self._note(f"the fleet's collector warns: {ack.warning}")
        self._health.warning = ack.warning

    def _say_if_unheard(self, connected_s: float) -> None:
        """Nothing was ever stored, though something was sent long ago: brokers take whatever they
        then throw away.
        """
        health = self._health
        is_unheard = health.last_success_s is None and health.sent and connected_s > UNHEARD_S
        if is_unheard and health.state != "unheard":
            place = self._place
            topic = topic_of(place.topic, place.site, "slots")
            self._failed(
                f"the broker takes what is published to {topic}, and no collector has ever said a "
                "word: does it run (meter-gateway fleet check, at the community's server), is this "
                "site's name the login's name, and is the topic the fleet's?",
                "unheard",
            )

    # --- for people -------------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        _log.warning("%s: %s", self.name, text)
        self._buffer.note(Event(round(self._now() * 1000), "", "fleet", text))

    def _set_state(self, state: str) -> None:
        if state == "ok" and self._health.state != "ok":
            _log.info("%s: the fleet's collector stores what it is sent", self.name)
            self._health.logged.clear()
        self._health.state = state

    def _failed(self, why: str, state: str) -> None:
        health = self._health
        health.state, health.last_error, health.last_error_s = state, why, self._now()
        health.errors += 1
        if why not in health.logged and len(health.logged) < 20:
            health.logged.add(why)
            _log.warning("%s: %s; trying again", self._place.url, why)


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker's certificate is not trusted: {error.verify_message}; set ca_file to the "
            "authority that signed it"
        )
    if isinstance(error, ConfigError):
        return "; ".join(str(problem) for problem in error.problems)
    return str(error) or type(error).__name__
