"""What was verified, as JSON for programs: docs/commands.md explains each key. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from gateway.cli.tables import utc_text
from gateway.cli.verification import Verified
from gateway.cli.verified_tables import Tally, row, tallies
from gateway.timing.utc import utc


@dataclass(slots=True)
class Resent:
    """What came of sending once more."""

    owed_again: int = 0
    left: Counter[str] = field(default_factory=Counter)
    """What cannot be mended so, by cause."""
    decided_meanwhile: int = 0
    """By the daemon."""


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Slots, by what came of the comparison."""

    agrees: int
    differs: int
    waits: int
    untold: int
    agrees_at_zero: int
    """Of those that agree: at 0 Wh, which proves little."""


class Day(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One asset's day in UTC."""

    day: str
    asset: str
    uuid: str
    slots: Counts
    causes: dict[str, int]


class Difference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One slot. Its keys are the columns of the CSV file."""

    start_utc: str
    start_local: str
    asset: str
    uuid: str
    energy_wh: float | None
    revision: int | None
    delivery: str | None
    verdict: str | None
    history_wh: float | None
    results_wh: float | None
    forecast_wh: float | None
    agreement: str
    cause: str | None
    detail: str | None
    can_be_sent_again: bool


class SentAgain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of --resend."""

    owed_again: int
    left_as_they_are: dict[str, int]
    decided_meanwhile: int


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    since_utc: str
    until_utc: str
    sources: list[str]
    slots: Counts
    can_be_sent_again: int
    days: list[Day]
    differences: list[Difference]
    problems: list[str]
    notes: list[str]
    resent: SentAgain | None


def report_of(verified: Verified, resent: Resent | None) -> Report:
    """The whole report."""
    days = list(tallies(verified.slots))
    return Report(
        since_utc=utc_text(verified.since_s),
        until_utc=utc_text(verified.until_s),
        sources=list(verified.sources),
        slots=_counts(sum((d.counts for d in days), Counter()), sum(d.zeros for d in days)),
        can_be_sent_again=sum(each.mends for each in verified.slots),
        days=[_day(tally, verified.names) for tally in days],
        differences=_differences(verified),
        problems=list(verified.problems),
        notes=list(verified.notes),
        resent=None
        if resent is None
        else SentAgain(resent.owed_again, dict(resent.left), resent.decided_meanwhile),
    )


def _counts(counts: Counter[str], zeros: int) -> Counts:
    return Counts(
        agrees=counts["agrees"],
        differs=counts["differs"],
        waits=counts["waits"],
        untold=counts["untold"],
        agrees_at_zero=zeros,
    )


def _day(tally: Tally, names: Mapping[UUID, str]) -> Day:
    return Day(
        day=f"{utc(tally.first_s):%Y-%m-%d}",
        asset=names.get(tally.asset, str(tally.asset)),
        uuid=str(tally.asset),
        slots=_counts(tally.counts, tally.zeros),
        causes=dict(tally.causes),
    )


def _differences(verified: Verified) -> list[Difference]:
    found = []
    for each in verified.slots:
        if each.agreement == "differs":
            values = {**row(each, verified.names, verified.zone), "can_be_sent_again": each.mends}
            found.append(msgspec.convert(values, Difference))
    return found
