"""What a destination is owed of all that is settled: assets by their formulas, or every series.
Pure.

Both ask for the slots that are in the books already through a callable, since the slots that close
now are seldom all that a sum is made of.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from uuid import UUID

from gateway.energy.asset_slots import energy_of, once_written, parts_of, worst_of
from gateway.energy.assets import Direction, Formula, Term
from gateway.energy.slot import Slot
from gateway.outbox.foreseen import Foreseen, Wish
from gateway.outbox.format import Closed, Number
from gateway.outbox.item import SeriesKey, Subject

SlotsAt = Callable[[int], Iterable[Slot]]
"""All slots in the books that start then (Unix time); may raise StoreError."""


class AssetsByFormula:
    """The measured energy of assets, and forecasts of their slots to come."""

    def __init__(
        self,
        formulas: Mapping[UUID, Formula],
        slots_at: SlotsAt,
        *,
        slot_s: int,
        provisional: bool,
        wishes: Mapping[UUID, Wish],
    ) -> None:
        """`provisional`: whether slots are wanted that will be written anew, since the destination
        takes revisions. `wishes`: of assets that are to be forecast, how.
        """
        self._formulas = formulas
        self._slots_at = slots_at
        self._slot_s = slot_s
        self._wishes = wishes
        self._provisional = provisional

    def numbers(self, closed: Closed, now_s: float) -> Iterator[Number]:
        """The energy of each asset whose meters have all closed that slot, and forecasts."""
        for slot in closed.asset_slots:
            formula = self._formulas.get(slot.asset)
            if formula is None:
                continue
            new = [
                part
                for part in closed.slots
                if part.start_s == slot.start_s and _wanted(part, self._slot_s, self._provisional)
            ]
            if not any(part.device in formula.devices for part in new):
                continue
            booked = [
                part
                for part in self._slots_at(slot.start_s)
                if _wanted(part, self._slot_s, self._provisional)
            ]
            number = _number(slot.asset, formula, new, booked, self._slots_at)
            if number is not None:
                yield number

        for foreseen in closed.foreseen:
            yield from self._forecast(foreseen, now_s)

    def _forecast(self, foreseen: Foreseen, now_s: float) -> Iterator[Number]:
        """Of a slot that has not begun: the exchange takes no other."""
        wish = self._wishes.get(foreseen.asset)
        if wish is None or foreseen.slot_s <= now_s:
            return
        said = foreseen.said(wish)
        if said is not None:
            beyond_uwh = said.half_width_uwh if foreseen.is_better else None
            yield Number(
                foreseen.asset,
                foreseen.slot_s,
                "forecast",
                said.energy_uwh,
                "estimated",
                beyond_uwh=beyond_uwh,
            )


class EverySeries:
    """The energy of every meter's directions, for destinations that take meters' slots. Where a
    meter was swapped, its two series count as one.
    """

    def __init__(self, slots_at: SlotsAt, *, slot_s: int, provisional: bool) -> None:
        """`provisional`: as for `AssetsByFormula`."""
        self._slots_at = slots_at
        self._slot_s = slot_s
        self._provisional = provisional

    def numbers(self, closed: Closed, now_s: float) -> Iterator[Number]:  # noqa: ARG002 — nothing is forecast
        """The energy of each direction that has closed a slot."""
        by_series: dict[tuple[int, SeriesKey], list[Slot]] = {}
        for slot in closed.slots:
            if _wanted(slot, self._slot_s, self._provisional):
                series = SeriesKey(slot.device, slot.direction)
                by_series.setdefault((slot.start_s, series), []).append(slot)

        for start_s, series in sorted(by_series):
            formula = Formula((Term(1, series.device, series.direction),))
            booked = [
                slot
                for slot in self._slots_at(start_s)
                if _wanted(slot, self._slot_s, self._provisional)
            ]
            number = _number(series, formula, by_series[start_s, series], booked, self._slots_at)
            if number is not None:
                yield number


def _wanted(slot: Slot, slot_s: int, provisional: bool) -> bool:
    """Whether something may be owed for a slot: it is one of the market, and not provisional where
    numbers cannot be replaced.
    """
    return slot.length_s == slot_s and (slot.method != "power" or provisional)


def _number(
    subject: Subject, formula: Formula, new: list[Slot], booked: list[Slot], slots_at: SlotsAt
) -> Number | None:
    """What the formula makes of the slots of one time; None where a meter has not closed its slot
    yet.
    """
    parts = parts_of(formula, once_written(new, booked))
    if not parts:
        return None

    worst = worst_of(parts)
    energy_uwh = energy_of(formula, parts)
    undeliverable = ""
    if energy_uwh is None:
        undeliverable = _why_not(parts, slots_at)

    return Number(
        subject,
        worst.start_s,
        "measurement",
        energy_uwh or 0,
        worst.quality,
        undeliverable=undeliverable,
        revised=any(slot.revision for slot in new),
    )


def _why_not(parts: list[Slot], slots_at: SlotsAt) -> str:
    """Which meter was metered for the smallest part of a slot that has no number. The series of a
    meter that was swapped add up.
    """
    covered: dict[tuple[str, Direction], int] = {}
    for part in parts:
        series = part.device, part.direction
        covered[series] = covered.get(series, 0) + part.coverage_permille
    least = min(covered, key=lambda series: covered[series])

    device, _ = least
    reason = f"{device} was metered for {covered[least] / 10:.0f} % of the slot"
    before = slots_at(parts[0].start_s - parts[0].length_s)
    if not covered[least] or any((slot.device, slot.direction) == least for slot in before):
        return reason
    return f"{reason}: it started mid-slot"
