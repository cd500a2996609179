"""Our numbers beside those of somebody else: what a meter says of its own quarter-hour, and a
second meter of the same line. Pure.

Nothing here changes a slot. The deviation is shown, for a person to wonder about: a wrong profile,
a swapped phase, a clock.
"""

from collections.abc import Iterable, Mapping

from drivers.sample import Sample
from gateway.energy.assets import Direction
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.slot import KNOWN, MeterState, Slot

QUARTER_MS = 900_000

NEAR_END = 0.95
"""A meter's demand is compared as of its last sample in the quarter-hour, where that is as near to
the end.
"""


class CrossChecks:
    """The newest deviation of every meter's slots. `against` names for some meters another one of
    the same line.
    """

    def __init__(self, against: Mapping[str, str]) -> None:
        self._against = dict(against)
        self._running: dict[str, tuple[int, float]] = {}
        """Per meter with a demand: which slot runs (ms), and by how many Wh we are above it so far.
        """
        self._slots: dict[tuple[str, Direction], tuple[int, int]] = {}
        """Per meter and direction: the newest slot (s) that is wholly metered, and its energy
        (µWh).
        """
        self._found_wh: dict[str, dict[str, float]] = {}

    def of(self, device: str) -> dict[str, float]:
        """By how many Wh the meter's newest compared slot is above the other number: `demand`, or
        `<other meter>.<direction>`.
        """
        return dict(self._found_wh.get(device, {}))

    def look(self, sample: Sample, state: MeterState, *, invert: bool) -> None:
        """A sample and the fold as of it.

        `demand_import_w` is the energy imported since the meter's quarter-hour began, divided by a
        quarter of an hour (1-0:1.4.0 of Belgian P1 meters, e-MUCS-P1): it begins at 0 and ends as
        the average.
        """
        demand_w = sample.values.get("demand_import_w")
        each = state.directions.get("export" if invert else "import")
        if demand_w is None or each is None or state.slot_ms != QUARTER_MS or sample.utc_ms is None:
            return
        slot = each.slot
        if each.counter.at_ms + each.shift_ms == sample.utc_ms and slot.from_ms == slot.start_ms:
            ours_wh = (each.counter.counter_uwh - slot.begin_uwh) / UWH_PER_WH
            if sample.utc_ms - slot.start_ms >= NEAR_END * QUARTER_MS:
                self._running[sample.device] = slot.start_ms, ours_wh - demand_w / 4

    def closed(self, slots: Iterable[Slot]) -> None:
        """Slots that have been closed."""
        for slot in slots:
            if slot.energy_uwh is None or slot.quality not in KNOWN or slot.method == "power":
                continue
            start_ms, above_wh = self._running.get(slot.device, (-1, 0.0))
            if start_ms == slot.start_s * 1000:
                self._found_wh.setdefault(slot.device, {})["demand"] = above_wh
            self._slots[slot.device, slot.direction] = slot.start_s, slot.energy_uwh
            for device, other in self._against.items():
                if slot.device in (device, other):
                    self._compare(device, other, slot.direction)

    def _compare(self, device: str, other: str, direction: Direction) -> None:
        ours, theirs = self._slots.get((device, direction)), self._slots.get((other, direction))
        if ours and theirs and ours[0] == theirs[0]:
            self._found_wh.setdefault(device, {})[f"{other}.{direction}"] = (
                ours[1] - theirs[1]
            ) / UWH_PER_WH
