"""How the values of a sample are packed into bytes. Pure.

Samples are most of what is written to the card. What slots are made of keeps all its digits, so
that a replay gives the same ones: it is a float64, or a float32 where that holds the very same
number, as it does of most registers. The rest is kept as float32.

    wide     each value, in the order of the layout
    tight    first 1 to 3 bytes, whose bit n is set where the n-th of the float64 is a float32

Values take multiples of four bytes, so that the length says which it is. Before version 6 of the
tables all were wide.
"""

import struct
from collections.abc import Iterable

_EXACT_ENDS = ("wh", "arh", "vah", "m3", "gj", "utc_s")
_EXACT = frozenset(("power_w", "power_import_w", "power_export_w"))
"""What the fold takes, beside registers."""

_MOST_FLAGGED = 24
"""The bits of three bytes. A sample with more of the float64 is kept wide."""

_MOST_SHAPES = 256
"""A meter has few: registers outgrow float32 once, and power is seldom held by it."""


class Packing:
    """Of samples of the same quantities, named in order."""

    def __init__(self, names: Iterable[str]) -> None:
        self._codes = [
            "d" if name.endswith(_EXACT_ENDS) or name in _EXACT else "f" for name in names
        ]
        self._exact = [n for n, code in enumerate(self._codes) if code == "d"]
        flagged = len(self._exact) if len(self._exact) <= _MOST_FLAGGED else 0
        self._head = -(-flagged // 8)
        self._narrow = struct.Struct(f"<{len(self._exact)}f")
        self._wide = struct.Struct("<" + "".join(self._codes))
        self._tight: dict[bytes, struct.Struct] = {}

    def pack(self, values: Iterable[float]) -> bytes:
        """Raises OverflowError where one that need not be exact is beyond float32."""
        numbers = tuple(values)
        exact = [numbers[n] for n in self._exact]
        try:
            narrow = self._narrow.unpack(self._narrow.pack(*exact))
        except OverflowError:  # one is beyond float32
            return self._wide.pack(*numbers)
        flags = sum(1 << n for n, each in enumerate(exact) if each == narrow[n])
        if not flags or not self._head:
            return self._wide.pack(*numbers)
        head = flags.to_bytes(self._head, "little")
        return self._shape(head).pack(head, *numbers)

    def unpack(self, data: bytes) -> tuple[float, ...]:
        """The values, in order. Raises ValueError where that is no sample of these quantities."""
        head = len(data) % 4
        try:
            if not head:
                return self._wide.unpack(data)
            if head == self._head:
                return self._shape(data[:head]).unpack(data)[1:]
        except struct.error:
            pass  # it has another length
        raise ValueError(f"{len(data)} bytes are no sample of {len(self._codes)} quantities")

    def _shape(self, head: bytes) -> struct.Struct:
        if head not in self._tight:
            if len(self._tight) >= _MOST_SHAPES:
                self._tight.clear()
            flags = int.from_bytes(head, "little")
            codes = list(self._codes)
            for n, place in enumerate(self._exact):
                if flags >> n & 1:
                    codes[place] = "f"
            self._tight[head] = struct.Struct(f"<{len(head)}s" + "".join(codes))
        return self._tight[head]
