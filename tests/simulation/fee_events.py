"""What may go wrong for a grid operator's agent, and how much of it random days have. Data."""

from collections.abc import Mapping
from random import Random

FEE_FAULTS: Mapping[str, str] = {
    "events_doubled": "each event of the engine comes three times, `amount` seconds apart",
    "events_late": "events and answers come up to `amount` seconds late, each by another time: so "
    "they come out of order, too",
    "events_lost": "no event of the engine arrives",
    "statistics_null": "there is nothing but nulls in the statistics of the markets",
    "batches_slow": "an answer to a batch takes `amount` seconds",
    "batches_dropped": "batches are obeyed, and the connection is dropped before the answer",
}
"""Faults that only a grid operator's agent meets."""

AGENT_SHARE = 0.5
"""Of the random days, those on which the gateway is a grid operator's as well."""

AMOUNTS: Mapping[str, tuple[float, ...]] = {
    "events_doubled": (0.5, 40, 600),
    "events_late": (3, 60, 120),
    "batches_slow": (3, 9, 45),
    "exchange_slow": (3, 30),
}
"""How late the first event after a start is nobody can know: by more than 120 s, and the last fee
of its slot might arrive when that is over.
"""

_OF_OTHERS = (
    *("exchange_down", "exchange_silent", "exchange_slow", "exchange_drops", "restart", "kill"),
    *("verdicts_lost", "websockets_down", "aggregator_lost", "registry_gone", "role_lost"),
)
"""Faults that others meet as well."""


def drawn(rng: Random, until_s: float) -> tuple[str, float, float, float]:
    """The name of a fault, when it begins, how long it lasts (s), and its amount."""
    fault = rng.choice((*FEE_FAULTS, *_OF_OTHERS))
    at_s = float(rng.randrange(60, int(until_s)))
    lasts_s = rng.choice((60, 900, 3600, 3 * 3600)) * rng.uniform(0.5, 1.5)
    amount = rng.choice(AMOUNTS.get(fault, (0.0,)))
    return fault, at_s, round(min(until_s - at_s, lasts_s), 1), amount
