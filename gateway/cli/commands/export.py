"""`meter-gateway export`: what is in the buffer, as files."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway.cli.forecast_account import FORECAST_COLUMNS, beside_row, slots_beside
from gateway.cli.profile_files import write_undelivered
from gateway.cli.profile_weeks import write_days, write_typical
from gateway.cli.spreadsheets import FORMATS, write_table
from gateway.cli.tables import (
    ASSET_COLUMNS,
    METER_COLUMNS,
    Row,
    asset_row,
    asset_slots,
    meter_row,
    sample_columns,
    sample_row,
)
from gateway.cli.terminal import add_period, assets_named, reading, settings_of

if TYPE_CHECKING:
    from datetime import tzinfo

    from gateway.site.settings import Asset, Settings
    from gateway.store.buffer import Buffer

SUMMARY = (
    "write slots, samples, forecasts, undelivered energy or profiles to files (CSV, XLSX, the "
    "exchange's upload format)"
)

T = TypeVar("T")

_IN_A_FOLDER = ("undelivered", "profile")
_TYPICAL = 0
"""Days of a typical week are made, and not counted."""
_MAX_DAYS = 90


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "slots: each asset's slots with their delivery (with --meters, each meter's slots with "
        "registers, coverage and gaps).\n"
        "samples: every sample, a column per quantity.\n"
        "forecasts: each asset's slots beside what was expected of them when they began (energy, "
        "the band of 10 to 90 %, how it was made), by how much that was off, and what the naive "
        "forecasts would have said.\n"
        "undelivered: the days of which the exchange lacks a slot whose energy is known, as "
        "profile files for its upload page: one per asset, in the folder OUTPUT, times in UTC. "
        "Every slot of such a day is in it, delivered or not: the exchange fills what a file "
        "leaves open with the value before. A day in which the energy of a slot is not known is "
        "left out, and named; where it lies between others, they go into files of their own.\n"
        "profile: what was measured, in the same form, for an exchange in which an asset's live "
        "data is switched off: it goes by uploaded profiles then, and uses a week of them over "
        "and over. --days 7 writes the last seven whole days of UTC. --days typical makes a week, "
        "from today on: each slot is the median of what was measured at that time of day (on the "
        "site's clocks) on weekdays, or at weekends, of the last four weeks.\n"
        "An existing file is only replaced with --force, and only once the new one is complete."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway export slots --output march.xlsx --since 2026-03-01 --until 2026-04-01\n"
        "  meter-gateway export samples --output samples.csv --since 2d\n"
        "  meter-gateway export forecasts --output forecasts.csv --since 28d\n"
        "  meter-gateway export undelivered --output upload/ --since 7d\n"
        "  meter-gateway export profile --output upload/ --days typical --asset 'House load'"
    )
    parser.add_argument(
        "what", choices=["slots", "samples", "forecasts", *_IN_A_FOLDER], help="what to write"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="the file, .csv or .xlsx; for undelivered and profile, the folder",
    )
    parser.add_argument(
        "--days",
        type=_days,
        metavar="N|typical",
        help="for profile: the last N whole days (before --until), or a typical week",
    )
    add_period(parser)
    parser.add_argument(
        "--asset", metavar="NAME", help="only this asset (its name or UUID), or its meters"
    )
    parser.add_argument(
        "--meters",
        action="store_true",
        help="for slots: per meter and direction instead of per asset",
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.set_defaults(usage_error=parser.error)


def _days(text: str) -> int:
    if text == "typical":
        return _TYPICAL
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= _MAX_DAYS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of days; write 1 to {_MAX_DAYS}, or typical"
        )
    return int(text)


def _check(args: argparse.Namespace) -> None:
    if args.meters and args.what != "slots":
        args.usage_error("--meters goes with slots")
    if args.what not in _IN_A_FOLDER and args.output.suffix.lower() not in FORMATS:
        args.usage_error(f"--output {args.output}: the file's name must end in .csv or .xlsx")
    if (args.days is not None) != (args.what == "profile"):
        args.usage_error(
            "say which days: --days 7, or --days typical"
            if args.what == "profile"
            else "--days goes with profile"
        )
    if args.what == "profile" and args.since is not None:
        args.usage_error("--since does not go with profile: --days says how many before --until")


def run(args: argparse.Namespace) -> int:
    """Returns 0 once the files are complete."""
    _check(args)
    settings = settings_of(args)
    assets = assets_named(settings, args.asset)
    since_s = 0 if args.since is None else int(args.since)
    until_s = 1 << 40 if args.until is None else int(args.until)
    with reading(settings) as buffer:
        if args.what == "undelivered":
            written = write_undelivered(
                args.output,
                settings.assets,
                buffer,
                only=None if args.asset is None else {asset.uuid for asset in assets},
                period_s=(since_s, until_s),
                slot_s=int(settings.market.slot),
                force=args.force,
            )
            return 0 if written else 1
        if args.what == "profile":
            return 0 if _write_profile(args, settings, assets, buffer) else 1
        columns: Sequence[str]
        period = buffer, since_s, until_s, settings.timezone.zone
        if args.what == "samples":
            columns, rows = _sample_rows(args, assets, buffer)
        elif args.what == "forecasts":
            columns, rows = FORECAST_COLUMNS, _forecast_rows(assets, *period)
        elif args.meters:
            columns, rows = METER_COLUMNS, _meter_rows(args, assets, *period)
        else:
            columns, rows = ASSET_COLUMNS, _asset_rows(args, assets, *period)
        count = write_table(args.output, columns, rows, force=args.force)
    print(f"{args.output}: {count} {args.what}", file=sys.stderr)
    return 0


def _write_profile(
    args: argparse.Namespace, settings: "Settings", assets: "Sequence[Asset]", buffer: "Buffer"
) -> bool:
    """Returns whether there is a file of each asset. Raises Refused."""
    import time

    end_s = int(min(time.time(), args.until or 1 << 40))
    slot_s = int(settings.market.slot)
    if args.days == _TYPICAL:
        timezone = settings.timezone.name
        return write_typical(
            args.output,
            assets,
            buffer,
            end_s=end_s,
            slot_s=slot_s,
            timezone=timezone,
            force=args.force,
        )
    return write_days(
        args.output,
        assets,
        buffer,
        days=args.days,
        end_s=end_s,
        slot_s=slot_s,
        force=args.force,
    )


# --- rows -----------------------------------------------------------------------------------------


def _asset_rows(
    args: argparse.Namespace,
    assets: "Sequence[Asset]",
    buffer: "Buffer",
    since_s: int,
    until_s: int,
    zone: "tzinfo",
) -> Iterator[Row]:
    wanted = {asset.uuid for asset in assets}
    found = asset_slots(
        buffer.slots(since_s, until_s),
        buffer.owed(since_s, until_s),
        assets,
        buffer.asset_slots(since_s, until_s),
    )
    for slot in _watched(found, lambda s: s.start_s, until_s):
        if args.asset is None or slot.asset in wanted:
            yield asset_row(slot, zone)


def _meter_rows(
    args: argparse.Namespace,
    assets: "Sequence[Asset]",
    buffer: "Buffer",
    since_s: int,
    until_s: int,
    zone: "tzinfo",
) -> Iterator[Row]:
    devices = {device for asset in assets for device in asset.energy.devices}
    for slot in _watched(buffer.slots(since_s, until_s), lambda s: s.start_s, until_s):
        if args.asset is None or slot.device in devices:
            yield meter_row(slot, zone)


def _forecast_rows(
    assets: "Sequence[Asset]", buffer: "Buffer", since_s: int, until_s: int, zone: "tzinfo"
) -> Iterator[Row]:
    """One asset after the other."""
    for asset in assets:
        found = slots_beside(buffer, asset.uuid, since_s, until_s)
        for each in _watched(found, lambda b: b.slot.start_s, until_s):
            yield beside_row(each, asset.name, zone)


def _sample_rows(
    args: argparse.Namespace, assets: "Sequence[Asset]", buffer: "Buffer"
) -> tuple[list[str], Iterator[Row]]:
    devices = {device for asset in assets for device in asset.energy.devices}
    since_ms, until_ms = (
        None if at_s is None else round(at_s * 1000) for at_s in (args.since, args.until)
    )
    found = buffer.samples(since_ms=since_ms, until_ms=until_ms)
    samples = (
        sample
        for _, sample in _watched(
            found, lambda f: (f[1].utc_ms or 0) // 1000, args.until or 1 << 40
        )
    )
    columns = sample_columns(buffer.quantities())
    return columns, (
        sample_row(sample) for sample in samples if args.asset is None or sample.device in devices
    )


def _watched(found: Iterable[T], at_s: Callable[[T], float], until_s: float) -> Iterator[T]:
    """The same, with a progress bar on the terminal: how far they have come in time, since
    everything here is in its order.
    """
    import time

    from rich.console import Console
    from rich.progress import Progress

    end_s = min(until_s, time.time())
    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as progress:
        task = progress.add_task("reading the buffer", total=None)
        begin_s = 0.0
        for number, each in enumerate(found):
            if number % 1000 == 0 and (now_s := at_s(each)):
                begin_s = begin_s or now_s
                progress.update(task, total=max(end_s - begin_s, 1), completed=now_s - begin_s)
            yield each
