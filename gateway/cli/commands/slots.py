"""`meter-gateway slots`: what is in the buffer."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gateway.cli.tables import (
    ASSET_COLUMNS,
    METER_COLUMNS,
    AssetSlotRow,
    Row,
    asset_row,
    asset_slots,
    local_text,
    meter_row,
    utc_text,
    wh_text,
)
from gateway.cli.terminal import add_period, json_text, print_table, reading, settings_of

if TYPE_CHECKING:
    from datetime import tzinfo

    from gateway.energy.slot import Slot
    from gateway.site.settings import Settings
    from gateway.store.buffer import Buffer

SUMMARY = "show the slots in the buffer: energy, quality and delivery of each asset"

DEFAULT_LAST = 12


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Shows each asset's slots: energy, by how much it may be off, how well it is known "
        "(quality, coverage) and what became of its delivery. Works while the "
        "daemon runs, and without it.\n"
        "Quality: measured, estimated (a gap inside was interpolated), partial (metered for a "
        "part of the slot; not delivered), missing.\n"
        "Forecast: what was expected of the slot when it began (Wh); meter-gateway forecast "
        "tells how far that is off.\n"
        "Delivery: pending, accepted, rejected, missed (its time passed, or it was not wholly "
        "metered), open (a meter has not closed the "
        "slot yet), kept (no exchange wants it).\n"
        "A negative result of an asset's formula is delivered as 0; it stands beside it in "
        "brackets."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway slots\n"
        "  meter-gateway slots --since 2026-03-29T00:00Z --until 2026-03-30T00:00Z\n"
        "  meter-gateway slots --meters --since 2h\n"
        "  meter-gateway slots --since 3d --csv > slots.csv"
    )
    parser.add_argument(
        "--meters", action="store_true", help="per meter and direction instead of per asset"
    )
    add_period(parser)
    last = f"the newest N slot times (default: {DEFAULT_LAST}, where no time is given)"
    parser.add_argument("--last", type=_count, metavar="N", help=last)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs: a list of objects")
    form.add_argument(
        "--csv", action="store_true", help="for programs: comma-separated values with a header"
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of slots; write 1 to 100000")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Returns 0, also where there is nothing to show."""
    settings = settings_of(args)
    zone = settings.timezone.zone
    with reading(settings) as buffer:
        since_s, until_s = _period(args, settings, buffer)
        if args.meters:
            meter_slots = buffer.slots(since_s, until_s)
            if args.json or args.csv:
                _for_programs(
                    METER_COLUMNS, map(partial(meter_row, zone=zone), meter_slots), args.json
                )
            else:
                _meter_table(meter_slots, zone)
        else:
            found = asset_slots(
                buffer.slots(since_s, until_s),
                buffer.owed(since_s, until_s),
                settings.assets,
                buffer.asset_slots(since_s, until_s),
            )
            if args.json or args.csv:
                _for_programs(ASSET_COLUMNS, map(partial(asset_row, zone=zone), found), args.json)
            else:
                _asset_table(found, zone)
                _say_what_is_learned(settings, buffer)
                _say_what_accepted_means(settings)
        count, energy_uwh = buffer.unallocated_total()
        if count:
            what = "record" if count == 1 else "records"
            print(
                f"unallocated: {wh_text(energy_uwh)} Wh in {count} {what}; meter-gateway "
                "allocate lists them",
                file=sys.stderr,
            )
    return 0


def _say_what_is_learned(settings: "Settings", buffer: "Buffer") -> None:
    """Of assets that have not been learned for long, or not well: since when they are learned."""
    import time

    from gateway.cli.forecast_account import news_of

    now_s = time.time()
    for asset in settings.assets:
        if news := news_of(buffer, settings, asset, now_s):
            print(f"{asset.name}: {news}", file=sys.stderr)


def _say_what_accepted_means(settings: "Settings") -> None:
    """Where it is not the exchange's engine that said so."""
    from gateway.delivery.kinds.exchange import settings_of as exchange_of

    exchange = exchange_of(settings)
    if exchange is not None and not exchange.hears_verdicts:
        print(
            "accepted means taken by HTTP here: no verdict of the exchange's engine is heard",
            file=sys.stderr,
        )


def _period(args: argparse.Namespace, settings: "Settings", buffer: "Buffer") -> tuple[int, int]:
    """From which slot on, and before which."""
    since_s = 0 if args.since is None else int(args.since)
    until_s = 1 << 40 if args.until is None else int(args.until)
    last = args.last or (DEFAULT_LAST if args.since is None and args.until is None else 0)
    return (
        max(since_s, _start_of_last(last, until_s, settings, buffer)) if last else since_s
    ), until_s


