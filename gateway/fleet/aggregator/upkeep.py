"""The SQL around what is owed to the exchange: what is late, silent or unbound, what homes are
told, what is forgotten. Shell.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID

from gateway.fleet.aggregator.health import Counted
from gateway.fleet.aggregator.table import MAX_AT_ONCE, MAX_REASON, Rules
from gateway.fleet.database import Connection, translated

ACCEPTED_KEPT = "5 days"
"""What was accepted is kept so long (fleet.owe goes by it); the numbers themselves stay."""
KEPT = "60 days"
"""What was rejected or missed."""
TOLD_WITHIN = "2 days"
"""Older outcomes are not told any more: a gateway shows what is new."""

NO_VERDICT = (
    "the exchange takes its numbers and gives no verdict: is its live data switched on there, and "
    "is it a load or PV?"
)
LOST = "its verdict was lost, and its slot has begun: nobody knows whether it was taken"
LATE = "its slot had begun before it could be sent"


class Told(NamedTuple):
    """An outcome of which a gateway has not heard."""

    asset: int
    slot_s: int
    kind: str
    site: str
    store: str
    uuid: str
    revision: int
    state: str
    reason: str
    at_s: int


class Doubt(NamedTuple):
    """A measurement that was sent long ago, and of which no verdict came."""

    asset: int
    uuid: UUID
    slot_s: int
    revision: int
    energy_uwh: int
    transaction: UUID


class Unbound(NamedTuple):
    """An asset for which the fleet's aggregator does not act yet."""

    asset: int
    uuid: UUID


async def lead(connection: Connection) -> bool:
    """Whether this connection is the one that looks after everything, until it ends. Raises
    DatabaseError.
    """
    with translated():
        cursor = await connection.execute(
            "SELECT pg_try_advisory_lock(hashtext('fleet.aggregator'))"
        )
        row = await cursor.fetchone()
    return bool(row and row[0])


async def note_alive(
    connection: Connection, name: str, state: str, reason: str, heard_for_s: float | None
) -> None:
    """This process runs, and is well or not; `heard_for_s`: so long all verdicts are heard. What
    was heard until now must be noted before. Raises DatabaseError.
    """
    with translated():
        await connection.execute(_ALIVE, (name, state, reason[:MAX_REASON], heard_for_s))
        await connection.execute(
            "DELETE FROM fleet.aggregators WHERE seen_at < now() - interval '1 day'"
        )


async def owe_unheard(
    connection: Connection, rules: Rules, answer_within_s: float, next_slot_s: float
) -> int:
    """What was sent, and got no verdict though somebody listened, is owed again; one number of its
    asset is tried in each slot. How many. Raises DatabaseError.
    """
    with translated():
        cursor = await connection.execute(
            _UNHEARD,
            {
                "within": answer_within_s,
                "most": MAX_AT_ONCE,
                "reason": NO_VERDICT,
                "next_slot": next_slot_s,
                "length": rules.slot_s,
            },
        )
        row = await cursor.fetchone()
    return cast(int, row[0]) if row else 0


async def miss_late(
    connection: Connection, rules: Rules, forecast_after_s: float, answer_within_s: float
) -> int:
    """Forecasts whose slot has begun are missed, and slots of another length than the exchange's;
    how many. Raises DatabaseError.
    """
    missed = 0
    with translated():
        for query, values in (
            (_MISS_LATE, (MAX_AT_ONCE, LATE, forecast_after_s)),
            (_MISS_LOST, (MAX_AT_ONCE, LOST, forecast_after_s, answer_within_s)),
            (
                _MISS_LENGTH,
                (MAX_AT_ONCE, f"the exchange's slots are {rules.slot_s} s", rules.slot_s),
            ),
        ):
            most, reason, *bounds = values
            cursor = await connection.execute(query, (*bounds, most, reason))
            missed += cursor.rowcount
    return missed


async def doubtful(
    connection: Connection, settled_before_s: float, applied_after_s: float, assets: int
) -> list[Doubt]:
    """Measurements of settled slots that were sent at least so long ago, and whose verdict never
    came, of a few assets: of each those of one UTC day. Raises DatabaseError.
    """
    values = {"settled": settled_before_s, "applied": applied_after_s, "assets": assets}
    with translated():
        cursor = await connection.execute(_DOUBTFUL, values)
        return [Doubt(*row) for row in cast("list[Any]", await cursor.fetchall())]


async def note_read_back(
    connection: Connection, agreed: Sequence[Doubt], others: Sequence[Doubt]
) -> None:
    """What the exchange holds as it was sent is accepted; the others are owed again. Raises
    DatabaseError.
    """
    with translated():
        async with connection.transaction():
            for some, state, reason in (
                (agreed, "a", "read back: the exchange holds it; no verdict came"),
                (others, "o", "no verdict came, and the exchange does not hold it"),
            ):
                if some:
                    columns = [
                        [each.asset for each in some],
                        [each.slot_s for each in some],
                        [each.transaction for each in some],
                    ]
                    await connection.execute(_READ_BACK, (*columns, state, reason))


# --- whose numbers may be sent --------------------------------------------------------------------


