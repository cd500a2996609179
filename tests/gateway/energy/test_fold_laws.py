"""The laws of the fold, over streams of anything: conserving, deterministic, repeatable."""

from collections import defaultdict

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.energy.assets import Direction
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.provisional import MAX_MARKS
from gateway.energy.slot import MeterRules, MeterState, OpenSlot, Slot, Step, Unallocated
from tests.draws import draws
from tests.gateway.energy.samples import SLOT_MS, fold, meter
from tests.gateway.energy.streams import METERS, STEPS, Truth, stream


class Series:
    """What is in the books of one direction of one series."""

    def __init__(self) -> None:
        self.begun_uwh = 0
        self.entries: list[Slot | Unallocated] = []
        self.closed: dict[int, Slot] = {}
        """What came last of each slot, by its start."""
        self.end_s = 0
        self.widest_uwh = 0

    @property
    def booked_uwh(self) -> int:
        return sum(each.end_uwh - each.begin_uwh for each in self.entries)

    def add(self, entry: Slot | Unallocated) -> None:
        """From slot to slot the counter goes on, but for what is on record."""
        assert entry.end_uwh >= entry.begin_uwh
        if self.entries:
            assert entry.begin_uwh == self.entries[-1].end_uwh, "the counter does not go on"
        else:
            self.begun_uwh = entry.begin_uwh
        self.entries.append(entry)

    def close(self, slot: Slot) -> None:
        """A slot comes in order, once. It comes again where nothing was known of it, or where its
        meter is back (`reopen`).
        """
        there = self.closed.get(slot.start_s)
        if there is None:
            assert slot.start_s >= self.end_s, "overlapping or out of order"
        else:
            assert there not in self.entries, "booked twice"
            is_revision = slot.revision == there.revision + 1
            assert there.energy_uwh is None or is_revision, "a revision is counted as one"
            assert slot.length_s == there.length_s
        self.add(slot)
        self.closed[slot.start_s] = slot
        self.end_s = max(self.end_s, slot.start_s + slot.length_s)

    def reopen(self, slot: OpenSlot) -> None:
        """Its meter is back: what was closed when that went away, from its open slot on, comes
        anew.
        """
        while self.entries:
            last = self.entries[-1]
            is_later = isinstance(last, Slot) and last.start_s * 1000 >= slot.start_ms
            if not is_later or last.begin_uwh < slot.begin_uwh:
                break
            self.entries.pop()

    def take_back(self, from_uwh: int) -> None:
        """What was booked since a belief is void, and comes anew."""
        kept = [each for each in self.entries if each.begin_uwh < from_uwh]
        void = [each for each in self.entries[len(kept) :] if isinstance(each, Slot)]
        self.entries = kept
        for slot in void:
            self.closed.pop(slot.start_s, None)
        if void:
            self.end_s = min(self.end_s, void[0].start_s)

    def forget_times(self) -> None:
        """A time that comes a second time brings its slots a second time; the books refuse them."""
        self.closed.clear()
        self.end_s = 0


