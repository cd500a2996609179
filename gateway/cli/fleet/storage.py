"""What `fleet` does with what is stored: `pack`, `report`, `export` and `forget`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from gateway.cli.fleet import certificates
from gateway.cli.fleet.parquet import Parquet
from gateway.cli.spreadsheets import FORMATS, Table, replacing, write_table
from gateway.cli.terminal import Refused
from gateway.fleet import leaving, migrating, reporting
from gateway.fleet.database import NotReady, connect
from gateway.fleet.packing import Packing, due, words
from gateway.fleet.settings import FleetSettings

REPORT_FORMATS: dict[str, Callable[[Path, Sequence[str]], Table]] = {
    **FORMATS,
    ".parquet": Parquet,
}


async def pack(settings: FleetSettings) -> int:
    """Returns the exit code. Raises DatabaseError, Refused, ConfigError."""
    packing = Packing(settings, pause=0.0)
    done = await packing.once(lambda what: print(f"{what} …", flush=True))
    for each in done:
        print(words(each))
    days = settings.file.pack_after_days
    connection = await connect(settings)
    try:
        left = await due(connection, days)
    finally:
        await connection.close()
    if left:
        raise Refused("a collector packs at this moment: wait for it, or look at its log")
    if not done:
        print(f"There is no month that ended {days} days ago and is not packed yet.")
    return 0


async def report(settings: FleetSettings, args: argparse.Namespace) -> int:
    """Returns the exit code. Raises DatabaseError, Refused, ConfigError."""
    month = _month(args)
    path = args.output or Path(f"fleet-{month:%Y-%m}.csv")
    if path.suffix.lower() not in REPORT_FORMATS:
        args.usage_error(f"--output {path}: the file's name must end in .csv, .xlsx or .parquet")
    connection = await connect(settings)
    try:
        await migrating.require(connection)
        rows = [row async for row in reporting.month_rows(connection, month, args.by)]
    finally:
        await connection.close()
    if not rows:
        raise Refused(f"there was no asset yet in {month:%Y-%m}: look at fleet sites list")
    columns = reporting.COLUMNS[args.by]
    count = write_table(path, columns, iter(rows), force=args.force, formats=REPORT_FORMATS)
    expected, known = (sum(row[name] for row in rows) for name in columns[5:7])
    print(f"{path}: {count} {args.by}s, {known:,} of {expected:,} slots are known.")
    return 0


def _month(args: argparse.Namespace) -> date:
    text = args.month
    if text is None:
        args.usage_error("report: which month? --month 2026-03")
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        args.usage_error(f"--month {text}: write it as 2026-03")
        raise


async def export(settings: FleetSettings, args: argparse.Namespace) -> int:
    """Returns the exit code. Raises DatabaseError, Refused, ConfigError."""
    site = _site(args)
    path = args.output or Path(f"{site}.zip")
    connection = await connect(settings)
    try:
        await migrating.require(connection)
        with replacing(path, force=args.force) as part:
            part.touch(0o600)
            rows = await leaving.export(connection, site, part)
    except leaving.UnknownSite as error:
        raise Refused(str(error)) from error
    finally:
        await connection.close()
    print(f"{path}: all that there is of {site}, {sum(rows.values()):,} rows; manifest.json in it")
    print("has the rows and the SHA-256 of each file. It is personal: hand it to that home only.")
    return 0


async def forget(settings: FleetSettings, args: argparse.Namespace) -> int:
    """Returns the exit code. Raises DatabaseError, Refused, ConfigError."""
    site = _site(args)
    if args.admin is not None:
        database = replace(settings.file.database, credentials=str(args.admin))
        settings = replace(settings, file=replace(settings.file, database=database))
    connection = await connect(settings)
    try:
        await migrating.require(connection)
        rows = await leaving.counts(connection, await leaving.parts_of(connection, site))
        _print_counts(f"Of {site} there are:", rows)
        if not args.yes and not _is_sure(site):
            print("Nothing was deleted.")
            return 1
        had_certificates = await certificates.take_away(settings, connection, [site], args.output)
        reference, rows = await leaving.forget(
            connection,
            site,
            leaving.SETTLE_S,
            lambda rest_s: print(f"Collectors are told: {rest_s:.0f} s …", flush=True),
        )
    except leaving.UnknownSite as error:
        raise Refused(str(error)) from error
    except NotReady as error:
        raise Refused(
            f"{error}. The collectors' user may not delete: name the login of one who may with "
            "--admin FILE"
        ) from error
    finally:
        await connection.close()
    _print_counts("Deleted, in one transaction, and none is left:", rows)
    print(f"That is recorded in fleet.forgotten, without a name, under {reference}.")
    print("Copies are not in this database: backups of it, and what was exported or reported.")
    print("Take its login from the broker: its line of password_file, or the client there.")
    if had_certificates:
        print("The serial numbers of its certificates are kept without its name until these end,")
        print(
            f"for the lists to come. Copy {args.output / certificates.LIST_FILE} to the broker, if"
        )
        print("you have not yet, and restart it: until then its gateway can still connect.")
    return 0


def _site(args: argparse.Namespace) -> str:
    if len(args.words) != 1:
        args.usage_error(f"{args.action}: which site? One name")
    return str(args.words[0])


def _print_counts(title: str, rows: dict[str, int]) -> None:
    print(title)
    for table, count in rows.items():
        if count:
            print(f"  {count:>12,} rows of {table}")


def _is_sure(site: str) -> bool:
    if not sys.stdin.isatty():
        raise Refused("there is nobody to ask: say --yes, and nothing was deleted")
    print(f"This cannot be taken back. Type the site's name to delete all of it ({site}):")
    try:
        return input().strip() == site
    except EOFError:
        return False
