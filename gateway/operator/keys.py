"""Values of the keys of `grid_operator:` that say how they are written. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from drivers.strict_yaml import Mistake, nearest
from drivers.yaml_words import as_plain_number, found_text
from gateway.operator.fee import Fee, FeeError, FeeType, fee_of


class FeeNumber(float):
    """A fee in the unit of the network, before its type is known."""

    json_schema: ClassVar[Mapping[str, Any]] = {
        "type": "number",
        "minimum": 0,
        "title": "fee",
    }
    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> "FeeNumber":
        """Raises ValueError where no network has such a fee."""
        if isinstance(raw, str) or raw is None:
            hint = as_plain_number(raw or "") or "such as 3.25"
            raise ValueError(f"expected a number, found {found_text(raw)} — {hint}")
        return cls(fee_of(raw, "constant").number)

    def as_written(self) -> str:
        """Such as `3.25`."""
        return f"{self:g}"

    def of_type(self, type_: FeeType) -> Fee:
        """The fee. Raises FeeError where that type does not go so far."""
        return fee_of(float(self), type_)


def unfit(number: FeeNumber | None, type_: FeeType, *path: str | int) -> Iterator[Mistake]:
    """What is wrong with a fee in a network of that type."""
    if number is None:
        return
    try:
        number.of_type(type_)
    except FeeError as error:
        message, _, hint = str(error).partition(" — ")
        yield Mistake(path, message, hint)


def not_in_file(
    file: str, markets: Sequence[str] | None, known: Iterable[str], what: str
) -> Iterator[Mistake]:
    """The markets for which a tariff file has nothing. `what` it would have, such as a column."""
    there = list(known)
    for name in markets or ():
        if name not in there:
            message = f"{file} has no {what} for the market {name!r}"
            yield Mistake(("file",), message, nearest(name, there))
