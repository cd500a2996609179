"""Whose file is it? A path may name anything: another program's database, a configuration file.
What was never ours is refused, and nothing of it is changed; what is ours and damaged is salvaged.

Ours is a database with a table of ours that has our columns, sound or not. Of a file that SQLite
cannot read it is told by what lies beside it, or by what is in it: the text of our tables, or rows
of samples. An empty file is nobody's.
"""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.store.errors import RIGHTS, Foreign, StoreError, is_damage
from gateway.store.file import FILES, connect_as_it_is

_COLUMNS: Mapping[str, frozenset[str]] = {
    "boots": frozenset({"id", "boot_id"}),
    "layouts": frozenset({"device", "serial_number", "quantities"}),
    "samples": frozenset({"layout", "boot", "boottime_ms", "utc_ms", "data"}),
    "counters": frozenset({"device", "sample_id", "state"}),
    "slots": frozenset({"start_s", "device", "direction", "energy_uwh", "begin_uwh", "end_uwh"}),
    "outbox": frozenset({"slot_s", "kind", "revision", "energy_uwh", "opens_s", "state"}),
    "events": frozenset({"at_s", "device", "kind", "energy_uwh", "text"}),
}
"""Columns that each of our tables has in every version."""

_BESIDE = (".reserve", ".accepted", ".salvaging", ".salvaged")
_TRACES = re.compile(rb"boottime_ms INTEGER|coverage_permille|begin_register_uwh|samples_undated")
"""Of the text of our tables, which lies in the file."""
_BLOCK_BYTES = 1 << 20
_MOST_BYTES = 1 << 28
"""So much of a file is looked through."""
_FEW_ROWS = 3

ADVICE = (
    "nothing has been changed. Let buffer.path in gateway.yaml name a file of the gateway's own, "
    "or one that is not there yet"
)


def refuse_foreign(path: Path) -> None:
    """Raises Foreign where the file was never ours, StoreError where it is no file, OSError where
    that cannot be found out.
    """
    refuse_what_is_no_file(path, "cannot be opened")
    if not path.exists() or path.stat().st_size == 0:
        return

    try:
        db = connect_as_it_is(path, "immutable=1")
        try:
            refuse_foreign_tables(db, path)
        finally:
            db.close()
    except sqlite3.Error as error:
        # What cannot be opened at all says so when it is opened.
        if is_damage(error) and not (_is_marked(path) or _has_traces(path)):
            raise Foreign(
                f"{path}: is not a buffer and never was (SQLite cannot read it, and there is no "
                f"trace of our tables in it); {ADVICE}"
            ) from error


def refuse_what_is_no_file(path: Path, what: str) -> None:
    """A folder, or a FIFO, which would hold us for ever, in the place of one of the files. `what`
    could not be done. Raises StoreError, OSError.
    """
    for each in (path.with_name(path.name + suffix) for suffix in FILES):
        if each.exists() and not each.is_file():
            raise StoreError(f"{each}: {what}: it is not a file; {RIGHTS}")


def refuse_foreign_tables(db: sqlite3.Connection, path: Path) -> None:
    """Raises Foreign where it is another program's database, sqlite3.Error."""
    names = sorted(
        name
        for (name,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    )
    if not names or any(_is_ours(db, name) for name in names):
        return
    some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    raise Foreign(f"{path}: is another program's database, with the tables {some}; {ADVICE}")


def _is_ours(db: sqlite3.Connection, name: str) -> bool:
    """Whether it is a table of ours, also of an earlier version."""
    if name not in _COLUMNS:
        return False
    columns = {row[1] for row in db.execute(f"PRAGMA table_info({name})")}
    return columns >= _COLUMNS[name]


def _is_marked(path: Path) -> bool:
    """Whether the daemon has been at work here before."""
    return any(path.with_name(path.name + suffix).exists() for suffix in _BESIDE) or any(
        path.parent.glob(f"{path.name}.damaged-*")
    )


def _has_traces(path: Path) -> bool:
    """Whether there is something of ours in a file that SQLite cannot read, or in its log."""
    log = path.with_name(path.name + "-wal")
    for each in (path, log):
        if each.is_file() and not _is_text(each) and any(map(_TRACES.search, _blocks(each))):
            return True
    return _has_samples(path)


def _is_text(path: Path) -> bool:
    """A dump of our tables, or an export, speaks of them, and is no buffer."""
    with path.open("rb") as file:
        begin = file.read(_BLOCK_BYTES)
    return b"\0" not in begin


def _blocks(path: Path) -> Iterator[bytes]:
    """Each with the end of the one before it."""
    end = b""
    with path.open("rb") as file:
        while file.tell() < _MOST_BYTES and (block := file.read(_BLOCK_BYTES)):
            yield end + block
            end = block[-64:]


def _has_samples(path: Path) -> bool:
    """Whether some page holds rows of samples."""
    from gateway.store.salvage import carve  # memory that is rarely needed
    from gateway.store.salvage.pages import Pages

    pages = Pages.of(path)
    if pages is None:
        return False
    try:
        rows = (
            values
            for page in pages.newest_first()
            if page[0] == carve.TABLE_LEAF
            for _, values in carve.rows(page, pages.page)
        )
        found = 0
        for values in rows:
            found += _is_sample(values)
            if found == _FEW_ROWS:
                return True
    finally:
        pages.close()
    return False


def _is_sample(values: Sequence[object]) -> bool:
    if len(values) != len(_COLUMNS["samples"]) + 1 or values[0] is not None:
        return False
    *whole, utc_ms, data = values[1:]
    return (
        all(isinstance(value, int) for value in whole)
        and isinstance(utc_ms, int | None)
        and isinstance(data, bytes)
    )
