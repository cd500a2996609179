"""`meter-gateway sim-meter`: a simulated meter of any profile; of those that take turns on a line,
several.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from msgspec.structs import replace

from drivers.line import LineUrl

if TYPE_CHECKING:
    from drivers.line import SerialSettings
    from drivers.profile import Profile
    from drivers.simulated.one_meter import Load

SUMMARY = "be a simulated meter on a serial port or the network"

DEFAULT_POWER_W = 1200

ITSELF = (0, 255)
"""Addresses by which a device on Modbus TCP is asked itself."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Plays a meter of that profile until Ctrl-C: it answers as the profile says, its "
        "registers count on with the power given. On `pty` "
        "it makes a new serial port whose path it prints, with the pace of a real wire. Several "
        "Modbus meters share one line."
    )
    parser.epilog = (
        "examples:\n  meter-gateway sim-meter eastron/sdm630\n  meter-gateway sim-meter abb/b23 "
        "--line tcp:127.0.0.1:1502 --address 3\n"
        "  meter-gateway sim-meter eastron/sdm630 eastron/sdm120 abb/b23@7 carlo_gavazzi/em340\n"
        "  meter-gateway sim-meter sunspec/auto --line rtu+tcp:127.0.0.1:4196 --power -2500\n"
        "  meter-gateway sim-meter dsmr/dsmr5 --line tcp:127.0.0.1:2323\n  meter-gateway "
        "sim-meter iec62056/mode_c"
    )
    parser.add_argument(
        "meters",
        nargs="+",
        type=_meter,
        metavar="PROFILE[@ADDRESS]",
        help="what it is: maker/model, see meter-gateway profiles; and its Modbus address, 1 to "
        "247 (on tcp: also 0 or 255, as a device is asked itself)",
    )
    parser.add_argument(
        "--line",
        type=_line,
        default=None,
        metavar="LINE",
        help="where it listens: pty (default), serial:/dev/…, tcp:127.0.0.1:1502, "
        "rtu+tcp:127.0.0.1:4196 or rtu+udp:…; "
        "port 0 takes a free one",
    )
    parser.add_argument(
        "--address",
        type=_address,
        default=1,
        metavar="N",
        help="the address of the first that says none; the others follow (default: 1)",
    )
    parser.add_argument(
        "--power",
        type=float,
        metavar="W",
        help=f"import positive (default: {DEFAULT_POWER_W}; what only knows export produces as "
        f"much: {-DEFAULT_POWER_W})",
    )


