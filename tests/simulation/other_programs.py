"""Other programs on the box that use the gateway's database: a person's browser, a backup."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from gateway.app import Gateway


class OtherPrograms:
    """Those that hold the database's lock for writing, as far as they get it. They go on when the
    daemon is killed, and end with the power.
    """

    def __init__(self, path: Path) -> None:
        self.page: Gateway | None = None
        """Whose page somebody may look at; None between two lives."""
        self._path = path
        self._connections: dict[int, sqlite3.Connection | None] = {}
        self._count = 0

    def lock(self) -> Callable[[], None]:
        """One more locks it. Returns how it gives the lock up."""
        self._count += 1
        number = self._count
        self._connections[number] = self._locked()
        return lambda: self._close(number)

    def move_on(self) -> None:
        """The simulated disk has put other files in the place of those a killed daemon had open:
        whoever held those holds these.
        """
        for number in [*self._connections]:
            self._close(number)
            self._connections[number] = self._locked()

    def end(self) -> None:
        """The power is gone."""
        for number in [*self._connections]:
            self._close(number)

    def _locked(self) -> sqlite3.Connection | None:
        """What holds the lock now, if it is to be had."""
        connection = None
        with contextlib.suppress(sqlite3.Error):
            uri = f"{self._path.as_uri()}?mode=rw"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)
            connection.execute("BEGIN IMMEDIATE")
        return connection

    def _close(self, number: int) -> None:
        if connection := self._connections.pop(number, None):
            connection.close()
