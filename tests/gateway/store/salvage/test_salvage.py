"""A damaged file: what can be read of it goes on in a new one, whatever part was hit, and whatever
happens meanwhile.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from uuid import UUID

import msgspec
import pytest

from drivers.sample import Sample
from gateway.energy.counter import Counter
from gateway.energy.slot import DirectionState, Event, MeterState, OpenSlot, Slot
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed, State
from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer, open_for_reading
from gateway.store.rows import Closing
from gateway.store.salvage import salvage

# What its tests share takes long to make: one process makes it.
pytestmark = pytest.mark.xdist_group("salvage")

NOW_S = 1_800_000_000
SLOTS = 160
PAGE = 512
ASSETS = [UUID(int=n) for n in range(1, 4)]


def sample(n: int) -> Sample:
    """One every ten seconds."""
    values = {"energy_import_wh": 1000.0 + n, "power_w": float(n % 700), "voltage_l1_v": 230.0}
    return Sample("grid", "A", "boot", n * 10_000, (NOW_S + n * 10) * 1000, values)


def slot(n: int) -> Slot:
    begin_uwh = 1_000_000_000 + n * 90_000_000
    chain = (begin_uwh, begin_uwh + 90_000_000)
    return Slot(
        "grid",
        "A",
        "import",
        NOW_S + n * 900,
        900,
        90_000_000,
        "measured",
        "counter",
        1000,
        90,
        10_000,
        *chain,
        *chain,
        "kernel",
    )


def owed(n: int, asset: UUID, state: State) -> Owed:
    start_s = NOW_S + n * 900
    item = Item("exchange", asset, start_s, "measurement", 0, 90_000_000)
    decided_s = None if state == "pending" else start_s + 950.0
    return Owed(
        item,
        900,
        "measured",
        start_s + 900.0,
        None,
        state,
        attempts=int(state != "pending"),
        decided_s=decided_s,
    )


def state_after(n: int) -> MeterState:
    """The fold when slot n has closed."""
    last = slot(n)
    at_ms = (last.start_s + 900) * 1000
    counter = Counter(at_ms, last.end_uwh, last.end_uwh, 0, 100.0)
    return MeterState(
        "A",
        at_ms,
        900_000,
        {"import": DirectionState(counter, OpenSlot(at_ms, at_ms, last.end_uwh, last.end_uwh))},
    )


@dataclass(frozen=True, slots=True)
class Content:
    """All that a buffer holds."""

    slots: frozenset[Slot]
    owed: frozenset[Owed]
    samples: dict[int, Sample]
    counters: dict[str, tuple[int, MeterState]]


def content(buffer: Buffer) -> Content:
    return Content(
        frozenset(buffer.slots()),
        frozenset(buffer.owed()),
        dict(buffer.samples()),
        buffer.counters(),
    )


def fill(path: Path) -> Content:
    """Three days of one meter and three assets: samples, slots, what is owed, and events, as they
    come to lie in time.
    """
    store = open_buffer(path, now_s=NOW_S)
    for n in range(SLOTS):
        for k in range(90 if n > SLOTS - 30 else 3):
            store.add(sample(n * 90 + k))
        due = tuple(owed(n, asset, "pending" if n > SLOTS - 20 else "accepted") for asset in ASSETS)
        events = (Event((NOW_S + n * 900) * 1000, "grid", "glitch", "seen"),) if n % 10 == 0 else ()
        store.close(Closing("grid", store.last_number, state_after(n), (slot(n),), due, events))
        if n % 20 == 0:
            store.flush()
    store.flush()
    found = content(store)
    store.close_file()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Content]:
    path = tmp_path_factory.mktemp("whole") / "buffer.sqlite"
    found = fill(path)
    return path.read_bytes(), found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "buffer.sqlite"


def noise(data: bytearray, at: int, size: int) -> None:
    data[at : at + size] = Random(at).randbytes(size)


def pages_of(kind: Callable[[bytes], bool], data: bytes) -> list[int]:
    return [at for at in range(PAGE, len(data), PAGE) if kind(data[at : at + PAGE])]


def some_pages(data: bytearray, part: float, how: Callable[[int], bytes]) -> None:
    for number in Random(7).sample(range(60, len(data) // PAGE), int(part * len(data) / PAGE)):
        data[number * PAGE : (number + 1) * PAGE] = how(number)


DAMAGES: dict[str, tuple[Callable[[bytearray], None], float]] = {
    # What is done to the file, and the part of slots and of what is owed that must be left. Rows of
    # a slot lie together, so that a page that is lost costs some slots all that they have; long
    # rows also need a second page.
    "the head": (lambda data: noise(data, 0, 8192), 0.96),
    "the first page": (lambda data: noise(data, 0, PAGE), 1),
    "the header": (lambda data: noise(data, 0, 16), 1),
    "the middle": (lambda data: noise(data, len(data) // 2, 8192), 0.9),
    "the tail": (lambda data: noise(data, len(data) - 8192, 8192), 0.9),
    "the last half": (lambda data: data.__delitem__(slice(len(data) // 2, None)), 0.4),
    "zeros on every tenth page": (lambda data: some_pages(data, 0.1, lambda _: bytes(PAGE)), 0.7),
    "noise on every tenth page": (
        lambda data: some_pages(data, 0.1, lambda n: Random(n).randbytes(PAGE)),
        0.7,
    ),
    "another page in its place": (
        lambda data: some_pages(data, 0.1, lambda _: bytes(data[4 * PAGE : 5 * PAGE])),
        0.7,
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_can_be_read_goes_on_and_nothing_is_invented(
    path: Path, whole: tuple[bytes, Content], damage: str
) -> None:
    data, before = bytearray(whole[0]), whole[1]
    do, left = DAMAGES[damage]
    do(data)
    path.write_bytes(data)
    store = open_buffer(path, now_s=NOW_S)
    after = content(store)
    assert after.slots <= before.slots
    assert after.owed <= before.owed
    assert after.samples.items() <= before.samples.items()
    assert len(after.slots) >= left * len(before.slots)
    assert len(after.owed) >= left * len(before.owed)
    aside = path.with_name(f"buffer.sqlite.damaged-{NOW_S}")
    assert aside.read_bytes() == data, "it is kept as it was"
    store.add(sample(10**6))
    store.flush()
    [line] = [line for line in store.latest_events(1000) if "damaged" in line]
    assert f"it was set aside as {aside.name}; salvaged: " in line
    assert f"{len(after.slots)} slots" in line
    the_fold_goes_on_where_the_last_slot_ended(store)
    store.close_file()
    opened = open_for_reading(path)
    assert set(opened.slots()) == after.slots, "and it is there at the next start"
    opened.close_file()
    assert not list(path.parent.glob("*salvag*"))


def the_fold_goes_on_where_the_last_slot_ended(store: Buffer) -> None:
    last = max(store.slots(), key=lambda each: each.start_s)
    ((number, state),) = store.counters().values()
    assert state.at_ms >= (last.start_s + 900) * 1000, "no slot is closed twice"
    if state.at_ms == (last.start_s + 900) * 1000:
        assert state.directions["import"].counter.counter_uwh == last.end_uwh, (
            "and none of its energy lost"
        )
    assert store.add(sample(10**6)) > max([number, *(n for n, _ in store.samples())])
    assert all(
        each.utc_ms <= state.at_ms for n, each in store.samples() if n <= number and each.utc_ms
    )


def test_a_fold_older_than_its_slots_is_not_believed(path: Path) -> None:
    """As where the log was lost in the middle of being written back."""
    fill(path)
    db = sqlite3.connect(path)
    db.execute(
        "UPDATE counters SET state = ?, sample_id = 5", (msgspec.json.encode(state_after(3)),)
    )
    db.execute("DROP TABLE events")
    db.commit()
    db.close()
    store = open_buffer(path, now_s=NOW_S)
    ((number, state),) = store.counters().values()
    assert state.at_ms == state_after(SLOTS - 1).at_ms
    assert state.directions["import"].counter.counter_uwh == slot(SLOTS - 1).end_uwh
    assert number == max(
        n for n, each in store.samples() if each.utc_ms and each.utc_ms <= state.at_ms
    )
    store.close_file()


def test_rows_that_make_no_sense_are_damage_too(path: Path) -> None:
    """SQLite keeps no checksums: noise inside a page goes unnoticed until a row is looked at."""
    before = fill(path)
    db = sqlite3.connect(path)
    db.execute(
        "UPDATE outbox SET subject = 'noise' || hex(subject) WHERE slot_s = ?", (NOW_S + 900,)
    )
    db.execute("UPDATE slots SET quality = 'noise' WHERE start_s = ?", (NOW_S + 1800,))
    db.commit()
    db.close()
    store = open_buffer(path, now_s=NOW_S)
    after = content(store)
    assert before.slots - after.slots == {slot(2)}
    assert {each.item.slot_s for each in before.owed - after.owed} == {NOW_S + 900}
    store.close_file()


def test_a_schema_that_is_no_text_is_damage_too(path: Path) -> None:
    """What SQLite says of it quotes it, and is no text either."""
    before = fill(path)
    data = path.read_bytes()
    at = data.index(b"tableslotsslots")
    path.write_bytes(
        data[:at] + b"table\xb9lots\xb9lots" + data[at + 15 :].replace(b"CREATE", b"C\xb9EATE", 1)
    )
    with pytest.raises(StoreError, match="buffer repair"):
        open_for_reading(path)
    store = open_buffer(path, now_s=NOW_S)
    assert content(store).owed == before.owed
    store.flush()
    assert any("was damaged" in text for text in store.latest_events(100))
    store.close_file()


def test_what_lies_in_the_log_is_salvaged_too(path: Path, tmp_path: Path) -> None:
    """The head of the file is noise, and the newest pages are only in the log."""
    fill(path)
    store = open_buffer(path, now_s=NOW_S)
    store.database.connection.execute("PRAGMA wal_autocheckpoint = 0")
    store.close(
        Closing(
            "grid",
            10**5,
            state_after(SLOTS),
            (slot(SLOTS),),
            (owed(SLOTS, ASSETS[0], "pending"),),
            (),
        )
    )
    store.flush()
    crashed = tmp_path / "crashed.sqlite"
    for suffix in ("", "-wal"):
        shutil.copy(path.with_name(path.name + suffix), crashed.with_name(crashed.name + suffix))
    store.close_file()
    data = bytearray(crashed.read_bytes())
    noise(data, 0, PAGE)
    crashed.write_bytes(data)
    log = bytearray(crashed.with_name("crashed.sqlite-wal").read_bytes())
    store = open_buffer(crashed, now_s=NOW_S)
    after = content(store)
    assert slot(SLOTS) in after.slots
    assert owed(SLOTS, ASSETS[0], "pending") in after.owed
    assert after.counters["grid"] == (10**5, state_after(SLOTS))
    assert (tmp_path / f"crashed.sqlite.damaged-{NOW_S}-wal").read_bytes() == log
    store.close_file()


# --- while it is open -----------------------------------------------------------------------------


@pytest.fixture
def running(path: Path) -> Iterator[tuple[Buffer, Content]]:
    before = fill(path)
    store = open_buffer(path, now_s=NOW_S)
    yield store, before
    store.close_file()


def closes_one_more(store: Buffer) -> None:
    store.add(sample(SLOTS * 90))
    store.close(
        Closing(
            "grid",
            store.last_number,
            state_after(SLOTS),
            (slot(SLOTS),),
            (owed(SLOTS, ASSETS[0], "pending"),),
            (),
        )
    )


def told(store: Buffer) -> list[str]:
    return [line for line in store.latest_events(1000) if " damaged: " in line]


@pytest.mark.parametrize("suffixes", [["", "-wal", "-shm"], [""], ["-wal"], ["-shm"]])
def test_nothing_is_lost_when_it_is_deleted_while_it_is_open(
    running: tuple[Buffer, Content], path: Path, suffixes: list[str]
) -> None:
    store, before = running
    closes_one_more(store)
    store.flush()
    for suffix in suffixes:
        path.with_name(path.name + suffix).unlink()
    store.add(sample(SLOTS * 90 + 1))
    store.flush()
    opened = open_for_reading(path)
    for each in (store, opened):
        after = content(each)
        assert after.slots == {*before.slots, slot(SLOTS)}
        assert after.owed == {*before.owed, owed(SLOTS, ASSETS[0], "pending")}
        assert len(after.samples) == len(before.samples) + 2
    opened.close_file()
    store.add(sample(SLOTS * 90 + 2))
    store.flush()
    [line] = told(store)
    assert "was deleted or replaced while it was open" in line


def test_a_folder_in_its_place_is_set_aside_while_it_is_open(
    running: tuple[Buffer, Content], path: Path
) -> None:
    store, before = running
    path.unlink()
    path.mkdir()
    (path / "something").touch()
    store.add(sample(SLOTS * 90))
    store.flush()
    assert content(store).slots == before.slots
    assert [each.name for each in path.parent.glob("*.damaged-*/*")] == ["something"]


@pytest.mark.parametrize("part", ["all of it", "the last half is cut off"])
def test_a_file_that_is_damaged_while_it_is_open_is_salvaged_and_writing_goes_on(
    running: tuple[Buffer, Content], path: Path, part: str
) -> None:
    store, before = running
    store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    if part == "all of it":
        path.write_bytes(Random(1).randbytes(size))
    else:
        os.truncate(path, size // 2)
    store.database.connection.execute(
        "PRAGMA shrink_memory"
    )  # what is in memory is never read again
    closes_one_more(store)
    failures = 0
    for _ in range(5):
        try:
            store.check_some(10**6)
            store.flush()
        except StoreError as error:
            assert "damaged" in str(error)
            failures += 1
    assert failures <= 2, "it goes on"
    after = content(store)
    assert after.slots <= {*before.slots, slot(SLOTS)}
    assert slot(SLOTS) in after.slots, "what waited is not lost"
    assert owed(SLOTS, ASSETS[0], "pending") in after.owed
    assert len(told(store)) == 1
    assert store.counters()["grid"][1] == state_after(SLOTS)


def test_damage_that_no_question_meets_is_found_in_passing(
    running: tuple[Buffer, Content], path: Path
) -> None:
    store, before = running
    store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    leaf = [at for at in range(PAGE, len(data), PAGE) if data[at] == 0x0A][5]
    with path.open("r+b") as file:
        file.seek(leaf)
        file.write(bytes(PAGE))
    store.database.connection.execute("PRAGMA shrink_memory")
    found = None
    for _ in range(200):
        try:
            if store.check_some(500):
                break
        except StoreError as error:
            found = str(error)
    assert found and "goes on" in found
    assert content(store).slots <= before.slots


def refuse(path: Path) -> None:
    raise OSError(5, "Input/output error", path)


def test_damage_that_cannot_be_mended_now_is_an_error_and_tried_again(
    running: tuple[Buffer, Content], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = running
    store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(path, path.stat().st_size // 2)
    closes_one_more(store)
    with monkeypatch.context() as patch:
        patch.setattr(salvage, "_sync", refuse)
        for _ in range(3):
            with pytest.raises(StoreError, match="cannot be set aside"):
                store.check_some(10**6)
                store.flush()
    assert not list(path.parent.glob("*.damaged-*"))
    with pytest.raises(StoreError, match="goes on"):
        store.check_some(10**6)
    store.flush()
    assert slot(SLOTS) in content(store).slots


# --- power cuts meanwhile -------------------------------------------------------------------------


def test_a_salvage_that_was_cut_short_is_done_again(
    path: Path, whole: tuple[bytes, Content]
) -> None:
    path.write_bytes(whole[0])
    path.with_name("buffer.sqlite.salvaging").write_bytes(b"half")
    store = open_buffer(path, now_s=NOW_S)
    assert content(store) == replace(whole[1], counters=store.counters())
    store.flush()
    assert "its salvage was cut short" in told(store)[0]
    store.close_file()


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_a_complete_salvage_only_has_to_be_put_in_its_place(
    path: Path, whole: tuple[bytes, Content], done: int
) -> None:
    """The power fails after so many of the renames. The log of the old file must never be played
    back into the new one.
    """
    path.with_name("buffer.sqlite.salvaged").write_bytes(whole[0])
    path.write_bytes(Random(3).randbytes(5000))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(Random(4).randbytes(5000))
    for suffix in ("-wal", "-shm", "")[:done]:
        path.with_name(path.name + suffix).rename(
            path.with_name(f"buffer.sqlite.damaged-5{suffix}")
        )
    store = open_buffer(path, now_s=NOW_S)
    assert content(store) == whole[1]
    store.close_file()


def test_a_complete_one_that_cannot_be_put_in_its_place_is_not_written_past(
    running: tuple[Buffer, Content], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, before = running
    store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(16)
        file.write(bytes(84))
    store.database.connection.execute("PRAGMA shrink_memory")
    with monkeypatch.context() as patch:
        patch.setattr(salvage, "put_in_place", lambda path, _: refuse(path))
        for _ in range(3):
            closes_one_more(store)
            with pytest.raises(StoreError, match="cannot be set aside"):
                store.check_some(10**6)
                store.flush()
    store.flush()
    after = content(store)
    assert after.slots == {*before.slots, slot(SLOTS)}
    assert len(after.samples) == len(before.samples) + 3


def test_only_the_newest_damaged_files_are_kept(path: Path) -> None:
    for n in range(6):
        path.write_bytes(Random(n).randbytes(2000))
        store = open_buffer(path, now_s=NOW_S + n)
        store.close_file()
        os.utime(path.with_name(f"buffer.sqlite.damaged-{NOW_S + n}"), (n, n))
    left = sorted(each.name for each in path.parent.glob("*.damaged-*"))
    assert left == [f"buffer.sqlite.damaged-{NOW_S + n}" for n in (3, 4, 5)]


def test_what_counts_is_saved_where_there_is_no_time_for_samples(
    path: Path, whole: tuple[bytes, Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(whole[0])
    noise(data, 16, 16)
    path.write_bytes(data)
    monkeypatch.setattr(salvage, "SAMPLES_S", -1.0)
    store = open_buffer(path, now_s=NOW_S)
    after = content(store)
    assert (after.slots, after.owed, after.samples) == (whole[1].slots, whole[1].owed, {})
    assert after.counters == whole[1].counters
    assert store.add(sample(10**6)) == after.counters["grid"][0] + 1
    store.close_file()
