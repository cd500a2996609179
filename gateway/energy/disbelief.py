"""What of a meter is not believed at the moment, and why. Pure.

Glitches come and go. Readings that are refused for ever are another thing: the meter answers, and
no slot is made of it. A person should know, and be told what to look at.
"""

import msgspec

from gateway.energy.belief import MOST_REFUSED
from gateway.energy.counter import UWH_PER_WH, Counter, Suspects
from gateway.energy.register import Rules
from gateway.energy.slot import MeterRules, MeterState


class Disbelief(msgspec.Struct, frozen=True):
    """Readings in a row of one meter that were not believed."""

    readings: int
    why: str
    """Why, and what to do, in words."""


def disbelief(state: MeterState, rules: MeterRules) -> Disbelief | None:
    """What of the registers of a meter is not believed as of its last sample; None where nothing
    is, or not for long enough to speak of.
    """
    found: Disbelief | None = None
    for direction, each in state.directions.items():
        suspects = each.counter.suspects
        if suspects is None or suspects.refused < MOST_REFUSED:
            continue
        if found is None or suspects.refused > found.readings:
            why = _why(each.counter, suspects, rules.registers[direction])
            text = f"{suspects.refused} readings of its {direction} register in a row are not "
            found = Disbelief(suspects.refused, f"{text}believed: {why}")
    return found


def strangers(readings: int, state: MeterState) -> Disbelief | None:
    """The same of samples that bear other serial numbers than the meter's, so many in a row."""
    if readings < MOST_REFUSED:
        return None
    text = (
        f"{readings} readings in a row bear other serial numbers than {state.serial_number}, the "
        f"last one {state.candidate_serial}: do several meters answer at its address?"
    )
    return Disbelief(readings, text)


def no_register(readings: int, *, is_void: bool = False) -> Disbelief | None:
    """The same of samples without any energy register, so many in a row. `is_void`: the last one
    shows registers of 0, and nothing else.
    """
    if readings < MOST_REFUSED:
        return None
    if is_void:
        text = (
            f"{readings} readings in a row show registers of 0, and all else as not implemented: "
            "what is read does not hear the meter behind it. See to the wire between the two; no "
            "slot is made of such readings"
        )
        return Disbelief(readings, text)
    text = (
        f"{readings} readings in a row show no energy register, and no slot can be made of them: "
        "is its profile right? See meter-gateway read"
    )
    return Disbelief(readings, text)


def _why(counter: Counter, suspects: Suspects, rules: Rules) -> str:
    believed, shown = _wh(counter.shown_uwh), _wh(suspects.last_raw_uwh)
    if suspects.last_raw_uwh == 0:
        return (
            f"it shows 0, and stood at {believed}: a total does not fall to 0, so the meter does "
            "not know its total at the moment. See what its display shows. If it was reset, the "
            "counter goes on as soon as it shows more than 0"
        )
    if rules.has_underflowed(suspects.last_raw_uwh):
        return (
            f"it shows {shown}, which is less than 0 as a number without a sign; it stood at "
            f"{believed}. See what its display shows, and whether its profile reads the right "
            "register"
        )
    if suspects.rising >= MOST_REFUSED:
        return (
            f"it moves by more than the main fuse carries (max_power {rules.max_power_w:g} W). "
            "Compare it with the meter's display, and correct max_power in its device file; what "
            "passes meanwhile is unallocated"
        )
    return (
        f"it shows another number each time, {believed} and now {shown}. Check cable and "
        "termination, whether another meter has its address, and its profile"
    )


def _wh(uwh: int) -> str:
    return f"{uwh / UWH_PER_WH:,.0f} Wh"
