"""The feeder of the grid operator's demo: a simulated meter at the transformer, which the gateway
reads as any other, and what its fee must be by what truly flowed.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from drivers.line import LineUrl
from drivers.profile import load_profile
from drivers.simulated.home import meter_values
from drivers.simulated.meters import ModbusTwin
from drivers.simulated.one_meter import serving_bus
from gateway.cli.demo_home import free_port
from gateway.delivery.simulated.community import Node
from gateway.delivery.simulated.street import Street
from gateway.store.grid_fee_rows import GridFee

PROFILE, ADDRESS = "eastron/sdm630", 1
VOLTAGES_V = (229.8, 230.4, 231.1)
WH_PER_KWH, HOUR_S, MILLION = 1000, 3600, 1_000_000

RATING_KW = 15.0
STEPS = ((0.0, 1.0), (40.0, 3.0), (70.0, 8.0))
"""From so many percent of the rating on, that fee."""
HYSTERESIS = 5.0
OFF_WH = 2
"""The meter counts whole Wh, and a slot begins and ends between two of them."""


@dataclass(slots=True)
class FeederMeter:
    """It counts what flows through the market `node` of the street."""

    street: Street
    node: Node
    origin_s: int
    """The begin of a slot. Before it nothing had flowed."""
    _sums: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])
    """Wh imported and exported, at the begin of each slot since."""

    def slot_wh(self, slot_s: int) -> tuple[float, float]:
        """What is imported and exported in the slot that starts then."""
        flow = self.street.flow(self.node, slot_s)
        return flow.import_kwh * WH_PER_KWH, flow.export_kwh * WH_PER_KWH

    def values(self) -> dict[str, float]:
        """What it shows now."""
        length_s = self.street.slot_s
        slots, rest_s = divmod(max(time.time() - self.origin_s, 0.0), length_s)
        while len(self._sums) <= slots:
            (imported, exported), n = self._sums[-1], len(self._sums) - 1
            more = self.slot_wh(self.origin_s + n * length_s)
            self._sums.append((imported + more[0], exported + more[1]))
        imported, exported = self._sums[int(slots)]
        more = self.slot_wh(self.origin_s + int(slots) * length_s)
        part = rest_s / length_s
        third_w = round((more[0] - more[1]) * HOUR_S / length_s / 3)
        return meter_values(
            (third_w, third_w, third_w),
            VOLTAGES_V,
            int(imported + part * more[0]),
            int(exported + part * more[1]),
        )

    def device_file(self, port: int) -> str:
        """What the installer writes for it."""
        return f"profile: {PROFILE}\nline: tcp:127.0.0.1:{port}\naddress: {ADDRESS}\ninterval: 1s\n"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """It answers over TCP for as long as the context; gives the port."""
        profile = load_profile(PROFILE)
        line = LineUrl("tcp", "127.0.0.1", free_port())
        twins = {ADDRESS: ModbusTwin(profile, self.values)}
        async with serving_bus(twins, line, profile.serial) as reached:
            assert reached.port is not None
            yield reached.port

    def wrong(self, row: GridFee) -> str:
        """What is wrong with a fee that the model wanted; empty where nothing is."""
        length_s = self.street.slot_s
        imported, exported = self.slot_wh(row.slot_s - 2 * length_s)
        true_wh = imported - exported
        said_wh = row.inputs.get("load_kwh", 0.0) * WH_PER_KWH
        if abs(said_wh - true_wh) > OFF_WH:
            return f"{true_wh:.1f} Wh flowed, and {said_wh:.1f} Wh were measured"
        wanted = (row.wanted or 0) / MILLION
        if wanted not in possible(_percent(abs(true_wh), length_s), _percent(OFF_WH, length_s)):
            return f"{true_wh:.1f} Wh flowed, and {wanted:g} ct/kWh was wanted"
        return ""


def _percent(energy_wh: float, length_s: int) -> float:
    """Of the rating, where so much flows in a slot."""
    return energy_wh * HOUR_S / length_s / WH_PER_KWH / RATING_KW * 100


def possible(percent: float, off: float) -> Sequence[float]:
    """The fees of the steps in which a load may be that is known so well; a step that it has left
    by less than the hysteresis among them.
    """
    ends = [above for above, _ in STEPS[1:]] + [float("inf")]
    return [
        fee
        for (above, fee), end in zip(STEPS, ends, strict=True)
        if above - HYSTERESIS - off <= percent <= end + off
    ]


def model() -> str:
    """As gateway.yaml has it."""
    steps = ", ".join(f"{{above: {above:g}, fee: {fee:g}}}" for above, fee in STEPS)
    return (
        f"{{kind: feeder, load: feeder.import - feeder.export, rating_kw: {RATING_KW:g}, "
        f"steps: [{steps}], hysteresis: {HYSTERESIS:g}, hold: 0s}}"
    )
