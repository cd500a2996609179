"""The ledger: dated samples in, closed slots and what is owed for them out, in one transaction.

It runs the pure folds (`slots`, `assets`, `forecast`) over the samples and keeps their results in
the buffer; after a restart it runs them again over what the buffer holds, and comes to the same
numbers.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from drivers.sample import Sample
from gateway.energy.assets import Direction
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.cross_check import CrossChecks
from gateway.energy.fold import advance
from gateway.energy.register import Rules
from gateway.energy.slot import (
    DIRECTIONS,
    KNOWN,
    Event,
    MeterRules,
    MeterState,
    Slot,
    Unallocated,
)
from gateway.ledger.deliverables import Owing, key
from gateway.outbox.dialect import Dialect
from gateway.outbox.owed import Owed
from gateway.site.devices import Device
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer
from gateway.store.rows import Closing
from gateway.timing import undated_boots as placing
from gateway.timing.clock import Clock
from gateway.timing.undated_boots import Place

log = logging.getLogger(__name__)

STALE_INTERVALS = 3
"""Samples further apart than this many intervals leave a gap."""

METER_CLOCK_OFF_S = 60.0
"""A meter's own clock that is further from ours is worth a word."""

FOLDED_AT_ONCE = 100
"""Samples that are run again before meters have their turn: some 10 ms."""

REPLAY_FLUSH = 1000
"""Samples are run again in portions of this many; what a portion closes is written before the next
is read.
"""


def meter_rules(device: Device, settings: Settings) -> MeterRules:
    """What the fold must know of a meter."""
    registers: dict[Direction, Rules] = {}
    for direction in DIRECTIONS:
        shown = {"import": "export", "export": "import"}[direction] if device.invert else direction
        register = device.profile.energy.get(f"energy_{shown}_wh")
        if register is not None:
            registers[direction] = Rules(
                resolution_uwh=round(register.resolution_wh * UWH_PER_WH),
                modulus_uwh=round(register.modulus_wh * UWH_PER_WH),
                float32=register.float32,
                max_power_w=device.max_power_w,
            )
    return MeterRules(
        device=device.name,
        registers=registers,
        slot_ms=settings.market.slot * 1000,
        stale_ms=round(device.interval_s * STALE_INTERVALS * 1000),
        max_gap_ms=round(settings.market.max_gap * 1000),
        invert=device.invert,
        clock=settings.clock.trust,
    )


def _span(seconds: float) -> str:
    """A length of time in words."""
    for length_s, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{seconds:.0f} s"


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _clash(left: Unallocated) -> Event:
    text = (
        f"{left.direction}: the slot at {_utc(left.from_ms)} is there already; "
        f"{left.energy_uwh / UWH_PER_WH:.3f} Wh unallocated"
    )
    return Event(left.to_ms, left.device, "clash", text, left.energy_uwh)


def _clashing(slot: Slot) -> Unallocated:
    """The energy of a slot whose place is taken."""
    span = slot.start_s * 1000, (slot.start_s + slot.length_s) * 1000, slot.begin_uwh, slot.end_uwh
    return Unallocated(slot.device, slot.serial_number, slot.direction, "clash", *span)


def _nobody(slots: Sequence[Slot], owed: Sequence[Owed]) -> None:
    """Nobody wants to know."""


