"""`meter-gateway scan`: which meters are there?"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.line import MODBUS_TCP_PORT, LineUrl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.found import Found
    from drivers.profile import Profile
    from gateway.scan import Note, Progress

SUMMARY = "find meters on serial ports and on the network"

MAX_NETWORK = 256
"""Addresses of one --network: a /24."""

_GATEWAY_FILE = """\
# Written by meter-gateway scan. What else can be said here, such as the exchange and its assets: see docs/examples/home/gateway.yaml
site: home
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Listens on each serial port for meters that push (P1, SML), then asks Modbus addresses 1 to 247, the usual ones and the usual "
        "serial settings first, and tells every meter as it is found. All of it takes up to 45 minutes per port, --fast one. Ctrl-C ends "
        "it and keeps what was found. A port has one reader at a time: stop the daemon first. The network is searched only on request."
    )
    parser.epilog = (
        "examples:\n  meter-gateway scan\n  meter-gateway scan --fast --write /etc/meter-gateway\n"
        "  meter-gateway scan --line serial:/dev/ttyUSB0?baud=9600\n  meter-gateway scan --network 192.168.1.0/24 --port 1502"
    )
    parser.add_argument(
        "--line",
        dest="lines",
        action="append",
        type=_line,
        default=[],
        metavar="URL",
        help="search this line only, as a device file would name it (may be given again; default: all serial ports)",
    )
    parser.add_argument(
        "--network",
        action="append",
        type=_hosts,
        default=[],
        metavar="ADDRESS",
        help="a host, or a network of up to 256 addresses such as 192.168.1.0/24 (may be given again); serial ports are left out then",
    )
    parser.add_argument(
        "--port", action="append", type=_port, default=[], metavar="N", help=f"for --network: a port to try beside {MODBUS_TCP_PORT}"
    )
    parser.add_argument("--fast", action="store_true", help="addresses 1 to 10 with factory settings; listens 3 s, not 11")
    parser.add_argument(
        "--write", type=Path, metavar="DIR", help="write device files for what was found: DIR is a configuration folder, or its devices/"
    )


def _line(text: str) -> LineUrl:
    try:
        return LineUrl.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _hosts(text: str) -> list[str]:
    import ipaddress

    if "/" not in text:
        try:
            return [LineUrl.parse(f"tcp:{text}").target]
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not the address of a host or network — such as 192.168.1.20") from error
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a network — such as 192.168.1.0/24") from error
    if network.num_addresses > MAX_NETWORK:
        raise argparse.ArgumentTypeError(f"{text} has {network.num_addresses} addresses — at most {MAX_NETWORK}, which is a /24")
    return [str(host) for host in network.hosts()]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port — a number from 1 to 65535")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Returns 0 where a meter was found, 1 where none was, 130 after Ctrl-C. Raises Refused."""
    import asyncio
    import logging

    from gateway.scan import FAST, THOROUGH, scan, serial_ports
    from gateway.terminal import Refused

    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it logs, our errors say
    endpoints = [
        LineUrl("tcp", host, port) for hosts in args.network for host in hosts for port in dict.fromkeys([MODBUS_TCP_PORT, *args.port])
    ]
    lines = args.lines or ([] if endpoints else serial_ports())
    if not lines and not endpoints:
        raise Refused("there is no serial port — plug the adapter in, name one with --line, or search the network with --network")
    shown = _Shown()
    interrupted = False
    try:
        asyncio.run(scan(lines, endpoints, _profiles(args.config), FAST if args.fast else THOROUGH, shown))
    except KeyboardInterrupt:
        interrupted = True
    shown.clear()
    print(f"{len(shown.founds)} meter{'' if len(shown.founds) == 1 else 's'} found" + (", search not finished" if interrupted else ""))
    if args.write and shown.founds:
        for path in _write(args.write, shown.founds):
            print(f"{path}: written")
    return 130 if interrupted else 0 if shown.founds else 1


def _profiles(config: Path) -> "list[Profile]":
    """All that can be used; a site's broken one is named and left out."""
    from drivers.profile import ProfileError, load_profile, profile_ids
    from gateway.config import profile_folders

    folders = tuple(folder for folder in profile_folders(config) if folder.is_dir())
    profiles = []
    for profile_id in profile_ids(*folders):
        try:
            profiles.append(load_profile(profile_id, *folders))
        except ProfileError as error:
            print(error, file=sys.stderr)
    return profiles


class _Shown:
    """Prints what is found as it is found, and keeps it."""

    def __init__(self) -> None:
        self.founds: list[Found] = []
        self._told: dict[LineUrl, str] = {}
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, event: "Found | Note | Progress", /) -> None:
        from drivers.found import Found
        from gateway.device_files import summary
        from gateway.scan import Note, device_line

        self.clear()
        if isinstance(event, Found):
            self.founds.append(event)
            address = f" address {event.address}" if event.address is not None else ""
            print(f"{device_line(event)}{address}: {event.profile.id}, {summary(event)}", flush=True)
            if event.also:
                print(f"    it might also be {' or '.join(event.also)}", flush=True)
        elif isinstance(event, Note):
            print(f"{event.line}: {event.text}", file=sys.stderr, flush=True)
        elif self._is_terminal:
            share = 100 * event.done // max(event.total, 1)
            print(f"\r\x1b[2K{event.line}: {event.text} ({share} %)", end="", file=sys.stderr, flush=True)
        elif self._told.get(event.line) != (stage := event.text.partition(",")[0] if "," in event.text else event.text.split()[0]):
            self._told[event.line] = stage
            print(f"{event.line}: {stage}", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the progress off the terminal."""
        if self._is_terminal:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def _write(folder: Path, founds: "list[Found]") -> "Iterator[Path]":
    """Device files for the meters that have none yet. Raises Refused."""
    from gateway.device_files import device_file, names, place_of
    from gateway.scan import device_line
    from gateway.terminal import Refused

    config, devices = (folder.parent, folder) if folder.name == "devices" else (folder, folder / "devices")
    try:
        devices.mkdir(parents=True, exist_ok=True)
        places = dict(_places(config))
        known = {place for place in places.values() if place is not None}
        new = [f for f in founds if place_of(f.profile.id, f.profile.protocol, _port_of(f.line), f.address) not in known]
        for name, found in names(new, {path.stem for path in devices.iterdir()}):
            path = devices / f"{name}.yaml"
            path.write_text(device_file(found, device_line(found)), encoding="utf-8")
            yield path
        if not (config / "gateway.yaml").exists():
            (config / "gateway.yaml").write_text(_GATEWAY_FILE, encoding="utf-8")
            yield config / "gateway.yaml"
    except OSError as error:
        raise Refused(f"{error.filename or folder}: cannot be written: {error.strerror} — write to another folder") from error


def _port_of(line: LineUrl) -> str:
    """A port has several names."""
    return line.key if line.port is not None else str(Path(line.target).resolve())


def _places(config: Path) -> "Iterator[tuple[str, tuple[str, int, str] | None]]":
    """Where the meters are that have a device file already."""
    from gateway.config import load_device
    from gateway.credentials import ConfigError
    from gateway.device_files import place_of

    for path in sorted((config / "devices").glob("*.yaml")):
        try:
            device = load_device(config, path.stem)
        except ConfigError:
            yield path.stem, None  # a file with mistakes is `check`'s to name
        else:
            address = device.address if device.profile.bus else None
            yield path.stem, place_of(device.profile.id, device.profile.protocol, _port_of(device.line), address)
