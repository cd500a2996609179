"""The collector at the broker: what it subscribes to, and whether the broker deals messages out
among several collectors.

A broker may grant a shared subscription and deal nothing out (RabbitMQ 3.10 does). So a message of
our own has to come back over one first.
"""

import asyncio
import contextlib
import secrets
import ssl
from dataclasses import replace

from drivers.net.mqtt import Broker
from drivers.net.tls import client_context
from gateway.fleet.settings import FleetSettings
from gateway.fleet.subscriber import NotGranted, Received, Subscriber
from gateway.outbox.fleet.messages import MAX_BYTES, topic_of

PROBE_S = 5.0
"""So long a message of ours may take to come back."""

MAX_PACKET_BYTES = MAX_BYTES + 1024


def broker_of(settings: FleetSettings, client_id: str) -> Broker:
    """Where the broker is, with the login as it is now. Raises ConfigError, OSError."""
    broker = settings.file.broker
    login = settings.login(broker.credentials)
    return Broker(
        broker.host,
        broker.port,
        tls=_tls(settings),
        client_id=client_id,
        username=login.username if login else None,
        password=login.password if login else None,
        login_from=broker.credentials or "broker: credentials in fleet.yaml",
    )


def _tls(settings: FleetSettings) -> ssl.SSLContext | None:
    broker = settings.file.broker
    if not broker.tls:
        return None
    certificate = settings.path(broker.certificate)
    return client_context(settings.path(broker.ca_file), certificate, certificate)


def words(error: Exception) -> str:
    """What is wrong with the broker, and what to do."""
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there: is it running, and are host and port in fleet.yaml right?"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted: {error.verify_message}; set ca_file in fleet.yaml to "
            "the authority that signed it"
        )
    return str(error) or type(error).__name__


async def deals_out(broker: Broker, topic: str, patience_s: float = PROBE_S) -> bool:
    """Whether a message comes over a shared subscription. Raises OSError."""
    token = secrets.token_hex(8)
    # A site's name begins with a letter or digit: no gateway is meant.
    probe = topic_of(topic, f".probe-{token}", "ack")
    came = asyncio.Event()

    def received(heard: str, _payload: bytes) -> None:
        if heard == probe:
            came.set()

    prober = replace(broker, client_id=f"{broker.client_id}-probe")
    shared = f"$share/probe-{token}/{probe}"
    try:
        subscriber = await Subscriber.connect(prober, [shared], received, MAX_PACKET_BYTES)
    except NotGranted:
        return False
    try:
        subscriber.publish([(probe, b"probe")])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await came.wait()
        return came.is_set()
    finally:
        subscriber.abort()


async def listen(broker: Broker, topic: str, group: str | None, received: Received) -> Subscriber:
    """A connection that hears all gateways, or its share of them where there is a `group`. Raises
    OSError.
    """
    share = f"$share/{group}/" if group else ""
    topics = [share + topic_of(topic, "+", "slots"), share + topic_of(topic, "+", "backlog")]
    # Retained messages come over no shared subscription.
    topics.append(topic_of(topic, "+", "status"))
    return await Subscriber.connect(broker, topics, received, MAX_PACKET_BYTES)
