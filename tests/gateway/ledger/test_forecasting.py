"""What is learned of assets, over a real buffer: kills, restarts, and what cannot be used."""

import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from msgspec.structs import replace

from gateway.energy.assets import Formula
from gateway.energy.forecast import pack
from gateway.energy.slot import AssetSlot, MeterState
from gateway.ledger import forecasting as module
from gateway.ledger.forecasting import Forecasting
from gateway.outbox.foreseen import Said, Wish
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer, open_for_deciding
from gateway.store.rows import Closing
from tests.gateway.ledger.home import BEGIN_S, LOAD, PV, site

SLOT_S = 900
DAY_SLOTS = 96
HOUSE, ROOF = UUID(LOAD), UUID(PV)
AUTO = Wish("auto")


def slot_of(n: int, asset: UUID = HOUSE) -> AssetSlot:
    """The same slot always has the same energy."""
    random = Random(n * 7 + asset.int % 5)
    hour = n % DAY_SLOTS / 4
    usual_wh = 100.0 + (300.0 if 17 <= hour < 22 else 0.0)
    if asset == ROOF:
        usual_wh = max(0.0, 400.0 - 60.0 * abs(hour - 12))
    energy_uwh = round(usual_wh * random.uniform(0.7, 1.3) * 1e6)
    return AssetSlot(asset, BEGIN_S + n * SLOT_S, SLOT_S, energy_uwh, None, "measured")


