-- From when to when (starts of slots) a fleet delivers this site's slots to the exchange; until_s is NULL where it still does. All others the
-- gateway delivers itself. Only gateways of a fleet have rows here.
CREATE TABLE fleet_delivers (
    since_s INTEGER PRIMARY KEY,
    until_s INTEGER,
    destination TEXT NOT NULL   -- the fleet's, as it was called in the configuration
);
