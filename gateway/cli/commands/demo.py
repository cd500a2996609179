"""`meter-gateway demo`: the main job without hardware."""

import argparse
from pathlib import Path

from drivers.strict_yaml import Seconds
from gateway.cli.terminal import Refused, argument

SUMMARY = "run the main job without hardware: a simulated home, this gateway, a stand-in exchange"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Starts a simulated home (a P1 meter, an Eastron SDM120 on RS485, an SDM630 on Modbus "
        "TCP), the gateway with an ordinary "
        "configuration folder and slots of 15 seconds, and a stand-in exchange. At the end it "
        "compares what the home did with what the "
        "exchange accepted; the exit code is 0 only where they agree within the registers' steps."
    )
    parser.epilog = (
        "examples:\n  meter-gateway demo\n  meter-gateway demo --for 90s --outage\n"
        "  meter-gateway demo --grid-operator\n  meter-gateway demo --fleet 5"
    )
    parser.add_argument(
        "--for",
        dest="for_s",
        metavar="TIME",
        type=argument(Seconds.parse),
        help="how long, such as 90s or 5min (default: until Ctrl-C)",
    )
    parser.add_argument(
        "--outage", action="store_true", help="take the exchange away for three slots in the middle"
    )
    parser.add_argument(
        "--grid-operator",
        action="store_true",
        help="a street with a congested evening instead, whose grid fees this gateway sets: a day "
        "of it in two minutes (or --for); the exit code is 0 only where each slot's fee was taken, "
        "or says why not, and what was charged is what the models say",
    )
    parser.add_argument(
        "--fleet",
        metavar="HOMES",
        type=argument(_homes),
        help="a community instead: so many homes with their gateways, a real mosquitto and "
        "PostgreSQL, two collectors, all as processes; one collector, the broker and the database "
        "are killed in turn, and the exit code is 0 only where the database, the exchange and what "
        "the homes truly used agree",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where to keep configuration and buffer (default: a new temporary folder)",
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0 where the totals agree. Raises Refused."""
    import asyncio
    import importlib.util

    from rich.console import Console

    if args.fleet:
        if importlib.util.find_spec("psycopg") is None:
            raise Refused("this needs psycopg: pip install 'meter-gateway[fleet]'")
        from gateway.cli.demo_fleet import run_fleet

        return asyncio.run(run_fleet(args.fleet, args.folder, args.for_s, Console()))

    if args.grid_operator:
        from gateway.cli.demo_street import run_street

        return asyncio.run(run_street(args.folder, args.for_s, args.outage, Console()))

    from gateway.cli.demo_home import run_demo

    return asyncio.run(run_demo(args.folder, args.for_s, args.outage, Console()))


MOST_HOMES = 100
"""Each is a process of 60 MB."""


def _homes(text: str) -> int:
    """Raises ValueError."""
    if not text.isdigit() or not 1 <= int(text) <= MOST_HOMES:
        raise ValueError(f"{text!r} is no number of homes — from 1 to {MOST_HOMES}")
    return int(text)
