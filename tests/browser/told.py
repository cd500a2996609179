"""What the pages of a test are told: answers as the history gives them, which a test changes."""

from collections.abc import Sequence
from datetime import date

from msgspec.structs import replace
from msgspec.structs import replace as with_fields

from gateway.history.answers import (
    Day,
    Events,
    ExchangeNow,
    MeterNow,
    MeterStory,
    Month,
    Node,
    Now,
    Problem,
    SlotStory,
    Sums,
)
from gateway.history.refusals import NotThere, Refusal
from gateway.monitoring.report import BufferReport, ClockReport, Report
from tests.gateway.page import sample_answers as sample


def report() -> Report:
    """A gateway without parts, which is well, at the time of the sample's answers."""
    return Report(
        version="0.1.0",
        site="home-12",
        now_s=sample.NOW_S,
        started_s=sample.NOW_S - 86_400,
        slot_length_s=900,
        lines=[],
        meters=[],
        assets=[],
        destinations=[],
        clock=ClockReport(trusted=True, why="the kernel says it is synchronised", boot_id="b7e1"),
        buffer=BufferReport(
            name="buffer",
            state="ok",
            last_success_s=sample.NOW_S - 20,
            max_age_s=180,
            path="/var/lib/meter-gateway/buffer.sqlite",
        ),
    )


class Told:
    """Stands for `gateway.history.history.History`."""

    def __init__(self, state: Now | None = None, day: Day | None = None) -> None:
        self.state = state if state is not None else sample.now()
        self.today_is: Day | None = day if day is not None else sample.day()
        self.refusal: Refusal | None = None
        """Why nothing that was can be told; None: it can."""

    def report(self) -> Report:
        return with_fields(report(), now_s=self.state.at_s)

    def problems(self, _: Report) -> Sequence[Problem]:
        return self.state.problems

    def nodes(self, _: Report) -> list[Node]:
        return self.state.nodes

    def today(self) -> date:
        return date.fromisoformat(sample.DAY)

    def power(self, **power_w: float | None) -> None:
        """The power of the nodes of these roles is another one now."""
        nodes = [
            replace(each, power_w=power_w.get(each.role, each.power_w)) for each in self.state.nodes
        ]
        self.state = replace(self.state, nodes=nodes)

    async def now(self) -> Now:
        return self.state

    async def day(self, day: date) -> Day:
        self._may()
        if self.today_is is None or day.year != 2026:
            raise NotThere(f"nothing is kept of {day}")
        return self.today_is if day == self.today() else replace(sample.whole_day(), day=str(day))

    async def month(self, _: date) -> Month:
        self._may()
        return sample.month()

    async def slot(self, asset: str, start_s: int) -> SlotStory:
        self._may()
        if asset not in (sample.HOUSE, sample.SUN):
            raise NotThere(f"there is no asset {asset!r}")
        return replace(sample.slot(), asset=asset, start_s=start_s)

    async def meters(self) -> list[MeterNow]:
        return sample.meters() if self.state.meters else []

    async def meter(self, name: str) -> MeterStory:
        self._may()
        if name != "grid":
            raise NotThere(f"there is no meter {name!r}")
        return sample.meter_story()

    async def exchange(self) -> ExchangeNow:
        return sample.exchange()

    async def events(self, before: int | None = None, meter: str | None = None) -> Events:
        self._may()
        del before, meter
        return sample.events()

    def _may(self) -> None:
        if self.refusal is not None:
            raise self.refusal


def long_names() -> tuple[Now, Day]:
    """Names of 200 characters, with markup in them."""
    name = "<img src=x onerror=\"document.title='owned'\">" + "Straßenbahnremise-" * 9
    nodes = [replace(each, title=name) for each in sample.NODES]
    day = sample.day()
    assets = [replace(each, title=name) for each in day.assets]
    problem = replace(sample.PV_SILENT, subject=name)
    return (
        sample.now(nodes=nodes, mood="warn", problems=[problem], behind=[name]),
        replace(day, assets=assets),
    )


def states() -> dict[str, Told]:
    """Every state that the pages are looked at in."""
    losing = sample.EXCHANGE_AWAY_LOSING
    starting, empty = Told(sample.starting()), Told(sample.empty())
    starting.today_is = empty.today_is = None
    unread = Told(sample.now(today=Sums(), yesterday_by_now=Sums(), peak=None))
    unread.refusal = Refusal("the store is locked by another program")
    thirty = Told(sample.thirty())
    thirty.today_is = sample.day(assets=[])
    return {
        "well": Told(),
        "starting": starting,
        "silent": Told(sample.silent()),
        "exchange_away": Told(sample.now(mood="warn", problems=[sample.EXCHANGE_AWAY])),
        "undated_away": Told(sample.now(mood="bad", problems=[losing])),
        "clock": Told(sample.now(mood="warn", problems=[sample.CLOCK])),
        "disk": Told(sample.now(mood="bad", problems=[sample.DISK, sample.EXCHANGE_AWAY])),
        "refused": Told(sample.now(mood="warn", problems=[sample.REFUSED])),
        "empty": empty,
        "thirty_meters": thirty,
        "long_names": Told(*long_names()),
        "unread": unread,
    }
