"""The `p1:` section of a profile: what one family of P1 meters sends, how often, and with which
checksum.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from drivers.p1.obis import QUANTITIES
from drivers.tariffs import TARIFFS
from drivers.text_telegram import ChecksumPolicy
from drivers.values import check_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The `p1:` section."""

    period_s: Annotated[
        float, Meta(gt=0, le=300, description="how often the meter sends a telegram, in seconds")
    ]
    checksum: Annotated[
        ChecksumPolicy,
        Meta(
            description="required: a telegram without a right one is dropped; optional: a wrong "
            "one; ignored"
        ),
    ]
    values: Annotated[
        list[
            Annotated[str, Meta(extra_json_schema={"enum": sorted(QUANTITIES)})]
        ],  # for editors; `check` says the nearest right word
        Meta(min_length=1, description="the quantities this model's telegrams may hold"),
    ]
    tariffs: Annotated[
        list[Annotated[str, Meta(min_length=1)]],
        Meta(
            description="what tariffs 1, 2, … are called here; tariff 1 is low in one country "
            "and day in the next"
        ),
    ] = field(default_factory=list)
    utc_offset_h: Annotated[
        float,
        Meta(
            ge=-12,
            le=14,
            description="what the meter's clock is ahead of UTC where it says W (winter), in "
            "hours; S adds one",
        ),
    ] = 1
    marks: Annotated[
        list[Annotated[str, Meta(min_length=4)]],
        Meta(
            description="beginnings of lines that stand in all telegrams of this dialect, and of "
            "meters' names (/XXX) that only it has"
        ),
    ] = field(default_factory=list)
    others: Annotated[
        list[Annotated[str, Meta(min_length=4)]],
        Meta(
            description="beginnings of further lines of this dialect of which no value is made: "
            "they tell it from others"
        ),
    ] = field(default_factory=list)
    authentication_key: Annotated[
        str,
        Meta(
            pattern="^([0-9A-Fa-f]{32})?$",
            description="the authentication key that all encrypted meters of this kind share, 32 "
            "hex digits",
        ),
    ] = ""
    may_encrypt: Annotated[
        bool, Meta(description="true where the network operator may have switched encryption on")
    ] = False
    detect: Annotated[
        bool,
        Meta(
            description="true where the telegram itself tells which profile with marks it "
            "belongs to"
        ),
    ] = False

    def quantities(self) -> frozenset[str]:
        """The quantities a reading may hold."""
        return frozenset(self.values)

    def summed_tariffs(self) -> frozenset[int]:
        """The tariffs whose registers make up a total that the model does not send itself."""
        return frozenset(n for n in TARIFFS if f"energy_import_t{n}_wh" in self.values)

    def check(self) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
        """Values that no telegram holds, or that are listed twice."""
        return check_values(self.values, QUANTITIES, "P1 telegram")
