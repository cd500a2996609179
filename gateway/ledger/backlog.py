"""Samples that the folds have not seen: those from before a restart, and those from before the
clock was trusted. They are dated and folded a portion at a time, and meters are read meanwhile.
"""

import logging
from collections.abc import Iterator
from itertools import islice

from gateway.energy.slot import Event
from gateway.ledger.books import Books
from gateway.store.buffer import Buffer
from gateway.timing.clock import Clock
from gateway.timing.undated_boots import Dating, date_boots
from gateway.timing.utc import utc_seconds

log = logging.getLogger(__name__)

FOLDED_AT_ONCE = 100
"""Samples that are run again before meters have their turn: some 10 ms."""

REPLAY_FLUSH = 1000
"""Samples are run again in portions of this many; what a portion closes is written before the next
is read.
"""


class Backlog:
    """What the books lack of what the buffer holds."""

    def __init__(self, books: Books, buffer: Buffer, clock: Clock, max_gap_s: float) -> None:
        """`max_gap_s`: a boot with more room than this is no help in dating its samples."""
        self._books = books
        self._buffer = buffer
        self._clock = clock
        self._max_slack_ms = round(max_gap_s * 1000)
        self._resumed = False
        self._knows_profiles = False
        self._portions: Iterator[None] | None = None
        self.folded = False
        """Whether the folds have seen every sample."""

    def begin_anew(self) -> None:
        """Have everything looked through again, where the clock is trusted. Raises StoreError."""
        if self.is_trusted():
            self.folded, self._portions = False, None

    def fold_some(self) -> bool:
        """Do a portion; returns whether there is more to do. Samples may be taken in between.
        Raises StoreError; it begins again then, when called.
        """
        if not self._knows_profiles:
            self._books.look_at_profiles()
            self._knows_profiles = True
        if self.folded or not self.is_trusted():
            return False

        self._portions = self._portions or self._in_portions()
        try:
            next(self._portions)
        except StopIteration:
            self._portions = None
            return False
        except BaseException:
            self._portions = None
            raise
        return True

    def is_trusted(self) -> bool:
        """Whether the clock is right, be it that an earlier run of the daemon was told so in this
        boot. Raises StoreError.
        """
        if self._clock.trusted:
            return True

        if not self._resumed:
            offset_ms = self._buffer.newest_offset_ms(self._clock.boot_id)
            self._resumed = True
            if offset_ms is not None:
                self._clock.resume(offset_ms)
        return self._clock.trusted

    def _in_portions(self) -> Iterator[None]:
        yield from self._date()
        yield from self._fold()

        # A meter that has long been silent would have everything since its last sample read again
        # at the next start.
        self._books.store_states()
        self._buffer.flush()
        self.folded = True

    def _date(self) -> Iterator[None]:
        """Give every sample its UTC. This writes all that waits, so what an earlier try closed is
        in the states that are read next.
        """
        this_boot = self._clock.boot_id, self._clock.utc_minus_boottime_ms()
        undated = self._buffer.undated()
        for dating in date_boots(undated, *this_boot, self._max_slack_ms):
            if dating.inferred:
                text = _text_of(dating)
                log.warning("%s", text)
                self._buffer.note(Event(dating.offset_ms, "", "placed", text))
            yield
            while self._buffer.date_samples(dating):
                yield

    def _fold(self) -> Iterator[None]:
        """Run the samples through the folds that have not seen them."""
        undatable = self._buffer.undatable_boots()
        seen = self._books.load()
        after = min(seen.values(), default=self._buffer.last_number)
        while portion := list(islice(self._buffer.samples(after), REPLAY_FLUSH)):
            for n, (number, sample) in enumerate(portion, 1):
                ours = sample.device in self._books.meters
                new = ours and number > seen.get(sample.device, 0)
                if new and sample.utc_ms is not None and sample.boot_id not in undatable:
                    self._books.fold(number, sample)
                if n % FOLDED_AT_ONCE == 0:
                    yield
            after = portion[-1][0]
            yield

            # Also writes what was taken meanwhile: that is read next.
            self._buffer.flush()


def _text_of(dating: Dating) -> str:
    """Which times samples are given that no clock has dated."""
    until = utc_seconds(dating.until_ms / 1000)
    if dating.slack_ms is None:
        where = f"somewhere before {until}"
    else:
        where = f"somewhere between {utc_seconds(dating.floor_ms / 1000)} and {until}"

    room = ""
    if dating.slack_ms is not None:
        room = f", {max(dating.slack_ms, 0) / 60_000:.0f} min more than they take"
        if dating.slack_ms < 0:
            room = ", less than they take: one of the clocks was wrong"

    fate = "their slots are estimated"
    if dating.undatable:
        fate = (
            "no slot is made of them, since that is more room than the longest gap whose energy "
            "may be booked (market.max_gap)"
        )

    boot = dating.boot_id[:8]
    return (
        f"the clock was never right in boot {boot}: its samples belong {where}{room}; "
        f"they are placed from {utc_seconds(dating.offset_ms / 1000)} on, and {fate}"
    )
