"""The schema `fleet`: how it came to be, and whether it is that of this version.

The migrations are numbered SQL files. `fleet init` runs what a database lacks, each in one
transaction together with its number, under an advisory lock: two at once do it once.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

from psycopg import sql

from gateway.fleet.database import Connection, NotReady, translated

FOLDER = Path(__file__).parent / "migrations"

MONTHS_AHEAD = 2

DAYS_AT_ONCE = 2_000
"""Days of assets that are counted in one transaction."""

COLLECTOR_ROLE = "fleet_collector"
READER_ROLE = "fleet_reader"
PAGE_ROLE = "fleet_page"
"""As which the manager's page asks: it can read, and nothing else."""
ROLES = (COLLECTOR_ROLE, READER_ROLE, PAGE_ROLE)

_LOCK = "SELECT pg_advisory_lock(hashtext('fleet.migrations'))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtext('fleet.migrations'))"


def migrations() -> list[Path]:
    """The files, in their order. The first has number 1."""
    return sorted(FOLDER.glob("[0-9][0-9][0-9]_*.sql"))


def newest() -> int:
    """The number of the schema that this version needs."""
    return len(migrations())


async def version_of(connection: Connection) -> int:
    """The number of the database's schema; 0 where there is none. Raises DatabaseError."""
    with translated():
        cursor = await connection.execute("SELECT to_regclass('fleet.migrations') IS NOT NULL")
        row = await cursor.fetchone()
        if row is None or not row[0]:
            return 0
        cursor = await connection.execute("SELECT coalesce(max(number), 0) FROM fleet.migrations")
        row = await cursor.fetchone()
    return cast(int, row[0]) if row else 0


async def require(connection: Connection) -> None:
    """Raises NotReady where the schema is not that of this version, and Away."""
    found = await version_of(connection)
    if found == 0:
        raise NotReady("there is no schema `fleet` in it: run meter-gateway fleet init")
    if found < newest():
        raise NotReady(
            f"its schema has number {found}, this version needs {newest()}: run meter-gateway "
            "fleet init"
        )
    if found > newest():
        raise NotReady(
            f"its schema has number {found}, of a later version than this one ({newest()}): bring "
            "this collector up to date"
        )


async def migrate(connection: Connection, *, up_to: int | None = None) -> list[str]:
    """Run what the database lacks; gives the names of what was run. Raises DatabaseError, NotReady
    where the schema is of a later version.
    """
    done = []
    with translated():
        await connection.execute(_LOCK)
    try:
        found = await version_of(connection)
        if found > newest():
            await require(connection)
        for number, path in enumerate(migrations(), 1):
            if found < number <= (up_to or newest()):
                await _run(connection, number, path.stem, path.read_text("utf-8"))
                done.append(path.stem)
    finally:
        if not connection.closed:
            with translated():
                await connection.execute(_UNLOCK)
    return done


async def _run(connection: Connection, number: int, name: str, text: str) -> None:
    with translated():
        async with connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            await connection.execute("CREATE SCHEMA IF NOT EXISTS fleet")
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS fleet.migrations (number integer PRIMARY KEY, "
                "name text NOT NULL, done_at timestamptz NOT NULL DEFAULT now())"
            )
            # The project's own file: nobody else's words are in it.
            await connection.execute(sql.SQL(text))
            await connection.execute(
                "INSERT INTO fleet.migrations (number, name) VALUES (%s, %s)", (number, name)
            )


async def add_months(connection: Connection) -> int:
    """Make the partitions of this month and of the next two; gives how many months were new. Raises
    DatabaseError.
    """
    made = 0
    with translated():
        for ahead in range(MONTHS_AHEAD + 1):
            cursor = await connection.execute(
                "SELECT fleet.add_month(date_trunc('month', now()) + make_interval(months => %s))",
                (ahead,),
            )
            row = await cursor.fetchone()
            made += bool(row and row[0])
    return made


async def set_group(connection: Connection, secret: str) -> None:
    """Give the collectors' group its name, if it has none. Raises DatabaseError."""
    with translated():
        await connection.execute(
            "INSERT INTO fleet.settings VALUES ('group', %s) ON CONFLICT DO NOTHING", (secret,)
        )


async def group_of(connection: Connection) -> str:
    """What all collectors of this fleet call their group; a secret, for whoever joins it is dealt a
    share of the messages (mosquitto with an acl_file lets any home do so). Raises DatabaseError.
    """
    with translated():
        cursor = await connection.execute("SELECT value FROM fleet.settings WHERE name = 'group'")
        row = await cursor.fetchone()
    if row is None:
        raise NotReady("its collectors' group has no name: run meter-gateway fleet init")
    return str(row[0])


async def timezone_of(connection: Connection) -> str:
    """The time zone of the community's days, as the database has it. Raises DatabaseError."""
    with translated():
        row = await (await connection.execute("SELECT fleet.zone()")).fetchone()
    return str(row[0]) if row else "UTC"


async def slot_length_of(connection: Connection) -> int:
    """Seconds of a slot of whom nothing else is known. Raises DatabaseError."""
    with translated():
        row = await (await connection.execute("SELECT fleet.slot_length()")).fetchone()
    return cast(int, row[0]) if row else 0


async def set_slot_length(connection: Connection, length_s: int) -> None:
    """How long the market's slots are. Raises DatabaseError."""
    with translated():
        await connection.execute(
            "UPDATE fleet.settings SET value = %s WHERE name = 'slot_length_s'", (str(length_s),)
        )


