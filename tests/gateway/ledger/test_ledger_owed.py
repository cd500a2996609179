"""What is owed to the exchange for slots that were closed or written anew."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.energy.counter import UWH_PER_WH as WH
from gateway.ledger.exchange_terms import exchange_terms
from gateway.ledger.ledger import Ledger
from gateway.outbox.dialects import load_dialect
from gateway.outbox.format import Margins
from tests.gateway.ledger.home import (
    BEGIN_S,
    LOAD,
    NETWORK,
    PV,
    Home,
    hourly,
    run,
    site,
    terms_of,
)


def test_an_assets_slot_is_owed_once_all_its_meters_have_closed_it(home: Home) -> None:
    run(home, 0, 900, devices=("grid",))
    assert not home.measurements()
    run(home, 0, 900, devices=("pv",))
    assert {
        key: (o.item.energy_uwh / WH, o.quality, o.state) for key, o in home.measurements().items()
    } == {
        (LOAD, 0): (900, "measured", "pending"),
        (PV, 0): (450, "measured", "pending"),
    }


def test_assets_slots_are_written_with_their_meters_slots_and_count_revisions(
    home: Home,
) -> None:
    hourly(home, 0, 1800, pv_w=1234.5)
    home.buffer.flush()
    before = {str(slot.asset): slot for slot in home.buffer.asset_slots(until_s=BEGIN_S + 900)}
    assert {asset: (s.quality, s.revision) for asset, s in before.items()} == {
        LOAD: ("estimated", 0),
        PV: ("estimated", 0),
    }
    hourly(home, 1810, 4000, pv_w=1234.5)
    home.buffer.flush()
    owed = home.measurements()
    after = {(str(s.asset), s.start_s - BEGIN_S): s for s in home.buffer.asset_slots()}
    assert owed.keys() == after.keys()
    for key, slot in after.items():
        delivered = owed[key].item.energy_uwh if owed[key].raw_uwh is None else owed[key].raw_uwh
        assert (slot.energy_uwh, slot.revision) == (delivered, owed[key].item.revision), key
    assert after[PV, 0].revision == 1
    assert after[PV, 0].energy_uwh != before[PV].energy_uwh


def test_assets_slots_are_written_also_where_nobody_is_owed_them(home: Home) -> None:
    home.ledger = Ledger(home.settings, home.buffer, home.clock, [])
    home.ledger.replay()
    run(home, 300, 1800)
    home.buffer.flush()
    assert not list(home.buffer.owed())
    found = {(str(s.asset), s.start_s - BEGIN_S): s for s in home.buffer.asset_slots()}
    assert {key: (s.quality, round((s.energy_uwh or 0) / WH)) for key, s in found.items()} == {
        (LOAD, 0): ("partial", 0),
        (LOAD, 900): ("measured", 900),
        (PV, 0): ("partial", 0),
        (PV, 900): ("measured", 450),
    }
    assert found[LOAD, 0].energy_uwh is None


def test_each_destination_is_owed_revisions_of_its_own(home: Home) -> None:
    dated, undated = (load_dialect(name, NETWORK, 900) for name in ("sdk", "rest"))
    terms = [
        exchange_terms(
            home.settings,
            form,
            home.buffer,
            forecast="last_slot",
            kept=Margins(1.0, 15.0),
            name=name,
        )
        for name, form in (("exchange", dated), ("second", dated), ("third", undated))
    ]
    home.ledger = Ledger(home.settings, home.buffer, home.clock, terms)
    home.ledger.replay()
    hourly(home, 0, 4000, pv_w=1234.5)
    home.buffer.flush()
    revisions: dict[str, list[int]] = {}
    for owed in home.buffer.owed():
        if (str(owed.item.subject), owed.item.slot_s, owed.item.kind) == (
            PV,
            BEGIN_S,
            "measurement",
        ):
            revisions.setdefault(owed.item.destination, []).append(owed.item.revision)
    assert revisions == {"exchange": [0, 1], "second": [0, 1], "third": [0]}


def test_two_assets_share_a_meter(home: Home) -> None:
    run(home, 0, 1800, load_w=1000, pv_w=3000)
    owed = home.measurements()
    assert round(owed[LOAD, 900].item.energy_uwh / WH) == 250
    assert round(owed[PV, 900].item.energy_uwh / WH) == 750


def test_a_negative_result_is_delivered_as_zero_and_shown_as_it_is(home: Home) -> None:
    """As where the grid meter exports more than the panels make: a battery, or a meter that is
    wired the other way round.
    """
    for t in range(0, 910, 10):
        at_ms = (BEGIN_S + t) * 1000
        home.take("grid", at_ms, energy_import_wh=0, energy_export_wh=t, power_w=-3600)
        home.take("pv", at_ms, energy_import_wh=0, energy_export_wh=0, power_w=0)
    owed = home.measurements()[LOAD, 0]
    assert owed.item.energy_uwh == 0
    assert owed.raw_uwh == pytest.approx(-900 * WH, abs=WH)
    assert owed.state == "pending"
    assert home.measurements()[PV, 0].raw_uwh is None


def test_a_slot_that_was_not_wholly_metered_is_written_down_as_missed_with_the_reason(
    home: Home,
) -> None:
    run(home, 300, 1800)
    owed = home.measurements()
    assert (owed[LOAD, 0].state, owed[LOAD, 0].quality) == ("missed", "partial")
    assert owed[LOAD, 0].reason == "grid was metered for 67 % of the slot: it started mid-slot"
    assert owed[LOAD, 0].decided_s is not None
    assert owed[LOAD, 900].state == "pending"
    assert [
        o.item.slot_s
        for o in home.buffer.outbox("exchange").due(BEGIN_S + 10_000, since_s=None, limit=100)
    ] == [BEGIN_S + 900] * 2


def test_missing_slots_are_written_down_too(home: Home) -> None:
    run(home, 0, 900)
    run(home, 9900, 10800)
    states = {slot: o.state for (asset, slot), o in home.measurements().items() if asset == PV}
    assert states == {
        slot: "pending" if slot in (0, 9900) else "missed" for slot in range(0, 10800, 900)
    }


def test_a_gap_that_can_be_bridged_is_owed_as_estimated(home: Home) -> None:
    run(home, 0, 900)
    run(home, 2700, 3600)
    assert [o.quality for (asset, _), o in sorted(home.measurements().items()) if asset == PV] == [
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
    home = Home(tmp_path, site(tmp_path, forecast=method))
    run(home, 0, 900, pv_w=360)
    for t in range(910, 1810, 10):
        for device in ("grid", "pv"):
            values = {
                "energy_import_wh": 5810.0,
                "energy_export_wh": 9090 + (t - 900) / 5,
                "power_w": -720.0,
            }
            home.take(device, (BEGIN_S + t) * 1000, **values)
    assert {
        slot: round(uwh / WH) for (asset, slot), uwh in home.forecasts().items() if asset == PV
    } == expected
    home.buffer.close_file()


def test_a_forecast_looks_back_a_day(tmp_path: Path) -> None:
    home = Home(tmp_path, site(tmp_path, forecast="yesterday"))
    run(home, 0, 2700, pv_w=360)
    for day_s in (86_400,):
        for t in range(day_s, day_s + 910, 10):
            for device in ("grid", "pv"):
                home.take(
                    device,
                    (BEGIN_S + t) * 1000,
                    energy_import_wh=9000,
                    energy_export_wh=20_000,
                    power_w=0,
                )
    assert round(home.forecasts()[PV, 86_400 + 1800] / WH) == 90
    home.buffer.close_file()


def test_nothing_is_forecast_for_a_slot_that_has_begun(home: Home) -> None:
    run(home, 0, 890)
    home.now_s = BEGIN_S + 5000.0
    for device in ("grid", "pv"):
        home.take(
            device, (BEGIN_S + 900) * 1000, energy_import_wh=6000, energy_export_wh=9450, power_w=0
        )
    assert home.measurements()
    assert not home.forecasts()


def test_a_meter_wired_the_other_way_round_is_booked_in_the_direction_that_is_meant(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path, site(tmp_path, invert_pv=True))
    for t in range(0, 910, 10):
        home.take(
            "pv",
            (BEGIN_S + t) * 1000,
            energy_import_wh=9000 + t / 2,
            energy_export_wh=0,
            power_w=1800,
        )
    assert home.measurements()[PV, 0].item.energy_uwh == pytest.approx(450 * WH, abs=WH)
    home.buffer.close_file()


def test_a_slot_that_was_sent_as_estimated_is_owed_again_as_a_revision_when_the_truth_arrives(
    home: Home,
) -> None:
    hourly(home, 0, 1800, pv_w=1234.5)
    owed = home.measurements()
    assert (owed[PV, 0].item.revision, owed[PV, 0].quality, owed[PV, 0].state) == (
        0,
        "estimated",
        "pending",
    )
    assert owed[LOAD, 0].quality == "estimated"
    assert (PV, 900) not in owed
    (slot,) = [
        slot
        for slot in home.buffer.slots_at(BEGIN_S)
        if (slot.device, slot.direction) == ("pv", "export")
    ]
    assert (slot.method, slot.revision) == ("power", 0)
    hourly(home, 1810, 4000, pv_w=1234.5)
    home.buffer.flush()
    revisions = [
        o.item.revision
        for o in home.buffer.owed()
        if (str(o.item.subject), o.item.slot_s) == (PV, BEGIN_S)
    ]
    assert revisions == [0, 1]
    newest = home.measurements()
    pv_uwh = sum(newest[PV, at].item.energy_uwh for at in (0, 900, 1800, 2700))
    assert pv_uwh == pytest.approx(1234.5 * WH, abs=6 * WH)
    mine = [
        slot
        for slot in home.buffer.slots(until_s=BEGIN_S + 3600)
        if (slot.device, slot.direction) == ("pv", "export")
    ]
    assert sum(slot.energy_uwh or 0 for slot in mine) == pv_uwh
    assert [(slot.method, slot.revision) for slot in mine] == [("counter", 1)] * 3 + [
        ("counter", 0)
    ]
    due = [
        o.item
        for o in home.buffer.outbox("exchange").due(BEGIN_S + 10_000, since_s=None, limit=100)
        if str(o.item.subject) == PV
    ]
    assert [item.revision for item in due] == [1, 1, 1, 0]


def test_where_numbers_bear_no_date_nothing_is_owed_before_the_truth_is_known_nor_twice(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path, site(tmp_path))
    home.ledger = Ledger(
        home.settings, home.buffer, home.clock, terms_of(home.settings, home.buffer, "rest")
    )
    home.ledger.replay()
    hourly(home, 0, 3000)
    assert not home.measurements()
    hourly(home, 3010, 7000)
    home.buffer.flush()
    mine = [o for o in home.buffer.owed() if str(o.item.subject) == PV]
    assert [(o.item.slot_s - BEGIN_S, o.item.revision) for o in mine] == [
        (at, 0) for at in (0, 900, 1800, 2700)
    ]
    home.buffer.close_file()


def test_one_meters_swap_makes_its_slot_missed_and_the_next_one_good(home: Home) -> None:
    run(home, 0, 1200)
    for t in range(1210, 3610, 10):
        at_ms = (BEGIN_S + t) * 1000
        home.take("grid", at_ms, energy_import_wh=5000 + t / 2, energy_export_wh=700, power_w=1800)
        home.take(
            "pv",
            at_ms,
            serial="NEW",
            energy_import_wh=0,
            energy_export_wh=(t - 1210) / 2,
            power_w=-1800,
        )
    owed = home.measurements()
    assert {slot: o.state for (asset, slot), o in owed.items() if asset == PV} == {
        0: "pending",
        900: "missed",
        1800: "pending",
        2700: "pending",
    }
    kinds = defaultdict(int)
    for line in home.buffer.latest_events():
        kinds[line.split()[3].rstrip(":")] += 1
    assert kinds == {"swap": 1}


def test_findings_are_counted_per_meter(home: Home) -> None:
    run(home, 0, 100)
    home.take("pv", (BEGIN_S + 110) * 1000, energy_import_wh=1, energy_export_wh=0, power_w=0)
    run(home, 120, 200)
    assert home.ledger.glitches == {"grid": 0, "pv": 1}
    assert replace(home.settings).site == "home-12"
