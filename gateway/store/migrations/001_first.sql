-- Samples: one packed row each. Append only, no index beside the row id: an index on (device, time) would multiply the bytes written.
CREATE TABLE boots (id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE);

-- What the packed values of a sample are: a device, its meter's serial number and the quantities in order.
CREATE TABLE layouts (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    serial_number TEXT,
    quantities TEXT NOT NULL
);

CREATE TABLE samples (
    id INTEGER PRIMARY KEY,
    layout INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    boottime_ms INTEGER NOT NULL,
    utc_ms INTEGER,             -- NULL until the clock is trusted
    data BLOB NOT NULL
);

-- Costs nothing while samples are dated, and finds those that are not.
CREATE INDEX samples_undated ON samples (boot) WHERE utc_ms IS NULL;

-- The fold over each meter's samples, as of sample_id. With row ids, because a state is too long for a small index page.
CREATE TABLE counters (device TEXT PRIMARY KEY, sample_id INTEGER NOT NULL, state BLOB NOT NULL);

CREATE TABLE slots (
    start_s INTEGER NOT NULL,
    device TEXT NOT NULL,
    direction TEXT NOT NULL,
    serial_number TEXT NOT NULL DEFAULT '',
    length_s INTEGER NOT NULL,
    energy_uwh INTEGER,         -- NULL: nothing is known
    quality TEXT NOT NULL,
    method TEXT NOT NULL,
    coverage_permille INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    largest_gap_ms INTEGER NOT NULL,
    begin_uwh INTEGER NOT NULL,
    end_uwh INTEGER NOT NULL,
    begin_register_uwh INTEGER NOT NULL,
    end_register_uwh INTEGER NOT NULL,
    clock TEXT NOT NULL,
    PRIMARY KEY (start_s, device, direction, serial_number)
) WITHOUT ROWID;

CREATE TABLE outbox (
    slot_s INTEGER NOT NULL,
    asset TEXT NOT NULL,
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
    PRIMARY KEY (slot_s, asset, kind, revision)
) WITHOUT ROWID;

-- Holds only what is still owed, and all that deadlines are asked of: no question grows with the age of the file.
CREATE INDEX outbox_pending ON outbox (slot_s, opens_s, closes_s) WHERE state = 'pending';

-- What a person should know: glitch, rollover, reset, swap, gap, damaged file.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at_s REAL NOT NULL,
    device TEXT NOT NULL,
    kind TEXT NOT NULL,
    energy_uwh INTEGER,         -- unallocated energy, where there is some
    text TEXT NOT NULL
);
