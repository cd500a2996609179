"""Messages → the rows that are written of them, in the order of their keys. Pure.

A row has its slot as PostgreSQL writes it, so that it goes into COPY and into an array alike.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from gateway.fleet.checking import CLOCKS, KINDS, METHODS, QUALITIES, Checked
from gateway.fleet.directory import Day, Directory, SeriesName
from gateway.fleet.owing import Stored
from gateway.outbox.fleet.messages import AssetRows, MeterRows, Slots

Row = tuple[Any, ...]

_ASSET_KEY = itemgetter(0, 1, 2, 3)
_METER_KEY = itemgetter(0, 1, 2)


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that can be stored, or parts of it."""

    site: str
    site_id: int
    message: Slots
    checked: Checked
    at_s: float


class Item(NamedTuple):
    """The rows of one asset that belongs to the site which sent them."""

    asset: int
    store: int
    kind: str
    by_fleet: bool
    rows: AssetRows


def items_of(directory: Directory, batch: Sequence[Taken]) -> list[Item]:
    """Of all these messages; the directory knows their names."""
    found = []
    for each in batch:
        store = directory.store(each.site_id, each.message.store)
        by_fleet = each.message.deliver == "fleet"
        for item in each.checked.items:
            asset, site = directory.asset(item.asset)
            if site == each.site_id:
                found.append(Item(asset, store, KINDS[item.kind], by_fleet, item))
    return found


def slots_of(batch: Sequence[Taken]) -> set[int]:
    """The begins of all slots of which there are rows, Unix time."""
    slots = {r.slot_s for each in batch for item in each.checked.items for r in item.rows}
    return slots | {r.slot_s for each in batch for m in each.checked.meters for r in m.rows}


def asset_rows(directory: Directory, items: Sequence[Item]) -> list[Row]:
    """As `statements.ASSET_COLUMNS` has them."""
    text, rows = directory.slot_texts, []
    for asset, store, kind, _, item in items:
        length_s = item.length_s
        rows += [
            (asset, text[r.slot_s], kind, r.revision, length_s, r.energy_uwh, r.uncertainty_uwh,
             QUALITIES[r.quality], store)
            for r in item.rows
        ]  # fmt: skip
    rows.sort(key=_ASSET_KEY)
    return rows


def meter_rows(directory: Directory, batch: Sequence[Taken]) -> list[Row]:
    """As `statements.METER_COLUMNS` has them."""
    text, rows = directory.slot_texts, []
    for each in batch:
        store = directory.store(each.site_id, each.message.store)
        for meter in each.checked.meters:
            series = directory.series(series_name(each, meter))
            length_s = meter.length_s
            rows += [
                (series, text[r.slot_s], r.revision, length_s, r.energy_uwh, r.uncertainty_uwh,
                 r.begin_register_uwh, r.end_register_uwh, r.samples, r.largest_gap_ms,
                 r.coverage_permille, QUALITIES[r.quality], METHODS[r.method], CLOCKS[r.clock],
                 store)
                for r in meter.rows
            ]  # fmt: skip
    rows.sort(key=_METER_KEY)
    return rows


def series_name(taken: Taken, meter: MeterRows) -> SeriesName:
    """How the directory calls it."""
    return taken.site_id, meter.meter, meter.direction, meter.serial


def counted(directory: Directory, items: Sequence[Item]) -> list[Row]:
    """What these add to each local day of each asset, where all of them are new: as
    `statements.COUNT` is given it.
    """
    found: dict[tuple[str, int], list[Any]] = {}
    for asset, _, kind, _, item in items:
        if kind != "m":
            continue
        at: Day | None = None
        count: list[Any] = []
        for row in item.rows:
            day = directory.days[row.slot_s]
            if day is not at:
                at = day
                first = [item.length_s, day.length_s, 0, 0, 0, 0, False]
                count = found.setdefault((day.name, asset), first)
                count[0] = max(count[0], item.length_s)
            if row.revision:
                count[6] = True
                continue
            count[2] += 1
            if row.energy_uwh is not None:
                count[3] += 1
                count[4] += row.quality != "measured"
                count[5] += row.energy_uwh
    return [(*key, *found[key]) for key in sorted(found)]


def stored(items: Sequence[Item], only: Set[int] | None = None) -> Iterator[Stored]:
    """The numbers that may be owed to the exchange, or not any more; `only` of these assets, and of
    others what is written anew.
    """
    for asset, _, kind, by_fleet, item in items:
        firsts = by_fleet and (only is None or asset in only)
        for row in item.rows:
            if firsts or row.revision:
                yield Stored(asset, row.slot_s, kind, row.revision, by_fleet)


def owed(directory: Directory, items: Sequence[Item], doubtful: Set[int]) -> list[Row]:
    """What is owed to the exchange of first revisions that are new; without assets of which newer
    ones may be there. As `statements.OWED_COLUMNS` has them.
    """
    text, rows = directory.slot_texts, []
    for asset, _, kind, by_fleet, item in items:
        if not by_fleet or asset in doubtful:
            continue
        length_s = item.length_s
        rows += [
            (asset, text[r.slot_s], kind, 0, length_s, r.energy_uwh, "o", "")
            if r.energy_uwh is not None
            else (asset, text[r.slot_s], kind, 0, length_s, None, "m", NOT_METERED)
            for r in item.rows
            if not r.revision
        ]
    rows.sort(key=itemgetter(0, 1, 2))
    return rows


NOT_METERED = "it was not wholly metered"


def as_csv(rows: Sequence[Row]) -> bytes:
    """As COPY takes them, with `NULL 'null'`: numbers, and texts without quotes and backslashes."""
    return msgspec.json.encode(rows)[2:-2].replace(b"],[", b"\n") if rows else b""


def as_array(column: tuple[Any, ...]) -> str:
    """A column of numbers, of plain texts and of None as PostgreSQL writes an array: as JSON does,
    but for the brackets. psycopg looks at each element of a list with a regular expression, which
    took two thirds of the collector's time.
    """
    return "{" + msgspec.json.encode(column).decode()[1:-1] + "}"


def as_text_array(column: tuple[str, ...]) -> str | list[str]:
    """The same of whatever texts a gateway sent: what cannot be printed JSON writes otherwise."""
    return as_array(column) if all(map(str.isprintable, column)) else list(column)
