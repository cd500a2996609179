"""Reads a table of a damaged file by its key, around what cannot be read."""

import math
import sqlite3
from collections.abc import Iterator
from typing import Any

from gateway.outbox.item import EXCHANGE
from gateway.store.row_checks import VALID
from gateway.store.salvage.job import Job
from gateway.store.salvage.shapes import Shape, old_table

_PORTION = 4000
_ROUNDS = 50
"""Of 10,000 steps of SQLite's machine, for one portion: it needs some ten."""
_MAX_BLOCKED = 5000
"""Spans of one table that could not be read, until it is left to the pages."""
_MOST_KEYS = 1 << 62


def walk(job: Job, shape: Shape, source: sqlite3.Connection | None) -> None:
    """Take over a table by its key, the newest rows first, around what cannot be read."""
    table: str | None = shape.name
    columns: list[str] = []
    if source is not None:
        try:
            table = old_table(shape, source)
            columns = [] if table is None else _columns_of(shape, table, source)
        except sqlite3.Error:
            columns = []
    if table is None:
        return
    if source is None or not columns:
        _give_up(shape)
        return

    for prefix in _prefixes(shape, table, source):
        _walk(job, shape, table, columns, prefix, source)


def _give_up(shape: Shape) -> None:
    """The rest is left to the pages."""
    shape.found.blocked = True
    shape.found.lost_keys = math.inf


def _columns_of(shape: Shape, table: str, source: sqlite3.Connection) -> list[str]:
    """Those that both files have: the old one may be of an older version."""
    there = {row[1] for row in source.execute(f"PRAGMA table_info({table})")}
    return [column for column in shape.columns if shape.old_name(column) in there]


def _prefixes(shape: Shape, table: str, source: sqlite3.Connection) -> Iterator[tuple[str, ...]]:
    """Of a table whose key begins with a text: each of these texts."""
    if not shape.prefix:
        yield ()
        return

    sql = f"SELECT min({shape.prefix}) FROM {table} WHERE {shape.prefix} > ?"  # noqa: S608
    found: list[str] = []
    try:
        while True:
            [(name,)] = _patiently(source, sql, found[-1] if found else "")
            if not isinstance(name, str):
                break
            found.append(name)
            yield (name,)
    except sqlite3.Error:
        _give_up(shape)
        if EXCHANGE not in found:
            yield (EXCHANGE,)


def _walk(
    job: Job,
    shape: Shape,
    table: str,
    columns: list[str],
    prefix: tuple[str, ...],
    source: sqlite3.Connection,
) -> None:
    # A column that an earlier version lacks cannot be asked for, nor one that had another name.
    judged = len(columns) == len(shape.literals)
    valid = VALID.get(shape.name, "true") if judged else "true"
    names = ", ".join([shape.key, *map(shape.old_name, columns), f"({valid}) IS TRUE"])
    fixed = f"{shape.prefix} = ? AND " if prefix else ""
    sql = (
        f"SELECT {names} FROM {table} WHERE {fixed}{shape.key} >= ? AND {shape.key} < ? "  # noqa: S608
        f"ORDER BY {shape.key} DESC LIMIT {_PORTION}"
    )
    spans = [(-1, _MOST_KEYS)]
    blocked = 0
    while spans:
        if job.late or blocked > _MAX_BLOCKED:
            _give_up(shape)
            return
        low, high = spans.pop()
        try:
            found = _patiently(source, sql, *prefix, low, high)
        except sqlite3.Error:
            blocked += 1
            shape.found.blocked = True
            if high - low > 1:
                middle = (low + high) // 2
                spans += [(low, middle), (middle, high)]
            else:
                shape.found.lost_keys += 1
            continue

        before = shape.found.count
        valid_rows = [row[1:-1] for row in reversed(found) if row[-1]]
        shape.found.blocked |= len(valid_rows) < len(found)
        job.put(shape, columns, valid_rows, judged=judged)
        if len(found) == _PORTION:
            last = found[-1][0]
            if shape.found.count == before:
                blocked += 500
            if not isinstance(last, int):
                _give_up(shape)
                continue
            # Several rows may have this key; those that come twice are taken once.
            spans.append((low, last + 1 if last + 1 < high else last))


def _patiently(source: sqlite3.Connection, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a query finds; a tree that damage has bent into a circle must not hold us for ever.
    Raises sqlite3.Error.
    """
    rounds = iter(range(_ROUNDS))
    source.set_progress_handler(lambda: next(rounds, None) is None, 10_000)
    try:
        return source.execute(sql, parameters).fetchall()
    finally:
        source.set_progress_handler(None, 0)
