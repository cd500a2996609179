"""What the commands that a person runs have in common: points in time, the buffer they look into,
and tables.
"""

import argparse
import codecs
import contextlib
import errno
import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from gateway.site.settings import Asset, Settings
    from gateway.store.buffer import Buffer

T = TypeVar("T")

PIPED_COLUMNS = 200
"""Width of a table that no terminal shows: a file or a pipe has room."""


_ASCII_HEAD = "    \n    \n -- \n" + "    \n" * 5


class Refused(Exception):
    """What was asked for cannot be done. The text says why and what to do."""


def of_the_machine(error: OSError) -> str:
    """What no command can do anything about, in a line. Empty where it may be a bug."""
    what = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{what}there is no room left — free space where it is written"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{what}permission denied — run this as root (with sudo), or as the user of the "
            "daemon (sudo -u meter-gateway)"
        )
    return ""


def argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """What parses a text and complains by ValueError, as a `type` of argparse, which makes a usage
    error of its complaint.
    """

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


@argument
def moment(text: str) -> float:
    """A point in time from the command line, as Unix time."""
    from gateway.cli.tables import moment_s  # the daemon starts through here, too: not in it

    return moment_s(text, time.time())


TIME_FORM = (
    "2026-03-29, 2026-03-29T01:15Z (UTC unless a zone is given) or so long ago: 90min, 2h, 3d"
)


def add_period(parser: argparse.ArgumentParser) -> None:
    """`--since` and `--until`."""
    parser.add_argument(
        "--since", type=moment, metavar="TIME", help=f"slots or samples from then on: {TIME_FORM}"
    )
    parser.add_argument(
        "--until", type=moment, metavar="TIME", help="and before then, written the same way"
    )


def settings_of(args: argparse.Namespace) -> "Settings":
    """The configuration, for commands that only look: they need no login. Raises ConfigError."""
    from gateway.delivery import kinds

    return kinds.load(args.config, logins=False)


def assets_named(settings: "Settings", name: str | None) -> "tuple[Asset, ...]":
    """The assets that were asked for: all, or the one of that name or UUID. Raises Refused where
    there is none.
    """
    from drivers.strict_yaml import nearest

    if name is None:
        return settings.assets
    found = tuple(asset for asset in settings.assets if name in (asset.name, str(asset.uuid)))
    if not found:
        raise Refused(
            f"there is no asset {name!r} — "
            f"{nearest(name, [asset.name for asset in settings.assets])}"
        )
    return found


@contextlib.contextmanager
def reading(settings: "Settings") -> Iterator["Buffer"]:
    """The buffer, beside the running daemon. Raises StoreError, also for what goes wrong while it
    is being read.
    """
    import sqlite3

    from gateway.store.errors import explained
    from gateway.store.opening import open_for_reading

    settings.read_logins()
    buffer = open_for_reading(settings.buffer_path, settings.secrets.masked)
    try:
        yield buffer
    except sqlite3.Error as error:
        raise explained(settings.buffer_path, "cannot be read", error) from error
    finally:
        buffer.close_file()


def speak_plainly(stream: object) -> None:
    """Let a stream whose encoding knows less than ours write what is nearest: a terminal of 1990,
    or a pipe under LANG=C, is no reason to end with a traceback.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="plain")


_PLAIN = {
    "–": "-", "—": "-", "−": "-", "·": ".", "…": "...", "×": "x", "→": "->", "←": "<-",
    "≥": ">=", "≤": "<=", "±": "+-", "µ": "u", "✓": "+", "✗": "x", "“": '"', "”": '"',
    "„": '"', "’": "'", "ß": "ss", "€": "EUR", "Σ": "sum",
}  # fmt: skip


def _plain(error: UnicodeError) -> tuple[str, int]:
    """The characters that an encoding does not know, in ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


codecs.register_error("plain", _plain)


def _in_ascii(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    import unicodedata  # only terminals of another age need it

    apart = unicodedata.normalize("NFKD", character)
    return apart.encode("ascii", "ignore").decode() or "?"


def json_text(data: object, indent: int | None = None) -> str:
    """JSON for standard output."""
    import json

    return json_escaped(json.dumps(data, ensure_ascii=False, indent=indent))


def json_escaped(text: str) -> str:
    """JSON for standard output: what its encoding does not know is escaped, not replaced."""
    import json

    if text.isascii() or _speaks_unicode():
        return text
    return "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)


def _encoding() -> str:
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower()


def _speaks_unicode() -> bool:
    return _encoding().startswith("utf")


def _as_shown(text: str) -> str:
    """The text as standard output shows it: what is replaced may take more room."""
    if text.isascii() or _speaks_unicode():
        return text
    return text.encode(_encoding(), "plain").decode(_encoding())


def room(piped: int = PIPED_COLUMNS) -> int:
    """Characters in a line of standard output: as wide as the terminal is, or as COLUMNS says; a
    file or a pipe has `piped`, which is enough for a table.
    """
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdigit() and int(said[:5]):
        return int(said[:5])
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or piped
    except (OSError, ValueError):  # it is no terminal
        return piped


def console() -> "Console":
    """Standard output, of that width."""
    from rich.console import Console

    return Console(width=room(), highlight=False, emoji=False)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """A table on standard output, as `table` makes it."""
    console().print(table(columns, rows, right=right, spare=spare))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence["str | Text"]],
    *,
    title: str = "",
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> "RenderableType":
    """A table that fits into a line. Columns named in `right` hold numbers; those in `spare` are
    left out where there is no room, the first one first, and that is said below.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from gateway.cli.layout import fitted, records

    columns, right, spare = (list(map(_as_shown, names)) for names in (columns, right, spare))
    # Text, not str: square brackets in a meter's name are no markup.
    texts = [
        [
            Text(_as_shown(c.plain), c.style) if isinstance(c, Text) else Text(_as_shown(c))
            for c in row
        ]
        for row in rows
    ]
    cells = [columns, *([cell.plain for cell in row] for row in texts)]
    layout = fitted(
        cells,
        room(),
        whole=[columns.index(name) for name in right],
        spare=[columns.index(name) for name in spare],
    )
    if layout is None:
        text = "\n".join([title, *records(cells, room())]).strip("\n")
        return Text(text, no_wrap=True, overflow="ignore")

    # rich would draw a frame where it may not draw lines.
    lines = box.SIMPLE_HEAD if _speaks_unicode() else box.Box(_ASCII_HEAD, ascii=True)
    shown = Table(title=title or None, title_justify="left", box=lines, pad_edge=False)
    for i, width in zip(layout.shown, layout.widths, strict=True):
        name = columns[i]
        shown.add_column(
            name, width=width, justify="right" if name in right else "left", no_wrap=name in right
        )
    for row in texts:
        shown.add_row(*(row[i] for i in layout.shown))

    left_out = [name for i, name in enumerate(columns) if i not in layout.shown]
    if not left_out:
        return shown
    return Group(shown, Text(f"(no room for: {', '.join(left_out)})", style="dim"))
