"""`meter-gateway fleet`: a community's gateways together, beside its broker and its database."""

import argparse
from pathlib import Path

SUMMARY = "a community's server: collect what its gateways deliver, add homes"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "For the server of a community, never for a box; needs the extra meter-gateway[fleet]. "
        "--config is the folder that holds fleet.yaml (broker and database). "
        "init: makes the schema `fleet`, its roles and partitions, and the broker's access rules; "
        "again after each update. check: whether broker and database are there and as they must "
        "be. run: writes what gateways deliver into the database; any number may run at once, on "
        "any number of machines. pack: what `run` does by itself with months of long ago: they are "
        "kept in a seventh of the room. sites list: the homes. sites add NAME…: adds homes, and "
        "makes a login and a section of gateway.yaml for each. sites remove NAME…: takes nothing "
        "from them any more. sites renew [NAME…]: new certificates for these, or for all whose "
        "certificates end within 30 days. users list, users add NAME, users remove NAME…: who may "
        "look at the manager's page; the password is asked for, or read from standard input. "
        "report: what a month came to, of each asset or home. export SITE: all "
        "that there is of a home, as a ZIP file. forget SITE: deletes all of it. Exit code 1 where "
        "something is wrong, which is said."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway --config /etc/meter-gateway-fleet fleet init --output broker\n"
        "  meter-gateway --config /etc/meter-gateway-fleet fleet sites add home-12 --output homes\n"
        "  meter-gateway --config /etc/meter-gateway-fleet fleet sites add --csv homes.csv\n"
        "  meter-gateway --config /etc/meter-gateway-fleet fleet sites list\n"
        "  meter-gateway --config /etc/meter-gateway-fleet fleet users add anna\n"
        "  meter-gateway --config /etc/meter-gateway-fleet fleet run\n"
        "  meter-gateway --config /etc/meter-gateway-fleet fleet report --month 2026-03 "
        "--output march.xlsx\n"
        "  meter-gateway --config /etc/meter-gateway-fleet fleet export home-12"
    )
    parser.add_argument(
        "action",
        choices=["init", "check", "run", "sites", "users", "pack", "report", "export", "forget"],
        help="what to do",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="of sites and users: list (default), add or remove (of sites also renew), and names; "
        "of export and forget: the site",
    )
    _add_options(parser)
    parser.set_defaults(usage_error=parser.error)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ca",
        action="store_true",
        help="init: make an authority for the homes' certificates beside fleet.yaml, where there "
        "is none, and the collectors' own certificate",
    )
    parser.add_argument(
        "--certificates",
        action="store_true",
        help="sites add: a client certificate for each home in place of a password",
    )
    _add_files(parser)
    _add_storage(parser)
    parser.add_argument(
        "--admin",
        type=lambda text: Path(text).absolute(),
        metavar="FILE",
        help="init, forget: file with the login of a user who may make schemas and roles, or "
        "delete (default: the collectors' own)",
    )
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="run: least important line to log",
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    """What is read and written."""
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="sites add: a file with a column `site` and, if need be, `assets` (UUIDs with spaces "
        "between them: nobody else may send these)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="init, sites, forget: the folder for what the broker and the homes get "
        "(default: fleet-files in the present folder). report, export: the file, .csv, .xlsx or "
        ".parquet, or .zip (default: named after the month or the site)",
    )


def _add_storage(parser: argparse.ArgumentParser) -> None:
    """Of report, export and forget."""
    parser.add_argument("--month", metavar="YYYY-MM", help="report: the month")
    parser.add_argument(
        "--by", choices=["asset", "home"], default="asset", help="report: a row for each of these"
    )
    parser.add_argument(
        "--force", action="store_true", help="report, export: replace a file that is there"
    )
    parser.add_argument("--yes", action="store_true", help="forget: do not ask")


def run(args: argparse.Namespace) -> int:
    """Returns 1 where something is wrong. Raises Refused, ConfigError."""
    import importlib.util

    from gateway.cli.terminal import Refused

    if importlib.util.find_spec("gateway.cli.fleet") is None:
        raise Refused(
            "the box's package has no part of a community's server, and needs none: on the server, "
            "pip install 'meter-gateway[fleet]'; of this home's part meter-gateway status tells"
        )
    if importlib.util.find_spec("psycopg") is None:
        raise Refused(
            "this needs psycopg, which is not installed here: pip install 'meter-gateway[fleet]' "
            "on the community's server (not on a box)"
        )
    if args.words and args.action not in ("sites", "users", "export", "forget"):
        args.usage_error(f"{args.action} takes no further words: {' '.join(args.words)}")
    from gateway.cli.fleet import actions

    return actions.act(args)
