-- Old months lie in rows of a day: an eighth of the room. What packing loses is said at fleet.asset_days. And what each local day comes to is kept at hand.

-- The days (UTC) of assets and meters, in arrays. Columns that say the same in every slot are NULL: at: all slots of the day; quality: measured; revision: 0; …
CREATE TABLE fleet.asset_days (
    day date NOT NULL,
    asset integer NOT NULL,
    length_s integer NOT NULL,
    store integer NOT NULL,
    kind "char" NOT NULL,
    at integer[],
    energy_uwh bigint[] NOT NULL,
    uncertainty_uwh bigint[],
    received_min integer[] NOT NULL,
    revision smallint[],
    quality "char"[],
    PRIMARY KEY (asset, day, kind, length_s, store)
) PARTITION BY RANGE (day);
COMMENT ON TABLE fleet.asset_days IS 'Months that are packed: a row has the slots of one asset in one day (UTC). Packing keeps the newest revision of each slot and forgets those before it; when a slot was received is kept to the minute.';
COMMENT ON COLUMN fleet.asset_days.at IS 'Which slots of the day they are, from 0; NULL: all of them.';
COMMENT ON COLUMN fleet.asset_days.received_min IS 'Minutes from the begin of the slot until it was received.';

CREATE TABLE fleet.meter_days (
    day date NOT NULL,
    series integer NOT NULL,
    length_s integer NOT NULL,
    store integer NOT NULL,
    at integer[],
    unlike_uwh bigint[],
    uncertainty_uwh bigint[],
    begin_register_uwh bigint[],
    end_register_uwh bigint[] NOT NULL,
    received_min integer[] NOT NULL,
    samples integer[] NOT NULL,
    largest_gap_ms integer[] NOT NULL,
    revision smallint[],
    coverage_permille smallint[],
    quality "char"[],
    method "char"[],
    clock "char"[],
    PRIMARY KEY (series, day, length_s, store)
) PARTITION BY RANGE (day);
COMMENT ON TABLE fleet.meter_days IS 'The same for one direction of one meter.';
COMMENT ON COLUMN fleet.meter_days.unlike_uwh IS 'The energy of each slot less the change of the register in it; NULL: the same in all slots of the day; an element that is NULL: the energy is not known.';
COMMENT ON COLUMN fleet.meter_days.begin_register_uwh IS 'Of the first slot alone, where each of the others begins at the register at which the one before it ends.';

-- Of months that are packed, what comes afterwards.
CREATE TABLE fleet.asset_late (LIKE fleet.asset_slots INCLUDING ALL);
COMMENT ON TABLE fleet.asset_late IS 'What came for a month that was packed already; rows as in fleet.asset_slots.';
CREATE TABLE fleet.meter_late (LIKE fleet.meter_slots INCLUDING ALL);
COMMENT ON TABLE fleet.meter_late IS 'What came for a month that was packed already; rows as in fleet.meter_slots.';

-- Few slots have a second revision: whether one has is looked up in an index of these alone.
CREATE INDEX asset_slots_revised ON fleet.asset_slots (asset, slot) WHERE revision > 0;
CREATE INDEX meter_slots_revised ON fleet.meter_slots (series, slot) WHERE revision > 0;

CREATE TABLE fleet.packed (
    parent text NOT NULL,
    month timestamptz NOT NULL,
    last_id integer NOT NULL DEFAULT 0,
    slots bigint NOT NULL DEFAULT 0,
    begun_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    PRIMARY KEY (parent, month)
);
COMMENT ON TABLE fleet.packed IS 'The months that are packed, or about to be. slots: how many are kept, of each the newest revision. done_at: since when the packed rows count, and the others are gone.';

CREATE TABLE fleet.packing_again (
    parent text NOT NULL,
    month timestamptz NOT NULL,
    id integer NOT NULL,
    PRIMARY KEY (parent, month, id)
);
COMMENT ON TABLE fleet.packing_again IS 'Assets and series of which something came into a month while it was packed: they are packed once more before the month is done.';

-- --- making packed months ---------------------------------------------------------------------------

CREATE FUNCTION fleet.note_packing_again() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO fleet.packing_again
        SELECT TG_ARGV[0], TG_ARGV[1]::timestamptz, (to_jsonb(NEW) ->> TG_ARGV[2])::integer ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

