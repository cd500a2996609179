"""What a slot that runs will come to, from its meters' folds. Pure."""

from collections.abc import Callable

from gateway.energy.assets import Formula
from gateway.energy.slot import DirectionState, MeterState

LEAST_SEEN = 0.75
"""The part of a slot that must have been metered before it says what the whole will be.

Chosen, not measured: at less, what is expected of a slot is worth more than what a part of it says.
"""


def will_come_to_uwh(
    formula: Formula, fold_of: Callable[[str], MeterState | None], start_s: int, slot_s: int
) -> int | None:
    """The energy (µWh) of an asset's slot that runs, if it goes on as it went until now; None where
    one of its meters has told too little of it.
    """
    energies = {}
    for term in formula.terms:
        state = fold_of(term.device)
        direction = state.directions.get(term.direction) if state else None
        energy_uwh = _of_direction(direction, start_s * 1000, slot_s * 1000) if direction else None
        if energy_uwh is None:
            return None
        energies[term.device, term.direction] = energy_uwh
    return formula.total(energies)


def _of_direction(direction: DirectionState, start_ms: int, slot_ms: int) -> int | None:
    slot, counter = direction.slot, direction.counter
    if slot.start_ms != start_ms or slot.from_ms != start_ms:
        return None  # metering began inside it, or nothing was read since it began

    at_ms, counter_uwh = counter.at_ms, counter.counter_uwh
    if not counter.since.power_unknown_ms:
        at_ms = counter.last_sample_ms
        counter_uwh += counter.gain.applied(counter.since.power_uwh)
    seen_ms = at_ms + direction.shift_ms - start_ms
    if not LEAST_SEEN * slot_ms <= seen_ms:
        return None
    so_far_uwh = max(counter_uwh - slot.begin_uwh, 0)
    return so_far_uwh * slot_ms // min(seen_ms, slot_ms)
