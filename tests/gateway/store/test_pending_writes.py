"""What waits in memory is bounded, and the energy of what has to go is stated."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.slot import MeterState, Slot, TakenBack, Unallocated
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.store import pending_writes as waiting
from gateway.store.buffer import Buffer
from gateway.store.pending_writes import MAX_SAMPLES, WaitingClosings, bounded, thinned
from gateway.store.rows import Closing


def sample(n: int, device: str = "grid", at_s: int | None = None) -> tuple[int, Sample]:
    at_s = n * 10 if at_s is None else at_s
    return n, Sample(device, "A", "boot", at_s * 1000, at_s * 1000, {"energy_import_wh": float(n)})


def closing(n: int, device: str = "grid") -> Closing:
    slot = Slot(
        device,
        "A",
        "import",
        n * 900,
        900,
        7,
        "measured",
        "counter",
        1000,
        90,
        10_000,
        7 * n,
        7 * n + 7,
        0,
        0,
        "kernel",
    )
    owed = Owed(
        Item("exchange", UUID(int=1), n * 900, "measurement", 0, 7),
        900,
        "measured",
        n * 900 + 900.0,
        None,
    )
    return Closing(device, n, MeterState("A", n * 900_000, 900_000, {}), (slot,), (owed,), ())


@given(
    times=st.lists(st.tuples(st.sampled_from(["grid", "pv"]), st.integers(0, 20_000)), max_size=60)
)
def test_of_each_meters_slot_the_first_and_the_last_sample_stay(
    times: list[tuple[str, int]],
) -> None:
    samples = [
        sample(n, device, at_s)
        for n, (device, at_s) in enumerate(sorted(times, key=lambda each: each[1]))
    ]
    wanted = set()
    for device in ("grid", "pv"):
        for start_s in range(0, 20_700, 900):
            inside = [
                n
                for n, each in samples
                if each.device == device and start_s <= each.utc_ms // 1000 < start_s + 900
            ]  # type: ignore[operator]
            wanted |= {*inside[:1], *inside[-1:]}
    assert [n for n, _ in thinned(samples, 900)] == sorted(wanted)


def test_samples_are_bounded_whatever_comes() -> None:
    kept: list[tuple[int, Sample]] = []
    for n in range(3 * MAX_SAMPLES):
        kept.append(sample(n, at_s=n * 900))  # every one at a boundary
        kept = bounded(kept, 900)
        assert len(kept) <= MAX_SAMPLES
    assert [n for n, _ in kept] == list(range(3 * MAX_SAMPLES - len(kept), 3 * MAX_SAMPLES)), (
        "the newest"
    )


def test_closings_come_back_in_their_order_with_the_last_state_of_each_meter() -> None:
    kept = WaitingClosings()
    for n in range(1000):
        assert kept.add(closing(n)) == []
        if n < 100:
            kept.add(closing(n, "pv"))
    back = list(kept)
    assert [(each.device, each.slots, each.owed) for each in back if each.device == "grid"] == [
        (each.device, each.slots, each.owed) for each in map(closing, range(1000))
    ]
    written = {each.device: (each.sample_id, each.state) for each in back}
    assert written == {"grid": (999, closing(999).state), "pv": (99, closing(99, "pv").state)}


def test_a_slot_that_waits_is_found_by_its_start() -> None:
    kept = WaitingClosings()
    for n in range(1000):
        kept.add(closing(n))
    for n in (0, 3, 500, 999):
        assert closing(n).slots[0] in [slot for each in kept.at(n * 900) for slot in each.slots]


def test_a_month_of_ten_meters_waits_in_three_megabytes() -> None:
    kept = WaitingClosings()
    for n in range(30 * 96):
        for device in range(10):
            kept.add(closing(n, f"meter{device}"))
    assert len(kept) == 30 * 96 * 10
    assert sum(len(packed.data) for packed in kept._packed) < 3_000_000


def test_beyond_the_bound_the_oldest_slots_go_and_their_energy_is_stated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "MAX_SLOTS", 1000)
    kept = WaitingClosings()
    events = [event for n in range(5000) for event in kept.add(closing(n))]
    assert len(kept) <= 1000 + 400
    assert {event.kind for event in events} == {"lost"}
    lost = 5000 - sum(len(each.slots) for each in kept)
    assert sum(event.energy_uwh for event in events) == 7 * lost
    assert (
        events[0].text
        == "200 slots could not be written for so long that memory was full; their energy is "
        "unallocated"
    )
    assert [each.slots[0].start_s // 900 for each in kept] == list(range(lost, 5000))
    assert kept.lost == (
        Unallocated("grid", "A", "import", "lost", 0, lost * 900_000, 0, 7 * lost),
    ), "one record, exact"
    kept.clear()
    assert kept.lost == ()


def test_what_was_unallocated_in_what_had_to_go_stays_so_and_what_is_provisional_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "MAX_SLOTS", 1000)
    kept = WaitingClosings()
    for n in range(5000):
        one = closing(n)
        if n == 0:
            one = replace(
                one,
                slots=(
                    *one.slots,
                    replace(one.slots[0], method="power", begin_uwh=7, end_uwh=10**9),
                ),
            )
        if n == 1:
            one = replace(
                one, unallocated=(Unallocated("grid", "A", "export", "gap", 5, 6, 100, 300),)
            )
        kept.add(one)
    lost = 5000 - sum(len(each.slots) for each in kept)
    assert {each.direction: (each.begin_uwh, each.end_uwh) for each in kept.lost} == {
        "import": (0, 7 * (lost)),
        "export": (100, 300),
    }


def test_a_closing_keeps_all_that_it_says_when_it_is_packed() -> None:
    kept = WaitingClosings()
    first = replace(
        closing(0), owed=(replace(closing(0).owed[0], closes_s=1800.5, reason="é", raw_uwh=-3),)
    )
    kept.add(first)
    for n in range(1, 1000):
        kept.add(closing(n))
    back = next(iter(kept))
    assert replace(back, sample_id=0, state=first.state) == first


def test_what_those_that_had_to_go_took_back_is_withdrawn_all_the_same(
    monkeypatch: pytest.MonkeyPatch, store: Buffer
) -> None:
    jump = Unallocated("grid", "A", "import", "jump", 0, 900_000, 9_000_000, 10_000_000)
    store.close(replace(closing(0), unallocated=(jump,)))
    store.flush()
    assert store.unallocated_total() == (1, 1_000_000)

    monkeypatch.setattr(waiting, "MAX_SLOTS", 1000)
    taken_back = TakenBack("grid", "A", "import", 1_800_000, from_uwh=8_000_000)
    store.close(replace(closing(1), taken_back=(taken_back,)))
    for n in range(2, 5000):
        store.close(closing(n))
    store.flush()
    kinds = {left.what.kind: left.is_withdrawn for left in store.unallocated()}
    assert kinds == {"jump": True, "lost": False}
