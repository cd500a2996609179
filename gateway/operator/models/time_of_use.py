"""`time_of_use`: a fee for each quarter of an hour of the day, from a tariff file. Pure.

The exchange's template reads the times of such a file in UTC. A person's are local: then the hour
that a spring day lacks is skipped, and the one that an autumn day has twice has its fees twice.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import PurePath
from typing import Annotated, Literal

from msgspec import Meta, Struct

from drivers.strict_yaml import Mistake
from gateway.operator.fee import Fee, FeeType
from gateway.operator.keys import not_in_file
from gateway.operator.model import Asked, Given, ModelError, Proposal, Unable
from gateway.operator.tariffs.cells import time_text
from gateway.operator.tariffs.day import QUARTER_S
from gateway.site.settings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A fee for each quarter of an hour of the day, from a file."""

    file: Annotated[
        str,
        Meta(
            min_length=1,
            description="CSV (Time;Market;… and 96 rows) or XLSX (the sheet ToU); beside "
            "gateway.yaml unless a folder is named",
            examples=["tou.csv"],
        ),
    ]
    times: Annotated[
        Literal["utc", "local"],
        Meta(
            description="what the file's times are: utc, as the exchange's template reads them, or "
            "local, of the site's time zone with its summer time",
            examples=["local"],
        ),
    ] = "utc"

    def check(self, site: Surroundings, fee_type: FeeType) -> Iterator[Mistake]:  # noqa: ARG002 — the file tells
        """Nothing beside the file can be wrong."""
        yield from ()


class TimeOfUse(Struct, frozen=True, kw_only=True):
    """The fee of the quarter of an hour in which a slot begins."""

    file: str
    fees: Mapping[str, Sequence[Fee]]
    """Of each market, by the quarter since midnight."""
    timezone: tzinfo
    kind: str = "time_of_use"
    needs_statistics: bool = False
    needs_load: bool = False

    @property
    def markets(self) -> Collection[str]:
        """The markets that the file has."""
        return self.fees.keys()

    @property
    def every_fee(self) -> Collection[Fee]:
        """All that it may propose."""
        return {fee for day in self.fees.values() for fee in day}

    def propose(self, asked: Asked) -> Proposal | Unable:
        """The fee of that quarter of an hour. Unable where the file knows no such market."""
        day = self.fees.get(asked.market)
        if day is None:
            return Unable(f"{self.file} has no column for {asked.market}")
        begin = datetime.fromtimestamp(asked.slot_s, self.timezone)
        second = begin.hour * 3600 + begin.minute * 60
        fee = day[second // QUARTER_S]

        at = time_text(second // QUARTER_S * QUARTER_S)
        zone = "UTC" if self.timezone is UTC else begin.tzname()
        return Proposal(fee=fee, why=f"{fee} at {at} {zone} in {self.file}")


def build(settings: Settings, given: Given) -> TimeOfUse:
    """The model of those keys. Raises TariffError and ModelError."""
    tariff = given.tariffs.day(settings.file)
    name = PurePath(settings.file).name
    mistakes = list(not_in_file(name, given.markets, tariff.fees, "column"))
    if mistakes:
        raise ModelError(mistakes)

    timezone = UTC if settings.times == "utc" else given.timezone
    return TimeOfUse(file=name, fees=tariff.fees, timezone=timezone)