class Books:
    """Checks the laws after every step of a fold."""

    def __init__(self) -> None:
        self.series: dict[tuple[Direction, str | None], Series] = defaultdict(Series)
        self.provisional: set[tuple[Direction, str | None, int]] = set()

    def check(self, before: MeterState | None, step: Step, rules: MeterRules) -> None:
        is_swap = any(event.kind == "swap" for event in step.events)
        if before is not None and is_swap:
            self._begin_series(before, step)
        for back in step.taken_back:
            self.series[back.direction, back.serial_number].take_back(back.from_uwh)
        self._provisional(step)
        self._entries(step)
        for direction, each in step.state.directions.items():
            assert len(each.marks) <= MAX_MARKS
            # What is provisional is not in the books yet: it lies at the open slot or after it.
            mine = [
                key for key in self.provisional if key[:2] == (direction, step.state.serial_number)
            ]
            assert all(start_s * 1000 >= each.slot.start_ms for _, _, start_s in mine)
        if any(event.kind == "clock" for event in step.events):
            self._forget_times()
        if before is not None and is_swap:
            self._end_series(before, step)
        self._counters(None if is_swap else before, step, rules)

    def _forget_times(self) -> None:
        for each in self.series.values():
            each.forget_times()

    def _begin_series(self, before: MeterState, step: Step) -> None:
        """A series begins, or goes on because its meter is back."""
        if step.state.at_ms < before.at_ms:
            self._forget_times()
        is_back = any("its series goes on" in event.text for event in step.events)
        for key in list(self.series):
            direction, serial_number = key
            if serial_number != step.state.serial_number:
                continue
            if not is_back:
                del self.series[key]
            elif before.previous and direction in before.previous.directions:
                self.series[key].reopen(before.previous.directions[direction].slot)

    def _end_series(self, before: MeterState, step: Step) -> None:
        """What power said, and was delivered, stays: the counter went along."""
        gone = step.state.previous
        directions = gone.directions if gone else before.directions
        for direction, last in directions.items():
            series = self.series[direction, before.serial_number]
            assert series.booked_uwh == last.counter.counter_uwh - (
                series.begun_uwh if series.entries else last.counter.counter_uwh
            )

    def _provisional(self, step: Step) -> None:
        for slot in step.provisional:
            key = (slot.direction, slot.serial_number, slot.start_s)
            series = self.series[key[:2]]
            assert series.closed.get(slot.start_s) not in series.entries, "closed before"
            assert key not in self.provisional, "closed provisionally twice"
            self.provisional.add(key)
            assert (slot.quality, slot.method, slot.revision) == ("estimated", "power", 0)
            assert slot.energy_uwh == slot.end_uwh - slot.begin_uwh >= 0

    def _entries(self, step: Step) -> None:
        told_uwh = sum(event.energy_uwh for event in step.events)
        passed = [left for left in step.unallocated if left.kind != "start"]
        assert sum(left.energy_uwh for left in passed) == told_uwh
        # By where the counter stood. What has no energy stays in the order in which it came.
        entries: list[Slot | Unallocated] = [*step.slots, *step.unallocated]
        for entry in sorted(entries, key=lambda each: (each.begin_uwh, each.end_uwh)):
            series = self.series[entry.direction, entry.serial_number]
            if isinstance(entry, Slot):
                self._slot(entry, series)
            else:
                assert (entry.device, entry.serial_number) == ("grid", step.state.serial_number)
                series.add(entry)

    def _slot(self, slot: Slot, series: Series) -> None:
        place = (slot.direction, slot.serial_number, slot.start_s)
        if slot.revision == 0:
            assert place not in self.provisional, "a provisional slot is written anew as a revision"
        self.provisional.discard(place)
        assert slot.start_s % slot.length_s == 0
        assert (slot.energy_uwh is None) == (slot.quality == "missing")
        assert (slot.energy_uwh or 0) == slot.end_uwh - slot.begin_uwh
        assert 0 <= slot.coverage_permille <= 1000
        assert (slot.quality == "measured") <= (slot.coverage_permille == 1000)
        series.close(slot)

    def _counters(self, before: MeterState | None, step: Step, rules: MeterRules) -> None:
        for direction, new in step.state.directions.items():
            series = self.series[direction, step.state.serial_number]
            counter = new.counter
            old = before.directions.get(direction) if before else None
            if counter.agreed <= 0:
                # Where the series begins may change as long as nothing is booked.
                assert not series.entries
                old = None
            if not series.entries:
                series.begun_uwh = new.slot.begin_uwh
            assert series.booked_uwh == new.slot.begin_uwh - series.begun_uwh
            one = rules.registers[direction]
            series.widest_uwh = max(
                series.widest_uwh, one.step_uwh(counter.register_uwh - counter.offset_uwh)
            )
            most_uwh = counter.register_uwh + series.widest_uwh
            assert counter.register_uwh <= counter.counter_uwh <= most_uwh
            is_taken_back = any(back.direction == direction for back in step.taken_back)
            if old and not is_taken_back:
                assert counter.counter_uwh >= old.counter.counter_uwh
            assert (
                new.slot.start_ms
                <= new.slot.from_ms
                <= counter.at_ms + new.shift_ms
                < new.slot.start_ms + rules.slot_ms
            )


