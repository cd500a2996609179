"""How a table fits into a terminal: with fewer columns where there is no room for all, and never
with a word in pieces. Pure.
"""

import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

BETWEEN = 3
"""Characters between two columns."""

EDGES = 1
"""The last column has none behind it, and the table one on either side."""

PROSE = 20
"""As wide as a column of long texts is at least, as long as another can be left out instead."""

Cells = Sequence[Sequence[str]]
"""Rows of text, the names of the columns first."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns are shown, by their places, and how wide each is."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]


def fitted(
    cells: Cells, room: int, *, whole: Collection[int] = (), spare: Sequence[int] = ()
) -> Layout | None:
    """The layout of a table in so many characters. Columns in `whole` are never broken into lines;
    those in `spare` are left out where there is no room, the first one first. None where what is
    left has no room either.
    """
    columns = list(zip(*cells, strict=True))
    wants = [max(map(_longest_line, column)) for column in columns]
    needs = [
        want if i in whole else max(map(_longest_word, column))
        for i, (want, column) in enumerate(zip(wants, columns, strict=True))
    ]

    shown = list(range(len(columns)))
    easy = [
        max(need, PROSE) if want > 2 * PROSE else need
        for need, want in zip(needs, wants, strict=True)
    ]
    for i in (*spare, None):
        free = room + EDGES - sum((needs if i is None else easy)[j] + BETWEEN for j in shown)
        if free >= 0:
            needs = needs if i is None else easy
            break
        if i is None:
            return None
        shown.remove(i)
    return Layout(tuple(shown), tuple(_shared(free, needs, wants, shown)))


def _shared(
    free: int, needs: Sequence[int], wants: Sequence[int], shown: Sequence[int]
) -> Iterator[int]:
    """What each column gets of the free characters: those that want the least have it first."""
    widths = {i: needs[i] for i in shown}
    waiting = sorted(shown, key=lambda i: wants[i] - needs[i])
    for n, i in enumerate(waiting):
        more = min(wants[i] - needs[i], free // (len(waiting) - n))
        widths[i] += more
        free -= more
    return (widths[i] for i in shown)


def records(cells: Cells, room: int) -> Iterator[str]:
    """The rows one below the other, a line for each cell, where no table fits."""
    names, *rows = cells
    indent = max(map(cell_len, names), default=0) + 2
    for row in rows:
        for name, cell in zip(names, row, strict=True):
            if not cell:
                continue
            first, rest = f"{name:<{indent}}", " " * indent
            yield from textwrap.wrap(
                cell,
                max(room, indent + 1),
                initial_indent=first,
                subsequent_indent=rest,
                break_long_words=False,
                break_on_hyphens=False,
            )
        yield ""


def _longest_line(text: str) -> int:
    return max(map(cell_len, text.splitlines()), default=0)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)
