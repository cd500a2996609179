"""What is owed to the exchange, as it travels. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple
from uuid import UUID

from gateway.outbox.exchange.batch import Dialect
from gateway.outbox.format import Margins
from gateway.outbox.item import EXCHANGE, Item, Kind

KIND_OF: dict[str, Kind] = {"m": "measurement", "f": "forecast"}
"""Words for what the database has in one letter."""

FIRST_ASSETS = 100
"""How many assets ride in the first request: whether the exchange limits bodies is not known."""
MOST_ASSETS = 2_000
GROWTH = 8
"""Where a request was taken, so many times as many may ride in the next one."""


class Number(NamedTuple):
    """One number that is owed. Of each there is one, its newest revision."""

    asset: int
    """Its number in the database."""
    uuid: UUID
    slot_s: int
    kind: str
    """m or f."""
    revision: int
    energy_uwh: int
    is_tried: bool = False
    """Whether it was refused before."""

    @property
    def item(self) -> Item:
        """As a dialect takes it: negative sums go as 0, as a box sends them."""
        return Item(
            EXCHANGE,
            self.uuid,
            self.slot_s,
            KIND_OF[self.kind],
            self.revision,
            max(self.energy_uwh, 0),
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """Numbers of assets of which nobody else sends any meanwhile."""

    id: UUID
    numbers: Sequence[Number] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Windows:
    """Which slots may be sent at a time, Unix seconds: measurements of slots up to one, forecasts
    of slots after another, and either of slots not before a third.
    """

    measured_until_s: float
    forecast_after_s: float
    since_s: float | None

    @classmethod
    def at(
        cls, now_s: float, dialect: Dialect, slot_s: int, kept: Margins, since_s: float | None
    ) -> "Windows":
        """As the dialect has it; `since_s`: none of earlier slots."""
        some_s = int(now_s // slot_s) * slot_s
        opens_s = dialect.window("measurement", some_s, kept).opens_s
        closes_s = dialect.window("forecast", some_s, kept).closes_s
        lead_s = -inf if closes_s is None else some_s - closes_s
        return cls(now_s - (opens_s - some_s), now_s + lead_s, since_s)


def parts_of(numbers: Sequence[Number]) -> tuple[Sequence[Number], Sequence[Number]]:
    """Two halves of what was refused together, each with whole assets where there is more than
    one.
    """
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    if ordered[0].asset != ordered[-1].asset:
        at = ordered[middle].asset
        first = next(n for n, each in enumerate(ordered) if each.asset == at)
        after = next((n for n, each in enumerate(ordered) if each.asset > at), len(ordered))
        middle = min(
            (n for n in (first, after) if 0 < n < len(ordered)), key=lambda n: abs(n - middle)
        )
    return ordered[:middle], ordered[middle:]


@dataclass(slots=True)
class Size:
    """How many assets ride in the next request."""

    assets: int = FIRST_ASSETS

    def taken(self) -> None:
        """It may be more."""
        self.assets = min(self.assets * GROWTH, MOST_ASSETS)

    def failed(self) -> None:
        """What is too much for the exchange does not come back unchanged, and what comes back costs
        little.
        """
        self.assets = 1
