"""`meter-gateway sim-exchange`: a stand-in exchange, to rehearse with at a desk."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from drivers.strict_yaml import Seconds, nearest
from gateway.cli.terminal import argument
from gateway.delivery.simulated.rehearsal import MEANING, mishap

if TYPE_CHECKING:
    import ssl

SUMMARY = "be a stand-in exchange, to rehearse with at a desk"

DEFAULT_PORT = 8090
DEFAULT_LEAD_S = 5.0
LOOPBACK = ("127.0.0.1", "localhost")
KINDS = ("load", "pv", "storage", "smart_meter", "heat_pump")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Plays the exchange until Ctrl-C, as its engine was seen to behave: what it takes, what it "
        "drops without a word, verdicts over websockets a tick later, a clock that leads. It is "
        "made for the assets of a configuration folder (that of --config, or the sites given), "
        "with their network, UUIDs and login; or for assets named here, and then prints what "
        "belongs in gateway.yaml. What it holds is shown here as a table, and at its URL as a "
        "page.\nLogins go in clear to this machine only: elsewhere it needs --tls."
    )
    faults = "\n".join(f"  {name:<17}{text}" for name, text in MEANING.items())
    parser.epilog = (
        "examples:\n"
        "  meter-gateway sim-exchange\n"
        "  meter-gateway sim-exchange --site home-1/ --site home-2/ --port 8443 --tls desk/\n"
        '  meter-gateway sim-exchange --asset "House load" --asset PV:pv --slot 1min\n'
        '  meter-gateway sim-exchange --fault "down after 5min for 10min" '
        '--fault "live off PV after 1h"\n'
        f'\nfaults, each with "after TIME" and "for TIME":\n{faults}'
    )
    _add_what_is_played(parser)
    _add_where(parser)
    _add_how(parser)
    parser.set_defaults(usage_error=parser.error)


def _add_what_is_played(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--site",
        dest="sites",
        action="append",
        type=Path,
        metavar="DIR",
        help="play the assets of this configuration folder (several: sites of one network; "
        "default: the folder of --config)",
    )
    parser.add_argument(
        "--asset",
        dest="assets",
        action="append",
        type=_asset,
        metavar="NAME[:KIND][@UUID]",
        help=f"play this asset instead; kinds: {', '.join(KINDS)} (default: load)",
    )
    parser.add_argument(
        "--neighbour",
        dest="neighbours",
        action="append",
        type=_asset,
        default=[],
        metavar="NAME[:KIND][@UUID]",
        help="an asset of another account in the same network",
    )
    parser.add_argument(
        "--slot",
        type=argument(Seconds.parse),
        metavar="TIME",
        help="length of a slot, for --asset (default: 15min)",
    )


def _add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help=f"where it listens; 0 takes a free one (default: {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--host",
        default=LOOPBACK[0],
        help=f"the address or name of this machine it listens at (default: {LOOPBACK[0]}); another "
        "than this machine's own needs --tls",
    )
    parser.add_argument(
        "--tls",
        type=Path,
        metavar="DIR",
        help="speak TLS, with an authority that it keeps in this folder: the gateway trusts it "
        "with SSL_CERT_FILE=DIR/ca.pem",
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lead",
        type=argument(Seconds.parse),
        default=DEFAULT_LEAD_S,
        metavar="TIME",
        help=f"how far its clock runs ahead (default: {DEFAULT_LEAD_S:g}s, at most a sixtieth of "
        "the slot)",
    )
    parser.add_argument(
        "--tick",
        type=argument(Seconds.parse),
        metavar="TIME",
        help="how often it looks at what has arrived (default: a sixtieth of the slot)",
    )
    parser.add_argument(
        "--fault",
        dest="faults",
        action="append",
        type=argument(mishap),
        default=[],
        metavar="TEXT",
        help="let something go wrong, such as: down after 5min for 10min; may be there several "
        "times",
    )


def _asset(text: str) -> tuple[str, str, UUID | None]:
    named, _, uuid = text.partition("@")
    name, _, kind = named.partition(":")
    kind = kind or "load"
    if not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} has no name — write such as PV:pv")
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(
            f"{text!r}: there is no kind {kind!r} — {nearest(kind, KINDS)}"
        )
    try:
        return name.strip(), kind, UUID(uuid) if uuid else None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: {uuid!r} is not a UUID") from None


def _port(text: str) -> int:
    number = int(text[:6]) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port — a number from 0 to 65535")
    return number


def run(args: argparse.Namespace) -> int:
    """Plays until Ctrl-C. Raises ConfigError, Refused."""
    import asyncio

    from rich.console import Console

    from gateway.cli.desk_exchange import Desk, desk_of_assets, desk_of_sites, play
    from gateway.cli.terminal import Refused
    from gateway.delivery.simulated.behaviour import Behaviour
    from gateway.site.values import SlotLength

    if args.assets and args.sites:
        args.usage_error("--asset and --site do not go together: a site has its own assets")
    if args.slot is not None and not args.assets:
        args.usage_error("--slot goes with --asset: a site says its own market.slot")
    if args.host in ("", "0.0.0.0", "::"):  # noqa: S104 — it is refused
        args.usage_error("--host: give the one address or name that the gateway will dial")
    if args.tls is None and args.host not in LOOPBACK:
        args.usage_error(f"--host {args.host}: logins would go in clear — add --tls DIR")

    if args.assets:
        try:
            slot_s = int(SlotLength.parse(f"{args.slot or 900:g}s"))
        except ValueError as error:
            args.usage_error(f"--slot: {error}")
        desk: Desk = desk_of_assets(args.assets, slot_s)
    else:
        desk = desk_of_sites(args.sites or [args.config])
    names = [node.name for node in desk.community.assets()]
    if args.assets and len(set(names)) < len(names):
        args.usage_error("two assets have one name")

    desk.add_neighbours(args.neighbours)

    behaviour = Behaviour(lead_s=min(args.lead, desk.slot_s / 60), tick_s=args.tick)
    tls = None if args.tls is None else _certificates(args.tls, args.host)
    try:
        asyncio.run(
            play(desk, behaviour, args.faults, args.host, args.port, tls, Console(soft_wrap=True))
        )
    except ValueError as error:
        raise Refused(str(error)) from error
    return 0


def _certificates(folder: Path, host: str) -> "tuple[ssl.SSLContext, Path]":
    import socket

    from gateway.cli.desk_certificates import server_context
    from gateway.cli.terminal import Refused

    hosts = list(dict.fromkeys((host, socket.gethostname(), "localhost", "127.0.0.1")))
    try:
        return server_context(folder, hosts)
    except (ValueError, TypeError) as error:
        raise Refused(
            f"{folder}: what is there is no authority of ours ({error}) — give another folder"
        ) from error
