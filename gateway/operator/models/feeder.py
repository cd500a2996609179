"""`feeder`: a fee by the load of the transformer, which this gateway's own meters measure. Pure.

It goes up and down in steps. A step is left downwards only once the load is below it by the
hysteresis, and no step is left before its lowest time is over: a fee that flutters moves nobody.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta, Struct

from drivers.strict_yaml import Mistake, Seconds
from gateway.energy.assets import Formula
from gateway.operator.fee import Fee, FeeType
from gateway.operator.keys import FeeNumber, unfit
from gateway.operator.model import NOTICE_SLOTS, Asked, Given, Proposal, Unable
from gateway.site.settings import Surroundings, unknown_meters

HOUR_S = 3600

DIGITS = 6
"""Of a percentage. What floats are off by must not step over a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """From that load on, that fee."""

    above: Annotated[
        float,
        Meta(ge=0, le=1000, description="load in percent of the rating", examples=[70]),
    ]
    fee: Annotated[FeeNumber, Meta(description="the fee of this step", examples=[6])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A fee by the load of the transformer, measured by this gateway's own meters."""

    load: Annotated[
        Formula,
        Meta(
            description="which directions of which meters flow through the transformer",
            examples=["feeder.import - feeder.export"],
        ),
    ]
    rating_kw: Annotated[
        float,
        Meta(gt=0, le=1e6, description="what the transformer is rated for", examples=[400]),
    ]
    steps: Annotated[
        list[StepSettings],
        Meta(
            min_length=1,
            description="the fees from a load on, in percent of the rating, whichever way it "
            "flows; the first from 0",
            examples=["[{above: 0, fee: 1}, {above: 70, fee: 6}]"],
        ),
    ]
    hysteresis: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="a step is left downwards once the load is so many percent of the rating "
            "below it",
            examples=[5],
        ),
    ] = 5
    hold: Annotated[
        Seconds,
        Meta(description="the lowest time in each step, upwards too", examples=["30min"]),
    ] = field(default_factory=lambda: Seconds(1800))

    def check(self, site: Surroundings, fee_type: FeeType) -> Iterator[Mistake]:
        """Meters that are not there, and steps that lead nowhere."""
        for mistake in unknown_meters(self.load, site.device_names):
            yield mistake._replace(path=("load",))

        if self.steps[0].above != 0:
            message = f"no fee is said for a load below {self.steps[0].above:g} %"
            yield Mistake(("steps", 0, "above"), message, "begin with above: 0")

        for n, step in enumerate(self.steps):
            yield from unfit(step.fee, fee_type, "steps", n, "fee")
            if n and step.above <= self.steps[n - 1].above:
                before = self.steps[n - 1].above
                message = f"{step.above:g} % is not more than the step before it, {before:g} %"
                yield Mistake(("steps", n, "above"), message, "steps go upwards")


class Step(Struct, frozen=True):
    """From that load on, that fee."""

    above_percent: float
    fee: Fee


class Feeder(Struct, frozen=True, kw_only=True):
    """A fee by the load of the transformer."""

    rating_kw: float
    load: Formula
    steps: Sequence[Step]
    """The lowest first, which is from 0 on."""
    hysteresis_percent: float
    hold_s: float
    kind: str = "feeder"
    needs_statistics: bool = False
    needs_load: bool = True

    @property
    def every_fee(self) -> Collection[Fee]:
        """All that it may propose."""
        return {step.fee for step in self.steps}

    def propose(self, asked: Asked) -> Proposal | Unable:
        """The fee of the step that the load has led to."""
        newest_s = self._newest_s(asked)
        if newest_s is None:
            return Unable("the load of the feeder was not measured in the last slot")

        kwh = asked.loads_kwh[newest_s]
        power_kw = abs(kwh) * HOUR_S / asked.slot_length_s
        percent = round(100 * power_kw / self.rating_kw, DIGITS)
        aim = self._aim(percent)
        current, since_s = self._remembered(asked)
        load = f"load {percent:.1f} % of {self.rating_kw:g} kW"

        if current is None:
            step, since_s, why = aim, asked.slot_s, load
        else:
            wanted = self._wanted(current, aim, percent)
            is_held = wanted != current and asked.slot_s - since_s < self.hold_s
            step = current if is_held else wanted
            since_s = since_s if step == current else asked.slot_s
            why = load + self._said(current, aim, is_held=is_held, step=step)

        at = self.steps[step]
        return Proposal(
            fee=at.fee,
            why=f"{why}: step from {at.above_percent:g} %, {at.fee}",
            inputs={"load_kwh": kwh, "load_percent": percent},
            memory={"step": step, "since_s": since_s},
        )

    def _newest_s(self, asked: Asked) -> int | None:
        """The newest slot that was measured. One that is older than the exchange's own statistics
        would be says nothing.
        """
        last_s = asked.slot_s - (NOTICE_SLOTS - 1) * asked.slot_length_s
        return max((s for s in asked.loads_kwh if asked.newest_s <= s <= last_s), default=None)

    def _aim(self, percent: float) -> int:
        """The step that the load alone leads to."""
        return max(
            n for n, step in enumerate(self.steps) if n == 0 or percent >= step.above_percent
        )

    def _wanted(self, current: int, aim: int, percent: float) -> int:
        """Up at once; down as far as the load is below a step by the hysteresis."""
        wanted = current
        while wanted > aim and percent < self.steps[wanted].above_percent - self.hysteresis_percent:
            wanted -= 1
        return max(wanted, aim)

    def _remembered(self, asked: Asked) -> tuple[int | None, int]:
        """The step it is in, and since when. The steps may be others than they were."""
        step, since_s = asked.memory.get("step"), asked.memory.get("since_s", 0)
        if step is None:
            return None, asked.slot_s
        return min(max(step, 0), len(self.steps) - 1), min(since_s, asked.slot_s)

    def _said(self, current: int, aim: int, *, is_held: bool, step: int) -> str:
        if is_held:
            return f", held for {self.hold_s / 60:g} min"
        if step == current and aim < current:
            return f", not {self.hysteresis_percent:g} % below the step yet"
        return ""


def build(settings: Settings, given: Given) -> Feeder:
    """The model of those keys."""
    return Feeder(
        rating_kw=settings.rating_kw,
        load=settings.load,
        steps=[Step(each.above, each.fee.of_type(given.fee_type)) for each in settings.steps],
        hysteresis_percent=settings.hysteresis,
        hold_s=settings.hold,
    )
