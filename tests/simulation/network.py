"""The way to the simulated exchange, in place of sockets: httpx's transport for requests, and pipes
for websockets.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import httpx

from drivers.net.http_wire import Wire
from drivers.net.mqtt import Broker, Message
from gateway.delivery.simulated.http_server import MAX_HEAD_BYTES, StandInExchange
from tests.simulation.community import Community, Session
from tests.simulation.pipes import End, join

Outage = Literal["", "refused", "no_answer", "name", "certificate"]
"""refused: nobody listens. no_answer: packets vanish. name: it cannot be looked up. certificate: it
is not the one of this host.
"""

_LATENCY_S = 0.06


@dataclass(slots=True, eq=False)
class Network(httpx.AsyncBaseTransport):
    """Carries requests to the stand-in exchange, or does not. `severed`: the gateway that sends is
    dead, nothing leaves any more.
    """

    exchange: StandInExchange
    community: Community | None = None
    """The fleet that the gateway belongs to, if it does."""
    outage: Outage = ""
    severed: bool = False
    pipes: dict[End, End] = field(default_factory=dict)
    """Of this gateway: its end of each, and the exchange's."""
    acknowledged: set[int] = field(default_factory=set)
    """Of the exchange's bookings, by their number: those that the gateway was told of."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request. Raises httpx errors as a real transport does."""
        body = await request.aread()
        await asyncio.sleep(_LATENCY_S / 2)
        if self.severed:
            raise httpx.ConnectError("this gateway is dead")
        self._hinder()
        if self.outage == "no_answer":
            await asyncio.sleep(3600)
        headers = {name.lower(): value for name, value in request.headers.items()}
        history = self.exchange.books.history
        booked_before = len(history)
        answer = self.exchange.handle(
            request.method, request.url.raw_path.decode("ascii"), headers, body
        )
        booked = range(booked_before, len(history))
        await asyncio.sleep(_LATENCY_S / 2 + answer.delay_s)
        if self.severed or answer.sends == "nothing":
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        if answer.sends == "half":
            raise httpx.RemoteProtocolError(
                "peer closed connection without sending complete message body"
            )
        self.acknowledged.update(booked)
        fields = [("Content-Type", answer.content_type), *answer.headers]
        return httpx.Response(answer.status, headers=fields, stream=httpx.ByteStream(answer.body))

    async def connect_mqtt(
        self,
        _: Broker,
        *,
        will: Message,
        received: Callable[[Message], None],
        max_packet_bytes: int,  # noqa: ARG002 — nothing is longer
    ) -> Session:
        """A connection to the fleet's broker, in the place of `MqttConnection.connect`. Raises
        OSError.
        """
        assert self.community is not None
        return await self.community.connect(lambda: self.severed, will, received)

    # --- connections ------------------------------------------------------------------------------

    async def dial(self) -> Wire:
        """A connection to the exchange. Raises OSError."""
        await asyncio.sleep(_LATENCY_S)
        if self.severed or self.outage == "refused":
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        if self.outage == "no_answer":
            await asyncio.sleep(3600)
        if self.outage == "name":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if self.outage == "certificate":
            raise _another_hosts_certificate()

        reader = asyncio.StreamReader(MAX_HEAD_BYTES)
        listens = asyncio.StreamReaderProtocol(reader)
        wire = Wire()
        here, there = join(wire, listens)
        loop = asyncio.get_running_loop()
        serving = loop.create_task(
            self.exchange.serve(reader, asyncio.StreamWriter(there, listens, reader, loop))
        )
        self.pipes[here] = there
        serving.add_done_callback(lambda _: self.pipes.pop(here, None))
        return wire

    def sever(self) -> None:
        """The gateway is dead."""
        self.severed = True
        for here in list(self.pipes):
            here.vanish()

    def suffer(self, outage: Outage) -> None:
        """What is wrong with the way to the exchange, from now on. Connections that are there stay
        so where names or certificates are wrong.
        """
        self.outage = outage
        for here, there in list(self.pipes.items()):
            here.stall(outage == "no_answer")
            there.stall(outage == "no_answer")
            if outage == "refused":
                there.abort()

    # --- what is in the way of a request ----------------------------------------------------------

    def _hinder(self) -> None:
        if self.outage == "refused":
            raise httpx.ConnectError("connection refused") from ConnectionRefusedError(
                111, "Connection refused"
            )
        if self.outage == "name":
            raise httpx.ConnectError("name") from socket.gaierror(
                socket.EAI_NONAME, "Name or service not known"
            )
        if self.outage == "certificate":
            raise httpx.ConnectError("certificate") from _another_hosts_certificate()


def _another_hosts_certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "Hostname mismatch"
    return error
