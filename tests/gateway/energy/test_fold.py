"""Samples → slots: conserving, deterministic, honest about what is not known."""

import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sample import Sample
from gateway.energy.assets import Direction
from gateway.energy.booking import MAX_MISSING
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.provisional import MAX_MARKS
from gateway.energy.register import Rules
from gateway.energy.slot import Event, MeterRules, MeterState, Slot, Step, Unallocated

BEGIN_S = 1_800_000_000  # on a boundary of 15 minutes
SLOT_MS = 900_000
FUSE_W = 17_250.0


def meter(
    resolution_wh: float = 1,
    *,
    slot_ms: int = SLOT_MS,
    float32: bool = False,
    max_gap_ms: int = 7_200_000,
) -> MeterRules:
    one = Rules(round(resolution_wh * WH), 100_000_000 * WH, float32, FUSE_W)
    return MeterRules("grid", {"import": one, "export": one}, slot_ms, 30_000, max_gap_ms)


def sample(
    t_s: float,
    import_wh: float | None,
    power_w: float | None = None,
    *,
    export_wh: float | None = None,
    serial: str | None = "A",
) -> Sample:
    at_ms = round((BEGIN_S + t_s) * 1000)
    values = {"energy_import_wh": import_wh, "energy_export_wh": export_wh, "power_w": power_w}
    return Sample(
        "grid",
        serial,
        "boot",
        at_ms,
        at_ms,
        {name: value for name, value in values.items() if value is not None},
    )


def fold(
    samples: Sequence[Sample], rules: MeterRules, state: MeterState | None = None
) -> tuple[MeterState | None, list[Slot], list[Event]]:
    slots: list[Slot] = []
    events: list[Event] = []
    for each in samples:
        step = advance(state, each, rules)
        state = step.state
        slots += step.slots
        events += step.events
    return state, slots, events


def steady(power_w: float, seconds: Sequence[float], begin_wh: float = 1000.0) -> list[Sample]:
    """Samples of a constant load, with an exact register."""
    return [sample(t, begin_wh + power_w * (t - seconds[0]) / 3600, power_w) for t in seconds]


# --- streams of anything --------------------------------------------------------------------------


@dataclass
class Truth:
    """A meter that counts right, and what it is made to show."""

    resolution_wh: int
    float32: bool
    modulus_wh: int = 100_000_000
    t_ms: int = BEGIN_S * 1000
    serial: str | None = "A"
    mj: dict[str, int] = None  # type: ignore[assignment]
    wrong_ms: int = 0
    boot: int = 0
    silent: bool = False
    paused: dict[str, float] | None = None

    def shown_wh(self, direction: str) -> float:
        wh = (
            self.mj[direction]
            // (3_600_000 * self.resolution_wh)
            * self.resolution_wh
            % self.modulus_wh
        )
        return (
            struct.unpack("<f", struct.pack("<f", wh / 1000))[0] * 1000
            if self.float32
            else float(wh)
        )


STEPS = st.lists(
    st.tuples(
        st.one_of(
            st.just(10_000),
            st.just(10_000),
            st.integers(1, 60_000),
            st.integers(60_000, 7_200_000),
            st.integers(7_200_001, 30_000_000),
        ),
        st.integers(0, 15_000),
        st.integers(0, 15_000),
        st.sampled_from(
            [
                "",
                "",
                "",
                "",
                "",
                "zero",
                "flip",
                "huge",
                "no import",
                "no export",
                "no power",
                "nothing",
                "late",
                "back",
                "far back",
                "forward",
                "silence",
                "pause",
                "far forward",
                "reboot",
                "reset",
                "swap",
                "stranger",
                "anonymous",
            ]
        ),
    ),
    max_size=60,
)
METERS = st.builds(
    lambda resolution_wh, float32, kwh: Truth(
        resolution_wh, float32, mj={"import": kwh * 3_600_000_000, "export": kwh * 1_800_000_000}
    ),
    st.sampled_from([1, 10, 100]),
    st.booleans(),
    st.sampled_from([0, 12, 5000, 16_000, 66_000, 99_990, 99_999]),
)