def _meter(text: str) -> tuple[str, int | None]:
    profile_id, at, address = text.partition("@")
    return profile_id, _address(address) if at else None


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
    number = int(text[:4]) if text.isascii() and text.isdigit() else -1
    if not (1 <= number <= 247 or number in ITSELF):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a Modbus address — a number from 1 to 247; on tcp: also 0 or 255"
        )
    return number


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C; returns 2 where no meter can have that address there. Raises
    ProfileError, Refused.
    """
    import asyncio
    import logging
    from pathlib import Path

    from drivers.profile import load_profile
    from gateway.cli.terminal import Refused
    from gateway.site.config import profile_folders

    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it logs, our errors say
    if args.line is not None and args.line.port is None and not Path(args.line.target).exists():
        raise Refused(
            f"{args.line}: there is no such port — plug the adapter in, or write pty for a new one"
        )
    folders = profile_folders(args.config)
    meters: dict[int, Profile] = {}
    taken = {address for _, address in args.meters}
    free = (
        number
        for number in (args.address, *range(args.address + 1, 248), *range(1, 248))
        if number not in taken
    )
    for profile_id, said in args.meters:
        profile = load_profile(profile_id, *folders)
        if profile.bus is None and len(args.meters) > 1:
            raise Refused(
                f"{profile_id} has a line for itself: only Modbus meters share one — start a "
                "sim-meter for each"
            )
        address = next(free, None) if said is None else said
        if address in meters or address is None:
            raise Refused(
                f"{profile_id}: address {'free' if address is None else address} is taken already "
                f"— write another: {profile_id}@7"
            )
        if address in ITSELF and (args.line is None or args.line.scheme != "tcp"):
            print(
                f"{profile_id}: {address} is not a Modbus address there: it is that of a device on "
                "Modbus TCP itself — write --line tcp:127.0.0.1:1502, or an address from 1 to 247",
                file=sys.stderr,
            )
            return 2
        meters[address] = profile
    asyncio.run(_serve(meters, args.line, args.power))
    return 0


async def _serve(meters: "dict[int, Profile]", line: LineUrl | None, power_w: float | None) -> None:
    import asyncio
    import termios
    import time
    from contextlib import AsyncExitStack

    from drivers.line import LineError
    from drivers.simulated.one_meter import SERIAL_NUMBER, serving, serving_bus, twin_of
    from gateway.cli.terminal import Refused

    loads = {address: _load(profile, power_w, time.time()) for address, profile in meters.items()}
    address, first = next(iter(meters.items()))
    try:
        async with AsyncExitStack() as stack:
            if len(meters) == 1:
                reached = await stack.enter_async_context(
                    serving(first, line, address, loads[address], time.time)
                )
            else:
                twins = {}
                for number, (at, profile) in enumerate(meters.items(), SERIAL_NUMBER):
                    twin = twin_of(profile, loads[at], time.time, number)
                    assert twin is not None  # it has a bus
                    twins[at] = twin
                reached = await stack.enter_async_context(serving_bus(twins, line, first.serial))
            for address, profile in meters.items():
                watts = loads[address].power_w
                print(
                    f"{profile.id}: {profile.maker} {profile.model}, "
                    f"{'draws' if watts >= 0 else 'feeds in'} {abs(watts):g} W"
                )
            print(
                "Ctrl-C ends it. It is read with "
                f"{'this device file' if len(meters) == 1 else 'these device files'}:"
            )
            for address, profile in meters.items():
                print(
                    f"\n{_device_file(profile, _line_of(profile, reached, first.serial), address)}",
                    flush=True,
                )
            await asyncio.Event().wait()
    except ValueError as error:
        raise Refused(str(error)) from error
    except LineError as error:
        raise Refused(f"{error}") from error
    except (RuntimeError, OSError, termios.error) as error:
        raise Refused(
            f"{line or 'pty'}: cannot listen there — is the port free, and may this user open it?"
        ) from error


def _load(profile: "Profile", power_w: float | None, now_s: float) -> "Load":
    from drivers.simulated.one_meter import Load

    produces = "energy_import_wh" not in profile.energy or (
        profile.protocol == "sunspec" and profile.settings.part != "meter"
    )
    watts = power_w if power_w is not None else -DEFAULT_POWER_W if produces else DEFAULT_POWER_W
    return Load(round(watts), now_s, 3 if "voltage_l2_v" in profile.quantities else 1)


def _line_of(profile: "Profile", line: LineUrl, defaults: "SerialSettings") -> LineUrl:
    """The line with what its port has other than this model."""
    own, theirs = line.serial_settings(defaults), line.serial_settings(profile.serial)
    names = ("baud", "parity", "data_bits", "stop_bits") if line.is_serial else ()
    return replace(
        line,
        **{
            name: getattr(own, name)
            for name in names
            if getattr(own, name) != getattr(theirs, name)
        },
    )


def _device_file(profile: "Profile", line: LineUrl, address: int) -> str:
    from gateway.site.device_files import DEFAULT_INTERVAL_S

    rows = [f"profile: {profile.id}", f"line: {line}"]
    if profile.bus:
        rows.append(f"address: {address}")
    if profile.min_interval_s > DEFAULT_INTERVAL_S:
        rows.append(f"interval: {profile.min_interval_s:g}s")
    return "\n".join(f"    {row}" for row in rows)
