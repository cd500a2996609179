"""What one sample adds to the books of one direction of a series. Pure."""

from msgspec.structs import replace

from gateway.energy.assets import Direction
from gateway.energy.counter import Counter
from gateway.energy.slot import (
    DirectionState,
    Edge,
    Event,
    MeterRules,
    Method,
    OpenSlot,
    Quality,
    Slot,
    TakenBack,
    Unallocated,
)
from gateway.energy.uncertainty import is_too_uncertain, of_slot


class Entries:
    """Whose books they are, and the slots, events and unallocated energy that are added, in order.

    Its methods fill in whose they are.
    """

    __slots__ = (
        "direction",
        "events",
        "provisional",
        "register",
        "rules",
        "serial_number",
        "slots",
        "taken_back",
        "unallocated",
    )

    def __init__(self, serial_number: str | None, direction: Direction, rules: MeterRules) -> None:
        self.serial_number = serial_number
        self.direction = direction
        self.rules = rules
        self.register = rules.registers.get(direction)
        """None where the meter's profile has it no more."""
        self.slots: list[Slot] = []
        self.events: list[Event] = []
        self.unallocated: list[Unallocated] = []
        self.provisional: list[Slot] = []
        self.taken_back: list[TakenBack] = []

    @property
    def are_empty(self) -> bool:
        """Whether nothing was added."""
        added = self.slots or self.events or self.provisional or self.unallocated
        return not (added or self.taken_back)

    @property
    def are_binding(self) -> bool:
        """Whether something was added that says where the counter stood: it cannot be taken
        back.
        """
        return bool(self.slots or self.provisional or self.unallocated)

    def close(self, slot: OpenSlot, end: Edge) -> None:
        """The slot was metered up to there. Of those that are missing before it, nothing was known
        until now: not even where the counter stood.
        """
        begin = Edge(slot.start_ms, slot.begin_uwh, slot.begin_register_uwh, None)
        first_ms = slot.missed_from_ms or slot.start_ms
        for start_ms in range(first_ms, slot.start_ms, self.rules.slot_ms):
            empty = replace(begin, at_ms=start_ms)
            self.slots.append(self._closed(OpenSlot.after(empty), empty))
        self.slots.append(self._closed(slot, end))

    def close_provisionally(self, slot: OpenSlot, end: Edge) -> None:
        """The same, by power alone: it will come again, as a later revision."""
        closed = self._closed(slot, end)
        self.provisional.append(replace(closed, method="power"))

    def miss(self, start_ms: int, counter: Counter, *, gap_ms: int = 0, revision: int = 0) -> None:
        """Nothing is known of the slot that starts then. The counter has not moved on since."""
        empty = OpenSlot(
            start_ms=start_ms,
            from_ms=start_ms,
            begin_uwh=counter.counter_uwh,
            begin_register_uwh=counter.register_uwh,
            largest_gap_ms=gap_ms,
            revision=revision,
        )
        self.close(empty, Edge(start_ms, counter.counter_uwh, counter.register_uwh, None))

    def withdraw(self, state: DirectionState, from_ms: int) -> None:
        """No register will confirm the provisional slots from then on any more: nothing is known of
        them after all.
        """
        for start_ms in range(from_ms, state.provisional_ms, self.rules.slot_ms):
            self.miss(start_ms, state.counter, revision=1)

    def leave_unallocated(
        self,
        kind: str,
        from_ms: int,
        to_ms: int,
        begin_uwh: int,
        end_uwh: int,
        *,
        is_rest: bool = False,
    ) -> Unallocated:
        """This energy is in the counter and in no slot. Returns the record of it."""
        record = Unallocated(
            device=self.rules.device,
            serial_number=self.serial_number,
            direction=self.direction,
            kind=kind,
            from_ms=from_ms,
            to_ms=to_ms,
            begin_uwh=begin_uwh,
            end_uwh=end_uwh,
            is_rest=is_rest,
        )
        self.unallocated.append(record)
        return record

    def take_back(self, at_ms: int, from_uwh: int) -> None:
        """All that was booked from there of the counter on is void."""
        series = self.rules.device, self.serial_number, self.direction
        self.taken_back.append(TakenBack(*series, at_ms, from_uwh))

    def tell(self, at_ms: int, kind: str, text: str, unallocated_uwh: int = 0) -> None:
        """A person should know this of the direction."""
        text = f"{self.direction}: {text}"
        self.events.append(Event(at_ms, self.rules.device, kind, text, unallocated_uwh))

    def _closed(self, slot: OpenSlot, end: Edge) -> Slot:
        slot_ms = self.rules.slot_ms
        metered_ms = end.at_ms - slot.from_ms
        energy_uwh = end.counter_uwh - slot.begin_uwh
        # Where the clock was set back, energy may have come while its time stood still.
        is_known = metered_ms > 0 or energy_uwh > 0

        uncertainty_uwh = None
        if is_known:
            uncertainty_uwh = of_slot(
                slot.begin_uncertainty_uwh,
                end.uncertainty_uwh,
                late_uwh=end.late_uwh - slot.begin_late_uwh,
                passed_uwh=end.passed_uwh,
            )
            if uncertainty_uwh is not None:
                uncertainty_uwh = max(uncertainty_uwh, slot.contradicted_uwh)
        step_uwh = self.register.step_uwh(end.register_uwh) if self.register else 0
        if is_too_uncertain(uncertainty_uwh, energy_uwh, step_uwh):
            slot = slot.doubted({"uncertain"})

        if slot.uncovered_ms:
            slot = slot.doubted({"not read"})
        if slot.placed:
            slot = slot.doubted({"clock not known"})
        quality: Quality
        if not is_known:
            quality = "missing"
        elif metered_ms != slot_ms:
            quality = "partial"
        elif slot.doubts or slot.doubtful:
            quality = "estimated"
        else:
            quality = "measured"
        method: Method = "register" if slot.register_only or not is_known else "counter"

        return Slot(
            device=self.rules.device,
            serial_number=self.serial_number,
            direction=self.direction,
            start_s=slot.start_ms // 1000,
            length_s=slot_ms // 1000,
            energy_uwh=energy_uwh if is_known else None,
            quality=quality,
            method=method,
            coverage_permille=(metered_ms - slot.uncovered_ms) * 1000 // slot_ms,
            samples=slot.samples,
            largest_gap_ms=slot.largest_gap_ms,
            begin_uwh=slot.begin_uwh,
            end_uwh=end.counter_uwh,
            begin_register_uwh=slot.begin_register_uwh,
            end_register_uwh=end.register_uwh,
            clock="placed" if slot.placed else self.rules.clock,
            revision=slot.revision,
            uncertainty_uwh=uncertainty_uwh,
            doubts=", ".join(slot.doubts) if quality == "estimated" else "",
        )
