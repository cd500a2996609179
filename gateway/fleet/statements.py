# ruff: noqa: S608 — all that is put together here are names of our own tables
"""The statements by which rows of slots are written, and days are counted. Pure.

Rows go into partitions of a month. For a month that is packed there is none: rows that are not
there, packed, go into a table beside it. What comes of an asset is counted in the same statement:
`fleet.days` has a row for each asset and local day. That row is also a lock: whoever adds to it
waits for whoever did so before. A day of which a slot has a second revision is counted anew.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """How rows of one kind are written. Both statements are given the same columns."""

    insert: str
    """Gives how many rows were new, and the assets and days that have to be counted anew."""
    clashes: str
    """Notes rows that are there with another value; gives the sites of those that were not noted
    before.
    """


ASSET_COLUMNS = "asset, slot, kind, revision, length_s, energy_uwh, uncertainty_uwh, quality, store"
_ASSETS_CAME = f"""came AS (
    SELECT asset, slot, kind::"char", revision, length_s, energy_uwh,
        uncertainty_uwh, quality::"char", store
    FROM unnest(%s::int[], %s::timestamptz[], %s::text[], %s::smallint[], %s::int[],
        %s::bigint[], %s::bigint[], %s::text[], %s::int[]) AS c ({ASSET_COLUMNS}))"""

METER_COLUMNS = (
    "series, slot, revision, length_s, energy_uwh, uncertainty_uwh, begin_register_uwh, "
    "end_register_uwh, samples, largest_gap_ms, coverage_permille, quality, method, clock, store"
)
_METERS_CAME = f"""came AS (
    SELECT series, slot, revision, length_s, energy_uwh, uncertainty_uwh,
        begin_register_uwh, end_register_uwh, samples, largest_gap_ms, coverage_permille,
        quality::"char", method::"char", clock::"char", store
    FROM unnest(%s::int[], %s::timestamptz[], %s::smallint[], %s::int[], %s::bigint[],
        %s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::int[], %s::smallint[],
        %s::text[], %s::text[], %s::text[], %s::int[]) AS c ({METER_COLUMNS}))"""

_INTO_DAYS = """INSERT INTO fleet.days AS d
        (day, asset, length_s, expected, slots, known, estimated, energy_uwh, revised)"""
_ADDED = """ON CONFLICT (day, asset) DO UPDATE SET slots = d.slots + excluded.slots,
        known = d.known + excluded.known, estimated = d.estimated + excluded.estimated,
        energy_uwh = d.energy_uwh + excluded.energy_uwh, revised = d.revised OR excluded.revised
    RETURNING day, asset, revised"""


def _insert_assets(table: str, unless: str = "") -> str:
    return f"""
WITH {_ASSETS_CAME}, fresh AS (
    INSERT INTO {table} ({ASSET_COLUMNS}) SELECT {ASSET_COLUMNS} FROM came {unless}
    ON CONFLICT DO NOTHING RETURNING asset, slot, kind, revision, length_s, energy_uwh, quality
), grouped AS MATERIALIZED (
    SELECT (slot AT TIME ZONE (SELECT fleet.zone()))::date AS day, asset, max(length_s) AS length_s,
        count(*) FILTER (WHERE revision = 0) AS slots,
        count(energy_uwh) FILTER (WHERE revision = 0) AS known,
        count(energy_uwh) FILTER (WHERE revision = 0 AND quality <> 'm') AS estimated,
        coalesce(sum(energy_uwh) FILTER (WHERE revision = 0), 0) AS energy_uwh,
        bool_or(revision > 0) AS revised
    FROM fresh WHERE kind = 'm' GROUP BY 1, 2
), spans AS MATERIALIZED (
    SELECT day, extract(epoch FROM fleet.day_begins(day + 1) - fleet.day_begins(day)) AS span_s
    FROM (SELECT DISTINCT day FROM grouped) days
), counted AS (
    {_INTO_DAYS}
    SELECT day, asset, length_s, span_s / length_s, slots, known, estimated, energy_uwh, revised
    FROM grouped JOIN spans USING (day) ORDER BY day, asset
    {_ADDED}
)
SELECT (SELECT count(*) FROM fresh), array_agg(asset), array_agg(day) FROM counted WHERE revised
"""


def _insert_meters(table: str, unless: str = "") -> str:
    return f"""
WITH {_METERS_CAME}, fresh AS (
    INSERT INTO {table} ({METER_COLUMNS}) SELECT {METER_COLUMNS} FROM came {unless}
    ON CONFLICT DO NOTHING RETURNING 1
)
SELECT count(*), NULL, NULL FROM fresh
"""


def _asset_clashes(there: str) -> str:
    return f"""
