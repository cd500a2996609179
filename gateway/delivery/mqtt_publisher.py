"""Samples, slots and the status to an MQTT broker, for whoever likes to listen. Best effort: the
exchange is the one that is owed.

Topics, below `<topic>/<site>/`; JSON with units in the names and times in UTC (ISO 8601); QoS 1:

    sample/<device>             a sample: at most one per meter in each window of `samples` seconds
    slot/<device>/<direction>   a closed slot of one meter
    asset/<uuid>                what a destination is owed for a slot of an asset
    status                      the daemon's report as `/status` has it (retained)
    status/online               `online`, or `offline` once the broker misses us: our last will
                                (retained)

Limits: while the broker is away 500 messages are kept, then the oldest is dropped and counted; of a
retained topic only the newest is kept. 20 messages may be unacknowledged. Reconnecting waits 1 to
60 seconds, with jitter.

paho-mqtt is imported when the publisher first runs: it costs 2 MB that a gateway without a broker
keeps.
"""

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import json

from drivers.net.mqtt import Broker, Message, MqttConnection
from drivers.sample import METER_UTC, Sample
from gateway.energy.slot import KNOWN, Slot
from gateway.monitoring.report import Part, Report
from gateway.outbox.owed import Owed
from gateway.site.credentials import ConfigError, Credentials
from gateway.site.settings import MqttSettings
from gateway.timing.backoff import Backoff

_log = logging.getLogger(__name__)

MAX_WAITING = 500
"""Messages kept while the broker is away. A sample is some 500 bytes."""
_MAX_UNACKNOWLEDGED = 20
_BACKOFF_S = (1.0, 60.0)
_MAX_AGE_S = 180.0
"""The status goes out every minute; three minutes without an acknowledgement are not healthy."""

_UWH_PER_WH = 1_000_000


class _Queue:
    """What is to be published. `has_news` is called when there is more."""

    def __init__(self, has_news: Callable[[], None]) -> None:
        self._has_news = has_news
        self._waiting: deque[Message] = deque(maxlen=MAX_WAITING)
        self._retained: dict[str, Message] = {}
        """The newest of each topic; these go first."""
        self._unacknowledged: dict[int, Message] = {}
        """What the connection has, by its number."""
        self.dropped = 0
        """Messages that were given up because too many waited."""

    def add(self, topic: str, payload: bytes) -> None:
        """One more; where too many wait, the oldest is given up."""
        self.dropped += len(self._waiting) == MAX_WAITING
        self._waiting.append(Message(topic, payload, retained=False))
        self._has_news()

    def retain(self, topic: str, payload: bytes) -> None:
        """What stays with the broker, in place of what is there."""
        self._retained[topic] = Message(topic, payload, retained=True)
        self._has_news()

    def hand_out(self, connection: MqttConnection) -> None:
        """Publish what waits, as long as the broker keeps up. Raises OSError."""
        while (
            (self._retained or self._waiting)
            and len(self._unacknowledged) < _MAX_UNACKNOWLEDGED
            and not connection.busy
        ):
            message = next(iter(self._retained.values()), None) or self._waiting[0]
            number = connection.publish(message)

            # It waits no longer only now: where publishing fails, it is not lost.
            self._unacknowledged[number] = message
            if message.retained:
                del self._retained[message.topic]
            else:
                self._waiting.popleft()

    def acknowledged(self, number: int) -> bool:
        """The broker has a message; whether it was one of these."""
        if self._unacknowledged.pop(number, None) is None:
            return False
        self._has_news()
        return True

    def take_back(self) -> None:
        """What the broker did not acknowledge goes out again first, on the next connection."""
        for message in reversed(self._unacknowledged.values()):
            if message.retained:
                self._retained.setdefault(message.topic, message)
            elif len(self._waiting) < MAX_WAITING:
                self._waiting.appendleft(message)
            else:
                self.dropped += 1
        self._unacknowledged.clear()


@dataclass(slots=True)
class _Health:
    """How the publication goes. Times are Unix seconds."""

    state: str = "connecting"
    errors: int = 0
    last_error: str = ""
    last_error_s: float | None = None
    last_success_s: float | None = None


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
        self._queue = _Queue(self._wake)
        self._health = _Health()

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
            "energy_wh": None if slot.energy_uwh is None else slot.energy_uwh / _UWH_PER_WH,
            "quality": slot.quality,
            "method": slot.method,
            "coverage_permille": slot.coverage_permille,
            "samples": slot.samples,
            "largest_gap_ms": slot.largest_gap_ms,
            "begin_register_wh": slot.begin_register_uwh / _UWH_PER_WH,
            "end_register_wh": slot.end_register_uwh / _UWH_PER_WH,
            "clock": slot.clock,
        }
        self._publish(f"slot/{slot.device}/{slot.direction}", document)

    def owed(self, owed: Owed) -> None:
        """Publish what a closed slot made owed for an asset. What becomes of it is in the status.
        Meters' own slots are published as such.
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
            "quality": owed.quality,
            "state": owed.state,
            "reason": owed.reason,
        }
        self._publish(f"asset/{owed.item.subject}", document)

    def status(self, report: Report) -> None:
        """Publish the daemon's report; it stays with the broker until the next one."""
        self._retain("status", report.to_json())

    def snapshot(self) -> Part:
        """How the publication goes."""
        return Part(
            name=f"mqtt {self._settings.host}:{self._settings.port}",
            state=self._health.state,
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
                self._failed(_words(error))
            await asyncio.sleep(self._backoff.fail())

    def _failed(self, why: str) -> None:
        """Count a failure; log the first after a success, and those that say something new."""
        if self._backoff.failures == 0 or why != self._health.last_error:
            _log.warning(
                "mqtt %s:%d: %s; trying again", self._settings.host, self._settings.port, why
            )
        self._health.state = "retrying"
        self._health.errors += 1
        self._health.last_error = why
        self._health.last_error_s = self._now()

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
        connection = await MqttConnection.connect(
            self._broker(), will=offline, acknowledged=self._acknowledged
        )
        self._connection = connection
        try:
            self._welcomed()
            while True:
                self._queue.hand_out(connection)
                await connection.turn()
        except asyncio.CancelledError:
            await connection.end(offline)
            raise
        finally:
            # Without a goodbye, the broker publishes our last will.
            connection.abort()
            self._connection = None
            self._queue.take_back()

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
                self._tls = ssl.create_default_context(cafile=self._settings.ca_file)
            except OSError as error:
                raise OSError(
                    f"mqtt.ca_file {self._settings.ca_file}: {error.strerror or error}"
                ) from error
        return self._tls

    def _welcomed(self) -> None:
        if self._backoff.failures:
            _log.info(
                "mqtt %s:%d: connected again after %d failures",
                self._settings.host,
                self._settings.port,
                self._backoff.failures,
            )
        else:
            _log.info("mqtt %s:%d: connected", self._settings.host, self._settings.port)
        self._backoff.succeed()
        self._health.state = "connected"
        self._health.last_success_s = self._now()
        self._retain("status/online", b"online")

    def _acknowledged(self, number: int) -> None:
        """The broker has a message: the only success there is."""
        if self._queue.acknowledged(number):
            self._health.last_success_s = self._now()


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker's certificate is not trusted: {error.verify_message}; set "
            "mqtt.ca_file to the authority that signed it"
        )
    if isinstance(error, ConfigError):
        return "; ".join(str(problem) for problem in error.problems)
    return str(error) or type(error).__name__


def _utc(unix_s: float) -> str:
    return (
        datetime.fromtimestamp(unix_s, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
        .replace(".000Z", "Z")
    )
