"""What the buffer holds, as tables for people, spreadsheets and the exchange's upload page. Pure.

Energies leave as exact decimals of their micro-watt-hours; times as UTC with a `Z`, and as local
time beside it where people look.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from itertools import groupby
from typing import Any, Literal

from drivers.sample import QUANTITIES, Sample
from drivers.strict_yaml import Seconds
from gateway.energy.asset_slots import uncertainty_of
from gateway.energy.assets import Direction
from gateway.energy.slot import KNOWN, AssetSlot, Quality, Slot
from gateway.outbox.item import Kind, Subject
from gateway.outbox.owed import TAKEN_BY_HTTP, Owed, State
from gateway.site.settings import Asset

WORST: Sequence[Quality] = ("measured", "estimated", "partial", "missing")
PROFILE_HEADER = "INTERVAL,ENERGY(kWh)"


# --- time -----------------------------------------------------------------------------------------


def moment_s(text: str, now_s: float) -> float:
    """Unix time of `2026-03-29`, `2026-03-29T01:15Z`, `…+02:00`, or of so long ago: `90min`, `2h`,
    `3d`. Without a zone it is UTC.

    Raises ValueError with what to write.
    """
    try:
        ago_s = Seconds.parse(text) if text[-1:].isalpha() and text[-1:] != "Z" else None
        if ago_s is not None:
            return now_s - ago_s
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is not a time; write 2026-03-29, 2026-03-29T01:15Z, or 90min, 2h, 3d for "
            "so long ago"
        ) from error


def utc_text(at_s: float) -> str:
    """`2026-03-29T01:15:00Z`; with milliseconds where there are some."""
    whole = float(at_s).is_integer()
    text = datetime.fromtimestamp(at_s, UTC).isoformat(
        timespec="seconds" if whole else "milliseconds"
    )
    return text.removesuffix("+00:00") + "Z"


def local_text(at_s: float, zone: tzinfo | None) -> str:
    """The same instant on the wall clock of the site, as the page has it, with its distance from
    UTC: `2026-03-29 03:15:00 +0200`. Without a zone, on that of this machine.
    """
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z")


# --- energy ---------------------------------------------------------------------------------------


def wh_text(energy_uwh: int | None) -> str:
    """Wh for a person's eye, three decimals; a dash where nothing is known."""
    return "–" if energy_uwh is None else f"{energy_uwh / 1e6:.3f}"


def wh(energy_uwh: int | None) -> float | None:
    """Wh for a program."""
    return None if energy_uwh is None else energy_uwh / 1e6


def kwh_text(energy_uwh: int) -> str:
    """Exact kWh in plain digits, such as 0.13725."""
    digits = f"{energy_uwh // 10**9}.{energy_uwh % 10**9:09d}"
    return digits.rstrip("0").rstrip(".")


# --- what each asset did --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSlotRow:
    """One asset's slot: its energy, how it is known, and what became of its delivery. Energies in
    µWh, times in Unix seconds.
    """

    start_s: int
    length_s: int
    asset: Subject
    name: str
    kind: Kind
    revision: int
    energy_uwh: int | None
    """None where nothing is known: missing is not zero."""
    raw_uwh: int | None
    """The formula's result where it was negative and 0 is delivered instead."""
    uncertainty_uwh: int | None
    """By how much the energy may be off, either way; None where that is not known, as of slots of
    versions that did not say, and for a forecast.
    """
    quality: Quality
    doubts: str
    """Why it is estimated: those of its meters."""
    coverage_permille: int | None
    """Of the meter that was metered for the smallest part of the slot; None for a forecast."""
    state: State | Literal["open", "kept"]
    """As in the outbox. open: a meter's slot is not closed yet. kept: nothing is owed for it."""
    reason: str
    attempts: int
    decided_s: float | None
    expected: AssetSlot | None = None
    """What was expected of the slot when it began; None where that is not told."""


def asset_slots(
    slots: Iterable[Slot],
    owed: Iterable[Owed],
    assets: Sequence[Asset],
    settled: Iterable[AssetSlot] = (),
) -> Iterator[AssetSlotRow]:
    """What is owed, and the assets' slots for which nothing is, by time, with what `settled` has of
    forecasts. The streams must be in the order of time; none is kept.
    """
    merged = heapq.merge(
        ((s.start_s, 0, s) for s in slots),
        ((o.item.slot_s, 1, o) for o in owed),
        ((s.start_s, 2, s) for s in settled),
        key=lambda row: row[:2],
    )
    for start_s, group in groupby(merged, key=lambda row: row[0]):
        members = [row[2] for row in group]
        yield from _at(
            start_s,
            [m for m in members if isinstance(m, Slot)],
            [m for m in members if isinstance(m, Owed)],
            assets,
            {m.asset: m for m in members if isinstance(m, AssetSlot)},
        )


