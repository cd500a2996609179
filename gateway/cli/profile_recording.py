"""Makes the recording that proves a profile: of a meter, or of values that somebody states."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.line import LineUrl
from gateway.cli.recording_of_meter import of_meter
from gateway.cli.recording_of_values import of_values, to_fill_in
from gateway.cli.terminal import Refused, argument

if TYPE_CHECKING:
    from drivers.profile import Profile

FOLDER = Path("tests", "recordings")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `record` can be told."""
    group = parser.add_argument_group(
        "to record (Modbus only)", "without a source, the values to state are printed, to fill in"
    )
    group.add_argument(
        "--values", type=Path, metavar="FILE", help="of the values that this file states, by name"
    )
    group.add_argument("--device", metavar="NAME", help="of a meter of this site, in devices/")
    group.add_argument(
        "--line",
        type=argument(LineUrl.parse),
        metavar="URL",
        help="of a meter on that line, such as tcp:10.0.0.7",
    )
    group.add_argument(
        "--address", type=_address, metavar="N", default=1, help="with --line (default: 1)"
    )


def _address(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:4]) <= 255):
        raise argparse.ArgumentTypeError(f"{text!r} is no Modbus address — 1 to 247")
    return int(text)


def record(args: argparse.Namespace, profile: "Profile") -> int:
    """Returns 0 once the file is written. Raises LineError, MeterError, Refused."""
    if profile.protocol != "modbus":
        raise Refused(
            f"{profile.id} speaks {profile.protocol}: what its meters send is recorded with "
            f"meter-gateway read DEVICE --record {FOLDER / _stem(profile)}.jsonl --redact"
        )
    sources = [name for name in ("values", "device", "line") if getattr(args, name) is not None]
    if not sources:
        print(to_fill_in(profile), end="")
        return 0
    if len(sources) > 1:
        args.usage_error(f"--{' and --'.join(sources)}: one of them is enough")

    answers = (
        of_values(profile, args.values)
        if args.values
        else of_meter(profile, args.config, args.device, args.line, args.address)
    )
    if problems := [f"{message} — {hint}" for message, hint in answers.mistakes()]:
        raise Refused("\n".join(f"{profile.id}: {problem}" for problem in problems))

    path = args.output or _place(profile)
    _write(path, answers.text())
    print(f"{path}: {len(answers.values)} values, {len(set(answers.answers))} frames")
    what = "its words with the manual" if args.values else "its values with the meter's display"
    print(f"compare {what}; then: make profile ID={profile.id}")
    return 0


def _stem(profile: "Profile") -> str:
    return profile.id.replace("/", "-")


def _place(profile: "Profile") -> Path:
    name = f"{_stem(profile)}.yaml"
    return FOLDER / name if FOLDER.is_dir() else Path(name)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        hint = "remove it, or write to another file with --output"
        raise Refused(f"{path}: is there already — {hint}") from None
    except OSError as error:
        hint = "write to another file with --output"
        raise Refused(f"{path}: cannot be written: {error.strerror} — {hint}") from error
