"""`meter-gateway run`: the daemon."""

import argparse
import asyncio
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.site.settings import Settings

SUMMARY = "run the daemon: read the meters, settle the slots, deliver them"


IN_USE = 75
"""The exit code where another daemon works on the buffer (EX_TEMPFAIL of sysexits.h)."""
BROKEN = 70
"""Where it ended because what it had to write did not fit the buffer (EX_SOFTWARE)."""

LOOK_S = 5.0
"""Under systemd: time between two looks at whether the other daemon has ended."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Reads the meters of the configuration folder, keeps every sample, settles each market "
        "slot and delivers it to the exchange. "
        "Runs until SIGTERM or Ctrl-C; logs to standard output (systemd keeps it: journalctl -u "
        "meter-gateway). A buffer has one daemon: a second one ends at once with exit code "
        f"{IN_USE}. Under systemd it waits until the first has ended."
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
    from gateway.store.errors import InUse, Misfit

    log = logging.getLogger(__name__)
    log.info("%s: %d meters, %d assets", settings.site, len(settings.devices), len(settings.assets))

    code = 0
    try:
        asyncio.run(_work(settings))
    except* InUse as errors:
        print(_first(errors), file=sys.stderr)
        code = IN_USE
    except* Misfit as errors:
        log.error("%s", _first(errors))
        code = BROKEN
    return code


def _first(errors: BaseExceptionGroup[Exception]) -> BaseException:
    """One of them, however deep it is in the tree of tasks."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _work(settings: "Settings") -> None:
    gateway = await _made(settings)
    await gateway.run()


async def _made(settings: "Settings") -> "Gateway":
    """The gateway, as soon as its buffer is free. Raises InUse where nobody would start us again:
    systemd would, every few seconds, and log it each time.
    """
    from gateway.app import Gateway
    from gateway.monitoring.watchdog import Watchdog
    from gateway.store.errors import InUse
    from gateway.timing.clock import Clock

    systemd = Watchdog(lambda: None)
    told = ""
    while True:
        try:
            return Gateway(settings, Clock(settings.clock.trust))
        except InUse as error:
            if not systemd.is_there:
                raise
            if str(error) != told:
                logging.getLogger(__name__).error("%s; waiting until it is free", error)
                told = str(error)
        systemd.starting(told, 6 * LOOK_S)
        await asyncio.sleep(LOOK_S)
