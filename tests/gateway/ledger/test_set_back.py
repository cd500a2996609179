"""What was dated by a clock that was ahead is not sent once that time has truly come."""

from drivers.sample import Sample
from gateway.ledger.set_back import REASON
from gateway.timing.clock import PROOF_S
from tests.gateway.ledger.home import BEGIN_S, Home, take

DAY_S = 86_400
SLOT_S = 900


def passes(home: Home, seconds: int) -> None:
    """Both meters are read every 10 s, dated by the clock as it is."""
    for _ in range(seconds // 10):
        home.now_s += 10
        t = home.now_s - BEGIN_S
        boottime_ms, utc_ms = home.clock.date(0)
        for device, values in (
            ("grid", {"energy_import_wh": 5000 + t, "energy_export_wh": 700.0, "power_w": 3600.0}),
            ("pv", {"energy_import_wh": 1.0, "energy_export_wh": 9000 + t / 2, "power_w": -1800.0}),
        ):
            sample = Sample(device, "S", home.clock.boot_id, boottime_ms, utc_ms, values)
            take(home.ledger, sample)


def set_clock(home: Home, off_s: float) -> None:
    home.wall_off_s = off_s
    home.clock.now_s()
    passes(home, int(PROOF_S) + 30)
    assert home.clock.now_s() == home.now_s + off_s, "it is believed"


def waiting(home: Home) -> set[int]:
    """The slots that a measurement waits to be sent of."""
    home.buffer.flush()
    return {
        owed.item.slot_s - BEGIN_S
        for owed in home.buffer.owed()
        if owed.state == "pending" and owed.item.kind == "measurement"
    }


def told(home: Home) -> list[str]:
    home.buffer.flush()
    return [line for line in home.buffer.latest_events(100) if "have not begun yet" in line]


def test_what_a_clock_a_day_ahead_has_dated_is_given_up_when_it_is_put_right(home: Home) -> None:
    passes(home, 2 * SLOT_S)
    true = waiting(home)
    set_clock(home, DAY_S)
    passes(home, 4 * SLOT_S)
    assert any(start_s >= DAY_S for start_s in waiting(home))

    set_clock(home, 0.0)
    passes(home, 2 * SLOT_S)
    assert true < waiting(home), "what was dated right goes on"
    assert all(start_s + SLOT_S <= home.now_s - BEGIN_S for start_s in waiting(home))
    given_up = [owed for owed in home.buffer.owed() if owed.reason == REASON]
    assert {owed.state for owed in given_up} == {"missed"}
    assert {owed.item.kind for owed in given_up} == {"measurement", "forecast"}
    [line] = told(home)
    assert "outbox retry --state missed --since 2027-01-16T" in line


def test_it_is_given_up_at_a_start_too(home: Home) -> None:
    set_clock(home, DAY_S)
    passes(home, 4 * SLOT_S)
    home.stop()
    home.boot, home.wall_off_s = 1, 0.0
    home.start()
    passes(home, 2 * SLOT_S)
    assert all(start_s < DAY_S for start_s in waiting(home))
    assert len(told(home)) == 1


def test_where_the_clock_before_was_right_it_is_owed_again(home: Home) -> None:
    passes(home, 6 * SLOT_S)
    before = waiting(home)
    set_clock(home, -3600.0)
    passes(home, 2 * SLOT_S)
    assert waiting(home) < before
    assert told(home)
    set_clock(home, 0.0)
    passes(home, 2 * SLOT_S)
    assert before <= waiting(home)


def test_a_small_correction_gives_nothing_up(home: Home) -> None:
    passes(home, 4 * SLOT_S + 60)
    before = waiting(home)
    set_clock(home, -600.0)
    passes(home, SLOT_S)
    assert before <= waiting(home)
    assert not told(home)