def _at(
    start_s: int,
    slots: Sequence[Slot],
    owed: Sequence[Owed],
    assets: Sequence[Asset],
    settled: Mapping[Subject, AssetSlot],
) -> Iterator[AssetSlotRow]:
    by_uuid: dict[Subject, Asset] = {asset.uuid: asset for asset in assets}
    order: dict[Subject, int] = {asset.uuid: i for i, asset in enumerate(assets)}
    rows = [_owed_row(each, by_uuid.get(each.item.subject), slots) for each in owed]
    there = {each.item.subject for each in owed if each.item.kind == "measurement"}
    rows += [
        _metered_row(start_s, asset, slots) for asset in assets if slots and asset.uuid not in there
    ]
    yield from sorted(
        (
            replace(row, expected=settled.get(row.asset)) if row.kind == "measurement" else row
            for row in rows
        ),
        key=lambda r: (
            order.get(r.asset, len(order)),
            str(r.asset),
            r.kind == "forecast",
            r.revision,
        ),
    )


def _parts(asset: Asset, slots: Iterable[Slot]) -> list[Slot]:
    wanted = {(term.device, term.direction) for term in asset.energy.terms}
    return [slot for slot in slots if (slot.device, slot.direction) in wanted]


def _uncertainty(asset: Asset, slots: Iterable[Slot]) -> int | None:
    return uncertainty_of(asset.energy, _parts(asset, slots))


def _doubts(parts: Iterable[Slot]) -> str:
    return ", ".join(
        sorted({doubt for slot in parts for doubt in slot.doubts.split(", ") if doubt})
    )


def _coverage(parts: Sequence[Slot]) -> int | None:
    """Two series of one meter (a swap) share a slot: their parts add up."""
    covered: dict[tuple[str, Direction], int] = {}
    for slot in parts:
        key = slot.device, slot.direction
        covered[key] = covered.get(key, 0) + slot.coverage_permille
    return min(covered.values(), default=None)


def _owed_row(owed: Owed, asset: Asset | None, slots: Sequence[Slot]) -> AssetSlotRow:
    item = owed.item
    parts = _parts(asset, slots) if asset and item.kind == "measurement" else []
    return AssetSlotRow(
        start_s=item.slot_s,
        length_s=owed.length_s,
        asset=item.subject,
        name=asset.name if asset else str(item.subject),
        kind=item.kind,
        revision=item.revision,
        energy_uwh=item.energy_uwh if energy_known(owed) else None,
        raw_uwh=owed.raw_uwh,
        uncertainty_uwh=_uncertainty(asset, slots)
        if asset and item.kind == "measurement" and energy_known(owed)
        else None,
        quality=owed.quality,
        doubts=_doubts(parts),
        coverage_permille=_coverage(parts) if parts else None,
        state=owed.state,
        reason=owed.reason or (TAKEN_BY_HTTP if owed.answer == TAKEN_BY_HTTP else ""),
        attempts=owed.attempts,
        decided_s=owed.decided_s,
    )


def _metered_row(start_s: int, asset: Asset, slots: Sequence[Slot]) -> AssetSlotRow:
    """An asset's slot that is not in the outbox: no exchange is configured, or one of its meters
    has not closed the slot.
    """
    parts = _parts(asset, slots)
    missing = {(t.device, t.direction) for t in asset.energy.terms} - {
        (s.device, s.direction) for s in parts
    }
    quality: Quality = (
        "missing" if missing else max((slot.quality for slot in parts), key=WORST.index)
    )
    known = quality in KNOWN
    total = (
        asset.energy.total({(s.device, s.direction): s.energy_uwh or 0 for s in parts})
        if known
        else None
    )
    waiting = ", ".join(sorted({device for device, _ in missing}))
    return AssetSlotRow(
        start_s=start_s,
        length_s=slots[0].length_s,
        asset=asset.uuid,
        name=asset.name,
        kind="measurement",
        revision=0,
        energy_uwh=None if total is None else max(total, 0),
        raw_uwh=total if total is not None and total < 0 else None,
        uncertainty_uwh=None if total is None else _uncertainty(asset, slots),
        quality=quality,
        doubts=_doubts(parts),
        coverage_permille=0 if missing else _coverage(parts),
        state="open" if missing else "kept",
        reason=f"no slot of {waiting} yet" if missing else "",
        attempts=0,
        decided_s=None,
    )


# --- rows for programs ----------------------------------------------------------------------------

Row = Mapping[str, Any]

ASSET_COLUMNS = (
    "start_utc",
    "start_local",
    "length_s",
    "asset",
    "uuid",
    "kind",
    "revision",
    "energy_wh",
    "formula_wh",
    "negative_sent_as_0",
    "uncertainty_wh",
    "quality",
    "doubts",
    "coverage_percent",
    "delivery",
    "reason",
    "attempts",
    "decided_utc",
    "forecast_wh",
    "forecast_low_wh",
    "forecast_high_wh",
    "forecast_by",
)
METER_COLUMNS = (
    "start_utc",
    "start_local",
    "length_s",
    "meter",
    "serial_number",
    "direction",
    "energy_wh",
    "uncertainty_wh",
    "quality",
    "doubts",
    "method",
    "coverage_percent",
    "revision",
    "samples",
    "largest_gap_s",
    "counter_begin_wh",
    "counter_end_wh",
    "register_begin_wh",
    "register_end_wh",
    "clock",
)


