"""The `sml:` section of a profile: what a model's telegrams may hold, and how often it sends
one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from drivers.sml.values import QUANTITIES
from drivers.values import check_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The `sml:` section."""

    period_s: Annotated[
        float, Meta(gt=0, le=300, description="how often the meter sends a telegram, in seconds")
    ]
    values: Annotated[
        list[
            Annotated[str, Meta(extra_json_schema={"enum": sorted(QUANTITIES)})]
        ],  # for editors; `check` says the nearest right word
        Meta(min_length=1, description="the quantities this model's telegrams may hold"),
    ]

    def quantities(self) -> frozenset[str]:
        """The quantities a reading may hold."""
        return frozenset(self.values)

    def check(self) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
        """Values that no telegram holds, or that are listed twice."""
        return check_values(self.values, QUANTITIES, "SML telegram")