class Ledger:
    """Keeps the books of one site. Give it every sample with `take`; it calls `closed` after slots
    have been committed.
    """

    def __init__(
        self, settings: Settings, buffer: Buffer, clock: Clock, dialect: Dialect | None
    ) -> None:
        self._settings = settings
        self._buffer = buffer
        self._clock = clock
        self._owing = Owing(settings, buffer, dialect, clock.now_s)
        self._rules = {device.name: meter_rules(device, settings) for device in settings.devices}
        self._states: dict[str, tuple[int, MeterState]] = {}
        self._dated = False
        self._resumed = False
        self._replaying: Iterator[None] | None = None
        self.behind: Callable[[], None] | None = None
        """Is called with each sample while there are older ones that the fold has not seen, and has
        `catch_up` called until they are. None: at once.
        """
        self._wrong_clocks: set[str] = set()
        """Meters of whose clocks that has been said."""
        self.glitches: dict[str, int] = dict.fromkeys(self._rules, 0)
        """Per meter: findings about its register since start."""
        self.cross_checks = CrossChecks(
            {d.name: d.check_against for d in settings.devices if d.check_against}
        )
        self.closed: Callable[[Sequence[Slot], Sequence[Owed]], None] = _nobody
        self.gather: Callable[[], None] | None = None
        """Is called when something was closed, and has `settle` called a little later: meters close
        a slot one after the other, and each commit wears the card. None: settle at once.
        """
        self._unsettled: tuple[list[Slot], list[Owed]] = [], []

    def replay(self) -> None:
        """Run the fold over the samples in the buffer that it has not seen yet. Raises StoreError;
        it begins again then, when called.
        """
        if self._trusted():
            self._dated, self._replaying = False, None
        while self.catch_up():
            pass

    def catch_up(self) -> bool:
        """Do a portion of a replay; returns whether there is more to do. Samples may be taken in
        between. Raises StoreError as `replay`.
        """
        if self._dated or not self._trusted():
            return False
        self._replaying = self._replaying or self._replay()
        try:
            next(self._replaying)
        except StopIteration:
            self._replaying = None
            return False
        except BaseException:
            self._replaying = None
            raise
        return True

    @property
    def caught_up(self) -> bool:
        """Whether the fold has seen every sample."""
        return self._dated

    def _trusted(self) -> bool:
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

    def _replay(self) -> Iterator[None]:
        """One portion of a replay after the other."""
        # This writes all that waits, so what an earlier try closed is in the states that are read
        # next.
        max_slack_ms = round(self._settings.market.max_gap * 1000)
        this_boot = self._clock.boot_id, self._clock.utc_minus_boottime_ms()
        for place in placing.place(self._buffer.undated(), *this_boot, max_slack_ms):
            self._tell_of(place)
            yield
            while self._buffer.date_samples(place):
                yield
        loose = self._buffer.undatable_boots()
        stored = self._buffer.counters()
        self._states = {device: stored[device] for device in self._rules if device in stored}
        # A meter that has never been heard of has no samples: it must not make all the others' be
        # read from the first on.
        heard = self._buffer.devices() | self._states.keys()
        seen = {
            device: self._states[device][0] if device in self._states else 0
            for device in self._rules
            if device in heard
        }
        after = min(seen.values(), default=self._buffer.last_number)
        while portion := list(islice(self._buffer.samples(after), REPLAY_FLUSH)):
            for n, (number, sample) in enumerate(portion, 1):
                fresh = sample.device in self._rules and number > seen.get(sample.device, 0)
                if fresh and sample.utc_ms is not None and sample.boot_id not in loose:
                    self._fold(number, sample)
                if n % FOLDED_AT_ONCE == 0:
                    yield
            after = portion[-1][0]
            yield
            # Also writes what was taken meanwhile: that is read next.
            self._buffer.flush()
        # A meter that has long been silent would have everything since its last sample read again
        # at the next start.
        self._store_states()
        self._buffer.flush()
        self._dated = True
        self.closed((), ())

    def _tell_of(self, place: Place) -> None:
        """Say where samples are put that no clock has dated. Written with the first of them."""
        if not place.placed:
            return
        words = (
            "somewhere before"
            if place.slack_ms is None
            else f"somewhere between {_utc(place.floor_ms)} and"
        )
        room = (
            ""
            if place.slack_ms is None
            else f", {max(place.slack_ms, 0) / 60_000:.0f} min more than they take"
        )
        if place.slack_ms is not None and place.slack_ms < 0:
            room = ", less than they take: one of the clocks was wrong"
        fate = "their slots are estimated"
        if place.loose:
            fate = (
                "no slot is made of them, since that is more room than the longest gap whose "
                "energy may be placed (market.max_gap)"
            )
        text = (
            f"the clock was never right in boot {place.boot_id[:8]}: its samples belong {words} "
            f"{_utc(place.until_ms)}{room}; "
            f"they are placed from {_utc(place.offset_ms)} on, and {fate}"
        )
        log.warning("%s", text)
        self._buffer.note(Event(place.offset_ms, "", "placed", text))

    def take(self, sample: Sample) -> None:
        """One more sample. Raises StoreError where the disk refuses what it closed; it waits in the
        buffer then.
        """
        number = self._buffer.add(sample)
        if sample.utc_ms is None:
            return
        self._look_at_meters_clock(sample)
        if not self._dated:
            if self.behind:
                self.behind()
            else:
                self.replay()
        elif closed := self._fold(number, sample):
            self._unsettled[0].extend(closed[0])
            self._unsettled[1].extend(closed[1])
            if self.gather:
                self.gather()
            else:
                self.settle()

    def _look_at_meters_clock(self, sample: Sample) -> None:
        """Say once where a meter's own clock is far from ours, and once when it is right again."""
        off_s = sample.meter_clock_offset_s
        if off_s is None:
            return
        if abs(off_s) > METER_CLOCK_OFF_S and sample.device not in self._wrong_clocks:
            self._wrong_clocks.add(sample.device)
            off = f"{_span(abs(off_s))} {'ahead of' if off_s > 0 else 'behind'} ours"
            text = (
                f"the meter's own clock is {off}; readings are dated by ours, so no slot is "
                "wrong by it. If several meters "
                "say so, check this machine's time (timedatectl); else tell the network "
                "operator: tariffs, the quarter-hour's demand and "
                "gas go by the meter's"
            )
            log.warning("%s: %s", sample.device, text)
            self._buffer.note(Event(sample.utc_ms or 0, sample.device, "meter clock", text))
        elif abs(off_s) < METER_CLOCK_OFF_S / 2 and sample.device in self._wrong_clocks:
            self._wrong_clocks.discard(sample.device)
            log.info("%s: the meter's own clock is right again", sample.device)

    def settle(self) -> None:
        """Write what was closed, and tell. Raises StoreError; it waits in the buffer then, and is
        told with what is closed next.
        """
        self._buffer.flush()
        slots, owed = self._unsettled
        self._unsettled = [], []
        self.closed(slots, owed)

    def checkpoint(self) -> None:
        """Store every fold as it stands, so that a restart has little to run again. Written with
        the next flush.
        """
        if self._dated:  # else there are samples on disk that the folds have not seen
            self._store_states()

    def _store_states(self) -> None:
        for device, (_, state) in self._states.items():
            number = self._buffer.last_number
            self._states[device] = number, state
            self._buffer.close(Closing(device, number, state, (), (), ()))

    def _fold(self, number: int, sample: Sample) -> tuple[Sequence[Slot], Sequence[Owed]] | None:
        """Returns what was closed, if something was. Raises StoreError, and has done nothing
        then.
        """
        before = self._states.get(sample.device)
        step = advance(before[1] if before else None, sample, self._rules[sample.device])
        # Asked before the state moves on: where the disk cannot be read, the slot closes with the
        # next sample.
        slots, clashes = self._booked(step.slots)
        slots += [slot for slot in step.provisional if self._there(slot) is None]
        owed = list(self._owing.of(slots))
        self._states[sample.device] = number, step.state
        self.cross_checks.look(sample, step.state, invert=self._rules[sample.device].invert)
        self.cross_checks.closed(slots)
        if before and not step.slots and not step.events and not step.provisional:
            return None
        events = (*step.events, *map(_clash, clashes))
        for event in events:
            self.glitches[event.device] += event.kind in ("glitch", "rollover", "reset", "jump")
            log.warning("%s: %s: %s", event.device, event.kind, event.text)
        left = (*step.unallocated, *clashes)
        self._buffer.close(
            Closing(sample.device, number, step.state, tuple(slots), tuple(owed), events, left)
        )
        return (slots, owed) if slots or events else None

    def _booked(self, slots: Iterable[Slot]) -> tuple[list[Slot], list[Unallocated]]:
        """The slots that have a place in the books, and the energy of those whose place is taken.
        Raises StoreError.

        Where the clock was set back, or the slots' length was changed, a slot may come a second
        time. What is closed stays: the new one's energy is unallocated. Only what is provisional,
        or what nothing was known of, is written anew, and a slot by its own revision: that is the
        one which begins at the same stand of the counter.
        """
        booked: list[Slot] = []
        left: list[Unallocated] = []
        for slot in slots:
            there = self._there(slot)
            if there != slot and self._taken(slot):
                left.append(_clashing(slot))
            elif there is None or there == slot:
                booked.append(slot)
            elif slot.energy_uwh is None:
                if there.method == "power":
                    booked.append(slot)
            elif there.energy_uwh is None and there.length_s == slot.length_s:
                booked.append(replace(slot, revision=max(slot.revision, there.revision + 1)))
            elif (
                slot.begin_uwh >= there.end_uwh
                and there.method != "power"
                and (
                    there.energy_uwh
                    or there.quality != "partial"
                    or slot.revision <= there.revision
                )
            ):
                if slot.energy_uwh:
                    left.append(_clashing(slot))
            elif slot.revision > there.revision:
                booked.append(slot)
            # Otherwise it is the same energy again: these samples have been through the fold
            # before.
        return booked, left

    def _taken(self, slot: Slot) -> bool:
        """Whether another series of the meter has all of that time: the clock was set back, and the
        meter replaced, in between.
        """
        if slot.quality not in KNOWN:
            return False
        others = (
            other
            for other in self._buffer.slots_at(slot.start_s)
            if key(other)[:2] == key(slot)[:2] and key(other) != key(slot)
        )
        return any(other.quality in KNOWN for other in others)

    def _there(self, slot: Slot) -> Slot | None:
        """What the books have of that very slot already."""
        return next(
            (other for other in self._buffer.slots_at(slot.start_s) if key(other) == key(slot)),
            None,
        )
