"""Past slots of markets in a file, for replaying models: what flowed, and what was charged. Pure.

    slot_utc,market,import_kwh,export_kwh,traded_kwh,revenue_cents,average_rate,load_kwh,fee
    2026-11-28T17:00:00Z,Community,12.5,0,14.1,46.4,31.2,,3.25

The columns may stand in any order, and others among them; only the first two are needed. An empty
cell is not known, which is not zero. Columns are separated by a comma or, then also with decimal
commas, by a semicolon.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from msgspec import Struct, field

from drivers.strict_yaml import nearest
from drivers.yaml_words import shortened
from gateway.operator.fee import FeeError, number_of
from gateway.operator.statistics import Statistics
from gateway.operator.tariffs.cells import Cell, Findings

NUMBERS = (
    *("import_kwh", "export_kwh", "traded_kwh", "revenue_cents", "average_rate", "load_kwh"),
    "fee",
)
COLUMNS = ("slot_utc", "market", *NUMBERS)

SIGNED = ("revenue_cents", "average_rate", "load_kwh")
"""What may be negative."""

MAX_ROWS = 500_000
"""Five markets for nearly three years, or fifty for three months; 200 MB of memory."""

DEFAULT_SLOT_S = 900


class PastSlot(Struct, frozen=True, kw_only=True):
    """One market's slot."""

    statistics: Statistics
    load_kwh: float | None = None
    """Through the feeder, by this gateway's own meters; positive is drawn."""
    fee: float | None = None
    """What was charged."""

    @property
    def charged_kwh(self) -> float | None:
        """The energy that the fee was charged on: all that was traded, or else what flowed in and
        out. None where neither is known.
        """
        told = self.statistics
        if told.traded_kwh is not None:
            return told.traded_kwh
        if told.import_kwh is None or told.export_kwh is None:
            return None
        return told.import_kwh + told.export_kwh


class Past(Struct, frozen=True, kw_only=True):
    """The slots of each market, by their begins."""

    markets: Mapping[str, Mapping[int, PastSlot]]
    slot_s: int
    """How long a slot is."""
    starts: Sequence[int] = field(default_factory=tuple)
    """Every slot from the first to the last, those of which nothing is known among them."""


def past_slots(text: str, found: Findings) -> Past | None:
    """What a file holds. None where it has mistakes, all of which are noted."""
    header, _, _ = text.partition("\n")
    delimiter = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    markets: dict[str, dict[int, PastSlot]] = {}
    try:
        columns = _columns(next(reader, []), found)
        if columns is None:
            return None
        for row in reader:
            if any(cell.strip() for cell in row):
                _read(row, reader.line_num, columns, markets, found)
            if reader.line_num > MAX_ROWS:
                found.note_line(reader.line_num, "there are more rows", f"at most {MAX_ROWS}")
                return None
    except csv.Error as error:
        found.note_line(reader.line_num, f"cannot be read: {error}", "check its quotes")

    if not markets and not found.problems:
        found.note_line(1, "there is no slot", f"a row for each: {','.join(COLUMNS)}")
    return None if found.problems else _past(markets, found)


def _columns(header: Sequence[str], found: Findings) -> Mapping[str, int] | None:
    """Where each column stands."""
    names = [name.strip().lower() for name in header]
    for name in COLUMNS[:2]:
        if name not in names:
            found.note_line(1, f"there is no column {name}", nearest(name, names))
    for name in COLUMNS:
        if names.count(name) > 1:
            found.note_line(1, f"the column {name} is there twice", "keep one of them")
    return (
        None if found.problems else {name: names.index(name) for name in COLUMNS if name in names}
    )


def _read(
    row: Sequence[str],
    line: int,
    columns: Mapping[str, int],
    markets: dict[str, dict[int, PastSlot]],
    found: Findings,
) -> None:
    cells = {
        name: Cell(row[n] if n < len(row) else None, line, name) for name, n in columns.items()
    }
    slot_s = _slot_s(cells["slot_utc"], found)
    numbers = {name: _number(cell, found) for name, cell in cells.items() if name in NUMBERS}
    market = cells["market"]
    if market.is_empty:
        found.note(market, "there is no market", "the market's name, as the registry has it")
    if slot_s is None or market.is_empty:
        return

    slots = markets.setdefault(market.text, {})
    if slot_s in slots:
        found.note(market, f"this slot of {shortened(market.text)} is there twice", "keep one")
    load_kwh, fee = numbers.pop("load_kwh", None), numbers.pop("fee", None)
    slots[slot_s] = PastSlot(statistics=Statistics(**numbers), load_kwh=load_kwh, fee=fee)


def _slot_s(cell: Cell, found: Findings) -> int | None:
    try:
        at = datetime.fromisoformat(cell.text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        hint = "such as 2026-11-28T17:00Z; without a zone it is UTC"
        found.note(cell, f"{shortened(cell.text)} is no time", hint)
        return None
    if not seconds.is_integer() or seconds < 0:
        found.note(cell, f"{shortened(cell.text)} begins no slot", "whole seconds, from 1970 on")
        return None
    return int(seconds)


def _number(cell: Cell, found: Findings) -> float | None:
    if cell.is_empty:
        return None
    try:
        number = float(number_of(cell.value))
    except FeeError as error:
        message, _, _ = str(error).partition(" — ")
        found.note(cell, message, "digits, or nothing where it is not known")
        return None
    if number < 0 and cell.at not in SIGNED:
        found.note(cell, f"{number:g} is negative", "imports and exports are counted from 0 up")
    return number


def _past(markets: Mapping[str, Mapping[int, PastSlot]], found: Findings) -> Past | None:
    starts = sorted({start for slots in markets.values() for start in slots})
    steps = [later - earlier for earlier, later in pairwise(starts)]
    slot_s = min(steps, default=DEFAULT_SLOT_S)
    odd = next((n for n, step in enumerate(steps, start=1) if step % slot_s), None)
    if odd is not None:
        at = datetime.fromtimestamp(starts[odd], UTC).isoformat()
        found.note_line(0, f"{at} begins no slot of {slot_s} s", "every slot is equally long")
        return None

    count = (starts[-1] - starts[0]) // slot_s + 1
    if count * len(markets) > MAX_ROWS:
        message = f"{count} slots of {len(markets)} markets from the first to the last"
        found.note_line(0, message, f"at most {MAX_ROWS} together: cut the file")
        return None
    every = range(starts[0], starts[-1] + 1, slot_s)
    return Past(markets=markets, slot_s=slot_s, starts=every)


def in_order(past: Past, market: str) -> Iterator[tuple[int, PastSlot | None]]:
    """Every slot of a market. None where nothing is known."""
    slots = past.markets[market]
    return ((start, slots.get(start)) for start in past.starts)
