"""The SQL of what is owed to the exchange: claims, outcomes, verdicts. Shell.

An asset is *claimed* before any number of it is sent: until `busy_until`, which is on the server's
disk by then, nobody else sends any. Whoever is killed, or loses the database, leaves it to time. So
a request that is still on its way cannot overtake a later one with a newer revision.

Rows are locked in the order of their keys, as collectors write them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

from gateway.fleet.aggregator.numbers import Claim, Number, Windows
from gateway.fleet.database import Connection, translated
from gateway.outbox.exchange.batch import MAX_ITEMS

MAX_LOOKED_AT = 20_000
"""Owed rows of live slots that are looked at for one claim."""
MAX_AT_ONCE = 10_000
"""Rows that one statement of housekeeping changes."""


class Word(NamedTuple):
    """What the exchange's engine says of one asset's numbers of one kind in one request."""

    transaction: UUID
    asset: UUID
    kind: str
    is_taken: bool
    is_of_asset: bool
    """It takes no numbers of that kind of that asset: none of them is at fault."""
    reason: str


@dataclass(frozen=True, slots=True)
class Rules:
    """How long things take, in seconds."""

    claim_s: float
    """How long a request may be under way, whatever becomes of who sent it."""
    beside_others_s: float
    """What is refused is tried again so much later; refused again, while others are taken, it is
    rejected.
    """
    final_s: float = 86_400.0
    """A refusal is final so long after the first one, also where nothing is taken."""
    slot_s: int = 900


async def claim(connection: Connection, windows: Windows, rules: Rules, assets: int) -> Claim:
    """Numbers of at most so many assets, of which nobody else sends any meanwhile; none where
    nothing is owed, or others are at it. Raises DatabaseError.
    """
    found = Claim(uuid4())
    values: dict[str, Any] = {
        "measured": windows.measured_until_s,
        "forecast": windows.forecast_after_s,
        "since": windows.since_s,
        "length": rules.slot_s,
        "assets": assets,
        "looked": MAX_LOOKED_AT,
        "claim": found.id,
        "for_s": rules.claim_s,
    }
    with translated():
        async with connection.transaction():
            query = _CLAIM_ANY if windows.since_s is None else _CLAIM_SINCE
            cursor = await connection.execute(query, values)
            mine = await cursor.fetchall()
            if not mine:
                return found
            values |= {
                "mine": [row[0] for row in mine],
                "most": [row[1] for row in mine],
                "each": max(1, MAX_ITEMS // len(mine)),
            }
            # A statement of its own: it sees what others have noted until they let go.
            cursor = await connection.execute(_NUMBERS, values)
            numbers = [Number(*row) for row in cast("list[Any]", await cursor.fetchall())]
            if {each.asset for each in numbers} != {row[0] for row in mine}:
                await connection.execute(
                    "UPDATE fleet.exchange_assets SET busy_until = '-infinity', claim = NULL "
                    "WHERE claim = %s AND NOT asset = ANY(%s::int[])",
                    (found.id, [each.asset for each in numbers]),
                )
    return Claim(found.id, numbers)


async def hold(connection: Connection, claimed: Claim, rules: Rules) -> bool:
    """Have it for as long as a request takes; whether it was still ours. Raises DatabaseError."""
    with translated():
        cursor = await connection.execute(
            "UPDATE fleet.exchange_assets SET busy_until = now() + make_interval(secs => %s) "
            "WHERE claim = %s",
            (rules.claim_s, claimed.id),
        )
    return cursor.rowcount == len({each.asset for each in claimed.numbers})


async def let_go(
    connection: Connection, claimed: Claim, still_under_way: Iterable[Number] = ()
) -> None:
    """Others may send its assets, but for those of which a request may still be under way. Raises
    DatabaseError.
    """
    kept = sorted({each.asset for each in still_under_way})
    with translated():
        await connection.execute(
            "UPDATE fleet.exchange_assets SET busy_until = now(), claim = NULL "
            "WHERE claim = %s AND NOT asset = ANY(%s::int[])",
            (claimed.id, kept),
        )


async def note_sent(
    connection: Connection,
    numbers: Sequence[Number],
    transaction: UUID,
    *,
    is_accepted: bool,
    reason: str = "",
) -> None:
    """The exchange has queued these; `is_accepted`: that is all it will ever say. What has a newer
    revision by now is owed still. Raises DatabaseError.
    """
    state = "a" if is_accepted else "s"
    with translated():
        async with connection.transaction():
            await connection.execute(_NOTE_SENT, (*_columns(numbers), state, transaction, reason))
            await connection.execute(
                "UPDATE fleet.exchange_state SET received = now(), "
                "taken = CASE WHEN %s THEN now() ELSE taken END "
                "WHERE received < now() - interval '1 second' OR %s",
                (is_accepted, is_accepted),
            )


async def note_refused(connection: Connection, number: Number, reason: str, rules: Rules) -> bool:
    """The exchange refuses this number by itself; whether that is final. Raises DatabaseError."""
    with translated():
        cursor = await connection.execute(
            _REFUSE,
            {
                "asset": number.asset,
                "slot": number.slot_s,
                "kind": number.kind,
                "revision": number.revision,
                "reason": reason[:MAX_REASON],
                "beside": rules.beside_others_s,
                "final": rules.final_s,
            },
        )
        row = await cursor.fetchone()
    return row is not None and row[0] == "r"


async def forget_refusals(connection: Connection, within_s: float) -> None:
    """What was refused while everything was proves nothing: it may go again at once. Raises
    DatabaseError.
    """
    with translated():
        await connection.execute(
            "UPDATE fleet.deliveries SET refused = NULL, after = NULL "
            "WHERE state = 'o' AND refused >= now() - make_interval(secs => %s)",
            (within_s,),
        )


MAX_REASON = 300


# --- verdicts -------------------------------------------------------------------------------------


async def noted_transactions(connection: Connection, some: Iterable[UUID]) -> set[UUID]:
    """Those whose numbers await their verdict. Raises DatabaseError."""
    with translated():
        cursor = await connection.execute(
            "SELECT DISTINCT transaction FROM fleet.deliveries "
            "WHERE state = 's' AND transaction = ANY(%s::uuid[])",
            (list(some),),
        )
        return {cast(UUID, row[0]) for row in await cursor.fetchall()}


async def note_words(
    connection: Connection, words: Sequence[Word], rules: Rules, next_slot_s: float
) -> dict[str, int]:
    """What the engine said; how many numbers were accepted, refused, rejected. It may be noted by
    several at once. Raises DatabaseError.
    """
    counts = {"accepted": 0, "refused": 0, "rejected": 0}
    taken = [each for each in words if each.is_taken]
    others = [each for each in words if not each.is_taken]
    with translated():
        async with connection.transaction():
            if taken:
                cursor = await connection.execute(_ACCEPT, _word_columns(taken))
                row = await cursor.fetchone()
                counts["accepted"] = cast(int, row[0]) if row else 0
                await connection.execute("UPDATE fleet.exchange_state SET taken = now()")
            for each in others:
                values = {
                    "transaction": each.transaction,
                    "asset": each.asset,
                    "kind": each.kind,
                    "reason": each.reason[:MAX_REASON],
                    "beside": rules.beside_others_s,
                    "final": rules.final_s,
                    "of_asset": each.is_of_asset,
                    "next_slot": next_slot_s,
                }
                cursor = await connection.execute(_REFUSE_WORD, values)
                for state, count in await cursor.fetchall():
                    counts["rejected" if state == "r" else "refused"] += cast(int, count)
    return counts


def _word_columns(words: Sequence[Word]) -> list[list[Any]]:
    return [
        [each.transaction for each in words],
        [each.asset for each in words],
        [each.kind for each in words],
    ]


def _columns(numbers: Iterable[Number]) -> list[list[Any]]:
    ordered = sorted(numbers)
    return [
        [each.asset for each in ordered],
        [each.slot_s for each in ordered],
        [each.kind for each in ordered],
        [each.revision for each in ordered],
    ]


# --- what is claimed ------------------------------------------------------------------------------

_MAY_GO = """
    d.state = 'o' AND d.length_s = %(length)s AND (d.after IS NULL OR d.after <= now())
    AND ((d.kind = 'm' AND d.slot <= to_timestamp(%(measured)s))
        OR (d.kind = 'f' AND d.slot > to_timestamp(%(forecast)s)))
