"""The `modbus:` section of a profile: the register table and the limits of one model."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import Meta

from drivers.sample import QUANTITIES, unit_of
from drivers.strict_yaml import nearest

if TYPE_CHECKING:
    from drivers.profile import Register

WORDS = {
    "int16": 1,
    "uint16": 1,
    "int32": 2,
    "uint32": 2,
    "float32": 2,
    "int64": 4,
    "uint64": 4,
    "float64": 4,
    "bcd16": 1,
    "bcd32": 2,
    "bcd64": 4,
    "mod10_32": 2,
    "mod10_64": 4,
}
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

SIGNED_POWERS = frozenset({"power_w", "power_l1_w", "power_l2_w", "power_l3_w"})
"""The quantities whose sign `power_sign` explains."""

Type = Literal[
    "int16",
    "uint16",
    "int32",
    "uint32",
    "float32",
    "int64",
    "uint64",
    "float64",
    "bcd16",
    "bcd32",
    "bcd64",
    "mod10_32",
    "mod10_64",
]
WordOrder = Literal["big", "little"]
_WHO = 17
_SAID = ("values", "text", "between", "none_of")

PowerSign = Literal["import_positive", "export_positive"]
Function = Literal[3, 4]
Address = Annotated[int, Meta(ge=0, le=0xFFFF, description="0-based protocol address")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRow:
    """One row of the register table. What is left out is taken from the section's own defaults."""

    address: Address
    unit: Annotated[str, Meta(description="unit of the scaled value, as the manual prints it")] = ""
    scale: Annotated[float, Meta(description="the raw number times this is in `unit`")] = 1.0
    type: Type | None = None
    word_order: Annotated[
        WordOrder | None, Meta(description="big: most significant word first")
    ] = None
    high_address: Annotated[
        Address | None,
        Meta(
            description="where the high word is, of a value of two words that lie apart; `address` "
            "is that of the low one"
        ),
    ] = None
    function: Annotated[
        Function | None, Meta(description="3 holding registers, 4 input registers")
    ] = None
    invalid: Annotated[
        int | None, Meta(description="raw bit pattern by which the meter says 'no value'")
    ] = None
    magnitude: Annotated[
        bool,
        Meta(
            description="true where the sign tells nothing, and some send it negative: it is "
            "dropped"
        ),
    ] = False
    between: Annotated[
        list[float] | None,
        Meta(
            description="[low, high]: what the scaled value can be. Any other is tried with "
            "or_scale, and is left out where that does not fit either; 0 stays"
        ),
    ] = None
    or_scale: Annotated[
        float | None,
        Meta(description="the scale of some models, where the value is not between otherwise"),
    ] = None
    agreed: Annotated[bool, Meta(description="false where a single source says so")] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialNumber:
    """Where the meter's own serial number is: the one on its plate. With it, an exchanged meter
    begins a series of its own.
    """

    address: Address
    function: Annotated[Function, Meta(description="3 holding registers, 4 input registers")] = 3
    type: Annotated[
        Literal["uint16", "uint32", "uint64", "string"],
        Meta(description="how it travels; string: two letters or digits in each register"),
    ] = "uint32"
    words: Annotated[
        int, Meta(ge=1, le=32, description="length of a string, in registers: half its letters")
    ] = 2
    word_order: Annotated[
        WordOrder, Meta(description="of a number: big: most significant word first")
    ] = "big"

    @property
    def count(self) -> int:
        """Registers to read."""
        return self.words if self.type == "string" else WORDS[self.type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One register by which this model is told from others: what it must hold. Exactly one of
    `values`, `text`, `between` and `none_of` says so.

    With function 17 it is no register, but the first byte of what the device says it is.
    """

    address: Address = -1
    function: Annotated[
        Literal[3, 4, 17],
        Meta(
            description="3 or 4: that register; 17: the first byte of the device's own "
            "identification (Report Server ID), without an address"
        ),
    ] = 3
    type: Annotated[Type | Literal["string"], Meta(description="string goes with text")] = "uint16"
    words: Annotated[int, Meta(ge=1, le=32, description="length of a string, in registers")] = 2
    word_order: Annotated[WordOrder, Meta(description="big: most significant word first")] = "big"
    values: Annotated[list[int] | None, Meta(description="the raw numbers this model gives")] = None
    text: Annotated[
        str | None,
        Meta(description="what the letters begin with; case and zero bytes do not count"),
    ] = None
    between: Annotated[
        list[float] | None,
        Meta(
            description="[low, high]: the raw number is in these bounds, as every mains voltage is"
        ),
    ] = None
    none_of: Annotated[
        list[int] | None,
        Meta(
            description="with function 17: identifications of other models, which this one is "
            "mistaken for otherwise; no answer says nothing"
        ),
    ] = None

    @property
    def asks_who(self) -> bool:
        """Whether it is the device's own identification that is asked for."""
        return self.function == _WHO

    @property
    def count(self) -> int:
        """Registers to read."""
        return self.words if self.type == "string" else WORDS[self.type]

    @property
    def is_plausibility(self) -> bool:
        """True where it only says that the value makes sense: many models' does."""
        return self.between is not None or self.none_of is not None

    def check(self) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        """What does not fit together."""
        if self.address < 0 and not self.asks_who:
            yield (), "key 'address' is missing", "write the register's 0-based protocol address"
        said = [name for name in _SAID if getattr(self, name) is not None]
        if len(said) != 1:
            found = " and ".join(said) or "none of them"
            yield (
                (),
                f"exactly one of values, text and between is needed, found {found}",
                "say what the register holds",
            )
        elif self.asks_who and said[0] not in ("values", "none_of"):
            yield (
                (said[0],),
                "function 17 gives a byte that says which model it is",
                "write values: [0x41], or none_of: [0x41] for models that it is not",
            )
        elif said[0] == "none_of" and not self.asks_who:
            yield ("none_of",), "goes with function: 17", "write what this register holds: values"
        if (self.text is not None) != (self.type == "string"):
            yield (
                ("type",),
                "text and type: string go together",
                "write both, or a number's type and values or between",
            )
        elif self.text is not None and not 0 < len(self.text) <= 2 * self.words:
            yield (
                ("text",),
                f"has no room in {self.words} registers",
                "write the first letters, and in `words` how many registers they take",
            )
        if self.values is not None and not self.values:
            yield ("values",), "is empty", "write the numbers this model gives, such as [0x0070]"
        if self.between is not None and (
            len(self.between) != 2 or self.between[0] >= self.between[1]
        ):
            yield ("between",), "expected [low, high]", "such as [100, 300] for a voltage in V"
        if self.address + self.count > 0x10000:
            yield (
                ("address",),
                "reaches beyond register 65535",
                "addresses are 0-based protocol addresses",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A value that the meter tells only in parts: import and export apart, say, or phase by
    phase.
    """

    plus: Annotated[
        list[str], Meta(description="quantities of the register table that are added")
    ] = field(default_factory=list)
    minus: Annotated[
        list[str], Meta(description="quantities of the register table that are taken off")
    ] = field(default_factory=list)

    @property
    def parts(self) -> list[str]:
        """All quantities it is made of."""
        return [*self.plus, *self.minus]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The `modbus:` section."""

    UNTOLD: ClassVar = {
        "registers": {"energy_import_wh": {"address": 0, "unit": "Wh"}},
        "address": 0,
    }
    """What stands for keys that are missing or wrong, while the rest is looked at."""

    registers: Annotated[
        dict[str, RegisterRow],
        Meta(
            min_length=1,
            description="quantity: where it is",
            extra_json_schema={"propertyNames": {"enum": list(QUANTITIES)}},
        ),
    ]
    sums: Annotated[
        dict[str, Sum],
        Meta(description="quantity: what it is made of, where the meter tells it only in parts"),
    ] = field(default_factory=dict)
    function: Function = 4
    type: Type = "float32"
    word_order: WordOrder = "big"
    max_registers: Annotated[
        int, Meta(ge=1, le=125, description="most registers one request may ask for")
    ] = 125
    holes: Annotated[
        bool,
        Meta(description="true where a block may reach across addresses the manual does not list"),
    ] = False
    turnaround_ms: Annotated[
        float, Meta(ge=0, le=5000, description="silence the meter needs before the next request")
    ] = 0.0
    timeout_s: Annotated[
        float, Meta(gt=0, le=30, description="how long the meter may take to answer")
    ] = 0.5
    serial_number: Annotated[
        SerialNumber | None,
        Meta(
            description="where the meter's own number is, which tells it from the one that takes "
            "its place; left out where it has none in its registers"
        ),
    ] = None
    part_of: Annotated[
        str,
        Meta(
            description="profile of the device that this is a part of, as a grid meter is of an "
            "inverter"
        ),
    ] = ""
    power_sign: Annotated[
        PowerSign | None, Meta(description="what a positive active power means on this meter")
    ] = None
    identify: Annotated[
        list[Identity], Meta(description="what tells this model from others; all of it must match")
    ] = field(default_factory=list)

    def quantities(self) -> frozenset[str]:
        """The quantities of the register table, and those made of them."""
        return frozenset((*self.registers, *self.sums))

    def type_of(self, row: RegisterRow) -> Type:
        """The row's type, or the section's."""
        return row.type or self.type

    def function_of(self, row: RegisterRow) -> Function:
        """The row's function code, or the section's."""
        return row.function or self.function

    def word_order_of(self, row: RegisterRow) -> WordOrder:
        """The row's word order, or the section's."""
        return row.word_order or self.word_order

    def factor_of(self, quantity: str, row: RegisterRow) -> float:
        """What the row's raw number is multiplied by to be in the quantity's unit and of our sign
        (power is positive on import).
        """
        turned = self.power_sign == "export_positive" and quantity in SIGNED_POWERS
        return row.scale * UNITS[row.unit][1] * (-1 if turned else 1)

    def source_of(self, quantity: str) -> str:
        """Where a register is and how it travels, in words that are stored in files."""
        row = self.registers[quantity]
        kind = "holding" if self.function_of(row) == 3 else "input"
        travels_as = self.type_of(row)
        order = "" if WORDS[travels_as] == 1 else f" {self.word_order_of(row)}"
        where = f"{kind} register {row.address}"
        if row.high_address is not None:
            where, order = f"{kind} registers {row.high_address} and {row.address}", ""
        return f"{where}, {travels_as}{order}, {row.scale:g} {row.unit}"

    def addresses_of(self, row: RegisterRow) -> tuple[int, ...]:
        """The registers of a row, the most significant one first."""
        if row.high_address is not None:
            return row.high_address, row.address
        addresses = range(row.address, row.address + WORDS[self.type_of(row)])
        return tuple(addresses if self.word_order_of(row) == "big" else reversed(addresses))

    @staticmethod
    def is_of_itself(path: tuple[str | int, ...]) -> bool:
        """Whether a mistake there is one whatever else its row says."""
        return path[:1] == ("registers",) and path[-1] in ("unit", "scale")

    @staticmethod
    def stands_alone(path: tuple[str | int, ...]) -> bool:
        """Whether a mistake there is one whatever type, function and word order the rows have."""
        if len(path) < 2 or path[0] in ("sums", "identify", "serial_number"):
            return True
        return path[-1] in ("unit", "scale", "between", "or_scale", "modulus_wh")

    def check(self) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
        """What is missing, and rows that cannot be read as they are written."""
        if self.power_sign is None and SIGNED_POWERS & self.registers.keys():
            hint = (
                "write import_positive or export_positive: what a positive power means on "
                "this meter"
            )
            yield (), "key 'power_sign' is missing", hint
        if not self.identify:
            hint = (
                "write a register that only this model has, or at least a plausible voltage: "
                "- {address: 0, between: [100, 300]}"
            )
            yield (), "key 'identify' is missing", hint
        where = self.serial_number
        if where is not None and where.address + where.count > 0x10000:
            yield (
                ("serial_number", "address"),
                "reaches beyond register 65535",
                "addresses are 0-based protocol addresses",
            )
        for number, identity in enumerate(self.identify):
            for path, message, hint in identity.check():
                yield ("identify", number, *path), message, hint
        yield from self._check_rows()
        for quantity, each in self.sums.items():
            for message, hint in self._check_sum(quantity, each):
                yield ("sums", quantity), message, hint

    def check_energy(self, energy: Mapping[str, "Register"]) -> Iterator[tuple[str, str, str]]:
        """Steps that the registers cannot have as they travel, and which slot arithmetic would
        believe: (quantity, message, hint).
        """
        for quantity in energy.keys() & self.registers.keys():
            row, register = self.registers[quantity], energy[quantity]
            if unit_of(quantity) != UNITS.get(row.unit, ("", 0))[0]:
                continue  # which is said with the row
            travels_as = self.type_of(row)
            if travels_as == "float32" and not register.float32:
                yield (
                    quantity,
                    "travels as a 32-bit float, which is not said here",
                    "add float32: true: the spacing of floats widens its step",
                )
            if register.float32 and travels_as != "float32":
                yield (
                    quantity,
                    f"float32: true, but the register travels as {travels_as}",
                    "remove it, or mend the register's type",
                )
            count_wh = abs(row.scale) * UNITS[row.unit][1]
            if "float" not in travels_as and register.resolution_wh < 0.999999 * count_wh:
                hint = f"write resolution_wh: {count_wh:g}, or mend scale or unit of its register"
                yield (
                    quantity,
                    f"resolution_wh {register.resolution_wh:g} is finer than one count of the "
                    f"register, {count_wh:g} Wh",
                    hint,
                )

    def _check_sum(self, quantity: str, each: Sum) -> Iterator[tuple[str, str]]:
        if quantity in self.registers:
            yield "is in the register table already", "remove it here or there"
        if quantity.startswith("energy_"):
            yield (
                "a counter is not made of others: they do not step together",
                "settle the parts, or leave it out",
            )
        if not each.parts:
            yield "has no parts", "such as {plus: [power_import_w], minus: [power_export_w]}"
        for part in each.parts:
            if part not in self.registers:
                yield f"{part!r} is not in the register table", nearest(part, self.registers)
            elif unit_of(part) != unit_of(quantity):
                yield (
                    f"{part} has another unit than {quantity}",
                    f"add up what is in {unit_of(quantity) or 'no unit'}",
                )

    def _check_rows(self) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        taken: dict[tuple[int, int], str] = {}
        for quantity, row in self.registers.items():
            path = ("registers", quantity)
            words = WORDS[self.type_of(row)]
            yield from self._check_unit(quantity, row)
            for name, message, hint in _check_bounds(quantity, row):
                yield (*path, name), message, hint
            if row.high_address is not None:
                for message, hint in _check_apart(row, row.high_address, words, self.max_registers):
                    yield (*path, "high_address"), message, hint
            if row.scale == 0:
                yield (
                    (*path, "scale"),
                    "a scale of 0 makes every value 0",
                    "write the factor from the manual, such as 0.1",
                )
            if row.invalid is not None and not 0 <= row.invalid < 1 << 16 * words:
                yield (
                    (*path, "invalid"),
                    f"does not fit into {words} registers",
                    "write the bits as they travel, such as 0x7FFF",
                )
            if words > self.max_registers:
                yield (
                    path,
                    f"takes {words} registers, but max_registers is {self.max_registers}",
                    "raise max_registers",
                )
            if max(self.addresses_of(row)) > 0xFFFF:
                yield (
                    (*path, "address"),
                    "reaches beyond register 65535",
                    "addresses are 0-based protocol addresses",
                )
            for word in self.addresses_of(row):
                other = taken.setdefault((self.function_of(row), word), quantity)
                if other != quantity:
                    yield (
                        (*path, "address"),
                        f"overlaps {other} at register {word}",
                        "check address and type of both",
                    )
                    break

    @staticmethod
    def _check_unit(
        quantity: str, row: RegisterRow
    ) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
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


def _check_bounds(quantity: str, row: RegisterRow) -> Iterator[tuple[str, str, str]]:
    """What is wrong with bounds and a second scale: (key, message, hint)."""
    bounds = row.between
    if bounds is not None and (len(bounds) != 2 or bounds[0] >= bounds[1]):
        yield "between", "expected [low, high]", "such as [45, 65] for a frequency in Hz"
    if bounds is not None and quantity.startswith("energy_"):
        yield (
            "between",
            "a counter has no bounds that could tell its scale",
            "remove it; write a profile for each scale",
        )
    if row.or_scale is not None and bounds is None:
        yield "or_scale", "needs `between`, by which it is told", "such as between: [45, 65]"
    if row.or_scale is not None and row.or_scale in (0, row.scale):
        yield "or_scale", f"is {row.or_scale:g}, which tells nothing", "write the other scale"


def _check_apart(
    row: RegisterRow, high_address: int, words: int, most: int
) -> Iterator[tuple[str, str]]:
    """What is wrong with words that lie apart: (message, hint)."""
    if words != 2:
        yield f"goes with two words, and this type has {words}", "write type: uint32 or int32"
    if abs(high_address - row.address) < 2:
        hint = "remove it, and write word_order: big (high word first) or little"
        yield "is beside the low word", hint
    if abs(high_address - row.address) >= most:
        yield (
            f"is too far from the low word for one request of {most} registers",
            "both have to be of one instant; raise max_registers if the meter allows it",
        )
