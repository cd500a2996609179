"""The laws of the fold, over streams of anything: conserving, deterministic, repeatable."""

from collections import defaultdict

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.energy.assets import Direction
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.provisional import MAX_MARKS
from gateway.energy.slot import MeterRules, MeterState, Slot, Step, TakenBack, Unallocated
from tests.draws import draws
from tests.gateway.energy.samples import SLOT_MS, fold, meter
from tests.gateway.energy.streams import METERS, STEPS, Truth, stream


class Books:
    """Checks the laws after every step of a fold."""

    def __init__(self) -> None:
        self.begun_uwh: dict[Direction, int] = {}
        self.begun_for_good: set[Direction] = set()
        self.booked_uwh: dict[Direction, int] = defaultdict(int)
        self.widest_uwh: dict[Direction, int] = defaultdict(int)
        self.keys: set[tuple[str, str | None, int]] = set()
        self.provisional: set[tuple[str, str | None, int]] = set()
        self.ends_s: dict[tuple[str, str | None], int] = defaultdict(int)
        self.stood_uwh: dict[tuple[str, str | None], int] = {}
        self.left: dict[str, list[Unallocated]] = defaultdict(list)
        self.entries: dict[Direction, list[Slot | Unallocated]] = defaultdict(list)

    def check(self, before: MeterState | None, step: Step, rules: MeterRules) -> None:
        for back in step.taken_back:
            self._take_back(back)
        for left in step.unallocated:
            self.left[left.direction].append(left)
        self._slots(step)
        for direction, each in step.state.directions.items():
            assert len(each.marks) <= MAX_MARKS
            # What is provisional is not in the books yet: it lies at the open slot or after it.
            mine = [
                key for key in self.provisional if key[:2] == (direction, step.state.serial_number)
            ]
            assert all(start_s * 1000 >= each.slot.start_ms for _, _, start_s in mine)
        if any(event.kind == "clock" for event in step.events):
            # a time that comes a second time brings its slots a second time; the books refuse them
            self.keys.clear()
            self.ends_s.clear()
        self._counters(before, step, rules)

    def _take_back(self, back: TakenBack) -> None:
        """What was booked since a belief is void, and comes anew."""
        direction, series = back.direction, (back.direction, back.serial_number)
        mine = self.entries[direction]
        kept = [each for each in mine if each.begin_uwh < back.from_uwh]
        void = [each for each in mine[len(kept) :] if isinstance(each, Slot)]
        slots = [each for each in kept if isinstance(each, Slot)]
        self.entries[direction] = kept
        self.booked_uwh[direction] = sum(each.energy_uwh or 0 for each in kept)
        self.left[direction] = [each for each in kept if isinstance(each, Unallocated)]
        self.keys -= {(*series, each.start_s) for each in void}
        if void:
            self.ends_s[series] = min(self.ends_s[series], void[0].start_s)
        self.stood_uwh.pop(series, None)
        if slots:
            self.stood_uwh[series] = slots[-1].end_uwh
        if not kept:
            self.begun_for_good.discard(direction)

    def _slots(self, step: Step) -> None:
        for slot in step.provisional:
            key = (slot.direction, slot.serial_number, slot.start_s)
            assert key not in self.keys | self.provisional, (
                "closed provisionally after it was closed, or twice"
            )
            self.provisional.add(key)
            assert (slot.quality, slot.method, slot.revision) == ("estimated", "power", 0)
            assert slot.energy_uwh == slot.end_uwh - slot.begin_uwh >= 0
        for slot in step.slots:
            key = (slot.direction, slot.serial_number, slot.start_s)
            assert key not in self.keys or slot.revision > 0, "booked twice"
            if slot.revision == 0:
                assert key not in self.provisional, (
                    "a provisional slot is written anew as a revision"
                )
            self.keys.add(key)
            self.provisional.discard(key)
            assert slot.start_s % slot.length_s == 0
            assert slot.start_s >= self.ends_s[key[:2]], "overlapping or out of order"
            self.ends_s[key[:2]] = slot.start_s + slot.length_s
            assert (slot.energy_uwh is None) == (slot.quality == "missing")
            assert (slot.energy_uwh or 0) == slot.end_uwh - slot.begin_uwh >= 0
            assert 0 <= slot.coverage_permille <= 1000
            assert (slot.quality == "measured") <= (slot.coverage_permille == 1000)
            self.booked_uwh[slot.direction] += slot.energy_uwh or 0
            self.entries[slot.direction].append(slot)
            # From slot to slot the counter goes on, but for what is on record.
            stood_uwh = self.stood_uwh.get(key[:2], slot.begin_uwh)
            between = [
                left
                for left in self.left[slot.direction]
                if stood_uwh <= left.begin_uwh and left.end_uwh <= slot.begin_uwh
            ]
            assert slot.begin_uwh - stood_uwh == sum(left.energy_uwh for left in between)
            self.stood_uwh[key[:2]] = slot.end_uwh

    def _counters(self, before: MeterState | None, step: Step, rules: MeterRules) -> None:
        for left in step.unallocated:
            assert left.energy_uwh >= 0
            assert (left.device, left.serial_number) == ("grid", step.state.serial_number)
            self.booked_uwh[left.direction] += left.energy_uwh
            self.entries[left.direction].append(left)
        told_uwh = sum(event.energy_uwh for event in step.events)
        passed = [left for left in step.unallocated if left.kind != "start"]
        assert sum(left.energy_uwh for left in passed) == told_uwh
        if any(event.kind == "swap" for event in step.events):
            assert before is not None
            for direction, old in before.directions.items():
                # What power said, and was delivered, stays: the counter went along.
                last = step.state.previous.directions[direction] if step.state.previous else old
                assert self.booked_uwh.pop(
                    direction, 0
                ) == last.counter.counter_uwh - self.begun_uwh.pop(direction)
            self.widest_uwh.clear()
            self.stood_uwh.clear()
            self.left.clear()
            self.entries.clear()
            self.begun_for_good.clear()
        self.begun_for_good |= {
            each.direction
            for each in (*step.slots, *step.unallocated)
            if each.serial_number == step.state.serial_number
        }
        for direction, new in step.state.directions.items():
            counter = new.counter
            old = before.directions.get(direction) if before else None
            self.begun_uwh.setdefault(direction, counter.counter_uwh)
            if old and (counter.agreed <= 0 or direction not in self.begun_for_good):
                # Where the series begins may change as long as nothing is booked.
                assert self.booked_uwh[direction] == 0
                self.begun_uwh[direction] = new.slot.begin_uwh
                old = old if counter.agreed > 0 else None
            change_uwh = counter.counter_uwh - self.begun_uwh[direction]
            assert (
                self.booked_uwh[direction] + counter.counter_uwh - new.slot.begin_uwh == change_uwh
            )
            one = rules.registers[direction]
            self.widest_uwh[direction] = max(
                self.widest_uwh[direction], one.step_uwh(counter.register_uwh - counter.offset_uwh)
            )
            assert (
                counter.register_uwh
                <= counter.counter_uwh
                <= counter.register_uwh + self.widest_uwh[direction]
            )
            kinds = {event.kind for event in step.events}
            is_taken_back = any(back.direction == direction for back in step.taken_back)
            if old and direction in self.begun_uwh and "swap" not in kinds and not is_taken_back:
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
