"""What has been learned of one asset, and where each number of it lies. Pure.

All that has the size of energy is kept as its square root, in √Wh: the pulses of kettles and ovens
are tamed by it, and nothing has to be known of how big the asset is.
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

DAY_S = 86_400
HOUR_S = 3_600
WEEK_DAYS = 7

HORIZONS = (1, 2)
"""Slots after the newest one: `sdk` asks for the second, and a provisional slot makes it a first.
"""

SHARED = 11
"""Features of every slot (`features.look` has those of a load and those of a roof); one more is of
the quarter of the day in which the slot lies.
"""
QUARTERS = 4
FEATURES = SHARED + QUARTERS
EXPERTS = 7
REGRESSIONS = 2

TRIANGLE = SHARED * (SHARED + 1) // 2
ROW = SHARED + 1
MATRIX = TRIANGLE + QUARTERS * ROW
"""Half of a regression's matrix: the features of every slot, then a row for each quarter. No slot
lies in two quarters: between those the matrix is zero.
"""
REGRESSION = MATRIX + 2 * FEATURES + 2
"""Numbers of one regression: its matrix, its right side, its coefficients, the mean of its error's
size and of its square.
"""

ROUND = 18
"""Slots in which what came is added to each regression once, and the regression solved once in the
slot after. Until then it waits in rows. So more than half of all slots have neither to do.
"""
OBSERVATION = ROW + 2 + REGRESSIONS
"""Numbers of one row: features, the quarter, what came, and what it counts in each regression."""

MIXTURE = 2 * EXPERTS
"""Numbers of one mixture: each expert's regret, and the sum of its squares."""
MIXTURES = QUARTERS + 1
"""One for each quarter of the day, and one for all of it."""

QUANTILES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
HOURS = 24
BAND = 2 * HOURS + len(QUANTILES)
"""Numbers of one horizon's band: the errors' usual size in each hour, the quantiles, and in each
hour what brings half of all slots above the forecast.
"""

PENDING = SHARED + 1 + EXPERTS + 11
"""Numbers of one forecast that is not judged yet; see `learning.py`."""

SCORE_DAYS = 29
"""Days of which the errors are kept: 28, and the one that runs."""
SCORE = 11
"""Numbers of one day's score; see `scores.py`."""

UNKNOWN = -1.0
"""Of a profile or an envelope: no slot of that time has been seen."""
NEVER = -1e30
"""Of a slot: nothing was ever known or expected of it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How one asset is forecast."""

    slot_s: int
    kind: Literal["load", "pv"]
    """A load follows people, by the local clock. PV follows the sun, by UTC; it is dark at night.
    """
    identity: str
    """What makes the asset's energy: its formula. What was learned of another is not used."""
    utc_offset_s: Callable[[int], int]
    """Local time less UTC at a Unix time, pure."""

    slots_per_day: int = field(init=False)
    """At least one."""
    slots_per_hour: int = field(init=False)
    """At least one."""

    def __post_init__(self) -> None:
        # Asked for some twenty times in each slot: kept, not worked out anew.
        object.__setattr__(self, "slots_per_day", max(DAY_S // self.slot_s, 1))
        object.__setattr__(self, "slots_per_hour", max(HOUR_S // self.slot_s, 1))


class Forecast(msgspec.Struct, frozen=True):
    """What is expected of a slot, in µWh, never negative. Of ten slots one is below `low_uwh`, and
    one above `high_uwh`.
    """

    energy_uwh: int
    low_uwh: int
    high_uwh: int


DAY, WEEK, PEAK, MEAN, BRIGHTNESS, BRIGHTEST, AIM, SENT = range(8)
"""Where `level` has: the means of about a day and a week; the largest slot of late, which sinks by
half in two months (all √Wh); the mean energy of a week (Wh); what the sun brought of a clear sky's,
0 to 1; the largest energy of the envelope (Wh); the quantile that makes sums hold; and
what is sent (0: what is learned, or the place of a naive one, from 1).
"""
LEVEL = SENT + 1


class Learned(msgspec.Struct, frozen=True):
    """All that has been learned of one asset. Its arrays are never changed once it is handed out.

    Bounded: at slots of 15 minutes below 20 kB.
    """

    slot_s: int
    kind: Literal["load", "pv"]
    identity: str
    newest: int | None
    """The number of the newest slot that was learned, counted from 1970; None where none was."""
    since_s: int | None
    """Where the first slot that was known begins."""
    known: int
    """How many slots were known."""
    stale: int
    """How many slots in a row were far older than the newest: a clock that jumped left that one."""
    absurd: int
    """How many slots in a row were larger than can be believed."""
    slots: array[float]
    """Roots of the energies of a week, as a ring. A missing one is kept as -1 less what was
    expected of it.
    """
    profiles: array[float]
    """Roots by time of day: weekdays, weekends and the last days (a load's by the local clock, a
    roof's by UTC); and, of a roof, energies under a clear sky (UTC), in Wh.
    """
    level: array[float]
    rows: array[float]
    """What came since the regressions were solved."""
    regressions: array[float]
    mixtures: array[float]
    bands: array[float]
    pending: array[float]
    scores: array[float]


def ring_size(rules: Rules) -> int:
    """A week, an hour for the nights on which clocks change, and the slots that are forecast."""
    return WEEK_DAYS * rules.slots_per_day + rules.slots_per_hour + 4


def sizes(rules: Rules) -> dict[str, tuple[str, int]]:
    """The type code and length of each array of `Learned`, in order."""
    horizons = len(HORIZONS)
    return {
        # What rounding to seven digits takes from a root is nothing beside what a home does.
        "slots": ("f", ring_size(rules)),
        "profiles": ("d", (4 if rules.kind == "pv" else 3) * rules.slots_per_day),
        "level": ("d", LEVEL),
        "rows": ("f", horizons * ROUND * OBSERVATION),
        "regressions": ("d", horizons * REGRESSIONS * REGRESSION),
        "mixtures": ("d", horizons * MIXTURES * MIXTURE),
        "bands": ("d", horizons * BAND),
        "pending": ("d", 3 * PENDING),
        # Errors of days, for people: seven digits are enough.
        "scores": ("f", SCORE_DAYS * SCORE),
    }


ARRAYS = (
    "slots",
    "profiles",
    "level",
    "rows",
    "regressions",
    "mixtures",
    "bands",
    "pending",
    "scores",
)
"""The arrays of `Learned`, in the order in which they are packed."""


def blank(code: str, count: int) -> array[float]:
    """So many zeros. Code d: of eight bytes. f: of four."""
    return array("f" if code == "f" else "d", [0.0]) * count
