"""The table of events: what a person should know."""

from collections.abc import Sequence

from gateway.energy.slot import Event
from gateway.store.database import Database

MAX_EVENTS = 10_000


class EventTable:
    """The newest events on disk. Each method may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, events: Sequence[Event]) -> None:
        """Inside a transaction."""
        if not events:
            return
        rows = [(e.at_ms / 1000, e.device, e.kind, e.energy_uwh or None, e.text) for e in events]
        connection = self._database.connection
        connection.executemany("INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?)", rows)
        connection.execute(
            "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (MAX_EVENTS,)
        )

    def latest_of(self, device: str, kind: str, begins: str) -> float | None:
        """When the newest one of a kind was whose text begins so, Unix time."""
        [(at_s,)] = self._database.rows(
            "SELECT max(at_s) FROM events WHERE device = ? AND kind = ? AND instr(text, ?) = 1",
            *(device, kind, begins),
        )
        return None if at_s is None else float(at_s)

    def latest(self, limit: int) -> list[str]:
        """The newest events, newest first, as lines for people."""
        rows = self._database.rows(
            "SELECT strftime('%Y-%m-%d %H:%M:%SZ', at_s, 'unixepoch'), device, kind, text FROM "
            "events ORDER BY id DESC LIMIT ?",
            limit,
        )
        return [f"{at} {device} {kind}: {text}" for at, device, kind, text in rows]
