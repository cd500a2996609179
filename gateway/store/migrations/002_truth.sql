-- Energy that passed while nobody read, and that is in no slot: for a person to place, or to leave.
CREATE TABLE unallocated (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    serial_number TEXT NOT NULL DEFAULT '',
    direction TEXT NOT NULL,
    kind TEXT NOT NULL,         -- the kind of event that stated it: gap, jump, …
    from_ms INTEGER NOT NULL,   -- the last reading before
    to_ms INTEGER NOT NULL,     -- the first reading after
    begin_uwh INTEGER NOT NULL, -- the counter at these readings
    end_uwh INTEGER NOT NULL,
    placed_s REAL,              -- when a person placed it into slots; NULL: not yet
    placed_by TEXT NOT NULL DEFAULT ''  -- how: the name of the profile
);

-- A slot whose truth came later than its first number has been revised this many times.
ALTER TABLE slots ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- What the exchange was found to hold when it was asked.
ALTER TABLE outbox ADD COLUMN confirmed_s REAL;     -- when it was found to hold this very number; NULL: not asked, or another one
ALTER TABLE outbox ADD COLUMN held_uwh INTEGER;     -- the other number it was found to hold
ALTER TABLE outbox ADD COLUMN disagreements INTEGER NOT NULL DEFAULT 0; -- how often it was found to hold another number, or none

-- What it may still be asked for, and what it holds otherwise in spite of a second delivery. A measurement without an end of its
-- window is a dated one; undated ones cannot be asked for. Whatever their state: each verdict is a commit of its own, and would write a
-- page of this index more.
CREATE INDEX outbox_unconfirmed ON outbox (slot_s) WHERE kind = 'measurement' AND closes_s IS NULL AND energy_uwh IS NOT NULL
    AND confirmed_s IS NULL AND disagreements < 2;
CREATE INDEX outbox_disputed ON outbox (slot_s) WHERE disagreements = 2;

-- A boot that ended before its clock was trusted: its samples were placed between their neighbours.
ALTER TABLE boots ADD COLUMN placed INTEGER NOT NULL DEFAULT 0;
