"""What an installer says of the forecasts that an exchange is sent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from drivers.strict_yaml import Mistake
from gateway.energy.forecast_words import SUMS_WORDS
from gateway.outbox.quantiles import LEAST, MEDIAN, MOST, Prices, Share

SUMS = SUMS_WORDS


class ForecastBias(str):
    """`median`, `sums within 5 %`, or a quantile."""

    json_schema: ClassVar[Mapping[str, Any]] = {
        "description": "median, sums within 5 %, or a quantile",
        "anyOf": [
            {"enum": ["median", SUMS]},
            {"type": "number", "minimum": LEAST, "maximum": MOST},
        ],
    }
    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> "ForecastBias":
        """Raises ValueError where it is none of them."""
        words = " ".join(raw.split()).replace("5%", "5 %") if isinstance(raw, str) else ""
        if words in ("median", SUMS):
            return cls(words)
        if isinstance(raw, (int, float)) and not isinstance(raw, bool) and LEAST <= raw <= MOST:
            return cls(f"{raw:g}")
        raise ValueError(
            f"expected median, {SUMS!r} or a quantile, found {raw!r} — a quantile is the share of "
            f"slots that are to be below what is forecast, from {LEAST} to {MOST}"
        )

    @property
    def share(self) -> Share:
        """The quantile to send."""
        if self == SUMS:
            return "sums"
        return MEDIAN if self == "median" else float(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastPrices:
    """Of a kWh, all in the same money."""

    feed_in: Annotated[
        float, Meta(description="what is paid for energy that nobody bought", examples=[8.0])
    ]
    market_maker: Annotated[
        float, Meta(description="what energy costs that was not bought before", examples=[30.0])
    ]
    expected: Annotated[
        float | None,
        Meta(
            description="what it is expected to be traded at (default: in the middle)",
            examples=[17.0],
        ),
    ] = None

    @property
    def prices(self) -> Prices:
        """Them all."""
        middle = (self.feed_in + self.market_maker) / 2
        expected = middle if self.expected is None else self.expected
        return Prices(self.feed_in, self.market_maker, expected)

    def check(self) -> Iterator[Mistake]:
        """What does not fit together."""
        if self.market_maker <= self.feed_in:
            message = f"{self.market_maker:g} is not more than feed_in, {self.feed_in:g}"
            hint = "energy costs more than is paid for it; compare the two with the exchange's"
            yield Mistake(("market_maker",), message, hint)
        elif not self.feed_in <= self.prices.expected <= self.market_maker:
            message = f"{self.prices.expected:g} is not between feed_in and market_maker"
            hint = f"from {self.feed_in:g} to {self.market_maker:g}: trades are made between them"
            yield Mistake(("expected",), message, hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestSettings:
    """What the dialect `rest` carries, which has one number per slot and asset."""

    sends: Annotated[
        Literal["measured", "forecast"],
        Meta(
            description="measured: the energy of the slot that closed last; forecast: what is "
            "expected of the slot that the exchange books the number to",
            examples=["measured"],
        ),
    ] = "measured"


def check_forecasts(
    dialect: str, rest: RestSettings, bias: ForecastBias, prices: ForecastPrices | None
) -> Iterator[Mistake]:
    """What does not fit together."""
    if rest.sends == "forecast" and dialect != "rest":
        message = f"the dialect {dialect} has an address for each, and sends both"
        yield Mistake(("rest", "sends"), message, "leave it out, or write dialect: rest")

    if prices is None:
        return
    for mistake in prices.check():
        yield mistake._replace(path=("forecast_prices", *mistake.path))
    if bias != "median":
        message = "is there beside forecast_prices, which say the quantile"
        yield Mistake(("forecast_bias",), message, "leave one of them out")