async def unbound(connection: Connection, most: int) -> list[Unbound]:
    """Some of the assets that are to be bound now. Raises DatabaseError."""
    with translated():
        cursor = await connection.execute(
            "SELECT e.asset, a.uuid FROM fleet.exchange_assets e "
            "JOIN fleet.assets a ON a.id = e.asset "
            "WHERE e.bound IS NULL AND e.bind_after <= now() ORDER BY e.asset LIMIT %s",
            (most,),
        )
        return [Unbound(*row) for row in cast("list[Any]", await cursor.fetchall())]


async def note_bound(
    connection: Connection, bound: Iterable[int], problems: Mapping[int, str], again_s: float
) -> None:
    """The fleet's aggregator acts for these; not for those, and why. Raises DatabaseError."""
    with translated():
        async with connection.transaction():
            await connection.execute(
                "UPDATE fleet.exchange_assets SET bound = now(), "
                "problem = CASE WHEN silent IS NULL THEN '' ELSE problem END "
                "WHERE asset = ANY(%s::int[])",
                (sorted(bound),),
            )
            await connection.execute(
                "UPDATE fleet.exchange_assets e SET problem = n.problem, "
                "bind_after = now() + make_interval(secs => %s) "
                "FROM unnest(%s::int[], %s::text[]) AS n(asset, problem) WHERE e.asset = n.asset",
                (again_s, list(problems), [text[:MAX_REASON] for text in problems.values()]),
            )


async def know_aggregator(connection: Connection, uuid: str) -> None:
    """It has that UUID there; where that is another one than before, it acts for nothing yet.
    Raises DatabaseError.
    """
    with translated():
        async with connection.transaction():
            cursor = await connection.execute(
                "UPDATE fleet.exchange_state SET aggregator = %s WHERE aggregator <> %s",
                (uuid, uuid),
            )
            if cursor.rowcount:
                await connection.execute(
                    "UPDATE fleet.exchange_assets SET bound = NULL, bind_after = '-infinity'"
                )


# --- what gateways are told -----------------------------------------------------------------------


async def untold(connection: Connection, most: int) -> list[Told]:
    """Outcomes of which gateways that are there have not heard, in a transaction of the caller's:
    nobody else gets them. Raises DatabaseError.
    """
    with translated():
        cursor = await connection.execute(_UNTOLD, (most,))
        return [Told(*row) for row in cast("list[Any]", await cursor.fetchall())]


async def note_told(connection: Connection, told: Sequence[Told]) -> None:
    """They were handed to the broker. Raises DatabaseError."""
    with translated():
        await connection.execute(
            "UPDATE fleet.deliveries d SET told = true "
            "FROM unnest(%s::int[], %s::bigint[], %s::text[], %s::smallint[]) "
            "AS n(asset, slot, kind, revision) WHERE d.asset = n.asset "
            'AND d.slot = to_timestamp(n.slot) AND d.kind = n.kind::"char" '
            "AND d.revision = n.revision",
            (
                [each.asset for each in told],
                [each.slot_s for each in told],
                [each.kind for each in told],
                [each.revision for each in told],
            ),
        )


# --- counting, forgetting -------------------------------------------------------------------------


async def counted(connection: Connection, measured_until_s: float) -> Counted:
    """How much is owed that may be sent. Raises DatabaseError."""
    with translated():
        cursor = await connection.execute(_COUNTED, (measured_until_s,))
        row = await cursor.fetchone()
    return Counted(*cast("tuple[int, int | None, int, int]", row))


async def forget(connection: Connection) -> int:
    """What is settled for long goes, a portion at a time; how much went. Raises DatabaseError."""
    with translated():
        await connection.execute(
            "UPDATE fleet.deliveries SET told = true WHERE NOT told AND state IN ('a', 'r', 'm') "
            "AND at < now() - %s::interval",
            (TOLD_WITHIN,),
        )
        cursor = await connection.execute(_FORGET, (MAX_AT_ONCE,))
    return cursor.rowcount


_ALIVE = """
INSERT INTO fleet.aggregators AS a (name, state, reason, heard_since)
SELECT name, state, reason, now() - make_interval(secs => heard)
FROM (SELECT %s::text, %s::text, %s::text, %s::float8) AS n(name, state, reason, heard)
ON CONFLICT (name) DO UPDATE SET seen_at = now(), state = excluded.state, reason = excluded.reason,
    heard_since = excluded.heard_since,
    since = CASE WHEN a.state = excluded.state THEN a.since ELSE now() END
"""

_UNHEARD = """
WITH late AS (
    SELECT d.asset, d.slot, d.kind FROM fleet.deliveries d
    WHERE d.state = 's' AND d.sent < now() - make_interval(secs => %(within)s) AND EXISTS (
        SELECT FROM fleet.aggregators a WHERE a.heard_since <= d.sent
        AND a.seen_at >= d.sent + make_interval(secs => %(within)s))
    ORDER BY d.asset, d.slot, d.kind LIMIT %(most)s FOR UPDATE OF d
), again AS (
    UPDATE fleet.deliveries d
    SET state = 'o', transaction = NULL, reason = %(reason)s, at = now(), told = false
    FROM late WHERE d.asset = late.asset AND d.slot = late.slot AND d.kind = late.kind
    RETURNING d.asset
), silent AS (
    UPDATE fleet.exchange_assets e
    SET silent = coalesce(e.silent, now()), problem = %(reason)s, most = 1, bound = NULL,
        bind_after = '-infinity',
        wait_until = CASE WHEN e.silent IS NULL THEN '-infinity'
            ELSE to_timestamp(%(next_slot)s) END
    FROM (SELECT DISTINCT asset FROM again) a WHERE e.asset = a.asset
)
SELECT count(*) FROM again
"""

