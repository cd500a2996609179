"""What has been learned as bytes, and back, bit for bit. Pure.

magic, version · crc32 · JSON with what it is of, and the integers · the arrays, little-endian
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

import json
import sys
from array import array
from math import isfinite
from struct import Struct
from zlib import crc32

from gateway.energy.forecast.learned import ARRAYS, Learned, Rules, blank, sizes

VERSION = 3
"""Goes up whenever the numbers of `Learned`, or what they mean, change."""

_HEAD = Struct("<4sHHI")
_MAGIC = b"MGFC"
_INTEGERS = ("newest", "since_s", "known", "stale", "absurd")


def pack(learned: Learned) -> bytes:
    """All of it: below 20 kB at slots of 15 minutes."""
    text = json.dumps(
        [
            learned.slot_s,
            learned.kind,
            learned.identity,
            *(getattr(learned, name) for name in _INTEGERS),
        ],
        separators=(",", ":"),
    ).encode()
    body = text + b"".join(_little(getattr(learned, name)) for name in ARRAYS)
    return _HEAD.pack(_MAGIC, VERSION, len(text), crc32(body)) + body


def unpack(data: bytes, rules: Rules) -> Learned:
    """Raises ValueError with the reason where it is not what `rules` can go on from."""
    if len(data) < _HEAD.size or data[:4] != _MAGIC:
        raise ValueError("it is no state of a forecast")
    _, version, length, checksum = _HEAD.unpack_from(data)
    if version != VERSION:
        raise ValueError(f"it is of version {version}, and this is version {VERSION}")
    body = data[_HEAD.size :]
    if crc32(body) != checksum:
        raise ValueError("it is damaged, or cut short")
    slot_s, kind, identity, *integers = json.loads(body[:length])
    if slot_s != rules.slot_s:
        raise ValueError(f"its slots are of {slot_s} s, and now they are of {rules.slot_s} s")
    if kind != rules.kind:
        raise ValueError(f"it is of a {kind}, and now the asset is a {rules.kind}")
    if identity != rules.identity:
        raise ValueError(f"it is of {identity}, and now the asset is {rules.identity}")
    arrays: dict[str, array[float]] = {}
    at = length
    for name, (code, count) in sizes(rules).items():
        numbers = blank(code, 0)
        end = at + count * numbers.itemsize
        if end > len(body):
            raise ValueError("it is cut short")
        numbers.frombytes(body[at:end])
        arrays[name] = numbers if sys.byteorder == "little" else _swapped(numbers)
        at = end
    if at != len(body):
        raise ValueError("there is more in it than there should be")
    if not all(isfinite(each) for numbers in arrays.values() for each in numbers):
        raise ValueError("there are numbers in it that are none")
    newest, since_s, known, stale, absurd = integers
    return Learned(
        slot_s,
        kind,
        identity,
        newest,
        since_s,
        known,
        stale,
        absurd,
        arrays["slots"],
        arrays["profiles"],
        arrays["level"],
        arrays["rows"],
        arrays["regressions"],
        arrays["mixtures"],
        arrays["bands"],
        arrays["pending"],
        arrays["scores"],
    )


def _little(numbers: array[float]) -> bytes:
    return (numbers if sys.byteorder == "little" else _swapped(numbers)).tobytes()


def _swapped(numbers: array[float]) -> array[float]:
    copy = numbers[:]
    copy.byteswap()
    return copy
