"""`meter-gateway init`: from a blank machine to a first slot."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.line import MODBUS_TCP_PORT, LineUrl
from gateway.cli.commissioning.addresses import hosts
from gateway.cli.terminal import argument
from gateway.site.values import SlotLength

if TYPE_CHECKING:
    from gateway.cli.commissioning.meters_step import MeterFlag

SUMMARY = "set this gateway up: find meters, log in, write the configuration, start"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Looks for meters, asks what each measures, logs in to the exchange, shows the assets of "
        "this account there, proposes what each one's energy is the sum of, writes the "
        "configuration, checks it, starts the service, waits for the first sample of each meter, "
        "and says when the first slot will be accepted. It can be run again at any time: what is "
        "there already is kept, and shown. With --yes it asks nothing, and takes what it proposes "
        "and what the flags say. Exit code 0 where all went well; 1 where something is left to do, "
        "which is named."
    )
    parser.epilog = (
        "examples:\n"
        "  sudo meter-gateway init\n"
        "  sudo meter-gateway init --network 192.168.1.0/24\n"
        "  sudo meter-gateway init --yes --site home-12 --meter grid=serial:/dev/ttyUSB0 \\\n"
        "      --meter pv=tcp:192.168.1.20:502@1 --canary-network 8a2c0f3e-… \\\n"
        "      --username home-12@example.org --password-file /root/password"
    )
    _add_meters(parser)
    _add_site(parser)
    _add_exchange(parser)
    parser.add_argument(
        "--yes", action="store_true", help="ask nothing: take what is proposed, and the flags"
    )
    parser.add_argument(
        "--anew",
        action="store_true",
        help="write gateway.yaml anew where there is one; the old one is kept beside it",
    )
    parser.add_argument(
        "--no-start", action="store_true", help="write and check it, and do not start the service"
    )


def _add_meters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("meters")
    group.add_argument(
        "--meter",
        dest="meters",
        action="append",
        type=_meter,
        default=[],
        metavar="NAME=URL[@ADDRESS]",
        help="the meter that is found there has that name (may be given again; other lines are not "
        "searched then)",
    )
    group.add_argument(
        "--line",
        dest="lines",
        action="append",
        type=argument(LineUrl.parse),
        default=[],
        metavar="URL",
        help="search this line only (may be given again; default: all serial ports)",
    )
    group.add_argument(
        "--network",
        action="append",
        type=argument(hosts),
        default=[],
        metavar="ADDRESS",
        help=f"search a host, or a network such as 192.168.1.0/24, too (port {MODBUS_TCP_PORT})",
    )
    group.add_argument(
        "--thorough",
        action="store_true",
        help="try every address and every serial setting: up to 25 minutes per port",
    )
    group.add_argument(
        "--no-scan", action="store_true", help="look for no meters: devices/ has them all"
    )


def _add_site(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("site")
    group.add_argument("--site", metavar="NAME", help="its name (default: the machine's)")
    group.add_argument(
        "--timezone", metavar="NAME", help="in which its days begin (default: the machine's)"
    )
    group.add_argument(
        "--slot",
        type=argument(SlotLength.parse),
        default="15min",
        metavar="TIME",
        help="length of a market slot (default: 15min)",
    )
    group.add_argument(
        "--clock",
        choices=["kernel", "assured"],
        default="kernel",
        help="who says that this machine's clock is right: the kernel, once it is synchronised "
        "(default), or you, where a clock of its own keeps it and there is no network",
    )


def _add_exchange(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("exchange")
    group.add_argument("--no-exchange", action="store_true", help="keep slots, and send nothing")
    group.add_argument("--url", help="of the exchange (default: Grid Singularity's)")
    group.add_argument(
        "--canary-network", metavar="UUID", help="the network, as the exchange's page has it"
    )
    group.add_argument(
        "--dialect",
        type=_dialect,
        default="sdk",
        metavar="NAME",
        help="how it is spoken to: sdk (default), rest",
    )
    group.add_argument("--username", metavar="NAME", help="of the account there")
    group.add_argument(
        "--password-file",
        metavar="FILE",
        help="its first line is the password; - is standard input (default: it is asked for, or "
        "the login that is there already is used)",
    )
    group.add_argument(
        "--asset",
        dest="assets",
        action="append",
        type=_asset,
        default=[],
        metavar="NAME[:KIND]=FORMULA",
        help="what that asset's energy is the sum of, such as 'House load:load=grid.import - "
        "grid.export + pv.export' (may be given again; default: as is proposed)",
    )


@argument
def _meter(text: str) -> "MeterFlag":
    from gateway.cli.commissioning.meters_step import MeterFlag
    from gateway.site.devices import DEVICE_NAME

    name, equals, where = text.partition("=")
    if not equals or not DEVICE_NAME.fullmatch(name):
        raise ValueError(
            f"{text!r}: write a name and where the meter is: grid=tcp:192.168.1.20:502@1"
        )
    url, at, address = where.rpartition("@")
    if at and address.isdigit():
        return MeterFlag(name, LineUrl.parse(url), int(address))
    return MeterFlag(name, LineUrl.parse(where), None)


@argument
def _asset(text: str) -> tuple[str, str, str]:
    before, equals, formula = text.partition("=")
    name, colon, kind = before.rpartition(":")
    if not colon:
        name, kind = before, ""
    if not equals or not name.strip() or not formula.strip():
        raise ValueError(f"{text!r}: write an asset and its energy: 'PV:pv=pv.export'")
    return name.strip(), kind.strip(), formula.strip()


@argument
def _dialect(text: str) -> str:
    from gateway.delivery.kinds.exchange import DialectName

    return DialectName.parse(text)


def run(args: argparse.Namespace) -> int:
    """Returns 0 where all went well, 1 where something is left to do. Raises Refused."""
    import sys

    from gateway.cli.commissioning.first_hour import FirstHour
    from gateway.cli.commissioning.interview import Interview

    asks = not args.yes and sys.stdin.isatty()
    folder: Path = args.config.absolute()
    return FirstHour(folder, args, Interview(asks=asks)).run()
