"""The ledger on a real buffer file: whatever is flushed, closed or killed in between, the books
stay right.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.slot import Slot
from gateway.ledger.ledger import Ledger
from gateway.outbox.dialects import load_dialect
from gateway.outbox.owed import Owed
from gateway.site.config import load
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer
from gateway.timing.clock import Clock, Sources
from tests.simulation.disk import Disk

BEGIN_S = 1_800_000_000
LOAD = "26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1"
PV = "cf3b262c-1111-4c39-a9ae-0f6b32c9d2a1"
NETWORK = "8a2c8a2c-1111-4c39-a9ae-0f6b32c9d2a1"


def site(
    folder: Path, *, forecast: str = "last_slot", slot: str = "15min", invert_pv: bool = False
) -> Settings:
    """Settings of a house with a DSMR meter and an SDM120 on the panels, from real files."""
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    (folder / "gateway.yaml").write_text(f"""\
site: home-12
market: {{slot: {slot}}}
exchange: {{dialect: sdk, canary_network: {NETWORK}, credentials: exchange.credentials,
    forecast: {forecast}}}
assets:
  - {{name: House load, uuid: {LOAD}, kind: load, energy: grid.import - grid.export + pv.export}}
  - {{name: PV, uuid: {PV}, kind: pv, energy: pv.export}}
""")
    credentials = folder / "exchange.credentials"
    credentials.write_text("username: someone\npassword: secret\n")
    credentials.chmod(0o600)
    (folder / "devices/grid.yaml").write_text("profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\n")
    (folder / "devices/pv.yaml").write_text(
        f"profile: eastron/sdm120\nline: serial:/dev/ttyUSB1\ninvert: {str(invert_pv).lower()}\n"
    )
    return load(folder)


class House:
    """A gateway's books over a file, that a test can flush, stop and kill."""

    def __init__(self, folder: Path, settings: Settings, *, trust: str = "assured") -> None:
        self.path = folder / "buffer.sqlite"
        self.settings = settings
        self.now_s = float(BEGIN_S)
        self.boot = 0
        self.synchronised = trust == "assured"
        self.closed: list[Slot] = []
        self.start()

    def start(self) -> None:
        boot = self.boot
        sources = Sources(
            lambda: self.now_s,
            lambda: self.now_s - BEGIN_S,
            lambda: self.synchronised,
            lambda: f"boot-{boot}",
        )
        self.clock = Clock("kernel", sources)
        self.buffer: Buffer = open_buffer(self.path, now_s=self.now_s)
        exchange = self.settings.exchange
        assert exchange is not None
        self.ledger = Ledger(
            self.settings,
            self.buffer,
            self.clock,
            load_dialect("sdk", str(exchange.canary_network), self.settings.market.slot),
        )
        self.ledger.closed = lambda slots, _: self.closed.extend(slots)
        self.ledger.replay()

    def stop(self) -> None:
        self.ledger.checkpoint()
        self.buffer.close_file()

    def kill(self) -> None:
        """As kill -9 leaves it: what waited in memory is gone, what was committed is there."""
        self.buffer.database.connection.close()

    def take(self, device: str, at_ms: int, serial: str | None = "S", **values: float) -> None:
        self.now_s = max(self.now_s, at_ms / 1000)
        utc_ms = at_ms if self.clock.trusted else None
        self.ledger.take(
            Sample(device, serial, self.clock.boot_id, at_ms - BEGIN_S * 1000, utc_ms, values)
        )

    def measurements(self) -> dict[tuple[str, int], Owed]:
        return {
            (str(o.item.subject), o.item.slot_s - BEGIN_S): o
            for o in self.buffer.owed()
            if o.item.kind == "measurement"
        }

    def forecasts(self) -> dict[tuple[str, int], int]:
        return {
            (str(o.item.subject), o.item.slot_s - BEGIN_S): o.item.energy_uwh
            for o in self.buffer.owed()
            if o.item.kind == "forecast"
        }


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, site(tmp_path))
    yield made
    made.buffer.close_file()


