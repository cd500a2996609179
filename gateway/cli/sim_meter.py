"""`meter-gateway sim-meter`: a simulated meter of any Modbus, SunSpec or SML profile, of IEC 62056-21 mode D, and of DSMR 5."""

import argparse
from typing import TYPE_CHECKING

from drivers.line import LineUrl

if TYPE_CHECKING:
    from drivers.profile import Profile

SUMMARY = "be a simulated meter on a serial port or TCP"

DEFAULT_POWER_W = 1200


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Plays a meter of that profile until Ctrl-C: it answers as the profile says, its registers count on with the power given. On `pty` "
        "it makes a new serial port whose path it prints, with the pace of a real wire."
    )
    parser.epilog = (
        "examples:\n  meter-gateway sim-meter eastron/sdm630\n  meter-gateway sim-meter abb/b23 --line tcp:127.0.0.1:1502 --address 3\n"
        "  meter-gateway sim-meter sunspec/auto --line rtu+tcp:127.0.0.1:4196 --power -2500\n"
        "  meter-gateway sim-meter dsmr/dsmr5 --line pty\n  meter-gateway sim-meter sml/auto"
    )
    parser.add_argument("profile", metavar="PROFILE", help="what it is: maker/model, see meter-gateway profiles")
    parser.add_argument(
        "--line",
        type=_line,
        default=None,
        metavar="LINE",
        help="where it listens: pty (default), serial:/dev/…, tcp:127.0.0.1:1502 or rtu+tcp:127.0.0.1:4196; port 0 takes a free one",
    )
    parser.add_argument("--address", type=_address, default=1, metavar="N", help="its Modbus address, 1 to 247 (default: 1)")
    parser.add_argument(
        "--power",
        type=float,
        metavar="W",
        help=f"import positive (default: {DEFAULT_POWER_W}; an inverter produces as much: {-DEFAULT_POWER_W})",
    )


def _line(text: str) -> LineUrl | None:
    if text == "pty":
        return None
    free = text.endswith(":0")
    try:
        line = LineUrl.parse(f"{text[:-2]}:1" if free else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return LineUrl(line.scheme, line.target, 0) if free and line.port else line


def _address(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= 247):
        raise argparse.ArgumentTypeError(f"{text!r} is not a Modbus address — a number from 1 to 247")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C. Raises ProfileError, Refused."""
    import asyncio
    import logging
    from pathlib import Path

    from drivers.profile import load_profile
    from gateway.config import profile_folders
    from gateway.terminal import Refused

    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it logs, our errors say
    if args.line is not None and args.line.port is None and not Path(args.line.target).exists():
        raise Refused(f"{args.line}: there is no such port — plug the adapter in, or write pty for a new one")
    profile = load_profile(args.profile, *(folder for folder in profile_folders(args.config) if folder.is_dir()))
    is_inverter = profile.protocol == "sunspec" and profile.settings.part != "meter"
    power_w = args.power if args.power is not None else -DEFAULT_POWER_W if is_inverter else DEFAULT_POWER_W
    asyncio.run(_serve(profile, args.line, args.address, power_w))
    return 0


async def _serve(profile: "Profile", line: LineUrl | None, address: int, power_w: int) -> None:
    import asyncio
    import time

    from gateway.sandbox.one_meter import Load, serving
    from gateway.terminal import Refused

    phases = 3 if "voltage_l2_v" in profile.quantities else 1
    try:
        async with serving(profile, line, address, Load(power_w, time.time(), phases), time.time) as reached:
            print(f"{profile.id}: {profile.maker} {profile.model}, {'draws' if power_w >= 0 else 'feeds in'} {abs(power_w)} W")
            print("Ctrl-C ends it. It is read with this device file:\n")
            print(f"    profile: {profile.id}\n    line: {reached}" + (f"\n    address: {address}" if profile.bus else ""), flush=True)
            await asyncio.Event().wait()
    except ValueError as error:
        raise Refused(str(error)) from error
    except (RuntimeError, OSError) as error:
        raise Refused(f"{line or 'pty'}: cannot listen there — is the port free, and may this user open it?") from error
