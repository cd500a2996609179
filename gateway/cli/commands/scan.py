"""`meter-gateway scan`: which meters are there?"""

import argparse
from pathlib import Path

from drivers.line import MODBUS_TCP_PORT, LineUrl
from gateway.cli.commissioning.addresses import hosts
from gateway.cli.terminal import Refused, argument

SUMMARY = "find meters on serial ports and on the network"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Listens on each serial port for meters that push (P1, SML), then asks Modbus addresses "
        "1 to 247, the usual ones and the usual "
        "serial settings first; on tcp: also 255 and 0, the device "
        "itself. Every meter is told, and its device file written, as it is "
        "found. All of it takes up to 25 minutes per "
        "port, --fast one; Ctrl-C ends it. A port has one reader at a time: stop the daemon "
        "first. The network is searched only on request. "
        "Exit code 0 where a meter was found, else 1."
    )
    parser.epilog = (
        "examples:\n  meter-gateway scan\n  meter-gateway scan --fast --write /etc/meter-gateway\n"
        "  meter-gateway scan --line serial:/dev/ttyUSB0?baud=9600\n  meter-gateway scan "
        "--network 192.168.1.0/24 --port 1502"
    )
    parser.add_argument(
        "--line",
        dest="lines",
        action="append",
        type=argument(LineUrl.parse),
        default=[],
        metavar="URL",
        help="search this line only, as a device file would name it (may be given again; "
        "default: all serial ports)",
    )
    parser.add_argument(
        "--network",
        action="append",
        type=argument(hosts),
        default=[],
        metavar="ADDRESS",
        help="a host, or a network of up to 256 addresses such as 192.168.1.0/24 (may be given "
        "again); serial ports are left out then",
    )
    parser.add_argument(
        "--port",
        action="append",
        type=_port,
        default=[],
        metavar="N",
        help=f"for --network: a port to try beside {MODBUS_TCP_PORT}",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="listens 3 s, not 11; then addresses 1 to 10 with factory settings (on a network: "
        "the usual ones)",
    )
    parser.add_argument(
        "--write",
        type=Path,
        metavar="DIR",
        help="write device files for what was found: DIR is a configuration folder, or its "
        "devices/",
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port — a number from 1 to 65535")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Returns 0 where a meter was found, 1 where none was, 130 after Ctrl-C. Raises Refused."""
    import asyncio

    from drivers.scan import FAST, THOROUGH, scan, serial_ports
    from gateway.cli.commissioning.device_folder import DeviceFolder
    from gateway.cli.commissioning.search import Shown, usable

    if args.port and not args.network:
        raise Refused(
            "--port without --network — give the addresses to search: --network 192.168.1.0/24 "
            "--port 1502"
        )
    endpoints = [
        LineUrl("tcp", host, port)
        for hosts in args.network
        for host in hosts
        for port in dict.fromkeys([MODBUS_TCP_PORT, *args.port])
    ]
    lines = args.lines or ([] if endpoints else serial_ports())
    if not lines and not endpoints:
        raise Refused(
            "there is no serial port — plug the adapter in, name one with --line, or search the "
            "network with --network"
        )
    shown = Shown(DeviceFolder(args.write) if args.write else None)
    interrupted = False
    try:
        asyncio.run(
            scan(lines, endpoints, usable(args.config), FAST if args.fast else THOROUGH, shown)
        )
    except KeyboardInterrupt:
        interrupted = True
    shown.clear()
    print(
        f"{len(shown.founds)} meter{'' if len(shown.founds) == 1 else 's'} found"
        + (", search not finished" if interrupted else "")
    )
    if shown.files is not None:
        shown.files.finish()
    return 130 if interrupted else 0 if shown.founds else 1
