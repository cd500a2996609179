"""`meter-gateway restore`: a copy of the buffer goes into its place."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.terminal import moment, settings_of

if TYPE_CHECKING:
    from gateway.store.restoring import Restored

SUMMARY = "put a copy of the buffer in its place, without sending accepted slots again"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Puts FILE, which backup wrote (of this version or an older one), in the place of the "
        "buffer. The daemon must be stopped. FILE is checked first, and stays as it is; the "
        "buffer that is there now is set aside under a name that says so.\n"
        "What the exchange accepted since the copy was made is not in the copy: it would be sent "
        "again, estimated. So slots that were accepted count as accepted (`outbox --state "
        "assumed`), and are sent again only by your word: meter-gateway outbox retry --state "
        "assumed. Which these are is known from the buffer that is there now, and from the file "
        "of marks beside it (buffer.sqlite.accepted). On a new card there is none: then all slots "
        "that have ended by now count as accepted, unless --accepted-until says otherwise. Where "
        "the old card can still be read, its buffer.sqlite.accepted names the newest slot that "
        "was accepted of each asset. Slots that end later are delivered as always."
    )
    parser.epilog = (
        "examples:\n"
        "  systemctl stop meter-gateway\n"
        "  meter-gateway restore /media/usb/home-12.sqlite\n"
        "  meter-gateway restore /media/usb/home-12.sqlite --accepted-until 2026-03-29T01:15Z\n"
        "  systemctl start meter-gateway"
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the copy")
    parser.add_argument(
        "--accepted-until",
        type=moment,
        metavar="TIME",
        help="slots that start before then count as accepted, and no others: 2026-03-29, "
        "2026-03-29T01:15Z (UTC unless a zone is given) or so long ago: 90min, 2h, 3d",
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0. Raises ConfigError or StoreError; nothing has been changed then."""
    import time

    from gateway.store.restoring import restore

    settings = settings_of(args)
    until = args.accepted_until
    found = restore(
        args.file,
        settings.buffer_path,
        accepted_before_s=None if until is None else int(until),
        now_s=time.time(),
        slot_s=int(settings.market.slot),
    )
    _tell(args.file, settings.buffer_path, found, by_word=until is not None)
    return 0


def _tell(copy: Path, path: Path, found: "Restored", *, by_word: bool) -> None:
    from gateway.store.behind import SEND_AGAIN
    from gateway.timing.utc import utc_minutes

    counts = found.counts
    print(
        f"{path}: restored from {copy}: {found.size_bytes / 1e6:.1f} MB, undamaged: "
        f"{counts['samples']} samples, {counts['slots']} slots, {counts['outbox']} items of the "
        "outbox"
    )
    if found.is_older:
        print("It is of an older version; the daemon upgrades it when it starts.")
    if found.aside:
        print(f"What was there is {found.aside.name} now; delete it when all is well.")

    if found.assumed_before_s is not None:
        why = "" if by_word else ", because nothing here tells what was accepted since the copy"
        print(f"Slots before {utc_minutes(found.assumed_before_s)} count as accepted{why}.")
    elif found.marked_s is not None:
        print(
            f"Slots up to {utc_minutes(found.marked_s)} count as accepted, for each asset as far "
            "as the exchange had come."
        )
    waited = f"{found.assumed} items that waited in the copy are not sent for that. "
    print(
        f"{waited if found.assumed else ''}What is settled anew for these slots is not sent "
        f"either; to send it all the same: {SEND_AGAIN}"
    )
    print("Start the daemon: systemctl start meter-gateway")
