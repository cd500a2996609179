"""What is done where the buffer is behind what destinations are known to have accepted: an old copy
was put in its place, or it was lost and begun anew.
"""

import contextlib
import sqlite3
from collections.abc import Set

from gateway.outbox.item import subject_of
from gateway.store.accepted_marks import AcceptedMarks, Series
from gateway.store.database import Database
from gateway.store.errors import StoreError
from gateway.store.rows import subject_from, subject_value
from gateway.timing.utc import utc_minutes

ASSUMED = "counts as accepted: this buffer is older than what was accepted of this slot"
"""The reason of what was accepted by assumption."""

SEND_AGAIN = "meter-gateway outbox retry --state assumed"

_KNOWN_S = 2 * 86_400
"""So far back from the newest slot the buffer is asked what was accepted."""


def look_whether_behind(database: Database, marks: AcceptedMarks, *, salvaged: bool) -> None:
    """Once, when the daemon has opened the buffer. Where that was salvaged just now, what waits in
    it is the very number that waited before: only what was lost of it is assumed. Raises
    StoreError.
    """
    behind = {series for series in marks.accepted if _is_behind(database, marks, series)}
    news = marks.assume(behind)
    is_restored = marks.to_apply
    if news and not salvaged:
        marks.to_apply, marks.is_stored = True, False
    count = 0
    with contextlib.suppress(StoreError):  # it is tried again before anything is sent
        count = apply_marks(database, marks)
    if is_restored or news:
        database.warn("behind", _text(database, marks, behind, count))
    if salvaged:
        marks.assume(marks.accepted)

    note_accepted(database, marks)
    marks.store()


def apply_marks(database: Database, marks: AcceptedMarks) -> int:
    """What waits of slots that are assumed to be accepted counts as accepted, where that was not
    done yet. Returns how many items. Raises StoreError: nothing must be sent then.
    """
    if not marks.to_apply:
        return 0
    with database.transaction() as connection:
        count = assume_pending(connection, marks, database.now_s)
    marks.to_apply = marks.is_stored = False
    marks.store()
    return count


def _is_behind(database: Database, marks: AcceptedMarks, series: Series) -> bool:
    """Whether a slot was accepted that the buffer has never heard of."""
    destination, subject = series
    accepted_s = marks.accepted[series]
    oldest_s = database.one("SELECT min(slot_s) FROM outbox WHERE destination = ?", destination)
    if oldest_s is not None and accepted_s < oldest_s:
        return False  # long ago, of an asset that is not configured any more
    known: int = database.one(
        """SELECT EXISTS (SELECT 1 FROM outbox
           WHERE destination = ? AND slot_s >= ? AND subject = ? AND kind = 'measurement')""",
        *(destination, accepted_s, subject_value(subject_of(subject))),
    )
    return not known


def _newest_known_s(database: Database, destination: str) -> int | None:
    """The newest slot that the destination is or was owed a measurement of."""
    rows = database.rows(
        """SELECT slot_s FROM outbox WHERE destination = ? AND kind = 'measurement'
           ORDER BY slot_s DESC LIMIT 1""",
        destination,
    )
    return next((slot_s for (slot_s,) in rows), None)


def note_accepted(database: Database, marks: AcceptedMarks) -> None:
    """What the buffer itself knows to be accepted, or sent and not answered yet, for a file of
    marks that is new, or lags behind. Raises StoreError.
    """
    names = [name for (name,) in database.rows(_DESTINATIONS)]
    for destination in names:
        newest_s = _newest_known_s(database, destination)
        if newest_s is None:
            continue
        rows = database.rows(
            """SELECT subject, max(slot_s) FROM outbox WHERE destination = ? AND slot_s >= ?
               AND state IN ('accepted', 'sent') AND attempts > 0
               AND kind = 'measurement' GROUP BY subject""",
            *(destination, newest_s - _KNOWN_S),
        )
        for subject, slot_s in rows:
            marks.note(destination, [subject_from(subject)], slot_s)


_DESTINATIONS = """WITH RECURSIVE names(name) AS (
    SELECT min(destination) FROM outbox
    UNION ALL
    SELECT (SELECT min(destination) FROM outbox WHERE destination > name) FROM names
    WHERE name IS NOT NULL)
    SELECT name FROM names WHERE name IS NOT NULL"""
"""One step down the tree for each, however many rows it has."""


def assume_pending(connection: sqlite3.Connection, marks: AcceptedMarks, now_s: float) -> int:
    """What is pending of slots that are assumed to be accepted counts as accepted. Returns how many
    items. Inside a transaction. Raises sqlite3.Error.
    """
    found = connection.execute(
        "SELECT rowid, destination, subject, slot_s FROM outbox "
        "WHERE state IN ('pending', 'sent') AND kind = 'measurement'"
    ).fetchall()
    these = [
        (ASSUMED, now_s, row_id)
        for row_id, destination, subject, slot_s in found
        if marks.assumes(destination, subject_from(subject), slot_s)
    ]
    connection.executemany(
        "UPDATE outbox SET state = 'accepted', attempts = 0, reason = ?, decided_s = ? "
        "WHERE rowid = ?",
        these,
    )
    return len(these)


def _text(database: Database, marks: AcceptedMarks, behind: Set[Series], count: int) -> str:
    found = [_far(database, marks, name) for name in sorted({name for name, _ in behind})]
    if marks.assumed_before_s:
        found.append(f"slots before {utc_minutes(marks.assumed_before_s)} were said to be accepted")
    waited = f" ({count} items that waited)" if count else ""
    return (
        f"the buffer is older than what was accepted: {'; '.join(found) or 'it was restored'}. "
        f"What is owed up to there counts as accepted{waited}, and is sent again only by your "
        f"word: {SEND_AGAIN}"
    )


def _far(database: Database, marks: AcceptedMarks, name: str) -> str:
    newest_s, accepted_s = _newest_known_s(database, name), marks.newest_s(name)
    knows = "nothing" if newest_s is None else f"slots up to {utc_minutes(newest_s)}"
    return f"it knows {knows}, and {name} accepted up to {utc_minutes(accepted_s or 0)}"
