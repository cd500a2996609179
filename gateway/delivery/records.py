"""Where it is written what one destination is owed, and what became of it.

These are the questions that delivery has for the store, and what it writes there. Each method of
the store may raise StoreError.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from gateway.energy.slot import Event
from gateway.outbox.format import Accepted, Outcome, Rejected, Retry, Sent
from gateway.outbox.item import Item
from gateway.outbox.owed import Backlog, Confirmations, Held, Owed, State, Unanswered
from gateway.outbox.schedule import Doubted, Portion, halves


class DeliveryRecords(Protocol):
    """Where it is written what was accepted. Each method may raise StoreError."""

    def unconfirmed(self, accepted_before_s: float, *, since_s: int, limit: int) -> list[Item]:
        """Dated measurements accepted before then and not confirmed yet, newest slot first."""

    def confirmations(self, since_s: int) -> Confirmations:
        """How many are still to be asked for, and how many are held otherwise in spite of a second
        delivery.
        """

    def forecasts_uwh(self, items: Sequence[Item]) -> dict[Item, frozenset[int]]:
        """The forecasts of the same slot that may be held, where there are some."""

    def record_held(self, found: Sequence[Held], now_s: float) -> list[Item]:
        """Write down what the destination holds; returns what is owed again."""

    def note(self, event: Event) -> None:
        """Keep something that a person should know."""


class Outbox(DeliveryRecords, Protocol):
    """What one destination is owed."""

    @property
    def changed_elsewhere(self) -> bool:
        """Whether what is owed was changed by others than who delivers it, since this was asked
        last.
        """

    def due(self, now_s: float, *, since_s: int | None, limit: int) -> list[Owed]:
        """Pending items whose window is open, oldest slot first, of each slot the newest revision
        only; with `since_s` only slots that start then or later.
        """

    def next_change_s(self, now_s: float) -> float | None:
        """When the next window of a pending item opens or closes, Unix time."""

    def record(
        self,
        items: Sequence[Item],
        state: State,
        reason: str,
        now_s: float,
        *,
        sent_s: float | None = None,
        answer: str | None = None,
        transaction_id: str | None = None,
        refused: bool = False,
    ) -> None:
        """Write down what became of items; `pending` means: try again later, `sent`: its answer is
        awaited. `refused`: they are pending because the destination refused them.
        """

    def sent_under(self, transaction_id: str, sent_s: float | None = None) -> list[Owed]:
        """Items that were sent in that transaction, at that time where it is known, and are not
        answered yet; or are pending again since no answer came in time.
        """

    def unanswered(self, sent_before_s: float) -> list[Unanswered]:
        """What was sent before then and is not answered, by stream and batch."""

    def owe_unanswered(self, sent_before_s: float, reason: str) -> int:
        """What was sent before then and is not answered is pending again, for that reason. Returns
        how many items.
        """

    def expire(self, now_s: float, cause: str) -> list[Item]:
        """Pending items whose window has closed become missed; `cause` is the reason of those that
        were never tried.
        """

    def backlog(self) -> Backlog:
        """What is still owed."""


class Shipment(msgspec.Struct, frozen=True):
    """When a batch was sent (Unix time), and under which id."""

    transaction_id: str
    sent_s: float


def write_down(
    outbox: Outbox,
    portion: Portion,
    outcome: Outcome | Doubted,
    shipment: Shipment | None,
    now_s: float,
) -> None:
    """Write down an outcome. `shipment` is None where it is the answer to what was sent before.
    Raises StoreError.
    """
    state: State
    reason = answer = ""
    match outcome:
        case Accepted():
            state, answer = "accepted", outcome.answer
        case Sent():
            state, answer = "sent", outcome.answer
        case Rejected() if not halves(portion, outcome):
            state, reason = "rejected", outcome.reason
        case Rejected():
            if shipment is not None:
                return  # it is pending as it was
            state, reason = "pending", outcome.reason
        case Doubted():
            state, reason = "pending", outcome.reason
        case Retry():
            if not outcome.sent:
                return
            state, reason = "pending", outcome.reason
    outbox.record(
        portion.items,
        state,
        reason,
        now_s,
        sent_s=shipment.sent_s if shipment else None,
        answer=answer or None,
        transaction_id=shipment.transaction_id if shipment else None,
        refused=isinstance(outcome, Doubted),
    )
