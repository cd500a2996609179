"""`weekend`: one fee on weekdays, another on Saturdays and Sundays. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Annotated

from msgspec import Meta, Struct

from drivers.strict_yaml import Mistake
from gateway.operator.fee import Fee, FeeType
from gateway.operator.keys import FeeNumber, unfit
from gateway.operator.model import Asked, Given, Proposal
from gateway.site.settings import Surroundings

SATURDAY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One fee on weekdays, another on Saturdays and Sundays."""

    weekday: Annotated[FeeNumber, Meta(description="from Monday to Friday", examples=[3.25])]
    weekend: Annotated[FeeNumber, Meta(description="on Saturday and Sunday", examples=[1])]

    def check(self, site: Surroundings, fee_type: FeeType) -> Iterator[Mistake]:  # noqa: ARG002 — of no meter
        """Fees that the network does not take."""
        yield from unfit(self.weekday, fee_type, "weekday")
        yield from unfit(self.weekend, fee_type, "weekend")


class Weekend(Struct, frozen=True, kw_only=True):
    """By the day of the week, on the site's clocks."""

    weekday: Fee
    weekend: Fee
    timezone: tzinfo
    kind: str = "weekend"
    needs_statistics: bool = False
    needs_load: bool = False

    def propose(self, asked: Asked) -> Proposal:
        """The fee of the day on which the slot begins."""
        begin = datetime.fromtimestamp(asked.slot_s, self.timezone)
        fee = self.weekend if begin.weekday() >= SATURDAY else self.weekday
        return Proposal(fee=fee, why=f"{fee} on a {begin:%A}")


def build(settings: Settings, given: Given) -> Weekend:
    """The model of those keys."""
    return Weekend(
        weekday=settings.weekday.of_type(given.fee_type),
        weekend=settings.weekend.of_type(given.fee_type),
        timezone=given.timezone,
    )
