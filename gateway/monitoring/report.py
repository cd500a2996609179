"""The daemon's own account of itself: plain data, made by the parts, shown by the page, the JSON,
the metrics and `status`. Pure.

Times are Unix seconds; None means never. Health means *recent success*, not *process up*. It is
earned: until everything has been heard from once since the start, the gateway is `starting`. What
the page, `status`, `/healthz`, the metrics and systemd say of it all comes from `Report.verdict`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, TypeVar

import msgspec
from msgspec import json, to_builtins
from msgspec.structs import replace

from gateway.outbox.item import EXCHANGE

Verdict = Literal["well", "starting", "unwell"]
"""starting: nothing is known to be wrong, and not everything has been heard from yet."""

NOT_HEARD = "not heard"
"""So the state of a destination's verdicts begins where they should be heard, and are not."""

MOST_TOLD = 3
"""So many things are named in one line."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can fail by itself. It is healthy while `last_success_s` is younger than
    `max_age_s`. Until it was heard from it is given that time, too, unless it fails.
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
    refused: bool = False
    """The other side said no, and waiting will not help: it is not well from then on."""
    asleep: str = ""
    """Why its silence is no fault, in words; empty where it is one."""

    def age_s(self, now_s: float) -> float | None:
        """Seconds since the last success."""
        return None if self.last_success_s is None else max(0.0, now_s - self.last_success_s)

    def healthy(self, now_s: float, started_s: float) -> bool:
        """Whether it succeeded recently, or may yet, or need not."""
        if self.asleep:
            return True
        if self.refused or (self.last_success_s is None and self.errors):
            return False
        return now_s - (self.last_success_s or started_s) <= self.max_age_s

    @property
    def is_awaited(self) -> bool:
        """Whether nothing was heard of it yet that should have been."""
        return self.last_success_s is None and not self.asleep


class LineReport(Part, frozen=True, kw_only=True):
    """One line. What it has to carry is known where meters take turns on it."""

    needed_ms: float | None = None
    """What the meters' turns of one cycle need by the standard."""
    available_ms: float | None = None
    """The length of the cycle: the shortest interval of the line's meters."""
    busy: float | None = None
    """The measured share of the last minute in which the line was in use, 0 to 1."""
    skipped: int = 0
    """Turns since start that fell out because the line was not free in time."""
    strangers: int = 0
    """Frames since start that nobody here has asked for: another master's."""

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
        text += f", {self.strangers:,} frames of another master" if self.strangers else ""
        return f"cannot keep up: {text}" if self.too_slow else text


class MeterReport(Part, frozen=True, kw_only=True):
    """One meter. `values` is its last sample."""

    line: str
    profile: str
    serial_number: str | None = None
    errors_last_hour: int = 0
    samples: int = 0
    glitches: int = 0
    """Readings that were not believed."""
    values: dict[str, float] = msgspec.field(default_factory=dict)
    cross_check_wh: dict[str, float] = msgspec.field(default_factory=dict)
    """By how much its newest slot is above another account: `demand` (the meter's own
    quarter-hour), `<other meter>.<direction>`.
    """
    clock_offset_s: float | None = None
    """How far its own clock is ahead of ours. It dates nothing."""
    dialect: str = ""
    """Of a meter that pushes: the profile by which its telegrams are understood."""
    checksum: str = ""
    """Whether its last telegram had one: `right`, `none`, `not looked at`; empty where there are
    none, or they are always checked.
    """
    unused: list[str] = msgspec.field(default_factory=list)
    """The ids of the lines of its last telegram of which no value was made."""
    unbelieved: int = 0
    """Readings in a row of which a register was not believed."""
    unbelieved_why: str = ""
    """Why, and what to do; empty while readings are believed."""

    def healthy(self, now_s: float, started_s: float) -> bool:
        """Whether it is heard, and believed."""
        return not self.unbelieved_why and super().healthy(now_s, started_s)


