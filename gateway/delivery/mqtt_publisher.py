"""Samples, slots and the status to an MQTT broker, for whoever likes to listen. Best effort: the
exchange is the one that is owed.

Topics, below `<topic>/<site>/`; JSON with units in the names and times in UTC (ISO 8601); QoS 1:

    sample/<device>             a sample: at most one per meter in each window of `samples` seconds
    slot/<device>/<direction>   a closed slot of one meter
    asset/<uuid>                what a destination is owed for a slot of an asset
    forecast/<uuid>             what is expected of an asset's next slots (retained)
    status                      the daemon's report as `/status` has it (retained)
    status/online               `online`, or `offline` once the broker misses us: our last will
                                (retained)

Limits: while the broker is away 500 messages are kept, then the oldest is dropped and counted; of a
retained topic only the newest is kept. 20 messages may be unacknowledged, and for 30 seconds; then
they are sent again on another connection. What the broker does not take is left out for an hour
(`mqtt_queue`). Reconnecting waits 1 to 60 seconds, with jitter; the
waits grow until a connection has lasted a minute. It speaks MQTT 5, in which brokers say what they
refuse, and 3.1.1 where that is all the broker knows.

paho-mqtt is imported when the publisher first runs: a gateway without a broker does without it.
"""

import asyncio
import logging
import os
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import json

from drivers.net.environment import UnusableSetting, authorities
from drivers.net.mqtt import (
    Broker,
    BrokerRefused,
    Message,
    MqttConnection,
    NotAsBroker,
    NoWelcome,
    OldBroker,
    second_client,
)
from drivers.sample import METER_UTC, Sample
from gateway.delivery.mqtt_queue import (
    MAX_WAITING,
    UNANSWERED_S,
    PublicationQueue,
    Unanswered,
)
from gateway.delivery.mqtt_session import broker_words
from gateway.energy.slot import KNOWN, Slot
from gateway.monitoring.report import (
    ForecastReport,
    ForecastSlot,
    GridOperatorReport,
    MarketReport,
    Part,
    Report,
)
from gateway.outbox.owed import Owed
from gateway.site.credentials import ConfigError, Credentials
from gateway.site.settings import MqttSettings
from gateway.timing.backoff import Backoff

_log = logging.getLogger(__name__)

__all__ = ["MAX_WAITING", "MqttPublisher"]

_BACKOFF_S = (1.0, 60.0)
_LASTING_S = 60.0
"""A connection that is lost before is one more failure in a row."""
_QUICK_LOSSES = 3
"""So many lost connections in a row, none of which lasted: somebody else may have our name."""
_MAX_SAID = 20
"""Different lines in the log until a connection lasts."""
_MAX_AGE_S = 180.0
"""The status goes out every minute; three minutes without an acknowledgement are not healthy."""

_UWH_PER_WH = 1_000_000


@dataclass(slots=True)
class _Health:
    """How the publication goes. Times are Unix seconds, but for `connected_s`."""

    state: str = "connecting"
    errors: int = 0
    last_error: str = ""
    last_error_s: float | None = None
    last_success_s: float | None = None
    connected_s: float | None = None
    """Since when there is a connection (the loop's time); None where there is none, or it has
    lasted.
    """
    quick_losses: int = 0
    """Connections in a row that were lost before they had lasted, and nobody knows why."""
    said: set[str] = field(default_factory=set)
    """What the log has said since a connection last lasted."""


