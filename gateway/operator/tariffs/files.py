"""Reads tariff files: CSV, JSON and XLSX. What they mean is said elsewhere.

openpyxl takes up to 22 MB of memory, which a daemon would keep. So it runs in a process of its own,
whose output is the cells.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from drivers.settings_file import read_bounded
from gateway.operator.model import TariffError
from gateway.operator.tariffs.cells import Cell, Findings, Sheet

SUFFIXES = (".csv", ".json", ".xlsx")

MAX_BYTES = 4 << 20
"""A spreadsheet may hold pictures. A day's fees for a hundred markets are 60 kB of text."""

XLSX_WITHIN_S = 60.0
"""A Pi takes 3 s, most of them for openpyxl itself."""

_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """What a text file holds, in UTF-8, without a byte order mark. Raises TariffError."""
    raw = _bytes(path, most)
    if raw.startswith(_BYTE_ORDER_MARKS):
        raise _refused(path, 1, "is UTF-16 text", "save it as CSV UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        message = f"the byte {raw[error.start]:#04x} is not UTF-8"
        raise _refused(path, line, message, "save it as CSV UTF-8 (or JSON in UTF-8)") from error


def read_csv(path: Path) -> list[Sheet]:
    """The one table of a CSV file, its columns separated by semicolons. Raises TariffError."""
    import csv

    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=";", strict=True)
    rows = []
    try:
        for row in reader:
            line = reader.line_num
            if line == 1 and row[:1] == ["sep="]:
                continue  # Excel is told the separator, and it is ours
            rows.append([Cell(text, line, f"column {n}") for n, text in enumerate(row, start=1)])
    except csv.Error as error:
        message = f"cannot be read: {error}"
        raise _refused(path, reader.line_num, message, "check its quotes") from error
    return [Sheet("", [row for row in rows if row])]


def read_xlsx(path: Path) -> list[Sheet]:
    """Every sheet of a spreadsheet. Raises TariffError."""
    _bytes(path)  # what no file of ours can be is told the same way for all
    command = [sys.executable, "-P", "-m", "gateway.operator.tariffs.xlsx", str(path.absolute())]
    try:
        done = subprocess.run(  # noqa: S603 — our own program, and a path that is no option
            command,
            capture_output=True,
            timeout=XLSX_WITHIN_S,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    except subprocess.TimeoutExpired as error:
        message = f"was not read in {XLSX_WITHIN_S:g} s"
        raise _refused(path, 0, message, "save it as CSV UTF-8") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        why = last.partition(": ")[2] or last.replace("MemoryError", "it takes too much memory")
        hint = "save it as .xlsx anew, or as CSV UTF-8"
        raise _refused(path, 0, f"is no spreadsheet that can be read: {why}", hint)
    return list(_sheets(json.loads(done.stdout)))


def _sheets(raw: dict[str, list[list[tuple[str, object]]]]) -> Iterator[Sheet]:
    for name, rows in raw.items():
        yield Sheet(name, [[Cell(v, 0, f"{name}!{at}") for at, v in row] for row in rows if row])


def _bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    try:
        raw, _ = read_bounded(path, most)
    except OSError as error:
        hint = "check its name, owner and mode"
        raise _refused(path, 0, f"cannot be read: {error.strerror}", hint) from error
    if len(raw) > most:
        raise _refused(path, 0, f"is larger than {most} bytes", "is this the right file?")
    return raw


def _refused(path: Path, line: int, message: str, hint: str) -> TariffError:
    found = Findings(str(path))
    found.note_line(line, message, hint)
    return TariffError(found.told)
