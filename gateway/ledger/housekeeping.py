"""Everything that the ledger and the buffer need done in time: one task of the daemon.

Slots are committed soon after they close, samples are flushed now and then, older ones are caught
up with, and the buffer is pruned and looked through. Where the disk refuses, that is said once, and
tried again.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from math import inf

from drivers.sample import Sample
from gateway.ledger.ledger import Committed, Ledger
from gateway.store.buffer import Buffer
from gateway.store.errors import Misfit
from gateway.store.health import StoreHealth
from gateway.timing.clock import Clock

log = logging.getLogger(__name__)

PRUNE_S = 3600
"""Time between two prunings of the buffer."""

GATHER_S = 0.5
"""Time from the first meter that closes a slot to the commit: the others on lines of their own
close theirs within it, and each commit wears the card.
"""


RETRY_S = 1.0
"""Time between two tries to write where not the disk but another program keeps us from it."""

LEAST_WAIT_S = 1.0
"""Slots of silent meters are closed so late, at least, also where the disk could not be read."""

MOST_REST_S = 1.0
"""Between two portions that are learned for forecasts."""

HOPELESS = 3
"""After so many writes in a row that failed through nobody's fault the daemon ends: begun anew, it
looks at the file as it is.
"""


class Housekeeping:
    """Takes the samples of all meters for the ledger, and has it do what is due."""

    def __init__(
        self,
        ledger: Ledger,
        buffer: Buffer,
        health: StoreHealth,
        clock: Clock,
        *,
        flush_s: float,
        on_committed: Callable[[Committed], None],
    ) -> None:
        """`flush_s`: longest time that a sample waits to be written. `on_committed` is called
        whenever something was written.
        """
        self._ledger = ledger
        self._buffer = buffer
        self._health = health
        self._clock = clock
        self._flush_s = flush_s
        self._on_committed = on_committed
        self._closed = asyncio.Event()
        self._learns = asyncio.Event()
        self._learns.set()
        self._looks_back = asyncio.Event()
        self._behind = asyncio.Event()
        self._behind.set()
        self._flushed_s = 0.0
        self.turned_s: float | None = None
        """When it last looked what is due (event loop time)."""

    @property
    def longest_turn_s(self) -> float:
        """It never rests for longer."""
        return self._flush_s

    def take(self, sample: Sample) -> None:
        """One more sample; whatever it closes is committed within a moment."""
        if self._health.ask(lambda: self._ledger.take(sample), otherwise=False):
            self._closed.set()
        if self._ledger.looks_back:
            self._looks_back.set()
        if sample.utc_ms is not None and not self._ledger.caught_up:
            self._behind.set()

    async def run(self) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._catch_up())
            group.create_task(self._commit())
            group.create_task(self._keep())
            group.create_task(self._look_back())
            group.create_task(self._learn())
            group.create_task(self._foresee())

    def finish(self) -> None:
        """Write what waits, and close the file. Where that cannot be, say what is lost by it."""
        self._ledger.checkpoint()
        if self._health.misfits:
            written = self._health.does(self._buffer.rescue, writes=False)
            self._buffer.abandon()
        else:
            written = self._health.does(self._buffer.close_file)
        if not written and (lost := self._buffer.unwritten):
            log.error(
                "%s: stopped, and lost with that what could not be written: %s. What flowed "
                "meanwhile is still in the meters' registers: the next start estimates these "
                "slots, or states their energy as unallocated. %s",
                self._buffer.path,
                lost,
                self._health.last_error,
            )

    async def _catch_up(self) -> None:
        """Fold what the buffer holds and the ledger has not seen, after a start and once the clock
        is trusted: a portion at a time, since it may be weeks, and meters are read meanwhile. Where
        the disk refuses, the next sample has it tried again.
        """
        while True:
            await self._behind.wait()
            behind = not self._ledger.caught_up
            if self._health.ask(self._ledger.catch_up, otherwise=False):
                await asyncio.sleep(0)
                continue

            self._behind.clear()
            if behind and self._ledger.caught_up:
                self._on_committed(Committed())
            if self._ledger.looks_back:
                self._looks_back.set()
            self._learns.set()

    async def _learn(self) -> None:
        """Learn for forecasts what the buffer holds and they have not seen: a portion at a time,
        and resting for as long as each took, since it may be months.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._learns.wait()
            began_s = loop.time()
            if self._health.ask(self._ledger.learn_some, otherwise=False):
                await asyncio.sleep(min(loop.time() - began_s, MOST_REST_S))
            else:
                self._learns.clear()
            if self._ledger.owes_uncommitted:
                self._closed.set()

    async def _foresee(self) -> None:
        """Shortly before the next slot's forecasts must be there, forecast them once more: most of
        the slot that runs is known by then.
        """
        forecasting = self._ledger.forecasting
        while forecasting.forecasters:
            await asyncio.sleep(forecasting.better_in_s(self._clock.now_s()))
            for asset in forecasting.forecasters:
                foresee = partial(self._ledger.foresee_better, asset)
                if self._health.ask(foresee, otherwise=False):
                    self._closed.set()
                await asyncio.sleep(0)

    async def _commit(self) -> None:
        """Meters close a slot one after the other; what they close within a moment is one
        commit.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._closed.wait()
            await asyncio.sleep(GATHER_S)
            self._closed.clear()
            if self._health.does(self._write_closed):
                self._flushed_s = loop.time()
                continue

            self._end_if_hopeless()
            if self._is_tried_again:
                await asyncio.sleep(RETRY_S)
                self._closed.set()

    @property
    def _is_tried_again(self) -> bool:
        """Whether what could not be written is worth another try before the next flush."""
        health = self._health
        return health.locked or health.misfits > 0 or health.old_view is not None

    def _end_if_hopeless(self) -> None:
        """Raises Misfit or OldView."""
        if self._health.old_view is not None:
            raise self._health.old_view
        if self._health.misfits >= HOPELESS:
            raise Misfit(
                f"{self._health.last_error} {HOPELESS} writes in a row failed so, and the daemon "
                "ends, to look at the file anew when it is started again"
            )

    def _write_closed(self) -> None:
        self._on_committed(self._ledger.commit())

    async def _look_back(self) -> None:
        """Close slots whose time to be looked back at is over, where no meter speaks."""
        while True:
            while (wait_s := self._ledger.due_in_s()) is not None:
                await asyncio.sleep(max(wait_s, LEAST_WAIT_S))
                if self._health.ask(self._ledger.close_overdue, otherwise=False):
                    self._closed.set()
            self._looks_back.clear()
            await self._looks_back.wait()

    async def _keep(self) -> None:
        """Flush in time, look through the file a little, and prune now and then."""
        loop = asyncio.get_running_loop()
        pruned_s = -inf
        self._flushed_s = loop.time()
        while True:
            flushed_s = self._flushed_s
            await asyncio.sleep(flushed_s + self._flush_s - loop.time())
            self.turned_s = loop.time()

            # A commit writes all that waits: after one, the next flush is due that much later.
            if self._flushed_s == flushed_s:
                self._flushed_s = self.turned_s
                if self._health.does(self._ledger.flush):
                    self._on_committed(Committed())
                elif self._is_tried_again:
                    self._closed.set()

            self._health.does(self._buffer.check_some, writes=False)
            if not self._ledger.caught_up:
                self._behind.set()  # also where no meter has anything to say
            self._health.does(self._ledger.look_elsewhere, writes=False)
            if self._ledger.is_learning:
                self._learns.set()

            if self.turned_s - pruned_s >= PRUNE_S:
                pruned_s = self.turned_s
                self._ledger.checkpoint()
                self._health.does(self._prune)

    def _prune(self) -> None:
        self._buffer.prune(self._clock.now_s() if self._ledger.caught_up else None)
