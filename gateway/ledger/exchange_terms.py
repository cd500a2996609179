"""What the ledger must know of an exchange to write down what it is owed."""

from functools import partial

from gateway.outbox.format import Format, Terms
from gateway.outbox.item import EXCHANGE
from gateway.outbox.selects import AssetsByFormula
from gateway.site.settings import Exchange, Settings
from gateway.store.buffer import Buffer


def exchange_terms(
    settings: Settings, exchange: Exchange, form: Format, buffer: Buffer, name: str = EXCHANGE
) -> Terms:
    """The terms of the exchange of that name, for every asset of the site."""
    selects = AssetsByFormula(
        {asset.uuid: asset.energy for asset in settings.assets},
        buffer.slots_at,
        partial(buffer.measurement_uwh, destination=name),
        slot_s=int(settings.market.slot),
        forecast=exchange.forecast,
        provisional=form.dated,
    )
    return Terms(name, selects, form, exchange.margin)