WITH {_ASSETS_CAME}
INSERT INTO fleet.clashes (site, store, asset, slot, kind, revision, row)
SELECT a.site, came.store, came.asset, came.slot, came.kind, came.revision, jsonb_build_object(
    'energy_uwh', came.energy_uwh, 'uncertainty_uwh', came.uncertainty_uwh,
    'quality', came.quality, 'length_s', came.length_s)
FROM came JOIN {there} JOIN fleet.assets a ON a.id = came.asset
WHERE (s.length_s, s.energy_uwh, s.uncertainty_uwh, s.quality) IS DISTINCT FROM
    (came.length_s, came.energy_uwh, came.uncertainty_uwh, came.quality)
ON CONFLICT DO NOTHING RETURNING site
"""


def _meter_clashes(there: str) -> str:
    return f"""
WITH {_METERS_CAME}
INSERT INTO fleet.clashes (site, store, series, slot, kind, revision, row)
SELECT n.site, came.store, came.series, came.slot, 'm', came.revision, jsonb_build_object(
    'energy_uwh', came.energy_uwh, 'uncertainty_uwh', came.uncertainty_uwh,
    'begin_register_uwh', came.begin_register_uwh, 'end_register_uwh', came.end_register_uwh,
    'samples', came.samples, 'largest_gap_ms', came.largest_gap_ms,
    'coverage_permille', came.coverage_permille, 'quality', came.quality, 'method', came.method,
    'clock', came.clock, 'length_s', came.length_s)
FROM came JOIN {there} JOIN fleet.series n ON n.id = came.series
WHERE (s.length_s, s.energy_uwh, s.uncertainty_uwh, s.begin_register_uwh, s.end_register_uwh,
    s.samples, s.largest_gap_ms, s.coverage_permille, s.quality, s.method, s.clock)
    IS DISTINCT FROM (came.length_s, came.energy_uwh, came.uncertainty_uwh,
    came.begin_register_uwh, came.end_register_uwh, came.samples, came.largest_gap_ms,
    came.coverage_permille, came.quality, came.method, came.clock)
ON CONFLICT DO NOTHING RETURNING site
"""


_SAME_ASSET = "s.asset = came.asset AND s.slot = came.slot AND s.kind = came.kind"
_SAME_METER = "s.series = came.series AND s.slot = came.slot"

ASSETS = Table(
    _insert_assets("fleet.asset_slots"),
    _asset_clashes(f"fleet.asset_slots s ON {_SAME_ASSET} AND s.revision = came.revision"),
)
METERS = Table(
    _insert_meters("fleet.meter_slots"),
    _meter_clashes(f"fleet.meter_slots s ON {_SAME_METER} AND s.revision = came.revision"),
)

# What is packed is the newest revision that there was: of those before it nothing is known any
# more, and what comes again of them is taken for the same.
LATE_ASSETS = Table(
    _insert_assets(
        "fleet.asset_late",
        "WHERE NOT EXISTS (SELECT FROM fleet.packed_asset(came.asset, came.kind, came.slot) p "
        "WHERE p.revision >= came.revision)",
    ),
    _asset_clashes(f"""LATERAL (
        SELECT s.length_s, s.energy_uwh, s.uncertainty_uwh, s.revision, s.quality
        FROM fleet.asset_late s WHERE {_SAME_ASSET}
        UNION ALL SELECT * FROM fleet.packed_asset(came.asset, came.kind, came.slot)
    ) s ON s.revision = came.revision"""),
)
LATE_METERS = Table(
    _insert_meters(
        "fleet.meter_late",
        "WHERE NOT EXISTS (SELECT FROM fleet.packed_meter(came.series, came.slot) p "
        "WHERE p.revision >= came.revision)",
    ),
    _meter_clashes(f"""LATERAL (
        SELECT s.length_s, s.energy_uwh, s.uncertainty_uwh, s.begin_register_uwh,
            s.end_register_uwh, s.samples, s.largest_gap_ms, s.revision, s.coverage_permille,
            s.quality, s.method, s.clock
        FROM fleet.meter_late s WHERE {_SAME_METER}
        UNION ALL SELECT * FROM fleet.packed_meter(came.series, came.slot)
    ) s ON s.revision = came.revision"""),
)

COPY_ASSETS = f"COPY fleet.asset_slots ({ASSET_COLUMNS}) FROM STDIN (FORMAT csv, NULL 'null')"
COPY_METERS = f"COPY fleet.meter_slots ({METER_COLUMNS}) FROM STDIN (FORMAT csv, NULL 'null')"

OWED_COLUMNS = "asset, slot, kind, revision, length_s, energy_uwh, state, reason"
COPY_OWED = f"COPY fleet.deliveries ({OWED_COLUMNS}) FROM STDIN (FORMAT csv, NULL 'null')"

KNOWN_ASSETS = """
SELECT n FROM unnest(%s::int[], %s::timestamptz[], %s::text[], %s::smallint[])
    WITH ORDINALITY AS c(asset, slot, kind, revision, n)
