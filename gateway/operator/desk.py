"""Where fees are decided, and each decision is kept before it is sent: the models, what is known of
the markets, and the store. Shell.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol, runtime_checkable
from uuid import UUID

from msgspec import Struct

from gateway.energy.assets import Formula
from gateway.monitoring.report import MarketReport
from gateway.operator.decision import Bounds, Decision, decide
from gateway.operator.fee import UNITS, Fee, FeeType, fee_text
from gateway.operator.frames import Replies, SlotRuns
from gateway.operator.history import KEPT_SLOTS, History, decision_of, ended, missed_rows
from gateway.operator.markets import Market
from gateway.operator.model import NOTICE_SLOTS, Asked, Model, Proposal
from gateway.operator.reporting import market_report
from gateway.operator.slot_round import Place, SlotRound
from gateway.operator.stop_order import Order
from gateway.store.grid_fee_rows import STATISTICS, GridFee, SlotStatistics
from gateway.store.grid_fee_table import GridFeeTable

ALWAYS_S = 1 << 40
MOST_MISSED = 96
"""So many slots that went by without a decision are written down one by one."""

MOST_UNWRITTEN = 5_000
"""Statistics of markets that wait for a disk that refuses; beyond, the oldest are gone."""

LoadOf = Callable[[Formula, int], float | None]
"""The kWh of a formula's meters in the slot that starts then; None: not closed yet, or not wholly
metered.
"""


@runtime_checkable
class Measures(Protocol):
    """A model that looks at this gateway's own meters."""

    @property
    def load(self) -> Formula:
        """Which of them."""


class Left(Struct, frozen=True):
    """What is in the place of every model once a person has said at which fee markets are left."""

    fee: Fee
    why: str
    kind: str = "stop"
    needs_statistics: bool = False
    needs_load: bool = False

    def propose(self, asked: Asked) -> Proposal:  # noqa: ARG002 — whatever is asked
        """That fee."""
        return Proposal(fee=self.fee, why=self.why)

    @classmethod
    def by(cls, order: Order, fee_type: FeeType, bounds: Bounds) -> "Left":
        """As ordered, as far as the bounds allow: they may have been narrowed since. An order in
        the unit of another network leaves the fallback.
        """
        if order.fee_type not in (None, fee_type):
            why = "fees stop said a fee of the other type"
            return cls(bounds.fallback, f"left at the fallback, {bounds.fallback}: {why}")
        low, high = bounds.lowest, bounds.highest
        fee = Fee(fee_type, min(max(order.micros, low.micros), high.micros))
        if fee.micros == order.micros:
            return cls(fee, f"left at {fee} by fees stop")
        said = f"fees stop said {fee_text(order.micros)}, and gateway.yaml allows {low} to {high}"
        return cls(fee, f"left at {fee}: {said}")


class Plan(Struct, frozen=True, kw_only=True):
    """What the operator wants."""

    slot_s: int
    fee_type: FeeType
    bounds: Bounds
    model_of: Callable[[str], Model]
    """By a market's name."""
    dry_run: bool = False


