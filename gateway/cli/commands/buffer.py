"""`meter-gateway buffer`: is the file undamaged, and does what is in it keep the laws? And its
repair.
"""

import argparse
import sys
from collections import Counter
from typing import TYPE_CHECKING

from gateway.cli.terminal import Refused, reading, settings_of

if TYPE_CHECKING:
    from gateway.site.settings import Settings

SUMMARY = "check that the buffer is undamaged and its numbers agree; repair a damaged one"

SHOWN = 10
"""Findings of one kind that are shown; the rest are counted."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "check: reads the whole file and looks at every row; then that each slot's energy is "
        "what its counter moved by, that each slot "
        "begins where the one before has ended, or the difference is stated as unallocated, that "
        "no two hold the same time, and that what "
        "is owed is what the meters' slots add up to. Works while the daemon runs, and without "
        "it.\n"
        "repair: sets the file aside and begins a new one with everything that can be read of "
        "it. The daemon does that by itself where "
        "it meets damage, so that this is for a file that check complains about, or for looking "
        "at one on another machine. The daemon must "
        "be stopped; the file that was set aside stays.\n"
        "path: says where the file is."
    )
    parser.epilog = (
        "exit codes of check:\n  0 all is well; 1 it is damaged, or some numbers do not agree\n\n"
        "examples:\n"
        "  meter-gateway buffer check\n"
        "  systemctl stop meter-gateway && meter-gateway buffer repair && systemctl start "
        "meter-gateway"
    )
    parser.add_argument("action", choices=["check", "repair", "path"], help="what to do")


def run(args: argparse.Namespace) -> int:
    """Returns the exit code. Raises ConfigError, Refused or StoreError."""
    settings = settings_of(args)
    if args.action == "path":
        print(settings.buffer_path)
        return 0
    return _check(settings) if args.action == "check" else _repair(settings)


def _check(settings: "Settings") -> int:
    from gateway.ledger.audit import REMEDIES, audit

    with reading(settings) as buffer:
        damage = buffer.damage()
        for text in damage:
            print(f"{settings.buffer_path}: {text}")
        if damage:
            print(
                "It is damaged. The daemon salvages it by itself when it meets the damage; or: "
                "meter-gateway buffer repair",
                file=sys.stderr,
            )
            return 1
        print(
            f"{settings.buffer_path}: undamaged; {buffer.slot_count} slots, "
            f"{buffer.size_bytes / 1e6:.1f} MB"
        )
        unallocated = [each.what for each in buffer.unallocated() if each.placed_s is None]
        counts: Counter[str] = Counter()
        for finding in audit(buffer.slots(), buffer.owed(), unallocated, settings.assets):
            counts[finding.kind] += 1
            if counts[finding.kind] <= SHOWN:
                print(f"  {finding.text}")
    for kind, count in counts.items():
        more = f" ({count - SHOWN} more)" if count > SHOWN else ""
        print(f"{count} × {kind}{more}: {REMEDIES[kind]}", file=sys.stderr)
    if not counts:
        print(
            "Every slot begins where the one before has ended, and what is owed is what the "
            "meters' slots add up to."
        )
    return 1 if counts else 0


def _repair(settings: "Settings") -> int:
    import time

    from gateway.store.opening import repair

    path = settings.buffer_path
    if not path.exists() and not path.with_name(path.name + "-wal").exists():
        raise Refused(
            f"{path}: there is no buffer to repair; start the daemon, or give --config the "
            "folder that names it"
        )
    print(repair(path, now_s=time.time()))
    return 0
