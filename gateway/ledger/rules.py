"""What the fold must know of each meter, from the settings. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from gateway.energy.assets import Direction
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.register import Rules
from gateway.energy.slot import DIRECTIONS, MeterRules
from gateway.outbox.format import Terms
from gateway.site.devices import Device
from gateway.site.settings import Settings

STALE_INTERVALS = 3
"""Samples further apart than this many intervals leave a gap."""

LOOK_BACK_S = 300.0
LOOK_BACK_FRACTION = 1 / 3
"""For so long after its end a slot is looked back at, and for no more than this part of a slot."""
WAIT_FRACTION = 1 / 2
"""Nor for more than this part of the time in which it may be sent: the rest of it is for trying
again.
"""

REVISED_LOOK_BACK_S = 1800.0
REVISED_LOOK_BACK_FRACTION = 9 / 10
"""The same where numbers are sent at once and revisions are taken: nobody waits. But the next slot
must be open still. It ends as soon as nothing more can be learnt: so long it is only for a register
that is coarse for what flows, such as one of 100 Wh without power.
"""

_NO_MEASUREMENT = ("meter_utc_s",)
"""Quantities that a meter tells though it measures nothing."""

_OTHER: dict[Direction, Direction] = {"import": "export", "export": "import"}


def unchanged(rules: MeterRules) -> MeterRules:
    """The same for samples of before the meter's profile changed: whatever they were counted from,
    it is still that.
    """
    registers = {
        direction: replace(register, source="", former_source="")
        for direction, register in rules.registers.items()
    }
    return replace(rules, registers=registers)


def rules_of(settings: Settings, terms: Sequence[Terms]) -> dict[str, MeterRules]:
    """What the fold must know of each of the site's meters, by its name. `terms`: of every
    destination that is owed something.

    Where one of them takes revisions, slots are closed at their end, and come again where that is
    worth it. Else they are closed once.
    """
    look_back_ms = round(look_back_s(settings, terms) * 1000)
    at_once = any(each.format.dated for each in terms)
    return {
        device.name: replace(
            meter_rules(device, settings), look_back_ms=look_back_ms, says_at_once=at_once
        )
        for device in settings.devices
    }


def look_back_s(settings: Settings, terms: Sequence[Terms]) -> float:
    """For how long after its end a slot is looked back at: as the settings say, or as the
    destinations allow.
    """
    market = settings.market
    if market.look_back is not None:
        return market.look_back

    slot_s = int(market.slot)
    dated = [each for each in terms if each.format.dated]
    closes_s = [
        window.closes_s - slot_s
        for each in dated or terms
        if "measurement" in each.format.kinds
        and (window := each.format.window("measurement", 0, each.kept)).closes_s is not None
    ]
    most_s, fraction = LOOK_BACK_S, LOOK_BACK_FRACTION
    if dated:
        most_s, fraction = REVISED_LOOK_BACK_S, REVISED_LOOK_BACK_FRACTION
    return min(most_s, slot_s * fraction, *(each * WAIT_FRACTION for each in closes_s))


def meter_rules(device: Device, settings: Settings) -> MeterRules:
    """What the fold must know of a meter, whoever its slots are for."""
    registers: dict[Direction, Rules] = {}
    for direction in DIRECTIONS:
        shown = _OTHER[direction] if device.invert else direction
        register = device.profile.energy.get(f"energy_{shown}_wh")
        if register is None:
            continue
        registers[direction] = Rules(
            resolution_uwh=round(register.resolution_wh * UWH_PER_WH),
            modulus_uwh=round(register.modulus_wh * UWH_PER_WH),
            float32=register.float32,
            max_power_w=device.max_power_w,
            refresh_ms=round(register.refresh_s * 1000),
            source=device.profile.source_of(f"energy_{shown}_wh"),
            former_source=register.formerly,
        )

    return MeterRules(
        device=device.name,
        registers=registers,
        slot_ms=settings.market.slot * 1000,
        stale_ms=round(device.interval_s * STALE_INTERVALS * 1000),
        max_gap_ms=round(settings.market.max_gap * 1000),
        invert=device.invert,
        clock=settings.clock.trust,
        tells_more=not device.profile.quantities <= {*device.profile.energy, *_NO_MEASUREMENT},
    )
