"""Which quantile of what is expected costs least, where being short costs something else than being
long. Pure.

The exchange settles a load's deviation at the market maker's price where it took more than it
bought, and at the feed-in price where it took less. Bought at `expected`, a kWh too few costs
market maker - expected, and one too many expected - feed-in. The sum is least at the quantile
(market maker - expected) / (market maker - feed-in); for PV, which sells, at the rest to 1.
"""

from typing import Literal

import msgspec

Share = float | Literal["sums"]
"""A quantile: the share of slots that are to be below what is forecast. sums: the one at which
sums hold, as far as that is known.
"""

MEDIAN: Share = 0.5
"""What errs least in the mean."""

LEAST, MOST = 0.05, 0.95
"""Quantiles beyond are not known well enough."""


class Prices(msgspec.Struct, frozen=True):
    """Of a kWh, in whatever money: only their proportions count."""

    feed_in: float
    market_maker: float
    """More than `feed_in`."""
    expected: float
    """From the one to the other."""

    def share(self, kind: str) -> float:
        """The quantile for an asset that is a load or PV in the market."""
        short = (self.market_maker - self.expected) / (self.market_maker - self.feed_in)
        return min(max(1.0 - short if kind == "pv" else short, LEAST), MOST)
