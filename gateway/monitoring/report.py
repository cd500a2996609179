"""The daemon's own account of itself: plain data, made by the parts, shown by the page, the JSON,
the metrics and `status`. Pure.

Times are Unix seconds; None means never. Health means *recent success*, not *process up*.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from msgspec import json, to_builtins


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that can fail by itself. It is healthy while `last_success_s` is younger than
    `max_age_s`.
    """

    name: str
    state: str
    """One word for people: ok, waiting, retrying, closed, …"""
    last_success_s: float | None = None
    max_age_s: float
    """How old the last success may be."""
    errors: int = 0
    """Failures since start."""
    last_error: str = ""
    last_error_s: float | None = None

    def age_s(self, now_s: float) -> float | None:
        """Seconds since the last success."""
        return None if self.last_success_s is None else max(0.0, now_s - self.last_success_s)

    def healthy(self, now_s: float, started_s: float) -> bool:
        """Whether it succeeded recently; what has just started is given the same time."""
        return now_s - (self.last_success_s or started_s) <= self.max_age_s


@dataclass(frozen=True, slots=True, kw_only=True)
class LineReport(Part):
    """One line. What it has to carry is known where meters take turns on it."""

    needed_ms: float | None = None
    """What the meters' turns of one cycle need by the standard."""
    available_ms: float | None = None
    """The length of the cycle: the shortest interval of the line's meters."""
    busy: float | None = None
    """The measured share of the last minute in which the line was in use, 0 to 1."""
    skipped: int = 0
    """Turns since start that fell out because the line was not free in time."""

    @property
    def too_slow(self) -> bool:
        """Whether it cannot keep up."""
        return (
            self.needed_ms is not None
            and self.available_ms is not None
            and self.needed_ms > self.available_ms
        )

    @property
    def carries(self) -> str:
        """What it has to carry, for people; empty where no meter takes turns on it."""
        if self.needed_ms is None or self.available_ms is None:
            return ""
        text = f"needs {self.needed_ms:,.0f} of {self.available_ms:,.0f} ms per cycle"
        text += "" if self.busy is None else f", busy {self.busy:.0%}"
        text += f", {self.skipped:,} turns skipped" if self.skipped else ""
        return f"cannot keep up: {text}" if self.too_slow else text


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReport(Part):
    """One meter. `values` is its last sample."""

    line: str
    profile: str
    serial_number: str | None = None
    samples: int = 0
    glitches: int = 0
    """Readings that were not believed."""
    values: dict[str, float] = field(default_factory=dict)
    cross_check_wh: dict[str, float] = field(default_factory=dict)
    """By how much its newest slot is above another account: `demand` (the meter's own
    quarter-hour), `<other meter>.<direction>`.
    """
    clock_offset_s: float | None = None
    """How far its own clock is ahead of ours. It dates nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetReport:
    """One asset: its last closed slot and what became of its items."""

    name: str
    uuid: str
    kind: str
    formula: str
    last_slot_s: int | None = None
    last_energy_wh: float | None = None
    last_quality: str = ""
    last_delivery: str = ""
    last_accepted_slot_s: int | None = None
    """The newest slot that the exchange has accepted."""
    pending: int = 0
    accepted: int = 0
    rejected: int = 0
    missed: int = 0
    last_reason: str = ""
    """The newest reason of a rejection or miss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationReport(Part):
    """One destination: how deliveries go."""

    url: str
    dialect: str
    """How it is spoken to: the dialect of an exchange, or the kind of another destination."""
    backlog: int = 0
    oldest_undelivered_s: int | None = None
    """Start of the oldest slot that is still owed."""
    next_deadline_s: float | None = None
    """When the next pending item can no longer be delivered."""
    sent: int = 0
    """Items that were sent and that it has not answered yet."""
    requests: int = 0
    accepted: int = 0
    rejected: int = 0
    missed: int = 0
    refusals: int = 0
    """Refusals since start that were not believed: what they were of is kept and tried again."""
    refusing_since_s: float | None = None
    """Since when it refuses everything that it is sent; None: it does not."""
    read_back: str = ""
    """Whether the exchange tells what it holds: ok, or why it cannot be asked; empty before it was
    asked.
    """
    confirmed: int = 0
    """Items since start that it was found to hold as they were sent."""
    disagreements: int = 0
    """Answers since start that named another number, or none."""
    unconfirmed: int = 0
    """Accepted items that are still to be asked for; 10,000 are counted at most."""
    disputed: int = 0
    """Items that it holds otherwise in spite of a second delivery: for a person to look into."""

    def healthy(self, now_s: float, started_s: float) -> bool:
        """One that refuses everything is not well, whatever it took a minute ago."""
        return self.refusing_since_s is None and Part.healthy(self, now_s, started_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReport:
    """The machine's clock."""

    trusted: bool
    why: str
    boot_id: str
    trusted_since_s: float | None = None
    """Since when this run of the daemon trusts it."""
    step_s: float | None = None
    """How far it was set when it was last set, since it is trusted."""
    step_at_s: float | None = None
    """When that was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferReport(Part):
    """The local store."""

    path: str
    bytes: int = 0
    max_bytes: int = 0
    samples: int = 0
    slots: int = 0
    unflushed: int = 0
    bytes_written_per_day: int | None = None
    events: list[str] = field(default_factory=list)
    """The newest things a person should know: glitch, reset, swap, gap, damaged file."""
    unallocated: int = 0
    """Records of energy that is in no slot, and that nobody has allocated."""
    unallocated_wh: float = 0.0
    """The energy of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything, at one instant."""

    version: str
    site: str
    now_s: float
    started_s: float
    slot_length_s: int
    lines: list[LineReport]
    meters: list[MeterReport]
    assets: list[AssetReport]
    destinations: list[DestinationReport]
    clock: ClockReport
    buffer: BufferReport
    mqtt: Part | None = None
    warnings: list[str] = field(default_factory=list)
    """What has to be changed in the configuration before the next version."""

    def unhealthy(self) -> list[str]:
        """What has had no recent success, in words; empty when all is well."""
        parts: list[Part] = [*self.lines, *self.meters, *self.destinations, self.buffer]
        if self.mqtt:
            parts.append(self.mqtt)
        found = [
            f"{p.name}: {p.state}" + (f" ({p.last_error})" if p.last_error else "")
            for p in parts
            if not self._ok(p)
        ]
        return found if self.clock.trusted else [*found, f"clock: not trusted ({self.clock.why})"]

    def _ok(self, part: Part) -> bool:
        return part.healthy(self.now_s, self.started_s)

    def to_json(self) -> bytes:
        """The body of `/status`: the report, with the age of each part's last success, and what is
        not well, in words.
        """
        document = to_builtins(self)
        parts = [
            *document["lines"],
            *document["meters"],
            *document["destinations"],
            document["buffer"],
        ]
        for part in [*parts, document["mqtt"]] if document["mqtt"] else parts:
            last_s = part["last_success_s"]
            part["age_s"] = None if last_s is None else max(0.0, self.now_s - last_s)
        document["unhealthy"] = self.unhealthy()
        return json.encode(document)

    @classmethod
    def from_json(cls, data: bytes) -> "Report":
        """Reads what `to_json` wrote. Raises msgspec.ValidationError or msgspec.DecodeError."""
        return json.decode(data, type=cls)


def masked_report(report: Report, masked: Callable[[str], str]) -> Report:
    """The report without what `masked` takes out of a text: of what others said, for our own names
    and words stay as they are.
    """
    return replace(
        report,
        lines=[_masked(line, masked) for line in report.lines],
        meters=[_masked(meter, masked) for meter in report.meters],
        assets=[replace(a, last_reason=masked(a.last_reason)) for a in report.assets],
        destinations=[
            replace(_masked(each, masked), read_back=masked(each.read_back), url=masked(each.url))
            for each in report.destinations
        ],
        buffer=replace(
            _masked(report.buffer, masked), events=[masked(each) for each in report.buffer.events]
        ),
        mqtt=_masked(report.mqtt, masked) if report.mqtt else None,
    )


APart = TypeVar("APart", bound=Part)


def _masked(part: APart, masked: Callable[[str], str]) -> APart:
    return replace(part, last_error=masked(part.last_error)) if part.last_error else part
