"""The `pulse:` section of a profile: which field of the reply is which quantity. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The `pulse:` section."""

    fields: Annotated[
        dict[str, str], Meta(min_length=1, description="letter of the field: quantity")
    ]
    timeout_s: Annotated[
        float, Meta(gt=0, le=30, description="how long the meter may take to answer")
    ] = 1.0

    def quantities(self) -> frozenset[str]:
        """The quantities a reading may hold."""
        return frozenset(self.fields.values())

    def check(self) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
        """Fields that no reply has, and quantities that two fields claim. (Unknown quantities are
        the profile loader's to report.)
        """
        claimed: dict[str, str] = {}
        for letter, quantity in self.fields.items():
            if len(letter) != 1 or not "A" <= letter <= "Z":
                yield (
                    ("fields", letter),
                    "fields are named by one capital letter",
                    "copy it from the manual, such as E",
                )
            first = claimed.setdefault(quantity, letter)
            if first != letter:
                yield ("fields", letter), f"field {first} already is {quantity}", "keep one of them"
