"""What the gateway answers when it is asked what is, and what was: plain data, in JSON as it is
here. The page, `/api/v1` and `explain` all show these, and nothing else.

Energies are in Wh, power in W: import is positive, export negative. Times are Unix seconds (UTC);
days and months are the site's local ones. None means that nobody knows, which is not zero.

These are frozen structs, not dataclasses: the daemon would keep 150 kB of those
(`msgspec.structs.replace` makes one anew).
"""

from typing import Literal

from msgspec import Struct, field

from gateway.energy.assets import Direction
from gateway.energy.slot import Quality

Mood = Literal["well", "starting", "warn", "bad"]
"""bad: energy is being lost, or a person must act. warn: something is not well, and nothing is lost
meanwhile.
"""

DeliveryState = Literal["pending", "sent", "accepted", "rejected", "missed", "open", "kept"]
"""As in the outbox; open: the slot has not closed for all of its meters; kept: nobody wants it."""

Role = Literal["house", "sun", "grid", "battery", "other"]
"""What an asset or a meter stands for in the picture of the flow."""


class Problem(Struct, frozen=True, kw_only=True):
    """One cause of which a person should know, told once. Its words are made from this, in the
    reader's language, by `gateway.page.banners`; `/status` has the English ones.
    """

    id: str
    """What kind: meter_silent, meter_silent_long, exchange_away, exchange_away_losing,
    login_refused, clock_unknown, disk, buffer_damaged, refused, too_late, line_too_slow, … A page
    of help has the same name.
    """
    subject: str
    """The meter, line, asset or destination; empty where it is the box itself."""
    severity: Mood
    since_s: float | None
    facts: dict[str, str | float | None] = field(default_factory=dict)
    """What its words need: reason, waiting, until_s, remedy …"""


class Node(Struct, frozen=True, kw_only=True):
    """One asset or meter as it is now."""

    id: str
    """The asset's UUID, or the meter's name."""
    title: str
    role: Role
    power_w: float | None
    """As the role has it: what sun and battery give, what comes from the grid, what the house and
    others use; negative the other way. None where nothing current is known.
    """
    stale_since_s: float | None = None
    """When the last value was true that is too old to be shown as current; None: it is current."""
    stale_power_w: float | None = None
    """That value."""


class Sums(Struct, frozen=True, kw_only=True):
    """Energy of a span, as a home owner counts it. None: none of its assets says."""

    used_wh: float | None = None
    """In the house: what came from roof, battery and grid, less what went there."""
    sun_wh: float | None = None
    from_grid_wh: float | None = None
    to_grid_wh: float | None = None
    sun_used_here: float | None = None
    """Share of the sun's energy that was used in the house, 0 to 1."""
    coverage: float = 0.0
    """Share of the span's closed slots whose energy is known, 0 to 1."""
    uncertainty_wh: float | None = None
    """By how much `used_wh` may be off, either way."""


class Peak(Struct, frozen=True, kw_only=True):
    """The highest mean power of one slot."""

    power_w: float
    start_s: int


class Now(Struct, frozen=True, kw_only=True):
    """What is now, and how the day has gone so far."""

    at_s: float
    zone: str
    """The site's time zone, as in the IANA database."""
    mood: Mood
    problems: list[Problem]
    nodes: list[Node]
    today: Sums
    yesterday_by_now: Sums
    peak: Peak | None
    """Of the month, from the grid."""
    accepted_until_s: int | None
    """End of the oldest among the assets' newest accepted slots."""
    behind: list[str]
    """Titles of assets that are behind others with that."""
    meters_heard: int
    meters: int
    first_slot_s: int | None = None
    """Start of the first whole slot, while none has closed."""


class Column(Struct, frozen=True, kw_only=True):
    """One asset, or one direction of a meter, over the slots of a day: lists of equal length."""

    id: str
    title: str
    role: Role
    wh: list[float | None]
    uncertainty_wh: list[float | None]
    quality: str
    """A letter for each slot: m(easured), e(stimated), p(artial), x (missing), . (not closed)."""
    delivery: str
    """A letter for each slot: a(ccepted), s(ent), w (pending: waits), r(ejected), l (missed: too
    late), o(pen), k(ept), . (none); all k where it is a meter's.
    """
    forecast_wh: list[float | None] = field(default_factory=list)


class Day(Struct, frozen=True, kw_only=True):
    """One local day, slot by slot: 96 of a quarter of an hour, 92 or 100 where clocks change."""

    day: str
    """2026-11-28"""
    zone: str
    start_s: int
    slot_s: int
    slots: int
    assets: list[Column]
    meters: list[Column]
    sums: Sums
    is_today: bool
    earlier: str | None
    """The nearest earlier day of which anything is kept."""
    later: str | None


class DaySums(Struct, frozen=True, kw_only=True):
    """One day of a month."""

    day: str
    sums: Sums
    peak: Peak | None


class Month(Struct, frozen=True, kw_only=True):
    """One local month, day by day."""

    month: str
    """2026-11"""
    zone: str
    days: list[DaySums]
    sums: Sums
    peak: Peak | None
    earlier: str | None
    later: str | None


