"""Sends to where the exchange has an asset now. Shell."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from gateway.delivery.destination import NotNow, Verifies
from gateway.delivery.exchange.addresses import Addresses
from gateway.delivery.exchange.beside import Beside
from gateway.delivery.exchange.registrar import Registrar
from gateway.delivery.http_transport import HttpTransport
from gateway.outbox.format import Batch, Outcome, Rejected, Retry
from gateway.outbox.item import Item

_NOT_KNOWN = "it is not known yet where its numbers go"


class AddressedTransport:
    """An exchange's transport, for batches that name assets as they are kept here."""

    def __init__(
        self, transport: HttpTransport, addresses: Addresses, registrar: Registrar, beside: Beside
    ) -> None:
        self._beside = beside
        self._transport = transport
        self._addresses = addresses
        self._registrar = registrar
        self.url = transport.url
        self.timeout_s = transport.timeout_s

    async def send(self, batch: Batch, within_s: float | None) -> Outcome:
        """Send it to where its assets are now."""
        addressed = self._addressed(batch)
        if addressed is None:
            return Retry(_NOT_KNOWN, sent=False, answered=False, cause="address")
        outcome = await self._transport.send(addressed, within_s)
        if not isinstance(outcome, Rejected) or not outcome.whole:
            return outcome
        self._registrar.doubt()
        if self._addresses.by_aggregator:
            # It is the aggregator's address that is refused, and no asset's number.
            return Retry(outcome.reason, answered=False, cause="aggregator")
        return outcome

    async def greet(self) -> Retry | None:
        """Log in."""
        return await self._transport.greet()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()
        await self._beside.aclose()

    def _addressed(self, batch: Batch) -> Batch | None:
        """The same with the exchange's UUIDs; None where one is not known."""
        there = {item.subject: self._addresses.there(item.subject) for item in batch.items}
        if None in there.values():
            return None
        if not self._addresses.by_aggregator:
            address = batch.address
            for subject, uuid in there.items():
                address = address.replace(str(subject), str(uuid))
            return replace(batch, address=address)
        if not self._addresses.aggregator:
            return None
        texts = {str(subject): str(uuid) for subject, uuid in there.items()}
        commands = {texts[here]: each for here, each in batch.payload["batch_commands"].items()}
        payload = {
            "aggregator_uuid": self._addresses.aggregator,
            "batch_commands": commands,
            "transaction_id": batch.payload["transaction_id"],
        }
        return replace(batch, payload=payload)


class AddressedVerifier:
    """Asks for what the exchange holds, likewise."""

    def __init__(self, verifies: Verifies, addresses: Addresses) -> None:
        self._verifies = verifies
        self._addresses = addresses

    async def held(self, items: Sequence[Item], within_s: float) -> Mapping[Item, int | None]:
        """What it holds of these. Raises CannotTell or NotNow."""
        here = items[0].subject
        there = self._addresses.there(here)
        if there is None:
            raise NotNow(_NOT_KNOWN)
        asked = [replace(item, subject=there) for item in items]
        found = await self._verifies.held(asked, within_s)
        return {replace(item, subject=here): uwh for item, uwh in found.items()}