class ForecastSlot(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of a slot, or was when it began."""

    start_s: int
    energy_wh: float
    low_wh: float | None = None
    """In 10 % of slots it is less; None: nobody knows."""
    high_wh: float | None = None
    """In 10 % of slots it is more."""
    by: str = ""
    """How: auto, last_slot, yesterday or last_week."""


class SentErrors(msgspec.Struct, frozen=True, kw_only=True):
    """How far another quantile than the median was off, as it was sent, beside the median that
    stood when the slot began: for the same slots of whole days (UTC).
    """

    slots: int
    """How many were judged."""
    mean_error_wh: float
    median_mean_error_wh: float
    sums_off_by: float | None
    """By how much the sum of what was sent is more than what came, as a share of that; None:
    nothing came.
    """
    median_sums_off_by: float | None


class ForecastErrors(msgspec.Struct, frozen=True, kw_only=True):
    """How far forecasts of the second slot ahead were off, over whole days (UTC)."""

    days: int
    slots: int = 0
    """How many were judged."""
    mean_error_wh: float | None = None
    """Of what is learned; None: nothing was judged."""
    naive_mean_error_wh: dict[str, float | None] = msgspec.field(default_factory=dict)
    """Of the naive ones, for the same slots, by their names."""
    best_naive: str = ""
    inside_band: float | None = None
    """Share of slots within the band of 10 to 90 %, 0 to 1; dark ones do not count."""
    sums_off_by: float | None = None
    """By how much the sum of forecasts is more than what came, as a share of that."""
    sent: SentErrors | None = None
    """None: the median is sent, or nothing was judged."""


class ForecastReport(msgspec.Struct, frozen=True, kw_only=True):
    """One asset's forecasts."""

    method: str
    """As gateway.yaml has it: auto, last_slot, yesterday, last_week or none."""
    by: str = ""
    """How they come about now: another than `method` where that was worse; empty: there is none."""
    since_s: int | None = None
    """Start of the first slot that was learned."""
    words: str = ""
    """How far it is, for people: learning since Tuesday."""
    sends: str = ""
    """What is sent in place of the median: sums within 5 %; empty: the median is sent."""
    upcoming: list[ForecastSlot] = msgspec.field(default_factory=list)
    """The slot that runs, and those to come."""
    last: ForecastSlot | None = None
    """The newest slot that has closed, as it was expected when it began."""
    last_energy_wh: float | None = None
    """What came of it."""
    errors: list[ForecastErrors] = msgspec.field(default_factory=list)
    """Over 1, 7 and 28 days."""

    @property
    def is_replaced(self) -> bool:
        """Whether a naive one is sent, since what was learned was worse."""
        return self.method == "auto" and self.by not in ("", "auto")

    def next_slot(self, now_s: float) -> ForecastSlot | None:
        """The first one that has not begun."""
        return next((each for each in self.upcoming if each.start_s >= now_s), None)


class AssetReport(msgspec.Struct, frozen=True, kw_only=True):
    """One asset: its last closed slot and what became of its items."""

    name: str
    uuid: str
    kind: str
    formula: str
    last_slot_s: int | None = None
    last_energy_wh: float | None = None
    last_uncertainty_wh: float | None = None
    """By how much that may be off, either way; None: not known."""
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
    refused: str = ""
    """Why the exchange refuses the newest slot that it was sent, which is kept and asked for again;
    empty where it took that.
    """
    forecast: ForecastReport | None = None
    """None: not told."""


CertificateState = Literal["", "ends", "ended", "not_yet"]
CERTIFICATE_SOON_S = 30 * 86_400.0
"""So long before a certificate of ours ends it is said: another one has to be brought."""


def certificate_state(
    begins_s: float | None, ends_s: float | None, now_s: float
) -> CertificateState:
    """What is to be said of a certificate of ours: it has ended, or ends soon, or is not valid yet;
    empty where nothing is.
    """
    if ends_s is not None and now_s > ends_s:
        return "ended"
    if begins_s is not None and now_s < begins_s:
        return "not_yet"
    return "ends" if ends_s is not None and ends_s - now_s < CERTIFICATE_SOON_S else ""


def certificate_words(
    name: str, file: str, begins_s: float | None, ends_s: float | None, now_s: float
) -> str:
    """The same in words, of the destination of that name; times are UTC."""
    state = certificate_state(begins_s, ends_s, now_s)
    if not state:
        return ""
    edge_s = (begins_s if state == "not_yet" else ends_s) or 0.0
    it = f"{name}: the certificate {file}"
    when = f"{datetime.fromtimestamp(edge_s, UTC):%Y-%m-%d %H:%M}Z"
    if state == "not_yet":
        return f"{it} is not valid before {when}: is the clock right?"
    verb = "ended" if state == "ended" else "ends"
    return (
        f"{it} {verb} {when}: the community's manager makes a new one (fleet sites renew); copy it "
        "over that file"
    )


class DestinationReport(Part, frozen=True, kw_only=True):
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
    next_try_s: float | None = None
    """When it is tried again, of one that fails; None: it does not, or it is being tried."""
    requests: int = 0
    accepted: int = 0
    rejected: int = 0
    missed: int = 0
    refusals: int = 0
    """Refusals since start that were not believed: what they were of is kept and tried again."""
    refusing_since_s: float | None = None
    """Since when it refuses everything that it is sent; None: it does not."""
    refuses: dict[str, str] = msgspec.field(default_factory=dict)
    """The assets or series whose last word from it since the start was a refusal, and why."""
    verdicts: str = ""
    """How its own verdicts on what it took are heard: on, off, or what is wrong; empty where it has
    none.
    """
    unheard: dict[str, str] = msgspec.field(default_factory=dict)
    """The assets whose numbers it takes and never gives a verdict on, and what that may mean."""
    unheard_items: int = 0
    """How often since start no verdict came on what it took, though it would have been heard."""
    registry: dict[str, str] = msgspec.field(default_factory=dict)
    """What its registry says otherwise than gateway.yaml, by the asset's name."""
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
    greets: bool = True
    """Whether it can be heard from before anything is owed."""
    disputed: int = 0
    """Items that it holds otherwise in spite of a second delivery: for a person to look into."""
    certificate: str = ""
    """The file of the certificate with which it knows us; empty where it asks for none."""
    certificate_begins_s: float | None = None
    certificate_ends_s: float | None = None
    """From when to when that holds; None where it cannot be read."""

    def certificate_state(self, now_s: float) -> CertificateState:
        """What is to be said of it: empty where nothing is."""
        return certificate_state(self.certificate_begins_s, self.certificate_ends_s, now_s)

    def certificate_words(self, now_s: float) -> str:
        """The same in words."""
        validity = self.certificate_begins_s, self.certificate_ends_s
        return certificate_words(self.name, self.certificate, *validity, now_s)

    def healthy(self, now_s: float, started_s: float) -> bool:
        """One that refuses everything is not well, whatever it took a minute ago."""
        return self.refusing_since_s is None and super().healthy(now_s, started_s)


class ClockReport(msgspec.Struct, frozen=True, kw_only=True):
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
    overdue: bool = False
    """Whether it is not trusted, and waiting longer will hardly help."""


class BufferReport(Part, frozen=True, kw_only=True):
    """The local store."""

    path: str
    bytes: int = 0
    max_bytes: int = 0
    samples: int = 0
    slots: int = 0
    unflushed: int = 0
    bytes_written_per_day: int | None = None
    events: list[str] = msgspec.field(default_factory=list)
    """The newest things a person should know: glitch, reset, swap, gap, damaged file."""
    unallocated: int = 0
    """Records of energy that is in no slot, and that nobody has allocated."""
    unallocated_wh: float = 0.0
    """The energy of these."""


class MarketReport(msgspec.Struct, frozen=True, kw_only=True):
    """One market that the grid operator's agent sets fees in. Fees are in the network's unit."""

    name: str
    uuid: str
    model: str = ""
    fee: float | None = None
    """What it charges in the slot that runs, by the exchange's own word; None: not told."""
    next_fee: float | None = None
    """What it is to charge in the next slot; None: not decided yet."""
    next_slot_s: int | None = None
    state: str = ""
    """What became of that: decided, sent, taken …"""
    why: str = ""
    """Why it is that fee."""
    reason: str = ""
    """Why it was not taken."""
    load_percent: float | None = None
    """Of the transformer's rating, where the model goes by it."""


class GridOperatorReport(Part, frozen=True, kw_only=True):
    """The grid operator's agent. Its last success is a fee that was taken."""

    url: str
    aggregator: str
    unit: str
    """Of the fees: ct/kWh or %."""
    dry_run: bool = False
    connection: str = ""
    """How the exchange is heard."""
    slot_s: int | None = None
    """The slot that runs, by the exchange."""
    markets: list[MarketReport] = msgspec.field(default_factory=list)
    left_out: dict[str, str] = msgspec.field(default_factory=dict)
    """The markets whose fees are not set, and why."""
    stray_events: int = 0
    """Events since start that were doubled, or older than what had been told."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
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
    grid_operator: GridOperatorReport | None = None
    """None where there is none."""
    warnings: list[str] = msgspec.field(default_factory=list)
    """What has to be changed in the configuration before the next version."""
    zone: str = ""
    """The site's time zone, as in the IANA database; empty where a version before did not say."""

    @property
    def verdict(self) -> Verdict:
        """How it all is."""
        if self.unhealthy():
            return "unwell"
        return "starting" if self.starting() else "well"

    def unhealthy(self) -> list[str]:
        """What is not well, in words; empty where nothing is."""
        unwell = [part for part in self._parts if not self._ok(part)]
        # A line is as well as the best of its meters: they say what is wrong.
        told = {part.line for part in unwell if isinstance(part, MeterReport)}
        found = [
            _complaint(part, self.now_s - (part.last_success_s or self.started_s))
            for part in unwell
            if not (isinstance(part, LineReport) and part.name in told)
        ]
        return [*found, f"clock: not trusted ({self.clock.why})"] if self.clock.overdue else found

    def starting(self) -> list[str]:
        """What has not been heard from yet since the start, and may be yet, in words."""
        awaited: list[Part] = [*self.meters, *(each for each in self.destinations if each.greets)]
        if self.mqtt:
            awaited.append(self.mqtt)
        if self.grid_operator:
            awaited.append(self.grid_operator)
        found = [
            f"{each.name} not heard yet" for each in awaited if each.is_awaited and self._ok(each)
        ]
        if self.clock.trusted or self.clock.overdue:
            return found
        return [*found, "the clock is not synchronised yet"]

    def undelivered(self) -> list[str]:
        """What became of the last slots that will not be delivered, in words. It is worth a look,
        and does not make the gateway unwell. That the slot of the start cannot be delivered is no
        surprise.
        """
        is_told = any(each.refusing_since_s for each in self.destinations if each.name == EXCHANGE)
        refused = [
            f"{asset.name}: the last slot is refused ({asset.refused})"
            for asset in self.assets
            if asset.refused and not is_told
        ]
        refused += [
            f"{name}: {'the exchange' if each.name == EXCHANGE else each.name} takes its numbers "
            f"and {why}"
            for each in self.destinations
            for name, why in sorted(each.unheard.items())
        ]
        refused += [
            f"{name}: {text}"
            for each in self.destinations
            for name, text in sorted(each.registry.items())
        ]
        refused += [
            f"{each.name}: verdicts are {each.verdicts}"
            for each in self.destinations
            if each.sent and each.verdicts.startswith(NOT_HEARD)
        ]
        if self.grid_operator:
            refused += _fees_not_taken(self.grid_operator)
        # Of the exchange the assets say it, one by one.
        refused += [
            f"{each.name} refuses {_few(sorted(each.refuses), ', ')} ({why})"
            for each in self.destinations
            if each.name != EXCHANGE and not each.refusing_since_s
            for why in list(each.refuses.values())[-1:]
        ]
        return refused + [
            f"{asset.name}: the last slot was {asset.last_delivery}"
            + (f" ({asset.last_reason})" if asset.last_reason else "")
            for asset in self.assets
            if asset.last_delivery in ("rejected", "missed")
            and not (asset.last_quality == "partial" and self._is_before_start(asset.last_slot_s))
        ]

    def certificates(self) -> list[str]:
        """What is to be said of certificates of ours, in words; nothing while nobody knows what
        time it is.
        """
        if not self.clock.trusted:
            return []
        return list(
            filter(None, (each.certificate_words(self.now_s) for each in self.destinations))
        )

    def _is_before_start(self, slot_s: int | None) -> bool:
        return slot_s is not None and slot_s < self.started_s

    def reasons(self) -> list[str]:
        """All that a person should look at or wait for, in words; empty when all is well."""
        verdict = self.verdict
        if verdict == "starting":
            told = [f"starting: {', '.join(self.starting())}"]
        else:
            told = self.unhealthy()
        return [*told, *self.undelivered(), *self.certificates()]

    def headline(self) -> str:
        """How it all is, in a few words."""
        if self.verdict == "starting":
            return f"starting: {_few(self.starting(), ', ')}"
        count = len(self.reasons())
        if count:
            return "one thing needs attention" if count == 1 else f"{count} things need attention"
        return "all is well"

    def summary(self) -> str:
        """The same, and what it is about, in one line."""
        if self.verdict == "starting" or not (reasons := self.reasons()):
            return self.headline()
        return f"{self.headline()}: {_few(reasons, '; ')}"

    @property
    def _parts(self) -> list[Part]:
        parts: list[Part] = [*self.lines, *self.meters, *self.destinations, self.buffer]
        return [*parts, *(part for part in (self.mqtt, self.grid_operator) if part)]

    def _ok(self, part: Part) -> bool:
        return part.healthy(self.now_s, self.started_s)

    def to_json(self, **more: object) -> bytes:
        """The body of `/status`: the report, with the age of each part's last success, whether it
        is well, and how it all is, in words; and what else there is to say.
        """
        document = to_builtins(self)
        shown = [
            *document["lines"],
            *document["meters"],
            *document["destinations"],
            document["buffer"],
            *(document[key] for key in ("mqtt", "grid_operator") if document[key]),
        ]
        for entry, part in zip(shown, self._parts, strict=True):
            entry["age_s"] = part.age_s(self.now_s)
            entry["healthy"] = self._ok(part)
        document["verdict"] = self.verdict
        document["headline"] = self.headline()
        document["reasons"] = self.reasons()
        document["unhealthy"] = self.unhealthy()
        document |= more
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
        assets=[
            replace(a, last_reason=masked(a.last_reason), refused=masked(a.refused))
            for a in report.assets
        ],
        destinations=[
            replace(
                _masked(each, masked),
                read_back=masked(each.read_back),
                verdicts=masked(each.verdicts),
                registry={name: masked(text) for name, text in each.registry.items()},
                url=masked(each.url),
                refuses={name: masked(why) for name, why in each.refuses.items()},
            )
            for each in report.destinations
        ],
        buffer=replace(
            _masked(report.buffer, masked), events=[masked(each) for each in report.buffer.events]
        ),
        mqtt=_masked(report.mqtt, masked) if report.mqtt else None,
        grid_operator=_masked_operator(report.grid_operator, masked),
    )