def stream(truth: Truth, steps: list[tuple[int, int, int, str]]) -> list[Sample]:
    truth = replace(truth, mj=dict(truth.mj))
    samples = []
    for elapsed_ms, import_w, export_w, fault in [(0, 0, 0, ""), *steps]:
        truth.t_ms += elapsed_ms
        truth.mj["import"] += import_w * elapsed_ms
        truth.mj["export"] += export_w * elapsed_ms
        if fault == "reset":
            truth.mj = {"import": 0, "export": 0}
        truth.silent ^= fault == "silence"
        if fault == "pause":
            truth.paused = (
                None
                if truth.paused
                else {each: truth.shown_wh(each) for each in ("import", "export")}
            )
        if fault == "swap":
            truth.serial = chr(ord(truth.serial or "A") + 1)
        values = {
            "energy_import_wh": truth.shown_wh("import"),
            "energy_export_wh": truth.shown_wh("export"),
            "power_import_w": float(import_w),
            "power_export_w": float(export_w),
        }
        for direction in ("import", "export"):
            shown_wh = truth.paused[direction] if truth.paused else values[f"energy_{direction}_wh"]
            bogus_wh = {"zero": 0.0, "flip": float(int(shown_wh) ^ 0x4000), "huge": 4_294_967.0}
            values[f"energy_{direction}_wh"] = bogus_wh.get(fault, shown_wh)
        left_out = {
            "no import": ["energy_import_wh"],
            "no export": ["energy_export_wh"],
            "no power": ["power_import_w", "power_export_w"],
        }
        gone = set(values) if fault == "nothing" else set(left_out.get(fault, []))
        for name in gone | ({"energy_import_wh", "energy_export_wh"} if truth.silent else set()):
            del values[name]
        serial = {"stranger": "?", "anonymous": None}.get(fault, truth.serial)
        truth.wrong_ms += {
            "back": -400_000,
            "far back": -5_000_000,
            "forward": 400_000,
            "far forward": 90_000_000,
        }.get(fault, 0)
        truth.boot += fault == "reboot"
        at_ms = truth.t_ms - (15_000 if fault == "late" else 0)
        samples.append(
            Sample(
                "grid",
                serial,
                f"boot-{truth.boot}",
                at_ms - truth.boot * 5_000,
                at_ms + truth.wrong_ms,
                values,
            )
        )
    return samples


class Books:
    """Checks the laws after every step of a fold."""

    def __init__(self) -> None:
        self.begun_uwh: dict[Direction, int] = {}
        self.booked_uwh: dict[Direction, int] = defaultdict(int)
        self.widest_uwh: dict[Direction, int] = defaultdict(int)
        self.keys: set[tuple[str, str | None, int]] = set()
        self.provisional: set[tuple[str, str | None, int]] = set()
        self.ends_s: dict[tuple[str, str | None], int] = defaultdict(int)
        self.stood_uwh: dict[tuple[str, str | None], int] = {}
        self.left: dict[str, list[Unallocated]] = defaultdict(list)

    def check(self, before: MeterState | None, step: Step, rules: MeterRules) -> None:
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
            # From slot to slot the counter goes on, but for what is on record.
            stood_uwh = self.stood_uwh.get(key[:2], slot.begin_uwh)
            loose = [
                left
                for left in self.left[slot.direction]
                if stood_uwh <= left.begin_uwh and left.end_uwh <= slot.begin_uwh
            ]
            assert slot.begin_uwh - stood_uwh == sum(left.energy_uwh for left in loose)
            self.stood_uwh[key[:2]] = slot.end_uwh

    def _counters(self, before: MeterState | None, step: Step, rules: MeterRules) -> None:
        for left in step.unallocated:
            assert left.energy_uwh >= 0
            assert (left.device, left.serial_number) == ("grid", step.state.serial_number)
            self.booked_uwh[left.direction] += left.energy_uwh
        assert sum(left.energy_uwh for left in step.unallocated) == sum(
            event.energy_uwh for event in step.events
        )
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
        for direction, new in step.state.directions.items():
            counter = new.counter
            old = before.directions.get(direction) if before else None
            self.begun_uwh.setdefault(direction, counter.counter_uwh)
            if (
                old and counter.agreed == 0
            ):  # the series may begin anew as long as nothing is booked
                assert self.booked_uwh[direction] == 0
                self.begun_uwh[direction] = new.slot.begin_uwh
                old = None
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
            if (
                old
                and direction in self.begun_uwh
                and not any(e.kind == "swap" for e in step.events)
            ):
                assert counter.counter_uwh >= old.counter.counter_uwh
            assert (
                new.slot.start_ms
                <= new.slot.from_ms
                <= counter.at_ms + new.shift_ms
                < new.slot.start_ms + rules.slot_ms
            )


@settings(max_examples=150)
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


@settings(max_examples=100)
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


@settings(max_examples=100)
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


# --- boundaries -----------------------------------------------------------------------------------


@pytest.mark.parametrize("off_s", [-0.001, 0, 0.001, 4.2, -3])
def test_a_steady_load_is_cut_at_the_boundary_wherever_the_samples_fall(off_s: float) -> None:
    times = [0.0, *(t + off_s for t in range(10, 2000, 10))]
    _, slots, _ = fold(steady(3600, times), meter(0.001))
    whole = [slot for slot in slots if slot.direction == "import"]
    assert [slot.start_s - BEGIN_S for slot in whole] == [0, 900]
    for slot in whole:
        assert slot.energy_uwh == pytest.approx(900 * WH, abs=0.002 * WH)
        assert (slot.quality, slot.method, slot.coverage_permille) == ("measured", "counter", 1000)


def test_a_sample_on_the_boundary_belongs_to_the_slot_it_begins() -> None:
    _, slots, _ = fold(steady(360, range(0, 1810, 10)), meter())
    assert [slot.samples for slot in slots] == [90, 90]
    assert [slot.begin_register_uwh for slot in slots] == [1000 * WH, 1090 * WH]
    assert [slot.end_register_uwh for slot in slots] == [1090 * WH, 1180 * WH]


