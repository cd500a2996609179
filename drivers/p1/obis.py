"""What the ids of a P1 telegram's lines mean. Pure.

A data line is `A-B:C.D.E(value*unit)`, with further values in brackets of their own (IEC 62056-61
ids; DSMR 5.0.2 P1 companion standard, 6.4–6.12; DSMR 2.2 P1, 4; eMUCS-P1 2.1.1). What is measured
follows from C.D.E of medium A = 1 (electricity); 0-n lines are M-Bus channel n.
"""

from collections.abc import Mapping

from drivers.tariffs import ENERGY, TOTALS

OF_THE_METER = "meter"
"""What lines give that tell the meter's number or its time."""

EITHER_WAY = "_power_either_way_w"
"""The sum of all that flows, whichever way."""

ELECTRICITY: Mapping[bytes, tuple[str, str]] = {
    **{f"{c}.8.{e}".encode(): (name, "wh") for (c, e), name in ENERGY.items()},
    b"3.8.0": ("reactive_energy_import_varh", "varh"),
    b"4.8.0": ("reactive_energy_export_varh", "varh"),
    b"1.7.0": ("power_import_w", "w"),
    b"2.7.0": ("power_export_w", "w"),
    b"1.4.0": ("demand_import_w", "w"),
    b"16.7.0": ("power_w", "w"),
    b"15.7.0": (EITHER_WAY, "w"),
    b"3.7.0": ("_reactive_import_var", "var"),
    b"4.7.0": ("_reactive_export_var", "var"),
    b"13.7.0": ("power_factor", ""),
    b"14.7.0": ("frequency_hz", "hz"),
    b"91.7.0": ("current_n_a", "a"),
    **{
        f"{group + shift}.7.0".encode(): (name.format(phase), dimension)
        for phase, shift in (("l1", 0), ("l2", 20), ("l3", 40))
        for group, name, dimension in (
            (21, "power_import_{}_w", "w"),
            (22, "power_export_{}_w", "w"),
            (23, "_reactive_import_{}_var", "var"),
            (24, "_reactive_export_{}_var", "var"),
            (31, "current_{}_a", "a"),
            (32, "voltage_{}_v", "v"),
            (33, "power_factor_{}", ""),
        )
    },
}
"""C.D.E of medium 1 → (quantity, dimension). A quantity that begins with `_` is only part of one.
"""

# M-Bus device type (EN 13757-3, table of device types) → (quantity, dimension)
MBUS: Mapping[int, tuple[str, str]] = {
    2: ("submeter_energy_wh", "wh"),
    3: ("gas_m3", "m3"),
    4: ("heat_gj", "gj"),
    6: ("warm_water_m3", "m3"),
    7: ("water_m3", "m3"),
    10: ("cooling_gj", "gj"),
    11: ("cooling_gj", "gj"),
    12: ("heat_gj", "gj"),
}
MBUS_READINGS = frozenset({b"24.2.1", b"24.2.3", b"24.3.0", b"24.3.1", b"23.1.0"})

# What lines of the meter itself give, other than numbers.
TOLD: Mapping[bytes, str] = {
    b"96.14.0": "tariff",
    **dict.fromkeys((b"1.0.0", b"96.1.1", b"42.0.0", b"96.1.0"), OF_THE_METER),
}

_PHASES = ("l1", "l2", "l3")
TOTAL_POWERS = frozenset({"power_w", "power_import_w", "power_export_w"})
PHASE_POWERS = tuple(
    (f"power_{p}_w", f"power_import_{p}_w", f"power_export_{p}_w") for p in _PHASES
)
# (what is left, of what, less what)
NET: tuple[tuple[str, str, str], ...] = (
    ("power_w", "power_import_w", "power_export_w"),
    *PHASE_POWERS,
    ("reactive_power_var", "_reactive_import_var", "_reactive_export_var"),
    *(
        (f"reactive_power_{p}_var", f"_reactive_import_{p}_var", f"_reactive_export_{p}_var")
        for p in _PHASES
    ),
)
# What a quantity is part of.
PARTS_OF: Mapping[str, tuple[str, ...]] = {
    **{part: (net,) for net, *parts in NET for part in parts},
    **{part: (total,) for total, parts in TOTALS.items() for part in parts},
    EITHER_WAY: ("power_w",),
}

QUANTITIES = frozenset(
    name
    for name in (
        *(name for name, _ in (*ELECTRICITY.values(), *MBUS.values())),
        *(name for name, *_ in NET),
        "tariff",
        "demand_import_max_w",
    )
    if not name.startswith("_")
)
"""Every quantity that may come out of a telegram."""
