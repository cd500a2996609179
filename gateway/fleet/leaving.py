"""All that a database has of one home: as a file, or gone.

Which tables these are is read from the database: every one of its schema that has a column `site`,
`asset`, `series` or `store`. So none is left out that a later version adds.
"""

import asyncio
import hashlib
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from psycopg import sql

from gateway.fleet import certificates, migrating
from gateway.fleet.database import Connection, DatabaseError, translated

SETTLE_S = 30.0
"""So long after a home was removed every collector knows that, and what it had in hand is
stored.
"""

_LAST = ("assets", "series", "stores", "sites")
"""Other tables refer to these: they are emptied last, in this order."""

_KEYED_BY_REVISION = ("meter_slots",)
_BY_REVISION = "((revision = 0 AND {0} = ANY({1})) OR (revision > 0 AND {0} = ANY({1})))"
"""Its rows are found by their key, or by the index of those that were revised."""


class UnknownSite(Exception):
    """There is no such home."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one table has of the home."""

    table: str
    where: sql.Composed
    """By the numbers of the home, its assets, meters and buffers, which outlast these."""

    def query(self, what: str) -> sql.Composed:
        """`SELECT count(*)`, `DELETE`, …: that, of these rows."""
        return sql.SQL("{} FROM fleet.{} WHERE {}").format(
            sql.SQL(what), sql.Identifier(self.table), self.where
        )


async def parts_of(connection: Connection, site: str) -> list[Part]:
    """All that there is of a home, whether it is in or was removed. Raises DatabaseError,
    UnknownSite.
    """
    with translated():
        row = await (
            await connection.execute("SELECT id FROM fleet.sites WHERE name = %s", (site,))
        ).fetchone()
        if row is None:
            raise UnknownSite(f"there is no site {site}: fleet sites list names those there are")
        cursor = await connection.execute(_TABLES)
        tables = cast("list[tuple[str, str, bool]]", await cursor.fetchall())
        numbers: dict[str, list[int]] = {"site": [cast(int, row[0])]}
        for column, of in (("asset", "assets"), ("series", "series"), ("store", "stores")):
            cursor = await connection.execute(
                sql.SQL("SELECT id FROM fleet.{} WHERE site = {}").format(
                    sql.Identifier(of), row[0]
                )
            )
            numbers[column] = [cast(int, each[0]) for each in await cursor.fetchall()]
    found = {
        table: Part(
            table,
            sql.SQL(_BY_REVISION if table in _KEYED_BY_REVISION else "{0} = ANY({1})").format(
                sql.Identifier(column), [site] if is_name else numbers[column]
            ),
        )
        for table, column, is_name in tables
    }
    found["sites"] = Part("sites", sql.SQL("id = {}").format(row[0]))
    return sorted(
        found.values(),
        key=lambda part: (_LAST.index(part.table) if part.table in _LAST else -1, part.table),
    )


async def counts(connection: Connection, parts: list[Part]) -> dict[str, int]:
    """How many rows each table has of the home. Raises DatabaseError."""
    found = {}
    with translated():
        for part in parts:
            row = await (await connection.execute(part.query("SELECT count(*)"))).fetchone()
            found[part.table] = cast(int, row[0]) if row else 0
    return found


async def export(connection: Connection, site: str, path: Path) -> dict[str, int]:
    """Write all of a home into a ZIP file, as it is at one moment: its slots as the views tell them
    (CSV), every table as it is (CSV), and a manifest (JSON) with the rows, the bytes and the
    SHA-256 of each file. Gives the rows of each file. Raises DatabaseError, UnknownSite, OSError.
    """
    parts = await parts_of(connection, site)
    files: dict[str, dict[str, Any]] = {}
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        translated(),
    ):
        async with connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await connection.execute("SET LOCAL statement_timeout = 0")
            for view in ("measurements", "meters"):
                query = sql.SQL("SELECT * FROM fleet.{} WHERE site = {}").format(
                    sql.Identifier(view), site
                )
                name = f"{view}.csv"
                files[name] = await _write(archive, name, _copied(connection, query))
            for part in parts:
                name = f"tables/{part.table}.csv"
                files[name] = await _write(
                    archive, name, _copied(connection, part.query("SELECT *"))
                )
        manifest = {
            "site": site,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "schema": migrating.newest(),
            "files": files,
        }
        archive.writestr("manifest.json", json.dumps(manifest, indent=1))
    return {name: entry["rows"] for name, entry in files.items()}


async def _copied(connection: Connection, query: sql.Composed) -> AsyncIterator[bytes]:
    command = sql.SQL("COPY ({}) TO STDOUT WITH (FORMAT csv, HEADER)").format(query)
    async with connection.cursor() as cursor, cursor.copy(command) as copy:
        async for data in copy:
            yield bytes(data)


async def _write(
    archive: zipfile.ZipFile, name: str, portions: AsyncIterator[bytes]
) -> dict[str, Any]:
    digest, size, rows = hashlib.sha256(), 0, -1
    with archive.open(name, "w", force_zip64=True) as file:
        async for data in portions:  # each is a row
            file.write(data)
            digest.update(data)
            size += len(data)
            rows += 1
    return {"rows": rows, "bytes": size, "sha256": digest.hexdigest()}


async def forget(
    connection: Connection,
    site: str,
    settle_s: float,
    waiting: Callable[[float], None],
) -> tuple[str, dict[str, int]]:
    """Delete all of a home, in one transaction; gives the reference under which that is recorded,
    and how many rows each table had. Beforehand nothing is taken from it any more: `waiting` is
    told how many seconds that takes. The numbers of its certificates stay until these have ended,
    without the home: the broker's list has to name them. Raises DatabaseError, UnknownSite; then
    nothing is deleted.
    """
    await parts_of(connection, site)
    with translated():
        cursor = await connection.execute(
            "UPDATE fleet.sites SET removed_at = coalesce(removed_at, now()) WHERE name = %s "
            "RETURNING extract(epoch FROM now() - removed_at)::float8",
            (site,),
        )
        row = await cursor.fetchone()
        rest_s = settle_s - cast(float, row[0]) if row else settle_s
        if rest_s > 0:
            waiting(rest_s)
            await asyncio.sleep(rest_s)
        reference = str(uuid4())
        async with connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            parts = await parts_of(connection, site)
            before = await counts(connection, parts)
            await certificates.part_from(connection, site)
            for part in parts:
                await connection.execute(part.query("DELETE"))
            after = await counts(connection, parts)
            if left := {table: rows for table, rows in after.items() if rows}:
                raise DatabaseError(f"rows are left: {left}; nothing was deleted")
            await connection.execute(
                "INSERT INTO fleet.forgotten (reference, rows) VALUES (%s, %s)",
                (reference, json.dumps(before)),
            )
    return reference, before


_TABLES = """
SELECT DISTINCT ON (c.relname) c.relname::text, a.attname::text, a.atttypid = 'text'::regtype
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'fleet'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND a.attname IN ('site', 'asset', 'series', 'store') AND NOT a.attisdropped
ORDER BY c.relname, array_position(ARRAY['site', 'asset', 'series', 'store'], a.attname::text)
"""
