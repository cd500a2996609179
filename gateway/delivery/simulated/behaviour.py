"""How the simulated exchange behaves, where real ones differ or nobody knows. Pure."""

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

FeeType = Literal["constant", "percent"]
Tells = Literal["measurements", "forecasts"]


@dataclass(slots=True)
class Behaviour:
    """May be changed while it runs, as a switch on the exchange's own pages would be."""

    lead_s: float = 0.0
    """How far the engine's clock is ahead of the right time. Seen were 3.7 to 5.1 s."""
    tick_s: float | None = None
    """How often the engine looks at what has arrived; a sixtieth of the slot where None, which is
    the engine's 15 s of a quarter of an hour.
    """
    refuses_at_once: bool = False
    """A web backend that checks numbers by itself, and answers 400. The engine's own refusals come
    later, over the websocket.
    """
    refuses: set[tuple[UUID, int]] = field(default_factory=set)
    """Numbers that it takes for bad ones whatever they are, by asset and start of the slot (Unix
    time).
    """
    tells: Tells = "measurements"
    """What reading back tells. The documentation leaves it open; the engine's own results hold
    what was forecast.
    """
    is_permitted: bool = True
    """Whether the account may use the exchange's interfaces at all."""
    fee_type: FeeType = "constant"
    """How the markets of this network charge grid fees."""
    knows_aggregators: bool = True
    """A web backend that lets nobody act for anything by way of an aggregator that it does not
    know. The engine itself does not look: such a one takes over what another one acts for.
    """
