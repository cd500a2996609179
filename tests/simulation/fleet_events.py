"""What may go wrong between a gateway and its fleet's database, and how much of it random days
have. Data.
"""

from collections.abc import Mapping
from random import Random

FLEET_FAULTS: Mapping[str, str] = {
    "fleet_drops": "a share `amount` of the messages between gateway and collector vanishes, both "
    "ways, and the broker says that it has them",
    "fleet_repeats": "a share `amount` of them comes twice, the second time up to ten minutes "
    "later",
    "fleet_reorders": "each of them is up to `amount` seconds late, so that they overtake each "
    "other",
    "broker_down": "the broker lets nobody in, and those who are there are thrown out",
    "collector_killed": "kill -9 of the collector with what it has in hand: before the next "
    "commit, or where `amount` is 1 after it and before its word; it is away for the time in "
    "`lasts`",
    "database_away": "the fleet's database cannot be reached",
    "database_restored": "the fleet's database is restored from a backup of `lasts` before",
}
"""Faults that only a member of a fleet meets."""

FLEET_SHARE = 0.4
"""Of the random days, those on which the gateway is a fleet's member."""

_AMOUNTS: Mapping[str, tuple[float, ...]] = {
    "fleet_drops": (0.1, 0.5, 0.9),
    "fleet_repeats": (0.1, 0.9),
    "fleet_reorders": (5, 120, 900),
    "collector_killed": (0, 1),
}

_OF_OTHERS = ("kill", "restart", "store_deleted", "store_restored", "power_cut")
"""Faults that others meet as well."""


def drawn(rng: Random, until_s: float) -> tuple[str, float, float, float]:
    """The name of a fault, when it begins, how long it lasts (s), and its amount."""
    fault = rng.choice((*FLEET_FAULTS, *_OF_OTHERS))
    at_s = float(rng.randrange(60, int(until_s)))
    lasts_s = rng.choice((60, 900, 3600, 3 * 3600)) * rng.uniform(0.5, 1.5)
    amount = rng.choice(_AMOUNTS.get(fault, (0.0,)))
    return fault, at_s, round(min(until_s - at_s, lasts_s), 1), amount
