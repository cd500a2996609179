"""Everything that a few registers can mean, side by side: for whoever writes a profile beside the
meter's display. Pure.
"""

import struct
from collections.abc import Iterator, Sequence

from drivers.modbus.codec import CODES
from drivers.modbus.digits import FROM_DIGITS
from drivers.modbus.settings import Type


def decodings(data: bytes) -> Iterator[tuple[str, list[str]]]:
    """For each way to read the bytes (hex, text, every type in both word orders): its name, and
    what begins at each register.

    Empty where a value would reach beyond the registers there are.
    """
    words = [data[at : at + 2] for at in range(0, len(data) - 1, 2)]
    yield "hex", [word.hex().upper() for word in words]
    yield (
        "text",
        ["".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in word) for word in words],
    )
    for kind, code in CODES.items():
        length = struct.calcsize(code) // 2
        for order in ("big", "little") if length > 1 else ("",):
            parts = [words[n : n + length] for n in range(len(words))]
            yield (
                f"{kind} {order}".strip(),
                [_value(kind, order, part) if len(part) == length else "" for part in parts],
            )


def _value(kind: Type, order: str, words: Sequence[bytes]) -> str:
    (value,) = struct.unpack(
        ">" + CODES[kind], b"".join(words[::-1] if order == "little" else words)
    )
    if kind in FROM_DIGITS:
        number = FROM_DIGITS[kind](value)
        return "" if number is None else str(number)
    # As many digits as the type has: 7 and 15.
    return (
        f"{value:.7g}"
        if kind == "float32"
        else f"{value:.15g}"
        if kind == "float64"
        else str(value)
    )
