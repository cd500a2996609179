"""What a month came to: of each asset or each home, how much is known and the sum of it."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any, Literal

from gateway.fleet.database import Connection, translated

By = Literal["asset", "home"]

COLUMNS: dict[By, tuple[str, ...]] = {
    "asset": (
        "site", "asset", "month", "first_day", "days", "expected_slots", "known_slots",
        "estimated_slots", "coverage_percent", "energy_uwh", "energy_kwh", "worst_day",
        "worst_day_percent",
    ),
    "home": (
        "site", "assets", "month", "first_day", "days", "expected_slots", "known_slots",
        "estimated_slots", "coverage_percent", "energy_uwh", "energy_kwh", "worst_day",
        "worst_day_percent",
    ),
}  # fmt: skip
"""The energy is the sum of what is known; of a home, that of its assets, whatever they are.
expected_slots are those that have ended, from the day on at which an asset was added or its
first slot is of.
"""

_PORTION = 5_000


async def month_rows(connection: Connection, month: date, by: By) -> AsyncIterator[dict[str, Any]]:
    """A row for each, by name; `month` is its first day, as the community's zone has it. Raises
    DatabaseError.
    """
    columns = COLUMNS[by]
    query = _BY_ASSET if by == "asset" else _BY_HOME
    with translated():
        async with connection.transaction(), connection.cursor("report") as cursor:
            await cursor.execute(query, {"month": month})
            while rows := await cursor.fetchmany(_PORTION):
                for row in rows:
                    yield dict(zip(columns, row, strict=True))


_DAYS = """
WITH zone AS MATERIALIZED (SELECT fleet.zone() AS name),
bounds AS MATERIALIZED (
    SELECT %(month)s::date AS first, least((%(month)s::date + interval '1 month')::date,
        (now() AT TIME ZONE zone.name)::date + 1) AS after FROM zone
), spans AS MATERIALIZED (
    SELECT g.day::date AS day, fleet.day_begins(g.day::date) AS begins, extract(epoch FROM
        least(fleet.day_begins(g.day::date + 1), now() - interval '15 minutes')
        - fleet.day_begins(g.day::date)) AS span_s
    FROM bounds, generate_series(first, after - 1, interval '1 day') g(day)
), here AS MATERIALIZED (
    SELECT a.id, a.site, a.uuid, least((a.added_at AT TIME ZONE zone.name)::date,
        (SELECT min(day) FROM fleet.days WHERE asset = a.id)) AS since,
        (s.removed_at AT TIME ZONE zone.name)::date AS until, s.name,
        l.length_s
    FROM fleet.assets a JOIN fleet.sites s ON s.id = a.site
        JOIN fleet.slot_lengths l ON l.site = a.site, zone
), of_days AS (
    SELECT here.name, here.uuid, spans.day,
        greatest(0, floor(spans.span_s / coalesce(d.length_s, here.length_s)))::integer AS due,
        coalesce(d.known, 0) AS known, coalesce(d.estimated, 0) AS estimated,
        coalesce(d.energy_uwh, 0) AS energy_uwh
    FROM here JOIN spans ON spans.day >= here.since
        AND (here.until IS NULL OR spans.day < here.until)
    LEFT JOIN fleet.days d ON d.day = spans.day AND d.asset = here.id
)
"""

_SUMS = """
    to_char(%(month)s::date, 'YYYY-MM'), min(day)::text, count(DISTINCT day),
    sum(due)::bigint, sum(known)::bigint, sum(estimated)::bigint,
    CASE WHEN sum(due) > 0 THEN least(100, round(sum(known) * 100.0 / sum(due), 2))::float8 END,
    sum(energy_uwh)::bigint, (sum(energy_uwh) / 1000000000.0)::float8
"""

_BY_ASSET = f"""{_DAYS}
SELECT name, uuid::text, {_SUMS},
    (array_agg(day ORDER BY known * 1.0 / nullif(due, 0), day))[1]::text,
    least(100, round(min(known * 100.0 / nullif(due, 0)), 2))::float8
FROM of_days GROUP BY name, uuid ORDER BY name, uuid
"""  # noqa: S608 — put together of our own words

_BY_HOME = f"""{_DAYS}, of_homes AS (
    SELECT name, day, count(*) AS assets, sum(due) AS due, sum(known) AS known,
        sum(estimated) AS estimated, sum(energy_uwh) AS energy_uwh
    FROM of_days GROUP BY name, day
)
SELECT name, max(assets), {_SUMS},
    (array_agg(day ORDER BY known * 1.0 / nullif(due, 0), day))[1]::text,
    least(100, round(min(known * 100.0 / nullif(due, 0)), 2))::float8
FROM of_homes GROUP BY name ORDER BY name
"""  # noqa: S608 — put together of our own words
