"""What a benchmark hands over: figures with their bounds.

A benchmark is a module of this folder with

- `TITLE`: what it measures, in a line;
- `figures()`: measures, and yields one `Figure` after another;
- `SLOW` (where it takes minutes): why it runs only when it is named.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. It is good where it is `better` than its bound, or equal to it."""

    name: str
    measured: float
    unit: str
    bound: float
    better: Literal["low", "high"]
    beside: str = ""
    """What it is to be compared with, measured in the same run."""

    @property
    def within(self) -> bool:
        """Whether it keeps its bound."""
        return self.measured <= self.bound if self.better == "low" else self.measured >= self.bound


class Benchmark(Protocol):
    """What each module of this folder offers."""

    TITLE: str

    def figures(self) -> Iterator[Figure]:
        """Measure. Raises RuntimeError with the reason where this machine cannot."""


def progress(text: str) -> None:
    """Say what takes so long: in a terminal on a line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K  {text}", end="", file=sys.stderr, flush=True)
    else:
        print(f"  {text}", file=sys.stderr, flush=True)