JOIN fleet.asset_slots s ON s.asset = c.asset AND s.slot = c.slot AND s.kind = c.kind::"char"
    AND s.revision = c.revision
"""
"""Which of these keys are there, from 1."""

KNOWN_METERS = """
SELECT n FROM unnest(%s::int[], %s::timestamptz[], %s::smallint[])
    WITH ORDINALITY AS c(series, slot, revision, n)
JOIN fleet.meter_slots s USING (series, slot, revision)
"""

REVISED = """
SELECT DISTINCT s.asset FROM unnest(%s::int[], %s::timestamptz[]) AS c(asset, slot)
JOIN fleet.asset_slots s ON s.asset = c.asset AND s.slot = c.slot
WHERE s.kind = 'f' AND s.revision > 0
"""
"""The assets of which one of these slots was foreseen more than once."""

DELIVERED = """
INSERT INTO fleet.exchange_assets (asset) SELECT unnest(%s::int[]) ON CONFLICT DO NOTHING
"""

COUNT = f"""
WITH counted AS (
    {_INTO_DAYS}
    SELECT day, asset, length_s, day_length_s::numeric / length_s, slots, known, estimated,
        energy_uwh, revised
    FROM unnest(%s::date[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[],
        %s::bigint[], %s::bool[]) AS came
        (day, asset, length_s, day_length_s, slots, known, estimated, energy_uwh, revised)
    WHERE (SELECT fleet.zone()) = %s
    {_ADDED}
)
SELECT count(*), array_agg(asset) FILTER (WHERE revised), array_agg(day) FILTER (WHERE revised)
FROM counted
"""
"""What came, added to days that are those of that zone; is given in the order of days and assets.
Gives how many these are, and the assets and days that have to be counted anew.
"""

COUNT_AGAIN = "SELECT fleet.count_again(%s::int[], %s::date[])"

SUMS = """
SELECT n, count(s.energy_uwh), coalesce(sum(s.energy_uwh), 0),
    (SELECT array_agg(DISTINCT extract(epoch FROM c.slot)::bigint) FROM fleet.clashes c
        WHERE coalesce(c.asset, 0) = want.asset AND coalesce(c.series, 0) = 0
        AND c.slot >= to_timestamp(want.from_s) AND c.slot < to_timestamp(want.until_s)),
    CASE WHEN EXISTS (SELECT FROM fleet.clashes c WHERE coalesce(c.asset, 0) = want.asset
        AND coalesce(c.series, 0) = 0 AND c.slot >= to_timestamp(want.from_s)
        AND c.slot < to_timestamp(want.until_s))
    THEN array_agg(extract(epoch FROM s.slot)::bigint) FILTER (WHERE s.energy_uwh IS NOT NULL) END
FROM unnest(%s::int[], %s::bigint[], %s::bigint[])
    WITH ORDINALITY AS want(asset, from_s, until_s, n)
LEFT JOIN LATERAL fleet.slots(want.asset, 'm', to_timestamp(want.from_s),
    to_timestamp(want.until_s)) s ON true
GROUP BY n, want.asset, want.from_s, want.until_s
"""
"""What each asset's day (UTC), or a part of it, comes to, packed or not; in which slots a clash is
known, and only where there are some, which slots are known at all.
"""

TOUCH = """
UPDATE fleet.stores s SET last_at = now(), last_slot = greatest(s.last_slot, to_timestamp(n.slot)),
    length_s = coalesce(CASE WHEN to_timestamp(n.slot) >= s.last_slot THEN n.length_s END,
        s.length_s, n.length_s),
    version = n.version, deliver = n.deliver, lag_s = n.lag_s
FROM unnest(%s::int[], %s::bigint[], %s::int[], %s::text[], %s::text[], %s::real[])
    AS n(id, slot, length_s, version, deliver, lag_s)
WHERE s.id = n.id
"""
"""The length of slots is that of the newest: what comes of long ago may have had another."""

REFUSE = """
INSERT INTO fleet.refused (site, why, payload) VALUES (%s, %s, %s)
ON CONFLICT (site, why) DO UPDATE SET times = fleet.refused.times + 1, last_at = now(),
    payload = excluded.payload
"""

FORGET = """
DELETE FROM fleet.refused WHERE id IN (
    SELECT id FROM fleet.refused WHERE site = %s ORDER BY last_at DESC OFFSET %s)
"""
