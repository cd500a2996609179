"""The `sunspec:` section of a profile: which part of the device is meant, and what its signs mean.
Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from drivers.sunspec.models import MODELS

PartName = Literal["auto", "inverter", "meter"]
PowerSign = Literal["auto", "import", "export"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The `sunspec:` section."""

    part: Annotated[
        PartName,
        Meta(
            description="what is read where a device has both; auto: the inverter, or else the "
            "meter"
        ),
    ] = "auto"
    meter_power: Annotated[
        PowerSign,
        Meta(
            description="what a meter's positive power is; auto: export behind a SolarEdge, "
            "import everywhere else"
        ),
    ] = "auto"
    turnaround_ms: Annotated[
        float, Meta(ge=0, le=5000, description="silence the device needs before the next request")
    ] = 0.0
    timeout_s: Annotated[
        float, Meta(gt=0, le=30, description="how long the device may take to answer")
    ] = 2.0

    @property
    def part_of(self) -> str:
        """An inverter and a meter in one chain of models are parts of one device."""
        return "sunspec"

    def quantities(self) -> frozenset[str]:
        """What the models of that part may hold."""
        return frozenset(
            p.quantity
            for model in MODELS.values()
            if self.part in ("auto", model.part)
            for p in model.points
        )

    def check(self) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
        """Nothing: the device tells the rest itself."""
        return ()