class Term(Struct, frozen=True, kw_only=True):
    """One direction of one meter in an asset's formula, over one slot."""

    meter: str
    serial_number: str | None
    direction: Direction
    sign: int
    """1 or −1: as the formula takes it."""
    begin_register_wh: float | None
    """The register as it was read last at or before the start, as on the meter's face."""
    end_register_wh: float | None
    energy_wh: float | None
    beyond_register_wh: float | None
    """What was added between the register's steps: energy less the difference of registers."""
    uncertainty_wh: float | None
    quality: Quality
    method: str
    doubts: str
    coverage: float
    samples: int
    expected_samples: int | None
    largest_gap_s: float
    clock: str
    revision: int


class Delivery(Struct, frozen=True, kw_only=True):
    """What became of one number that was owed for the slot."""

    destination: str
    kind: str
    revision: int
    energy_wh: float
    state: DeliveryState
    attempts: int
    first_sent_s: float | None
    decided_s: float | None
    answer: str
    """What was answered, word for word."""
    reason: str
    confirmed_s: float | None
    """When the other side was found to hold this number."""
    held_wh: float | None
    """What it holds, where it was asked."""


class Gap(Struct, frozen=True, kw_only=True):
    """A time without samples in a slot."""

    since_s: float
    until_s: float


class PowerLine(Struct, frozen=True, kw_only=True):
    """Power of one meter as it was sampled in the slot; 300 points at most."""

    meter: str
    points: list[tuple[float, float]]
    """(time in s, W)"""
    register_steps_s: list[float]
    """When its register was seen to step."""
    gaps: list[Gap]


class SlotStory(Struct, frozen=True, kw_only=True):
    """Why a slot is what it is: what was read, what was made of it, what was sent of it."""

    asset: str
    title: str
    role: Role
    zone: str
    start_s: int
    length_s: int
    energy_wh: float | None
    uncertainty_wh: float | None
    quality: Quality
    imported: bool
    revision: int
    formula: str
    forecast_wh: float | None
    terms: list[Term]
    power: list[PowerLine]
    beside: Sums
    """What roof and grid did meanwhile."""
    deliveries: list[Delivery]
    events: list["EventLine"]
    """Of its meters, in the slot."""
    earlier_s: int | None
    """Start of the slot before, where anything is kept of it."""
    later_s: int | None


class MeterNow(Struct, frozen=True, kw_only=True):
    """One meter, as its owner and its installer see it."""

    name: str
    title: str
    node: Node
    import_wh: float | None
    """Its import register, as on its face."""
    export_wh: float | None
    serial_number: str | None
    profile: str
    line: str
    interval_s: float
    last_success_s: float | None
    asleep: str
    errors_last_hour: int
    last_error: str
    available: list[float | None]
    """The share of each of the last 24 hours that samples cover, 0 to 1; the oldest first."""
    values: dict[str, float]
    line_carries: str


class MeterStory(Struct, frozen=True, kw_only=True):
    """One meter's last 24 hours."""

    meter: MeterNow
    zone: str
    power: list[tuple[float, float]]
    """(time in s, W): means of some minutes; 300 points at most."""


class RefusedSlot(Struct, frozen=True, kw_only=True):
    """One number that was refused or came too late."""

    destination: str
    asset: str
    title: str
    start_s: int
    state: DeliveryState
    reason: str


class ExchangeAsset(Struct, frozen=True, kw_only=True):
    """How one asset's slots have gone to a destination."""

    asset: str
    title: str
    accepted_until_s: int | None
    """End of its newest accepted slot."""
    waiting: int
    states: dict[str, str]
    """For each of the last seven local days: a letter for each slot, as in `Column.delivery`."""


class DestinationNow(Struct, frozen=True, kw_only=True):
    """One destination."""

    name: str
    url: str
    dialect: str
    state: str
    last_success_s: float | None
    last_error: str
    next_try_s: float | None
    waiting: int
    accept_by_s: float | None
    """When what waits would be too late; None: it cannot be late, or nothing waits."""
    confirmed: int
    disagreements: int
    disputed: int
    read_back: str
    verdicts: str
    assets: list[ExchangeAsset]
    refused: list[RefusedSlot]
    """The newest, 50 at most."""


class ExchangeNow(Struct, frozen=True, kw_only=True):
    """All destinations, the exchange first."""

    zone: str
    destinations: list[DestinationNow]


class EventLine(Struct, frozen=True, kw_only=True):
    """One thing that a person should know."""

    id: int
    at_s: float
    meter: str
    kind: str
    text: str
    energy_wh: float | None = None
    """The energy concerned, where its record says."""
    slot_s: int | None = None
    """Start of the slot in which it was."""
    day: str = ""
    """The local day in which it was."""


class Events(Struct, frozen=True, kw_only=True):
    """The newest events, or those before one; 200 at most."""

    zone: str
    events: list[EventLine]
    meters: list[str]
    """By which they can be filtered."""
    older: int | None
    """Ask for those before this id for more; None: there are none."""
