"""What questions and commits cost."""

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.outbox.owed import Held
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from gateway.timing.undated_boots import Dating
from tests.gateway.store.rig import ASSETS, NOW_S, SMALL, filled, keep, owed, sample


def asked(store: Buffer, question: Any) -> list[str]:
    """How SQLite answers each query of one call."""
    queries: list[str] = []
    store.database.connection.set_trace_callback(queries.append)
    question()
    store.database.connection.set_trace_callback(None)
    plans = []
    for query in dict.fromkeys(queries):
        if query.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE")):
            plans += [
                row[3] for row in store.database.connection.execute(f"EXPLAIN QUERY PLAN {query}")
            ]
    assert plans
    return plans


HOT = {
    "slots_at": lambda store: store.slots_at(900),
    "due": lambda store: store.outbox("exchange").due(10**10, since_s=None, limit=10),
    "due since": lambda store: store.outbox("exchange").due(10**10, since_s=900, limit=10),
    "next_change_s": lambda store: store.outbox("exchange").next_change_s(0),
    "backlog": lambda store: store.outbox("exchange").backlog(),
    "expire nothing": lambda store: store.outbox("exchange").expire(1),
    "expire": lambda store: store.outbox("exchange").expire(10**10),
    "record": lambda store: store.outbox("exchange").record([owed(900).item], "accepted", "", 1),
    "unconfirmed": lambda store: store.outbox("exchange").unconfirmed(10**10, since_s=0, limit=10),
    "confirmations": lambda store: store.outbox("exchange").confirmations(0),
    "record_held": lambda store: store.outbox("exchange").record_held(
        [Held(owed(900).item, None)], 1
    ),
    "newest_owed of a forecast": lambda store: store.newest_owed(ASSETS[0], 900, kind="forecast"),
    "slots to learn": lambda store: store.tables.asset_slots.of(ASSETS[0], 900, NOW_S, 20),
    "forecast state": lambda store: store.tables.forecast_states.of(ASSETS[0]),
    "newest_owed": lambda store: store.newest_owed(ASSETS[0], 900),
    "record sent": lambda store: store.outbox("exchange").record([owed(900).item], "sent", "", 1),
    "owe_unanswered": lambda store: store.outbox("exchange").owe_unanswered(10**10, ""),
    "oldest_slot_s": lambda store: store.tables.outbox.oldest_slot_s(),
    "asset_slot": lambda store: store.asset_slot(ASSETS[0], 900),
    "asset_slots": lambda store: list(store.asset_slots(900)),
    "check_some": lambda store: [store.check_some(100) for _ in range(30)],
    "unallocated_total": lambda store: store.unallocated_total(),
    "samples": lambda store: list(store.samples(2990)),
    "undated": lambda store: store.undated(),
    "date_samples": lambda store: store.date_samples(Dating("boot", 0)),
    "newest_offset_ms": lambda store: store.newest_offset_ms("boot"),
    "prune": lambda store: store.prune(NOW_S),
    "owed": lambda store: list(store.owed(since_s=900)),
    "latest_events": lambda store: store.latest_events(),
    "opening": lambda store: Buffer(store.database.connection, store.path, store.limits),
}


@pytest.mark.parametrize("question", HOT)
def test_no_question_of_the_daemon_grows_with_the_age_of_the_file(
    tmp_path: Path, question: str
) -> None:
    filled(tmp_path / "buffer.sqlite")
    store = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
    keep(store, owed(900, 3, closes_s=1.5))
    # There is an unallocated record for each gap of hours. What is unconfirmed is as old as the
    # exchange's memory at most, and only while it cannot be asked.
    few = "layouts|boots|counters|fleet_store|fleet_delivers|CONSTANT ROW|events$|unallocated$"
    small = rf"SCAN ({few}|outbox USING (COVERING )?INDEX outbox_(pending|unconfirmed|disputed))"
    # min() or max() of the key: one step to the end of the tree
    ends = r"SEARCH (samples|counters|events|outbox)$"
    steps = (
        r"(CORRELATED )?SCALAR SUBQUERY .*|COMPOUND QUERY|LEFT-MOST SUBQUERY|(SCAN|SEARCH) "
        r"\(subquery-\d+\)|UNION ALL|CO-ROUTINE .*"
    )
    parts = r"LIST SUBQUERY .*"
    allowed = rf"^({small}.*|{ends}|{parts}|SEARCH \w+ USING .*|{steps})"
    plans = asked(store, lambda: HOT[question](store))
    if question == "opening":  # slots are counted once
        plans = [plan for plan in plans if plan != "SCAN slots"]
    assert [plan for plan in plans if not re.match(allowed, plan)] == []
    if question not in ("prune", "oldest_slot_s"):  # these ask for the first slot: one step
        ever_owed = r"SEARCH outbox USING PRIMARY KEY \(destination=\?( AND slot_s>\?)?\)$"
        assert [plan for plan in plans if re.match(ever_owed, plan)] == []
    store.close_file()


def test_a_minute_of_ten_meters_is_one_commit(tmp_path: Path) -> None:
    """Counted in the log: every commit syncs it once, and every page of 4 kB in it is a page
    written.
    """
    store = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
    store.database.connection.execute("PRAGMA wal_autocheckpoint = 0")
    names = [
        "energy_import_wh",
        "energy_export_wh",
        "power_w",
        *(f"voltage_l{p}_v" for p in (1, 2, 3)),
        *(f"current_l{p}_a" for p in (1, 2, 3)),
        "frequency_hz",
    ]
    log = tmp_path / "buffer.sqlite-wal"
    before = log.stat().st_size
    minutes = 60
    for minute in range(minutes):
        for n in range(6):
            for device in range(10):
                store.add(
                    sample(minute * 6 + n, device=f"meter{device}", **dict.fromkeys(names, n * 1.1))
                )
        store.flush()
    written = log.stat().st_size - before
    assert written / (minutes * 60) < 350, "bytes per sample, in the log"
    store.close_file()
