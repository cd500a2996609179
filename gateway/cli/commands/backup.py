"""`meter-gateway backup`: a consistent copy of the box, while the daemon runs."""

import argparse
import contextlib
import os
from pathlib import Path

from gateway.cli.terminal import Refused, reading, settings_of

SUMMARY = "write a copy of buffer, configuration and logins to a file, while the daemon runs"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Copies the buffer (samples, slots, what is owed) as it is at this moment into one file, "
        "with the configuration, profiles and logins of the box, reads the copy back, and says "
        "what is in it. With the logins in it the copy is a secret: only its owner may read it, "
        "where the disk knows owners. Works while the daemon runs, and without it. The copy is as "
        "large as the buffer. A file that is there already is left alone.\n"
        "To go back to a copy, or to go on with it on a new card: meter-gateway restore FILE."
    )
    parser.epilog = (
        "examples:\n"
        "  sudo meter-gateway backup /media/usb/home-12.sqlite\n"
        "  sudo meter-gateway backup /media/usb/home-12-$(date +%F).sqlite && ls -t "
        "/media/usb/*.sqlite | tail -n +8 | xargs -r rm"
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the copy; must not be there yet")
    parser.add_argument(
        "--buffer-only",
        action="store_true",
        help="leave configuration, profiles and logins out: the copy is no secret then",
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0. Raises Refused or StoreError; there is no copy then."""
    from gateway.cli.commissioning.configuration_copy import Taken, take
    from gateway.store.carried_files import put_in

    path: Path = args.file
    settings = settings_of(args)
    taken = Taken((), ()) if args.buffer_only else take(settings.folder, settings.buffer_path)
    mode = 0o640 if args.buffer_only else 0o600
    with reading(settings) as buffer:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        except FileExistsError as error:
            raise Refused(f"{path} is there already — give the copy a name of its own") from error
        except OSError as error:
            text = (
                f"{path} cannot be made: {error.strerror} — choose a folder that is there and "
                "that you may write to"
            )
            raise Refused(text) from error
        try:
            with contextlib.suppress(PermissionError):  # FAT knows no modes
                path.chmod(mode)
            copied = buffer.copy_to(path)
            if not args.buffer_only:
                put_in(path, taken.files)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    print(f"{path}: {copied}")
    if args.buffer_only:
        print("The configuration is not in it.")
    else:
        secrets = sum(file.is_secret for file in taken.files)
        print(
            f"With it: {settings.folder}, {len(taken.files)} files, {secrets} of them secret: let "
            "nobody read the copy who may not know them."
        )
    for each in taken.left_out:
        print(f"Not in it, copy it yourself: {each}")
    return 0