-- Packs those whose number is from … to …, or is one of these, from one table into another; gives how many slots these are. In the same
-- statement count and sums of what there was and of what is kept are compared, for each asset or series: where one differs it is an error.
CREATE FUNCTION fleet.pack_some(parent text, source text, target text, above integer, upto integer, these integer[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET work_mem = '128MB' SET jit = off
AS $$
DECLARE
    wanted text := CASE WHEN these IS NULL THEN '%1$s > $1 AND %1$s <= $2' ELSE '%1$s = ANY($3)' END;
    query text;
    kept bigint;
    wrong bigint;
BEGIN
    IF EXISTS (SELECT FROM pg_settings s WHERE s.name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        PERFORM set_config('default_toast_compression', 'lz4', true);
    END IF;
    IF parent = 'asset_slots' THEN
        query := $q$
WITH newest AS MATERIALIZED (
    SELECT DISTINCT ON (asset, kind, slot) asset, kind, slot, length_s, store, energy_uwh, uncertainty_uwh, received, revision, quality,
        (slot AT TIME ZONE 'UTC')::date AS day, (extract(epoch FROM slot)::bigint % 86400)::integer AS of_day_s
    FROM $q$ || source || $q$ WHERE $q$ || format(wanted, 'asset') || $q$
    ORDER BY asset, kind, slot, revision DESC
), packed AS (
    INSERT INTO $q$ || target || $q$ AS d
        (day, asset, length_s, store, kind, at, energy_uwh, uncertainty_uwh, received_min, revision, quality)
    SELECT day, asset, length_s, store, kind,
        CASE WHEN count(*) < 86400 / length_s THEN array_agg(of_day_s / length_s) END,
        array_agg(energy_uwh),
        CASE WHEN count(uncertainty_uwh) > 0 THEN array_agg(uncertainty_uwh) END,
        array_agg(floor(extract(epoch FROM received - slot) / 60)::integer),
        CASE WHEN max(revision) > 0 THEN array_agg(revision) END,
        CASE WHEN count(*) FILTER (WHERE quality <> 'm') > 0 THEN array_agg(quality) END
    FROM (SELECT * FROM newest ORDER BY asset, kind, day, length_s, store, slot) sorted
    GROUP BY asset, kind, day, length_s, store
    RETURNING d.*
), before AS (
    SELECT asset AS id, kind, count(*) AS slots, count(energy_uwh) AS known, sum(energy_uwh) AS energy, sum(uncertainty_uwh) AS uncertainty,
        sum(revision) AS revisions, sum(extract(epoch FROM slot)::bigint) AS begins
    FROM newest GROUP BY asset, kind
), after AS (
    SELECT asset AS id, kind, count(*) AS slots, count(e.energy_uwh) AS known, sum(e.energy_uwh) AS energy, sum(e.uncertainty_uwh) AS uncertainty,
        sum(coalesce(e.revision, 0)) AS revisions,
        sum((day - date '1970-01-01') * 86400::bigint + coalesce(e.at, e.n - 1) * length_s) AS begins
    FROM packed, LATERAL unnest(packed.at, packed.energy_uwh, packed.uncertainty_uwh, packed.revision)
        WITH ORDINALITY AS e(at, energy_uwh, uncertainty_uwh, revision, n)
    GROUP BY asset, kind
)
SELECT (SELECT coalesce(sum(slots), 0) FROM before), (SELECT count(*) FROM (
    (TABLE before EXCEPT ALL TABLE after) UNION ALL (TABLE after EXCEPT ALL TABLE before)) differing)
$q$;
    ELSE
        query := $q$
WITH newest AS MATERIALIZED (
    SELECT DISTINCT ON (series, slot) series, slot, length_s, store, energy_uwh, uncertainty_uwh, begin_register_uwh, end_register_uwh, received,
        samples, largest_gap_ms, revision, coverage_permille, quality, method, clock,
        (slot AT TIME ZONE 'UTC')::date AS day, (extract(epoch FROM slot)::bigint % 86400)::integer AS of_day_s
    FROM $q$ || source || $q$ WHERE $q$ || format(wanted, 'series') || $q$
    ORDER BY series, slot, revision DESC
), packed AS (
    INSERT INTO $q$ || target || $q$ AS d
        (day, series, length_s, store, at, unlike_uwh, uncertainty_uwh, begin_register_uwh, end_register_uwh, received_min, samples, largest_gap_ms,
        revision, coverage_permille, quality, method, clock)
    SELECT day, series, length_s, store, at,
        CASE WHEN is_unlike THEN unlike END, uncertainty,
        CASE WHEN begun[2:] = ended[:cardinality(ended) - 1] THEN begun[1:1] ELSE begun END,
        ended, received, samples, gaps, revision, coverage, quality, method, clock
    FROM (SELECT day, series, length_s, store,
        CASE WHEN count(*) < 86400 / length_s THEN array_agg(of_day_s / length_s) END AS at,
        count(*) FILTER (WHERE energy_uwh IS DISTINCT FROM end_register_uwh - begin_register_uwh) > 0 AS is_unlike,
        array_agg(energy_uwh - (end_register_uwh - begin_register_uwh)) AS unlike,
        CASE WHEN count(uncertainty_uwh) > 0 THEN array_agg(uncertainty_uwh) END AS uncertainty,
        array_agg(begin_register_uwh) AS begun,
        array_agg(end_register_uwh) AS ended,
        array_agg(floor(extract(epoch FROM received - slot) / 60)::integer) AS received,
        array_agg(samples) AS samples, array_agg(largest_gap_ms) AS gaps,
        CASE WHEN max(revision) > 0 THEN array_agg(revision) END AS revision,
        CASE WHEN min(coverage_permille) < 1000 THEN array_agg(coverage_permille) END AS coverage,
        CASE WHEN count(*) FILTER (WHERE quality <> 'm') > 0 THEN array_agg(quality) END AS quality,
        CASE WHEN count(*) FILTER (WHERE method <> 'c') > 0 THEN array_agg(method) END AS method,
        CASE WHEN count(*) FILTER (WHERE clock <> 'k') > 0 THEN array_agg(clock) END AS clock
    FROM (SELECT * FROM newest ORDER BY series, day, length_s, store, slot) sorted
    GROUP BY series, day, length_s, store) made
    RETURNING d.*
), before AS (
    SELECT series AS id, count(*) AS slots, count(energy_uwh) AS known, sum(energy_uwh) AS energy,
        sum(extract(epoch FROM slot)::bigint) AS begins, sum(begin_register_uwh) AS begun, sum(end_register_uwh) AS ended
    FROM newest GROUP BY series
), after AS (
    SELECT series AS id, count(*) AS slots, count(energy_uwh) AS known, sum(energy_uwh) AS energy, sum(begins) AS begins, sum(begun) AS begun,
        sum(ended) AS ended
    FROM (
        SELECT series, e.ended, r.begun, (day - date '1970-01-01') * 86400::bigint + coalesce(e.at, e.n - 1) * length_s AS begins,
            e.ended - r.begun + CASE WHEN packed.unlike_uwh IS NULL THEN 0 ELSE e.unlike END AS energy_uwh
        FROM packed, LATERAL unnest(packed.at, packed.unlike_uwh, packed.begin_register_uwh, packed.end_register_uwh)
            WITH ORDINALITY AS e(at, unlike, begun, ended, n),
            LATERAL (SELECT coalesce(e.begun, packed.end_register_uwh[e.n - 1]) AS begun) r) each
    GROUP BY series
)
SELECT (SELECT coalesce(sum(slots), 0) FROM before), (SELECT count(*) FROM (
    (TABLE before EXCEPT ALL TABLE after) UNION ALL (TABLE after EXCEPT ALL TABLE before)) differing)
$q$;
    END IF;
    EXECUTE query INTO kept, wrong USING above, upto, these;
    IF wrong > 0 THEN
        RAISE EXCEPTION '% of %: what was packed is not what there was; nothing of it is kept', wrong, source;
    END IF;
    RETURN kept;
END
$$;

CREATE FUNCTION fleet.pack_begin(parent text, month timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s'
AS $$
DECLARE
    name text := to_char(month, 'YYYY_MM');
    days text := CASE parent WHEN 'asset_slots' THEN 'asset_days' WHEN 'meter_slots' THEN 'meter_days' END;
    id text := CASE parent WHEN 'asset_slots' THEN 'asset' ELSE 'series' END;
    packed regclass;
    wide text;
BEGIN
    IF month <> date_trunc('month', month) OR month + interval '1 month' > now() - interval '5 days' OR days IS NULL THEN
        RAISE EXCEPTION '% of % is not packed', month, parent;
    END IF;
    INSERT INTO fleet.packed (parent, month) VALUES (pack_begin.parent, pack_begin.month) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE fleet.%I (LIKE fleet.%I INCLUDING ALL, CHECK (day >= %L::date AND day < %L::date)) WITH (toast_tuple_target = 128)',
        days || '_' || name, days, month::date, (month + interval '1 month')::date);
    packed := format('fleet.%I', days || '_' || name)::regclass;
    -- Pressed together where they are: read by day, a row is of one page.
    FOR wide IN SELECT attname FROM pg_attribute JOIN pg_type t ON t.oid = atttypid WHERE attrelid = packed AND attnum > 0 AND typcategory = 'A' LOOP
        EXECUTE format('ALTER TABLE %s ALTER %I SET STORAGE MAIN', packed, wide);
    END LOOP;
    -- From here on, whatever still comes for that month is noted.
    EXECUTE format('CREATE TRIGGER note_packing_again AFTER INSERT ON fleet.%I FOR EACH ROW EXECUTE FUNCTION fleet.note_packing_again(%L, %L, %L)',
        parent || '_' || name, parent, month, id);
END
$$;
COMMENT ON FUNCTION fleet.pack_begin IS 'Begins to pack a month (UTC) of asset_slots or meter_slots; where it was begun, nothing.';

CREATE FUNCTION fleet.pack_next(parent text, month timestamptz, many integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    above integer;
    upto integer;
    source text := format('fleet.%I', parent || '_' || to_char(month, 'YYYY_MM'));
    target text := replace(source, '_slots_', '_days_');
BEGIN
    SELECT last_id INTO above FROM fleet.packed p WHERE p.parent = pack_next.parent AND p.month = pack_next.month AND done_at IS NULL FOR UPDATE;
    IF parent = 'asset_slots' THEN
        SELECT max(id) INTO upto FROM (SELECT id FROM fleet.assets WHERE id > above ORDER BY id LIMIT many) ahead;
    ELSE
        SELECT max(id) INTO upto FROM (SELECT id FROM fleet.series WHERE id > above ORDER BY id LIMIT many) ahead;
    END IF;
    IF upto IS NULL THEN
        RETURN false;
    END IF;
    UPDATE fleet.packed p SET slots = slots + fleet.pack_some(pack_next.parent, source, target, above, upto, NULL), last_id = upto
        WHERE p.parent = pack_next.parent AND p.month = pack_next.month;
    RETURN true;
END
$$;
COMMENT ON FUNCTION fleet.pack_next IS 'Packs the next so many assets or series of a month; false where all are.';

CREATE FUNCTION fleet.pack_end(parent text, month timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s'
AS $$
DECLARE
    name text := to_char(month, 'YYYY_MM');
    days text := CASE parent WHEN 'asset_slots' THEN 'asset_days' ELSE 'meter_days' END;
    id_name text := CASE parent WHEN 'asset_slots' THEN 'asset' ELSE 'series' END;
    is_last boolean;
    again integer[];
    before bigint;
BEGIN
    SELECT count(*) <= 20 INTO is_last FROM fleet.packing_again a WHERE a.parent = pack_end.parent AND a.month = pack_end.month;
    IF is_last THEN
        -- Whoever writes waits for this; it takes milliseconds.
        EXECUTE format('LOCK TABLE ONLY fleet.%I IN ACCESS EXCLUSIVE MODE', parent);
        EXECUTE format('LOCK TABLE fleet.%I IN ACCESS EXCLUSIVE MODE', parent || '_' || name);
    END IF;
    WITH gone AS (
        DELETE FROM fleet.packing_again a WHERE a.parent = pack_end.parent AND a.month = pack_end.month AND a.id IN (
            SELECT b.id FROM fleet.packing_again b WHERE b.parent = pack_end.parent AND b.month = pack_end.month ORDER BY b.id LIMIT 200)
        RETURNING a.id)
    SELECT array_agg(id) INTO again FROM gone;
    IF again IS NOT NULL THEN
        EXECUTE format(
            'WITH gone AS (DELETE FROM fleet.%I WHERE %I = ANY($1) RETURNING cardinality(received_min) AS n) SELECT coalesce(sum(n), 0) FROM gone',
            days || '_' || name, id_name) INTO before USING again;
        UPDATE fleet.packed p SET slots = slots - before + fleet.pack_some(
                pack_end.parent, format('fleet.%I', pack_end.parent || '_' || name), format('fleet.%I', days || '_' || name), NULL, NULL, again)
            WHERE p.parent = pack_end.parent AND p.month = pack_end.month;
    END IF;
    IF NOT is_last OR EXISTS (SELECT FROM fleet.packing_again a WHERE a.parent = pack_end.parent AND a.month = pack_end.month) THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE fleet.%I', parent || '_' || name);
    EXECUTE format('ALTER TABLE fleet.%I ATTACH PARTITION fleet.%I FOR VALUES FROM (%L) TO (%L)',
        days, days || '_' || name, month::date, (month + interval '1 month')::date);
    UPDATE fleet.packed p SET done_at = now() WHERE p.parent = pack_end.parent AND p.month = pack_end.month;
    RETURN true;
END
$$;
COMMENT ON FUNCTION fleet.pack_end IS 'In one transaction: what came meanwhile is packed as well, the packed rows take the place of the others, and those are dropped. False: there is more to pack, call it again.';

-- A home that joins brings its history, most of it of months that are packed.
CREATE FUNCTION fleet.pack_late(parent text, many integer, settled interval) RETURNS bigint
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
            SELECT series FROM fleet.meter_late GROUP BY series HAVING max(received) < now() - settled ORDER BY series LIMIT many) next;
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
            (slot, energy_uwh, uncertainty_uwh, begin_register_uwh, end_register_uwh, received, series, store, length_s, samples,
            largest_gap_ms, revision, coverage_permille, quality, method, clock)
        SELECT t.slot, e.ends - r.begins + CASE WHEN d.unlike_uwh IS NULL THEN 0 ELSE e.unlike END, e.uncertainty, r.begins, e.ends,
            t.slot + make_interval(mins => e.received_min), d.series, d.store, d.length_s, e.samples, e.gap_ms, coalesce(e.revision, 0::smallint),
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
COMMENT ON FUNCTION fleet.pack_late IS 'Packs what came late of so many assets or series, of which nothing has come for a while; gives how many slots that are, with those of the same days that were packed before. 0: there are none.';

-- As in 001, but for months that are packed: what comes for these is late.
CREATE OR REPLACE FUNCTION fleet.add_month(of timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    begins timestamptz := date_trunc('month', of);
    till timestamptz := begins + interval '1 month';
    name text := to_char(begins, 'YYYY_MM');
    made boolean := false;
    each text;
BEGIN
    IF of NOT BETWEEN now() - interval '401 days' AND now() + interval '70 days' THEN
        RAISE EXCEPTION 'no partition is made for %', of USING ERRCODE = 'check_violation';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('fleet.add_month'));
    FOREACH each IN ARRAY ARRAY['asset_slots', 'meter_slots'] LOOP
        IF to_regclass(format('fleet.%I', each || '_' || name)) IS NULL
            AND NOT EXISTS (SELECT FROM fleet.packed p WHERE p.parent = each AND p.month = begins)
        THEN
            EXECUTE format('CREATE TABLE fleet.%I PARTITION OF fleet.%I FOR VALUES FROM (%L) TO (%L)', each || '_' || name, each, begins, till);
            made := true;
        END IF;
    END LOOP;
    RETURN made;
END
$$;

-- --- reading both -----------------------------------------------------------------------------------

CREATE FUNCTION fleet.slots(of_asset integer, of_kind "char", from_slot timestamptz, to_slot timestamptz)
    RETURNS TABLE (slot timestamptz, length_s integer, energy_uwh bigint, uncertainty_uwh bigint, revision smallint, quality "char",
        received timestamptz, store integer)
    LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT ON (slot) * FROM (
        SELECT slot, length_s, energy_uwh, uncertainty_uwh, revision, quality, received, store
        FROM fleet.asset_slots WHERE asset = of_asset AND kind = of_kind AND slot >= from_slot AND slot < to_slot
        UNION ALL
        SELECT slot, length_s, energy_uwh, uncertainty_uwh, revision, quality, received, store
        FROM fleet.asset_late WHERE asset = of_asset AND kind = of_kind AND slot >= from_slot AND slot < to_slot
        UNION ALL
        SELECT t.slot, d.length_s, e.energy_uwh, e.uncertainty_uwh, coalesce(e.revision, 0::smallint), coalesce(e.quality, 'm'),
            t.slot + make_interval(mins => e.received_min), d.store
        FROM fleet.asset_days d,
            LATERAL unnest(d.at, d.energy_uwh, d.uncertainty_uwh, d.revision, d.quality, d.received_min)
                WITH ORDINALITY AS e(at, energy_uwh, uncertainty_uwh, revision, quality, received_min, n),
            LATERAL (SELECT to_timestamp((d.day - date '1970-01-01') * 86400::bigint + coalesce(e.at, e.n - 1) * d.length_s)) AS t(slot)
        WHERE d.asset = of_asset AND d.kind = of_kind
            AND d.day >= (from_slot AT TIME ZONE 'UTC')::date AND d.day <= (to_slot AT TIME ZONE 'UTC')::date
            AND t.slot >= from_slot AND t.slot < to_slot
    ) every ORDER BY slot, revision DESC
$$;
COMMENT ON FUNCTION fleet.slots IS 'The slots of one asset from … to before …, newest revisions, packed or not. kind: m measurement, f forecast.';

CREATE FUNCTION fleet.packed_asset(of_asset integer, of_kind "char", of_slot timestamptz)
    RETURNS TABLE (length_s integer, energy_uwh bigint, uncertainty_uwh bigint, revision smallint, quality "char")
    LANGUAGE sql STABLE
AS $$
    SELECT d.length_s, d.energy_uwh[p.n], d.uncertainty_uwh[p.n], coalesce(d.revision[p.n], 0::smallint), coalesce(d.quality[p.n], 'm')
    FROM fleet.asset_days d, (SELECT extract(epoch FROM of_slot)::bigint % 86400 AS at_s) o,
        LATERAL (SELECT CASE WHEN d.at IS NULL THEN o.at_s / d.length_s + 1 ELSE array_position(d.at, (o.at_s / d.length_s)::integer) END AS n) p
    WHERE d.asset = of_asset AND d.kind = of_kind AND d.day = (of_slot AT TIME ZONE 'UTC')::date AND o.at_s % d.length_s = 0 AND p.n IS NOT NULL
$$;
COMMENT ON FUNCTION fleet.packed_asset IS 'One slot of an asset as it is packed; nothing where it is not.';

CREATE FUNCTION fleet.packed_meter(of_series integer, of_slot timestamptz)
    RETURNS TABLE (length_s integer, energy_uwh bigint, uncertainty_uwh bigint, begin_register_uwh bigint, end_register_uwh bigint, samples integer,
        largest_gap_ms integer, revision smallint, coverage_permille smallint, quality "char", method "char", clock "char")
    LANGUAGE sql STABLE
AS $$
    SELECT d.length_s, d.end_register_uwh[p.n] - r.begins_uwh + CASE WHEN d.unlike_uwh IS NULL THEN 0 ELSE d.unlike_uwh[p.n] END,
        d.uncertainty_uwh[p.n], r.begins_uwh, d.end_register_uwh[p.n], d.samples[p.n], d.largest_gap_ms[p.n],
        coalesce(d.revision[p.n], 0::smallint), coalesce(d.coverage_permille[p.n], 1000::smallint), coalesce(d.quality[p.n], 'm'),
        coalesce(d.method[p.n], 'c'), coalesce(d.clock[p.n], 'k')
    FROM fleet.meter_days d, (SELECT extract(epoch FROM of_slot)::bigint % 86400 AS at_s) o,
        LATERAL (SELECT CASE WHEN d.at IS NULL THEN o.at_s / d.length_s + 1 ELSE array_position(d.at, (o.at_s / d.length_s)::integer) END AS n) p,
        LATERAL (SELECT coalesce(d.begin_register_uwh[p.n], d.end_register_uwh[p.n - 1]) AS begins_uwh) r
    WHERE d.series = of_series AND d.day = (of_slot AT TIME ZONE 'UTC')::date AND o.at_s % d.length_s = 0 AND p.n IS NOT NULL
$$;
COMMENT ON FUNCTION fleet.packed_meter IS 'One slot of a direction of a meter as it is packed; nothing where it is not.';

CREATE OR REPLACE VIEW fleet.measurements AS
    SELECT sites.name AS site, assets.uuid AS asset, s.slot, s.length_s, s.energy_uwh, s.uncertainty_uwh, s.revision,
           CASE s.quality WHEN 'm' THEN 'measured' WHEN 'e' THEN 'estimated' WHEN 'p' THEN 'partial' ELSE 'missing' END AS quality, s.received,
           (s.slot AT TIME ZONE 'UTC')::date AS day
    FROM fleet.asset_slots s
    JOIN fleet.assets ON assets.id = s.asset
    JOIN fleet.sites ON sites.id = assets.site
    WHERE s.kind = 'm' AND NOT EXISTS (
        SELECT FROM fleet.asset_slots n
        WHERE n.asset = s.asset AND n.slot = s.slot AND n.kind = s.kind AND n.revision > s.revision AND n.revision > 0
    )
    UNION ALL
    SELECT sites.name, assets.uuid, s.slot, s.length_s, s.energy_uwh, s.uncertainty_uwh, s.revision,
           CASE s.quality WHEN 'm' THEN 'measured' WHEN 'e' THEN 'estimated' WHEN 'p' THEN 'partial' ELSE 'missing' END, s.received,
           (s.slot AT TIME ZONE 'UTC')::date
    FROM fleet.asset_late s
    JOIN fleet.assets ON assets.id = s.asset
    JOIN fleet.sites ON sites.id = assets.site
    WHERE s.kind = 'm' AND NOT EXISTS (
        SELECT FROM fleet.asset_late n
        WHERE n.asset = s.asset AND n.slot = s.slot AND n.kind = s.kind AND n.revision > s.revision AND n.revision > 0
    )
    UNION ALL
    SELECT sites.name, assets.uuid, t.slot, d.length_s, e.energy_uwh, e.uncertainty_uwh, coalesce(e.revision, 0::smallint),
           CASE coalesce(e.quality, 'm') WHEN 'm' THEN 'measured' WHEN 'e' THEN 'estimated' WHEN 'p' THEN 'partial' ELSE 'missing' END,
           t.slot + make_interval(mins => e.received_min), d.day
    FROM fleet.asset_days d
    JOIN fleet.assets ON assets.id = d.asset
    JOIN fleet.sites ON sites.id = assets.site,
        LATERAL unnest(d.at, d.energy_uwh, d.uncertainty_uwh, d.revision, d.quality, d.received_min)
            WITH ORDINALITY AS e(at, energy_uwh, uncertainty_uwh, revision, quality, received_min, n),
        LATERAL (SELECT to_timestamp((d.day - date '1970-01-01') * 86400::bigint + coalesce(e.at, e.n - 1) * d.length_s)) AS t(slot)
    WHERE d.kind = 'm' AND NOT EXISTS (
        SELECT FROM fleet.asset_late n WHERE n.asset = d.asset AND n.slot = t.slot AND n.kind = d.kind
    );
COMMENT ON VIEW fleet.measurements IS 'What each asset measured in each slot: the newest revisions, packed or not. Where old months are asked for, say the day (UTC) as well as the slot: packed rows are found by it.';

CREATE OR REPLACE VIEW fleet.meters AS
    SELECT sites.name AS site, series.meter, CASE series.direction WHEN 'i' THEN 'import' ELSE 'export' END AS direction, series.serial,
           s.slot, s.length_s, s.energy_uwh, s.uncertainty_uwh, s.revision, s.coverage_permille, s.samples, s.largest_gap_ms,
           s.begin_register_uwh, s.end_register_uwh,
           CASE s.quality WHEN 'm' THEN 'measured' WHEN 'e' THEN 'estimated' WHEN 'p' THEN 'partial' ELSE 'missing' END AS quality,
           CASE s.method WHEN 'c' THEN 'counter' WHEN 'r' THEN 'register' ELSE 'power' END AS method,
           CASE s.clock WHEN 'k' THEN 'kernel' WHEN 'a' THEN 'assured' ELSE 'placed' END AS clock, s.received,
           (s.slot AT TIME ZONE 'UTC')::date AS day
    FROM fleet.meter_slots s
    JOIN fleet.series ON series.id = s.series
    JOIN fleet.sites ON sites.id = series.site
    WHERE NOT EXISTS (
        SELECT FROM fleet.meter_slots n WHERE n.series = s.series AND n.slot = s.slot AND n.revision > s.revision AND n.revision > 0
    )
    UNION ALL
    SELECT sites.name, series.meter, CASE series.direction WHEN 'i' THEN 'import' ELSE 'export' END, series.serial,
           s.slot, s.length_s, s.energy_uwh, s.uncertainty_uwh, s.revision, s.coverage_permille, s.samples, s.largest_gap_ms,
           s.begin_register_uwh, s.end_register_uwh,
           CASE s.quality WHEN 'm' THEN 'measured' WHEN 'e' THEN 'estimated' WHEN 'p' THEN 'partial' ELSE 'missing' END,
           CASE s.method WHEN 'c' THEN 'counter' WHEN 'r' THEN 'register' ELSE 'power' END,
           CASE s.clock WHEN 'k' THEN 'kernel' WHEN 'a' THEN 'assured' ELSE 'placed' END, s.received,
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

-- --- homes that are gone -----------------------------------------------------------------------------

CREATE TABLE fleet.forgotten (
    reference uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    by text NOT NULL DEFAULT session_user,
    rows jsonb NOT NULL
);
COMMENT ON TABLE fleet.forgotten IS 'That all of a home was deleted: when, by which user of the database, and how many rows of each table. Which home it was is not in it.';

-- --- local days -------------------------------------------------------------------------------------

INSERT INTO fleet.settings VALUES ('timezone', 'UTC') ON CONFLICT DO NOTHING;

CREATE FUNCTION fleet.zone() RETURNS text
    LANGUAGE sql STABLE
AS $$ SELECT value FROM fleet.settings WHERE name = 'timezone' $$;
COMMENT ON FUNCTION fleet.zone IS 'The time zone of the community: that of its days.';

CREATE TABLE fleet.days (
    energy_uwh bigint NOT NULL,
    day date NOT NULL,
    asset integer NOT NULL,
    length_s integer NOT NULL,
    expected integer NOT NULL,
    slots integer NOT NULL,
    known integer NOT NULL,
    estimated integer NOT NULL,
    revised boolean NOT NULL,
    PRIMARY KEY (day, asset)
) WITH (fillfactor = 60);
CREATE INDEX days_asset ON fleet.days (asset, day);
COMMENT ON TABLE fleet.days IS 'What each asset measured in each local day: kept by the collectors in the transactions that store slots. No row: nothing came.';
COMMENT ON COLUMN fleet.days.energy_uwh IS 'The sum of what is known.';
COMMENT ON COLUMN fleet.days.expected IS 'How many slots the whole day has.';
COMMENT ON COLUMN fleet.days.slots IS 'Of how many of them anything came, known or not.';
COMMENT ON COLUMN fleet.days.known IS 'Of how many the energy is known.';
COMMENT ON COLUMN fleet.days.estimated IS 'How many of these are estimated, or are known in part only.';
COMMENT ON COLUMN fleet.days.revised IS 'Whether a slot has a second revision: then the day is counted anew whenever something comes.';

CREATE FUNCTION fleet.day_begins(day date) RETURNS timestamptz
    LANGUAGE sql STABLE
AS $$ SELECT day::timestamp AT TIME ZONE fleet.zone() $$;
COMMENT ON FUNCTION fleet.day_begins IS 'When a day of the community begins.';

CREATE FUNCTION fleet.expected(day date, length_s integer) RETURNS integer
    LANGUAGE sql STABLE
AS $$ SELECT (extract(epoch FROM fleet.day_begins(day + 1) - fleet.day_begins(day)) / length_s)::integer $$;
COMMENT ON FUNCTION fleet.expected IS 'How many slots of that length a day of the community has: of a quarter of an hour 92, 96 or 100.';

CREATE FUNCTION fleet.count_again(assets integer[], days date[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- First the rows are held: what others add to them is committed, and seen, or waits.
    INSERT INTO fleet.days AS d (day, asset, length_s, expected, slots, known, estimated, energy_uwh, revised)
        SELECT u.day, u.asset, 900, 0, 0, 0, 0, 0, true FROM unnest(assets, days) AS u(asset, day) ORDER BY u.day, u.asset
        ON CONFLICT (day, asset) DO UPDATE SET revised = true;
    WITH counted AS (
        SELECT want.day, want.asset, coalesce(max(s.length_s), 900) AS length_s, count(s.slot) AS slots, count(s.energy_uwh) AS known,
            count(s.energy_uwh) FILTER (WHERE s.quality <> 'm') AS estimated, coalesce(sum(s.energy_uwh), 0) AS energy_uwh,
            coalesce(bool_or(s.revision > 0), false) AS revised
        FROM (SELECT u.asset, u.day, fleet.day_begins(u.day) AS begins, fleet.day_begins(u.day + 1) AS ends
            FROM unnest(assets, days) AS u(asset, day) OFFSET 0) want
            LEFT JOIN LATERAL fleet.slots(want.asset, 'm', want.begins, want.ends) s ON true
        GROUP BY want.day, want.asset
    )
    UPDATE fleet.days d SET length_s = c.length_s, expected = fleet.expected(d.day, c.length_s), slots = c.slots, known = c.known,
        estimated = c.estimated, energy_uwh = c.energy_uwh, revised = c.revised
    FROM counted c WHERE d.day = c.day AND d.asset = c.asset;
    DELETE FROM fleet.days d USING unnest(assets, days) AS u(asset, day) WHERE d.day = u.day AND d.asset = u.asset AND d.slots = 0;
END
$$;
COMMENT ON FUNCTION fleet.count_again IS 'Counts these days of these assets anew: whoever corrects slots by hand calls it.';

CREATE FUNCTION fleet.coverage(of_day date)
    RETURNS TABLE (site integer, asset integer, expected integer, due integer, slots integer, known integer, estimated integer, energy_uwh bigint,
        permille integer)
    LANGUAGE sql STABLE
AS $$
    SELECT a.site, a.id, x.expected, x.due, coalesce(d.slots, 0), coalesce(d.known, 0), coalesce(d.estimated, 0), coalesce(d.energy_uwh, 0),
        CASE WHEN x.due > 0 THEN least(1000, coalesce(d.known, 0) * 1000 / x.due) END
    FROM (SELECT fleet.day_begins(of_day) AS begins, fleet.day_begins(of_day + 1) AS ends) day
    CROSS JOIN fleet.assets a
    JOIN fleet.sites ON sites.id = a.site AND sites.removed_at IS NULL
    LEFT JOIN fleet.days d ON d.day = of_day AND d.asset = a.id,
    LATERAL (SELECT (extract(epoch FROM day.ends - day.begins) / coalesce(d.length_s, 900))::integer AS expected,
        greatest(0, extract(epoch FROM least(day.ends, now() - interval '15 minutes') - day.begins) / coalesce(d.length_s, 900))::integer AS due) x
$$;
COMMENT ON FUNCTION fleet.coverage IS 'How complete a day of the community is: every asset of the homes that are in, also those of which nothing came. due: slots that ended 15 minutes ago or earlier; permille: how many of these are known.';

SELECT fleet.count_again(array_agg(asset), array_agg(day)) FROM (
    SELECT DISTINCT asset, (slot AT TIME ZONE fleet.zone())::date AS day FROM fleet.asset_slots WHERE kind = 'm') each;