"""

_IS_FREE = "e.bound IS NOT NULL AND e.busy_until <= now() AND e.wait_until <= now()"

_TAKE = f"""
mine AS (
    SELECT e.asset FROM fleet.exchange_assets e JOIN found USING (asset)
    WHERE {_IS_FREE} ORDER BY e.asset FOR UPDATE OF e SKIP LOCKED
)
UPDATE fleet.exchange_assets e
SET busy_until = now() + make_interval(secs => %(for_s)s), claim = %(claim)s
FROM mine WHERE e.asset = mine.asset RETURNING e.asset, e.most
"""  # noqa: S608 — of constants

_CLAIM_SINCE = f"""
WITH owed AS (
    SELECT d.asset, d.slot FROM fleet.deliveries d JOIN fleet.exchange_assets e USING (asset)
    WHERE {_MAY_GO} AND d.slot >= to_timestamp(%(since)s) AND {_IS_FREE}
    ORDER BY d.slot LIMIT %(looked)s
), found AS (
    SELECT asset FROM owed GROUP BY asset ORDER BY min(slot), asset LIMIT %(assets)s
), {_TAKE}
"""  # noqa: S608 — of constants

_CLAIM_ANY = f"""
WITH found AS (
    SELECT e.asset FROM fleet.exchange_assets e
    WHERE {_IS_FREE} AND EXISTS (
        SELECT FROM fleet.deliveries d WHERE d.asset = e.asset AND {_MAY_GO})
    ORDER BY e.busy_until, e.asset LIMIT %(assets)s
), {_TAKE}
"""  # noqa: S608 — of constants

_NUMBERS = f"""
SELECT d.asset, a.uuid, extract(epoch FROM d.slot)::bigint, d.kind::text, d.revision, d.energy_uwh,
    d.refused IS NOT NULL
