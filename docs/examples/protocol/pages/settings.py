"""The `pages:` section of a profile: which page, and which number is which quantity. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

CREDENTIALS: Mapping[str, str] = {
    "username": "of the meter's own web page",
    "password": "of the same",
    "token": "instead of the two, where the meter gives one",
}


def check_credentials(credentials: Mapping[str, str]) -> Iterator[str]:
    """The names of entries that are missing."""
    if not credentials.get("token"):
        yield from (name for name in ("username", "password") if not credentials.get(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The `pages:` section."""

    path: Annotated[str, Meta(pattern="^/", description="of the page, such as /api/data")]
    values: Annotated[
        dict[str, str], Meta(min_length=1, description="quantity: name of the number on the page")
    ]
    timeout_s: Annotated[
        float, Meta(gt=0, le=30, description="how long the meter may take to answer")
    ] = 3.0

    def quantities(self) -> frozenset[str]:
        """The quantities a reading may hold."""
        return frozenset(self.values)

    def check(self) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
        """Numbers that two quantities claim."""
        claimed: dict[str, str] = {}
        for quantity, name in self.values.items():
            first = claimed.setdefault(name, quantity)
            if first != quantity:
                yield ("values", quantity), f"{name} already is {first}", "keep one of them"
