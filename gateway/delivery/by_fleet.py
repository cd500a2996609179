"""The exchange where a fleet delivers to it: nothing is sent from here, and no session opened, but
for what this gateway still owed itself when the fleet took over. Shell.

What is owed are rows of the outbox as ever. They are `sent` once the fleet has stored them, and
what the exchange says of them comes by way of the fleet (`handover.py`).
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from gateway.delivery.handover import Handover
from gateway.delivery.uploader import Uploader
from gateway.monitoring.report import DestinationReport
from gateway.outbox.format import Terms
from gateway.store.destination_outbox import DestinationOutbox
from gateway.store.errors import StoreError
from gateway.store.handed_over import HandedOver
from gateway.timing.utc import utc_seconds

_log = logging.getLogger(__name__)

LOOK_S = 30.0
OWN_LOOK_S = 5.0
"""The same while something is delivered from here."""
_PATIENCE_SLOTS = 4
"""A slot whose verdict is not there after so many more is told of."""


class ByFleet:
    """One exchange's task. `open_own` makes what delivers from here, if there is a login; `now` is
    Unix time, and `trusted` says whether it is believed.
    """

    def __init__(
        self,
        terms: Terms,
        outbox: DestinationOutbox,
        handed: HandedOver,
        handover: Handover,
        open_own: Callable[[], Uploader] | None,
        *,
        dialect: str,
        url: str,
        now: Callable[[], float],
        trusted: Callable[[], bool],
    ) -> None:
        self._terms = terms
        self._outbox = outbox
        self._handed = handed
        self._handover = handover
        self._open_own = open_own
        self._dialect = dialect
        self._url = url
        self._now = now
        self._trusted = trusted
        self._own: Uploader | None = None
        self._news = asyncio.Event()
        self._turned_s: float | None = None

    @property
    def name(self) -> str:
        """The destination's, in the configuration."""
        return self._terms.destination

    @property
    def terms(self) -> Terms:
        """What the ledger must know of it."""
        return self._terms

    @property
    def turned_s(self) -> float | None:
        """When `run` last went round, by the loop's clock."""
        return self._own.turned_s if self._own else self._turned_s

    @property
    def longest_turn_s(self) -> float:
        """How long `run` may take to go round once."""
        return max(2 * LOOK_S, self._own.longest_turn_s if self._own else 0.0)

    def wake(self) -> None:
        """Something was closed."""
        self._news.set()
        if self._own:
            self._own.wake()

    async def run(self) -> None:
        """Look after what is owed, until cancelled."""
        while True:
            self._turned_s = asyncio.get_running_loop().time()
            journal = self._handover.journal
            try:
                if self._trusted():
                    journal.missed(self._outbox.expire(self._now(), "the fleet has not stored it"))
                    if self._owes_itself:
                        await self._deliver_own()
            except StoreError as error:
                journal.failed("StoreError", f"the buffer cannot be used: {error}", self._now())
            await self._sleep(LOOK_S)

    @property
    def _owes_itself(self) -> bool:
        """Whether something is to go from here. Raises StoreError."""
        return not self._handed.is_all

    async def _deliver_own(self) -> None:
        """What was owed before the fleet took over goes from here. Raises StoreError."""
        if self._open_own is None:
            why = (
                "numbers of before the fleet took over are owed by this gateway itself, and "
                "exchange: names no credentials; name them until these are delivered, or give them "
                "up: meter-gateway outbox give-up --until …"
            )
            self._handover.journal.failed("no login", why, self._now())
            return
        _log.info("the exchange: what was owed before the fleet took over goes from here")
        self._own = self._open_own()
        task = asyncio.create_task(self._own.run())
        try:
            while self._owes_itself and not task.done():
                await asyncio.wait([task], timeout=OWN_LOOK_S)
            if task.done():
                await task  # it runs for ever, so it has an error to tell
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._own = None
        _log.info("the exchange: all of that is settled; from now on the fleet speaks to it")

    async def _sleep(self, seconds: float) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def aclose(self) -> None:
        """Nothing is open once `run` has ended."""

    def snapshot(self, now_s: float) -> DestinationReport:
        """How it goes. Raises StoreError."""
        if self._own:
            return self._own.snapshot(now_s)
        backlog = self._outbox.backlog()
        counts = self._handover.journal.counts
        oldest_s = backlog.oldest_slot_s
        patience_s = (1 + _PATIENCE_SLOTS) * self._handover.slot_s
        is_silent = oldest_s is not None and now_s - oldest_s > patience_s
        why = counts.last_error
        if is_silent and oldest_s is not None:
            why = (
                "the fleet has said nothing yet of what the exchange made of the slot at "
                f"{utc_seconds(oldest_s)}; {counts.last_error}".rstrip("; ")
            )
        return DestinationReport(
            name=self.name,
            state="no verdicts" if is_silent else "by the fleet",
            asleep="" if is_silent else "the fleet delivers",
            last_success_s=counts.last_success_s,
            max_age_s=0.0,
            errors=counts.errors + is_silent,
            last_error=why,
            last_error_s=counts.last_error_s,
            greets=False,
            url=self._url,
            dialect=self._dialect,
            backlog=backlog.count,
            oldest_undelivered_s=oldest_s,
            next_deadline_s=backlog.next_closes_s,
            sent=backlog.sent,
            accepted=counts.accepted,
            rejected=counts.rejected,
            missed=counts.missed,
            refuses=dict(counts.refuses),
            verdicts="by the fleet",
        )
