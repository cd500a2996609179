"""What the exchange's engine says of a market's slot, in answer to `dso_market_stats`. Pure.

All of it may be missing: rates and energy are null in a slot without trades, `{}` comes before
there is a past market, and the root market's throughput is always 0, whatever flowed.
"""

import math
from collections.abc import Mapping

from msgspec import Struct

MAX_KWH = 1e9
"""What is beyond is no energy of a slot."""


class Statistics(Struct, frozen=True, kw_only=True):
    """A market's past slot. None is what was not said."""

    import_kwh: float | None = None
    """Into the market from the one above it (`area_throughput`)."""
    export_kwh: float | None = None
    """Out of the market to the one above it."""
    traded_kwh: float | None = None
    """In the market altogether. The fee is charged on it."""
    average_rate: float | None = None
    """Cents per kWh, the fees among them."""
    least_rate: float | None = None
    highest_rate: float | None = None
    revenue_cents: float | None = None
    """What the fee brought in that slot, by the exchange's own word."""

    @property
    def net_import_kwh(self) -> float | None:
        """Import less export. None where one of them is not known."""
        if self.import_kwh is None or self.export_kwh is None:
            return None
        return self.import_kwh - self.export_kwh

    @property
    def peak_kwh(self) -> float | None:
        """The greater one of import and export. None where one of them is not known."""
        if self.import_kwh is None or self.export_kwh is None:
            return None
        return max(self.import_kwh, self.export_kwh)


NOTHING = Statistics()


def parse_statistics(raw: object, *, is_root: bool = False) -> Statistics:
    """The statistics in the `market_stats` of an answer. Whatever is no finite number of the right
    kind is missing; nothing is raised. The throughput of the root market is not believed.
    """
    if not isinstance(raw, Mapping):
        return NOTHING
    through = {} if is_root else raw.get("area_throughput")
    through = through if isinstance(through, Mapping) else {}
    return Statistics(
        import_kwh=_energy(through.get("import")),
        export_kwh=_energy(through.get("export")),
        traded_kwh=_energy(raw.get("total_traded_energy_kWh")),
        average_rate=_number(raw.get("avg_trade_rate")),
        least_rate=_number(raw.get("min_trade_rate")),
        highest_rate=_number(raw.get("max_trade_rate")),
        revenue_cents=_number(raw.get("market_fee_revenue")),
    )


def _number(raw: object) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    # int can be too large for a float.
    return float(raw) if abs(raw) <= MAX_KWH and math.isfinite(raw) else None


def _energy(raw: object) -> float | None:
    value = _number(raw)
    return value if value is not None and value >= 0 else None
