"""What follows from meters' slots for assets and destinations. Asks the buffer what is known of a
slot's other meters and what is owed for it already; writes nothing.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from gateway.energy.slot import AssetSlot, Slot
from gateway.ledger.deliverables import asset_slots_for, deliverables_for
from gateway.ledger.forecasting import Forecasting
from gateway.outbox.foreseen import Foreseen, Said
from gateway.outbox.format import Closed, Terms
from gateway.outbox.item import Kind, Subject
from gateway.outbox.owed import Owed
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer


class Settling:
    """The assets of one site, and the terms of all its destinations."""

    def __init__(
        self,
        settings: Settings,
        buffer: Buffer,
        terms: Sequence[Terms],
        forecasting: Forecasting | None = None,
    ) -> None:
        """`forecasting`: None where nothing is to be forecast."""
        self._buffer = buffer
        self._forecasting = forecasting
        self._terms = terms
        self._slot_s = int(settings.market.slot)  # JSON knows plain numbers only
        self._formulas = {asset.uuid: asset.energy for asset in settings.assets}

    def follows(
        self, slots: Sequence[Slot], now_s: Callable[[], float]
    ) -> tuple[tuple[AssetSlot, ...], tuple[Owed, ...]]:
        """The assets' slots, and what is owed, once these slots are written. Raises StoreError."""
        if not slots:
            return (), ()

        asset_slots = tuple(
            asset_slots_for(
                slots,
                self._formulas,
                self._slot_s,
                self._buffer.slots_at,
                self._buffer.asset_slot,
                self._foretold,
            )
        )
        foreseen = tuple(self._forecasting.closed(asset_slots)) if self._forecasting else ()
        return asset_slots, self._owed(Closed(slots, asset_slots, foreseen), now_s())

    def foreseen(
        self, foreseen: Sequence[Foreseen], now_s: Callable[[], float]
    ) -> tuple[Owed, ...]:
        """What is owed for what is expected of slots to come. Raises StoreError."""
        return self._owed(Closed((), (), foreseen), now_s())

    def _owed(self, closed: Closed, now_s: float) -> tuple[Owed, ...]:
        owed = deliverables_for(self._terms, closed, self._newest_owed, self._slot_s, now_s)
        return tuple(owed)

    def _newest_owed(
        self, destination: str, subject: Subject, slot_s: int, kind: Kind
    ) -> Owed | None:
        return self._buffer.newest_owed(subject, slot_s, destination, kind)

    def _foretold(self, asset: UUID, start_s: int) -> Said | None:
        return self._forecasting.foretold(asset, start_s) if self._forecasting else None
