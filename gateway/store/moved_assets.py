"""Has what is kept of an asset go with it where gateway.yaml has it under another UUID than at the
last start. Which that was stands in the small file beside the buffer (`known_uuids.py`).
"""

import logging
import sqlite3
from collections.abc import Mapping
from uuid import UUID

from gateway.energy.slot import Event
from gateway.outbox.kept_assets import Kept, moves, remembered
from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.known_uuids import KnownAssets

log = logging.getLogger(__name__)

_COLUMNS = (("outbox", "subject"), ("asset_slots", "asset"), ("forecast_states", "asset"))
_UNDER_WAY = b"to "
"""What is moved is kept so meanwhile: two may be swapped."""


def follow_assets(buffer: Buffer, now: Kept, now_s: float) -> None:
    """Look whether the assets are the ones of the last start, before anything is sent. Where the
    disk refuses, that is said, and tried at the next start.
    """
    if buffer.database.is_in_memory or buffer.database.access.refusal:
        return
    known = KnownAssets(buffer.path)
    before = known.read()
    moved = moves(before, now)
    if moved:
        try:
            count = _move(buffer, moved)
        except StoreError as error:
            log.warning("what was kept of assets under other UUIDs stays there: %s", error)
            return
        names = {each.uuid: name for name, each in (dict(before) | dict(now)).items()}
        for old, new in moved.items():
            text = (
                f"gateway.yaml has {names.get(new, 'the asset')} under {new}, and had {old} "
                f"before: what is kept of it went along ({count[old]} numbers)"
            )
            log.warning("%s", text)
            buffer.note(Event(int(now_s * 1000), names.get(new, ""), "uuid", text))
    known.write(remembered(before, now))


def _move(buffer: Buffer, moved: Mapping[UUID, UUID]) -> dict[UUID, int]:
    """How many numbers are owed or were, by the UUID before. Raises StoreError."""
    outbox = buffer.tables.outbox
    with buffer.database.transaction() as connection:
        counts = [_move_in(connection, *each, moved) for each in _COLUMNS]
        outbox.forget()
    outbox.marks.move({str(old): str(new) for old, new in moved.items()})
    outbox.marks.store()
    return counts[0]


def _move_in(
    connection: sqlite3.Connection, table: str, column: str, moved: Mapping[UUID, UUID]
) -> dict[UUID, int]:
    def put(how: str, what: bytes, to: bytes) -> int:
        sql = f"UPDATE OR {how} {table} SET {column} = ? WHERE {column} = ?"  # noqa: S608
        return connection.execute(sql, (to, what)).rowcount

    counts = {old: put("ABORT", old.bytes, _UNDER_WAY + old.bytes) for old in moved}
    for old, new in moved.items():
        put("IGNORE", _UNDER_WAY + old.bytes, new.bytes)
    for old in moved:
        # The same slot of both is there: neither may be lost.
        put("ABORT", _UNDER_WAY + old.bytes, old.bytes)
    return counts