def asset_row(slot: AssetSlotRow, zone: tzinfo) -> Row:
    """For JSON, CSV and spreadsheets, with local times of that zone."""
    expected = slot.expected
    return {
        "start_utc": utc_text(slot.start_s),
        "start_local": local_text(slot.start_s, zone),
        "length_s": slot.length_s,
        "asset": slot.name,
        "uuid": str(slot.asset),
        "kind": slot.kind,
        "revision": slot.revision,
        "energy_wh": wh(slot.energy_uwh),
        "formula_wh": wh(slot.raw_uwh if slot.raw_uwh is not None else slot.energy_uwh),
        "negative_sent_as_0": slot.raw_uwh is not None,
        "uncertainty_wh": wh(slot.uncertainty_uwh),
        "quality": slot.quality,
        "doubts": slot.doubts,
        "coverage_percent": None if slot.coverage_permille is None else slot.coverage_permille / 10,
        "delivery": slot.state,
        "reason": slot.reason,
        "attempts": slot.attempts,
        "decided_utc": None if slot.decided_s is None else utc_text(round(slot.decided_s)),
        "forecast_wh": wh(expected.forecast_uwh) if expected else None,
        "forecast_low_wh": wh(expected.forecast_low_uwh) if expected else None,
        "forecast_high_wh": wh(expected.forecast_high_uwh) if expected else None,
        "forecast_by": expected.forecast_by if expected else "",
    }


def meter_row(slot: Slot, zone: tzinfo) -> Row:
    """For JSON, CSV and spreadsheets: all that is known of one meter's slot. As `asset_row`."""
    return {
        "start_utc": utc_text(slot.start_s),
        "start_local": local_text(slot.start_s, zone),
        "length_s": slot.length_s,
        "meter": slot.device,
        "serial_number": slot.serial_number,
        "direction": slot.direction,
        "energy_wh": wh(slot.energy_uwh),
        "uncertainty_wh": wh(slot.uncertainty_uwh),
        "quality": slot.quality,
        "doubts": slot.doubts,
        "method": slot.method,
        "coverage_percent": slot.coverage_permille / 10,
        "revision": slot.revision,
        "samples": slot.samples,
        "largest_gap_s": slot.largest_gap_ms / 1000,
        "counter_begin_wh": wh(slot.begin_uwh),
        "counter_end_wh": wh(slot.end_uwh),
        "register_begin_wh": wh(slot.begin_register_uwh),
        "register_end_wh": wh(slot.end_register_uwh),
        "clock": slot.clock,
    }


def sample_columns(quantities: Iterable[str]) -> list[str]:
    """The columns of a table of samples that may hold these quantities."""
    order = {quantity: i for i, quantity in enumerate(QUANTITIES)}
    return [
        "time_utc",
        "meter",
        "serial_number",
        "boot_id",
        "boottime_ms",
        "placed",
        *sorted(set(quantities), key=lambda q: (order.get(q, 999), q)),
    ]


def sample_row(sample: Sample) -> Row:
    """For CSV and spreadsheets. A sample that was never dated has its boot's time alone; one that
    was placed only lies where it must.
    """
    return {
        "time_utc": None if sample.utc_ms is None else utc_text(sample.utc_ms / 1000),
        "meter": sample.device,
        "serial_number": sample.serial_number,
        "boot_id": sample.boot_id,
        "boottime_ms": sample.boottime_ms,
        "placed": "yes" if sample.placed else None,
        **sample.values,
    }


# --- the exchange's profile file ------------------------------------------------------------------


def undelivered(owed: Iterable[Owed]) -> Iterator[Owed]:
    """Measurements that the exchange does not have, by time: the latest revision of each slot."""
    for _, group in groupby(owed, key=lambda each: each.item.slot_s):
        latest: dict[Subject, Owed] = {}
        for each in group:
            item = each.item
            if item.kind == "measurement" and (
                item.subject not in latest or latest[item.subject].item.revision < item.revision
            ):
                latest[item.subject] = each
        yield from (each for each in latest.values() if each.state != "accepted")


def energy_known(owed: Owed) -> bool:
    """Whether the slot was wholly metered: only then it has an energy. Missing is not zero."""
    return owed.quality in KNOWN


def profile_line(start_s: int, energy_uwh: int) -> str:
    """One line of the profile file: start of the slot (UTC, to the minute) and exact kWh.

    Raises ValueError where the slot does not begin on a minute: the exchange's format has no
    seconds.
    """
    if start_s % 60:
        raise ValueError(
            f"the slot {utc_text(start_s)} does not begin on a whole minute, and the exchange's "
            "format has no seconds"
        )
    return f"{datetime.fromtimestamp(start_s, UTC):%Y-%m-%dT%H:%M},{kwh_text(energy_uwh)}"