def _start_of_last(count: int, until_s: int, settings: "Settings", buffer: "Buffer") -> int:
    """The start of the last so many slots: looks back ever further, so that the usual case reads
    little.
    """
    import time

    newest_s = min(until_s, int(time.time()) + 3 * settings.market.slot)  # forecasts lie ahead
    back_s = (count + 3) * settings.market.slot
    while True:
        since_s = max(newest_s - back_s, 0)
        starts = {slot.start_s for slot in buffer.slots(since_s, until_s)} | {
            owed.item.slot_s for owed in buffer.owed(since_s, until_s)
        }
        if len(starts) >= count or since_s == 0:
            return sorted(starts)[-count:][0] if starts else 0
        back_s *= 8


def _for_programs(columns: Sequence[str], rows: Iterable[Row], as_json: bool) -> None:
    """Written as they come: a year of slots needs no memory."""
    if as_json:
        before = "["
        for row in rows:
            print(before, json_text(row), sep="\n", end="")
            before = ","
        print("[]" if before == "[" else "\n]")
        return
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _asset_table(found: Iterable[AssetSlotRow], zone: "tzinfo") -> None:
    columns = [
        "slot (UTC)",
        "local time",
        "asset",
        "kind",
        "Wh",
        "± Wh",
        "forecast",
        "quality",
        "doubts",
        "coverage",
        "delivery",
        "reason",
    ]
    rows = list(_blanked(_asset_cells(found, zone)))
    spare = ["doubts", "coverage", "local time", "reason", "± Wh", "forecast", "kind", "quality"]
    print_table(columns, rows, right=["Wh", "± Wh", "forecast", "coverage"], spare=spare)
    _say_if_empty(rows)


def _asset_cells(found: Iterable[AssetSlotRow], zone: "tzinfo") -> Iterator[list[str]]:
    for slot in found:
        negative = "" if slot.raw_uwh is None else f" [{wh_text(slot.raw_uwh)}]"
        kind = slot.kind if slot.revision == 0 else f"{slot.kind} {slot.revision + 1}"
        yield [
            utc_text(slot.start_s),
            local_text(slot.start_s, zone),
            slot.name,
            kind,
            wh_text(slot.energy_uwh) + negative,
            wh_text(slot.uncertainty_uwh),
            wh_text(slot.expected.forecast_uwh) if slot.expected else "",
            slot.quality,
            slot.doubts,
            "" if slot.coverage_permille is None else f"{slot.coverage_permille / 10:g} %",
            slot.state,
            slot.reason,
        ]


def _meter_table(slots: "Iterable[Slot]", zone: "tzinfo") -> None:
    columns = [
        "slot (UTC)",
        "local time",
        "meter",
        "direction",
        "Wh",
        "± Wh",
        "quality",
        "doubts",
        "coverage",
        "samples",
        "largest gap",
        "method",
        "serial number",
    ]
    rows = list(_blanked(_meter_cells(slots, zone)))
    print_table(
        columns,
        rows,
        right=["Wh", "± Wh", "coverage", "samples", "largest gap"],
        spare=[
            "doubts",
            "largest gap",
            "samples",
            "method",
            "local time",
            "serial number",
            "coverage",
            "± Wh",
            "quality",
            "doubts",
        ],
    )
    _say_if_empty(rows)


def _meter_cells(slots: "Iterable[Slot]", zone: "tzinfo") -> Iterator[list[str]]:
    for slot in slots:
        yield [
            utc_text(slot.start_s),
            local_text(slot.start_s, zone),
            slot.device,
            slot.direction,
            wh_text(slot.energy_uwh),
            wh_text(slot.uncertainty_uwh),
            slot.quality,
            slot.doubts,
            f"{slot.coverage_permille / 10:g} %",
            str(slot.samples),
            f"{slot.largest_gap_ms / 1000:g} s",
            slot.method,
            slot.serial_number or "",
        ]


def _blanked(rows: Iterable[list[str]]) -> Iterator[Sequence[str]]:
    """The time stands once per slot."""
    before = ""
    for row in rows:
        yield ["", "", *row[2:]] if row[0] == before else row
        before = row[0]


def _say_if_empty(rows: Sequence[object]) -> None:
    if not rows:
        print(
            "no slots there; the first closes when the first whole slot after the daemon's start "
            "has passed",
            file=sys.stderr,
        )
