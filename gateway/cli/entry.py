"""Where the program begins. A library or a file of it may be missing or empty, where a power cut
tore an update. Under systemd that is said in full once, and tried more and more seldom.
"""

import asyncio
import os
import sys

TORN = (ImportError, SyntaxError, AttributeError, NameError, TypeError, ValueError, OSError)
"""What importing files raises that are missing, cut off or noise."""


def main() -> int:
    """Run the command that was asked for; returns the exit code."""
    try:
        from gateway.cli.main import main as commands
    except TORN as error:
        return _incomplete(error)
    return commands()


def _incomplete(error: Exception) -> int:
    # What these need is Python's own. Where they are torn as well, that is a plain traceback.
    from gateway.cli.quick_ends import QuickEnds
    from gateway.monitoring.watchdog import Watchdog

    what = f"{type(error).__name__}: {error}"
    ends = QuickEnds(Watchdog(lambda: None)) if os.environ.get("NOTIFY_SOCKET") else None
    if ends is None or not ends.is_known(what):
        sys.excepthook(type(error), error, error.__traceback__)
        print(
            "The installation is not complete: install meter-gateway again, as for an update "
            f"(docs/install.md). {what}",
            file=sys.stderr,
            flush=True,
        )
    if ends is not None:
        asyncio.run(ends.hold_back(f"the installation is not complete: {what}"))
    return 1
