"""`meter-gateway run`: the daemon."""

import argparse
import asyncio
import logging
import sys

SUMMARY = "run the daemon: read the meters, settle the slots, deliver them"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Reads the meters of the configuration folder, keeps every sample, settles each market "
        "slot and delivers it to the exchange. "
        "Runs until SIGTERM or Ctrl-C; logs to standard output (systemd keeps it: journalctl -u "
        "meter-gateway)."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway --config ./docs/examples/home run\n"
        "  systemctl start meter-gateway    (as a service, with /etc/meter-gateway)"
    )
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="least important line to log",
    )


def run(args: argparse.Namespace) -> int:
    """Returns when told to stop."""
    from gateway.delivery import kinds

    # journald adds the time; a person at a terminal wants it too.
    form = (
        "%(asctime)s %(levelname)s %(message)s"
        if sys.stdout.isatty()
        else "%(levelname)s %(message)s"
    )
    logging.basicConfig(level=args.log_level.upper(), format=form, stream=sys.stdout)
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    settings = kinds.load(args.config)
    # Only now: what reading YAML took and gave back is used again by these, and the daemon stays
    # smaller by that much.
    from gateway import MADE_S
    from gateway.app import Gateway
    from gateway.store.volatile import volatile
    from gateway.timing.clock import Clock

    logging.getLogger(__name__).info(
        "%s: %d meters, %d assets", settings.site, len(settings.devices), len(settings.assets)
    )

    if told := volatile(settings.buffer_path):
        logging.getLogger(__name__).warning("%s", told)

    async def work() -> None:
        await Gateway(settings, Clock(settings.clock.trust, made_s=MADE_S)).run()

    asyncio.run(work())
    return 0