FROM unnest(%(mine)s::int[], %(most)s::int[]) AS e(asset, most)
JOIN fleet.assets a ON a.id = e.asset
CROSS JOIN LATERAL (
    SELECT d.* FROM fleet.deliveries d
    WHERE d.asset = e.asset AND {_MAY_GO}
        AND d.slot >= coalesce(to_timestamp(%(since)s), '-infinity')
    ORDER BY d.slot, d.kind DESC LIMIT least(e.most, %(each)s)
) d
"""  # noqa: S608 — of constants

# --- what came of it ------------------------------------------------------------------------------

_NOTE_SENT = """
WITH mine AS (
    SELECT d.asset, d.slot, d.kind FROM fleet.deliveries d
    JOIN unnest(%s::int[], %s::bigint[], %s::text[], %s::smallint[])
        AS n(asset, slot, kind, revision)
    ON d.asset = n.asset AND d.slot = to_timestamp(n.slot) AND d.kind = n.kind::"char"
        AND d.revision = n.revision
    WHERE d.state = 'o' ORDER BY d.asset, d.slot, d.kind FOR UPDATE OF d
)
UPDATE fleet.deliveries d
SET state = %s::"char", transaction = %s, reason = %s, sent = now(), at = now(), told = false,
    after = NULL
FROM mine WHERE d.asset = mine.asset AND d.slot = mine.slot AND d.kind = mine.kind
"""

_IS_FINAL = """
    (d.refused IS NOT NULL AND (
        (d.refused <= now() - make_interval(secs => %(beside)s) AND x.{taken} > d.refused)
        OR d.refused <= now() - make_interval(secs => %(final)s)))
