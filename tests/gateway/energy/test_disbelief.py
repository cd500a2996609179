"""A register of which no reading can be believed: nothing is booked, and what passed is stated."""

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.belief import MOST_REFUSED
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.register import Rules
from gateway.energy.slot import KNOWN, MeterRules, MeterState, Slot, Unallocated
from tests.gateway.energy.samples import SLOT_MS, meter, sample

STEP_S = 10
LOAD_W = 3000.0


def with_fuse(max_power_w: float, slot_ms: int = SLOT_MS) -> MeterRules:
    """A meter with one register that counts whole Wh."""
    one = Rules(WH, 100_000_000 * WH, float32=False, max_power_w=max_power_w)
    return replace(meter(slot_ms=slot_ms), registers={"import": one})


def loaded(from_s: int, to_s: int, load_w: float = LOAD_W) -> list[Sample]:
    """Samples of a load that never changes, whose register stood at 1000 Wh at 0 s."""
    return [
        sample(t, float(int(1000 + load_w * t / 3600)), load_w) for t in range(from_s, to_s, STEP_S)
    ]


class Books:
    """What a fold has brought so far."""

    def __init__(self) -> None:
        self.state: MeterState | None = None
        self.slots: dict[int, Slot] = {}
        self.unallocated: list[Unallocated] = []
        self.kinds: set[str] = set()

    def fold(self, samples: list[Sample], rules: MeterRules) -> None:
        for each in samples:
            step = advance(self.state, each, rules)
            # As after a restart of the daemon, at every sample.
            self.state = msgspec.json.decode(msgspec.json.encode(step.state), type=MeterState)
            self.slots |= {slot.start_s: slot for slot in step.slots}
            self.unallocated += step.unallocated
            self.kinds |= {event.kind for event in step.events}

    @property
    def booked_uwh(self) -> int:
        return sum(slot.energy_uwh or 0 for slot in self.slots.values())

    @property
    def unallocated_uwh(self) -> int:
        return sum(each.energy_uwh for each in self.unallocated)

    @property
    def open_uwh(self) -> int:
        """What the slot that is open has so far."""
        assert self.state is not None
        direction = self.state.directions["import"]
        return direction.counter.counter_uwh - direction.slot.begin_uwh


@pytest.mark.parametrize("max_power_w", [17.25, 230.0])
def test_with_a_fuse_that_is_none_nothing_is_booked_and_all_is_unallocated(
    max_power_w: float,
) -> None:
    books = Books()
    books.fold(loaded(0, 4 * 3600 + 60), with_fuse(max_power_w))
    assert not [slot for slot in books.slots.values() if slot.quality in KNOWN]
    assert books.booked_uwh == 0
    # Metering has begun after a few readings; the last slot is open still.
    assert books.unallocated_uwh == pytest.approx(4 * LOAD_W * WH, rel=0.01)
    assert {each.kind for each in books.unallocated} == {"jump"}
    ends = {each.to_ms % SLOT_MS for each in books.unallocated}
    assert ends == {0}, "slot by slot: so that a person can allocate it later"


def test_a_fuse_that_is_put_right_books_from_then_on_and_nothing_twice() -> None:
    books = Books()
    books.fold(loaded(0, 7000), with_fuse(17.25))
    books.fold(loaded(7000, 4 * 3600 + STEP_S), with_fuse(17_250.0))
    measured = [slot for slot in books.slots.values() if slot.quality == "measured"]
    assert len(measured) >= 4
    assert all(slot.energy_uwh == pytest.approx(750 * WH, abs=2 * WH) for slot in measured)
    total_uwh = books.booked_uwh + books.unallocated_uwh + books.open_uwh
    assert total_uwh == pytest.approx(4 * LOAD_W * WH, abs=40 * WH)


def test_a_fuse_that_becomes_wrong_later_takes_nothing_back() -> None:
    books = Books()
    books.fold(loaded(0, 7200), with_fuse(17_250.0))
    before = dict(books.slots)
    books.fold(loaded(7200, 4 * 3600 + STEP_S), with_fuse(17.25))
    assert before.items() <= books.slots.items()
    total_uwh = books.booked_uwh + books.unallocated_uwh + books.open_uwh
    assert total_uwh == pytest.approx(4 * LOAD_W * WH, abs=2 * WH)
    assert books.unallocated_uwh > 5000 * WH


@given(st.integers(0, 10**6))
def test_registers_of_nonsense_are_neither_booked_nor_unallocated(seed: int) -> None:
    """Numbers that do not rise are no register, and nobody knows what passed."""
    rng = Random(seed)
    books = Books()
    books.fold(loaded(0, 100), with_fuse(17_250.0))
    nonsense = [
        sample(t, float(rng.randrange(10**6, 9 * 10**7)), LOAD_W) for t in range(100, 2000, STEP_S)
    ]
    books.fold(nonsense, with_fuse(17_250.0))
    assert books.unallocated_uwh == 0
    assert books.booked_uwh == 0 or books.slots
    assert books.kinds <= {"glitch"}

    books.fold(loaded(2000, 4000), with_fuse(17_250.0))
    total_uwh = books.booked_uwh + books.unallocated_uwh + books.open_uwh
    assert total_uwh == pytest.approx(LOAD_W * WH * 3990 / 3600, abs=2 * WH)


@given(st.lists(st.integers(1, MOST_REFUSED - 1), min_size=1, max_size=5))
def test_fewer_readings_than_that_are_a_glitch_and_move_nothing(lengths: list[int]) -> None:
    """Bursts of wrong readings that rise, each over the end of a slot."""
    books = Books()
    at_s = 0
    for n, length in enumerate(lengths, 1):
        end_s = n * SLOT_MS // 1000
        first_s = end_s - STEP_S * (length // 2 + 1)
        books.fold(loaded(at_s, first_s), with_fuse(17_250.0))
        at_s = first_s + length * STEP_S
        wild = [
            sample(t, 2e6 + 1e5 * i, LOAD_W) for i, t in enumerate(range(first_s, at_s, STEP_S))
        ]
        books.fold(wild, with_fuse(17_250.0))
    books.fold(loaded(at_s, at_s + 1000), with_fuse(17_250.0))
    assert books.unallocated_uwh == 0
    assert books.kinds <= {"glitch"}
    assert all(slot.energy_uwh for slot in books.slots.values())
