"""The ground types: what one meter said at one instant.

A quantity is named with its unit at the end (`energy_import_wh`, `power_w`), so a value never
travels without it. Sign convention everywhere: power is positive when the meter's installation
*imports* (consumes), negative when it exports.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

_PHASED = {
    "voltage_{}_v": "voltage of phase {}",
    "current_{}_a": "current of phase {}",
    "power_{}_w": "active power of phase {} (import positive)",
    "power_import_{}_w": "active power imported on phase {}",
    "power_export_{}_w": "active power exported on phase {}",
    "apparent_power_{}_va": "apparent power of phase {}",
    "reactive_power_{}_var": "reactive power of phase {}",
    "power_factor_{}": "power factor of phase {}",
    "energy_import_{}_wh": "energy imported on phase {}",
    "energy_export_{}_wh": "energy exported on phase {}",
}

QUANTITIES: Mapping[str, str] = {
    "energy_import_wh": "energy imported, total register",
    "energy_export_wh": "energy exported, total register",
    **{f"energy_import_t{n}_wh": f"energy imported, tariff {n} register" for n in range(1, 5)},
    **{f"energy_export_t{n}_wh": f"energy exported, tariff {n} register" for n in range(1, 5)},
    "energy_total_wh": "energy, import and export added, as the meter counts it",
    "reactive_energy_import_varh": "reactive energy imported",
    "reactive_energy_export_varh": "reactive energy exported",
    "apparent_energy_vah": "apparent energy",
    "power_w": "active power (import positive)",
    "power_import_w": "active power imported",
    "power_export_w": "active power exported",
    "demand_import_w": "average active power imported in the meter's running quarter-hour",
    "demand_import_max_w": "highest quarter-hour demand of the month",
    "apparent_power_va": "apparent power",
    "reactive_power_var": "reactive power",
    "power_factor": "power factor",
    "frequency_hz": "mains frequency",
    "voltage_v": "voltage, average of the phases",
    "current_a": "current, sum of the phases",
    "current_n_a": "neutral current",
    "voltage_l1_l2_v": "voltage between phases 1 and 2",
    "voltage_l2_l3_v": "voltage between phases 2 and 3",
    "voltage_l3_l1_v": "voltage between phases 3 and 1",
    "voltage_ll_v": "voltage between phases, average",
    "tariff": "number of the tariff in force",
    "gas_m3": "gas volume register",
    "water_m3": "water volume register",
    "warm_water_m3": "warm water volume register",
    "heat_gj": "heat energy register",
    "cooling_gj": "cooling energy register",
    "submeter_energy_wh": "energy register of a further electricity meter behind this one (on "
    "its M-Bus)",
    **{
        name.format(p): text.format(p[1])
        for name, text in _PHASED.items()
        for p in ("l1", "l2", "l3")
    },
}
"""Every quantity a profile may name, with its meaning."""

METER_UTC = "meter_utc_s"
"""What a sample may hold beside its quantities: what the meter's own clock said, as a Unix time in
seconds. It is on record, and dates nothing.
"""

OFTEN = ("energy_import_wh", "energy_export_wh", "power_w", "power_import_w", "power_export_w")
"""What slots are made of: read at every turn of a meter. The others are for people, and are read
now and then.
"""

_UNITS = {
    "wh": "Wh",
    "varh": "varh",
    "vah": "VAh",
    "w": "W",
    "va": "VA",
    "var": "var",
    "v": "V",
    "a": "A",
    "hz": "Hz",
    "m3": "m³",
    "gj": "GJ",
}


def unit_of(quantity: str) -> str:
    """The unit of a quantity, read off its name; empty for a pure number such as a power factor."""
    return _UNITS.get(quantity.rpartition("_")[2], "")


Checksum = Literal["", "right", "right over CR LF", "none", "not looked at"]
"""What is known of a telegram's checksum. "right over CR LF": it is that of the text with the line
ends that the meter sent; something on the way wrote others.
"""


class Reading(msgspec.Struct, frozen=True):
    """What a driver brings back from one meter: values at one instant of the event loop's clock.

    `taken_s` is the loop's monotonic time (`asyncio.get_running_loop().time()`) in seconds: drivers
    know no wall clock. `serial_number` is the meter's own, as text, or None where the meter does
    not tell it. `damaged` counts what came before this reading and was not fit to be one (telegrams
    with a wrong checksum, say); `damage` says in words what was wrong with the last of them.
    `doubts` has the quantities whose value nobody can vouch for yet, and in words why.
    `meter_utc_s` is the time by the meter's own clock (Unix time), None where it does not tell.

    Of what a meter pushes, `dialect` is the id of the profile by which it was understood,
    `checksum` says whether one was there and right, and `unused` are the ids of the lines of which
    no value was made. `widened` are the energy totals that are summed here and hold tariffs beyond
    the fourth, which versions before this one left out of them.
    """

    taken_s: float
    values: Mapping[str, float]
    serial_number: str | None = None
    damaged: int = 0
    damage: str = ""
    meter_utc_s: float | None = None
    dialect: str = ""
    checksum: Checksum = ""
    unused: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    doubts: Mapping[str, str] = msgspec.field(default_factory=dict)


class Sample(msgspec.Struct, frozen=True):
    """A reading that knows whose it is and when it was taken.

    `boottime_ms` counts from the boot named by `boot_id` and is always right. `utc_ms` is the Unix
    time in milliseconds; None until the clock is trusted, and then filled in from `boottime_ms`.
    `placed` marks one of a boot whose clock never was: its `utc_ms` is only where it must lie,
    between its neighbours. `widened` is the reading's, and is not kept on disk.
    """

    device: str
    serial_number: str | None
    boot_id: str
    boottime_ms: int
    utc_ms: int | None
    values: Mapping[str, float]
    placed: bool = False
    widened: tuple[str, ...] = ()

    @property
    def meter_clock_offset_s(self) -> float | None:
        """How far the meter's own clock is ahead of ours; None where it does not tell, or where
        ours is not known to be right.
        """
        meter_utc_s = self.values.get(METER_UTC)
        return (
            None
            if meter_utc_s is None or self.utc_ms is None or self.placed
            else meter_utc_s - self.utc_ms / 1000
        )
