-- What was expected of a slot of an asset when it began, beside what came of it.
ALTER TABLE asset_slots ADD COLUMN forecast_uwh INTEGER;        -- NULL: nothing was expected
ALTER TABLE asset_slots ADD COLUMN forecast_low_uwh INTEGER;    -- in 10 % of slots it is less; NULL: not known
ALTER TABLE asset_slots ADD COLUMN forecast_high_uwh INTEGER;   -- in 10 % of slots it is more; NULL: not known
ALTER TABLE asset_slots ADD COLUMN forecast_by TEXT NOT NULL DEFAULT '';    -- how; empty: nothing was expected

-- What has been learned of each asset, as of the slot that was learned last. With row ids, because a state is too long for a small index
-- page.
CREATE TABLE forecast_states (
    asset BLOB PRIMARY KEY,     -- the 16 bytes of its UUID
    formula TEXT NOT NULL,      -- what it was the sum of: that of another says nothing
    since_s INTEGER NOT NULL,   -- slots that start earlier are of another formula
    as_of_s INTEGER NOT NULL,   -- start of the slot that was learned last; less than since_s: what was learned is not kept yet
    state BLOB NOT NULL
);