class MqttPublisher:
    """Publishes until cancelled. `sample`, `slot`, `owed` and `status` never wait and never fail,
    whatever the broker does.
    """

    def __init__(
        self,
        settings: MqttSettings,
        site: str,
        credentials: Callable[[str], Credentials],
        *,
        now: Callable[[], float],
        jitter: Callable[[], float] = random.random,
        unanswered_s: float = UNANSWERED_S,
    ) -> None:
        """`credentials` reads the login of that name at each connection, or raises ConfigError;
        `now` is Unix time in seconds.
        """
        self._settings = settings
        self._root = f"{settings.topic}/{site}"
        self._client_id = f"meter-gateway-{site}"
        self._credentials = credentials
        self._now = now
        self._backoff = Backoff(*_BACKOFF_S, jitter)
        self._tls: ssl.SSLContext | None = None
        self._sampled: dict[str, tuple[int, frozenset[str]]] = {}
        """Of each meter, the newest window in which a sample was published, and its quantities."""
        self._connection: MqttConnection | None = None
        self._queue = PublicationQueue(self._wake, self._left_out, unanswered_s)
        self._health = _Health()
        self._mqtt5: bool | None = None
        """Whether the broker speaks MQTT 5, once that is known."""

    @property
    def dropped(self) -> int:
        """Messages that were given up because too many waited."""
        return self._queue.dropped

    def sample(self, sample: Sample) -> None:
        """Publish a sample, unless one of this meter with these quantities was published in the
        same window of `samples` seconds.

        Not every sample has everything that a meter measures; so there may be two in a window.
        """
        window = int(sample.boottime_ms // max(1.0, self._settings.samples * 1000))
        before, quantities = self._sampled.get(sample.device, (-1, frozenset()))
        if before == window and sample.values.keys() <= quantities:
            return
        self._sampled[sample.device] = window, frozenset(sample.values)
        document: dict[str, Any] = {
            "taken_at": None if sample.utc_ms is None else _utc(sample.utc_ms / 1000),
            "boot_id": sample.boot_id,
            "boottime_ms": sample.boottime_ms,
            "serial_number": sample.serial_number,
            **sample.values,
        }
        if (meter_utc_s := document.pop(METER_UTC, None)) is not None:
            document["meter_time"] = _utc(meter_utc_s)
        self._publish(f"sample/{sample.device}", document)

    def slot(self, slot: Slot) -> None:
        """Publish a closed slot of a meter."""
        document = {
            "start": _utc(slot.start_s),
            "length_s": slot.length_s,
            "serial_number": slot.serial_number,
            "energy_wh": _wh(slot.energy_uwh),
            "uncertainty_wh": _wh(slot.uncertainty_uwh),
            "quality": slot.quality,
            "doubts": slot.doubts,
            "method": slot.method,
            "coverage_permille": slot.coverage_permille,
            "samples": slot.samples,
            "largest_gap_ms": slot.largest_gap_ms,
            "begin_register_wh": slot.begin_register_uwh / _UWH_PER_WH,
            "end_register_wh": slot.end_register_uwh / _UWH_PER_WH,
            "clock": slot.clock,
        }
        self._publish(f"slot/{slot.device}/{slot.direction}", document)

    def owed(self, owed: Owed, uncertainty_uwh: int | None = None) -> None:
        """Publish what a closed slot made owed for an asset, and by how much that may be off. What
        becomes of it is in the status. Meters' own slots are published as such.
        """
        if not isinstance(owed.item.subject, UUID):
            return
        document = {
            "destination": owed.item.destination,
            "start": _utc(owed.item.slot_s),
            "length_s": owed.length_s,
            "kind": owed.item.kind,
            "revision": owed.item.revision,
            # Missing is not zero.
            "energy_wh": owed.item.energy_uwh / _UWH_PER_WH if owed.quality in KNOWN else None,
            "uncertainty_wh": _wh(uncertainty_uwh) if owed.quality in KNOWN else None,
            "quality": owed.quality,
            "state": owed.state,
            "reason": owed.reason,
        }
        self._publish(f"asset/{owed.item.subject}", document)

    def status(self, report: Report) -> None:
        """Publish the daemon's report; it stays with the broker until the next one."""
        self._retain("status", report.to_json())
        for asset in report.assets:
            if asset.forecast is not None:
                document = _forecast_document(asset.forecast, report.slot_length_s)
                self._retain(f"forecast/{asset.uuid}", json.encode(document))
        if report.grid_operator is not None:
            self.markets(report.grid_operator)

    def markets(self, operator: GridOperatorReport) -> None:
        """Publish what of the markets is not as it was published last; it stays with the broker."""
        for market in operator.markets:
            document = json.encode(_market_document(market, operator))
            self._queue.retain_news(f"{self._root}/market/{market.uuid}", document)

    def snapshot(self) -> Part:
        """How the publication goes."""
        state = self._health.state
        if state == "connected" and self._queue.leaves_out:
            state = "incomplete"
        return Part(
            name=f"mqtt {self._settings.host}:{self._settings.port}",
            state=state,
            last_success_s=self._health.last_success_s,
            max_age_s=_MAX_AGE_S,
            errors=self._health.errors,
            last_error=self._health.last_error,
            last_error_s=self._health.last_error_s,
        )

    async def run(self) -> None:
        """Keeps a connection to the broker until cancelled, then says goodbye."""
        while True:
            try:
                await self._session()
            except (OSError, ConfigError) as error:
                self._lost(_words(error), says_why=isinstance(error, BrokerRefused | NotAsBroker))
            await asyncio.sleep(self._backoff.fail())

    def _lost(self, why: str, *, says_why: bool) -> None:
        """There is no connection, or no longer."""
        health = self._health
        health.connected_s = None
        if health.quick_losses >= _QUICK_LOSSES and not says_why:
            why = f"{why}, again and again — {second_client(self._client_id)}"
        health.state = "retrying"
        self._count(why, "; trying again")

    def _left_out(self, topic: str, why: str) -> None:
        """The broker does not take what is published under a topic."""
        topic = topic.removeprefix(f"{self._root}/")
        text = f"{topic} is left out, for the broker does not take it ({why})"
        # Sizes differ from message to message: of each topic it is said once.
        said = f"left out: {topic}"
        remedy = (
            " — allow this user to write there, and messages of that size (mosquitto: acl_file, "
            "message_size_limit, max_packet_size); tried again in an hour"
        )
        self._count(text + remedy, said=said)

    def _count(self, why: str, more: str = "", *, said: str = "") -> None:
        """Count what went wrong; log it once until a connection has lasted."""
        health = self._health
        if (said or why) not in health.said and len(health.said) < _MAX_SAID:
            _log.warning("mqtt %s:%d: %s%s", self._settings.host, self._settings.port, why, more)
            health.said.add(said or why)
        health.errors += 1
        health.last_error = why
        health.last_error_s = self._now()

    def _publish(self, topic: str, document: dict[str, Any]) -> None:
        self._queue.add(f"{self._root}/{topic}", json.encode(document))

    def _retain(self, topic: str, payload: bytes) -> None:
        self._queue.retain(f"{self._root}/{topic}", payload)

    def _wake(self) -> None:
        """There is something to publish."""
        if self._connection is not None:
            self._connection.wake()

    async def _session(self) -> None:
        """One connection, from DNS to its end. Raises OSError (TimeoutError and ssl.SSLError are
        such) or ConfigError.
        """
        offline = Message(f"{self._root}/status/online", b"offline", retained=True)
        connection = await self._connect(offline)
        self._connection = connection
        lost = True
        now_s = asyncio.get_running_loop().time
        try:
            self._welcomed()
            while True:
                self._queue.hand_out(connection, now_s())
                await connection.turn()
                self._queue.check_answers(now_s())
                self._see_whether_it_lasts()
        except (Unanswered, NotAsBroker):
            lost = False  # it was we who ended it
            raise
        except asyncio.CancelledError:
            lost = False
            await connection.end(offline)
            raise
        finally:
            # Without a goodbye, the broker publishes our last will.
            connection.abort()
            self._connection = None
            is_explained = self._queue.take_back(now_s(), lost=lost)
            is_explained |= not lost
            self._health.quick_losses = 0 if is_explained else self._health.quick_losses + 1

    async def _connect(self, offline: Message) -> MqttConnection:
        """By MQTT 5, and by 3.1.1 where the broker knows no better. Raises OSError or
        ConfigError.
        """
        broker = self._broker()
        known, self._mqtt5 = self._mqtt5, None
        for mqtt5 in (True, False) if known is None else (known,):
            try:
                connection = await MqttConnection.connect(
                    replace(broker, mqtt5=mqtt5),
                    will=offline,
                    acknowledged=self._acknowledged,
                    refused=self._refused,
                )
            except (OldBroker, NoWelcome) as error:
                why: OSError = error
            else:
                self._mqtt5 = mqtt5
                return connection
        raise why

    def _broker(self) -> Broker:
        """Where the broker is, with the login as it is now. Raises OSError or ConfigError."""
        settings = self._settings
        login = self._credentials(settings.credentials) if settings.credentials else None
        return Broker(
            settings.host,
            settings.port,
            tls=self._trusted(),
            client_id=self._client_id,
            username=login.username if login else None,
            password=login.password if login else None,
            login_from="mqtt.credentials",
        )

    def _trusted(self) -> ssl.SSLContext | None:
        """What TLS trusts, made once; None where there is no TLS. Raises OSError."""
        if self._settings.tls and self._tls is None:
            try:
                self._tls = authorities(self._settings.ca_file)
            except UnusableSetting:
                raise
            except OSError as error:
                raise OSError(
                    f"mqtt.ca_file {self._settings.ca_file}: {error.strerror or error}"
                ) from error
        return self._tls

    def _welcomed(self) -> None:
        health, failures = self._health, self._backoff.failures
        said = "connected"
        if failures:
            said = "connected again"
        if said not in health.said:
            health.said.add(said)
            after = f" after {failures} failures" if failures else ""
            _log.info("mqtt %s:%d: %s%s", self._settings.host, self._settings.port, said, after)
        health.state = "connected"
        health.connected_s = asyncio.get_running_loop().time()
        self._queue.greet(Message(f"{self._root}/status/online", b"online", retained=True))

    def _see_whether_it_lasts(self) -> None:
        """Only a connection that lasts makes good what was before: one that is lost again and again
        is no better than none.
        """
        health = self._health
        if health.connected_s is None:
            return
        if asyncio.get_running_loop().time() - health.connected_s >= _LASTING_S:
            health.connected_s = None
            health.quick_losses = 0
            health.said = {said for said in health.said if said.startswith("left out: ")}
            self._backoff.succeed()

    def _acknowledged(self, number: int) -> None:
        """The broker has a message: the only success there is, and `online` alone is none."""
        if self._queue.acknowledged(number):
            self._health.last_success_s = self._now()

    def _refused(self, number: int, why: str) -> None:
        """The broker does not want a message, and says so."""
        self._queue.refused(number, f"it says: {why}", asyncio.get_running_loop().time())


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno and _is_plain(error):
        return os.strerror(error.errno)
    return broker_words(error, "mqtt.ca_file")


def _is_plain(error: OSError) -> bool:
    """Whether the system said it, whose own words are plainer than asyncio's."""
    return type(error).__module__ == "builtins" and not isinstance(error, TimeoutError)


def _wh(energy_uwh: int | None) -> float | None:
    return None if energy_uwh is None else energy_uwh / _UWH_PER_WH


def _utc(unix_s: float) -> str:
    return (
        datetime.fromtimestamp(unix_s, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
        .replace(".000Z", "Z")
    )


def _forecast_document(forecast: ForecastReport, slot_s: int) -> dict[str, Any]:
    """What is expected of an asset's slots, and how it is learned."""

    def document(slot: ForecastSlot) -> dict[str, Any]:
        return {
            "start": _utc(slot.start_s),
            "length_s": slot_s,
            "energy_wh": slot.energy_wh,
            "low_wh": slot.low_wh,
            "high_wh": slot.high_wh,
            "by": slot.by,
        }

    return {
        "method": forecast.method,
        "by": forecast.by,
        "words": forecast.words,
        "learning_since": None if forecast.since_s is None else _utc(forecast.since_s),
        "slots": [document(slot) for slot in forecast.upcoming],
    }


def _market_document(market: MarketReport, operator: GridOperatorReport) -> dict[str, Any]:
    """What a market charges, as its grid operator's agent knows it."""
    next_s = market.next_slot_s
    return {
        "market": market.name,
        "unit": operator.unit,
        "slot": None if operator.slot_s is None else _utc(operator.slot_s),
        "fee": market.fee,
        "next_slot": None if next_s is None else _utc(next_s),
        "next_fee": market.next_fee,
        "state": market.state,
        "model": market.model,
        "load_percent": market.load_percent,
    }
