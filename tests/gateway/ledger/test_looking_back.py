"""Slots that are looked back at, in the books: closed by the clock where no sample comes, and the
same whatever becomes of the machine meanwhile.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec.structs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.energy.slot import Slot
from gateway.ledger.rules import look_back_s
from gateway.outbox.owed import Owed
from tests.draws import draws
from tests.gateway.ledger.home import BEGIN_S, PV, Home, everything_uwh, run, site, terms_of

SLOT_S = 900


def home_in(folder: Path, dialect: str = "rest") -> Home:
    return Home(folder, site(folder, look_back="5min"), dialect=dialect)


def pv(home: Home, at_s: float, wh: float, power_w: float | None = None) -> None:
    """The panels' meter, whose register moves in steps of 1 Wh."""
    power = {} if power_w is None else {"power_w": -power_w}
    home.take("pv", round((BEGIN_S + at_s) * 1000), energy_export_wh=9000 + wh // 1, **power)


def by_clock(home: Home, at_s: float) -> bool:
    """Whether the clock closes something then."""
    home.now_s = max(home.now_s, BEGIN_S + at_s)
    if not home.ledger.close_overdue():
        return False
    home.ledger.commit()
    return True


def exports(home: Home) -> list[Slot]:
    home.buffer.flush()
    return [s for s in home.buffer.slots() if (s.device, s.direction) == ("pv", "export")]


def of_pv(home: Home) -> list[Owed]:
    return [owed for (asset, _), owed in home.measurements().items() if asset == PV]


# --- how long -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "dialect", "expected_s"),
    [
        ("15min", "rest", 300),
        ("15min", "sdk", 810),
        ("5min", "sdk", 270),
        ("1h", "sdk", 1800),
        ("1h", "rest", 300),
    ],
)
def test_a_slot_is_looked_back_at_for_as_long_as_its_exchange_allows(
    tmp_path: Path, slot: str, dialect: str, expected_s: float
) -> None:
    home = Home(tmp_path, site(tmp_path, slot=slot, look_back="1min"))
    unsaid = replace(home.settings, market=replace(home.settings.market, look_back=None))
    assert look_back_s(unsaid, terms_of(unsaid, home.buffer, dialect)) == expected_s
    assert look_back_s(unsaid, []) == min(300, int(unsaid.market.slot) / 3)
    assert look_back_s(home.settings, terms_of(unsaid, home.buffer, dialect)) == 60
    home.kill()


# --- by the clock ---------------------------------------------------------------------------------


def test_a_silent_meter_has_its_slot_closed_by_the_clock_and_the_next_sample_changes_nothing(
    tmp_path: Path,
) -> None:
    home = home_in(tmp_path)
    run(home, 0, 910)
    assert exports(home) == []
    assert home.ledger.looks_back
    wait_s = home.ledger.due_in_s()
    assert wait_s == 900 + 300 + 30 - 910
    assert not by_clock(home, 910 + wait_s - 1)
    assert by_clock(home, 910 + wait_s)
    assert (home.ledger.looks_back, home.ledger.due_in_s()) == (False, None)
    assert not by_clock(home, 1800)
    [slot] = exports(home)
    [owed] = of_pv(home)
    assert (slot.revision, slot.quality, owed.item.energy_uwh) == (0, "measured", slot.energy_uwh)

    run(home, 1900, 3000)
    assert exports(home)[0] == slot
    assert of_pv(home)[0] == owed
    stated_uwh, moved_uwh = everything_uwh(home, "pv", "export")
    assert stated_uwh == moved_uwh
    home.stop()


def test_a_sample_of_before_the_deadline_that_comes_after_it_is_not_lost(tmp_path: Path) -> None:
    """What was sent is not sent again as something else."""
    home = home_in(tmp_path)
    for t in range(0, 921, 10):
        pv(home, t, t / 80 // 1)
    assert by_clock(home, 1300)
    [early] = exports(home)
    for t in range(930, 2200, 10):
        pv(home, t, 11.2 + (t - 920) / 100)
    slots = exports(home)
    assert [slot.start_s - BEGIN_S for slot in slots] == [0, 900]
    assert slots[0].revision == 1
    assert slots[0].end_uwh == slots[1].begin_uwh != early.end_uwh
    assert of_pv(home)[0].item.energy_uwh == early.energy_uwh
    assert [owed.item.revision for owed in of_pv(home)] == [0, 0]
    home.stop()


def test_nothing_is_closed_by_the_clock_where_numbers_are_sent_at_once(tmp_path: Path) -> None:
    home = home_in(tmp_path, "sdk")
    run(home, 0, 910)
    assert len(exports(home)) == 1
    assert home.ledger.due_in_s() is None
    assert not by_clock(home, 1300)
    home.stop()


# --- whatever happens meanwhile -------------------------------------------------------------------

MOVES = st.lists(
    st.tuples(
        st.sampled_from([10, 10, 10, 60, 290, 400, 1000]),  # time that passes, s
        st.integers(0, 40),  # energy, Wh
        st.sampled_from([None, 0.0, 400.0, 4000.0]),  # what power says, W
        st.sampled_from(
            ["", "", "", "clock", "late", "flush", "kill", "power cut", "glitch", "serial"]
        ),
    ),
    min_size=20,
    max_size=120,
)


@settings(draws(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES, dialect=st.sampled_from(["rest", "sdk"]))
@example(moves=[(290, 0, None, ""), (290, 0, None, ""), (400, 1, None, "late")] * 7, dialect="rest")
def test_closing_by_the_clock_and_restarts_change_nothing(
    example_folder: Callable[[], Path],
    moves: list[tuple[int, int, float | None, str]],
    dialect: str,
) -> None:
    """What is in the books is what the samples say, and what was delivered is in them once."""
    folder = example_folder()
    home = home_in(folder, dialect)
    at_s, wh = 0.0, 0.0
    delivered: dict[tuple[str, int, int], int] = {}
    for every_s, moved_wh, power_w, what in [*moves, (1000, 1, None, ""), (400, 1, None, "")]:
        if what == "late":
            by_clock(home, at_s + every_s + 500)
        at_s, wh = max(at_s, home.now_s - BEGIN_S - 500) + every_s, wh + moved_wh
        if what == "clock":
            by_clock(home, at_s - 1)
        pv(home, at_s, 0 if what == "glitch" else wh, power_w)
        if what == "serial":
            home.take("pv", round((BEGIN_S + at_s + 1) * 1000), serial="T", energy_export_wh=1)
        if what == "flush":
            home.buffer.flush()
        if what in ("kill", "power cut"):
            home.boot += what == "power cut"
            home.kill()
            home.start()
        for owed in of_pv(home):
            item = owed.item
            kept = delivered.setdefault((PV, item.slot_s, item.revision), item.energy_uwh)
            assert what in ("kill", "power cut") or kept == item.energy_uwh

    slots, unallocated = in_books(home)
    home.buffer.database.connection.execute("DELETE FROM counters")
    home.buffer.database.connection.execute("DELETE FROM slots")
    home.buffer.database.connection.execute("DELETE FROM unallocated")
    home.ledger.replay()
    assert in_books(home) == (slots, unallocated)
    if dialect == "rest":
        assert all(owed.item.revision == 0 for owed in of_pv(home))
    home.kill()
    shutil.rmtree(folder)


def in_books(home: Home) -> tuple[list[Slot], list[object]]:
    """The slots, however often they were written anew, and what is unallocated."""
    slots = [msgspec.structs.replace(slot, revision=0) for slot in exports(home)]
    return slots, [left.what for left in home.buffer.unallocated()]
