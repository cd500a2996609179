"""A time that comes twice: the clock was set back, or the slots' length was changed."""

from pathlib import Path

import pytest

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH as WH
from tests.gateway.ledger.home import (
    BEGIN_S,
    PV,
    Home,
    books,
    everything_uwh,
    run,
    site,
    take,
)


def test_a_time_that_comes_twice_is_not_booked_to_two_meters_in_turn(home: Home) -> None:
    for t in range(0, 14_400, 10):
        back_s = 3600 if t >= 7200 else 0
        values = {
            "power_w": -600.0,
            "energy_import_wh": 1.0,
            "energy_export_wh": float(9000 + t // 6 - (5000 if t >= 7200 else 0)),
        }
        serial = "NEW" if t >= 7200 else "OLD"
        take(
            home.ledger,
            Sample("pv", serial, "boot-0", t * 1000 + 1, (BEGIN_S + t - back_s) * 1000, values),
        )
    home.buffer.flush()
    whole = [
        (s.direction, s.start_s)
        for s in home.buffer.slots()
        if s.quality in ("measured", "estimated")
    ]
    assert len(whole) == len(set(whole))
    clashes = [
        left.what
        for left in home.buffer.unallocated()
        if left.what.kind == "clash" and left.what.direction == "export"
    ]
    assert {what.serial_number for what in clashes} == {"NEW"}


def test_a_register_that_is_silent_in_a_time_that_comes_twice_changes_no_slot_of_the_first_time(
    home: Home,
) -> None:
    for t in range(0, 14_400, 10):
        back_s = 3600 if t >= 7200 else 0
        values = {"power_w": -600.0}
        if not 7500 < t < 9900:
            values |= {"energy_import_wh": 1.0, "energy_export_wh": float(9000 + t // 6)}
        take(
            home.ledger,
            Sample("pv", "S", "boot-0", t * 1000 + 1, (BEGIN_S + t - back_s) * 1000, values),
        )
        if t == 7190:
            home.buffer.flush()
            before = [slot for slot in home.buffer.slots() if slot.start_s < BEGIN_S + 6300]
    booked_uwh, counted_uwh = everything_uwh(home, "pv", "export")
    assert booked_uwh == counted_uwh
    assert [slot for slot in home.buffer.slots() if slot.start_s < BEGIN_S + 6300] == before
    clashes = [
        left.what
        for left in home.buffer.unallocated()
        if left.what.kind == "clash" and left.what.direction == "export"
    ]
    assert sum(what.energy_uwh for what in clashes) == pytest.approx(600 * WH, abs=2 * WH)


def test_another_slot_length_books_no_slot_twice_and_states_what_has_no_place(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path, site(tmp_path))
    run(home, 0, 1200)
    home.stop()
    home.settings = site(tmp_path, slot="30min")
    home.start()
    run(home, 1210, 3600)
    slots = [slot for slot in books(home)[0] if (slot.device, slot.direction) == ("pv", "export")]
    assert [(slot.start_s - BEGIN_S, slot.length_s, slot.quality) for slot in slots] == [
        (0, 900, "measured"),
        (900, 900, "partial"),
        (1800, 1800, "measured"),
    ]
    clashes = home.buffer.database.connection.execute(
        "SELECT device, energy_uwh FROM events WHERE kind = 'clash' AND device = 'pv'"
    ).fetchall()
    assert [(device, round(uwh / WH)) for device, uwh in clashes if uwh] == [("pv", 300)]
    assert [
        round(left.what.energy_uwh / WH)
        for left in home.buffer.unallocated()
        if left.what.device == "pv"
    ] == [300]
    owed = home.measurements()
    assert (owed[PV, 0].item.energy_uwh, owed[PV, 0].length_s) == (slots[0].energy_uwh, 900)
    assert owed[PV, 1800].length_s == 1800
    home.buffer.close_file()


def test_what_a_clock_that_was_ahead_has_booked_stays_and_nothing_is_booked_there_again(
    home: Home,
) -> None:
    """It is a day ahead for an hour; the day that it skipped is then metered after all."""
    ahead_s = 86_400
    for t in range(0, 3600 + ahead_s + 7200, 60):
        off_s = ahead_s if 3600 < t < 7200 else 0
        home.now_s = 0.0
        values = {"energy_import_wh": 0.0, "energy_export_wh": 9000 + t / 6, "power_w": -600.0}
        take(
            home.ledger,
            Sample("pv", "S", "boot-0", t * 1000 + 1, (BEGIN_S + t + off_s) * 1000, values),
        )
    booked_uwh, counted_uwh = everything_uwh(home, "pv", "export")
    assert booked_uwh == counted_uwh
    mine = {
        slot.start_s - BEGIN_S: slot for slot in home.buffer.slots() if slot.direction == "export"
    }
    assert [(mine[at].quality, mine[at].revision) for at in (7200, 10_800, ahead_s - 900)] == [
        ("estimated", 1)
    ] * 3
    assert [round((mine[ahead_s + at].energy_uwh or 0) / WH) for at in (4500, 5400)] == [150, 150]
    (clash,) = [
        left.what
        for left in home.buffer.unallocated()
        if left.what.kind == "clash" and left.what.direction == "export"
    ]
    assert (clash.from_ms, clash.to_ms) == (
        (BEGIN_S + ahead_s + 3600) * 1000,
        (BEGIN_S + ahead_s + 7200) * 1000,
    )
    owed = [
        o for o in home.buffer.owed() if str(o.item.subject) == PV and o.item.kind == "measurement"
    ]
    assert {o.item.revision: o.state for o in owed if o.item.slot_s == BEGIN_S + 10_800} == {
        0: "missed",
        1: "pending",
    }
    assert [o.item.revision for o in owed if o.item.slot_s == BEGIN_S + ahead_s + 5400] == [0]
