"""The seam of delivery: what a kind of destination brings along, and what runs it.

A kind whose items are rows of the outbox opens a `Destination`, which the uploader delivers. One
that keeps its own record of what it owes is a `Delivery` by itself.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from typing import Protocol
from uuid import UUID

import msgspec

from gateway.energy.forecast import Method
from gateway.monitoring.report import DestinationReport
from gateway.outbox.foreseen import Wish
from gateway.outbox.format import Answer, Batch, Format, Margins, Outcome, Retry, Selects, Terms
from gateway.outbox.item import EXCHANGE, Item, Subject

USUAL_MARGINS = Margins(margin_s=1.0, lead_s=1.0)

SETTLEMENT_S = 3600.0
"""How long after a slot's end a destination settles deviations, where nobody says otherwise."""


class Transport(Protocol):
    """The way to one destination. One batch is under way at a time."""

    @property
    def url(self) -> str:
        """For people: it holds no secret."""

    @property
    def timeout_s(self) -> float:
        """How long one `send` may take where nobody says less."""

    async def send(self, batch: Batch, within_s: float | None) -> Outcome:
        """Send one batch, giving up after `within_s`. What the network does is an outcome."""

    async def aclose(self) -> None:
        """Close its connection."""


class Greets(Protocol):
    """A destination that can be heard from before anything is owed to it."""

    async def greet(self) -> Retry | None:
        """Show who we are, and whether it is there; it is sent nothing that is owed. Returns what
        went wrong, or None.
        """


class CannotTell(Exception):
    """The destination cannot say what it holds of a subject, and will not in a minute."""


class NotNow(Exception):
    """The destination cannot be asked at the moment; `after_s` is what it asked for, if it did."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class Verifies(Protocol):
    """A destination that tells what it holds."""

    async def held(self, items: Sequence[Item], within_s: float) -> Mapping[Item, int | None]:
        """What it holds (µWh; None: nothing) of the first of these items and as many more as one
        question has room for. They are of one subject. Raises CannotTell or NotNow.
        """


class Acknowledges(Protocol):
    """A destination whose own word comes after the batch was `Sent`."""

    def answers(self) -> AsyncIterator[Answer]:
        """Its words, as they come, for ever. A connection that is lost is made again."""


class Attends(Protocol):
    """What finds out, beside deliveries, where each subject's numbers go."""

    def attend(self) -> AsyncIterator[Set[Subject]]:
        """For ever; says each time that it has looked, and whose numbers go elsewhere now."""

    def doubt(self) -> None:
        """Something speaks against what is known: it is looked at anew, soon."""

    def knows(self, subject: Subject) -> bool:
        """Whether it is known where its numbers go. Until then they wait, and hold up no others."""

    @property
    def knows_all(self) -> bool:
        """Whether that is known of all."""

    @property
    def told(self) -> Mapping[str, str]:
        """What a person should know, by the subject's name."""


class Listening(Protocol):
    """How it stands with the words that a destination says later, where that is known."""

    @property
    def words_come(self) -> bool:
        """Whether its own word comes at all: else the receipt is all that there will be."""

    @property
    def is_awake(self) -> bool:
        """Whether anything is heard, or known not to come."""

    def since_s(self, subject: Subject) -> float | None:
        """Since when every word about a subject is heard (Unix time); None: it is not."""

    @property
    def is_connecting(self) -> bool:
        """Whether it will be known in a moment what is heard: a word on what is sent before that
        may be lost, so only what has no time waits for it.
        """

    @property
    def why_silent(self) -> str:
        """What it may mean that no word comes though it would be heard."""

    @property
    def state(self) -> str:
        """For people: on, or what is wrong."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How a destination is treated."""

    slot_s: int
    """Length of a market slot."""
    kept: Margins = USUAL_MARGINS
    """The time that is kept from the edges of slots, for clocks that differ."""
    quiet_s: float = 0.0
    """The time from each slot's begin in which nothing is sent; less than the slot."""
    settlement_s: float = SETTLEMENT_S
    """How long after a slot's start it settles deviations; such slots go before older ones."""
    answer_within_s: float | None = None
    """How long its own word on what was sent may take; then it is sent again. None: its word comes
    with the sending.
    """
    subjects: int = 0
    """Of how many subjects it is owed numbers; 0 where that is not known."""

    def boundary_s(self, now_s: float) -> int:
        """The newest slot boundary, Unix time."""
        return int(now_s // self.slot_s) * self.slot_s


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Somewhere to deliver to. What it is owed are rows of the outbox."""

    name: str
    """In the configuration."""
    kind: str
    """How it is spoken to, in one word for people: the dialect, or the kind."""
    selects: Selects
    format: Format
    transport: Transport
    policy: Policy
    greets: Greets | None = None
    verifies: Verifies | None = None
    acknowledges: Acknowledges | None = None
    listening: Listening | None = None
    """Where it is known since when its words are heard. Else a word that does not come is a failure
    of the destination.
    """
    attends: Attends | None = None
    name_of: Callable[[Subject], str] = str
    """What people call a subject."""
    forecast: Method | None = None
    """How assets are forecast for it whose settings do not say; None: it takes no forecasts."""
    wishes: Mapping[UUID, Wish] = msgspec.field(default_factory=dict)
    """How each asset is forecast for it."""

    @property
    def terms(self) -> Terms:
        """What the ledger must know of it."""
        kept = self.policy.kept
        return Terms(self.name, self.selects, self.format, kept, self.forecast, self.wishes)


class Delivery(Protocol):
    """One destination's task."""

    @property
    def name(self) -> str:
        """The destination's, in the configuration."""

    @property
    def terms(self) -> Terms | None:
        """What the ledger must know of it; None where it keeps its own record of what it owes."""

    @property
    def turned_s(self) -> float | None:
        """When `run` last went round, by the loop's clock: proof that it does not hang."""

    @property
    def longest_turn_s(self) -> float:
        """How long `run` may take to go round once."""

    def wake(self) -> None:
        """Something was closed."""

    async def run(self) -> None:
        """Deliver for ever. What the destination or the disk does ends up in the log and the
        report; only bugs get out.
        """

    async def aclose(self) -> None:
        """Close its connections; `run` has ended, or never began."""

    def snapshot(self, now_s: float) -> DestinationReport:
        """How deliveries go. Raises StoreError."""


def spoken(name: str) -> str:
    """A destination as sentences name it."""
    return "the exchange" if name == EXCHANGE else name