_MISS = """
WITH late AS (
    SELECT d.asset, d.slot, d.kind FROM fleet.deliveries d
    WHERE {} ORDER BY d.asset, d.slot, d.kind LIMIT %s FOR UPDATE OF d
)
UPDATE fleet.deliveries d
SET state = 'm', reason = %s, transaction = NULL, at = now(), told = false
FROM late WHERE d.asset = late.asset AND d.slot = late.slot AND d.kind = late.kind
"""
_MISS_LATE = _MISS.format("d.state = 'o' AND d.kind = 'f' AND d.slot <= to_timestamp(%s)")
_MISS_LOST = _MISS.format(
    "d.state = 's' AND d.kind = 'f' AND d.slot <= to_timestamp(%s) "
    "AND d.sent < now() - 2 * make_interval(secs => %s)"
)
_MISS_LENGTH = _MISS.format("d.state = 'o' AND d.length_s <> %s")

_IS_DOUBTFUL = """
    d.state = 's' AND d.kind = 'm' AND d.slot < to_timestamp(%(settled)s)
    AND d.sent < now() - make_interval(secs => %(applied)s)
"""

_DOUBTFUL = f"""
WITH days AS (
    SELECT d.asset, date_trunc('day', min(d.slot)) AS day FROM fleet.deliveries d
    WHERE {_IS_DOUBTFUL}
    GROUP BY d.asset ORDER BY min(d.slot), d.asset LIMIT %(assets)s
)
SELECT d.asset, a.uuid, extract(epoch FROM d.slot)::bigint, d.revision, greatest(d.energy_uwh, 0),
    d.transaction
FROM days JOIN fleet.assets a ON a.id = days.asset
JOIN fleet.deliveries d ON d.asset = days.asset AND {_IS_DOUBTFUL}
    AND d.slot >= days.day AND d.slot < days.day + interval '1 day'
ORDER BY d.asset, d.slot
"""  # noqa: S608 — of constants

_READ_BACK = """
WITH mine AS (
    SELECT d.asset, d.slot, d.kind FROM fleet.deliveries d
    JOIN unnest(%s::int[], %s::bigint[], %s::uuid[]) AS n(asset, slot, transaction)
    ON d.asset = n.asset AND d.slot = to_timestamp(n.slot) AND d.transaction = n.transaction
    WHERE d.kind = 'm' AND d.state = 's' ORDER BY d.asset, d.slot FOR UPDATE OF d
)
UPDATE fleet.deliveries d
SET state = %s::"char", reason = %s, transaction = NULL, at = now(), told = false
FROM mine WHERE d.asset = mine.asset AND d.slot = mine.slot AND d.kind = mine.kind
"""

_UNTOLD = """
SELECT d.asset, extract(epoch FROM d.slot)::bigint, d.kind::text, s.name, t.name, a.uuid::text,
    d.revision, d.state::text, d.reason, extract(epoch FROM d.at)::bigint
FROM fleet.deliveries d
JOIN fleet.assets a ON a.id = d.asset
JOIN fleet.sites s ON s.id = a.site
JOIN LATERAL (
    SELECT name FROM fleet.stores WHERE site = s.id ORDER BY last_at DESC LIMIT 1
) t ON true
LEFT JOIN fleet.status h ON h.site = s.id
WHERE NOT d.told AND d.state IN ('a', 'r', 'm') AND coalesce(h.online, true)
ORDER BY d.at LIMIT %s FOR UPDATE OF d SKIP LOCKED
"""

_COUNTED = """
SELECT (SELECT count(*) FROM (SELECT FROM fleet.deliveries WHERE state = 'o' LIMIT 1000000) o),
    (SELECT extract(epoch FROM min(slot))::bigint FROM fleet.deliveries
        WHERE state = 'o' AND slot <= to_timestamp(%s)),
    count(*) FILTER (WHERE bound IS NULL), count(*) FILTER (WHERE silent IS NOT NULL)
FROM fleet.exchange_assets
"""

_FORGET = f"""
DELETE FROM fleet.deliveries d USING (
    SELECT asset, slot, kind FROM fleet.deliveries
    WHERE slot < now() - interval '{ACCEPTED_KEPT}' AND (
        (state = 'a' AND at < now() - interval '{ACCEPTED_KEPT}')
        OR (state IN ('r', 'm') AND at < now() - interval '{KEPT}'))
    LIMIT %s FOR UPDATE SKIP LOCKED
) old WHERE d.asset = old.asset AND d.slot = old.slot AND d.kind = old.kind
"""  # noqa: S608 — of constants
