"""The connection to PostgreSQL, as the collector needs it, and what the server's errors mean.

A commit counts once it is on the server's disk: `synchronous_commit` is set here, whatever the
server's default is. Every connection is in autocommit: otherwise psycopg would make a savepoint of
each transaction after the first statement, and nothing would ever be stored.

    DatabaseError
      ├─ Away        it cannot be reached, cannot be written to or has no room: wait, and try again
      ├─ NotReady    its schema is missing, older, newer, or closed to this user: a person is needed
      └─ Unfit       it does not take these values: they alone are wrong
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import AsyncConnection, errors, sql

from gateway.fleet.settings import FleetSettings

Connection = AsyncConnection[tuple[object, ...]]

CONNECT_S = 10
STATEMENT_MS = 60_000
"""A statement that takes longer is given up: a lock of somebody else's is held."""

_SESSION = (
    f"-c timezone=UTC -c synchronous_commit=on -c statement_timeout={STATEMENT_MS} "
    "-c lock_timeout=30000 -c idle_in_transaction_session_timeout=60000 -c client_encoding=UTF8"
)


class DatabaseError(Exception):
    """The database did not do what it was asked; the text says why and what to do."""


class Away(DatabaseError):
    """It cannot be reached or written to now."""


class NotReady(DatabaseError):
    """It is not what this version needs."""


class Unfit(DatabaseError):
    """It does not take these values."""


class NoPartition(DatabaseError):
    """There is no partition for a month of these rows."""


async def connect(
    settings: FleetSettings, application: str = "meter-gateway fleet", role: str | None = None
) -> Connection:
    """A connection in autocommit, to the server that can be written to; as that role, if one is
    named. Raises DatabaseError and ConfigError.
    """
    database = settings.file.database
    login = settings.login(database.credentials)
    # Keepalives: a server that lost its power says no goodbye.
    more: dict[str, str | int] = {"keepalives_idle": 10, "keepalives_interval": 5}
    more |= {"keepalives_count": 3, "tcp_user_timeout": 30_000}
    if login is not None:
        more |= {"user": login.username, "password": login.password}
    if database.is_local or database.tls == "off":
        more["sslmode"] = "disable"
    else:
        more["sslmode"] = database.tls
        ca_file = settings.path(database.ca_file) or _system_authorities()
        if ca_file is not None and database.tls != "require":
            more["sslrootcert"] = ca_file
    with translated():
        connection = await AsyncConnection.connect(
            "",
            autocommit=True,
            host=database.host,
            port=database.port,
            dbname=database.name,
            target_session_attrs="read-write",
            connect_timeout=CONNECT_S,
            application_name=application,
            options=_SESSION,
            **more,  # type: ignore[arg-type]  # libpq's parameters by their names
        )
        if role is not None:
            try:
                await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            except BaseException:
                await connection.close()
                raise
        return connection


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """psycopg's errors become ours."""
    try:
        yield
    except psycopg.Error as error:
        raise _meaning(error) from error


def _meaning(error: psycopg.Error) -> DatabaseError:
    what = _first_line(error)
    match error:
        case errors.ReadOnlySqlTransaction():
            return Away(f"it is read-only ({what}): is it a standby, or failing over?")
        case errors.DiskFull():
            return Away(f"it has no room left ({what}): free some, or give it more")
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.UndefinedFunction():
            return NotReady(f"its schema is not that of this version ({what}): run fleet init")
        case errors.InvalidSchemaName() | errors.InvalidCatalogName():
            return NotReady(f"{what}: run fleet init, and look at database: in fleet.yaml")
        case errors.InsufficientPrivilege():
            return NotReady(
                f"its user may not do that ({what}): run meter-gateway fleet init --admin FILE, "
                "with the login of one who may make schemas and roles"
            )
        case errors.RaiseException():  # by a function of our own
            return DatabaseError(error.diag.message_primary or what)
        case errors.CheckViolation() if not error.diag.constraint_name:
            return NoPartition(what)
        case errors.DataError() | errors.IntegrityError():
            return Unfit(what)
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return Away(what)
        case errors.ProgrammingError() | errors.NotSupportedError():
            return NotReady(f"{what}: is it PostgreSQL 13 or later?")
    return Away(what)


def _first_line(error: psycopg.Error) -> str:
    text = " ".join(str(error).split())
    return text[:300] or type(error).__name__


def _system_authorities() -> str | None:
    """libpq looks into ~/.postgresql by itself, and takes `system` only from version 16 on."""
    import ssl

    file = ssl.get_default_verify_paths().cafile
    return file if file is not None and Path(file).is_file() else None
