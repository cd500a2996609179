-- What is owed to the exchange on behalf of the homes, and what came of it. A row is raised in the transaction that stores the number
-- (fleet.owe), so that nothing is stored and not owed. Only the newest revision of a number is here: the row is raised to it.

CREATE TABLE fleet.deliveries (
    slot timestamptz NOT NULL,
    energy_uwh bigint,
    at timestamptz NOT NULL DEFAULT now(),
    sent timestamptz,
    refused timestamptz,
    after timestamptz,
    transaction uuid,
    asset integer NOT NULL,
    length_s integer NOT NULL,
    revision smallint NOT NULL,
    kind "char" NOT NULL,
    state "char" NOT NULL DEFAULT 'o',
    told boolean NOT NULL DEFAULT false,
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (asset, slot, kind)
) WITH (fillfactor = 80);
COMMENT ON TABLE fleet.deliveries IS 'What the fleet delivers to the exchange: of each number its newest revision. state: o owed, s sent (its verdict is awaited), a accepted, r rejected, m missed. kind: m measurement, f forecast.';
COMMENT ON COLUMN fleet.deliveries.at IS 'Since when it is in that state.';
COMMENT ON COLUMN fleet.deliveries.refused IS 'When the exchange refused it first, where it is not proved yet that it means it.';
COMMENT ON COLUMN fleet.deliveries.after IS 'Not before: what was refused waits for its next try.';
COMMENT ON COLUMN fleet.deliveries.transaction IS 'Of the request that it was sent in: verdicts are known by it.';
COMMENT ON COLUMN fleet.deliveries.told IS 'Whether its gateway was told what came of it.';
CREATE INDEX deliveries_owed ON fleet.deliveries (slot) WHERE state = 'o';
CREATE INDEX deliveries_owed_of ON fleet.deliveries (asset, slot) WHERE state = 'o';
CREATE INDEX deliveries_sent ON fleet.deliveries (transaction, asset) WHERE state = 's';
CREATE INDEX deliveries_untold ON fleet.deliveries (at) WHERE NOT told AND state IN ('a', 'r', 'm');
CREATE INDEX deliveries_old ON fleet.deliveries USING brin (slot);

CREATE TABLE fleet.exchange_assets (
    asset integer PRIMARY KEY REFERENCES fleet.assets ON DELETE CASCADE,
    most integer,
    bound timestamptz,
    bind_after timestamptz NOT NULL DEFAULT '-infinity',
    busy_until timestamptz NOT NULL DEFAULT '-infinity',
    wait_until timestamptz NOT NULL DEFAULT '-infinity',
    silent timestamptz,
    claim uuid,
    problem text NOT NULL DEFAULT ''
) WITH (fillfactor = 60);
COMMENT ON TABLE fleet.exchange_assets IS 'How it stands with each asset that the fleet delivers.';
COMMENT ON COLUMN fleet.exchange_assets.most IS 'So many of its numbers go in the next request, since one of them is refused; null: as many as there may be.';
COMMENT ON COLUMN fleet.exchange_assets.bound IS 'Since when the fleet''s aggregator acts for it in the exchange; null: it does not.';
COMMENT ON COLUMN fleet.exchange_assets.busy_until IS 'A request with its numbers may be under way so long: nobody else sends any of them. One that is killed leaves it to time.';
COMMENT ON COLUMN fleet.exchange_assets.silent IS 'Since when the exchange takes its numbers and gives no verdict.';
COMMENT ON COLUMN fleet.exchange_assets.problem IS 'What a person should look at.';
CREATE INDEX exchange_assets_unbound ON fleet.exchange_assets (asset) WHERE bound IS NULL;

CREATE TABLE fleet.exchange_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    aggregator text NOT NULL DEFAULT '',
    received timestamptz NOT NULL DEFAULT '-infinity',
    taken timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE fleet.exchange_state IS 'What all aggregators of this fleet know of the exchange: their UUID there, when it last took a request, and when it last gave a good verdict.';
INSERT INTO fleet.exchange_state DEFAULT VALUES;

CREATE TABLE fleet.aggregators (
    name text PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now(),
    heard_since timestamptz,
    since timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL,
    reason text NOT NULL DEFAULT ''
);
COMMENT ON TABLE fleet.aggregators IS 'The processes that deliver to the exchange, or did. heard_since: since when every verdict is heard.';

-- Called in the transaction that has stored these numbers, new ones and known ones. What has no newer revision is owed, or not any more where
-- its gateway delivers it itself. A gateway sends again what it has heard nothing of: it is told again. Only accepted rows are forgotten soon (5
-- days): of older slots, a number that is known and has no row was accepted.
CREATE FUNCTION fleet.owe(assets integer[], slots bigint[], kinds text[], revisions smallint[], by_fleet boolean[]) RETURNS void
    LANGUAGE sql
