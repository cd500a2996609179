"""Register bytes → values. Pure.

Bytes inside a register are big-endian always (Modbus Application Protocol V1.1b3, 4.2); the order
of the registers of one value is the meter's choice. A block is decoded in one go, by one struct
made when the block is planned.
"""

import struct
from collections.abc import Callable, Mapping
from math import isfinite
from operator import itemgetter

import msgspec

from drivers.export_sign import ExportSign
from drivers.modbus.digits import FROM_DIGITS
from drivers.modbus.plan import Block, Row
from drivers.modbus.settings import SerialNumber, Sum, Type

CODES: dict[Type, str] = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "float32": "f",
    "int64": "q",
    "uint64": "Q",
    "float64": "d",
    "bcd16": "H",
    "bcd32": "I",
    "bcd64": "Q",
    "mod10_32": "I",
    "mod10_64": "Q",
}
"""Each type's letter in a struct format."""

_UNSIGNED: Mapping[Type, int] = {"uint32": 32, "uint64": 64}
"""Types whose upper half may be minus something, and their bits."""


class _Column(msgspec.Struct, frozen=True):
    """What becomes of one raw number: raw × times ÷ over, without its sign where that tells
    nothing, unless it says 'no value'.
    """

    quantity: str
    times: float
    over: float
    invalid: float | None
    magnitude: bool
    bounds: tuple[float, float] | None = None
    other: tuple[float, float] | None = None
    """Times and over of other models."""
    number: Callable[[int], int | None] | None = None
    """What the bits are as a number, where they are digits."""
    may_be_minus: int = 0
    """The bits of an export register without a sign, which may be minus the export; else 0."""

    def in_bounds(self, raw: float, value: float) -> float | None:
        """The value, or by the other scale, where it is one that can be; None where neither is. A
        meter without mains shows 0.
        """
        assert self.bounds is not None
        low, high = self.bounds
        if low <= value <= high or value == 0:
            return value
        if self.other is not None:
            value = raw * self.other[0] / self.other[1]
            if low <= value <= high:
                return value
        return None


class Decoder:
    """Decodes the replies to one block."""

    __slots__ = ("_columns", "_reorder", "_unpack", "block", "sign")

    def __init__(self, block: Block, sign: ExportSign | None = None) -> None:
        """`sign`: what is known of the meter's export register."""
        self.block = block
        self.sign = sign or ExportSign()
        self._unpack = struct.Struct(_format(block)).unpack
        self._reorder = _reorder(block)
        self._columns = tuple(_column(row) for row in block.rows)

    def decode(self, data: bytes) -> dict[str, float]:
        """The block's values from its register bytes, which must be 2 × count. What the meter says
        it does not know is left out.
        """
        if self._reorder:
            data = bytes(self._reorder(data))
        values = {}
        for column, raw in zip(self._columns, self._unpack(data), strict=True):
            if raw == column.invalid:
                continue
            number = raw if column.number is None else column.number(raw)
            if number is None:
                continue
            if column.may_be_minus:
                number = self.sign.export(number, column.may_be_minus)
            value = number * column.times / column.over
            if column.bounds is not None:
                value = column.in_bounds(number, value)
            if value is not None and isfinite(value):
                values[column.quantity] = abs(value) if column.magnitude else value
        return values


def _format(block: Block) -> str:
    text, at = ">", block.address
    if any(row.apart for row in block.rows):
        return text + "".join(CODES[row.type] for row in block.rows)
    for row in block.rows:
        text += "xx" * (row.address - at) + CODES[row.type]
        at = row.end
    return text


def _reorder(block: Block) -> Callable[[bytes], tuple[int, ...]] | None:
    """What puts the words of 'little' values in big-endian order, and words together that lie
    apart; None where they are so already.
    """
    words = list(range(block.count))
    if any(row.apart for row in block.rows):
        apart = [at - block.address for row in block.rows for at in row.addresses]
        return itemgetter(*(2 * word + half for word in apart for half in (0, 1)))
    for row in block.rows:
        if row.word_order == "little":
            start, end = row.address - block.address, row.end - block.address
            words[start:end] = reversed(words[start:end])
    if words == sorted(words):
        return None
    return itemgetter(*(2 * word + half for word in words for half in (0, 1)))


def _times_and_over(factor: float) -> tuple[float, float]:
    # 0.1 has no exact double, 10 has: 2301 / 10 is 230.1, and 2301 × 0.1 is not.
    if 1e-15 < abs(factor) < 1 and abs(1 / factor - round(1 / factor)) < 1e-6:
        return 1.0, float(round(1 / factor))
    return factor, 1.0


def _column(row: Row) -> _Column:
    times, over = _times_and_over(row.factor)
    other = None if row.other_factor is None else _times_and_over(row.other_factor)
    invalid = None
    if row.invalid is not None:
        (invalid,) = struct.unpack(
            ">" + CODES[row.type], row.invalid.to_bytes(2 * row.words, "big")
        )
    number = FROM_DIGITS.get(row.type)
    return _Column(
        row.quantity,
        times,
        over,
        invalid,
        row.magnitude or row.quantity == "energy_export_wh",
        row.bounds,
        other,
        number,
        _UNSIGNED.get(row.type, 0) if row.quantity == "energy_export_wh" else 0,
    )


def add_sums(values: dict[str, float], sums: Mapping[str, Sum]) -> None:
    """Put in what is made of `values`, where all its parts are there."""
    for quantity, each in sums.items():
        if values.keys() >= {*each.parts}:
            values[quantity] = sum(values[part] for part in each.plus) - sum(
                values[part] for part in each.minus
            )


def decode_serial(spec: SerialNumber, data: bytes) -> str | None:
    """The meter's serial number as text; None where it says nothing (all zeros, all ones, or no
    printable character).
    """
    if not data.strip(b"\x00") or not data.strip(b"\xff"):
        return None
    if spec.word_order == "little":
        data = b"".join(data[i : i + 2] for i in range(len(data) - 2, -1, -2))
    if spec.type != "string":
        return str(int.from_bytes(data, "big"))
    text = "".join(chr(byte) for byte in data if 0x20 <= byte < 0x7F)
    return text.strip() or None
