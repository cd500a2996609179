"""What is removed: by age, by size, and never what is owed."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.energy.slot import (
    Event,
)
from gateway.store import buffer as buffers
from gateway.store import event_table, samples
from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer
from gateway.store.pending_writes import MAX_SAMPLES
from tests.gateway.store.rig import DAY_S, NOW_S, SMALL, closing, keep, owed, sample, slot
from tests.simulation.disk import Disk


def test_samples_go_after_30_days_and_slots_after_400_but_nothing_that_is_owed(
    store: Buffer,
) -> None:
    old_s, new_s = NOW_S - 401 * DAY_S, NOW_S - 399 * DAY_S
    for n in (-31 * 8640, -29 * 8640, 0):
        store.add(sample(n))
    keep(
        store,
        slot(new_s),
        owed(old_s, state="accepted"),
        owed(old_s, 1),
        owed(new_s, state="accepted"),
    )
    keep(store, slot(old_s), slot(old_s - 900))
    store.prune(NOW_S)
    assert [each.boottime_ms // 10_000 for _, each in store.samples()] == [-29 * 8640, 0]
    assert [(o.item.slot_s, o.state) for o in store.owed()] == [
        (old_s, "pending"),
        (new_s, "accepted"),
    ]
    assert [each.start_s for each in store.slots()] == [old_s, new_s]
    store.outbox("exchange").record([owed(old_s, 1).item], "accepted", "", NOW_S)
    store.prune(NOW_S)
    assert [each.start_s for each in store.slots()] == [new_s]
    assert (store.slot_count, store.sample_count) == (1, 2)


def test_a_file_that_is_too_large_gives_up_its_oldest_samples_and_nothing_else(
    tmp_path: Path,
) -> None:
    store = open_buffer(tmp_path / "buffer.sqlite", replace(SMALL, max_bytes=400_000), now_s=NOW_S)
    for n in range(6000):
        store.add(
            sample(
                n,
                **{f"power_l{p}_w": 1.0 for p in (1, 2, 3)},
                energy_import_wh=1.0,
                energy_export_wh=2.0,
            )
        )
    keep(store, slot(NOW_S), owed(NOW_S), owed(NOW_S + 900, state="accepted"))
    now_s = NOW_S + 60_000
    for _ in range(60):
        store.prune(now_s)
    left = [each.boottime_ms // 10_000 for _, each in store.samples()]
    assert store.sample_count == len(left) < 6000
    assert left == list(range(left[0], 6000))
    assert left[0] <= 6000 - 360, "the newest hour stays"
    assert (store.slot_count, len(list(store.owed()))) == (1, 2)
    store.close_file()


def test_samples_are_thinned_to_slot_boundaries_before_any_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "REMOVALS", 1)
    store = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
    count = 12_000  # 33 hours
    for n in range(count):
        for device in ("grid", "pv"):
            store.add(sample(n, device=device, energy_import_wh=float(n), power_w=1.0))
        if n % 100 == 99:
            store.flush()
    now_s = NOW_S + count * 10
    ends = {n for n in range(count) if n % 90 in (0, 89)}

    def prunes_once(store: Buffer) -> dict[str, list[int]]:
        store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store.limits = replace(SMALL, max_bytes=store.size_bytes - 1)
        store.prune(now_s)
        left: dict[str, list[int]] = {"grid": [], "pv": []}
        for _, each in store.samples():
            left[each.device].append(each.boottime_ms // 10_000)
        return left

    before = store.sample_count
    left = prunes_once(store)
    thinned = left["grid"].index(next(n for n in left["grid"] if n not in ends))
    assert 10 < thinned < 100, "the oldest are thinned first"
    assert left["grid"] == left["pv"]
    assert store.sample_count == 2 * len(left["grid"]) < before
    store.close_file()
    store = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=now_s)
    for _ in range(4):
        after = prunes_once(store)
        assert len(after["grid"]) < len(left["grid"]), "it goes on where it was"
        assert ends <= {*after["grid"]}
        left = after
    beyond = {*left["grid"][:-360]} - ends
    assert len(beyond) < 12, "those at the ends of a portion"
    assert left["grid"][-360:] == list(range(count - 360, count)), "the newest hour stays"
    left = prunes_once(store)
    assert min(left["grid"]) > 0, "then the oldest go"
    store.close_file()


def test_what_is_too_old_goes_in_portions(store: Buffer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a month without power nothing may stand still for long."""
    monkeypatch.setattr(samples, "REMOVED_AT_ONCE", 100)
    monkeypatch.setattr(buffers, "REMOVALS", 3)
    for n in range(1000):
        store.add(sample(n))
    store.prune(NOW_S + 60 * DAY_S)
    assert store.sample_count == 700
    for _ in range(4):
        store.prune(NOW_S + 60 * DAY_S)
    assert list(store.samples()) == []


def test_while_the_disk_refuses_samples_are_thinned_and_slots_are_not(tmp_path: Path) -> None:
    with Disk(tmp_path) as disk:
        store = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
        disk.failing = True
        for n in range(MAX_SAMPLES + 2):
            store.add(sample(n))
        for n in range(50):
            store.close(closing(slot(n * 900), owed(n * 900)))
        with pytest.raises(StoreError, match="check the disk with dmesg"):
            store.flush()
        assert store.waiting <= MAX_SAMPLES
        disk.failing = False
        store.flush()
        numbers = [number for number, _ in store.samples()]
        assert numbers[-1] == MAX_SAMPLES + 2
        assert numbers == sorted(set(numbers))
        assert (store.slot_count, store.outbox("exchange").backlog().count) == (50, 50)
        store.close_file()


def test_events_are_bounded(store: Buffer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_table, "MAX_EVENTS", 20)
    for n in range(100):
        store.note(Event(n * 1000, "grid", "glitch", f"number {n}"))
        store.flush()
    assert len(store.latest_events(1000)) == 20
    assert store.latest_events(1) == ["1970-01-01 00:01:39Z grid glitch: number 99"]


def test_of_samples_that_nobody_can_date_the_oldest_go_and_the_newest_hour_stays(
    tmp_path: Path,
) -> None:
    store = open_buffer(tmp_path / "buffer.sqlite", replace(SMALL, max_bytes=200_000), now_s=NOW_S)
    for n in range(9000):
        store.add(sample(n % 3000, utc=False, boot=f"boot-{n // 3000}"))
    for _ in range(20):
        store.prune(None)
    kept = [each for _, each in store.samples()]
    newest = [each.boottime_ms for each in kept if each.boot_id == "boot-2"]
    assert newest[-361:] == [n * 10_000 for n in range(2639, 3000)]
    assert len(kept) < 3000
    assert store.sample_count == len(kept)
    store.close_file()