class Rig:
    """The forecasts of a home, that a test can kill."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.path = folder / "buffer.sqlite"
        self.settings = settings
        self.now_s = float(BEGIN_S)
        self.start()

    def start(self) -> None:
        self.buffer: Buffer = open_buffer(self.path, now_s=self.now_s)
        self.forecasting = Forecasting(self.settings, self.buffer, [], lambda: self.now_s)
        while self.forecasting.resume():
            pass

    def learn(self) -> int:
        """All that it has not seen. Returns in how many portions."""
        portions = 0
        while self.forecasting.learn_some() is not None:
            portions += 1
        return portions

    def kill(self) -> None:
        self.buffer.abandon()

    def restart(self) -> None:
        self.kill()
        self.start()

    def close(self, *slots: AssetSlot) -> dict[int, Said]:
        """They close, and are written. Returns what is expected of slots to come, of the house."""
        end_s = max(slot.start_s for slot in slots) + SLOT_S + 5.0
        self.now_s = max(self.now_s, end_s)
        kept = [
            replace(s, forecast_uwh=said.energy_uwh)
            if (said := self.forecasting.foretold(s.asset, s.start_s))
            else s
            for s in slots
        ]
        found = {}
        for foreseen in self.forecasting.closed(slots):
            said = foreseen.said(AUTO)
            if said is not None and foreseen.asset == HOUSE:
                found[foreseen.slot_s] = said
        state = MeterState(None, 0, 0, {})
        self.buffer.close(Closing("grid", 0, state, (), (), (), asset_slots=tuple(kept)))
        self.buffer.flush()
        return found

    def run(self, first: int, last: int) -> dict[int, Said]:
        found = {}
        for n in range(first, last):
            found |= self.close(slot_of(n), slot_of(n, ROOF))
        return found

    def states(self) -> list[bytes]:
        return [pack(each.ahead()) for each in self.forecasting.forecasters.values()]

    def events(self) -> list[str]:
        self.buffer.flush()
        return [text for text in self.buffer.latest_events(50) if "forecast" in text]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, site(tmp_path, forecast="auto"))
    made.learn()
    yield made
    made.buffer.close_file()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Rig]:
    """The same home, whose daemon is never restarted."""
    folder = tmp_path / "other"
    folder.mkdir()
    made = Rig(folder, site(folder, forecast="auto"))
    made.learn()
    yield made
    made.buffer.close_file()


def test_a_restart_changes_nothing_bit_for_bit(rig: Rig, other: Rig) -> None:
    expected = other.run(0, 230)
    found = {}
    for first, last in ((0, 3), (3, 60), (60, 97), (97, 98), (98, 150), (150, 230)):
        found |= rig.run(first, last)
        standing = {a: dict(f.standing) for a, f in rig.forecasting.forecasters.items()}
        rig.restart()
        assert not rig.forecasting.is_behind, "what is kept is read before anything closes"
        after = {a: f.standing for a, f in rig.forecasting.forecasters.items()}
        newest_s = BEGIN_S + (last - 1) * SLOT_S
        assert {
            asset: {s: said for s, said in each.items() if s > newest_s}
            for asset, each in standing.items()
        } == {asset: dict(each) for asset, each in after.items()}
    assert found == expected
    assert len(found) > 200
    assert rig.states() == other.states()
    assert list(rig.buffer.asset_slots()) == list(other.buffer.asset_slots())


def test_what_was_learned_is_kept_once_a_day(rig: Rig) -> None:
    kept = set()
    for n in range(3 * DAY_SLOTS):
        rig.run(n, n + 1)
        state = rig.buffer.tables.forecast_states.of(HOUSE)
        kept |= {state.as_of_s} if state and state.state else set()
    assert sorted(as_of_s // 86_400 - BEGIN_S // 86_400 for as_of_s in kept) == [1, 2, 3]
    state = rig.buffer.tables.forecast_states.of(HOUSE)
    assert state is not None
    assert len(state.state) <= 20_000


def test_a_kill_before_it_was_written_is_made_up_for_from_the_slots(rig: Rig, other: Rig) -> None:
    rig.run(0, 200)
    other.run(0, 200)
    db = sqlite3.connect(rig.path)
    with db:  # as if the last two days' had never been written
        db.execute("DELETE FROM forecast_states")
    db.close()
    rig.restart()
    assert rig.forecasting.is_behind
    assert rig.learn() > 2 * 200 / module.LEARNED_AT_ONCE, "in portions"
    assert rig.states() == other.states()


@pytest.mark.parametrize("at", [0, 4, 100, 10_000, -1])
def test_a_state_that_is_damaged_is_learned_again_and_that_is_said(
    rig: Rig, other: Rig, at: int
) -> None:
    rig.run(0, 120)
    other.run(0, 120)
    state = rig.buffer.tables.forecast_states.of(HOUSE)
    assert state is not None
    damaged = bytearray(state.state)
    damaged[at] ^= 0x55
    for bad in (bytes(damaged), state.state[: at if at > 0 else 7]):
        with rig.buffer.database.transaction():
            rig.buffer.tables.forecast_states.write([replace(state, state=bad)])
        rig.restart()
        rig.learn()
        assert rig.states() == other.states()
        assert "cannot be used" in rig.events()[0]


def test_another_formula_begins_anew_and_stays_so(rig: Rig, tmp_path: Path) -> None:
    rig.run(0, 120)
    assets = [
        dataclasses.replace(asset, energy=Formula.parse("grid.import"))
        if asset.uuid == HOUSE
        else asset
        for asset in rig.settings.assets
    ]
    rig.settings = dataclasses.replace(rig.settings, assets=tuple(assets))
    rig.restart()
    rig.learn()
    house = rig.forecasting.forecasters[HOUSE]
    assert house.newest is None
    assert "its formula was grid.import - grid.export + pv.export" in rig.events()[0]
    assert rig.forecasting.why_none(HOUSE)
    roof = rig.forecasting.forecasters[ROOF]
    assert roof.newest is not None

    rig.run(120, 124)
    expected = rig.states()
    rig.restart()
    rig.learn()
    assert rig.states() == expected
    assert rig.forecasting.forecasters[HOUSE].learned.known == 3
    assert len(rig.events()) == 1


def test_a_slot_that_is_written_anew_is_learned_anew(rig: Rig, other: Rig) -> None:
    rig.run(0, 130)
    revised = replace(slot_of(125), energy_uwh=5 * 10**6, revision=1)
    rig.close(revised)
    assert rig.forecasting.is_behind
    rig.learn()
    for n in range(130):
        other.close(revised if n == 125 else slot_of(n), slot_of(n, ROOF))
    assert rig.states() == other.states()
    rig.restart()
    assert rig.states() == other.states()


def elsewhere(rig: Rig, *slots: AssetSlot) -> None:
    """Another process writes slots, as `meter-gateway allocate` does."""
    other = open_for_deciding(rig.path)
    with other.database.transaction():
        other.tables.asset_slots.write(slots)
    other.close_file()


@pytest.mark.parametrize("at", [97, 125, 129], ids=["first since it was kept", "some", "newest"])
def test_a_slot_that_another_process_writes_anew_is_learned_anew(
    rig: Rig, other: Rig, at: int
) -> None:
    rig.run(0, 130)
    rig.forecasting.look_elsewhere()
    assert not rig.forecasting.is_behind
    revised = replace(slot_of(at), energy_uwh=5 * 10**6, quality="estimated", revision=1)
    elsewhere(rig, revised)
    rig.forecasting.look_elsewhere()
    assert [f.is_behind for f in rig.forecasting.forecasters.values()] == [True, False]
    rig.learn()
    assert not rig.forecasting.is_behind
    for n in range(130):
        other.close(revised if n == at else slot_of(n), slot_of(n, ROOF))
    assert rig.states() == other.states()

    standing = [dict(f.standing) for f in rig.forecasting.forecasters.values()]
    rig.restart()
    assert rig.states() == other.states()
    newest_s = BEGIN_S + 129 * SLOT_S
    assert [
        {start_s: said for start_s, said in each.items() if start_s > newest_s} for each in standing
    ] == [dict(f.standing) for f in rig.forecasting.forecasters.values()]
    rig.forecasting.look_elsewhere()
    assert not rig.forecasting.is_behind
    assert rig.run(130, 240) == other.run(130, 240)


def test_a_slot_that_another_process_is_first_to_write_is_learned_too(rig: Rig, other: Rig) -> None:
    for n in [*range(120), 121, 122]:
        rig.close(slot_of(n), slot_of(n, ROOF))
    elsewhere(rig, slot_of(120), slot_of(120, ROOF))
    rig.forecasting.look_elsewhere()
    rig.learn()
    other.run(0, 123)
    assert rig.states() == other.states()


def test_one_of_before_what_is_kept_changes_nothing_also_from_elsewhere(rig: Rig) -> None:
    rig.run(0, 130)
    before = rig.states()
    elsewhere(rig, replace(slot_of(20), energy_uwh=5 * 10**6, revision=1))
    rig.forecasting.look_elsewhere()
    assert not rig.forecasting.is_behind
    rig.restart()
    assert rig.states() == before


def test_one_that_is_written_anew_while_it_catches_up_is_learned_as_it_is_now(
    rig: Rig, other: Rig
) -> None:
    rig.run(0, 60)
    rig.close(replace(slot_of(50), energy_uwh=10**6, revision=1))
    assert rig.forecasting.learn_some() is not None
    assert rig.forecasting.is_behind
    assert rig.forecasting.forecasters[HOUSE].newest is not None, "a portion is learned"
    revised = replace(slot_of(5), energy_uwh=5 * 10**6, revision=1)
    rig.close(revised)
    rig.learn()
    for n in range(60):
        slot = {5: revised, 50: replace(slot_of(50), energy_uwh=10**6)}.get(n, slot_of(n))
        other.close(slot, slot_of(n, ROOF))
    assert rig.states() == other.states()


def test_one_from_before_what_is_kept_changes_nothing_and_a_restart_neither(rig: Rig) -> None:
    rig.run(0, 130)
    before = rig.states()
    rig.close(replace(slot_of(20), energy_uwh=5 * 10**6, revision=1))
    assert not rig.forecasting.is_behind
    assert rig.states() == before
    rig.restart()
    assert rig.states() == before


def test_missing_slots_that_come_late_are_learned_in_their_order(rig: Rig, other: Rig) -> None:
    for n in [*range(120), 121, 122]:
        rig.close(slot_of(n), slot_of(n, ROOF))
    rig.close(slot_of(120), slot_of(120, ROOF))
    rig.learn()
    other.run(0, 123)
    assert rig.states() == other.states()


def test_slots_that_a_clock_ahead_has_dated_do_not_silence_it(rig: Rig, other: Rig) -> None:
    rig.run(0, 100)
    ahead = replace(slot_of(100), start_s=BEGIN_S + 3000 * SLOT_S)
    rig.close(ahead, replace(ahead, asset=ROOF))
    rig.now_s = BEGIN_S + 101 * SLOT_S + 5.0
    rig.run(100, 101)
    rig.learn()
    assert rig.run(101, 110)
    other.run(0, 110)
    assert rig.states() == other.states()


def test_nothing_is_expected_of_slots_that_have_begun(rig: Rig) -> None:
    rig.run(0, 100)
    rig.now_s += 3600
    assert rig.run(100, 102) == {}


def test_slots_of_another_length_begin_anew(rig: Rig) -> None:
    rig.run(0, 100)
    market = dataclasses.replace(rig.settings.market, slot=1800)
    rig.settings = dataclasses.replace(rig.settings, market=market)
    rig.restart()
    rig.learn()
    assert "slots" in rig.events()[0]
    assert rig.forecasting.forecasters[HOUSE].learned.known == 0
    long = replace(slot_of(100), length_s=1800)
    for n in range(4):
        rig.now_s = long.start_s + (n + 1) * 1800 + 5.0
        list(rig.forecasting.closed([replace(long, start_s=long.start_s + n * 1800)]))
    assert rig.forecasting.forecasters[HOUSE].learned.known == 3


def test_nothing_is_learned_of_an_asset_that_is_not_to_be_forecast(tmp_path: Path) -> None:
    settings = site(tmp_path)
    assets = [dataclasses.replace(asset, forecast="none") for asset in settings.assets]
    rig = Rig(tmp_path, dataclasses.replace(settings, assets=tuple(assets)))
    assert rig.forecasting.forecasters == {}
    assert rig.forecasting.why_none(HOUSE) == "forecast: none"
    assert rig.run(0, 3) == {}
    rig.buffer.close_file()


def test_no_more_is_expected_than_the_fuses_carry(rig: Rig) -> None:
    devices = [dataclasses.replace(device, max_power_w=500.0) for device in rig.settings.devices]
    rig.settings = dataclasses.replace(rig.settings, devices=tuple(devices))
    rig.restart()
    rig.learn()
    found = rig.run(0, 100)
    most_uwh = 2 * 500 * SLOT_S // 3600 * 10**6
    assert max(said.energy_uwh for said in found.values()) == most_uwh
    assert all(
        0 <= (said.low_uwh or 0) <= said.energy_uwh <= (said.high_uwh or 0) <= most_uwh
        for said in found.values()
    )
