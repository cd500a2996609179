"""A tariff file as rows of cells that know where they stand. Pure."""

import re
from collections.abc import Iterator, Sequence
from string import ascii_uppercase

from msgspec import Struct, field

from drivers.strict_yaml import Problem
from drivers.yaml_words import shortened
from gateway.operator.fee import Fee, FeeError, FeeType, fee_written, number_of

DAY_S = 86400

_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.0+)?)?")


class Cell(Struct, frozen=True):
    """One value, and where it is: a line of a text file, or a cell's name in a spreadsheet."""

    value: object
    line: int
    at: str

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written there, or blanks only."""
        return self.value is None or (isinstance(self.value, str) and not self.value.strip())

    @property
    def text(self) -> str:
        """What is written there, without blanks around it; empty where nothing is."""
        return "" if self.value is None else str(self.value).strip()


Row = Sequence[Cell]


class Sheet(Struct, frozen=True):
    """One table of a file. A text file has one, without a name."""

    name: str
    rows: Sequence[Row]


MAX_TOLD = 20
"""So many mistakes of a file are told: a column that is wrong has 96."""


class Findings(Struct):
    """All that is wrong with one file."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    @property
    def told(self) -> list[Problem]:
        """The first mistakes, in the order of the file, and how many more there are."""
        first = sorted(self.problems, key=lambda problem: problem.line)[:MAX_TOLD]
        more = len(self.problems) - len(first)
        if more:
            message = f"{more} more mistakes are not shown"
            first.append(Problem(self.file, first[-1].line, "", message, "mend these first"))
        return first

    def note(self, cell: Cell, message: str, hint: str = "") -> None:
        """What is wrong with one cell."""
        self.problems.append(Problem(self.file, cell.line, cell.at, message, hint))

    def note_line(self, line: int, message: str, hint: str = "", at: str = "") -> None:
        """What is wrong with a line, or (0) with the file as a whole."""
        self.problems.append(Problem(self.file, line, at, message, hint))

    def fee(self, cell: Cell, type_: FeeType) -> Fee | None:
        """The fee in a cell: a number, or text that is one, as spreadsheets often have it. None
        where there is none, which is noted.
        """
        if cell.is_empty:
            hint = "write a number; a formula has one once it is calculated and saved"
            self.note(cell, "there is no fee", hint)
            return None
        try:
            return fee_written(cell.value, type_)
        except FeeError as error:
            message, _, hint = str(error).partition(" — ")
            self.note(cell, message, hint)
            return None


def is_number(cell: Cell) -> bool:
    """Whether it may be meant as a fee."""
    try:
        number_of(cell.value)
    except FeeError:
        return False
    return True


def time_of_day_s(value: object) -> int:
    """Seconds since midnight of `7:15`, `07:15:00`, or (as spreadsheets have it) a fraction of a
    day. Raises ValueError("what is wrong — what to do").
    """
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError(f"{shortened(str(value))} is no time — such as 07:15 or 07:15:00")
    if not 0 <= seconds < DAY_S:
        raise ValueError(f"{shortened(str(value))} is no time of a day — from 00:00 to 23:45")
    return seconds


def _seconds(value: object) -> int | None:
    if isinstance(value, str):
        match = _TIME.fullmatch(value.strip())
        if match is None:
            return None
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return hours * 3600 + minutes * 60 + seconds if minutes < 60 and seconds < 60 else None
    if isinstance(value, float) and 0 <= value < 1:
        return round(value * DAY_S)
    return 0 if value == 0 and not isinstance(value, bool) else None


def time_text(second_of_day: int) -> str:
    """`07:15`."""
    return f"{second_of_day // 3600:02}:{second_of_day % 3600 // 60:02}"


def filled(rows: Sequence[Row]) -> Iterator[Row]:
    """The rows in which anything stands."""
    return (row for row in rows if any(not cell.is_empty for cell in row))


def cell_at(row: Row, column: int) -> Cell:
    """A cell of a row, counted from 0. Rows may be shorter than others."""
    if column < len(row):
        return row[column]
    first = row[0]
    if first.line:
        return Cell(None, first.line, f"column {column + 1}")
    sheet, _, name = first.at.rpartition("!")
    return Cell(None, 0, f"{sheet}!{_letters(column)}{name.lstrip(ascii_uppercase)}")


def _letters(column: int) -> str:
    """A column's name in a spreadsheet: A to Z, AA and so on."""
    above, letter = divmod(column, 26)
    return (_letters(above - 1) if above else "") + ascii_uppercase[letter]