def run(
    house: House,
    begin_s: int,
    end_s: int,
    *,
    load_w: float = 3600,
    pv_w: float = 1800,
    devices: tuple[str, ...] = ("grid", "pv"),
) -> None:
    """A steady day: the grid delivers what the panels do not."""
    for t in range(begin_s, end_s + 1, 10):
        at_ms = (BEGIN_S + t) * 1000
        net_w = load_w - pv_w
        if "grid" in devices:
            imported, exported = max(net_w, 0) * t / 3600, max(-net_w, 0) * t / 3600
            house.take(
                "grid",
                at_ms,
                energy_import_wh=5000 + imported,
                energy_export_wh=700 + exported,
                power_w=net_w,
            )
        if "pv" in devices:
            house.take(
                "pv",
                at_ms,
                energy_import_wh=1,
                energy_export_wh=9000 + pv_w * t / 3600,
                power_w=-pv_w,
            )


# --- restarts -------------------------------------------------------------------------------------

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["", "", "", "flush", "stop", "kill", "prune", "checkpoint"]),
        st.sampled_from([10_000, 10_000, 10_000, 7_301, 45_000, 400_000, 2_000_000, 9_000_000]),
        st.integers(0, 12_000),
        st.integers(0, 4_000),
        st.sampled_from(["both", "both", "both", "grid", "pv"]),
    ),
    min_size=5,
    max_size=50,
)


