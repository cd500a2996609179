"""A look into the store beside the daemon that writes it: read-only, of one moment, and bounded in
time.

Each look opens the file anew. So it follows a file that was replaced, keeps no part of a log from
being written back, and holds nothing of a file whose disk went away. That costs a millisecond.
"""

import contextlib
import sqlite3
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gateway.store.asset_slot_table import AssetSlotTable
from gateway.store.database import Database
from gateway.store.deliverer_table import DelivererTable
from gateway.store.errors import Damaged, StoreError, explained
from gateway.store.event_table import EventTable
from gateway.store.file import connect_as_it_is
from gateway.store.migration import newest_version
from gateway.store.outbox_table import OutboxTable
from gateway.store.samples import SampleTable
from gateway.store.slot_table import SlotTable

LOCK_WAIT_MS = 500
"""So long a look waits for another program's lock."""
STEPS = 20_000
"""After so many steps of SQLite's machine it is asked whether to go on: some milliseconds."""


class TooLong(StoreError):
    """The look took longer than it may, or nobody waits for it any more."""


class OtherVersion(StoreError):
    """The file is of another version of the program: it is being upgraded, or will be."""


class Look:
    """The tables as they are at one moment. Each question may raise StoreError."""

    def __init__(self, database: Database, slot_s: int, masked: Callable[[str], str]) -> None:
        self.samples = SampleTable(database, slot_s)
        self.slots = SlotTable(database, counts=False)
        self.asset_slots = AssetSlotTable(database)
        self.events = EventTable(database)
        self.outbox = OutboxTable(database, DelivererTable(database))
        self.outbox.masked = masked
        self.masked = masked


@contextlib.contextmanager
def look_into(
    path: Path,
    slot_s: int,
    masked: Callable[[str], str],
    is_over: Callable[[], bool],
    connect: Callable[[Path], sqlite3.Connection] = lambda path: connect_as_it_is(path, "mode=ro"),
) -> Iterator[Look]:
    """Look into a file for as long as `is_over` says no. `masked` takes secrets out of what others
    said. Raises StoreError, also for what goes wrong inside.
    """
    try:
        if not path.exists():
            raise StoreError(f"{path}: there is no buffer; the daemon makes it when it starts")
        connection = connect(path)
    except (OSError, sqlite3.Error) as error:
        raise explained(path, "cannot be read", error) from error
    try:
        connection.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_MS}")
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -128")
        connection.set_progress_handler(lambda: int(is_over()), STEPS)
        connection.execute("BEGIN")
        _refuse_other_versions(connection, path)
        yield Look(Database(connection, path), slot_s, masked)
    except (sqlite3.Error, StoreError) as error:
        if is_over():
            raise TooLong(f"{path}: did not answer in time; try again, or ask for less") from error
        raise _of_the_store(path, error) from error
    except (struct.error, KeyError, TypeError, ValueError) as error:
        # What is damaged may still be a row, of values that none of ours has.
        raise Damaged(
            f"{path}: holds rows that make no sense ({error!r}); run: meter-gateway buffer check",
            repr(error),
        ) from error
    finally:
        connection.close()


def _of_the_store(path: Path, error: Any) -> StoreError:
    return error if isinstance(error, StoreError) else explained(path, "cannot be read", error)


def _refuse_other_versions(connection: sqlite3.Connection, path: Path) -> None:
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version != newest_version():
        raise OtherVersion(
            f"{path}: is of version {version} and this program of {newest_version()}; the daemon "
            "upgrades it when it starts"
        )
