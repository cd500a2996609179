"""When a refusal is a verdict, and what it does to everything else meanwhile: a destination that
refuses at times, the policy, and the schedule, in a time of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.outbox.dialects import load_dialect
from gateway.outbox.format import Accepted, Format, Margins, Outcome, Rejected, Retry
from gateway.outbox.item import Item, Kind
from gateway.outbox.owed import LIVE_SLOTS, Owed
from gateway.outbox.refusals import ALIKE_S, BESIDE_OTHERS_S, FINAL_AFTER_S, Refusals
from gateway.outbox.schedule import Doubted, Portion, Schedule, halves
from tests.draws import draws

NETWORK = "8a2c0f5e-93a1-4a5e-b5f5-0c7f2f1d3f10"
A, B, C = (UUID(int=n) for n in (1, 2, 3))
SLOT = 900
T0 = 1_774_746_000
PAUSE_S = 45.0
"""How long a destination that refuses everything is left alone."""
ROUND_S = 0.1

Says = Callable[[Portion, float], Outcome]
NOT_FOUND = Rejected("answered 404: no such asset", whole=True, cause="404")
BAD = Rejected("answered 400: bad", cause="400")


@dataclass
class Site:
    """What one destination is owed, slot by slot, and how it is delivered."""

    assets: Sequence[UUID]
    says: Says
    dialect: str = "sdk"
    now_s: float = T0 + 1.0
    owed: dict[Item, Owed] = field(default_factory=dict)
    decided: dict[Item, tuple[str, float]] = field(default_factory=dict)
    sent: list[tuple[float, Portion]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.format: Format = load_dialect(self.dialect, NETWORK, SLOT)
        self.start()

    def start(self) -> None:
        """The daemon is started (again): only what is on disk is known."""
        self.schedule = Schedule(self.format, SLOT, 3600.0)
        self.refusals = Refusals(SLOT, len(self.assets))
        self.booted_s = self.now_s - 7.0

    def owe(self, slot_s: int, kind: Kind = "measurement") -> None:
        for asset in self.assets:
            window = self.format.window(kind, slot_s, Margins(1.0, 15.0))
            item = Item("exchange", asset, slot_s, kind, 0, 1_000)
            self.owed[item] = Owed(item, SLOT, "measured", window.opens_s, window.closes_s)

    def due(self, *, since_s: int | None, limit: int) -> Sequence[Owed]:
        found = [
            each
            for each in self.owed.values()
            if each.opens_s <= self.now_s
            and (each.closes_s is None or self.now_s < each.closes_s)
            and (since_s is None or each.item.slot_s >= since_s)
            and each.item not in self.decided
        ]
        return sorted(found, key=lambda each: each.item.slot_s)[:limit]

    def run_until(self, end_s: float) -> None:
        """Deliver, and close slots, until then."""
        pause_until_s = 0.0
        while self.now_s < end_s:
            boundary_s = int(self.now_s) // SLOT * SLOT
            item = Item("exchange", self.assets[0], boundary_s - SLOT, "measurement", 0, 1_000)
            if item not in self.owed:
                self.owe(boundary_s - SLOT)
                if "forecast" in self.format.kinds:
                    self.owe(boundary_s + SLOT, "forecast")

            if self.now_s < pause_until_s or not self.deliver():
                opens_s = boundary_s + 1.0
                if opens_s <= self.now_s:
                    opens_s += SLOT
                changes_s = [opens_s, self.schedule.next_s(self.now_s) or end_s]
                if pause_until_s > self.now_s:
                    changes_s.append(pause_until_s)
                self.now_s = max(self.now_s + ROUND_S, min(end_s, *changes_s))
            elif self.refusals.refuses_all:
                pause_until_s = self.now_s + PAUSE_S

    def deliver(self) -> bool:
        """One batch, if something is due."""
        portion = self.schedule.next(self.due, self.now_s, "all")
        if portion is None:
            return False
        self.sent.append((self.now_s, portion))
        loop_s = self.now_s - self.booted_s
        outcome = self.refusals.judge(portion, self.says(portion, self.now_s), self.now_s, loop_s)
        for item in portion.items:
            self.write_down(item, portion, outcome)
        self.schedule.settle(portion, outcome, self.now_s)
        self.now_s += ROUND_S
        return True

    def write_down(self, item: Item, portion: Portion, outcome: Outcome | Doubted) -> None:
        """As the uploader does."""
        match outcome:
            case Accepted():
                self.decided[item] = "accepted", self.now_s
            case Rejected() if not halves(portion, outcome):
                self.decided[item] = "rejected", self.now_s
            case Doubted():
                refused_s = self.owed[item].refused_s or self.now_s
                self.owed[item] = replace(self.owed[item], decided_s=refused_s)
            case Retry():
                self.owed[item] = replace(self.owed[item], decided_s=None)

    def rejected(self) -> dict[Item, float]:
        """What is refused for good, and since when."""
        return {item: at_s for item, (state, at_s) in self.decided.items() if state == "rejected"}


def refuses(*periods: tuple[float, float], refusal: Outcome = NOT_FOUND) -> Says:
    """Refuses everything in these times, from T0 on."""

    def says(_: Portion, now_s: float) -> Outcome:
        wrong = any(begin_s <= now_s - T0 < end_s for begin_s, end_s in periods)
        return refusal if wrong else Accepted()

    return says


refusals = st.sampled_from([NOT_FOUND, BAD, Rejected("answered 413: big", cause="413")])
some_assets = st.sampled_from([[A], [A, B], [A, B, C]])
outages = st.lists(
    st.tuples(st.floats(120.0, 4000.0), st.floats(1.0, 2000.0)), min_size=1, max_size=4
)
"""How long all is well, and how long everything is refused then."""


def periods_of(calm_and_wrong: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    found, at_s = [], 0.0
    for calm_s, wrong_s in calm_and_wrong:
        found.append((at_s + calm_s, at_s + calm_s + wrong_s))
        at_s += calm_s + wrong_s
    return found


@draws(30)
@given(some_assets, outages, refusals, st.lists(st.floats(0.0, 20_000.0), max_size=3))
def test_nothing_is_final_while_everything_is_refused_for_less_than_an_hour(
    assets: list[UUID],
    calm_and_wrong: list[tuple[float, float]],
    refusal: Outcome,
    restarts: list[float],
) -> None:
    periods = periods_of(calm_and_wrong)
    site = Site(assets, refuses(*periods, refusal=refusal))
    end_s = periods[-1][1]
    for at_s in sorted(restart for restart in restarts if restart < end_s):
        site.run_until(T0 + at_s)
        site.start()
    site.run_until(T0 + end_s + 200.0)
    assert site.rejected() == {}
    waits = [item for item in site.owed if item not in site.decided and item.kind == "measurement"]
    assert waits == [], "all is delivered within three minutes of the end"


@draws(4)
@given(st.sampled_from([[A, B], [A, B, C]]), refusals, st.floats(3600.0, FINAL_AFTER_S - 10.0))
def test_with_several_assets_nothing_is_final_within_a_day(
    assets: list[UUID], refusal: Outcome, wrong_s: float
) -> None:
    site = Site(assets, refuses((0.0, wrong_s), refusal=refusal))
    site.run_until(T0 + wrong_s + 200.0)
    assert site.rejected() == {}


@pytest.mark.parametrize("refusal", [NOT_FOUND, BAD])
@pytest.mark.parametrize("restarts", [0, 20])
def test_what_is_refused_for_a_day_is_refused(refusal: Outcome, restarts: int) -> None:
    site = Site([A, B], refuses((0.0, 10 * FINAL_AFTER_S), refusal=refusal))
    for n in range(restarts):
        site.run_until(T0 + (n + 1) * FINAL_AFTER_S / restarts)
        site.start()
    site.run_until(T0 + FINAL_AFTER_S + 3 * 3600.0)
    found = site.rejected()
    assert {(item.subject, item.slot_s) for item in found} >= {(A, T0 - SLOT), (B, T0 - SLOT)}
    for item, at_s in found.items():
        assert at_s >= site.owed[item].opens_s + FINAL_AFTER_S


def test_of_the_only_asset_three_refusals_alike_over_an_hour_are_final() -> None:
    site = Site([A], refuses((0.0, 9000.0)))
    site.run_until(T0 + 9000.0)
    found = site.rejected()
    assert min(item.slot_s for item in found) == T0 - SLOT
    for item, at_s in found.items():
        assert at_s >= site.owed[item].opens_s + ALIKE_S
        assert len([1 for _, portion in site.sent if item in portion.items]) >= 2


def test_of_the_only_asset_refusals_that_differ_are_not_final() -> None:
    def says(_: Portion, now_s: float) -> Outcome:
        return NOT_FOUND if int(now_s - T0) // 1700 % 2 else BAD

    site = Site([A], says)
    site.run_until(T0 + 9000.0)
    assert site.rejected() == {}


@draws(40)
@given(
    st.sampled_from([[A, B], [A, B, C]]),
    st.integers(0, 2),
    refusals,
    st.sampled_from(["sdk", "rest"]),
)
def test_one_bad_asset_is_found_and_neither_blocks_nor_delays_the_others(
    assets: list[UUID], which: int, refusal: Outcome, dialect: str
) -> None:
    bad = assets[which % len(assets)]

    def says(portion: Portion, _: float) -> Outcome:
        return refusal if portion.items[0].subject == bad else Accepted()

    site = Site(assets, says, dialect)
    site.run_until(T0 + 4 * SLOT)
    for item, (state, at_s) in site.decided.items():
        if item.subject != bad:
            assert state == "accepted"
            opened_s = max(site.owed[item].opens_s, item.slot_s - SLOT + 1.0)
            if item.kind == "measurement":
                assert at_s <= max(opened_s, T0 + 1.0) + 10 * ROUND_S
    rejected = site.rejected()
    assert {item.subject for item in rejected} == {bad}
    assert min(rejected.values()) >= T0 + BESIDE_OTHERS_S, "one refusal is no verdict"
    assert T0 + SLOT in {item.slot_s for item in rejected if item.kind == "measurement"}
    tries = [1 for _, portion in site.sent if portion.items[0].subject == bad]
    assert len(tries) < 100


@draws(40)
@given(st.sets(st.integers(5, 60), min_size=1, max_size=4), some_assets)
def test_a_bad_number_holds_up_no_other_number_of_its_asset(
    bad_ago: set[int], assets: list[UUID]
) -> None:
    bad = {(A, T0 - ago * SLOT) for ago in bad_ago}

    def says(portion: Portion, _: float) -> Outcome:
        found = {(item.subject, item.slot_s) for item in portion.items}
        return BAD if found & bad else Accepted()

    site = Site(assets, says)
    for ago in range(4, 62):
        site.owe(T0 - ago * SLOT)
    site.run_until(T0 + 60.0)
    for item in site.owed:
        if (item.subject, item.slot_s) not in bad and item.kind == "measurement":
            assert site.decided[item][0] == "accepted"
    assert site.rejected() == {}
    # Nothing but the bad number may be due at first: it looks as if everything were refused then.
    site.run_until(T0 + 2 * SLOT + 70.0)
    assert {(item.subject, item.slot_s) for item in site.rejected()} == bad


@draws(60)
@given(
    some_assets,
    st.sampled_from(["sdk", "rest"]),
    st.lists(
        st.sampled_from([Accepted(), NOT_FOUND, BAD, Retry("503"), Retry("no", answered=False)]),
        min_size=1,
        max_size=40,
    ),
)
def test_whatever_it_says_nothing_is_sent_outside_its_window_and_live_slots_go_first(
    assets: list[UUID], dialect: str, outcomes: list[Outcome]
) -> None:
    said = iter(outcomes)
    site = Site(assets, lambda *_: next(said, Accepted()), dialect)
    if dialect == "sdk":
        for ago in range(4, 30):
            site.owe(T0 - ago * SLOT)
    site.run_until(T0 + 3 * SLOT)
    refused_before: set[tuple[UUID, str]] = set()
    live_due = False
    for at_s, portion in site.sent:
        for item in portion.items:
            owed = site.owed[item]
            assert owed.opens_s <= at_s
            assert owed.closes_s is None or at_s < owed.closes_s
        ages = {int(at_s) // SLOT - item.slot_s // SLOT for item in portion.items}
        live_due |= max(ages) <= LIVE_SLOTS
        refused_before.add((portion.items[0].subject, portion.items[0].kind))  # type: ignore[arg-type]
    assert live_due
    first = site.sent[0][1].items
    assert all(int(T0) // SLOT - item.slot_s // SLOT <= LIVE_SLOTS for item in first)


def test_a_destination_refuses_all_only_where_each_asset_is_refused() -> None:
    policy = Refusals(SLOT, 2)
    of_a, of_b = (Portion((Item("exchange", x, T0, "measurement", 0, 1),), None) for x in (A, B))
    policy.judge(of_a, NOT_FOUND, T0, 0.0)
    policy.judge(of_a, NOT_FOUND, T0, 1.0)
    assert not policy.refuses_all, "nobody has asked for the other one"
    policy.judge(of_b, NOT_FOUND, T0, 2.0)
    assert not policy.refuses_all, "it is not even three seconds"
    policy.judge(of_b, NOT_FOUND, T0, 3.0)
    assert policy.refuses_all
    policy.judge(of_b, Accepted(), T0, 4.0)
    assert not policy.refuses_all
    for n in range(5):
        policy.judge(of_a, NOT_FOUND, T0, 5.0 + n)
    assert not policy.refuses_all


def test_a_day_in_which_the_clock_was_set_is_no_day() -> None:
    policy = Refusals(SLOT, 2)
    item = Item("exchange", A, T0, "measurement", 0, 1)
    portion = Portion((item,), None, (float(T0),))
    for n in range(10):
        outcome = policy.judge(portion, NOT_FOUND, T0 + 2 * FINAL_AFTER_S, 60.0 * n)
        assert isinstance(outcome, Doubted)
    assert policy.judge(portion, NOT_FOUND, T0 + 2 * FINAL_AFTER_S, ALIKE_S) == NOT_FOUND


def test_a_batch_of_several_assets_is_a_verdict_only_where_it_is_one_on_each() -> None:
    policy = Refusals(SLOT, 3)
    of = {x: Item("exchange", x, T0, "measurement", 0, 1) for x in (A, B, C)}
    both, only_b, other = (
        Portion(tuple(of[x] for x in assets), None) for assets in ((A, B), (B,), (C,))
    )
    policy.judge(both, NOT_FOUND, T0, 0.0)
    policy.judge(other, Accepted(), T0, 1.0)
    policy.judge(only_b, Accepted(), T0, 2.0)
    assert isinstance(policy.judge(both, NOT_FOUND, T0, BESIDE_OTHERS_S), Doubted)
    policy.judge(other, Accepted(), T0, BESIDE_OTHERS_S + 1.0)
    assert policy.judge(both, NOT_FOUND, T0, 2 * BESIDE_OTHERS_S) == NOT_FOUND


def test_what_was_refused_while_everything_was_is_no_verdict_when_everything_is_again() -> None:
    """Two times of refusing, and a calm between in which the number has no turn."""
    judge = Refusals(SLOT, 2)
    item = Item("exchange", A, T0, "measurement", 0, 1_000)
    other = Item("exchange", B, T0, "measurement", 0, 1_000)

    def says(of: Item, outcome: Outcome, at_s: float) -> Outcome | Doubted:
        refused_s = None if at_s == T0 else T0
        return judge.judge(Portion((of,), None, (refused_s,)), outcome, at_s, at_s - T0)

    for after_s in range(5):
        assert isinstance(says(item, NOT_FOUND, T0 + after_s), Doubted)
        assert isinstance(says(other, NOT_FOUND, T0 + after_s + 0.5), Doubted)
    assert judge.refuses_all
    assert says(other, Accepted(), T0 + 100) == Accepted()
    assert isinstance(says(item, NOT_FOUND, T0 + 200), Doubted)
    assert says(other, Accepted(), T0 + 250) == Accepted()
    assert says(item, NOT_FOUND, T0 + 300) == NOT_FOUND, "others are taken all the time"


def test_what_was_sent_before_a_refusal_proves_nothing_when_its_word_comes_after_it() -> None:
    """A verdict comes a tick after the sending. A server that is replaced in between refuses all
    that comes, and what it had taken before says nothing of that.
    """
    refusals = Refusals(SLOT, 2)
    refused = Portion((Item("exchange", A, T0, "measurement", 0, 1),), None)
    taken = Portion((Item("exchange", B, T0, "measurement", 0, 1),), None)
    assert isinstance(refusals.judge(refused, BAD, T0, 0.0), Doubted)
    assert refusals.judge(taken, Accepted(), T0 + 5, 5.0, -5.0) == Accepted()
    late_s = BESIDE_OTHERS_S + 10
    assert isinstance(refusals.judge(refused, BAD, T0 + late_s, late_s), Doubted)

    assert refusals.judge(taken, Accepted(), T0 + late_s + 20, late_s + 20, late_s + 5)
    assert refusals.judge(refused, BAD, T0 + late_s + 21, late_s + 21) == BAD, "now it is proved"
