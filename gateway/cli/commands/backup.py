"""`meter-gateway backup`: a consistent copy of the buffer, while the daemon runs."""

import argparse
import os
from pathlib import Path

from gateway.cli.terminal import Refused, reading, settings_of

SUMMARY = "write a consistent copy of the buffer to a file, while the daemon runs"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Copies the buffer (samples, slots, what is owed) as it is at this moment into one file, "
        "reads the copy back, and says what is in "
        "it. Works while the daemon runs, and without it. The copy is as large as the buffer. A "
        "file that is there already is left alone.\n"
        "To go back to a copy: meter-gateway restore FILE."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway backup /media/usb/home-12.sqlite\n"
        "  meter-gateway backup /media/usb/home-12-$(date +%F).sqlite && ls -t "
        "/media/usb/*.sqlite | tail -n +8 | xargs -r rm"
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the copy; must not be there yet")


def run(args: argparse.Namespace) -> int:
    """Returns 0. Raises Refused or StoreError; there is no copy then."""
    path: Path = args.file
    settings = settings_of(args)
    with reading(settings) as buffer:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
        except FileExistsError as error:
            raise Refused(f"{path} is there already — give the copy a name of its own") from error
        except OSError as error:
            text = (
                f"{path} cannot be made: {error.strerror} — choose a folder that is there and "
                "that you may write to"
            )
            raise Refused(text) from error
        try:
            path.chmod(0o640)
            copied = buffer.copy_to(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    print(f"{path}: {copied}")
    return 0