async def set_timezone(
    connection: Connection, name: str, progress: Callable[[int, int], None] | None = None
) -> bool:
    """Whose days are counted from now on; where that is another zone than before, all days are
    counted anew, while collectors go on. `progress` is told how many days are done, and of how
    many. Gives whether there was something to do. Raises DatabaseError, NotReady where the server
    does not know the zone.
    """
    if await timezone_of(connection) == name:
        return False
    with translated():
        async with connection.transaction():
            await connection.execute("LOCK TABLE fleet.days IN SHARE ROW EXCLUSIVE MODE")
            await connection.execute("SELECT now() AT TIME ZONE %s", (name,))
            await connection.execute(
                "UPDATE fleet.settings SET value = %s WHERE name = 'timezone'", (name,)
            )
            # From here on whatever comes has its day counted anew.
            await connection.execute("UPDATE fleet.days SET revised = true WHERE NOT revised")
            cursor = await connection.execute(
                "SELECT DISTINCT asset, day + n FROM fleet.days, generate_series(-1, 1) n "
                "ORDER BY 2, 1"
            )
            days = await cursor.fetchall()
        for begin in range(0, len(days), DAYS_AT_ONCE):
            some = days[begin : begin + DAYS_AT_ONCE]
            columns = [list(column) for column in zip(*some, strict=True)]
            await connection.execute("SELECT fleet.count_again(%s::int[], %s::date[])", columns)
            if progress is not None:
                progress(begin + len(some), len(days))
    return True


async def make_roles(connection: Connection) -> list[str]:
    """Make the roles where they are missing, and grant them what they need; gives those that were
    made. Raises DatabaseError: NotReady where this user may not make
    roles and they are missing.
    """
    made = []
    for role in ROLES:
        with translated():
            cursor = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
            if cursor.rowcount == 0:
                await connection.execute(
                    sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role))
                )
                made.append(role)
    with translated():
        async with connection.transaction():
            await connection.execute(_GRANTS)
            cursor = await connection.execute(
                "SELECT FROM pg_auth_members WHERE roleid = %s::regrole AND member = %s::regrole",
                (PAGE_ROLE, COLLECTOR_ROLE),
            )
            if cursor.rowcount == 0:
                await connection.execute("GRANT fleet_page TO fleet_collector")
    return made


async def grant(connection: Connection, user: str) -> None:
    """Give a user the collectors' role. Raises DatabaseError."""
    with translated():
        await connection.execute(
            sql.SQL("GRANT fleet_collector TO {}").format(sql.Identifier(user))
        )


async def collectors_alive(connection: Connection) -> list[str]:
    """Those that have been seen in the last minute. Raises DatabaseError."""
    with translated():
        cursor = await connection.execute(
            "SELECT name FROM fleet.collectors WHERE seen_at > now() - interval '1 minute'"
        )
        return [str(row[0]) for row in await cursor.fetchall()]


def is_site_name(text: str) -> bool:
    """Whether a gateway may be called so, as `site:` in gateway.yaml has it."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text) is not None


_GRANTS = """
GRANT USAGE ON SCHEMA fleet TO fleet_collector, fleet_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA fleet TO fleet_collector;
GRANT INSERT ON fleet.asset_slots, fleet.meter_slots, fleet.clashes, fleet.assets, fleet.series,
    fleet.stores, fleet.refused, fleet.status, fleet.collectors, fleet.sites TO fleet_collector;
GRANT INSERT ON fleet.asset_late, fleet.meter_late, fleet.days TO fleet_collector;
GRANT UPDATE, DELETE ON fleet.days TO fleet_collector;
GRANT UPDATE ON fleet.stores, fleet.refused, fleet.status, fleet.collectors, fleet.sites
    TO fleet_collector;
GRANT DELETE ON fleet.refused, fleet.collectors TO fleet_collector;
GRANT INSERT, UPDATE, DELETE ON fleet.deliveries, fleet.exchange_assets, fleet.aggregators
    TO fleet_collector;
GRANT UPDATE ON fleet.exchange_state TO fleet_collector;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA fleet TO fleet_collector;
REVOKE ALL ON FUNCTION fleet.add_month FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fleet.add_month TO fleet_collector;
REVOKE ALL ON FUNCTION fleet.pack_some, fleet.pack_begin, fleet.pack_next, fleet.pack_end,
    fleet.pack_late, fleet.note_packing_again FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fleet.pack_begin, fleet.pack_next, fleet.pack_end, fleet.pack_late
    TO fleet_collector;
GRANT SELECT ON fleet.settings TO fleet_collector;
GRANT SELECT ON fleet.measurements, fleet.meters, fleet.days, fleet.sites, fleet.assets,
    fleet.series, fleet.stores, fleet.status, fleet.collectors, fleet.clashes, fleet.events,
    fleet.deliveries, fleet.delivered, fleet.exchange_assets, fleet.aggregators TO fleet_reader;

GRANT INSERT, UPDATE, DELETE ON fleet.users TO fleet_collector;
GRANT INSERT, UPDATE, DELETE ON fleet.certificates TO fleet_collector;
GRANT USAGE ON SCHEMA fleet TO fleet_page;
GRANT SELECT ON ALL TABLES IN SCHEMA fleet TO fleet_page;
"""
