"""The daemon as a process: started, killed, cut off from power, and started again as systemd does.

The gateway is the product's own, built by `app.Gateway`; its process is a task of the virtual loop.
"""

import asyncio
import gc
import signal
import traceback
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace

from gateway.app import Gateway
from gateway.store.errors import StoreError
from tests.simulation.disk import Disk
from tests.simulation.network import Network, Outage
from tests.simulation.other_programs import OtherPrograms
from tests.simulation.virtual_time import VirtualLoop

RESTART_S = 5.0
"""RestartSec of the unit: so long after it died the daemon is started again."""
MAX_CRASHES = 5
"""After so many it is not started again: the run is lost anyway."""


@dataclass(slots=True)
class Process:
    """One daemon, over all its lives."""

    loop: VirtualLoop
    disk: Disk
    others: OtherPrograms
    network: Network
    """Of the newest life."""
    make: Callable[[Network], Gateway]
    """Builds a gateway that sends through this network. Raises StoreError."""
    starts: int = 0
    crashes: list[str] = field(default_factory=list)
    """The last lines of the tracebacks it ended with."""
    power_off: bool = False
    _start_at_s: float = 0.0
    _task: asyncio.Task[None] | None = None
    _outage: Outage = ""
    _after_death: Callable[[], None] | None = None

    async def live(self) -> None:
        """Start it, and start it again whenever it ends. Runs until it is cancelled."""
        while True:
            while (wait_s := self._start_at_s - self.loop.time()) > 0:
                await asyncio.sleep(min(wait_s, RESTART_S))  # it may be started before
            await self._run_once()
            self._start_at_s = max(self._start_at_s, self.loop.time() + RESTART_S)

    async def _run_once(self) -> None:
        self.starts += 1
        self.network = replace(self.network, outage=self._outage, severed=False, pipes={})
        try:
            gateway = self.others.page = self.make(self.network)
            self._task = self.loop.create_task(gateway.run())
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                self._note_crash(error)
        except StoreError:
            pass  # the daemon said so and ended; systemd starts it again
        finally:
            if self._task is not None and not self._task.done():
                self._task.cancel()
            self._task = None
            self.others.page = gateway = None  # type: ignore[assignment]  # what the dead process held must not outlive it
            gc.collect()
            if self._after_death is not None:
                self._after_death()
                self._after_death = None
            self.disk.revive()
            self.others.move_on()

    def _note_crash(self, error: BaseException) -> None:
        self.crashes.append("".join(traceback.format_exception(error)[-12:]))
        if len(self.crashes) >= MAX_CRASHES:
            self._start_at_s = float("inf")

    @property
    def acknowledged(self) -> Set[int]:
        """Of the exchange's bookings, by their number: those that the gateway was told of."""
        return self.network.acknowledged

    @property
    def is_running(self) -> bool:
        """Whether it is alive: neither dead nor about to die."""
        return self._task is not None and not self._task.done() and not self.disk.off

    def start_now(self) -> None:
        """Somebody does not wait until it is started again."""
        self._start_at_s = min(self._start_at_s, self.loop.time())

    async def stop(self) -> None:
        """Stop it for good, as `systemctl stop` does."""
        self.loop.deliver(signal.SIGTERM)
        self._start_at_s = float("inf")
        if self._task is not None:
            await asyncio.wait([self._task], timeout=120)

    def restart(self, after_s: float) -> None:
        """As `systemctl restart` does."""
        self._start_at_s = self.loop.time() + max(after_s, 0.1)
        self.loop.deliver(signal.SIGTERM)

    def die(self, off_s: float, then: Callable[[], None] | None = None) -> None:
        """It is gone at this instant; `then` happens before it is started again."""
        self._start_at_s = self.loop.time() + max(off_s, RESTART_S)
        if self._task is None:
            if then is not None:
                then()
            return
        self.sever()
        self._after_death = then
        self.disk.kill()
        self.loop.call_soon(self._task.cancel)

    def sever(self) -> None:
        """Nothing that it sends leaves the box any more."""
        self.network.sever()

    def set_outage(self, outage: Outage) -> None:
        """What is wrong with the way to the exchange, from now on."""
        self._outage = outage
        self.network.suffer(outage)
