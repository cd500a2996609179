"""`meter-gateway read`: one sample, straight from the meter."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.tables import local_text, utc_text
from gateway.cli.terminal import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.line import AnyLine, Line, LineHeld
    from drivers.profile import Driver
    from drivers.sample import Reading
    from gateway.cli.recorder import Recorder
    from gateway.monitoring.report import Report
    from gateway.site.devices import Device

SUMMARY = "read a meter now and show its values"

WHO = "meter-gateway read"
"""What it is to those who want the line meanwhile."""

DAEMON_HINT = (
    "the daemon reads this meter: stop it (systemctl stop meter-gateway) and try "
    "again, or see its values with: meter-gateway status"
)


RAW_COLUMNS = 8
"""So many registers fit side by side."""

MAX_UNUSED = 24
"""So many ids of lines that are not used are named."""

MAX_COUNT = 125
"""Of one request (Modbus Application Protocol V1.1b3, 6.3 and 6.4)."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Opens the meter's line as its device file says, reads once and shows every value with "
        "its unit and meaning. A serial port or "
        "endpoint has one reader at a time. Where the daemon has it, what it read last is shown, "
        "with its age. Only devices/DEVICE.yaml and its profile must be right, nothing else."
    )
    parser.epilog = (
        "examples:\n  meter-gateway read grid\n  meter-gateway read pv --watch\n  meter-gateway "
        "read heat-pump --json\n"
        "  meter-gateway read pv --raw 0x48 --function 4\n"
        "  meter-gateway read grid --watch --record grid.jsonl --redact    (play it back with "
        "line: replay:/path/to/grid.jsonl)"
    )
    parser.add_argument(
        "device",
        metavar="DEVICE",
        help="the meter: the name of its file in devices/, without .yaml",
    )
    parser.add_argument("--json", action="store_true", help="for programs: one object per line")
    parser.add_argument(
        "--watch", action="store_true", help="read at the meter's interval until Ctrl-C"
    )
    record = parser.add_argument_group("to record")
    record.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="keep the bytes of the line, and what was made of them, in a new file",
    )
    record.add_argument(
        "--redact", action="store_true", help="with zeros for the meter's numbers and messages"
    )
    raw = parser.add_argument_group("to write a profile (Modbus only)")
    raw.add_argument(
        "--raw",
        type=_register,
        metavar="ADDRESS",
        help="show what the registers from ADDRESS (0-based, 72 or 0x48) on can mean",
    )
    raw.add_argument(
        "--function",
        type=int,
        choices=(3, 4),
        help="3 holding registers (default), 4 input registers",
    )
    raw.add_argument(
        "--count",
        type=_count,
        metavar="N",
        default=4,
        help="how many registers, 1 to 125 (default: 4)",
    )


def _register(text: str) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= 0xFFFF:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a register — a 0-based address from 0 to 65535, such as 72 or 0x48"
        )
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= MAX_COUNT):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of registers — 1 to {MAX_COUNT}, which is what one "
            "request can ask for"
        )
    return int(text)


def _name(text: str, config: Path) -> str:
    """The meter's name, where the path of its file may be written, too. Raises Refused where that
    is the file of another configuration.
    """
    path = Path(text)
    if len(path.parts) > 1 and path.suffix == ".yaml" and path.is_file():
        ours = config / "devices" / path.name
        if not (ours.exists() and path.samefile(ours)):
            raise Refused(
                f"{path}: is not in {config / 'devices'} — write the meter's name, or name its "
                f"folder: --config {path.parent.parent} read {path.stem}"
            )
    return path.name.removesuffix(".yaml")


def run(args: argparse.Namespace) -> int:
    """Returns 0 once the meter has answered. Raises LineError, MeterError."""
    import asyncio

    from drivers.line import LineError, LineHeld
    from gateway.site.config import load_device

    device = load_device(args.config, _name(args.device, args.config))
    if args.redact and args.record is None:
        raise Refused("--redact without --record — give the file: --record FILE --redact")
    recorder = None
    if args.record:
        from gateway.cli.recorder import Recorder

        recorder = Recorder(args.record, device, redacts=args.redact)
    try:
        if args.raw is not None:
            asyncio.run(_read_raw(device, args.raw, args.function or 3, args.count))
        else:
            asyncio.run(_read(device, args.json, args.watch, recorder))
    except LineHeld as error:
        if args.raw is None and recorder is None:
            return _read_at_daemon(args, device, error)
        raise LineError(f"{_in_use(device, error)} — if {DAEMON_HINT}") from error
    return 0


