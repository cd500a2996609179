"""All fuzz targets, by name."""

from collections.abc import Mapping

from tests.fuzz import (
    exchange,
    grid_operator,
    iec62056,
    lines,
    meter_drivers,
    p1,
    pauses,
    recordings,
    registers,
    services,
    settings,
    sml,
)
from tests.fuzz.target import Target

TARGETS: Mapping[str, Target] = {
    target.name: target
    for module in (
        p1,
        sml,
        iec62056,
        meter_drivers,
        pauses,
        registers,
        lines,
        settings,
        recordings,
        services,
        exchange,
        grid_operator,
    )
    for target in module.TARGETS
}
