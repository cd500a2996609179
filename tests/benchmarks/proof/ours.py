"""Our own energy of slots: the fold is fed with samples, and is asked for nothing but slots."""

from dataclasses import dataclass

from drivers.sample import Sample
from gateway.energy.assets import Direction
from gateway.energy.fold import advance
from gateway.energy.register import Rules
from gateway.energy.slot import MeterRules, MeterState, Slot
from gateway.ledger.rules import (
    LOOK_BACK_FRACTION,
    LOOK_BACK_S,
    REVISED_LOOK_BACK_FRACTION,
    REVISED_LOOK_BACK_S,
)
from tests.benchmarks.proof.meters import Meter, Readings

MIDNIGHT_S = 1_780_272_000
"""2026-06-01, 00:00 UTC: the homes' first midnight."""

SLOT_S = 900
UWH_PER_WH = 1_000_000


@dataclass(frozen=True, slots=True)
class Settled:
    """Slots of one meter, by how many seconds after the homes' first midnight they begin."""

    slots: dict[int, Slot]
    """Each as it was last revised."""
    unbalanced_uwh: int
    """What their energies and what is unallocated differ by from the counter's change: nothing."""


def rules_of(
    meter: Meter, direction: Direction, interval_s: float, *, revises: bool = False
) -> MeterRules:
    """What the gateway would know of such a meter, where each slot is closed once; or with
    `revises`, where it is sent at once and again as a revision: as by default for `sdk`.
    """
    look_back_s = min(LOOK_BACK_S, SLOT_S * LOOK_BACK_FRACTION)
    if revises:
        look_back_s = min(REVISED_LOOK_BACK_S, SLOT_S * REVISED_LOOK_BACK_FRACTION)
    refresh_s = meter.refresh_s if meter.tells_refresh else 0
    register = Rules(
        round(meter.step_wh * UWH_PER_WH),
        10**9 * UWH_PER_WH,
        float32=meter.float32,
        max_power_w=17_250,
        refresh_ms=round(refresh_s * 1000),
    )
    return MeterRules(
        device="grid",
        registers={direction: register},
        slot_ms=SLOT_S * 1000,
        stale_ms=round(max(3 * interval_s, 30) * 1000),
        max_gap_ms=2 * 3_600_000,
        look_back_ms=round(look_back_s * 1000),
        says_at_once=revises,
    )


def settle(readings: Readings, direction: Direction, rules: MeterRules) -> Settled:
    """Feed the fold with the readings, one after another."""
    state: MeterState | None = None
    slots: dict[int, Slot] = {}
    unallocated_uwh = 0
    powers_w = [None] * len(readings.at_s) if readings.power_w is None else readings.power_w
    register = f"energy_{direction}_wh"
    for at_s, register_wh, power_w in zip(
        readings.at_s.tolist(), readings.register_wh.tolist(), powers_w, strict=True
    ):
        values = {register: register_wh}
        if power_w is not None:
            values["power_w"] = float(power_w)
        at_ms = round((MIDNIGHT_S + at_s) * 1000)
        step = advance(state, Sample("grid", "1", "boot", at_ms, at_ms, values), rules)
        state = step.state
        unallocated_uwh += sum(each.energy_uwh for each in step.unallocated)
        for slot in step.slots:
            slots[slot.start_s - MIDNIGHT_S] = slot

    return Settled(slots, _unbalanced_uwh(slots, unallocated_uwh))


def _unbalanced_uwh(slots: dict[int, Slot], unallocated_uwh: int) -> int:
    first, last = slots[min(slots)], slots[max(slots)]
    booked_uwh = sum(slot.energy_uwh or 0 for slot in slots.values())
    return booked_uwh + unallocated_uwh - (last.end_uwh - first.begin_uwh)