def _in_use(device: "Device", held: "LineHeld") -> str:
    """Who has the line."""
    what = "port" if device.line.is_serial else "line"
    return f"{device.line}: the {what} is in use: {held.holder} has it open"


def _read_at_daemon(args: argparse.Namespace, device: "Device", held: "LineHeld") -> int:
    """What the daemon that has the line read last. Raises LineError where it does not tell."""
    import time

    from drivers.line import LineError
    from gateway.cli.commands import status

    told_s = 0.0
    while True:
        try:
            report = status.report_of(args)
        except status.NotReachable as error:
            raise LineError(f"{_in_use(device, held)} — if {DAEMON_HINT}") from error
        taken_s = _show_last(report, device, held, told_s, as_json=args.json)
        if not args.watch:
            return 0
        told_s = taken_s
        time.sleep(device.interval_s)


def _show_last(
    report: "Report", device: "Device", held: "LineHeld", told_s: float, *, as_json: bool
) -> float:
    """Show a meter's last reading, unless it is that of `told_s`. Returns when it was taken."""
    from drivers.line import LineError
    from drivers.sample import METER_UTC, Reading

    found = next(
        (m for m in report.meters if (m.name, m.line) == (device.name, str(device.line))), None
    )
    who = f"the daemon of site {report.site}, which answers here,"
    if found is None:
        raise LineError(f"{held}; {who} does not read this meter")
    if found.last_success_s is None or not found.values:
        raise LineError(f"{held}; {who} has not heard from this meter yet")

    if found.last_success_s != told_s:
        age_s = max(0.0, report.now_s - found.last_success_s)
        print(f"{_in_use(device, held)}; its last reading is {age_s:.0f} s old", file=sys.stderr)
        clock_s = found.values.get(METER_UTC)
        reading = Reading(
            0.0,
            found.values,
            found.serial_number,
            meter_utc_s=clock_s,
            dialect=found.dialect,
            checksum=found.checksum,  # type: ignore[arg-type]  # whatever the daemon says
            unused=tuple(found.unused),
        )
        _show(device, reading, found.last_success_s, as_json)
    return found.last_success_s


async def _read(device: "Device", as_json: bool, watch: bool, recorder: "Recorder | None") -> None:
    import asyncio
    import time

    from drivers.line import LineError, MeterError

    loop = asyncio.get_running_loop()
    line = await _opened(device, recorder)
    driver: Driver | None = device.profile.open_driver(device.on_line, line)
    due_s = loop.time()
    try:
        while True:
            try:
                if driver is None:
                    line = await _opened(device, recorder, again=True)
                    driver = device.profile.open_driver(device.on_line, line)
                reading = await driver.read(due_s)
                if recorder:
                    recorder.told(due_s, reading)
                ago_s = loop.time() - reading.taken_s
                _show(device, reading, time.time() - ago_s, as_json)
                for quantity, why in reading.doubts.items():
                    print(f"{device.name}: {quantity}: {why}", file=sys.stderr)
            except MeterError as error:
                if recorder:
                    recorder.told(due_s, error)
                if not watch:
                    raise MeterError(f"{device.name}: {error}") from error
                print(f"{device.name}: {error}", file=sys.stderr)
            except LineError as error:
                if not watch or device.line.scheme == "replay":
                    raise
                print(f"{device.name}: {error}; it is opened anew", file=sys.stderr)
                line.close()
                driver = None
            _mind_strangers(device, line)
            if not watch:
                return
            due_s = max(due_s + device.interval_s, loop.time())
            if driver is None:
                await asyncio.sleep(due_s - loop.time())
    finally:
        line.close()
        if recorder:
            print(recorder.end(), file=sys.stderr)


def _mind_strangers(device: "Device", line: "AnyLine") -> None:
    """Say that another master is on the line."""
    from drivers.line import Turns

    turns = getattr(line, "turns", None)
    count = turns.overheard.strangers if isinstance(turns, Turns) else 0
    if count:
        print(
            f"{device.name}: {count} frames came that nobody here has asked for — a second master "
            "is on the bus: take one of the two away; what came meanwhile was read again",
            file=sys.stderr,
        )


async def _opened(
    device: "Device", recorder: "Recorder | None", *, again: bool = False
) -> "AnyLine":
    """The meter's line, through the recorder where there is one. Raises LineError."""
    from drivers.line import open_any_line, open_line

    if recorder is None:
        return await open_any_line(device.line, device.profile.serial, says=WHO)
    line = await open_line(device.line, device.profile.serial, says=WHO)
    return recorder.go_on(line) if again else recorder.begin(line)


