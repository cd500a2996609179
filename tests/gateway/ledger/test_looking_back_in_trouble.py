"""A slot is looked back at, and something goes wrong: no energy comes twice, none is lost, and a
line says what was decided.
"""

import json
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from drivers.sample import Sample
from gateway.energy.slot import MeterState, Slot
from gateway.outbox.owed import Owed
from gateway.store.errors import StoreError
from tests.gateway.ledger.home import BEGIN_S, PV, Home, everything_uwh, run, site
from tests.simulation.disk import Disk

STEP_WH = 1
"""Of the panels' meter."""

LEFT = "the slot before is not looked back at any longer, and ends where it was known to end"


@pytest.fixture(name="home", params=["rest", "sdk"])
def home_that_looks_back(tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    return Home(tmp_path, site(tmp_path, look_back="5min"), dialect=request.param)


def exports(home: Home) -> list[Slot]:
    home.buffer.flush()
    return [s for s in home.buffer.slots() if (s.device, s.direction) == ("pv", "export")]


def told(home: Home, kind: str) -> list[str]:
    home.buffer.flush()
    rows = home.buffer.database.connection.execute(
        "SELECT text FROM events WHERE kind = ? AND device = 'pv'", (kind,)
    )
    return [text for (text,) in rows]


def is_whole(home: Home) -> bool:
    """Whether the slots go on where those before them ended, and nothing is lost."""
    slots = sorted(exports(home), key=lambda slot: slot.begin_uwh)
    stated_uwh, moved_uwh = everything_uwh(home, "pv", "export")
    if home.dialect == "rest" and (state := home.ledger.state_of("pv")) is not None:
        one = state.directions["export"].passed
        stated_uwh += 0 if one is None else one.end.counter_uwh - one.slot.begin_uwh
    return stated_uwh == moved_uwh and all(a.end_uwh <= b.begin_uwh for a, b in pairwise(slots))


def move_clock(home: Home, by_s: int, begin_s: int, end_s: int) -> None:
    """The clock is set, and metering goes on."""
    for t in range(begin_s, end_s + 1, 10):
        home.now_s = BEGIN_S + t
        values = {"energy_import_wh": 1, "energy_export_wh": 9000 + t / 2, "power_w": -1800.0}
        home.ledger.take(_sample(home, t, by_s, values))
        home.ledger.commit()


def _sample(home: Home, t: int, by_s: int, values: dict[str, float]) -> Sample:
    at_ms = (BEGIN_S + t) * 1000
    shown_ms = at_ms + by_s * 1000
    return Sample("pv", "S", home.clock.boot_id, at_ms - BEGIN_S * 1000, shown_ms, values)


@pytest.mark.parametrize("by_s", [3600, -3600, 600, 780, -600, -200])
def test_the_clock_is_set(home: Home, by_s: int) -> None:
    run(home, 0, 1000, devices=("pv",))
    move_clock(home, by_s, 1010, 3000)
    assert [text for text in told(home, "clock") if LEFT in text]
    assert is_whole(home)
    first = [slot for slot in exports(home) if slot.start_s == BEGIN_S]
    assert first[0].quality == "measured"
    assert first[0].energy_uwh == pytest.approx(450_000_000, abs=1_500_000)
    home.stop()


def test_the_meter_is_replaced(home: Home) -> None:
    run(home, 0, 1000, devices=("pv",))
    for t in range(1010, 1100, 10):
        home.take("pv", (BEGIN_S + t) * 1000, serial="T", energy_export_wh=7, power_w=-1800)
    assert [text for text in told(home, "swap") if LEFT in text]
    slots = exports(home)
    assert [slot.start_s - BEGIN_S for slot in slots] == [0, 900]
    assert slots[0].end_uwh == slots[1].begin_uwh
    assert slots[1].end_uwh - slots[0].begin_uwh == pytest.approx(500_000_000, abs=1_500_000)
    home.stop()


def test_slots_get_another_length(tmp_path: Path) -> None:
    home = Home(tmp_path, site(tmp_path, look_back="5min"), dialect="rest")
    run(home, 0, 1000, devices=("pv",))
    home.stop()
    home.settings = site(tmp_path, slot="30min", look_back="5min")
    home.start()
    run(home, 1010, 4000, devices=("pv",))
    assert [text for text in told(home, "slots") if LEFT in text]
    assert [(slot.start_s - BEGIN_S, slot.length_s) for slot in exports(home)] == [
        (0, 900),
        (900, 900),
        (1800, 1800),
    ]
    assert is_whole(home)
    home.stop()


def test_looking_back_is_switched_off(home: Home, tmp_path: Path) -> None:
    run(home, 0, 1000, devices=("pv",))
    home.stop()
    home.settings = site(tmp_path, look_back="0s")
    home.start()
    run(home, 1010, 1900, devices=("pv",))
    assert [slot.start_s - BEGIN_S for slot in exports(home)] == [0, 900]
    assert is_whole(home)
    home.stop()


def test_the_state_is_one_of_the_version_before(home: Home) -> None:
    """It knows nothing of uncertainty, of the register's moves, or of looking back."""
    run(home, 0, 800, devices=("pv",))
    home.stop()
    home.start()
    number, state = home.buffer.counters()["pv"]
    known = json.loads(msgspec.json.encode(state))
    for each in known["directions"].values():
        for name in ("surprise", "steps", "passed", "former"):
            each.pop(name, None)
        each["slot"].pop("begin_uncertainty_uwh", None)
    old = msgspec.json.decode(json.dumps(known), type=MeterState)
    home.ledger._books.states["pv"] = number, old  # as if it had been read
    run(home, 810, 2200, devices=("pv",))
    slots = exports(home)
    assert [slot.start_s - BEGIN_S for slot in slots] == [0, 900]
    assert slots[0].uncertainty_uwh is None
    assert slots[1].uncertainty_uwh is not None
    assert is_whole(home)
    home.stop()


def test_the_disk_is_full_while_a_revision_is_due(tmp_path: Path) -> None:
    """The panels go off just before the boundary, so that what was foretold of them is wrong."""
    fine, full = tmp_path / "fine", tmp_path / "full"
    books = []
    for folder in (fine, full):
        folder.mkdir()
        home = Home(folder, site(folder, look_back="5min"), dialect="sdk")
        home.kill()
        with Disk(folder) as disk:
            home.start()
            for t in range(0, 2200, 10):
                disk.full = folder == full and 900 < t < 1500
                shown = 9000 + 200 * min(t, 895) / 3600 // STEP_WH * STEP_WH
                try:
                    home.take("pv", (BEGIN_S + t) * 1000, energy_export_wh=shown)
                except StoreError:
                    assert disk.full
            disk.full = False
            home.buffer.flush()
            assert is_whole(home)
            books.append((exports(home), _measured(home)))
            home.stop()
    assert books[0] == books[1]
    assert any(slot.revision for slot in books[0][0])


def _measured(home: Home) -> list[Owed]:
    return sorted(
        (o for o in home.buffer.owed() if str(o.item.subject) == PV),
        key=lambda owed: (owed.item.kind, owed.item.slot_s, owed.item.revision),
    )
