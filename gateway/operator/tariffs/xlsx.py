"""`python -m gateway.operator.tariffs.xlsx FILE`: the cells of a spreadsheet, as JSON.

    {"ToU": [[["A1", "Time"], ["B1", "Grid"]], …], …}

It is a program, so that its memory is given back. Times are written as text. It ends with 1 where
the file is no spreadsheet, and the last line of standard error says why.
"""

import json
import resource
import sys
import warnings
import zipfile
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path

MAX_UNPACKED_BYTES = 16 << 20
"""A small archive can hold a large one. Templates have some 100 kB."""

MAX_DATA_BYTES = 80 << 20
"""Of memory. The service has 128 MB, of which the daemon that waits for us takes 40."""

MAX_SHEETS = 500
MAX_ROWS = 1000
MAX_COLUMNS = 500
"""What stands beyond is not looked at: a day has 96 rows."""

MAX_CELLS = 100_000
"""All together: a day of a thousand markets."""


def cells(path: Path) -> dict[str, list[list[tuple[str, object]]]]:
    """The rows of each sheet, by its name. Raises ValueError, and whatever openpyxl does."""
    with zipfile.ZipFile(path) as archive:
        if sum(each.file_size for each in archive.infolist()) > MAX_UNPACKED_BYTES:
            raise ValueError(f"unpacked it is larger than {MAX_UNPACKED_BYTES} bytes")

    import openpyxl  # type: ignore[import-untyped]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a sheet holds beside its cells
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        found: dict[str, list[list[tuple[str, object]]]] = {}
        count = 0
        for sheet in book.worksheets[:MAX_SHEETS]:
            rows = found[sheet.title] = []
            for row in _rows(sheet):
                rows.append(row)
                count += len(row)
                if count > MAX_CELLS:
                    raise ValueError(f"it has more than {MAX_CELLS} cells")
        return found


def _rows(sheet: object) -> Iterator[list[tuple[str, object]]]:
    from openpyxl.utils import get_column_letter  # type: ignore[import-untyped]

    rows = sheet.iter_rows(  # type: ignore[attr-defined]  # openpyxl has no types
        max_row=MAX_ROWS, max_col=MAX_COLUMNS, values_only=True
    )
    for n, row in enumerate(rows, start=1):
        # Rows come as wide as was asked for. What is empty at their ends says nothing.
        width = max((c for c, value in enumerate(row, start=1) if value is not None), default=0)
        if width:
            yield [(f"{get_column_letter(c + 1)}{n}", _plain(row[c])) for c in range(width)]


def _plain(value: object) -> object:
    """What JSON takes. A time becomes the text of the nearest second."""
    if isinstance(value, datetime | time):
        second = value.hour * 3600 + value.minute * 60 + value.second
        return _time_text(second + round(value.microsecond / 1e6))
    if isinstance(value, timedelta):
        return _time_text(round(value.total_seconds()))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _time_text(second: int) -> str:
    """Beyond 23:59:59 it is no time of a day, which is said where it is looked for."""
    return f"{second // 3600:02}:{second % 3600 // 60:02}:{second % 60:02}"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA_BYTES, MAX_DATA_BYTES))
    # openpyxl can do without, and it is 16 MB.
    sys.modules["numpy"] = None  # type: ignore[assignment]  # "it is not there"
    sys.stdout.write(json.dumps(cells(Path(sys.argv[1]))))