async def _read_raw(device: "Device", register: int, function: int, count: int) -> None:
    from drivers.line import MeterError, open_line
    from drivers.modbus.bus import Refused as RefusedByMeter
    from drivers.modbus.bus import request
    from drivers.modbus.raw import decodings
    from gateway.cli.terminal import Refused, print_table

    if device.profile.bus != "modbus":
        raise Refused(
            f"{device.name}: --raw reads Modbus registers, and {device.profile.id} speaks "
            f"{device.profile.protocol}"
        )
    if register + count > 0x10000:
        raise Refused(
            f"registers {register}..{register + count - 1}: there is none beyond 65535 — give a "
            "smaller --count"
        )
    settings = device.profile.settings
    timeout_s = settings.timeout_s if device.timeout_s is None else device.timeout_s
    line: Line = await open_line(device.line, device.profile.serial, says=WHO)
    try:
        data = await request(
            line,
            device.address,
            function,
            register,
            count,
            timeout_s,
            settings.turnaround_ms / 1000,
        )
    except RefusedByMeter as error:
        said = str(error).partition(" — ")[0]  # what follows is about profiles
        hint = (
            f"--function {7 - function} asks its other registers, a smaller --count fewer of them"
        )
        raise MeterError(f"{device.name}: {said} — {hint}") from error
    except MeterError as error:
        raise MeterError(f"{device.name}: {error}") from error
    finally:
        line.close()
    columns = [f"0x{at:04X} ({at})" for at in range(register, register + count)]
    print(
        f"{device.name}: address {device.address}, function {function}. A column is what begins "
        "at that register."
    )
    if count <= RAW_COLUMNS:
        print_table(
            ["read as", *columns],
            [[name, *values] for name, values in decodings(data)],
            right=columns,
        )
        return
    rows = list(decodings(data))  # many registers: one per line
    print_table(
        ["register", *(name for name, _ in rows)],
        [[column, *(v[n] for _, v in rows)] for n, column in enumerate(columns)],
    )


def _telegram_lines(reading: "Reading") -> "Iterator[str]":
    """How a pushed telegram was understood, and what of it was not."""
    if not reading.dialect:
        return
    yield f"understood as {reading.dialect}" + (
        f"; checksum: {reading.checksum}" if reading.checksum else ""
    )
    if reading.checksum == "right over CR LF":
        yield "something on the way rewrites line ends: have it pass the bytes through raw"
    if reading.unused:
        ids = list(dict.fromkeys(reading.unused))
        more = ", …" if len(ids) > MAX_UNUSED else ""
        count = len(reading.unused)
        lines = "line" if count == 1 else "lines"
        yield f"{count} {lines} not used: {', '.join(ids[:MAX_UNUSED])}{more}"


def _show(device: "Device", reading: "Reading", taken_s: float, as_json: bool) -> None:
    """`taken_s`: when it was taken, Unix time."""
    from drivers.sample import QUANTITIES, unit_of
    from gateway.cli.terminal import json_text, print_table

    taken_s = round(taken_s, 3)
    values = {
        quantity: reading.values[quantity] for quantity in QUANTITIES if quantity in reading.values
    }
    if as_json:
        found: dict[str, Any] = {
            "meter": device.name,
            "time_utc": utc_text(taken_s),
            "serial_number": reading.serial_number,
            "values": values,
            **(
                {}
                if reading.meter_utc_s is None
                else {"meter_time_utc": utc_text(reading.meter_utc_s)}
            ),
            **(
                {}
                if not reading.dialect
                else {
                    "dialect": reading.dialect,
                    "checksum": reading.checksum,
                    "unused": list(reading.unused),
                }
            ),
        }
        print(json_text(found), flush=True)
        return
    number = f", serial number {reading.serial_number}" if reading.serial_number else ""
    print(f"{device.name}: {device.profile.maker} {device.profile.model}{number}")
    print(
        f"{utc_text(taken_s)} ({local_text(taken_s, None)}), as the meter shows it"
        + (" (invert: true turns it round)" if device.invert else "")
    )
    if reading.meter_utc_s is not None:
        print(f"its own clock: {utc_text(reading.meter_utc_s)}")
    for line in _telegram_lines(reading):
        print(line)
    print_table(
        ["quantity", "value", "unit", "meaning"],
        [[q, f"{v:.10g}", unit_of(q), QUANTITIES[q]] for q, v in values.items()],
        right=["value"],
        spare=["meaning"],
    )
    sys.stdout.flush()
