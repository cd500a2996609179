"""The folds of all meters, and what their samples close. One sample at a time; what is closed waits
in the buffer until it is flushed.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

import msgspec
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.allocation import with_shares
from gateway.energy.asset_slots import SlotKey, key
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.cross_check import CrossChecks
from gateway.energy.fold import advance
from gateway.energy.overdue import Due, looked_back_at
from gateway.energy.slot import AssetSlot, Event, MeterRules, MeterState, Slot, Step, Unallocated
from gateway.ledger.beliefs import Beliefs
from gateway.ledger.decision import Book, Clash, Revise, Same, decide, write_over
from gateway.ledger.forecasting import Forecasting
from gateway.ledger.rules import rules_of, unchanged
from gateway.ledger.settling import Settling
from gateway.ledger.word import without_confirmed
from gateway.outbox.foreseen import Foreseen
from gateway.outbox.format import Terms
from gateway.outbox.owed import Owed
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer
from gateway.store.rows import Closing
from gateway.timing.clock import Clock
from gateway.timing.utc import utc_seconds

log = logging.getLogger(__name__)

_REGISTER_FINDINGS = ("glitch", "rollover", "reset", "jump")


class _Decided(msgspec.Struct, frozen=True):
    """What a step of a fold writes."""

    slots: tuple[Slot, ...]
    clashes: list[Unallocated]
    asset_slots: tuple[AssetSlot, ...]
    owed: tuple[Owed, ...]


class Books:
    """What has been settled for one site so far, and how each meter's fold stands."""

    def __init__(
        self, settings: Settings, buffer: Buffer, clock: Clock, terms: Sequence[Terms]
    ) -> None:
        """`terms`: of every destination that is owed something."""
        self._buffer = buffer
        self._clock = clock
        self.forecasting = Forecasting(settings, buffer, terms, clock.now_s)
        self._settling = Settling(settings, buffer, terms, self.forecasting)
        self._rules = rules_of(settings, terms)
        self._former_number = buffer.last_number
        """The newest sample that was there at the start: read with the profiles as they were."""
        self._looking_back: set[str] = set()
        """Meters of which a slot has ended, and is not closed."""
        self._closed_by_clock: dict[SlotKey, int] = {}
        """The newest slot of each series that the clock has closed, by its start (Unix time)."""
        self.states: dict[str, tuple[int, MeterState]] = {}
        """Per meter: the number of the sample that its fold stands at, and the fold."""
        self.glitches: dict[str, int] = dict.fromkeys(self._rules, 0)
        """Per meter: findings about its register since start."""
        self.beliefs = Beliefs()
        self.cross_checks = CrossChecks(
            {d.name: d.check_against for d in settings.devices if d.check_against}
        )

    @property
    def meters(self) -> AbstractSet[str]:
        """The site's meters, by name."""
        return self._rules.keys()

    def look_at_profiles(self) -> None:
        """Keep on record, for each meter whose profile reads another register now, up to which
        sample it was the one from before. To be done before samples of now are written. Raises
        StoreError.
        """
        for device, (number, state) in self._stored().items():
            changed = self._with_change(state, self._rules[device])
            if changed is not state:
                self._buffer.close(Closing(device, number, changed, (), (), ()))

    def _stored(self) -> dict[str, tuple[int, MeterState]]:
        stored = self._buffer.counters()
        return {device: stored[device] for device in self._rules if device in stored}

    def _with_change(self, state: MeterState, rules: MeterRules) -> MeterState:
        """The state, with the end of the samples that its profile, or the version, of before has
        read.
        """
        if state.changed_after or not (state.counts_another(rules) or state.is_unsaid):
            return state
        return replace(state, changed_after=self._former_number)

    def load(self) -> dict[str, int]:
        """Begin with the folds as they are stored. Returns, per meter that anything is known of,
        the number of the sample that its fold stands at. Raises StoreError.
        """
        self._closed_by_clock.clear()
        self._looking_back.clear()
        self.states = {}
        for device, (number, state) in self._stored().items():
            self._stands_at(device, number, self._with_change(state, self._rules[device]))

        # A meter that has never been heard of has no samples: it must not make all the others' be
        # read from the first on.
        heard = self._buffer.devices() | self.states.keys()
        return {
            device: self.states[device][0] if device in self.states else 0
            for device in self._rules
            if device in heard
        }

    def store_states(self) -> None:
        """Store every fold as it stands, so that a restart has little to run again. Written with
        the next flush.
        """
        number = self._buffer.last_number
        for device, (_, state) in self.states.items():
            self.states[device] = number, state
            self._buffer.close(Closing(device, number, state, (), (), ()))

    def fold(self, number: int, sample: Sample) -> tuple[Sequence[Slot], Sequence[Owed]] | None:
        """Run a sample through its meter's fold. Returns what was closed, if something was. Raises
        StoreError, and has done nothing then.
        """
        before = self.states.get(sample.device)
        rules = self._rules[sample.device]
        if before and number <= before[1].changed_after:
            rules = unchanged(rules)
        step = advance(before[1] if before else None, sample, rules)
        if before and step.taken_back:
            surely = without_confirmed(self._buffer, sample.device, before[1])
            step = advance(surely, sample, rules)

        # Asked before the state moves on: where the disk cannot be read, the slot closes with the
        # next sample.
        decided = self._decided(step)
        slots = decided.slots

        self._stands_at(sample.device, number, step.state)
        self.beliefs.look(sample, step.state, rules)
        self.cross_checks.look(sample, step.state, invert=rules.invert)
        self.cross_checks.closed(slots)
        if before and step.is_quiet:
            return None
        return self._close(sample.device, number, step, decided)

    def _stands_at(self, device: str, number: int, state: MeterState) -> None:
        """A meter's fold stands there now."""
        self.states[device] = number, state
        if any(each.passed for each in state.directions.values()):
            self._looking_back.add(device)
        else:
            self._looking_back.discard(device)

    @property
    def looks_back(self) -> bool:
        """Whether a slot has ended that may have to be closed by the clock."""
        return bool(self._looking_back)

    def due_in_s(self) -> float | None:
        """How long it is until the clock closes a slot; None where it has none to close."""
        waits_ms = [due.in_ms for device in self._looking_back for due in self._due(device)]
        return min(waits_ms) / 1000 if waits_ms else None

    def close_overdue(self) -> Iterator[tuple[Sequence[Slot], Sequence[Owed]]]:
        """Close what has been looked back at for long enough, although its meter says nothing. Its
        fold stays as it is. Raises StoreError; what is left is closed the next time.
        """
        for device in sorted(self._looking_back):
            due = list(self._due(device))
            slots = tuple(each.slot for each in due if each.in_ms <= 0)
            if slots:
                number, state = self.states[device]
                step = Step(state, slots)
                decided = self._decided(step)
                self._closed_by_clock |= {key(slot): slot.start_s for slot in slots}
                self.cross_checks.closed(decided.slots)
                if (closed := self._close(device, number, step, decided)) is not None:
                    yield closed
            if len(slots) == len(due):
                self._looking_back.discard(device)

    def foresee(self, foreseen: Sequence[Foreseen]) -> Sequence[Owed]:
        """Have what is expected of slots to come written with the next flush. Returns what is owed
        for it. Raises StoreError.
        """
        owed = self._settling.foreseen(foreseen, self._clock.now_s) if foreseen else ()
        if owed and self.states:
            device, (number, state) = next(iter(self.states.items()))
            self._buffer.close(Closing(device, number, state, (), owed, (), keeps_state=False))
            return owed
        return ()

    def foresee_better(self, asset: UUID) -> Sequence[Owed]:
        """The same, of an asset's next slot, now that most of the one that runs is known. Raises
        StoreError.
        """
        return self.foresee(tuple(self.forecasting.better(asset, self.fold_of)))

    def fold_of(self, device: str) -> MeterState | None:
        """The fold of a meter, as of its last sample."""
        found = self.states.get(device)
        return found[1] if found else None

    def _due(self, device: str) -> Iterator[Due]:
        """What the clock has to close of a meter, sooner or later."""
        _, state = self.states[device]
        for due in looked_back_at(state, self._elapsed_ms(state), self._rules[device]):
            if not self._is_closed_by_clock(due.slot):
                yield due

    def _is_closed_by_clock(self, slot: Slot) -> bool:
        return self._closed_by_clock.get(key(slot)) == slot.start_s

    def _elapsed_ms(self, state: MeterState) -> int:
        """The time since a meter's last sample."""
        clock = self._clock
        boottime_ms, now_ms = round(clock.boottime_s() * 1000), round(clock.now_s() * 1000)
        return state.elapsed_ms(clock.boot_id, boottime_ms, now_ms)

    def _decided(self, step: Step) -> _Decided:
        """What a step writes. Raises StoreError."""
        slots, clashes = self._decide(step)
        asset_slots, owed = self._settling.follows(slots, self._clock.now_s)
        return _Decided(slots, clashes, asset_slots, owed)

    def _close(
        self, device: str, number: int, step: Step, decided: _Decided
    ) -> tuple[Sequence[Slot], Sequence[Owed]] | None:
        """Have it written with the next flush."""
        slots, owed = decided.slots, decided.owed
        clashes = decided.clashes
        events = (*step.events, *map(_clash, clashes))
        self._log(events)
        unallocated = (*step.unallocated, *clashes)
        self._buffer.close(
            Closing(
                device,
                number,
                step.state,
                slots,
                owed,
                events,
                unallocated,
                decided.asset_slots,
                step.taken_back,
            )
        )
        return (slots, owed) if slots or events else None

    def _decide(self, step: Step) -> tuple[tuple[Slot, ...], list[Unallocated]]:
        """The slots that are written, and the energy of those whose time is taken. Raises
        StoreError.
        """
        booked: list[Slot] = []
        clashes: list[Unallocated] = []
        for slot in step.slots:
            there = self._buffer.slots_at(slot.start_s)
            is_anew = any(each.concerns(slot) for each in step.taken_back)
            one = self._with_shares(slot, there, step) if is_anew else slot
            match (write_over if is_anew else decide)(one, there):
                case Book(slot) if self._is_closed_by_clock(slot):
                    pass  # just as the clock has closed it
                case Book(slot) | Revise(slot):
                    booked.append(slot)
                case Clash(unallocated):
                    clashes.append(unallocated)
                case Same():
                    pass

        booked += (slot for slot in step.provisional if not self._is_there(slot))
        return tuple(booked), clashes

    def _with_shares(self, slot: Slot, there: Sequence[Slot], step: Step) -> Slot:
        """A slot that is booked anew, with what a person has put into it. Raises StoreError."""
        mine = next((other for other in there if key(other) == key(slot)), None)
        if mine is None or mine.revision == 0:
            return slot
        placed = [
            (each.what, each.before)
            for each in self._buffer.unallocated()
            if each.before and not any(back.voids(each.what) for back in step.taken_back)
        ]
        return with_shares(slot, mine, placed)

    def _is_there(self, slot: Slot) -> bool:
        return key(slot) in map(key, self._buffer.slots_at(slot.start_s))

    def _log(self, events: Iterable[Event]) -> None:
        for event in events:
            self.glitches[event.device] += event.kind in _REGISTER_FINDINGS
            log.warning("%s: %s: %s", event.device, event.kind, event.text)


def _clash(unallocated: Unallocated) -> Event:
    """What a person should know of a slot whose time is taken."""
    text = (
        f"{unallocated.direction}: the slot at {utc_seconds(unallocated.from_ms / 1000)} is there "
        f"already; {unallocated.energy_uwh / UWH_PER_WH:.3f} Wh unallocated"
    )
    return Event(unallocated.to_ms, unallocated.device, "clash", text, unallocated.energy_uwh)
