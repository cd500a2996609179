"""A damaged file: what can be read of it goes on in a new one, whatever part was hit."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest

from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer, open_for_reading
from gateway.store.rows import Closing
from tests.gateway.store.rig import SMALL
from tests.gateway.store.salvage.rig import (
    ASSETS,
    NOW_S,
    PAGE,
    SLOTS,
    Content,
    content,
    fill,
    noise,
    owed,
    sample,
    slot,
    state_after,
)

# What its tests share takes long to make: one process makes it.
pytestmark = pytest.mark.xdist_group("salvage")


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
    store = open_buffer(path, SMALL, now_s=NOW_S)
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
    store = open_buffer(path, SMALL, now_s=NOW_S)
    ((number, state),) = store.counters().values()
    assert state.at_ms == state_after(SLOTS - 1).at_ms
    assert state.directions["import"].counter.counter_uwh == slot(SLOTS - 1).end_uwh
    assert number == max(
        n for n, each in store.samples() if each.utc_ms and each.utc_ms <= state.at_ms
    )
    store.close_file()


def test_rows_that_fail_validation_are_damage_too(path: Path) -> None:
    """SQLite keeps no checksums: noise inside a page goes unnoticed until a row is looked at."""
    before = fill(path)
    db = sqlite3.connect(path)
    db.execute(
        "UPDATE outbox SET subject = 'noise' || hex(subject) WHERE slot_s = ?", (NOW_S + 900,)
    )
    db.execute("UPDATE slots SET quality = 'noise' WHERE start_s = ?", (NOW_S + 1800,))
    db.commit()
    db.close()
    store = open_buffer(path, SMALL, now_s=NOW_S)
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
    store = open_buffer(path, SMALL, now_s=NOW_S)
    assert content(store).owed == before.owed
    store.flush()
    assert any("was damaged" in text for text in store.latest_events(100))
    store.close_file()


def test_what_lies_in_the_log_is_salvaged_too(path: Path, tmp_path: Path) -> None:
    """The head of the file is noise, and the newest pages are only in the log."""
    fill(path)
    store = open_buffer(path, SMALL, now_s=NOW_S)
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
    store = open_buffer(crashed, SMALL, now_s=NOW_S)
    after = content(store)
    assert slot(SLOTS) in after.slots
    assert owed(SLOTS, ASSETS[0], "pending") in after.owed
    assert after.counters["grid"] == (10**5, state_after(SLOTS))
    assert (tmp_path / f"crashed.sqlite.damaged-{NOW_S}-wal").read_bytes() == log
    store.close_file()
