"""What is committed stays, whatever happens to the process and the disk."""

import contextlib
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gateway.energy.slot import (
    Event,
)
from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer
from tests.gateway.store.rig import IMPORTS, NOW_S, SMALL, child, closing, keep, owed, sample, slot
from tests.simulation.disk import Disk


def test_what_was_committed_survives_sigkill_and_what_waited_does_not(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    code = """
        import os, signal
        store = open_buffer(Path(sys.argv[1]), SMALL, now_s=0)
        for n in range(1000):
            store.add(Sample("grid", "A", "boot", n, n, {"energy_import_wh": float(n)}))
            if n == 899:
                store.flush()
        print("ready", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    result = child(code, path)
    assert (result.returncode, result.stdout) == (-signal.SIGKILL, "ready\n"), result.stderr
    store = open_buffer(path, SMALL, now_s=NOW_S)
    assert [each.boottime_ms for _, each in store.samples()] == list(range(900))
    assert store.latest_events() == []
    store.close_file()


def test_sigkill_in_the_middle_of_commits_leaves_whole_transactions(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    code = """
        from gateway.energy.slot import MeterState, Slot
        store = open_buffer(Path(sys.argv[1]), SMALL, now_s=0)
        print("ready", flush=True)
        for n in range(1, 10**9):
            number = store.add(Sample("grid", "A", "boot", n, n, {"energy_import_wh": float(n)}))
            slot = Slot("grid", "A", "import", n * 900, 900, 5, "measured", "counter", 1000, 90, 1,
                0, 5, 0, 0, "kernel")
            store.close(Closing("grid", number, MeterState("A", n, 900_000, {}), (slot,), (), ()))
            store.flush()
            print(n, flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", IMPORTS + textwrap.dedent(code), str(path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = 0
        while said < 50:
            line = process.stdout.readline().strip()
            assert line, "the child has ended"
            said = int(line) if line.isdigit() else 0
        process.kill()
        said = max([said, *(int(line) for line in process.stdout.read().split() if line.isdigit())])
    store = open_buffer(path, SMALL, now_s=NOW_S)
    ((number, state),) = store.counters().values()
    assert number >= said, "what was said to be committed is there"
    assert state.at_ms == number == store.slot_count == store.sample_count
    store.close_file()


def test_a_full_disk_loses_nothing_but_samples_between_slot_boundaries_and_it_goes_on_afterwards(
    store: Buffer,
) -> None:
    store.add(sample(0))
    keep(store, slot(900), owed(900))
    (pages,) = store.database.connection.execute("PRAGMA page_count").fetchone()
    store.database.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    for n in range(1, 20_001):
        store.add(sample(n, **{f"voltage_l{p}_v": 230.0 for p in (1, 2, 3)}))
    store.close(closing(slot(1800), owed(1800), Event(0, "grid", "glitch", "seen")))
    for _ in range(3):
        with pytest.raises(
            StoreError, match="free space on this disk; slots and what is owed are kept"
        ):
            store.flush()
    assert (store.slot_count, store.outbox("exchange").backlog().count) == (1, 1), (
        "the transaction was undone"
    )
    store.database.connection.execute("PRAGMA max_page_count = 1073741823")
    store.flush()
    ends = [n for n in range(1, 20_001) if n % 90 in (0, 89) or n in (1, 20_000)]
    assert [each.boottime_ms // 10_000 for _, each in store.samples()] == ends, (
        "the one that was there went for the slots"
    )
    assert (store.waiting, store.slot_count, store.outbox("exchange").backlog().count) == (0, 2, 2)
    assert [line.split(": ")[0][20:] for line in store.latest_events()] == [
        " grid glitch",
        "  full",
    ]


def test_a_file_that_may_not_grow_loses_nothing_and_goes_on_when_it_may(tmp_path: Path) -> None:
    """The operating system refuses (RLIMIT_FSIZE), as a full card does."""
    code = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = open_buffer(Path(sys.argv[1]), SMALL, now_s=0)
        store.add(Sample("grid", "A", "boot", 0, 0, {"energy_import_wh": 0.0}))
        store.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, resource.RLIM_INFINITY))
        for n in range(1, 5001):
            store.add(Sample("grid", "A", "boot", n, n, {"energy_import_wh": float(n),
                "voltage_l1_v": 1.0}))
        for _ in range(3):
            try:
                store.flush()
                print("written?")
            except StoreError as error:
                print(error)
        assert store.waiting == 5000
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        store.flush()
        assert [each.boottime_ms for _, each in store.samples()] == list(range(5001))
        store.close_file()
    """
    result = child(code, tmp_path / "buffer.sqlite")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("cannot write") == 3


def test_what_was_opened_on_a_read_only_disk_writes_when_the_disk_is_back(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    with Disk(tmp_path) as disk:
        first = open_buffer(path, SMALL, now_s=NOW_S)
        keep(first, slot(900))
        disk.kill()
        first.abandon()
        disk.revive()
        disk.read_only = True
        second = open_buffer(path, SMALL, now_s=NOW_S)
        second.add(sample(1))
        for _ in range(3):
            with pytest.raises(StoreError, match="read-only"):
                second.flush()
        assert [each.start_s for each in second.slots()] == [900]
        disk.read_only = False
        with contextlib.suppress(StoreError):
            second.flush()  # finds out that it was opened for reading
        second.flush()
        assert second.waiting == 0
        assert len(list(second.samples())) == 1
        second.close_file()
    assert sorted(each.name for each in tmp_path.iterdir() if "damaged" in each.name) == []
