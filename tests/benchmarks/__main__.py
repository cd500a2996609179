"""`make bench`: measures what the gateway promises, and prints each figure beside its bound.

python -m tests.benchmarks [NAME …]     all of this folder's benchmarks, or those named

Exit codes: 0 every figure keeps its bound; 1 one does not, or could not be measured; 2 there is no
such benchmark.
"""

import importlib
import sys
import time
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.benchmarks.figure import Benchmark, Figure, progress

_ORDER = (
    "p1",
    "requests",
    "drain",
    "writes",
    "fold",
    "accuracy",
    "grid",
    "lines",
    "daemon",
    "latency",
)
"""The quick ones first."""

_NOT_BENCHMARKS = {"__main__", "figure", "site", "day", "slave"}


def main(names: list[str]) -> int:
    """Run the named benchmarks and print their figures. Returns the exit code."""
    there = {path.stem for path in Path(__file__).parent.glob("*.py")} - _NOT_BENCHMARKS
    known = sorted(
        there, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)
    )
    if unknown := [name for name in names if name not in known]:
        print(
            f"there is no benchmark {', '.join(unknown)}; there are: {', '.join(known)}",
            file=sys.stderr,
        )
        return 2
    began_s = time.monotonic()
    rows: list[tuple[str, Figure | str]] = []
    slow: list[str] = []
    for name in names or known:
        benchmark = cast(Benchmark, importlib.import_module(f"tests.benchmarks.{name}"))
        if not names and (why := getattr(benchmark, "SLOW", "")):
            slow.append(f"{name} ({benchmark.TITLE}; {why})")
            continue
        progress(f"{name}: {benchmark.TITLE}")
        rows.append((name, ""))
        try:
            rows += [(name, figure) for figure in benchmark.figures()]
        except RuntimeError as error:
            rows.append((name, f"not measured: {error}"))
    progress("")
    fine = _print(rows)
    for text in slow:
        print(f"Only by its name: python -m tests.benchmarks {text}")
    print(
        f"\n{'All figures keep their bounds' if fine else 'NOT all figures keep their bounds'} "
        f"({time.monotonic() - began_s:.0f} s)."
    )
    return 0 if fine else 1


def _print(rows: list[tuple[str, Figure | str]]) -> bool:
    width = None if sys.stdout.isatty() else 200
    table = Table(title="What must hold", title_justify="left")
    for column in ("", "figure", "measured", "bound", "", "beside"):
        table.add_column(
            column,
            justify="right" if column in ("measured", "bound") else "left",
            no_wrap=column in ("measured", "bound"),
        )
    fine = True
    last = ""
    for name, row in rows:
        if row == "":
            table.add_section()
            continue
        first, last = "" if name == last else name, name
        if isinstance(row, str):
            fine = False
            table.add_row(first, row, "", "", Text("NO", "red"))
            continue
        fine &= row.within
        sign = "≤" if row.better == "low" else "≥"
        verdict = Text("yes", "green") if row.within else Text("NO", "red")
        table.add_row(
            first,
            row.name,
            f"{row.measured:.3g} {row.unit}",
            f"{sign} {row.bound:g} {row.unit}",
            verdict,
            row.beside,
        )
    Console(width=width).print(table)
    return fine


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
