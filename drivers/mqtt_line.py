"""A line on which a meter's values are published by an MQTT broker."""

import asyncio
from collections import deque
from collections.abc import Mapping

from drivers.line_protocol import Arrived, LineError, LineFlooded
from drivers.line_url import LineUrl, SerialSettings
from drivers.net.masking import masked
from drivers.net.mqtt import (
    LOOK_S,
    Broker,
    BrokerRefused,
    Flood,
    Message,
    MqttConnection,
    NotAsBroker,
)
from drivers.net.tls import line_context

MAX_PACKET_BYTES = 64 * 1024
"""Of one message; a broker that announces more is left."""

MAX_WAITING = 20
"""Messages that nobody has fetched yet; then the oldest is dropped."""

ABSENCE_S = 0.3
"""Where nobody has listened for this long, no one knows when what waits has come."""


class TopicLine:
    """An `MqttLine`."""

    def __init__(self, url: LineUrl) -> None:
        """Raises LineError where a certificate's file cannot be used."""
        assert url.topic is not None and url.port is not None
        self.name = str(url)
        self._url = url
        self._topic = url.topic
        self._port = url.port
        self._tls = line_context(url) if url.scheme == "mqtts" else None
        self._connection: MqttConnection | None = None
        self._waiting: deque[Arrived] = deque(maxlen=MAX_WAITING)
        self._listened_s = 0.0
        self._closed = False

    async def receive(
        self, deadline_s: float, credentials: Mapping[str, str] | None = None
    ) -> Arrived | None:
        """As `MqttLine.receive`."""
        if self._closed:
            raise LineError(f"{self.name}: the line has been closed — open it again")
        try:
            return await self._receive(deadline_s, credentials or {})
        except OSError as error:
            secrets = (credentials or {}).values()
            says_it = isinstance(error, (BrokerRefused, NotAsBroker)) or " — " in str(error)
            remedy = "" if says_it else " — check the broker"
            words = masked(str(error) or type(error).__name__, secrets)
            if isinstance(error, Flood):
                raise LineFlooded(f"{self.name}: {words}{remedy}") from error
            raise LineError(f"{self.name}: {words}{remedy}") from error

    async def _receive(self, deadline_s: float, credentials: Mapping[str, str]) -> Arrived | None:
        now_s = asyncio.get_running_loop().time
        connection = self._connection or await self._connect(credentials)
        if now_s() - self._listened_s > ABSENCE_S:
            connection.work()
            self._waiting.clear()

        while not self._waiting and (left_s := deadline_s - now_s()) > 0:
            await connection.turn(min(left_s, LOOK_S))
        self._listened_s = now_s()
        return self._waiting.popleft() if self._waiting else None

    async def _connect(self, credentials: Mapping[str, str]) -> MqttConnection:
        """Raises OSError."""
        broker = Broker(
            self._url.target,
            self._port,
            self._tls,
            username=credentials.get("username"),
            password=credentials.get("password"),
        )
        self._connection = await MqttConnection.connect(
            broker, received=self._received, max_packet_bytes=MAX_PACKET_BYTES
        )
        self._connection.subscribe(self._topic)
        self._listened_s = asyncio.get_running_loop().time()
        return self._connection

    def _received(self, message: Message) -> None:
        if not message.retained:
            now_s = asyncio.get_running_loop().time()
            self._waiting.append(Arrived(message.payload, now_s))

    async def configure(self, settings: SerialSettings) -> None:
        """There is no port to set."""

    def rest(self) -> None:
        """It goes on listening."""

    def close(self) -> None:
        self._closed = True
        if self._connection is not None:
            self._connection.abort()
