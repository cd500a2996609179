"""The seam between what is settled and who gets it: what a destination is owed, in which form, and
what came of sending it. Pure.

The ledger asks each destination's `Terms` what it is owed when slots close; `delivery` sends that
in batches and gets an `Outcome` for each. `dialect.py` has what an exchange over HTTP adds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import msgspec

from gateway.energy.forecast import Method
from gateway.energy.slot import AssetSlot, Quality, Slot
from gateway.outbox.foreseen import Foreseen, Wish
from gateway.outbox.item import Item, Kind, Subject


class Window(msgspec.Struct, frozen=True):
    """When an item may be sent, Unix time in seconds. At `closes_s` it is too late; None means
    never too late.
    """

    opens_s: float
    closes_s: float | None


class Closed(msgspec.Struct, frozen=True):
    """What is written in one commit, before anything is owed for it."""

    slots: Sequence[Slot]
    """Of meters, those that are written anew among them."""
    asset_slots: Sequence[AssetSlot]
    """Of the assets whose meters have all closed that slot."""
    foreseen: Sequence[Foreseen] = ()
    """What is expected of assets' slots to come."""


class Number(msgspec.Struct, frozen=True):
    """One number that a destination wants to have."""

    subject: Subject
    slot_s: int
    """Start of the slot, Unix time in seconds."""
    kind: Kind
    energy_uwh: int
    """Energy in µWh; where it is negative, 0 is delivered and this is kept beside it."""
    quality: Quality
    undeliverable: str = ""
    """Why there is no number to send; empty where there is one."""
    revised: bool = False
    """The slot was written anew: owed as the next revision, where this is another number."""
    beyond_uwh: int | None = None
    """Of a forecast: it is owed as the next revision where what is owed already differs by more.
    None: only where none is owed.
    """


class Margins(msgspec.Struct, frozen=True):
    """Time that is kept from the edges of slots, because clocks differ."""

    margin_s: float
    """After an edge: the receiver's clock may be behind ours."""
    lead_s: float
    """Before an edge, at least the margin: the receiver's clock may be ahead, and it takes a while
    to apply what it got.
    """


class Selects(Protocol):
    """What of all that is settled a destination is owed: assets by their formulas, say, or every
    series.
    """

    def numbers(self, closed: Closed, now_s: float) -> Iterable[Number]:
        """What is owed once this is written."""


class Format(Protocol):
    """How numbers are said to one kind of destination. Holds no state."""

    kinds: frozenset[Kind]
    """What it can say."""
    dated: bool
    """Whether a number names its slot, so that it can be sent again and replaces the one before."""

    def window(self, kind: Kind, slot_s: int, kept: Margins) -> Window:
        """When an item of this kind for the slot starting at `slot_s` may be sent, with these
        margins kept from the slots' edges.
        """

    def encode(self, items: Sequence[Item], transaction_id: str) -> "list[Batch]":
        """Batches that carry all of the items, in the order of the items, each of bounded size.

        Any part of what travels in one batch fits in one batch by itself.
        """


class Batch(msgspec.Struct, frozen=True):
    """Items that travel together, where to, and as what."""

    items: tuple[Item, ...]
    address: str
    """A path, a topic: what the transport makes of it."""
    payload: Any
    """What the transport puts on the wire: JSON to be, text, bytes."""


class Terms(msgspec.Struct, frozen=True):
    """What the ledger must know of a destination to write down what it is owed."""

    destination: str
    """Its name in the configuration."""
    selects: Selects
    format: Format
    kept: Margins
    forecast: Method | None = None
    """How assets are forecast for it whose settings do not say; None: it takes no forecasts."""
    wishes: Mapping[UUID, Wish] = msgspec.field(default_factory=dict)
    """How each asset is forecast for it."""


class Accepted(msgspec.Struct, frozen=True):
    """The receiver has the items, by its own word."""

    answer: str = ""


class Sent(msgspec.Struct, frozen=True):
    """The wire took the items; the receiver's own word is awaited."""

    answer: str = ""
    is_receipt: bool = False
    """It is the receiver that took them, and it only says later what it makes of them."""


class Rejected(msgspec.Struct, frozen=True):
    """The receiver refuses the items as they are; the reason is kept and shown. Whether that is
    believed, `refusals.py` says.
    """

    reason: str
    whole: bool = False
    """For the address and not for a number in it: a smaller batch would fare alike."""
    cause: str = ""
    """The kind of refusal, in one word: those with the same one are alike. Empty: the reason is."""
    is_of_rights: bool = False
    """It may not be sent by us. Rights are given and taken by a person, at any time, so this is
    never the last word.
    """


REFUSED = "LoginRefused"
"""The cause of a `Retry` that waiting does not help: the receiver does not take who we are."""


class Retry(msgspec.Struct, frozen=True):
    """Nobody can tell (timeout, server error): keep the items and try again."""

    reason: str
    after_s: float | None = None
    """Not before, where the receiver asked for that."""
    sent: bool = True
    """Whether the items may have arrived."""
    answered: bool = True
    """Whether the receiver said something: then the reason may lie in these very items, and others
    would be taken. `reason` is then a phrase about the receiver, such as "answered 503".
    """
    cause: str = "reply"
    """The kind of failure, in one word. While a destination fails, a line is logged when it
    changes; reasons differ from try to try.
    """


Outcome = Accepted | Sent | Rejected | Retry


class Answer(msgspec.Struct, frozen=True):
    """The receiver's own word on a batch that was only `Sent`, by the transaction it went under."""

    transaction_id: str
    outcome: Accepted | Rejected | Retry | None
    """Of all of it; None where there is one for each stream."""
    of_streams: Mapping[tuple[Subject, Kind], Accepted | Rejected | Retry] = msgspec.field(
        default_factory=dict
    )
    """A stream that is not in it got no word."""

    def of(self, item: Item) -> Accepted | Rejected | Retry | None:
        """The word on one item; None where there is none."""
        return self.outcome or self.of_streams.get((item.subject, item.kind))
