"""How it goes with the exchange, for metrics and people. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

State = Literal["starting", "connected", "away", "refuses"]
"""away: it gives no answer, or no verdict. refuses: it does not take who we are, or anything that
it is sent.
"""


class Counted(NamedTuple):
    """How it stands with what is owed, of all homes."""

    owed: int = 0
    """Numbers that the exchange is owed."""
    oldest_owed_s: int | None = None
    """Start of the oldest slot among them that may be sent by now."""
    unbound: int = 0
    """Assets for which the fleet's aggregator does not act in the exchange."""
    silent: int = 0
    """Assets whose numbers are taken without a verdict."""


@dataclass(slots=True)
class AggregatorHealth:
    """Of one process, since its start. Times are Unix seconds."""

    state: State = "starting"
    reason: str = ""
    """What is wrong, where something is."""
    state_since_s: float = 0.0
    verdicts: str = "connecting"
    """How it stands with the engine's own words."""
    last_success_s: float | None = None
    """When the exchange last took something."""
    requests: Counter[str] = field(default_factory=Counter)
    """Requests with numbers, by what came of them: taken, refused, failed."""
    numbers: Counter[str] = field(default_factory=Counter)
    """Numbers by what came of them: sent, accepted, refused, rejected, missed, resent."""
    told: int = 0
    """Verdicts that were handed to the broker for their gateways."""
    batch_assets: int = 0
    """So many assets may ride in the next request."""
    counted: Counted = field(default_factory=Counted)
    """What the whole fleet owes, as this process last counted it."""

    def become(self, state: State, reason: str, now_s: float) -> bool:
        """Note how it is; whether that is news."""
        is_news = state != self.state
        if is_news:
            self.state, self.state_since_s = state, now_s
        self.reason = reason
        return is_news