@draws(150)
@example(
    Truth(1, False, mj={"import": 0, "export": 0}),
    [(10_000, 0, 1080, "no power"), (10_000, 0, 0, "zero"), (10_000, 0, 0, "zero")],
    5_000,
)
@example(
    # Another meter answers for a while, and slots of the first one are missing until it is back.
    Truth(1, False, mj={"import": 0, "export": 0}),
    [*[(10_000, 900, 0, "stranger")] * 3, *[(10_000, 900, 0, "")] * 4],
    5_000,
)
@example(
    # The clock was set back, and comes to the time at which the series began.
    Truth(1, False, mj={"import": 0, "export": 0}),
    [
        *[(10_000, 0, 0, "back")] * 3,
        *[(388_073, 0, 1276, "stranger")] * 2,
        *[(196_927, 0, 0, "")] * 2,
    ],
    SLOT_MS,
)
@given(METERS, STEPS, st.sampled_from([SLOT_MS, 300_000, 5_000]))
def test_what_is_in_slots_or_stated_as_unallocated_is_the_change_of_the_counter_exactly(
    truth: Truth, steps: list[tuple[int, int, int, str]], slot_ms: int
) -> None:
    rules = meter(truth.resolution_wh, slot_ms=slot_ms, float32=truth.float32)
    books = Books()
    state = None
    for each in stream(truth, steps):
        step = advance(state, each, rules)
        books.check(state, step, rules)
        state = step.state


@draws(100)
@given(METERS, STEPS)
def test_the_change_of_the_counter_is_the_meters_own_but_for_a_step(
    truth: Truth, steps: list[tuple[int, int, int, str]]
) -> None:
    harmless = (
        "",
        "zero",
        "huge",
        "no import",
        "no export",
        "no power",
        "nothing",
        "late",
        "stranger",
        "anonymous",
    )
    # Bogus readings in a row that agree, or after a silence so long that they could be true, are
    # not what is tested here.
    steps = [
        (min(elapsed_ms, 20_000), p, q, fault if n % 3 == 0 and fault in harmless else "")
        for n, (elapsed_ms, p, q, fault) in enumerate(steps)
    ]
    if truth.mj["import"] == 0:
        return
    # Good readings at the end, so that all is settled.
    samples = stream(truth, [*steps, *[(10_000, 0, 0, "")] * 4, (60_000, 0, 0, "")])
    rules = meter(truth.resolution_wh, float32=truth.float32)
    state, _, events = fold(samples, rules)
    assert state is not None
    assert {event.kind for event in events} <= {"glitch", "rollover"}
    for direction, each in state.directions.items():
        register = rules.registers[direction]
        first_uwh, last_uwh = (
            register.exact_uwh(round(s.values[f"energy_{direction}_wh"] * WH))
            for s in (samples[0], samples[-1])
        )
        shown_uwh = last_uwh - first_uwh + (100_000_000 * WH if last_uwh < first_uwh else 0)
        step_uwh = register.step_uwh(100_000_000 * WH)
        assert shown_uwh <= each.counter.counter_uwh - first_uwh <= shown_uwh + step_uwh


@draws(100)
@given(METERS, STEPS, st.lists(st.integers(0, 60), max_size=5))
def test_going_on_from_a_stored_state_gives_the_same_slots_wherever_it_is_cut(
    truth: Truth, steps: list[tuple[int, int, int, str]], cuts: list[int]
) -> None:
    rules = meter(truth.resolution_wh, float32=truth.float32)
    samples = stream(truth, steps)
    whole = fold(samples, rules)
    state, slots, events = None, [], []
    for n, each in enumerate(samples):
        if n in cuts and state is not None:
            state = msgspec.json.decode(msgspec.json.encode(state), type=MeterState)
        step = advance(state, each, rules)
        state = step.state
        slots += step.slots
        events += step.events
    assert (state, slots, events) == whole


@given(METERS, STEPS)
def test_a_sample_that_comes_again_changes_nothing(
    truth: Truth, steps: list[tuple[int, int, int, str]]
) -> None:
    rules = meter(truth.resolution_wh, float32=truth.float32)
    samples = [each for each in stream(truth, steps) if each.serial_number == "A"]
    twice = [each for each in samples for _ in range(2)]
    assert fold(twice, rules)[0] == fold(samples, rules)[0]