def test_a_slot_closes_with_the_sample_on_its_end_and_not_a_millisecond_before() -> None:
    rules = meter()
    state, slots, _ = fold(steady(360, [0, 899.999]), rules)
    assert not slots
    _, slots, _ = fold(steady(360, [0, 900]), rules)
    assert len(slots) == 1
    _, slots, _ = fold(steady(360, [0, 899.999, 900.001]), rules)
    assert len(slots) == 1
    assert state is not None


def test_both_directions_are_counted_side_by_side() -> None:
    times = range(0, 910, 10)
    samples = [sample(t, 1000 + t / 10, export_wh=500 + t / 20) for t in times]
    _, slots, _ = fold(samples, meter())
    assert {slot.direction: slot.energy_uwh for slot in slots} == {
        "import": 90 * WH,
        "export": 45 * WH,
    }


def test_net_power_drives_the_direction_it_flows_in() -> None:
    samples = [sample(t, 1000, -3600, export_wh=500) for t in (0, 10)]
    state, _, _ = fold(samples, meter(100))
    assert state is not None
    assert state.directions["import"].counter.gain.power_uwh == 0
    assert state.directions["export"].counter.gain.power_uwh == 10 * WH


def test_an_inverted_meter_counts_its_export_as_import() -> None:
    rules = replace(meter(), invert=True)
    samples = [sample(t, 1000, -3600, export_wh=500 + t) for t in range(0, 910, 10)]
    _, slots, _ = fold(samples, rules)
    assert {slot.direction: slot.energy_uwh for slot in slots} == {"import": 900 * WH, "export": 0}


# --- what is not known ----------------------------------------------------------------------------


def test_a_gap_up_to_three_intervals_is_measured_and_a_longer_one_estimated() -> None:
    for gap_s, quality in ((30, "measured"), (31, "estimated")):
        times = [*range(0, 310, 10), *range(300 + gap_s, 910 + gap_s, 10)]
        _, slots, _ = fold(steady(360, times), meter())
        assert slots[0].quality == quality
        assert slots[0].largest_gap_ms == gap_s * 1000
        assert slots[0].method == ("counter" if quality == "measured" else "register")
        assert slots[0].coverage_permille == (1000 if quality == "measured" else 965)


def test_a_gap_over_several_slots_is_spread_over_them_and_stated() -> None:
    rules = meter()
    _, slots, events = fold(steady(3600, [*range(0, 910, 10), *range(5400, 6310, 10)]), rules)
    assert [slot.energy_uwh for slot in slots] == [900 * WH] * 7
    assert [slot.quality for slot in slots] == ["measured", *["estimated"] * 5, "measured"]
    assert [slot.coverage_permille for slot in slots] == [1000, 0, 0, 0, 0, 0, 1000]
    assert not events


