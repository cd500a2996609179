"""The SunSpec models that are read, and their registers → values. Pure.

Offsets count from the register that holds the model's number, as in the SunSpec Alliance's model
definitions (models 101–103, 111–113, 201–204, 211–214, 701). A point's scale factor is a power of
ten in a register of its own; it may change at any time, so both are decoded from the same reply.
Model 160 (what each string of modules brings) and all others are walked past: they measure direct
current or describe settings.

A point that is not implemented says so by its bits (SunSpec Information Model Specification, "not
implemented" values): it is missing then, not zero. An accumulator of an inverter that is 0 counts
as missing too, for so the specification marks it, and some inverters show 0 while they sleep. A
meter's totals are mandatory: their 0 is a zero.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from drivers.export_sign import ExportSign

PointType = Literal["int16", "uint16", "uint32", "acc32", "uint64", "float32"]

_FORMATS: Mapping[PointType, str] = {
    "int16": ">h",
    "uint16": ">H",
    "uint32": ">I",
    "acc32": ">I",
    "uint64": ">Q",
    "float32": ">f",
}
_NOT_IMPLEMENTED: Mapping[PointType, tuple[int, ...]] = {
    "int16": (-0x8000,),
    "uint16": (0xFFFF,),
    "uint32": (0xFFFFFFFF,),
    "acc32": (
        0x80000000,
        0xFFFFFFFF,
    ),  # besides 0; some devices mark it as other 32-bit numbers are marked
    "uint64": (0xFFFFFFFFFFFFFFFF,),
    "float32": (),  # it is a NaN
}
_UNSIGNED: Mapping[PointType, int] = {"acc32": 32, "uint32": 32, "uint64": 64}
"""Types whose upper half may be minus something, and their bits."""

_MAX_SCALE = 10
"""A scale factor is from -10 to 10 (the same specification, "sunssf"); -0x8000 says that there is
none.
"""


@dataclass(frozen=True, slots=True)
class Point:
    """One value: where it is, as what, and where its scale factor is (None: it has none).

    `signed_power` marks power, whose sign is the device's own convention. `zero_is_missing` marks
    accumulators whose 0 says nothing.
    """

    quantity: str
    at: int
    type: PointType
    scale_at: int | None = None
    signed_power: bool = False
    zero_is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """One model: the part of a device that it describes, and the `count` registers, from its number
    on, that are read in one request.
    """

    part: Literal["inverter", "meter"]
    count: int
    points: tuple[Point, ...]
    floats: bool = False


def _phases(
    quantity: str,
    first: int,
    step: int,
    kind: PointType,
    scale_at: int | None = None,
    *,
    power: bool = False,
) -> Iterable[Point]:
    """The same for three phases; `{}` stands for l1, l2, l3."""
    for n in range(3):
        yield Point(
            quantity.format(f"l{n + 1}"), first + n * step, kind, scale_at, signed_power=power
        )


def _between(
    first: int, step: int, kind: PointType, scale_at: int | None = None
) -> Iterable[Point]:
    """The voltages between phases."""
    for n, pair in enumerate(("l1_l2", "l2_l3", "l3_l1")):
        yield Point(f"voltage_{pair}_v", first + n * step, kind, scale_at)


_INVERTER = Model(
    "inverter",
    27,
    (
        Point("energy_export_wh", 24, "acc32", 26, zero_is_missing=True),
        Point("power_w", 14, "int16", 15, signed_power=True),
        Point("current_a", 2, "uint16", 6),
        *_phases("current_{}_a", 3, 1, "uint16", 6),
        *_between(7, 1, "uint16", 13),
        *_phases("voltage_{}_v", 10, 1, "uint16", 13),
        Point("frequency_hz", 16, "uint16", 17),
        Point("apparent_power_va", 18, "int16", 19),
        Point("reactive_power_var", 20, "int16", 21, signed_power=True),
        Point("power_factor", 22, "int16", 23),
    ),
)
_FLOAT_INVERTER = Model(
    "inverter",
    34,
    (
        Point("energy_export_wh", 32, "float32", zero_is_missing=True),
        Point("power_w", 22, "float32", signed_power=True),
        Point("current_a", 2, "float32"),
        *_phases("current_{}_a", 4, 2, "float32"),
        *_between(10, 2, "float32"),
        *_phases("voltage_{}_v", 16, 2, "float32"),
        Point("frequency_hz", 24, "float32"),
        Point("apparent_power_va", 26, "float32"),
        Point("reactive_power_var", 28, "float32", signed_power=True),
        Point("power_factor", 30, "float32"),
    ),
    floats=True,
)
_METER = Model(
    "meter",
    55,
    (
        Point("energy_import_wh", 46, "acc32", 54),
        Point("energy_export_wh", 38, "acc32", 54),
        Point("power_w", 18, "int16", 22, signed_power=True),
        *_phases("power_{}_w", 19, 1, "int16", 22, power=True),
        Point("current_a", 2, "int16", 6),
        *_phases("current_{}_a", 3, 1, "int16", 6),
        Point("voltage_v", 7, "int16", 15),
        *_phases("voltage_{}_v", 8, 1, "int16", 15),
        Point("voltage_ll_v", 11, "int16", 15),
        *_between(12, 1, "int16", 15),
        Point("frequency_hz", 16, "int16", 17),
        Point("apparent_power_va", 23, "int16", 27),
        Point("reactive_power_var", 28, "int16", 32, signed_power=True),
        Point("power_factor", 33, "int16", 37),
    ),
)
_FLOAT_METER = Model(
    "meter",
    70,
    (
        Point("energy_import_wh", 68, "float32"),
        Point("energy_export_wh", 60, "float32"),
        Point("power_w", 28, "float32", signed_power=True),
        *_phases("power_{}_w", 30, 2, "float32", power=True),
        Point("current_a", 2, "float32"),
        *_phases("current_{}_a", 4, 2, "float32"),
        Point("voltage_v", 10, "float32"),
        *_phases("voltage_{}_v", 12, 2, "float32"),
        Point("voltage_ll_v", 18, "float32"),
        *_between(20, 2, "float32"),
        Point("frequency_hz", 26, "float32"),
        Point("apparent_power_va", 36, "float32"),
        Point("reactive_power_var", 44, "float32", signed_power=True),
        Point("power_factor", 52, "float32"),
    ),
    floats=True,
)
# 23 registers per phase, then the scale factors. What an inverter draws itself, or charges a
# battery with, is absorbed energy.
_DER = Model(
    "inverter",
    121,
    (
        Point("energy_import_wh", 23, "uint64", 120),
        Point("energy_export_wh", 19, "uint64", 120),
        Point("power_w", 10, "int16", 116, signed_power=True),
        *_phases("power_{}_w", 41, 23, "int16", 116, power=True),
        Point("current_a", 14, "int16", 113),
        *_phases("current_{}_a", 45, 23, "int16", 113),
        Point("voltage_v", 16, "int16", 114),
        *_phases("voltage_{}_v", 47, 23, "int16", 114),
        Point("voltage_ll_v", 15, "int16", 114),
        *_between(46, 23, "int16", 114),
        Point("frequency_hz", 17, "uint32", 115),
        Point("apparent_power_va", 11, "int16", 118),
        Point("reactive_power_var", 12, "int16", 119, signed_power=True),
        Point("power_factor", 13, "uint16", 117),
    ),
)

MODELS: Mapping[int, Model] = {
    **dict.fromkeys((101, 102, 103), _INVERTER),
    **dict.fromkeys((111, 112, 113), _FLOAT_INVERTER),
    **dict.fromkeys((201, 202, 203, 204), _METER),
    **dict.fromkeys((211, 212, 213, 214), _FLOAT_METER),
    701: _DER,
}
"""Model number → what is read of it. Models of one row differ in how many phases they implement,
not in their registers.
"""


def decode(
    model: Model, data: bytes, *, power_is_export: bool, sign: ExportSign | None = None
) -> dict[str, float]:
    """A model's values from its first `count` registers (2 × count bytes). What is not implemented
    is left out.

    `power_is_export`: the device calls exported power positive; ours is positive when it is
    imported. `sign`: what is known of the device's export register.
    """
    sign = sign or ExportSign()
    values: dict[str, float] = {}
    for point in model.points:
        value = _value(point, data, sign)
        if value is None:
            continue
        if point.signed_power and power_is_export:
            value = -value or 0.0  # no negative zero
        if point.quantity == "power_factor" and abs(value) > 1:
            value /= 100  # per cent by the specification; some devices send the factor itself
        values[point.quantity] = value
    return values


def _value(point: Point, data: bytes, sign: ExportSign) -> float | None:
    (raw,) = struct.unpack_from(_FORMATS[point.type], data, 2 * point.at)
    if (
        raw in _NOT_IMPLEMENTED[point.type]
        or not isfinite(raw)
        or (raw == 0 and point.zero_is_missing)
    ):
        return None
    if point.quantity == "energy_export_wh" and point.type in _UNSIGNED:
        raw = sign.export(raw, _UNSIGNED[point.type])
    scale = 0
    if point.scale_at is not None:
        (scale,) = struct.unpack_from(">h", data, 2 * point.scale_at)
    if abs(scale) > _MAX_SCALE:
        return None
    # 0.1 has no exact double, 10 has: 2301 / 10 is 230.1, and 2301 × 0.1 is not.
    return float(raw * 10**scale) if scale >= 0 else raw / 10**-scale