AS $$
-- In the order of their keys, so that two that do it wait for each other and never in a circle.
SELECT FROM fleet.deliveries d
JOIN unnest(assets, slots, kinds) AS c(asset, slot, kind) ON d.asset = c.asset AND d.slot = to_timestamp(c.slot) AND d.kind = c.kind::"char"
ORDER BY d.asset, d.slot, d.kind FOR UPDATE OF d;

WITH stored AS (
    SELECT s.asset, s.slot, s.kind, s.revision, s.length_s, s.energy_uwh, c.by_fleet, s.received = now() OR s.slot > now() - interval '4 days' AS is_new
    FROM unnest(assets, slots, kinds, revisions, by_fleet) AS c(asset, slot, kind, revision, by_fleet)
    JOIN fleet.asset_slots s ON s.asset = c.asset AND s.slot = to_timestamp(c.slot) AND s.kind = c.kind::"char" AND s.revision = c.revision
    WHERE NOT EXISTS (
        SELECT FROM fleet.asset_slots n WHERE n.asset = s.asset AND n.slot = s.slot AND n.kind = s.kind AND n.revision > s.revision
    )
    UNION ALL
    SELECT s.asset, s.slot, s.kind, s.revision, s.length_s, s.energy_uwh, c.by_fleet, true
    FROM unnest(assets, slots, kinds, revisions, by_fleet) AS c(asset, slot, kind, revision, by_fleet)
    JOIN fleet.asset_late s ON s.asset = c.asset AND s.slot = to_timestamp(c.slot) AND s.kind = c.kind::"char" AND s.revision = c.revision
    WHERE s.received = now() AND s.revision = (SELECT n.revision FROM fleet.slots(s.asset, s.kind, s.slot, s.slot + interval '1 s') n)
), came AS MATERIALIZED (
    SELECT DISTINCT ON (asset, slot, kind) * FROM stored ORDER BY asset, slot, kind, by_fleet
), gone AS (
    DELETE FROM fleet.deliveries d USING came c
    WHERE NOT c.by_fleet AND d.asset = c.asset AND d.slot = c.slot AND d.kind = c.kind AND d.revision < c.revision
), again AS (
    UPDATE fleet.deliveries d SET told = false FROM came c
    WHERE c.by_fleet AND d.asset = c.asset AND d.slot = c.slot AND d.kind = c.kind AND d.revision = c.revision AND d.told
), known AS (
    INSERT INTO fleet.exchange_assets (asset) SELECT DISTINCT c.asset FROM came c WHERE c.by_fleet ORDER BY c.asset ON CONFLICT DO NOTHING
)
INSERT INTO fleet.deliveries AS d (asset, slot, kind, revision, length_s, energy_uwh, state, reason)
SELECT c.asset, c.slot, c.kind, c.revision, c.length_s, c.energy_uwh, CASE WHEN c.energy_uwh IS NULL THEN 'm' WHEN c.is_new THEN 'o' ELSE 'a' END::"char",
    CASE WHEN c.energy_uwh IS NULL THEN 'it was not wholly metered' WHEN c.is_new THEN '' ELSE 'settled long ago' END
FROM came c WHERE c.by_fleet ORDER BY c.asset, c.slot, c.kind
ON CONFLICT (asset, slot, kind) DO UPDATE SET revision = excluded.revision, length_s = excluded.length_s, energy_uwh = excluded.energy_uwh,
    state = excluded.state, reason = excluded.reason, at = now(), sent = NULL, refused = NULL, after = NULL, transaction = NULL, told = false
WHERE excluded.revision > d.revision
$$;
COMMENT ON FUNCTION fleet.owe IS 'What of these numbers has no newer revision is owed to the exchange; by_fleet: who delivers each.';

CREATE VIEW fleet.delivered AS
    SELECT sites.name AS site, assets.uuid AS asset, CASE d.kind WHEN 'm' THEN 'measurement' ELSE 'forecast' END AS kind, d.slot, d.length_s,
           d.revision, d.energy_uwh,
           CASE d.state WHEN 'o' THEN 'owed' WHEN 's' THEN 'sent' WHEN 'a' THEN 'accepted' WHEN 'r' THEN 'rejected' ELSE 'missed' END AS state,
           d.reason, d.at, d.sent
    FROM fleet.deliveries d
    JOIN fleet.assets ON assets.id = d.asset
    JOIN fleet.sites ON sites.id = assets.site;
COMMENT ON VIEW fleet.delivered IS 'What the fleet owes to the exchange, and what came of it.';