def _masked_operator(
    operator: GridOperatorReport | None, masked: Callable[[str], str]
) -> GridOperatorReport | None:
    if operator is None:
        return None
    return replace(
        _masked(operator, masked),
        url=masked(operator.url),
        connection=masked(operator.connection),
        markets=[replace(each, reason=masked(each.reason)) for each in operator.markets],
        left_out={name: masked(text) for name, text in operator.left_out.items()},
    )


APart = TypeVar("APart", bound=Part)


def _masked(part: APart, masked: Callable[[str], str]) -> APart:
    return replace(part, last_error=masked(part.last_error)) if part.last_error else part


def _fees_not_taken(operator: GridOperatorReport) -> list[str]:
    """The markets whose next fee will not be what it should be, in words."""
    found = [
        f"market {name}: {text}" if name else text
        for name, text in sorted(operator.left_out.items())
    ]
    return found + [
        f"market {each.name}: the next fee is {each.state.replace('_', ' ')} ({each.reason})"
        for each in operator.markets
        if each.state in ("refused", "kept_old", "too_late", "silent")
    ]


def _complaint(part: Part, silent_s: float) -> str:
    """What is not well with it, which had no success for `silent_s`."""
    if isinstance(part, MeterReport) and part.unbelieved_why:
        return f"{part.name}: {part.unbelieved_why}"
    if part.state == "ok" and silent_s > part.max_age_s:
        done = "delivered" if isinstance(part, DestinationReport) else "done"
        return f"{part.name}: nothing was {done} for {silent_s:.0f} s, which should not be"
    return f"{part.name}: {part.state}" + (f" ({part.last_error})" if part.last_error else "")


def _few(texts: list[str], between: str) -> str:
    """The first of them, and how many more there are."""
    more = len(texts) - MOST_TOLD
    told = between.join(texts[:MOST_TOLD])
    return f"{told} and {more} more" if more > 0 else told
