"""Tables as files: CSV and XLSX, written in portions, and put in place only when they are
complete.
"""

import contextlib
import csv
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from gateway.cli.tables import Row
from gateway.cli.terminal import Refused

CHUNK_ROWS = 5000
"""Rows held in memory at a time: 30 days of samples of ten meters are 2.6 million."""

SHEET_ROWS = 1_048_576
"""What a sheet of an XLSX file holds, its header among them (ECMA-376)."""


def write_table(
    path: Path,
    columns: Sequence[str],
    rows: Iterator[Row],
    *,
    force: bool,
    sheet_rows: int = SHEET_ROWS,
    formats: Mapping[str, Callable[[Path, Sequence[str]], "Table"]] | None = None,
) -> int:
    """Write all rows to a file of the kind its suffix names (one of `formats`, by default FORMATS);
    returns how many.

    Raises Refused, and leaves what was there untouched, where the file is there already (unless
    `force`), cannot be written, or cannot hold so many rows.
    """
    form = (formats or FORMATS)[path.suffix.lower()]
    most = sheet_rows - 1 if form is _Xlsx else sys.maxsize
    count = 0
    with replacing(path, force=force) as part, contextlib.closing(form(part, columns)) as table:
        while chunk := list(islice(rows, CHUNK_ROWS)):
            count += len(chunk)
            if count > most:
                raise Refused(
                    f"{path}: an XLSX sheet holds {most} rows, and there are more — write a "
                    ".csv, or less with --since and --until"
                )
            table.add([row.get(name) for name in columns] for row in chunk)
        table.finish()
    return count


@contextlib.contextmanager
def replacing(path: Path, *, force: bool) -> Iterator[Path]:
    """The name of a file beside `path` to write to, which takes its place once it is complete.
    Raises Refused.
    """
    _check_free(path, force)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        _check_free(path, force)
        part.replace(path)
    except OSError as error:
        raise Refused(
            f"{path}: cannot be written: {error.strerror or error} — check the folder and the "
            "space on its disk"
        ) from error
    finally:
        with contextlib.suppress(
            OSError
        ):  # where the folder is not there, nothing is left behind either
            part.unlink(missing_ok=True)


def _check_free(path: Path, force: bool) -> None:
    if path.is_dir():
        raise Refused(f"{path}: is a folder — name a file in it")
    if path.exists() and not force:
        raise Refused(f"{path}: is there already — choose another name, or replace it with --force")


class Table(Protocol):
    """A file that rows are added to, below the names of its columns."""

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Append these rows."""

    def finish(self) -> None:
        """Complete the file."""

    def close(self) -> None:
        """Let go of it, complete or not."""


class _Csv:
    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._stream = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream, lineterminator="\n")
        self._writer.writerow(columns)

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        self._writer.writerows(rows)

    def finish(self) -> None:
        """All is written when it is closed."""

    def close(self) -> None:
        self._stream.close()


class _Xlsx:
    """Written row by row: a whole sheet would not fit into the memory of a small machine."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        from openpyxl import Workbook  # type: ignore[import-untyped]

        self._path = path
        self._is_date = [name.endswith("_utc") for name in columns]
        # openpyxl collects the sheet in a temporary file. /tmp may be memory, so it goes where
        # there must be room for the result.
        self._room = tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent)
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet("meter-gateway")
        self._sheet.freeze_panes = "A2"
        before, tempfile.tempdir = tempfile.tempdir, self._room.name
        try:
            self._sheet.append(list(columns))
        finally:
            tempfile.tempdir = before

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self._sheet.append(
                [self._cell(value, date) for value, date in zip(row, self._is_date, strict=True)]
            )

    def _cell(self, value: Any, date: bool) -> Any:
        from openpyxl.cell import WriteOnlyCell  # type: ignore[import-untyped]

        if date and value is not None:
            return (
                datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
            )  # a spreadsheet computes with it, but knows no zones
        if not isinstance(value, str):
            return value
        # A sheet takes no control characters, and what begins with = is text all the same.
        cell = WriteOnlyCell(
            self._sheet, re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "\N{REPLACEMENT CHARACTER}", value)
        )
        cell.data_type = "s"
        return cell

    def finish(self) -> None:
        self._book.save(self._path)

    def close(self) -> None:
        try:
            if not self._sheet.closed:
                self._sheet.close()
        finally:
            self._room.cleanup()


FORMATS: Mapping[str, Callable[[Path, Sequence[str]], Table]] = {".csv": _Csv, ".xlsx": _Xlsx}
