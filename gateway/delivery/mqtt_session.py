"""The seam between a delivery and its MQTT broker: what it asks of a connection, so that a
simulation can put a broker of its own there. `drivers.net.mqtt.MqttConnection` is the real one.
"""

import ssl
from collections.abc import Callable
from typing import Protocol

from drivers.net.mqtt import Broker, Message
from gateway.site.credentials import ConfigError


class MqttSession(Protocol):
    """An open connection, as `MqttConnection`."""

    @property
    def busy(self) -> bool:
        """Whether what has been published has not been handed to the network yet."""

    def wake(self) -> None:
        """Let the `turn` that waits go on."""

    def publish(self, message: Message) -> int:
        """Publish with QoS 1. Raises OSError, or TooLong."""

    def subscribe(self, topic: str) -> None:
        """Ask for what is published under a topic. Raises OSError."""

    async def turn(self, patience_s: float) -> None:
        """Wait until there is something to do, so long at most, and do it. Raises OSError."""

    async def end(self, last: Message) -> None:
        """Say goodbye, with a last message."""

    def abort(self) -> None:
        """Be gone at once."""


class Connects(Protocol):
    """How a connection is made."""

    async def __call__(
        self,
        broker: Broker,
        *,
        will: Message,
        received: Callable[[Message], None],
        max_packet_bytes: int,
    ) -> MqttSession:
        """One that the broker has welcomed. Raises OSError."""


def broker_words(error: Exception, ca_file: str) -> str:
    """Why a broker cannot be reached, and what to do; `ca_file` is the key of the configuration."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker's certificate is not trusted: {error.verify_message}; set {ca_file} to "
            "the authority that signed it"
        )
    if isinstance(error, ConfigError):
        return "; ".join(str(problem) for problem in error.problems)
    return str(error) or type(error).__name__
