"""The fees of all markets for one slot: what is to be said to the exchange for it, and what its
answers come to. Pure.

    statistics asked ─▶ decided ─▶ sent ─▶ taken: ready, with this very number
                                     ├──▶ kept_old: ready, with another number
                                     ├──▶ refused: an error
                                     └──▶ silent: no answer before the slot began

What was not answered may be asked and sent again, and an answer to either counts. In one batch
there is never more than one fee for a market.
"""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.operator.decision import Decision
from gateway.operator.fee import Fee, FeeType, echoed
from gateway.operator.frames import Replies, Reply
from gateway.operator.markets import Market
from gateway.operator.statistics import Statistics, parse_statistics
from gateway.store.grid_fee_rows import FeeState, GridFee

STATISTICS, FEES = "dso_market_stats", "grid_fees"

MOST_SENT = 64
"""Batches of one slot whose answers are known again."""

TRIED_AGAIN = 2
"""A fee that the exchange refused, or answered with another one, is sent so often in a slot."""


class Place(Struct):
    """One market in it."""

    market: Market
    statistics: Statistics | None = None
    """Of the newest slot that is over. None: not told (yet)."""
    decision: Decision | None = None
    state: FeeState = "missed"
    reason: str = ""
    is_asked: bool = False
    """Whether its statistics were asked for."""
    sent: int = 0
    sent_s: float | None = None
    answered_s: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be sent for it."""
        refused = self.state in ("refused", "kept_old") and self.sent >= TRIED_AGAIN
        return refused or self.state in ("taken", "dry_run")


class Batch(Struct, frozen=True):
    """Commands by market."""

    of: Mapping[UUID, tuple[Fee | None, ...]]
    """None asks for statistics."""

    @property
    def commands(self) -> dict[str, list[dict[str, object]]]:
        """As the exchange takes them."""
        return {
            str(market): [_command(each) for each in wanted] for market, wanted in self.of.items()
        }

    def __bool__(self) -> bool:
        return bool(self.of)


def _command(fee: Fee | None) -> dict[str, object]:
    if fee is None:
        return {"type": STATISTICS, "data": {}}
    return {"type": FEES, "data": fee.data}


class SlotRound(Struct):
    """Of the slot that starts at `slot_s`."""

    slot_s: int
    fee_type: FeeType
    dry_run: bool
    places: dict[UUID, Place]
    unknown: set[UUID] = field(default_factory=set)
    """The markets that an answer left out: the engine does not know them, or nobody acts for
    them.
    """
    is_answered: bool = False
    """Whether the exchange has answered anything."""
    _sent: dict[str, Batch] = field(default_factory=dict)

    @classmethod
    def of_markets(
        cls, markets: Sequence[Market], slot_s: int, fee_type: FeeType, *, dry_run: bool
    ) -> "SlotRound":
        """Nothing is asked or decided yet."""
        places = {market.uuid: Place(market) for market in markets}
        return cls(slot_s, fee_type, dry_run, places)

    # --- what is to be said -----------------------------------------------------------------------

    def decide(self, market: UUID, decision: Decision) -> None:
        """This is to be set. Once it was sent it stays."""
        place = self.places[market]
        assert decision.fee.type == self.fee_type and not place.sent
        place.decision = decision
        place.state = "dry_run" if self.dry_run else "decided"

    def taken(self) -> dict[str, Fee]:
        """The fees that the exchange has taken, by the market's name."""
        return {
            place.market.name: place.decision.fee
            for place in self.places.values()
            if place.state == "taken" and place.decision is not None
        }

    def undecided(self) -> list[Place]:
        """The markets for which nothing is decided yet."""
        return [place for place in self.places.values() if place.decision is None]

    def next_batch(self, most: int, *, again: bool) -> Batch:
        """What was not said yet, of so many markets at most; `again`: also what was said and not
        answered.
        """
        found: dict[UUID, tuple[Fee | None, ...]] = {}
        for uuid, place in self.places.items():
            asks = place.statistics is None and (again or not place.is_asked)
            wanted: list[Fee | None] = [None] if asks else []
            is_due = not place.is_settled and (again or place.state != "sent")
            if place.decision is not None and is_due and not self.dry_run:
                wanted.append(place.decision.fee)
            if wanted and len(found) < most:
                found[uuid] = tuple(wanted)
        return Batch(found)

    @property
    def is_open(self) -> bool:
        """Whether anything is decided that is not settled, or not decided yet, or not known."""
        return any(
            place.statistics is None or place.decision is None or not place.is_settled
            for place in self.places.values()
        )

    def note_sent(self, transaction_id: str, batch: Batch, now_s: float) -> None:
        """This is about to be sent. Until it is answered, that is what is known."""
        self._sent[transaction_id] = batch
        while len(self._sent) > MOST_SENT:
            del self._sent[next(iter(self._sent))]
        for market, wanted in batch.of.items():
            place = self.places[market]
            place.is_asked |= None in wanted
            if any(each is not None for each in wanted):
                place.state, place.sent = "sent", place.sent + 1
                place.sent_s = now_s

    def note_unsent(self, batch: Batch, why: str) -> None:
        """It could not be sent, or nobody knows whether it arrived."""
        for market, wanted in batch.of.items():
            place = self.places[market]
            place.is_asked = place.is_asked and None not in wanted
            if place.state == "sent":
                place.state, place.reason = "decided", why

    def restore(self, market: UUID, decision: Decision, fee: GridFee) -> None:
        """So it was before this daemon was started."""
        place = self.places[market]
        place.decision, place.state, place.reason = decision, fee.state, fee.reason
        place.sent, place.sent_s, place.answered_s = fee.sent, fee.sent_s, fee.answered_s

    # --- what is heard ----------------------------------------------------------------------------

    def hear(self, replies: Replies, now_s: float) -> bool:
        """Answers of the exchange. False: not to this."""
        batch = self._sent.pop(replies.transaction_id, None)
        if batch is None:
            return False
        self.is_answered = True
        for market, wanted in batch.of.items():
            place = self.places[market]
            words = replies.of.get(market)
            if words is None:
                self.unknown.add(market)
                if place.state == "sent":
                    place.reason = "the exchange does not know the market, or nobody acts for it"
                continue
            self.unknown.discard(market)
            for each, word in _paired(wanted, words):
                if each is None:
                    self._hear_statistics(place, word)
                else:
                    self._hear_fee(place, each, word, now_s)
        return True

    def _hear_statistics(self, place: Place, word: Reply) -> None:
        if word.is_ready:
            told = word.body.get("market_stats")
            place.statistics = parse_statistics(told, is_root=place.market.is_root)
        elif place.decision is None:
            place.reason = f"asked for its statistics, the exchange says: {word.says}"

    def _hear_fee(self, place: Place, fee: Fee, word: Reply, now_s: float) -> None:
        if place.state == "taken":
            return
        place.answered_s = now_s
        if not word.is_ready:
            place.state, place.reason = "refused", _refused(word.says, self.fee_type)
        elif fee.is_echoed_by(word.body):
            place.state, place.reason = "taken", ""
        else:
            holds = echoed(word.body, self.fee_type)
            place.state = "kept_old"
            place.reason = f"the exchange answers ready, and holds {holds or 'another fee'}"

    # --- what comes of it -------------------------------------------------------------------------

    def end(self, why: str) -> None:
        """The slot begins, or nothing can be sent for it any more: what is open stays so."""
        for place in self.places.values():
            if place.state == "sent" or (place.state == "decided" and place.sent):
                place.state = "silent"
                place.reason = place.reason or f"the exchange did not answer; {why}"
            elif place.state == "decided":
                place.state, place.reason = "too_late", place.reason or f"it was not sent: {why}"
            elif place.state == "missed":
                place.reason = place.reason or f"nothing was decided: {why}"

    @property
    def was_ignored(self) -> bool:
        """Whether something was sent, and nothing answered."""
        return not self.is_answered and any(place.is_asked for place in self.places.values())

    def rows(self) -> list[GridFee]:
        """As they are kept."""
        return [_row(self.slot_s, self.fee_type, place) for place in self.places.values()]


