"""`meter-gateway explain`: why a slot is what it is."""

import argparse

from gateway.cli.terminal import Refused, settings_of

SUMMARY = "why is a slot what it is? registers, samples, what was made of them, what was sent"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    from gateway.cli.explanation import FORM

    parser.description = (
        "Tells how a slot of an asset came about: the registers of its meters at both ends, the "
        "samples between them, gaps, how it is known and by how much it may be off, revisions, "
        "and what was sent of it, when, and what was answered, word for word. The page tells the "
        "same. Works while the daemon runs, and without it."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway explain 'House load' 14:15\n"
        "  meter-gateway explain PV 2026-03-29T12:15Z --json"
    )
    parser.add_argument("asset", metavar="ASSET", help="the asset's name or UUID")
    parser.add_argument("time", metavar="TIME", help=f"a time in the slot: {FORM}")
    parser.add_argument("--json", action="store_true", help="for programs: as /api/v1/slots has it")


def run(args: argparse.Namespace) -> int:
    """Returns 0. Raises Refused or StoreError."""
    import sys
    import time

    from msgspec import json

    from gateway.cli.explanation import lines_of, moment_of
    from gateway.history.home import home_of
    from gateway.history.refusals import Refusal
    from gateway.history.stories import slot_story
    from gateway.store.archive import look_into
    from gateway.store.file import connect_to_read

    settings = settings_of(args)
    settings.read_logins()
    home = home_of(settings)
    try:
        asset = home.asset(args.asset)
        at_s = moment_of(args.time, home.clocks, time.time())
        start_s = int(at_s // home.slot_s) * home.slot_s
        with look_into(
            settings.buffer_path,
            home.slot_s,
            settings.secrets.masked,
            lambda: False,
            connect_to_read,
        ) as look:
            story = slot_story(look, home, asset, start_s)
    except (Refusal, ValueError) as error:
        raise Refused(str(error)) from error
    if args.json:
        sys.stdout.write(json.format(json.encode(story), indent=2).decode() + "\n")
    else:
        for line in lines_of(story, home.clocks):
            print(line)
    return 0
