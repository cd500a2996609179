"""What is learned of each asset for its forecasts, and what is expected of its slots to come.
Shell.

What is learned trails by a slot: the newest one that has closed is learned when the next one does,
since it may be written anew until then. So it follows from the rows of the buffer alone. Once a day
it is kept there as it is; after a restart it goes on from that, over the rows since, and comes to
the same, bit for bit. Where nothing is kept that can be used, it begins with the rows there are: a
portion at a time, since it may be months, and meters are read meanwhile. A row that is written anew
after it was learned, here or by a person's command, has it begin again from what is kept; one that
is older than that changes nothing.

A formula that changed makes another asset of it: what was before is not learned.

Limits: `forecast_memory.LEARNED_S` of rows at most, `LEARNED_AT_ONCE` at a time; 20 kB on disk for
each asset.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import partial
from uuid import UUID

from gateway.energy.forecast import (
    Learned,
    Rules,
    begin,
    naive_uwh,
    predict,
    update,
    used_method,
    why_none,
)
from gateway.energy.slot import KNOWN, AssetSlot, MeterState
from gateway.energy.so_far import will_come_to_uwh
from gateway.ledger.forecast_memory import ForecastMemory
from gateway.ledger.forecaster import Forecaster
from gateway.ledger.told_forecasts import ToldForecasts
from gateway.outbox.foreseen import Foreseen, Said, Wish
from gateway.outbox.format import Terms
from gateway.outbox.quantiles import Share
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer

LEARNED_AT_ONCE = 20
"""Slots that are learned before meters have their turn: a few ms."""

BETTER_FRACTION = 1 / 30
LEAST_TO_SEND_S = 2.0
"""The part of a slot that is left for sending a better forecast, before it must be there; where
slots are short, the way takes time, too.
"""


class Forecasting:
    """The forecasts of one site's assets. `none` is learned of those that nobody wants any of."""

    def __init__(
        self,
        settings: Settings,
        buffer: Buffer,
        terms: Sequence[Terms],
        now_s: Callable[[], float],
    ) -> None:
        self._buffer = buffer
        self._now_s = now_s
        self._memory = ForecastMemory(buffer, now_s)
        self._slot_s = int(settings.market.slot)
        self.told = ToldForecasts(buffer, terms)
        self._portions: dict[UUID, Iterator[None]] = {}
        self.lead_s = max(
            (t.kept.lead_s for t in terms if "forecast" in t.format.kinds),
            default=min(15.0, self._slot_s / 60),
        )
        """How long before a slot its forecast must be there, at the latest."""
        utc_offset_s = partial(_utc_offset_s, settings.timezone.zone)
        fuses_w = {device.name: device.max_power_w for device in settings.devices}
        self.forecasters: dict[UUID, Forecaster] = {}
        wanted = [t.forecast for t in terms if t.forecast is not None]
        for asset in settings.assets:
            method = asset.forecast_method(wanted)
            if method == "none":
                continue
            rules = Rules(
                slot_s=self._slot_s,
                kind="pv" if asset.market_kind == "pv" else "load",
                identity=str(asset.energy),
                utc_offset_s=utc_offset_s,
            )
            positive = {term.device for term in asset.energy.terms if term.sign > 0}
            most_w = sum(fuses_w.get(name, 0.0) for name in positive)
            most_uwh = int(most_w * self._slot_s / 3600 * 1_000_000)
            self.forecasters[asset.uuid] = Forecaster(asset, rules, method, most_uwh, begin(rules))

    # --- slots that close ---------------------------------------------------------------------

    def foretold(self, asset: UUID, start_s: int) -> Said | None:
        """What is expected of an asset's slot."""
        forecaster = self.forecasters.get(asset)
        return forecaster.standing.get(start_s) if forecaster else None

    def closed(self, slots: Sequence[AssetSlot]) -> Iterator[Foreseen]:
        """Learn from slots that close, or are written anew; says what is expected of those to come.
        The same ones may come again. Raises StoreError.
        """
        for slot in slots:
            forecaster = self.forecasters.get(slot.asset)
            if forecaster is None:
                continue
            if forecaster.is_behind:  # it will read them
                if forecaster.has_seen(slot):
                    self._portions.pop(slot.asset, None)
                continue
            if forecaster.closed(slot):
                yield from self._next(forecaster, slot.start_s + 2 * self._slot_s)
                self._memory.keep_daily(forecaster)
            elif forecaster.newest and forecaster.newest.start_s > self._now_s():
                forecaster.is_behind = True  # a clock that was ahead has dated the newest

    def _next(self, forecaster: Forecaster, target_s: int) -> Iterator[Foreseen]:
        """During slot n + 1 the energy of slot n is known, and n + 2 is the next slot. Raises
        StoreError.
        """
        if target_s <= self._now_s():
            return
        ahead = forecaster.ahead()
        said = partial(self._said, forecaster, ahead, 2, target_s)
        if target_s not in forecaster.standing:
            self._stand(forecaster, target_s, said(Wish(forecaster.method)))
        yield Foreseen(forecaster.asset.uuid, target_s, said)

    def _said(
        self, forecaster: Forecaster, ahead: Learned, horizon: int, target_s: int, wish: Wish
    ) -> Said | None:
        if wish.method == "none":
            return None
        if wish.method == "auto":
            found = predict(ahead, horizon, forecaster.rules, wish.share)
            if found is None:
                return None
            by = used_method(ahead)
            assert by != "none"
            said = Said(found.energy_uwh, found.low_uwh, found.high_uwh, by)
            return forecaster.bounded(said)

        newest = forecaster.newest
        if newest is None or newest.quality not in KNOWN or newest.energy_uwh is None:
            return None
        known = partial(self._energy_uwh, forecaster.asset.uuid)
        energy_uwh = naive_uwh(wish.method, target_s, newest.energy_uwh, known)
        if energy_uwh is None:
            return None
        return forecaster.bounded(Said(energy_uwh, None, None, wish.method))

    def _energy_uwh(self, asset: UUID, start_s: int) -> int | None:
        slot = self._buffer.asset_slot(asset, start_s)
        return slot.energy_uwh if slot else None

    def _stand(self, forecaster: Forecaster, target_s: int, said: Said | None) -> None:
        newest_s = forecaster.newest.start_s if forecaster.newest else 0
        for start_s in [s for s in forecaster.standing if s < newest_s]:
            del forecaster.standing[start_s]
        if said is not None:
            forecaster.standing[target_s] = said

    # --- slots that run -----------------------------------------------------------------------

    def better_in_s(self, now_s: float) -> float:
        """How long it is until the next slots' forecasts are made once more: as late as leaves time
        to send them.
        """
        before_s = self.lead_s + max(self._slot_s * BETTER_FRACTION, LEAST_TO_SEND_S)
        since_s = (now_s + before_s) % self._slot_s
        return self._slot_s - since_s

    def better(
        self, asset: UUID, fold_of: Callable[[str], MeterState | None]
    ) -> Iterator[Foreseen]:
        """What is expected of the asset's next slot, now that most of the one that runs is known.
        Raises StoreError.
        """
        forecaster = self.forecasters[asset]
        now_s = self._now_s()
        start_s = int(now_s // self._slot_s) * self._slot_s
        newest = forecaster.newest
        if forecaster.is_behind or newest is None or newest.start_s >= start_s:
            return
        if not self.told.destinations:
            return  # nobody would be told, and after a restart nobody would know of it
        formula = forecaster.asset.energy
        energy_uwh = will_come_to_uwh(formula, fold_of, start_s, self._slot_s)
        if energy_uwh is None:
            return

        runs = AssetSlot(asset, start_s, self._slot_s, energy_uwh, None, "measured")
        ahead = update(forecaster.ahead(), runs, forecaster.rules)
        target_s = start_s + self._slot_s
        learned = partial(self._said, forecaster, ahead, 1, target_s)

        def said(wish: Wish) -> Said | None:
            return learned(wish) if wish.method == "auto" else None

        found, before = said(Wish(forecaster.method)), forecaster.standing.get(target_s)
        if found is not None:
            is_other = before and abs(found.energy_uwh - before.energy_uwh) > found.half_width_uwh
            if before is None or is_other:
                forecaster.standing[target_s] = found
        yield Foreseen(asset, target_s, said, is_better=True)

    # --- slots that it has not seen -----------------------------------------------------------

    def begin_anew(self) -> None:
        """The buffer is another one."""
        self._portions.clear()
        for forecaster in self.forecasters.values():
            forecaster.is_behind = True

    def look_elsewhere(self) -> None:
        """Another process may have written slots anew that were learned here: energy that a person
        has allocated. Raises StoreError.
        """
        table = self._buffer.tables.asset_slots
        if self.is_behind or not table.changed_elsewhere:
            return
        for asset, forecaster in self.forecasters.items():
            newest = forecaster.newest
            if newest is None:
                continue
            after_s = max(forecaster.kept_s, forecaster.since_s - 1)
            if table.writings(asset, after_s, newest.start_s + 1) != forecaster.writings:
                forecaster.revised()

    @property
    def is_behind(self) -> bool:
        """Whether there is something to learn."""
        return any(forecaster.is_behind for forecaster in self.forecasters.values())

    def resume(self) -> bool:
        """Do a portion for those that have little to learn; returns whether there is more to do. To
        be done before anything closes. Raises StoreError.
        """
        return self._learn_some(only_kept=True)

    def learn_some(self) -> Sequence[Foreseen] | None:
        """Do a portion; says what is expected of slots to come once an asset is done. None: there
        is nothing left to do. Raises StoreError; it begins again then, when called.
        """
        before = {asset for asset, f in self.forecasters.items() if f.is_behind}
        if not self._learn_some(only_kept=False):
            return None
        done = [self.forecasters[asset] for asset in before]
        return [each for f in done if not f.is_behind for each in self._upcoming(f)]

    def _learn_some(self, *, only_kept: bool) -> bool:
        for asset, forecaster in self.forecasters.items():
            if not forecaster.is_behind:
                continue
            if asset not in self._portions:
                if only_kept and not self._memory.is_kept(forecaster):
                    continue
                self._portions[asset] = self._catch_up(forecaster)
            try:
                next(self._portions[asset])
            except StopIteration:
                del self._portions[asset]
            except BaseException:
                self._portions.pop(asset, None)
                raise
            return True
        return False

    def _catch_up(self, forecaster: Forecaster) -> Iterator[None]:
        self._buffer.flush()
        self._memory.load(forecaster)
        table, asset = self._buffer.tables.asset_slots, forecaster.asset.uuid
        while True:
            after_s = max(
                forecaster.newest.start_s if forecaster.newest else forecaster.learned_s,
                forecaster.since_s - 1,
            )
            until_s = int(self._now_s()) + 1
            rows = table.of(asset, after_s, until_s, LEARNED_AT_ONCE)
            for row in rows:
                forecaster.closed(row)
            if len(rows) == LEARNED_AT_ONCE:
                yield
                continue
            # What has closed meanwhile may wait in memory; nothing closes between this and the end.
            self._buffer.flush()
            if not table.of(
                asset, forecaster.newest.start_s if forecaster.newest else after_s, until_s, 1
            ):
                break
        forecaster.is_behind = False
        self._memory.keep_daily(forecaster)
        self._recall(forecaster)
        forecaster.is_revised = False

    def _recall(self, forecaster: Forecaster) -> None:
        """What was expected of the slots that run or come, as it was before the restart. Where a
        slot was written anew meanwhile, also without one: so there is no difference.
        """
        newest = forecaster.newest
        if newest is None:
            return
        wish, slot_s = Wish(forecaster.method), self._slot_s
        for ahead, after in ((forecaster.learned, 1), (forecaster.ahead(), 2)):
            target_s = newest.start_s + after * slot_s
            if ahead.newest != newest.start_s // slot_s + after - 2:
                continue  # of a slot that was not there
            if target_s in forecaster.standing and not forecaster.is_revised:
                continue
            forecaster.standing.pop(target_s, None)
            said = self._said(forecaster, ahead, 2, target_s, wish)
            self._stand(
                forecaster, target_s, said and self.told.as_sent(forecaster, target_s, said)
            )

    def _upcoming(self, forecaster: Forecaster) -> Iterator[Foreseen]:
        if forecaster.newest is not None:
            yield from self._next(forecaster, forecaster.newest.start_s + 2 * self._slot_s)

    # --- what it knows ------------------------------------------------------------------------

    @property
    def chosen(self) -> Mapping[UUID, tuple[str, Share]]:
        """Of assets of which another quantile than the median is sent: to whom, and which."""
        return self.told.chosen

    def why_none(self, asset: UUID) -> str:
        """Why nothing is expected of an asset's next slot, in words; empty where something is."""
        forecaster = self.forecasters.get(asset)
        if forecaster is None:
            return "forecast: none"
        if forecaster.is_behind:
            return "it is learned from the slots that are kept"
        return why_none(forecaster.learned)


def _utc_offset_s(zone: tzinfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
