"""`grid_operator:` of gateway.yaml: what the grid operator says, and what is made of it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from drivers.strict_yaml import Mistake, Seconds, nearest
from drivers.yaml_words import found_text, shortened
from gateway.delivery.exchange.url import HOSTED_URL, CanaryNetwork, ExchangeUrl, HttpUrl
from gateway.operator.decision import Bounds
from gateway.operator.fee import FeeType
from gateway.operator.keys import FeeNumber, unfit
from gateway.operator.model import Model

NAME_LENGTH = 128
"""Of a market's name, at most."""

MAX_MARKETS = 500


class MarketNames(tuple[str, ...]):
    """The names of markets; none of them: all that the registry gives the account."""

    json_schema: ClassVar[Mapping[str, Any]] = {
        "title": "`all`, or a list of names",
        "anyOf": [
            {"const": "all"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
        ],
    }
    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> "MarketNames":
        """Raises ValueError where it is neither `all` nor a list of different names."""
        if raw == "all":
            return cls()
        if not isinstance(raw, list):
            raise ValueError(
                f"expected all, or a list of names, found {found_text(raw)} — such as "
                "[Community, House 1]"
            )
        if not raw:
            raise ValueError("is an empty list — write all, or the names of markets")
        for n, name in enumerate(raw):
            if not isinstance(name, str) or not name.strip():
                raise ValueError(
                    f"expected a market's name, found {found_text(name)} — in quotes, "
                    "if it looks like a number"
                )
            if name in raw[:n]:
                raise ValueError(f"{shortened(name)} is there twice — keep one of them")
        return cls(raw)

    def as_written(self) -> str:
        """Such as `all`."""
        return f"[{', '.join(self)}]" if self else "all"


class ModelData(dict[str, object]):
    """A tariff model before it has read its keys: a mapping with a `kind`."""

    json_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "title": "a tariff model",
        "description": "its kind, and the keys of that kind",
        "properties": {"kind": {"type": "string", "description": "which tariff model it is"}},
        "required": ["kind"],
    }

    @classmethod
    def parse(cls, raw: object) -> "ModelData":
        """Raises ValueError where `raw` does not say which model it is."""
        if not isinstance(raw, dict):
            hint = "such as {kind: fixed, fee: 3}"
            raise ValueError(f"expected key: value pairs, found {found_text(raw)} — {hint}")
        if not isinstance(raw.get("kind"), str):
            raise ValueError("key 'kind' is missing — it says which tariff model this is")
        return cls(raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The grid fees of an exchange's markets."""

    url: ExchangeUrl = field(default_factory=lambda: HttpUrl(HOSTED_URL))
    canary_network: CanaryNetwork
    credentials: Annotated[
        str,
        Meta(
            description="file with username and password of the grid operator's account, mode "
            "0600, or a systemd credential of that name",
            examples=["grid-operator.credentials"],
        ),
    ]
    aggregator: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="name of the aggregator that sets the fees; it is found by its name, or "
            "made",
            examples=["dso"],
        ),
    ]
    fee_type: Annotated[
        FeeType,
        Meta(
            description="of the network, as its settings in the exchange say: constant (cents per "
            "kWh) or percent (of the price)",
            examples=["constant"],
        ),
    ]
    markets: Annotated[
        MarketNames,
        Meta(
            description="the markets whose fees are set, by their names in the registry; all: "
            "every one that it gives the account",
            examples=["[Community, House 1]"],
        ),
    ] = field(default_factory=MarketNames)
    model: Annotated[
        ModelData,
        Meta(
            description="the tariff model of every market that has none of its own in models",
            examples=["{kind: time_of_use, file: tou.csv}"],
        ),
    ]
    models: Annotated[
        dict[str, ModelData],
        Meta(
            description="tariff models of single markets, by the market's name",
            examples=["{House 1: {kind: fixed, fee: 3.25}}"],
        ),
    ] = field(default_factory=dict)
    lowest: Annotated[
        FeeNumber, Meta(description="no fee is lower, whatever a model says", examples=[0])
    ] = field(default_factory=lambda: FeeNumber(0))
    highest: Annotated[
        FeeNumber, Meta(description="no fee is higher, whatever a model says", examples=[12])
    ]
    step: Annotated[
        FeeNumber | None,
        Meta(
            description="the largest change of a fee from one slot to the next (default: any)",
            examples=[2],
        ),
    ] = None
    fallback: Annotated[
        FeeNumber,
        Meta(
            description="the fee where a model has lacked what it needs (statistics, or the load) "
            "for too long",
            examples=[4],
        ),
    ]
    fallback_after: Annotated[
        int,
        Meta(
            ge=1,
            le=96,
            description="the slot without statistics, counted in a row, from which the fallback "
            "is set; in those before it the last fee stays",
            examples=[4],
        ),
    ] = 4
    take_over: Annotated[
        bool,
        Meta(
            description="true: also take over markets that another aggregator holds",
            examples=[False],
        ),
    ] = False
    dry_run: Annotated[
        bool,
        Meta(
            description="true: decide, store and show every fee, and send none",
            examples=[True],
        ),
    ] = False
    timeout: Annotated[
        Seconds, Meta(description="how long the exchange may take to answer", examples=["10s"])
    ] = field(default_factory=lambda: Seconds(10))

    def check(self) -> Iterator[Mistake]:
        """What does not fit together among these keys."""
        yield from self._check_fees()

        for name in self.models:
            if self.markets and name not in self.markets:
                message = f"{name!r} is not among the markets"
                yield Mistake(("models", name), message, nearest(name, self.markets))
        if len(self.markets) > MAX_MARKETS:
            message = f"there are {len(self.markets)} markets"
            yield Mistake(("markets",), message, f"at most {MAX_MARKETS}")

    def _check_fees(self) -> Iterator[Mistake]:
        fees = {
            "lowest": self.lowest,
            "highest": self.highest,
            "step": self.step,
            "fallback": self.fallback,
        }
        unfits = [
            mistake for key, fee in fees.items() for mistake in unfit(fee, self.fee_type, key)
        ]
        if unfits:
            yield from unfits
            return

        if self.lowest > self.highest:
            message = f"{self.lowest:g} is more than the highest fee, {self.highest:g}"
            yield Mistake(("lowest",), message, "exchange the two")
        elif not self.lowest <= self.fallback <= self.highest:
            message = f"{self.fallback:g} is not between {self.lowest:g} and {self.highest:g}"
            yield Mistake(("fallback",), message, "a fee from lowest to highest")
        if self.step is not None and self.step.of_type(self.fee_type).micros == 0:
            yield Mistake(("step",), "no fee could ever change", "leave it out, or write more")

    def bounds(self) -> Bounds:
        """What the operator allows. Raises ValueError where `check` finds mistakes."""
        type_ = self.fee_type
        return Bounds(
            lowest=self.lowest.of_type(type_),
            highest=self.highest.of_type(type_),
            step=None if self.step is None else self.step.of_type(type_),
            fallback=self.fallback.of_type(type_),
            fallback_after=self.fallback_after,
        )


class GridOperator(Struct, frozen=True, kw_only=True):
    """All that `grid_operator:` says, with its tariff files read."""

    settings: Settings
    bounds: Bounds
    default: Model
    models: Mapping[str, Model]
    """Of single markets, by their names."""

    @property
    def credentials(self) -> str:
        """The file of the account's login."""
        return self.settings.credentials

    @property
    def markets(self) -> Sequence[str] | None:
        """The names of the markets. None: all that the registry gives the account."""
        return self.settings.markets or None

    def model_of(self, market: str) -> Model:
        """The tariff model of that market."""
        return self.models.get(market, self.default)
