"""The two ways in which rows get into the database, in a transaction of the caller's. Shell.

What has not come before goes by COPY: it takes a third of the time, and fails where a single row is
there. What may have come before goes by INSERT, which leaves what is there, and compares.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from psycopg.errors import UniqueViolation

from gateway.fleet.database import Connection
from gateway.fleet.directory import Directory
from gateway.fleet.owing import owe
from gateway.fleet.rows import (
    Item,
    Row,
    Taken,
    as_array,
    as_csv,
    asset_rows,
    counted,
    items_of,
    meter_rows,
    owed,
    stored,
)
from gateway.fleet.statements import (
    ASSETS,
    COPY_ASSETS,
    COPY_METERS,
    COPY_OWED,
    COUNT,
    COUNT_AGAIN,
    DELIVERED,
    LATE_ASSETS,
    LATE_METERS,
    METERS,
    REVISED,
    Table,
)


class NotThisWay(Exception):
    """Something of it is there already, or days are counted otherwise by now: `insert_any` is for
    it. The transaction is of no use any more.
    """


@dataclass(slots=True)
class Inserted:
    """What came of rows."""

    rows: int = 0
    known: int = 0
    """Of these, so many were there already."""
    clashing: list[int] = field(default_factory=list)
    """The sites of rows that are there with another value, and have not been noted before."""
    delivered: set[int] = field(default_factory=set)
    """Assets that the fleet delivers, and that are noted as such from now on."""


async def insert_new(
    connection: Connection, directory: Directory, batch: Sequence[Taken]
) -> Inserted:
    """Insert what has never come, all or nothing; count it, and owe it to the exchange. Raises
    NotThisWay and psycopg's errors.
    """
    items = items_of(directory, batch)
    inserted = Inserted(sum(len(each.rows.rows) for each in items))
    inserted.rows += sum(len(meter.rows) for each in batch for meter in each.checked.meters)
    # What is written next is made ready while the database is at work.
    try:
        async with _copying(connection, COPY_ASSETS, as_csv(asset_rows(directory, items))):
            meters = as_csv(meter_rows(directory, batch))
        async with _copying(connection, COPY_METERS, meters):
            days = counted(directory, items)
        doubtful = await _count(connection, directory, days)
        doubtful |= await _revised_forecasts(connection, directory, items)
        await owe(connection, stored(items, only=doubtful))
        fresh = owed(directory, items, doubtful)
        inserted.delivered = {row[0] for row in fresh} - directory.delivered
        if inserted.delivered:
            await connection.execute(DELIVERED, (sorted(inserted.delivered),))
        async with _copying(connection, COPY_OWED, as_csv(fresh)):
            pass
    except UniqueViolation as error:
        raise NotThisWay from error
    return inserted


async def insert_any(
    connection: Connection, directory: Directory, batch: Sequence[Taken]
) -> Inserted:
    """Insert what is not there yet, count it, and owe it to the exchange. Raises psycopg's
    errors.
    """
    items = items_of(directory, batch)
    late_assets, assets = directory.by_month("asset_slots", asset_rows(directory, items))
    late_meters, meters = directory.by_month("meter_slots", meter_rows(directory, batch))
    inserted = Inserted()
    # In the order of the days that are counted: of these, each row is a lock.
    await _insert(connection, LATE_ASSETS, late_assets, inserted)
    await _insert(connection, ASSETS, assets, inserted)
    await _insert(connection, LATE_METERS, late_meters, inserted)
    await _insert(connection, METERS, meters, inserted)
    await owe(connection, stored(items))
    return inserted


@asynccontextmanager
async def _copying(connection: Connection, statement: str, rows: bytes) -> AsyncIterator[None]:
    """The rows are sent before what is within, and waited for after it."""
    if not rows:
        yield
        return
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(rows)
        yield


async def _count(connection: Connection, directory: Directory, rows: list[Row]) -> set[int]:
    """Add what is new to its days; the assets of which newer revisions may be there."""
    if not rows:
        return set()
    columns = [as_array(column) for column in zip(*rows, strict=True)]
    cursor = await connection.execute(COUNT, (*columns, directory.zone))
    many, assets, days = cast(
        "tuple[int, list[int] | None, list[object] | None]", await cursor.fetchone()
    )
    if many != len(rows):
        directory.forget_days()
        raise NotThisWay
    if assets:
        await connection.execute(COUNT_AGAIN, (assets, days))
    return {*(assets or ())}


async def _revised_forecasts(
    connection: Connection, directory: Directory, items: Sequence[Item]
) -> set[int]:
    """The assets of which newer forecasts than these are there."""
    keys = [
        (item.asset, directory.slot_texts[row.slot_s])
        for item in items
        if item.kind == "f" and item.by_fleet
        for row in item.rows.rows
    ]
    if not keys:
        return set()
    columns = [as_array(column) for column in zip(*keys, strict=True)]
    cursor = await connection.execute(REVISED, columns)
    return {cast(int, row[0]) for row in await cursor.fetchall()}


async def _insert(
    connection: Connection, table: Table, rows: list[Row], inserted: Inserted
) -> None:
    if not rows:
        return
    columns = [as_array(column) for column in zip(*rows, strict=True)]
    cursor = await connection.execute(table.insert, columns)
    new, assets, days = cast("tuple[int, Any, Any]", await cursor.fetchone())
    if assets:
        await connection.execute(COUNT_AGAIN, (assets, days))
    inserted.rows += len(rows)
    if new < len(rows):
        inserted.known += len(rows) - new
        cursor = await connection.execute(table.clashes, columns)
        inserted.clashing += [cast(int, row[0]) for row in await cursor.fetchall()]
