"""`meter-gateway verify`: does the exchange hold what is in the buffer?"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.terminal import TIME_FORM, Refused, moment

if TYPE_CHECKING:
    from gateway.cli.verification import Asked, Verified
    from gateway.cli.verified_json import Resent
    from gateway.delivery.exchange.history import Progress
    from gateway.outbox.owed import Owed
    from gateway.site.settings import Settings
    from gateway.store.buffer import Buffer

SUMMARY = "compare every slot in the buffer with what the exchange holds"

QUIET_S = 3.0
"""What takes longer says how far it is, where there is no terminal to show it on."""
AT_ONCE = 2000
"""Items of one transaction: the daemon does not wait long for it."""
MAX_SHOWN = 30
"""Stretches of differences in the table."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Logs in to the exchange with the gateway's own login, asks what it holds (historical "
        "data), and puts it beside every slot in the buffer: how much agrees per day and asset, "
        "and of each difference the likely cause. With --results also beside the results that the "
        "exchange offers for download (asset_statistics.json, or CSV files of assets). What "
        "neither tells of is judged by the verdict that was written down. Nothing is sent, and the "
        "daemon is not disturbed, unless you say --resend.\n"
        "Exit code 1 where something differs, or could not be compared."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway verify\n"
        "  meter-gateway verify --from 2026-03-01 --to 2026-04-01 --asset 'House load'\n"
        "  meter-gateway verify --results asset_statistics.json\n"
        "  meter-gateway verify --xlsx verified.xlsx      (the last 90 days, to be kept)\n"
        "  meter-gateway verify --from 2d --resend\n"
        "  meter-gateway verify --from 1d --json"
    )
    parser.add_argument(
        "--from",
        dest="since",
        type=moment,
        metavar="TIME",
        help=f"slots from then on: {TIME_FORM} (default: all that the exchange has not forgotten)",
    )
    parser.add_argument(
        "--to", dest="until", type=moment, metavar="TIME", help="and before then, written alike"
    )
    parser.add_argument("--asset", metavar="NAME", help="only this asset (its name or UUID)")
    parser.add_argument(
        "--results",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a file of the results that the exchange offers; may be given several times",
    )
    parser.add_argument(
        "--resend",
        action="store_true",
        help="have what differs, and can be mended so, sent once more",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="for programs: an object with all of it, instead of the tables",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every slot there")
    parser.add_argument("--xlsx", type=Path, metavar="FILE", help="the same as a spreadsheet")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument(
        "--destination",
        metavar="NAME",
        default="exchange",
        help="which exchange (default: exchange)",
    )
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Returns 0 where all that was compared agrees. Raises Refused, ConfigError, StoreError."""
    from gateway.cli.terminal import reading
    from gateway.cli.verification import verify
    from gateway.delivery import kinds

    for path, suffix in ((args.csv, ".csv"), (args.xlsx, ".xlsx")):
        if path is not None and path.suffix.lower() != suffix:
            args.usage_error(f"--{suffix[1:]} {path}: the file's name must end in {suffix}")
    settings = kinds.load(args.config)
    asked = _asked(args, settings)
    with reading(settings) as buffer, _progress() as on:
        verified = verify(asked, buffer, on)
    _write(args, verified)
    if args.json:
        _print_json(verified, _resend(settings, verified) if args.resend else None)
        return _exit_code(verified)
    _print(verified, settings)
    if args.resend:
        _print_resent(_resend(settings, verified))
    _print_end(verified, args)
    return _exit_code(verified)


def _asked(args: argparse.Namespace, settings: "Settings") -> "Asked":
    """Raises Refused."""
    from drivers.strict_yaml import nearest
    from gateway.cli.registry_comparison import exchanges_of
    from gateway.cli.verification import Asked

    exchanges = exchanges_of(settings)
    if args.destination not in exchanges:
        raise Refused(
            f"gateway.yaml has no exchange {args.destination!r}"
            + (f" — {nearest(args.destination, exchanges)}" if exchanges else "")
        )
    chosen = [a for a in settings.assets if args.asset in (None, a.name, str(a.uuid))]
    if not chosen:
        names = [asset.name for asset in settings.assets]
        raise Refused(f"there is no asset {args.asset!r} — {nearest(str(args.asset), names)}")
    now_s = time.time()
    return Asked(
        settings,
        args.destination,
        exchanges[args.destination],
        chosen,
        None if args.since is None else int(args.since),
        int(now_s if args.until is None else args.until),
        args.results,
        now_s,
    )


@contextmanager
def _progress() -> "Iterator[Progress]":
    """How far it is: a bar on a terminal; elsewhere a line now and then, where it takes long."""
    from rich.console import Console
    from rich.progress import Progress

    terminal = sys.stderr.isatty()
    told_s = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True, disable=not terminal) as progress:
        task = progress.add_task("asking the exchange", total=None)

        def on(_: object, done: int, of: int) -> None:
            nonlocal told_s
            progress.update(task, total=of, completed=done)
            if not terminal and time.monotonic() - told_s > QUIET_S:
                told_s = time.monotonic()
                print(f"asked the exchange for {done} of {of} assets", file=sys.stderr)

        yield on


# --- showing --------------------------------------------------------------------------------------


def _print(verified: "Verified", settings: "Settings") -> None:
    from gateway.cli.tables import utc_text
    from gateway.cli.terminal import print_table
    from gateway.cli.verified_tables import day_cells, joined, stretch_cells, stretches, tallies

    beside = " and ".join(verified.sources) or "the verdicts alone"
    print(
        f"Slots from {utc_text(verified.since_s)} to {utc_text(verified.until_s)} beside {beside}, "
        "days in UTC"
    )
    names = verified.names
    rows = [day_cells(tally, names) for tally in joined(tallies(verified.slots))]
    counts = ["agree", "differ", "wait", "untold"]
    columns = ["days", "asset", *counts, "agreement", "likely causes"]
    if rows:
        print_table(columns, rows, right=[*counts, "agreement"], spare=["wait", "untold"])

    found = list(stretches(verified.slots, int(settings.market.slot)))
    if found:
        columns = ["differences", "slots", "asset", "Wh here", "Wh there", "told by"]
        columns += ["likely cause", "detail", "what helps"]
        cells = [stretch_cells(stretch, names) for stretch in found[:MAX_SHOWN]]
        spare = ["slots", "told by", "what helps"]
        print_table(columns, cells, right=["slots", "Wh here", "Wh there"], spare=spare)
    if len(found) > MAX_SHOWN:
        print(f"the first {MAX_SHOWN} of {len(found)} differences; all with --csv or --xlsx")


def _print_json(verified: "Verified", resent: "Resent | None") -> None:
    import msgspec

    from gateway.cli.terminal import json_text
    from gateway.cli.verified_json import report_of

    print(json_text(msgspec.to_builtins(report_of(verified, resent)), indent=2))


def _exit_code(verified: "Verified") -> int:
    counts = Counter(each.agreement for each in verified.slots)
    agrees = counts["agrees"] and not counts["differs"] and not verified.problems
    return 0 if agrees else 1


def _print_end(verified: "Verified", args: argparse.Namespace) -> None:
    """The end of the report."""
    counts = Counter(each.agreement for each in verified.slots)
    zeros = sum(each.agreement == "agrees" and not each.ours.energy_uwh for each in verified.slots)
    compared = counts["agrees"] + counts["differs"]
    if not verified.slots:
        print("There is nothing to compare: the buffer has no slot in that time.")
    print(
        f"{counts['agrees']} of {compared} slots agree to the µWh"
        + (f", {zeros} of them at 0 Wh, which proves little" if zeros else "")
        + f"; {counts['differs']} differ, {counts['waits']} are too new to tell, of "
        f"{counts['untold']} there is nothing to compare."
    )
    for text in verified.notes:
        print(f"note: {text}")
    for text in verified.problems:
        print(f"problem: {text}", file=sys.stderr)
    mends = sum(each.mends for each in verified.slots)
    if mends and not args.resend:
        print(f"{mends} can be sent once more: the same command with --resend")
    if not (args.csv or args.xlsx) and verified.slots:
        day = datetime.fromtimestamp(verified.until_s, UTC)
        print(
            "The exchange forgets after 90 days. Keep this report: the same command with "
            f"--xlsx verified-{day:%Y-%m-%d}.xlsx"
        )


def _write(args: argparse.Namespace, verified: "Verified") -> None:
    """Raises Refused."""
    from gateway.cli.spreadsheets import write_table
    from gateway.cli.verified_tables import COLUMNS, row

    for path in (args.csv, args.xlsx):
        if path is not None:
            rows = (row(each, verified.names, verified.zone) for each in verified.slots)
            count = write_table(path, COLUMNS, rows, force=args.force)
            print(f"{path}: {count} slots", file=sys.stderr)


# --- mending --------------------------------------------------------------------------------------


def _resend(settings: "Settings", verified: "Verified") -> "Resent":
    """Through the outbox: what is sent is what was sent, for the same slot and asset. Raises
    StoreError.
    """
    from gateway.cli.verified_json import Resent
    from gateway.store.opening import open_for_deciding

    differing = [each for each in verified.slots if each.agreement == "differs"]
    mended = [each.ours.owed for each in differing if each.mends and each.ours.owed]
    count = 0
    if mended:
        buffer = open_for_deciding(settings.buffer_path)
        try:
            for first in range(0, len(mended), AT_ONCE):
                count += _owe_again(buffer, mended[first : first + AT_ONCE])
        finally:
            buffer.close_file()
    left = Counter(str(each.cause) for each in differing if not each.mends)
    return Resent(count, left, len(mended) - count)


def _print_resent(resent: "Resent") -> None:
    differing = resent.owed_again + resent.decided_meanwhile + resent.left.total()
    print(
        f"{resent.owed_again} of {differing} differing slots are owed again; a running daemon "
        "notices within half a minute"
    )
    for cause, number in resent.left.most_common():
        print(f"{number} are left as they are: {cause}")
    if resent.decided_meanwhile:
        print(
            f"{resent.decided_meanwhile} were decided by the daemon meanwhile, and are left alone"
        )


def _owe_again(buffer: "Buffer", mended: "Sequence[Owed]") -> int:
    accepted = [owed.item for owed in mended if owed.state == "accepted"]
    others = [owed.item for owed in mended if owed.state != "accepted"]
    reason = "was accepted, but the exchange holds another number, or none (verify)"
    outbox = buffer.tables.outbox
    return outbox.owe_again(accepted, reason) + (buffer.retry(others) if others else 0)
