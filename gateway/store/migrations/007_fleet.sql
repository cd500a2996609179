-- What a fleet's collector has not said yet that it has stored: a number for each slot that closed or was written anew. Only gateways of a
-- fleet have rows here. Numbers never come again (AUTOINCREMENT), or an old acknowledgement would tick off what is new.
CREATE TABLE changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, slot_s INTEGER NOT NULL);

-- How the fleet knows this file. A copy or an older state of it is told from it by what was acknowledged since.
CREATE TABLE fleet_store (store TEXT PRIMARY KEY);
