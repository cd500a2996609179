"""What follows from meters' slots for assets and destinations. Asks the buffer what is known of a
slot's other meters and what is owed for it already; writes nothing.
"""

from collections.abc import Callable, Sequence

from gateway.energy.slot import AssetSlot, Slot
from gateway.ledger.deliverables import asset_slots_for, deliverables_for
from gateway.outbox.format import Closed, Terms
from gateway.outbox.item import Subject
from gateway.outbox.owed import Owed
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer


class Settling:
    """The assets of one site, and the terms of all its destinations."""

    def __init__(self, settings: Settings, buffer: Buffer, terms: Sequence[Terms]) -> None:
        self._buffer = buffer
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
            )
        )
        closed = Closed(slots, asset_slots)
        owed = deliverables_for(self._terms, closed, self._newest_owed, self._slot_s, now_s())
        return asset_slots, tuple(owed)

    def _newest_owed(self, destination: str, subject: Subject, slot_s: int) -> Owed | None:
        return self._buffer.newest_owed(subject, slot_s, destination)
