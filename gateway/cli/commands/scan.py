"""`meter-gateway scan`: which meters are there?"""

import argparse
import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.line import MODBUS_TCP_PORT, LineUrl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.found import Found
    from drivers.profile import Profile
    from drivers.scan import Note, Progress
    from gateway.site.device_files import Endpoint

SUMMARY = "find meters on serial ports and on the network"

MAX_NETWORK = 256
"""Addresses of one --network: a /24."""

_GATEWAY_FILE = """\
# Written by meter-gateway scan. What else can be said here, such as the exchange and its assets:
# see docs/examples/home/gateway.yaml
site: home
"""


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
        type=_line,
        default=[],
        metavar="URL",
        help="search this line only, as a device file would name it (may be given again; "
        "default: all serial ports)",
    )
    parser.add_argument(
        "--network",
        action="append",
        type=_hosts,
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
            raise argparse.ArgumentTypeError(
                f"{text!r} is not the address of a host or network — such as 192.168.1.20"
            ) from error
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a network — such as 192.168.1.0/24"
        ) from error
    if network.num_addresses > MAX_NETWORK:
        raise argparse.ArgumentTypeError(
            f"{text} has {network.num_addresses} addresses — at most {MAX_NETWORK}, which is a /24"
        )
    return [str(host) for host in network.hosts()]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port — a number from 1 to 65535")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Returns 0 where a meter was found, 1 where none was, 130 after Ctrl-C. Raises Refused."""
    import asyncio

    from drivers.scan import FAST, THOROUGH, scan, serial_ports
    from gateway.cli.terminal import Refused

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
    shown = _Shown(_Files(args.write) if args.write else None)
    interrupted = False
    try:
        asyncio.run(
            scan(lines, endpoints, _profiles(args.config), FAST if args.fast else THOROUGH, shown)
        )
    except KeyboardInterrupt:
        interrupted = True
    shown.clear()
    print(
        f"{len(shown.founds)} meter{'' if len(shown.founds) == 1 else 's'} found"
        + (", search not finished" if interrupted else "")
    )
    if shown.files:
        shown.files.finish()
    return 130 if interrupted else 0 if shown.founds else 1


def _profiles(config: Path) -> "list[Profile]":
    """All that can be used; a site's broken one is named and left out."""
    from drivers.profile import ProfileError, load_profile, profile_ids
    from gateway.site.config import profile_folders

    folders = profile_folders(config)
    profiles = []
    for profile_id in profile_ids(*folders):
        try:
            profiles.append(load_profile(profile_id, *folders))
        except ProfileError as error:
            print(error, file=sys.stderr)
    return profiles


class _Shown:
    """Prints what is found as it is found, writes its device file where that is wanted, and keeps
    it.
    """

    def __init__(self, files: "_Files | None") -> None:
        self.files = files
        self.founds: list[Found] = []
        self._told: dict[LineUrl, str] = {}
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, event: "Found | Note | Progress", /) -> None:
        from drivers.found import Found
        from drivers.scan import Note, device_line
        from gateway.site.device_files import summary

        self.clear()
        if isinstance(event, Found):
            self.founds.append(event)
            address = f" address {event.address}" if event.address is not None else ""
            print(
                f"{device_line(event)}{address}: {event.profile.id}, {summary(event)}", flush=True
            )
            if event.also:
                print(f"    it might also be {' or '.join(event.also)}", flush=True)
            if self.files:
                self.files.add(event)
        elif isinstance(event, Note):
            print(f"{event.line}: {event.text}", file=sys.stderr, flush=True)
        elif self._is_terminal:
            share = 100 * event.done // max(event.total, 1)
            print(
                f"\r\x1b[2K{event.line}: {event.text} ({share} %)",
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif self._told.get(event.line) != (
            stage := event.text.partition(",")[0] if "," in event.text else event.text.split()[0]
        ):
            self._told[event.line] = stage
            print(f"{event.line}: {stage}", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the progress off the terminal."""
        if self._is_terminal:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


class _Files:
    """Writes device files for the meters that have none yet, as they are found: an hour's search is
    not lost with its terminal.
    """

    def __init__(self, folder: Path) -> None:
        """Raises Refused where the folder cannot be had."""
        self._folder = folder
        self._config, self._devices = (
            (folder.parent, folder) if folder.name == "devices" else (folder, folder / "devices")
        )
        self._waiting: list[Found] = []
        self._has_site = False
        try:
            self._devices.mkdir(parents=True, exist_ok=True)
            self._known = list(_endpoints(self._config))
        except OSError as error:
            raise self._refused(error) from error
        if not os.access(self._devices, os.W_OK):
            raise self._refused(
                PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self._devices))
            )

    def add(self, found: "Found") -> None:
        """Write its file, where it has none. What cannot be written now waits for `finish`."""
        self._waiting.append(found)
        try:
            self._write()
        except OSError:
            return

    def finish(self) -> None:
        """Write what waits. Raises Refused where that fails."""
        try:
            self._write()
        except OSError as error:
            raise self._refused(error) from error

    def _write(self) -> None:
        from drivers.scan import device_line
        from gateway.site.device_files import device_file, endpoint_of, names

        while self._waiting:
            found = self._waiting[0]
            endpoint = endpoint_of(found.profile, _port_of(found.line), found.address)
            path = self._there(endpoint)
            if path is not None:
                print(f"    is there already: {path}", flush=True)
            else:
                ((name, _),) = names([found], {path.stem for path in self._devices.iterdir()})
                self._put(self._devices / f"{name}.yaml", device_file(found, device_line(found)))
                self._known.append((endpoint, self._devices / f"{name}.yaml"))
            self._begin_site()
            self._waiting.pop(0)

    def _begin_site(self) -> None:
        """Write the file of the site, or say once that there is one."""
        path = self._config / "gateway.yaml"
        if self._has_site:
            return
        if path.exists():
            print(f"    is there already: {path}", flush=True)
        else:
            self._put(path, _GATEWAY_FILE)
        self._has_site = True

    def _there(self, endpoint: "Endpoint") -> Path | None:
        """The file of the meter that is there already."""
        found = (path for known, path in self._known if endpoint.is_taken([known]))
        return next(found, None)

    @staticmethod
    def _put(path: Path, text: str) -> None:
        try:
            path.write_text(text, encoding="utf-8")
        except OSError:
            path.unlink(missing_ok=True)  # half a file is none
            raise
        print(f"    written: {path}", flush=True)

    def _refused(self, error: OSError) -> Exception:
        from gateway.cli.terminal import Refused

        return Refused(
            f"{error.filename or self._folder}: cannot be written: {error.strerror} — write to "
            "another folder"
        )


def _port_of(line: LineUrl) -> str:
    """A port has several names."""
    return line.key if line.port is not None else str(Path(line.target).resolve())


def _endpoints(config: Path) -> "Iterator[tuple[Endpoint, Path]]":
    """Where the meters are that have a device file already, and that file. A file with mistakes is
    `check`'s to name.
    """
    from drivers.settings_file import settings_files
    from gateway.site.config import load_device
    from gateway.site.credentials import ConfigError
    from gateway.site.device_files import endpoint_of

    for path in settings_files(config / "devices"):
        with contextlib.suppress(ConfigError):
            device = load_device(config, path.stem)
            endpoint = endpoint_of(
                device.profile,
                _port_of(device.line),
                device.address if device.profile.bus else None,
            )
            yield endpoint, path