class Desk:
    """Of one network. What asks or writes may raise StoreError."""

    def __init__(self, plan: Plan, fees: GridFeeTable, load_of: LoadOf) -> None:
        self.plan = plan
        self._fees = fees
        self._load_of = load_of
        self._history = History(plan.slot_s, plan.fee_type)
        self._is_read = False
        """Whether what was known before a restart is known again."""
        self._unwritten: deque[tuple[int, tuple[UUID, str, SlotStatistics]]] = deque(
            maxlen=MOST_UNWRITTEN
        )
        """Statistics by slot, until they are on disk."""
        self._written: dict[UUID, GridFee] = {}
        """The rows of the current slot as they are on disk."""
        self.current: SlotRound | None = None
        """The slot that fees are decided for."""
        self.past: SlotRound | None = None
        """The one before: it runs."""
        self.left: Left | None = None
        """Where every market is left, whatever its model says."""

    def begin(self, runs: SlotRuns, markets: Sequence[Market], why_missed: str) -> SlotRound:
        """A slot has begun: fees for the next one are due. `why_missed`: why nothing was decided
        for slots in between.
        """
        slot_s = runs.slot_s + self.plan.slot_s
        self._end_past(runs)
        if not self._is_read:
            self._read(runs)
            self._write_unfinished(slot_s, markets, why_missed)
            self._is_read = True
        charged = {
            m.uuid: runs.fees.get(m.uuid) for m in markets if runs.charged(m.uuid) is not None
        }
        self._history.charges(charged)
        told = [(m.uuid, runs.charged(m.uuid)) for m in markets]
        self._fees.note_in_force(
            runs.slot_s, [(uuid, micros) for uuid, micros in told if micros is not None]
        )
        self._write_missed(slot_s, markets, why_missed)
        # Where later slots are known already, a simulation was begun anew: it has taken nothing.
        is_known = self.current is None or self.current.slot_s == slot_s
        restores = is_known and (self._fees.newest_s(ALWAYS_S) or 0) <= slot_s
        begun = self._begun(slot_s, markets, restores=restores)
        # Not before: where the disk refuses, this is tried again.
        self.past, self.current = self.current, begun
        return begun

    def _read(self, runs: SlotRuns) -> None:
        """Know again what was known before a restart, and end what that has cut short."""
        since_s = runs.slot_s - KEPT_SLOTS * self.plan.slot_s
        rows = list(self._fees.between(since_s, runs.slot_s + self.plan.slot_s))
        self._history.read(rows)
        cut_short = [ended(row) for row in rows if row.state in ("sent", "decided")]
        if cut_short:
            self._fees.write(cut_short)

    def _end_past(self, runs: SlotRuns) -> None:
        """What is still open of the slot that begins stays so. What does it charge?"""
        past = self.current
        if past is None or past.slot_s > runs.slot_s:
            return
        past.end("the slot began")
        self._history.ended(past)
        for market, place in past.places.items():
            charged = runs.charged(market) if past.slot_s == runs.slot_s else None
            fee = None if place.decision is None else place.decision.fee.micros
            if charged is not None and place.state == "taken" and charged != fee:
                what = f"{fee_text(charged)} {UNITS[self.plan.fee_type]}"
                place.reason = f"the exchange took it, and charges {what} in this slot"
            elif charged is not None and place.state == "silent" and charged == fee:
                place.reason += "; it is in force all the same"
        self.keep(past)

    def _begun(self, slot_s: int, markets: Sequence[Market], *, restores: bool) -> SlotRound:
        plan = self.plan
        begun = SlotRound.of_markets(markets, slot_s, plan.fee_type, dry_run=plan.dry_run)
        self._written = {}
        for row in self._fees.between(slot_s, slot_s + 1) if restores else ():
            decision = decision_of(row)
            if row.market in begun.places and decision and self._still_holds(decision, row):
                begun.restore(row.market, decision, row)
        return begun

    def _still_holds(self, decision: Decision, row: GridFee) -> bool:
        """Whether what was decided before a restart is what this configuration would allow. What is
        not is decided anew.
        """
        plan = self.plan
        return (
            row.fee_type == plan.fee_type
            and plan.bounds.within(decision.fee) == decision.fee
            and (row.state != "dry_run" or plan.dry_run)
        )

    def _write_missed(self, slot_s: int, markets: Sequence[Market], why: str) -> None:
        newest_s = self._fees.newest_s(slot_s)
        if newest_s is None:
            return
        length_s = self.plan.slot_s
        first_s = max(newest_s + length_s, slot_s - MOST_MISSED * length_s)
        slots = range(first_s, slot_s, length_s)
        if slots and markets:
            named = [(market.uuid, market.name) for market in markets]
            self._fees.write(missed_rows(named, slots, self.plan.fee_type, why))

    def _write_unfinished(self, slot_s: int, markets: Sequence[Market], why: str) -> None:
        """A restart may have come when a slot's fees were decided for some of the markets only."""
        newest_s = self._fees.newest_s(slot_s)
        if newest_s is None:
            return
        rows = self._fees.between(newest_s, newest_s + 1)
        decided = {row.market for row in rows if row.state != "observed"}
        named = [(market.uuid, market.name) for market in markets if market.uuid not in decided]
        if named:
            self._fees.write(missed_rows(named, [newest_s], self.plan.fee_type, why))

    # --- deciding ---------------------------------------------------------------------------------

    def decide(self, now: SlotRound, *, is_last: bool) -> None:
        """Decide what can be; `is_last`: with what is known, since nothing more is waited for."""
        for place in now.undecided():
            model = self._model_of(place.market.name)
            loads = self._loads(model, now.slot_s)
            lacks = model.needs_statistics and place.statistics is None
            if not is_last and (lacks or (model.needs_load and not loads)):
                continue
            asked = self._history.asked(place.market.uuid, place.market.name, now.slot_s, loads)
            decision = decide(model, asked, self.plan.bounds)
            self._history.decided(place.market.uuid, decision)
            now.decide(place.market.uuid, decision)

    def _model_of(self, market: str) -> Model:
        return self.left or self.plan.model_of(market)

    def _loads(self, model: Model, slot_s: int) -> dict[int, float]:
        if not (model.needs_load and isinstance(model, Measures)):
            return {}
        length_s = self.plan.slot_s
        starts = (slot_s - notice * length_s for notice in range(1, NOTICE_SLOTS + 1))
        found = {start_s: self._load_of(model.load, start_s) for start_s in starts}
        return {start_s: kwh for start_s, kwh in found.items() if kwh is not None}

    def waits_for_load(self, now: SlotRound) -> bool:
        """Whether some market's fee waits for the meters' slot to close."""
        return any(self._model_of(place.market.name).needs_load for place in now.undecided())

    @property
    def is_at_stop(self) -> bool:
        """Whether every market is left at the fee it was to be left at."""
        if self.left is None or self.current is None:
            return False
        return self.plan.dry_run or all(
            place.state == "taken" and place.decision and place.decision.fee == self.left.fee
            for place in self.current.places.values()
        )

    def report(self, market: Market) -> MarketReport:
        """How a market is."""
        in_force = self._history.of(market.uuid).in_force
        model = self._model_of(market.name).kind
        return market_report(market, self.current, in_force, model)

    # --- hearing and keeping ----------------------------------------------------------------------

    def hear(self, replies: Replies, now_s: float) -> bool:
        """Whether they were to something that we said of a slot's fees."""
        current, past = self.current, self.past
        if past is not None and past.hear(replies, now_s):
            self._hear_late(past)
            return True
        if current is None:
            return False
        before = {m for m, place in current.places.items() if place.statistics is not None}
        if not current.hear(replies, now_s):
            return False
        told = [
            p for m, p in current.places.items() if p.statistics is not None and m not in before
        ]
        self._observe(current.slot_s - NOTICE_SLOTS * self.plan.slot_s, told)
        self.keep(current)
        return True

    def _hear_late(self, past: SlotRound) -> None:
        """The answer to a fee came when its slot had begun."""
        rows = [row for row in past.rows() if row.state in ("taken", "kept_old", "refused")]
        for row in rows:
            place = past.places[row.market]
            known = self._history.of(row.market).in_force
            if place.state == "taken" and place.decision and known == place.decision.fee:
                place.reason = ""
            elif not place.reason:
                place.reason = f"answered when the slot had begun, which charges {known or '?'}"
        self._fees.write([row for row in past.rows() if row.fee is not None])

    def _observe(self, slot_s: int, told: Sequence[Place]) -> None:
        for place in told:
            assert place.statistics is not None
            each = place.statistics
            self._history.told(place.market.uuid, slot_s, each)
            kept = SlotStatistics(*(getattr(each, name) for name in STATISTICS))
            self._unwritten.append((slot_s, (place.market.uuid, place.market.name, kept)))
        self._write_observed()

    def _write_observed(self) -> None:
        for slot_s in sorted({slot_s for slot_s, _ in self._unwritten}):
            rows = [told for at_s, told in self._unwritten if at_s == slot_s]
            self._fees.observe(slot_s, rows, self.plan.fee_type)
        self._unwritten.clear()

    def keep(self, what: SlotRound) -> None:
        """Write what is not on disk as it is."""
        self._write_observed()
        rows = [
            row
            for row in what.rows()
            if row != self._written.get(row.market) and (row.fee is not None or row.reason)
        ]
        for portion in _portions(rows, 500):
            self._fees.write(portion)
        self._written |= {row.market: row for row in rows}


def _portions(rows: Sequence[GridFee], most: int) -> list[list[GridFee]]:
    each = iter(rows)
    return list(iter(lambda: list(islice(each, most)), []))
