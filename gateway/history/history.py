"""What is asked of a gateway: what is, and what was. Every answer is plain data (`answers.py`).

What is comes from the report of the moment, what was from the store, over `Archive`. Where the
store cannot be read, what is is told all the same.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

from gateway.history.answers import (
    Day,
    Events,
    ExchangeNow,
    MeterNow,
    MeterStory,
    Month,
    Node,
    Now,
    Peak,
    Problem,
    SlotStory,
)
from gateway.history.archive import Archive
from gateway.history.day_accounts import DayAccounts
from gateway.history.days import day_of, month_of
from gateway.history.home import Home
from gateway.history.now import (
    PeakBefore,
    Today,
    exchange_of,
    highest,
    meters_of,
    nodes_of,
    now_of,
    recorded_of,
    today_of,
)
from gateway.history.problems import mood_of, problems_of
from gateway.history.refusals import Refusal
from gateway.history.stories import availability, day_line, events_before, slot_story
from gateway.monitoring.report import Report
from gateway.store.archive import Look

T = TypeVar("T")


class History:
    """Answers. Each question may raise a Refusal, whose text is for whoever asked."""

    def __init__(
        self,
        home: Home,
        path: Path,
        report: Callable[[], Report],
        masked: Callable[[str], str],
        *,
        max_gap_s: float,
        undated: frozenset[str] = frozenset(),
    ) -> None:
        """`path` is the store's, `report` makes that of the moment, `masked` takes secrets out of
        what others said, `undated` are the destinations at which a number can be too late.
        """
        self.home = home
        self._report = report
        self._archive = Archive(path, home.slot_s, masked)
        self._max_gap_s = max_gap_s
        self._undated = undated
        self._days = DayAccounts(home, self._archive.ask)
        self._known_peak: PeakBefore | None = None

    def problems(self, report: Report) -> list[Problem]:
        """What a person should know of this report, the worst first."""
        return problems_of(report, self._max_gap_s, self._undated)

    def nodes(self, report: Report) -> list[Node]:
        """The flow of power."""
        return nodes_of(self.home, report)

    async def now(self) -> Now:
        """What the first page shows. It is never refused: where the store cannot be read, that is
        one problem more.
        """
        report = self._report()
        problems = self.problems(report)
        try:
            before = await self._peak_before(report.now_s)
            today = await self._ask(lambda look: today_of(look, self.home, report.now_s, before))
        except Refusal as error:
            today = Today()
            problems.append(_unread(error))
        mood = mood_of(report, problems)
        return now_of(self.home, report, problems, mood, today)

    async def day(self, day: date) -> Day:
        """One local day, slot by slot."""
        today = self.today()
        return await self._ask(lambda look: day_of(look, self.home, day, today))

    async def month(self, month: date) -> Month:
        """The local month that a day lies in."""
        today = self.today()
        days = [day for day in self.home.days(*self.home.month_span(month)) if day <= today]
        accounts = await self._days.of(days, today)
        return await self._ask(lambda look: month_of(look, self.home, month, accounts))

    async def slot(self, asset: str, start_s: int) -> SlotStory:
        """Why a slot of an asset (its UUID or name) is what it is."""
        found = self.home.asset(asset)
        return await self._ask(lambda look: slot_story(look, self.home, found, start_s))

    async def meters(self) -> list[MeterNow]:
        """Every meter. It is never refused, as `now`."""
        report = self._report()
        try:
            available = await self._ask(lambda look: availability(look, self.home, report.now_s))
        except Refusal:
            available = {}
        return meters_of(self.home, report, available)

    async def meter(self, name: str) -> MeterStory:
        """One meter's last 24 hours."""
        device = self.home.device(name)
        now_s = self._report().now_s
        power = await self._ask(lambda look: day_line(look, device, now_s))
        [meter] = [each for each in await self.meters() if each.name == name]
        return MeterStory(meter=meter, zone=self.home.zone, power=power)

    async def exchange(self) -> ExchangeNow:
        """All destinations. It is never refused, as `now`."""
        report = self._report()
        try:
            recorded = await self._ask(lambda look: recorded_of(look, self.home, report.now_s))
        except Refusal:
            recorded = {}
        return exchange_of(self.home, report.destinations, recorded, self._undated)

    async def events(self, before: int | None = None, meter: str | None = None) -> Events:
        """The newest events, or those before one; of one meter, where one is named."""
        if meter:
            self.home.device(meter)
        return await self._ask(lambda look: events_before(look, self.home, before, meter or None))

    def today(self) -> date:
        """The local day that it is."""
        return self.home.day_of(self._report().now_s)

    async def _peak_before(self, now_s: float) -> Peak | None:
        """The highest slot of the month before today. Raises Refusal."""
        today = self.home.day_of(now_s)
        if self._known_peak is None or not self._known_peak.is_of(today, now_s):
            month = [today.replace(day=n) for n in range(1, today.day)]
            accounts = await self._days.of(month, today)
            peak = highest(account.peak for account in accounts.values())
            self._known_peak = PeakBefore(today, now_s, peak)
        return self._known_peak.peak

    async def _ask(self, question: Callable[[Look], T]) -> T:
        return await self._archive.ask(question)


def _unread(error: Refusal) -> Problem:
    return Problem(
        id="store_unread",
        subject="",
        severity="warn",
        since_s=None,
        facts={"reason": str(error)},
    )
