"""The `iec62056:` section of a profile: how a meter is read, and what its data block may hold."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from drivers.iec62056.values import QUANTITIES, EnergyUnit
from drivers.values import check_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The `iec62056:` section."""

    mode: Annotated[
        Literal["c", "d"],
        Meta(
            description="d: the meter pushes by itself; c: it is read out on request (meters of "
            "mode A and B are recognised)"
        ),
    ]
    period_s: Annotated[
        float, Meta(gt=0, le=300, description="mode d: how often the meter pushes, in seconds")
    ] = 2.0
    energy_unit: Annotated[
        EnergyUnit | None, Meta(description="the unit of energy registers that come without one")
    ] = None
    values: Annotated[
        list[
            Annotated[str, Meta(extra_json_schema={"enum": sorted(QUANTITIES)})]
        ],  # for editors; `check` says the nearest right word
        Meta(min_length=1, description="the quantities this model may tell"),
    ]

    def quantities(self) -> frozenset[str]:
        """The quantities a reading may hold."""
        return frozenset(self.values)

    @property
    def takes_number(self) -> bool:
        """A sign-on may carry the meter's number (6.3.1)."""
        return self.mode == "c"

    def check(self) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
        """Values that no data block holds, or that are listed twice."""
        return check_values(self.values, QUANTITIES, "IEC 62056-21 data block")
