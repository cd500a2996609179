-- All times are those of UTC. Energies are integers in µWh. Columns stand in the order of their sizes: there is one row for each slot of each
-- meter of each home, and PostgreSQL pads.

CREATE TABLE fleet.settings (
    name text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE fleet.settings IS 'What all collectors of a fleet share.';

CREATE TABLE fleet.sites (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    added_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz,
    warning text NOT NULL DEFAULT ''
);
COMMENT ON TABLE fleet.sites IS 'The homes. From one that was removed, nothing is taken any more; what it has sent stays.';
COMMENT ON COLUMN fleet.sites.warning IS 'What a person should look at: two gateways of one name.';

CREATE TABLE fleet.stores (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site integer NOT NULL REFERENCES fleet.sites,
    name text NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    last_slot timestamptz,
    lag_s real,
    version text NOT NULL DEFAULT '',
    deliver text NOT NULL DEFAULT 'direct',
    UNIQUE (site, name)
) WITH (fillfactor = 70);
COMMENT ON TABLE fleet.stores IS 'The buffers of gateways: a home whose card was lost has a second one.';
COMMENT ON COLUMN fleet.stores.lag_s IS 'When the last message came, by our clock, less when it was sent, by the gateway''s.';

CREATE TABLE fleet.assets (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site integer NOT NULL REFERENCES fleet.sites,
    uuid uuid NOT NULL UNIQUE,
    added_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fleet.assets IS 'Which home an asset belongs to: the first that sent it, or that it was given to.';
CREATE INDEX assets_site ON fleet.assets (site);

CREATE TABLE fleet.series (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site integer NOT NULL REFERENCES fleet.sites,
    meter text NOT NULL,
    direction "char" NOT NULL,
    serial text NOT NULL,
    UNIQUE (site, meter, direction, serial)
);
COMMENT ON TABLE fleet.series IS 'One direction of one meter. direction: i import, e export.';

CREATE TABLE fleet.asset_slots (
    slot timestamptz NOT NULL,
    energy_uwh bigint,
    uncertainty_uwh bigint,
    received timestamptz NOT NULL DEFAULT now(),
    asset integer NOT NULL,
    store integer NOT NULL,
    length_s integer NOT NULL,
    revision smallint NOT NULL,
    kind "char" NOT NULL,
    quality "char" NOT NULL,
    PRIMARY KEY (asset, slot, kind, revision)
) PARTITION BY RANGE (slot);
COMMENT ON TABLE fleet.asset_slots IS 'Every number of every asset, all revisions. kind: m measurement, f forecast. quality: m measured, e estimated, p partial, x missing.';

CREATE TABLE fleet.meter_slots (
    slot timestamptz NOT NULL,
    energy_uwh bigint,
    uncertainty_uwh bigint,
    begin_register_uwh bigint NOT NULL,
    end_register_uwh bigint NOT NULL,
    received timestamptz NOT NULL DEFAULT now(),
    series integer NOT NULL,
    store integer NOT NULL,
    length_s integer NOT NULL,
    samples integer NOT NULL,
    largest_gap_ms integer NOT NULL,
    revision smallint NOT NULL,
    coverage_permille smallint NOT NULL,
    quality "char" NOT NULL,
    method "char" NOT NULL,
    clock "char" NOT NULL,
    PRIMARY KEY (series, slot, revision)
) PARTITION BY RANGE (slot);
COMMENT ON TABLE fleet.meter_slots IS 'Every slot of every direction of every meter, all revisions. method: c counter, r register, p power. clock: k kernel, a assured, p placed.';

CREATE TABLE fleet.clashes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site integer NOT NULL REFERENCES fleet.sites,
    store integer NOT NULL,
    asset integer,
    series integer,
    slot timestamptz NOT NULL,
    kind "char" NOT NULL,
    revision smallint NOT NULL,
    row jsonb NOT NULL,
    received timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX clashes_once ON fleet.clashes (coalesce(asset, 0), coalesce(series, 0), slot, kind, revision, md5(row::text));
COMMENT ON TABLE fleet.clashes IS 'A number that came with the same asset or meter, slot and revision as one that is stored, and another value. Both are kept.';

CREATE TABLE fleet.refused (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site text NOT NULL,
    why text NOT NULL,
    times bigint NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    payload bytea NOT NULL,
    UNIQUE (site, why)
);
COMMENT ON TABLE fleet.refused IS 'What was not taken, kept for a person: the last message of each reason, as it came.';

CREATE TABLE fleet.status (
    site integer PRIMARY KEY REFERENCES fleet.sites,
    received timestamptz NOT NULL DEFAULT now(),
    online boolean NOT NULL,
    told jsonb NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE fleet.status IS 'What each gateway said last of itself.';

CREATE TABLE fleet.collectors (
    name text PRIMARY KEY,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    shared boolean NOT NULL
);
COMMENT ON TABLE fleet.collectors IS 'The collectors that run, or did. shared: whether the broker deals messages out among them.';

-- Bounds are those of UTC whatever the session's zone is. Nothing but this makes partitions: a slot of 1970 gets none.
CREATE FUNCTION fleet.add_month(of timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    month timestamptz := date_trunc('month', of);
    till timestamptz := month + interval '1 month';
    name text := to_char(month, 'YYYY_MM');
    parent text;
    made boolean := false;
BEGIN
    IF of NOT BETWEEN now() - interval '401 days' AND now() + interval '70 days' THEN
        RAISE EXCEPTION 'no partition is made for %', of USING ERRCODE = 'check_violation';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('fleet.add_month'));
    FOREACH parent IN ARRAY ARRAY['asset_slots', 'meter_slots'] LOOP
        IF to_regclass(format('fleet.%I', parent || '_' || name)) IS NULL THEN
            EXECUTE format('CREATE TABLE fleet.%I PARTITION OF fleet.%I FOR VALUES FROM (%L) TO (%L)', parent || '_' || name, parent, month, till);
            made := true;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION fleet.add_month IS 'Makes the partitions of the month (UTC) of that time, where there are none.';

CREATE VIEW fleet.measurements AS
    SELECT sites.name AS site, assets.uuid AS asset, s.slot, s.length_s, s.energy_uwh, s.uncertainty_uwh, s.revision,
           CASE s.quality WHEN 'm' THEN 'measured' WHEN 'e' THEN 'estimated' WHEN 'p' THEN 'partial' ELSE 'missing' END AS quality, s.received
    FROM fleet.asset_slots s
    JOIN fleet.assets ON assets.id = s.asset
    JOIN fleet.sites ON sites.id = assets.site
    WHERE s.kind = 'm' AND NOT EXISTS (
        SELECT FROM fleet.asset_slots n
        WHERE n.asset = s.asset AND n.slot = s.slot AND n.kind = s.kind AND n.revision > s.revision
    );
COMMENT ON VIEW fleet.measurements IS 'What each asset measured in each slot: the newest revisions.';

CREATE VIEW fleet.meters AS
    SELECT sites.name AS site, series.meter, CASE series.direction WHEN 'i' THEN 'import' ELSE 'export' END AS direction, series.serial,
           s.slot, s.length_s, s.energy_uwh, s.uncertainty_uwh, s.revision, s.coverage_permille, s.samples, s.largest_gap_ms,
           s.begin_register_uwh, s.end_register_uwh,
           CASE s.quality WHEN 'm' THEN 'measured' WHEN 'e' THEN 'estimated' WHEN 'p' THEN 'partial' ELSE 'missing' END AS quality,
           CASE s.method WHEN 'c' THEN 'counter' WHEN 'r' THEN 'register' ELSE 'power' END AS method,
           CASE s.clock WHEN 'k' THEN 'kernel' WHEN 'a' THEN 'assured' ELSE 'placed' END AS clock, s.received
    FROM fleet.meter_slots s
    JOIN fleet.series ON series.id = s.series
    JOIN fleet.sites ON sites.id = series.site
    WHERE NOT EXISTS (
        SELECT FROM fleet.meter_slots n WHERE n.series = s.series AND n.slot = s.slot AND n.revision > s.revision
    );
COMMENT ON VIEW fleet.meters IS 'What each direction of each meter counted in each slot: the newest revisions.';
