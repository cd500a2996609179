"""The page's own connection to the database: it can read and nothing else, and gives up a question
that takes too long. The collector never waits for it.
"""

import asyncio
from collections.abc import Mapping
from typing import LiteralString

from gateway.fleet import migrating
from gateway.fleet.database import Connection, DatabaseError, connect, translated
from gateway.fleet.settings import FleetSettings

Row = tuple[object, ...]

_ADDS_UP = """
SET work_mem = '64MB'; SET enable_mergejoin = off; SET enable_sort = off;
SET parallel_setup_cost = 100; SET parallel_tuple_cost = 0.01
"""
"""How many rows there will be is not known well: by default they are sorted, and that on the disk.
Several processes at once are worth it from fewer rows on, for these are read from memory.
"""


class Asking:
    """One question at a time; `statement_s` is how long one may take. `adds_up`: its questions are
    sums over hundreds of thousands of rows, which the database groups by hashing rather than by
    sorting.
    """

    def __init__(
        self, settings: FleetSettings, statement_s: float, *, adds_up: bool = False
    ) -> None:
        self._settings = settings
        self._statement_s = statement_s
        self._adds_up = adds_up
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self.is_well = False
        """Whether the last question was answered."""

    async def rows(self, query: LiteralString, **values: object) -> list[Row]:
        """The answer. Where the connection has broken off since, it is asked once more over a new
        one. Raises DatabaseError, ConfigError.
        """
        async with self._turn:
            is_old = self._connection is not None
            try:
                try:
                    found = await self._ask(query, values)
                except DatabaseError:
                    if not is_old or self._connection is not None:
                        raise
                    found = await self._ask(query, values)
            except BaseException:
                self.is_well = False
                raise
            self.is_well = True
            return found

    async def close(self) -> None:
        """Leave the database."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _ask(self, query: LiteralString, values: Mapping[str, object]) -> list[Row]:
        if self._connection is None or self._connection.closed:
            self._connection = await self._connected()
        connection = self._connection
        try:
            with translated():
                cursor = await connection.execute(query, values)
                return await cursor.fetchall()
        except BaseException:
            # Whoever is cancelled leaves a question open: the next one gets a new connection.
            if connection.broken or connection.closed or _is_busy(connection):
                await connection.close()
                self._connection = None
            raise

    async def _connected(self) -> Connection:
        name = "meter-gateway fleet page"
        connection = await connect(self._settings, name, migrating.PAGE_ROLE)
        try:
            await migrating.require(connection)
            with translated():
                await connection.execute("SET default_transaction_read_only = on")
                await connection.execute("SET jit = off")  # it takes longer than what it saves
                if self._adds_up:
                    await connection.execute(_ADDS_UP)
                await connection.execute(
                    "SELECT set_config('statement_timeout', %s, false)",
                    (f"{self._statement_s * 1000:.0f}",),
                )
        except BaseException:
            await connection.close()
            raise
        return connection


def _is_busy(connection: Connection) -> bool:
    return connection.info.transaction_status != 0
