"""Messages to a fleet's collector, made of what the buffer has. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from gateway.energy.assets import Direction
from gateway.energy.slot import AssetSlot, Slot
from gateway.outbox.fleet.messages import (
    MAX_ROWS,
    AssetRow,
    AssetRows,
    Digest,
    MeterRow,
    MeterRows,
)
from gateway.outbox.owed import Owed

DAY_S = 86_400


def asset_rows(slots: Iterable[AssetSlot]) -> list[AssetRows]:
    """Measurements of assets, in columns. A negative result of a formula stays negative here: what
    an exchange makes of that is its business.
    """
    return [
        AssetRows(
            asset=str(asset),
            kind="measurement",
            length_s=length_s,
            rows=[
                AssetRow(s.start_s, s.revision, s.energy_uwh, s.quality, s.uncertainty_uwh)
                for s in some
            ],
        )
        for (asset, length_s), some in groupby(
            sorted(slots, key=lambda s: (str(s.asset), s.length_s, s.start_s)),
            key=lambda s: (s.asset, s.length_s),
        )
    ]


def forecast_rows(owed: Iterable[Owed]) -> list[AssetRows]:
    """What is expected of assets, in columns."""
    return [
        AssetRows(
            asset=str(asset),
            kind="forecast",
            length_s=length_s,
            rows=[
                AssetRow(o.item.slot_s, o.item.revision, o.item.energy_uwh, o.quality) for o in some
            ],
        )
        for (asset, length_s), some in groupby(
            sorted(owed, key=lambda o: (str(o.item.subject), o.length_s, o.item.slot_s)),
            key=lambda o: (o.item.subject, o.length_s),
        )
    ]


def meter_rows(slots: Iterable[Slot]) -> list[MeterRows]:
    """Slots of meters, in columns."""
    return [
        MeterRows(
            meter=meter,
            direction=direction,
            serial=serial,
            length_s=length_s,
            rows=[_meter_row(slot) for slot in some],
        )
        for (meter, direction, serial, length_s), some in groupby(
            sorted(slots, key=lambda s: (*_series(s), s.start_s)), key=_series
        )
    ]


def slots_that_fit(slots_s: Sequence[int], rows_at: Mapping[int, int]) -> list[int]:
    """As many of these slots, in their order, as one message takes; at least one."""
    fitting: list[int] = []
    rows = 0
    for slot_s in dict.fromkeys(slots_s):
        rows += rows_at.get(slot_s, 0)
        if fitting and rows > MAX_ROWS:
            break
        fitting.append(slot_s)
    return fitting


def digests(slots: Iterable[AssetSlot]) -> list[Digest]:
    """What these come to, of each asset and UTC day."""
    days: dict[tuple[str, int], list[AssetSlot]] = {}
    for slot in slots:
        days.setdefault((str(slot.asset), slot.start_s // DAY_S * DAY_S), []).append(slot)
    found = []
    for (asset, day_s), some in sorted(days.items(), key=lambda each: each[0]):
        known = [slot.energy_uwh for slot in some if slot.energy_uwh is not None]
        starts = [slot.start_s for slot in some]
        found.append(Digest(asset, day_s, len(known), sum(known), min(starts), max(starts)))
    return found


def _series(slot: Slot) -> tuple[str, Direction, str, int]:
    return slot.device, slot.direction, slot.serial_number or "", slot.length_s


def _meter_row(slot: Slot) -> MeterRow:
    return MeterRow(
        slot.start_s,
        slot.revision,
        slot.energy_uwh,
        slot.quality,
        slot.method,
        slot.coverage_permille,
        slot.samples,
        slot.largest_gap_ms,
        slot.begin_register_uwh,
        slot.end_register_uwh,
        slot.clock,
        slot.uncertainty_uwh,
    )
