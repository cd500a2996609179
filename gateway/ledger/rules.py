"""What the fold must know of each meter, from the settings. Pure."""

from dataclasses import replace

from gateway.energy.assets import Direction
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.register import Rules
from gateway.energy.slot import DIRECTIONS, MeterRules
from gateway.site.devices import Device
from gateway.site.settings import Settings

STALE_INTERVALS = 3
"""Samples further apart than this many intervals leave a gap."""

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


def meter_rules(device: Device, settings: Settings) -> MeterRules:
    """What the fold must know of a meter."""
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
        look_back_ms=round(settings.market.look_back * 1000),
        tells_more=not device.profile.quantities <= {*device.profile.energy, *_NO_MEASUREMENT},
    )
