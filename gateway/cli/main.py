"""`meter-gateway`: the commands a person runs. Every file of `commands/` is one; `_` in its name is
written `-`.

A command is a module with

- `SUMMARY`: what it does, in a line;
- `arguments(parser)`: adds its options, description and example;
- `run(args) -> int`: does it; the number is the exit code. `args.config` is the configuration
  folder.

Only the module of the command that was asked for is imported, and it imports what only people need
(rich, openpyxl) inside its functions: the daemon, which is the command `run`, shares a small
machine.

Exit codes: 0 done; 1 it could not be done, and standard error says why and what to do; 2 the
command line is wrong; 130 interrupted; 141 whoever read our output went away. Expected errors end
here, by type; any other is a bug and shows its traceback.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from drivers.line import LineError, MeterError
from drivers.profile import ProfileError
from drivers.strict_yaml import nearest
from gateway import __version__
from gateway.cli.terminal import Refused, of_the_machine, room, speak_plainly
from gateway.site.config import DEFAULT_FOLDER
from gateway.site.credentials import ConfigError
from gateway.store.errors import StoreError

PROGRAM = "meter-gateway"
FOLDER_VARIABLE = "METER_GATEWAY_CONFIG"

HELP_COLUMNS = 80
"""How wide help is where it goes to no terminal."""

EXPECTED = (Refused, ConfigError, ProfileError, StoreError, LineError, MeterError)
"""Errors whose text tells a person what to do."""


class Command(Protocol):
    """What each file of `commands/` offers."""

    SUMMARY: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add options, description and example."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code; a wrong command line, `--help` and `--version` end by
    SystemExit, as argparse does.
    """
    speak_plainly(sys.stdout)
    speak_plainly(sys.stderr)
    words = list(sys.argv[1:] if argv is None else argv)
    at = _command_at(words)
    if at is None:
        parser = _overall()
        parser.parse_args(words)
        parser.print_help(sys.stderr)
        return 2
    name = words.pop(at)
    if name not in command_names():
        _overall().error(f"there is no command {name!r} — {nearest(name, command_names())}")
    command = _command(name)
    parser = _parser(f"{PROGRAM} {name}")
    parser.description = command.SUMMARY
    command.arguments(parser)
    return _run(command, parser.parse_args(words))


def command_names() -> list[str]:
    """The commands there are: the files of `commands/`."""
    return sorted(
        path.stem.replace("_", "-") for path in Path(__file__).with_name("commands").glob("*.py")
    )


def _command(name: str) -> Command:
    return cast(Command, importlib.import_module(f"gateway.cli.commands.{name.replace('-', '_')}"))


def _command_at(words: Sequence[str]) -> int | None:
    """Where the command stands: it is the first word that is neither an option nor the folder after
    `--config`.
    """
    for i, word in enumerate(words):
        if not word.startswith("-") and (i == 0 or words[i - 1] != "--config"):
            return i
    return None


def _run(command: Command, args: argparse.Namespace) -> int:
    try:
        code = command.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Python flushes standard output once more at its end; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except EXPECTED as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        told = of_the_machine(error)
        if not told:
            raise
        print(told, file=sys.stderr)
        return 1
    return code


class _Layout(argparse.HelpFormatter):
    """Wraps paragraphs, and leaves indented lines (examples) as they are."""

    def __init__(self, prog: str, **options: Any) -> None:
        # Told no width, argparse asks shutil, which keeps 0.8 MB of the daemon's memory.
        super().__init__(prog, **{"width": room(HELP_COLUMNS) - 2} | options)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n".join(
            line if line.startswith(" ") else fill(line, width, indent) for line in text.split("\n")
        )


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(program, formatter_class=_Layout, allow_abbrev=False)
    folder = os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER
    text = f"the configuration folder (default: ${FOLDER_VARIABLE}, or else {DEFAULT_FOLDER})"
    parser.add_argument("--config", type=_folder, default=str(folder), metavar="DIR", help=text)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _folder(text: str) -> Path:
    """The configuration folder. Whoever names the file in it means its folder."""
    path = Path(text)
    if not path.is_file():
        return path
    if path.name == "gateway.yaml":
        return path.parent
    holds = (each for each in path.parents if (each / "gateway.yaml").is_file())
    such = next((f", such as {each}" for each in holds), "")
    raise argparse.ArgumentTypeError(
        f"{text} is a file — give the folder that holds gateway.yaml{such}"
    )


def _overall() -> argparse.ArgumentParser:
    parser = _parser(PROGRAM)
    parser.usage = f"{PROGRAM} [--config DIR] COMMAND [options]"
    parser.description = (
        "Reads a home's electricity meters and settles their energy, slot by "
        "slot, with a local energy exchange."
    )
    lines = [f"  {name:<13}{_command(name).SUMMARY}" for name in command_names()]
    parser.epilog = "\n".join(
        [
            "commands:",
            *lines,
            "",
            "Exit codes, where a command does not say otherwise: 0 done; 1 it could not be done, "
            "and standard error says why and what to do; 2 the command line is wrong; 130 "
            "interrupted.",
            f"{PROGRAM} COMMAND --help tells more, with examples.",
        ]
    )
    return parser
