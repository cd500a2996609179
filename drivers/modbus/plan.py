"""Register table → the fewest block reads. Pure.

A request costs about as much as 40 registers, so neighbours are read together, and so is what lies
across a hole where the meter allows it and the hole is cheaper than another request. A value is
never cut in two: its words would be of two instants.
"""

from collections.abc import Iterable
from itertools import accumulate

import msgspec

from drivers.modbus.settings import UNITS, WORDS, Settings, Type, WordOrder

_FRAME_CHARS = 8 + 5
"""Characters of a request, and of a reply beside its registers (Modbus over Serial Line V1.02,
2.3).
"""

_SILENCE_CHARS = 2 * 3.5
"""Silence that ends both frames (the same, 2.5.1.1)."""

_LATENCY_S = 0.02
"""What a meter takes to think, at the quick end."""

_NETWORK_CHAR_S = 10 / 9600
"""Behind most network lines there is an adapter and an RS485 bus, whose pace we cannot see."""


class Row(msgspec.Struct, frozen=True):
    """One value of the register table, with nothing left to be looked up. The raw number times
    `factor` is in the quantity's own unit.
    """

    quantity: str
    address: int
    type: Type
    word_order: WordOrder
    factor: float
    invalid: int | None
    magnitude: bool = False
    bounds: tuple[float, float] | None = None
    """What the value can be, in the quantity's own unit."""
    other_factor: float | None = None
    """The factor of other models, where the value is not in bounds."""
    apart: tuple[int, ...] = ()
    """The addresses of its words, the most significant one first, where they lie apart. `address`
    is the lowest of them.
    """

    @property
    def words(self) -> int:
        """Registers it takes."""
        return WORDS[self.type]

    @property
    def addresses(self) -> tuple[int, ...]:
        """Of its words, the most significant one first."""
        if self.apart:
            return self.apart
        addresses = range(self.address, self.end)
        return tuple(addresses if self.word_order == "big" else reversed(addresses))

    @property
    def end(self) -> int:
        """The address after its last register."""
        return max(self.apart) + 1 if self.apart else self.address + self.words


class Block(msgspec.Struct, frozen=True):
    """One read request: `count` registers from `address` on, which hold `rows` (sorted by
    address).
    """

    function: int
    address: int
    count: int
    rows: tuple[Row, ...]


def plan(settings: Settings, char_s: float) -> tuple[Block, ...]:
    """The block reads that bring every row once, in the least time, on a line where a character
    takes `char_s` seconds (0: a network).
    """
    char_s = char_s or _NETWORK_CHAR_S
    request_s = (_FRAME_CHARS + _SILENCE_CHARS) * char_s + max(
        _LATENCY_S, settings.turnaround_ms / 1000
    )
    by_function: dict[int, list[Row]] = {}
    for quantity, row in settings.registers.items():
        rows = by_function.setdefault(settings.function_of(row), [])
        factor = settings.factor_of(quantity, row)
        kind, order = settings.type_of(row), settings.word_order_of(row)
        times = UNITS[row.unit][1]
        rows.append(
            Row(
                quantity,
                min(settings.addresses_of(row)),
                kind,
                order,
                factor,
                row.invalid,
                row.magnitude,
                bounds=(row.between[0] * times, row.between[1] * times) if row.between else None,
                other_factor=None if row.or_scale is None else factor / row.scale * row.or_scale,
                apart=() if row.high_address is None else settings.addresses_of(row),
            )
        )
    return tuple(
        block
        for function, rows in sorted(by_function.items())
        for block in _cover(
            function, rows, settings.max_registers, settings.holes, request_s / (2 * char_s)
        )
    )


def _cover(
    function: int, rows: Iterable[Row], limit: int, holes: bool, request_cost: float
) -> list[Block]:
    """The cheapest way to cut the sorted rows into blocks. Costs are in registers; `request_cost`
    is what a request adds to its own.
    """
    rows = sorted(rows, key=lambda row: row.address)
    # Where words lie apart, other rows may lie between them.
    reached = list(accumulate((row.end for row in rows), max))
    best: list[tuple[float, int]] = [
        (0.0, 0)
    ]  # [n]: cost of the first n rows, and where their last block begins
    for stop in range(1, len(rows) + 1):
        choices = []
        end = 0
        for start in range(stop - 1, -1, -1):
            end = max(end, rows[start].end)
            count = end - rows[start].address
            reaches_over_hole = start + 1 < stop and reached[start] < rows[start + 1].address
            if count > limit or (reaches_over_hole and not holes):
                break
            choices.append((best[start][0] + request_cost + count, start))
        best.append(min(choices))
    blocks: list[Block] = []
    stop = len(rows)
    while stop:
        start = best[stop][1]
        blocks.append(_block(function, rows[start:stop]))
        stop = start
    return blocks[::-1]


def _block(function: int, rows: Iterable[Row]) -> Block:
    rows = tuple(rows)
    return Block(function, rows[0].address, max(row.end for row in rows) - rows[0].address, rows)


def split(block: Block) -> tuple[Block, ...]:
    """A block that the meter refuses, in two: at its widest hole, or else in the middle. Nothing
    where it holds a single row.
    """
    rows = block.rows
    if len(rows) == 1:
        return ()
    middle = block.address + block.count / 2
    widest = max(
        range(1, len(rows)),
        key=lambda i: (rows[i].address - rows[i - 1].end, -abs(rows[i].address - middle)),
    )
    return _block(block.function, rows[:widest]), _block(block.function, rows[widest:])
