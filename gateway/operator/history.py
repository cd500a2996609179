"""What is known of each market, slot after slot: what models are asked with. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.operator.decision import Decision
from gateway.operator.fee import Fee, FeeError, FeeType
from gateway.operator.model import Asked, Memory
from gateway.operator.slot_round import SlotRound
from gateway.operator.statistics import Statistics
from gateway.store.grid_fee_rows import FeeState, GridFee

KEPT_SLOTS = 16
"""So many slots back a model may look."""


class Known(Struct):
    """Of one market."""

    statistics: dict[int, Statistics] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)
    slots_without: int = 0
    in_force: Fee | None = None
    """What it was last known to charge."""


class History:
    """Of all markets of a network. `slot_s` is the length of a slot."""

    def __init__(self, slot_s: int, fee_type: FeeType) -> None:
        self._slot_s = slot_s
        self._fee_type = fee_type
        self._known: dict[UUID, Known] = {}

    def read(self, fees: Iterable[GridFee]) -> None:
        """Know again what was known before a restart: rows in the order of their slots."""
        for each in fees:
            known = self.of(each.market)
            known.statistics[each.slot_s] = Statistics(
                import_kwh=each.import_kwh,
                export_kwh=each.export_kwh,
                traded_kwh=each.traded_kwh,
                revenue_cents=each.revenue_cents,
                average_rate=each.average_rate,
            )
            if each.fee is not None:
                known.memory, known.slots_without = each.memory, each.slots_without
            charged = each.in_force if each.in_force is not None else each.fee
            if charged is not None and (each.in_force is not None or each.state == "taken"):
                known.in_force = fee_in_row(self._fee_type, charged)

    def of(self, market: UUID) -> Known:
        """What is known of it."""
        return self._known.setdefault(market, Known())

    def charges(self, fees: Mapping[UUID, Fee | None]) -> None:
        """An event has said what markets charge in the slot that begins. None: no fee that could be
        set here.
        """
        for market, fee in fees.items():
            self.of(market).in_force = fee

    def told(self, market: UUID, slot_s: int, statistics: Statistics) -> None:
        """The statistics of a slot."""
        known = self.of(market)
        known.statistics[slot_s] = statistics
        oldest_s = slot_s - KEPT_SLOTS * self._slot_s
        for at_s in [at_s for at_s in known.statistics if at_s < oldest_s]:
            del known.statistics[at_s]

    def decided(self, market: UUID, decision: Decision) -> None:
        """What the next decision goes on from."""
        known = self.of(market)
        known.memory, known.slots_without = decision.memory, decision.slots_without

    def ended(self, past: SlotRound) -> None:
        """A slot begins: what was taken for it is in force, unless the event says otherwise."""
        for market, place in past.places.items():
            if place.state == "taken" and place.decision is not None:
                self.of(market).in_force = place.decision.fee

    def asked(self, market: UUID, name: str, slot_s: int, loads_kwh: Mapping[int, float]) -> Asked:
        """All that a fee for that slot is decided from."""
        known = self.of(market)
        return Asked(
            market=name,
            slot_s=slot_s,
            slot_length_s=self._slot_s,
            statistics=known.statistics,
            loads_kwh=loads_kwh,
            in_force=known.in_force,
            memory=known.memory,
            slots_without=known.slots_without,
        )


def fee_in_row(fee_type: FeeType, micros: int) -> Fee | None:
    """A fee as it is kept; None where that cannot be one."""
    try:
        return Fee(fee_type, micros)
    except FeeError:
        return None


def decision_of(row: GridFee) -> Decision | None:
    """The decision that a row holds, if it holds one."""
    fee = None if row.fee is None else fee_in_row(row.fee_type, row.fee)
    if fee is None:
        return None
    return Decision(
        market=row.name,
        slot_s=row.slot_s,
        model=row.model,
        fee=fee,
        wanted=None if row.wanted is None else fee_in_row(row.fee_type, row.wanted),
        is_fallback=row.wanted is None,
        why=row.why,
        inputs=row.inputs,
        memory=row.memory,
        slots_without=row.slots_without,
    )


def ended(row: GridFee) -> GridFee:
    """A row that a restart has cut short."""
    state: FeeState = "silent" if row.sent else "too_late"
    return replace(row, state=state, reason="this gateway was stopped before the answer came")


def missed_rows(
    markets: Sequence[tuple[UUID, str]],
    slots: Iterable[int],
    fee_type: FeeType,
    why: str,
) -> list[GridFee]:
    """Slots that went by without a decision."""
    return [
        GridFee(
            slot_s=slot_s,
            market=uuid,
            name=name,
            state="missed",
            fee_type=fee_type,
            reason=why,
        )
        for slot_s in slots
        for uuid, name in markets
    ]
