"""`make simulate`, or `python -m tests.simulation`: gateway-years in a world that goes wrong, and
the laws checked after each run.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.terminal import Refused, console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.simulation.laws import Verdict
    from tests.simulation.scenario import Scenario
    from tests.simulation.years import Tally

DAYS = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Runs this very gateway under virtual time against a simulated home, machine, disk and "
        "exchange, with faults; then compares what "
        "it wrote and delivered with what truly flowed. Needs no configuration and no hardware. "
        "A run depends on nothing but its seed. "
        "Where a law is broken, the seed is printed with the smallest scenario that breaks it "
        "too, and the exit code is 1."
    )
    parser.epilog = (
        "examples:\n  python -m tests.simulation                            20 random days\n"
        "  python -m tests.simulation --years 10 --jobs 4\n"
        "  python -m tests.simulation --seed 4711 --days 1       the same day again\n"
        "  python -m tests.simulation tests/scenarios/*.yaml\n"
        "  python -m tests.simulation --faults                   which faults there are"
    )
    parser.add_argument(
        "scenario", nargs="*", type=Path, help="scenario files (YAML); without any, random days"
    )
    parser.add_argument(
        "--days", type=int, metavar="N", help=f"so many random days (default: {DAYS})"
    )
    parser.add_argument("--years", type=float, metavar="N", help="so many years of random days")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="seed of the first random day; the next ones follow (default: 1)",
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="so many at a time (default: one per processor)"
    )
    parser.add_argument(
        "--no-shrink",
        action="store_true",
        help="print what breaks a law as it is, without looking for the smallest",
    )
    parser.add_argument("--faults", action="store_true", help="list the faults there are, and end")


def run(args: argparse.Namespace) -> int:
    """Returns 0 where no law was broken."""
    from tests.simulation import scenario as scenarios
    from tests.simulation import years

    if args.faults:
        from gateway.cli.terminal import print_table

        print_table(("fault", "what it does"), scenarios.FAULTS.items())
        return 0
    for name in ("days", "years", "jobs"):
        if (value := getattr(args, name)) is not None and value <= 0:
            raise Refused(f"--{name} {value:g}: must be more than 0")
    total = years.tally(years.try_all(_wanted(args), args.jobs), _tell)
    for verdict in total.broken:
        _show(verdict, shrink=not args.no_shrink)
    print(_summary(total))
    return 1 if total.broken else 0


def _wanted(args: argparse.Namespace) -> "Iterator[Scenario]":
    from tests.simulation.scenario import ScenarioError, at_random, read

    for path in args.scenario:
        try:
            yield read(path.read_bytes(), str(path))
        except ScenarioError as error:
            raise Refused(str(error)) from error
        except OSError as error:
            raise Refused(f"{path}: cannot be read: {error.strerror}") from error
    if not args.scenario:
        days = args.days or (math.ceil(args.years * 365.25) if args.years else DAYS)
        for seed in range(args.seed, args.seed + days):
            yield at_random(seed)


def _tell(total: "Tally", verdict: "Verdict") -> None:
    mark = "BROKEN" if verdict.violations else "ok"
    slots = ", ".join(f"{count} {quality}" for quality, count in sorted(verdict.qualities.items()))
    line = (
        f"{total.runs:5}  {mark:6}  {verdict.scenario.about[:60]:60}  "
        f"{len(verdict.scenario.happens)} faults; slots: {slots}"
    )
    print(line, flush=True)


def _show(verdict: "Verdict", *, shrink: bool) -> None:
    from tests.simulation.scenario import written
    from tests.simulation.years import smallest

    shown = console()
    shown.print(f"\n[red]{verdict.scenario.about}, seed {verdict.scenario.seed}: broken[/red]")
    for text in verdict.violations:
        print(f"  {text}")
    if shrink:
        print("the smallest scenario found that breaks it too:", file=sys.stdout, flush=True)
        print(written(smallest(verdict.scenario)))


def _summary(total: "Tally") -> str:
    from tests.simulation.years import YEAR_S

    faults = sum(total.faults.values())
    slots = ", ".join(f"{count} {quality}" for quality, count in total.qualities.most_common())
    deliveries = ", ".join(f"{count} {state}" for state, count in total.deliveries.most_common())
    fees = ", ".join(f"{count} {state}" for state, count in total.fees.most_common())
    felt = "".join(
        f"; {fault} was felt {count} times" for fault, count in sorted(total.felt.items())
    )
    return (
        f"{total.runs} runs, {total.seconds / 86400:.1f} gateway-days "
        f"({total.seconds / YEAR_S:.2f} years), {faults} faults of "
        f"{len(total.faults)} kinds, {total.starts} starts of the daemon{felt}\nmeters' slots: "
        f"{slots}\nassets' slots: {deliveries}\n"
        f"markets' fees: {fees or 'none'}\n"
        f"runs that broke a law: {len(total.broken)}"
    )


def main(words: "Sequence[str] | None" = None) -> int:
    """One run of the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        "python -m tests.simulation", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments(parser)
    try:
        return run(parser.parse_args(words))
    except Refused as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
