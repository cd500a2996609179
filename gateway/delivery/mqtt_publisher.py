"""Samples, slots and the status to an MQTT broker, for whoever likes to listen. Best effort: the
exchange is the one that is owed.

Topics, below `<topic>/<site>/`; JSON with units in the names and times in UTC (ISO 8601); QoS 1:
    sample/<device>             a sample: at most one per meter in each window of `samples` seconds
    slot/<device>/<direction>   a closed slot of one meter asset/<uuid>                what is owed
    to the exchange for a slot of an asset status                      the daemon's report as
    `/status` has it (retained) status/online               `online`, or `offline` once the broker
    misses us: our last will (retained)

Limits: while the broker is away 500 messages are kept, then the oldest is dropped and counted; of a
retained topic only the newest is kept. 20 messages may be unacknowledged. Reconnecting waits 1 to
60 seconds, with jitter.

paho-mqtt speaks MQTT 3.1.1; the network is asyncio's, so that neither connecting nor the TLS
handshake stops the daemon, and no thread of paho's is needed: it accepts any object with a socket's
recv, send and close (its SocketLike), and `_Wire` is one over an asyncio transport. paho is
imported when the publisher first runs: it costs 2 MB that a gateway without a broker keeps.
"""

import asyncio
import contextlib
import logging
import random
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec import json

from drivers.sample import METER_UTC, Sample
from gateway.energy.slot import KNOWN, Slot
from gateway.monitoring.report import Part, Report
from gateway.outbox.owed import Owed
from gateway.site.credentials import ConfigError, Credentials
from gateway.site.settings import MqttSettings
from gateway.timing.backoff import Backoff

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_log = logging.getLogger(__name__)

MAX_WAITING = 500
"""Messages kept while the broker is away. A sample is some 500 bytes."""
_MAX_UNACKNOWLEDGED = 20
_MAX_PACKET_BYTES = 4096
"""We subscribe to nothing, so the broker has nothing long to say."""
_MAX_UNSENT_BYTES = 64 * 1024
_CONNECT_S = 15.0
"""Time for DNS, TCP, TLS and the broker's welcome together."""
_KEEPALIVE_S = 30
_LOOK_S = 10.0
"""Time between two looks at the keepalive: a half-open connection is found within 70 seconds."""
_GOODBYE_S = 1.0
_BACKOFF_S = (1.0, 60.0)
_MAX_AGE_S = 180.0
"""The status goes out every minute; three minutes without an acknowledgement are not healthy."""

_UWH_PER_WH = 1_000_000


