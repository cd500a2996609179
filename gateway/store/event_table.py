"""The table of events: what a person should know."""

from collections.abc import Iterator, Sequence

from gateway.energy.slot import Event
from gateway.store.database import Database

MAX_EVENTS = 10_000

_EVENT = "SELECT id, at_s, device, kind, energy_uwh, text FROM events"
KeptEvent = tuple[int, float, str, str, int | None, str]
"""Its number, when it was (Unix time), its meter, kind, energy in µWh, and text."""


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

    def before(self, number: int | None, device: str | None, limit: int) -> list[KeptEvent]:
        """The newest events with a lower number, newest first; of one meter, where one is named."""
        rows = self._database.rows(
            f"{_EVENT} WHERE id < coalesce(?1, id + 1) AND device = coalesce(?2, device) "
            "ORDER BY id DESC LIMIT ?3",
            *(number, device, limit),
        )
        return list(rows)

    def between(self, since_s: float, until_s: float) -> Iterator[KeptEvent]:
        """Those of a time, oldest first."""
        return self._database.rows(
            f"{_EVENT} WHERE at_s >= ? AND at_s < ? ORDER BY at_s, id", since_s, until_s
        )

    def latest(self, limit: int) -> list[str]:
        """The newest events, newest first, as lines for people."""
        rows = self._database.rows(
            "SELECT strftime('%Y-%m-%d %H:%M:%SZ', at_s, 'unixepoch'), device, kind, text FROM "
            "events ORDER BY id DESC LIMIT ?",
            limit,
        )
        return [f"{at} {device} {kind}: {text}" for at, device, kind, text in rows]
