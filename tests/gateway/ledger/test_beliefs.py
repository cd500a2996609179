"""A meter that is read and not believed is told once, and once when it is over."""

from itertools import pairwise

import pytest

from drivers.sample import Sample
from gateway.energy import allocation
from gateway.energy.belief import MOST_REFUSED
from gateway.energy.slot import Event
from gateway.ledger.word import KIND, confirm
from gateway.store.rows import placed_by_text
from tests.gateway.ledger.home import BEGIN_S, Home, take


def read(
    home: Home, t_s: int, wh: float | None, serial: str | None = "A", *, has_power: bool = False
) -> None:
    """A sample of the panels' meter."""
    at_ms = (BEGIN_S + t_s) * 1000
    values = {"power_w": 0.0} if wh is None else {"energy_import_wh": 0.0, "energy_export_wh": wh}
    if has_power:
        values["power_w"] = 0.0
    take(home.ledger, Sample("pv", serial, "boot-0", t_s * 1000 + 5000, at_ms, values))


def why(home: Home) -> str:
    found = home.ledger.beliefs.of("pv")
    return found.why if found else ""


def test_readings_that_rise_too_fast_name_the_fuse(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(MOST_REFUSED + 20):
        read(home, 10 * n, 1000.0 + 5000 * n)
    assert "export register" in why(home)
    assert "more than the main fuse carries" in why(home)
    assert "max_power" in why(home)
    assert caplog.text.count("are not believed") == 1


def test_readings_of_nonsense_name_the_cable(home: Home) -> None:
    for n in range(5):
        read(home, 10 * n, 1000.0)
    for n in range(5, 5 + MOST_REFUSED):
        read(home, 10 * n, 9e6 - 4e5 * n)
    assert "another number each time" in why(home)
    assert "cable" in why(home)


def test_serial_numbers_that_are_others_each_time_name_the_address(home: Home) -> None:
    for n in range(5):
        read(home, 10 * n, 1000.0)
    for n in range(5, 5 + MOST_REFUSED):
        read(home, 10 * n, 1000.0, serial="BC"[n % 2])
    assert "other serial numbers than A" in why(home)
    assert "address" in why(home)


def test_samples_without_a_register_name_the_profile(home: Home) -> None:
    for n in range(MOST_REFUSED):
        read(home, 10 * n, None)
    assert "no energy register" in why(home)
    assert "profile" in why(home)


def test_it_is_over_when_a_reading_is_believed(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for n in range(5):
        read(home, 10 * n, 1000.0)
    for n in range(5, 5 + MOST_REFUSED):
        read(home, 10 * n, 9e6 - 4e5 * n)
    assert why(home)
    read(home, 200, 1000.0)
    assert not why(home)
    assert caplog.text.count("its readings are believed again") == 1


@pytest.mark.parametrize("wrong", [0.0, 9e7])
def test_a_glitch_or_a_few_are_not_worth_a_word(home: Home, wrong: float) -> None:
    for n in range(60):
        read(home, 10 * n, wrong + n if n % 5 == 4 else 1000.0)
        assert not why(home)


def test_a_total_that_falls_to_zero_is_said_to_be_missing(home: Home) -> None:
    for n in range(5):
        read(home, 10 * n, 1000.0)
    for n in range(5, 5 + MOST_REFUSED):
        read(home, 10 * n, 0.0, has_power=True)
    assert "a total does not fall to 0" in why(home)


def test_a_total_that_underflows_is_said_to(home: Home) -> None:
    for n in range(5):
        read(home, 10 * n, 1000.0)
    for n in range(5, 5 + MOST_REFUSED):
        read(home, 10 * n, 4294967290.0)
    assert "without a sign" in why(home)


def test_registers_of_zero_and_nothing_else_are_no_reading_and_name_the_wire(home: Home) -> None:
    for n in range(MOST_REFUSED):
        read(home, 10 * n, 0.0)
    assert "does not hear the meter behind it" in why(home)
    assert home.ledger.state_of("pv") is not None
    assert home.ledger.state_of("pv").directions == {}  # type: ignore[union-attr]


def test_a_jump_that_is_taken_back_leaves_the_list_and_stays_on_record(home: Home) -> None:
    def shown(n: int) -> float:
        return 1000.0 + n // 10 + (2e6 if 20 <= n < 200 else 0)

    for n in range(150):
        read(home, 10 * n, shown(n), has_power=True)
    home.buffer.flush()
    assert [record.what.kind for record in home.buffer.unallocated()] == ["jump"]
    assert home.buffer.unallocated_total()[0] == 1

    for n in range(150, 250):
        read(home, 10 * n, shown(n), has_power=True)
    home.buffer.flush()
    assert [record.is_withdrawn for record in home.buffer.unallocated()] == [True]
    assert home.buffer.unallocated_total() == (0, 0)
    booked_uwh = sum(slot.energy_uwh or 0 for slot in home.buffer.slots())
    assert booked_uwh <= 25_000_000


@pytest.mark.parametrize("restarts", [False, True])
def test_what_a_person_has_called_real_is_not_taken_back(home: Home, *, restarts: bool) -> None:
    def shown(n: int) -> float:
        return n // 10 + (60_000.0 if n < 100 or n >= 200 else 1.0)

    for n in range(150):
        read(home, 10 * n, shown(n), has_power=True)
    home.buffer.flush()
    said = confirm(home.buffer, "pv", (BEGIN_S + 1500) * 1000)
    assert said == ["export: a person says that the reset from 60009.000 Wh to 11.000 Wh was real"]
    assert "confirmed: export: a person says" in home.buffer.latest_events()[0]
    if restarts:
        home.kill()
        home.start()

    for n in range(150, 250):
        read(home, 10 * n, shown(n), has_power=True)
    home.buffer.flush()
    kinds = [line.split()[3] for line in home.buffer.latest_events() if " pv " in line]
    assert kinds == ["jump:", "confirmed:", "reset:"]


def test_a_belief_that_comes_after_a_persons_word_is_taken_back(home: Home) -> None:
    for n in range(50):
        read(home, 10 * n, 60_000.0 + n, has_power=True)
    home.buffer.flush()
    event = Event((BEGIN_S + 100) * 1000, "pv", KIND, "export: a person says so")
    with home.buffer.database.transaction():
        home.buffer.tables.events.write([event])
    for n in range(50, 100):
        read(home, 10 * n, n + (1.0 if n < 80 else 60_000.0), has_power=True)
    home.buffer.flush()
    assert "the reset is taken back" in home.buffer.latest_events()[0]


def test_energy_that_a_person_has_put_into_a_slot_stays_when_a_belief_is_taken_back(
    home: Home,
) -> None:
    def shown(t_s: int) -> float:
        return 9000.0 + t_s // 10 + (-8000.0 if 11_500 <= t_s < 13_000 else 0)

    def at(begin_s: int, end_s: int) -> None:
        for t_s in range(begin_s, end_s, 10):
            values = {"energy_import_wh": 0.0, "energy_export_wh": shown(t_s), "power_w": -360.0}
            home.take("pv", (BEGIN_S + t_s) * 1000, **values)
        home.buffer.flush()

    at(0, 310)
    at(10_900, 12_000)
    record = next(one for one in home.buffer.unallocated() if one.what.kind == "gap")
    mine = [slot for slot in home.buffer.slots() if slot.direction == "export"]
    shares = allocation.linear(allocation.lacking(record.what, mine))
    slots = allocation.allocate(record.what, shares, lambda _: True)
    how = placed_by_text("linear", allocation.before(shares, slots))
    assert home.buffer.allocate(record, slots, [], how, home.now_s)
    put = next(slot for slot in slots if slot.start_s == BEGIN_S + 10_800)
    assert put.energy_uwh == pytest.approx(90_000_000, abs=3_000_000)

    at(12_000, 14_500)
    assert "the reset is taken back" in " ".join(home.buffer.latest_events())
    mine = [slot for slot in home.buffer.slots() if slot.direction == "export"]
    now = next(slot for slot in mine if slot.start_s == put.start_s)
    assert now.revision > put.revision
    assert now.energy_uwh == pytest.approx(90_000_000, abs=3_000_000)
    assert (now.quality, now.energy_uwh) == ("estimated", now.end_uwh - now.begin_uwh)
    assert all(one.end_uwh == other.begin_uwh for one, other in pairwise(mine))
    assert sum(slot.energy_uwh or 0 for slot in mine) == mine[-1].end_uwh - mine[0].begin_uwh
