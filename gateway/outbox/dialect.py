"""The interface of a dialect: what an exchange over HTTP adds to a format. Pure functions from what
is owed to requests, and from replies to outcomes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import msgspec

from gateway.outbox.format import Format, Outcome
from gateway.outbox.item import Item


class Question(msgspec.Struct, frozen=True):
    """One HTTP GET: path below the exchange's URL, and the items it asks for."""

    path: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: HTTP status, header names in lower case, and the body's bytes (bounded by the
    session). Where it was longer than that, it is not `complete`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True
    masked: Callable[[str], str] = field(default=str, repr=False, compare=False)
    """Takes the secrets in use out of a text. What a reply says is judged as it came, and shown
    through this.
    """


class Dialect(Format, Protocol):
    """How one kind of exchange is spoken to. Constructed with (canary_network, slot_s); holds no
    state.

    Each batch of `encode` is one HTTP POST: its address is the path below the exchange's URL, its
    payload the JSON body.
    """

    def judge(self, reply: Reply) -> Outcome:
        """What the reply to a batch means. 401 and 403 are the session's business and never get
        here.
        """


@runtime_checkable
class ReadsBack(Protocol):
    """What a dialect has in addition where the exchange tells what it holds."""

    def ask(self, items: Sequence[Item]) -> Question:
        """What to ask to learn whether the exchange holds items that it has accepted. They are of
        one asset, in the order in which they are to be asked for; the question is for the first of
        them and as many more as fit an answer of 64 KiB.
        """

    def held(self, reply: Reply) -> Mapping[int, int] | None:
        """The answer: energy (µWh) by start of the slot (Unix time); what is not in it is not held.
        None where the reply does not say.
        """


@runtime_checkable
class TellsHistory(ReadsBack, Protocol):
    """What it has in addition where a person may ask for weeks at once."""

    def history_path(self, asset: str, start_s: int, end_s: int) -> str:
        """Where the exchange tells what it holds of an asset (its UUID there) over a time. `held`
        understands the answer.
        """
