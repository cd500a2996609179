"""The ledger: dated samples in, closed slots and what is owed for them out, in one transaction.

It runs the pure folds over the samples and keeps their results in the buffer; after a restart it
runs them again over what the buffer holds, and comes to the same numbers.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from drivers.sample import Sample
from gateway.energy.cross_check import CrossChecks
from gateway.energy.slot import MeterState, Slot
from gateway.ledger.backlog import Backlog
from gateway.ledger.beliefs import Beliefs
from gateway.ledger.books import Books
from gateway.ledger.forecasting import Forecasting
from gateway.ledger.meter_clocks import MeterClocks
from gateway.ledger.set_back import SetBack
from gateway.outbox.format import Terms
from gateway.outbox.owed import Owed
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer
from gateway.timing.clock import Clock


class Committed(msgspec.Struct, frozen=True):
    """What has been written in one commit."""

    slots: Sequence[Slot] = ()
    owed: Sequence[Owed] = ()


class Ledger:
    """Keeps the books of one site. Give it every sample with `take`.

    While it has not `caught_up` with what the buffer holds, samples only wait there: have it
    `catch_up`. Once something was closed, have it `commit`, soon.
    """

    def __init__(
        self, settings: Settings, buffer: Buffer, clock: Clock, terms: Sequence[Terms]
    ) -> None:
        """`terms`: of every destination that is owed something."""
        self._buffer = buffer
        self._books = Books(settings, buffer, clock, terms)
        self._backlog = Backlog(self._books, buffer, clock, settings.market.max_gap)
        self._meter_clocks = MeterClocks()
        self._set_back = SetBack(buffer, clock, int(settings.market.slot))
        self._uncommitted: tuple[list[Slot], list[Owed]] = [], []

    # --- samples ----------------------------------------------------------------------------------

    def take(self, sample: Sample) -> bool:
        """One more sample; returns whether it closed something, which waits for `commit`. Raises
        StoreError where the disk cannot be read; the sample waits in the buffer then.
        """
        number = self._buffer.add(sample)
        if sample.utc_ms is None:
            return False

        if event := self._meter_clocks.look(sample):
            self._buffer.note(event)
        if not self.caught_up:
            return False

        closed = self._books.fold(number, sample)
        if closed is None:
            return False
        self._add(*closed)
        return True

    def close_overdue(self) -> bool:
        """Close the slots that have been looked back at for long enough; returns whether there were
        some, which wait for `commit`. Raises StoreError.
        """
        if not self.caught_up:
            return False
        is_closed = False
        for closed in self._books.close_overdue():
            self._add(*closed)
            is_closed = True
        return is_closed

    @property
    def looks_back(self) -> bool:
        """Whether a slot has ended that `close_overdue` may have to close."""
        return self.caught_up and self._books.looks_back

    def due_in_s(self) -> float | None:
        """How long it is until `close_overdue` has something to close; None: there is nothing."""
        return self._books.due_in_s() if self.caught_up else None

    def _add(self, slots: Sequence[Slot], owed: Sequence[Owed]) -> None:
        self._uncommitted[0].extend(slots)
        self._uncommitted[1].extend(owed)

    def commit(self) -> Committed:
        """Write what was closed, and say what that is. Raises StoreError; it waits in the buffer
        then, and is in what the next commit says.
        """
        self.flush()
        if self.caught_up:
            self._set_back.look()
        slots, owed = self._uncommitted
        self._uncommitted = [], []
        return Committed(slots, owed)

    def flush(self) -> bool:
        """Write all that waits; returns whether there was something. Raises StoreError."""
        wrote = self._buffer.flush()
        if self._buffer.database.access.take_begun_anew():
            self._uncommitted = [], []
            self._backlog.begin_anew()
            self._books.forecasting.begin_anew()
        return wrote

    # --- what it has not seen ---------------------------------------------------------------------

    @property
    def caught_up(self) -> bool:
        """Whether every sample that the buffer holds has been through its fold."""
        return self._backlog.folded

    def catch_up(self) -> bool:
        """Do a portion of what is left to fold; returns whether there is more to do. Samples may be
        taken in between. Raises StoreError; it begins again then, when called.
        """
        if not self.caught_up and self._backlog.is_trusted() and self._books.forecasting.resume():
            return True
        return self._backlog.fold_some()

    def replay(self) -> None:
        """Catch up with everything anew, at once. Raises StoreError, as `catch_up`."""
        self._backlog.begin_anew()
        while self.catch_up() or self.learn_some():
            pass

    def checkpoint(self) -> None:
        """Store every fold as it stands, so that a restart has little to run again. Written with
        the next flush.
        """
        if self.caught_up:  # else there are samples on disk that the folds have not seen
            self._books.store_states()

    # --- what is expected -------------------------------------------------------------------------

    def learn_some(self) -> bool:
        """Learn a portion of what forecasts have not seen; returns whether there is more to do.
        What is owed for it waits for `commit`. Raises StoreError; it begins again then.
        """
        if not self.caught_up:
            return False
        foreseen = self._books.forecasting.learn_some()
        if foreseen:
            self._add((), self._books.foresee(foreseen))
        return foreseen is not None

    def look_elsewhere(self) -> None:
        """Another process may have written slots anew that were learned here. Raises StoreError."""
        if self.caught_up:
            self._books.forecasting.look_elsewhere()

    @property
    def owes_uncommitted(self) -> bool:
        """Whether something that is owed waits for `commit`."""
        return bool(self._uncommitted[1])

    @property
    def is_learning(self) -> bool:
        """Whether there is something left for `learn_some`."""
        return self.caught_up and self._books.forecasting.is_behind

    def foresee_better(self, asset: UUID) -> bool:
        """Forecast an asset's next slot once more, now that most of the one that runs is known;
        returns whether that is owed, and waits for `commit`. Raises StoreError.
        """
        if not self.caught_up:
            return False
        owed = self._books.foresee_better(asset)
        self._add((), owed)
        return bool(owed)

    @property
    def forecasting(self) -> Forecasting:
        """What is expected of assets' slots, and what has been learned of them."""
        return self._books.forecasting

    # --- what it knows ----------------------------------------------------------------------------

    @property
    def glitches(self) -> Mapping[str, int]:
        """Per meter: findings about its register since start."""
        return self._books.glitches

    @property
    def cross_checks(self) -> CrossChecks:
        """Meters beside other accounts of them."""
        return self._books.cross_checks

    @property
    def beliefs(self) -> Beliefs:
        """What of each meter is not believed at the moment."""
        return self._books.beliefs

    def state_of(self, device: str) -> MeterState | None:
        """The fold of a meter, as of its last sample."""
        return self._books.fold_of(device)
