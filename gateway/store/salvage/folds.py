"""The folds of a new file, where their own states were lost or are too old."""

import sqlite3

import msgspec
from msgspec.structs import replace

from gateway.energy.counter import Counter
from gateway.energy.slot import DirectionState, MeterState, OpenSlot, Slot
from gateway.store.fold_states import decoded


def mend_states(target: sqlite3.Connection) -> tuple[str, ...]:
    """No fold may be older than the slots it has closed, or it would close them again, otherwise:
    it goes on from their end instead. Returns the meters of which that is true.
    """
    states = dict(target.execute("SELECT device, state FROM counters"))
    rebuilt = []
    for (device,) in target.execute(
        "SELECT device FROM layouts UNION SELECT device FROM slots"
    ).fetchall():
        last = _last_slots(target, device)
        if not last:
            continue
        end_ms = max(slot.start_s + slot.length_s for slot in last) * 1000
        try:
            state = decoded(states[device]) if device in states else None
        except msgspec.DecodeError:
            state = None
        if state and state.at_ms >= end_ms:
            continue
        directions = {}
        for slot in last:
            at_ms = (slot.start_s + slot.length_s) * 1000
            counter = Counter(at_ms, slot.end_uwh, slot.end_register_uwh, 0, None)
            directions[slot.direction] = DirectionState(
                counter, OpenSlot(at_ms, at_ms, slot.end_uwh, slot.end_register_uwh)
            )
        state = MeterState(last[0].serial_number, end_ms, last[0].length_s * 1000, directions)
        # The samples after it are folded again: its number is that of the last one before.
        seen = target.execute(
            """SELECT coalesce(max(samples.id), 0) FROM samples JOIN layouts ON layouts.id = layout
               WHERE device = ? AND utc_ms IS NOT NULL AND utc_ms <= ?""",
            (device, end_ms),
        ).fetchone()[0]
        target.execute(
            "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sample_id = "
            "excluded.sample_id, state = excluded.state",
            (device, seen, msgspec.json.encode(state)),
        )
        rebuilt.append(device)
    return tuple(rebuilt)


def _last_slots(target: sqlite3.Connection, device: str) -> list[Slot]:
    """Of each direction of its newest series the last slot."""
    columns = list(Slot.__struct_fields__)
    slots: dict[str, Slot] = {}
    serial_number = None
    rows = target.execute(
        f"SELECT {', '.join(columns)} FROM slots WHERE device = ? ORDER BY start_s DESC LIMIT 100",  # noqa: S608
        (device,),
    )
    for row in rows:
        slot = Slot(**dict(zip(columns, row, strict=True)))
        if not slots:
            serial_number = slot.serial_number
        if slot.serial_number == serial_number:
            slots.setdefault(
                slot.direction, replace(slot, serial_number=slot.serial_number or None)
            )
    return list(slots.values())