class BrokerRefused(OSError):
    """The broker answered, and does not want us: wrong login, not allowed."""


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    payload: bytes
    retain: bool


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
        self._waiting: deque[_Message] = deque(maxlen=MAX_WAITING)
        self._retained: dict[str, _Message] = {}
        self._unacknowledged: dict[int, _Message] = {}
        self._sampled: dict[str, tuple[int, frozenset[str]]] = {}
        self._something_to_do = asyncio.Event()
        self._state = "connecting"
        self._errors = 0
        self._last_error = ""
        self._last_error_s: float | None = None
        self._last_success_s: float | None = None
        self.dropped = 0
        """Messages that were given up because too many waited."""

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
        """Publish what a closed slot made owed to the exchange. What becomes of it is in the
        status.
        """
        document = {
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
            state=self._state,
            last_success_s=self._last_success_s,
            max_age_s=_MAX_AGE_S,
            errors=self._errors,
            last_error=self._last_error,
            last_error_s=self._last_error_s,
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
        if self._backoff.failures == 0 or why != self._last_error:
            _log.warning(
                "mqtt %s:%d: %s; trying again", self._settings.host, self._settings.port, why
            )
        self._state = "retrying"
        self._errors += 1
        self._last_error = why
        self._last_error_s = self._now()

    def _publish(self, topic: str, document: dict[str, Any]) -> None:
        self.dropped += len(self._waiting) == MAX_WAITING  # the deque gives up its oldest
        self._waiting.append(_Message(f"{self._root}/{topic}", json.encode(document), retain=False))
        self._something_to_do.set()

    def _retain(self, topic: str, payload: bytes) -> None:
        self._retained[topic] = _Message(f"{self._root}/{topic}", payload, retain=True)
        self._something_to_do.set()

    async def _session(self) -> None:
        """One connection, from DNS to its end. Raises OSError (TimeoutError and ssl.SSLError are
        such) or ConfigError.
        """
        client = self._client()
        wire: _Wire | None = None
        try:
            async with asyncio.timeout(_CONNECT_S):
                wire = await self._connect()
                _hand_over(client, wire, self._settings)
                while not client.is_connected():
                    await self._turn(client, wire, _CONNECT_S)
            self._welcomed()
            while True:
                self._hand_out(client, wire)
                await self._turn(client, wire, _LOOK_S)
        except TimeoutError as error:
            raise TimeoutError(f"no answer in {_CONNECT_S:g} s") from error
        except asyncio.CancelledError:
            if wire is not None and client.is_connected():
                client.publish(f"{self._root}/status/online", b"offline", retain=True)
                client.disconnect()
            raise
        finally:
            self._take_back()
            if wire is not None:
                await wire.end()

    def _client(self) -> "Client":
        from paho.mqtt.client import Client, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            protocol=MQTTv311,
            reconnect_on_failure=False,
        )
        client.will_set(f"{self._root}/status/online", b"offline", qos=1, retain=True)
        if self._settings.credentials is not None:
            login = self._credentials(self._settings.credentials)
            client.username_pw_set(login.username, login.password)
        client.on_publish = self._acknowledged
        client.on_connect = _refusal
        return client

    async def _connect(self) -> "_Wire":
        if self._settings.tls and self._tls is None:
            try:
                self._tls = ssl.create_default_context(cafile=self._settings.ca_file)
            except OSError as error:
                raise OSError(
                    f"mqtt.ca_file {self._settings.ca_file}: {error.strerror or error}"
                ) from error
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(
            lambda: _Wire(self._something_to_do),
            self._settings.host,
            self._settings.port,
            ssl=self._tls if self._settings.tls else None,
        )
        return wire

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
        self._state = "connected"
        self._last_success_s = self._now()
        self._retain("status/online", b"online")

    async def _turn(self, client: "Client", wire: "_Wire", patience_s: float) -> None:
        """Wait until there is something to do, and let paho do it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._something_to_do.wait()
        self._something_to_do.clear()
        while wire.received or wire.lost:
            _check(client.loop_read(), wire)
        _check(client.loop_misc(), wire)
        if client.want_write():
            _check(client.loop_write(), wire)

    def _hand_out(self, client: "Client", wire: "_Wire") -> None:
        """Give paho what waits, as long as the broker keeps up."""
        while (
            (self._retained or self._waiting)
            and len(self._unacknowledged) < _MAX_UNACKNOWLEDGED
            and not client.want_write()
        ):
            message = (
                self._retained.pop(next(iter(self._retained)))
                if self._retained
                else self._waiting.popleft()
            )
            info = client.publish(message.topic, message.payload, qos=1, retain=message.retain)
            self._unacknowledged[info.mid] = message
            _check(info.rc, wire)

    def _acknowledged(
        self, _client: "Client", _userdata: object, mid: int, _reason: object, _properties: object
    ) -> None:
        """The broker has a message: the only success there is."""
        if self._unacknowledged.pop(mid, None) is not None:
            self._last_success_s = self._now()
            self._something_to_do.set()

    def _take_back(self) -> None:
        """What the broker did not acknowledge goes out again first, on the next connection."""
        for message in reversed(self._unacknowledged.values()):
            if message.retain:
                self._retained.setdefault(message.topic.removeprefix(f"{self._root}/"), message)
            elif len(self._waiting) < MAX_WAITING:
                self._waiting.appendleft(message)
            else:
                self.dropped += 1
        self._unacknowledged.clear()


class _Wire(asyncio.Protocol):
    """An asyncio transport that looks like a non-blocking socket to paho."""

    def __init__(self, something_to_do: asyncio.Event) -> None:
        self.received = bytearray()
        self.lost = False
        self._why: Exception | None = None
        self._something_to_do = something_to_do
        self._transport: asyncio.Transport | None = None
        self._over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=_MAX_UNSENT_BYTES)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) > _MAX_PACKET_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._something_to_do.set()

    def resume_writing(self) -> None:
        self._something_to_do.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._why = exc
        self._over.set()
        self._something_to_do.set()

    def recv(self, size: int) -> bytes:
        if size > _MAX_PACKET_BYTES:
            raise ConnectionError(f"the broker announces a packet of {size} bytes")
        if not self.received and not self.lost:
            raise BlockingIOError
        data = bytes(self.received[:size])
        del self.received[:size]
        if self._transport is not None and not self.lost:
            self._transport.resume_reading()
        return data

    def send(self, data: bytes | bytearray) -> int:
        assert self._transport is not None
        if self.lost:
            raise self.error()
        if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            raise BlockingIOError
        self._transport.write(data)
        return len(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def error(self) -> OSError:
        """Why the connection ended."""
        return (
            self._why
            if isinstance(self._why, OSError)
            else ConnectionError("the broker closed the connection")
        )

    async def end(self) -> None:
        """Let what was written go out, for a moment, and be gone."""
        assert self._transport is not None
        self._transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._over.wait()
        self._transport.abort()


def _hand_over(client: "Client", wire: _Wire, settings: MqttSettings) -> None:
    """Let paho begin on a connection that exists already: it asks this method for its socket (the
    one private name of paho's we use).
    """
    client._create_socket = lambda: wire  # type: ignore[method-assign]
    client.connect(settings.host, settings.port, keepalive=_KEEPALIVE_S)


def _refusal(
    _client: object, _userdata: object, _flags: object, reason: Any, _properties: object
) -> None:
    """paho's on_connect. Raises BrokerRefused where the broker's welcome is none."""
    if reason.is_failure:
        raise BrokerRefused(
            f"the broker refuses us: {reason}; check mqtt.credentials, and what the broker "
            "allows that user"
        )


def _check(result: int, wire: _Wire) -> None:
    """Raises OSError where paho's result code is an error."""
    from paho.mqtt.client import error_string
    from paho.mqtt.enums import MQTTErrorCode

    if wire.lost and not wire.received:
        raise wire.error()
    if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
        raise ConnectionError(error_string(MQTTErrorCode(result)))


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
