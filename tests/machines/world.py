"""What a booted box finds around it: two meters and an exchange, on this machine's loopback."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from drivers.profile import load_profile
from drivers.simulated.meters import modbus_tcp
from drivers.simulated.one_meter import Load, twin_of
from gateway.delivery.simulated.community import AREA, Community, Node
from gateway.delivery.simulated.http_server import StandInExchange

NETWORK = UUID("8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10")
LOAD = UUID("26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1")
PV = UUID("cf3b262c-1c0e-4d0b-8f0e-6f3f0e4b7a52")
"""As docs/install.md has them."""
SLOT_S = 20


class World:
    """All of it runs in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = contextlib.AsyncExitStack()

    def __enter__(self) -> "World":
        self._thread.start()
        self._do(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _begin(self) -> None:
        grid = twin_of(load_profile("eastron/sdm630"), Load(1200, time.time(), 3), time.time)
        self.port = await self._stack.enter_async_context(modbus_tcp({1: grid}))
        panels = twin_of(load_profile("eastron/sdm120"), Load(-900, time.time(), 1), time.time)
        self.pv_port = await self._stack.enter_async_context(modbus_tcp({2: panels}))
        assets = [Node(LOAD, "House load"), Node(PV, "PV", "PV")]
        house = Node(NETWORK, "Grid", AREA, children=assets)
        self.exchange = await self._stack.enter_async_context(
            StandInExchange(NETWORK, Community(house), slot_s=SLOT_S)
        )

    def go_down(self) -> None:
        """The exchange takes no connection any more."""
        self._loop.call_soon_threadsafe(self.exchange.mode, "down")

    @property
    def accepted(self) -> dict[int, int]:
        """The energy of each slot of the house that the exchange has taken, in µWh."""
        return dict(self.exchange.books.measurements[LOAD])
