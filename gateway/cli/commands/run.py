"""`meter-gateway run`: the daemon."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from drivers.profile import ProfileError
from gateway.cli.failing_start import FailingStart
from gateway.cli.terminal import Refused
from gateway.monitoring.watchdog import Watchdog
from gateway.site.credentials import ConfigError
from gateway.store.errors import StoreError

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
    """Returns when told to stop. Under systemd a start that fails is tried again here."""
    # journald adds the time; a person at a terminal wants it too.
    form = (
        "%(asctime)s %(levelname)s %(message)s"
        if sys.stdout.isatty()
        else "%(levelname)s %(message)s"
    )
    logging.basicConfig(level=args.log_level.upper(), format=form, stream=sys.stdout)
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    watchdog = Watchdog(lambda: None)
    if not watchdog.is_heard:
        _start(args.config, lambda: None)
        return 0

    failing = FailingStart(args.config, watchdog)
    while True:
        failing.look()
        started = False

        def on_started() -> None:
            nonlocal started
            started = True
            failing.is_over()

        try:
            _start(args.config, on_started)
            return 0
        except (Refused, ConfigError, ProfileError, StoreError) as error:
            if started or failing.ends_with(error):
                raise
            asyncio.run(failing.wait(error))


def _start(folder: Path, on_started: Callable[[], None]) -> None:
    """Read the configuration and run the daemon until it is told to stop. Raises what stands in the
    way of it; `on_started` is called when nothing does any more.
    """
    from gateway.delivery import kinds

    settings = kinds.load(folder)
    # Only now: what reading YAML took and gave back is used again by these, and the daemon stays
    # smaller by that much.
    from gateway.app import Gateway
    from gateway.timing.clock import Clock

    logging.getLogger(__name__).info(
        "%s: %d meters, %d assets", settings.site, len(settings.devices), len(settings.assets)
    )

    async def work() -> None:
        gateway = Gateway(settings, Clock(settings.clock.trust))
        on_started()
        await gateway.run()

    asyncio.run(work())
