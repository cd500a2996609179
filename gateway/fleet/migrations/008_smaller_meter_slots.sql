-- A slot of a meter takes a fifth less room. What stands first in its key is the revision, which nearly always is 0: an entry of the index then has the 28
-- bytes up to which PostgreSQL knows that many sequences rise beside each other (nbtsplitloc.c), and does not leave each page half full behind it. And when
-- a row was received is four bytes, not eight. All rows are written anew: for a while the disk holds them twice.

CREATE FUNCTION fleet.received_at(received_s integer) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT to_timestamp(1767225600::bigint + received_s)
$$;
COMMENT ON FUNCTION fleet.received_at IS 'The time that is so many seconds after the begin of 2026 (UTC), as rows of meters have it.';

CREATE FUNCTION fleet.received_s(at timestamptz) RETURNS integer
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT floor(date_part('epoch', at) - 1767225600)::integer
$$;
COMMENT ON FUNCTION fleet.received_s IS 'The other way round, as rows of meters are written.';

-- A column that a view reads keeps its type. The view stays, with all that was granted of it and all that a manager has built upon it.
CREATE OR REPLACE VIEW fleet.meters AS
    SELECT ''::text AS site, ''::text AS meter, ''::text AS direction, ''::text AS serial, now() AS slot, 0 AS length_s, 0::bigint AS energy_uwh,
           0::bigint AS uncertainty_uwh, 0::smallint AS revision, 0::smallint AS coverage_permille, 0 AS samples, 0 AS largest_gap_ms,
           0::bigint AS begin_register_uwh, 0::bigint AS end_register_uwh, ''::text AS quality, ''::text AS method, ''::text AS clock,
           now() AS received, now()::date AS day;

ALTER TABLE fleet.meter_slots DROP CONSTRAINT meter_slots_pkey,
    ALTER COLUMN received DROP DEFAULT,
    ALTER COLUMN received TYPE integer USING fleet.received_s(received),
    ALTER COLUMN received SET DEFAULT fleet.received_s(now()),
    ADD PRIMARY KEY (revision, series, slot);
ALTER TABLE fleet.meter_slots RENAME COLUMN received TO received_s;
COMMENT ON COLUMN fleet.meter_slots.received_s IS 'Seconds since the begin of 2026 (UTC): fleet.received_at.';

-- What comes late is little, and is looked for without a revision: its key stays.
ALTER TABLE fleet.meter_late
    ALTER COLUMN received DROP DEFAULT,
    ALTER COLUMN received TYPE integer USING fleet.received_s(received),
    ALTER COLUMN received SET DEFAULT fleet.received_s(now());
ALTER TABLE fleet.meter_late RENAME COLUMN received TO received_s;

