"""What is owed to a destination, and in which order it goes. Plain data, which lives in the buffer.
Pure.
"""

from hashlib import sha256
from typing import Literal

import msgspec
from msgspec.structs import replace

from gateway.energy.slot import KNOWN
from gateway.outbox.item import Item, Kind, Subject

State = Literal["pending", "sent", "accepted", "rejected", "missed"]
"""pending: to be sent between `opens_s` and `closes_s` (Unix time; None: at any time). sent: the
wire took it, and the destination's own word is awaited; still owed. accepted / rejected: the
destination said so. missed: our word, with the reason: its window passed, or the slot was not
wholly metered.
"""

MAX_ANSWER_CHARACTERS = 120
"""Of what a destination said, so much is kept with each item."""

TAKEN_BY_HTTP = "taken by HTTP, without a verdict"
"""The answer of what was accepted so, where verdicts are wanted and cannot be had."""

NO_VERDICT = "gave no verdict"
"""How the reason begins where no word came on what was taken."""

BY_FLEET = "delivered by the fleet"
"""The answer of what a fleet has, and delivers to the exchange."""

LIVE_SLOTS = 2
"""Slots that ended within so many slots are live."""


class Owed(msgspec.Struct, frozen=True):
    """One item and what became of it."""

    item: Item
    length_s: int
    quality: Literal["measured", "estimated", "partial", "missing"]
    opens_s: float
    closes_s: float | None
    state: State = "pending"
    reason: str = ""
    raw_uwh: int | None = None
    """The formula's result where it was negative and 0 is delivered instead."""
    attempts: int = 0
    decided_s: float | None = None
    """When the state became what it is, Unix time. Of what is pending or sent: since when it is
    refused; None where it is not.
    """
    confirmed_s: float | None = None
    """When the destination was found to hold this very number, Unix time."""
    held_uwh: int | None = None
    """The other number that it was found to hold."""
    disagreements: int = 0
    """How often it was found to hold another number, or none: after the first time it is sent once
    more, after the second it is left to a person.
    """
    first_sent_s: float | None = None
    """When it was sent first, Unix time; this and the next three: None where it is not known."""
    last_sent_s: float | None = None
    answer: str | None = None
    """The beginning of what the destination said last."""
    transaction_id: str | None = None
    """Of the last delivery."""

    @property
    def refused_s(self) -> float | None:
        """Since when the destination refuses what is still owed, Unix time; None: it does not."""
        return self.decided_s if self.state in ("pending", "sent") else None

    @property
    def disputed(self) -> bool:
        """Whether the destination accepted it twice, and holds another number, or none."""
        return self.state == "accepted" and self.disagreements >= 2

    @property
    def assumed(self) -> bool:
        """Whether it only counts as accepted: the buffer is older than what was accepted."""
        return self.state == "accepted" and not self.attempts

    def revised(self, revision: int) -> "Owed":
        """The same as a later revision of what is owed."""
        return replace(self, item=replace(self.item, revision=revision))


class Backlog(msgspec.Struct, frozen=True):
    """What is still owed."""

    count: int
    """Pending items."""
    oldest_slot_s: int | None
    """Start of the oldest slot that is pending or sent, Unix time."""
    next_closes_s: float | None
    """When the next of the pending items can no longer be delivered, Unix time."""
    sent: int = 0
    """Items that were sent, and not answered by the destination yet."""


class Unanswered(msgspec.Struct, frozen=True):
    """A subject's numbers of one kind that went in one batch, and are not answered yet."""

    subject: Subject
    kind: Kind
    sent_s: float
    """When, Unix time."""
    transaction_id: str


class Confirmations(msgspec.Struct, frozen=True):
    """How what the destination accepted compares with what it holds."""

    unconfirmed: int
    """Items that are still to be asked for."""
    disputed: int
    """Items for which it holds another number, or none, in spite of a second delivery."""


class Held(msgspec.Struct, frozen=True):
    """What the destination was found to hold where it should hold an item; None: nothing."""

    item: Item
    energy_uwh: int | None

    @property
    def agrees(self) -> bool:
        """Whether it is exactly what was sent."""
        return self.energy_uwh == self.item.energy_uwh


def why_not_again(owed: Owed, now_s: float) -> str:
    """Why a person cannot have it sent again; empty where that is possible."""
    if owed.answer == BY_FLEET:
        return "the fleet delivers it: its manager can have it sent again"
    is_refused = owed.state == "pending" and owed.refused_s is not None
    may = owed.state in ("rejected", "missed") or owed.disputed or owed.assumed or is_refused
    if not may:
        return (
            f"it is {owed.state}; only what was rejected, missed, is disputed or assumed can be "
            "owed again"
        )
    if owed.quality not in KNOWN:
        return "its slot was not wholly metered, so there is no number to send"
    if owed.closes_s is not None and owed.closes_s <= now_s:
        if owed.item.kind == "forecast":
            return "its slot has begun, and the exchange takes no forecast of it any more"
        return (
            "it goes without a time, so now it would be booked to another slot; upload it by "
            "hand: meter-gateway export undelivered"
        )
    return ""


def urgency(owed: Owed, now_s: float, slot_s: int, settlement_s: float) -> tuple[int, float, int]:
    """What sorts what is due into the order of sending; the smallest goes first.

    1. What has a deadline, the next one first. 2. Live: slots that ended within the last
       `LIVE_SLOTS`, the newest first. 3. Slots that the
    exchange still settles, `settlement_s` after their start: those that are closest to losing that
    first. 4. The rest, oldest first.
    """
    start_s = owed.item.slot_s
    if owed.closes_s is not None:
        return 0, owed.closes_s, start_s
    if start_s >= live_since_s(now_s, slot_s):
        return 1, 0.0, -start_s
    return (2 if start_s + settlement_s > now_s else 3), 0.0, start_s


def offset_s(site: str, spread_s: float) -> float:
    """The time from a slot's begin at which this site starts its uploads: from 0 to `spread_s`,
    evenly over sites, always the same.
    """
    return int.from_bytes(sha256(site.encode()).digest()[:8], "big") / 2**64 * spread_s


def live_since_s(now_s: float, slot_s: int) -> int:
    """The start of the oldest live slot."""
    return (int(now_s // slot_s) - LIVE_SLOTS) * slot_s