def test_after_a_gap_too_long_slots_are_missing_and_the_energy_is_stated_as_unallocated() -> None:
    rules = meter()
    times = [*range(0, 1210, 10), *range(9900, 10810, 10)]
    _, slots, events = fold(steady(3600, times), rules)
    assert [(slot.start_s - BEGIN_S) // 900 for slot in slots] == list(range(12))
    assert [slot.quality for slot in slots] == ["measured", "partial", *["missing"] * 9, "measured"]
    assert slots[1].energy_uwh == 300 * WH
    assert {slot.energy_uwh for slot in slots[2:11]} == {None}
    assert [(event.kind, event.energy_uwh) for event in events] == [("gap", 8700 * WH)]


def test_a_slot_of_which_nothing_was_metered_is_missing_and_not_zero() -> None:
    times = [*range(0, 910, 10), *range(9900, 10810, 10)]
    _, slots, _ = fold(steady(3600, times), meter())
    assert [slot.quality for slot in slots[:3]] == ["measured", "missing", "missing"]
    assert slots[1].energy_uwh is None


def test_a_silence_of_years_does_not_write_down_every_slot() -> None:
    rules = meter()
    _, slots, events = fold([sample(0, 1000), sample(10 * 365 * 86400, 2000)], rules)
    assert len(slots) == MAX_MISSING + 1
    assert events[0].energy_uwh == 1000 * WH


def test_the_first_slot_is_partial_when_metering_begins_inside_it() -> None:
    _, slots, _ = fold(steady(3600, range(450, 1810, 10)), meter())
    assert [(slot.quality, slot.coverage_permille) for slot in slots] == [
        ("partial", 500),
        ("measured", 1000),
    ]
    assert slots[0].energy_uwh == 450 * WH


def test_a_direction_whose_register_is_missing_closes_no_slot_until_it_comes() -> None:
    rules = meter()
    samples = steady(3600, range(0, 910, 10), 1000)
    silent = [sample(t, None, 3600, export_wh=5) for t in range(910, 2700, 10)]
    state, slots, _ = fold([*samples, *silent], rules)
    assert [slot.start_s - BEGIN_S for slot in slots if slot.direction == "import"] == [0]
    _, slots, _ = fold([sample(2700, 3700, 3600)], rules, state)
    mine = [slot for slot in slots if slot.direction == "import"]
    assert [(slot.quality, slot.revision) for slot in mine] == [("estimated", 1), ("estimated", 0)]
    assert [slot.energy_uwh for slot in mine] == pytest.approx([900 * WH] * 2, abs=WH)


def test_a_meter_that_shows_nonsense_for_ever_delivers_no_zeros() -> None:
    rules = meter()
    good = steady(3600, range(0, 910, 10), 1000)
    nonsense = [
        sample(t, 10_000_000 + (t * 7919) % 1000 * 10_000, 3600) for t in range(910, 5000, 10)
    ]
    _, slots, _ = fold([*good, *nonsense], rules)
    assert [slot.start_s - BEGIN_S for slot in slots] == [0]


@pytest.mark.parametrize("bogus", [1e13, -1e30, 1e218, float("inf"), float("nan")])
def test_a_register_that_is_no_number_of_a_meter_is_as_if_it_were_not_there(bogus: float) -> None:
    samples = steady(3600, range(0, 1810, 10))
    for n in range(40, 50):
        samples[n] = replace(samples[n], values={**samples[n].values, "energy_import_wh": bogus})
    state, slots, events = fold(samples, meter())
    assert [slot.energy_uwh for slot in slots] == [900 * WH] * 2
    assert not events
    assert msgspec.json.decode(msgspec.json.encode(state), type=MeterState) == state


@pytest.mark.parametrize("bogus", [0.0, 99_000_000.0, 1000.0 + 2**21])
def test_a_bogus_reading_on_the_boundary_shifts_no_energy_into_another_slot(bogus: float) -> None:
    samples = steady(3600, range(0, 1810, 10))
    samples[90] = replace(samples[90], values={**samples[90].values, "energy_import_wh": bogus})
    _, slots, events = fold(samples, meter())
    assert [(slot.energy_uwh, slot.quality) for slot in slots] == [(900 * WH, "measured")] * 2
    assert [event.kind for event in events] == ["glitch"]


def test_a_rollover_on_the_boundary_books_the_right_energy_to_both_slots() -> None:
    samples = [sample(t, (99_999_100 + t) % 100_000_000, 3600) for t in range(0, 1810, 10)]
    _, slots, events = fold(samples, meter())
    assert [slot.energy_uwh for slot in slots] == [900 * WH] * 2
    assert [event.kind for event in events] == ["rollover"]


# --- a register that is silent --------------------------------------------------------------------


def hourly(
    powers_w: Sequence[float], *, hours: int = 1, register_w: Sequence[float] | None = None
) -> list[Sample]:
    """Power every 10 s, one value per slot, and the register every hour, 10 s after it (as
    Norwegian meters send it).
    """
    samples, wh = [], 1000.0
    for n in range(len(powers_w) * 90 + 3):
        i = min(n // 90, len(powers_w) - 1)
        shown = n == 0 or (n - 1) % (360 * hours) == 0
        samples.append(sample(10 * n, float(int(wh)) if shown else None, powers_w[i]))
        wh += (register_w or powers_w)[i] / 360
    return samples


def provisional(samples: Sequence[Sample], rules: MeterRules) -> list[tuple[int, Slot]]:
    """Which slots were provisional, and at which second."""
    state, found = None, []
    for each in samples:
        step = advance(state, each, rules)
        state = step.state
        found += [((each.utc_ms or 0) // 1000 - BEGIN_S, slot) for slot in step.provisional]
    return found


def test_energy_between_two_registers_goes_to_slots_as_power_was() -> None:
    powers_w = [400, 4000, 0, 1200]
    _, slots, events = fold(hourly(powers_w), meter())
    assert [slot.energy_uwh for slot in slots] == pytest.approx(
        [power_w * WH / 4 for power_w in powers_w], abs=8 * WH
    )
    assert {(slot.quality, slot.method) for slot in slots} == {("estimated", "counter")}
    assert [slot.revision for slot in slots] == [1, 1, 1, 0]
    assert {slot.coverage_permille for slot in slots} == {1000}
    assert not events


def test_power_tells_the_proportions_only_where_the_register_says_another_sum() -> None:
    powers_w = [400, 4000, 0, 1200]
    _, slots, _ = fold(hourly(powers_w, register_w=[1400] * 4), meter(), None)
    assert sum(slot.energy_uwh or 0 for slot in slots) == pytest.approx(1400 * WH, abs=6 * WH)
    assert [slot.energy_uwh for slot in slots] == pytest.approx(
        [power_w * WH / 4 for power_w in powers_w], abs=12 * WH
    )


def test_what_power_does_not_account_for_goes_evenly_to_the_time_that_is_dark() -> None:
    """Half an hour at 1 kW with power, then half an hour without anything, in which 2 kWh pass."""
    lit = [sample(10 * n, 1000 if n == 0 else None, 1000) for n in range(181)]
    _, slots, events = fold([*lit, sample(3600, 3500, 1000)], meter())
    assert [slot.energy_uwh for slot in slots] == pytest.approx(
        [250 * WH, 250 * WH, 1000 * WH, 1000 * WH], rel=0.03
    )
    assert [slot.coverage_permille for slot in slots] == pytest.approx([1000, 1000, 0, 0], abs=40)
    assert not events


def test_a_slot_whose_register_is_late_is_provisional_and_revised_when_it_comes() -> None:
    powers_w = [400, 4000, 0, 1200]
    found = provisional(hourly(powers_w), meter())
    assert [(at_s, slot.start_s - BEGIN_S) for at_s, slot in found] == [
        (990, 0),
        (1890, 900),
        (2790, 1800),
    ]
    assert [slot.energy_uwh for _, slot in found] == pytest.approx(
        [100 * WH, 1000 * WH, 0], abs=10 * WH
    )
    assert {
        (slot.quality, slot.method, slot.revision, slot.coverage_permille) for _, slot in found
    } == {("estimated", "power", 0, 1000)}


def test_nothing_is_provisional_where_power_is_not_known_nor_for_longer_than_the_longest_gap() -> (
    None
):
    dark = [
        replace(each, values={k: v for k, v in each.values.items() if k != "power_w"})
        for each in hourly([400] * 4)
    ]
    assert provisional(dark, meter()) == []
    late = [slot.start_s - BEGIN_S for _, slot in provisional(hourly([400] * 16, hours=5), meter())]
    assert late == list(range(0, 7200, 900))


def test_a_register_that_pauses_and_then_jumps_is_booked_to_the_slots_in_which_power_flowed() -> (
    None
):
    def shown(t: int) -> float:
        return 1000.0 + (t if t < 1000 else 1000 if t < 5000 else t) * 2000 / 3600

    samples = [sample(t, float(int(shown(t))), 2000) for t in range(0, 6310, 10)]
    state, slots, events = fold(samples, meter())
    assert [slot.energy_uwh for slot in slots] == pytest.approx([500 * WH] * 7, abs=10 * WH)
    assert [slot.quality for slot in slots] == ["measured", *["estimated"] * 5, "measured"]
    assert [slot.revision for slot in slots] == [0, 1, 1, 1, 1, 0, 0]
    assert not events
    assert len(provisional(samples, meter())) == 4
    assert state is not None


def test_a_register_that_is_believed_to_stand_still_against_power_leaves_no_measured_slot() -> None:
    samples = [sample(t, 1000.0 + min(t, 5000) / 2, 1800) for t in range(0, 5000 + 4 * 3600, 10)]
    _, slots, _ = fold(samples, meter())
    assert {slot.quality for slot in slots if slot.start_s >= BEGIN_S + 5400} == {"estimated"}


def test_provisional_slots_of_a_meter_that_never_comes_back_stay_as_they_were_delivered() -> None:
    rules = meter()
    samples = hourly([400] * 4, hours=2)[:250]
    strangers = [sample(2500 + 10 * n, 5, 400, serial="B") for n in range(3)]
    provisional, slots, kinds, state = [], [], [], None
    for each in [*samples, *strangers]:
        step = advance(state, each, rules)
        state = step.state
        provisional += [slot for slot in step.provisional if slot.direction == "import"]
        slots += [slot for slot in step.slots if slot.serial_number == "A"]
        kinds += [event.kind for event in step.events]
    assert kinds == ["swap"]
    mine = [(slot.start_s - BEGIN_S, slot.quality, slot.method, slot.revision) for slot in slots]
    assert mine == [(0, "estimated", "counter", 1), (900, "estimated", "counter", 1)]
    assert [slot.energy_uwh for slot in slots] == [slot.energy_uwh for slot in provisional]


def test_the_state_stays_small_however_long_a_register_is_silent() -> None:
    rules = meter(slot_ms=60_000, max_gap_ms=60_000)
    state, _, _ = fold([sample(0, 1000, 100)], rules)
    largest = 0
    for n in range(1, 6000):
        state = advance(state, sample(10 * n, None, 100), rules).state
        largest = max(largest, len(msgspec.json.encode(state)))
    assert largest < 10_000
    _, slots, _ = fold([sample(60_000, 1000 + 100 / 6, 100)], rules, state)
    assert len(slots) == 1000
    assert sum(slot.energy_uwh or 0 for slot in slots) == pytest.approx(16 * WH, abs=2 * WH)


# --- another meter --------------------------------------------------------------------------------


def test_a_swapped_meter_begins_a_new_series_and_books_nothing_across() -> None:
    old = steady(3600, range(0, 1210, 10), 5000)
    new = [sample(t, 10 + t - 1500, 3600, serial="B") for t in range(1500, 2710, 10)]
    _, slots, events = fold([*old, *new], meter())
    assert [
        (slot.serial_number, slot.start_s - BEGIN_S, slot.quality, slot.energy_uwh)
        for slot in slots
    ] == [
        ("A", 0, "measured", 900 * WH),
        ("A", 900, "partial", 300 * WH),
        ("B", 900, "partial", 280 * WH),
        ("B", 1800, "measured", 900 * WH),
    ]
    assert [event.kind for event in events] == ["swap"]


def test_slots_between_one_meter_and_the_next_are_missing() -> None:
    new = [sample(t, 10 + t, 3600, serial="B") for t in range(3000, 3910, 10)]
    _, slots, _ = fold([*steady(3600, range(0, 1210, 10)), *new], meter())
    assert [(slot.serial_number, slot.start_s - BEGIN_S, slot.quality) for slot in slots] == [
        ("A", 0, "measured"),
        ("A", 900, "partial"),
        ("A", 1800, "missing"),
        ("B", 2700, "partial"),
    ]


def test_a_slot_in_which_the_register_was_reset_is_estimated() -> None:
    samples = [sample(t, (1000 if t < 500 else -500) + t, 3600) for t in range(0, 1810, 10)]
    _, slots, events = fold(samples, meter())
    assert [event.kind for event in events] == ["reset"]
    assert [slot.quality for slot in slots] == ["estimated", "measured"]


def test_a_meter_that_comes_back_goes_on_with_its_series() -> None:
    """As where a neighbour's meter was heard for a minute."""
    samples = steady(3600, range(0, 2710, 10))
    for n in range(120, 126):
        samples[n] = replace(
            samples[n], serial_number="B", values={"energy_import_wh": 77.0, "power_w": 3600.0}
        )
    state, slots, events = fold(samples, meter())
    assert [event.kind for event in events] == ["swap", "swap"]
    assert "is back after B" in events[1].text
    mine = [
        (slot.start_s - BEGIN_S, slot.quality, slot.revision)
        for slot in slots
        if slot.serial_number == "A"
    ]
    assert mine == [
        (0, "measured", 0),
        (900, "partial", 0),
        (900, "estimated", 1),
        (1800, "measured", 0),
    ]
    final = {slot.start_s: slot.energy_uwh for slot in slots if slot.serial_number == "A"}
    assert sum(energy_uwh or 0 for energy_uwh in final.values()) == pytest.approx(2700 * WH, abs=WH)
    assert state is not None
    assert state.previous is not None
    state, _, _ = fold(steady(3600, range(2720, 10_800, 600), 3720), meter(), state)
    assert state is not None
    assert state.previous is None


def test_a_meter_that_comes_back_after_the_longest_gap_begins_a_new_series() -> None:
    samples = [
        sample(t, 1000 + t / 10, serial="B" if 600 <= t < 9000 else "A") for t in range(0, 9600, 60)
    ]
    _, slots, events = fold(samples, meter())
    assert [event.kind for event in events] == ["swap", "swap"]
    assert "a new series begins with A" in events[1].text
    assert all(slot.revision == 0 for slot in slots)


def test_one_or_two_samples_of_a_strange_serial_number_move_nothing() -> None:
    samples = steady(3600, range(0, 1810, 10))
    for n in (30, 50, 51, 90, 91):
        samples[n] = replace(samples[n], serial_number="8")
    _, slots, events = fold(samples, meter())
    assert [(slot.energy_uwh, slot.quality, slot.serial_number) for slot in slots] == [
        (900 * WH, "measured", "A")
    ] * 2
    assert not events


def test_a_serial_number_that_is_told_later_or_not_each_time_is_the_same_series() -> None:
    samples = [
        replace(each, serial_number=None if n % 4 else "A")
        for n, each in enumerate(steady(3600, range(0, 1810, 10)), 1)
    ]
    _, slots, events = fold(samples, meter())
    assert [(slot.energy_uwh, slot.quality, slot.serial_number) for slot in slots] == [
        (900 * WH, "measured", "A")
    ] * 2
    assert not events


def test_slots_of_another_length_go_on_where_the_others_end() -> None:
    state, slots, _ = fold(steady(3600, range(0, 1210, 10)), meter())
    _, later, events = fold(
        steady(3600, range(1210, 2110, 10), 2210), meter(slot_ms=300_000), state
    )
    assert [event.kind for event in events] == ["slots"]
    assert (later[0].start_s - BEGIN_S, later[0].length_s, later[0].quality) == (
        900,
        900,
        "partial",
    )
    assert [(slot.start_s - BEGIN_S, slot.length_s, slot.quality) for slot in later[1:]] == [
        (1200, 300, "measured"),
        (1500, 300, "measured"),
        (1800, 300, "measured"),
    ]
    assert sum(slot.energy_uwh or 0 for slot in [*slots, *later]) == pytest.approx(
        2100 * WH, abs=WH
    )
    assert len(slots) == 1


# --- a clock that is set --------------------------------------------------------------------------


def with_clock(samples: Sequence[Sample], *steps: tuple[int, int]) -> list[Sample]:
    """The same samples where the clock is off by so many seconds from the n-th on."""
    off_s, wrong = 0, dict(steps)
    found = []
    for n, each in enumerate(samples):
        off_s = wrong.get(n, off_s)
        found.append(replace(each, utc_ms=(each.utc_ms or 0) + off_s * 1000))
    return found


def known_uwh(step_slots: Sequence[Slot], state: MeterState | None) -> int:
    """What is in slots, the open one among them."""
    assert state is not None
    each = state.directions["import"]
    return (
        sum(slot.energy_uwh or 0 for slot in step_slots)
        + each.counter.counter_uwh
        - each.slot.begin_uwh
    )


@pytest.mark.parametrize("back_s", [1, 5, 40, 300, 899])
def test_a_clock_that_is_set_back_by_less_than_a_slot_books_nothing_twice_and_loses_nothing(
    back_s: int,
) -> None:
    state, slots, events = fold(
        with_clock(steady(3600, range(0, 2710, 10)), (100, -back_s), (240, 0)), meter()
    )
    assert [slot.start_s - BEGIN_S for slot in slots] == [0, 900, 1800]
    assert sum(slot.energy_uwh or 0 for slot in slots) == 2700 * WH
    # A slot that has energy of a time that came twice is not measured.
    assert [slot.quality for slot in slots] == [
        "measured",
        "measured" if back_s <= 30 else "estimated",
        "measured",
    ][: len(slots)] or (slots[2].quality == "estimated")
    assert not events
    assert known_uwh(slots, state) == 2700 * WH


@pytest.mark.parametrize("off_s", [-500, -3, 3, 500])
def test_a_register_is_judged_by_how_long_it_took_and_not_by_a_clock_that_is_set(
    off_s: int,
) -> None:
    """17,250 W carry 60 Wh in 10 s: 30 Wh are right, and 200 are a jump, whatever the clock does
    just then.
    """
    rules = meter()
    samples = steady(10_800, range(0, 610, 10))
    state, _, events = fold(with_clock(samples, (30, off_s), (31, 0)), rules)
    assert not events
    assert state is not None
    assert state.directions["import"].counter.register_uwh == 2800 * WH
    values = {
        **samples[30].values,
        "energy_import_wh": samples[30].values["energy_import_wh"] + 200,
    }
    samples[30] = replace(samples[30], values=values)
    _, _, events = fold(with_clock(samples, (30, off_s), (31, 0)), rules)
    assert [event.kind for event in events] == ["glitch"]


def test_a_clock_that_is_set_forward_by_minutes_leaves_an_estimated_slot_and_loses_nothing() -> (
    None
):
    state, slots, events = fold(with_clock(steady(3600, range(0, 1810, 10)), (100, 300)), meter())
    assert [(slot.start_s - BEGIN_S, slot.quality) for slot in slots] == [
        (0, "measured"),
        (900, "estimated"),
    ]
    assert slots[1].energy_uwh == 600 * WH
    assert not events
    assert known_uwh(slots, state) == 1800 * WH


def test_a_clock_that_was_a_day_ahead_goes_on_at_once_and_states_what_has_no_place() -> None:
    samples = with_clock(steady(3600, range(0, 7210, 10)), (100, 86_400), (460, 0))
    state, slots, events = fold(samples, meter())
    assert [event.kind for event in events] == ["clock", "clock"]
    assert "set forward by 24.00 h" in events[0].text
    assert "set back by 24.00 h" in events[1].text
    assert [event.energy_uwh for event in events] == [10 * WH] * 2
    ahead = [slot for slot in slots if slot.start_s > BEGIN_S + 86_400]
    assert [(slot.start_s - BEGIN_S - 86_400, slot.quality) for slot in ahead] == [
        (900, "partial"),
        (1800, "measured"),
        (2700, "measured"),
        (3600, "measured"),
        (4500, "partial"),
    ]
    after = slots[slots.index(ahead[-1]) + 1 :]
    assert [(slot.start_s - BEGIN_S, slot.quality) for slot in after] == [
        (4500, "partial"),
        (5400, "measured"),
        (6300, "measured"),
    ]
    assert known_uwh(slots, state) + sum(event.energy_uwh for event in events) == 7200 * WH


def test_a_machine_that_wakes_up_in_the_past_goes_on_there() -> None:
    first = steady(3600, range(0, 3000, 10))
    rest = [
        replace(s, boot_id="next", boottime_ms=(n + 1) * 10_000, utc_ms=(s.utc_ms or 0) - 7200_000)
        for n, s in enumerate(first)
    ]
    rest = [
        replace(s, values={**s.values, "energy_import_wh": s.values["energy_import_wh"] + 3010})
        for s in rest
    ]
    state, slots, events = fold([*first, *rest], meter())
    ((kind, left_uwh),) = [(event.kind, event.energy_uwh) for event in events]
    assert kind == "clock"
    assert abs(left_uwh - 20 * WH) <= WH
    assert known_uwh(slots, state) + left_uwh == pytest.approx(6000 * WH, abs=WH)


STATE_OF_THE_FIRST_VERSION = b"""
{"serial_number":"A","at_ms":1800000310000,"slot_ms":900000,"directions":{"import":{"counter":
{"at_ms":1800000310000,"counter_uwh":1310000000,"register_uwh":1310000000,"offset_uwh":0,"power_w":3600.0,
"suspects":null},"slot":
{"start_ms":1800000000000,"from_ms":1800000000000,"begin_uwh":1000000000,"begin_register_uwh":1000000000,"samples":32,
"largest_gap_ms":10000,"uncovered_ms":0,"register_only":false}},"export":
{"counter":{"at_ms":1800000300000,"counter_uwh":5000000,
"register_uwh":5000000,"offset_uwh":0,"power_w":0.0,
"suspects":{"first_raw_uwh":0,"last_raw_uwh":0,"last_ms":1800000310000,"count":1}},
"slot":{"start_ms":1800000000000,"from_ms":1800000000000,"begin_uwh":5000000,"begin_register_uwh":5000000,"samples":31,
"largest_gap_ms":10000,"uncovered_ms":0,"register_only":false}}},"stranger":null,"strangers":0}"""


def test_a_state_that_the_first_version_stored_goes_on_where_it_was() -> None:
    rules = meter()
    state = msgspec.json.decode(STATE_OF_THE_FIRST_VERSION, type=MeterState)
    _, slots, events = fold(
        [
            replace(s, values={**s.values, "energy_export_wh": 5})
            for s in steady(3600, range(0, 910, 10))
        ],
        rules,
        state,
    )
    assert [(slot.direction, slot.energy_uwh, slot.quality, slot.samples) for slot in slots] == [
        ("import", 900 * WH, "measured", 91 - 1),
        ("export", 0, "measured", 91 - 2),
    ]
    assert [event.kind for event in events] == ["glitch"]


def test_a_register_that_did_not_move_in_a_long_gap_means_slots_of_nothing_not_missing_ones() -> (
    None
):
    """An inverter that sleeps at night answers nobody, and makes nothing."""
    _, slots, events = fold([sample(0, 5000.0, 0.0), sample(12 * 3600, 5000.0, 0.0)], meter())
    assert [slot.energy_uwh for slot in slots] == [0] * 48
    assert {slot.quality for slot in slots} == {"estimated"}
    assert not events


def test_a_series_does_not_begin_with_a_single_wrong_reading() -> None:
    for wrong_wh in (0.0, 4e6, 5.5e6):
        samples = [
            sample(0, wrong_wh),
            *(sample(at_s, 5e6 + at_s / 10) for at_s in range(10, 1000, 10)),
        ]
        _, slots, events = fold(samples, meter())
        assert [event.kind for event in events if "import" in event.text] == ["glitch"]
        assert [slot.energy_uwh for slot in slots if slot.direction == "import"] == [89 * WH]


def test_a_series_goes_on_as_it_began_once_readings_agree() -> None:
    samples = [
        *(sample(at_s, 5e6 + at_s / 10) for at_s in (0, 10, 20)),
        sample(30, 0.0),
        sample(40, 5e6 + 4),
        sample(900, 5e6 + 90),
    ]
    _, slots, events = fold(samples, meter())
    assert [event.kind for event in events if "import" in event.text] == ["glitch"]
    assert [slot.energy_uwh for slot in slots if slot.direction == "import"] == [90 * WH]


def test_what_power_closed_before_a_long_gap_is_carved_out_of_what_it_leaves_unallocated() -> None:
    rules = meter()
    state, slots, left = None, [], []
    shown = [
        sample(0, 1000, 400),
        *(sample(t, None, 400) for t in range(10, 1100, 10)),
        sample(30_000, 5000, 400),
        sample(30_010, 5001, 400),
    ]
    for each in shown:
        step = advance(state, each, rules)
        state = step.state
        slots += step.slots
        left += step.unallocated
    assert [slot.quality for slot in slots[:2]] == ["estimated", "missing"]
    energy_uwh = slots[0].energy_uwh
    assert energy_uwh == pytest.approx(100 * WH, abs=WH / 1000)
    assert [one.energy_uwh for one in left] == [4000 * WH - energy_uwh]


def test_nothing_is_closed_by_power_across_a_time_that_nobody_read() -> None:
    rules = meter()
    state = None
    for each in [*steady(400, range(0, 880, 10)), sample(2000, None, 400), sample(2010, None, 400)]:
        step = advance(state, each, rules)
        state = step.state
        assert not step.provisional


def test_a_slot_before_a_reset_at_its_end_is_not_called_measured() -> None:
    after = [sample(t, (t - 900) / 9, 400) for t in range(900, 2000, 10)]
    _, slots, events = fold([*steady(400, range(0, 900, 10)), *after], meter())
    assert [event.kind for event in events] == ["reset"]
    assert [slot.quality for slot in slots] == ["estimated", "estimated"]
