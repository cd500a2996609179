"""A grid fee, as the exchange's engine can take it. Pure.

The engine ends the whole simulation over a fee that is text or NaN, takes 150 percent without a
word, and answers a negative fee with `ready` and the old one. So there is no `Fee` of that sort:
all are whole millionths, finite and in range, and arithmetic with bounds and steps is exact.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, get_args

from msgspec import Struct

from drivers.yaml_words import found_text, shortened

FeeType = Literal["constant", "percent"]
"""Of a whole network: cents per kWh, or percent of the energy's price."""

UNITS: Mapping[FeeType, str] = {"constant": "ct/kWh", "percent": "%"}

MILLION = 1_000_000

HIGHEST: Mapping[FeeType, int] = {"constant": 10_000, "percent": 100}
"""The engine's own template goes up to 2000 cents per kWh; a hundred euros are a slip."""

_KEYS: Mapping[FeeType, str] = {"constant": "fee_const", "percent": "fee_percent"}

_NUMBER = re.compile(r"[-+]?[0-9]{1,12}(?:[.,][0-9]{1,17})?")


class FeeError(ValueError):
    """What cannot be a fee: `what is wrong — what to do`."""


class Fee(Struct, frozen=True, order=True):
    """A fee in the unit of its network. Only fees of one type are compared."""

    type: FeeType
    micros: int
    """In millionths of a cent per kWh, or of a percent."""

    def __post_init__(self) -> None:
        """Raises FeeError: nothing that the engine would choke on can be made."""
        if self.type not in get_args(FeeType):
            raise FeeError(f"there is no fee type {self.type!r} — constant or percent")
        if type(self.micros) is not int:
            raise FeeError(f"{self.micros!r} is no number of millionths — use fee_of()")
        if self.micros < 0:
            raise FeeError(f"{self.number:g} is negative — the exchange leaves the old fee then")
        if self.micros > HIGHEST[self.type] * MILLION:
            highest = f"{HIGHEST[self.type]} {UNITS[self.type]}"
            raise FeeError(f"{self.number:g} is too high — at most {highest}")

    def __str__(self) -> str:
        """Such as `3.25 ct/kWh`."""
        return f"{self.text} {UNITS[self.type]}"

    @property
    def text(self) -> str:
        """Its number alone, with a decimal point and no zeros at its end."""
        return fee_text(self.micros)

    @property
    def number(self) -> float:
        """In cents per kWh, or percent, as it is sent."""
        return self.micros / MILLION

    @property
    def data(self) -> dict[str, float]:
        """The data of a `grid_fees` command."""
        return {_KEYS[self.type]: self.number}

    def is_echoed_by(self, answer: Mapping[str, object]) -> bool:
        """Whether an answer to `grid_fees` says this very number. It says it in text (`"3.25"`);
        a fee that was not applied is answered with the old one.
        """
        return echoed(answer, self.type) == self


def fee_text(micros: int) -> str:
    """Of millionths, the number: with a decimal point and no zeros at its end."""
    whole, rest = divmod(abs(micros), MILLION)
    return "-" * (micros < 0) + f"{whole}.{rest:06}".rstrip("0").rstrip(".")


def fee_of(raw: object, type_: FeeType) -> Fee:
    """A fee of a number, and not of text. What is smaller than a millionth is rounded. Raises
    FeeError.
    """
    if isinstance(raw, str):
        raise FeeError(f"expected a number, found the text {shortened(raw)} — such as 3.25")
    value = number_of(raw)
    if abs(value) > MILLION:
        raise FeeError(f"{value:g} is out of range — at most {HIGHEST[type_]} {UNITS[type_]}")
    return Fee(type_, int((value * MILLION).to_integral_value()))


def fee_written(raw: object, type_: FeeType) -> Fee:
    """A fee as it stands in a tariff file: a number, or text that is one. Raises FeeError."""
    return fee_of(number_of(raw), type_)


def number_of(raw: object) -> Decimal:
    """A finite number: as it is, or as a person or a spreadsheet writes it in text, with a decimal
    comma or point. Raises FeeError.
    """
    if isinstance(raw, str):
        bare = raw.strip()
        if not _NUMBER.fullmatch(bare):
            raise FeeError(f"{shortened(raw)} is no number — write digits: 3.25 or 3,25")
        return Decimal(bare.replace(",", "."))

    if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal):
        raise FeeError(f"expected a number, found {found_text(raw)} — such as 3.25")
    if isinstance(raw, int):
        return Decimal(raw)
    value = Decimal(raw) if isinstance(raw, Decimal) else Decimal(repr(raw))
    if not value.is_finite():
        raise FeeError(f"{raw} is not a finite number — such as 3.25")
    return value


def echoed(answer: Mapping[str, object], type_: FeeType) -> Fee | None:
    """The fee that an answer to `grid_fees` says is set. None where it says none of that type, as
    `"None"` in text.
    """
    raw = answer.get(f"market_{_KEYS[type_]}")
    try:
        return fee_of(Decimal(raw) if isinstance(raw, str) else raw, type_)
    except (ArithmeticError, ValueError):
        return None