SETTLED = [("", 10_000, 0, 0, "both"), ("", 60_000, 0, 0, "both"), ("flush", 10_000, 0, 0, "both")]
"""Readings at the end that leave no doubt."""


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_flushes_restarts_and_kills_lose_nothing_and_double_nothing(
    tmp_path_factory: pytest.TempPathFactory, actions: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("house")
    house = House(folder, site(folder))
    at_ms = BEGIN_S * 1000
    mj = {"import": 5_000 * 3_600_000, "pv": 9_000 * 3_600_000}
    firsts: dict[str, int] = {}
    try:
        for action, elapsed_ms, grid_w, pv_w, who in [
            ("flush", 0, 0, 0, "both"),
            *actions,
            *SETTLED,
        ]:
            at_ms += elapsed_ms
            mj["import"] += grid_w * elapsed_ms
            mj["pv"] += pv_w * elapsed_ms
            if who in ("both", "grid"):
                house.take(
                    "grid",
                    at_ms,
                    energy_import_wh=mj["import"] // 3_600_000,
                    energy_export_wh=0,
                    power_w=grid_w + 0.1,
                )
            if who in ("both", "pv"):
                house.take(
                    "pv",
                    at_ms,
                    energy_import_wh=0,
                    energy_export_wh=mj["pv"] // 3_600_000,
                    power_w=-pv_w / 3,
                )
            firsts = firsts or {name: value // 3_600_000 * WH for name, value in mj.items()}
            if action == "flush":
                house.buffer.flush()
            elif action == "prune":
                house.buffer.prune(house.now_s)
            elif action == "checkpoint":
                house.ledger.checkpoint()
            elif action in ("stop", "kill"):
                getattr(house, action)()
                house.boot += elapsed_ms > 60_000
                house.start()
        house.buffer.flush()
        states = {device: state for device, (_, state) in house.ledger._states.items()}
        slots = list(house.buffer.slots())
        assert house.buffer.slot_count == len(slots)
        gaps_uwh = dict(
            house.buffer.database.connection.execute(
                "SELECT device || substr(text, 1, 6), sum(energy_uwh) FROM events WHERE kind = "
                "'gap' GROUP BY 1"
            )
        )
        events = [
            kind for (kind,) in house.buffer.database.connection.execute("SELECT kind FROM events")
        ]
    finally:
        house.buffer.close_file()
        shutil.rmtree(folder)
    assert set(events) <= {"gap"}
    keys = [(slot.device, slot.direction, slot.start_s) for slot in slots]
    assert len(keys) == len(set(keys))
    for device, direction, name in (("grid", "import", "import"), ("pv", "export", "pv")):
        mine = [slot for slot in slots if (slot.device, slot.direction) == (device, direction)]
        each = states[device].directions[direction]  # type: ignore[index]
        booked_uwh = sum(slot.energy_uwh or 0 for slot in mine) + (
            gaps_uwh.get(device + direction) or 0
        )
        begin_uwh = firsts[name] + WH // 2  # in the middle of the register's step
        assert (
            booked_uwh + each.counter.counter_uwh - each.slot.begin_uwh
            == each.counter.counter_uwh - begin_uwh
        )
        register_uwh = mj[name] // 3_600_000 * WH
        assert register_uwh <= each.counter.counter_uwh <= register_uwh + WH
        for a, b in pairwise(mine):
            assert (
                (a.start_s + a.length_s, a.end_uwh) == (b.start_s, b.begin_uwh)
                or b.quality == "partial"
                or a.quality in ("partial", "missing")
            )


LIFE = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "",
                "",
                "",
                "",
                "flush",
                "kill",
                "mute",
                "mute",
                "pause",
                "back",
                "far back",
                "forward",
                "far forward",
                "bogus",
            ]
        ),
        st.sampled_from([10_000, 10_000, 10_000, 60_000, 400_000, 2_000_000, 9_000_000]),
        st.integers(0, 12_000),
    ),
    min_size=5,
    max_size=60,
)
STEPS_MS = {"back": -300_000, "far back": -5_000_000, "forward": 300_000, "far forward": 20_000_000}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=LIFE)
def test_whatever_clock_register_and_power_do_slots_and_records_are_the_change_of_the_counter(
    tmp_path_factory: pytest.TempPathFactory, life: list[Any]
) -> None:
    """A kill loses samples that were not flushed, and no energy: registers are cumulative."""
    folder = tmp_path_factory.mktemp("house")
    house = House(folder, site(folder))
    true_ms, wrong_ms, mj = 0, 0, 9_000 * 3_600_000
    shown_wh: float | None = None
    mute = False
    try:
        for action, elapsed_ms, power_w in [
            *[("flush", 10_000, 0)] * 3,
            *life,
            ("", 10_000, 0),
            ("", 60_000, 0),
            ("flush", 10_000, 0),
        ]:
            true_ms += elapsed_ms
            mj += power_w * elapsed_ms
            wrong_ms += STEPS_MS.get(action, 0)
            mute ^= action == "mute"
            if action == "pause":
                shown_wh = None if shown_wh else mj // 3_600_000
            house.now_s = BEGIN_S + (true_ms + wrong_ms) / 1000
            values = {
                "energy_import_wh": 1.0,
                "energy_export_wh": 4e6 if action == "bogus" else shown_wh or mj // 3_600_000,
            }
            values = (
                {"power_w": -float(power_w)} if mute else {**values, "power_w": -float(power_w)}
            )
            house.ledger.take(
                Sample(
                    "pv", "S", "boot-0", true_ms + 1000, BEGIN_S * 1000 + true_ms + wrong_ms, values
                )
            )
            if action in ("flush", "kill"):
                if action == "flush":
                    house.buffer.flush()
                else:
                    house.kill()
                    house.start()
        house.buffer.flush()
        each = house.ledger._states["pv"][1].directions.get("export")
        if each is None:
            return
        final = [
            slot
            for slot in house.buffer.slots()
            if slot.direction == "export" and slot.method != "power"
        ]
        left_uwh = sum(
            left.what.energy_uwh
            for left in house.buffer.unallocated()
            if left.what.direction == "export"
        )
        booked_uwh = (
            sum(slot.energy_uwh or 0 for slot in final)
            + left_uwh
            + each.counter.counter_uwh
            - each.slot.begin_uwh
        )
        assert booked_uwh == each.counter.counter_uwh - (9_000 * WH + WH // 2)
        owed = [o.item for o in house.buffer.owed()]
        assert len({(item.subject, item.slot_s, item.kind, item.revision) for item in owed}) == len(
            owed
        )
    finally:
        house.buffer.close_file()
        shutil.rmtree(folder)


def test_a_time_that_comes_twice_is_not_booked_to_two_meters_in_turn(house: House) -> None:
    for t in range(0, 14_400, 10):
        back_s = 3600 if t >= 7200 else 0
        values = {
            "power_w": -600.0,
            "energy_import_wh": 1.0,
            "energy_export_wh": float(9000 + t // 6 - (5000 if t >= 7200 else 0)),
        }
        serial = "NEW" if t >= 7200 else "OLD"
        house.ledger.take(
            Sample("pv", serial, "boot-0", t * 1000 + 1, (BEGIN_S + t - back_s) * 1000, values)
        )
    house.buffer.flush()
    whole = [
        (s.direction, s.start_s)
        for s in house.buffer.slots()
        if s.quality in ("measured", "estimated")
    ]
    assert len(whole) == len(set(whole))
    clashes = [
        left.what
        for left in house.buffer.unallocated()
        if left.what.kind == "clash" and left.what.direction == "export"
    ]
    assert {what.serial_number for what in clashes} == {"NEW"}


def test_a_register_that_is_silent_in_a_time_that_comes_twice_changes_no_slot_of_the_first_time(
    house: House,
) -> None:
    for t in range(0, 14_400, 10):
        back_s = 3600 if t >= 7200 else 0
        values = {"power_w": -600.0}
        if not 7500 < t < 9900:
            values |= {"energy_import_wh": 1.0, "energy_export_wh": float(9000 + t // 6)}
        house.ledger.take(
            Sample("pv", "S", "boot-0", t * 1000 + 1, (BEGIN_S + t - back_s) * 1000, values)
        )
        if t == 7190:
            house.buffer.flush()
            before = [slot for slot in house.buffer.slots() if slot.start_s < BEGIN_S + 6300]
    booked_uwh, counted_uwh = everything_uwh(house, "pv", "export")
    assert booked_uwh == counted_uwh
    assert [slot for slot in house.buffer.slots() if slot.start_s < BEGIN_S + 6300] == before
    clashes = [
        left.what
        for left in house.buffer.unallocated()
        if left.what.kind == "clash" and left.what.direction == "export"
    ]
    assert sum(what.energy_uwh for what in clashes) == pytest.approx(600 * WH, abs=2 * WH)


def books(house: House) -> tuple[list[Slot], list[Owed], list[str]]:
    house.buffer.flush()
    return list(house.buffer.slots()), list(house.buffer.owed()), house.buffer.latest_events(1000)


@pytest.mark.parametrize("how", ["stop", "kill after flush"])
@pytest.mark.parametrize("when", [7, 90, 91, 150, 200])
def test_a_restart_that_loses_no_sample_gives_the_very_same_books(
    tmp_path: Path, how: str, when: int
) -> None:
    """Powers with digits that a 32-bit float has not: a replay must not round them."""
    results = []
    for name, restart in (("whole", False), ("cut", True)):
        folder = tmp_path / name
        house = House(folder, site(folder))
        for n in range(280):
            at_ms = (BEGIN_S + n * 10) * 1000
            house.take(
                "grid",
                at_ms,
                energy_import_wh=5000 + n * 7 // 3,
                energy_export_wh=0,
                power_import_w=840.123456789,
                power_export_w=0.1,
            )
            house.take(
                "pv", at_ms, energy_import_wh=0, energy_export_wh=9000 + n, power_w=-360.987654321
            )
            if restart and n == when:
                if how == "stop":
                    house.stop()
                else:
                    house.buffer.flush()
                    house.kill()
                house.start()
        results.append(books(house))
        house.buffer.close_file()
    assert results[0] == results[1]
    assert len(results[0][0]) == 12


def test_replaying_again_and_again_changes_nothing(house: House) -> None:
    run(house, 0, 2000)
    before = books(house)
    for _ in range(3):
        house.ledger.replay()
    assert books(house) == before


def test_books_that_are_rebuilt_from_the_samples_alone_are_the_same(house: House) -> None:
    run(house, 0, 4000, load_w=1234.5, pv_w=777.7)
    before = books(house)
    house.buffer.database.connection.execute("DELETE FROM counters")
    house.kill()
    house.start()
    # INSERT … ON CONFLICT DO NOTHING would hide a difference; one would be an event.
    assert books(house) == before
    house.buffer.database.connection.execute("DELETE FROM counters")
    house.buffer.database.connection.execute("DELETE FROM slots")
    house.buffer.database.connection.execute("DELETE FROM outbox")
    house.kill()
    house.start()
    slots, owed, _ = books(house)
    assert slots == before[0]
    assert [o for o in owed if o.item.kind == "measurement"] == [
        o for o in before[1] if o.item.kind == "measurement"
    ]


def test_a_new_meter_does_not_make_the_samples_of_all_the_others_be_read_again(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, site(tmp_path))
    run(house, 0, 2000)
    house.stop()
    (tmp_path / "devices/heat.yaml").write_text(
        "profile: eastron/sdm630\nline: tcp:127.0.0.1:502\n"
    )
    house.settings = load(tmp_path)
    house.buffer = open_buffer(house.path, now_s=house.now_s)
    asked: list[int] = []
    ledger = Ledger(house.settings, house.buffer, house.clock, None)
    house.buffer.database.connection.set_trace_callback(
        lambda sql: (
            asked.append(int(sql.split("id > ")[1].split()[0]))
            if "FROM samples WHERE id >" in sql
            else None
        )
    )
    ledger.replay()
    house.buffer.database.connection.set_trace_callback(None)
    assert asked
    assert min(asked) == house.buffer.last_number
    house.buffer.close_file()


def test_a_replay_that_the_disk_cuts_short_is_done_again(house: House) -> None:
    run(house, 0, 1000)
    house.stop()
    house.start()
    run(house, 1010, 1700)
    house.buffer.flush()
    before = books(house)
    house.kill()
    with Disk(house.path.parent) as disk:
        house.buffer = open_buffer(house.path, now_s=house.now_s)
        exchange = house.settings.exchange
        assert exchange is not None
        ledger = Ledger(
            house.settings,
            house.buffer,
            house.clock,
            load_dialect("sdk", str(exchange.canary_network), 900),
        )
        house.ledger = ledger
        disk.failing = True
        with pytest.raises(StoreError):
            ledger.replay()
        with pytest.raises(StoreError):
            run(house, 1710, 1710)
        # as a stop does; it must not store folds that have not seen the samples
        ledger.checkpoint()
        disk.failing = False
        run(house, 1720, 1810)
        house.buffer.flush()
    slots = [
        slot for slot in books(house)[0] if (slot.device, slot.direction) == ("grid", "import")
    ]
    assert [slot.start_s - BEGIN_S for slot in slots] == [0, 900]
    assert sum(slot.energy_uwh or 0 for slot in slots) == pytest.approx(900 * WH, abs=WH)
    assert all(slot.quality == "measured" for slot in slots)
    assert set(before[2]) == set(books(house)[2])


def test_samples_from_before_the_clock_was_trusted_are_booked_once_it_is(tmp_path: Path) -> None:
    house = House(tmp_path, site(tmp_path), trust="kernel")
    run(house, 0, 1000)
    assert books(house)[0] == []
    house.synchronised = True
    run(house, 1010, 1800)
    slots = [
        slot for slot in books(house)[0] if (slot.device, slot.direction) == ("grid", "import")
    ]
    assert [
        (slot.start_s - BEGIN_S, slot.quality, round((slot.energy_uwh or 0) / WH)) for slot in slots
    ] == [
        (0, "measured", 450),
        (900, "measured", 450),
    ]
    house.buffer.close_file()


# --- what is owed ---------------------------------------------------------------------------------


def test_an_assets_slot_is_owed_once_all_its_meters_have_closed_it(house: House) -> None:
    run(house, 0, 900, devices=("grid",))
    assert not house.measurements()
    run(house, 0, 900, devices=("pv",))
    assert {
        key: (o.item.energy_uwh / WH, o.quality, o.state) for key, o in house.measurements().items()
    } == {
        (LOAD, 0): (900, "measured", "pending"),
        (PV, 0): (450, "measured", "pending"),
    }


def test_two_assets_share_a_meter(house: House) -> None:
    run(house, 0, 1800, load_w=1000, pv_w=3000)
    owed = house.measurements()
    assert round(owed[LOAD, 900].item.energy_uwh / WH) == 250
    assert round(owed[PV, 900].item.energy_uwh / WH) == 750


def test_a_negative_result_is_delivered_as_zero_and_shown_as_it_is(house: House) -> None:
    """As where the grid meter exports more than the panels make: a battery, or a meter that is
    wired the other way round.
    """
    for t in range(0, 910, 10):
        at_ms = (BEGIN_S + t) * 1000
        house.take("grid", at_ms, energy_import_wh=0, energy_export_wh=t, power_w=-3600)
        house.take("pv", at_ms, energy_import_wh=0, energy_export_wh=0, power_w=0)
    owed = house.measurements()[LOAD, 0]
    assert owed.item.energy_uwh == 0
    assert owed.raw_uwh == pytest.approx(-900 * WH, abs=WH)
    assert owed.state == "pending"
    assert house.measurements()[PV, 0].raw_uwh is None


def test_a_slot_that_was_not_wholly_metered_is_written_down_as_missed_with_the_reason(
    house: House,
) -> None:
    run(house, 300, 1800)
    owed = house.measurements()
    assert (owed[LOAD, 0].state, owed[LOAD, 0].quality) == ("missed", "partial")
    assert owed[LOAD, 0].reason == "grid was metered for 67 % of the slot"
    assert owed[LOAD, 0].decided_s is not None
    assert owed[LOAD, 900].state == "pending"
    assert house.buffer.measurement_uwh(owed[LOAD, 0].item.subject, BEGIN_S) is None
    assert [
        o.item.slot_s
        for o in house.buffer.outbox("exchange").due(BEGIN_S + 10_000, since_s=None, limit=100)
    ] == [BEGIN_S + 900] * 2


def test_missing_slots_are_written_down_too(house: House) -> None:
    run(house, 0, 900)
    run(house, 9900, 10800)
    states = {slot: o.state for (asset, slot), o in house.measurements().items() if asset == PV}
    assert states == {
        slot: "pending" if slot in (0, 9900) else "missed" for slot in range(0, 10800, 900)
    }


def test_a_gap_that_can_be_bridged_is_owed_as_estimated(house: House) -> None:
    run(house, 0, 900)
    run(house, 2700, 3600)
    assert [o.quality for (asset, _), o in sorted(house.measurements().items()) if asset == PV] == [
        "measured",
        "estimated",
        "estimated",
        "measured",
    ]


@pytest.mark.parametrize(
    ("method", "expected"),
    [("last_slot", {1800: 90, 2700: 180}), ("yesterday", {1800: 90, 2700: 180}), ("none", {})],
)
def test_the_next_slot_is_forecast_by_the_method_that_is_configured(
    tmp_path: Path, method: str, expected: dict[int, int]
) -> None:
    house = House(tmp_path, site(tmp_path, forecast=method))
    run(house, 0, 900, pv_w=360)
    for t in range(910, 1810, 10):
        for device in ("grid", "pv"):
            values = {
                "energy_import_wh": 5810.0,
                "energy_export_wh": 9090 + (t - 900) / 5,
                "power_w": -720.0,
            }
            house.take(device, (BEGIN_S + t) * 1000, **values)
    assert {
        slot: round(uwh / WH) for (asset, slot), uwh in house.forecasts().items() if asset == PV
    } == expected
    house.buffer.close_file()


def test_a_forecast_looks_back_a_day(tmp_path: Path) -> None:
    house = House(tmp_path, site(tmp_path, forecast="yesterday"))
    run(house, 0, 2700, pv_w=360)
    for day_s in (86_400,):
        for t in range(day_s, day_s + 910, 10):
            for device in ("grid", "pv"):
                house.take(
                    device,
                    (BEGIN_S + t) * 1000,
                    energy_import_wh=9000,
                    energy_export_wh=20_000,
                    power_w=0,
                )
    assert round(house.forecasts()[PV, 86_400 + 1800] / WH) == 90
    house.buffer.close_file()


def test_nothing_is_forecast_for_a_slot_that_has_begun(house: House) -> None:
    run(house, 0, 890)
    house.now_s = BEGIN_S + 5000.0
    for device in ("grid", "pv"):
        house.take(
            device, (BEGIN_S + 900) * 1000, energy_import_wh=6000, energy_export_wh=9450, power_w=0
        )
    assert house.measurements()
    assert not house.forecasts()


def test_a_meter_wired_the_other_way_round_is_booked_in_the_direction_that_is_meant(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, site(tmp_path, invert_pv=True))
    for t in range(0, 910, 10):
        house.take(
            "pv",
            (BEGIN_S + t) * 1000,
            energy_import_wh=9000 + t / 2,
            energy_export_wh=0,
            power_w=1800,
        )
    assert house.measurements()[PV, 0].item.energy_uwh == pytest.approx(450 * WH, abs=WH)
    house.buffer.close_file()


def test_another_slot_length_books_no_slot_twice_and_states_what_has_no_place(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, site(tmp_path))
    run(house, 0, 1200)
    house.stop()
    house.settings = site(tmp_path, slot="30min")
    house.start()
    run(house, 1210, 3600)
    slots = [slot for slot in books(house)[0] if (slot.device, slot.direction) == ("pv", "export")]
    assert [(slot.start_s - BEGIN_S, slot.length_s, slot.quality) for slot in slots] == [
        (0, 900, "measured"),
        (900, 900, "partial"),
        (1800, 1800, "measured"),
    ]
    clashes = house.buffer.database.connection.execute(
        "SELECT device, energy_uwh FROM events WHERE kind = 'clash' AND device = 'pv'"
    ).fetchall()
    assert [(device, round(uwh / WH)) for device, uwh in clashes if uwh] == [("pv", 300)]
    assert [
        round(left.what.energy_uwh / WH)
        for left in house.buffer.unallocated()
        if left.what.device == "pv"
    ] == [300]
    owed = house.measurements()
    assert (owed[PV, 0].item.energy_uwh, owed[PV, 0].length_s) == (slots[0].energy_uwh, 900)
    assert owed[PV, 1800].length_s == 1800
    house.buffer.close_file()


def everything_uwh(house: House, device: str, direction: str) -> tuple[int, int]:
    """What is in slots or on record as unallocated, and how far the counter has come since its
    first reading.
    """
    house.buffer.flush()
    mine = [
        slot
        for slot in house.buffer.slots()
        if (slot.device, slot.direction) == (device, direction)
    ]
    left = [
        left.what
        for left in house.buffer.unallocated()
        if (left.what.device, left.what.direction) == (device, direction)
    ]
    each = house.ledger._states[device][1].directions[direction]  # type: ignore[index]
    open_uwh = each.counter.counter_uwh - each.slot.begin_uwh
    stated_uwh = sum(slot.energy_uwh or 0 for slot in mine) + sum(what.energy_uwh for what in left)
    return stated_uwh + open_uwh, each.counter.counter_uwh - min(slot.begin_uwh for slot in mine)


def test_what_a_clock_that_was_ahead_has_booked_stays_and_nothing_is_booked_there_again(
    house: House,
) -> None:
    """It is a day ahead for an hour; the day that it skipped is then metered after all."""
    ahead_s = 86_400
    for t in range(0, 3600 + ahead_s + 7200, 60):
        off_s = ahead_s if 3600 < t < 7200 else 0
        house.now_s = 0.0
        values = {"energy_import_wh": 0.0, "energy_export_wh": 9000 + t / 6, "power_w": -600.0}
        house.ledger.take(
            Sample("pv", "S", "boot-0", t * 1000 + 1, (BEGIN_S + t + off_s) * 1000, values)
        )
    booked_uwh, counted_uwh = everything_uwh(house, "pv", "export")
    assert booked_uwh == counted_uwh
    mine = {
        slot.start_s - BEGIN_S: slot for slot in house.buffer.slots() if slot.direction == "export"
    }
    assert [(mine[at].quality, mine[at].revision) for at in (7200, 10_800, ahead_s - 900)] == [
        ("estimated", 1)
    ] * 3
    assert [round((mine[ahead_s + at].energy_uwh or 0) / WH) for at in (4500, 5400)] == [150, 150]
    (clash,) = [
        left.what
        for left in house.buffer.unallocated()
        if left.what.kind == "clash" and left.what.direction == "export"
    ]
    assert (clash.from_ms, clash.to_ms) == (
        (BEGIN_S + ahead_s + 3600) * 1000,
        (BEGIN_S + ahead_s + 7200) * 1000,
    )
    owed = [
        o for o in house.buffer.owed() if str(o.item.subject) == PV and o.item.kind == "measurement"
    ]
    assert {o.item.revision: o.state for o in owed if o.item.slot_s == BEGIN_S + 10_800} == {
        0: "missed",
        1: "pending",
    }
    assert [o.item.revision for o in owed if o.item.slot_s == BEGIN_S + ahead_s + 5400] == [0]


def hourly(house: House, begin_s: int, end_s: int, *, pv_w: float = 1800) -> None:
    """The panels' meter shows power every 10 s, and its register 10 s after each full hour; the
    grid's shows all of it.
    """
    for t in range(begin_s, end_s + 1, 10):
        at_ms = (BEGIN_S + t) * 1000
        house.take(
            "grid",
            at_ms,
            energy_import_wh=5000.0,
            energy_export_wh=700 + pv_w * t / 3600,
            power_w=-pv_w,
        )
        values = {"power_w": -pv_w}
        if t % 3600 == 10 or t == 0:
            values |= {
                "energy_import_wh": 1.0,
                "energy_export_wh": float(int(9000 + pv_w * t / 3600)),
            }
        house.take("pv", at_ms, **values)


def test_a_slot_that_was_sent_as_estimated_is_owed_again_as_a_revision_when_the_truth_arrives(
    house: House,
) -> None:
    hourly(house, 0, 1800, pv_w=1234.5)
    owed = house.measurements()
    assert (owed[PV, 0].item.revision, owed[PV, 0].quality, owed[PV, 0].state) == (
        0,
        "estimated",
        "pending",
    )
    assert owed[LOAD, 0].quality == "estimated"
    assert (PV, 900) not in owed
    (slot,) = [
        slot
        for slot in house.buffer.slots_at(BEGIN_S)
        if (slot.device, slot.direction) == ("pv", "export")
    ]
    assert (slot.method, slot.revision) == ("power", 0)
    hourly(house, 1810, 4000, pv_w=1234.5)
    house.buffer.flush()
    revisions = [
        o.item.revision
        for o in house.buffer.owed()
        if (str(o.item.subject), o.item.slot_s) == (PV, BEGIN_S)
    ]
    assert revisions == [0, 1]
    newest = house.measurements()
    pv_uwh = sum(newest[PV, at].item.energy_uwh for at in (0, 900, 1800, 2700))
    assert pv_uwh == pytest.approx(1234.5 * WH, abs=6 * WH)
    mine = [
        slot
        for slot in house.buffer.slots(until_s=BEGIN_S + 3600)
        if (slot.device, slot.direction) == ("pv", "export")
    ]
    assert sum(slot.energy_uwh or 0 for slot in mine) == pv_uwh
    assert [(slot.method, slot.revision) for slot in mine] == [("counter", 1)] * 3 + [
        ("counter", 0)
    ]
    due = [
        o.item
        for o in house.buffer.outbox("exchange").due(BEGIN_S + 10_000, since_s=None, limit=100)
        if str(o.item.subject) == PV
    ]
    assert [item.revision for item in due] == [1, 1, 1, 0]


def test_where_numbers_bear_no_date_nothing_is_owed_before_the_truth_is_known_nor_twice(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, site(tmp_path))
    house.ledger = Ledger(
        house.settings, house.buffer, house.clock, load_dialect("rest", NETWORK, 900)
    )
    house.ledger.replay()
    hourly(house, 0, 3000)
    assert not house.measurements()
    hourly(house, 3010, 7000)
    house.buffer.flush()
    mine = [o for o in house.buffer.owed() if str(o.item.subject) == PV]
    assert [(o.item.slot_s - BEGIN_S, o.item.revision) for o in mine] == [
        (at, 0) for at in (0, 900, 1800, 2700)
    ]
    house.buffer.close_file()


def test_a_restart_while_a_register_is_silent_gives_the_very_same_books(tmp_path: Path) -> None:
    results = []
    for name in ("whole", "cut"):
        house = House(tmp_path / name, site(tmp_path / name))
        for begin_s, end_s in ((0, 1250), (1260, 2500), (2510, 4000)):
            hourly(house, begin_s, end_s, pv_w=1234.5)
            if name == "cut":
                house.buffer.flush()
                house.kill()
                house.start()
        results.append(books(house))
        house.buffer.close_file()
    assert results[0] == results[1]


def test_one_meters_swap_makes_its_slot_missed_and_the_next_one_good(house: House) -> None:
    run(house, 0, 1200)
    for t in range(1210, 3610, 10):
        at_ms = (BEGIN_S + t) * 1000
        house.take("grid", at_ms, energy_import_wh=5000 + t / 2, energy_export_wh=700, power_w=1800)
        house.take(
            "pv",
            at_ms,
            serial="NEW",
            energy_import_wh=0,
            energy_export_wh=(t - 1210) / 2,
            power_w=-1800,
        )
    owed = house.measurements()
    assert {slot: o.state for (asset, slot), o in owed.items() if asset == PV} == {
        0: "pending",
        900: "missed",
        1800: "pending",
        2700: "pending",
    }
    kinds = defaultdict(int)
    for line in house.buffer.latest_events():
        kinds[line.split()[3].rstrip(":")] += 1
    assert kinds == {"swap": 1}


def test_findings_are_counted_per_meter(house: House) -> None:
    run(house, 0, 100)
    house.take("pv", (BEGIN_S + 110) * 1000, energy_import_wh=1, energy_export_wh=0, power_w=0)
    run(house, 120, 200)
    assert house.ledger.glitches == {"grid": 0, "pv": 1}
    assert replace(house.settings).site == "home-12"
