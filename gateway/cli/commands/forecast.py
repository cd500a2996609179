"""`meter-gateway forecast`: what was expected of slots, beside what came of them."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.terminal import Refused, assets_named, json_text, print_table, reading, settings_of

if TYPE_CHECKING:
    from gateway.cli.forecast_account import Account
    from gateway.site.settings import Settings
    from gateway.store.buffer import Buffer

SUMMARY = "how far forecasts were off, beside naive ones; as a table, or a page with a plot"

DEFAULT_DAYS = 3
MOST_DAYS = 28


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Shows for each asset since when it is learned, what is expected of its next slots (where "
        "an exchange is sent that), and how far forecasts were off over the last 1, 7 and 28 days: "
        "the mean error of a slot, beside the three naive forecasts as they could have been sent "
        "for the same slots; how many slots came within the band of 10 to 90 % (80 % should), and "
        "by how much the sum of all forecasts is off. Where another quantile than the median is "
        "sent (forecast_bias), what that costs is told for the same slots. What is judged is the "
        "forecast that stood when the slot began. Works while the daemon runs, and without it.\n"
        "--plot writes a page with the curves of the last days, which any browser shows. "
        "meter-gateway export forecasts writes every slot with its forecasts."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway forecast\n"
        "  meter-gateway forecast --asset 'House load' --json\n"
        "  meter-gateway forecast --plot forecast.html --days 7"
    )
    parser.add_argument("--asset", metavar="NAME", help="only this asset (its name or UUID)")
    parser.add_argument("--json", action="store_true", help="for programs: a list of objects")
    parser.add_argument(
        "--plot", type=_page_file, metavar="FILE", help="write the plot there, as a page (.html)"
    )
    parser.add_argument(
        "--days",
        type=_days,
        metavar="N",
        help=f"with --plot: of the last N days, 1 to {MOST_DAYS} (default: {DEFAULT_DAYS})",
    )
    parser.add_argument("--force", action="store_true", help="replace the file that is there")
    parser.set_defaults(usage_error=parser.error)


def _page_file(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(f"{text}: the file's name must end in .html")
    return path


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_DAYS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of days; write 1 to {MOST_DAYS}"
        )
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Returns 0, also where there is nothing to show. Raises Refused, StoreError."""
    from gateway.cli.forecast_account import account, account_row

    if args.days is not None and args.plot is None:
        args.usage_error("--days goes with --plot")
    settings = settings_of(args)
    assets = assets_named(settings, args.asset)
    if not assets:
        raise Refused("no asset is configured — forecasts are of assets: add some to gateway.yaml")
    now_s = time.time()
    with reading(settings) as buffer:
        accounts = [account(buffer, settings, asset, now_s) for asset in assets]
        if args.plot is not None:
            _write_plot(args, settings, accounts, buffer, now_s)
    if args.json:
        print(json_text([account_row(found) for found in accounts], indent=2))
    else:
        _print(accounts)
    return 0


def _write_plot(
    args: argparse.Namespace,
    settings: "Settings",
    accounts: "Sequence[Account]",
    buffer: "Buffer",
    now_s: float,
) -> None:
    """Raises Refused, StoreError."""
    from gateway.cli.forecast_account import DAY_S, slots_beside
    from gateway.cli.forecast_page import page
    from gateway.cli.spreadsheets import replacing

    since_s = int(now_s) - (args.days or DEFAULT_DAYS) * DAY_S
    found = [
        (each, list(slots_beside(buffer, each.asset.uuid, since_s, int(now_s))))
        for each in accounts
    ]
    with replacing(args.plot, force=args.force) as part:
        part.write_text(page(settings.site, found, settings.timezone.zone), encoding="utf-8")
    print(f"{args.plot}: the plot", file=sys.stderr)


def _print(accounts: "Sequence[Account]") -> None:
    from gateway.cli.forecast_table import COLUMNS
    from gateway.cli.tables import utc_text, wh_text

    for found in accounts:
        upcoming = ", ".join(
            f"{wh_text(owed.item.energy_uwh)} Wh from {utc_text(owed.item.slot_s)}"
            for owed in found.upcoming
        )
        print(f"{found.asset.name}: {found.words}{f'; sent: {upcoming}' if upcoming else ''}")
    rows = [row for found in accounts for row in _rows(found)]
    print_table(
        COLUMNS,
        rows,
        right=COLUMNS[2:],
        spare=["slots", "last week", "yesterday", "last slot", "sums"],
    )
    for found in accounts:
        if found.cost:
            print(f"{found.asset.name}: {found.cost}")
    if not any(score.slots for found in accounts for score in found.scores.values()):
        print(
            "no forecast can be judged yet: the first is of the second slot after the first one "
            "that is metered as a whole",
            file=sys.stderr,
        )


def _rows(found: "Account") -> Iterator[list[str]]:
    """Not the same slots twice, where there are not so many days yet."""
    from gateway.cli.forecast_table import score_cells

    before: int | None = None
    for days, score in found.scores.items():
        if score.slots != before:
            yield [found.asset.name if before is None else "", *score_cells(days, score)]
        before = score.slots