def _paired(
    wanted: Sequence[Fee | None], words: Sequence[Reply]
) -> Iterator[tuple[Fee | None, Reply]]:
    """Each command with its word, by its name; where a word has none, by its place."""
    by_name = {word.command: word for word in words}
    for position, each in enumerate(wanted):
        word = by_name.get(STATISTICS if each is None else FEES)
        if (
            word is None
            and position < len(words)
            and words[position].command not in (STATISTICS, FEES)
        ):
            word = words[position]
        if word is not None:
            yield each, word


def _refused(says: str, fee_type: FeeType) -> str:
    if "conflicting with" in says.lower():
        other = "percent" if fee_type == "constant" else "constant"
        return (
            f"the exchange says: {says} — its network has fees of the other type: write "
            f"fee_type: {other}"
        )
    return f"the exchange says: {says}"


def _row(slot_s: int, fee_type: FeeType, place: Place) -> GridFee:
    bare = GridFee(
        slot_s=slot_s,
        market=place.market.uuid,
        name=place.market.name,
        state=place.state,
        fee_type=fee_type,
        reason=place.reason,
        sent=place.sent,
        sent_s=place.sent_s,
        answered_s=place.answered_s,
    )
    decision = place.decision
    if decision is None:
        return bare
    return replace(
        bare,
        fee=decision.fee.micros,
        wanted=None if decision.wanted is None else decision.wanted.micros,
        model=decision.model,
        why=decision.why,
        inputs=decision.inputs,
        memory=decision.memory,
        slots_without=decision.slots_without,
    )
