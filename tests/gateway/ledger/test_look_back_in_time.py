"""The daemon's own task closes what nobody adds to, and sleeps until then."""

import asyncio
from pathlib import Path

from gateway.ledger.housekeeping import Housekeeping
from gateway.ledger.ledger import Committed
from gateway.store.health import StoreHealth
from tests.gateway.ledger.home import BEGIN_S, Home, run, site
from tests.simulation.virtual_time import VirtualLoop


def test_a_silent_meters_slot_is_written_when_its_time_is_over(tmp_path: Path) -> None:
    home = Home(tmp_path, site(tmp_path, look_back="5min"), dialect="rest")
    run(home, 0, 910, devices=("pv",))
    written: list[tuple[float, int]] = []

    def on_committed(what: Committed) -> None:
        if what.slots:
            written.append((home.now_s - BEGIN_S, len(what.slots)))

    keeping = Housekeeping(
        home.ledger,
        home.buffer,
        StoreHealth(home.path, lambda: home.now_s),
        home.clock,
        flush_s=60,
        on_committed=on_committed,
    )

    async def live(until_s: float) -> None:
        task = asyncio.create_task(keeping.run())
        while home.now_s < BEGIN_S + until_s:
            await asyncio.sleep(1)
            home.now_s += 1
        task.cancel()
        await asyncio.wait([task])

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(live(1228))
        assert written == []
        runner.run(live(1240))
    assert len(written) == 1
    assert 1230 <= written[0][0] <= 1232
    home.stop()
