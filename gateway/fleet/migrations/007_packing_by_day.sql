-- A month is packed day by day. Before, it was packed asset by asset: of a large community each page of a month was then read for nearly every
-- transaction, and all rows were sorted twice, by five columns.

-- What is read by time lies together: a day's rows are these of a month's.
CREATE INDEX asset_slots_time ON fleet.asset_slots USING brin (slot) WITH (pages_per_range = 16, autosummarize = on);

ALTER TABLE fleet.packed ADD COLUMN next_day date;
COMMENT ON COLUMN fleet.packed.next_day IS 'The day (UTC) that is packed next, or is being packed. NULL: the first one.';
COMMENT ON COLUMN fleet.packed.last_id IS 'Of that day, assets or series up to this one are packed.';

-- What was begun the other way begins anew.
DO $$
DECLARE
    each fleet.packed;
BEGIN
    FOR each IN SELECT * FROM fleet.packed WHERE done_at IS NULL LOOP
        EXECUTE format('TRUNCATE fleet.%I', replace(each.parent, '_slots', '_days_') || to_char(each.month AT TIME ZONE 'UTC', 'YYYY_MM'));
    END LOOP;
    UPDATE fleet.packed SET last_id = 0, slots = 0 WHERE done_at IS NULL;
END
$$;

-- Packs those whose number is from … to …, or is one of these, from a table, or from what a query in parentheses gives, into another table; gives how
-- many slots these are. In the same statement each row that was packed is decoded, and compared with the slots that it was made of, array by array:
-- where one differs it is an error.
CREATE OR REPLACE FUNCTION fleet.pack_some(parent text, source text, target text, above integer, upto integer, these integer[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET work_mem = '256MB' SET jit = off
    -- Slots are sorted by their time alone, and grouped by a hash of the rest, which keeps that order: sorting by all of it takes four times as long.
    SET enable_sort = off
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
        array_agg(floor(date_part('epoch', received - slot) / 60)::integer) AS received,
        array_agg(samples) AS samples, array_agg(largest_gap_ms) AS gaps,
        CASE WHEN max(revision) > 0 THEN array_agg(revision) END AS revisions,
        CASE WHEN min(coverage_permille) < 1000 THEN array_agg(coverage_permille) END AS coverages,
        CASE WHEN bool_or(quality <> 'm') THEN array_agg(quality) END AS qualities,
        CASE WHEN bool_or(method <> 'c') THEN array_agg(method) END AS methods,
        CASE WHEN bool_or(clock <> 'k') THEN array_agg(clock) END AS clocks
    FROM (
        SELECT series, slot, length_s, store, energy_uwh, uncertainty_uwh, begin_register_uwh, end_register_uwh, received, samples, largest_gap_ms,
            revision, coverage_permille, quality, method, clock, slot::date AS day, date_part('epoch', slot::time)::integer AS of_day_s
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

CREATE OR REPLACE FUNCTION fleet.pack_next(parent text, month timestamptz, many integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    after date := (month + interval '1 month')::date;
    per_day integer := 86400 / fleet.slot_length();
    many_ids integer := greatest(1, many / per_day);
    days integer := 1;
    day date;
    above integer;
    upto integer;
    ids integer;
    source text := format('fleet.%I', parent || '_' || to_char(month, 'YYYY_MM'));
    target text := replace(source, '_slots_', '_days_');
    kept bigint;
BEGIN
    SELECT coalesce(next_day, p.month::date), last_id INTO day, above
        FROM fleet.packed p WHERE p.parent = pack_next.parent AND p.month = pack_next.month AND done_at IS NULL FOR UPDATE;
    IF day IS NULL OR day >= after THEN
        RETURN false;
    END IF;
    IF day = month::date AND above = 0 THEN
        -- Which pages have a day's rows is not known yet of those that came last; where nothing vacuums, of none.
        PERFORM brin_summarize_new_values(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
            WHERE i.indrelid = source::regclass AND a.amname = 'brin';
    END IF;
    IF parent = 'asset_slots' THEN
        SELECT max(id), count(*) INTO upto, ids FROM (SELECT id FROM fleet.assets WHERE id > above ORDER BY id LIMIT many_ids) ahead;
    ELSE
        SELECT max(id), count(*) INTO upto, ids FROM (SELECT id FROM fleet.series WHERE id > above ORDER BY id LIMIT many_ids) ahead;
    END IF;
    IF above = 0 AND ids < many_ids THEN
        days := least(after - day, greatest(1, many / greatest(1, ids * per_day)));
    END IF;
    kept := fleet.pack_some(parent, format('(SELECT * FROM %s WHERE slot >= %L AND slot < %L)', source, day::timestamptz, (day + days)::timestamptz),
        target, above, coalesce(upto, above), NULL);
    IF ids < many_ids THEN
        day := day + days;
        upto := 0;
    END IF;
    UPDATE fleet.packed p SET slots = slots + kept, last_id = upto, next_day = day WHERE p.parent = pack_next.parent AND p.month = pack_next.month;
    RETURN day < after;
END
$$;
COMMENT ON FUNCTION fleet.pack_next IS 'Packs about so many slots more of a month: some days of all assets or series, or one day of some of them. False where all are.';
