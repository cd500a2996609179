"""Restarts and replays give the very same books."""

from pathlib import Path

import pytest

from gateway.delivery.kinds import load
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.ledger.ledger import Ledger
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer
from tests.gateway.ledger.home import (
    BEGIN_S,
    Home,
    books,
    hourly,
    run,
    site,
    terms_of,
)
from tests.simulation.disk import Disk


@pytest.mark.parametrize("how", ["stop", "kill after flush"])
@pytest.mark.parametrize("when", [7, 90, 91, 150, 200])
def test_a_restart_that_loses_no_sample_gives_the_very_same_books(
    tmp_path: Path, how: str, when: int
) -> None:
    """Powers with digits that a 32-bit float has not: a replay must not round them."""
    results = []
    for name, restart in (("whole", False), ("cut", True)):
        folder = tmp_path / name
        home = Home(folder, site(folder))
        for n in range(280):
            at_ms = (BEGIN_S + n * 10) * 1000
            home.take(
                "grid",
                at_ms,
                energy_import_wh=5000 + n * 7 // 3,
                energy_export_wh=0,
                power_import_w=840.123456789,
                power_export_w=0.1,
            )
            home.take(
                "pv", at_ms, energy_import_wh=0, energy_export_wh=9000 + n, power_w=-360.987654321
            )
            if restart and n == when:
                if how == "stop":
                    home.stop()
                else:
                    home.buffer.flush()
                    home.kill()
                home.start()
        results.append(books(home))
        home.buffer.close_file()
    assert results[0] == results[1]
    assert len(results[0][0]) == 12


def test_replaying_again_and_again_changes_nothing(home: Home) -> None:
    run(home, 0, 2000)
    before = books(home)
    for _ in range(3):
        home.ledger.replay()
    assert books(home) == before


def test_books_that_are_rebuilt_from_the_samples_alone_are_the_same(home: Home) -> None:
    run(home, 0, 4000, load_w=1234.5, pv_w=777.7)
    before = books(home)
    home.buffer.database.connection.execute("DELETE FROM counters")
    home.kill()
    home.start()
    # INSERT … ON CONFLICT DO NOTHING would hide a difference; one would be an event.
    assert books(home) == before
    home.buffer.database.connection.execute("DELETE FROM counters")
    home.buffer.database.connection.execute("DELETE FROM slots")
    home.buffer.database.connection.execute("DELETE FROM outbox")
    home.kill()
    home.start()
    slots, owed, _ = books(home)
    assert slots == before[0]
    assert [o for o in owed if o.item.kind == "measurement"] == [
        o for o in before[1] if o.item.kind == "measurement"
    ]


def test_a_new_meter_does_not_make_the_samples_of_all_the_others_be_read_again(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path, site(tmp_path))
    run(home, 0, 2000)
    home.stop()
    (tmp_path / "devices/heat.yaml").write_text(
        "profile: eastron/sdm630\nline: tcp:127.0.0.1:502\n"
    )
    home.settings = load(tmp_path)
    home.buffer = open_buffer(home.path, now_s=home.now_s)
    asked: list[int] = []
    ledger = Ledger(home.settings, home.buffer, home.clock, [])
    home.buffer.database.connection.set_trace_callback(
        lambda sql: (
            asked.append(int(sql.split("id > ")[1].split()[0]))
            if "FROM samples WHERE id >" in sql
            else None
        )
    )
    ledger.replay()
    home.buffer.database.connection.set_trace_callback(None)
    assert asked
    assert min(asked) == home.buffer.last_number
    home.buffer.close_file()


def test_a_replay_that_the_disk_cuts_short_is_done_again(home: Home) -> None:
    run(home, 0, 1000)
    home.stop()
    home.start()
    run(home, 1010, 1700)
    home.buffer.flush()
    before = books(home)
    home.kill()
    with Disk(home.path.parent) as disk:
        home.buffer = open_buffer(home.path, now_s=home.now_s)
        terms = terms_of(home.settings, home.buffer)
        ledger = Ledger(home.settings, home.buffer, home.clock, terms)
        home.ledger = ledger
        disk.failing = True
        with pytest.raises(StoreError):
            ledger.replay()
        with pytest.raises(StoreError):
            run(home, 1710, 1710)
        # as a stop does; it must not store folds that have not seen the samples
        ledger.checkpoint()
        disk.failing = False
        run(home, 1720, 1810)
        home.buffer.flush()
    slots = [slot for slot in books(home)[0] if (slot.device, slot.direction) == ("grid", "import")]
    assert [slot.start_s - BEGIN_S for slot in slots] == [0, 900]
    assert sum(slot.energy_uwh or 0 for slot in slots) == pytest.approx(900 * WH, abs=WH)
    assert all(slot.quality == "measured" for slot in slots)
    assert set(before[2]) == set(books(home)[2])


def test_samples_from_before_the_clock_was_trusted_are_booked_once_it_is(tmp_path: Path) -> None:
    home = Home(tmp_path, site(tmp_path), trust="kernel")
    run(home, 0, 1000)
    assert books(home)[0] == []
    home.synchronised = True
    run(home, 1010, 1800)
    slots = [slot for slot in books(home)[0] if (slot.device, slot.direction) == ("grid", "import")]
    assert [
        (slot.start_s - BEGIN_S, slot.quality, round((slot.energy_uwh or 0) / WH)) for slot in slots
    ] == [
        (0, "measured", 450),
        (900, "measured", 450),
    ]
    home.buffer.close_file()


def test_a_restart_while_a_register_is_silent_gives_the_very_same_books(tmp_path: Path) -> None:
    results = []
    for name in ("whole", "cut"):
        home = Home(tmp_path / name, site(tmp_path / name))
        for begin_s, end_s in ((0, 1250), (1260, 2500), (2510, 4000)):
            hourly(home, begin_s, end_s, pv_w=1234.5)
            if name == "cut":
                home.buffer.flush()
                home.kill()
                home.start()
        results.append(books(home))
        home.buffer.close_file()
    assert results[0] == results[1]
