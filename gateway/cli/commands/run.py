"""`meter-gateway run`: the daemon."""

import argparse
import asyncio
import logging
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

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
    _keep_quiet_about(settings.secrets.masked, form)
    # Only now: what reading YAML took and gave back is used again by these, and the daemon stays
    # smaller by that much.
    from gateway.app import Gateway
    from gateway.site.page_access import note_access
    from gateway.timing.clock import Clock

    logging.getLogger(__name__).info(
        "%s: %d meters, %d assets", settings.site, len(settings.devices), len(settings.assets)
    )

    note_access(settings.page_access or "local", settings.buffer_path)
    for warning in settings.warnings():
        logging.getLogger(__name__).warning("%s", warning)

    async def work() -> None:
        await Gateway(settings, Clock(settings.clock.trust)).run()

    asyncio.run(work())
    return 0


class MaskedLines(logging.Formatter):
    """Writes lines without the secrets in use, tracebacks included, whoever logs them."""

    def __init__(self, form: str, masked: Callable[[str], str]) -> None:
        super().__init__(form)
        self._masked = masked

    def format(self, record: logging.LogRecord) -> str:
        # In the record, too: what cannot be written is shown by logging itself, as it stands there.
        record.msg, record.args = self._masked(record.getMessage()), None
        return self._masked(super().format(record))


def _keep_quiet_about(masked: Callable[[str], str], form: str) -> None:
    """Let `masked` see everything that is logged from now on, and the traceback of a bug."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(MaskedLines(form, masked))

    def last_words(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        print(masked(text), end="", file=sys.stderr)

    sys.excepthook = last_words
