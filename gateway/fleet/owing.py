"""What the homes leave to the fleet to deliver is owed to the exchange from the moment on at which
it is stored: in the same transaction. Shell.
"""

from collections.abc import Iterable
from typing import NamedTuple

from gateway.fleet.database import Connection


class Stored(NamedTuple):
    """A number that came in a message, as the database has its key."""

    asset: int
    slot_s: int
    kind: str
    revision: int
    by_fleet: bool
    """Whether its home leaves its delivery to the fleet."""


async def owe(connection: Connection, numbers: Iterable[Stored]) -> None:
    """What of these was new in this transaction is owed. One that its gateway delivers itself
    matters only where it is newer than one that is owed. To be called in the transaction that
    inserts them, after that; raises psycopg's errors.
    """
    columns = ["{" + ",".join(map(str, column)) + "}" for column in zip(*numbers, strict=True)]
    if columns:
        await connection.execute(
            "SELECT fleet.owe(%s::int[], %s::bigint[], %s::text[], %s::smallint[], %s::bool[])",
            columns,
        )
