-- Markets whose slots are no quarters of an hour.

ALTER TABLE fleet.stores ADD COLUMN length_s integer;
COMMENT ON COLUMN fleet.stores.length_s IS 'Length of its newest slot. NULL: nothing has come since this is noted.';

INSERT INTO fleet.settings VALUES ('slot_length_s', '900') ON CONFLICT DO NOTHING;

CREATE FUNCTION fleet.slot_length() RETURNS integer
    LANGUAGE sql STABLE
AS $$ SELECT value::integer FROM fleet.settings WHERE name = 'slot_length_s' $$;
COMMENT ON FUNCTION fleet.slot_length IS 'Seconds of a slot where nothing else is known: exchange.slot of fleet.yaml.';

CREATE VIEW fleet.slot_lengths AS
    SELECT s.id AS site, coalesce(l.length_s, fleet.slot_length()) AS length_s
    FROM fleet.sites s LEFT JOIN (
        SELECT DISTINCT ON (site) site, length_s FROM fleet.stores WHERE length_s IS NOT NULL ORDER BY site, last_at DESC) l ON l.site = s.id;
COMMENT ON VIEW fleet.slot_lengths IS 'Seconds of a slot of each home, as it has sent them last.';

-- Before, half a slot that had ended was one that is due.
CREATE OR REPLACE FUNCTION fleet.coverage(of_day date)
    RETURNS TABLE (site integer, asset integer, expected integer, due integer, slots integer, known integer, estimated integer, energy_uwh bigint,
        permille integer)
    LANGUAGE sql STABLE
AS $$
    SELECT a.site, a.id, x.expected, x.due, coalesce(d.slots, 0), coalesce(d.known, 0), coalesce(d.estimated, 0), coalesce(d.energy_uwh, 0),
        CASE WHEN x.due > 0 THEN least(1000, coalesce(d.known, 0) * 1000 / x.due) END
    FROM (SELECT extract(epoch FROM ends - begins)::integer AS span_s,
            greatest(0, floor(extract(epoch FROM least(ends, now() - interval '15 minutes') - begins)))::integer AS over_s
        FROM (SELECT fleet.day_begins(of_day) AS begins, fleet.day_begins(of_day + 1) AS ends OFFSET 0) bounds OFFSET 0) day
    CROSS JOIN fleet.assets a
    JOIN fleet.sites ON sites.id = a.site AND sites.removed_at IS NULL
    LEFT JOIN fleet.days d ON d.day = of_day AND d.asset = a.id
    JOIN fleet.slot_lengths l ON l.site = a.site,
    LATERAL (SELECT day.span_s / coalesce(d.length_s, l.length_s) AS expected, day.over_s / coalesce(d.length_s, l.length_s) AS due) x
$$;
