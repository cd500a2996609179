"""A simulated SunSpec device: its chain of models as registers. Pure, but for pymodbus's names of
refusals.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pymodbus.constants import ExcCodes

from drivers.sunspec.chain import BASES, END_MODEL, MARKER
from drivers.sunspec.models import MODELS, Point

BASE = BASES[0]
INVERTER, METER = 103, 203
_LENGTHS = {INVERTER: 50, METER: 105}
_COMMON_LENGTH = 66
_SCALES = range(-2, 5)
_WORDS = {"int16": 1, "uint16": 1, "acc32": 2}
_FORMATS = {"int16": ">h", "uint16": ">H", "acc32": ">I"}


@dataclass(frozen=True, slots=True)
class SunSpecTwin:
    """A device of one model: INVERTER or METER. `values` (by quantity, import positive) are what it
    measures now.
    """

    model: int
    values: Callable[[], Mapping[str, float]]
    serial_number: int = 12345678

    def read(self, function: int, address: int, count: int) -> list[int] | ExcCodes:
        """The words of one read request, or why the device refuses it."""
        if function != 3:
            return ExcCodes.ILLEGAL_FUNCTION
        words = chain(self.model, self.values(), str(self.serial_number))
        if address < BASE or address + count > BASE + len(words):
            return ExcCodes.ILLEGAL_ADDRESS
        return words[address - BASE : address - BASE + count]


def chain(model: int, values: Mapping[str, float], serial_number: str) -> list[int]:
    """The whole map, from the marker to the end."""
    kind = "simulated inverter" if model == INVERTER else "simulated meter"
    common = [
        *_text("meter-gateway", 16),
        *_text(kind, 16),
        *_text("", 8),
        *_text("1", 8),
        *_text(serial_number, 16),
        1,
        0x8000,
    ]
    head = [int.from_bytes(MARKER[:2], "big"), int.from_bytes(MARKER[2:], "big"), 1, _COMMON_LENGTH]
    return [*head, *common, *_measurements(model, values), END_MODEL, 0]


def _text(word: str, registers: int) -> list[int]:
    return list(
        struct.unpack(
            f">{registers}H", word.encode("ascii")[: 2 * registers].ljust(2 * registers, b"\0")
        )
    )


def _measurements(model: int, values: Mapping[str, float]) -> list[int]:
    data = bytearray(
        struct.pack(
            f">{2 + _LENGTHS[model]}H", model, *([_LENGTHS[model]] + [0x8000] * _LENGTHS[model])
        )
    )
    by_scale: dict[int, list[Point]] = {}
    for point in MODELS[model].points:
        by_scale.setdefault(point.scale_at or 0, []).append(point)
    for scale_at, points in by_scale.items():
        numbers = {
            point: number
            for point in points
            if (number := _shown(model, point, values)) is not None
        }
        is_energy = points[0].type == "acc32"
        scale = (
            0
            if is_energy
            else next(
                s
                for s in _SCALES
                if all(abs(number) < 32767 * 10.0**s for number in numbers.values())
            )
        )
        struct.pack_into(">h", data, 2 * scale_at, scale)
        for at, packed in _packed(points, numbers, scale):
            data[2 * at : 2 * at + len(packed)] = packed
    return list(struct.unpack(f">{len(data) // 2}H", data))


def _shown(model: int, point: Point, values: Mapping[str, float]) -> float | None:
    """What the device shows: an inverter calls production positive; a power factor is in per
    cent.
    """
    number = values.get(point.quantity)
    if number is None:
        return None
    if point.signed_power and model == INVERTER:
        return -number
    return 100 * number if point.quantity == "power_factor" else number


def _packed(
    points: list[Point], numbers: Mapping[Point, float], scale: int
) -> Iterator[tuple[int, bytes]]:
    for point in points:
        number = numbers.get(point)
        if number is None:
            yield (
                point.at,
                b"\xff\xff"
                if point.type == "uint16"
                else b"\x80\x00" + b"\0\0" * (_WORDS[point.type] - 1),
            )
        elif point.type == "acc32":
            yield point.at, struct.pack(">I", int(number) % 2**32)
        else:
            yield point.at, struct.pack(_FORMATS[point.type], round(number / 10**scale))
