"""What the ledger must know of the exchange to write down what it is owed."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.outbox.dialect import Dialect
from gateway.outbox.format import Batch, Terms, Window
from gateway.outbox.item import EXCHANGE, Item, Kind
from gateway.outbox.selects import AssetsByFormula
from gateway.site.settings import Exchange, Settings
from gateway.store.buffer import Buffer


def exchange_terms(
    settings: Settings, exchange: Exchange, dialect: Dialect, buffer: Buffer
) -> Terms:
    """The terms of the exchange that the settings name, for every asset of the site."""
    dated = (
        # What can be sent at any time names its slot.
        "measurement" in dialect.kinds and dialect.window("measurement", 0, 0.0).closes_s is None
    )
    selects = AssetsByFormula(
        {asset.uuid: asset.energy for asset in settings.assets},
        buffer.slots_at,
        buffer.measurement_uwh,
        slot_s=int(settings.market.slot),
        forecast=exchange.forecast,
        provisional=dated,
    )
    return Terms(EXCHANGE, selects, _Spoken(dialect, dialect.kinds, dated), exchange.margin)


@dataclass(slots=True)
class _Spoken:
    """A dialect as a format."""

    dialect: Dialect
    kinds: frozenset[Kind]
    dated: bool

    def window(self, kind: Kind, slot_s: int, margin_s: float) -> Window:
        return self.dialect.window(kind, slot_s, margin_s)

    def encode(self, items: Sequence[Item], transaction_id: str) -> list[Batch]:
        requests = self.dialect.encode(items, transaction_id)
        return [Batch(request.items, request.path, request.body) for request in requests]
