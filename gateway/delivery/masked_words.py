"""A destination whose words are kept and shown without the secrets that they may repeat: an error
page may echo the login.
"""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from gateway.delivery.destination import Acknowledges, Destination, Greets, Transport
from gateway.outbox.format import Answer, Batch, Outcome, Rejected, Retry

Masked = Callable[[str], str]
"""A text without the secrets in use."""

AnOutcome = TypeVar("AnOutcome", bound=Outcome)


def masked_words(destination: Destination, masked: Masked) -> Destination:
    """The same destination; whatever it says passes through `masked` first."""
    greets, acknowledges = destination.greets, destination.acknowledges
    return replace(
        destination,
        transport=_MaskedTransport(destination.transport, masked),
        greets=None if greets is None else _MaskedGreeting(greets, masked),
        acknowledges=None if acknowledges is None else _MaskedAnswers(acknowledges, masked),
    )


def _shown(outcome: AnOutcome, masked: Masked) -> AnOutcome:
    if isinstance(outcome, Rejected | Retry):
        return replace(outcome, reason=masked(outcome.reason))
    return outcome


class _MaskedTransport(msgspec.Struct, frozen=True):
    transport: Transport
    masked: Masked

    @property
    def url(self) -> str:
        return self.transport.url

    @property
    def timeout_s(self) -> float:
        return self.transport.timeout_s

    async def send(self, batch: Batch, within_s: float | None) -> Outcome:
        return _shown(await self.transport.send(batch, within_s), self.masked)

    async def aclose(self) -> None:
        await self.transport.aclose()


class _MaskedGreeting(msgspec.Struct, frozen=True):
    greets: Greets
    masked: Masked

    async def greet(self) -> Retry | None:
        problem = await self.greets.greet()
        return None if problem is None else _shown(problem, self.masked)


class _MaskedAnswers(msgspec.Struct, frozen=True):
    acknowledges: Acknowledges
    masked: Masked

    async def answers(self) -> AsyncIterator[Answer]:
        async for answer in self.acknowledges.answers():
            yield replace(
                answer,
                outcome=answer.outcome and _shown(answer.outcome, self.masked),
                of_streams={
                    stream: _shown(outcome, self.masked)
                    for stream, outcome in answer.of_streams.items()
                },
            )
