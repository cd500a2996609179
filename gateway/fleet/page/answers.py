"""What the manager's page and `/metrics` are made of. Pure.

Times are Unix seconds, energies µWh as in the database, days the community's local ones. None means
that nobody knows, which is not zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

Severity = Literal["bad", "warn", "note", "well"]
"""bad: a person must act. warn: something is not well. note: worth knowing."""

SEVERITIES: tuple[Severity, ...] = ("bad", "warn", "note", "well")
"""The worst first."""

MEASURED = "m"
FORECAST = "f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a gateway said last of itself; fields as in `gateway.outbox.fleet.messages.Status`."""

    at_s: float
    online: bool
    mood: str = ""
    problems: Sequence[str] = ()
    rss_bytes: int = 0
    disk_free_bytes: int = 0
    disk_written_per_day_bytes: int = 0
    clock_trusted: bool = True
    oldest_owed_s: int | None = None
    owed: int = 0
    config: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """One home, as the database has it."""

    id: int
    name: str
    added_s: float
    warning: str = ""
    """Two gateways of one name."""
    last_message_s: float | None = None
    """When its slots came last."""
    last_slot_s: float | None = None
    """Start of its newest slot."""
    slot_length_s: int = 900
    """As its newest slots have it."""
    lag_s: float | None = None
    """By how much its clock is behind ours."""
    version: str = ""
    deliver: str = ""
    stores: int = 0
    """How many buffers it has had."""
    told: Told | None = None
    clashes: int = 0
    """Of the last seven days."""
    refused: int = 0
    """Reasons of the last seven days."""
    configured_s: float | None = None
    """When its configuration changed last; None: not since we know it."""
    certificate_ends_s: float | None = None
    known: int = 0
    """Slots of yesterday, of all its assets, whose energy is known …"""
    expected: int = 0
    """… of so many that there should be."""
    owed_since_s: float | None = None
    """Start of its oldest slot that the fleet still owes to the exchange."""

    @property
    def coverage(self) -> float | None:
        """The share of yesterday that is known."""
        return self.known / self.expected if self.expected else None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a person should know of a home. Its words are in `languages/`."""

    kind: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class Judged:
    """A home, and what is to be said of it: the worst first."""

    home: Home
    troubles: tuple[Trouble, ...]

    @property
    def severity(self) -> Severity:
        """That of the worst."""
        return self.troubles[0].severity if self.troubles else "well"


@dataclass(frozen=True, slots=True)
class CollectorRow:
    """A collector that runs, or did."""

    name: str
    version: str
    started_s: float
    seen_s: float
    shared: bool


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """What was not taken from a home: one reason."""

    site: str
    why: str
    times: int
    last_s: float


@dataclass(frozen=True, slots=True)
class ClashRow:
    """Numbers of a home that came again with another value."""

    site: str
    count: int
    last_s: float


@dataclass(frozen=True, slots=True)
class AggregatorRow:
    """A process that delivers to the exchange, or did."""

    name: str
    seen_s: float
    state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeNow:
    """How it goes with what the fleet delivers to the exchange itself."""

    owed: int
    """Up to `MOST_OWED`."""
    oldest_owed_s: float | None
    taken_s: float | None
    """When it took something last."""
    rejected: int
    missed: int
    """Both in the last 24 hours."""
    last_reason: str
    """Of the newest that was rejected or missed."""
    aggregators: Sequence[AggregatorRow] = ()


MOST_OWED = 1_000_000
"""More is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All homes at one moment."""

    at_s: float
    homes: Sequence[Judged]
    """By name."""
    collectors: Sequence[CollectorRow]
    exchange: ExchangeNow | None = None
    """None: the fleet delivers nothing to it."""

    @property
    def severities(self) -> Mapping[Severity, int]:
        """How many homes are how."""
        found: dict[Severity, int] = dict.fromkeys(SEVERITIES, 0)
        for each in self.homes:
            found[each.severity] += 1
        return found

    @property
    def kinds(self) -> Mapping[str, int]:
        """How many homes have which trouble."""
        found: dict[str, int] = {}
        for each in self.homes:
            for trouble in each.troubles:
                found[trouble.kind] = found.get(trouble.kind, 0) + 1
        return found


@dataclass(frozen=True, slots=True)
class WorstRow:
    """An asset's day that is not complete."""

    site: str
    asset: str
    day: date
    known: int
    expected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommunityDay:
    """The community's local day, slot by slot: 92, 96 or 100 of a quarter of an hour."""

    day: date
    start_s: int
    slot_s: int
    from_grid_uwh: Sequence[int | None]
    to_grid_uwh: Sequence[int | None]
    sun_uwh: Sequence[int | None]
    meters: Sequence[int]
    """Of so many meters at the grid each slot is known …"""
    most_meters: int
    """… of so many that were there at all that day."""
    known: int = 0
    expected: int = 0
    """Slots of all assets, as in `Home`."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """What changed in what a home says of itself."""

    at_s: float
    what: str
    was: str
    now_is: str


@dataclass(frozen=True, slots=True)
class StoreRow:
    """One buffer of a home's gateway."""

    name: str
    first_s: float
    last_s: float
    version: str
    deliver: str


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A meter's direction on one day."""

    meter: str
    direction: str
    serial: str
    role: str
    energy_uwh: Sequence[int | None]
    uncertainty_uwh: Sequence[int | None]
    quality: str
    """A letter for each slot, as in `gateway.history.answers.Column`."""
    coverage_permille: int | None
    """Mean of the day's slots."""
    end_register_uwh: int | None
    """Of its newest slot."""
    largest_gap_ms: int | None


@dataclass(frozen=True, slots=True)
class AssetRow:
    """An asset on one day."""

    asset: str
    energy_uwh: Sequence[int | None]
    uncertainty_uwh: Sequence[int | None]
    quality: str
    forecast_uwh: Sequence[int | None]
    delivery: str
    """A letter for each slot, as in `gateway.history.answers.Column`; empty: not the fleet's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeDay:
    """One home on one local day, and what else there is of it."""

    judged: Judged
    day: date
    start_s: int
    slot_s: int
    slots: int
    assets: Sequence[AssetRow]
    meters: Sequence[MeterRow]
    stores: Sequence[StoreRow] = ()
    events: Sequence[EventRow] = ()
    refused: Sequence[RefusedRow] = ()
    reasons: Sequence[tuple[int, str, str]] = ()
    """(slot, state, reason) of what the exchange did not take that day."""
    first_day: date | None = None
    """The first of which anything is there."""
    today: date = field(default_factory=lambda: date.min)
