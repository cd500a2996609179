"""The way to the simulated exchange, in place of sockets: httpx's transport."""

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from typing import Literal

import httpx

from gateway.delivery.simulated.exchange import StrictExchange

Outage = Literal["", "refused", "no_answer", "name", "certificate"]
"""refused: nobody listens. no_answer: packets vanish. name: it cannot be looked up. certificate: it
is not the one of this host.
"""

_LATENCY_S = 0.06


@dataclass(slots=True)
class Network(httpx.AsyncBaseTransport):
    """Carries requests to the stand-in exchange, or does not. `severed`: the gateway that sends is
    dead, nothing leaves any more.
    """

    exchange: StrictExchange
    outage: Outage = ""
    severed: bool = False
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
            error = ssl.SSLCertVerificationError(1, "certificate verify failed")
            error.verify_message = "Hostname mismatch"
            raise httpx.ConnectError("certificate") from error
