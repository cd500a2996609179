"""A running daemon's housekeeping learns what another process has written."""

import asyncio
from pathlib import Path
from uuid import UUID

from msgspec.structs import replace

from gateway.energy.forecast import pack
from gateway.ledger.housekeeping import Housekeeping
from gateway.store.health import StoreHealth
from gateway.store.opening import open_for_deciding
from tests.gateway.ledger.home import BEGIN_S, LOAD, Home, run, site

SLOT_S = 900
FLUSH_S = 0.05
WITHIN_S = 60.0


async def test_energy_that_a_person_allocates_is_learned_without_a_restart(tmp_path: Path) -> None:
    home = Home(tmp_path, site(tmp_path, forecast="auto"))
    run(home, 0, 6 * SLOT_S)
    home.buffer.flush()
    forecaster = home.ledger.forecasting.forecasters[UUID(LOAD)]
    before = pack(forecaster.ahead())

    other = open_for_deciding(home.path)
    there = other.asset_slot(UUID(LOAD), BEGIN_S + 2 * SLOT_S)
    assert there is not None
    with other.database.transaction():
        other.tables.asset_slots.write([replace(there, energy_uwh=5, revision=there.revision + 1)])
    other.close_file()

    health = StoreHealth(home.path, home.clock.now_s)
    housekeeping = Housekeeping(
        home.ledger, home.buffer, health, home.clock, flush_s=FLUSH_S, on_committed=lambda _: None
    )
    working = asyncio.create_task(housekeeping.run())
    async with asyncio.timeout(WITHIN_S):
        while pack(forecaster.ahead()) == before or forecaster.is_behind:
            await asyncio.sleep(FLUSH_S)
    working.cancel()
    learned = pack(forecaster.ahead())
    home.kill()
    home.start()
    again = home.ledger.forecasting.forecasters[UUID(LOAD)]
    assert pack(again.ahead()) == learned
    home.buffer.close_file()
