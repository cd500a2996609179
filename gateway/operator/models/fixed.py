"""`fixed`: the same fee in every slot. Pure."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from drivers.strict_yaml import Mistake
from gateway.operator.fee import Fee, FeeType
from gateway.operator.keys import FeeNumber, unfit
from gateway.operator.model import Asked, Given, Proposal
from gateway.site.settings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The same fee in every slot."""

    fee: Annotated[FeeNumber, Meta(description="the fee of every slot", examples=[3.25])]

    def check(self, site: Surroundings, fee_type: FeeType) -> Iterator[Mistake]:  # noqa: ARG002 — of no meter
        """A fee that the network does not take."""
        yield from unfit(self.fee, fee_type, "fee")


class Fixed(Struct, frozen=True):
    """The same fee in every slot."""

    fee: Fee
    kind: str = "fixed"
    needs_statistics: bool = False
    needs_load: bool = False

    @property
    def every_fee(self) -> Collection[Fee]:
        """All that it may propose."""
        return (self.fee,)

    def propose(self, asked: Asked) -> Proposal:  # noqa: ARG002 — whatever is asked
        """The fee."""
        return Proposal(fee=self.fee, why=f"always {self.fee}")


def build(settings: Settings, given: Given) -> Fixed:
    """The model of those keys."""
    return Fixed(settings.fee.of_type(given.fee_type))
