"""`meter-gateway restore`: a copy of the box goes onto this one."""

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.terminal import Refused, moment, settings_of

if TYPE_CHECKING:
    from gateway.site.settings import Settings
    from gateway.store.restoring import Restored

SUMMARY = "put a copy in its place, also onto a new card, and send nothing twice"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Puts FILE, which backup wrote (of this version or an older one), in the place of the "
        "buffer. The daemon must be stopped. FILE is checked first, and stays as it is; the "
        "buffer that is there now is set aside under a name that says so.\n"
        "Where there is no configuration yet, as on a new card, that comes from FILE as well, with "
        "profiles and logins; then the service is started. A configuration that is there is kept.\n"
        "What the exchange accepted since the copy was made is not in the copy: it would be sent "
        "again, estimated. So slots that were accepted count as accepted (`outbox --state "
        "assumed`), and are sent again only by your word: meter-gateway outbox retry --state "
        "assumed. Which these are is known from the buffer that is there now, and from the file "
        "of marks beside it (buffer.sqlite.accepted). On a new card there is none: then the "
        "exchange is asked. What it shows counts as accepted; what comes after that is delivered, "
        "as the registers tell. Where it does not tell, all slots that have ended by now count as "
        "accepted, unless --accepted-until says otherwise. Where the old card can still be read, "
        "its buffer.sqlite.accepted names the newest slot that was accepted of each asset. Slots "
        "that end later are delivered as always."
    )
    parser.epilog = (
        "onto a new card, after apt install:\n"
        "  sudo meter-gateway restore /media/usb/home-12.sqlite\n"
        "on a box that runs:\n"
        "  sudo systemctl stop meter-gateway\n"
        "  sudo meter-gateway restore /media/usb/home-12.sqlite\n"
        "  sudo meter-gateway restore /media/usb/home-12.sqlite --accepted-until 2026-03-29T01:15Z"
        "\n  sudo systemctl start meter-gateway"
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the copy")
    parser.add_argument(
        "--accepted-until",
        type=moment,
        metavar="TIME",
        help="slots that start before then count as accepted, and no others: 2026-03-29, "
        "2026-03-29T01:15Z (UTC unless a zone is given) or so long ago: 90min, 2h, 3d",
    )
    parser.add_argument(
        "--no-start",
        action="store_true",
        help="do not start the service, where the configuration comes from FILE",
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0; 1 where something is left to do, which is named. Raises ConfigError, Refused or
    StoreError; the buffer has not been changed then.
    """
    from gateway.cli.commissioning.configuration_copy import is_there, put
    from gateway.cli.commissioning.starting import begin, is_service
    from gateway.store.carried_files import carried_in

    is_new = not is_there(args.config)
    if is_new:
        files = carried_in(args.file)
        if not files:
            raise Refused(
                f"{args.config}: there is no configuration, and none in {args.file} — set this box "
                "up first: meter-gateway init; or copy the old configuration folder here"
            )
        for line in put(args.config, files):
            print(line)
    settings = settings_of(args)
    _restore(args, settings)
    if not is_new:
        print("Start the daemon: systemctl start meter-gateway")
        return 0
    left = begin(settings, starts=is_service(args.config) and not args.no_start)
    for text in left:
        print(f"Left to do: {text}")
    return 1 if left else 0


def _restore(args: argparse.Namespace, settings: "Settings") -> None:
    import time

    from gateway.cli.commissioning.asking_back import AskingBack
    from gateway.store.restoring import restore
    from gateway.timing.clock import read_boot_id

    until = args.accepted_until
    now_s = time.time()
    asking = AskingBack(settings, now_s)
    boot_id = ""
    with contextlib.suppress(OSError):
        boot_id = read_boot_id()
    found = restore(
        args.file,
        settings.buffer_path,
        accepted_before_s=None if until is None else int(until),
        now_s=now_s,
        boot_id=boot_id,
        slot_s=int(settings.market.slot),
        asks=asking,
    )
    _tell(args.file, settings.buffer_path, found, by_word=until is not None)
    for line in asking.lines:
        print(line)
    _tell_of_the_time_between(settings, found, now_s)


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
    elif found.is_told:
        print("What the exchange shows counts as accepted, for each asset as far as it has come.")
    waited = f"{found.assumed} items that waited in the copy are not sent for that. "
    print(
        f"{waited if found.assumed else ''}What is settled anew for these slots is not sent "
        f"either; to send it all the same: {SEND_AGAIN}"
    )


def _tell_of_the_time_between(settings: "Settings", found: "Restored", now_s: float) -> None:
    """What is not in the copy, since it was made before."""
    from gateway.timing.utc import utc_minutes

    slot_s = int(settings.market.slot)
    if found.newest_slot_s is None:
        return
    slots = int(now_s - found.newest_slot_s) // slot_s - 1
    if slots < 1:
        return
    ended_s = found.newest_slot_s + slot_s
    print(
        f"The copy ends at {utc_minutes(ended_s)}: {slots} slots have ended since. Their energy is "
        "in the meters' registers, and is settled when these are read again: estimated, or, beyond "
        f"{settings.market.max_gap:g} s, unallocated (meter-gateway allocate)."
    )
