-- What is owed goes to destinations, each with rows of its own, and is about an asset or one direction of a
-- meter. All that is there belongs to 'exchange'. The rows of the table before are moved in portions
-- (see migration.py), which drops it with the last of them: a file that has it is in the middle of that.
DROP INDEX IF EXISTS outbox_pending;
DROP INDEX IF EXISTS outbox_unconfirmed;
DROP INDEX IF EXISTS outbox_disputed;
ALTER TABLE outbox RENAME TO outbox_before_003;

-- With row ids, unlike the table before: of a row in an index a page of 512 bytes keeps 102, and the rest of each would have a page of
-- its own.
CREATE TABLE outbox (
    destination TEXT NOT NULL,
    slot_s INTEGER NOT NULL,
    subject BLOB NOT NULL,      -- the 16 bytes of an asset's UUID (as text it would be in each index, too); or <device>.<direction>
    kind TEXT NOT NULL,
    revision INTEGER NOT NULL,
    length_s INTEGER NOT NULL,
    energy_uwh INTEGER,         -- NULL: the slot was not wholly metered
    raw_uwh INTEGER,            -- the formula's negative result where 0 is delivered
    quality TEXT NOT NULL,
    opens_s REAL NOT NULL,
    closes_s REAL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    decided_s REAL,
    confirmed_s REAL,           -- when it was found to hold this very number; NULL: not asked, or another one
    held_uwh INTEGER,           -- the other number it was found to hold
    disagreements INTEGER NOT NULL DEFAULT 0, -- how often it was found to hold another number, or none
    first_sent_s REAL,          -- these four: NULL where it is not known
    last_sent_s REAL,
    answer TEXT,                -- the beginning of what the destination said last
    transaction_id TEXT,        -- of the last delivery
    PRIMARY KEY (destination, slot_s, subject, kind, revision)
);

-- Hold only what is still owed, and all that deadlines are asked of: no question grows with the age of the file.
CREATE INDEX outbox_pending ON outbox (destination, slot_s, opens_s, closes_s) WHERE state = 'pending';
CREATE INDEX outbox_sent ON outbox (destination, last_sent_s) WHERE state = 'sent';

-- What a destination may still be asked for, and what it holds otherwise in spite of a second delivery. A measurement without an end
-- of its window is a dated one; undated ones cannot be asked for. Whatever their state: each verdict is a commit of its own, and would
-- write a page of this index more.
CREATE INDEX outbox_unconfirmed ON outbox (destination, slot_s) WHERE kind = 'measurement' AND closes_s IS NULL
    AND energy_uwh IS NOT NULL AND confirmed_s IS NULL AND disagreements < 2;
CREATE INDEX outbox_disputed ON outbox (destination, slot_s) WHERE disagreements = 2;

-- The sum of its meters, for each asset and slot, in its newest revision: also where nothing is owed to anybody.
CREATE TABLE asset_slots (
    start_s INTEGER NOT NULL,
    asset BLOB NOT NULL,        -- the 16 bytes of its UUID
    length_s INTEGER NOT NULL,
    energy_uwh INTEGER,         -- NULL: not known
    uncertainty_uwh INTEGER,    -- NULL: not known
    quality TEXT NOT NULL,
    revision INTEGER NOT NULL,
    imported INTEGER NOT NULL DEFAULT 0,  -- brought in from elsewhere, and not metered here
    PRIMARY KEY (start_s, asset)
) WITHOUT ROWID;

ALTER TABLE slots ADD COLUMN uncertainty_uwh INTEGER;  -- NULL: not known
ALTER TABLE slots ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;  -- brought in from elsewhere, and not metered here
