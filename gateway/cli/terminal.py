"""What the commands that a person runs have in common: points in time, the buffer they look into,
and tables.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.site.settings import Settings
    from gateway.store.buffer import Buffer

PIPED_COLUMNS = 200
"""Width of a table that no terminal shows: a file or a pipe has room."""


class Refused(Exception):
    """What was asked for cannot be done. The text says why and what to do."""


def moment(text: str) -> float:
    """A point in time from the command line, as Unix time. For `argparse`, which makes a usage
    error of its complaint.
    """
    from gateway.cli.tables import moment_s  # the daemon starts through here, too: not in it

    try:
        return moment_s(text, time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_period(parser: argparse.ArgumentParser) -> None:
    """`--since` and `--until`."""
    form = (
        "2026-03-29, 2026-03-29T01:15Z (UTC unless a zone is given) or so long ago: 90min, 2h, 3d"
    )
    parser.add_argument(
        "--since", type=moment, metavar="TIME", help=f"slots or samples from then on: {form}"
    )
    parser.add_argument(
        "--until", type=moment, metavar="TIME", help="and before then, written the same way"
    )


def settings_of(args: argparse.Namespace) -> "Settings":
    """The configuration, for commands that only look: they need no login. Raises ConfigError."""
    from gateway.delivery import kinds

    return kinds.load(args.config, logins=False)


@contextlib.contextmanager
def reading(settings: "Settings") -> Iterator["Buffer"]:
    """The buffer, beside the running daemon. Raises StoreError, also for what goes wrong while it
    is being read.
    """
    import sqlite3

    from gateway.store.errors import explained
    from gateway.store.opening import open_for_reading

    buffer = open_for_reading(settings.buffer_path)
    try:
        yield buffer
    except sqlite3.Error as error:
        raise explained(settings.buffer_path, "cannot be read", error) from error
    finally:
        buffer.close_file()


def console() -> "Console":
    """Standard output; as wide as the terminal, or wide enough for a table where there is none."""
    from rich.console import Console

    return Console(
        width=None if sys.stdout.isatty() else PIPED_COLUMNS, highlight=False, emoji=False
    )


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    right: Sequence[str] = (),
) -> None:
    """A table on standard output; columns named in `right` hold numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column in right,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)
