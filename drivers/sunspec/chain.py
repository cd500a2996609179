"""The chain of models: what a SunSpec device consists of, and where. Pure.

The registers begin with a marker, "SunS", at one of three addresses; then come models, each with
its number and its length, and number 0xFFFF at the end (SunSpec Information Model Specification,
"Device Modbus map"). Addresses of models change with options and firmware, so they are never
assumed. Model 1 says whose the models after it are: an inverter passes on its meters' models, each
behind a model 1 of its own.
"""

import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

from drivers.sunspec.models import MODELS, Model

MARKER = b"SunS"
BASES = (40000, 50000, 0)
"""Where the marker may be, most usual first."""

MAX_MODELS = 64
"""A chain that is longer never ends. The longest known has about 20 models."""

END_MODEL = 0xFFFF
COMMON_MODEL = 1
COMMON_WORDS = 64
"""Maker, model, options, version and serial number of model 1, behind its length. It is 65 or 66
registers long.
"""


class ChainError(ValueError):
    """What came is no chain of models. The text says where it breaks."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Registers to be read next. (Modbus function 3.)"""

    address: int
    count: int
    may_end: bool = False
    """Whether the chain may end here, were it with a failure: something can be read already."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What model 1 says: whose the models behind it are. Text that the device leaves out is
    empty.
    """

    maker: str = ""
    model: str = ""
    version: str = ""
    serial_number: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A model that can be read: its number, its address (of the register that holds the number) and
    whose it is.
    """

    number: int
    address: int
    owner: Owner

    @property
    def model(self) -> Model:
        """What is in it."""
        return MODELS[self.number]


@dataclass(frozen=True, slots=True)
class Chain:
    """A whole device: its first model 1, and every part that can be read."""

    owner: Owner
    parts: tuple[Part, ...]


Walk = Generator[Ask, bytes | None, Chain]
"""Yields what to read; is sent the registers' bytes, or None where the device refuses them; returns
the chain or raises ChainError.
"""


def walk() -> Walk:
    """Walk the chain, in at most 3 + 2 × MAX_MODELS requests.

    Behind a part that can be read the chain ends at anything but a model: some devices leave the
    end mark out, or go on with registers of another kind.
    """
    address = (yield from _find_marker()) + 2
    owners: list[Owner] = []
    parts: list[Part] = []
    for _ in range(MAX_MODELS):
        header = yield Ask(address, 2, may_end=bool(parts))
        number, length = struct.unpack(">HH", header) if header else (0, 0)
        if number == END_MODEL:
            break

        wrong = _no_model(number, length, address) if header else _refusal(address)
        if wrong and parts:
            break
        if wrong:
            raise ChainError(wrong)

        if number == COMMON_MODEL:
            body = yield Ask(address + 2, COMMON_WORDS)
            owners.append(read_owner(body or b""))
        elif number in MODELS:
            parts.append(Part(number, address, owners[-1] if owners else Owner()))
        address += 2 + length
    else:
        if not parts:
            raise ChainError(
                f"its chain of SunSpec models does not end within {MAX_MODELS} models (register "
                f"{address})"
            )
    return Chain(owners[0] if owners else Owner(), tuple(parts))


def _find_marker() -> Generator[Ask, bytes | None, int]:
    for base in BASES:
        if (yield Ask(base, 2)) == MARKER:
            return base
    raise ChainError(
        "there is no SunSpec marker at register 40000, 50000 or 0 — is SunSpec switched on at "
        "the device, and is the address right?"
    )


def _refusal(address: int) -> str:
    return (
        f"it refuses register {address}, where its next SunSpec model should begin, and nothing "
        "before can be read"
    )


def _no_model(number: int, length: int, address: int) -> str:
    """Why what is there is no model; empty where it is one."""
    if number == 0:
        return (
            f"there is no SunSpec model at register {address} (number 0): the length of the one "
            "before is wrong"
        )
    if address + 2 + length + 1 >= 0x10000:  # where the next one's number and length would be
        return (
            f"SunSpec model {number} at register {address} says it is {length} registers long, "
            "beyond register 65535"
        )

    least = COMMON_WORDS if number == COMMON_MODEL else 0
    if number in MODELS:
        least = MODELS[number].count - 2
    if length < least:
        return (
            f"SunSpec model {number} at register {address} says it is {length} registers long; "
            f"it has {least} at least"
        )
    return ""


def read_owner(body: bytes) -> Owner:
    """Model 1 behind its length: 16 registers of maker, 16 of model, 8 of options, 8 of version, 16
    of serial number, all text.
    """
    return Owner(_text(body[0:32]), _text(body[32:64]), _text(body[80:96]), _text(body[96:128]))


def _text(data: bytes) -> str:
    """Text ends at the first NUL. What is not printable is left out."""
    return "".join(chr(byte) for byte in data.partition(b"\0")[0] if 0x20 <= byte < 0x7F).strip()


def choose(parts: Sequence[Part], wanted: Literal["auto", "inverter", "meter"]) -> Part:
    """The part that is meant. What is told both as integers and as floats is read as integers: they
    are exact. Raises ChainError.
    """
    kinds = ("inverter", "meter") if wanted == "auto" else (wanted,)
    fitting = [part for part in parts if part.model.part in kinds]
    if not fitting:
        found = ", ".join(f"{part.model.part} (model {part.number})" for part in parts) or "none"
        what = "inverter or meter" if wanted == "auto" else wanted
        raise ChainError(
            f"it has no {what} among its SunSpec models that could be read (found: {found}) — "
            "check `part` of the profile"
        )
    return min(
        fitting, key=lambda part: (kinds.index(part.model.part), part.model.floats, part.address)
    )
