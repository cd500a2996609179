"""What the ledger must know of an exchange to write down what it is owed."""

from functools import partial

from gateway.energy.forecast.naive import Naive
from gateway.outbox.format import Format, Margins, Terms
from gateway.outbox.item import EXCHANGE
from gateway.outbox.selects import AssetsByFormula
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer


def exchange_terms(
    settings: Settings,
    form: Format,
    buffer: Buffer,
    *,
    forecast: Naive,
    kept: Margins,
    name: str = EXCHANGE,
) -> Terms:
    """The terms of the exchange of that name, for every asset of the site. `kept` is the time kept
    from the edges of slots.
    """
    selects = AssetsByFormula(
        {asset.uuid: asset.energy for asset in settings.assets},
        buffer.slots_at,
        partial(buffer.measurement_uwh, destination=name),
        slot_s=int(settings.market.slot),
        forecast=forecast,
        provisional=form.dated,
    )
    return Terms(name, selects, form, kept)