"""
"""It took others since it had refused this, and refuses it again; or a day has passed."""

_SET_REFUSED = f"""
    state = CASE WHEN {_IS_FINAL} THEN 'r'::"char" ELSE 'o'::"char" END,
    refused = coalesce(d.refused, now()), after = now() + make_interval(secs => %(beside)s),
    reason = %(reason)s, transaction = NULL, at = now(), told = false
"""

_REFUSE = f"""
UPDATE fleet.deliveries d SET {_SET_REFUSED.format(taken="received")}
FROM fleet.exchange_state x
WHERE d.asset = %(asset)s AND d.slot = to_timestamp(%(slot)s) AND d.kind = %(kind)s::"char"
    AND d.revision = %(revision)s AND d.state = 'o'
RETURNING d.state::text
"""  # noqa: S608 — of constants

_ACCEPT = """
WITH words AS MATERIALIZED (
    SELECT a.id AS asset, w.kind::"char", w.transaction
    FROM unnest(%s::uuid[], %s::uuid[], %s::text[]) AS w(transaction, uuid, kind)
    JOIN fleet.assets a ON a.uuid = w.uuid
), mine AS (
    SELECT d.asset, d.slot, d.kind FROM fleet.deliveries d
    JOIN words w ON d.transaction = w.transaction AND d.asset = w.asset AND d.kind = w.kind
    WHERE d.state = 's' ORDER BY d.asset, d.slot, d.kind FOR UPDATE OF d
), noted AS (
    UPDATE fleet.deliveries d
    SET state = 'a', reason = '', transaction = NULL, refused = NULL, at = now(), told = false
    FROM mine WHERE d.asset = mine.asset AND d.slot = mine.slot AND d.kind = mine.kind
    RETURNING d.asset
), well AS (
    UPDATE fleet.exchange_assets e
    SET silent = NULL, problem = '', wait_until = '-infinity',
        most = CASE WHEN e.most < 256 THEN e.most * 8 END
    FROM (SELECT DISTINCT asset FROM noted) n
    WHERE e.asset = n.asset AND (e.most IS NOT NULL OR e.silent IS NOT NULL OR e.problem <> '')
)
SELECT count(*) FROM noted
"""

_REFUSE_WORD = f"""
WITH mine AS MATERIALIZED (
    SELECT d.asset, d.slot, d.kind FROM fleet.deliveries d JOIN fleet.assets a ON a.id = d.asset
    WHERE d.transaction = %(transaction)s AND a.uuid = %(asset)s AND d.kind = %(kind)s::"char"
        AND d.state = 's'
    ORDER BY d.asset, d.slot, d.kind FOR UPDATE OF d
), alone AS (
    UPDATE fleet.deliveries d SET {_SET_REFUSED.format(taken="taken")}
    FROM mine, fleet.exchange_state x
    WHERE d.asset = mine.asset AND d.slot = mine.slot AND d.kind = mine.kind
        AND NOT %(of_asset)s AND (SELECT count(*) FROM mine) = 1
    RETURNING d.state
), together AS (
    UPDATE fleet.deliveries d
    SET state = 'o', reason = %(reason)s, transaction = NULL, at = now(), told = false
    FROM mine
    WHERE d.asset = mine.asset AND d.slot = mine.slot AND d.kind = mine.kind
        AND (%(of_asset)s OR (SELECT count(*) FROM mine) > 1)
    RETURNING d.state
), fewer AS (
    UPDATE fleet.exchange_assets e
    SET most = CASE WHEN %(of_asset)s THEN 1
            WHEN m.numbers > 1 THEN (m.numbers / 2)::integer ELSE e.most END,
        problem = CASE WHEN %(of_asset)s THEN %(reason)s
            WHEN e.silent IS NOT NULL THEN '' ELSE e.problem END,
        wait_until = CASE WHEN %(of_asset)s THEN to_timestamp(%(next_slot)s) ELSE '-infinity' END,
        silent = NULL
    FROM (SELECT asset, count(*) AS numbers FROM mine GROUP BY asset) m WHERE e.asset = m.asset
)
SELECT state::text, count(*) FROM (SELECT state FROM alone UNION ALL SELECT state FROM together) s
GROUP BY state
"""  # noqa: S608 — of constants
