"""What is owed to the exchange for slots that were closed or written anew.

Asks the buffer what is known of a slot's other meters and what is owed for it already; writes
nothing.
"""

from collections.abc import Callable, Iterable, Sequence

from gateway.energy.assets import Direction
from gateway.energy.forecast import forecast_uwh
from gateway.energy.slot import KNOWN, Quality, Slot
from gateway.outbox.dialect import Dialect
from gateway.outbox.item import EXCHANGE, Item, Kind
from gateway.outbox.owed import Owed
from gateway.site.settings import Asset, Settings
from gateway.store.buffer import Buffer

_WORST: Sequence[Quality] = ("measured", "estimated", "partial", "missing")


class Owing:
    """What one site owes by one dialect. `now_s` is Unix time."""

    def __init__(
        self,
        settings: Settings,
        buffer: Buffer,
        dialect: Dialect | None,
        now_s: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._buffer = buffer
        self._dialect = dialect
        self._dated = (
            dialect is not None
            and "measurement" in dialect.kinds
            and dialect.window("measurement", 0, 0.0).closes_s is None
        )
        """Whether a number can be sent again, and replaces the one before."""
        self._now_s = now_s

    def of(self, closing: Sequence[Slot]) -> Iterable[Owed]:
        """What is owed once these slots are written: for every asset whose meters have all closed
        that slot. Raises StoreError.

        A slot that is written anew (its revision says so) is owed again, as the next revision,
        where the dialect dates numbers and this is another one than is owed already. Where it does
        not, what is owed once stays as it is, and nothing is owed for provisional slots.
        """
        if self._dialect is None:
            return
        closing = [slot for slot in closing if self._counts(slot)]
        devices = {slot.device for slot in closing}
        for start_s in sorted({slot.start_s for slot in closing}):
            # The buffer does not have the slots that close now; two series of one meter (a swap)
            # may share a slot.
            now = {key(slot): slot for slot in closing if slot.start_s == start_s}
            others = (
                slot
                for slot in self._buffer.slots_at(start_s)
                if key(slot) not in now and self._counts(slot)
            )
            known = [*others, *now.values()]
            again = any(slot.revision for slot in now.values())
            for asset in self._settings.assets:
                if devices & asset.energy.devices:
                    owed = self._for(asset, start_s, known)
                    yield from self._revised(owed) if again else owed

    def _counts(self, slot: Slot) -> bool:
        """Whether something may be owed for a slot: it is a slot of the market, and not provisional
        where numbers bear no date.
        """
        return slot.length_s == self._settings.market.slot and (
            slot.method != "power" or self._dated
        )

    def _revised(self, owed: Iterable[Owed]) -> Iterable[Owed]:
        """As the next revision, where there is one already."""
        for each in owed:
            item = each.item
            if item.kind != "measurement":
                continue  # the slot it foretells was foretold when this one was first closed
            before = self._buffer.newest_owed(item.subject, item.slot_s)
            if before is None:
                yield each
            elif each.state == "pending" and each.closes_s is None and not _same(before, each):
                yield each.revised(before.item.revision + 1)

    def _for(self, asset: Asset, start_s: int, known: Sequence[Slot]) -> Iterable[Owed]:
        assert self._dialect is not None
        wanted = {(term.device, term.direction) for term in asset.energy.terms}
        parts = [slot for slot in known if (slot.device, slot.direction) in wanted]
        if wanted - {(slot.device, slot.direction) for slot in parts}:
            return
        quality = max((slot.quality for slot in parts), key=_WORST.index)
        if quality in ("partial", "missing"):
            worst = next(slot for slot in parts if slot.quality == quality)
            reason = (
                f"{worst.device} was metered for {worst.coverage_permille / 10:.0f} % of the slot"
            )
            yield self._item(asset, start_s, "measurement", 0, quality, reason)
            return
        energies: dict[tuple[str, Direction], int] = {
            (slot.device, slot.direction): slot.energy_uwh or 0 for slot in parts
        }
        energy_uwh = asset.energy.total(energies)
        if "measurement" in self._dialect.kinds:
            yield self._item(asset, start_s, "measurement", energy_uwh, quality)
        if "forecast" in self._dialect.kinds and self._settings.exchange:
            yield from self._forecast(asset, start_s, energy_uwh)

    def _forecast(self, asset: Asset, start_s: int, energy_uwh: int) -> Iterable[Owed]:
        """During slot n + 1 the energy of slot n is known, and n + 2 is the next slot."""
        assert self._settings.exchange is not None
        target_s = start_s + 2 * self._settings.market.slot
        if target_s <= self._now_s():
            return
        expected = forecast_uwh(
            self._settings.exchange.forecast,
            target_s,
            energy_uwh,
            lambda slot_s: self._buffer.measurement_uwh(asset.uuid, slot_s),
        )
        if expected is not None:
            yield self._item(asset, target_s, "forecast", expected, "estimated")

    def _item(
        self,
        asset: Asset,
        start_s: int,
        kind: Kind,
        energy_uwh: int,
        quality: Quality,
        missed: str = "",
    ) -> Owed:
        assert self._dialect is not None and self._settings.exchange is not None
        window = self._dialect.window(kind, start_s, self._settings.exchange.margin)
        return Owed(
            item=Item(EXCHANGE, asset.uuid, start_s, kind, 0, max(energy_uwh, 0)),
            length_s=int(self._settings.market.slot),  # JSON knows plain numbers only
            quality=quality,
            opens_s=window.opens_s,
            closes_s=window.closes_s,
            state="missed" if missed else "pending",
            reason=missed,
            raw_uwh=energy_uwh if energy_uwh < 0 else None,
            decided_s=self._now_s() if missed else None,
        )


def key(slot: Slot) -> tuple[str, Direction, str | None]:
    """What tells a slot from the others of its time."""
    return slot.device, slot.direction, slot.serial_number


def _same(before: Owed, after: Owed) -> bool:
    """Whether the number that is owed already, or was sent, is this very one, of the same sum."""
    known = before.quality in KNOWN and before.state in ("pending", "accepted")
    return known and (before.item.energy_uwh, before.raw_uwh) == (
        after.item.energy_uwh,
        after.raw_uwh,
    )
