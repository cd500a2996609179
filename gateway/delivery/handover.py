"""What the fleet delivers to the exchange in this gateway's place: from which slot on, and what
came of it. Shell: it writes the buffer, and logs as whoever delivers by himself does.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.delivery.journal import Journal
from gateway.energy.slot import Event
from gateway.outbox.item import EXCHANGE, Item, Subject
from gateway.outbox.owed import BY_FLEET, Owed
from gateway.store.buffer import Buffer
from gateway.timing.utc import utc_seconds

if TYPE_CHECKING:
    from gateway.outbox.fleet.change import Deliver
    from gateway.outbox.fleet.messages import Verdict

SILENT_S = 3600.0
"""What the fleet has had for so long, and has said nothing of, it is sent again: its word comes
once, and may be lost.
"""
_MOST_AGAIN = 96
"""Slots that are sent again at a time."""


class Handover:
    """Of one gateway. `now` is Unix time."""

    def __init__(
        self,
        buffer: Buffer,
        now: Callable[[], float],
        slot_s: int,
        name_of: Callable[[Subject], str],
    ) -> None:
        self._buffer = buffer
        self._now = now
        self.slot_s = slot_s
        self._outbox = buffer.outbox(EXCHANGE)
        self.journal = Journal(EXCHANGE, name_of, self._outbox.note)

    def decide(self, deliver: "Deliver", fleet: str) -> None:
        """Who delivers from now on: the slots that begin after all that is owed, each as a whole.
        `fleet` is the destination. Raises StoreError.
        """
        deliverers = self._buffer.tables.outbox.deliverers
        if deliver == deliverers.newest:
            return
        self._buffer.flush()
        now_s = self._now()
        newest_s = self._buffer.tables.changes.handed.newest_slot_s(now_s + 3 * self.slot_s)
        begun_s = int(now_s // self.slot_s) * self.slot_s
        from_s = max(begun_s, newest_s or 0) + self.slot_s
        deliverers.change(deliver, from_s, fleet)
        who = f"the fleet ({fleet}) delivers" if deliver == "fleet" else "this gateway delivers"
        text = f"{who} to the exchange from the slot at {utc_seconds(from_s)} on"
        self._buffer.note(Event(round(now_s * 1000), "", "deliverer", text))

    def unspoken(self) -> list[int]:
        """Starts of slots that the fleet has had for long, and has said nothing of. Raises
        StoreError.
        """
        before_s = self._now() - self.slot_s - SILENT_S
        return self._buffer.tables.changes.handed.unspoken(before_s, _MOST_AGAIN)

    def told(self, verdicts: "Iterable[Verdict]") -> None:
        """What the exchange said of what the fleet delivered. Raises StoreError."""
        alike: dict[tuple[str, str, int], list[Item]] = defaultdict(list)
        for verdict in verdicts:
            owed = self._meant(verdict)
            if owed is not None and owed.state != verdict.state:
                alike[verdict.state, verdict.reason, verdict.at_s].append(owed.item)
        for (state, reason, at_s), items in alike.items():
            now_s = self._now()
            said = "; ".join(filter(None, [reason, BY_FLEET]))
            decided_s = min(float(at_s), now_s)
            self._outbox.record(items, state, said, decided_s, answer=BY_FLEET)  # type: ignore[arg-type]  # a verdict's state is one of State
            match state:
                case "accepted":
                    self.journal.accepted(items, now_s)
                    self.journal.recovered(0, now_s)
                case "rejected":
                    self.journal.rejected(items, reason, now_s)
                case _:
                    self.journal.missed(items)

    def _meant(self, verdict: "Verdict") -> Owed | None:
        """What of our own a verdict is about. None where we know nothing of it, or it is about an
        older number than the newest, whose own verdict comes. Raises StoreError.
        """
        tables = self._buffer.tables
        try:
            asset = UUID(verdict.asset)
        except ValueError:
            return None
        if tables.outbox.deliverers.of(verdict.slot_s) != "fleet":
            return None
        found = list(tables.outbox.revisions(EXCHANGE, asset, verdict.slot_s, verdict.kind))
        if verdict.kind == "forecast":
            return next((o for o in found if o.item.revision == verdict.revision), None)
        slot = tables.asset_slots.at(asset, verdict.slot_s)
        if slot is None or verdict.revision < slot.revision:
            return None
        return max(found, key=lambda owed: owed.item.revision, default=None)
