"""A day's fees by the quarter of an hour, as the exchange's template has them. Pure.

    Time;Community;House 1
    00:00:00;0,42;1,68            96 such rows; in a spreadsheet the sheet "ToU"

Columns without a name may hold notes, but no numbers.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from drivers.strict_yaml import nearest
from drivers.yaml_words import shortened
from gateway.operator.fee import Fee, FeeType
from gateway.operator.tariffs.cells import (
    DAY_S,
    Cell,
    Findings,
    Row,
    Sheet,
    cell_at,
    filled,
    is_number,
    time_of_day_s,
    time_text,
)

QUARTER_S = 900
QUARTERS = DAY_S // QUARTER_S

SHEET = "ToU"

MAX_NAMED = 8
"""So many of the missing quarters of an hour are named."""


class DayTariff(Struct, frozen=True):
    """The fees of each market, by the quarter of an hour since midnight."""

    fees: Mapping[str, Sequence[Fee]]


def day_tariff(sheets: Sequence[Sheet], type_: FeeType, found: Findings) -> DayTariff | None:
    """The tariff that a file holds. None where it has mistakes, all of which are noted."""
    rows = _table(sheets, found)
    if not rows:
        return None

    before = len(found.problems)
    columns = list(_columns(rows, found))
    by_quarter = _by_quarter(rows, found)
    fees = {
        name: [found.fee(cell_at(row, column), type_) for _, row in sorted(by_quarter.items())]
        for column, name in columns
    }
    if len(found.problems) > before:
        return None
    return DayTariff({name: [fee for fee in day if fee is not None] for name, day in fees.items()})


def _table(sheets: Sequence[Sheet], found: Findings) -> list[Row]:
    """The rows of the one table there is, its header first. Nothing where there is none."""
    names = [sheet.name for sheet in sheets]
    sheet = next((each for each in sheets if each.name in ("", SHEET)), None)
    if sheet is None:
        found.note_line(0, f"there is no sheet {SHEET!r}", nearest(SHEET, names))
        return []

    rows = list(filled(sheet.rows))
    if not rows:
        what = f"the sheet {SHEET!r} is empty" if sheet.name else "the file is empty"
        found.note_line(0, what, f"a first row Time, Market, …, and {QUARTERS} rows of fees")
        return []

    header = rows[0]
    if header[0].text.lower() != "time":
        found.note(header[0], f"found {shortened(header[0].text)}", _first_column(header))
        return []
    return rows


def _first_column(header: Row) -> str:
    """What to do where the first row does not begin with Time."""
    text = header[0].text
    separator = next((s for s in (",", "\t") if text.lower().startswith(f"time{s}")), None)
    if separator is not None:
        return f"columns are separated by a semicolon, not by {separator!r}"
    return "the first row is Time and the markets' names: Time;Community;Grid"


def _columns(rows: Sequence[Row], found: Findings) -> Iterator[tuple[int, str]]:
    """The number and the market of each column of fees."""
    header, width = rows[0], max(len(row) for row in rows)
    seen: dict[str, Cell] = {}
    gap = next((n for n in range(1, width) if cell_at(header, n).is_empty), width)
    for column in range(1, width):
        head = cell_at(header, column)
        cells = [cell_at(row, column) for row in rows[1:]]
        numbers = [cell for cell in cells if is_number(cell)]
        # Beyond the table there may be notes, and a number among them.
        is_of_table = column <= gap or len(numbers) > len(cells) / 2

        if not is_of_table:
            continue
        if head.is_empty:
            if numbers:
                hint = "name the column's market in the first row, or empty the column"
                found.note(numbers[0], f"{numbers[0].text} stands under no market's name", hint)
            continue

        if head.text in seen:
            message = f"the market {shortened(head.text)} has two columns"
            found.note(head, message, f"the first is {seen[head.text].at}; keep one of them")
            continue
        seen[head.text] = head
        if all(cell.is_empty for cell in cells) and cells:
            message = f"the market {shortened(head.text)} has no fees"
            hint = "fill it (a formula counts once it is calculated), or take its name away"
            found.note(head, message, hint)
            continue
        yield column, head.text

    if not seen:
        found.note(header[0], "there is no market", "name one in each further column: Time;Grid")


def _by_quarter(rows: Sequence[Row], found: Findings) -> Mapping[int, Row]:
    """The rows by their quarters of an hour. What stands below the first row."""
    by_quarter: dict[int, Row] = {}
    before = len(found.problems)
    for row in rows[1:]:
        quarter = _quarter(row, found)
        if quarter is None:
            continue
        if quarter in by_quarter:
            first = by_quarter[quarter][0]
            where = f"line {first.line}" if first.line else first.at
            at = time_text(quarter * QUARTER_S)
            found.note(row[0], f"{at} is there twice, first in {where}", "keep one")
        else:
            by_quarter[quarter] = row

    missing = [q for q in range(QUARTERS) if q not in by_quarter]
    # A row whose time is wrong is told; that its quarter is missing says the same.
    if len(missing) > len(found.problems) - before:
        last = max((q for q in by_quarter if q < missing[0]), default=None)
        _note_missing(missing, (rows[0] if last is None else by_quarter[last])[0], found)
    return by_quarter


def _quarter(row: Row, found: Findings) -> int | None:
    """Which quarter of an hour since midnight a row is of. None where it is of none."""
    cell = row[0]
    if cell.is_empty:
        if any(is_number(each) for each in row):
            found.note(cell, "there is no time", "write the row's time, such as 07:15")
        return None
    try:
        second = time_of_day_s(cell.value)
    except ValueError as error:
        message, _, hint = str(error).partition(" — ")
        found.note(cell, message, hint)
        return None

    quarter, rest = divmod(second, QUARTER_S)
    if rest:
        hint = "use 00:00, 00:15, 00:30 and so on"
        found.note(cell, f"{cell.text} begins no quarter of an hour", hint)
        return None
    return quarter


def _note_missing(missing: Sequence[int], after: Cell, found: Findings) -> None:
    named = ", ".join(time_text(q * QUARTER_S) for q in missing[:MAX_NAMED])
    more = ", …" if len(missing) > MAX_NAMED else ""
    plural = "s" if len(missing) > 1 else ""
    message = f"below this, {len(missing)} quarter{plural} of an hour missing: {named}{more}"
    found.note(after, message, "a day has 96 rows")
