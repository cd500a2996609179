"""A gateway's delivery to its fleet, with a buffer of its own, as a process that can be killed:

    python -m tests.gateway.fleet.a_gateway FOLDER SITE PORT FIRST_S SLOTS EVERY_S

A slot is closed every EVERY_S seconds, beginning with the one that starts at FIRST_S, and after a
restart with the one after those in the buffer. What flowed in each follows from its name alone.
"""

import asyncio
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from gateway.delivery.fleet_delivery import FleetDelivery
from gateway.delivery.kinds import fleet_mqtt
from gateway.delivery.opening import Opening
from gateway.energy.slot import AssetSlot
from gateway.outbox.fleet import shipping
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from tests.gateway.fleet.homes import SLOT_S, Truth, asset_of
from tests.gateway.store.rig import SMALL, closing, slot

RESEND_S = (1.0, 4.0)
"""Not 10 s: a test should not wait for it."""


def energy_uwh(asset: str, slot_s: int, seed: int = 0) -> int:
    """What flowed; `seed`: as somebody who knows less has settled it."""
    return random.Random(f"{asset}/{slot_s}/{seed}").getrandbits(30)


def truth_of(site: str, first_s: int, slots: int, seed: int = 0) -> Truth:
    """Of both assets of a site."""
    return {
        (asset, slot_s, 0): energy_uwh(asset, slot_s, seed)
        for asset in (asset_of(site, 0), asset_of(site, 1))
        for slot_s in range(first_s, first_s + slots * SLOT_S, SLOT_S)
    }


def close(buffer: Buffer, site: str, slot_s: int, seed: int = 0) -> None:
    """A slot of two meters and two assets, on disk."""
    for number, name in enumerate(("grid", "pv")):
        asset = asset_of(site, number)
        uwh = energy_uwh(asset, slot_s, seed)
        booked = AssetSlot(UUID(asset), slot_s, SLOT_S, uwh, 7, "measured", 0)
        one = closing(slot(slot_s, name, energy_uwh=uwh), device=name)
        buffer.close(replace(one, asset_slots=(booked,)))
    buffer.flush()


def a_delivery(buffer: Buffer, site: str, port: int, folder: Path) -> FleetDelivery:
    """As the daemon has it."""
    settings = cast(
        Any,
        SimpleNamespace(
            site=site,
            folder=folder,
            buffer_path=buffer.path,
            market=SimpleNamespace(slot=SLOT_S),
            assets=(),
            destinations={},
        ),
    )
    opening = Opening(
        name="fleet",
        site=settings,
        buffer=buffer,
        now=time.time,
        trusted=lambda: True,
        jitter=random.random,
    )
    broker = fleet_mqtt.Settings(host="127.0.0.1", port=port, tls=False, spread=cast(Any, 0.1))
    return fleet_mqtt.open(broker, opening)


async def _live(
    folder: Path, site: str, port: int, first_s: int, slots: int, every_s: float
) -> None:
    folder.mkdir(exist_ok=True)
    buffer = open_buffer(folder / "buffer.sqlite", SMALL, now_s=time.time())
    delivery = a_delivery(buffer, site, port, folder)
    delivering = asyncio.create_task(delivery.run())
    newest_s = buffer.tables.asset_slots.newest_s()
    next_s = first_s if newest_s is None else newest_s + SLOT_S
    while next_s < first_s + slots * SLOT_S:
        close(buffer, site, next_s)
        delivery.wake()
        next_s += SLOT_S
        await asyncio.sleep(every_s)
    await delivering


def main() -> None:
    """Until it is killed."""
    shipping.RESEND_S = RESEND_S
    folder, site, port, first_s, slots, every_s = sys.argv[1:]
    asyncio.run(_live(Path(folder), site, int(port), int(first_s), int(slots), float(every_s)))


if __name__ == "__main__":
    main()
