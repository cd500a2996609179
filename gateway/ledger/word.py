"""A person's word that a register was truly reset, or has truly jumped. Shell.

It is an event on record, so that it survives restarts and a running daemon finds it: the fold is
asked again, without what was confirmed, where it would take such a belief back.
"""

from gateway.energy.former import confirmable, confirmed
from gateway.energy.slot import Event, MeterState
from gateway.store.buffer import Buffer

KIND = "confirmed"
"""The kind of the event."""


def confirm(buffer: Buffer, device: str, at_ms: int) -> list[str]:
    """Put it on record that what this meter's registers are believed to have done is true. Returns
    what that is; nothing where no belief waits to be taken back. Raises StoreError.
    """
    stored = buffer.counters().get(device)
    if stored is None:
        return []
    events = [
        Event(at_ms, device, KIND, f"{direction}: a person says that the {what} was real")
        for direction, what in confirmable(stored[1])
    ]
    with buffer.database.transaction():
        buffer.tables.events.write(events)
    return [event.text for event in events]


def without_confirmed(buffer: Buffer, device: str, state: MeterState) -> MeterState:
    """The state, without what a person has confirmed. Raises StoreError."""
    for direction in state.directions:
        at_s = buffer.tables.events.latest_of(device, KIND, f"{direction}:")
        if at_s is not None:
            state = confirmed(state, direction, round(at_s * 1000))
    return state
