"""A forecast is made once more shortly before its slot begins, from most of the slot that runs."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from gateway.energy.assets import Formula
from gateway.energy.so_far import will_come_to_uwh
from tests.gateway.ledger.home import BEGIN_S, LOAD, PV, Home, run, site

SLOT_S = 900
WH = 10**6
LATE_S = 850
SLOTS = 130


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day and a half of a steady load, which is then known well."""
    folder = tmp_path_factory.mktemp("better")
    home = Home(folder, site(folder, forecast="auto"))
    for n in range(SLOTS):  # one reading at each boundary and one in between is enough
        sampled(home, n * SLOT_S)
        sampled(home, n * SLOT_S + 450)
    home.stop()
    return folder


@pytest.fixture
def home(folder: Path, tmp_path: Path) -> Home:
    for file in folder.glob("buffer.sqlite*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    later = Later(tmp_path, site(tmp_path, forecast="auto"))
    for t in range(SLOTS * SLOT_S - 440, SLOTS * SLOT_S + 1, 10):
        sampled(later, t)
    return later


class Later(Home):
    """Started again in the last slot."""

    def start(self) -> None:
        self.now_s = max(self.now_s, BEGIN_S + SLOTS * SLOT_S - 445.0)
        super().start()


def sampled(home: Home, t: int, more_wh: float = 0.0, power_w: float = 400.0) -> None:
    at_ms = (BEGIN_S + t) * 1000
    home.take(
        "grid",
        at_ms,
        energy_import_wh=5000 + 400 * t / 3600 + more_wh,
        energy_export_wh=700.0,
        power_w=power_w,
    )
    home.take("pv", at_ms, energy_import_wh=1.0, energy_export_wh=9000.0, power_w=0.0)


def rising(home: Home, until_s: int, rise_w: float) -> None:
    """The slot that runs, in which the load has risen at its begin."""
    begin_s = SLOTS * SLOT_S
    for t in range(10, until_s + 1, 10):
        sampled(home, begin_s + t, rise_w * t / 3600, 400 + rise_w)


def forecasts(home: Home, n: int) -> list[tuple[int, float]]:
    home.buffer.flush()
    return [
        (owed.item.revision, owed.item.energy_uwh / WH)
        for owed in home.buffer.owed(BEGIN_S + n * SLOT_S, BEGIN_S + n * SLOT_S + 1)
        if owed.item.kind == "forecast" and str(owed.item.subject) == LOAD
    ]


def test_a_rise_in_the_slot_that_runs_is_sent_before_the_next_begins(home: Home) -> None:
    [(_, first_wh)] = forecasts(home, SLOTS + 1)
    assert first_wh == pytest.approx(100, rel=0.1)
    rising(home, LATE_S, 2000)
    assert home.ledger.foresee_better(UUID(LOAD))
    home.ledger.commit()
    (_, before_wh), (revision, better_wh) = forecasts(home, SLOTS + 1)
    assert (before_wh, revision) == (first_wh, 1)
    assert better_wh > 1.5 * first_wh
    assert not home.ledger.foresee_better(UUID(LOAD)), "it says the same again"

    standing = home.ledger.forecasting.foretold(UUID(LOAD), BEGIN_S + (SLOTS + 1) * SLOT_S)
    assert standing is not None
    assert standing.energy_uwh == round(better_wh * WH)
    home.kill()
    home.start()
    again = home.ledger.forecasting.foretold(UUID(LOAD), BEGIN_S + (SLOTS + 1) * SLOT_S)
    assert again is not None
    assert again.energy_uwh == standing.energy_uwh, "also after a kill"
    home.buffer.close_file()


def test_what_goes_on_as_it_was_is_not_sent_again(home: Home) -> None:
    rising(home, LATE_S, 0)
    assert not home.ledger.foresee_better(UUID(LOAD))
    assert len(forecasts(home, SLOTS + 1)) == 1
    home.buffer.close_file()


def test_half_a_slot_says_too_little(home: Home) -> None:
    rising(home, 400, 2000)
    assert not home.ledger.foresee_better(UUID(LOAD))
    home.buffer.close_file()


def test_when_it_is_too_late_to_be_sent_it_is_not_owed(home: Home) -> None:
    rising(home, 890, 2000)
    assert not home.ledger.foresee_better(UUID(LOAD)), "15 s before, the exchange's may have begun"
    assert len(forecasts(home, SLOTS + 1)) == 1
    home.buffer.close_file()


@pytest.mark.parametrize("at_s", [0.0, 100.0, 854.9])
def test_it_is_made_as_late_as_leaves_time_to_send_it(home: Home, at_s: float) -> None:
    now_s = BEGIN_S + at_s
    assert now_s + home.ledger.forecasting.better_in_s(now_s) == BEGIN_S + 855
    assert home.ledger.forecasting.better_in_s(BEGIN_S + 856.0) == 899
    home.buffer.close_file()


def test_the_slot_that_runs_comes_to_what_it_came_to_so_far_and_goes_on_so(tmp_path: Path) -> None:
    home = Home(tmp_path, site(tmp_path))
    run(home, 0, SLOT_S + 800, load_w=3600, pv_w=1800)
    begin_s = BEGIN_S + SLOT_S
    house = Formula.parse("grid.import - grid.export + pv.export")
    found = will_come_to_uwh(house, home.ledger.state_of, begin_s, SLOT_S)
    assert found == pytest.approx(900 * WH, rel=0.005)
    assert will_come_to_uwh(house, home.ledger.state_of, begin_s - SLOT_S, SLOT_S) is None
    assert will_come_to_uwh(house, home.ledger.state_of, begin_s + SLOT_S, SLOT_S) is None
    assert will_come_to_uwh(Formula.parse("no.import"), home.ledger.state_of, begin_s, 900) is None
    home.buffer.close_file()


def test_an_asset_that_is_forecast_naively_is_forecast_once(tmp_path: Path) -> None:
    home = Home(tmp_path, site(tmp_path, forecast="last_slot"))
    run(home, 0, 2 * SLOT_S, pv_w=1800)
    run(home, 2 * SLOT_S + 10, 2 * SLOT_S + LATE_S, pv_w=2400)
    assert not home.ledger.foresee_better(UUID(PV))
    home.buffer.close_file()


def test_where_nobody_is_sent_any_the_first_one_stands(folder: Path, tmp_path: Path) -> None:
    """After a restart nobody could tell that there was a second one."""
    for file in folder.glob("buffer.sqlite*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    home = Later(tmp_path, replace(site(tmp_path), destinations={}))
    for t in range(SLOTS * SLOT_S - 440, SLOTS * SLOT_S + 1, 10):
        sampled(home, t)
    standing = home.ledger.forecasting.forecasters[UUID(LOAD)].standing
    before = dict(standing)
    assert BEGIN_S + (SLOTS + 1) * SLOT_S in before
    rising(home, LATE_S, 3000)
    assert not home.ledger.foresee_better(UUID(LOAD))
    assert standing == before
    home.buffer.close_file()
