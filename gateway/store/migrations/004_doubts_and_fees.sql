-- Of a grid operator's agent: what each market was to charge in each slot, and what came of it.
CREATE TABLE grid_fees (
    slot_s INTEGER NOT NULL,
    market BLOB NOT NULL,       -- the 16 bytes of its UUID
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    fee_type TEXT NOT NULL,
    fee INTEGER,                -- in millionths of a cent per kWh, or of a percent; NULL: none was decided
    wanted INTEGER,             -- what the model wanted; NULL: it could not say
    model TEXT NOT NULL DEFAULT '',
    why TEXT NOT NULL DEFAULT '',
    inputs TEXT NOT NULL DEFAULT '{}',  -- the numbers it was decided from, JSON
    memory TEXT NOT NULL DEFAULT '{}',  -- what the model remembers, JSON
    slots_without INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    sent INTEGER NOT NULL DEFAULT 0,    -- how often
    sent_s REAL,
    answered_s REAL,
    in_force INTEGER,           -- what the exchange's own event says that was charged; NULL: it was not told
    import_kwh REAL,            -- the exchange's statistics of the slot; NULL: not told
    export_kwh REAL,
    traded_kwh REAL,
    revenue_cents REAL,
    average_rate REAL,
    PRIMARY KEY (slot_s, market)
);

ALTER TABLE slots ADD COLUMN doubts TEXT NOT NULL DEFAULT '';  -- why it is estimated; empty: it is not, or nobody said
