"""Old months become rows of days: a seventh of the room.

All of it is done by functions in the database (`002_packed.sql`, `007_packing_by_day.sql`,
`008_smaller_meter_slots.sql`), in small transactions: a month is begun, a day of some assets or
meters is packed at a time, or some days of all of them, and at last the packed rows take the place
of the others in one transaction. Wherever that is cut off, the month is as it was, and the next to
look goes on. Whoever packs holds an advisory lock: one at a time.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from gateway.fleet import migrating
from gateway.fleet.database import Connection, DatabaseError, connect, translated
from gateway.fleet.settings import FleetSettings
from gateway.site.credentials import ConfigError
from gateway.timing.backoff import Backoff

_log = logging.getLogger(__name__)

LOOK_S = 3600.0
"""Between two looks whether a month is due."""
MANY = 500_000
"""About so many slots a transaction: some seconds, and what is sorted and grouped in memory."""
MANY_LATE = 5
"""The same of what comes late: whoever writes such a row meanwhile waits."""
SETTLED = timedelta(days=1)
"""What comes late of an asset or a meter is packed once nothing has come for so long."""
TABLES = ("asset_slots", "meter_slots")
MAX_ENDS = 1_000
"""How often the end of a month is tried: rows may come meanwhile, and others hold locks."""
BACKOFF_S = (10.0, 600.0)

_LOCK = "SELECT pg_try_advisory_lock(hashtext('fleet.packing'))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtext('fleet.packing'))"


@dataclass(frozen=True, slots=True)
class Packed:
    """A month that was packed."""

    table: str
    month: datetime
    slots: int


class Packing:
    """Packs what is due, for ever. `pause` is how long it rests after each transaction, in terms of
    how long that took: collectors and database have live slots to store.
    """

    def __init__(
        self, settings: FleetSettings, pause: float = 1.0, settled: timedelta = SETTLED
    ) -> None:
        self._settings = settings
        self._pause = pause
        self._settled = settled
        self.trouble = ""
        """Why nothing is packed at present; empty where all is well."""

    async def run(self) -> None:
        """Until it is cancelled."""
        backoff = Backoff(*BACKOFF_S, random.random)
        while True:
            try:
                for each in await self.once():
                    _log.info("%s", words(each))
                self.trouble = ""
                backoff.succeed()
                await asyncio.sleep(LOOK_S)
            except (DatabaseError, ConfigError) as error:
                if self.trouble != str(error):
                    _log.warning("packing: %s; trying again, nothing is lost", error)
                self.trouble = str(error)
                await asyncio.sleep(backoff.fail())

    async def once(self, progress: Callable[[str], None] | None = None) -> list[Packed]:
        """Pack all that is due; nothing where another one is at it. Raises DatabaseError and
        ConfigError.
        """
        connection = await connect(self._settings, "meter-gateway fleet packing")
        try:
            await migrating.require(connection)
            if not await _value(connection, _LOCK):
                return []
            done = []
            for table, month in await due(connection, self._settings.file.pack_after_days):
                if progress is not None:
                    progress(f"{table} of {month:%Y-%m}")
                done.append(await self._pack(connection, table, month))
            for table in TABLES:
                await self._pack_late(connection, table)
            await _value(connection, _UNLOCK)
            return done
        finally:
            await connection.close()

    async def _pack(self, connection: Connection, table: str, month: datetime) -> Packed:
        loop = asyncio.get_running_loop()
        await _value(connection, "SELECT fleet.pack_begin(%s, %s)", table, month)
        goes_on = True
        while goes_on:
            began_s = loop.time()
            goes_on = bool(
                await _value(connection, "SELECT fleet.pack_next(%s, %s, %s)", table, month, MANY)
            )
            await asyncio.sleep((loop.time() - began_s) * self._pause)
        for _ in range(MAX_ENDS):
            if await _value(connection, "SELECT fleet.pack_end(%s, %s)", table, month):
                break
        slots = await _value(
            connection,
            "SELECT slots FROM fleet.packed "
            "WHERE parent = %s AND month = %s AND done_at IS NOT NULL",
            table,
            month,
        )
        if slots is None:
            raise DatabaseError(f"{table} of {month:%Y-%m}: more comes of it than can be packed")
        return Packed(table, month, cast(int, slots))

    async def _pack_late(self, connection: Connection, table: str) -> None:
        loop = asyncio.get_running_loop()
        query = "SELECT fleet.pack_late(%s, %s, %s)"
        began_s = loop.time()
        while await _value(connection, query, table, MANY_LATE, self._settled):
            await asyncio.sleep((loop.time() - began_s) * self._pause)
            began_s = loop.time()


async def due(connection: Connection, after_days: int) -> list[tuple[str, datetime]]:
    """Tables and months that ended so long ago and are not packed. Raises DatabaseError."""
    with translated():
        cursor = await connection.execute(_DUE, (after_days,))
        return cast("list[tuple[str, datetime]]", await cursor.fetchall())


def words(packed: Packed) -> str:
    """For people."""
    what = "assets" if packed.table == "asset_slots" else "meters"
    return f"packed {packed.month:%Y-%m}: {packed.slots:,} slots of {what}"


async def _value(connection: Connection, query: str, *values: Any) -> object:
    """The first field of the first row, or None. Raises DatabaseError."""
    with translated():
        row = await (await connection.execute(query, values)).fetchone()
    return row[0] if row else None


_DUE = """
SELECT parent.relname, month FROM pg_inherits
JOIN pg_class parent ON parent.oid = inhparent
JOIN pg_class child ON child.oid = inhrelid
CROSS JOIN LATERAL (
    SELECT to_date(right(child.relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC' AS month) m
WHERE parent.relnamespace = 'fleet'::regnamespace AND parent.relname IN ('asset_slots',
    'meter_slots') AND month + interval '1 month' + make_interval(days => %s) <= now()
ORDER BY month, parent.relname
"""