-- As in 007, but for when rows of meters were received, and nested loops.
-- Packs those whose number is from … to …, or is one of these, from a table, or from what a query in parentheses gives, into another table; gives how
-- many slots these are. In the same statement each row that was packed is decoded, and compared with the slots that it was made of, array by array:
-- where one differs it is an error.
CREATE OR REPLACE FUNCTION fleet.pack_some(parent text, source text, target text, above integer, upto integer, these integer[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET work_mem = '256MB' SET jit = off
    -- Slots are sorted by their time alone, and grouped by a hash of the rest, which keeps that order: sorting by all of it takes four times as long.
    SET enable_sort = off
    -- Newer revisions are looked for in a hash, too: looking into an index for each row takes a quarter longer.
    SET enable_nestloop = off
AS $$
DECLARE
    wanted text := format(CASE WHEN these IS NULL THEN '%1$I > $1 AND %1$I <= $2' ELSE '%1$I = ANY ($3)' END,
        CASE parent WHEN 'asset_slots' THEN 'asset' ELSE 'series' END);
    query text;
    kept bigint;
    wrong bigint;
BEGIN
    IF EXISTS (SELECT FROM pg_settings s WHERE s.name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        PERFORM set_config('default_toast_compression', 'lz4', true);
    END IF;
    IF parent = 'asset_slots' THEN
        query := $q$
WITH made AS MATERIALIZED (
    SELECT day, asset, length_s, store, kind, count(*) AS slots, bool_and(of_day_s % length_s = 0) AS fits, array_agg(of_day_s / length_s) AS at,
        array_agg(energy_uwh) AS energies,
        CASE WHEN count(uncertainty_uwh) > 0 THEN array_agg(uncertainty_uwh) END AS uncertainties,
        array_agg(floor(date_part('epoch', received - slot) / 60)::integer) AS received,
        CASE WHEN max(revision) > 0 THEN array_agg(revision) END AS revisions,
        CASE WHEN bool_or(quality <> 'm') THEN array_agg(quality) END AS qualities
    FROM (
        SELECT asset, kind, slot, length_s, store, energy_uwh, uncertainty_uwh, received, revision, quality, slot::date AS day,
            date_part('epoch', slot::time)::integer AS of_day_s
        FROM $q$ || source || $q$ s
        WHERE $q$ || wanted || $q$ AND NOT EXISTS (
            SELECT FROM $q$ || source || $q$ n WHERE $q$ || wanted || $q$ AND n.revision > 0
                AND n.asset = s.asset AND n.slot = s.slot AND n.kind = s.kind AND n.revision > s.revision)
        ORDER BY slot) newest
    GROUP BY day, asset, length_s, store, kind
), packed AS (
    INSERT INTO $q$ || target || $q$ AS d
        (day, asset, length_s, store, kind, at, energy_uwh, uncertainty_uwh, received_min, revision, quality)
    SELECT day, asset, length_s, store, kind, CASE WHEN slots < 86400 / length_s THEN at END, energies, uncertainties, received, revisions, qualities
    FROM made
    RETURNING d.*
)
SELECT (SELECT coalesce(sum(slots), 0) FROM made), count(*)
FROM made m FULL JOIN packed p USING (day, asset, length_s, store, kind)
WHERE (m.fits AND m.at = coalesce(p.at, ARRAY (SELECT generate_series(0, 86400 / length_s - 1)))
    AND (p.at IS NULL OR p.at = ARRAY (SELECT DISTINCT unnest(m.at) ORDER BY 1))
    AND cardinality(m.energies) = m.slots) IS NOT TRUE
    OR (m.energies, m.uncertainties, m.received, m.revisions, m.qualities) IS DISTINCT FROM
        (p.energy_uwh, p.uncertainty_uwh, p.received_min, p.revision, p.quality)
$q$;
    ELSE
        query := $q$
WITH made AS MATERIALIZED (
    SELECT day, series, length_s, store, count(*) AS slots, bool_and(of_day_s % length_s = 0) AS fits, array_agg(of_day_s / length_s) AS at,
        array_agg(energy_uwh) AS energies,
        bool_or(energy_uwh IS DISTINCT FROM end_register_uwh - begin_register_uwh) AS unlike,
        CASE WHEN count(uncertainty_uwh) > 0 THEN array_agg(uncertainty_uwh) END AS uncertainties,
        array_agg(begin_register_uwh) AS begun,
        array_agg(end_register_uwh) AS ended,
        array_agg(floor((received_s - slot_s) / 60.0::float8)::integer) AS received,
        array_agg(samples) AS samples, array_agg(largest_gap_ms) AS gaps,
        CASE WHEN max(revision) > 0 THEN array_agg(revision) END AS revisions,
        CASE WHEN min(coverage_permille) < 1000 THEN array_agg(coverage_permille) END AS coverages,
        CASE WHEN bool_or(quality <> 'm') THEN array_agg(quality) END AS qualities,
        CASE WHEN bool_or(method <> 'c') THEN array_agg(method) END AS methods,
        CASE WHEN bool_or(clock <> 'k') THEN array_agg(clock) END AS clocks
    FROM (
        SELECT series, slot, length_s, store, energy_uwh, uncertainty_uwh, begin_register_uwh, end_register_uwh, received_s, samples, largest_gap_ms,
            revision, coverage_permille, quality, method, clock, slot::date AS day, date_part('epoch', slot::time)::integer AS of_day_s,
            fleet.received_s(slot) AS slot_s
        FROM $q$ || source || $q$ s
        WHERE $q$ || wanted || $q$ AND NOT EXISTS (
            SELECT FROM $q$ || source || $q$ n WHERE $q$ || wanted || $q$ AND n.revision > 0
                AND n.series = s.series AND n.slot = s.slot AND n.revision > s.revision)
        ORDER BY slot) newest
    GROUP BY day, series, length_s, store
), packed AS (
    INSERT INTO $q$ || target || $q$ AS d
        (day, series, length_s, store, at, unlike_uwh, uncertainty_uwh, begin_register_uwh, end_register_uwh, received_min, samples, largest_gap_ms,
        revision, coverage_permille, quality, method, clock)
    SELECT day, series, length_s, store, CASE WHEN slots < 86400 / length_s THEN at END,
        CASE WHEN unlike THEN ARRAY (SELECT e.energy - (e.ended - e.begun) FROM (
            SELECT unnest(energies) AS energy, unnest(begun) AS begun, unnest(ended) AS ended) e) END,
        uncertainties, CASE WHEN begun[2:] = ended[:slots - 1] THEN begun[1:1] ELSE begun END,
        ended, received, samples, gaps, revisions, coverages, qualities, methods, clocks
    FROM made
    RETURNING d.*
), read AS (
    SELECT p.*, CASE WHEN cardinality(p.begin_register_uwh) < cardinality(p.end_register_uwh)
        THEN p.begin_register_uwh || p.end_register_uwh[:cardinality(p.end_register_uwh) - 1] ELSE p.begin_register_uwh END AS begun
    FROM packed p
)
SELECT (SELECT coalesce(sum(slots), 0) FROM made), count(*)
FROM made m FULL JOIN read p USING (day, series, length_s, store)
WHERE (m.fits AND m.at = coalesce(p.at, ARRAY (SELECT generate_series(0, 86400 / length_s - 1)))
    AND (p.at IS NULL OR p.at = ARRAY (SELECT DISTINCT unnest(m.at) ORDER BY 1))
    AND cardinality(m.energies) = m.slots) IS NOT TRUE
    OR m.energies IS DISTINCT FROM ARRAY (
        SELECT e.ended - e.begun + CASE WHEN p.unlike_uwh IS NULL THEN 0 ELSE e.unlike END FROM (
            SELECT unnest(p.end_register_uwh) AS ended, unnest(p.begun) AS begun, unnest(p.unlike_uwh) AS unlike) e)
    OR (m.begun, m.ended, m.uncertainties, m.received, m.samples, m.gaps, m.revisions, m.coverages, m.qualities, m.methods, m.clocks)
        IS DISTINCT FROM (p.begun, p.end_register_uwh, p.uncertainty_uwh, p.received_min, p.samples, p.largest_gap_ms, p.revision,
            p.coverage_permille, p.quality, p.method, p.clock)
$q$;
    END IF;
    EXECUTE query INTO kept, wrong USING above, upto, these;
    IF wrong > 0 THEN
        RAISE EXCEPTION '% of %: what was packed is not what there was; nothing of it is kept', wrong, source;
    END IF;
    RETURN kept;
END
$$;

-- As in 002, but for the same.
CREATE OR REPLACE FUNCTION fleet.pack_late(parent text, many integer, settled interval) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s'
AS $$
DECLARE
    ids integer[];
    kept bigint;
BEGIN
    IF parent = 'asset_slots' THEN
        SELECT array_agg(asset) INTO ids FROM (
            SELECT asset FROM fleet.asset_late GROUP BY asset HAVING max(received) < now() - settled ORDER BY asset LIMIT many) next;
    ELSE
        SELECT array_agg(series) INTO ids FROM (
            SELECT series FROM fleet.meter_late GROUP BY series HAVING fleet.received_at(max(received_s)) < now() - settled
                ORDER BY series LIMIT many) next;
    END IF;
    IF ids IS NULL THEN
        RETURN 0;
    END IF;
    IF parent = 'asset_slots' THEN
        -- Whoever has a late row to write looks, once this is done, whether it is packed.
        LOCK TABLE fleet.asset_late IN SHARE ROW EXCLUSIVE MODE;
        CREATE TEMP TABLE late_assets (LIKE fleet.asset_slots) ON COMMIT DROP;
        INSERT INTO pg_temp.late_assets SELECT * FROM fleet.asset_late WHERE asset = ANY (ids);
        DELETE FROM fleet.asset_late WHERE asset = ANY (ids);
        WITH old AS (
            DELETE FROM fleet.asset_days d USING (
                SELECT DISTINCT asset, kind, (slot AT TIME ZONE 'UTC')::date AS day FROM pg_temp.late_assets) l
            WHERE d.asset = l.asset AND d.kind = l.kind AND d.day = l.day RETURNING d.*)
        INSERT INTO pg_temp.late_assets
            (slot, energy_uwh, uncertainty_uwh, received, asset, store, length_s, revision, kind, quality)
        SELECT t.slot, e.energy_uwh, e.uncertainty_uwh, t.slot + make_interval(mins => e.received_min), d.asset, d.store, d.length_s,
            coalesce(e.revision, 0::smallint), d.kind, coalesce(e.quality, 'm')
        FROM old d,
            LATERAL unnest(d.at, d.energy_uwh, d.uncertainty_uwh, d.revision, d.quality, d.received_min)
                WITH ORDINALITY AS e(at, energy_uwh, uncertainty_uwh, revision, quality, received_min, n),
            LATERAL (SELECT to_timestamp((d.day - date '1970-01-01') * 86400::bigint + coalesce(e.at, e.n - 1) * d.length_s)) AS t(slot);
        kept := fleet.pack_some(parent, 'pg_temp.late_assets', 'fleet.asset_days', NULL, NULL, ids);
        DROP TABLE pg_temp.late_assets;
    ELSE
        LOCK TABLE fleet.meter_late IN SHARE ROW EXCLUSIVE MODE;
        CREATE TEMP TABLE late_meters (LIKE fleet.meter_slots) ON COMMIT DROP;
        INSERT INTO pg_temp.late_meters SELECT * FROM fleet.meter_late WHERE series = ANY (ids);
        DELETE FROM fleet.meter_late WHERE series = ANY (ids);
        WITH old AS (
            DELETE FROM fleet.meter_days d USING (
                SELECT DISTINCT series, (slot AT TIME ZONE 'UTC')::date AS day FROM pg_temp.late_meters) l
            WHERE d.series = l.series AND d.day = l.day RETURNING d.*)
        INSERT INTO pg_temp.late_meters
            (slot, energy_uwh, uncertainty_uwh, begin_register_uwh, end_register_uwh, received_s, series, store, length_s, samples,
            largest_gap_ms, revision, coverage_permille, quality, method, clock)
        SELECT t.slot, e.ends - r.begins + CASE WHEN d.unlike_uwh IS NULL THEN 0 ELSE e.unlike END, e.uncertainty, r.begins, e.ends,
            fleet.received_s(t.slot) + 60 * e.received_min, d.series, d.store, d.length_s, e.samples, e.gap_ms, coalesce(e.revision, 0::smallint),
            coalesce(e.coverage, 1000::smallint), coalesce(e.quality, 'm'), coalesce(e.method, 'c'), coalesce(e.clock, 'k')
        FROM old d,
            LATERAL unnest(d.at, d.unlike_uwh, d.uncertainty_uwh, d.begin_register_uwh, d.end_register_uwh, d.received_min, d.samples,
                d.largest_gap_ms, d.revision, d.coverage_permille, d.quality, d.method, d.clock)
                WITH ORDINALITY AS e(at, unlike, uncertainty, begins, ends, received_min, samples, gap_ms, revision, coverage, quality, method, clock, n),
            LATERAL (SELECT coalesce(e.begins, d.end_register_uwh[e.n - 1]) AS begins) r,
            LATERAL (SELECT to_timestamp((d.day - date '1970-01-01') * 86400::bigint + coalesce(e.at, e.n - 1) * d.length_s)) AS t(slot);
        kept := fleet.pack_some(parent, 'pg_temp.late_meters', 'fleet.meter_days', NULL, NULL, ids);
        DROP TABLE pg_temp.late_meters;
    END IF;
    RETURN kept;
END
$$;

-- First revisions are found by the key, others by their own index: a branch for each.
CREATE OR REPLACE VIEW fleet.meters AS
    SELECT sites.name AS site, series.meter, CASE series.direction WHEN 'i' THEN 'import' ELSE 'export' END AS direction, series.serial,
           s.slot, s.length_s, s.energy_uwh, s.uncertainty_uwh, s.revision, s.coverage_permille, s.samples, s.largest_gap_ms,
           s.begin_register_uwh, s.end_register_uwh,
           CASE s.quality WHEN 'm' THEN 'measured' WHEN 'e' THEN 'estimated' WHEN 'p' THEN 'partial' ELSE 'missing' END AS quality,
           CASE s.method WHEN 'c' THEN 'counter' WHEN 'r' THEN 'register' ELSE 'power' END AS method,
           CASE s.clock WHEN 'k' THEN 'kernel' WHEN 'a' THEN 'assured' ELSE 'placed' END AS clock, fleet.received_at(s.received_s) AS received,
           (s.slot AT TIME ZONE 'UTC')::date AS day
    FROM fleet.meter_slots s
    JOIN fleet.series ON series.id = s.series
    JOIN fleet.sites ON sites.id = series.site
    WHERE s.revision = 0 AND NOT EXISTS (
        SELECT FROM fleet.meter_slots n WHERE n.series = s.series AND n.slot = s.slot AND n.revision > 0
    )
    UNION ALL
    SELECT sites.name, series.meter, CASE series.direction WHEN 'i' THEN 'import' ELSE 'export' END, series.serial,
           s.slot, s.length_s, s.energy_uwh, s.uncertainty_uwh, s.revision, s.coverage_permille, s.samples, s.largest_gap_ms,
           s.begin_register_uwh, s.end_register_uwh,
           CASE s.quality WHEN 'm' THEN 'measured' WHEN 'e' THEN 'estimated' WHEN 'p' THEN 'partial' ELSE 'missing' END,
           CASE s.method WHEN 'c' THEN 'counter' WHEN 'r' THEN 'register' ELSE 'power' END,
           CASE s.clock WHEN 'k' THEN 'kernel' WHEN 'a' THEN 'assured' ELSE 'placed' END, fleet.received_at(s.received_s),
           (s.slot AT TIME ZONE 'UTC')::date
    FROM fleet.meter_slots s
    JOIN fleet.series ON series.id = s.series
    JOIN fleet.sites ON sites.id = series.site
    WHERE s.revision > 0 AND NOT EXISTS (
        SELECT FROM fleet.meter_slots n WHERE n.series = s.series AND n.slot = s.slot AND n.revision > s.revision AND n.revision > 0
    )
    UNION ALL
    SELECT sites.name, series.meter, CASE series.direction WHEN 'i' THEN 'import' ELSE 'export' END, series.serial,
           s.slot, s.length_s, s.energy_uwh, s.uncertainty_uwh, s.revision, s.coverage_permille, s.samples, s.largest_gap_ms,
           s.begin_register_uwh, s.end_register_uwh,
           CASE s.quality WHEN 'm' THEN 'measured' WHEN 'e' THEN 'estimated' WHEN 'p' THEN 'partial' ELSE 'missing' END,
           CASE s.method WHEN 'c' THEN 'counter' WHEN 'r' THEN 'register' ELSE 'power' END,
           CASE s.clock WHEN 'k' THEN 'kernel' WHEN 'a' THEN 'assured' ELSE 'placed' END, fleet.received_at(s.received_s),
           (s.slot AT TIME ZONE 'UTC')::date
    FROM fleet.meter_late s
    JOIN fleet.series ON series.id = s.series
    JOIN fleet.sites ON sites.id = series.site
    WHERE NOT EXISTS (
        SELECT FROM fleet.meter_late n WHERE n.series = s.series AND n.slot = s.slot AND n.revision > s.revision AND n.revision > 0
    )
    UNION ALL
    SELECT sites.name, series.meter, CASE series.direction WHEN 'i' THEN 'import' ELSE 'export' END, series.serial,
           t.slot, d.length_s,
           e.end_register_uwh - r.begins_uwh + CASE WHEN d.unlike_uwh IS NULL THEN 0 ELSE e.unlike_uwh END,
           e.uncertainty_uwh, coalesce(e.revision, 0::smallint), coalesce(e.coverage_permille, 1000::smallint),
           e.samples, e.largest_gap_ms, r.begins_uwh, e.end_register_uwh,
           CASE coalesce(e.quality, 'm') WHEN 'm' THEN 'measured' WHEN 'e' THEN 'estimated' WHEN 'p' THEN 'partial' ELSE 'missing' END,
           CASE coalesce(e.method, 'c') WHEN 'c' THEN 'counter' WHEN 'r' THEN 'register' ELSE 'power' END,
           CASE coalesce(e.clock, 'k') WHEN 'k' THEN 'kernel' WHEN 'a' THEN 'assured' ELSE 'placed' END,
           t.slot + make_interval(mins => e.received_min), d.day
    FROM fleet.meter_days d
    JOIN fleet.series ON series.id = d.series
    JOIN fleet.sites ON sites.id = series.site,
        LATERAL unnest(d.at, d.unlike_uwh, d.uncertainty_uwh, d.begin_register_uwh, d.end_register_uwh, d.received_min, d.samples, d.largest_gap_ms,
            d.revision, d.coverage_permille, d.quality, d.method, d.clock)
            WITH ORDINALITY AS e(at, unlike_uwh, uncertainty_uwh, begin_register_uwh, end_register_uwh, received_min, samples, largest_gap_ms,
            revision, coverage_permille, quality, method, clock, n),
        LATERAL (SELECT to_timestamp((d.day - date '1970-01-01') * 86400::bigint + coalesce(e.at, e.n - 1) * d.length_s)) AS t(slot),
        LATERAL (SELECT coalesce(e.begin_register_uwh, d.end_register_uwh[e.n - 1])) AS r(begins_uwh)
    WHERE NOT EXISTS (SELECT FROM fleet.meter_late n WHERE n.series = d.series AND n.slot = t.slot);
COMMENT ON VIEW fleet.meters IS 'What each direction of each meter counted in each slot: the newest revisions, packed or not. Where old months are asked for, say the day (UTC) as well as the slot: packed rows are found by it.';
