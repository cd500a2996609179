"""Slots to a fleet's collector over MQTT: what it has not said to be stored is sent again. Shell.

`outbox/fleet/` says what goes next and how it is written; what is owed are the rows of `changes`.
The broker's own acknowledgement is worth nothing here: brokers give it for what they drop.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

from msgspec.structs import replace

from drivers.net.mqtt import Message, TooLong
from gateway.delivery.fleet_parcels import Parcels, Place
from gateway.delivery.fleet_words import FleetWords
from gateway.delivery.handover import Handover
from gateway.delivery.mqtt_session import MqttSession, broker_words
from gateway.monitoring.report import DestinationReport
from gateway.outbox.fleet.messages import MAX_ACK_BYTES, Slots, Status, encode, topic_of
from gateway.outbox.fleet.shipping import Shipping
from gateway.site.credentials import ConfigError
from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.timing.backoff import Backoff

_BACKOFF_S = (1.0, 60.0)
_LOOK_S = 10.0
"""The wall clock may step while the loop's does not: look at it this often."""
MANY = 40_000
"""Changes that are looked at: 400 days."""
STATUS_S = 300.0
DIGEST_S = 3600.0
_MAX_AGE_SLOTS = 3
"""A collector that has said nothing for so many slots is away."""


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
    ) -> None:
        self._place = place
        self._buffer = buffer
        self._shipping = shipping
        self._handover = handover
        self._now = now
        self._trusted = trusted
        self._backoff = Backoff(*_BACKOFF_S, jitter)
        self._parcels = Parcels(place, buffer, now)
        self._words = FleetWords(place, buffer, shipping, handover, self._backoff, now)
        self._connection: MqttSession | None = None
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
                self._words.failed(broker_words(error, "ca_file"), "retrying")
            except StoreError as error:
                self._words.failed(str(error), "waiting for the disk")
            await asyncio.sleep(self._backoff.fail())

    async def aclose(self) -> None:
        """Nothing is open once `run` has ended."""

    def snapshot(self, now_s: float) -> DestinationReport:
        """How it goes. Raises StoreError."""
        health = self._words.health
        if health.state == "ok" and now_s - (health.last_success_s or now_s) > self._away_s:
            health.state = "connected"  # to the broker; nobody has stored anything for long
        owed, oldest_s = self._buffer.tables.changes.count()
        own = self._place.certificate
        begins_s, ends_s = (own and own.validity()) or (None, None)
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
            certificate=str(own.path) if own else "",
            certificate_begins_s=begins_s,
            certificate_ends_s=ends_s,
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
        store = self._words.joined("", trusted=self._trusted())
        offline = self._status_message(self._told(store, online=False))
        connection = await self._place.connect(
            self._place.broker(),
            will=offline,
            received=self._words.received,
            max_packet_bytes=MAX_ACK_BYTES + 1024,
        )
        self._connection = connection
        now_s = asyncio.get_running_loop().time
        began_s = status_s = digest_s = now_s()
        try:
            connection.subscribe(topic_of(self._place.topic, self._place.site, "ack"))
            self._words.set_state("connected")
            while True:
                self.turned_s = now_s()
                store = self._words.joined(store, trusted=self._trusted())
                self._words.take_all()
                self._words.say_if_unheard(now_s() - began_s)
                if now_s() >= status_s:
                    connection.publish(self._status_message(self._told(store, online=True)))
                    status_s = now_s() + STATUS_S
                if self._trusted():
                    self._decide()
                    if now_s() >= digest_s and self._may_compare(now_s() - digest_s):
                        self._compare(connection, store)
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

    def _ship(self, connection: MqttSession, store: str) -> None:
        """Send all that may go now. Raises OSError, StoreError."""
        changes = self._buffer.tables.changes.newest(MANY)
        loop_s = asyncio.get_running_loop().time()
        while parcel := self._shipping.next(changes, self._now(), loop_s):
            message, taken = self._parcels.made(parcel, store)
            self._shipping.sent(taken, loop_s)
            self._send(connection, message, parcel.channel)
            if connection.busy:
                return  # the network is slower than we are

    def _compare(self, connection: MqttSession, store: str) -> None:
        """Send once more what no word came on, and what the last days come to. Raises OSError,
        StoreError.
        """
        if unspoken := self._handover.unspoken():
            self._buffer.tables.changes.note_slots(unspoken)
        self._send(connection, self._parcels.digests(store))

    def _may_compare(self, late_s: float) -> bool:
        """Whether days are compared now: best while nothing is on its way, for then today is, too.
        Raises StoreError.
        """
        return late_s > self._shipping.slot_s or not self._buffer.tables.changes.count()[0]

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
            self._words.failed(
                f"the broker takes no message of that size: {error} — raise its limit to 1 MiB "
                "(mosquitto: max_packet_size, message_size_limit)",
                "refused",
            )
            return
        self._words.health.sent += 1

    def _told(self, store: str, *, online: bool) -> Status:
        """How the gateway is."""
        status = self._place.status(store)
        return replace(status, online=online, sent=int(self._now()))

    def _status_message(self, status: Status) -> Message:
        """It stays with the broker, for collectors that come later."""
        topic = topic_of(self._place.topic, self._place.site, "status")
        return Message(topic, encode(status), retained=True)
