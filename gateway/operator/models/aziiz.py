"""`aziiz`: the more flows through a market, the higher its fee; as the exchange's template. Pure.

The first threshold that is not below the value has the fee. The template's moving average has a
fault (all slots of its history are the last one); here it is the mean of the slots themselves.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from drivers.strict_yaml import Mistake
from gateway.operator.fee import Fee, FeeType
from gateway.operator.keys import FeeNumber, not_in_file, unfit
from gateway.operator.model import Asked, Given, ModelError, Proposal, Unable
from gateway.site.settings import Surroundings

if TYPE_CHECKING:
    from gateway.operator.tariffs.thresholds import Threshold

AVERAGED_SLOTS = 4
"""As the template has it: an hour."""

DIGITS = 9
"""Of a kWh. Sums of floats are off by less, and must not step over a threshold."""

Measure = Literal["moving_average", "peak"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A fee by how much flows through the market, from a file of thresholds."""

    file: Annotated[
        str,
        Meta(
            min_length=1,
            description="JSON, or XLSX with a sheet for each market (Threshold, Grid fee); beside "
            "gateway.yaml unless a folder is named",
            examples=["aziiz.json"],
        ),
    ]
    measure: Annotated[
        Measure,
        Meta(
            description="moving_average: the mean of import less export of the last 4 slots, "
            "whichever way it flows; peak: the greater of import and export of the last slot",
            examples=["peak"],
        ),
    ] = "moving_average"
    above: Annotated[
        FeeNumber | None,
        Meta(
            description="the fee above the last threshold; the exchange's template has 2000 "
            "(default: that of the last threshold)",
            examples=[12],
        ),
    ] = None

    def check(self, site: Surroundings, fee_type: FeeType) -> Iterator[Mistake]:  # noqa: ARG002 — of no meter
        """A fee that the network does not take."""
        yield from unfit(self.above, fee_type, "above")


class Flow(Struct, frozen=True):
    """What flowed through a market, in kWh of a slot, and how that is known."""

    kwh: float
    what: str
    inputs: Mapping[str, float]


class Aziiz(Struct, frozen=True, kw_only=True):
    """A fee by thresholds of what flows."""

    file: str
    thresholds: Mapping[str, Sequence["Threshold"]]
    """Of each market, the lowest first."""
    measure: Measure
    above: Fee | None
    kind: str = "aziiz"
    needs_statistics: bool = True
    needs_load: bool = False

    @property
    def markets(self) -> Collection[str]:
        """The markets that the file has."""
        return self.thresholds.keys()

    @property
    def every_fee(self) -> Collection[Fee]:
        """All that it may propose."""
        above = set() if self.above is None else {self.above}
        return {step.fee for steps in self.thresholds.values() for step in steps} | above

    def propose(self, asked: Asked) -> Proposal | Unable:
        """The fee of the first threshold that is not below what flowed."""
        steps = self.thresholds.get(asked.market)
        if not steps:
            return Unable(f"{self.file} has no thresholds for {asked.market}")
        flow = moving_average(asked) if self.measure == "moving_average" else peak(asked)
        if flow is None:
            return Unable("there are no statistics of what flowed in the last slot")

        for step in steps:
            if flow.kwh <= step.kwh:
                why = f"{flow.what} {flow.kwh:g} kWh, up to {step.kwh:g} kWh"
                return Proposal(fee=step.fee, why=f"{why}: {step.fee}", inputs=flow.inputs)

        fee = steps[-1].fee if self.above is None else self.above
        why = f"{flow.what} {flow.kwh:g} kWh, above {steps[-1].kwh:g} kWh"
        return Proposal(fee=fee, why=f"{why}: {fee}", inputs=flow.inputs)


def moving_average(asked: Asked) -> Flow | None:
    """Import less export, of those of the last slots that are known. None where the newest is
    not.
    """
    known: list[float] = []
    for back in range(AVERAGED_SLOTS):
        slot = asked.statistics.get(asked.newest_s - back * asked.slot_length_s)
        net = slot.net_import_kwh if slot is not None else None
        if net is not None:
            known.append(net)
        elif back == 0:
            return None

    mean = round(sum(known) / len(known), DIGITS)
    what = f"mean of {len(known)} slots" if len(known) > 1 else "one slot"
    return Flow(abs(mean), what, {"mean_net_import_kwh": mean, "averaged_slots": len(known)})


def peak(asked: Asked) -> Flow | None:
    """The greater of import and export in the newest slot. None where it is not known."""
    newest = asked.statistics.get(asked.newest_s)
    if newest is None or newest.import_kwh is None or newest.export_kwh is None:
        return None
    is_export = newest.export_kwh > newest.import_kwh
    inputs = {"import_kwh": newest.import_kwh, "export_kwh": newest.export_kwh}
    kwh = round(max(inputs.values()), DIGITS)
    return Flow(kwh, "export" if is_export else "import", inputs)


def build(settings: Settings, given: Given) -> Aziiz:
    """The model of those keys. Raises TariffError and ModelError."""
    tariff = given.tariffs.thresholds(settings.file)
    name = PurePath(settings.file).name
    mistakes = list(not_in_file(name, given.markets, tariff.thresholds, "thresholds"))
    if mistakes:
        raise ModelError(mistakes)
    above = None if settings.above is None else settings.above.of_type(given.fee_type)
    return Aziiz(file=name, thresholds=tariff.thresholds, measure=settings.measure, above=above)
