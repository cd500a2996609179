"""One asset, and how far it has been learned for its forecasts."""

import msgspec

from gateway.energy.forecast import Learned, Method, Rules, begin, update
from gateway.energy.slot import AssetSlot
from gateway.outbox.foreseen import Said
from gateway.site.settings import Asset

BEFORE_ALL_S = -1
"""Earlier than any slot."""


class Forecaster(msgspec.Struct):
    """One asset, and how far it has been learned."""

    asset: Asset
    rules: Rules
    method: Method
    """How what is kept beside its slots is forecast."""
    most_uwh: int
    """More does not go through its meters' fuses in a slot."""
    learned: Learned
    newest: AssetSlot | None = None
    """The newest slot that has closed: it is learned with the next one."""
    since_s: int = 0
    """Earlier slots are of another formula."""
    kept_s: int = BEFORE_ALL_S
    """The newest slot of what is kept on disk."""
    is_behind: bool = True
    """The buffer has slots that it has not seen."""
    is_revised: bool = False
    """It is behind because of a slot that was written anew after it was learned."""
    writings: int = 0
    """How often the slots were written, as far as it has seen, that are newer than what is kept."""
    standing: dict[int, Said] = msgspec.field(default_factory=dict)
    """What is expected of slots that have not closed, by their starts."""

    @property
    def learned_s(self) -> int:
        """The start of the slot that was learned last."""
        number = self.learned.newest
        return BEFORE_ALL_S if number is None else number * self.rules.slot_s

    def closed(self, slot: AssetSlot) -> bool:
        """One more slot, or one that is written anew. Returns whether it is the newest; has it
        begin again where it was learned otherwise.
        """
        newest = self.newest
        if newest is not None and slot.start_s < newest.start_s:
            if slot.start_s > self.kept_s:
                self.revised()
            return False
        self.writings += slot.revision + 1
        if newest is not None and slot.start_s == newest.start_s:
            self.writings -= newest.revision + 1
        elif newest is not None:
            self.learned = update(self.learned, newest, self.rules)
        self.newest = slot
        return True

    def has_seen(self, slot: AssetSlot) -> bool:
        """Whether it has seen that slot already, or a later one."""
        return self.newest is not None and slot.start_s <= self.newest.start_s

    def revised(self) -> None:
        """A slot was written anew after it was learned: it is learned again from what is kept."""
        self.is_behind = self.is_revised = True

    def kept(self) -> None:
        """What was learned is on disk, or will be with the next flush."""
        self.kept_s = self.learned_s
        self.writings = self.newest.revision + 1 if self.newest else 0

    def ahead(self) -> Learned:
        """What is known with the newest slot as it is now."""
        if self.newest is None:
            return self.learned
        return update(self.learned, self.newest, self.rules)

    def begin_anew(self) -> None:
        """Nothing is known."""
        self.learned, self.newest, self.kept_s = begin(self.rules), None, BEFORE_ALL_S
        self.writings = 0

    def bounded(self, said: Said | None) -> Said | None:
        """Never negative, and never more than can flow."""
        if said is None:
            return None

        def within(energy_uwh: int | None) -> int | None:
            return None if energy_uwh is None else min(max(energy_uwh, 0), self.most_uwh)

        energy_uwh = min(max(said.energy_uwh, 0), self.most_uwh)
        return Said(energy_uwh, within(said.low_uwh), within(said.high_uwh), said.by)
