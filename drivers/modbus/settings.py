"""The `modbus:` section of a profile: the register table and the limits of one model."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from drivers.sample import QUANTITIES, unit_of

WORDS = {"int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2, "int64": 4, "uint64": 4, "float64": 4}
"""Registers (16-bit words) that each type takes."""

# unit as the manual prints it → (our unit, factor)
UNITS: Mapping[str, tuple[str, float]] = {
    "Wh": ("Wh", 1),
    "kWh": ("Wh", 1e3),
    "MWh": ("Wh", 1e6),
    "varh": ("varh", 1),
    "kvarh": ("varh", 1e3),
    "VAh": ("VAh", 1),
    "kVAh": ("VAh", 1e3),
    "W": ("W", 1),
    "kW": ("W", 1e3),
    "VA": ("VA", 1),
    "kVA": ("VA", 1e3),
    "var": ("var", 1),
    "kvar": ("var", 1e3),
    "V": ("V", 1),
    "mV": ("V", 1e-3),
    "A": ("A", 1),
    "mA": ("A", 1e-3),
    "Hz": ("Hz", 1),
    "": ("", 1),
}

Type = Literal["int16", "uint16", "int32", "uint32", "float32", "int64", "uint64", "float64"]
WordOrder = Literal["big", "little"]
Function = Literal[3, 4]
Address = Annotated[int, Meta(ge=0, le=0xFFFF, description="0-based protocol address")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRow:
    """One row of the register table. What is left out is taken from the section's own defaults."""

    address: Address
    unit: Annotated[str, Meta(description="unit of the scaled value, as the manual prints it")] = ""
    scale: Annotated[float, Meta(description="the raw number times this is in `unit`")] = 1.0
    type: Type | None = None
    word_order: Annotated[WordOrder | None, Meta(description="big: most significant word first")] = None
    function: Annotated[Function | None, Meta(description="3 holding registers, 4 input registers")] = None
    invalid: Annotated[int | None, Meta(description="raw bit pattern by which the meter says 'no value'")] = None
    agreed: Annotated[bool, Meta(description="false where a single source says so")] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialNumber:
    """Where the meter's own serial number is."""

    address: Address
    function: Function = 3
    type: Literal["uint16", "uint32", "uint64", "string"] = "uint32"
    words: Annotated[int, Meta(ge=1, le=32, description="length of a string, in registers")] = 2
    word_order: WordOrder = "big"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The `modbus:` section."""

    registers: Annotated[
        dict[str, RegisterRow],
        Meta(min_length=1, description="quantity: where it is", extra_json_schema={"propertyNames": {"enum": list(QUANTITIES)}}),
    ]
    function: Function = 4
    type: Type = "float32"
    word_order: WordOrder = "big"
    max_registers: Annotated[int, Meta(ge=1, le=125, description="most registers one request may ask for")] = 125
    holes: Annotated[bool, Meta(description="true where a block may reach across addresses the manual does not list")] = False
    turnaround_ms: Annotated[float, Meta(ge=0, le=5000, description="silence the meter needs before the next request")] = 0.0
    timeout_s: Annotated[float, Meta(gt=0, le=30, description="how long the meter may take to answer")] = 0.5
    serial_number: SerialNumber | None = None

    def quantities(self) -> frozenset[str]:
        """The quantities of the register table."""
        return frozenset(self.registers)

    def type_of(self, row: RegisterRow) -> Type:
        """The row's type, or the section's."""
        return row.type or self.type

    def function_of(self, row: RegisterRow) -> Function:
        """The row's function code, or the section's."""
        return row.function or self.function

    def word_order_of(self, row: RegisterRow) -> WordOrder:
        """The row's word order, or the section's."""
        return row.word_order or self.word_order

    def check(self) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
        """Rows that cannot be read as they are written."""
        taken: dict[tuple[int, int], str] = {}
        for quantity, row in self.registers.items():
            path = ("registers", quantity)
            words = WORDS[self.type_of(row)]
            yield from self._check_unit(quantity, row)
            if row.scale == 0:
                yield (
                    (*path, "scale"),
                    "a scale of 0 makes every value 0",
                    "write the factor from the manual, such as 0.1",
                )
            if row.invalid is not None and not 0 <= row.invalid < 1 << 16 * words:
                yield (*path, "invalid"), f"does not fit into {words} registers", "write the bits as they travel, such as 0x7FFF"
            if words > self.max_registers:
                yield path, f"takes {words} registers, but max_registers is {self.max_registers}", "raise max_registers"
            if row.address + words > 0x10000:
                yield (*path, "address"), "reaches beyond register 65535", "addresses are 0-based protocol addresses"
            for word in range(row.address, row.address + words):
                other = taken.setdefault((self.function_of(row), word), quantity)
                if other != quantity:
                    yield (*path, "address"), f"overlaps {other} at register {word}", "check address and type of both"
                    break

    @staticmethod
    def _check_unit(quantity: str, row: RegisterRow) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        if quantity not in QUANTITIES:
            return  # named by the profile loader, with the nearest known one
        wanted = unit_of(quantity)
        if row.unit not in UNITS or UNITS[row.unit][0] != wanted:
            known = [unit for unit, (ours, _) in UNITS.items() if ours == wanted]
            yield (
                ("registers", quantity, "unit"),
                f"{row.unit!r} is not a unit of {quantity}",
                f"one of {', '.join(known) or 'none'}",
            )
