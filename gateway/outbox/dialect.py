"""The interface of a dialect: pure functions from what is owed to requests, and from replies to
verdicts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.outbox.format import Window
from gateway.outbox.item import Item, Kind

Outcome = Literal["accepted", "rejected", "unknown"]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP POST: path below the exchange's URL, JSON body, and the items that ride in it."""

    path: str
    body: Mapping[str, object]
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """One HTTP GET: path below the exchange's URL, and the items it asks for."""

    path: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: HTTP status, header names in lower case, and the body's bytes (bounded by the
    session).
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the exchange said of one request.

    accepted: it has the items. rejected: it will never take them as they are; `reason` says why.
    unknown: nobody can tell (timeout, 5xx, 429, not JSON); keep the items and try again, not before
    `retry_after_s` where the exchange asked for that.
    """

    outcome: Outcome
    reason: str = ""
    retry_after_s: float | None = None
    whole: bool = False
    """Rejected for its address and not for a number in it: a smaller request would fare alike."""


class Dialect(Protocol):
    """How one kind of exchange is spoken to. Constructed with (canary_network, slot_s); holds no
    state.
    """

    kinds: frozenset[Kind]
    """What this dialect can deliver."""

    def window(self, kind: Kind, slot_s: int, margin_s: float) -> Window:
        """When an item of this kind for the slot starting at `slot_s` may be sent. `margin_s` is
        kept from every slot's edge.
        """

    def encode(self, items: Sequence[Item], transaction_id: str) -> list[Request]:
        """Requests that carry all of the items, in the order of the items, each request of bounded
        size.
        """

    def judge(self, reply: Reply) -> Verdict:
        """The verdict on a request that was answered. 401 and 403 are the session's business and
        never get here.
        """

    def ask(self, items: Sequence[Item]) -> Question | None:
        """What to ask to learn whether the exchange holds items that it has accepted. They are of
        one asset, in the order in which they are to be asked for; the question is for the first of
        them and as many more as fit an answer of 64 KiB. None: such an exchange cannot be asked.
        """

    def held(self, reply: Reply) -> Mapping[int, int] | None:
        """The answer: energy (µWh) by start of the slot (Unix time); what is not in it is not held.
        None where the reply does not say.
        """
