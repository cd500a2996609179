"""What was verified, as tables for people and rows for spreadsheets. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import groupby
from uuid import UUID

from gateway.cli.tables import Row, local_text, utc_text, wh, wh_text
from gateway.outbox.comparison import Cause, Compared
from gateway.timing.utc import utc

DAY_S = 86_400

COLUMNS = (
    "start_utc",
    "start_local",
    "asset",
    "uuid",
    "energy_wh",
    "revision",
    "delivery",
    "verdict",
    "history_wh",
    "results_wh",
    "forecast_wh",
    "agreement",
    "cause",
    "detail",
    "can_be_sent_again",
)

HELP: Mapping[Cause, str] = {
    "forecast": "nothing: forecasts are told there, never measurements",
    "revised since": "see outbox",
    "sent too late": "nothing: it is settled",
    "never heard": "see the reason; then --resend",
    "another asset's": "compare UUIDs: exchange assets; then --resend",
    "not accepted": "see outbox",
    "not delivered": "wait, or see outbox",
    "assumed": "outbox retry --state assumed",
    "not in this buffer": "was it sent from elsewhere?",
    "unknown": "--resend, or ask the exchange's operator",
}


def row(compared: Compared, names: Mapping[UUID, str], zone: tzinfo) -> Row:
    """One slot, for a spreadsheet, with its local time in that zone."""
    ours, owed = compared.ours, compared.ours.owed
    return {
        "start_utc": utc_text(compared.slot_s),
        "start_local": local_text(compared.slot_s, zone),
        "asset": names.get(compared.asset, str(compared.asset)),
        "uuid": str(compared.asset),
        "energy_wh": wh(ours.energy_uwh),
        "revision": None if owed is None else owed.item.revision,
        "delivery": None if owed is None else owed.state,
        "verdict": None if owed is None else owed.answer,
        "history_wh": wh(compared.held_uwh.get("history")),
        "results_wh": wh(compared.held_uwh.get("results")),
        "forecast_wh": wh(ours.forecast_uwh),
        "agreement": compared.agreement,
        "cause": compared.cause,
        "detail": compared.detail or None,
        "can_be_sent_again": "yes" if compared.mends else None,
    }


# --- per day and asset ----------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """Slots of one asset over some days of UTC."""

    asset: UUID
    first_s: int
    last_s: int
    counts: Counter[str]
    causes: Counter[str]
    zeros: int = 0
    """Slots that agree at 0 Wh, which proves little."""

    @property
    def is_fine(self) -> bool:
        """Whether all of it agrees."""
        return set(self.counts) == {"agrees"}


def tallies(slots: Iterable[Compared]) -> Iterator[Tally]:
    """Per asset and day."""
    for (asset, day), of_day in groupby(slots, key=lambda each: (each.asset, each.slot_s // DAY_S)):
        tally = Tally(asset, day * DAY_S, day * DAY_S, Counter(), Counter())
        for each in of_day:
            tally.counts[each.agreement] += 1
            if each.cause is not None:
                tally.causes[each.cause] += 1
            tally.zeros += each.agreement == "agrees" and not each.ours.energy_uwh
        yield tally


def joined(found: Iterable[Tally]) -> Iterator[Tally]:
    """The same, but days that follow each other and agree wholly are one."""
    last: Tally | None = None
    for each in found:
        if last and last.is_fine and each.is_fine and _follows(last, each):
            last = Tally(
                last.asset,
                last.first_s,
                each.last_s,
                last.counts + each.counts,
                Counter(),
                last.zeros + each.zeros,
            )
            continue
        if last:
            yield last
        last = each
    if last:
        yield last


def _follows(last: Tally, each: Tally) -> bool:
    return last.asset == each.asset and each.first_s == last.last_s + DAY_S


def day_cells(tally: Tally, names: Mapping[UUID, str]) -> list[str]:
    """For the table of days."""
    days = _date(tally.first_s)
    if tally.last_s != tally.first_s:
        days += f" to {_date(tally.last_s)}"
    causes = ", ".join(f"{count} {cause}" for cause, count in tally.causes.most_common())
    compared = tally.counts["agrees"] + tally.counts["differs"]
    percent = "–" if not compared else _percent(tally.counts["agrees"], compared)
    return [
        days,
        names.get(tally.asset, str(tally.asset)),
        *(_number(tally.counts[what]) for what in ("agrees", "differs", "waits", "untold")),
        percent,
        causes,
    ]


# --- differences ----------------------------------------------------------------------------------


def stretches(slots: Iterable[Compared], slot_s: int) -> Iterator[Sequence[Compared]]:
    """Differences of one asset and one cause that follow each other."""
    stretch: list[Compared] = []
    for each in slots:
        if each.agreement != "differs":
            continue
        if stretch and not _continues(stretch[-1], each, slot_s):
            yield stretch
            stretch = []
        stretch.append(each)
    if stretch:
        yield stretch


def _continues(last: Compared, each: Compared, slot_s: int) -> bool:
    return (last.asset, last.cause, last.detail, last.source) == (
        each.asset,
        each.cause,
        each.detail,
        each.source,
    ) and each.slot_s == last.slot_s + slot_s


def stretch_cells(stretch: Sequence[Compared], names: Mapping[UUID, str]) -> list[str]:
    """For the table of differences."""
    first, last = stretch[0], stretch[-1]
    assert first.cause is not None
    clock = "%H:%M" if all(each.slot_s % 60 == 0 for each in stretch) else "%H:%M:%S"
    slots = f"{utc(first.slot_s):%Y-%m-%d {clock}}Z"
    if len(stretch) > 1:
        same = first.slot_s // DAY_S == last.slot_s // DAY_S
        slots += f" to {utc(last.slot_s):{clock if same else f'%Y-%m-%d {clock}'}}Z"
    return [
        slots,
        str(len(stretch)),
        names.get(first.asset, str(first.asset)),
        *_told_apart(
            _sum([each.ours.energy_uwh for each in stretch]),
            _sum([held_uwh(each) for each in stretch]),
        ),
        first.source or "verdict",
        first.cause,
        first.detail,
        "--resend" if first.mends else HELP[first.cause],
    ]


def held_uwh(compared: Compared) -> int | None:
    """What the exchange holds where it differs."""
    return None if compared.source is None else compared.held_uwh.get(compared.source)


def _told_apart(here_uwh: int | None, there_uwh: int | None) -> tuple[str, str]:
    """Both in Wh, to the µWh where they would look alike."""
    here, there = wh_text(here_uwh), wh_text(there_uwh)
    if here != there or here_uwh is None or there_uwh is None:
        return here, there
    return f"{here_uwh / 1e6:.6f}", f"{there_uwh / 1e6:.6f}"


def _sum(energies: Sequence[int | None]) -> int | None:
    known = [each for each in energies if each is not None]
    return sum(known) if known else None


def _percent(part: int, whole: int) -> str:
    """Never 100 where something is missing."""
    return f"{part * 1000 // whole / 10:g} %"


def _number(count: int) -> str:
    return str(count) if count else ""


def _date(at_s: int) -> str:
    return f"{utc(at_s):%Y-%m-%d}"
