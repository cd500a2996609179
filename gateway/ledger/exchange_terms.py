"""What the ledger must know of an exchange to write down what it is owed."""

from gateway.energy.forecast import Method
from gateway.outbox.foreseen import Wish
from gateway.outbox.format import Format, Margins, Terms
from gateway.outbox.item import EXCHANGE
from gateway.outbox.quantiles import MEDIAN, Prices, Share
from gateway.outbox.selects import AssetsByFormula
from gateway.site.settings import Asset, Settings
from gateway.store.buffer import Buffer


def exchange_terms(
    settings: Settings,
    form: Format,
    buffer: Buffer,
    *,
    forecast: Method,
    kept: Margins,
    name: str = EXCHANGE,
    bias: Share | Prices = MEDIAN,
) -> Terms:
    """The terms of the exchange of that name, for every asset of the site. `kept` is the time kept
    from the edges of slots; `bias` which quantile of what is expected costs least there.
    """
    wishes = {asset.uuid: wish_of(asset, forecast, bias) for asset in settings.assets}
    selects = AssetsByFormula(
        {asset.uuid: asset.energy for asset in settings.assets},
        buffer.slots_at,
        slot_s=int(settings.market.slot),
        provisional=form.dated,
        wishes=wishes,
    )
    takes = "forecast" in form.kinds
    return Terms(name, selects, form, kept, forecast if takes else None, wishes if takes else {})


def wish_of(asset: Asset, forecast: Method, bias: Share | Prices) -> Wish:
    """How an exchange is told what is expected of an asset. `forecast`: of those that do not
    say.
    """
    share = bias.share(asset.market_kind) if isinstance(bias, Prices) else bias
    return Wish(asset.forecast or forecast, share)
