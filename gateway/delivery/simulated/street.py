"""What flows in a simulated street, day after day: little by night, sunshine back into the grid at
noon, and a congested evening. Pure.
"""

import math
from dataclasses import dataclass

from gateway.delivery.simulated.community import Node
from gateway.delivery.simulated.market_statistics import Flow

HOUR_S = 3600
HOUSE_KW = (0.3, 3.0, 1.6)
"""Of a house: by night, in the evening's peak, and what its roof gives at noon."""


@dataclass(frozen=True, slots=True)
class Street:
    """Its houses are the markets that hold no other one. `day_s`: how long a day is; a rehearsal
    has shorter ones. `noon_s`: when it is noon, Unix time.
    """

    slot_s: int
    day_s: float = 24 * HOUR_S
    noon_s: float = 12 * HOUR_S

    def hour(self, at_s: float) -> float:
        """Of the street's day, 0 to 24."""
        return ((at_s - self.noon_s) / self.day_s * 24 + 12) % 24

    def flow(self, node: Node, slot_s: int) -> Flow:
        """What went through a market in the slot that starts then."""
        houses = [each for each in _markets(node) if not _inner(each)]
        net_kwh = sum(self._house_kw(house, slot_s) for house in houses) * self.slot_s / HOUR_S
        return Flow(round(max(net_kwh, 0.0), 6), round(max(-net_kwh, 0.0), 6))

    def _house_kw(self, house: Node, slot_s: int) -> float:
        night_kw, evening_kw, roof_kw = HOUSE_KW
        hour = self.hour(slot_s)
        size = 0.8 + (house.uuid.int % 5) / 10
        evening = math.exp(-(((hour - 19) / 1.6) ** 2))
        sun = max(0.0, math.cos((hour - 12.5) / 12 * math.pi)) ** 3
        return size * (night_kw + evening_kw * evening - roof_kw * sun)


def _inner(node: Node) -> list[Node]:
    return [child for child in node.children if child.is_market]


def _markets(node: Node) -> list[Node]:
    return [node, *(each for child in _inner(node) for each in _markets(child))]
