"""`meter-gateway fees test MODEL FILE`: a tariff file, checked at a desk."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.terminal import argument

if TYPE_CHECKING:
    from gateway.operator.fee import Fee, FeeType
    from gateway.operator.tariffs.reading import Tariffs

WITH_FILES = ("aziiz", "time_of_use")
"""The models that read a file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `test` takes."""
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help=f"for test: {' or '.join(WITH_FILES)}"
    )
    parser.add_argument("file", nargs="?", metavar="FILE", type=Path, help="for test: the file")
    parser.add_argument(
        "--fee-type",
        choices=["constant", "percent"],
        help="of the network: ct/kWh or percent (default: as gateway.yaml says, else constant)",
    )
    parser.add_argument(
        "--times",
        choices=["utc", "local"],
        default="utc",
        help="for test: what the file's times are (default: utc)",
    )
    parser.add_argument(
        "--day",
        type=_day,
        metavar="DATE",
        help="for test: which day to show, such as 2026-03-29 (default: today)",
    )
    parser.add_argument(
        "--timezone",
        type=_timezone,
        metavar="NAME",
        help="for test: the time zone of local times, such as Europe/Berlin (default: that of "
        "gateway.yaml, else of this machine)",
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write 2026-03-29") from error


@argument
def _timezone(text: str) -> str:
    from gateway.site.timezone import TimezoneName

    return TimezoneName.parse(text)


def test(args: argparse.Namespace) -> int:
    """Returns 1 where the file has mistakes, each of which is told. Raises Refused."""
    from drivers.strict_yaml import nearest
    from gateway.cli.terminal import Refused
    from gateway.operator.model import TariffError
    from gateway.operator.models import model_names
    from gateway.operator.tariffs.reading import Tariffs

    if args.model is None or args.file is None:
        args.usage_error("test needs a model and a file: fees test time_of_use tou.csv")
    if args.model not in WITH_FILES:
        if args.model in model_names():
            raise Refused(f"{args.model} has no file; meter-gateway check looks at its keys")
        hint = nearest(args.model, WITH_FILES)
        raise Refused(f"there is no tariff model {args.model!r} — {hint}")

    fee_type = fee_type_of(args)
    tariffs = Tariffs(Path(), fee_type)
    try:
        if args.model == "aziiz":
            _show_thresholds(args, tariffs)
        else:
            _show_day(args, tariffs)
    except TariffError as error:
        for problem in error.problems:
            print(problem)
        count = len(error.problems)
        print(f"{count} {'mistake' if count == 1 else 'mistakes'} in {args.file}")
        return 1
    return 0


def fee_type_of(args: argparse.Namespace) -> "FeeType":
    """The fee type that was said, or that gateway.yaml says, if it is there and says one."""
    said = args.fee_type or configured(args, "grid_operator", "fee_type")
    return "percent" if said == "percent" else "constant"


def configured(args: argparse.Namespace, section: str, key: str) -> object:
    """A key of gateway.yaml, as it is written; None where there is none. A desk has no such file,
    and what is wrong with it is for `check` to say.
    """
    from drivers.settings_file import read_bounded
    from drivers.strict_yaml import parse

    path = args.config / "gateway.yaml"
    try:
        data = parse(read_bounded(path)[0], str(path)).data
    except OSError:
        return None
    found = data.get(section) if isinstance(data, dict) else None
    return found.get(key) if isinstance(found, dict) else None


def _count(markets: int) -> str:
    return f"{markets} {'market' if markets == 1 else 'markets'}"


# --- aziiz ----------------------------------------------------------------------------------------


def _show_thresholds(args: argparse.Namespace, tariffs: "Tariffs") -> None:
    """The thresholds of each market. Raises TariffError."""
    from gateway.cli.terminal import print_table

    thresholds = tariffs.thresholds(str(args.file)).thresholds
    steps = sum(map(len, thresholds.values()))
    print(f"{args.file}: no mistakes. {_count(len(thresholds))}, {steps} thresholds.")
    rows = []
    for market, of_market in thresholds.items():
        rows += [[market, f"up to {step.kwh:g} kWh", str(step.fee)] for step in of_market]
        rows.append([market, "above", f"{of_market[-1].fee}, unless above: says another"])
    print_table(["market", "in a slot", "fee"], rows)


# --- time of use ----------------------------------------------------------------------------------


def _show_day(args: argparse.Namespace, tariffs: "Tariffs") -> None:
    """The fees of a day for each market, in stretches. Raises TariffError."""
    from gateway.cli.terminal import print_table
    from gateway.operator.tariffs.day import QUARTERS

    fees = tariffs.day(str(args.file)).fees
    zone = _zone(args)
    day = args.day or datetime.now(zone).date()
    print(f"{args.file}: no mistakes. {_count(len(fees))}, {QUARTERS} quarters of an hour.")

    quarters = list(_quarters(day, zone))
    what = "local time" if args.times == "local" else "UTC, as the exchange's template reads them"
    print(f"{day} in {zone} has {len(quarters)} quarters of an hour; the file's times are {what}.")
    found = _stretches(quarters, fees, zone if args.times == "local" else UTC)
    rows = [[_utc(begin), _local(begin, zone), *map(str, each)] for begin, each in found]
    print_table(["from (UTC)", "from (local)", *fees], rows, right=list(fees))
    if args.times == "local":
        for text in _oddities(quarters, zone):
            print(text, file=sys.stderr)


def _zone(args: argparse.Namespace) -> tzinfo:
    from gateway.site.timezone import is_known, machine_timezone, zone_of

    name = args.timezone or configured(args, "site", "timezone")
    if not isinstance(name, str) or not is_known(name):
        name = machine_timezone().name
    return zone_of(name)


def _quarters(day: date, zone: tzinfo) -> Iterator[datetime]:
    """The quarters of an hour of a day: 92 and 100 of them where summer time begins and ends."""
    begin = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    after = day + timedelta(days=1)
    end = datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC)
    while begin < end:
        yield begin
        begin += timedelta(minutes=15)


def _oddities(quarters: Sequence[datetime], zone: tzinfo) -> Iterator[str]:
    """What of a file's day that day lacks, or has twice."""
    from gateway.operator.tariffs.cells import time_text
    from gateway.operator.tariffs.day import QUARTER_S, QUARTERS

    times = Counter(_number(begin.astimezone(zone)) for begin in quarters)
    for count, words in (
        (0, "is not there on that day, nor are the file's fees of it"),
        (2, "comes twice on that day, with the file's fees of it"),
    ):
        found = [number for number in range(QUARTERS) if times[number] == count]
        if found:
            first, after = (time_text(n * QUARTER_S) for n in (found[0], found[-1] + 1))
            yield f"{first} to {after} {words}."


def _number(at: datetime) -> int:
    """Which quarter of an hour of a file's day that is."""
    return at.hour * 4 + at.minute // 15


def _stretches(
    quarters: Sequence[datetime], fees: "Mapping[str, Sequence[Fee]]", file_zone: tzinfo
) -> Iterator[tuple[datetime, list["Fee"]]]:
    """Where a fee of any market changes, with all of them."""
    before: list[Fee] | None = None
    for begin in quarters:
        number = _number(begin.astimezone(file_zone))
        now = [day[number] for day in fees.values()]
        if now != before:
            yield begin, now
        before = now


def _utc(at: datetime) -> str:
    return at.strftime("%m-%d %H:%M")


def _local(at: datetime, zone: tzinfo) -> str:
    return at.astimezone(zone).strftime("%m-%d %H:%M %z")
