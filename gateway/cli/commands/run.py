"""`meter-gateway run`: the daemon."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from drivers.profile import ProfileError
from gateway.cli.failing_start import FailingStart
from gateway.cli.quick_ends import QuickEnds
from gateway.cli.terminal import Refused, of_the_machine
from gateway.monitoring.watchdog import Watchdog
from gateway.site.credentials import ConfigError
from gateway.store.errors import InUse, Locked, Misfit, OldView, StoreError

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.site.settings import Settings

SUMMARY = "run the daemon: read the meters, settle the slots, deliver them"


IN_USE = 75
"""The exit code where another daemon works on the buffer (EX_TEMPFAIL of sysexits.h)."""
BROKEN = 70
"""Where it ended because what it had to write did not fit the buffer (EX_SOFTWARE)."""

CHANGED = 75
"""Where systemd is to start it again, with other credentials or another view of the mounts
(EX_TEMPFAIL).
"""

EXHAUSTED = 71
"""Where the system gave no more descriptors or memory, and no part could go on (EX_OSERR)."""

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
    """Returns when told to stop. Under systemd a start that fails is tried again here."""
    form = _log_to(args.log_level.upper())
    watchdog = Watchdog(lambda: None)
    if not watchdog.is_there:
        return _run(args.config, form, watchdog, lambda: None)
    return _under_systemd(args.config, form, watchdog)


def _log_to(level: str) -> str:
    """Log to the journal with fields where standard output is the journal's; else to standard
    output, with the time for a person at a terminal. Returns the form of a line.
    """
    from gateway.monitoring.journal_stream import STREAM_VARIABLE, JournalHandler, is_journal

    form = "%(levelname)s %(message)s"
    if sys.stdout.isatty():
        form = f"%(asctime)s {form}"
    elif is_journal(sys.stdout.fileno(), os.environ.get(STREAM_VARIABLE)):
        with contextlib.suppress(OSError):  # the stream is there, whatever became of the socket
            handler = JournalHandler()
            logging.basicConfig(level=level, format="%(message)s", handlers=[handler])
            return "%(message)s"
    logging.basicConfig(level=level, format=form, stream=sys.stdout)
    return form


def _under_systemd(folder: Path, form: str, watchdog: Watchdog) -> int:
    """What ends with an error is started again at once, and for ever: so it does not end each
    time, or not at once.
    """
    failing, ends = FailingStart(folder, watchdog), QuickEnds(watchdog)
    started = False

    def on_started() -> None:
        nonlocal started
        started = True
        failing.is_over()

    while True:
        failing.look()
        try:
            code = _run(folder, form, watchdog, on_started)
        except Exception as error:
            expected = _expected(error)
            if expected is None or started:
                return _ended(ends, error, expected)
            if failing.ends_with(expected):
                raise expected from error
            if not asyncio.run(failing.wait(expected)):
                return CHANGED
        else:
            if code:
                what = f"exit code {code}"
                ends.is_known(what)
                asyncio.run(ends.hold_back(what))
            return code


def _expected(error: Exception) -> Exception | None:
    """The error with words for a person; None for a bug."""
    if isinstance(error, ExceptionGroup):
        error = _first(error)
    if isinstance(error, Refused | ConfigError | ProfileError | StoreError):
        return error
    if isinstance(error, OSError) and (told := of_the_machine(error)):
        return Refused(told)
    return None


def _ended(ends: QuickEnds, error: Exception, expected: Exception | None) -> int:
    """Say it in full where the process before has not, and wait where that ended as well. Returns
    the exit code.
    """
    what = _place_of(error)
    if not ends.is_known(what):
        if expected is None:
            sys.excepthook(type(error), error, error.__traceback__)
        else:
            print(expected, file=sys.stderr, flush=True)
    asyncio.run(ends.hold_back(what))
    return 1


def _place_of(error: Exception) -> str:
    """Which error it is and where it was raised. Not its text, which may hold anything."""
    if isinstance(error, ExceptionGroup):
        error = _first(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def _run(folder: Path, form: str, watchdog: Watchdog, on_started: Callable[[], None]) -> int:
    """Read the configuration and run the daemon until it is told to stop. Raises what stands in the
    way of it; `on_started` is called when nothing does any more. `form` is the log's.
    """
    from gateway.monitoring.exhaustion import is_exhaustion
    from gateway.operator.loading import load

    settings = load(folder)
    _keep_quiet_about(settings.secrets.masked, form)
    code = 0
    try:
        asyncio.run(_work(folder, settings, form, watchdog, on_started))
    except* InUse as errors:
        print(_first(errors), file=sys.stderr)
        code = IN_USE
    except* Misfit as errors:
        logging.getLogger(__name__).error("%s", _first(errors))
        code = BROKEN
    except* OldView as errors:
        logging.getLogger(__name__).error(
            "%s; the daemon ends, and goes on when it is started again", _first(errors)
        )
        code = CHANGED
    except* OSError as errors:
        error = _first(errors)
        if not is_exhaustion(error):
            raise
        logging.getLogger(__name__).error(
            "%s; the daemon ends: raise LimitNOFILE= of the unit, or free memory", error
        )
        code = EXHAUSTED
    return code


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    """One of them, however deep it is in the tree of tasks."""
    error: Exception = errors
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def _work(
    folder: Path,
    settings: "Settings",
    form: str,
    watchdog: Watchdog,
    on_started: Callable[[], None],
) -> None:
    from gateway.cli.reload import Reload
    from gateway.operator.loading import load

    reload = Reload(folder, settings, load)
    while True:
        gateway = await _made(reload.settings, watchdog)
        # Not before: a start that fails is tried again and again.
        _introduce(reload.settings)
        on_started()
        # What exists now lives as long as the configuration: the garbage collector need not look at
        # it again.
        gc.collect()
        gc.freeze()
        reload.listen()
        if not await gateway.run(reload):
            return
        _keep_quiet_about(reload.settings.secrets.masked, form)
        del gateway
        gc.unfreeze()


def _introduce(settings: "Settings") -> None:
    """Log what it is told to do, and what may be wrong with that."""
    from gateway.site.suspicions import suspicions
    from gateway.store.volatile import volatile

    log = logging.getLogger(__name__)
    log.info("%s: %d meters, %d assets", settings.site, len(settings.devices), len(settings.assets))
    for suspicion in suspicions(settings):
        log.warning("suspect: %s", suspicion)
    for warning in settings.warnings():
        log.warning("%s", warning)
    if told := volatile(settings.buffer_path):
        log.warning("%s", told)


async def _made(settings: "Settings", watchdog: Watchdog) -> "Gateway":
    """The gateway, as soon as its buffer is free. Raises InUse or Locked where nobody would start
    us again: systemd would, every few seconds, and log it each time.
    """
    # Only now: what reading YAML took and gave back is used again by these, and the daemon stays
    # smaller by that much.
    from gateway import MADE_S
    from gateway.app import Gateway
    from gateway.site.page_access import note_access
    from gateway.timing.clock import Clock

    told = ""
    while True:
        try:
            gateway = Gateway(settings, Clock(settings.clock.trust, made_s=MADE_S))
            note_access(settings.page_access or "local", settings.buffer_path)
            return gateway
        except Misfit as error:
            # Before it has run, it is one more start that fails.
            raise StoreError(str(error)) from error
        except (InUse, Locked) as error:
            if not watchdog.is_there:
                raise
            if str(error) != told:
                logging.getLogger(__name__).error("%s; waiting until it is free", error)
                told = str(error)
        watchdog.starting(told, 6 * LOOK_S)
        await asyncio.sleep(LOOK_S)


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
