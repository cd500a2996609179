"""Which slot is an asset's last one, where a clock that was ahead has dated some. A real store."""

from pathlib import Path

from gateway.energy.cross_check import CrossChecks
from gateway.monitoring.reporter import Parts, Reporter
from gateway.store.health import StoreHealth
from tests.gateway.ledger.home import BEGIN_S, Home, site
from tests.gateway.ledger.test_set_back import DAY_S, SLOT_S, passes, set_clock


def last_slots(home: Home) -> set[int | None]:
    """What the report names as the last slot of each asset, in seconds since the beginning."""
    home.buffer.flush()
    parts = Parts(
        lines=[],
        glitches={},
        cross_checks=CrossChecks({}),
        destinations=[],
        publisher=None,
        fold_of=lambda _: None,
        disbelief_of=lambda _: None,
    )
    health = StoreHealth(home.path, home.clock.now_s)
    reporter = Reporter(home.settings, home.clock, home.buffer, health, parts, 0.0)
    shown = [asset.last_slot_s for asset in reporter.report().assets]
    return {None if each is None else each - BEGIN_S for each in shown}


def test_a_slot_that_has_not_begun_is_no_last_one(tmp_path: Path) -> None:
    home = Home(tmp_path, site(tmp_path))
    passes(home, 3 * SLOT_S)
    set_clock(home, DAY_S)
    passes(home, 4 * SLOT_S)
    assert all(each and each >= DAY_S for each in last_slots(home)), "a day ahead, and believed"

    set_clock(home, 0.0)
    passes(home, 2 * SLOT_S)
    now_s = home.now_s - BEGIN_S
    assert all(each and now_s - 2 * SLOT_S <= each < now_s for each in last_slots(home))
    assert any(owed.item.slot_s - BEGIN_S >= DAY_S for owed in home.buffer.owed()), "still kept"
    home.buffer.close_file()
