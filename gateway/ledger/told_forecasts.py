"""Which forecasts destinations were told, from the outbox. Shell."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from msgspec.structs import replace

from gateway.ledger.forecaster import Forecaster
from gateway.outbox.foreseen import Said, Wish
from gateway.outbox.format import Terms
from gateway.outbox.quantiles import MEDIAN, Share
from gateway.store.buffer import Buffer


class ToldForecasts:
    """Who is told forecasts, and what was told of a slot."""

    def __init__(self, buffer: Buffer, terms: Sequence[Terms]) -> None:
        """`terms`: of every destination that is owed something."""
        self._buffer = buffer
        self.destinations = [t.destination for t in terms if "forecast" in t.format.kinds]
        self._wishes = {t.destination: t.wishes for t in terms}
        self.chosen: Mapping[UUID, tuple[str, Share]] = {
            asset: (t.destination, wish.share)
            for t in reversed(terms)
            for asset, wish in t.wishes.items()
            if wish.method == "auto" and wish.share != MEDIAN
        }
        """Of assets of which another quantile than the median is sent: to whom, and which."""

    def as_sent(self, forecaster: Forecaster, target_s: int, said: Said) -> Said | None:
        """What stands of a slot of which `said` would be expected now. A better forecast may have
        been sent before a restart, or one from slots as they were then, or none in time: the outbox
        knows, where there is a destination. Where another quantile was sent, it does not know the
        median. Raises StoreError.
        """
        asset = forecaster.asset.uuid
        owed = [
            self._buffer.newest_owed(asset, target_s, name, "forecast")
            for name in self.destinations
        ]
        if self.destinations and not any(owed):
            return None
        by_median = Wish(forecaster.method)
        for name, sent in zip(self.destinations, owed, strict=True):
            if sent is None or self._wishes[name].get(asset) != by_median:
                continue
            if sent.state in ("missed", "rejected"):
                continue
            energy_uwh = sent.item.energy_uwh
            low_uwh, high_uwh = said.low_uwh, said.high_uwh
            return replace(
                said,
                energy_uwh=energy_uwh,
                low_uwh=None if low_uwh is None else min(low_uwh, energy_uwh),
                high_uwh=None if high_uwh is None else max(high_uwh, energy_uwh),
            )
        return said
